"""A registered version against the chain that the store holds: its tags, and the files of its package."""

from collections.abc import Iterator

from model.errors import InputError, WorkFailed
from tasks.artefacts import WEIGHTS
from tasks.lineage import Chain
from tasks.lineage_results import Check, fault, good, unchecked
from tasks.package_files import check_package
from tasks.registry import WEIGHTS_SHA256_TAG, damage, files_uri, local_folder, model_name
from tasks.settings import Settings
from tasks.tracking import connect, sorted_failures

_STAGE_TAG = "conceptbooth.stage."


def check_version(settings: Settings, chain: Chain) -> Iterator[Check]:
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
            folder = local_folder(files_uri(client, version))
            problem = damage(client, settings, version)
    except (InputError, WorkFailed) as failure:
        yield unchecked(what, str(failure))
        return
    if problem:
        yield fault(f"{what}: files", problem)
    elif folder is None:
        said = "their names are there, the size of the weights is right; their bytes lie elsewhere and were not read"
        yield unchecked(f"{what}: files of its package", said)
    else:
        yield good(f"{what}: {WEIGHTS}", "its sha256 is that of the registration")
    if folder is not None and folder.parent.is_dir():
        yield from check_package(what, folder.parent)
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
        weights = manifest.files[WEIGHTS].sha256
        same, named = tag == weights, f"{what}: tag {WEIGHTS_SHA256_TAG}"
        said = f"says {tag[:12]}, the last stage left {weights[:12]}"
        yield good(named, "is that of the last stage's weights") if same else fault(named, said)
