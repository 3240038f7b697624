"""Why a concept has to be trained again: what it was made from against what it is made from now, in words.

Keys decide that something changed; here is only said what. One change is said once, at the first stage it touches.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.jobs.code_digest import ALL
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import KINDS, stage_words
from tasks.plan.last_training import FinishedStage, LastTraining
from tasks.project.params import EXACT
from tasks.store.manifest import SCHEMA as MANIFEST_SCHEMA

_SHOWN = 3
"""Names that are listed before the rest is only counted."""
_PROMPT = {
    "placeholder_token": "placeholder token",
    "super_category": "super-category",
    "template": "instance prompt",
    "names_category": "prompts name the super-category:",
}
_ONLY_SHOWN = ("licence", "source", "consent")
"""Facts of a concept that only the gallery shows; the others change a stage before it."""

Pair = tuple[StagePlan, Mapping[str, Any]]
"""A stage as it is planned now, and the facts of its key as it was done."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a training is made from and by, whether it is planned or was done."""

    stages: Sequence[StagePlan]
    images: Mapping[str, str]
    """md5 of each image, by its path in the concept's folder."""
    method: str
    references: Mapping[str, str]
    """How the pretrained models are called, by kind."""
    adopted: Collection[str] = ()
    """Stages that an adoption lets count as made by the code and libraries of now, whatever made them."""


def causes(job: Job, before: LastTraining) -> list[str]:
    """What differs between a finished training and the job as it is now; empty if all keys are the same."""
    making = Making(
        stages=job.stages,
        images={file.relpath: file.md5 for file in job.images.files},
        method=job.recipe.method.name,
        references={kind: model.reference for kind, model in job.recipe.models.items()},
        adopted=job.adopted,
    )
    return differences(making, before)


def differences(now: Making, before: LastTraining) -> list[str]:
    """What differs between a finished training and another one; empty if all keys are the same."""
    changed = [plan for plan in now.stages if _differs(plan, before.stage(plan.stage))]
    if not changed:
        return []
    said = list(dict.fromkeys(_causes(now, before, changed)))
    return said or ["something that its record does not name"]


def _differs(plan: StagePlan, before: FinishedStage | None) -> bool:
    return before is None or before.key != plan.key


def _causes(now: Making, before: LastTraining, changed: Sequence[StagePlan]) -> Iterator[str]:
    if before.manifest_schema != MANIFEST_SCHEMA:
        yield f"the store's manifests, form {before.manifest_schema} -> {MANIFEST_SCHEMA}"
    yield from _images(now.images, before.images)
    yield from _method(now, before)
    pairs = [(plan, before.facts[plan.stage]) for plan in changed if plan.stage in before.facts]
    yield from _parameters(pairs)
    yield from _models(now, pairs)
    own = [(plan, facts) for plan, facts in pairs if plan.stage not in now.adopted]
    yield from _libraries(own)
    yield from _code(own)


