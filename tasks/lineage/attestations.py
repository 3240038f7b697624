"""Records that artefacts were made from what a later commit holds: whoever trains first and commits then needs one.

    attestations/<concept>/<number>.json     a sealed chain, each record signed where a key is set

A manifest says for ever that its files were not committed when it was made. Where the same files are committed later,
byte for byte, a record says so beside it; tasks/lineage/attest.py writes it, and the gate `git_clean` asks for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.files.names import proper_name
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.project.settings import Settings
from tasks.signing.keys import ROLES
from tasks.signing.trusted_keys import TrustedKeys, load_trusted_keys
from tasks.store.blobs import StoreFailed
from tasks.store.documents import read_values
from tasks.store.manifest import Manifest
from tasks.store.sealed import Seal
from tasks.store.sealed_chain import ChainLink, chain_path, read_chain_records
from tasks.store.shapes import check_fields
from tasks.store.store import Store

ATTESTATIONS = "attestations/"
KIND = "attestation"
"""What its signature is over."""
SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """That artefacts of a concept are those that a commit's files give."""

    concept: str
    number: int
    commit: str
    image_set: str
    """Data version, whose record the commit holds."""
    stages: Mapping[str, Mapping[str, str]]
    """Key and digest of each artefact, by stage."""
    files: Mapping[str, str]
    """What was compared: git's blob of each file, by its path in the repository."""
    by: str
    at: str
    """UTC, ISO 8601."""
    seal: Seal | None = field(default=None, compare=False)

    def content(self) -> dict[str, Any]:
        """As it is kept; number and predecessor come from the chain."""
        return {"schema": SCHEMA, **{name: value for name, value in asdict(self).items() if name != "seal"}}

    def covers(self, manifest: Manifest) -> bool:
        """Whether it speaks of this very artefact."""
        said = self.stages.get(manifest.stage)
        return said is not None and said == {"key": manifest.key, "digest": manifest.digest()}

    @classmethod
    def from_link(cls, link: ChainLink, concept: str) -> "Attestation":
        """Read a record of the chain. Raises ValueError where it is none, not sealed, or about another concept."""

        def build(values: dict[str, Any]) -> "Attestation":
            del values["schema"]
            check_fields(cls, values, but=("seal",))
            return cls(**values, seal=link.seal)

        if link.seal is None:
            raise ValueError("is not sealed")
        record = read_values(dict(link.content), "record of an attestation", (SCHEMA,), build)
        if record.concept != concept:
            raise ValueError(f"is about '{record.concept}', put in the place of another")
        return record


@dataclass(frozen=True, kw_only=True)
class Attested:
    """That stages of a chain were attested."""

    record: Attestation
    stages: tuple[str, ...]
    unsigned: str | None
    """Why no trusted key stands for it, where keys are asked for: then it counts for nothing."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        named = ("number", "commit", "image_set", "by", "at")
        return {
            **{name: getattr(self.record, name) for name in named},
            "stages": list(self.stages),
            "files": dict(self.record.files),
            "unsigned": self.unsigned,
        }


def chain_of(concept: str) -> str:
    """Where a concept's records lie in the store."""
    return f"{ATTESTATIONS}{proper_name(concept)}/"


def read_attestations(store: Store, concept: str) -> tuple[list[Attestation], list[str]]:
    """The records of a concept that can be read, and what is wrong with its chain. Raises StoreFailed."""
    prefix = chain_of(concept)
    chain = read_chain_records(store, prefix)
    records, problems = [], list(chain.problems)
    for link in chain.links:
        try:
            records.append(Attestation.from_link(link, concept))
        except ValueError as error:
            problems.append(f"record {chain_path(prefix, link.number)} of the store {store.address}: {error}")
    return records, problems


def attestations_of(
    settings: Settings, store: Store, concept: str, manifests: Mapping[str, Manifest]
) -> list[Attested]:
    """Those that speak of artefacts of a chain; none where the concept's records are not as they were written.

    Raises StoreFailed.
    """
    records, problems = read_attestations(store, concept)
    if problems:
        return []
    trusted, found = load_trusted_keys(settings), []
    for record in records:
        if stages := tuple(stage for stage, manifest in manifests.items() if record.covers(manifest)):
            found.append(Attested(record=record, stages=stages, unsigned=_unsigned(trusted, record)))
    return found


def check_attestations(
    settings: Settings, store: Store, concept: str, manifests: Mapping[str, Manifest]
) -> Iterator[CheckResult]:
    """Whether the records that a chain rests on are as they were written, and by whom."""
    try:
        yield from (fault("attestations", problem) for problem in read_attestations(store, concept)[1])
        for attested in attestations_of(settings, store, concept, manifests):
            what = f"attestation {attested.record.number}"
            said = f"commit {attested.record.commit[:12]} holds what {', '.join(attested.stages)} were made from"
            yield fault(what, attested.unsigned) if attested.unsigned else good(what, said)
    except StoreFailed as failure:
        yield unchecked("attestations", str(failure))


def uncommitted(manifest: Manifest) -> str | None:
    """Why an artefact was not made from committed files alone, as its manifest says; None where it was."""
    if manifest.git is None:
        return f"{manifest.stage} was made outside git"
    if manifest.git["dirty"]:
        return f"{manifest.stage} was made from files that differ from commit {manifest.git['commit'][:12]}"
    state = manifest.labels.get("image_set_state") if manifest.stage == "prepare" else None
    return f"the image set was {state}" if state not in (None, "committed") else None


def _unsigned(trusted: TrustedKeys, record: Attestation) -> str | None:
    """By a key for trainings or for releases: both say what an artefact is, and may say where it comes from."""
    if not any(trusted.asks_for(role) for role in ROLES) or record.seal is None:
        return None
    answers = [trusted.who_signed(role, KIND, record.seal.signed, record.seal.signature) for role in ROLES]
    return None if any(not isinstance(answer, str) for answer in answers) else str(answers[0])
