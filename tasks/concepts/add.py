"""A new concept: check everything that was brought, store it without metadata, put it under version control."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model.bases.prompt import ConceptPrompt
from model.diffusion.shrinking import shrunk
from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import (
    CONCEPT_FILE,
    FACTS,
    NOT_STATED,
    Concept,
    check_name,
    concept_names,
    load_concept,
    parse_concept,
)
from tasks.concepts.git_records import check_recordable
from tasks.concepts.image_checks import (
    FEWEST_IMAGES,
    USUAL_IMAGES,
    CheckedImage,
    examine_images,
    find_images,
)
from tasks.concepts.image_origins import ORIGINS_FILE, ImageOrigin, image_origins, write_origins
from tasks.concepts.image_reading import normalise_image
from tasks.concepts.image_sets import RECORD_FILE, image_set
from tasks.concepts.takedown_memory import current_takedowns
from tasks.dvc.command import dvc_add
from tasks.files.hashing import file_digest
from tasks.files.locks import file_lock
from tasks.files.yaml_files import write_yaml
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, shown_path
from tasks.store.blobs import StoreFailed
from tasks.store.store import open_store

MOST_STORED_PIXELS = 1536
"""Short side above which images are scaled down before they are stored.

Twice the 768 pixels of the largest supported base: rotated and cropped views still hold more detail than the base can
draw, while a 12-megapixel photograph as lossless PNG would take 25 MB for nothing more.
"""
EXAMPLES = {"category": "stuffed animal", "licence": "CC-BY-4.0", "source": "own photographs", "consent": "the owner"}
"""Of each option that says something about the concept."""
ADDING = ".adding-"
"""Beginning of the names of folders in which a concept is put together."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NewConcept:
    """What somebody brings, as they said it."""

    name: str
    images: Sequence[Path]
    """Files, and folders of files."""
    category: str
    """The super-category."""
    licence: str | None = None
    source: str | None = None
    consent: str | None = None
    take_good: bool = False
    """Leave out the images that are bad, as long as enough are left, instead of refusing all."""

    @property
    def stated(self) -> dict[str, str | None]:
        """What was said about the concept, by option; None where nothing was."""
        return {option: getattr(self, option) for option in EXAMPLES}


@dataclass(frozen=True, kw_only=True)
class Added:
    """A concept that was added."""

    concept: Concept
    images: tuple[ImageOrigin, ...]
    digest: str
    """Data version: DVC's folder hash."""
    hints: tuple[str, ...]
    """What a person should know though it is no reason to refuse anything."""
    left_out: tuple[str, ...] = ()
    """What is wrong with each image that was left out."""


@dataclass(frozen=True, kw_only=True)
class CheckedImages:
    """Images that can be stored, and what to say of them and of the others."""

    images: tuple[CheckedImage, ...]
    hints: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Intake(CheckedImages):
    concept: Concept


def add_concept(settings: Settings, new: NewConcept, limits: BaseLimits) -> Added:
    """Check the images and facts of a new concept, store them under data/concepts, and `dvc add` the images.

    The concept's folder appears as a whole or not at all; where only `dvc add` was missed, the same call does it.

    Raises:
        InputError: anything is wrong, all of it together; nothing was written.
        WorkFailed: the disk or DVC failed.
    """
    intake = _check(settings, new, limits)
    concept = intake.concept
    try:
        with file_lock(settings.home / "add.lock"):
            if not _stored_before(settings, intake):
                _put_together(settings, intake)
            dvc_add(settings, concept.images)
    except OSError as error:
        raise WorkFailed(
            f"concept '{new.name}': writing below {settings.concepts_dir} failed ({error.strerror or error}); "
            "the same command carries on once that is mended"
        ) from error
    return Added(
        concept=concept,
        images=image_origins(concept),
        digest=image_set(settings, concept).digest,
        hints=intake.hints,
        left_out=intake.left_out,
    )


def check_new_concept(settings: Settings, new: NewConcept, limits: BaseLimits) -> tuple[str, ...]:
    """Look at a new concept as `add_concept` does, and write nothing; the hints that it would give.

    Raises:
        InputError: anything is wrong, all of it together.
    """
    return _check(settings, new, limits).hints


