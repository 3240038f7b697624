"""Prompt sets: the prompts that a concept model is judged by, one YAML file each under data/prompts."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from model.bases.prompt import prompt_problems
from model.errors import InputError
from tasks.files.yaml_files import read_yaml, schema_problems

Tag = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_-]*$")]


Scene = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, pattern=r"^[^{}\n]+$")]


class EvaluationPrompt(BaseModel):
    """One prompt of a set, with {} where the concept goes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    text: Annotated[str, StringConstraints(strict=True, strip_whitespace=True)] = Field(alias="prompt")
    tags: tuple[Tag, ...] = ()
    """What the prompt asks for beyond the concept, such as background or style."""
    word: Annotated[str, StringConstraints(strict=True, pattern=r"^\S+$")] | None = None
    """The word of it, such as box or sketch, whose attention a comparison shows beside that of the concept."""


class PromptSet(BaseModel):
    """What concept models are judged by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: tuple[EvaluationPrompt, ...] = Field(min_length=1)
    scenes: tuple[Scene, ...] = ()
    """Places as prompts name them ("on the beach"), those of the prompts and those that images may show: a comparison
    counts pictures that show a scene of the concept's images where the prompt names another."""


def load_prompt_set(path: Path) -> PromptSet:
    """A prompt set, prompts and scenes in the file's order.

    Raises:
        InputError: no such file, unknown keys, a prompt without exactly one {}, a prompt or scene twice, a word that
            its prompt does not have once, scenes of which no prompt names one; all of it together.
    """
    if not path.exists():
        raise InputError(f"prompt set {path}: there is no such file; name one as evaluation.prompts in params.yaml")
    content = read_yaml(path, str(path))
    problems: list[str] = []
    loaded = None
    try:
        loaded = PromptSet.model_validate(content)
    except ValidationError as error:
        problems += schema_problems(error, str(path), ("prompts", "prompt", "tags", "word", "scenes"))
    # also asked of a file that is wrong in other ways, so that one look shows everything
    entries = _entries(content)
    texts = [text for text, _ in entries]
    problems += [f"{path}: {problem}" for text in texts for problem in prompt_problems(text)]
    repeated = [text for text, count in Counter(texts).items() if count > 1]
    problems += [f'{path}: prompt "{text}" stands twice: leave one out' for text in repeated]
    problems += [
        f"{path}: word '{word}': not once in \"{text}\"; name a word of the prompt, or none"
        for text, word in entries
        if isinstance(word, str) and re.findall(r"[\w'-]+", text).count(word) != 1
    ]
    if loaded is not None:
        problems += [f"{path}: {problem}" for problem in _scene_problems(loaded)]
    if problems or loaded is None:
        raise InputError(*problems)
    return loaded


def _scene_problems(loaded: PromptSet) -> list[str]:
    repeated = [scene for scene, count in Counter(loaded.scenes).items() if count > 1]
    problems = [f'scene "{scene}" stands twice: leave one out' for scene in repeated]
    named = (names_scene(prompt.text, scene) for prompt in loaded.prompts for scene in loaded.scenes)
    if loaded.scenes and not any(named):
        problems.append("no prompt names any of the scenes, so none could leak: write them as the prompts do")
    return problems


def names_scene(prompt: str, scene: str) -> bool:
    """Whether the prompt has these words."""
    return re.search(rf"(?<!\w){re.escape(scene)}(?!\w)", prompt) is not None


def _entries(content: Any) -> list[tuple[str, Any]]:
    """Prompts as far as they are texts, each with its word."""
    entries = content.get("prompts") if isinstance(content, dict) else None
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(" ".join(e["prompt"].split()), e.get("word")) for e in listed if isinstance(e.get("prompt"), str)]
