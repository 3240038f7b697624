"""Which methods are compared, on which prompts: jobs of one concept that differ in the method alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError
from model.methods import METHODS, get_method
from tasks.jobs import Job, plan_jobs
from tasks.params import Params, load_params, parse_params
from tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """A method with one of its presets."""

    method: str
    preset: str
    label: str
    """As who asked wrote it: `method` or `method:preset`."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn for a comparison; None: as params.yaml says."""

    prompts: Path | None = None
    images_per_prompt: int | None = None
    num_inference_steps: int | None = None


def choose_methods(params: Params, wanted: Sequence[str]) -> list[MethodChoice]:
    """Methods by their labels; without a preset, with that of params.yaml where the method has it.

    Raises:
        InputError: unknown or repeated methods and presets, all of them together.
    """
    problems: list[str] = []
    choices: list[MethodChoice] = []
    for label in wanted:
        method, colon, preset = label.partition(":")
        chosen = preset if colon else params.preset
        try:
            get_method(method, chosen)
        except InputError as error:
            problems += error.problems
            continue
        if any((each.method, each.preset) == (method, chosen) for each in choices):
            problems.append(f"method '{label}': asked for twice, leave one out")
        else:
            choices.append(MethodChoice(method=method, preset=chosen, label=label))
    if not wanted:
        problems.append(f"no methods: say them as in --methods {','.join(list(METHODS)[:2])}")
    if problems:
        raise InputError(*problems)
    return choices


def comparison_jobs(
    settings: Settings, names: Sequence[str], methods: Sequence[str], drawing: Drawing
) -> dict[tuple[str, str], Job]:
    """The job of each concept by each method, by concept and label; all draw the same prompts from the same seeds.

    Changes that params.yaml makes to stages count for its own method and preset alone.

    Raises:
        InputError: anything is wrong with concepts, methods, prompts or parameters; all of it together.
    """
    params = load_params(settings.params_file)
    problems: list[str] = []
    jobs: dict[tuple[str, str], Job] = {}
    choices: list[MethodChoice] = []
    try:
        choices = choose_methods(params, methods)
    except InputError as error:
        problems += error.problems
    # Also without a method that exists, so that one look shows everything.
    for choice in choices or [MethodChoice(method=params.method, preset=params.preset, label="")]:
        try:
            changed = _changed(params, choice, drawing)
            jobs |= {(job.concept.name, choice.label): job for job in plan_jobs(settings, names, changed)}
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return jobs


def _changed(params: Params, choice: MethodChoice, drawing: Drawing) -> Params:
    content = params.model_dump()
    own = (params.method, params.preset) == (choice.method, choice.preset)
    content |= {"method": choice.method, "preset": choice.preset, "stages": content["stages"] if own else {}}
    if drawing.prompts is not None:
        content["evaluation"]["prompts"] = str(drawing.prompts.absolute())
    if drawing.images_per_prompt is not None:
        content["evaluation"]["images_per_prompt"] = drawing.images_per_prompt
    if drawing.num_inference_steps is not None:
        content["sampling"]["num_inference_steps"] = drawing.num_inference_steps
    return parse_params(content, "compare")


def without_gallery(job: Job) -> Job:
    """The job up to its evaluation: a comparison shows its own pictures and registers nothing."""
    return dataclasses.replace(job, stages=tuple(plan for plan in job.stages if plan.kind != "gallery"))
