"""`conceptbooth releases`: the production ledger as a table, and whether the registry says the same."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from model.errors import InputError, WorkFailed
from tasks.lineage.check_results import NOT_SIGNED
from tasks.production.ledger import Ledger, Promotion, concepts_in, examine_ledger
from tasks.production.registry import disagreements, open_production, production_registry
from tasks.project.settings import Settings
from tasks.store.blobs import Blobs
from tasks.store.store import open_store
from tasks.upkeep.version_deletion import deleted_versions


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
    ledgers, problems = _read(place, [concept] if concept else concepts)
    found, silent = _compared(settings, ledgers)
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


def reconcile(settings: Settings) -> list[str]:
    """What is not as the ledgers say, for a night's summary; empty where all agrees or nothing was ever promoted.

    That somebody could not be asked is said as well.
    """
    try:
        place = open_production(settings)
        ledgers, problems = _read(place, concepts_in(place))
        found, silent = _compared(settings, ledgers)
        problems += found
    except (InputError, WorkFailed) as error:
        problems, silent = [], _said(error)
    return problems + [f"production could not be compared with its ledger: {said}" for said in silent]


def _compared(settings: Settings, ledgers: Sequence[Ledger]) -> tuple[list[str], list[str]]:
    """Where the registries do not say what the ledgers say, and why one of them could not be asked."""
    problems: list[str] = []
    silent: list[str] = []
    for ask in (_in_production, _in_development):
        try:
            problems += ask(settings, ledgers)
        except (InputError, WorkFailed) as error:
            silent += _said(error)
    return problems, silent


def _in_production(settings: Settings, ledgers: Sequence[Ledger]) -> list[str]:
    if not ledgers:
        return []
    with production_registry(settings) as client:
        return [problem for ledger in ledgers for problem in disagreements(client, settings, ledger)]


def _in_development(settings: Settings, ledgers: Sequence[Ledger]) -> list[str]:
    return deleted_versions(settings, open_store(settings), ledgers)


def _said(error: InputError | WorkFailed) -> list[str]:
    return list(error.problems) if isinstance(error, InputError) else [str(error)]


def _read(place: Blobs, concepts: Sequence[str]) -> tuple[list[Ledger], list[str]]:
    ledgers, problems = [], []
    for concept in concepts:
        ledger, broken = examine_ledger(place, concept)
        ledgers.append(ledger)
        problems += broken
    return ledgers, problems


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Concept", "#", "When", "What", "Version", "CLIP-I", "CLIP-T"):
        table.add_column(column, no_wrap=True)
    table.add_column("Why", overflow="fold")
    for ledger in ledgers:
        for record in reversed(ledger.records):
            serves = record is ledger.serving
            table.add_row(
                record.concept,
                str(record.seq),
                record.at[:10],
                record.action,
                _version(ledger, record),
                *(_score(record, name) for name in ("clip_i", "clip_t")),
                _why(record),
                style="bold green" if serves else None,
            )
    results().print(table)
    unsigned = [ledger.concept for ledger in ledgers if ledger.head and ledger.head.signature is None]
    if unsigned:
        results().print(Text(f"{', '.join(unsigned)}: {NOT_SIGNED}", style="dim"), soft_wrap=True)


def _version(ledger: Ledger, record: Promotion) -> str:
    if record.release is None:
        return "none"
    if record is ledger.serving:
        return f"{record.version} (serves)"
    if record.content in ledger.revoked:
        return f"{record.version} (revoked)"
    return f"{record.version} (taken back)" if record.content in ledger.withdrawn else str(record.version)


def _score(record: Promotion, name: str) -> str:
    return f"{record.scores[name]['mean']:.2f}" if name in record.scores else ""


def _why(record: Promotion) -> str:
    """Reason and person, and for ever which gates were passed over."""
    over = "".join(f"; passed over {gate}" for gate in record.overridden)
    return f"{record.reason}{over} ({record.by})"
