"""The store's records, each against its seal and those that it follows: which are damaged, cut short or put back.

concepts/<name>/trained.jsonl, failures-*.json      registries/<registry>/**      takedowns/      upgrades/
attestations/<name>/
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tasks.concepts.takedown_records import TAKEDOWNS, examine_takedowns
from tasks.lineage.attestations import ATTESTATIONS, read_attestations
from tasks.plan.last_training import CONCEPTS, LastTraining, last_training_path
from tasks.registry.store_records import ADDRESS, REGISTRIES
from tasks.registry.version_records import VersionRecord
from tasks.store.blobs import Record
from tasks.store.sealed import Seal, unsealed, unsealed_lines
from tasks.store.sealed_chain import read_chain_records
from tasks.store.store import Store
from tasks.verification.upgrade_records import UPGRADES


@dataclass(frozen=True, kw_only=True)
class RecordsFound:
    """What was found about the records of a store."""

    whole: int
    """How many are as they were sealed."""
    unsealed: tuple[str, ...]
    """Paths of those from before there were seals."""
    problems: Mapping[str, str]
    """What is wrong, by path."""


def broken_seal(path: str, content: bytes) -> str | None:
    """Why a record with a seal, in whatever form, is not as it was sealed; None where it is, or has none."""
    if b'"seal": "' not in content:
        return None
    try:
        unsealed_lines(content, 2) if path.endswith(".jsonl") else unsealed(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def examine_records(store: Store, concepts: Collection[str] | None = None) -> RecordsFound:
    """Read the records of these concepts, or of all, with takedowns and upgrades. Raises StoreFailed."""
    paths = [*store.records(CONCEPTS), *store.records(REGISTRIES)]
    if concepts is not None:
        paths = [path for path in paths if path.endswith(f"/{ADDRESS}") or _concept(path) in concepts]
    read = store.read_records(paths) if paths else {}
    problems, never_sealed, whole = {}, [], 0
    for path, record in read.items():
        try:
            if _seal(path, record.content) is None:
                never_sealed.append(path)
            whole += 1
        except (ValueError, RecursionError) as error:
            problems[path] = str(error)
    problems |= _put_back({path: record for path, record in read.items() if path not in problems})
    for prefix in (TAKEDOWNS, UPGRADES):
        chain = read_chain_records(store, prefix)
        never_sealed += [f"{prefix}{link.number:06}.json" for link in chain.links if link.seal is None]
        whole += len(chain.links)
        told = examine_takedowns(store)[1] if prefix == TAKEDOWNS else chain.problems
        problems |= {said.split()[1]: said.split(": ", 1)[1] for said in told}
    for concept in sorted({path.split("/")[1] for path in store.records(ATTESTATIONS)}):
        if concepts is None or concept in concepts:
            attestations, told = read_attestations(store, concept)
            whole += len(attestations)
            problems |= {said.split()[1]: said.split(": ", 1)[1] for said in told}
    return RecordsFound(whole=whole, unsealed=tuple(never_sealed), problems=problems)


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
