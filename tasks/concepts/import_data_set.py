"""Concepts out of a data set that somebody else keeps: imported by DVC at a commit, so that their origin is on record.

The bytes are the origin's: unlike those of `conceptbooth add`, the files keep their names, format and metadata, because
DVC's record says that they are what lies in that repository. Everything that is made from them reads them as it reads
all images (tasks/concepts/image_reading.py): upright sRGB pixels without metadata, of a multi-picture file the first
picture.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.bases.prompt import ConceptPrompt
from model.errors import InputError, WorkFailed
from tasks.concepts.add import check_no_twin, exists_already, new_folder
from tasks.concepts.concepts import NOT_STATED, Concept, check_name, load_concept, parse_concept
from tasks.concepts.dreambooth_data_set import Subject, read_subjects
from tasks.concepts.git_records import check_recordable
from tasks.concepts.image_checks import find_images, inspect_images
from tasks.concepts.image_origins import ORIGINS_FILE
from tasks.concepts.image_sets import RECORD_FILE, image_set
from tasks.dvc.command import dvc_import
from tasks.files.addresses import hide_credentials, without_credentials
from tasks.files.locks import file_lock
from tasks.files.names import path_inside
from tasks.files.yaml_files import read_yaml
from tasks.pictures.kinds import named_as_picture
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, shown_path


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One concept of an import."""

    concept: Concept
    digest: str
    """Data version: DVC's folder hash."""
    images: int
    others: tuple[str, ...]
    """Files beside the images, which nothing is learnt from: DVC imports whole folders."""
    commit: str
    state: Literal["imported", "already there"]


@dataclass(frozen=True, kw_only=True)
class _Intake:
    concept: Concept
    subject: Subject
    there: bool
    """Whether it is imported already, from this very commit."""


def import_dreambooth(
    settings: Settings,
    origin: str,
    *,
    revision: str | None = None,
    subjects: Sequence[str] = (),
    limits: BaseLimits,
) -> list[Imported]:
    """Import subjects, or all, of the DreamBooth data set at `origin`: the URL or folder of a git repository.

    `revision` is a commit, tag or branch, by default what the repository shows; it is locked to its commit. Subjects
    that an earlier call has imported from that commit stay as they are; one that was interrupted is finished.

    Raises:
        InputError: the origin is no such repository, or subjects that cannot be used; all problems together, and
            nothing was written.
        WorkFailed: git, DVC or the disk failed; the same call carries on.
    """
    if hide_credentials(origin, origin) != origin and ":" in origin.partition("://")[2].rpartition("@")[0]:
        raise InputError(
            f"{without_credentials(origin)}: a password in its address would stand in images.dvc and concept.yaml; "
            "give it to git by a credential helper, or name the repository by ssh"
        )
    if Path(origin).exists():
        origin = str(Path(origin).resolve())  # DVC's record is read from other folders too
    try:
        with _clone(settings, origin, revision) as (clone, commit), file_lock(settings.home / "add.lock"):
            found = read_subjects(clone, origin, subjects)
            intakes = _check(settings, origin, commit, clone, found, limits)
            for intake in intakes:
                if not intake.concept.folder.exists():
                    with new_folder(settings, intake.concept):
                        pass  # the images come by DVC
            wanted = {intake.subject.path: intake.concept.images for intake in intakes if not intake.there}
            for images in wanted.values():
                shutil.rmtree(images, ignore_errors=True)  # of an import that was killed
            if wanted:
                dvc_import(settings, origin, commit, wanted)
    except OSError as error:
        raise WorkFailed(
            f"writing below {settings.concepts_dir} failed ({error.strerror or error}); the same command carries on "
            "once that is mended"
        ) from error
    return [_imported(settings, intake, commit) for intake in intakes]


