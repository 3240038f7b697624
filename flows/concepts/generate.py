"""`conceptbooth generate`: pictures of a registered concept in new scenes."""

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL.Image import Image

from flows.output.console import notices, print_json, results
from flows.output.progress import TerminalReporter
from model.bases.prompt import prompt_problems
from model.errors import InputError, WorkFailed
from model.marks.content_credentials import PictureSigner, open_signer, without_manifest
from model.marks.marking import Mark, marked_png
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.versions import KEY_TAG, WEIGHTS_FILE, ResolvedVersion, base_of, parse_reference, resolve, tag_of

SLUG_LETTERS = 80


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture that was made."""

    prompt: str
    """As the person wrote it."""
    text: str
    """As the model read it."""
    seed: int
    index: int
    file: str


def generate_pictures(
    settings: Settings,
    reference: str,
    prompts: Sequence[str],
    *,
    count: int,
    folder: Path,
    seed: int,
    as_json: bool,
) -> None:
    """Draw ``count`` pictures of each prompt, write each, marked, as soon as it is there, and print where they are.

    A file that holds something else already is left alone: the picture then gets the next free number.

    Raises:
        InputError: prompts that cannot be drawn, a folder that cannot be written, a key that does not sign (all of them
            together), an unknown version, another base than that of the training; nothing was written.
        WorkFailed: MLflow does not answer, or a picture cannot be written.
    """
    params = load_params(settings.params_file)
    problems = [problem for prompt in prompts for problem in prompt_problems(prompt)] + _folder_problems(folder)
    signer: PictureSigner | None = None
    try:
        signer = open_signer(settings.c2pa_key, settings.c2pa_certificates)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*problems)
    mend_cleared_tags(settings, parse_reference(reference)[0])
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
    stems = _stems(version, [weights.prompt.without_placeholder(prompt) for prompt in prompts], seed)
    made: list[Picture] = []
    progress = TerminalReporter(notices())

    def keep(prompt: int, index: int, image: Image) -> None:
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
        file = write_picture(folder, f"{stems[prompt]}-{index}", marked_png(image, mark), sign)
        made.append(Picture(prompt=prompts[prompt], text=texts[prompt], seed=seed, index=index, file=str(file)))
        progress.advance(len(made))

    total = count * len(prompts)
    progress.begin(f"{version.concept} version {version.version}", total, "picture" if total == 1 else "pictures")
    try:
        generate(
            base,
            weights,
            texts,
            count,
            Sampling(seed=seed, **params.sampling.model_dump()),
            autocast=numeric_policy(settings.device, params.dtype)["autocast"],
            on_image=keep,
        )
    finally:
        progress.end()
    if as_json:
        facts = {"concept": version.concept, "version": version.version, "base": base_reference, "seed": seed}
        print_json({**facts, "pictures": [asdict(picture) for picture in made]})
        return
    for picture in made:
        results().print(picture.file, soft_wrap=True, markup=False)


def write_picture(folder: Path, stem: str, png: bytes, sign: Callable[[bytes], bytes] | None = None) -> Path:
    """Write a PNG that appears whole or not at all; returns its path, that of the same picture if it is there already.

    What `sign` makes of it is written, if there is one; it may be other bytes each time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := folder / (f"{stem}.png" if number == 1 else f"{stem} ({number}).png")).exists():
            present = path.read_bytes()
            if without_manifest(present) == png and not (sign and present == png):
                return path
            number += 1
        spool = folder / f".{path.name}.{os.getpid()}"
        spool.write_bytes(sign(png) if sign else png)
        spool.replace(path)
    except OSError as error:
        raise WorkFailed(
            f"picture {folder / stem}.png: {error.strerror}; the pictures before it are there, and the same command "
            "makes the others once that is mended"
        ) from error
    return path


def _stems(version: ResolvedVersion, texts: Sequence[str], seed: int) -> list[str]:
    """The beginning of the pictures' file names, different for different prompts."""
    stems: list[str] = []
    for text in texts:
        words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:SLUG_LETTERS].rstrip("-")
        stem = f"{version.concept}-v{version.version}-{words}-{seed}"
        twins = sum(other == stem or other.startswith(f"{stem}-prompt") for other in stems)
        stems.append(f"{stem}-prompt{twins + 1}" if twins else stem)
    return stems


def _folder_problems(folder: Path) -> list[str]:
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        return [f"folder {folder}: {nearest} is a file; name another folder with -o"]
    try:  # what permissions say is not all: a full disk, and file systems on which nobody can write
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"\0")
    except OSError as error:
        return [f"folder {folder}: {nearest} cannot be written ({error.strerror}); name another folder with -o"]
    return []


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
