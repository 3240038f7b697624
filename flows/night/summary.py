"""What a night came to: one line a concept that was not simply up to date, for people, pages and programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from flows.output.console import notices, results
from flows.training.outcome import ConceptOutcome
from model.scores.interval import Interval
from tasks.figures.score_words import read_scores
from tasks.plan.failures import Failures
from tasks.plan.plan import ConceptPlan
from tasks.promotion.policy import Verdict

Result = Literal["trained", "confirmed", "failed", "problem", "waiting", "deferred"]
WORDS: dict[Result, tuple[str, str]] = {
    "trained": ("trained", "green"),
    "confirmed": ("up to date", "green"),  # forced: looked through again, and nothing had to be made
    "failed": ("failed", "bold red"),
    "problem": ("cannot be trained", "bold red"),
    "waiting": ("waits", "yellow"),
    "deferred": ("left for another night", "yellow"),
}


@dataclass(frozen=True, kw_only=True)
class NightConcept:
    """What the night did with one concept."""

    concept: str
    result: Result
    why: tuple[str, ...]
    """Why it was not up to date."""
    said: str = ""
    """Why it failed, what is wrong with it, how long it waits."""
    version: int | None = None
    clip_i: Interval | None = None
    clip_t: Interval | None = None
    verdict: Verdict | None = None
    """The gate's, where a version was measured."""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NightSummary:
    """What a whole night came to."""

    started: str
    """UTC, ISO 8601."""
    seconds: float
    up_to_date: int
    concepts: tuple[NightConcept, ...]
    """All that were not up to date, failures first."""
    troubles: tuple[str, ...] = ()
    """What kept the night as a whole from its work."""
    warnings: tuple[str, ...] = ()
    """What is odd, and did not."""

    @property
    def failed(self) -> bool:
        """Whether anything failed this night."""
        return bool(self.troubles) or any(each.result in ("failed", "problem") for each in self.concepts)

    @property
    def headline(self) -> str:
        """The night in one line."""
        counts = Counter(each.result for each in self.concepts)
        parts = [f"{counts[result]} {WORDS[result][0]}" for result in WORDS if counts[result] and result != "confirmed"]
        fresh = self.up_to_date + counts["confirmed"]
        return ", ".join([*parts, f"{fresh} up to date"]) if not self.troubles or self.concepts else "nothing was done"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `text` is what a chat shows of it."""
        headline = f"ConceptBooth, night of {self.started}: {self.headline}"
        return {
            "text": "\n".join([headline, *self.troubles, *self.failures]),
            "failed": self.failed,
            **{name: value for name, value in asdict(self).items() if name != "concepts"},
            "concepts": [asdict(each) for each in self.concepts],
        }

    @property
    def failures(self) -> list[str]:
        """One sentence for each concept that failed or cannot be trained."""
        return [f"{each.concept}: {each.said}" for each in self.concepts if each.result in ("failed", "problem")]


def summed_up(
    plans: Sequence[ConceptPlan],
    outcomes: Sequence[ConceptOutcome],
    waiting: Sequence[ConceptPlan],
    failures: dict[str, Failures],
    verdicts: dict[str, Verdict],
) -> tuple[NightConcept, ...]:
    """The lines of a night: of its plans, what became of those that were tried, and what the gate said."""
    tried, passed_over = {outcome.concept: outcome for outcome in outcomes}, {plan.concept for plan in waiting}
    lines = []
    for plan in plans:
        outcome, verdict = tried.get(plan.concept), verdicts.get(plan.concept)
        if outcome is not None:
            lines.append(_tried(plan, outcome, failures.get(plan.concept), verdict))
        elif plan.state == "problem":
            said = "; ".join(plan.causes)
            lines.append(NightConcept(concept=plan.concept, result="problem", why=(), said=said))
        elif plan.state == "stale":
            waits = plan.failures if plan.concept in passed_over else None
            said = f"failed {_times(waits.count)}, {_again(waits.waits - 1)}: {waits.cause}" if waits else ""
            result: Result = "waiting" if waits else "deferred"
            lines.append(NightConcept(concept=plan.concept, result=result, why=plan.causes, said=said, verdict=verdict))
        elif verdict is not None:  # trained before, and measured now
            version = plan.version.version if plan.version else None
            lines.append(
                NightConcept(concept=plan.concept, result="confirmed", why=(), version=version, verdict=verdict)
            )
    order = list(WORDS)
    return tuple(sorted(lines, key=lambda line: (line.result not in ("failed", "problem"), order.index(line.result))))


def _tried(
    plan: ConceptPlan, outcome: ConceptOutcome, failures: Failures | None, verdict: Verdict | None
) -> NightConcept:
    made = any(task.state == "made" for task in outcome.tasks)
    scores = read_scores(outcome.scores) if outcome.scores else (None, None)
    said = outcome.error or ""
    if failures is not None:
        times = "first failure" if failures.count == 1 else f"failure {failures.count} in a row"
        said = f"{said} ({times}, {_again(failures.waits)})"
    elif outcome.fault == "world":
        said = f"{said} (not counted, for it is no fault of the concept's)"
    return NightConcept(
        concept=outcome.concept,
        result="failed" if outcome.error else "trained" if made else "confirmed",
        why=plan.causes,
        said=said,
        version=outcome.version,
        clip_i=scores[0].trained if scores[0] else None,
        clip_t=scores[1].trained if scores[1] else None,
        verdict=verdict,
        seconds=round(outcome.seconds, 1),
    )


def show_night(summary: NightSummary) -> None:
    """Print the night: its concepts as a table on standard output, troubles and warnings on standard error."""
    if summary.concepts:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("concept", no_wrap=True)
        for heading in ("", "version", "CLIP-I", "CLIP-T", "gate", "seconds"):
            right = heading in ("version", "seconds")
            table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "gate")
        for each in summary.concepts:
            table.add_row(*_cells(each))
        results().print(table)
        results().print()
        for each in summary.concepts:
            for label, text in (("why", "; ".join(each.why)), ("", each.said), ("gate", _gate_said(each))):
                if text:
                    line = Text.assemble((f"{each.concept}: ", "bold"), (f"{label}: " if label else "", "dim"), text)
                    results().print(line, soft_wrap=True)
    for trouble in summary.troubles:
        notices().print(Text.assemble(("error: ", "bold red"), trouble), soft_wrap=True)
    for warning in summary.warnings:
        notices().print(Text.assemble(("warning: ", "yellow"), warning), soft_wrap=True)
    style = "bold red" if summary.failed else "green"
    notices().print(Text(f"{summary.headline}, in {summary.seconds:.1f} s", style=style), soft_wrap=True)


def _cells(each: NightConcept) -> list[Text]:
    word, style = WORDS[each.result]
    verdict = each.verdict
    gate = Text("") if verdict is None else Text("passed", "green") if verdict.passed else Text("held back", "yellow")
    return [
        Text(each.concept, "bold"),
        Text(word, style),
        Text(str(each.version or "")),
        Text(str(each.clip_i or "")),
        Text(str(each.clip_t or "")),
        gate,
        Text(f"{each.seconds:.1f}" if each.seconds else ""),
    ]


def _gate_said(each: NightConcept) -> str:
    return each.verdict.said if each.verdict else ""


def table_rows(summary: NightSummary) -> list[dict[str, Any]]:
    """The night as a table on Prefect's pages."""
    rows = []
    for each in summary.concepts:
        verdict = each.verdict
        gate = "" if verdict is None else f"{'passed' if verdict.passed else 'held back'}: {verdict.said}"
        rows.append(
            {
                "concept": each.concept,
                "result": WORDS[each.result][0],
                "why": "; ".join(each.why),
                "what happened": each.said,
                "version": each.version or "",
                "CLIP-I": str(each.clip_i or ""),
                "CLIP-T": str(each.clip_t or ""),
                "gate": gate,
                "seconds": each.seconds or "",
            }
        )
    return rows


def _again(waits: int) -> str:
    """When a concept is tried again that so many nights still pass over, after this one."""
    return f"tried again in {waits + 1} nights" if waits else "tried again the next night"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
