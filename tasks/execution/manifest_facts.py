"""Where images and models come from, in a manifest's words. It describes only: none of it is in a key."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.concepts.concepts import NOT_STATED, Concept
from tasks.concepts.image_checks import fingerprint
from tasks.concepts.image_origins import image_origins
from tasks.dvc.folder_hash import FolderFile
from tasks.files.hashing import file_digest
from tasks.jobs.keys import MODEL_SUFFIXES, ModelIdentity
from tasks.store.artefacts import ORIGINS

FINGERPRINT = "phash255"
"""Name of the fingerprint's method (`tasks.concepts.image_checks.fingerprint`), so that another one can never be
compared with it."""


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
        with Image.open(folder / origin["file"]) as picture:
            facts.append(origin | {"md5": file.md5, "size": file.size, "fingerprint": named_fingerprint(picture)})
    return tuple(facts)


def named_fingerprint(picture: Image.Image) -> str:
    """The picture's fingerprint after the name of its method: 255 bits as 64 hex digits, the last bit 0."""
    return f"{FINGERPRINT}:{np.packbits(fingerprint(picture)).tobytes().hex()}"


def model_facts(model: ModelIdentity, licence: str | None = None) -> dict[str, Any]:
    """How a pretrained model is called, its digest, the sha256 of each file of it, and its licence as people state it.

    Of a hub model those files are listed that lie in the hub's cache on this machine.
    """
    files = model.files or {
        name: _blob_digest(path) for name, path in cached_hub_files(model.reference, model.revision).items()
    }
    return model.to_json() | {"files": dict(files), "licence": licence or NOT_STATED}


def cached_hub_files(reference: str, revision: str | None) -> dict[str, Path]:
    """The files of a hub model's commit that lie in the hub's cache on this machine, by path inside the model."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    snapshot = Path(HF_HUB_CACHE, repo_folder_name(repo_id=reference, repo_type="model"), "snapshots", str(revision))
    found = sorted(path for path in snapshot.rglob("*") if path.suffix in MODEL_SUFFIXES and path.is_file())
    return {path.relative_to(snapshot).as_posix(): path for path in found}


def _blob_digest(path: Path) -> str:
    """The cache calls large files by their sha256: gigabytes need not be read for a description."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else file_digest(path)
