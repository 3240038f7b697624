"""Pretrained models as keys and manifests know them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.bases.base_files import model_source
from model.errors import InputError
from tasks.concepts.concepts import NOT_STATED
from tasks.files.hashing import DigestMemory, digest_of, file_digest
from tasks.files.names import proper_name
from tasks.project.settings import Settings

MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".jinja")
"""Files of a model folder that are read, chat templates too; pictures, notes and pickles change no result."""


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """A pretrained model as keys know it (`identity`), and as people call it."""

    reference: str
    revision: str | None
    location: str
    """What loads it: the folder's absolute path, or the hub id."""
    identity: Mapping[str, str]
    """`digest` of a folder's files; `id` and `revision` of a hub model."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of a folder's files."""

    @property
    def digest(self) -> str:
        """One hash for it: of a folder's files, or of a hub model's id and commit."""
        return self.identity.get("digest") or digest_of(dict(self.identity))

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"reference": self.reference, "revision": self.revision, "digest": self.digest}


def identify_model(
    settings: Settings, memory: DigestMemory, reference: str, revision: str | None, what: str
) -> ModelIdentity:
    """The identity of a pretrained model: what its folder's files hold, or its hub id and commit.

    Raises:
        InputError: no such folder, a hub id without a commit; it begins with `what`.
    """
    folder = settings.root / reference
    source = model_source(str(folder) if folder.is_dir() else reference, revision, what=what)
    if source.folder is None:
        identity = {"id": reference, "revision": str(source.revision)}
        return ModelIdentity(reference=reference, revision=revision, location=reference, identity=identity)
    files = memory.folder(source.folder, MODEL_SUFFIXES)
    return ModelIdentity(
        reference=reference,
        revision=None,
        location=str(source.folder),
        identity={"digest": digest_of(files)},
        files=files,
    )


def check_files(what: str, location: str, files: Iterable[tuple[str, str]]) -> None:
    """Hash a folder's files (path, sha256) before they are loaded; none of a hub model are listed.

    Raises:
        InputError: one is not as it was when the work was planned.
    """
    changed = [name for name, sha256 in files if not _holds(Path(location, name), sha256)]
    if changed:
        raise InputError(
            f"{what} {location}: {len(changed)} files have changed since the work was planned "
            f"({', '.join(changed[:3])}); run the same command again"
        )


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def model_facts(model: ModelIdentity, licence: str | None = None) -> dict[str, Any]:
    """How a pretrained model is called, its digest, the sha256 of each file of it, and its licence as people state it.

    Of a hub model those files are listed that lie in the hub's cache on this machine.
    """
    files = model.files or {
        name: _blob_digest(path) for name, path in cached_hub_files(model.reference, model.revision).items()
    }
    return model.to_json() | {"files": dict(files), "licence": licence or NOT_STATED}


def cached_hub_files(reference: str, revision: str | None) -> dict[str, Path]:
    """The files of a hub model's commit that lie in the hub's cache on this machine, by path inside the model."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    kept = repo_folder_name(repo_id=reference, repo_type="model")
    snapshot = Path(HF_HUB_CACHE, proper_name(f"{kept}/snapshots/{revision}"))
    found = sorted(path for path in snapshot.rglob("*") if path.suffix in MODEL_SUFFIXES and path.is_file())
    return {path.relative_to(snapshot).as_posix(): path for path in found}


def _blob_digest(path: Path) -> str:
    """The cache calls large files by their sha256: gigabytes need not be read for a description."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else file_digest(path)
