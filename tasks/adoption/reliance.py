"""Which adoptions a model rests on, and whether they hold: record, seal, chain, signature, and what was compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.adoption.proof import proof_holds
from tasks.files.hashing import digest_of
from tasks.jobs.adoptions import KIND, Adoption, Adoptions, examine_adoptions, scope_of, workings_digest
from tasks.jobs.keys import plan_of
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.project.settings import Settings
from tasks.signing.trusted_keys import TrustedKeys, load_trusted_keys
from tasks.store.blobs import StoreFailed
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store


@dataclass(frozen=True, kw_only=True)
class Reliance:
    """That a model counts by an adoption."""

    record: Adoption
    stages: tuple[str, ...]
    """Those of its stages that count as made by other workings than made them."""
    unsigned: str | None
    """Why its signature does not hold, where a signing key is set."""

    def to_json(self) -> dict[str, Any]:
        """Plain values: the record without its code digests, and which stages count by it."""
        record = self.record
        return {
            "number": record.number,
            "at": record.at,
            "by": record.by,
            "reason": record.reason,
            "stages": list(self.stages),
            "proof": [dict(concept) for concept in record.concepts],
            "unsigned": self.unsigned,
        }


def adoptions_of(settings: Settings, store: Store, manifests: Mapping[str, Manifest]) -> list[Reliance]:
    """The adoptions in force that stages of a chain count by, and those by which one was made again.

    Raises StoreFailed.
    """
    adoptions, _ = examine_adoptions(store)
    trusted, found = load_trusted_keys(settings), []
    for record in adoptions.in_force:
        if stages := _stages(record, manifests):
            found.append(Reliance(record=record, stages=stages, unsigned=signature_problem(trusted, record)))
    return found


def _stages(record: Adoption, manifests: Mapping[str, Manifest]) -> tuple[str, ...]:
    olds = [(entry["scope"], entry["old"]) for entry in record.proved]
    found = []
    for stage, manifest in manifests.items():
        remade = record.number in (manifest.made_by or {}).get("adoptions", ())
        own = workings_digest(manifest.code, manifest.packages)
        if remade or any(old == own and scope == scope_of(plan_of(manifest)) for scope, old in olds):
            found.append(stage)
    return tuple(found)


def signature_problem(trusted: TrustedKeys, record: Adoption) -> str | None:
    """Why no trusted key stands for a record; None where one does, or where nobody is trusted with it."""
    if not trusted.asks_for("releases"):
        return None
    if record.seal is None:
        return "is not sealed"
    by = trusted.who_signed("releases", KIND, record.seal.signed, record.seal.signature)
    return by if isinstance(by, str) else None


def check_adoptions(settings: Settings, store: Store, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    """Everything about the adoptions that a chain rests on."""
    try:
        adoptions, problems = examine_adoptions(store)
        for problem in problems:
            yield fault("adoptions", problem)
        if adoptions.records and not problems:
            yield good("adoptions", f"their {len(adoptions.records)} records follow each other")
        for reliance in adoptions_of(settings, store, manifests):
            yield from _check_record(store, reliance, asked=load_trusted_keys(settings).asks_for("releases"))
        yield from _check_made_again(adoptions, manifests)
    except StoreFailed as failure:
        yield unchecked("adoptions", str(failure))


def _check_record(store: Store, reliance: Reliance, *, asked: bool) -> Iterator[CheckResult]:
    record, what = reliance.record, f"adoption {reliance.record.number}"
    if reliance.unsigned:
        yield fault(f"{what}: signature", reliance.unsigned)
    elif asked:
        yield good(f"{what}: signature", "is by a key that is trusted with it")
    for concept in record.concepts:
        for stage in concept["stages"]:
            yield _check_stage(store, f"{what}: {concept['concept']} {stage['stage']}", stage, concept["agreement"])


def _check_stage(store: Store, what: str, stage: Mapping[str, Any], agreement: str) -> CheckResult:
    """Both digests: the kept artefact has the one, and the one made anew is the same or was found within margins."""
    if not proof_holds(stage, agreement):
        return fault(what, "is called the same bit for bit, and its digests differ")
    try:
        manifest = store.find(stage["stage"], stage["key"], rehash=True)
    except Damaged as damage:
        return fault(what, f"the artefact that was compared: {damage}")
    if manifest is None:
        return unchecked(what, "the artefact that was compared is not in the store any more")
    if manifest.digest() != stage["old_digest"]:
        return fault(
            what, f"was compared with digest {stage['old_digest'][:12]}, there is {manifest.digest()[:12]} now"
        )
    if agreement == "within margins" and stage["old_digest"] != stage["new_digest"]:
        return unchecked(what, "what was made anew on another device was not kept; its scores are on record")
    return good(what, "the artefact that was compared has the digest of both")


def _check_made_again(adoptions: Adoptions, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    """What was made again by other workings than its key names rests on an adoption that says so."""
    for stage, manifest in manifests.items():
        if manifest.made_by is None:
            continue
        what = f"{stage} {manifest.key[:12]}: made again"
        mine = workings_digest(manifest.code, manifest.packages)
        theirs = workings_digest(manifest.made_by["code"], manifest.made_by["packages"])
        from_there = adoptions.older_than(digest_of(scope_of(plan_of(manifest))), theirs)
        if any(workings_digest(each.code, each.packages) == mine for each in from_there):
            yield good(what, "by workings that count as those of its key")
        else:
            yield fault(what, "by other workings than its key names, and no adoption in force lets them count")
