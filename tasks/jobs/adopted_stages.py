"""Which artefacts a training counts as its own: those of its own keys, or of keys that an adoption lets count as them.

Found when a training is planned, and stage by stage: the plan of a stage whose artefact was made by earlier workings is
then that of the artefact, with its own key. So everything after it (running, clearing up, lineage, registration) meets
keys that are true, and nothing has to be looked up again.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.jobs.adoptions import Adoptions, OlderWorkings
from tasks.jobs.keys import StagePlan

Exists = Callable[[str, str], bool]
"""Whether there is an artefact of this stage and key."""
_MOST = 8
"""Ways through the stages that are kept in mind."""


@dataclass(frozen=True)
class _Way:
    """Stages one after the other, each by workings that count."""

    plans: tuple[StagePlan, ...] = ()
    ages: tuple[int, ...] = ()
    """How many steps back each one's workings are: 0 for those of now."""
    there: int = 0
    """How many of them have an artefact."""
    records: tuple[tuple[int, ...], ...] = ()

    def then(self, plan: StagePlan, age: int, older: OlderWorkings | None, exists: Exists) -> "_Way":
        keys = {before.stage: before.key for before in self.plans}
        reads = {kind: keys.get(kind, key) for kind, key in plan.reads.items()}
        if older is not None:
            plan = dataclasses.replace(plan, reads=reads, code=older.code, packages=older.packages)
        elif reads != plan.reads:
            plan = dataclasses.replace(plan, reads=reads)
        return _Way(
            plans=(*self.plans, plan),
            ages=(*self.ages, age),
            there=self.there + exists(plan.stage, plan.key),
            records=(*self.records, older.records if older else ()),
        )


def counted(
    stages: Sequence[StagePlan], adoptions: Adoptions, exists: Exists
) -> tuple[tuple[StagePlan, ...], dict[str, tuple[int, ...]]]:
    """The stages as their artefacts have them, and by stage the records of the adoptions that say so.

    Of several ways that has most artefacts, and of those the newest. What has none is planned by the workings of now,
    but for a stage whose successors are there: it is made again under the key that those have read.
    """
    choices = [[None, *adoptions.older(plan)] for plan in stages]
    if all(len(older) == 1 for older in choices):
        return tuple(stages), {}
    way = _whole(stages, choices, exists) or _best(stages, choices, exists)
    return way.plans, {plan.stage: records for plan, records in zip(way.plans, way.records, strict=True) if records}


def _whole(
    stages: Sequence[StagePlan],
    choices: Sequence[Sequence[OlderWorkings | None]],
    exists: Exists,
    way: _Way | None = None,
) -> _Way | None:
    """The newest way on which everything is there."""
    way = way or _Way()
    number = len(way.plans)
    if number == len(stages):
        return way
    for age, older in enumerate(choices[number]):
        longer = way.then(stages[number], age, older, exists)
        if longer.there == number + 1 and (found := _whole(stages, choices, exists, longer)):
            return found
    return None


def _best(stages: Sequence[StagePlan], choices: Sequence[Sequence[OlderWorkings | None]], exists: Exists) -> _Way:
    ways = [_Way()]
    for plan, older_ones in zip(stages, choices, strict=True):
        longer = [way.then(plan, age, older, exists) for way in ways for age, older in enumerate(older_ones)]
        ways = sorted(longer, key=lambda way: (-way.there, way.ages))[:_MOST]
    return ways[0]
