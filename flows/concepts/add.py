"""What `conceptbooth add` does and says: a new concept by the limits of the project's base model."""

import shlex

from rich.text import Text

from flows.output.console import notices, print_json, results, warn
from flows.output.invocation import command, path_from_here
from model.errors import InputError
from tasks.concepts.add import NewConcept, add_concept
from tasks.concepts.concepts import FACTS
from tasks.concepts.domain import foreign_images
from tasks.concepts.image_checks import find_images
from tasks.dvc.command import push_folder
from tasks.dvc.storage import dvc_storage
from tasks.project.base_limits import base_limits
from tasks.project.settings import Settings, shown_path


def run_add(settings: Settings, new: NewConcept, *, push: bool = False, as_json: bool = False) -> None:
    """Add a concept and say what was done, what a person should know, and what comes next.

    With `push` its images go to DVC's default remote too, by the settings' own S3.

    Raises:
        InputError: anything is wrong, all of it together; nothing was written.
        WorkFailed: the disk or DVC failed.
    """
    limits = base_limits(settings)
    if push and dvc_storage(settings).remote is None:
        raise InputError("--push: .dvc/config names no default remote; `dvc remote add --default NAME PLACE` does")
    foreign = foreign_images(settings, find_images(new.images).files, command())
    if foreign:
        warn(foreign)
    with notices().status("Checking and storing images ..."):
        added = add_concept(settings, new, limits)
    if push:
        with notices().status("sending the images to DVC's remote ..."):
            push_folder(settings, added.concept.images)
    if as_json:
        facts = {fact: getattr(added.concept, fact) for fact in FACTS}
        stored = [image.model_dump() for image in added.images]
        print_json(
            {
                "name": new.name,
                "folder": shown_path(settings, added.concept.folder),
                "data_version": added.digest,
                **facts,
                "images": stored,
            }
            | {"hints": [*([foreign] if foreign else []), *added.hints], "left_out": list(added.left_out)}
        )
        return
    for hint in added.hints:
        notices().print(Text.assemble(("hint: ", "yellow"), hint), soft_wrap=True)
    for left_out in added.left_out:
        notices().print(Text.assemble(("left out: ", "bold yellow"), left_out), soft_wrap=True)
    folder = path_from_here(added.concept.folder)
    said = f"Added concept {new.name}: {len(added.images)} images, data version {added.digest[:8]}, in {folder}"
    keep, teach = f"git add {shlex.quote(folder)} && git commit", f"{command()} train {new.name}"
    for line in (said, f"  keep it:   {keep}", f"  teach it:  {teach}"):
        results().print(line, soft_wrap=True)
