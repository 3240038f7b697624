"""An image set that changes: images put in, taken out, exchanged, brought into order; all of it checked before."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from model.errors import InputError, WorkFailed
from tasks.concepts.add import ADDING, check_brought, store_image
from tasks.concepts.concepts import Concept, load_concept
from tasks.concepts.git_records import check_recordable
from tasks.concepts.image_checks import CheckedImage, find_images
from tasks.concepts.image_notes import is_brought
from tasks.concepts.image_origins import ImageOrigin, image_origins, write_origins
from tasks.concepts.image_sets import RECORD_FILE, image_set, local_images, record_file
from tasks.dvc.command import dvc_add
from tasks.files.hashing import file_digest
from tasks.files.locks import file_lock
from tasks.files.names import path_inside
from tasks.pictures.kinds import named_as_picture
from tasks.pictures.metadata import metadata_kinds
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, shown_path

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImageChange:
    """What somebody wants of an image set."""

    add: Sequence[Path] = ()
    """Files, and folders of files."""
    remove: Sequence[str] = ()
    """Images of the set, by the name they are stored under or the one that they were brought by."""
    replace: Sequence[tuple[str, Path]] = ()
    """An image of the set, and the file that takes its place."""
    mend: bool = False
    """Bring into order what lies in the folder: take metadata out, enter in images.yaml what is not there."""


@dataclass(frozen=True, kw_only=True)
class ChangedImages:
    """An image set after a change."""

    concept: Concept
    images: tuple[ImageOrigin, ...]
    digest: str
    before: str
    """The data version that it was; the same as `digest` where nothing was to do."""
    stored: tuple[str, ...]
    """Files that were written, by their names in the set."""
    removed: tuple[str, ...]
    hints: tuple[str, ...]


def change_images(settings: Settings, name: str, change: ImageChange, limits: BaseLimits) -> ChangedImages:
    """Do what is asked for, check the whole set that comes out before anything is written, and `dvc add` it.

    Stopped in between, images.yaml does not fit the folder: every command says so, and `mend` goes on from there.

    Raises:
        InputError: anything is wrong with the set as it would be, all of it together; nothing was written.
        WorkFailed: the disk or DVC failed.
    """
    concept = load_concept(settings, name)
    check_recordable(settings, [name])
    if obstacle := edit_obstacle(settings, concept) or _imported(settings, concept):
        raise InputError(f"concept '{name}': {obstacle}")
    with writing(settings, concept):
        if not concept.images.is_dir():
            put_there(settings, concept)
        before = image_set(settings, concept)
        plan = _planned(settings, concept, [file.relpath for file in before.files], change, limits)
        if plan.changes:
            _carry_out(settings, concept, plan)
    after = image_set(settings, concept)
    return ChangedImages(
        concept=concept,
        images=image_origins(concept),
        digest=after.digest,
        before=before.digest,
        stored=tuple(plan.new),
        removed=plan.removed,
        hints=plan.hints,
    )


@contextmanager
def writing(settings: Settings, concept: Concept) -> Iterator[None]:
    """Alone with the folders of concepts; what the disk refuses is said with the way on. Raises WorkFailed."""
    try:
        with file_lock(settings.home / "add.lock"):
            yield
    except OSError as error:
        raise WorkFailed(
            f"concept '{concept.name}': writing below {concept.folder} failed ({error.strerror or error}); the same "
            "command carries on once that is mended"
        ) from error


def edit_obstacle(settings: Settings, concept: Concept) -> str | None:
    """Why images cannot be put in and taken out here, with the way out; None where they can."""
    if settings.images == "record":
        return "here image sets are read by DVC's record alone (images = record); run it where they are edited"
    recorded = record_file(settings, concept)
    if recorded is not None and recorded.name != RECORD_FILE:
        made = shown_path(settings, recorded)
        return f"its images are made by dvc.yaml ({made}); change what makes them, or remove the concept"
    return None


def _imported(settings: Settings, concept: Concept) -> str | None:
    if is_brought(concept, image_set(settings, concept)):
        return None
    where = shown_path(settings, concept.images)
    return (
        f"its images were imported, locked to a commit of their data set; `conceptbooth add OTHER-NAME {where} "
        f'--category "{concept.super_category}"` makes a concept of your own of them'
    )


def put_there(settings: Settings, concept: Concept) -> None:
    """Fill the image folder as DVC has it on record; it appears as a whole."""
    images = local_images(settings, concept, image_set(settings, concept))
    with tempfile.TemporaryDirectory(dir=settings.concepts_dir, prefix=ADDING) as parent:
        folder = Path(parent, concept.images.name)
        for name, source in images.items():
            target = path_inside(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        folder.rename(concept.images)


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """A set as it will be."""

    new: Mapping[str, Path]
    """Files to be stored: name in the set, and the picture."""
    removed: tuple[str, ...]
    origins: Mapping[str, ImageOrigin]
    """Of the images that stay as they are."""
    entries_gone: bool
    """Whether images.yaml names what is not there."""
    checked: Mapping[Path, CheckedImage]
    hints: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return bool(self.new or self.removed or self.entries_gone)


def _planned(
    settings: Settings, concept: Concept, files: Sequence[str], change: ImageChange, limits: BaseLimits
) -> _Planned:
    """Everything that can be wrong, before anything is written."""
    problems: list[str] = []
    there = [name for name in files if named_as_picture(name)]
    origins = {origin.file: origin for origin in image_origins(concept)}

    def passed(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except InputError as error:
            problems.extend(error.problems)
            return None

    asked = [passed(lambda called=called: _named(concept, called, there, origins)) for called in change.remove]  # type: ignore[misc]
    gone = {name for name in asked if name}
    sources: dict[str, Path] = {}
    for called, path in change.replace:
        name = passed(lambda called=called: _named(concept, called, there, origins))  # type: ignore[misc]
        if name in gone or name in sources:
            problems.append(f"'{called}': asked for twice; name each image once")
        elif name:
            sources[name] = path
    if change.mend:
        for name in _out_of_order(concept, there, origins):
            if name not in gone:
                sources.setdefault(name, concept.images / name)
    found = find_images(change.add)
    problems += found.problems
    kept = [name for name in there if name not in gone and name not in sources]
    brought = [*sources.values(), *found.files]
    checked = passed(lambda: check_brought(settings, [*(concept.images / name for name in kept), *brought], limits))
    if problems or checked is None:
        where = (f"{concept.images}/", f"{shown_path(settings, concept.images)}/")
        raise InputError(*(problem.replace(*where) for problem in problems))
    new: dict[str, Path] = {}
    for name, path in sources.items():
        new[_stored_name(name, {*kept, *new})] = path
    highest = max((int(stem) for name in there if (stem := PurePosixPath(name).stem).isdecimal()), default=-1)
    for number, path in enumerate(found.files, highest + 1):
        new[f"{number:02}.png"] = path
    hints = []
    if change.mend and any(metadata_kinds((concept.images / name).read_bytes()) for name in sources):
        hints.append(
            "what DVC has kept of a file with its metadata stays in its cache and remote: once this is committed, "
            "`dvc gc --workspace --cloud` lets go what no set of the newest commit needs"
        )
    hints += [f"left aside, no image by its name: {path}" for path in found.left_aside]
    hints += [hint for hint in checked.hints if not any(hint.startswith(f"{concept.images / name}:") for name in kept)]
    return _Planned(
        new=new,
        removed=tuple(sorted((gone | sources.keys()) - new.keys())),
        origins={name: origins[name] for name in kept if name in origins},
        entries_gone=bool(origins.keys() - set(files)) and (change.mend or bool(new) or bool(gone)),
        checked={image.path: image for image in checked.images},
        hints=tuple(hints),
    )


def _named(concept: Concept, called: str, there: Sequence[str], origins: Mapping[str, ImageOrigin]) -> str:
    """The file of the set that somebody means. InputError where there is none, or more than one."""
    wanted = PurePosixPath(called).name
    found = [name for name in there if name == called] or [
        name for name in there if wanted in (name, PurePosixPath(name).stem)
    ]
    found = found or [name for name in there if name in origins and origins[name].original == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{called}': {', '.join(found)} were brought by that name; name the stored file")
    listed = ", ".join(f"{name} ({origins[name].original})" if name in origins else name for name in there)
    raise InputError(f"'{called}': no image of concept '{concept.name}', which has {listed}")


def _out_of_order(concept: Concept, there: Sequence[str], origins: Mapping[str, ImageOrigin]) -> list[str]:
    """Images that `add` would have stored in another way, or that images.yaml does not tell of."""
    found = []
    for name in there:
        path, origin = concept.images / name, origins.get(name)
        if origin is None or origin.sha256 != file_digest(path) or metadata_kinds(path.read_bytes()):
            found.append(name)
    return found


def _stored_name(name: str, taken: set[str]) -> str:
    """Of an image that takes another's place: the same but for the suffix, unless that is another image's."""
    stem = PurePosixPath(name).stem
    free = f"{stem}.png"
    number = 1
    while free in taken:
        number += 1
        free = f"{stem}-{number}.png"
    return free


def _carry_out(settings: Settings, concept: Concept, plan: _Planned) -> None:
    """New files first, each in one step; then what goes; images.yaml and DVC's record last."""
    origins = dict(plan.origins)
    with tempfile.TemporaryDirectory(dir=settings.concepts_dir, prefix=ADDING) as parent:
        for name, path in plan.new.items():
            origins[name] = store_image(plan.checked[path], Path(parent, name))
        for name in plan.new:
            Path(parent, name).replace(path_inside(concept.images, name, follow=False))
    for name in plan.removed:
        path_inside(concept.images, name, follow=False).unlink(missing_ok=True)
    write_origins(concept.folder, [origins[name] for name in sorted(origins)])
    dvc_add(settings, concept.images)
