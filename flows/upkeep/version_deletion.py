"""`conceptbooth registry delete`: a version that nobody counts on."""

from rich.text import Text

from flows.output.confirmation import ask
from flows.output.console import DONE, print_json, results
from flows.training.summary import command
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.store.store import open_store
from tasks.upkeep.version_deletion import delete_version


def run_deletion(settings: Settings, reference: str, *, yes: bool, dry_run: bool, as_json: bool) -> int:
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
