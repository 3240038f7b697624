"""The way to MLflow: opened quietly, bounded in time, its failures sorted into bad input, outages and the rest."""

import json
import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from model.errors import InputError, WorkFailed, WorldFailed
from tasks.files.locks import alone
from tasks.project.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "conceptbooth"
SERVER_SCHEMES = ("http", "https")
DATABASE_PORTS = {"sqlite": None, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
CONNECT_SECONDS = 5

# MLflow's own defaults wait four minutes for a server that is down, print progress bars and addresses, ask pip about
# requirements over the network, and copy any uv.lock of the current folder into a model.
QUIET_AND_BOUNDED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "600",  # a server answers when it has stored the whole file
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}


class TrackingUnreachable(WorldFailed):
    """MLflow, its database or its artefact storage does not answer: worth another try."""

    retryable = True


class MlflowRefused(WorldFailed):
    """MLflow answers and does not do what was asked, or a file of its own cannot be read or written."""


def connect(settings: Settings) -> "MlflowClient":
    """A client of the tracking server or database in the settings, which has just been seen to be there.

    Raises:
        InputError: an address that MLflow cannot use, or a folder for its database that cannot be written.
        TrackingUnreachable: nothing answers at the address.
    """
    problem = address_problem(settings)
    if problem:
        raise InputError(problem)
    import_mlflow(settings)
    uri = settings.mlflow_tracking_uri
    with sorted_failures(settings):
        if scheme_of(uri) in SERVER_SCHEMES:
            _ask_server(settings)
        else:
            reach_database(uri)
        from mlflow.tracking import MlflowClient

        with tables_alone(settings):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


def tables_alone(settings: Settings) -> AbstractContextManager[None]:
    """Inside, no other process of this project makes the tables of a new MLflow database: of two at once, one fails."""
    return alone(settings.home / "locks" / "mlflow")


def import_mlflow(settings: Settings) -> None:
    """Import what `connect` needs, asking nobody: seconds that can pass while something else is waited for."""
    for name, value in QUIET_AND_BOUNDED.items():
        os.environ.setdefault(name, value)
    import mlflow.tracking

    if scheme_of(settings.mlflow_tracking_uri) not in SERVER_SCHEMES:
        import mlflow.store.model_registry.sqlalchemy_store
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    # Failures come as exceptions; what MLflow and urllib3 log on top of them would only repeat it as tracebacks.
    logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "CRITICAL"))
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def experiment_id(client: "MlflowClient", settings: Settings, name: str = EXPERIMENT) -> str:
    """The experiment of that name, made if it is not there; without a name the one that holds every training.

    Raises:
        InputError: the embedded database remembers another artefact folder, because the project was moved.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    root = artifact_location(settings)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=root)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    if problem := _other_place(settings, experiment.artifact_location):
        raise InputError(problem)
    return experiment.experiment_id


def artifact_location(settings: Settings) -> str | None:
    """Where runs of a database without server put their files; None if a server decides."""
    return None if scheme_of(settings.mlflow_tracking_uri) in SERVER_SCHEMES else settings.mlflow_artifact_root


def artifacts_at(client: "MlflowClient", place: str) -> Any:
    """The files below an artefact address, as MLflow's ArtifactRepository."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


def address_problem(settings: Settings) -> str | None:
    """What is wrong with the tracking address, seen without asking anyone; None if nothing."""
    uri = settings.mlflow_tracking_uri
    scheme, parts = scheme_of(uri), urlsplit(uri)
    if scheme in SERVER_SCHEMES or (scheme in DATABASE_PORTS and scheme != "sqlite"):
        return None if parts.hostname else f"MLflow tracking address {shown(settings)}: it names no host"
    if scheme == "sqlite":
        return _folder_problem(sqlite_file(uri)) or _moved_problem(settings)
    return (
        f"MLflow tracking address {shown(settings)}: write http(s)://host:port, sqlite:///folder/mlflow.db, or a "
        "postgresql://, mysql:// or mssql:// database (MLFLOW_TRACKING_URI; leave it unset for the embedded one)"
    )


def is_unused(settings: Settings) -> bool:
    """Whether nothing was ever recorded: the first training makes the embedded database's file."""
    uri = settings.mlflow_tracking_uri
    return address_problem(settings) is None and scheme_of(uri) == "sqlite" and not sqlite_file(uri).exists()


def shown(settings: Settings) -> str:
    """The tracking address as a person may see it: without user and password."""
    return _without_credentials(settings.mlflow_tracking_uri, settings)


def _without_credentials(text: str, settings: Settings) -> str:
    place = urlsplit(settings.mlflow_tracking_uri).netloc
    return text.replace(place, place.rpartition("@")[2]) if "@" in place else text


def scheme_of(uri: str) -> str:
    """`postgresql` of `postgresql+psycopg2://...`."""
    return urlsplit(uri).scheme.partition("+")[0]


def sqlite_file(uri: str) -> Path:
    """The database file of a sqlite:/// address."""
    return Path(unquote(urlsplit(uri).path)[1:])


@contextmanager
def sorted_failures(settings: Settings) -> Iterator[None]:
    """Turn what MLflow and the libraries below it raise into the project's own errors.

    Raises:
        InputError: the server refuses our credentials.
        TrackingUnreachable: no connection, a timeout, a busy or failing server, database or artefact storage.
        MlflowRefused: anything else that MLflow does not do, and files that cannot be read or written.
    """
    try:
        yield
    except (InputError, WorkFailed):
        raise
    except Exception as error:
        translated = _translated(
            error, f"MLflow at {shown(settings)}", lambda e: _without_credentials(_words(e), settings)
        )
        if translated is None:
            raise
        raise translated from error


