"""`conceptbooth doctor --base`: what each stage of a method takes of a device's memory, and what makes it fit."""

import time
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from model.errors import InputError
from model.methods.presets import get_method
from model.runtime.device import device_type, numeric_policy
from tasks.execution.memory import (
    LIBRARIES,
    base_shapes,
    find_ways,
    open_forecast,
    other_forms,
    own_base,
    usual_preset,
)
from tasks.execution.memory import (
    gigabytes as in_words,
)
from tasks.project.params import load_params
from tasks.project.settings import Settings

if TYPE_CHECKING:
    from tasks.execution.memory import Footprint, Way

DEVICES = ("cuda", "cpu")


def run_memory(
    settings: Settings,
    base_name: str,
    *,
    method: str | None = None,
    gigabytes: float | None = None,
    device: str | None = None,
    as_json: bool = False,
) -> int:
    """Predict, print, and return the exit code: 1 where a stage does not fit `gigabytes`.

    Settings of stages in params.yaml count where base and method are the project's own.
    Raises InputError for a base, method or device that is not known.
    """
    started = time.monotonic()
    kind = _device(settings, gigabytes, device)
    params = load_params(settings.params_file)
    autocast = _autocast(kind, params.dtype)
    with base_shapes(base_name) as base:
        own = own_base(settings, params, base_name)
        preset = params.preset if own else usual_preset(base)
        name = method or params.method
        overrides = params.stages if own and name == params.method else {}
        wanted = get_method(name, preset, overrides)
        if problems := [said for stage in wanted.stages for said in base.family.stage_problems(stage)]:
            raise InputError(*problems)
        notices().print(Text(f"{name}, preset {preset}, on {kind} in {_FORMATS[autocast]}; from shapes alone"))
        forecast = open_forecast(base, kind, autocast, lambda what: notices().print(Text(f"  {what}", style="dim")))
        footprints = list(forecast.stages(wanted))
        room = None if gigabytes is None else int(gigabytes * 1e9) - (LIBRARIES if kind == "cpu" else 0)
        ways: list[Way] | None = None
        if room is not None and any(footprint.highest > room for footprint in footprints):
            ways = find_ways(forecast, wanted, other_forms(name, preset, overrides), room)
    seconds = time.monotonic() - started
    if as_json:
        print_json(_document(base_name, name, preset, kind, autocast, footprints, ways, gigabytes))
    else:
        _show(footprints, ways, kind, gigabytes, room)
        notices().print(Text(f"told in {seconds:.0f} s", style="dim"))
    return FAILED if ways is not None else DONE


_FORMATS = {"none": "float32", "bfloat16": "bfloat16 autocast"}


def _device(settings: Settings, gigabytes: float | None, device: str | None) -> str:
    kind = device or ("cuda" if gigabytes is not None else device_type(settings.device))
    if kind not in DEVICES:
        raise InputError(
            f"device '{kind}': memory is told for {' and '.join(DEVICES)}; say --device cuda or --device cpu"
        )
    return kind


def _autocast(kind: str, dtype: str) -> str:
    """A GPU that is asked about need not be here: the formats of today's."""
    if kind == "cuda":
        return "none" if dtype == "float32" else "bfloat16"
    return numeric_policy(kind, dtype)["autocast"]


def _show(
    footprints: "list[Footprint]", ways: "list[Way] | None", kind: str, gigabytes: float | None, room: int | None
) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("GB, by stage", no_wrap=True)
    for heading in ("batch", "base", "learning", "encoding", "a step", "highest"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in footprints:
        sizes = (each.base, each.learning, each.encoding, each.step)
        fits = room is None or each.highest <= room
        said, style = ("fits", "green") if fits else ("too large", "bold red")
        table.add_row(
            each.stage.name,
            str(each.stage.batch_size),
            *(f"{size / 1e9:.2f}" for size in sizes),
            Text(f"{each.highest / 1e9:.2f}", style="bold"),
            Text("" if room is None else said, style=style),
        )
    results().print(table)
    if spared := [each.stage.name for each in footprints if each.stage.gradient_checkpointing]:
        results().print(Text(f"With gradient checkpointing: {', '.join(spared)}."))
    beside = f"{in_words(LIBRARIES)} for Python and its libraries" if kind == "cpu" else "about 1 GB for the driver"
    results().print(Text(f"Beside it: {beside}. How near this is: docs/performance.md."))
    if ways is None:
        return
    if not ways:
        said = f"Nothing that we have makes it fit {gigabytes:g} GB: choose a smaller base, or a larger device."
        results().print(Text(said, style="bold"))
        return
    results().print(Text(f"\nWhat fits {gigabytes:g} GB, as settings of params.yaml:", style="bold"))
    for way in ways:
        same = "learns the same, in more time" if way.learns_the_same else "learns otherwise"
        results().print(Text.assemble("  ", way.settings, (f": {in_words(way.highest)}, {same}", "dim")))


def _document(
    base: str,
    method: str,
    preset: str,
    kind: str,
    autocast: str,
    footprints: "list[Footprint]",
    ways: "list[Way] | None",
    gigabytes: float | None,
) -> dict[str, Any]:
    stages = [
        {
            "stage": each.stage.name,
            "batch_size": each.stage.batch_size,
            "gradient_checkpointing": each.stage.gradient_checkpointing,
            "base": each.base,
            "learning": each.learning,
            "encoding": each.encoding,
            "step": each.step,
            "highest": each.highest,
        }
        for each in footprints
    ]
    facts = {"base": base, "method": method, "preset": preset, "device": kind, "autocast": autocast}
    fit = {} if gigabytes is None else {"gigabytes": gigabytes, "fits": ways is None}
    listed = [
        {"settings": way.settings, "highest": way.highest, "learns_the_same": way.learns_the_same} for way in ways or ()
    ]
    return {**facts, **fit, "stages": stages, "ways": listed}