@contextmanager
def _clone(settings: Settings, origin: str, revision: str | None) -> Iterator[tuple[Path, str]]:
    """A copy of the repository to look at before anything is written, and its commit."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix="import-") as folder:
        clone = Path(folder, "origin")
        whole = [] if revision else ["--depth", "1"]
        _git("clone", "--quiet", *whole, "--", _git_address(origin), str(clone), failed=f"{origin}: no git repository")
        if revision:
            failed = f"{origin}: no commit, tag or branch '{revision}'"
            _git("-C", str(clone), "checkout", "--quiet", "--detach", revision, failed=failed)
        yield clone, _git("-C", str(clone), "rev-parse", "HEAD", failed=f"{origin}: has no commit").strip()


def _git_address(origin: str) -> str:
    """Of a folder its URL: from a bare path git copies everything, whatever depth is asked for."""
    return Path(origin).as_uri() if Path(origin).is_absolute() else origin


def _git(*arguments: str, failed: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise InputError(f"{failed} ({' '.join(done.stderr.split())})")
    return done.stdout


def _check(
    settings: Settings,
    origin: str,
    commit: str,
    clone: Path,
    subjects: Sequence[Subject],
    limits: BaseLimits,
) -> list[_Intake]:
    """Everything that can be wrong, before anything is written."""
    problems: list[str] = []
    intakes = []
    try:
        check_recordable(settings, [subject.name for subject in subjects])
    except InputError as error:
        problems += error.problems
    for subject in subjects:
        try:
            concept = _concept(settings, origin, commit, subject)
            there = _is_there(settings, concept, origin, commit, subject)
            intakes.append(_Intake(concept=concept, subject=subject, there=there))
            limits.check_words(ConceptPrompt(concept.placeholder_token, concept.super_category))
            found = find_images([clone / subject.path])
            for path in found.files:  # DVC would follow a link, and bring in a file of this machine
                path_inside(clone, path.relative_to(clone).as_posix())
            problems += found.problems
            problems += [
                f"{path}: a folder, whose files would be taken too, since DVC imports whole folders; import from a "
                "commit without it"
                for path in found.left_aside
                if path.is_dir()
            ]
            inspect_images(found.files, limits.min_pixels)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*(problem.replace(f"{clone}/", f"{origin}: ") for problem in problems))
    return intakes


def _concept(settings: Settings, origin: str, commit: str, subject: Subject) -> Concept:
    facts = {
        "super_category": subject.category,
        "licence": subject.licence,
        "source": f"{origin} {subject.path} at {commit[:12]}" + (f" ({subject.credit})" if subject.credit else ""),
        "consent": NOT_STATED,
    }
    return parse_concept(subject.name, settings.concepts_dir / subject.name, facts, f"{origin}: {subject.name}")


def _is_there(settings: Settings, concept: Concept, origin: str, commit: str, subject: Subject) -> bool:
    """Whether this very import has been done; InputError if something else has the name."""
    check_name(concept.name)
    check_no_twin(settings, concept.name)
    if not concept.folder.exists():
        return False
    record = concept.folder / RECORD_FILE
    if record.exists():
        content = read_yaml(record, shown_path(settings, record))
        dependencies = content.get("deps") if isinstance(content, dict) else None
        repository = {"url": origin, "rev": commit, "rev_lock": commit}
        if dependencies == [{"path": subject.path, "repo": repository}]:
            return True
    elif not (concept.folder / ORIGINS_FILE).exists() and load_concept(settings, concept.name) == concept:
        return False  # an earlier call was stopped before DVC was through
    raise exists_already(settings, concept.name)


def _imported(settings: Settings, intake: _Intake, commit: str) -> Imported:
    images = image_set(settings, intake.concept)
    pictures = {file.relpath: named_as_picture(file.relpath) for file in images.files}
    return Imported(
        concept=intake.concept,
        digest=images.digest,
        images=sum(pictures.values()),
        others=tuple(name for name, is_one in pictures.items() if not is_one),
        commit=commit,
        state="already there" if intake.there else "imported",
    )
