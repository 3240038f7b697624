"""The base that a version was trained on: in its folder, in the store, or on the hub."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.bases.recorded_base import find_recorded_base
from model.errors import InputError
from tasks.files.hashing import digest_of
from tasks.project.settings import Settings
from tasks.registry.versions import FACTS_FILE, ResolvedVersion
from tasks.store.models import kept_model, model_folder
from tasks.store.store import open_store


@dataclass(frozen=True, kw_only=True)
class FoundBase:
    """A base, ready for `load_base`."""

    location: str
    """Folder or hub id."""
    revision: str | None
    said: str
    """What people are told of where it is."""


@contextmanager
def base_of(settings: Settings, version: ResolvedVersion) -> Iterator[FoundBase]:
    """Inside, the base that the version was trained on can be loaded.

    Where its folder is gone or holds something else by now, it is the base as the store keeps it. Whatever it is, its
    files were hashed just now.

    Raises:
        InputError: no base there, or another one.
        StoreFailed: whether the store has it cannot be told; Damaged: what it has is not as it was.
    """
    base: dict[str, Any] = json.loads((version.folder / FACTS_FILE).read_text(encoding="utf-8"))["base"]
    with ExitStack() as inside:
        from_store = []

        def kept() -> Path | None:
            store = open_store(settings)
            if manifest := kept_model(store, "base", digest_of(base["files"])):
                from_store.append(inside.enter_context(model_folder(store, manifest)))
            return from_store[0] if from_store else None

        try:
            location, revision = find_recorded_base(base, settings.root / base["reference"], kept)
        except InputError as error:
            again = f"or run `conceptbooth train {version.concept}` to train on the present base"
            raise InputError(f"concept '{version.concept}' version {version.version}: {error}, {again}") from error
        said = f"{base['reference']} (as the store keeps it)" if from_store else location
        yield FoundBase(location=location, revision=revision, said=said)
