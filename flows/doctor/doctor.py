"""`conceptbooth doctor`: what is configured, what answers, what is missing; quick, and nothing is loaded or trained."""

from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from flows.doctor.diagnosis import Diagnosis
from flows.doctor.setup import diagnose
from flows.output.console import DONE, FAILED, notices, print_json, results
from tasks.project.settings import Settings

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Look at everything, print it, and return the exit code: 1 if there is a problem that stops the work."""
    findings = list(diagnose(settings))
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        print_json({"ok": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
        if problems:
            said = "1 problem" if problems == 1 else f"{problems} problems"
        else:
            said = "everything that the work needs is there"
        notices().print(Text(said, style="bold red" if problems else "green"))
    return FAILED if problems else DONE


def _show(findings: list[Diagnosis]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        said = Text(finding.found)
        if finding.way_out:
            said.append(f"\n{finding.way_out}", style="bold" if finding.state == "problem" else "dim")
        table.add_row(Text(finding.state, style=STYLES[finding.state]), finding.what, said)
    results().print(table)
