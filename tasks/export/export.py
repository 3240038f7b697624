"""A registered version in the forms that other programs load, each with its model card."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from model.bases.prompt import ConceptPrompt
from model.drawing.sampling_options import Sampling, moves_of
from model.errors import InputError, WorkFailed
from model.weights.file import read_prompt
from tasks.concepts.concepts import NOT_STATED, Concept
from tasks.execution.reporting import Reporter
from tasks.export.lora import Cut, embeddings_for_others, write_kohya, write_lora
from tasks.export.measuring import evaluator_of, score_again
from tasks.export.samples import write_samples
from tasks.export.usage import diffusers_usage, tried
from tasks.export.written import Written, called_elsewhere, file_stem
from tasks.lineage.chain import read_chain
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tasks.registry.bases import base_of
from tasks.registry.model_card import CARD, model_card
from tasks.registry.reference import VersionReference
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.versions import WEIGHTS_FILE, ResolvedVersion
from tasks.store.store import open_store

if TYPE_CHECKING:
    from model.bases.base import Base
    from model.weights.concept import ConceptWeights

Form = Literal["diffusers", "lora", "kohya", "a1111", "comfyui"]


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written."""

    files: list[str]
    """Below the folder, sorted."""
    lost: str | None
    """What the form leaves out of the version, in a sentence."""
    scores: Mapping[str, Mapping[str, float]] | None
    """Of the whole version and of the form, by score, where they were measured."""


def export_version(
    settings: Settings,
    version: ResolvedVersion,
    form: Form,
    place: Path,
    *,
    rank: int | None,
    measure: bool,
    reporter: Reporter,
) -> Export:
    """Write a version in `form` into the new folder `place`, which appears whole or not at all.

    `rank` and `measure` are a LoRA's: its rank, None for that of its training or a usual one, and whether the scores
    that it loses are measured. Everybody may read the files whom the umask lets.

    Raises:
        InputError: something is there already, the base or what measures is not to be found, a key does not sign, or
            the lineage is not complete.
        WorkFailed: the folder cannot be written.
    """
    if place.exists() or place.is_symlink():
        raise InputError(f"{place}: is there already, and nothing is overwritten; name another place with -o")
    reporter.prepare("reading where it comes from")
    record = record_of(settings, version)
    reporter.prepare(f"loading the base {record.base['reference']}")

    from model.bases.base import load_base
    from model.drawing.word_adjustment import drawn_embeddings
    from model.runtime.device import open_device
    from model.weights.concept import ConceptWeights

    evaluator = evaluator_of(settings, record) if measure else None
    device = open_device(settings.device) if measure else "cpu"  # what is only written needs no GPU
    store = open_store(settings)
    with _appearing_whole(place) as folder:
        with base_of(settings, version) as found:
            base = load_base(found.location, found.revision, device=device)
        if reason := base.family.without_form(form):
            raise InputError(f"concept '{record.concept.name}': {reason}")
        weights = ConceptWeights.load(version.folder / WEIGHTS_FILE)
        # Who draws with the files knows nothing of such options, so [V] goes out as it was scored.
        scored = Sampling(**moves_of(record.evaluation.parameters))
        weights = replace(weights, embeddings=drawn_embeddings(base, weights, scored))
        reporter.prepare(f"writing it for {form}")
        if write_cut := CUTTERS.get(form):
            score = None
            if evaluator:
                most = load_params(settings.params_file).sampling.batch_size
                score = partial(score_again, store, evaluator, base, record, reporter=reporter, most_at_once=most)
            written = write_cut(base, weights, record, folder, Cut(rank=rank, score=score))
        else:
            written = WRITERS[form](base, weights, record, folder)
        samples = write_samples(settings, store, version, record, folder)
        card = model_card(record, usage=written.usage, library=written.library, called=written.called, samples=samples)
        (folder / CARD).write_text(card, encoding="utf-8")
        _let_others_read(folder)
    files = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    return Export(files=files, lost=written.lost, scores=written.scores)


