"""Where the bytes of an image that was taken down are still kept, and what lets each place let them go.

An audit may need them, and DVC's cache and the store hold what others count on: nothing is removed here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tasks.dvc.storage import UnreadRemote, dvc_storage
from tasks.lineage.index import LineageIndex
from tasks.project.settings import Settings
from tasks.store.blobs import StoreFailed
from tasks.store.store import Damaged, Store

_BY_DVC = "`dvc gc --workspace --cloud`, once the change is committed"
_SMALL = "galleries of versions that saw it, as a small picture: .conceptbooth/gallery, and MLflow's runs"
_BY_HAND = "removing those pages; MLflow's go with their runs (`mlflow runs delete`, then `mlflow gc`)"
_BY_US = (
    "`registry delete` of each version that saw it, then `gc`; if one was ever promoted, only you can remove it "
    "(docs/releases.md)"
)


@dataclass(frozen=True, kw_only=True)
class Remains:
    """A place that keeps the image, or may."""

    where: str
    let_go_by: str


def image_remains(
    settings: Settings, store: Store, index: LineageIndex, images: Mapping[str, str | None]
) -> list[Remains]:
    """Every place in which these images (`Takedown.images`) are found. Raises StoreFailed where the store is silent."""
    kept = [*_in_dvc(settings, {md5 for md5 in images.values() if md5}), *_in_store(store, index, images)]
    prepared = {image.prepared for sha256 in images for image in index.images(sha256)}
    if any(training.content for training in index.trainings_on(prepared)):  # what was evaluated was shown
        kept.append(Remains(where=_SMALL, let_go_by=_BY_HAND))
    return kept


def _in_dvc(settings: Settings, md5s: set[str]) -> Iterator[Remains]:
    storage = dvc_storage(settings)
    for md5 in sorted(md5s):
        if (cached := storage.cached(md5)).is_file():
            yield Remains(where=f"DVC's cache, {cached}", let_go_by=_BY_DVC)
    remote = storage.remote
    if remote is None or not md5s:
        return
    kept: bool | str
    try:
        kept = (
            "was not asked" if isinstance(remote, UnreadRemote) else any(remote.size(md5) is not None for md5 in md5s)
        )
    except StoreFailed as failure:
        kept = str(failure)
    if kept:
        doubt = f" (perhaps: {kept})" if isinstance(kept, str) else ""
        yield Remains(where=f"DVC's remote, {remote.address}{doubt}", let_go_by=_BY_DVC)


def _in_store(store: Store, index: LineageIndex, images: Mapping[str, str | None]) -> Iterator[Remains]:
    """As it was prepared: the store holds no image as it was brought."""
    addresses: set[str] = set()
    for image in (image for sha256 in images for image in index.images(sha256)):
        try:
            manifest = store.get("prepare", image.prepared)
        except Damaged as damage:
            yield Remains(where=f"the store, perhaps: {damage}", let_go_by=_BY_US)
            continue
        if not any(problem.startswith(f"{image.file}: missing") for problem in store.damage(manifest)):
            addresses.add(store.content_address(manifest.files[image.file].sha256))
    for address in sorted(addresses):
        yield Remains(where=f"the store, {address}", let_go_by=_BY_US)
