"""The images of a set as the store holds them: which file of the set each prepared one was made from."""

import json
from collections.abc import Mapping
from typing import Any

from model.reading.pictures import OURS, open_picture
from tasks.concepts.image_checks import named_fingerprint
from tasks.store.artefacts import ORIGINS
from tasks.store.manifest import Manifest
from tasks.store.store import Store


def prepared_images(store: Store, manifest: Manifest) -> tuple[Mapping[str, Any], ...]:
    """What the manifest of `prepare` says of its images (`tasks.execution.manifest_facts.image_facts`).

    Manifests from before it said so have the file images.json, without md5 and size.

    Raises:
        Damaged, StoreFailed: it has to be looked up in files, and they are not as they were or cannot be read.
    """
    if manifest.images:
        return manifest.images
    origins = json.loads(store.file(manifest, ORIGINS).read_bytes())
    paths = store.files(manifest, [origin["file"] for origin in origins])
    facts = []
    for origin in origins:
        with open_picture(paths[origin["file"]], OURS) as picture:
            facts.append(origin | {"md5": None, "size": None, "fingerprint": named_fingerprint(picture)})
    return tuple(facts)