def record_of(settings: Settings, version: ResolvedVersion) -> TrainingFacts:
    """What the store has on record of a version. InputError where that is not complete: nothing leaves without it."""
    store = open_store(settings)
    reference = VersionReference(concept=version.concept, version=version.version)
    with open_index(settings, store) as index:
        chain = read_chain(store, index, find_head(settings, store, index, reference))
    if chain.problems or not {"prepare", "evaluate", "gallery"} <= chain.manifests.keys():
        said = "; ".join(chain.problems) or "no gallery in the store"
        raise InputError(f"concept {reference}: {said}; `conceptbooth train {version.concept}` makes it again")
    prompt: ConceptPrompt = read_prompt(version.folder / WEIGHTS_FILE)
    stated = {name: str(chain.stated.get(name) or NOT_STATED) for name in ("licence", "source", "consent")}
    folder = settings.concepts_dir / version.concept
    concept = Concept(name=version.concept, folder=folder, super_category=prompt.super_category, **stated)
    return TrainingFacts.read(store, concept, chain.manifests)


def _write_diffusers(base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path) -> Written:
    from model.exports.diffusers_pipeline import write_pipeline

    write_pipeline(base, weights, folder)
    usage = diffusers_usage(base, record, 'pipeline = DiffusionPipeline.from_pretrained("PATH_OF_THIS_FOLDER")')
    return Written(library="diffusers", usage=f"{usage}\n\n{tried(base)}")


def _write_a1111(base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path) -> Written:
    name = _write_original(base, weights, record, folder, "models/Stable-diffusion", "embeddings")
    called = called_elsewhere(name, record)
    usage = (
        "Copy `models/` and `embeddings/` into the folder of Stable Diffusion web UI, choose the checkpoint "
        f"`{name}`, and write `{called}` in the prompt, as in\n"
        f'"a photo of a {called} in the snow".'
    )
    return Written(library="stable-diffusion-webui", usage=usage, called=called)


def _write_comfyui(base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path) -> Written:
    name = _write_original(base, weights, record, folder, "models/checkpoints", "models/embeddings")
    called = called_elsewhere(f"embedding:{name}", record)
    usage = (
        f"Copy `models/` into the folder of ComfyUI, load the checkpoint `{name}.safetensors` (node Load Checkpoint), "
        f"and write `{called}` in the prompt, as in\n"
        f'"a photo of a {called} in the snow".'
    )
    return Written(library="comfyui", usage=usage, called=called)


def _write_original(
    base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path, checkpoints: str, embeddings: str
) -> str:
    """Checkpoint and embedding in the folders where they are looked for; their name without suffix."""
    from safetensors.torch import save_file

    from model.exports.original_names import original_checkpoint

    weights.put_into(base)
    name = file_stem(record)
    word = embeddings_for_others(base, weights)
    for place, tensors in ((checkpoints, original_checkpoint(base)), (embeddings, word)):
        (folder / place).mkdir(parents=True)
        whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(whole, folder / place / f"{name}.safetensors", metadata={"format": "pt"})
    return name


@contextmanager
def _appearing_whole(place: Path) -> Iterator[Path]:
    """A new folder beside `place`, which takes that name when all is written."""
    unfinished = place.absolute().parent / f".{place.name}.{os.getpid()}"
    try:
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise WorkFailed(f"{place}: cannot be written ({error.strerror or error})") from error


def _let_others_read(folder: Path) -> None:
    """Give every file the mode of a file that was simply written: safetensors keeps its own for their owner alone."""
    usual = stat.S_IMODE((folder / CARD).stat().st_mode)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(usual)


WRITERS: dict[str, Callable[["Base", "ConceptWeights", TrainingFacts, Path], Written]] = {
    "diffusers": _write_diffusers,
    "a1111": _write_a1111,
    "comfyui": _write_comfyui,
}
CUTTERS: dict[str, Callable[["Base", "ConceptWeights", TrainingFacts, Path, Cut], Written]] = {
    "lora": write_lora,
    "kohya": write_kohya,
}