def _translated(error: Exception, where: str, words: Callable[[BaseException], str]) -> Exception | None:
    from botocore.exceptions import BotoCoreError
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    lost = (RequestException, ConnectionError, TimeoutError, socket.gaierror, BotoCoreError)
    for seen in _causes(error):  # the outermost that tells what happened decides
        status = _status(seen)
        if status in (401, 403):
            return InputError(
                f"{where} refuses our credentials ({words(error)}): set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, and those of its artefact storage"
            )
        if status == 429 or (status or 0) >= 500 or isinstance(seen, OperationalError):
            return TrackingUnreachable(f"{where} cannot work now: {words(seen)}")
        if status is not None:
            return MlflowRefused(f"{where} refused: {words(error)}")
        if isinstance(seen, lost):
            start = "start it, or set MLFLOW_TRACKING_URI to one that answers"
            return TrackingUnreachable(f"{where} does not answer: {_reason(seen) or words(seen)}", start)
    if isinstance(error, OSError):
        return MlflowRefused(f"{where}: a file cannot be read or written: {words(error)}")
    if isinstance(error, MlflowException | SQLAlchemyError):
        return MlflowRefused(f"{where} refused: {words(error)}")
    return None


def _words(error: BaseException) -> str:
    """What an error says, without the statement and the advice that SQLAlchemy puts below it."""
    said = str(getattr(error, "orig", None) or error).strip()
    first, *others = said.splitlines() or [type(error).__name__]
    return shorten(first if hasattr(error, "orig") else " ".join([first, *others]), 300, placeholder=" ...")


def _reason(error: BaseException) -> str | None:
    """Why nothing was reached, in the system's words: those of the libraries above it repeat the address thrice."""
    below = list(_causes(error))
    if any(isinstance(cause, TimeoutError) for cause in below):
        return "timed out"
    return next((c.strerror for c in reversed(below) if isinstance(c, OSError) and c.strerror), None)


def _status(error: BaseException) -> int | None:
    """What a server answered; None for failures on this side, which MLflow calls 500 too."""
    from botocore.exceptions import ClientError
    from mlflow.exceptions import RestException
    from requests.exceptions import RequestException

    if isinstance(error, RestException):
        return int(error.get_http_status_code())
    if isinstance(error, ClientError):
        return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 400))
    if isinstance(error, RequestException) and error.response is not None:
        return int(error.response.status_code)
    return None


def _moved_problem(settings: Settings) -> str | None:
    """Whether the project was moved since its database was made; MLflow itself would take seconds to say so."""
    file = sqlite_file(settings.mlflow_tracking_uri)
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)
            ).fetchall()
    except sqlite3.Error:
        return None  # no table yet, or something that MLflow will say better
    return _other_place(settings, rows[0][0]) if rows else None


def _other_place(settings: Settings, location: str) -> str | None:
    """What to do about an experiment whose files lie somewhere else than the settings say; None if they do not."""
    root = artifact_location(settings)
    if root in (None, location):
        return None
    return (
        f"MLflow's database {shown(settings)} keeps its files in {location}, but the settings say {root}: move the "
        "project back, set mlflow_artifact_root, or remove the database's folder and run `conceptbooth train` again, "
        "which registers what the store holds without training"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _ask_server(settings: Settings) -> None:
    """One short request, so that a dead or wrong address costs seconds and not MLflow's minutes."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        get_default_host_creds(settings.mlflow_tracking_uri),
        "/api/2.0/mlflow/experiments/get-by-name",
        "GET",
        params={"experiment_name": EXPERIMENT},
        timeout=CONNECT_SECONDS,
        max_retries=0,
        raise_on_status=False,
    )
    said = f"{answer.status_code} {answer.reason}"
    if answer.status_code in (429, 500, 502, 503, 504):
        raise TrackingUnreachable(f"MLflow at {shown(settings)} cannot work now: it answers {said}")
    if answer.status_code in (401, 403) or not _speaks_mlflow(answer.text):
        raise InputError(
            f"{shown(settings)} answers {said}, not as an MLflow server that knows us: check MLFLOW_TRACKING_URI, and "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, if it wants them"
        )


def _speaks_mlflow(text: str) -> bool:
    """Whether this is the experiment, or MLflow's way to say that there is none."""
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.keys() & {"experiment", "error_code"})


def reach_database(uri: str) -> None:
    """OSError unless somebody listens; MLflow's own ten attempts at a dead database take a minute and a half."""
    scheme, parts = scheme_of(uri), urlsplit(uri)
    if scheme == "sqlite":
        sqlite_file(uri).parent.mkdir(parents=True, exist_ok=True)
        return
    socket.create_connection((parts.hostname, parts.port or DATABASE_PORTS[scheme]), CONNECT_SECONDS).close()


def _folder_problem(file: Path) -> str | None:
    """Whether SQLite could make and change this file, and the journal that it keeps beside it."""
    if not file.is_absolute():
        return f"MLflow database sqlite:///{file}: a relative path means another file in every folder; write it whole"
    if file.exists() and not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
        return f"MLflow database {file}: no file that can be written; change its permissions or MLFLOW_TRACKING_URI"
    folder = next(parent for parent in file.parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return f"MLflow database {file}: {folder} is no folder that can be written; change its permissions"
    return None
