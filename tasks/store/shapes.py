"""The shape of a document that anybody may have written: each field of the type that the class names which reads it.

A seal proves nobody. Whoever can write to a store can put a list where a text belongs, under a seal that holds; used
like that it would be an error of Python's, and not for that document alone but for every command that comes across it.
Here it is a ValueError that names the field.
"""

import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

_CALLED: Mapping[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def check_fields(read_by: type, values: Mapping[str, Any], but: Collection[str] = ()) -> None:
    """ValueError where a value is not of the type that the field of its name has in `read_by`; `but` are left aside.

    `read_by` is a dataclass, which says itself what it lacks, or a TypedDict, whose required fields have to be there.
    """
    left = {name: value for name, value in values.items() if name not in but}
    if problem := _in_fields(read_by, left, ""):
        raise ValueError(problem)


def check_shape(wanted: Any, value: object, called: str) -> None:
    """ValueError unless a value is of a type, such as `Mapping[str, int] | None`; `called` is its name in messages."""
    if problem := _problem(wanted, value, called):
        raise ValueError(problem)


def _problem(wanted: Any, value: object, at: str) -> str | None:
    kind, inner = get_origin(wanted) or wanted, get_args(wanted)
    if wanted is Any:
        return None
    if kind is Literal:
        return None if value in inner and isinstance(value, type(inner[0])) else _said(wanted, value, at)
    if kind in (Union, types.UnionType):
        told = [_problem(choice, value, at) for choice in inner if choice is not type(None) or value is None]
        return next((said for said in told if said), None) if all(told) else None
    if is_dataclass(kind) or is_typeddict(kind):
        return _in_fields(kind, value, at) if isinstance(value, Mapping) else _said(wanted, value, at)
    if kind in (Mapping, dict):
        if not isinstance(value, Mapping):
            return _said(wanted, value, at)
        parts = [(inner[1], each, f"{at}.{name}") for name, each in value.items()] if inner else []
        return _first(parts)
    if kind in (Sequence, tuple, list):
        if not isinstance(value, list | tuple):
            return _said(wanted, value, at)
        return _first([(inner[0], each, f"{at}[{number}]") for number, each in enumerate(value)] if inner else [])
    fits = type(value) is kind or (kind is float and type(value) is int) or (kind is type(None) and value is None)
    return None if fits else _said(wanted, value, at)


def _first(parts: Sequence[tuple[Any, object, str]]) -> str | None:
    return next((said for wanted, value, at in parts if (said := _problem(wanted, value, at))), None)


def _in_fields(read_by: Any, values: Mapping[str, Any], at: str) -> str | None:
    hints, start = _hints(read_by), f"{at}." if at else ""
    for name in sorted(getattr(read_by, "__required_keys__", ())):
        if name not in values:
            return f"{at or 'it'} does not say its {name}"
    return _first([(hints[name], value, f"{start}{name}") for name, value in values.items() if name in hints])


@lru_cache(maxsize=64)
def _hints(read_by: Any) -> dict[str, Any]:
    return get_type_hints(read_by)


def _said(wanted: Any, value: object, at: str) -> str:
    kind = get_origin(wanted) or wanted
    is_object = kind in (Mapping, dict) or is_dataclass(kind) or is_typeddict(kind)
    needed = "an object" if is_object else "a list" if kind in (Sequence, tuple, list) else _CALLED.get(kind, "another")
    found = {dict: "an object", list: "a list", type(None): "null", **_CALLED}.get(type(value), "something else")
    return f"{at[:80]!a} is {found}, and {needed} is needed"
