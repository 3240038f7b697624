"""The images that a chain begins with, looked up wherever they still are: working copy, DVC's cache and remote."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.concepts.concepts import Concept, load_concept
from tasks.concepts.image_sets import recorded_version
from tasks.dvc.folder_hash import FolderFile, file_md5, folder_digest
from tasks.dvc.storage import DvcStorage, UnreadRemote, dvc_storage
from tasks.files.hashing import file_digest
from tasks.files.names import ImproperName, path_inside, proper_md5, proper_name
from tasks.lineage.chain import Chain
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.project.settings import Settings, shown_path
from tasks.store.blobs import StoreFailed


def check_images(settings: Settings, chain: Chain) -> Iterator[CheckResult]:
    """Each image against the hash that was taken when it was prepared, and all against the hash of the set.

    In the working copy other bytes are a fault as long as DVC has this very data version on record (or no record at
    all): else the set has moved on, and the copies of this version are those in the cache.
    """
    version = chain.image_set
    if version is None:
        yield unchecked("image set", "the manifest of prepare is not there")
        return
    try:
        for image in chain.images:
            proper_name(image["made_from"]), proper_md5(image["md5"] or version)
        proper_md5(version)
    except ImproperName as error:
        yield fault("image set", f"{error}: nothing is looked up by it")
        return
    yield from _check_set(chain, version)
    storage = dvc_storage(settings)
    folder, expected = _working_copy(settings, chain, version)
    with tempfile.TemporaryDirectory() as fetched:
        copies, problem = _remote_copies(storage, chain, version, Path(fetched))
        if problem:
            yield unchecked("image set in the DVC remote", problem)
        for place, listing in (("DVC's cache", storage.cached(version)), ("the DVC remote", copies.get(version))):
            if listing is not None and listing.is_file():
                whole, what = file_md5(listing) == version.removesuffix(".dir"), f"image set in {place}"
                yield good(what, "its listing is whole") if whole else fault(what, "its listing has changed")
        for image in chain.images:
            places = {
                # a person may keep images elsewhere and link them one by one
                "the working copy": (
                    path_inside(folder, image["made_from"], follow=False) if folder else None,
                    expected,
                ),
                "DVC's cache": (storage.cached(image["md5"]) if image["md5"] else None, True),
                "the DVC remote": (copies.get(image["md5"]), True),
            }
            yield from _check_image(settings, image, places)


def _remote_copies(storage: DvcStorage, chain: Chain, version: str, folder: Path) -> tuple[dict[str, Path], str | None]:
    """What the remote has of the set, by md5, copied into a folder; and why it could not be asked."""
    copies: dict[str, Path] = {}
    if storage.remote is None:
        return copies, None
    if isinstance(storage.remote, UnreadRemote):
        return copies, f"{storage.remote.address} can be read by DVC alone"
    try:
        for md5 in (version, *(image["md5"] for image in chain.images if image["md5"])):
            target = path_inside(folder, proper_md5(md5))
            if storage.remote.copy(md5, target):
                copies[md5] = target
    except StoreFailed as failure:
        return copies, str(failure)
    return copies, None


def _check_set(chain: Chain, version: str) -> Iterator[CheckResult]:
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


def _check_image(
    settings: Settings, image: Mapping[str, Any], places: Mapping[str, tuple[Path | None, bool]]
) -> Iterator[CheckResult]:
    """One image in each place that has it; of a place that need not have this very image, only a match counts."""
    found = False
    for place, (path, expected) in places.items():
        what = f"image {image['made_from']} in {place}"
        if path is None or not path.is_file():
            continue
        try:
            same = file_digest(path) == image["sha256"]
        except OSError as error:
            yield unchecked(what, f"cannot be read: {error.strerror}")
            continue
        found = found or same or expected
        if same:
            yield good(what, "its sha256 is that of the manifest")
        elif expected:
            yield fault(what, f"its bytes have changed ({shown_path(settings, path)})")
    if not found:
        yield unchecked(f"image {image['made_from']}", f"not here, nor in {' or '.join(list(places)[1:])}")
