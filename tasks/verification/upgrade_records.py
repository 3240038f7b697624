"""What a site of before was when its keeper brought it up to date (`conceptbooth upgrade`): records of the store.

    upgrades/<number>.json     numbered, sealed, each naming the one before it; signed where a release key is set

What was made before there were seals or signatures cannot be proved any more. A key can say how it was on a day: what
changed since shows, and later proofs say so in these words.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.signing.trusted_keys import TrustedKey, TrustedKeys
from tasks.store.manifest import Manifest
from tasks.store.sealed import Seal
from tasks.store.sealed_chain import read_chain_records
from tasks.store.store import Store

UPGRADES = "upgrades/"
KIND = "upgrade"
SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Vouched:
    """What trusted keys have vouched for."""

    manifests: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Digest of what a manifest said, and who vouched for it when, by stage and key."""
    records: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Seal of a record, and who vouched for it when, by path."""

    def record_words(self, path: str, seal: Seal) -> str | None:
        """The same as `words` for a record of the store."""
        digest, who = self.records.get(path, ("", ""))
        return f"it is as it was when {who}; what was before that cannot be proved" if digest == seal.digest else None

    def words(self, manifest: Manifest) -> str | None:
        """Who vouched for a manifest that is as it was then; None where nobody did, or it has changed since."""
        digest, who = self.manifests.get(stage_and_key(manifest), ("", ""))
        if digest != manifest_digest(manifest):
            return None
        return f"it is as it was when {who}; what was before that cannot be proved"


def stage_and_key(manifest: Manifest) -> str:
    """How an upgrade calls a manifest."""
    return f"{manifest.stage}/{manifest.key}"


def manifest_digest(manifest: Manifest) -> str:
    """sha256 of all that a manifest says, seal and signature left aside."""
    return hashlib.sha256(manifest.signed_text).hexdigest()


def read_vouched(store: Store, keys: TrustedKeys) -> Vouched:
    """What keys that are trusted with releases have vouched for; the first counts. Raises StoreFailed."""
    manifests: dict[str, tuple[str, str]] = {}
    records: dict[str, tuple[str, str]] = {}
    for link in read_chain_records(store, UPGRADES).links:
        if link.seal is None:
            continue
        key = keys.who_signed("releases", KIND, link.seal.signed, link.seal.signature)
        if isinstance(key, TrustedKey):
            who = f"{key} vouched for it on {str(link.content.get('at'))[:10]} (upgrade {link.number})"
            there: Mapping[str, str] = link.content.get("manifests", {})
            manifests |= {place: (digest, who) for place, digest in there.items() if place not in manifests}
            records |= {path: (seal, who) for path, seal in link.content.get("records", {}).items()}
    return Vouched(manifests=manifests, records=records)
