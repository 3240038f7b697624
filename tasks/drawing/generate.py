"""Pictures of a registered version, each marked and signed; whatever can be refused is refused before models load."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.bases.prompt import prompt_problems
from model.errors import InputError
from model.marks.content_credentials import PictureSigner, open_signer
from model.marks.marking import Mark, marked_png
from tasks.drawing.picture_files import file_stems, folder_problems, write_picture
from tasks.execution.reporting import Reporter
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.reference import VersionReference
from tasks.registry.versions import KEY_TAG, WEIGHTS_FILE, ResolvedVersion, base_of, resolve, tag_of

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class DrawingRequest:
    """What is to be drawn."""

    prompts: Sequence[str]
    """With `{}` where the concept goes."""
    count: int
    """Pictures of each prompt."""
    seed: int
    folder: Path
    """Where they are written; made if it is not there."""


@dataclass(frozen=True, kw_only=True)
class DrawnPicture:
    """One picture that was made."""

    prompt: str
    """As the person wrote it."""
    text: str
    """As the model read it."""
    seed: int
    index: int
    file: str


@dataclass(frozen=True, kw_only=True)
class DrawnPictures:
    """All pictures of a request, and what drew them."""

    concept: str
    version: int
    base: str
    """Folder or hub id."""
    pictures: Sequence[DrawnPicture]


def generate_pictures(
    settings: Settings, reference: VersionReference, request: DrawingRequest, reporter: Reporter
) -> DrawnPictures:
    """Draw the pictures, and write each, marked, as soon as it is there.

    Raises:
        InputError: prompts that cannot be drawn, a folder that cannot be written, a key that does not sign (all of them
            together), an unknown version, another base than that of the training; nothing was written.
        WorkFailed: MLflow does not answer, or a picture cannot be written.
    """
    params, prompts, seed = load_params(settings.params_file), request.prompts, request.seed
    problems = [problem for prompt in prompts for problem in prompt_problems(prompt)] + folder_problems(request.folder)
    signer: PictureSigner | None = None
    try:
        signer = open_signer(settings.c2pa_key, settings.c2pa_certificates)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*problems)
    mend_cleared_tags(settings, reference.concept)
    version = resolve(settings, reference)
    content = tag_of(version, KEY_TAG)
    base_reference, base_revision = base_of(settings, version)
    _check_lengths(base_reference, base_revision, version, prompts)

    from model.bases.base import load_base
    from model.drawing.sample import generate
    from model.drawing.sampling_options import Sampling
    from model.runtime.device import numeric_policy, open_device
    from model.weights.concept import ConceptWeights

    base = load_base(base_reference, base_revision, device=open_device(settings.device))
    weights = ConceptWeights.load(version.folder / WEIGHTS_FILE)
    texts = [weights.prompt.fill(prompt) for prompt in prompts]
    stems = file_stems(version, [weights.prompt.without_placeholder(prompt) for prompt in prompts], seed)
    made: list[DrawnPicture] = []

    def keep(prompt: int, index: int, image: "Image") -> None:
        mark = Mark(
            concept=version.concept,
            content=content,
            version=version.version,
            prompt=prompts[prompt],
            text=texts[prompt],
            seed=seed,
            index=index,
        )
        sign = (lambda png: signer.signed(png, mark)) if signer else None
        file = write_picture(request.folder, f"{stems[prompt]}-{index}", marked_png(image, mark), sign)
        made.append(DrawnPicture(prompt=prompts[prompt], text=texts[prompt], seed=seed, index=index, file=str(file)))
        reporter.advance(len(made))

    total = request.count * len(prompts)
    reporter.begin(f"{version.concept} version {version.version}", total, "picture" if total == 1 else "pictures")
    try:
        generate(
            base,
            weights,
            texts,
            request.count,
            Sampling(seed=seed, **params.sampling.model_dump()),
            autocast=numeric_policy(settings.device, params.dtype)["autocast"],
            on_image=keep,
        )
    finally:
        reporter.end()
    return DrawnPictures(concept=version.concept, version=version.version, base=base_reference, pictures=made)


def _check_lengths(
    base_reference: str, base_revision: str | None, version: ResolvedVersion, prompts: Sequence[str]
) -> None:
    """InputError for prompts that are too long; by the tokenizers alone, before models are loaded, which takes seconds.

    A base on the hub is loaded first: its tokenizers come with it.
    """
    if base_revision is None:
        from model.bases.tokens import base_tokenizers, check_lengths
        from model.weights.file import read_prompt

        prompt = read_prompt(version.folder / WEIGHTS_FILE)
        check_lengths(base_tokenizers(Path(base_reference), base_reference), prompt, prompts)
