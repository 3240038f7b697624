"""Production: where promoted models lie and are registered; another server and bucket, or the same ones, by one path.

Where both servers are one, production models are called `prod.concept.<name>`; on a server of their own they have no
need of the prefix. The ledger says what serves; the alias `champion` follows it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import InputError, WorkFailed
from tasks.production.ledger import Ledger, Promotion
from tasks.project.settings import Settings
from tasks.registry.reference import CHAMPION
from tasks.registry.versions import REVOKED_TAG, model_name
from tasks.store.blobs import Blobs, StoreFailed
from tasks.store.store import open_blobs
from tasks.tracking.address import SERVER_SCHEMES, scheme_of
from tasks.tracking.client import TrackingUnreachable, connect, sorted_failures

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

PREFIX = "prod."
RELEASE_TAG = "conceptbooth.release"
"""Identity of the release that a production version stands for."""
LEDGER_TAG = "conceptbooth.ledger"
"""Of the production model: number and seal of the newest record that was carried out; a cut-off ledger shows by it."""


def production_model(settings: Settings, concept: str) -> str:
    """Name of a concept's model in the production registry."""
    same = settings.production_tracking_uri == settings.mlflow_tracking_uri
    return f"{PREFIX if same else ''}{model_name(concept)}"


def open_production(settings: Settings) -> Blobs:
    """The production store; nothing is asked yet."""
    return open_blobs(settings, settings.production_store)


def placement_problem(settings: Settings) -> str | None:
    """Why the production registry could not load what lies in the production store; None if it could."""
    if scheme_of(settings.production_tracking_uri) in SERVER_SCHEMES and isinstance(settings.production_store, Path):
        return (
            f"production_store = {settings.production_store}: a server of MLflow loads no model from a folder; name a "
            "bucket (CONCEPTBOOTH_PRODUCTION_STORE=s3://bucket/prefix) that server and users can reach"
        )
    return None


@contextmanager
def production_registry(settings: Settings) -> "Iterator[MlflowClient]":
    """A client of the production registry; failures inside say that it is production's, and what became of it.

    Raises:
        TrackingUnreachable: it does not answer; the same command carries on.
        WorkFailed, InputError: it refuses.
    """
    there = settings.model_copy(update={"mlflow_tracking_uri": settings.production_tracking_uri})
    try:
        client = connect(there)
        with sorted_failures(there):
            yield client
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"production registry: {error.said}", "nothing is lost: run the same command again once it answers"
        ) from error
    except StoreFailed:
        raise
    except InputError as error:
        raise InputError(*(f"production registry: {problem}" for problem in error.problems)) from error


@contextmanager
def development_registry(settings: Settings) -> "Iterator[MlflowClient]":
    """A client of the registry in which trainings are registered. Raises as `production_registry`."""
    client = connect(settings)
    with sorted_failures(settings):
        yield client


def register_release(
    client: "MlflowClient", name: str, release: str, source: str, tags: Mapping[str, str], description: str
) -> int:
    """The production version of a release: the one that is there, or a new one. Of a race, the first counts."""
    make_production_model(client, name)
    there = release_versions(client, name, release)
    if not there:
        made = client.create_model_version(name, source, tags={**tags, RELEASE_TAG: release}, description=description)
        there = release_versions(client, name, release)
        if int(there[0].version) != int(made.version):
            client.delete_model_version(name, str(made.version))
    return int(there[0].version)


def make_production_model(client: "MlflowClient", name: str) -> None:
    """Have a production model of this name."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def release_versions(client: "MlflowClient", name: str, release: str) -> "list[ModelVersion]":
    """Production versions of a release, oldest first."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{RELEASE_TAG}` = '{release}'")
    return sorted(found, key=lambda version: int(version.version))


def follow_ledger(client: "MlflowClient", name: str, head: Promotion) -> None:
    """Let the alias name what the ledger says."""
    from mlflow.exceptions import MlflowException

    model = client.get_registered_model(name)
    wanted = str(head.production_version) if head.release else None
    present = model.aliases.get(CHAMPION)
    moved = (str(present) if present is not None else None) != wanted
    if moved and wanted is None:
        client.delete_registered_model_alias(name, CHAMPION)
    elif moved:
        try:
            client.set_registered_model_alias(name, CHAMPION, str(wanted))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise WorkFailed(
                f"{name} version {wanted} is gone from the production registry though the ledger names it; run "
                f"`conceptbooth promote {head.concept} --version {head.version}`, which registers it again"
            ) from error


def is_settled(client: "MlflowClient", name: str, head: Promotion) -> bool:
    """Whether everything that follows from the newest record was done to the end."""
    tags: Mapping[str, str] = client.get_registered_model(name).tags
    return tags.get(LEDGER_TAG) == head.mark


def mark_settled(client: "MlflowClient", name: str, head: Promotion) -> None:
    """Note that everything that follows from this record is done."""
    client.set_registered_model_tag(name, LEDGER_TAG, head.mark)


def mark_revoked(client: "MlflowClient", name: str, ledger: Ledger) -> None:
    """Write on the production versions of revoked contents that they are; one that was deleted is passed over."""
    if not ledger.revoked:
        return
    there = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    for record in ledger.records:
        revoked, version = ledger.revoked.get(str(record.content)), there.get(record.production_version or 0)
        if revoked and version and version.tags.get(REVOKED_TAG) != revoked.words:
            client.set_model_version_tag(name, version.version, REVOKED_TAG, revoked.words)


def name_champion(client: "MlflowClient", head: Promotion) -> None:
    """Let the alias in the development registry name the version that serves: nights measure others against it."""
    name = model_name(head.concept)
    present = client.get_registered_model(name).aliases.get(CHAMPION)
    if head.release is None and present is not None:
        client.delete_registered_model_alias(name, CHAMPION)
    elif head.release is not None and str(present) != str(head.version):
        client.set_registered_model_alias(name, CHAMPION, str(head.version))


def disagreements(client: "MlflowClient", settings: Settings, ledger: Ledger) -> list[str]:
    """Where the production registry does not say what the ledger says, one sentence each."""
    from mlflow.exceptions import MlflowException

    name, head = production_model(settings, ledger.concept), ledger.head
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return [f"{name}: the production registry has no such model"] if ledger.serving else []
    problems = []
    wanted = str(head.production_version) if head and head.release else None
    present = model.aliases.get(CHAMPION)
    if (str(present) if present is not None else None) != wanted:
        says = f"version {wanted}" if wanted else "that nothing serves"
        problems.append(
            f"{name}: alias {CHAMPION} names {f'version {present}' if present else 'nothing'}, the ledger says {says}"
        )
    there = {int(version.version) for version in client.search_model_versions(f"name = '{name}'", max_results=10_000)}
    gone = sorted({r.production_version for r in ledger.records if r.production_version} - there)
    problems += [f"{name}: version {number} was deleted, and the ledger names it" for number in gone]
    mark = model.tags.get(LEDGER_TAG)
    if mark and not any(mark == record.mark or mark in record.accepts for record in ledger.records):
        seq = mark.partition(" ")[0]
        problems.append(f"{name}: its ledger had record {seq} with another content: records were removed or rewritten")
    return problems
