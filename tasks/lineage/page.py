"""A chain as one HTML file for an auditor: it asks nothing of any server, and holds its pictures inside itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader
from PIL import Image

from model.reading.pictures import OURS, open_picture
from tasks.figures.html import embedded, page_environment
from tasks.figures.score_words import interval, read_scores
from tasks.lineage.chain import Chain
from tasks.lineage.words import SHORT, devices_compared, git_words, number, size_words, when_words
from tasks.store.artefacts import GENERATIONS, PREVIEW, STAGES
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store

SHOWN_PER_PROMPT = 3
SHOWN_CLASS_IMAGES = 12
THUMBNAIL = 192
"""Longest side of a picture on the page, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One box of the drawing."""

    anchor: str
    title: str
    key: str
    state: str
    """"good", "fault", "unchecked", or "unknown" where nothing was verified."""
    remark: str = ""


def write_page(page: Path, store: Store, chain: Chain, lineage: Mapping[str, Any]) -> None:
    """Write the page of a chain and its document (`tasks.lineage.document`).

    Pictures whose bytes are not as they were are left out, each with a word in its place.

    Raises:
        StoreFailed: the store cannot be read.
        OSError: the page cannot be written.
    """
    filters: dict[str, Callable[..., object]] = {
        "short": lambda key: str(key)[:SHORT],
        "bytes": size_words,
        "git": git_words,
        "number": number,
        "interval": interval,
        "when": when_words,
        "devices": devices_compared,
    }
    environment = page_environment(PackageLoader("tasks.lineage"), filters)
    scores = lineage["evaluation"] and lineage["evaluation"]["scores"]
    text = environment.get_template("lineage.html.j2").render(
        lineage=lineage,
        nodes=draw_chain(lineage),
        sources=[_model_node(lineage, kind, title) for kind, title in _MODELS if lineage[kind]],
        readings=read_scores(scores) if scores else (),
        images=[_picture(store, chain.manifests.get("prepare"), image["file"]) for image in lineage["images"]],
        class_images=_class_images(store, chain),
        scenes=_scenes(store, chain),
        previews={
            stage["stage"]: _picture(
                store, chain.manifests.get("evaluate"), f"{STAGES}/{_short_name(stage['stage'])}/{PREVIEW}"
            )
            for stage in lineage["stages"]
        },
    )
    page.write_text(text, encoding="utf-8")


_MODELS = (("base", "base model"), ("evaluator", "evaluator"), ("identity_model", "identity model"))


def draw_chain(lineage: Mapping[str, Any]) -> list[Node]:
    """The boxes of the drawing, from the images to the production ledger."""
    nodes = []
    if lineage["image_set"]:
        count = f"{len(lineage['images'])} images"
        nodes.append(_node(lineage, "images", "images", lineage["image_set"]["digest"], ("image",), count))
    if prepared := lineage["prepared"]:
        nodes.append(_node(lineage, "prepared", "prepared", prepared["key"], ("prepare ",), ""))
    if drawn := lineage["class_images"]:
        remark = f"{drawn['parameters']['count']} pictures by the base"
        nodes.append(_node(lineage, "class_images", "class images", drawn["key"], ("class_images ",), remark))
    for stage in reversed(lineage["stages"]):
        _, place, name = stage["stage"].split("-", 2)
        steps = stage["parameters"].get("stage", {}).get("max_train_steps")
        remark = f"{steps} steps" if steps else ""
        title = f"stage {place}, {name.replace('_', ' ')}"
        nodes.append(_node(lineage, stage["stage"], title, stage["key"], (f"{stage['stage']} ",), remark))
    if evaluation := lineage["evaluation"]:
        count = f"{len(evaluation['parameters']['prompts'])} prompts"
        nodes.append(_node(lineage, "evaluation", "evaluation", evaluation["key"], ("evaluate ", "content"), count))
    if version := lineage["version"]:
        aliases = " ".join(f"@{alias}" for alias in version["aliases"])
        prefixes = (version["model"], "registry")
        nodes.append(
            _node(lineage, "version", f"version {version['version']}", str(version["content"]), prefixes, aliases)
        )
    if entries := lineage["promotions"]:
        nodes.append(
            _node(lineage, "promotions", "production", f"record {entries[-1]['seq']}", ("ledger", "release"), "")
        )
    return nodes


def _model_node(lineage: Mapping[str, Any], kind: str, title: str) -> Node:
    model = lineage[kind]
    return _node(lineage, kind, title, model["digest"], (f"{kind} ", kind), model["reference"])


def _node(lineage: Mapping[str, Any], anchor: str, title: str, key: str, prefixes: Sequence[str], remark: str) -> Node:
    return Node(anchor=anchor, title=title, key=key, state=_state(lineage, tuple(prefixes)), remark=remark)


def _state(lineage: Mapping[str, Any], prefixes: tuple[str, ...]) -> str:
    verification = lineage["verification"]
    if verification is None:
        return "unknown"
    for name, state in (("faults", "fault"), ("unchecked", "unchecked")):
        if any(
            check["what"].startswith(prefixes) or check["said"].startswith(prefixes) for check in verification[name]
        ):
            return state
    return "good"


def _scenes(store: Store, chain: Chain) -> list[dict[str, Any]]:
    """Each prompt with its scores and its first pictures."""
    evaluation = chain.manifests.get("evaluate")
    if evaluation is None:
        return []
    scores = chain.scores["prompts"] if chain.scores else []
    scenes = []
    for place, prompt in enumerate(evaluation.parameters["prompts"]):
        folder = f"{GENERATIONS}/{place:02}/"
        names = sorted(name for name in evaluation.files if name.startswith(folder))[:SHOWN_PER_PROMPT]
        score = scores[place] if place < len(scores) else None
        pictures = [_picture(store, evaluation, name) for name in names]
        scenes.append({"prompt": prompt, "score": score, "pictures": pictures})
    return scenes


def _class_images(store: Store, chain: Chain) -> list[str | None]:
    """The first class images of a training with prior preservation."""
    drawn = chain.manifests.get("class_images")
    names = sorted(drawn.files, key=lambda name: (len(name), name))[:SHOWN_CLASS_IMAGES] if drawn else ()
    return [_picture(store, drawn, name) for name in names]


def _picture(store: Store, manifest: Manifest | None, name: str) -> str | None:
    """The picture as a `data:` address; None where it is not there, or not as it was."""
    if manifest is None or name not in manifest.files:
        return None
    try:
        path = store.file(manifest, name)
    except Damaged:
        return None
    with open_picture(path, OURS) as picture:
        thumbnail = picture.convert("RGB")
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return embedded(thumbnail)


def _short_name(stage: str) -> str:
    return stage.split("-", 2)[2]
