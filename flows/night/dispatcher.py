"""The dispatcher that the settings ask for."""

from flows.night.dispatch import Dispatch, in_this_process
from tasks.execution.reporting import Reporter
from tasks.project.settings import Settings


def dispatcher(settings: Settings, reporter: Reporter) -> Dispatch:
    """The one that the settings ask for."""
    if settings.dispatch == "workers":
        from flows.night.dispatch_workers import on_workers

        return on_workers(settings, reporter)
    return in_this_process(reporter)
