"""What there is to adopt, and on which concepts it is proved."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from model.errors import InputError
from tasks.files.hashing import digest_of
from tasks.jobs.adoptions import Adoptions, scope_of, workings_digest
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan, plan_of
from tasks.plan.other_workings import same_workings, stages_as_done
from tasks.plan.plan import ConceptPlan, Plan
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That one kind of stage gives the same by other workings: what has to be proved."""

    scope: str
    """Digest of what it is about."""
    old: str
    new: str
    """Digests of the workings."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A concept whose training would be kept."""

    job: Job
    done: Mapping[str, StagePlan]
    """Its stages as they were made."""

    @property
    def name(self) -> str:
        """Of the concept."""
        return self.job.concept.name

    @cached_property
    def claims(self) -> dict[Claim, tuple[StagePlan, StagePlan]]:
        """What has to be true for it, each with a stage as it was made and as it is planned."""
        return {
            Claim(
                scope=digest_of(scope_of(plan)),
                old=workings_digest(self.done[plan.stage].code, self.done[plan.stage].packages),
                new=workings_digest(plan.code, plan.packages),
            ): (self.done[plan.stage], plan)
            for plan in self.job.stages
            if not same_workings(plan, self.done[plan.stage])
        }


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A concept on which something is proved."""

    candidate: Candidate
    manifests: Mapping[str, Manifest]
    """Of what was made before, whole to the last byte."""


def find_candidates(plan: Plan) -> list[Candidate]:
    """The concepts that other code or libraries alone make stale.

    Raises:
        InputError: there is none; says of each concept why not.
    """
    found = [
        Candidate(job=concept.job, done=stages_as_done(concept.trained))
        for concept in plan.concepts
        if concept.adoptable and concept.job and concept.trained
    ]
    if not found:
        raise InputError(*_nothing_to_adopt(plan.concepts))
    return found


def unproved(candidates: Sequence[Candidate], adoptions: Adoptions) -> set[Claim]:
    """What has to be proved to keep all of it: what follows from another claim by earlier adoptions is left out."""
    claims = {claim for candidate in candidates for claim in candidate.claims}
    return {claim for claim in claims if not any(follows(claim, other, adoptions) for other in claims - {claim})}


def follows(claim: Claim, other: Claim, adoptions: Adoptions) -> bool:
    """Whether a claim is true if another one is: what is older than what that one lets count."""
    if (claim.scope, claim.new) != (other.scope, other.new):
        return False
    older = adoptions.older_than(other.scope, other.old)
    return any(workings_digest(each.code, each.packages) == claim.old for each in older)


def choose_concepts(
    store: Store, candidates: Sequence[Candidate], claims: Collection[Claim], at_least: int
) -> tuple[list[Chosen], list[str]]:
    """Concepts that together prove every claim, `at_least` so many; also what is wrong with those that cannot.

    Whatever is read is read to the last byte.

    Raises:
        InputError: fewer than `at_least` can prove anything.
        StoreFailed: the store cannot be read.
    """
    if at_least > len(candidates):
        names = ", ".join(candidate.name for candidate in candidates)
        raise InputError(
            f"--prove {at_least}: only {len(candidates)} of the concepts would be kept ({names}); say "
            f"--prove {len(candidates)} or fewer"
        )
    chosen: list[Chosen] = []
    problems: list[str] = []
    open_claims = set(claims)
    left = list(candidates)
    while left and (open_claims or len(chosen) < at_least):
        # Most claims first, then in the order of names: the same store is asked for the same proof.
        candidate = min(left, key=lambda each: (-len(open_claims & each.claims.keys()), each.name))
        left.remove(candidate)
        if len(chosen) >= at_least and not open_claims & candidate.claims.keys():
            break
        manifests = _whole(store, candidate, problems)
        if manifests is not None:
            chosen.append(Chosen(candidate=candidate, manifests=manifests))
            open_claims -= candidate.claims.keys()
    if len(chosen) < at_least:
        raise InputError(
            f"--prove {at_least}: {len(chosen)} of {len(candidates)} concepts have all their artefacts whole in "
            f"{store.address}, and only those can prove anything",
            *problems,
        )
    return chosen, problems


def _whole(store: Store, candidate: Candidate, problems: list[str]) -> dict[str, Manifest] | None:
    found: dict[str, Manifest] = {}
    for stage, done in candidate.done.items():
        said = f"{candidate.name}: {stage} {done.key[:12]}"
        try:
            manifest = store.find(stage, done.key, rehash=True)
        except Damaged as damage:
            problems.append(f"{candidate.name}: {damage}")
            return None
        if manifest is None:
            problems.append(f"{said}: missing ({store.manifest_address(stage, done.key)})")
            return None
        if plan_of(manifest).key != done.key or not same_workings(plan_of(manifest), done):
            problems.append(f"{said}: its manifest says that something else made it")
            return None
        found[stage] = manifest
    return found


def _nothing_to_adopt(concepts: Iterable[ConceptPlan]) -> list[str]:
    """Why there is nothing, in a few sentences."""
    listed = list(concepts)
    fresh = [concept.concept for concept in listed if concept.state == "up to date"]
    stale = [concept for concept in listed if concept.state == "stale"]
    if not stale:
        said = f"all concepts are up to date ({_some(fresh)})" if fresh else "nothing was trained yet"
        broken = [f"{concept.concept}: {'; '.join(concept.causes)}" for concept in listed if concept.state == "problem"]
        return [f"there is nothing to adopt: {said}", *broken]
    return [
        f"{concept.concept}: {'; '.join(concept.causes)}: adopt is about code and library versions alone; "
        "`conceptbooth train` makes it anew"
        for concept in stale
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
