"""The layout of the data set github.com/google/dreambooth: subjects, their classes, and whose pictures they are.

dataset/<subject>/00.jpg ...
dataset/prompts_and_classes.txt        lines "subject,class" below "subject_name,class"
dataset/references_and_licenses.txt    a paragraph a subject, which begins with "subject:"
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError
from tasks.concepts.concepts import NOT_STATED
from tasks.files.names import path_inside

REPOSITORY = "https://github.com/google/dreambooth"
FOLDER = "dataset"
CLASSES, REFERENCES = f"{FOLDER}/prompts_and_classes.txt", f"{FOLDER}/references_and_licenses.txt"
_HEADER = "subject_name,class"
_ENTRY = re.compile(r"(?P<subject>[\w-]+),\s*(?P<category>\S.*?)\s*")
_PHOTOGRAPHER = re.compile(r"unsplash\.com/@[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One subject of the data set."""

    name: str
    category: str
    """Its class: "stuffed animal"."""
    licence: str
    credit: str | None
    """Who took the pictures, as far as the data set says."""

    @property
    def path(self) -> str:
        """Of its folder, from the data set's root."""
        return f"{FOLDER}/{self.name}"


def read_subjects(root: Path, called: str, names: Sequence[str] = ()) -> list[Subject]:
    """These subjects, or all, of a copy of the data set that messages call `called`.

    Raises:
        InputError: it has another layout, or a link that leads out of it, or no subject of such a name; all problems
            together.
    """
    classes = _classes(root / CLASSES, f"{called}: {CLASSES}")
    problems = [_unknown(called, name, classes) for name in names if name not in classes]
    subjects = dict.fromkeys(names or classes)
    problems += [
        f"{called}: {FOLDER}/{name}: there is no such folder, though {CLASSES} names it"
        for name in subjects
        if name in classes and not path_inside(root, f"{FOLDER}/{name}").is_dir()
    ]
    if problems:
        raise InputError(*problems)
    paragraphs = _paragraphs(root / REFERENCES)
    return [_subject(name, classes[name], paragraphs.get(name, "")) for name in subjects]


def _classes(file: Path, label: str) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise InputError(f"{label}: cannot be read, so this is no copy of {REPOSITORY} ({error})") from error
    after = lines[lines.index(_HEADER) + 1 :] if _HEADER in lines else []
    found = {}
    for line in after:
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            break
        found[entry["subject"]] = entry["category"]
    if not found:
        raise InputError(f'{label}: no lines "subject,class" below "{_HEADER}"')
    return found


def _unknown(called: str, name: str, classes: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    said = f"did you mean '{near[0]}'? " if near else ""
    return f"{called}: no subject '{name}'; {said}there are: {', '.join(classes)}"


def _paragraphs(file: Path) -> dict[str, str]:
    """What is said of each subject; nothing where the file is not there."""
    if not file.is_file():
        return {}
    paragraphs = re.split(r"\n\s*\n", file.read_text(encoding="utf-8", errors="replace"))
    split = [paragraph.strip().partition(":") for paragraph in paragraphs]
    return {name: said for name, colon, said in split if colon and re.fullmatch(r"[\w-]+", name)}


def _subject(name: str, category: str, said: str) -> Subject:
    photographer = _PHOTOGRAPHER.search(said)
    if photographer:
        return Subject(name=name, category=category, licence="Unsplash License", credit=photographer[0])
    credit = " ".join(said.split()) or None
    licence = "permission of the data set's authors" if credit else NOT_STATED
    return Subject(name=name, category=category, licence=licence, credit=credit)
