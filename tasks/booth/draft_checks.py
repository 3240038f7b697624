"""The pictures of a new concept looked at as `add` looks at them, each problem told at its picture or its field."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.booth.visitors import BroughtFile, brought
from tasks.concepts.add import Added, NewConcept, add_concept, check_new_concept
from tasks.project.base_limits import base_limits
from tasks.project.settings import Settings

FIELDS = ("name", "category", "licence", "source", "consent")
_BEGINNINGS = {"concept name": "name", "concept '": "name", "placeholder token": "name", "super-category": "category"}
_MOST_LETTERS = 500


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What there is to say of a draft, each sentence where it belongs."""

    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By the number of the picture."""
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for the page."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A draft that was looked at."""

    problems: Findings
    hints: Findings
    good: bool
    """Whether it can be added as it is."""


def check_draft(settings: Settings, draft: Path, asked: Mapping[str, Any]) -> Checked:
    """Look at a draft without writing anything. Raises InputError where the project itself is wrong."""
    files, limits = brought(draft), base_limits(settings)
    try:
        hints = check_new_concept(settings, new_concept(files, asked), limits)
    except InputError as error:
        return Checked(problems=sorted_out(error.problems, files), hints=Findings(), good=False)
    return Checked(problems=Findings(), hints=sorted_out(hints, files), good=True)


def add_draft(settings: Settings, draft: Path, asked: Mapping[str, Any]) -> Added | Findings:
    """Add the concept; or what is wrong with it, and nothing was written. Raises WorkFailed as `add_concept`."""
    files = brought(draft)
    try:
        return add_concept(settings, new_concept(files, asked), base_limits(settings))
    except InputError as error:
        return sorted_out(error.problems, files)


def new_concept(files: Sequence[BroughtFile], asked: Mapping[str, Any]) -> NewConcept:
    """What the page sent, as the command line would have said it: an empty field is one that was not stated."""
    said = {name: str(asked.get(name) or "").strip()[:_MOST_LETTERS] for name in FIELDS}
    return NewConcept(
        name=said["name"],
        images=[file.path for file in files],
        category=said["category"],
        licence=said["licence"] or None,
        source=said["source"] or None,
        consent=said["consent"] or None,
    )


def sorted_out(sentences: Sequence[str], files: Sequence[BroughtFile]) -> Findings:
    """Each sentence at the pictures that it names, by their own names and not by where they lie; else at its field."""
    at_files: dict[str, list[str]] = {}
    at_fields: dict[str, list[str]] = {}
    others: list[str] = []
    for sentence in sentences:
        named = [file for file in files if str(file.path) in sentence]
        for file in named:
            at_files.setdefault(file.number, []).append(_words(sentence, named, file))
        if named:
            continue
        where = next((place for start, place in _BEGINNINGS.items() if sentence.startswith(start)), None)
        if sentence.startswith("--"):
            where = sentence[2:].split(" ", 1)[0].rstrip(":")
            sentence = sentence[2:].replace("say it as in --", "such as ")
        if where in FIELDS:
            at_fields.setdefault(where, []).append(sentence)
        else:
            others.append(sentence)
    return Findings(files=at_files, fields=at_fields, others=tuple(others))


def _words(sentence: str, named: Sequence[BroughtFile], at: BroughtFile) -> str:
    """The sentence without folders; at a picture that it begins with, without that name too."""
    said = sentence
    for file in sorted(named, key=lambda file: len(str(file.path)), reverse=True):
        said = said.replace(str(file.path), file.name)
    return said.removeprefix(f"{at.name}: ")
