"""Things that come with the embedded base for trying it: drawn by its world, taken in like anybody's images."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.bases.domain import base_domain
from model.errors import InputError, WorkFailed
from tasks.concepts.add import Added, NewConcept, add_concept
from tasks.concepts.concepts import concept_names
from tasks.project.base_limits import base_folder, base_limits
from tasks.project.params import load_params
from tasks.project.settings import Settings


@dataclass(frozen=True, kw_only=True)
class BundledSample:
    """A sample concept, and what its concept.yaml says of it."""

    name: str
    super_category: str
    licence: str
    source: str
    consent: str


def bundled_samples(settings: Settings) -> tuple[BundledSample, ...]:
    """All of them.

    Raises:
        InputError: the project's base does not draw their world.
        WorkFailed: the embedded world does not answer.
    """
    params = load_params(settings.params_file)
    if base_domain(base_folder(settings, params)) is None:
        raise InputError(
            f"the samples are things of the toy world, and base model {params.base} is for photographs: take your own, "
            "or those of `conceptbooth import google-dreambooth --subjects teapot`"
        )
    return tuple(BundledSample(**facts) for facts in json.loads(_ask_world("--list")))


def add_samples(settings: Settings, names: Sequence[str]) -> tuple[Added, ...]:
    """Draw the images of these samples and add them as concepts; those that the project has already are left alone.

    Raises:
        InputError: no such sample, or a base that does not draw their world; nothing was written.
        WorkFailed: a sample could not be drawn, or DVC failed; those before it are there.
    """
    samples = {sample.name: sample for sample in bundled_samples(settings)}
    if unknown := [name for name in names if name not in samples]:
        raise InputError(*(f"no bundled sample {name!r}; there are {', '.join(samples)}" for name in unknown))
    there, limits = set(concept_names(settings)), base_limits(settings)
    added = []
    for sample in (samples[name] for name in dict.fromkeys(names) if name not in there):
        with tempfile.TemporaryDirectory() as drawn:
            _ask_world(sample.name, drawn)
            new = NewConcept(
                name=sample.name,
                images=[Path(drawn)],
                category=sample.super_category,
                licence=sample.licence,
                source=sample.source,
                consent=sample.consent,
            )
            added.append(add_concept(settings, new, limits))
    return tuple(added)


def _ask_world(*arguments: str) -> str:
    """What the embedded world says, in a process of its own: none of the rooms imports it."""
    command = [sys.executable, "-P", "-m", "toyworld.samples", *arguments]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True)
    if done.returncode != 0:
        raise WorkFailed(f"`python -m toyworld.samples {' '.join(arguments)}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout
