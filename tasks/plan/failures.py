"""Concepts that failed at night: how often, why, and for how many nights they are left alone.

    concepts/<name>/failures-<registry>.json

Each project has its own: another with a concept of the same name in this store fails at something else.
Nights are counted, not hours: a clock that jumps, or a night that comes late, changes nothing.
"""

from dataclasses import asdict, dataclass
from typing import Self

from tasks.jobs.jobs import Job
from tasks.plan.last_training import CONCEPTS
from tasks.project.settings import Settings
from tasks.registry.store_records import registry_id
from tasks.store.sealed import sealed, unsealed
from tasks.store.shapes import check_fields
from tasks.store.store import Store

NIGHTS = (1, 2, 4, 7)
"""After the first, second, ... failure in a row the concept is tried again that many nights later."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """What is known of a concept that failed the last time a night tried it."""

    key: str
    """Of what was to be made; with another key it is another matter, and tried at once."""
    count: int
    """Failures in a row."""
    cause: str
    waits: int
    """Nights that still pass it over."""

    def to_json(self) -> bytes:
        """For the store."""
        return sealed("failures", {"schema": 2, **asdict(self)})

    @classmethod
    def from_json(cls, content: bytes) -> Self | None:
        """Read `to_json`'s bytes; None where they are something else, which is as good as no failure."""
        try:
            values, _ = unsealed(content)
            values.pop("schema", None)
            check_fields(cls, values)
            return cls(**values)
        except (ValueError, TypeError, RecursionError):
            return None


def failures_path(settings: Settings, concept: str) -> str:
    """Where the record of a project's concept lies in the store."""
    return f"{CONCEPTS}{concept}/failures-{registry_id(settings)}.json"


def job_key(job: Job) -> str:
    """What a job is to make, as one key: its last stage's, which holds all before it."""
    return job.stages[-1].key


def note_failure(store: Store, job: Job, cause: str, before: Failures | None) -> Failures:
    """Record that a night's try failed. Raises StoreFailed."""
    count = 1 + (before.count if before and before.key == job_key(job) else 0)
    waits = NIGHTS[min(count, len(NIGHTS)) - 1] - 1
    failures = Failures(key=job_key(job), count=count, cause=cause, waits=waits)
    store.write_record(failures_path(job.settings, job.concept.name), failures.to_json())
    return failures


def note_passed_over(store: Store, settings: Settings, concept: str, failures: Failures) -> None:
    """Record that a night has passed the concept over. Raises StoreFailed."""
    waits = max(0, failures.waits - 1)
    noted = Failures(**{**asdict(failures), "waits": waits})
    store.write_record(failures_path(settings, concept), noted.to_json())


def forget_failures(store: Store, settings: Settings, concept: str) -> None:
    """The concept is trained: its earlier failures are over. Raises StoreFailed."""
    store.delete_record(failures_path(settings, concept))
