"""The store's records, each against its seal and those that it follows: which are damaged, cut short or put back.

concepts/<name>/trained.jsonl, failures-*.json      registries/<registry>/**      takedowns/      upgrades/
attestations/<name>/
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from model.errors import InputError, WorkFailed
from tasks.concepts.takedown_memory import takedown_doubts
from tasks.concepts.takedown_records import FINISHED, FINISHED_END, TAKEDOWNS, examine_takedowns
from tasks.concepts.takedown_records import KIND as TAKEDOWN
from tasks.lineage.attestations import ATTESTATIONS, read_attestations
from tasks.lineage.check_results import CheckResult, fault, good, unchecked, unprovable
from tasks.plan.last_training import CONCEPTS, LastTraining, last_training_path
from tasks.plan.last_training import KIND as TRAINING
from tasks.project.settings import Settings
from tasks.registry.store_records import ADDRESS, REGISTRIES
from tasks.registry.version_records import KIND as VERSION
from tasks.registry.version_records import VersionRecord
from tasks.signing.keys import Role
from tasks.signing.trusted_keys import TrustedKeys
from tasks.store.blobs import Record, StoreFailed
from tasks.store.sealed import Seal, unsealed, unsealed_lines, unsigned_because
from tasks.store.sealed_chain import chain_path, read_chain_records
from tasks.store.store import Store
from tasks.verification.upgrade_records import KIND as UPGRADE
from tasks.verification.upgrade_records import UPGRADES, read_vouched


@dataclass(frozen=True, kw_only=True)
class Unsigned:
    """A record that is as it was sealed, by nobody who is trusted with that."""

    said: str
    """Why it counts as signed by nobody."""
    seal: Seal
    vouched: str | None
    """Who vouched for it as it is, in words; None where nobody did."""

    @property
    def problem(self) -> str | None:
        """What is wrong with that; None where somebody vouched for it."""
        hint = "; `conceptbooth upgrade` vouches for what is of before" if self.seal.signature is None else ""
        return None if self.vouched else f"{self.said}: whoever can write to the store can have made it{hint}"


@dataclass(frozen=True, kw_only=True)
class RecordsFound:
    """What was found about the records of a store."""

    whole: int
    """How many are as they were sealed."""
    unsealed: tuple[str, ...]
    """Paths of those from before there were seals."""
    problems: Mapping[str, str]
    """What is wrong, by path."""
    unsigned: Mapping[str, Unsigned] = field(default_factory=dict)
    """Those that no trusted key has signed, where one should have, by path."""


def broken_seal(path: str, content: bytes) -> str | None:
    """Why a record with a seal, in whatever form, is not as it was sealed; None where it is, or has none."""
    if b'"seal": "' not in content:
        return None
    try:
        unsealed_lines(content, 2) if path.endswith(".jsonl") else unsealed(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def examine_records(
    store: Store, concepts: Collection[str] | None = None, keys: TrustedKeys | None = None
) -> RecordsFound:
    """Read the records of these concepts, or of all, with takedowns and upgrades. Raises StoreFailed.

    With `keys` also by whom they are signed: those of trainings and versions by who trains or releases, those of
    takedowns and upgrades by who releases.
    """
    paths = [*store.records(CONCEPTS), *store.records(REGISTRIES)]
    if concepts is not None:
        paths = [path for path in paths if path.endswith(f"/{ADDRESS}") or _concept(path) in concepts]
    read = store.read_records(paths) if paths else {}
    problems, never_sealed, whole = {}, [], 0
    signed: list[_Signed] = []
    for path, record in read.items():
        try:
            seal = _seal(path, record.content)
            if seal is None:
                never_sealed.append(path)
            elif kind := _kind(path):
                signed.append(_Signed(path, kind, ("trainings", "releases"), seal))
            whole += 1
        except (ValueError, RecursionError) as error:
            problems[path] = str(error)
    problems |= _put_back({path: record for path, record in read.items() if path not in problems})
    for prefix in (TAKEDOWNS, UPGRADES):
        chain = read_chain_records(store, prefix)
        never_sealed += [f"{prefix}{link.number:06}.json" for link in chain.links if link.seal is None]
        signed += [
            _Signed(
                chain_path(prefix, link.number), TAKEDOWN if prefix == TAKEDOWNS else UPGRADE, ("releases",), link.seal
            )
            for link in chain.links
            if link.seal
        ]
        whole += len(chain.links)
        told = examine_takedowns(store)[1] if prefix == TAKEDOWNS else chain.problems
        problems |= {said.split()[1]: said.split(": ", 1)[1] for said in told}
    for concept in sorted({path.split("/")[1] for path in store.records(ATTESTATIONS)}):
        if concepts is None or concept in concepts:
            attestations, told = read_attestations(store, concept)
            whole += len(attestations)
            problems |= {said.split()[1]: said.split(": ", 1)[1] for said in told}
    unsigned = _unsigned(store, keys, signed + _finished(store, problems)) if keys else {}
    return RecordsFound(whole=whole, unsealed=tuple(never_sealed), problems=problems, unsigned=unsigned)


def check_records(settings: Settings, store: Store, concept: str, keys: TrustedKeys) -> Iterator[CheckResult]:
    """What the store has on record of the concept beside its artefacts, and of takedowns and upgrades."""
    try:
        found, doubts = examine_records(store, [concept], keys), list(takedown_doubts(settings, store))
    except (StoreFailed, InputError, WorkFailed) as failure:
        yield unchecked("records", str(failure))
        return
    for path, said in found.problems.items():
        yield fault(f"record {path}", said)
    for doubt in doubts:
        yield fault("takedowns", doubt)
    for path, each in found.unsigned.items():
        what = f"record {path}: signature"
        yield fault(what, problem) if (problem := each.problem) else unprovable(what, str(each.vouched))
    old = len(found.unsealed)
    if found.whole > old:
        yield good("records", f"{found.whole - old} are as they were sealed")
    if old:
        said = "are of before records were sealed; `conceptbooth upgrade` seals them as they are now"
        yield good("records", f"{old} {said}")


class _Signed(NamedTuple):
    """A record that somebody should have signed."""

    path: str
    kind: str
    roles: tuple[Role, ...]
    seal: Seal


def _unsigned(store: Store, keys: TrustedKeys, signed: Collection[_Signed]) -> dict[str, Unsigned]:
    told = [(each, unsigned_because(keys, each.roles, each.kind, each.seal)) for each in signed]
    if not any(said for _, said in told):
        return {}
    vouched = read_vouched(store, keys)
    return {
        each.path: Unsigned(said=said, seal=each.seal, vouched=vouched.record_words(each.path, each.seal))
        for each, said in told
        if said
    }


def _finished(store: Store, problems: Collection[str]) -> list[_Signed]:
    """What takedowns came to, where that is as it was sealed."""
    paths = [path for path in store.records(TAKEDOWNS) if path.endswith(FINISHED_END) and path not in problems]
    seals = {path: unsealed(record.content)[1] for path, record in store.read_records(paths).items()} if paths else {}
    return [_Signed(path, FINISHED, ("releases",), seal) for path, seal in seals.items() if seal]


def _kind(path: str) -> str | None:
    """What the signature of a record of a training or a version is over; failures and addresses carry none."""
    name = path.rpartition("/")[2]
    if name.endswith(".jsonl"):
        return TRAINING
    return VERSION if path.startswith(REGISTRIES) and name != ADDRESS else None


def _seal(path: str, content: bytes) -> Seal | None:
    """The seal of a record that is whole. ValueError where it is not."""
    name = path.rpartition("/")[2]
    if name.endswith(".jsonl"):
        trained = LastTraining.read(content)
        if path.startswith(REGISTRIES) and trained.content != name.removesuffix(".jsonl"):
            raise ValueError(f"is about {trained.content[:12]}, put in the place of another")
        if trained.concept != _concept(path):
            raise ValueError(f"is about '{trained.concept}', put in the place of another")
        return unsealed_lines(content, 2)[2]
    if path.startswith(REGISTRIES) and name != ADDRESS:
        record = VersionRecord.from_json(content)
        if (record.concept, f"{record.version:06}.json") != (_concept(path), name):
            raise ValueError(f"is about version {record.version} of '{record.concept}', put in the place of another")
        return record.seal
    return unsealed(content)[1]


def _put_back(records: Mapping[str, Record]) -> dict[str, str]:
    """Records that another one came after, and that stand where that one should: somebody put an old copy back."""
    found: dict[str, str] = {}
    trained = {p: LastTraining.read(r.content) for p, r in records.items() if p.endswith(".jsonl")}
    later = {(t.concept, t.previous): path for path, t in trained.items() if t.previous and path.startswith(REGISTRIES)}
    for path, record in trained.items():
        after = later.get((record.concept, record.seal.digest)) if record.seal else None
        if path == last_training_path(record.concept) and after and trained[after].content != record.content:
            found[path] = f"is older than {after}, which came after it: an old copy was put back"
    versions = _versions(records)
    for (folder, number), version in versions.items():
        before = versions.get((folder, number - 1))
        known = {before.seal.digest, *before.replaced} if before and before.seal else None
        if known and version.seal and version.previous and version.previous not in known:
            path = f"{folder}/{number:06}.json"
            found[path] = f"does not follow the record of version {number - 1} as that is now; one of them was changed"
    return found


def _versions(records: Mapping[str, Record]) -> dict[tuple[str, int], VersionRecord]:
    """Version records by their folder and number."""
    told = {
        path: VersionRecord.from_json(record.content)
        for path, record in records.items()
        if path.startswith(REGISTRIES) and path.endswith(".json") and not path.endswith(f"/{ADDRESS}")
    }
    return {(path.rpartition("/")[0], record.version): record for path, record in told.items()}


def _concept(path: str) -> str:
    return path.split("/")[1 if path.startswith(CONCEPTS) else 2]
