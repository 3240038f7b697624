"""The galleries of a concept's versions as files: one folder each, the newest training's above them."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.errors import InputError, WorldFailed
from model.marks.marking import Mark
from model.reading.documents import read_toml
from tasks.figures.gallery_frame import GalleryFrame, ScoreChange, framed_page, framed_sheet
from tasks.figures.score_words import ScoreVerdict, interval
from tasks.files.hashing import digest_of
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, RegistryUnknown, registered_versions
from tasks.registry.training_facts import evaluated_content
from tasks.registry.versions import GALLERY_TAG, REVOKED_TAG, STAGE_TAGS
from tasks.store.artefacts import CONTACT_SHEET, PAGE
from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Store

_FRAME_SCHEMA = 1
_NO_INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>All concepts</title>
<body style="font: 16px/1.5 system-ui, sans-serif; margin: 3em auto; padding: 0 1em; max-width: 60ch">
<h1>All concepts</h1>
<p>This page is not made yet: <code>conceptbooth gallery --index</code> makes it.</p>
"""
Judge = Callable[[Mapping[str, Any]], ScoreVerdict | None]
"""What the project's policy says of a scores document (``scores.json``)."""
_STATE = ".frame.json"
"""What a folder's files were made from, so that what is right is not drawn again."""


def show_versions(settings: Settings, store: Store, concept: str, version: int, judge: Judge) -> Path:
    """Write the galleries of a concept's versions that are not there as they should be; the folder of the concept.

    `version` is the one that was trained now; its gallery lies in the folder itself too. `judge` says whether scores
    are enough for a release, which stands above each gallery. Versions whose galleries the
    store no longer has keep the pages that they have.

    Raises:
        Damaged: the gallery of `version` is not in the store as it was made.
        StoreFailed, WorldFailed: the store cannot be read, or the folder not be written.
    """
    folder = settings.gallery_dir / concept
    known = {each.version: each for each in _registered(settings, concept)}
    pages = {number: folder / f"v{number}" / PAGE for number in known}
    shown = sorted(n for n in known if n == version or pages[n].is_file() or _is_kept(store, known[n]))
    here = shown.index(version) if version in shown else 0
    for place, number in enumerate(shown):
        if abs(place - here) > 1 and pages[number].is_file():
            continue  # its neighbours are those that it had
        before, after = (shown[near] if 0 <= near < len(shown) else None for near in (place - 1, place + 1))
        try:
            gallery, evaluation = (_manifest(store, known[number], stage) for stage in ("gallery", "evaluate"))
            frame = _frame(settings, store, evaluation, concept, number, known.get(before or 0), after, judge)
            _write(store, pages[number].parent, gallery, evaluation, frame, up="../")
            if number == version:
                _write(store, folder, gallery, evaluation, frame, up="")
        except Damaged:
            if number == version:
                raise
    _hold_place_of_index(settings.gallery_dir / PAGE)
    return folder


def _hold_place_of_index(index: Path) -> None:
    """Galleries link to the page of all concepts, which nobody may have made yet."""
    try:
        if not index.exists():
            index.parent.mkdir(parents=True, exist_ok=True)
            _replace(index, _NO_INDEX.encode())
    except OSError as error:
        raise _cannot_write(index, error) from error


def _registered(settings: Settings, concept: str) -> list[KnownVersion]:
    """The versions that say which gallery they show, without revoked ones; none where the registry cannot be asked."""
    try:
        versions = registered_versions(settings).get(concept, [])
    except RegistryUnknown:
        return []
    return [each for each in versions if GALLERY_TAG in each.tags and REVOKED_TAG not in each.tags]


def _is_kept(store: Store, version: KnownVersion) -> bool:
    try:
        return all(store.find(stage, version.stages[stage]) for stage in ("gallery", "evaluate"))
    except (Damaged, KeyError):
        return False


def _manifest(store: Store, version: KnownVersion, stage: str) -> Manifest:
    return store.get(stage, version.tags[f"{STAGE_TAGS}{stage}"])


def _frame(
    settings: Settings,
    store: Store,
    evaluation: Manifest,
    concept: str,
    number: int,
    before: KnownVersion | None,
    after: int | None,
    judge: Judge,
) -> GalleryFrame:
    now = load_scores(store, evaluation)
    changes: tuple[ScoreChange, ...] = ()
    incomparable = None
    if before is not None:
        old = _manifest(store, before, "evaluate")
        incomparable = _incomparable(old, evaluation)
        if incomparable is None:
            then = load_scores(store, old)
            changes = tuple(
                ScoreChange(name=name, before=interval(then[key]), now=interval(now[key]))
                for key, name in (("clip_i", "CLIP-I"), ("clip_t", "CLIP-T"))
            )
    return GalleryFrame(
        concept=concept,
        version=number,
        trained_at=evaluation.created,
        domain=_domain(settings, evaluation.base),
        verdict=judge(now),
        before=before.version if before else None,
        after=after,
        changes=changes,
        incomparable=incomparable,
    )


def _incomparable(old: Manifest, new: Manifest) -> str | None:
    """Why scores of two evaluations say nothing against each other."""
    if [each.digest for each in old.inputs if each.kind == "evaluator"] != [
        each.digest for each in new.inputs if each.kind == "evaluator"
    ]:
        return "other models measured them, so their scores cannot be compared"
    if old.parameters["prompts"] != new.parameters["prompts"]:
        return "they drew other prompts, so their scores cannot be compared as a whole"
    return None


def _domain(settings: Settings, base: Mapping[str, Any] | None) -> str | None:
    """What the base says of its own world; None of one on the hub, or of one that draws anything."""
    file = settings.root / str(base["reference"]) / "domain.toml" if base and not base.get("revision") else None
    if file is None or not file.is_file():
        return None
    try:
        return str(read_toml(file, str(file))["name"])
    except (InputError, KeyError):
        return None


def _write(
    store: Store, folder: Path, gallery: Manifest, evaluation: Manifest, frame: GalleryFrame, *, up: str
) -> None:
    """Page and sheet, if they are not there as they should be."""
    state = digest_of({"schema": _FRAME_SCHEMA, "gallery": gallery.digest(), "frame": asdict(frame), "up": up})
    if _state_of(folder) == state:
        return
    page = store.file(gallery, PAGE).read_text(encoding="utf-8")
    mark = Mark(
        concept=frame.concept,
        content=evaluated_content(evaluation),
        version=frame.version,
        prompt=f"gallery of {len(evaluation.parameters['prompts'])} prompts",
        text=f"gallery of {len(evaluation.parameters['prompts'])} prompts",
        seed=evaluation.seed or 0,
        index=0,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / PAGE, framed_page(page, frame, up=up).encode())
        _replace(folder / CONTACT_SHEET, framed_sheet(store.file(gallery, CONTACT_SHEET), frame, mark))
        _replace(folder / _STATE, json.dumps({"made_from": state}).encode())
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(place: Path, error: OSError) -> WorldFailed:
    return WorldFailed(
        f"{place}: cannot be written: {error.strerror}; mend it and run the same command again, nothing else is lost"
    )


def _state_of(folder: Path) -> str | None:
    try:
        whole = all((folder / name).is_file() for name in (PAGE, CONTACT_SHEET))
        return json.loads((folder / _STATE).read_text(encoding="utf-8"))["made_from"] if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _replace(file: Path, content: bytes) -> None:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
