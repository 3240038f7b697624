"""What `conceptbooth add` does: a new concept by the limits of the project's base model."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.invocation import command, path_from_here
from model.bases.prompt import ConceptPrompt
from tasks.concepts.add import add_concept
from tasks.concepts.concepts import FACTS, Concept
from tasks.project.base_limits import base_folder, fewest_pixels
from tasks.project.params import load_params
from tasks.project.settings import Settings, shown_path


def run_add(
    settings: Settings,
    *,
    name: str,
    images: Sequence[Path],
    category: str,
    licence: str | None = None,
    source: str | None = None,
    consent: str | None = None,
    as_json: bool = False,
) -> None:
    """Add a concept and say what was done, what a person should know, and what comes next.

    Raises:
        InputError: anything is wrong, all of it together; nothing was written.
        WorkFailed: the disk or DVC failed.
    """
    min_pixels, check_words = limits(settings)
    with notices().status("Checking and storing images ..."):
        added = add_concept(
            settings,
            name=name,
            images=images,
            category=category,
            licence=licence,
            source=source,
            consent=consent,
            min_pixels=min_pixels,
            check_words=check_words,
        )
    if as_json:
        facts = {fact: getattr(added.concept, fact) for fact in FACTS}
        stored = [image.model_dump() for image in added.images]
        print_json(
            {
                "name": name,
                "folder": shown_path(settings, added.concept.folder),
                "data_version": added.digest,
                **facts,
                "images": stored,
            }
            | {"hints": list(added.hints)}
        )
        return
    for hint in added.hints:
        notices().print(Text.assemble(("hint: ", "yellow"), hint), soft_wrap=True)
    folder = path_from_here(added.concept.folder)
    said = f"Added concept {name}: {len(added.images)} images, data version {added.digest[:8]}, in {folder}"
    keep, teach = f"git add {shlex.quote(folder)} && git commit", f"{command()} train {name}"
    for line in (said, f"  keep it:   {keep}", f"  teach it:  {teach}"):
        results().print(line, soft_wrap=True)


def limits(settings: Settings) -> tuple[int, Callable[[Concept], None]]:
    """The fewest pixels of an image, and the check of a concept's words, by the base model that params.yaml names."""
    folder = base_folder(settings, load_params(settings.params_file))

    def check_words(concept: Concept) -> None:
        if folder is None:  # on the hub: its tokenizers are asked when the training starts
            return
        from model.bases.tokens import base_tokenizers, check_concept

        check_concept(
            base_tokenizers(folder, str(folder)), ConceptPrompt(concept.placeholder_token, concept.super_category)
        )

    return fewest_pixels(folder), check_words
