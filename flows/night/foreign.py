"""Concepts that a night would train though its base cannot draw them: said by who plans nights, and by the night."""

from collections.abc import Iterable

from flows.output.invocation import command
from flows.output.names import some_names
from tasks.concepts.domain import foreign_concepts, foreign_images
from tasks.plan.plan import ConceptPlan
from tasks.project.settings import Settings


def foreign_to_base(settings: Settings, plans: Iterable[ConceptPlan]) -> str | None:
    """One sentence for all of these that have images of another world than the base's, with the way out; else None.

    Raises InputError where params.yaml, the base or its domain cannot be read.
    """
    images = {
        plan.concept: [plan.job.concept.images / file.relpath for file in plan.job.images.files]
        for plan in plans
        if plan.job
    }
    found = foreign_concepts(settings, images, command()) if images else None
    if found is None:
        return None
    names, said = found
    if len(names) == 1:
        return f"concept {names[0]}: {foreign_images(settings, images[names[0]], command())}"
    return f"{len(names)} concepts ({some_names(names)}) {said}"
