"""A registered version against the chain that the store holds: its tags, and the files of its package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from model.errors import InputError, WorkFailed
from tasks.files.hashing import file_digest
from tasks.lineage.chain import Chain
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.project.settings import Settings
from tasks.registry.package_listing import LISTING
from tasks.registry.versions import PACKAGE_TAG, WEIGHTS_SHA256_TAG, local_folder, model_name, version_damage
from tasks.store.artefacts import WEIGHTS
from tasks.tracking.client import artifacts_at, connect, sorted_failures
from tasks.verification.package import check_package

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

_STAGE_TAG = "conceptbooth.stage."


def check_version(settings: Settings, chain: Chain) -> Iterator[CheckResult]:
    """Tags and files of the version that a chain was asked for by."""
    head = chain.head
    if head.found_by != "registry":
        yield unchecked("registry", "; ".join(head.notes))
        return
    what = f"{model_name(head.concept)} version {head.version}"
    try:
        client = connect(settings)
        with sorted_failures(settings):
            version = client.get_model_version(model_name(head.concept), str(head.version))
    except (InputError, WorkFailed) as failure:
        yield unchecked(what, str(failure))
        return
    try:
        with sorted_failures(settings):
            yield from _check_files(client, settings, version, what)
    except (InputError, WorkFailed) as failure:
        yield unchecked(f"{what}: files of its package", str(failure))
    if chain.unread:
        yield unchecked(f"{what}: tags", "the store that they name does not answer")
        return
    keys = {link.stage: link.key for link in chain.links}
    for name, value in version.tags.items():
        stage = name.removeprefix(_STAGE_TAG)
        if stage != name:
            same = keys.get(stage) == value
            said = f"says {value[:12]}, the chain holds {keys.get(stage, 'none')[:12]}"
            yield good(f"{what}: tag {name}", "is the key in the store") if same else fault(f"{what}: tag {name}", said)
    last = [link for link in chain.links if link.stage.startswith("train-")][-1:]
    tag = str(version.tags.get(WEIGHTS_SHA256_TAG))
    for manifest in (link.manifest for link in last if link.manifest):
        weights = manifest.files[WEIGHTS].sha256 if WEIGHTS in manifest.files else "none"
        same, named = tag == weights, f"{what}: tag {WEIGHTS_SHA256_TAG}"
        said = f"says {tag[:12]}, the last stage left {weights[:12]}"
        yield good(named, "is that of the last stage's weights") if same else fault(named, said)


def _check_files(
    client: "MlflowClient", settings: Settings, version: "ModelVersion", what: str
) -> tuple[CheckResult, ...]:
    """Every file of the package, hashed; fetched first where it lies in a bucket or behind a server."""
    place = client.get_model_version_download_uri(version.name, version.version)
    if local_folder(place) is None and (problem := version_damage(client, settings, version)):
        return (fault(f"{what}: files", problem),)  # nothing is fetched of which names and sizes are wrong already
    with _package(client, place) as package:
        weights, named = package / "artifacts" / WEIGHTS, f"{what}: {WEIGHTS}"
        if not weights.is_file():
            registered = fault(named, f"missing in {place}")
        elif file_digest(weights) == version.tags.get(WEIGHTS_SHA256_TAG):
            registered = good(named, "its sha256 is that of the registration")
        else:
            registered = fault(named, f"in {place} is not what was registered")
        return registered, *_check_list(what, package, version), *check_package(what, package)


def _check_list(what: str, package: Path, version: "ModelVersion") -> Iterator[CheckResult]:
    """The list of its files against the registration; nothing of versions from before that kept it."""
    named, registered = f"{what}: {LISTING}", version.tags.get(PACKAGE_TAG)
    if registered is not None and (package / LISTING).is_file():
        same = file_digest(package / LISTING) == registered
        yield good(named, "is the one that was registered") if same else fault(named, "is not what was registered")


@contextmanager
def _package(client: "MlflowClient", place: str) -> Iterator[Path]:
    """The folder of a package, or a copy of it that goes away again."""
    folder = local_folder(place)
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as copy:
        artifacts_at(client, place).download_artifacts("", copy)
        yield Path(copy)
