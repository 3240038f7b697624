"""`conceptbooth gc`: remove from the store what nothing needs any more, and say what that was."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from flows.output.console import DONE, notices, print_json, results
from flows.output.invocation import command
from tasks.jobs.kinds import stage_words
from tasks.project.settings import Settings
from tasks.store.manifest import MODELS
from tasks.upkeep.garbage import DAY, Unneeded
from tasks.upkeep.gc import Clearing, Space, clear_up
from tasks.upkeep.needs import Forgotten, KnownNeeds

_WHO = {
    "promoted": "promoted",
    "registered": "registered",
    "planned": "in today's plan",
    "registered_elsewhere": "registered by other projects",
    "recorded": "of a last training on record",
    "recent": "made or used lately",
}


def run_gc(settings: Settings, *, dry_run: bool, forgotten: Forgotten, as_json: bool) -> int:
    """Clear up, or show what would be; returns the exit code.

    Raises:
        InputError, WorkFailed: what is needed could not be told, so nothing was removed; or the store stopped answering
            in the middle, and the same command carries on.
    """

    def waiting() -> None:
        notices().print(Text("another process is clearing up this store: waiting for it", style="dim"))

    clearing = clear_up(settings, forgotten=forgotten, dry_run=dry_run, on_wait=waiting)
    if as_json:
        print_json(_document(clearing, settings, dry_run=dry_run))
    else:
        _show(clearing, settings, dry_run=dry_run)
    return DONE


def _why(artefact: Unneeded, planned: dict[str, set[str]]) -> str:
    if artefact.manifest is None:
        return "cannot be read"
    if artefact.stage in MODELS:
        return "nothing stands on it"
    stages = planned.get(artefact.manifest.labels.get("concept", ""))
    if stages is None:
        return "not a concept of this project"
    return "superseded" if artefact.stage in stages else "a stage that the method does not have"


def _planned(clearing: Clearing) -> dict[str, set[str]]:
    """Stages of today's plan by concept."""
    return {job.concept.name: {plan.stage for plan in job.stages} for job in clearing.jobs}


