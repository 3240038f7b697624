"""prefect.yaml as people write it, checked for what Prefect would accept in silence and then never run."""

import asyncio
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from model.errors import InputError
from tasks.files.yaml_files import read_yaml

FILE = "prefect.yaml"
_DEPLOYMENT_WORDS = [
    "name",
    "version",
    "version_type",
    "tags",
    "description",
    "schedules",
    "paused",
    "concurrency_limit",
    "flow_name",
    "entrypoint",
    "parameters",
    "enforce_parameter_schema",
    "build",
    "push",
    "pull",
    "work_pool",
    "triggers",
    "sla",
]
_SCHEDULE_WORDS = [
    "cron",
    "interval",
    "rrule",
    "timezone",
    "anchor_date",
    "day_or",
    "active",
    "parameters",
    "slug",
    "replaces",
]
"""What Prefect reads of a deployment and of a schedule; it passes over everything else without a word."""
_LOOKED_AT = 8
"""Next runs of a schedule: of a week, where it runs every night but some."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment of prefect.yaml, as far as it has to be known before Prefect makes it."""

    name: str
    entrypoint: str
    """Module and function: `flows.night.nightly.nightly`."""
    pool: str
    next_runs: tuple[datetime, ...]
    """When each of its active schedules begins to run it."""
    longest_gap: timedelta | None = None
    """Longest time between two of its next runs; None without a schedule."""


def read_deployments(file: Path) -> list[Deployment]:
    """The deployments of a prefect.yaml.

    Raises:
        InputError: the file is not there or no YAML; a deployment without a name, entrypoint or work pool; two of one
            name; a word that Prefect does not know; a schedule that it does not understand, in a time zone that does
            not exist, or that never runs. All problems together.
    """
    content = read_yaml(file, FILE)
    entries = content.get("deployments") if isinstance(content, Mapping) else None
    if not isinstance(entries, Sequence) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise InputError(f"{FILE}: a list `deployments:` is needed, each with name, entrypoint, work_pool")
    problems: list[str] = []
    deployments: list[Deployment] = []
    for number, entry in enumerate(entries, 1):
        label = f"{FILE}: deployment {entry.get('name') or number}"
        pool = entry.get("work_pool")
        facts = {
            "name": entry.get("name"),
            "entrypoint": entry.get("entrypoint"),
            "work_pool.name": pool.get("name") if isinstance(pool, Mapping) else None,
        }
        missing = [name for name, value in facts.items() if not isinstance(value, str) or not value]
        problems += [f"{label}: {name} is missing" for name in missing]
        problems += [f"{label}: {problem}" for problem in _unknown_words(entry, _DEPLOYMENT_WORDS)]
        next_runs, wrong = _next_runs(label, entry.get("schedules") or [])
        problems += wrong
        if not missing:
            name, entrypoint, pool_name = map(str, facts.values())
            deployments.append(
                Deployment(
                    name=name,
                    entrypoint=entrypoint,
                    pool=pool_name,
                    next_runs=tuple(dates[0] for dates in next_runs),
                    longest_gap=_longest_gap(next_runs),
                )
            )
    names = [deployment.name for deployment in deployments]
    problems += [f"{FILE}: two deployments are called '{name}'" for name in {n for n in names if names.count(n) > 1}]
    if problems:
        raise InputError(*problems)
    return deployments


def unknown_pool(deployment: Deployment, known: Sequence[str]) -> str:
    """What to say of a deployment whose work pool is neither made by us nor on the server."""
    near = difflib.get_close_matches(deployment.pool, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return (
        f"{FILE}: deployment {deployment.name}: work pool '{deployment.pool}' is unknown; "
        f"{hint}`prefect work-pool create {deployment.pool} --type process` makes it"
    )


def _unknown_words(entry: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
    """What is wrong with the keys of an entry: one that is misspelt would leave its default in force."""
    for word in entry:
        if word not in known:
            near = difflib.get_close_matches(str(word), known, n=1)
            yield f"{word} is unknown; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")


def _longest_gap(runs: Sequence[Sequence[datetime]]) -> timedelta | None:
    """Between two next runs of the schedule that runs most often."""
    gaps = [max(after - before for before, after in pairwise(dates)) for dates in runs if len(dates) > 1]
    return min(gaps, default=None)


def _next_runs(label: str, schedules: Any) -> tuple[tuple[Sequence[datetime], ...], list[str]]:
    """When each active schedule runs next, by the code of Prefect's own scheduler; and what is wrong with them."""
    if not isinstance(schedules, Sequence) or not all(isinstance(schedule, Mapping) for schedule in schedules):
        return (), [f'{label}: schedules is a list, such as [{{cron: "0 2 * * *", timezone: Europe/Berlin}}]']
    found: list[Sequence[datetime]] = []
    problems: list[str] = []
    for schedule in schedules:
        if not schedule.get("active", True):
            continue
        try:
            found.append(_next_dates(schedule))
        except InputError as error:
            problems += [f"{label}: {problem}" for problem in error.problems]
    return tuple(found), problems


def _next_dates(schedule: Mapping[str, Any]) -> Sequence[datetime]:
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
    from pydantic import ValidationError

    kinds = {"cron": CronSchedule, "interval": IntervalSchedule, "rrule": RRuleSchedule}
    (kind, *others) = [kind for kind in kinds if schedule.get(kind) is not None] or [""]
    if not kind or others:
        raise InputError(f"schedule {dict(schedule)}: it has one of {', '.join(kinds)}")
    problems = list(_unknown_words(schedule, _SCHEDULE_WORDS))
    facts = {name: schedule[name] for name in (kind, "timezone", "anchor_date", "day_or") if name in schedule}
    zone = facts.get("timezone")
    if zone is not None and zone not in available_timezones():
        problems.append(f"there is no time zone {zone!r}; zones are called as in Europe/Berlin or Etc/UTC")
        del facts["timezone"]
    try:
        dates = asyncio.run(kinds[kind](**facts).get_dates(n=_LOOKED_AT))
        if not dates:
            raise ValueError
    except ValidationError as error:
        said = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors())
        problems.append(f"{kind} = {schedule[kind]!r}: {said[:1].lower()}{said[1:]}")
    except ValueError:  # also what the search for the next date raises when it has looked fifty years ahead
        problems.append(
            f"{kind} = {schedule[kind]!r} never runs: no such date will come; correct it or set active: false"
        )
    if problems:
        raise InputError(*problems)
    return dates
