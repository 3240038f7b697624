"""Pictures of a registered version, each marked and signed; whatever can be refused is refused before models load."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.bases.prompt import prompt_problems
from model.drawing.picture_size import PictureSize
from model.drawing.sampling_options import MOVES, Sampling
from model.errors import InputError
from model.marks.content_credentials import PictureSigner, open_signer
from model.marks.marking import Mark, marked_png
from tasks.concepts.image_checks import named_fingerprint
from tasks.drawing.picture_files import file_stems, folder_problems, write_picture
from tasks.drawing.records import DrawnLook, keep_drawn
from tasks.execution.reporting import Reporter
from tasks.project.params import SamplingParams, load_params
from tasks.project.settings import Settings
from tasks.registry.bases import FoundBase, base_of
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.reference import VersionReference
from tasks.registry.versions import BASE_DIGEST_TAG, KEY_TAG, WEIGHTS_FILE, ResolvedVersion, resolve, tag_of
from tasks.store.blobs import StoreFailed
from tasks.store.store import open_store

if TYPE_CHECKING:
    from PIL.Image import Image

    from model.bases.base import Base


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
    negative_prompt: str | None = None
    """What guidance leads away from."""
    steps: int | None = None
    """Those of params.yaml unless given; so are the next four."""
    guidance: float | None = None
    word_norm: float | None = None
    word_turn: float | None = None
    size: str | None = None
    """Width and height, as in `768x512`; the base's own unless given."""

    @property
    def picture_size(self) -> PictureSize | None:
        """The same as numbers. Raises InputError."""
        return None if self.size is None else PictureSize.parse(self.size)

    def sampling(self, usual: SamplingParams) -> Sampling:
        """How they are drawn."""
        options = usual.model_dump()
        if self.steps is not None:
            options["num_inference_steps"] = self.steps
        if self.guidance is not None:
            options["guidance_scale"] = self.guidance
        options |= {name: value for name in MOVES if (value := getattr(self, name)) is not None}
        return Sampling(seed=self.seed, **options)

    def problems(self, usual: SamplingParams) -> list[str]:
        """What can be said against it without the base."""
        sampling = self.sampling(usual)
        problems = [problem for prompt in self.prompts for problem in prompt_problems(prompt)] + sampling.problems()
        if self.negative_prompt and sampling.guidance_scale == 1:
            problems.append("guidance 1 is none, so that nothing leads away from the negative prompt; ask for more")
        if self.negative_prompt and set("{}") & set(self.negative_prompt):
            problems.append(f'negative prompt "{self.negative_prompt}": it is read without the concept; leave {{}} out')
        try:
            _ = self.picture_size
        except InputError as error:
            problems += error.problems
        return problems + folder_problems(self.folder)


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
    """Draw the pictures, and write each, marked, as soon as it is there; at the end keep a record of them.

    Raises:
        InputError: prompts that cannot be drawn, a folder that cannot be written, a key that does not sign (all of them
            together), an unknown version, another base than that of the training; nothing was written.
        WorkFailed: MLflow does not answer, or a picture cannot be written.
    """
    params, prompts, seed = load_params(settings.params_file), request.prompts, request.seed
    problems = request.problems(params.sampling)
    signer: PictureSigner | None = None
    try:
        signer = open_signer(settings.c2pa_key, settings.c2pa_certificates)
    except InputError as error:
        problems += error.problems
    store = open_store(settings)
    try:
        _ = store.record_signer  # which signs what is kept of the pictures
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*problems)
    reporter.prepare("reading the registry")
    mend_cleared_tags(settings, reference.concept)
    version = resolve(settings, reference)
    content = tag_of(version, KEY_TAG)
    with base_of(settings, version) as found:
        if found.revision is None:
            _check_with_files(Path(found.location), version, request)
        reporter.prepare(f"loading the base {found.said}")

        from model.drawing.sample import generate
        from model.runtime.device import numeric_policy
        from model.weights.concept import ConceptWeights

        base = _open_base(found, version.tags.get(BASE_DIGEST_TAG), settings.device)
    weights = ConceptWeights.load(version.folder / WEIGHTS_FILE)
    texts = [weights.prompt.fill(prompt) for prompt in prompts]
    stems = file_stems(version, [weights.prompt.without_placeholder(prompt) for prompt in prompts], seed)
    made: list[DrawnPicture] = []
    looks: list[DrawnLook] = []

    def keep(prompt: int, index: int, image: "Image") -> None:
        mark = Mark(
            concept=version.concept,
            content=content,
            version=version.version,
            prompt=prompts[prompt],
            text=texts[prompt],
            seed=seed,
            index=index,
            negative_prompt=request.negative_prompt or None,
            steps=request.steps,
            guidance=request.guidance,
            word_norm=request.word_norm,
            word_turn=request.word_turn,
            size=request.size,
        )
        sign = (lambda png: signer.signed(png, mark)) if signer else None
        file = write_picture(request.folder, f"{stems[prompt]}-{index}", marked_png(image, mark), sign)
        made.append(DrawnPicture(prompt=prompts[prompt], text=texts[prompt], seed=seed, index=index, file=str(file)))
        if settings.drawn_records != "none":
            told = prompts[prompt] if settings.drawn_records == "prompts" else None
            looks.append(DrawnLook(fingerprint=named_fingerprint(image), seed=seed, index=index, prompt=told))
        reporter.advance(len(made))

    total = request.count * len(prompts)
    reporter.begin(f"{version.concept} version {version.version}", total, "picture" if total == 1 else "pictures")
    try:
        generate(
            base,
            weights,
            texts,
            request.count,
            request.sampling(params.sampling),
            negative_prompt=request.negative_prompt,
            size=request.picture_size,
            autocast=numeric_policy(settings.device, params.dtype)["autocast"],
            on_image=keep,
        )
    finally:
        reporter.end()
        try:  # also of those before one that failed
            keep_drawn(store, looks, concept=version.concept, content=content, version=version.version)
        except (StoreFailed, InputError) as failure:
            reporter.warn(
                f"{len(looks)} pictures are drawn and marked, but not on record: {failure}; "
                "`conceptbooth whence PICTURE... --record` does it later, `drawn_records = none` does without"
            )
    return DrawnPictures(concept=version.concept, version=version.version, base=found.said, pictures=made)


