"""The base model that a registered version was trained on, where it lies now."""

import json
from typing import Any

from model.bases.recorded_base import find_recorded_base
from model.errors import InputError
from tasks.files.hashing import DigestMemory
from tasks.project.settings import Settings
from tasks.registry.versions import FACTS_FILE, ResolvedVersion


def base_of(settings: Settings, version: ResolvedVersion) -> tuple[str, str | None]:
    """Folder, or hub id and commit, of the base that the version was trained on, as CONCEPTBOOTH_BASE wants it.

    Raises:
        InputError: no base there, or another one.
    """
    base: dict[str, Any] = json.loads((version.folder / FACTS_FILE).read_text(encoding="utf-8"))["base"]
    memory = DigestMemory(settings.home / "digests.json")
    try:
        found = find_recorded_base(base, settings.root / base["reference"], memory.digest)
    except InputError as error:
        again = f"or run `conceptbooth train {version.concept}` to train on the present base"
        raise InputError(f"concept '{version.concept}' version {version.version}: {error}, {again}") from error
    memory.save()
    return found
