"""Image sets put together by hash, for a machine whose folders do not hold them: no lock, no command of DVC's."""

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from model.errors import WorkFailed, WorldFailed
from tasks.dvc.folder_hash import FolderFile, file_md5
from tasks.dvc.storage import DvcStorage
from tasks.files.names import path_inside, proper_md5
from tasks.files.spool import spooled_folder, sweep_unfinished
from tasks.project.settings import Settings

_UNUSED_SECONDS = 24 * 3600.0


def gather(
    settings: Settings, storage: DvcStorage, whose: str, near: Path, version: str, files: Sequence[FolderFile]
) -> Path:
    """A folder with these files, below `settings.home`: all of them or none, each with the right md5.

    A file of the same path in the folder `near` is taken where it fits, then DVC's cache, then its remote.

    Raises:
        ImproperName: a file's name leads out of the folder.
        WorkFailed: a file is in none of them, or damaged.
        WorldFailed: it cannot be written here.
        StoreFailed: the remote does not answer.
    """
    folder = settings.home / "images" / proper_md5(version)
    try:
        if all(_is(path_inside(folder, file.relpath), file.md5) for file in files):
            os.utime(folder)
            return folder
        sweep_unfinished(folder.parent / "unfinished")
        _forget_unused(folder.parent)
        with spooled_folder(folder.parent / "unfinished") as unfinished:
            _fill(unfinished, storage, whose, near, files)
            shutil.rmtree(folder, ignore_errors=True)  # what is there has been edited, or is not whole
            with contextlib.suppress(OSError):  # another process was quicker: the same files
                unfinished.rename(folder)
        return folder
    except OSError as error:
        raise WorldFailed(f"{folder}: cannot be written: {error.strerror}; mend it, or make room there") from error


def _fill(folder: Path, storage: DvcStorage, whose: str, near: Path, files: Sequence[FolderFile]) -> None:
    elsewhere = [file.md5 for file in files if not _is(near / file.relpath, file.md5)]
    fetched = storage.fetch(elsewhere)
    for file in files:
        source = fetched.get(file.md5) if file.md5 in elsewhere else near / file.relpath
        if source is None:
            raise WorkFailed(
                f"{whose}: {file.relpath} ({file.md5}) is missing or damaged in DVC's cache "
                f"({storage.cached(file.md5)}), {storage.lacks()}; or make it again with `dvc repro`"
            )
        target = path_inside(folder, file.relpath)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _forget_unused(parent: Path) -> None:
    """Remove what no training has asked for since yesterday."""
    for folder in parent.glob("*.dir"):
        if time.time() - folder.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _is(path: Path, md5: str) -> bool:
    return path.is_file() and file_md5(path) == md5
