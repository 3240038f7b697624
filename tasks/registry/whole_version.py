"""Whether a registered version's files are all there, without MLflow's client where its database is a file here."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.files.hashing import file_digest
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.registration import RegisteredVersion, confirm
from tasks.registry.versions import (
    ARTIFACTS,
    KEY_TAG,
    REVOKED_TAG,
    WEIGHTS_FILE,
    WEIGHTS_SHA256_TAG,
    model_name,
    package_damage,
)
from tasks.tracking.address import scheme_of, shown, sqlite_file
from tasks.tracking.client import CONNECT_SECONDS

_PLACE = "SELECT storage_location, source FROM model_versions WHERE name = ? AND version = ?"
_TAGS = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"


def is_whole(settings: Settings, version: KnownVersion) -> bool:
    """Whether nothing is wrong with a version that the registry has; every byte of what lies here is hashed.

    Raises as `tasks.registry.registration.confirm`, where MLflow's client has to be asked: seconds go by until it is
    imported.
    """
    found = _read(settings, version)
    if found is None:
        name = model_name(version.concept)
        known = RegisteredVersion(
            name=name,
            version=version.version,
            run_id="",
            key=version.tags[KEY_TAG],
            created=False,
            tracking_uri=shown(settings),
        )
        return REVOKED_TAG not in version.tags and confirm(settings, known) is None
    package, tags = found
    weights = package / ARTIFACTS / WEIGHTS_FILE
    if REVOKED_TAG in tags or not weights.is_file() or file_digest(weights) != tags.get(WEIGHTS_SHA256_TAG):
        return False
    return package_damage(package, tags) is None


def _read(settings: Settings, version: KnownVersion) -> tuple[Path, dict[str, str]] | None:
    """The folder of the version's package, and its tags; None where either is not to be had by a look at files."""
    if scheme_of(settings.mlflow_tracking_uri) != "sqlite":
        return None
    asked = (model_name(version.concept), version.version)
    address = f"{sqlite_file(settings.mlflow_tracking_uri).as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=CONNECT_SECONDS)) as database:
            row = database.execute(_PLACE, asked).fetchone()
            tags = dict(database.execute(_TAGS, asked))
    except sqlite3.Error:
        return None
    place = urlsplit((row and (row[0] or row[1])) or "")
    if place.scheme not in ("", "file") or place.netloc or not place.path.startswith("/"):
        return None
    return Path(unquote(place.path) if place.scheme else place.path), tags
