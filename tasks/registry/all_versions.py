"""Every registered concept version at once, without MLflow's client: importing that takes longer than a whole plan.

A database is asked by one query over the tables that MLflow made (a test holds it against MLflow's own answer), a
server by MLflow's REST interface.
"""

import base64
import json
import os
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.errors import WorkFailed
from tasks.files.sqlite_files import busy_words, is_busy
from tasks.project.settings import Settings
from tasks.registry.versions import GATE_TAG, KEY_TAG, PREFIX, REVOKED_TAG, STAGE_TAGS
from tasks.tracking.address import SERVER_SCHEMES, scheme_of, shown, sqlite_file
from tasks.tracking.client import CONNECT_SECONDS, reach_database
from tasks.tracking.embedded import half_made

TAGS = (KEY_TAG, GATE_TAG, REVOKED_TAG)
"""What is asked of each version, beside the keys of its stages."""
_DELETED = "Deleted_Internal"
_PAGE = 1000  # versions in one answer of a server
_ANSWER_SECONDS = 60
_VERSIONS = f"""
    SELECT v.name, v.version, t.key, t.value
    FROM model_versions v
    LEFT JOIN model_version_tags t
        ON t.name = v.name AND t.version = v.version AND t.workspace = v.workspace
        AND (t.key IN ({", ".join(f"'{tag}'" for tag in TAGS)}) OR t.key LIKE '{STAGE_TAGS}%')
    WHERE v.name LIKE '{PREFIX}%' AND v.current_stage <> '{_DELETED}'
"""
_ALIASES = f"SELECT name, version, alias FROM registered_model_aliases WHERE name LIKE '{PREFIX}%'"


class RegistryUnknown(WorkFailed):
    """The registry could not be asked: nothing is known about what it holds."""


@dataclass(frozen=True, kw_only=True)
class KnownVersion:
    """A registered version, as far as a plan needs it."""

    concept: str
    version: int
    tags: dict[str, str] = field(default_factory=dict)
    """Those of `TAGS` that it has, and its stages'."""
    aliases: set[str] = field(default_factory=set)

    @property
    def stages(self) -> dict[str, str]:
        """Keys of the stages that it was made by, by their names."""
        return {tag.removeprefix(STAGE_TAGS): key for tag, key in self.tags.items() if tag.startswith(STAGE_TAGS)}


def registered_versions(settings: Settings) -> dict[str, list[KnownVersion]]:
    """All versions of all concepts, oldest first, by concept.

    Raises:
        RegistryUnknown: the registry could not be asked.
    """
    scheme = scheme_of(settings.mlflow_tracking_uri)
    try:
        if scheme in SERVER_SCHEMES:
            found = _from_server(settings)
        elif scheme == "sqlite":
            found = _from_sqlite(settings)
        else:
            found = _from_database(settings)
    except (OSError, ValueError, KeyError, sqlite3.Error) as error:
        if is_busy(error):
            words = busy_words(sqlite_file(settings.mlflow_tracking_uri))
            raise RegistryUnknown(f"MLflow's database {words}") from error
        raise RegistryUnknown(f"MLflow at {shown(settings)} could not be asked: {_reason(error)}") from error
    by_concept: dict[str, list[KnownVersion]] = {}
    for version in sorted(found, key=lambda version: version.version):
        by_concept.setdefault(version.concept, []).append(version)
    return by_concept


def _from_sqlite(settings: Settings) -> list[KnownVersion]:
    file = sqlite_file(settings.mlflow_tracking_uri)
    if not file.exists():  # the first registration makes it
        return []
    try:
        return _read_sqlite(file)
    except sqlite3.OperationalError as error:
        if not is_busy(error) and half_made(file):  # the next training makes it anew
            return []
        raise


def _read_sqlite(file: Path) -> list[KnownVersion]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=CONNECT_SECONDS)) as database:
        made = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'model_versions'").fetchone()
        if made is None:
            return []
        return _assembled(database.execute(_VERSIONS), database.execute(_ALIASES))


def _from_database(settings: Settings) -> list[KnownVersion]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    reach_database(settings.mlflow_tracking_uri)
    try:
        engine = create_engine(settings.mlflow_tracking_uri)
        try:
            with engine.connect() as database:
                return _assembled(database.execute(text(_VERSIONS)), database.execute(text(_ALIASES)))
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise RegistryUnknown(f"MLflow at {shown(settings)} could not be asked: {cause}") from error


def _assembled(versions: Iterable[Any], aliases: Iterable[Any]) -> list[KnownVersion]:
    found: dict[tuple[str, int], KnownVersion] = {}
    for name, number, key, value in versions:
        place = name, int(number)
        if place not in found:
            found[place] = KnownVersion(concept=name.removeprefix(PREFIX), version=int(number))
        if key is not None:
            found[place].tags[key] = value
    for name, number, alias in aliases:
        if (name, int(number)) in found:
            found[name, int(number)].aliases.add(alias)
    return list(found.values())


def _from_server(settings: Settings) -> list[KnownVersion]:
    """By MLflow's REST interface, a thousand a request. Aliases are told of models, and not of searched versions."""
    versions = [
        (version["name"], version["version"], tag.get("key"), tag.get("value"))
        for version in _pages(settings, "model-versions/search", "model_versions")
        for tag in [{}, *(tag for tag in version.get("tags", []) if _is_asked(tag["key"]))]
    ]
    aliases = [
        (model["name"], alias["version"], alias["alias"])
        for model in _pages(settings, "registered-models/search", "registered_models")
        for alias in model.get("aliases", [])
    ]
    return _assembled(versions, aliases)


def _is_asked(tag: str) -> bool:
    return tag in TAGS or tag.startswith(STAGE_TAGS)


def _pages(settings: Settings, method: str, field_name: str) -> Iterator[dict[str, Any]]:
    token = ""
    while True:
        asked = {"filter": f"name LIKE '{PREFIX}%'", "max_results": str(_PAGE)} | (
            {"page_token": token} if token else {}
        )
        answer = _get(settings, f"{method}?{urllib.parse.urlencode(asked)}")
        yield from answer.get(field_name, [])
        token = answer.get("next_page_token", "")
        if not token:
            return


def _get(settings: Settings, path: str) -> dict[str, Any]:
    parts = urllib.parse.urlsplit(settings.mlflow_tracking_uri)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    request = urllib.request.Request(f"{place}/api/2.0/mlflow/{path}", headers=_credentials(parts))
    with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
        found = json.load(answer)
    if not isinstance(found, dict):
        raise ValueError("it does not answer as an MLflow server")
    return found


def _credentials(parts: urllib.parse.SplitResult) -> dict[str, str]:
    """The header that MLflow's own client would send."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if not user or not password:
        return {}
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
