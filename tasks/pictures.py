"""Pictures out of an artefact, each checked against its hash."""

from PIL import Image

from tasks.manifest import Manifest
from tasks.store import Store


def picture(store: Store, manifest: Manifest, name: str) -> Image.Image:
    """One picture, RGB. Raises Damaged, StoreFailed."""
    with Image.open(store.file(manifest, name)) as image:
        return image.convert("RGB")


def pictures(store: Store, manifest: Manifest, folder: str) -> list[Image.Image]:
    """The pictures right in a folder of the artefact, in the order of their numbers. Raises Damaged, StoreFailed."""
    names = [name for name in manifest.files if name.rpartition("/")[0] == folder]
    return [picture(store, manifest, name) for name in sorted(names, key=lambda name: (len(name), name))]
