"""Which images a concept has: DVC's records, read without DVC and without its locks."""

import configparser
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.errors import InputError, WorkFailed
from tasks.concepts import IMAGES_FOLDER, Concept, shown_path
from tasks.folder_hash import FolderFile, file_md5, folder_digest, folder_files
from tasks.hashing import DigestMemory
from tasks.settings import Settings
from tasks.workplace import GitState, git_status
from tasks.yaml_files import read_yaml

RECORD_FILE = f"{IMAGES_FOLDER}.dvc"
"""DVC's record of an image set that was added; of one that is made, dvc.lock holds it."""
FETCHING = ".fetching-"
"""Beginning of the names of folders that are not yet whole."""

_FOLDER_DIGEST = re.compile(r"[0-9a-f]{32}\.dir")


class ImagesMissing(InputError):
    """A concept's images are recorded, or should be there, and lie neither in its folder nor in DVC's cache."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images of a concept as they are now."""

    digest: str
    """The data version: DVC's folder hash, 32 hex digits and ".dir"."""
    files: tuple[FolderFile, ...]
    state: Literal["committed", "uncommitted", "changed", "untracked"]
    """Where this data version is on record: with DVC and in git's newest commit, with DVC only, nowhere though an
    earlier one is, or DVC has never seen the folder."""
    git_commit: str | None
    """The newest commit, whether or not it records this data version; None outside git."""

    @property
    def dirty(self) -> bool:
        """Whether `git_commit` does not record this data version."""
        return self.state != "committed"


@dataclass(frozen=True, kw_only=True)
class _Record:
    digest: str
    file: Path
    """The .dvc file or dvc.lock."""


def image_set(
    settings: Settings, concept: Concept, git: GitState | None = None, memory: DigestMemory | None = None
) -> ImageSet:
    """The images of a concept, in its folder or, where that is missing, in DVC's cache.

    Pass `git` when asking for many concepts: it is looked up once then; and a `memory` of the images' md5.

    Raises:
        ImagesMissing: neither the folder nor DVC's cache has them.
        InputError: the folder is empty, or DVC's record cannot be read.
    """
    record = _record(settings, concept)
    md5 = memory.digest if memory else file_md5
    files = (
        _files_there(settings, concept, md5) if concept.images.is_dir() else _files_cached(settings, concept, record)
    )
    digest = folder_digest(files)
    git = git or git_state(settings)
    state: Literal["committed", "uncommitted", "changed", "untracked"]
    if record is None:
        state = "untracked"
    elif record.digest != digest:
        state = "changed"
    else:
        state = "committed" if git.records(shown_path(settings, record.file)) else "uncommitted"
    return ImageSet(digest=digest, files=files, state=state, git_commit=git.commit)


def local_images(settings: Settings, concept: Concept, digest: str) -> list[Path]:
    """The image files of data version `digest`, sorted by name; fetched from DVC's cache if the folder is missing.

    Raises:
        ImagesMissing: neither the folder nor the cache has them.
        WorkFailed: the folder holds another data version now.
    """
    if not concept.images.is_dir():
        _restore(settings, concept, _files_cached(settings, concept, _Record(digest=digest, file=concept.folder)))
    files = _files_there(settings, concept, file_md5)
    found = folder_digest(files)
    if found != digest:
        raise WorkFailed(
            f"concept '{concept.name}': its images changed meanwhile, from data version {digest[:8]} to {found[:8]}; "
            "run the same command again to train on the new ones"
        )
    return [concept.images / file.relpath for file in files]


def git_state(settings: Settings) -> GitState:
    """What git says about the image sets' records; without git, or outside a repository, nothing is recorded."""
    where = ("--", str(settings.concepts_dir), "dvc.lock")
    state = git_status(settings.root, "--untracked-files=all", "--ignored=matching", *where)
    return state or GitState(commit=None, changed=frozenset())


