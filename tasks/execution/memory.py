"""What a method's stages will take of a device's memory, told before anything is loaded, and who is refused for it."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model.bases.base_files import check_base_folder
from model.bases.domain import base_domain
from model.bases.published_configs import PUBLISHED, write_published
from model.errors import InputError, SetupError
from model.methods.method import Method
from model.methods.presets import METHODS, TOYWORLD, get_method
from tasks.jobs.jobs import Job
from tasks.new_project.bases import KNOWN
from tasks.new_project.shipped import embedded_world
from tasks.project.base_limits import base_folder
from tasks.project.params import Params
from tasks.project.settings import Settings

if TYPE_CHECKING:
    from model.bases.base import Base
    from model.training.fitting import Forecast, Way
    from model.training.footprint import Footprint

LIBRARIES = 10**9
"""Bytes that Python and what a training imports take of a machine's memory, beside what is predicted."""
_SURE = 0.85
"""Predictions lie within 15 % of what was measured: what is refused would not fit if it were so much less."""
_SMALL = 50
"""A base whose files are smaller than the memory by this factor is not looked at: every stage of ours fits."""


@contextmanager
def base_shapes(named: str) -> Iterator["Base"]:
    """A base of shapes alone: of a pipeline folder, or by a short name or hub id of `tasks.new_project.bases.KNOWN`.

    Raises InputError for anything else: of another base on the hub no configuration is at hand.
    """
    from model.bases.weightless import weightless_base

    short = next((name for name, choice in KNOWN.items() if named in (name, choice.base.reference)), None)
    if short == TOYWORLD:
        yield weightless_base(embedded_world() / "base")
    elif short is None and Path(named).expanduser().is_dir():
        yield weightless_base(Path(named).expanduser())
    elif short is not None and short in PUBLISHED:
        with tempfile.TemporaryDirectory() as folder:
            yield weightless_base(write_published(short, Path(folder), embedded_world() / "base" / "tokenizer"))
    else:
        raise InputError(
            f"--base {named}: no such folder, and its shapes are not known; name one of {', '.join(KNOWN)}"
        )


def usual_preset(base: "Base") -> str:
    """The preset that was made for a base of this kind."""
    return TOYWORLD if base_domain(Path(base.source.reference)) is not None else base.family.preset


def other_forms(
    method: str, preset: str, overrides: Mapping[str, Mapping[str, object]] | None = None
) -> dict[str, Method]:
    """The LoRA form of a method, where there is one, by the setting that chooses it."""
    lora = f"{method}_lora"
    if preset not in METHODS.get(lora, {}):
        return {}
    try:
        return {f"method: {lora}": get_method(lora, preset, overrides)}
    except InputError:  # overrides that a LoRA cannot have
        return {}


def refuse_what_cannot_fit(jobs: Sequence[Job], still_to_train: Callable[[Job], set[str]]) -> None:
    """Raise SetupError, with what would fit, for stages that the device's memory could not hold with 15 % less either.

    `still_to_train` says the names of a job's stages that are not made yet. Nothing is said where the memory of the
    device is not known, and where the setting `check_memory` is off.
    """
    from model.runtime.memory import device_memory

    seen, problems = set[object](), list[str]()
    for job in jobs:
        recipe = job.recipe
        asked = recipe.base.digest or recipe.base.location, recipe.method, frozenset(still_to_train(job))
        if asked in seen or not asked[-1] or not job.settings.check_memory:
            continue
        seen.add(asked)
        memory = device_memory(recipe.numeric_policy["device"])
        if memory is not None:
            problems += _problems(job, asked[-1], memory)
    if problems:
        raise SetupError(*problems)


def _problems(job: Job, names: frozenset[str], memory: int) -> Iterator[str]:
    folder = base_folder(job.settings, job.recipe.params)
    if folder is None:
        folder = _fetched(job)
    elif _bytes_of(folder) * _SMALL < memory:
        return
    from model.bases.weightless import weightless_base

    recipe, params = job.recipe, job.recipe.params
    device = recipe.numeric_policy["device"]
    room = memory - (LIBRARIES if device == "cpu" else 0)
    autocast = recipe.numeric_policy["autocast"]
    forecast = open_forecast(weightless_base(folder), device, autocast, lambda _what: None)
    method = shared(recipe.method, recipe.processes)
    large = [each for each in forecast.stages(method) if each.stage.name in names and each.highest * _SURE > room]
    if not large:
        return
    forms = other_forms(params.method, params.preset, params.stages)
    others = {said: shared(form, recipe.processes) for said, form in forms.items()}
    ways = find_ways(forecast, method, others, room)
    yield refusal(large, ways, device, memory, job.settings.params_file.name)


def refusal(large: "Sequence[Footprint]", ways: "Sequence[Way]", device: str, memory: int, where: str) -> str:
    """What is said of stages that do not fit."""
    needs = ", ".join(f"stage '{each.stage.name}' needs about {gigabytes(each.highest)}" for each in large)
    if ways:
        said = "; or ".join(f"{way.settings} ({gigabytes(way.highest)})" for way in ways)
        way_out = f"what fits, in {where}: {said}"
    else:
        way_out = "no setting of ours makes it fit: choose a smaller base, or a device with more memory"
    return (
        f"memory: {needs}, and {device} has {gigabytes(memory)}; {way_out}. The setting check_memory = false "
        "(CONCEPTBOOTH_CHECK_MEMORY) trains all the same"
    )


def shared(method: Method, processes: int) -> Method:
    """The method as one of so many processes that share each step sees it."""
    stages = (dataclasses.replace(stage, batch_size=max(1, stage.batch_size // processes)) for stage in method.stages)
    return dataclasses.replace(method, stages=tuple(stages))


def gigabytes(count: int) -> str:
    """Bytes in words, in GB of 10^9."""
    return f"{count / 1e9:.{2 if count < 10**9 else 1}f} GB"


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _fetched(job: Job) -> Path:
    """The configurations of a base on the hub, which loading it fetches first."""
    from model.bases.base import fetch_configs

    folder = fetch_configs(job.recipe.base.location, job.recipe.base.revision)
    check_base_folder(folder, with_weights=False)
    return folder


def open_forecast(base: "Base", device: str, autocast: str, on_look: Callable[[str], None]) -> "Forecast":
    """Of stages on a base of shapes alone; `on_look` hears what is looked at."""
    from model.training.fitting import Forecast

    return Forecast(base, device=device, autocast=autocast, on_look=on_look)


def find_ways(forecast: "Forecast", method: Method, others: Mapping[str, Method], room: int) -> "list[Way]":
    """What makes the method fit so many bytes (`model.training.fitting.ways_to_fit`)."""
    from model.training.fitting import ways_to_fit

    return ways_to_fit(forecast, method, others, room)


def own_base(settings: Settings, params: Params, named: str) -> bool:
    """Whether a base that somebody named is the one of params.yaml."""
    choice, folder = KNOWN.get(named), Path(named).expanduser()
    if choice is None and folder.is_dir():
        return folder.resolve() == (settings.root / params.base).resolve()
    return params.base in (named, choice.base.reference if choice else None)
