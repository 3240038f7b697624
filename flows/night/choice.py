"""Which concepts a night trains: what changed, oldest first, within the budget, but for those that wait."""

from dataclasses import dataclass

from model.errors import InputError
from tasks.concepts.concepts import concept_names, no_such_concept
from tasks.plan.in_progress import was_in_progress
from tasks.plan.plan import ConceptPlan, Plan
from tasks.project.settings import Settings


@dataclass(frozen=True, kw_only=True)
class NightOptions:
    """What a person may ask of a night."""

    force: tuple[str, ...] = ()
    """Concepts that are gone through in any case, whatever they wait for: all their artefacts' bytes are read, and what
    is damaged or missing is made again."""
    retry: bool = False
    """Whether those that failed in nights before are tried now, instead of waiting for their turn."""
    max_concepts: int | None = None
    """Most concepts, the forced ones among them, which come first; None for all."""
    max_hours: float | None = None
    """After so long no concept is begun any more."""


@dataclass(frozen=True, kw_only=True)
class NightChoice:
    """What a night does with the concepts that are not up to date."""

    tonight: tuple[ConceptPlan, ...]
    """In the order in which they are begun."""
    waiting: tuple[ConceptPlan, ...]
    """Those that failed in nights before, and are passed over this time."""
    deferred: tuple[ConceptPlan, ...]
    """Those for which there is no room."""
    suspected: tuple[ConceptPlan, ...]
    """Those in whose training a night before came to its end, killed or out of memory: they are begun after all others,
    so that it costs those nothing if it happens again."""

    @property
    def trained(self) -> tuple[ConceptPlan, ...]:
        """Those of tonight that are out of date."""
        return tuple(concept for concept in self.tonight if concept.state == "stale")

    @property
    def verified(self) -> tuple[ConceptPlan, ...]:
        """Those of tonight that are forced although they are up to date: only what is damaged is made again."""
        return tuple(concept for concept in self.tonight if concept.state != "stale")


def choose(settings: Settings, plan: Plan, options: NightOptions) -> NightChoice:
    """Sort the concepts of a plan.

    Raises:
        InputError: an option without sense; all problems together.
    """
    known = set(concept_names(settings))
    problems = [no_such_concept(settings, name) for name in options.force if name not in known]
    if options.max_concepts is not None and options.max_concepts < 1:
        problems.append(f"max_concepts = {options.max_concepts}: at least 1 is needed")
    if options.max_hours is not None and not options.max_hours > 0:
        problems.append(f"max_hours = {options.max_hours}: more than 0 is needed")
    if problems:
        raise InputError(*problems)
    forced = [concept for concept in plan.concepts if concept.concept in options.force and concept.job]
    others = [concept for concept in plan.of("stale") if concept not in forced]
    waiting = [c for c in others if c.failures and c.failures.waits and not options.retry]
    suspected = [c for c in others if c not in waiting and c.job and was_in_progress(settings, c.job)]
    # What was never trained has waited longest: somebody added it and has nothing yet.
    ready = sorted(
        (concept for concept in others if concept not in waiting),
        key=lambda concept: (concept in suspected, concept.trained_at or "", concept.concept),
    )
    room = len(ready) if options.max_concepts is None else max(0, options.max_concepts - len(forced))
    return NightChoice(
        tonight=(*forced, *ready[:room]),
        waiting=tuple(waiting),
        deferred=tuple(ready[room:]),
        suspected=tuple(suspected),
    )
