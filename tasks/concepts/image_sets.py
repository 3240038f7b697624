"""Which images a concept has: DVC's records, read without DVC and without its locks."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import IMAGES_FOLDER, Concept
from tasks.concepts.image_copies import gather
from tasks.dvc.folder_hash import FolderFile, file_md5, folder_digest, folder_files
from tasks.dvc.storage import DvcStorage, dvc_storage
from tasks.files.hashing import DigestMemory
from tasks.files.names import proper_md5, proper_name
from tasks.files.yaml_files import read_yaml
from tasks.project.git import GitState, git_status
from tasks.project.settings import Settings, shown_path

RECORD_FILE = f"{IMAGES_FOLDER}.dvc"
"""DVC's record of an image set that was added; of one that is made, dvc.lock holds it."""
_FOLDER_DIGEST = re.compile(r"[0-9a-f]{32}\.dir")


class ImagesMissing(InputError):
    """A concept's images are recorded, or should be there, and lie neither in its folder nor with DVC."""


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
    """The images of a concept: those in its folder or, where that is missing, those that DVC has on record.

    The setting `images` can say that the record counts whatever is in the folder.

    Pass `git` when asking for many concepts: it is looked up once then; and a `memory` of the images' md5.

    Raises:
        ImagesMissing: neither the folder nor DVC's cache nor its remote has them.
        InputError: the folder is empty, or DVC's record cannot be read.
        StoreFailed: the remote does not answer.
    """
    record = _record(settings, concept)
    md5 = memory.digest if memory else file_md5
    if _reads_folder(settings, concept):
        files = _files_there(settings, concept, md5)
    else:
        files = _files_recorded(settings, concept, record)
    digest = folder_digest(files)
    git = git or git_state(settings)
    state: Literal["committed", "uncommitted", "changed", "untracked"]
    if record is None:
        state = "untracked"
    elif record.digest != digest:
        state = "changed"
    else:
        state = "committed" if git.records(record.file) else "uncommitted"
    return ImageSet(digest=digest, files=files, state=state, git_commit=git.commit)


def recorded_set(settings: Settings, concept: Concept, git: GitState) -> ImageSet | None:
    """The image set that DVC has on record, its files not looked for: enough to know a training by; None without one.

    Raises InputError where the record cannot be read.
    """
    record = _record(settings, concept)
    if record is None:
        return None
    state: Literal["committed", "uncommitted"] = "committed" if git.records(record.file) else "uncommitted"
    return ImageSet(digest=record.digest, files=(), state=state, git_commit=git.commit)


def local_images(settings: Settings, concept: Concept, images: ImageSet) -> dict[str, Path]:
    """The image files of this data version, by their path inside the set, in its order; their md5 has been checked.

    They lie in the concept's folder where that holds this version; else in a folder of their own below `settings.home`,
    each copied from the concept's folder, DVC's cache or the remote, wherever it is to be had.

    Raises:
        StoreFailed: the remote does not answer.
        WorkFailed: the folder holds another data version now, or a file is missing or damaged by now.
    """
    if _reads_folder(settings, concept):
        found = folder_digest(_files_there(settings, concept, file_md5))
        if found == images.digest:
            return {file.relpath: concept.images / file.relpath for file in images.files}
        raise WorkFailed(
            f"concept '{concept.name}': its images changed meanwhile, from data version {images.digest[:8]} to "
            f"{found[:8]}; run the same command again to train on the new ones"
        )
    whose = f"concept '{concept.name}'"
    folder = gather(settings, dvc_storage(settings), whose, concept.images, images.digest, images.files)
    return {file.relpath: folder / file.relpath for file in images.files}


def git_state(settings: Settings) -> GitState:
    """What git says about the image sets' records; without git, or outside a repository, nothing is recorded."""
    places = (settings.concepts_dir, settings.root / "dvc.lock")
    return git_status(settings.root, "--untracked-files=all", "--ignored=matching", places=places)


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


def _reads_folder(settings: Settings, concept: Concept) -> bool:
    return settings.images == "folder" and concept.images.is_dir()


def _files_there(settings: Settings, concept: Concept, md5: Callable[[Path], str]) -> tuple[FolderFile, ...]:
    try:
        files = folder_files(concept.images, md5)
    except InputError as error:
        raise InputError(*(f"concept '{concept.name}': {problem}" for problem in error.problems)) from error
    if not files:
        raise InputError(f"concept '{concept.name}': no images in {shown_path(settings, concept.images)}")
    return files


def _files_recorded(settings: Settings, concept: Concept, record: _Record | None) -> tuple[FolderFile, ...]:
    """The files of a recorded data version, by DVC's cache and remote."""
    where = shown_path(settings, concept.images)
    if record is None:
        raise ImagesMissing(
            f"concept '{concept.name}': no images, {where} is missing and DVC has no record of it; if it is a bundled "
            "sample make it with `conceptbooth demo` or `dvc repro`, else put images there and run `dvc add`"
        )
    storage = dvc_storage(settings)
    listing = storage.fetch([record.digest]).get(record.digest)
    if listing is None:
        raise _missing(settings, concept, storage, record, record.digest)
    entries = _entries(listing, f"concept '{concept.name}': the listing of data version {record.digest[:8]}")
    sizes = storage.sizes(entries.values())
    files = []
    for relpath, md5 in entries.items():
        size = sizes[md5]
        if size is None:
            raise _missing(settings, concept, storage, record, md5)
        files.append(FolderFile(relpath=relpath, md5=md5, size=size))
    return tuple(files)


def _entries(listing: Path, called: str) -> dict[str, str]:
    """md5 of each file by its name, as DVC lists a folder. InputError where it lists something else."""
    try:
        entries = json.loads(listing.read_bytes())
        return {proper_name(entry["relpath"]): proper_md5(entry["md5"]) for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{called} ({listing}) is none that DVC wrote: {error or type(error).__name__}") from error


def _missing(settings: Settings, concept: Concept, storage: DvcStorage, record: _Record, md5: str) -> ImagesMissing:
    if record.file.name == "dvc.lock":
        return ImagesMissing(
            f"concept '{concept.name}': its images are not made yet; `dvc repro` makes them, and those of a bundled "
            f"sample `conceptbooth train {concept.name}` does"
        )
    absent = "" if concept.images.is_dir() else f", {shown_path(settings, concept.images)} is missing"
    return ImagesMissing(
        f"concept '{concept.name}': no images{absent} and DVC's cache lacks data version {record.digest[:8]} of "
        f"{shown_path(settings, record.file)} ({storage.cached(md5)}), {storage.lacks()}; fetch them with `dvc pull`"
    )


def record_file(settings: Settings, concept: Concept) -> Path | None:
    """Where DVC has a concept's images on record: its own images.dvc, or dvc.lock for images that are made."""
    record = _record(settings, concept)
    return record.file if record else None


def recorded_version(settings: Settings, concept: Concept) -> str | None:
    """The data version that DVC has on record for a concept, if any. InputError where the record cannot be read."""
    record = _record(settings, concept)
    return record.digest if record else None
