"""`conceptbooth nightly`: a night by hand, what it would do, or when the scheduled one comes."""

from dataclasses import replace

from rich.padding import Padding
from rich.text import Text

from flows.night.choice import NightChoice, NightOptions, choose
from flows.night.dispatcher import dispatcher
from flows.night.foreign import foreign_to_base
from flows.night.plan import show_plan
from flows.output.console import DONE, FAILED, notices, print_json, results
from flows.output.invocation import command
from flows.output.progress import TerminalReporter
from flows.server.command_flows import flows_of_command
from flows.workers.deployments import FILE, read_deployments
from model.errors import InputError
from tasks.concepts.concepts import concept_names
from tasks.plan.plan import make_plan
from tasks.project.settings import Settings, shown_api

_NAMED = 12
"""Concepts of one lot that a dry run names; the others are counted. `--json` has them all."""


def run_night(settings: Settings, options: NightOptions, *, verbose: bool, as_json: bool) -> int:
    """Have a night now and print its summary; returns the exit code, 1 if anything failed.

    Raises:
        InputError: an option without sense, or something that all concepts need is wrong; nothing was begun.
        WorkFailed: Prefect's API does not start.
    """

    def check() -> None:
        choose(settings, make_plan(settings, concept_names(settings)), options)

    with flows_of_command(settings, check, verbose=verbose):
        from flows.night.nightly import Night, carry_out
        from flows.night.summary import show_night

        reporter = TerminalReporter(notices())
        summary = carry_out(Night(settings, options, reporter, dispatcher(settings, reporter)))
    if as_json:
        print_json(summary.to_json())
    else:
        show_night(summary)
    return FAILED if summary.failed else DONE


def show_dry_run(settings: Settings, options: NightOptions, *, as_json: bool) -> int:
    """Print what a night would do now, and change nothing. Raises as `run_night`."""
    plan = make_plan(settings, concept_names(settings))
    choice = choose(settings, plan, options)
    if as_json:
        print_json(
            {
                "would_train": [concept.to_json() for concept in choice.trained],
                "would_verify": [concept.to_json() for concept in choice.verified],
                "waiting": [concept.to_json() for concept in choice.waiting],
                "deferred": [concept.to_json() for concept in choice.deferred],
                "problems": [concept.to_json() for concept in plan.of("problem")],
                "up_to_date": len(plan.of("up to date")),
                "registry_unknown": plan.registry_unknown,
                "foreign_to_base": foreign_to_base(settings, choice.trained),
            }
        )
    else:
        later = {each.concept for each in choice.deferred}
        show_plan(settings, replace(plan, concepts=tuple(each for each in plan.concepts if each.concept not in later)))
        _show_choice(choice)
    return DONE


def _show_choice(choice: NightChoice) -> None:
    groups = (
        ("would be trained, in this order", choice.trained),
        ("would be read to the last byte, though up to date", choice.verified),
        ("would wait, since they failed before", choice.waiting),
        ("would be left for another night", choice.deferred),
    )
    for words, concepts in groups:
        if concepts:
            named = ", ".join(each.concept for each in concepts[:_NAMED])
            more = f" and {len(concepts) - _NAMED} more" if len(concepts) > _NAMED else ""
            results().print(Text.assemble((f"\n{words}: ", "bold"), named, more))


def show_schedule(settings: Settings, *, as_json: bool) -> int:
    """Print when the next night comes by prefect.yaml, and where it runs.

    Raises:
        InputError: prefect.yaml is not there, or wrong.
    """
    deployments = [each for each in read_deployments(settings.root / FILE) if each.name == "nightly"]
    if not deployments:
        raise InputError(f"{FILE}: no deployment is called nightly; `{command()} nightly --now` has a night by hand")
    runs = sorted(run for each in deployments for run in each.next_runs)
    if as_json:
        print_json({"next_runs": [run.isoformat() for run in runs], "server": shown_api(settings) or None})
        return DONE
    said = " and ".join(f"{run:%A %Y-%m-%d %H:%M %Z}" for run in runs) or "never: it has no active schedule"
    results().print(Text.assemble(("next night  ", "bold"), said))
    if settings.prefect_api_url:
        where = f"on the Prefect server {shown_api(settings)}, once `{command()} deploy` was run and a worker is up"
    else:
        where = "nowhere yet: no Prefect server is set (PREFECT_API_URL), and without one there are no schedules"
    results().print(Padding(Text(where), (0, 0, 0, 12)))
    results().print(Padding(Text(f"`{command()} nightly --now` has a night at once, here", "dim"), (0, 0, 0, 12)))
    return DONE
