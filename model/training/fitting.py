"""Which settings make a method fit a device's memory, by the footprints of its stages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from model.bases.base import Base
from model.methods.method import Method, Stage
from model.training.footprint import Footprint, stage_footprint, usual_prompt


@dataclass(frozen=True, kw_only=True)
class Way:
    """Settings with which a method fits."""

    settings: str
    """As params.yaml has them, such as `gradient_checkpointing: true (unet)`."""
    highest: int
    """Bytes that the largest of the stages concerned then takes."""
    learns_the_same: bool
    """Whether the training comes to the same with them, but for rounding."""


class Forecast:
    """Footprints of stages on one base and device; each is found once."""

    def __init__(
        self, base: Base, *, device: str, autocast: str, on_look: Callable[[str], None] = lambda _what: None
    ) -> None:
        """`base` has shapes alone (`model.bases.weightless`); `on_look` hears what is looked at next, in words."""
        self._base, self.device, self.autocast, self._on_look = base, device, autocast, on_look
        self._known: dict[tuple[object, ...], Footprint] = {}

    def stages(self, method: Method, autocast: str | None = None) -> Iterator[Footprint]:
        """Of all stages of a method, in their order."""
        return (self.stage(method, number, autocast=autocast) for number in range(len(method.stages)))

    def stage(self, method: Method, number: int, *, autocast: str | None = None, **changes: object) -> Footprint:
        """Of one stage, with changes to its settings."""
        stage = replace(method.stages[number], **changes)  # type: ignore[arg-type]
        before = method.stages[:number] if stage.starts_from == "previous_stage" else ()
        key = stage, before, autocast
        if key not in self._known:
            self._on_look(_described(method, stage, autocast or self.autocast))
            self._known[key] = stage_footprint(
                self._base,
                stage,
                usual_prompt(method),
                before=before,
                device=self.device,
                autocast=autocast or self.autocast,
            )
        return self._known[key]


def ways_to_fit(forecast: Forecast, method: Method, others: Mapping[str, Method], limit: int) -> list[Way]:
    """What makes all stages fit `limit` bytes; none where nothing that we have does.

    `others` are other forms of the method by the settings that choose them, such as `method: attndreambooth_lora`. One
    setting is tried under all stages that do not fit, and the largest of them decides.
    """
    found = []
    if forecast.device == "cuda" and forecast.autocast == "none":
        highest = max(footprint.highest for footprint in forecast.stages(method, "bfloat16"))
        found += [Way(settings="dtype: bfloat16", highest=highest, learns_the_same=False)] if highest <= limit else []
    for settings, form in {"": method, **others}.items():
        found += _ways_of(forecast, form, settings, limit)
    return found


def _ways_of(forecast: Forecast, method: Method, chosen: str, limit: int) -> list[Way]:
    """Of one form: as it is, with gradient checkpointing, and with smaller batches as well."""
    footprints = list(forecast.stages(method))
    large = [footprint for footprint in footprints if footprint.highest > limit]
    if not large:
        highest = max(footprint.highest for footprint in footprints)
        return [Way(settings=chosen, highest=highest, learns_the_same=False)] if chosen else []
    worst = max(large, key=lambda footprint: footprint.highest)
    number, said = footprints.index(worst), [chosen] if chosen else []
    names = ", ".join(footprint.stage.name for footprint in large)
    where = f" ({'every stage' if len(large) == len(footprints) else names})"
    spared: dict[str, Any] = {"gradient_checkpointing": True}
    can_spare = not any(replace(each.stage, gradient_checkpointing=True).problems() for each in large)
    if can_spare and not worst.stage.gradient_checkpointing:
        said.append("gradient_checkpointing: true")
        worst = forecast.stage(method, number, **spared)
        if worst.highest <= limit:
            return [Way(settings=", ".join(said) + where, highest=worst.highest, learns_the_same=not chosen)]
    else:
        spared = {}
    one = forecast.stage(method, number, batch_size=1, **spared)
    if one.highest > limit or worst.stage.batch_size == 1:
        return []
    each = (worst.highest - one.highest) / (worst.stage.batch_size - 1)  # memory grows evenly with the batch
    fits = 1 + int((limit - one.highest) / each)
    said.append(f"batch_size: {fits}")
    return [
        Way(settings=", ".join(said) + where, highest=round(one.highest + (fits - 1) * each), learns_the_same=False)
    ]


def _described(method: Method, stage: Stage, autocast: str) -> str:
    spared = ", gradient checkpointing" if stage.gradient_checkpointing else ""
    return f"{method.name}, stage {stage.name}, batch {stage.batch_size}, {_FORMATS[autocast]}{spared}"


_FORMATS = {"none": "float32", "bfloat16": "bfloat16"}
