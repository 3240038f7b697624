"""`conceptbooth upgrade`: what of a site of before got seals and signatures, and what stays unprovable."""

from collections import Counter
from dataclasses import asdict

from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.promotion.promotion import check_production
from tasks.signing.keys import signer_of
from tasks.store.store import open_store
from tasks.upkeep.upgrade import UpgradeStep, upgrade

_SHOWN = 8
"""Things of one kind that are named; the others are counted."""


def run_upgrade(settings: Settings, *, dry_run: bool, as_json: bool) -> int:
    """Bring the site up to date, or show what would be done; the exit code says whether something stays damaged.

    Raises:
        InputError: keys, a ledger or records cannot be used as they are.
        WorkFailed: store or registry do not answer; the same command carries on.
    """
    place = open_production(settings) if dry_run else check_production(settings)
    store = open_store(settings)
    console = notices()
    steps = upgrade(
        settings,
        store,
        place,
        dry_run=dry_run,
        tell=lambda said: None if as_json else console.print(Text(said, style="dim"), soft_wrap=True),
    )
    if as_json:
        print_json({"dry_run": dry_run, "steps": [asdict(step) for step in steps]})
    else:
        _show(settings, steps, dry_run=dry_run)
    return FAILED if any(step.state == "lost" for step in steps) else DONE


def _show(settings: Settings, steps: list[UpgradeStep], *, dry_run: bool) -> None:
    if not steps:
        results().print("Everything is up to date.")
    counts = Counter(step.state for step in steps)
    for state, count in counts.items():
        lost = state == "lost"
        would = "would be " if dry_run and state in ("sealed", "mended", "signed", "vouched for") else ""
        heading = Text(f"{would}{'damaged, and cannot be mended' if lost else state}: {count}")
        heading.stylize("bold red" if lost else "bold")
        results().print(heading, soft_wrap=True)
        for step in [step for step in steps if step.state == state][: count if lost else _SHOWN]:
            results().print(Text(f"  {step.what}{f': {step.said}' if step.said else ''}"), soft_wrap=True)
        if count > _SHOWN and not lost:
            results().print(Text(f"  and {count - _SHOWN} more", style="dim"))
    if signer_of(settings, "releases") is None:
        said = "No signing_key is set: everything is sealed, not signed. A seal proves damage, and not who made it."
        results().print(Text(said, style="dim"), soft_wrap=True)
