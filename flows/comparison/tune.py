"""`conceptbooth tune`: what settings suit each method, tried on concepts that no result is reported on."""

import json
import time
from pathlib import Path

import yaml
from rich.text import Text

from flows.comparison.command import Output, command_line, said_part
from flows.comparison.compare import Comparison, run_compare
from flows.comparison.report import ReportProvenance, bullets, check_report, circumstances, put_into
from flows.output.console import notices, print_json, results
from flows.output.invocation import path_from_here
from tasks.comparison.choice import Drawing, MethodChoice, Wanted
from tasks.comparison.table import TITLES, MethodTable, markdown_table
from tasks.comparison.tuning_grid import Grid, load_grid, samples, words
from tasks.project.settings import Settings

DECIDES = "identity_x_text"
"""The score whose mean chooses."""


def run_tune(settings: Settings, file: Path, output: Output, *, look_alikes: Path | None = None) -> None:
    """Try everything that the grid holds, say which of each method's tries was best, and write the page if asked.

    Raises:
        InputError: grid, concepts, page or part cannot be used; no work was started.
        WorkFailed: a stage failed; what was finished is in the store, and the same call carries on.
    """
    if output.report:
        check_report(output.report)
    grid, started = load_grid(file), time.monotonic()
    wanted = Wanted(
        concepts=grid.concepts,
        methods=lambda params: grid.choices,
        seeds=grid.seeds,
        drawing=Drawing(images_per_prompt=grid.images_per_prompt),
    )
    compared = run_compare(
        settings, wanted, look_alikes=look_alikes, part=output.part, maps=False, verbose=output.verbose
    )
    if compared is None:
        notices().print(f"Part {said_part(output)} is done; the same command without --part says what was best.")
        return
    _show(grid, compared, as_json=output.as_json)
    if output.report:
        _write(output.report, grid, compared, time.monotonic() - started)
        notices().print(f"Page  {path_from_here(output.report.absolute())}", soft_wrap=True, markup=False)


def best(grid: Grid, table: MethodTable) -> dict[str, MethodChoice]:
    """The try of each method whose mean of the deciding score is highest; of equals the first."""
    return {
        method: max(
            (choice for choice in grid.choices if choice.method == method),
            key=lambda choice: table.mean(choice.label, DECIDES).mean,
        )
        for method in grid.methods
    }


def params_of(choice: MethodChoice) -> str:
    """What to paste into params.yaml to train this way."""
    stages = json.loads(json.dumps(choice.stages or {}))  # plain dicts and lists, as YAML has them
    return yaml.safe_dump({"method": choice.method, "preset": choice.preset, "stages": stages}, sort_keys=False)


def _show(grid: Grid, compared: Comparison, *, as_json: bool) -> None:
    chosen = best(grid, compared.table)
    if as_json:
        tries = [
            {
                "method": choice.method,
                "label": choice.label,
                "changes": choice.stages,
                "samples": samples(choice),
                "scores": {score: compared.table.mean(choice.label, score).mean for score in compared.table.scores},
                "best": chosen[choice.method] == choice,
                "params": params_of(choice),
            }
            for choice in grid.choices
        ]
        print_json({"decides": DECIDES, "tries": tries, "folder": str(compared.folder)})
        return
    console = results()
    console.print(Text(f"{compared.table.over}; {TITLES[DECIDES]} decides", style="bold"), soft_wrap=True)
    for choice in grid.choices:
        mean = compared.table.mean(choice.label, DECIDES)
        line = Text(f"  {choice.label}  {mean}  {words(choice.stages)}")
        line.stylize("green" if chosen[choice.method] == choice else "dim")
        console.print(line, soft_wrap=True)
    for method, choice in chosen.items():
        console.print(Text.assemble((f"\nBest of {method}  ", "bold"), words(choice.stages)), soft_wrap=True)
        console.print(Text("in params.yaml:", style="dim"))
        console.print(Text(params_of(choice).rstrip(), style="cyan"), soft_wrap=True)


def _write(file: Path, grid: Grid, compared: Comparison, seconds: float) -> None:
    table, chosen = compared.table, best(grid, compared.table)
    provenance = ReportProvenance(command=command_line(), seconds=seconds)
    rows = [
        [
            f"**{choice.label}**" if chosen[choice.method] == choice else choice.label,
            words(choice.stages),
            f"{samples(choice):,}",
            *(f"{table.mean(choice.label, score).mean:.3f}" for score in table.scores),
        ]
        for choice in grid.choices
    ]
    titles = ["try", "change to the preset", "samples", *(TITLES[score] for score in table.scores)]
    tries = len(next(iter(grid.methods.values())).tries)
    put_into(
        file,
        [
            f"{tries} tries of each method on {', '.join(table.concepts)}; {table.over}; pictures of each: "
            f"{table.pictures}. The mean of {TITLES[DECIDES]} decides; the best is bold.",
            f"```\n{provenance.command}\n```",
            bullets(circumstances(compared.results, provenance)),
            markdown_table(titles, rows).rstrip(),
        ],
    )
