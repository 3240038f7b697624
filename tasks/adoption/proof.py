"""Two trainings of one concept compared, artefact by artefact: the one that is kept, and one made anew.

On the same device every file has to be the same, bit for bit. On another device numbers are rounded otherwise: there
the images as prepared have to be the same, and of each score the whole 95 % interval of the difference, picture by
picture, has to lie within a margin. That two intervals overlap says nothing, so it is not asked.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Store

MARGINS = {"clip_i": 0.01, "clip_t": 0.005, "dino": 0.01, "retrieval": 0.05}
"""Largest difference of each score that counts as none: below what tells two methods apart (docs/results.md)."""
_EXACT_ANYWHERE = ("prepare",)
"""Stages that no device has a say in."""
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class StageProof:
    """One stage, made twice."""

    stage: str
    key: str
    """Of the artefact that is kept."""
    new_key: str
    """Of the stage as it is planned now."""
    old_digest: str
    new_digest: str
    files: int
    differing: tuple[str, ...]
    """Files that are not the same, with how far they are apart."""


@dataclass(frozen=True, kw_only=True)
class ConceptProof:
    """One concept, made twice."""

    concept: str
    method: str
    agreement: str
    """"bit for bit" or "within margins"; "none" where it does not hold."""
    old_device: str
    new_device: str
    stages: tuple[StageProof, ...]
    scores: Mapping[str, Mapping[str, float]]
    """By score the difference, with the ends of its interval; empty where all bits are the same."""
    differences: tuple[str, ...]
    """Why it does not hold; empty where it does."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return json.loads(json.dumps(asdict(self)))


def compare_trainings(
    concept: str,
    keys: Mapping[str, str],
    old: tuple[Store, Mapping[str, Manifest]],
    new: tuple[Store, Mapping[str, Manifest]],
) -> ConceptProof:
    """Compare what is kept with what was made anew; `keys` are those of the stages as they are planned now.

    Raises Damaged, StoreFailed where differing files cannot be read.
    """
    (old_store, before), (new_store, after) = old, new
    stages = tuple(
        StageProof(
            stage=stage,
            key=manifest.key,
            new_key=keys[stage],
            old_digest=manifest.digest(),
            new_digest=after[stage].digest(),
            files=len(manifest.files),
            differing=tuple(_differing(old_store, manifest, new_store, after[stage])),
        )
        for stage, manifest in before.items()
    )
    last = [manifest for stage, manifest in before.items() if stage.startswith("train-")][-1]
    anew = after[last.stage]
    unequal = [stage for stage in stages if stage.differing]
    scores: dict[str, dict[str, float]] = {}
    differences: list[str] = []
    if not unequal:
        agreement = "bit for bit"
    else:
        agreement = "within margins"
        elsewhere = last.device != anew.device
        exact = [stage for stage in unequal if not elsewhere or stage.stage in _EXACT_ANYWHERE]
        differences += [
            f"{each.stage}: {len(each.differing)} of {each.files} files differ: {'; '.join(each.differing[:_SHOWN])}"
            for each in exact
        ]
        scores = score_differences(
            load_scores(old_store, before["evaluate"]), load_scores(new_store, after["evaluate"])
        )
        differences += _outside(scores) if elsewhere else [_said(name, found) for name, found in scores.items()]
    return ConceptProof(
        concept=concept,
        method=last.labels.get("method", ""),
        agreement="none" if differences else agreement,
        old_device=last.device,
        new_device=anew.device,
        stages=stages,
        scores=scores,
        differences=tuple(differences),
    )


def score_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By score how much higher `new` is than `old`: two scores.json of the same prompts and seeds, paired."""
    from model.scores.bootstrap import bootstrap_interval

    found: dict[str, dict[str, float]] = {}
    for name in MARGINS:
        pairs = [
            [b - a for a, b in zip(mine["pictures"][name], theirs["pictures"][name], strict=True)]
            for mine, theirs in zip(old["prompts"], new["prompts"], strict=True)
            if name in mine.get("pictures", {}) and name in theirs.get("pictures", {})
        ]
        if pairs:
            interval = bootstrap_interval(pairs)
            ends = {"low": interval.low, "high": interval.high}
            found[name] = {"mean": interval.mean, **{end: value for end, value in ends.items() if value is not None}}
    return found


def _outside(scores: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """What does not show that it is within its margin."""
    if not scores:
        yield "scores: the pictures were not scored one by one, so how far they differ cannot be told"
    for name, found in scores.items():
        if not -MARGINS[name] <= found.get("low", -1.0) <= found.get("high", 1.0) <= MARGINS[name]:
            yield f"{_said(name, found)}, and has to lie within {MARGINS[name]:g}"


def _said(name: str, found: Mapping[str, float]) -> str:
    ends = f" [{found['low']:+.4f}, {found['high']:+.4f}]" if "low" in found else " (of one picture, no interval)"
    return f"{name}: difference {found['mean']:+.4f}{ends}"


def _differing(old_store: Store, old: Manifest, new_store: Store, new: Manifest) -> Iterator[str]:
    for name in sorted(old.files.keys() | new.files.keys()):
        if name not in new.files or name not in old.files:
            yield f"{name} is {'new' if name not in old.files else 'not made any more'}"
        elif old.files[name].sha256 != new.files[name].sha256:
            yield f"{name} ({_apart(name, old_store.file(old, name), new_store.file(new, name))})"


def _apart(name: str, old: Path, new: Path) -> str:
    """How far two files are apart."""
    import numpy as np

    if name.endswith(".png"):
        from model.reading.pictures import open_picture

        with open_picture(old) as one, open_picture(new) as other:
            if one.size != other.size:
                return f"{one.width} x {one.height} and {other.width} x {other.height} pixels"
            values = [np.asarray(picture.convert("RGB"), dtype=np.int16) for picture in (one, other)]
        off = np.abs(values[0] - values[1])
        return f"{np.mean(off.max(axis=-1) > 0):.1%} of the pixels, by at most {int(off.max())} of 255"
    if name.endswith(".safetensors"):
        from safetensors.torch import load_file

        tensors = load_file(old), load_file(new)
        if {k: v.shape for k, v in tensors[0].items()} != {k: v.shape for k, v in tensors[1].items()}:
            return "other tensors"
        off_by = max(float((tensors[0][k].double() - tensors[1][k].double()).abs().max()) for k in tensors[0])
        return f"numbers apart by at most {off_by:.3g}"
    return f"{old.stat().st_size} and {new.stat().st_size} bytes"


def proof_holds(stage: Mapping[str, Any], agreement: str) -> bool:
    """Whether what a record says of a stage is a proof: of the same bits where it says so."""
    return agreement == "within margins" or stage["old_digest"] == stage["new_digest"]
