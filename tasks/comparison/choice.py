"""Which methods are compared, on which prompts: jobs of one concept that differ in method and training seed alone."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from model.errors import InputError
from model.methods.presets import METHODS, get_method
from tasks.jobs.jobs import Job, plan_jobs
from tasks.jobs.keys import plan_maps
from tasks.project.params import Params, load_params, parse_params
from tasks.project.settings import Settings

AT = "@"
"""Between a method's label and the steps of its last stage, where they are swept."""


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """A method with one of its presets."""

    method: str
    preset: str
    label: str
    """As who asked wrote it: `method` or `method:preset`."""
    stages: Mapping[str, Mapping[str, Any]] | None = None
    """Changes to the preset; None: those of params.yaml where this is its own method and preset."""


def swept(choices: Sequence[MethodChoice], steps: Sequence[int]) -> list[MethodChoice]:
    """Each method once for each number of steps of its last stage, labelled `method@steps`.

    Raises:
        InputError: numbers that stand twice or are no numbers of steps; all of it together.
    """
    problems = [f"--sweep {n}: asked for twice, leave one out" for n, count in Counter(steps).items() if count > 1]
    problems += [f"--sweep {number}: a number of steps is at least 1" for number in steps if number < 1]
    if len(set(steps)) < 2:
        problems.append("--sweep: a curve has at least two points; name numbers of steps, such as 20,40,80")
    if problems:
        raise InputError(*problems)
    found = []
    for choice in choices:
        last = get_method(choice.method, choice.preset, choice.stages).stages[-1].name
        for number in steps:
            stages = {name: dict(fields) for name, fields in (choice.stages or {}).items()}
            stages.setdefault(last, {})["max_train_steps"] = number
            label = f"{choice.label}{AT}{number}"
            found.append(dataclasses.replace(choice, label=label, stages=stages))
    return found


def sweep_of(labels: Sequence[str]) -> dict[str, tuple[str, int]]:
    """By label the method and the steps of those that `swept` has made."""
    parts = {label: label.rpartition(AT) for label in labels}
    return {label: (method, int(steps)) for label, (method, at, steps) in parts.items() if at}


class ComparedTraining(NamedTuple):
    """One training of a comparison."""

    concept: str
    method: str
    """Its label."""
    seed: int
    """Of the training; all draw from the same seeds."""


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


def chosen(labels: Sequence[str], sweep: Sequence[int] = ()) -> Callable[[Params], Sequence[MethodChoice]]:
    """What `Wanted.methods` is for methods that are called by their labels, each with these steps of its last stage."""

    def choose(params: Params) -> Sequence[MethodChoice]:
        choices = choose_methods(params, labels)
        return swept(choices, sweep) if sweep else choices

    return choose


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be compared."""

    concepts: Sequence[str]
    methods: Callable[[Params], Sequence[MethodChoice]]
    """Says which, or raises InputError; the others are held against the first."""
    seeds: Sequence[int] = ()
    """Of the trainings; none: that of params.yaml."""
    drawing: Drawing = field(default_factory=Drawing)


def comparison_jobs(settings: Settings, wanted: Wanted) -> dict[ComparedTraining, Job]:
    """The job of each concept by each method from each seed; all draw the same prompts from the same noise.

    A concept's jobs stand together, those of one seed too, so that methods with the same first stages share them.

    Raises:
        InputError: anything is wrong with concepts, methods, seeds, prompts or parameters; all of it together.
    """
    problems = [f"seed {seed}: asked for twice, leave one out" for seed, n in Counter(wanted.seeds).items() if n > 1]
    try:
        params = load_params(settings.params_file)
    except InputError as error:  # what the others are held against is not known then
        raise InputError(*error.problems, *problems) from error
    choices: Sequence[MethodChoice] = ()
    try:
        choices = wanted.methods(params)
    except InputError as error:
        problems += error.problems
    found: dict[ComparedTraining, Job] = {}
    # Also without a method that exists, so that one look shows everything.
    for choice in choices or [MethodChoice(method=params.method, preset=params.preset, label="")]:
        for seed in dict.fromkeys(wanted.seeds or [params.seed]):
            try:
                changed = _changed(params, choice, wanted.drawing, seed)
            except InputError as error:
                problems += error.problems
                changed = _changed(params, choice, Drawing(prompts=wanted.drawing.prompts), params.seed)
            try:
                jobs = plan_jobs(settings, wanted.concepts, changed)
                found |= {ComparedTraining(job.concept.name, choice.label, seed): job for job in jobs}
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    order = {name: position for position, name in enumerate(wanted.concepts)}
    return dict(sorted(found.items(), key=lambda item: (order[item[0].concept], item[0].seed)))


def _changed(params: Params, choice: MethodChoice, drawing: Drawing, seed: int) -> Params:
    content = params.model_dump()
    own = (params.method, params.preset) == (choice.method, choice.preset)
    stages = choice.stages if choice.stages is not None else content["stages"] if own else {}
    content |= {"method": choice.method, "preset": choice.preset, "stages": stages, "seed": seed}
    if drawing.prompts is not None:
        content["evaluation"]["prompts"] = str(drawing.prompts.absolute())
    if drawing.images_per_prompt is not None:
        content["evaluation"]["images_per_prompt"] = drawing.images_per_prompt
    if drawing.num_inference_steps is not None:
        content["sampling"]["num_inference_steps"] = drawing.num_inference_steps
    return parse_params(content, "compare")


def comparison_job(job: Job, *, maps: bool) -> Job:
    """The job up to its evaluation, with attention maps if wanted: a comparison draws its own sheets."""
    stages = [plan for plan in job.stages if plan.kind != "gallery"]
    return dataclasses.replace(job, stages=(*stages, *([plan_maps(job.recipe, job.trainings)] if maps else [])))