_opened: "dict[tuple[str, ...], Base]" = {}
"""The base that was drawn with last: the booth draws one order after the other, nearly always with one base."""


def _open_base(found: FoundBase, digest: str | None, device: str) -> "Base":
    """The base in memory, by its digest: files of a folder may change while a process lives."""
    from model.bases.base import load_base
    from model.runtime.device import open_device

    known = (digest or found.location, found.revision or "", device)
    if known not in _opened:
        _opened.clear()  # before the next is loaded, or two would be in memory
        _opened[known] = load_base(found.location, found.revision, device=open_device(device))
    return _opened[known]


def _check_with_files(base: Path, version: ResolvedVersion, request: DrawingRequest) -> None:
    """InputError for a size, and for prompts that are too long; by the base's small files, before its weights.

    Loading those takes seconds. A base on the hub is loaded first: its files come with it.
    """
    from model.bases.base_files import base_resolution, base_size_step
    from model.bases.tokens import base_tokenizers, check_lengths, tokenize
    from model.weights.file import read_prompt

    size = request.picture_size
    problems = size.problems(base_resolution(base), base_size_step(base)) if size else []
    tokenizers, prompt = base_tokenizers(base, str(base)), read_prompt(version.folder / WEIGHTS_FILE)
    for check in (
        lambda: check_lengths(tokenizers, prompt, request.prompts),
        lambda: tokenize(tokenizers, request.negative_prompt or ""),
    ):
        try:
            check()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
