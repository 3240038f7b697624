"""What clients ask of a served model, proved before anything is drawn: each row, and all rows together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.methods.limits import as_written, problems_of, whole_number

VARIABLE = "CONCEPTBOOTH_SERVE_"
BATCH_SETTING = f"{VARIABLE}BATCH_SIZE"
_WHOLE_AS_FLOAT = 2**53
_BYTES_OF_A_LETTER = 12
"""In JSON that writes it as \\ud83d\\udc22."""
_OTHER_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that one request may ask for. Environment variables of these names, in capitals, set them."""

    pictures: int = whole_number(1, 100_000, default=64)
    """Of all rows together."""
    steps: int = whole_number(1, 100_000_000, default=3_200)
    """Pictures times num_inference_steps, of all rows together: what the device has to do."""
    letters: int = whole_number(1, 100_000, default=2_000)
    """Of one prompt. No base reads so many; a tokenizer would take minutes to say so of a book."""
    batch_size: int = whole_number(1, 1024, default=16)
    """Pictures drawn side by side: what the device's memory has to hold."""

    @classmethod
    def of(cls, variables: Mapping[str, str], **otherwise: int) -> Bounds:
        """Those that the environment sets, before those given. Raises InputError, with all problems, for what is no
        number in range.
        """
        given: dict[str, Any] = dict(otherwise)
        for field in fields(cls):
            text = variables.get(VARIABLE + field.name.upper(), "").strip()
            if text:
                given[field.name] = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
        bounds = cls(**given)
        problems = problems_of(bounds, "bound")
        if problems:
            names = {f"bound.{field.name}": VARIABLE + field.name.upper() for field in fields(cls)}
            raise InputError(*(problem.replace((name := problem.split()[0]), names[name]) for problem in problems))
        return bounds

    @property
    def bytes(self) -> int:
        """The longest body that can hold a request within the bounds."""
        return self.pictures * self.letters * _BYTES_OF_A_LETTER + _OTHER_BYTES


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """One row of a request."""

    prompt: str
    """With one {} where the concept stands."""
    count: int
    sampling: Sampling


def read_requests(
    rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any] | None, bounds: Bounds
) -> list[PictureRequest]:
    """The rows as requests: 1 picture of seed 0 where a row says nothing else.

    Raises InputError, with all problems, for a request beyond the bounds, and for numbers out of range.
    """
    if len(rows) > bounds.pictures:
        raise InputError(f"{len(rows)} rows: a request may ask for {bounds.pictures} pictures")
    requests, problems = [], []
    for number, row in enumerate(rows):
        where = f"row {number}: " if len(rows) > 1 else ""
        found: list[str] = []
        count = _whole(row.get("n"), 1, "n", found)
        if count is not None and not 1 <= count <= bounds.pictures:
            found.append(f"n = {count}: 1 to {bounds.pictures} pictures a request")
        seed = _whole(row.get("seed"), 0, "seed", found)
        options = {"batch_size": bounds.batch_size, **(params or {})}
        sampling = Sampling(seed=0 if seed is None else seed, **options)
        found += sampling.problems()
        prompt = row.get("prompt")
        if isinstance(prompt, str) and len(prompt) > bounds.letters:
            found.append(f"prompt of {len(prompt):,} letters: {bounds.letters:,} are allowed")
        problems += [where + problem for problem in found]
        requests.append(PictureRequest(prompt=prompt, count=count or 1, sampling=sampling))  # type: ignore[arg-type]
    if problems:
        raise InputError(*dict.fromkeys(problems))
    pictures = sum(request.count for request in requests)
    steps = sum(request.count * request.sampling.num_inference_steps for request in requests)
    if pictures > bounds.pictures:
        problems.append(f"{pictures} pictures: a request may ask for {bounds.pictures}")
    if steps > bounds.steps:
        problems.append(
            f"{pictures} pictures in {steps:,} steps together: a request may ask for {bounds.steps:,}, so ask for "
            "fewer pictures, or for fewer steps of each"
        )
    if problems:
        raise InputError(*problems)
    return requests


def _whole(value: object, default: int, name: str, problems: list[str]) -> int | None:
    """A row's whole number. Tables hold numbers of which some are missing as floats, and missing ones as nan."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return default
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) < _WHOLE_AS_FLOAT:
            return int(value)
        problems.append(
            f"{name} = {value:.0f}: beside rows without {name} it is not handed on exactly; write it in each row"
        )
        return None
    shown = as_written(value)
    problems.append(f"{name} = {shown if len(shown) < 80 else shown[:80] + '...'}: a whole number is needed")
    return None