def _images(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """As in "images: +2 (04.jpg, 05.jpg), 1 changed (03.jpg)"."""
    if now == before:
        return
    added, removed = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    renamed = []
    for name in list(added):  # the same picture under another name
        old = next((old for old in removed if before[old] == now[name]), None)
        if old is not None:
            added.remove(name)
            removed.remove(old)
            renamed.append(f"{old} -> {name}")
    changed = sorted(name for name in now.keys() & before.keys() if now[name] != before[name])
    parts = [f"+{len(added)} ({_listed(added)})"] if added else []
    parts += [f"-{len(removed)} ({_listed(removed)})"] if removed else []
    parts += [f"{len(changed)} changed ({_listed(changed)})"] if changed else []
    parts += [f"{len(renamed)} renamed ({_listed(renamed)})"] if renamed else []
    yield f"images: {', '.join(parts)}"


def _method(now: Making, before: LastTraining) -> Iterator[str]:
    """Whether the list of stages is another one."""
    old = [stage.stage.split("-", 2)[2] for stage in before.stages if stage.stage.startswith("train-")]
    new = [plan.stage.split("-", 2)[2] for plan in now.stages if plan.kind == "train"]
    if old != new:
        method = before.facts.get("gallery", {}).get("parameters", {}).get("method")
        said = f"method {_change(method, now.method)}, " if method != now.method else ""
        yield f"{said}stages {', '.join(old)} -> {', '.join(new)}"


def _parameters(pairs: Sequence[Pair]) -> Iterator[str]:
    for plan, old in pairs:
        now, then = plan.parameters, old["parameters"]
        if plan.kind == "train":
            for name, a, b in _changes(then["prompt"], now["prompt"]):
                yield f"{_PROMPT[name]} {_change(a, b)}"
            for name, a, b in _changes(then["stage"], now["stage"]):
                yield f"{stage_words(plan.stage)}: {name} {_change(a, b)}"
            if (was := then.get("form", EXACT)) != (form := now.get("form", EXACT)):
                kept = " (`model_form: exact` in params.yaml keeps what was trained)" if was == EXACT else ""
                yield f"{stage_words(plan.stage)}: form of the concept model {_change(was, form)}{kept}"
            if (seed := old["seed"]) != plan.seed:
                yield f"seed {_change(seed, plan.seed)}"
        elif plan.kind == "gallery":
            alone = len(pairs) == 1
            for name, a, b in _changes(then, now):
                if alone or name in _ONLY_SHOWN:
                    yield f"gallery: {name} {_change(a, b)}"
        else:
            yield from _prompts(then.get("prompts", []), now.get("prompts", []))
            for name, a, b in _changes(then, now):
                if name != "prompts":
                    yield f"{stage_words(plan.stage)}: {name} {_change(a, b)}"
            if (seed := old["seed"]) != plan.seed:
                whose = "" if plan.kind == "class_images" else f"{plan.stage}: "  # theirs is the training's
                yield f"{whose}seed {_change(seed, plan.seed)}"
        for name, a, b in _changes(old["numeric_policy"], plan.numeric_policy):
            yield f"{name} {_change(a, b)}"


def _prompts(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if list(before) == list(now):
        return
    added, removed = [p for p in now if p not in before], [p for p in before if p not in now]
    if not added and not removed:
        yield "evaluation prompts: in another order"
        return
    parts = [f"+{len(added)}"] if added else []
    parts += [f"-{len(removed)}"] if removed else []
    yield f"evaluation prompts: {', '.join(parts)} ({_listed([*added, *removed])})"


def _models(making: Making, pairs: Sequence[Pair]) -> Iterator[str]:
    words = {"base": "base model", "evaluator": "evaluator", "identity_model": "identity model"}
    called = making.references
    for plan, old in pairs:
        for name, then, now in _changes(old["models"], plan.models):
            if not isinstance(then, Mapping) or not isinstance(now, Mapping):
                yield f"{words[name]} {called.get(name, 'none')}"
            elif "digest" in then and "digest" in now:
                yield f"{words[name]} changed: other files in {called[name]}"
            elif then.get("id") == now.get("id"):
                yield f"{words[name]} revision changed: {then['revision'][:8]} -> {now['revision'][:8]}"
            else:
                yield f"{words[name]} {then.get('id', 'of a folder')} -> {called[name]}"


def _libraries(pairs: Sequence[Pair]) -> Iterator[str]:
    changes = {
        (name, then, now)
        for plan, old in pairs
        for name, then, now in _changes(old["packages"], plan.packages)
        if not (then and now and then.startswith(f"{now}."))  # on record as a whole, of which less counts by now
    }
    if changes:
        listed = ", ".join(f"{name} {_change(a, b)}" for name, a, b in sorted(changes, key=lambda change: change[0]))
        yield f"library versions: {listed}"


def _code(pairs: Sequence[Pair]) -> Iterator[str]:
    """As in "training code: model/training/train.py changed"; a file that several kinds of stages run is named at
    the first."""
    named: set[str] = set()
    for plan, old in pairs:
        now, then = plan.code, old["code"]
        if ALL not in then:
            yield "code: on record file by file, as an earlier version of ConceptBooth counted it"
        elif now[ALL] != then[ALL]:
            moved = {*now.values()} & {*then.values()}  # a file that was renamed has not changed
            files = {name for name, *digests in _changes(then, now) if name != ALL and not moved.intersection(digests)}
            if files - named or not files:
                said = _listed(sorted(files - named)) or "what a name stands for"
                yield f"{KINDS[plan.kind].words} code: {said} changed"
            named |= files


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, value before, value now; None stands for what is not there. Values are compared as JSON holds them."""
    for name in [*now, *(name for name in before if name not in now)]:
        a, b = before.get(name), now.get(name)
        if a != b and json.dumps(a, sort_keys=True, default=dict) != json.dumps(b, sort_keys=True, default=dict):
            yield name, a, b


def _change(before: Any, now: Any) -> str:
    return f"{_shown(before)} -> {_shown(now)}"


def _shown(value: Any) -> str:
    """As a person would write it: 2e-6, a text in quotes if it has spaces."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")
    if isinstance(value, str):
        return f'"{value}"' if " " in value or not value else value
    return str(value)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
