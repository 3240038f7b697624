"""Concepts: one folder each under data/concepts, described by its concept.yaml."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from tasks.files.text_names import is_utf8
from tasks.files.yaml_files import read_yaml, schema_problems
from tasks.project.settings import Settings, shown_path

CONCEPT_FILE = "concept.yaml"
IMAGES_FOLDER = "images"
NOT_STATED = "not stated"
"""What `licence`, `source` and `consent` hold until somebody states them: visible to auditors, unlike a missing key."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{1,63}")
Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


class Concept(BaseModel):
    """One thing that a base model is taught: what its concept.yaml says, and where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: Path
    super_category: Text
    """What kind of thing it is, in the base model's own words: "teddy bear"."""
    licence: Text
    source: Text
    consent: Text
    description: Text | None = None
    instance_prompt: Text | None = None
    """The prompt of its images, with one {}; None means the method's own."""

    @property
    def images(self) -> Path:
        """The folder of its image set."""
        return self.folder / IMAGES_FOLDER

    @property
    def placeholder_token(self) -> str:
        """[V], the new word: `<name>`."""
        return f"<{self.name}>"

    @property
    def artifact_key(self) -> str:
        """The name for Prefect artifacts, which know no underscores; unique because `add` keeps it so."""
        return self.name.replace("_", "-")


FACTS = tuple(field for field in Concept.model_fields if field not in ("name", "folder"))
"""What a concept.yaml holds."""


def check_name(name: str) -> None:
    """InputError unless `name` can name a folder, a placeholder token, an MLflow model and a Prefect artifact."""
    if _NAME.fullmatch(name):
        return
    shown = name if len(name) <= 40 else f"{name[:40]}... ({len(name)} characters)"
    near = re.sub(r"[^a-z0-9_]+", "-", name.lower()).lstrip("0123456789_-").rstrip("_-")
    hint = f", such as '{near}'" if _NAME.fullmatch(near) else ", such as 'red-teapot'"
    raise InputError(
        f"concept name {shown!r}: 2 to 64 lowercase letters, digits, - and _ are needed, starting with a letter{hint}"
    )


def concept_names(settings: Settings) -> list[str]:
    """Names of all concept folders, sorted; also of those whose concept.yaml is broken.

    What lies beside them is passed over, also a folder whose name is not UTF-8: nothing could print it.
    """
    if not settings.concepts_dir.is_dir():
        return []
    folders = (p.name for p in settings.concepts_dir.iterdir() if not p.name.startswith(".") and p.is_dir())
    return sorted(name for name in folders if is_utf8(name))


def load_concept(settings: Settings, name: str) -> Concept:
    """The concept of that name. InputError, with all problems, if there is none or its concept.yaml is wrong."""
    check_name(name)
    folder = settings.concepts_dir / name
    if not folder.is_dir():
        raise InputError(no_such_concept(settings, name))
    file = folder / CONCEPT_FILE
    label = shown_path(settings, file)
    if not file.exists():
        raise InputError(
            f"concept '{name}': {label} is missing; write it with {', '.join(FACTS[:4])}, or remove the folder"
        )
    return parse_concept(name, folder, read_yaml(file, label), label)


def parse_concept(name: str, folder: Path, facts: Any, label: str) -> Concept:
    """A concept from the content of its concept.yaml. InputError with all problems, each beginning with `label`."""
    if not isinstance(facts, dict):
        raise InputError(f"{label}: lines such as `super_category: teapot` are needed, for {', '.join(FACTS)}")
    # The word that is taught comes from the folder's name, so that no two concepts can have the same.
    by_place = {"name", "folder", "placeholder_token"} & set(facts)
    problems = [f"{label}: {key} does not belong here; the folder says it" for key in sorted(by_place)]
    known = {key: value for key, value in facts.items() if key not in by_place}
    concept = None
    try:
        concept = Concept.model_validate({**known, "name": name, "folder": folder})
        template: dict[str, Any] = {"template": concept.instance_prompt} if concept.instance_prompt else {}
        ConceptPrompt(concept.placeholder_token, concept.super_category, **template)
    except ValidationError as error:
        problems += schema_problems(error, label, FACTS)
    except InputError as error:
        problems += [f"{label}: {problem}" for problem in error.problems]
    if problems or concept is None:
        raise InputError(*problems)
    return concept


def no_such_concept(settings: Settings, name: str) -> str:
    """That there is no concept of that name, and which there are."""
    existing, said = concept_names(settings), f"concept '{name}': there is none; "
    if not existing:
        return said + "this project has no concepts yet: `conceptbooth add NAME IMAGES... --category CATEGORY`"
    near = difflib.get_close_matches(name, existing, n=1)
    listed = ", ".join(existing[:10]) + (f" and {len(existing) - 10} more" if len(existing) > 10 else "")
    return said + (f"did you mean '{near[0]}'? " if near else "") + f"there are: {listed}"