def _check(settings: Settings, new: NewConcept, limits: BaseLimits) -> _Intake:
    """Everything that can be wrong, before anything is written."""
    name, stated = new.name, new.stated
    problems: list[str] = []

    def passed(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except InputError as error:
            problems.extend(error.problems)
            return None

    passed(lambda: check_name(name))
    if not problems:
        passed(lambda: _check_name_is_free(settings, name))
        passed(lambda: check_recordable(settings, [name]))
    known_as = (
        "any" if problems else name
    )  # a bad name has been complained of: the words are looked at under a good one
    empty = [option for option, value in stated.items() if value is not None and not value.strip()]
    problems += [f'--{option} is empty; say it as in --{option} "{EXAMPLES[option]}"' for option in empty]
    facts = {option: value if value and value.strip() else NOT_STATED for option, value in stated.items()}
    facts["super_category"] = facts.pop("category")
    concept = None
    if "category" not in empty:
        concept = passed(lambda: parse_concept(known_as, settings.concepts_dir / name, facts, "--category"))
    if concept is not None:
        passed(lambda: limits.check_words(ConceptPrompt(concept.placeholder_token, concept.super_category)))
    found = find_images(new.images)
    problems += found.problems
    checked = None
    if found.files or not found.problems:  # else nothing that could be said of images is news
        checked = passed(lambda: check_brought(settings, found.files, limits, take_good=new.take_good))
    if problems or concept is None or checked is None:
        raise InputError(*problems)

    hints = [f"left aside, no image by its name: {path}" for path in found.left_aside]
    hints += checked.hints
    if len(checked.images) > USUAL_IMAGES:
        hints.append(
            f"{len(checked.images)} images: 3 to {USUAL_IMAGES} good ones are usual, more seldom make it better"
        )
    unknown = [fact for fact, value in stated.items() if value is None]
    if unknown:
        hints.append(f"{', '.join(unknown)}: {NOT_STATED}; write it into {CONCEPT_FILE} before anything is released")
    return _Intake(concept=concept, images=checked.images, hints=tuple(hints), left_out=checked.left_out)


def check_brought(
    settings: Settings, files: Sequence[Path], limits: BaseLimits, *, take_good: bool = False
) -> CheckedImages:
    """Look at files that somebody brings; with `take_good` those that are bad are left out as long as enough are good.

    Raises:
        InputError: all that is wrong with them, together.
    """
    examined, hints = examine_images(files, limits.min_pixels), []
    try:
        taken = _taken_down(settings, examined.good)
    except StoreFailed as failure:  # training asks anew
        taken = {}
        hints.append(f"whether one of the images was taken down is not known, training asks again: {failure}")
    good = tuple(image for image in examined.good if image.path not in taken)
    bad = {**examined.refused, **examined.repeated, **taken}
    if (not take_good and bad) or len(good) < FEWEST_IMAGES:
        raise InputError(*dict.fromkeys((*examined.problems, *taken.values())))
    hints += [remark for image in good for remark in image.remarks]
    side = limits.resolution or 0
    hints += [
        f"{image.path}: {image.width} x {image.height} pixels, and the base draws {side} x {side}: it is enlarged "
        f"{side / min(image.width, image.height):.1f} times, and what it does not show cannot be learnt, but its "
        "blur can; bring a larger one if there is one"
        for image in good
        if min(image.width, image.height) < side
    ]
    said = {path: _why_left_out(path, said) for path, said in bad.items()}
    return CheckedImages(images=good, hints=tuple(hints), left_out=tuple(said[path] for path in files if path in said))


def _why_left_out(path: Path, said: str) -> str:
    """Of several files that hold one picture each its own sentence, since one of them is taken."""
    return said if said.startswith(f"{path}: ") else f"{path}: {said.removesuffix(': keep one of them')}"


def _taken_down(settings: Settings, images: Sequence[CheckedImage]) -> dict[Path, str]:
    """A sentence for each image that was taken down. Raises StoreFailed."""
    taken = current_takedowns(settings, open_store(settings), ask_registry=False)
    found = [(image.path, takedown) for image in images if (takedown := taken.about(image.sha256))]
    return {path: f"{path}: {takedown.words}; it is not taken in again" for path, takedown in found}


def _check_name_is_free(settings: Settings, name: str) -> None:
    """InputError for a concept that exists, unless an earlier call stored it and ended before `dvc add`."""
    check_no_twin(settings, name)
    folder = settings.concepts_dir / name
    if folder.exists() and ((folder / RECORD_FILE).exists() or not (folder / ORIGINS_FILE).exists()):
        raise exists_already(settings, name)


def check_no_twin(settings: Settings, name: str) -> None:
    """InputError for a name too near to that of another concept."""
    for other in concept_names(settings):
        # names that differ in - and _ alone would share a Prefect artifact
        if other != name and other.replace("_", "-") == name.replace("_", "-"):
            raise InputError(f"concept name '{name}': too near to the concept '{other}', choose another")


def exists_already(settings: Settings, name: str) -> InputError:
    """That there is such a concept, and what to do about it."""
    where = shown_path(settings, settings.concepts_dir / name)
    return InputError(f"concept '{name}' exists already ({where}): choose another name, or remove that folder")


def _stored_before(settings: Settings, intake: _Intake) -> bool:
    """Whether an earlier call has stored this very concept; InputError if it has stored another one."""
    concept = intake.concept
    if not concept.folder.exists():
        return False
    same_images = [o.original_sha256 for o in image_origins(concept)] == [image.sha256 for image in intake.images]
    if not same_images or load_concept(settings, concept.name) != concept:
        raise InputError(
            f"concept '{concept.name}' exists already ({shown_path(settings, concept.folder)}), from an `add` of other "
            "images or facts that was interrupted: repeat that one, or remove the folder"
        )
    return True


def _put_together(settings: Settings, intake: _Intake) -> None:
    concept = intake.concept
    with new_folder(settings, concept) as folder:
        images = folder / concept.images.name
        images.mkdir()
        digits = max(2, len(str(len(intake.images) - 1)))
        origins = []
        for index, image in enumerate(intake.images):
            origins.append(store_image(image, images / f"{index:0{digits}d}.png"))
        write_origins(folder, origins)


def store_image(image: CheckedImage, file: Path) -> ImageOrigin:
    """Write a picture as it is stored, its pixels alone, and say where it comes from."""
    shrunk(normalise_image(image.path), MOST_STORED_PIXELS).save(file)
    return ImageOrigin(file=file.name, sha256=file_digest(file), original=image.path.name, original_sha256=image.sha256)


@contextmanager
def new_folder(settings: Settings, concept: Concept) -> Iterator[Path]:
    """A concept's folder to be filled beside its place; with concept.yaml in it, it moves there in one step."""
    settings.concepts_dir.mkdir(parents=True, exist_ok=True)
    for left_over in settings.concepts_dir.glob(f"{ADDING}*"):  # of a call that was killed: we are alone here
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(dir=settings.concepts_dir, prefix=ADDING) as parent:
        folder = Path(parent, concept.name)
        folder.mkdir()
        yield folder
        facts = {fact: value for fact in FACTS if (value := getattr(concept, fact)) is not None}
        write_yaml(folder / CONCEPT_FILE, facts, "What this concept is; conceptbooth checks it before each use.")
        folder.rename(concept.folder)
