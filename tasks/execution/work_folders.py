"""Where stages work before anything is published: a folder for each key, with a lock beside it.

work/<stage>-<key>/files/          the artefact's files as they are made; begun anew by each try
work/<stage>-<key>/kept/           what lets a stage that was stopped go on: checkpoints, pictures already drawn
work/<stage>-<key>/finished.json   put last: the files are whole and can be published
"""

import contextlib
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from tasks.files.locks import lock_if_free
from tasks.jobs.keys import StagePlan
from tasks.project.settings import Settings

FILES, KEPT, FINISHED = "files", "kept", "finished.json"
_MOST_KEPT_BYTES = 100 * 10**9
"""Of unfinished stages that nobody asks for now: a large model's checkpoints take 20 GB each."""
_LONGEST_KEPT = 7 * 24 * 3600  # seconds


def work_folder(settings: Settings, plan: StagePlan) -> Path:
    """The stage's folder; it exists only while there is work that is not published yet."""
    return settings.home / "work" / f"{plan.stage}-{plan.key[:16]}"


def kept_folder(settings: Settings, plan: StagePlan) -> Path:
    """What a stage leaves there is found again by the next try, until the stage is finished."""
    return work_folder(settings, plan) / KEPT


def pictures_folder(settings: Settings, plan: StagePlan) -> Path:
    """Where a training stage's pictures lie that were drawn while it ran; of no artefact, and of this machine alone."""
    return settings.home / "training-pictures" / f"{plan.stage}-{plan.key[:16]}"


def sweep_pictures(settings: Settings) -> None:
    """Remove the pictures of trainings that nobody has looked after for `gc_keep_days`: galleries hold their own."""
    for folder in (settings.home / "training-pictures").glob("*/"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > settings.gc_keep_days * 24 * 3600:
                shutil.rmtree(folder, ignore_errors=True)


def lock_of(folder: Path) -> Path:
    """The lock of a work folder."""
    return folder.with_name(f"{folder.name}.lock")


def sweep_work_folders(settings: Settings, wanted: Collection[StagePlan]) -> None:
    """Remove what dead processes left and nobody will use.

    What the `wanted` stages can go on from stays. So does that of other stages, whose concepts may be asked for next,
    for a week: all that is finished and waits to be published, and of the rest the newest 100 GB.
    """
    for folder in unwanted(settings, wanted):
        _remove(folder)
    for lock in (settings.home / "work").glob("*.lock"):
        if not lock.with_suffix("").exists():
            with lock_if_free(lock) as free:
                if free:
                    lock.unlink(missing_ok=True)


def unwanted(settings: Settings, wanted: Collection[StagePlan]) -> list[Path]:
    """Folders that `sweep_work_folders` removes now."""
    asked_for = {work_folder(settings, plan) for plan in wanted}
    dead, others = [], []
    for folder in (settings.home / "work").glob("*/"):
        if not _useful(folder):
            dead.append(folder)
        elif folder not in asked_for:
            others.append((*_age_and_size(folder), folder))
    kept_bytes = 0
    for age, size, folder in sorted(others):
        if age > _LONGEST_KEPT:
            dead.append(folder)
        elif not (folder / FINISHED).exists():  # hours of work that only wait for the store are not counted
            if kept_bytes >= _MOST_KEPT_BYTES:
                dead.append(folder)
            kept_bytes += size
    return [folder for folder in dead if not _at_work(folder)]


def _at_work(folder: Path) -> bool:
    lock = lock_of(folder)
    if not lock.exists():
        return False
    with lock_if_free(lock) as free:
        return not free


def _useful(folder: Path) -> bool:
    kept = folder / KEPT
    return (folder / FINISHED).exists() or (kept.is_dir() and any(kept.iterdir()))


def _age_and_size(folder: Path) -> tuple[float, int]:
    """Seconds since the last change of anything in it, and its bytes."""
    stats = [folder.stat()]
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # somebody works there
            stats.append(path.stat())
    return time.time() - max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats)


def _remove(folder: Path) -> None:
    """Remove a folder and its lock unless somebody works there."""
    lock = lock_of(folder)
    with lock_if_free(lock) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
