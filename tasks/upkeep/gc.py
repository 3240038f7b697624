"""Clearing up: the store, the work folders of this machine, and its cache of a store in S3.

A kill at any moment leaves a store in which every manifest has its contents and all that it was made from, as far as it
had them before; the same command carries on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tasks.execution.work_folders import sweep_work_folders, unwanted
from tasks.jobs.jobs import Job
from tasks.project.settings import Settings
from tasks.store.blobs import Hold, StoreFailed
from tasks.store.store import Inventory, Store, cache_of, open_store
from tasks.upkeep.garbage import Garbage, Needs, find_garbage
from tasks.upkeep.needs import Forgotten, KnownNeeds, find_needs, jobs_of_all, tidy_records

T = TypeVar("T")
_AT_ONCE = 1000
"""Things removed between two looks whether the sweep is still ours."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What takes up room, or did."""

    files: int
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Clearing:
    """What was cleared up, or would be."""

    jobs: Sequence[Job]
    """The plan that was asked."""
    verdict: Garbage
    work: Space
    """Work folders that no plan asks for."""
    cache: Space
    """Contents in this machine's cache that the store does not have any more."""
    asked: KnownNeeds
    """Who else needs something."""


def clear_up(
    settings: Settings, *, forgotten: Forgotten | None = None, dry_run: bool = False, on_wait: Callable[[], None]
) -> Clearing:
    """Remove what nothing needs; with `dry_run` only say what that is.

    Raises:
        InputError, StoreFailed, RegistryUnknown, WorkFailed: somebody who may need something could not be asked, or not
            be understood; then nothing was removed. StoreFailed also where the store stops answering in the middle.
    """
    store, forgotten = open_store(settings), forgotten or Forgotten()
    store.probe()
    jobs = jobs_of_all(settings)
    asked = find_needs(settings, store, jobs, forgotten)
    inventory, verdict = clear_store(store, asked.needs, dry_run=dry_run, on_wait=on_wait)
    if not dry_run:
        tidy_records(store, asked, forgotten)
    return Clearing(
        jobs=jobs,
        verdict=verdict,
        work=_clear_work(settings, jobs, dry_run),
        cache=_clear_cache(settings, inventory, verdict, dry_run),
        asked=asked,
    )


def clear_store(
    store: Store, needs: Needs, *, dry_run: bool = False, on_wait: Callable[[], None] = lambda: None
) -> tuple[Inventory, Garbage]:
    """Remove what of the store is not needed; returns what there was, and what became of it. Raises as `clear_up`."""
    with nullcontext() if dry_run else store.sweep(on_wait) as hold:
        # Listed after the sweep was announced: what is published or taken into use from now on keeps out of its way.
        inventory = store.inventory()
        verdict = find_garbage(inventory, store.read_all(inventory.manifests), needs, store.now())
        if hold is not None:
            _remove(store, verdict, hold)
    return inventory, verdict


def _remove(store: Store, verdict: Garbage, hold: Hold) -> None:
    """Manifests first, those that read others before those; then contents, which by then no manifest names."""
    for listed in verdict.rounds:
        for artefacts in _portions(listed, hold, store):
            store.delete_manifests((artefact.stage, artefact.key) for artefact in artefacts)
    for contents in _portions(sorted(verdict.contents), hold, store):
        store.delete_contents(contents)


def _portions(things: Sequence[T], hold: Hold, store: Store) -> Iterator[Sequence[T]]:
    for start in range(0, len(things), _AT_ONCE):
        if hold.lost():
            raise StoreFailed(
                f"store {store.address}: did not answer for so long that another may be clearing it up by now; run the "
                "same command again, it carries on",
                retryable=True,
            )
        yield things[start : start + _AT_ONCE]


def _clear_work(settings: Settings, jobs: Iterable[Job], dry_run: bool) -> Space:
    wanted = [plan for job in jobs for plan in job.stages]
    sizes = {folder: _sizes(folder) for folder in unwanted(settings, wanted)}
    if not dry_run:
        sweep_work_folders(settings, wanted)
        sizes = {folder: listed for folder, listed in sizes.items() if not folder.exists()}
    return Space(files=sum(map(len, sizes.values())), size=sum(map(sum, sizes.values())))


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # somebody works there, after all
            if path.is_file():
                sizes.append(path.stat().st_size)
    return sizes


def _clear_cache(settings: Settings, inventory: Inventory, verdict: Garbage, dry_run: bool) -> Space:
    strange = cache_of(settings).strange(inventory.contents.keys() - verdict.contents.keys())
    if not dry_run:
        for path in strange:
            path.unlink(missing_ok=True)
    return Space(files=len(strange), size=sum(strange.values()))
