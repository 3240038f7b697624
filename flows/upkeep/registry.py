"""`conceptbooth registry rebuild` and `registry delete`: what was put back, what cannot be, and what is gone."""

from dataclasses import asdict

from rich.text import Text

from flows.output.console import DONE, FAILED, ask, notices, print_json, results
from flows.output.invocation import command
from model.errors import InputError
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.promotion.promotion import check_production
from tasks.registry.reference import VersionReference
from tasks.store.store import open_store
from tasks.tracking.address import shown
from tasks.upkeep.registry_rebuild import Restored, rebuild
from tasks.upkeep.version_deletion import delete_version

_SAID = {
    "there": "is there",
    "restored": "put back",
    "mended": "its package was put back",
    "lost": "cannot be put back",
}
_PLANNED = {**_SAID, "restored": "would be put back"}


def run_rebuild(settings: Settings, *, dry_run: bool, as_json: bool) -> int:
    """Put back what the registry lacks, or show what that is; the exit code says whether all of it could be.

    Raises:
        InputError: nothing is on record, or a record or ledger cannot be read.
        WorkFailed: registry or stores do not answer; the same command carries on.
    """
    place = open_production(settings) if dry_run else check_production(settings)
    store = open_store(settings)
    found = rebuild(settings, store, place, dry_run=dry_run)
    if not found:
        raise InputError(
            f"store {store.address} has no version of the registry {shown(settings)} on record: there is nothing to "
            "put back. `conceptbooth train` registers what the store holds, without training"
        )
    if as_json:
        print_json({"dry_run": dry_run, "versions": [asdict(version) for version in found]})
    else:
        _show(found, dry_run=dry_run)
    return FAILED if any(version.state == "lost" for version in found) else DONE


def _show(found: list[Restored], *, dry_run: bool) -> None:
    said = _PLANNED if dry_run else _SAID
    for version in found:
        words = f"{said[version.state]}{f' ({version.said})' if version.said else ''}"
        line = Text.assemble((f"{version.model} version {version.version}", "bold"), f"  {words}")
        lost = version.state == "lost"
        (notices() if lost else results()).print(line, style="bold red" if lost else "", soft_wrap=True)


def run_deletion(settings: Settings, reference: VersionReference, *, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Look whether the version may go, ask, and delete it.

    Raises:
        InputError: no such version, one that an alias or the ledger names, or nobody to confirm it; nothing was done.
        WorkFailed: registry or store do not answer.
    """
    store, place = open_store(settings), open_production(settings)
    called = delete_version(settings, store, place, reference, dry_run=True)
    if not dry_run:
        if not yes:
            ask(
                f"registry delete {reference}", f"Delete {called}? MLflow never gives its number again", as_json=as_json
            )
        delete_version(settings, store, place, reference)
    if as_json:
        print_json({"version": called, "dry_run": dry_run, "deleted": not dry_run})
        return DONE
    results().print(Text(f"{called} would be deleted" if dry_run else f"Deleted {called}"), soft_wrap=True)
    kept = f"Its run and package stay in MLflow; `{command()} gc` lets its artefacts go once they have been idle."
    results().print(Text(kept, style="dim"), soft_wrap=True)
    return DONE