def _document(clearing: Clearing, settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    verdict, planned = clearing.verdict, _planned(clearing)
    needed_by = list(verdict.kept.values())
    return {
        "dry_run": dry_run,
        "keep_days": settings.gc_keep_days,
        "artefacts": [
            {
                "stage": artefact.stage,
                "key": artefact.key,
                "concept": artefact.manifest.labels.get("concept") if artefact.manifest else None,
                "created": artefact.manifest.created if artefact.manifest else None,
                "idle_days": round(artefact.idle_seconds / DAY, 2),
                "why": _why(artefact, planned),
                **_numbers(artefact.contents.values()),
            }
            for artefact in verdict.artefacts
        ],
        "never_published": _numbers(verdict.loose.values()),
        "contents": _numbers(verdict.contents.values()),
        "work_folders": {"files": clearing.work.files, "bytes": clearing.work.size},
        "cache": {"files": clearing.cache.files, "bytes": clearing.cache.size},
        "kept": {
            "artefacts": len(needed_by),
            "bytes": verdict.kept_bytes,
            "needed_by": {who: needed_by.count(who) for who in _WHO},
            "contents_too_young": verdict.young,
            "concepts_of_other_projects": list(clearing.asked.concepts),
            "other_registries": [
                {"id": registry.id, "address": registry.address, "versions": registry.versions}
                for registry in clearing.asked.registries
            ],
        },
    }


def _numbers(sizes: Collection[int]) -> dict[str, int]:
    return {"files": len(sizes), "bytes": sum(sizes)}


@dataclass(kw_only=True)
class _Row:
    """Artefacts of one concept that go for one reason."""

    stages: dict[str, int] = field(default_factory=dict)
    idle_days: float = float("inf")
    files: int = 0
    size: int = 0


def _rows(clearing: Clearing) -> dict[tuple[str, str], _Row]:
    planned = _planned(clearing)
    rows: dict[tuple[str, str], _Row] = {}
    for artefact in clearing.verdict.artefacts:
        concept = artefact.manifest.labels.get("concept", "models") if artefact.manifest else ""
        row = rows.setdefault((concept, _why(artefact, planned)), _Row())
        row.stages[artefact.stage] = row.stages.get(artefact.stage, 0) + 1
        row.idle_days = min(row.idle_days, artefact.idle_seconds / DAY)
        row.files += len(artefact.contents)
        row.size += sum(artefact.contents.values())
    return dict(sorted(rows.items()))


def _show(clearing: Clearing, settings: Settings, *, dry_run: bool) -> None:
    verdict, done = clearing.verdict, "would be removed" if dry_run else "removed"
    if rows := _rows(clearing):
        _show_rows(rows)
        days = f"{settings.gc_keep_days:g} days" if settings.gc_keep_days != 1 else "day"
        notices().print(
            Text(
                "No registered or promoted version needs them, nor what today's plan would make, nor a run of the last "
                f"{days}.",
                style="dim",
            ),
            soft_wrap=True,
        )
    for said in _totals(clearing):
        results().print(Text(f"{said} {done}"), soft_wrap=True)
    if verdict.young:
        said = f"{_files(verdict.young)} that nothing needs stay, because they are younger than a day"
        notices().print(Text(said, style="dim"), soft_wrap=True)
    notices().print(Text(_kept(clearing), style="dim"), soft_wrap=True)
    for sentence in _also_kept(clearing.asked):
        notices().print(Text(sentence, style="dim"), soft_wrap=True)


def _show_rows(rows: dict[tuple[str, str], _Row]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("concept", no_wrap=True)
    table.add_column("artefacts", overflow="fold")
    table.add_column("idle for", no_wrap=True, justify="right")
    table.add_column("files", no_wrap=True, justify="right")
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("why", overflow="fold")
    for (concept, why), row in rows.items():
        stages = ", ".join(
            f"{count} x {stage_words(stage)}" if count > 1 else stage_words(stage)
            for stage, count in sorted(row.stages.items())
        )
        idle = f"{row.idle_days:.0f} days"
        table.add_row(Text(concept or "?", style="bold"), stages, idle, str(row.files), decimal(row.size), why)
    results().print(table)


def _totals(clearing: Clearing) -> Iterator[str]:
    verdict = clearing.verdict
    artefacts, contents = verdict.artefacts, verdict.contents
    number = f"{len(artefacts)} artefact{'s' if len(artefacts) != 1 else ''}"
    loose = f", {len(verdict.loose)} of them never published" if verdict.loose else ""
    yield f"{number}, {_files(len(contents))} ({decimal(sum(contents.values()))}){loose}:"
    yield from _space("work that no plan asks for", clearing.work)
    yield from _space("contents in this machine's cache that the store does not have", clearing.cache)


def _space(what: str, space: Space) -> Iterator[str]:
    if space.files:
        yield f"{what}: {_files(space.files)} ({decimal(space.size)})"


def _kept(clearing: Clearing) -> str:
    who = list(clearing.verdict.kept.values())
    shares = ", ".join(f"{who.count(name)} {words}" for name, words in _WHO.items() if name in who)
    return f"kept: {len(who)} artefacts ({decimal(clearing.verdict.kept_bytes)})" + (f": {shares}" if shares else "")


def _also_kept(asked: KnownNeeds) -> Iterator[str]:
    """What is kept because a record says so that nobody can be asked about, and how it goes."""
    if concepts := asked.concepts:
        yield (
            f"Also kept is the last training of concepts that are not of this project: {_listed(concepts)}. "
            f"If it is no other project's, `{command()} gc --forget {concepts[0]}` lets it go."
        )
    if registries := asked.registries:
        shown = [f"{registry}: {_versions(registry.versions)}" for registry in registries]
        yield (
            f"Also kept is what other projects have registered: {_listed(shown)}. "
            f"If a registry is gone for good, `{command()} gc --forget-registry {registries[0].id}` lets it go."
        )


def _versions(count: int) -> str:
    return f"{count} version{'s' if count != 1 else ''}"


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
