"""Where images and models come from, in a manifest's words. It describes only: none of it is in a key."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.reading.pictures import OURS, open_picture
from tasks.concepts.concepts import Concept
from tasks.concepts.image_checks import named_fingerprint
from tasks.concepts.image_origins import image_origins
from tasks.dvc.folder_hash import FolderFile
from tasks.jobs.adoptions import workings_digest
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import ORIGINS


def stated_facts(concept: Concept) -> dict[str, Any]:
    """What the concept's owner says of its images: licence, source, consent, and the files that were brought.

    Raises InputError where images.yaml cannot be read.
    """
    return {
        "licence": concept.licence,
        "source": concept.source,
        "consent": concept.consent,
        "images": [origin.model_dump() for origin in image_origins(concept)],
    }


def image_facts(folder: Path, files: Sequence[FolderFile]) -> tuple[dict[str, Any], ...]:
    """Of each prepared image in a stage's `folder`: the file it was made from, by name, hashes and size in bytes.

    `files` are those of the image set. md5 is what DVC's hash of the folder is made of; the fingerprint finds copies
    that were recompressed or resized.
    """
    if not (folder / ORIGINS).is_file():
        return ()  # another stage than the first
    by_name = {file.relpath: file for file in files}
    facts = []
    for origin in json.loads((folder / ORIGINS).read_bytes()):
        file = by_name[origin["made_from"]]
        with open_picture(folder / origin["file"], OURS) as picture:
            facts.append(origin | {"md5": file.md5, "size": file.size, "fingerprint": named_fingerprint(picture)})
    return tuple(facts)


def made_by(job: Job, plan: StagePlan) -> dict[str, Any] | None:
    """The code and libraries of now, where a stage is made again under a key that names others: an adoption's."""
    now = job.recipe.workings[plan.kind]
    packages = {name: version for name, version in now.packages.items() if name in plan.packages}
    if workings_digest(now.code, packages) == workings_digest(plan.code, plan.packages):
        return None
    return {"code": dict(now.code), "packages": packages, "adoptions": list(job.adopted.get(plan.stage, ()))}
