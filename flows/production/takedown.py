"""`conceptbooth takedown`: what an image is in, confirmed, and then taken down."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.padding import Padding
from rich.text import Text

from flows.lineage.sightings import sightings_table
from flows.output.console import DONE, FAILED, ask, notices, print_json, results
from flows.output.invocation import command, path_from_here
from flows.production.notifications import notify_of_change
from model.errors import InputError
from tasks.dvc.storage import dvc_storage
from tasks.lineage.index import open_index
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.promotion.promotion import check_production
from tasks.store.store import open_store
from tasks.takedown.plan import Move, TakedownPlan, plan_takedown
from tasks.takedown.remains import Remains, image_remains
from tasks.takedown.takedown import Done, take_down


def run_takedown(settings: Settings, image: str, *, reason: str | None, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Plan, ask, and do it; the exit code says whether the image is out of everything.

    Raises:
        InputError: no such image, nobody's image, no reason or no confirmation; nothing was done.
        WorkFailed: a step failed; the same command carries on.
    """
    if not dry_run and not (reason or "").strip():
        raise InputError("--reason TEXT is needed: say why the image is taken down; it is kept for ever")
    store = open_store(settings)
    place = open_production(settings) if dry_run else check_production(settings)
    with open_index(settings, store) as index:
        plan = plan_takedown(settings, store, place, index, image)
    if not as_json:
        _show_plan(plan)
    done: Done | None = None
    if plan.to_do and not dry_run:
        if not yes:
            ask(f"takedown {image}", "Take it down? Revoked versions never come back", as_json=as_json)
        tell = (lambda said: None) if as_json else (lambda said: notices().print(Text(said, "dim"), soft_wrap=True))
        done = take_down(settings, store, place, plan, reason=str(reason).strip(), tell=tell)
        for record in done.ledgers:
            if problem := notify_of_change(settings, place, record):
                notices().print(Text(f"{problem}; the same command tries again", "yellow"), soft_wrap=True)
    with open_index(settings, store) as index:
        remains = image_remains(settings, store, index, plan.images)
    if as_json:
        print_json(_document(plan, done, remains))
    elif done:
        _show_done(settings, plan, done)
    elif dry_run:
        results().print(Text("Nothing was done (--dry-run)." if plan.to_do else "There is nothing to do.", "dim"))
    else:
        results().print(Text("Nothing is left to do."))
    if not as_json:
        _show_remains(remains)
    return FAILED if not dry_run and any(change.obstacle for change in plan.sets) else DONE


def _show_plan(plan: TakedownPlan) -> None:
    for note in plan.notes:
        notices().print(Text(note, style="yellow"), soft_wrap=True)
    console = results()
    console.print(Text.assemble((plan.asked, "bold"), f" (sha256 {plan.sha256[:12]})"), soft_wrap=True)
    if plan.before:
        state = "finished" if plan.before.finished else "interrupted; this carries on, with the reason given then"
        console.print(Text(f"  {plan.before.words} (by {plan.before.by}; {state})", style="yellow"), soft_wrap=True)
    for change in plan.sets:
        style = "bold yellow" if change.obstacle else ""
        line = Text.assemble("  image set of ", (change.member.concept, "bold"), f", {change.member.file}: ")
        console.print(line.append(change.said, style=style), soft_wrap=True)
    for move in plan.moves:
        serving = f"version {move.serving.version} leaves production; {_instead(move)}"
        console.print(Text.assemble("  ", (move.serving.concept, "bold"), f": {serving}"), soft_wrap=True)
    if plan.seen_by:
        console.print(Text(f"  {_counted(plan)} saw it, and must never be used again:"), soft_wrap=True)
        console.print(Padding(sightings_table(plan.seen_by), (0, 0, 0, 2)))


def _instead(move: Move) -> str:
    if move.instead is None:
        return "nothing serves instead"
    return f"version {move.instead.version} serves instead (promotion {move.instead.seq})"


def _counted(plan: TakedownPlan) -> str:
    count = len(plan.seen_by)
    return f"{count} training{'' if count == 1 else 's'}"


def _show_done(settings: Settings, plan: TakedownPlan, done: Done) -> None:
    console, takedown = results(), done.takedown
    console.print(
        Text.assemble(
            ("Taken down", "bold"),
            f": takedown {takedown.number}, {done.marked} registered version{'' if done.marked == 1 else 's'} revoked",
        ),
        soft_wrap=True,
    )
    folders = sorted({settings.concepts_dir / member.concept for member in takedown.sets})
    if folders:
        paths = " ".join(shlex.quote(path_from_here(folder)) for folder in folders)
        console.print(Text(f"  keep it:   git add {paths} && git commit"), soft_wrap=True)
        if dvc_storage(settings).remote is not None:
            console.print(Text("             dvc push"), soft_wrap=True)
        console.print(Text(f"  retrain:   {command()} plan; {command()} nightly --now"), soft_wrap=True)
    for change in plan.sets:
        if change.obstacle:
            said = f"  still there: {change.member.concept}/{change.member.file}: {change.obstacle}"
            notices().print(Text(said, style="bold yellow"), soft_wrap=True)


def _show_remains(remains: Sequence[Remains]) -> None:
    """Where the bytes are, by what lets them go: a takedown takes an image out of use, and erases nothing."""
    console = results()
    if not remains:
        console.print(Text("  its bytes: in neither the store nor DVC's cache and remote"), soft_wrap=True)
        return
    console.print(Text("  its bytes are kept in:"), soft_wrap=True)
    for way in dict.fromkeys(each.let_go_by for each in remains):
        for each in (each for each in remains if each.let_go_by == way):
            console.print(Text(f"    {each.where}"), soft_wrap=True)
        console.print(Text(f"      let go by {way}", style="dim"), soft_wrap=True)


def _document(plan: TakedownPlan, done: Done | None, remains: Sequence[Remains]) -> dict[str, Any]:
    takedown = done.takedown if done else plan.before
    record = takedown and {
        "number": takedown.number,
        "at": takedown.at,
        "by": takedown.by,
        "reason": takedown.reason,
        "finished": takedown.finished,
    }
    return {
        "schema": 1,
        **plan.to_json(),
        "done": done is not None,
        "takedown": record,
        "remains": [asdict(each) for each in remains],
    }
