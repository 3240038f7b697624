"""The scores in an evaluation's artefact, checked against their hash."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from model.reading.documents import parse_json
from tasks.store.artefacts import SCORES
from tasks.store.manifest import Manifest
from tasks.store.shapes import check_fields
from tasks.store.store import Damaged, Store


class _Interval(TypedDict):
    mean: float
    low: float | None
    high: float | None


class _Prompt(TypedDict):
    clip_i: NotRequired[_Interval]
    clip_t: NotRequired[_Interval]
    pictures: NotRequired[Mapping[str, Sequence[float]]]


class _Scores(TypedDict):
    """What everybody reads of the document."""

    clip_i: _Interval
    clip_t: _Interval
    base_clip_i: NotRequired[_Interval]
    base_clip_t: NotRequired[_Interval]
    prompts: Sequence[_Prompt]


def load_scores(store: Store, evaluation: Manifest) -> dict[str, Any]:
    """What an evaluation's `scores.json` holds. Raises Damaged (also where it holds none), StoreFailed."""
    content = store.file(evaluation, SCORES).read_bytes()
    try:
        document: dict[str, Any] = dict(parse_json(content, "it"))
        check_fields(_Scores, document)
    except (ValueError, TypeError) as error:
        raise Damaged(evaluation.stage, evaluation.key, [f"{SCORES}: holds no scores: {error}"]) from error
    return document
