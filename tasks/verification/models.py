"""The pretrained models that a chain stands on, each file hashed where it is: in the store, else in its folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.files.hashing import digest_of, file_digest
from tasks.files.names import ImproperName, proper_name
from tasks.jobs.models import MODEL_SUFFIXES, cached_hub_files
from tasks.lineage.chain import Chain
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.project.settings import Settings
from tasks.store.blobs import StoreFailed
from tasks.store.manifest import MODELS
from tasks.store.models import kept_model
from tasks.store.store import Damaged, Store


def check_models(settings: Settings, store: Store, chain: Chain) -> Iterator[CheckResult]:
    """The files of the pretrained models, hashed where they are: in the store, else in their folders."""
    seen: set[tuple[str, str]] = set()
    for manifest in chain.manifests.values():
        for kind, model in manifest.models.items():
            if (kind, model["digest"]) not in seen:
                seen.add((kind, model["digest"]))
                kept = _check_kept_model(store, kind, model) if model["revision"] is None else None
                yield from kept if kept is not None else _check_model(settings, kind, model)
    read = {entry.kind for manifest in chain.manifests.values() for entry in manifest.inputs}
    for kind in MODELS:
        if kind in read and kind not in {name for name, _ in seen}:
            yield unchecked(kind, "the manifest does not say which files it had")


def _check_kept_model(store: Store, kind: str, model: Mapping[str, Any]) -> list[CheckResult] | None:
    """The files of a model that the store keeps; None where it does not keep it."""
    recorded, named = dict(model.get("files", {})), f"{kind} {model['reference']}"
    try:
        manifest = kept_model(store, kind, str(model["digest"]))
        if manifest is None:
            return None
        found = {name: record.sha256 for name, record in manifest.files.items()}
        if recorded and found != recorded:
            return [fault(named, "the store keeps other files under its digest than the training recorded")]
        problems = store.damage(manifest, rehash=True)
    except Damaged as damage:
        return [fault(named, f"as the store keeps it: {'; '.join(damage.problems)}")]
    except StoreFailed as failure:
        return [unchecked(named, str(failure))]
    said = dict(problem.split(": ", 1) for problem in problems)
    return [
        fault(f"{named}: {name}", said[name]) if name in said else good(f"{named}: {name}", "is as the store keeps it")
        for name in sorted(manifest.files)
    ]


def _check_model(settings: Settings, kind: str, model: Mapping[str, Any]) -> Iterator[CheckResult]:
    reference, revision = model["reference"], model["revision"]
    named = f"{kind} {reference}"
    recorded: Mapping[str, str] = model.get("files", {})
    folder = settings.root / reference
    try:
        for name in recorded:
            proper_name(name)  # a model's folder may hold links, as the hub's cache does
    except ImproperName as error:
        yield fault(named, f"{error}: nothing is looked up by it")
        return
    if revision is None and recorded and not any((folder / name).is_file() for name in recorded):
        there = {}  # another folder, of whatever size
    elif revision is None:
        paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.suffix in MODEL_SUFFIXES}
        there = {name: path for name, path in paths.items() if not any(part[0] == "." for part in name.split("/"))}
        if recorded and digest_of(dict(recorded)) != model["digest"]:
            yield fault(named, "the digests of its files do not give the digest of the model")
    else:
        there = cached_hub_files(reference, revision)
    if not there:
        where = "its folder is not here" if revision is None else "it is not in the hub's cache of this machine"
        yield unchecked(named, where)
        return
    if not recorded:
        if revision is None:
            same = digest_of({name: file_digest(path) for name, path in there.items()}) == model["digest"]
            yield good(named, "its files give the digest") if same else fault(named, "its files give another digest")
        else:
            yield unchecked(named, f"hub model at commit {revision[:12]}: no digests of its files were recorded")
        return
    yield from _check_paths(named, recorded, there, complete=revision is None)


def _check_paths(
    named: str, recorded: Mapping[str, str], there: Mapping[str, Path], complete: bool
) -> Iterator[CheckResult]:
    for name, digest in recorded.items():
        if name not in there:
            yield (
                fault(f"{named}: {name}", "missing")
                if complete
                else unchecked(f"{named}: {name}", "not on this machine")
            )
        else:
            yield _hashed(f"{named}: {name}", there[name], digest)
    if complete:
        for name in sorted(there.keys() - recorded.keys()):
            yield fault(f"{named}: {name}", "was not there when the model was trained")


def _hashed(what: str, path: Path, digest: str) -> CheckResult:
    try:
        found = file_digest(path)
    except OSError as error:
        return unchecked(what, f"{path} cannot be read: {error.strerror}")
    return (
        good(what, "its sha256 is that of the manifest")
        if found == digest
        else fault(what, f"its bytes have changed ({path})")
    )
