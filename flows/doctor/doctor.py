"""`conceptbooth doctor`: what is configured, what answers, what is missing; quick, and nothing is loaded or trained."""

from dataclasses import asdict, replace

from rich.table import Table
from rich.text import Text

from flows.doctor.diagnosis import Diagnosis
from flows.doctor.setup import diagnose
from flows.output.console import DONE, FAILED, notices, print_json, results
from flows.output.names import some_names
from tasks.project.settings import Settings

SECONDS = 30.0
"""Within these everything has to answer, all at once; importing the clients of two servers takes some of them."""
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
_FOLDED_FROM = 3
"""Findings that say the same: more of them are one row."""


def run_doctor(settings: Settings, *, as_json: bool, seconds: float = SECONDS) -> int:
    """Look at everything, print it, and return the exit code: 1 if there is a problem that stops the work.

    Who has not answered within so many seconds is a problem too.
    """
    diagnoses = list(diagnose(settings, seconds))
    problems = sum(diagnosis.state == "problem" for diagnosis in diagnoses)
    if as_json:
        print_json({"ok": not problems, "findings": [_facts(diagnosis) for diagnosis in diagnoses]})
    else:
        _show(diagnoses)
        if problems:
            said = "1 problem" if problems == 1 else f"{problems} problems"
        else:
            said = "everything that the work needs is there"
        notices().print(Text(said, style="bold red" if problems else "green"))
    return FAILED if problems else DONE


def _facts(diagnosis: Diagnosis) -> dict[str, str]:
    return {name: value for name, value in asdict(diagnosis).items() if name != "alike"}


def _folded(diagnoses: list[Diagnosis]) -> list[Diagnosis]:
    """Many findings of concepts that say the same are one: a project may have a thousand."""
    groups: dict[tuple[str, str], list[Diagnosis]] = {}
    for diagnosis in diagnoses:
        if diagnosis.alike:
            groups.setdefault((diagnosis.state, diagnosis.alike), []).append(diagnosis)
    shown = []
    for diagnosis in diagnoses:
        group = groups.get((diagnosis.state, diagnosis.alike), [])
        if len(group) <= _FOLDED_FROM:
            shown.append(diagnosis)
        elif diagnosis is group[0]:
            names = some_names([each.what.rpartition(" ")[2] for each in group])
            shown.append(replace(diagnosis, what="concepts", found=f"{len(group)} {diagnosis.alike}: {names}"))
    return shown


def _show(diagnoses: list[Diagnosis]) -> None:
    """What matters last, where the eye is."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for diagnosis in sorted(_folded(diagnoses), key=lambda diagnosis: list(STYLES).index(diagnosis.state)):
        said = Text(diagnosis.found)
        if diagnosis.way_out:
            said.append(f"\n{diagnosis.way_out}", style="bold" if diagnosis.state == "problem" else "dim")
        table.add_row(Text(diagnosis.state, style=STYLES[diagnosis.state]), diagnosis.what, said)
    results().print(table)
