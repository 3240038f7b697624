"""`conceptbooth promote --all-passing`: every concept whose newest version passes its own gates, with one summary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from flows.output.errors import error_lines
from flows.production.notifications import notify_of_change
from flows.production.promote import Wanted, check_reason, try_promotion
from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import concept_names
from tasks.project.settings import Settings
from tasks.promotion.policy import load_policy
from tasks.promotion.promotion import check_production
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.store.store import open_store

Result = Literal["promoted", "serves already", "held back", "failed"]
STYLES: dict[Result, str] = {"promoted": "green", "serves already": "dim", "held back": "yellow", "failed": "bold red"}


@dataclass(frozen=True, kw_only=True)
class ConceptResult:
    """What became of one concept."""

    concept: str
    result: Result
    version: int | None = None
    record: int | None = None
    """Of the ledger, since which the version is in production."""
    why: tuple[str, ...] = ()
    """Gates that held it back, each with its figures, or what failed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "concept": self.concept,
            "result": self.result,
            "version": self.version,
            "seq": self.record,
            "why": list(self.why),
        }


def promote_all(
    settings: Settings, *, reason: str | None, approved_by: str | None, measure_again: bool, as_json: bool
) -> int:
    """Promote the candidates that pass, one after the other; what is held back is no failure.

    Raises:
        InputError: no reason where the policy asks for one, a place or key that cannot be used; nothing was begun.
        WorkFailed: registry or store do not answer.
    """
    policy = load_policy(settings)
    check_reason(policy, reason)
    wanted = Wanted(
        policy=policy,
        store=open_store(settings),
        place=check_production(settings),
        reason=reason,
        approved_by=approved_by,
        measure_again=measure_again,
    )
    registered, ours = registered_versions(settings), set(concept_names(settings))
    named = [
        name
        for name, found in sorted(registered.items())
        if name in ours and any(CANDIDATE in v.aliases for v in found)
    ]
    if not named:
        raise InputError("no concept of this project has a candidate; `conceptbooth train NAME` makes one")
    console = notices()

    def tell(said: str) -> None:
        if not as_json:
            console.print(Text(said, style="dim"), soft_wrap=True)

    found = [_promote(settings, name, wanted, lambda said, name=name: tell(f"{name}: {said}")) for name in named]  # type: ignore[misc]
    if as_json:
        print_json([each.to_json() for each in found])
    else:
        _show(found)
    return FAILED if any(each.result == "failed" for each in found) else DONE


def _promote(settings: Settings, name: str, wanted: Wanted, tell: Callable[[str], None]) -> ConceptResult:
    try:
        tried = try_promotion(settings, VersionReference(concept=name, alias=CANDIDATE), wanted, tell)
        if tried.done is None:
            why = tuple(f"{check.gate}: {check.said}" for check in tried.failed)
            return ConceptResult(concept=name, result="held back", version=tried.version, why=why)
        if problem := notify_of_change(settings, wanted.place, tried.done.record):
            tell(problem)
        result: Result = "promoted" if tried.done.changed else "serves already"
        return ConceptResult(concept=name, result=result, version=tried.version, record=tried.done.record.seq)
    except (InputError, WorkFailed) as error:  # one concept's failure stops no other
        return ConceptResult(concept=name, result="failed", why=error_lines(error, settings, "promote"))


def _show(found: list[ConceptResult]) -> None:
    console = results()
    for each in found:
        version = f" version {each.version}" if each.version else ""
        since = f", in production since record {each.record}" if each.record else ""
        line = Text.assemble((each.concept, "bold"), f"{version}: ", (each.result, STYLES[each.result]), since)
        console.print(line, soft_wrap=True)
        for why in each.why:
            console.print(Text(f"  {why}", style="dim"), soft_wrap=True)
    counts = [(result, sum(each.result == result for each in found)) for result in STYLES]
    notices().print(Text(", ".join(f"{count} {result}" for result, count in counts if count), style="bold"))