def _record(settings: Settings, concept: Concept) -> _Record | None:
    """What DVC has on record for a concept: from its own .dvc file if it was added, from dvc.lock if it is made."""
    added = concept.folder / RECORD_FILE
    if added.exists():
        content = read_yaml(added, shown_path(settings, added))
        outs = content.get("outs") if isinstance(content, dict) else None
        return _Record(digest=_recorded_digest(settings, added, outs, concept.images.name), file=added)
    lock = settings.root / "dvc.lock"
    if lock.exists():
        path = shown_path(settings, concept.images)
        content = read_yaml(lock, lock.name)
        stages = content.get("stages") if isinstance(content, dict) else None
        for stage in stages.values() if isinstance(stages, dict) else []:
            outs = stage.get("outs", []) if isinstance(stage, dict) else []
            if any(isinstance(out, dict) and out.get("path") == path for out in outs):
                return _Record(digest=_recorded_digest(settings, lock, outs, path), file=lock)
    return None


def _recorded_digest(settings: Settings, file: Path, outs: Any, path: str) -> str:
    label = shown_path(settings, file)
    found = [out for out in outs if isinstance(out, dict) and out.get("path") == path] if isinstance(outs, list) else []
    if len(found) != 1:
        raise InputError(f"{label}: no single entry for {path} under outs; make it again with `dvc add` or `dvc repro`")
    digest = found[0].get("md5")
    if not isinstance(digest, str) or not _FOLDER_DIGEST.fullmatch(digest):
        raise InputError(
            f"{label}: md5 = {digest!r} is no hash of a folder (32 hex digits and .dir); was it edited by hand? "
            "make it again with `dvc add` or `dvc repro`"
        )
    return digest


def _files_there(settings: Settings, concept: Concept, md5: Callable[[Path], str]) -> tuple[FolderFile, ...]:
    files = folder_files(concept.images, md5)
    if not files:
        raise InputError(f"concept '{concept.name}': no images in {shown_path(settings, concept.images)}")
    return files


def _files_cached(settings: Settings, concept: Concept, record: _Record | None) -> tuple[FolderFile, ...]:
    """The files of a recorded data version, by DVC's cache alone."""
    where = shown_path(settings, concept.images)
    if record is None:
        raise ImagesMissing(
            f"concept '{concept.name}': no images, {where} is missing and DVC has no record of it; if it is a bundled "
            "sample make it with `conceptbooth demo` or `dvc repro`, else put images there and run `dvc add`"
        )
    listing = cached_file(settings, record.digest)
    missing = [listing] if not listing.is_file() else []
    files = []
    for entry in json.loads(listing.read_bytes()) if not missing else []:
        cached = cached_file(settings, entry["md5"])
        if cached.is_file():
            files.append(FolderFile(relpath=entry["relpath"], md5=entry["md5"], size=cached.stat().st_size))
        else:
            missing.append(cached)
    if missing:
        raise ImagesMissing(
            f"concept '{concept.name}': no images, {where} is missing and DVC's cache lacks data version "
            f"{record.digest[:8]} ({missing[0]}); if it is a bundled sample make it with `conceptbooth demo` or "
            "`dvc repro`, else fetch it with `dvc pull`"
        )
    return tuple(files)


def _restore(settings: Settings, concept: Concept, files: Iterable[FolderFile]) -> None:
    """Copy files out of DVC's cache into the concept's folder, all of them or none."""
    with tempfile.TemporaryDirectory(dir=concept.folder, prefix=FETCHING) as folder:
        images = Path(folder, concept.images.name)
        for file in files:
            target = images / file.relpath
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cached_file(settings, file.md5), target)  # not a link: the cache is read-only
            if file_md5(target) != file.md5:
                raise WorkFailed(
                    f"concept '{concept.name}': {file.relpath} is damaged in DVC's cache "
                    f"({cached_file(settings, file.md5)}); remove it there and run `dvc pull` or `dvc repro`"
                )
        images.rename(concept.images)


def recorded_version(settings: Settings, concept: Concept) -> str | None:
    """The data version that DVC has on record for a concept, if any. InputError where the record cannot be read."""
    record = _record(settings, concept)
    return record.digest if record else None


def cached_file(settings: Settings, digest: str) -> Path:
    """Where DVC's cache keeps the content with this md5, whether or not it does."""
    return _cache_folder(settings) / "files" / "md5" / digest[:2] / digest[2:]


def _cache_folder(settings: Settings) -> Path:
    """DVC's cache as .dvc/config says; relative paths there begin at .dvc/."""
    config = configparser.ConfigParser(interpolation=None)
    home = settings.root / ".dvc"
    config.read([home / "config", home / "config.local"], encoding="utf-8")
    return (home / config.get("cache", "dir", fallback="cache")).resolve()
