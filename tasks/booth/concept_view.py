"""One concept as its page shows it: what a version drew at its evaluation, where [V] looked, and the images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_checks import pictures_among
from tasks.figures.gallery_content import STAGE_LESSONS
from tasks.figures.score_words import Reading, ScoreVerdict, interval, read_scores
from tasks.files.hashing import file_digest
from tasks.lineage.prepared_images import prepared_images
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.versions import REVOKED_TAG
from tasks.store.artefacts import BASE_GENERATIONS, CATEGORY_MAP, GENERATIONS, PAGE, PLACEHOLDER_MAP, PREVIEW, STAGES
from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Store


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a version drew for one prompt of its evaluation, as files of the evaluation."""

    prompt: str
    """With {}."""
    clip_i: str
    clip_t: str
    pictures: tuple[str, ...]
    base_pictures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where the words looked after one stage of the training, as files of the evaluation."""

    stage: str
    lesson: str
    preview: str
    placeholder: str
    category: str | None


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """A registered version."""

    number: int
    aliases: tuple[str, ...]
    revoked: str | None
    """When and why; None if it was not."""
    evaluation: Manifest | None = None
    gallery: Manifest | None = None
    readings: tuple[Reading, ...] = ()
    verdict: ScoreVerdict | None = None
    """None where the policy asks nothing of scores, or there are none."""
    scenes: tuple[Scene, ...] = ()
    looks: tuple[Look, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read of it."""

    @property
    def has_gallery(self) -> bool:
        """Whether its gallery's page is there."""
        return self.gallery is not None and PAGE in self.gallery.files


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image of the concept, now or once, and the versions that learnt from it."""

    sha256: str
    name: str
    """In the image set."""
    there: bool
    """Whether it is in the concept's folder now."""
    versions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Images:
    """All images that the concept has or had."""

    seen: tuple[SeenImage, ...] = ()
    files: Mapping[str, tuple[Manifest, str] | Path] = field(default_factory=dict)
    """Where each can be read, by sha256: a file of a `prepare`, or of the folder."""
    problems: tuple[str, ...] = ()


def view_version(
    store: Store, version: KnownVersion, judge: Callable[[Mapping[str, Any]], ScoreVerdict | None]
) -> VersionView:
    """All that the page shows of a version; what is missing or damaged becomes a problem. Raises StoreFailed.

    `judge` holds a scores document against the project's policy.
    """
    problems: list[str] = []
    evaluation = _manifest(store, "evaluate", version, problems)
    gallery = _manifest(store, "gallery", version, problems)
    scores: Mapping[str, Any] | None = None
    if evaluation:
        try:
            scores = load_scores(store, evaluation)
        except Damaged as damage:
            problems.append(str(damage))
    return VersionView(
        number=version.version,
        aliases=tuple(sorted(version.aliases)),
        revoked=version.tags.get(REVOKED_TAG),
        evaluation=evaluation,
        gallery=gallery,
        readings=read_scores(scores) if scores else (),
        verdict=judge(scores) if scores else None,
        scenes=tuple(_scenes(evaluation, scores)) if evaluation and scores else (),
        looks=tuple(_looks(evaluation)) if evaluation else (),
        problems=tuple(problems),
    )


def view_images(settings: Settings, store: Store, name: str, versions: list[KnownVersion]) -> Images:
    """The images that the concept has now, and those that any of its versions learnt from. Raises StoreFailed."""
    problems: list[str] = []
    names: dict[str, str] = {}
    seen: dict[str, list[int]] = {}
    files: dict[str, tuple[Manifest, str] | Path] = {}
    for version in versions:
        prepared = _manifest(store, "prepare", version, problems)
        if prepared is None:
            continue
        try:
            for image in prepared_images(store, prepared):
                sha256 = image["sha256"]
                names.setdefault(sha256, Path(image.get("made_from") or image["file"]).name)
                seen.setdefault(sha256, []).append(version.version)
                files[sha256] = (prepared, image["file"])
        except Damaged as damage:
            problems.append(str(damage))
    there = dict(_there(settings, name))
    for sha256, path in there.items():
        names[sha256] = path.name
        files.setdefault(sha256, path)
    order = [*there, *(sha256 for sha256 in names if sha256 not in there)]
    images = [
        SeenImage(sha256=each, name=names[each], there=each in there, versions=tuple(seen.get(each, ())))
        for each in order
    ]
    return Images(seen=tuple(images), files=files, problems=tuple(dict.fromkeys(problems)))


def newest_picture(store: Store, evaluation: Manifest, sha256: str) -> Path | None:
    """A picture that an evaluation drew, by its hash; None where it drew none like it. Raises Damaged, StoreFailed."""
    name = next((name for name, record in evaluation.files.items() if record.sha256 == sha256), None)
    return store.file(evaluation, name) if name else None


def _there(settings: Settings, name: str) -> Iterator[tuple[str, Path]]:
    try:
        folder = load_concept(settings, name).images
    except InputError:
        return
    if folder.is_dir():
        for path in pictures_among({path.name: path for path in sorted(folder.iterdir()) if path.is_file()}).values():
            yield file_digest(path), path


def _manifest(store: Store, stage: str, version: KnownVersion, problems: list[str]) -> Manifest | None:
    key = version.stages.get(stage)
    if key is None:
        problems.append(f"version {version.version} does not say which {stage} it has")
        return None
    try:
        return store.get(stage, key)
    except Damaged as damage:
        problems.append(str(damage))
        return None


def _scenes(evaluation: Manifest, scores: Mapping[str, Any]) -> Iterator[Scene]:
    for number, (prompt, scored) in enumerate(zip(evaluation.parameters["prompts"], scores["prompts"], strict=False)):
        yield Scene(
            prompt=prompt,
            clip_i=f"{interval(scored['clip_i']).mean:.2f}",
            clip_t=f"{interval(scored['clip_t']).mean:.2f}",
            pictures=_below(evaluation, f"{GENERATIONS}/{number:02}/"),
            base_pictures=_below(evaluation, f"{BASE_GENERATIONS}/{number:02}/"),
        )


def _looks(evaluation: Manifest) -> Iterator[Look]:
    """In the order of the stages, which an evaluation names among what it read."""
    stages = [entry.kind.split("-", 2)[2] for entry in evaluation.inputs if entry.kind.startswith("train-")]
    for stage in stages:
        folder = f"{STAGES}/{stage}"
        if f"{folder}/{PREVIEW}" in evaluation.files:
            category = f"{folder}/{CATEGORY_MAP}"
            yield Look(
                stage=stage.replace("_", " "),
                lesson=STAGE_LESSONS.get(stage, ""),
                preview=f"{folder}/{PREVIEW}",
                placeholder=f"{folder}/{PLACEHOLDER_MAP}",
                category=category if category in evaluation.files else None,
            )


def _below(manifest: Manifest, folder: str) -> tuple[str, ...]:
    return tuple(sorted(name for name in manifest.files if name.startswith(folder)))
