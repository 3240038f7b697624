"""Pictures out of an artefact, each checked against its hash."""

from pathlib import Path

from PIL import Image

from model.reading.pictures import OURS, open_picture
from tasks.store.manifest import Manifest
from tasks.store.store import Store


def picture(store: Store, manifest: Manifest, name: str) -> Image.Image:
    """One picture, RGB. Raises Damaged, StoreFailed."""
    return _opened(store.file(manifest, name))


def pictures(store: Store, manifest: Manifest, folder: str) -> list[Image.Image]:
    """The pictures right in a folder of the artefact, in the order of their numbers. Raises Damaged, StoreFailed."""
    names = [name for name in manifest.files if name.rpartition("/")[0] == folder]
    paths = store.files(manifest, names)  # all at once: from S3 they come many at a time
    return [_opened(paths[name]) for name in sorted(names, key=lambda name: (len(name), name))]


def _opened(path: Path) -> Image.Image:
    with open_picture(path, OURS) as image:
        return image.convert("RGB")
