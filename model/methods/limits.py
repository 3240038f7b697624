"""Numeric options that know their own limits: a dataclass field carries its range, one function checks them all."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """The allowed values of one number, both ends included unless `above` is set."""

    low: float
    high: float
    above: bool = False
    """The low end itself is not allowed."""
    whole: bool = False
    """Only whole numbers."""

    def problem(self, label: str, value: object) -> str | None:
        """One sentence if `value` is not allowed, else None."""
        kind = "a whole number" if self.whole else "a number"
        wanted = f"{kind} {'above' if self.above else 'from'} {self.low:,.12g} to {self.high:,.12g}"
        return None if self._allows(value) else f"{label} = {as_written(value)}: {wanted} is needed"

    def _allows(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        above_low = value > self.low if self.above else value >= self.low
        return above_low and value <= self.high  # both are false for nan


def as_written(value: object) -> str:
    """A value as a YAML file has it: true, null, 'text'."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def number(low: float, high: float, *, default: Any = dataclasses.MISSING, above: bool = False) -> Any:
    """A dataclass field that holds any number between `low` and `high`."""
    return dataclasses.field(default=default, metadata={"limits": Limits(low, high, above=above)})


def whole_number(low: int, high: int, *, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that holds a whole number between `low` and `high`."""
    return dataclasses.field(default=default, metadata={"limits": Limits(low, high, whole=True)})


@dataclass(frozen=True)
class OneWord:
    """Small letters without a space, or nothing."""

    def problem(self, label: str, value: object) -> str | None:
        """One sentence if `value` is not allowed, else None."""
        allowed = isinstance(value, str) and (value == "" or (value.isascii() and value.isalpha() and value.islower()))
        return None if allowed else f"{label} = {as_written(value)}: a word of small letters is needed"


def word(*, default: Any) -> Any:
    """A dataclass field that holds a word of small letters, or nothing."""
    return dataclasses.field(default=default, metadata={"limits": OneWord()})


@dataclass(frozen=True)
class Switch:
    """On or off."""

    def problem(self, label: str, value: object) -> str | None:
        """One sentence if `value` is not allowed, else None."""
        return None if isinstance(value, bool) else f"{label} = {as_written(value)}: true or false is needed"


def switch(*, default: bool) -> Any:
    """A dataclass field that is true or false."""
    return dataclasses.field(default=default, metadata={"limits": Switch()})


@dataclass(frozen=True)
class Templates:
    """Sentences with one `{}` each, or none at all."""

    def problem(self, label: str, value: object) -> str | None:
        """One sentence if `value` is not allowed, else None."""
        if not isinstance(value, tuple | list):
            return (
                f'{label} = {as_written(value)}: a list of sentences with {{}} is needed, such as ["a photo of a {{}}"]'
            )
        wrong = [entry for entry in value if not isinstance(entry, str) or entry.count("{}") != 1]
        return f"{label}: {as_written(wrong[0])} needs one {{}}, where the concept stands" if wrong else None


def templates() -> Any:
    """A dataclass field that holds sentences with one `{}` each; none by default."""
    return dataclasses.field(default=(), metadata={"limits": Templates()})


def as_floats(options: Any) -> None:
    """Turn allowed whole numbers in `number` fields of a frozen dataclass instance into floats.

    45 and 45.0 are one setting, and must be written as one: what is written decides what is trained again.
    """
    for field in dataclasses.fields(options):
        limits, value = field.metadata.get("limits"), getattr(options, field.name)
        if not isinstance(limits, Limits) or limits.whole or not isinstance(value, int):
            continue
        if not limits.problem(field.name, value):
            object.__setattr__(options, field.name, float(value))


def problems_of(options: Any, label: str) -> list[str]:
    """One sentence for each field of the dataclass instance `options` that is outside its limits."""
    checked = ((field, field.metadata.get("limits")) for field in dataclasses.fields(options))
    found = (
        limits.problem(f"{label}.{field.name}", getattr(options, field.name)) for field, limits in checked if limits
    )
    return [problem for problem in found if problem]
