"""What git has to keep of a concept: asked before anything of it is written."""

from collections.abc import Iterable
from pathlib import Path

from model.errors import InputError
from tasks.concepts.concepts import CONCEPT_FILE
from tasks.concepts.image_origins import ORIGINS_FILE
from tasks.concepts.image_sets import RECORD_FILE
from tasks.dvc.command import needs_git
from tasks.project.git import git_ignores, git_problem
from tasks.project.settings import Settings, shown_path


def check_recordable(settings: Settings, names: Iterable[str]) -> None:
    """Raise InputError unless git will keep what makes these concepts: each file of them that is no image.

    DVC refuses to write its record where git ignores it, and what is not committed is in no other clone.
    """
    if needs_git(settings) and (problem := git_problem(settings.root)):
        raise InputError("; ".join(problem))
    kept = (CONCEPT_FILE, ORIGINS_FILE, RECORD_FILE, ".gitignore")
    files = [Path(shown_path(settings, settings.concepts_dir / name / file)) for name in names for file in kept]
    if ignored := git_ignores(settings.root, files):
        way_out = (
            "git and DVC keep what a concept is in these files: take the rule out, or end it by `!data/concepts/**`"
        )
        raise InputError(*(f"{said}; {way_out}" for said in ignored))
