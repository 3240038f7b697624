"""A site of before brought up to date: its records sealed, its ledgers and releases signed, what was made vouched for.

What was made before there were seals or signatures cannot be proved any more: a release key says how it is now, in a
record of the store (tasks/verification/upgrade_records.py), and later proofs say that in these words.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from model.errors import InputError
from tasks.files.names import path_inside
from tasks.production import release as releases
from tasks.production.ledger import concepts_in
from tasks.production.release import DOCUMENT, Release, read_release
from tasks.production.signatures import (
    NotSigned,
    hashes_of_documents,
    ledger_documents,
    ledger_signature_path,
    release_signature_path,
    sign_ledger,
    sign_release,
    verify_signature,
)
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.promotion import user_and_host
from tasks.signing.keys import Signer, public_key_of, signer_of
from tasks.signing.trusted_keys import load_trusted_keys
from tasks.store.blobs import Blobs
from tasks.store.manifest import Manifest
from tasks.store.sealed_chain import append_record, read_chain_records
from tasks.store.store import Store
from tasks.upkeep.mending import mend_records, seal_records
from tasks.upkeep.package_lists import list_packages
from tasks.verification.records import examine_records
from tasks.verification.upgrade_records import KIND as UPGRADE
from tasks.verification.upgrade_records import (
    SCHEMA,
    UPGRADES,
    manifest_digest,
    read_vouched,
    stage_and_key,
)

State = Literal["sealed", "mended", "signed", "vouched for", "unprovable", "lost"]


@dataclass(frozen=True, kw_only=True)
class UpgradeStep:
    """What became of one thing, or would."""

    what: str
    state: State
    """`lost`: it is damaged, and nothing here mends it; `unprovable`: nothing to do, and nothing more can be proved."""
    said: str = ""


def upgrade(
    settings: Settings,
    store: Store,
    place: Blobs,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> list[UpgradeStep]:
    """Seal, mend, sign and vouch for what was made before; a second call finds nothing to do.

    Raises:
        InputError: keys, a ledger or the upgrades' own records cannot be used as they are.
        StoreFailed, TrackingUnreachable: somebody does not answer; the same call carries on.
    """
    keys, signer = load_trusted_keys(settings), signer_of(settings, "releases")
    earlier = read_chain_records(store, UPGRADES)
    if earlier.problems:
        raise InputError(*(f"{problem}; put it back from a copy" for problem in earlier.problems))
    found = examine_records(store, keys=keys)
    mended = [
        *seal_records(store, found, release=signer, dry_run=dry_run),
        *mend_records(settings, store, found, dry_run=dry_run),
    ]
    steps = [UpgradeStep(what=f"record {each.path}", state=each.state, said=each.said) for each in mended]
    steps += [
        UpgradeStep(what=each.version, state="lost", said=f"its files are not put on record: {each.problem}")
        if each.problem
        else UpgradeStep(what=each.version, state="sealed", said="the list of its files is on record, as it is now")
        for each in list_packages(settings, store, dry_run=dry_run)
    ]
    if signer is not None:
        tell("hashing what was released")
        steps += _signed(settings, place, dry_run)
    unsigned = _unsigned(store)
    vouched = read_vouched(store, keys)
    old = {stage_and_key(manifest): manifest_digest(manifest) for manifest in unsigned if not vouched.words(manifest)}
    if signer is not None and old:
        tell("looking whether what was made is whole")
        whole = {stage_and_key(manifest) for manifest in unsigned if not store.damage(manifest)}
        steps += [
            UpgradeStep(
                what=f"stage {name}", state="lost", said="its files are missing or cut short: nobody vouches for it"
            )
            for name in sorted(old.keys() - whole)
        ]
        old = {name: digest for name, digest in old.items() if name in whole}
        who_vouches = f"key {signer.key} vouches for it as it is now; who made it cannot be proved"
        steps += [UpgradeStep(what=f"stage {name}", state="vouched for", said=who_vouches) for name in sorted(old)]
    elif old:
        said = f"{len(old)} trainings and evaluations are sealed, not signed: set a signing_key to vouch for them"
        steps.append(UpgradeStep(what="stages", state="unprovable", said=said))
    records = {
        path: each.seal.digest for path, each in found.unsigned.items() if not (each.vouched or each.seal.signature)
    }
    if signer is not None:
        steps += [
            UpgradeStep(
                what=f"record {path}", state="vouched for", said=f"key {signer.key} vouches for it as it is now"
            )
            for path in sorted(records)
        ]
    elif records:
        said = f"{len(records)} records are sealed, not signed: set a signing_key to vouch for them"
        steps.append(UpgradeStep(what="records", state="unprovable", said=said))
    done = [step for step in steps if step.state in ("sealed", "mended", "signed", "vouched for")]
    if done and not dry_run:
        _note(store, signer, done, old if signer else {}, records if signer else {})
    return steps


def _unsigned(store: Store) -> list[Manifest]:
    """Manifests without a signature; one with a wrong one is no matter of age, and nobody vouches for it."""
    read = store.read_all(sorted(store.artefacts()))
    return [each for each in read.values() if isinstance(each, Manifest) and each.signature is None]


def _signed(settings: Settings, place: Blobs, dry_run: bool) -> Iterator[UpgradeStep]:
    """Ledgers that are whole, and the releases that they name, whose bytes are what the ledger says."""
    public_key = public_key_of(settings)
    for concept in concepts_in(place):
        ledger = read_whole_ledger(settings, place, concept)
        present = place.read(ledger_signature_path(concept))
        try:
            if present is None:
                raise NotSigned("missing")
            verify_signature(hashes_of_documents(ledger_documents(ledger)), present.content, public_key)
        except NotSigned:
            if not dry_run:
                sign_ledger(settings, place, ledger)
            yield UpgradeStep(what=f"ledger of {concept}", state="signed", said=f"its {len(ledger.records)} records")
        for identity in dict.fromkeys(record.release for record in ledger.records if record.release):
            what = f"release {concept}/{identity[:16]}"
            try:
                release = read_release(place, concept, identity)
                if place.read(release_signature_path(release)) is not None:
                    continue
                problems = [*releases.damage(place, release), *releases.strangers(place, release)]
            except InputError as error:
                problems = list(error.problems)
            if problems:
                yield UpgradeStep(what=what, state="lost", said=f"is not signed: {'; '.join(problems)}")
                continue
            if not dry_run:
                with TemporaryDirectory() as folder:
                    _unpack(place, release, Path(folder))
                    sign_release(settings, place, release, Path(folder))
            yield UpgradeStep(what=what, state="signed", said="its files are those that the ledger names")


def _unpack(place: Blobs, release: Release, folder: Path) -> None:
    """A release's files, whose hashes were compared, in an empty folder: what signs wants them there."""
    for name, path in place.fetch({f"{release.place}{name}": file for name, file in release.files.items()}).items():
        target = path_inside(folder, name.removeprefix(release.place))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / DOCUMENT).write_bytes(release.document)


def _note(
    store: Store,
    signer: Signer | None,
    done: list[UpgradeStep],
    manifests: dict[str, str],
    records: dict[str, str],
) -> None:
    facts = {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": user_and_host(),
        "manifests": manifests,
        "records": records,
        "done": [f"{step.what}: {step.state}" for step in done if step.state != "vouched for"],
    }
    append_record(store, UPGRADES, UPGRADE, lambda number: facts | {"number": number}, signer)
