"""The Prefect server that deployments and workers share: whether it answers and fits what is installed here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import NOT_FOUND
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from tasks.files.addresses import hide_credentials
from tasks.project.settings import Settings, shown_api

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"
_LEASES_IN_MEMORY = "prefect.server.concurrency.lease_storage.memory"
_ANOTHER = "is not Prefect's API, whose address ends in /api"
_START = (
    f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASES_ON_DISK} prefect server start` (docs/operations.md), "
    "and name it by PREFECT_API_URL=http://HOST:4200/api"
)


@dataclass(frozen=True, kw_only=True)
class PrefectServer:
    """A server that answers."""

    url: str
    version: str
    lease_storage: str
    """Module that keeps the leases of concurrency slots."""

    def version_problem(self) -> str | None:
        """What is wrong with this pair of server and installation; None if they fit.

        Only versions that were run together are let through: others answer 422 to some requests, or schedule nothing,
        and say so in the server's log alone.
        """
        from packaging.version import Version
        from prefect import __version__ as here

        if Version(here) == Version(self.version):
            return None
        word = "older" if Version(here) < Version(self.version) else "newer"
        return (
            f"Prefect {here} here is {word} than the server's {self.version} ({self.url}): "
            "both need one version; `make setup` installs that of constraints.txt, on the server's machine too"
        )

    def lease_warning(self) -> str | None:
        """What a restart of this server would do to the GPUs' slots; None if nothing."""
        if self.lease_storage != _LEASES_IN_MEMORY:
            return None
        return (
            f"{self.url} keeps the leases of GPU slots in memory: a restart while trainings run would block their GPUs "
            f"for good; start the server with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASES_ON_DISK}"
        )


@contextmanager
def server_client(settings: Settings) -> Iterator["SyncPrefectClient"]:
    """Prefect's own client of the settings' server, which knows keys, proxies and certificates."""
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    with temporary_settings({"api.url": settings.prefect_api_url}), get_client(sync_client=True) as client:
        yield client


def find_server(settings: Settings) -> PrefectServer:
    """The server that the settings name.

    Raises:
        InputError: none is named, it does not answer, or what answers is no Prefect API.
    """
    from json import JSONDecodeError

    from httpx import HTTPStatusError
    from prefect.settings import temporary_settings

    shown = shown_api(settings)
    if not shown:
        raise InputError(f"no Prefect server is named: start one with `{_START}")
    with temporary_settings({"client.max_retries": 0}), server_client(settings) as client:
        error = client.api_healthcheck()
        if isinstance(error, HTTPStatusError) and error.response.status_code == NOT_FOUND:
            raise InputError(f"PREFECT_API_URL = {shown} {_ANOTHER}") from error
        if error:
            said = hide_credentials(str(error), settings.prefect_api_url)
            raise InputError(f"Prefect at {shown} does not answer ({said}): start it with `{_START}") from error
        try:
            version = client.api_version()
            lease_storage = _lease_storage(client.request("GET", "/admin/settings").json())
        except JSONDecodeError as error:
            raise InputError(f"PREFECT_API_URL = {shown} {_ANOTHER}") from error
    return PrefectServer(url=shown, version=version, lease_storage=lease_storage)


def fitting_server(settings: Settings) -> PrefectServer:
    """The server that the settings name, of the version that is installed here. InputError if there is no such."""
    server = find_server(settings)
    if problem := server.version_problem():
        raise InputError(problem)
    return server


def _lease_storage(settings: Any) -> str:
    return str(settings.get("server", {}).get("concurrency", {}).get("lease_storage", ""))
