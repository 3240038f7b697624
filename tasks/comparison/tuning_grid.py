"""What is tried when methods are tuned: a file, so that it is written down that each had the same budget."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import InputError
from model.methods.presets import get_method
from tasks.comparison.choice import MethodChoice
from tasks.files.yaml_files import read_yaml, schema_problems
from tasks.project.params import Seed

Changes = dict[str, dict[str, bool | int | float | str]]


class _Tries(BaseModel):
    """The settings of one method that are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: str = Field(min_length=1)
    tries: list[Changes] = Field(min_length=1)
    """Each the changes to the preset: stage, then field, then value; {} is the preset itself."""


class Grid(BaseModel):
    """A tuning grid as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    concepts: list[str] = Field(min_length=1)
    """Others than those that results are reported on."""
    seeds: list[Seed] = Field(min_length=1)
    images_per_prompt: Annotated[int, Field(ge=1, le=1000)]
    methods: dict[str, _Tries] = Field(min_length=1)

    @property
    def choices(self) -> list[MethodChoice]:
        """Every try, under a label of its method and number."""
        return [
            MethodChoice(method=method, preset=tried.preset, label=f"{method}.{number}", stages=changes)
            for method, tried in self.methods.items()
            for number, changes in enumerate(tried.tries, 1)
        ]


def load_grid(file: Path) -> Grid:
    """Read and check a grid.

    Raises:
        InputError: no such file, unknown keys, methods, presets, stages or settings, values out of range, a try that
            stands twice, methods with different numbers of tries; all of it together.
    """
    if not file.is_file():
        raise InputError(f"tuning grid {file}: there is no such file")
    content = read_yaml(file, str(file))
    try:
        grid = Grid.model_validate(content)
    except ValidationError as error:
        raise InputError(*schema_problems(error, str(file), [*Grid.model_fields, *_Tries.model_fields])) from error
    problems = [f"{file}: {problem}" for problem in _problems(grid)]
    if problems:
        raise InputError(*problems)
    return grid


def _problems(grid: Grid) -> Sequence[str]:
    problems: list[str] = []
    for choice in grid.choices:
        try:
            get_method(choice.method, choice.preset, choice.stages)
        except InputError as error:
            problems += [f"{choice.label}: {problem}" for problem in error.problems]
    for method, tried in grid.methods.items():
        twice = [number for number, changes in enumerate(tried.tries, 1) if changes in tried.tries[: number - 1]]
        problems += [f"{method}.{number}: stands twice, leave one out" for number in twice]
    counts = {method: len(tried.tries) for method, tried in grid.methods.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{method} {count}" for method, count in counts.items())
        problems.append(f"methods have different numbers of tries ({said}): give each the same")
    return problems


def samples(choice: MethodChoice) -> int:
    """Pictures that a try trains on, over all its stages: steps times batch."""
    method = get_method(choice.method, choice.preset, choice.stages)
    return sum(stage.max_train_steps * stage.batch_size for stage in method.stages)


def words(changes: Mapping[str, Mapping[str, Any]] | None) -> str:
    """Changes as one line: `unet.learning_rate 0.0001`."""
    found = [f"{stage}.{field} {value}" for stage, fields in (changes or {}).items() for field, value in fields.items()]
    return ", ".join(found) or "the preset"
