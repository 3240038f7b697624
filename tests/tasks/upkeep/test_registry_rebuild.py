"""The registry is told again what it knew: its database is deleted, and everything is compared before and after."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
from typer.testing import CliRunner

import tasks.promotion.promotion
import tasks.upkeep.registry_rebuild
from flows.cli.app import app
from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings, apply_environment, load_settings
from tasks.promotion.promotion import check_production, put_into_production
from tasks.promotion.source import find_source
from tasks.registry.reference import CHAMPION, VersionReference
from tasks.registry.registration import register
from tasks.registry.store_records import version_record_path
from tasks.registry.version_records import VersionRecord
from tasks.registry.versions import local_folder, model_name, resolve
from tasks.store.store import open_store
from tasks.tracking.address import sqlite_file
from tasks.tracking.client import connect
from tasks.upkeep.registry_rebuild import PLACEHOLDER_TAG, rebuild
from tests.kills import killed_at
from tests.lineage_project import CONCEPT, copy_of
from tests.tasks.finished_training import migrated_database

NAME, PRODUCTION = model_name(CONCEPT), f"prod.{model_name(CONCEPT)}"


@pytest.fixture
def settings(lineage_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Two versions, both promoted; the records are those of the copy's own registry."""
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    monkeypatch.chdir(settings.root)
    for made in (lineage_project.first, lineage_project.last):
        register(settings, made.job.concept, made.manifests)
    place, store = check_production(settings), open_store(settings)
    for version in (1, 2):
        source, ledger = (
            find_source(settings, store, VersionReference.parse(f"{CONCEPT}/{version}")),
            read_ledger(place, CONCEPT),
        )
        put_into_production(settings, place, ledger, source, (), {}, reason="better", approved_by=None)
    yield settings


def lose_the_database(settings: Settings) -> None:
    """The database is gone; in its place is an empty one, which MLflow itself would take seconds to make."""
    file, client = sqlite_file(settings.mlflow_tracking_uri), connect(settings)
    for store in (client._tracking_client.store, client._get_registry_client().store):
        store.engine.dispose()  # connections that are open would go on with the file that is gone
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    shutil.copyfile(migrated_database(), file)


def record_of(settings: Settings, version: int) -> Path:
    """Of this registry; the store was copied from one that knows another registry as well."""
    return settings.store / version_record_path(settings, CONCEPT, version)


def known(settings: Settings) -> dict[str, Any]:
    """Everything that the registry says, but for times."""
    client = connect(settings)
    models = {}
    for model in client.search_registered_models():
        found = client.search_model_versions(f"name = '{model.name}'")
        models[model.name] = {
            "tags": dict(model.tags),
            "description": model.description or "",
            "aliases": {alias: str(number) for alias, number in model.aliases.items()},
            "versions": {int(v.version): (dict(v.tags), v.source, v.run_id or "", v.description or "") for v in found},
        }
    return models


def rebuilt(settings: Settings, **options: bool) -> dict[tuple[str, int], str]:
    found = rebuild(settings, open_store(settings), open_production(settings), **options)
    return {(version.model, version.version): version.state for version in found}


def test_a_lost_database_is_told_everything_again(settings, monkeypatch):
    before = known(settings)
    assert set(before) == {NAME, PRODUCTION} and before[NAME]["aliases"] == {"candidate": "2", CHAMPION: "2"}
    assert set(rebuilt(settings).values()) == {"there"} and known(settings) == before
    lose_the_database(settings)
    assert known(settings) == {}
    assert set(rebuilt(settings, dry_run=True).values()) == {"restored"} and known(settings) == {}
    shown = CliRunner().invoke(app, ["registry", "rebuild", "--json"])
    assert shown.exit_code == 0, shown.output
    states = {(v["model"], v["version"]): v["state"] for v in json.loads(shown.stdout)["versions"]}
    assert states == {(name, number): "restored" for name in (NAME, PRODUCTION) for number in (1, 2)}
    assert known(settings) == before
    assert set(rebuilt(settings).values()) == {"there"} and known(settings) == before
    apply_environment(settings)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", settings.mlflow_tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    assert model.metadata.run_id == before[NAME]["versions"][1][2]
    assert resolve(settings, VersionReference.parse(f"{CONCEPT}/1")).tags == before[NAME]["versions"][1][0]


def test_numbers_that_are_missing_between_are_passed_over_and_a_kill_leaves_nothing(settings):
    before = known(settings)
    record_of(settings, 1).unlink()
    lose_the_database(settings)
    for step in ("_made", "_fill", "settle"):
        killed_at(tasks.upkeep.registry_rebuild, step, True, rebuilt, settings)
    rebuilt(settings)
    after = known(settings)
    assert set(after[NAME]["versions"]) == {2} and after[NAME]["versions"][2] == before[NAME]["versions"][2]
    assert set(after[PRODUCTION]["versions"]) == {1, 2}
    tags = [tag for model in after.values() for version in model["versions"].values() for tag in version[0]]
    assert PLACEHOLDER_TAG not in tags


def test_no_package_is_put_where_a_record_of_the_store_alone_says(settings, tmp_path):
    """Whoever can write to the store could name any folder of the one who rebuilds."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("mine")
    record = record_of(settings, 2)
    told = replace(VersionRecord.from_json(record.read_bytes()), source=home.as_uri())  # a seal proves nothing of who
    record.chmod(0o644)
    record.write_bytes(told.to_json())
    lose_the_database(settings)
    found = rebuild(settings, open_store(settings), open_production(settings))
    assert [version.said.rpartition(": ")[2] for version in found if version.state == "lost"] == [
        "nothing is written there"
    ]
    assert [path.name for path in home.iterdir()] == ["letter"]


def test_packages_that_are_gone_are_made_again_and_what_cannot_be_is_said(settings):
    package = Path(resolve(settings, VersionReference.parse(f"{CONCEPT}/2")).folder).parent
    # the copy's own: other tests read the one that it was copied from
    own = local_folder(settings.mlflow_artifact_root) / "of-the-copy" / "model"
    shutil.copytree(package, own)
    record = record_of(settings, 2)
    told = replace(VersionRecord.from_json(record.read_bytes()), source=own.as_uri())
    record.chmod(0o644)
    record.write_bytes(told.to_json())
    lose_the_database(settings)
    shutil.rmtree(own)
    assert rebuilt(settings)[NAME, 2] == "mended"
    weights = resolve(settings, VersionReference.parse(f"{CONCEPT}/2")).folder / "concept.safetensors"
    assert weights.is_relative_to(own) and rebuilt(settings)[NAME, 2] == "there"
    connect(settings).delete_model_version(NAME, "2")
    result = CliRunner().invoke(app, ["registry", "rebuild"])
    assert result.exit_code == 1
    assert f"{NAME} version 2 cannot be put back (it was deleted in the registry" in " ".join(result.output.split())


def test_a_registry_of_which_nothing_is_on_record_is_bad_input(tmp_path, monkeypatch, base_folder, evaluator_folder):
    from tests.training_project import make_training_project

    monkeypatch.chdir(make_training_project(tmp_path / "new", base_folder, evaluator_folder).root)
    result = CliRunner().invoke(app, ["registry", "rebuild"])
    assert result.exit_code == 2 and "there is nothing to put back" in " ".join(result.output.split())
    assert load_settings().root == tmp_path / "new"
