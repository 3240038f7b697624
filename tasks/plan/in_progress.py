"""Which trainings a night of this machine is in the middle of: what it was at when it was killed, the next one knows.

A failure has an outcome; a process that Linux ends for want of memory has none, and a concept that brings that about
would end every night at the same place.

    <home>/underway/<concept>        key of what is being made
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks.jobs.jobs import Job
from tasks.plan.failures import job_key
from tasks.project.settings import Settings

_FOLDER = "underway"


@contextmanager
def marked_in_progress(job: Job) -> Iterator[None]:
    """Inside, the job is underway. However it ends inside this process, it is not any more."""
    note = job.settings.home / _FOLDER / job.concept.name
    with suppress(OSError):  # a disk that is full is for the training to tell, which needs more of it
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(job_key(job), encoding="ascii")
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def was_in_progress(settings: Settings, job: Job) -> bool:
    """Whether a night before was killed while it made just this (or another one is at it now)."""
    try:
        return (settings.home / _FOLDER / job.concept.name).read_text(encoding="ascii") == job_key(job)
    except (OSError, ValueError):
        return False
