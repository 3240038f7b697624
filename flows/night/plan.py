"""`conceptbooth plan`: what a night would do, and why."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from flows.night.foreign import foreign_to_base
from flows.output.console import BAD_INPUT, DONE, notices, print_json, results, warn
from flows.output.image_notes import tell_notes
from flows.output.invocation import command
from flows.output.names import some_names
from tasks.concepts.concepts import concept_names
from tasks.jobs.kinds import stage_words
from tasks.plan.plan import ConceptPlan, Plan, make_plan
from tasks.project.settings import Settings

_FOLDED_FROM = 3
"""Concepts that are stale by the same causes: more of them are one row."""


def run_plan(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Print the plan of these concepts, or of all; returns the exit code: bad input only if a named one has a problem.

    Raises:
        InputError: something that all concepts need is wrong.
        StoreFailed: the store cannot be read.
    """
    plan = make_plan(settings, names or concept_names(settings))
    if as_json:
        print_json(
            {
                "concepts": [concept.to_json() for concept in plan.concepts],
                "registry_unknown": plan.registry_unknown,
                "foreign_to_base": foreign_to_base(settings, plan.of("stale")),
            }
        )
    else:
        show_plan(settings, plan)
    return BAD_INPUT if names and plan.of("problem") else DONE


def show_plan(settings: Settings, plan: Plan) -> None:
    """Print the plan: what is up to date in a line, concepts with something to do in a table, problems last.

    Raises InputError where the base's domain cannot be read.
    """
    if not plan.concepts:
        results().print('No concepts yet: conceptbooth add NAME IMAGES... --category "stuffed animal"')
        return
    stale, problems, fresh = plan.of("stale"), plan.of("problem"), plan.of("up to date")
    if fresh:
        many = f"{len(fresh)} up to date: " if len(fresh) > 1 else "up to date: "
        listed = some_names([concept.concept for concept in fresh])
        results().print(Text.assemble((many, "green"), listed), soft_wrap=True)
        if stale or problems:
            results().print()
    tell_notes(note for concept in plan.concepts for note in concept.notes)
    if stale:
        _show_stale(stale)
    for concept in problems:
        results().print(Text.assemble((f"{concept.concept}: ", "bold red"), ("cannot be trained", "red")))
        for problem in concept.causes:
            results().print(Text(f"  {problem}"), soft_wrap=True)
    said = f"{len(stale)} to train, {len(fresh)} up to date"
    said += f", {len(problems)} with problems" if problems else ""
    if plan.registry_unknown:
        warn(f"the registry is not part of this plan: {plan.registry_unknown}")
    if foreign := foreign_to_base(settings, stale):
        warn(foreign)
    hint = f"; `{command()} nightly --now` does it" if stale else ""
    notices().print(Text(said + hint, style="dim"), soft_wrap=True)
    if kept := sum(concept.adoptable for concept in stale):
        notices().print(Text(_way_out(kept), style="dim"), soft_wrap=True)


def _way_out(kept: int) -> str:
    """How what was trained is kept where only code or libraries are others."""
    whose = "1 concept is stale" if kept == 1 else f"{kept} concepts are stale"
    return (
        f"{whose} by code or library versions alone: `{command()} adopt` trains one again, and where nothing differs "
        "keeps what was trained of all"
    )


def _show_stale(stale: Sequence[ConceptPlan]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("concept", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("why", overflow="fold")
    alike: dict[tuple[str, tuple[str, ...]], list[ConceptPlan]] = {}
    for concept in stale:
        only = (concept.concept,) if concept.failures else ()  # what failed has a row of its own
        alike.setdefault((concept.runs[0], (*concept.causes, *only)), []).append(concept)
    rows = [
        row
        for listed in alike.values()
        for row in ([listed] if len(listed) > _FOLDED_FROM else [[concept] for concept in listed])
    ]
    for listed in sorted(rows, key=lambda listed: listed[0].failures is not None):
        concept = listed[0]
        why = Text("\n".join(concept.causes))
        if concept.failures:
            failures = concept.failures
            times = "once" if failures.count == 1 else f"{failures.count} times"
            waits = f"; the next {failures.waits} nights pass it over" if failures.waits > 1 else ""
            waits = "; the next night passes it over" if failures.waits == 1 else waits
            why.append(f"\nfailed {times}: {failures.cause}{waits}", style="yellow")
        named = concept.concept
        if len(listed) > 1:
            named = f"{len(listed)} concepts"
            why = Text.assemble(why, (f"\n{some_names([each.concept for each in listed])}", "dim"))
        table.add_row(Text(named, style="bold"), stage_words(concept.runs[0]), why)
    results().print(table)
