"""A concept's folder under another name, or gone; its versions and releases are the registry's and the ledger's."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from tasks.concepts.add import ADDING, check_no_twin, exists_already
from tasks.concepts.concepts import CONCEPT_FILE, Concept, check_name, load_concept
from tasks.concepts.git_records import check_recordable
from tasks.concepts.image_edits import writing
from tasks.concepts.image_origins import ORIGINS_FILE
from tasks.concepts.image_sets import RECORD_FILE, git_state, image_set, record_file
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, shown_path

Kept = Literal["git", "cache", "nowhere"]
"""Where what is removed can still be had: all of it by git's newest commit and DVC; the images alone, in DVC's cache;
or nothing of it."""


def check_rename(settings: Settings, old: str, new: str, limits: BaseLimits) -> Concept:
    """The concept that gets another name. InputError, all problems together, where it cannot."""
    concept = load_concept(settings, old)
    problems = _made_by_dvc(settings, concept)
    try:
        check_name(new)
        if (settings.concepts_dir / new).exists():
            raise exists_already(settings, new)
        if new.replace("_", "-") != concept.artifact_key:  # its own name is none that it could be too near to
            check_no_twin(settings, new)
        check_recordable(settings, [new])
        limits.check_words(ConceptPrompt(f"<{new}>", concept.super_category))
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*problems)
    return concept


def rename_concept(settings: Settings, concept: Concept, new: str) -> None:
    """Move the folder, in one step: what lies in it names no path outside it. Raises WorkFailed."""
    with writing(settings, concept):
        concept.folder.rename(settings.concepts_dir / new)


def check_removal(settings: Settings, name: str) -> tuple[Concept, Kept]:
    """The concept that is to go, and what will be left of it. InputError where it cannot go."""
    concept = load_concept(settings, name)
    if problems := _made_by_dvc(settings, concept):
        raise InputError(*problems)
    return concept, _kept(settings, concept)


def remove_concept(settings: Settings, concept: Concept) -> None:
    """Take the folder away; from the first step on there is no such concept. Raises WorkFailed."""
    with (
        writing(settings, concept),
        tempfile.TemporaryDirectory(dir=settings.concepts_dir, prefix=ADDING) as parent,
    ):
        gone = Path(parent, concept.name)
        concept.folder.rename(gone)
        shutil.rmtree(gone)


def _made_by_dvc(settings: Settings, concept: Concept) -> list[str]:
    recorded = record_file(settings, concept)
    if recorded is None or recorded.name == RECORD_FILE:
        return []
    return [
        f"concept '{concept.name}': dvc.yaml makes its images, in the folder of this name "
        f"({shown_path(settings, recorded)}), and params.yaml names it among the samples: change them there"
    ]


def _kept(settings: Settings, concept: Concept) -> Kept:
    git = git_state(settings)
    try:
        images = image_set(settings, concept, git)
    except InputError:  # no images: what can be lost is the description
        return "git" if git.records(concept.folder / CONCEPT_FILE) else "nowhere"
    files = [concept.folder / name for name in (CONCEPT_FILE, ORIGINS_FILE, RECORD_FILE)]
    if images.state == "committed" and all(git.records(file) for file in files if file.exists()):
        return "git"
    return "cache" if images.state in ("committed", "uncommitted") else "nowhere"
