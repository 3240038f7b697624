"""The images that a chain begins with, looked up wherever they still are: working copy, DVC's cache."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.concepts import Concept, load_concept, shown_path
from tasks.folder_hash import FolderFile, file_md5, folder_digest
from tasks.hashing import file_digest
from tasks.image_sets import cached_file, recorded_version
from tasks.lineage import Chain
from tasks.lineage_results import Check, fault, good, unchecked
from tasks.settings import Settings


def check_images(settings: Settings, chain: Chain) -> Iterator[Check]:
    """Each image against the hash that was taken when it was prepared, and all against the hash of the set.

    In the working copy other bytes are a fault as long as DVC has this very data version on record (or no record at
    all): else the set has moved on, and the copies of this version are those in the cache.
    """
    version = chain.image_set
    if version is None:
        yield unchecked("image set", "the manifest of prepare is not there")
        return
    yield from _check_set(chain, version)
    listing = cached_file(settings, version)
    if listing.is_file():
        whole = file_md5(listing) == version.removesuffix(".dir")
        yield (
            good("image set in DVC's cache", "its listing is whole")
            if whole
            else fault("image set in DVC's cache", f"its listing has changed ({listing})")
        )
    folder, expected = _working_copy(settings, chain, version)
    for image in chain.images:
        yield from _check_image(settings, image, folder, expected)


def _check_set(chain: Chain, version: str) -> Iterator[Check]:
    files = [
        FolderFile(relpath=image["made_from"], md5=image["md5"], size=image["size"])
        for image in chain.images
        if image["md5"]
    ]
    if not files or len(files) < len(chain.images):
        yield unchecked("image set", "its manifest does not say the md5 of each image")
    elif folder_digest(files) == version:
        yield good("image set", f"its images give DVC's hash {version[:8]}")
    else:
        yield fault("image set", f"its images do not give DVC's hash {version[:8]}")


def _working_copy(settings: Settings, chain: Chain, version: str) -> tuple[Path | None, bool]:
    """The concept's image folder, if it is there, and whether it should hold this data version."""
    try:
        concept: Concept = load_concept(settings, chain.head.concept)
        recorded = recorded_version(settings, concept)
    except InputError:
        return None, False
    return (concept.images if concept.images.is_dir() else None), recorded in (None, version)


def _check_image(settings: Settings, image: Mapping[str, Any], folder: Path | None, expected: bool) -> Iterator[Check]:
    what, found = f"image {image['made_from']}", False
    working = folder / image["made_from"] if folder else None
    cached = cached_file(settings, image["md5"]) if image["md5"] else None
    for place, path, is_copy in (("working copy", working, expected), ("DVC's cache", cached, True)):
        if path is None or not path.is_file():
            continue
        try:
            same = file_digest(path) == image["sha256"]
        except OSError as error:
            yield unchecked(f"{what} in the {place}", f"cannot be read: {error.strerror}")
            continue
        if same:
            found = True
            yield good(f"{what} in {_the(place)}", "its sha256 is that of the manifest")
        elif is_copy:
            found = True
            yield fault(f"{what} in {_the(place)}", f"its bytes have changed ({shown_path(settings, path)})")
    if not found:
        yield unchecked(what, "neither the working copy nor DVC's cache has it; `dvc pull` may bring it")


def _the(place: str) -> str:
    return place if place[0].isupper() else f"the {place}"
