"""The way to MLflow: opened quietly, bounded in time, its failures sorted into bad input, outages and the rest."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from model.errors import InputError, WorkFailed, WorldFailed
from tasks.files.locks import file_lock
from tasks.files.sqlite_files import busy_words, is_busy
from tasks.project.settings import Settings
from tasks.tracking.address import (
    DATABASE_PORTS,
    EXPERIMENT,
    SERVER_SCHEMES,
    _other_place,
    _without_credentials,
    address_problem,
    artifact_location,
    scheme_of,
    shown,
    sqlite_file,
)
from tasks.tracking.embedded import make_mlflow_database

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

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


OF_A_SERVER = {"MLFLOW_ENABLE_WORKSPACES": "false"}
"""What is for another installation's server, and would break an embedded database."""


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
            if scheme_of(uri) == "sqlite":
                make_mlflow_database(sqlite_file(uri))
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


def tables_alone(settings: Settings) -> AbstractContextManager[None]:
    """Inside, no other process of this project makes the tables of a new MLflow database: of two at once, one fails."""
    return file_lock(settings.home / "locks" / "mlflow")


def import_mlflow(settings: Settings) -> None:
    """Import what `connect` needs, asking nobody: seconds that can pass while something else is waited for."""
    for name, value in QUIET_AND_BOUNDED.items():
        os.environ.setdefault(name, value)
    if scheme_of(settings.mlflow_tracking_uri) not in SERVER_SCHEMES:
        os.environ |= OF_A_SERVER
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


def artifacts_at(client: "MlflowClient", place: str) -> Any:
    """The files below an artefact address, as MLflow's ArtifactRepository."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


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
        if any(is_busy(getattr(cause, "orig", cause)) for cause in _causes(error)):
            words = busy_words(sqlite_file(settings.mlflow_tracking_uri))
            raise TrackingUnreachable(f"MLflow's database {words}") from error
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
        if status == 403 and _refuses_our_name(str(seen)):
            return InputError(f"{where} does not know itself by that name ({words(error)}): see its --allowed-hosts")
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
    if own_words := shorten(" ".join(answer.text.split()), 200, placeholder=" ..."):
        said += "" if own_words.startswith("<") else f" ({own_words})"  # a page of HTML tells a person nothing
    if _refuses_our_name(answer.text):
        raise InputError(_allow_name(settings, said))
    if answer.status_code in (429, 500, 502, 503, 504):
        raise TrackingUnreachable(f"MLflow at {shown(settings)} cannot work now: it answers {said}")
    if answer.status_code in (401, 403) or not _speaks_mlflow(answer.text):
        raise InputError(
            f"{shown(settings)} answers {said}, not as an MLflow server that knows us: check MLFLOW_TRACKING_URI, and "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, if it wants them"
        )


def _refuses_our_name(text: str) -> bool:
    """Whether MLflow's server does not answer to the name by which it was asked."""
    return "Invalid Host header" in text


def _allow_name(settings: Settings, said: str) -> str:
    place = urlsplit(settings.mlflow_tracking_uri).netloc.rpartition("@")[2]
    return (
        f"{shown(settings)} answers {said}: MLflow's server does not know itself by that name; start it with "
        f"`mlflow server --allowed-hosts {place} ...` (docs/operations.md)"
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
