"""Flows that a command runs: what happens before the first of them begins, and after the last has ended."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.server.local_api import flows_run_at, prefect_api
from tasks.project.settings import Settings
from tasks.tracking.client import import_mlflow


@contextmanager
def flows_of_command(settings: Settings, check: Callable[[], object], *, verbose: bool) -> Iterator[None]:
    """Flows that are called inside run at Prefect's API, which is there as long as the block runs.

    It starts in the background while `check` looks at what was asked for; what that raises is raised before any flow
    begins. Enter it before Prefect is imported: it reads the level of its log then. `verbose` shows that log.

    Raises:
        WorkFailed: Prefect's API does not start, or the one that the settings name does not answer.
    """
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "NOTSET" if verbose else "CRITICAL"
    with prefect_api(settings) as api:
        check()
        import_mlflow(settings)  # it takes seconds too, and every flow needs it
        with flows_run_at(api):
            yield
