"""Pretrained models in the store, each once: artefacts whose stage is the kind of model and whose key its digest.

    stages/base/<digest>/manifest.json    of a base model's folder; evaluator and identity_model likewise

Trainings and evaluations name the models that they read by just that, so whatever clears up keeps a model as long as
anything that stands on it. A model of the hub is not copied: its id and commit name it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from model.errors import InputError
from tasks.files.hashing import digest_of, file_digest
from tasks.files.names import path_inside
from tasks.store.blobs import Blobs
from tasks.store.manifest import Facts, Manifest
from tasks.store.store import Damaged, Store, content_name


def keep_model(
    store: Store,
    kind: str,
    folder: Path,
    files: Mapping[str, str],
    *,
    reference: str,
    thorough: bool = False,
    tell: Callable[[str], None] = lambda said: None,
) -> None:
    """Have the store hold a model of this kind, whose folder has `files` (sha256 by path); `reference` is its name.

    What is there counts as used now; with `thorough` only if all its bytes are as they were.

    Raises:
        InputError: the folder holds something else by now.
        StoreFailed: the store cannot be read or written.
    """
    digest = digest_of(dict(files))
    if _present(store, kind, digest, thorough):
        store.use(kind, digest)
        return
    with store.alone(kind, digest):
        if _present(store, kind, digest, thorough):
            return
        tell(f"keeping {kind.replace('_', ' ')} {reference} in the store, once for all that stands on it")
        changed = [name for name, sha256 in files.items() if not _holds(folder / name, sha256)]
        if changed:
            raise InputError(
                f"{kind.replace('_', ' ')} {folder}: {len(changed)} files have changed since it was looked at "
                f"({', '.join(changed[:3])}); run the same command again"
            )
        store.publish_files({name: folder / name for name in files}, _facts(kind, digest, reference), thorough=thorough)


def kept_model(store: Store, kind: str, digest: str) -> Manifest | None:
    """The manifest of a model that the store has; None where it does not, or something else under that name.

    Raises Damaged, StoreFailed.
    """
    manifest = store.read(kind, digest)
    return manifest if manifest is not None and manifest.digest() == digest else None


@contextmanager
def model_folder(store: Store, manifest: Manifest) -> Iterator[Path]:
    """Inside, a folder that holds a kept model, to load and not to write; each file of it was hashed just now.

    Raises Damaged where it is not as it was, StoreFailed.
    """
    with TemporaryDirectory(prefix="conceptbooth-model-") as folder:
        for name, content in store.files(manifest, manifest.files).items():
            place = path_inside(Path(folder), name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(content.resolve())
        yield Path(folder)


def copy_model(store: Store, manifest: Manifest, place: Blobs) -> int:
    """Have another place hold the contents of a kept model, each under its hash; how many it lacked.

    Raises Damaged where the store has them no more as they were, StoreFailed.
    """
    records = {content_name(record.sha256): (name, record) for name, record in manifest.files.items()}
    lacking = place.problems({called: record for called, (_, record) in records.items()}, rehash=place.near)
    if lacking:
        paths = store.files(manifest, [records[called][0] for called in lacking])
        contents = {called: (paths[records[called][0]], records[called][1]) for called in lacking}
        place.put(contents, rehash=place.near)
    return len(lacking)


def _present(store: Store, kind: str, digest: str, thorough: bool) -> bool:
    try:
        manifest = store.find(kind, digest, rehash=thorough)
    except Damaged:
        return False
    return manifest is not None and manifest.digest() == digest


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def _facts(kind: str, digest: str, reference: str) -> Facts:
    return Facts(
        stage=kind,
        key=digest,
        inputs=(),
        parameters={"reference": reference},
        code={},
        packages={},
        seed=None,
        numeric_policy={},
        device="none",
        wall_seconds=0.0,
        labels={"model": reference},
    )
