"""MLflow proved by use: written and read back, by its own client or in its own tables."""

import sqlite3
import tempfile
import uuid
from pathlib import Path

from model.errors import InputError
from tasks.files.sqlite_files import busy_words, is_busy
from tasks.project.settings import Settings
from tasks.tracking.address import shown, sqlite_file
from tasks.tracking.client import artifacts_at, connect, experiment_id
from tasks.tracking.embedded import half_made
from tasks.tracking.table_forms import form_problem

_ANSWER_SECONDS = 5
_TAG = "conceptbooth.doctor"


def prove_server(settings: Settings) -> str:
    """Write a tag and read it back; returns where the server keeps artefacts. Raises InputError, WorkFailed."""
    client, word = connect(settings), uuid.uuid4().hex
    experiment = experiment_id(client, settings)
    client.set_experiment_tag(experiment, _TAG, word)
    present = client.get_experiment(experiment)
    if present.tags.get(_TAG) != word:
        raise InputError(f"{shown(settings)}: what was written does not read back")
    return str(present.artifact_location)


def prove_artifacts(settings: Settings, location: str) -> None:
    """Write an artefact, read it back and delete it. Raises InputError."""
    from mlflow.exceptions import MlflowException

    word = uuid.uuid4().hex
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, word).write_text(word, encoding="utf-8")
            artifacts = artifacts_at(connect(settings), f"{location.rstrip('/')}/doctor-{word}")
            artifacts.log_artifact(str(Path(folder, word)))
            read = Path(artifacts.download_artifacts(word)).read_text(encoding="utf-8")
            artifacts.delete_artifacts()
    except (MlflowException, OSError) as error:
        raise InputError(f"{location}: artefacts cannot be kept: {error}") from error
    if read != word:
        raise InputError(f"{location}: what was written does not read back")


def prove_database(settings: Settings) -> tuple[int, int] | None:
    """Write into the database and take it back; how many concepts and versions it has.

    None before it is made, and where a killed process has left it half made: the first training makes it.

    Raises InputError where it is damaged, busy, or cannot be written.
    """
    file = sqlite_file(settings.mlflow_tracking_uri)
    if not file.is_file():
        return None
    if problem := form_problem(file, "mlflow"):
        raise InputError(
            f"{file}: {problem}; `mlflow db upgrade {settings.mlflow_tracking_uri}` brings a copy of older ones up to "
            "date, newer ones need the newer MLflow; or move it away, and trainings in the store are registered again"
        )
    try:
        with sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_ANSWER_SECONDS) as database:
            (models,) = database.execute("SELECT count(*) FROM registered_models").fetchone()
            (versions,) = database.execute("SELECT count(*) FROM model_versions").fetchone()
            database.execute("UPDATE registered_models SET description = description")
            database.rollback()
    except sqlite3.DatabaseError as error:
        if is_busy(error):
            raise InputError(f"MLflow's database {busy_words(file)}") from error
        if half_made(file):
            return None
        raise InputError(f"{file}: {error}; move it away, and trainings in the store are registered again") from error
    return None if not models and half_made(file) else (models, versions)
