"""`conceptbooth releases`: the production ledger as a table, and whether the registry says the same."""

from collections.abc import Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from model.errors import InputError
from tasks.lineage.check_results import NOT_SIGNED
from tasks.production.ledger import Ledger, Promotion, concepts_in
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.upkeep.reconciliation import compare_with_registries, read_ledgers

_SCORES = {"clip_i": "CLIP-I", "clip_t": "CLIP-T"}


def show_releases(settings: Settings, concept: str | None, *, as_json: bool) -> int:
    """Print every record, newest first; the exit code says whether ledger and registry are as they should be.

    Raises:
        InputError: a concept that was never promoted.
        StoreFailed: the production store does not answer.
    """
    place = open_production(settings)
    concepts = concepts_in(place)
    if concept and concept not in concepts:
        there = f"; promoted were: {', '.join(concepts)}" if concepts else ""
        raise InputError(f"concept '{concept}' was never promoted{there}")
    ledgers, problems = read_ledgers(place, [concept] if concept else concepts)
    found, silent = compare_with_registries(settings, ledgers)
    problems += found
    unasked = f"whether the registries agree could not be asked: {'; '.join(silent)}" if silent else None
    if as_json:
        records = [_facts(ledger, record) for ledger in ledgers for record in reversed(ledger.records)]
        print_json({"releases": records, "problems": problems, "unasked": unasked})
    else:
        _show(ledgers)
        for problem in problems:
            notices().print(Text(problem, style="bold red"), soft_wrap=True)
        if unasked:
            notices().print(Text(unasked, style="yellow"), soft_wrap=True)
    return FAILED if problems else DONE


def _facts(ledger: Ledger, record: Promotion) -> dict[str, Any]:
    return {
        "concept": record.concept,
        "seq": record.seq,
        "action": record.action,
        "serves": record is ledger.serving,
        "withdrawn": record.content in ledger.withdrawn,
        "revoked": record.content in ledger.revoked,
        "withdraws": list(record.withdraws),
        "version": record.version,
        "model": record.model,
        "production_version": record.production_version,
        "release": record.release,
        "scores": {name: dict(score) for name, score in record.scores.items()},
        "overridden": dict(record.overridden),
        "approved_by": record.approved_by,
        "reason": record.reason,
        "by": record.by,
        "at": record.at,
        "signed_by": record.signature and record.signature.get("key"),
    }


def _show(ledgers: Sequence[Ledger]) -> None:
    if not ledgers:
        results().print("Nothing was promoted yet: `conceptbooth promote NAME`")
        return
    console = results()
    for number, ledger in enumerate(ledgers):
        console.print(Text(("\n" if number else "") + ledger.concept, style="bold"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for column in range(5):
            table.add_column(no_wrap=True, justify="right" if column == 0 else "left")
        for record in reversed(ledger.records):
            style = "bold green" if record is ledger.serving else None
            scores = [f"{title} {_score(record, name)}" for name, title in _SCORES.items() if name in record.scores]
            row = (str(record.seq), record.at[:10], record.action, _version(ledger, record), " ".join(scores))
            table.add_row(*row, style=style)
        for line, record in zip(_lines(table), reversed(ledger.records), strict=True):
            console.print(line, soft_wrap=True)
            console.print(Padding(Text(_why(record), style="dim"), (0, 0, 0, 5)))
    unsigned = [ledger.concept for ledger in ledgers if ledger.head and ledger.head.signature is None]
    if unsigned:
        results().print(Text(f"{', '.join(unsigned)}: {NOT_SIGNED}", style="dim"), soft_wrap=True)


def _lines(table: Table) -> list[Text]:
    """A table's rows one by one: each is followed by words of its own."""
    with (console := results()).capture() as capture:
        console.print(table)
    return [Text.from_ansi(line) for line in capture.get().splitlines()]


def _version(ledger: Ledger, record: Promotion) -> str:
    if record.release is None:
        return "nothing serves"
    version = f"version {record.version}"
    if record is ledger.serving:
        return f"{version} (serves)"
    if record.content in ledger.revoked:
        return f"{version} (revoked)"
    return f"{version} (taken back)" if record.content in ledger.withdrawn else version


def _score(record: Promotion, name: str) -> str:
    return f"{mean:.2f}" if (mean := record.scores.get(name, {}).get("mean")) is not None else ""


def _why(record: Promotion) -> str:
    """Reason and person, and for ever which gates were passed over."""
    over = "".join(f"; passed over {gate}" for gate in record.overridden)
    return f"{record.reason}{over} ({record.by})"
