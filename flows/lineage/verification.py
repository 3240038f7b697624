"""What a proof found, told on the terminal."""

from rich.text import Text

from flows.output.console import results
from tasks.lineage.check_results import UNWANTED, Verification


def tell_verification(verification: Verification | None) -> None:
    """What the verification found; faults are named first."""
    if verification is None:
        results().print(Text("Not verified: --verify hashes everything again.", style="dim"))
        return
    console = results()
    for state in UNWANTED:
        style = "bold red" if state == "fault" else "yellow"
        for check in verification.of(state):
            line = Text.assemble((f"{state:<11}", style), (check.what, "bold"), f": {check.said}")
            console.print(line, soft_wrap=True)
    style = "bold red" if verification.of("fault") else "yellow" if verification.of("unchecked") else "bold green"
    line = Text.assemble((verification.words, style), f" ({len(verification.of('good'))} checks passed, ")
    console.print(line.append(f"{verification.at}, {verification.seconds:.1f} s)"), soft_wrap=True)
