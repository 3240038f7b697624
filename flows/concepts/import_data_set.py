"""What `conceptbooth import` does: concepts out of a data set that somebody else keeps."""

from collections.abc import Sequence

from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.invocation import command
from tasks.concepts.concepts import NOT_STATED
from tasks.concepts.import_data_set import import_dreambooth
from tasks.project.base_limits import base_limits
from tasks.project.settings import Settings


def run_import(
    settings: Settings, origin: str, *, revision: str | None, subjects: Sequence[str], as_json: bool = False
) -> None:
    """Import subjects of the DreamBooth data set and say what was done and what comes next.

    Raises:
        InputError: anything is wrong, all of it together; nothing was written.
        WorkFailed: git, DVC or the disk failed.
    """
    limits = base_limits(settings)
    with notices().status(Text(f"Importing from {origin} ...")):
        imported = import_dreambooth(
            settings,
            origin,
            revision=revision,
            subjects=subjects,
            limits=limits,
        )
    if as_json:
        facts = ("super_category", "licence", "source", "consent")
        print_json(
            [
                {"name": each.concept.name, "state": each.state, "data_version": each.digest, "images": each.images}
                | {"commit": each.commit, **{fact: getattr(each.concept, fact) for fact in facts}}
                for each in imported
            ]
        )
        return
    for each in imported:
        concept = each.concept
        said = f"{each.images} images, {concept.super_category}, {concept.licence}, data version {each.digest[:8]}"
        results().print(f"{concept.name}  {each.state}: {said}", soft_wrap=True, markup=False)
        if each.others:
            beside = f"hint: nothing is learnt from {', '.join(each.others[:5])}{' ...' if each.others[5:] else ''}"
            notices().print(beside, style="yellow", soft_wrap=True, markup=False)
    names = [each.concept.name for each in imported]
    unstated = sum(each.concept.consent == NOT_STATED for each in imported)
    if unstated:
        said = f"hint: consent of {unstated} is {NOT_STATED}; write it into concept.yaml before anything is released"
        notices().print(said, style="yellow", soft_wrap=True, markup=False)
    for line in (
        f"  keep them:   git add {' '.join(f'data/concepts/{name}' for name in names)} && git commit",
        f"  teach them:  {command()} train {' '.join(names)}",
    ):
        results().print(line, soft_wrap=True, markup=False)
