"""Who outside the store needs artefacts: the production ledger, the registry, today's plan, records of other projects.

Everybody is asked before anything is decided. Whoever cannot be asked, or whose answer is not understood, is an error:
"cannot tell" is never "not needed".
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from model.errors import InputError
from tasks.blobs import Record
from tasks.concepts import concept_names
from tasks.failures import failures_path
from tasks.garbage import DAY, Needs, Place
from tasks.jobs import Job, plan_jobs
from tasks.ledger import concepts_in, read_ledger
from tasks.registry_survey import registered_versions
from tasks.settings import Settings
from tasks.store import Store, open_blobs
from tasks.tracking import is_unused, shown
from tasks.trained import CONCEPTS, trained_path

_HASH = re.compile(r"[0-9a-f]{64}")


def find_needs(settings: Settings, store: Store, jobs: Collection[Job], forgotten: Collection[str]) -> Needs:
    """What must stay; `jobs` are those of all concepts of the project.

    Concepts that this project does not have are another's, or were removed: their last training is needed, as their
    record in the store tells, unless they are `forgotten`.

    Raises:
        InputError: an answer that cannot be understood, a ledger that was changed; all problems together.
        StoreFailed, RegistryUnknown: somebody does not answer.
    """
    records = records_of_others(settings, store)
    unforgettable = _not_forgettable(settings, records, forgotten)
    recorded = {text for name, record in records.items() if name not in forgotten for text in _hashes(name, record)}
    registered, said = _registered(settings, bool(store.records(CONCEPTS)))
    promoted, wrong = _promoted(settings)
    if problems := [*unforgettable, *said, *wrong]:
        raise InputError(*problems)
    return Needs(
        promoted=frozenset(promoted),
        registered=frozenset(registered),
        planned=frozenset((plan.stage, plan.key) for job in jobs for plan in job.stages),
        recorded=frozenset(recorded),
        keep_seconds=settings.gc_keep_days * DAY,
    )


def jobs_of_all(settings: Settings) -> list[Job]:
    """What the project would train today, of all concepts. InputError where that cannot be told of one of them."""
    try:
        return plan_jobs(settings, concept_names(settings))
    except InputError as error:
        why = "what it needs of the store cannot be told, so nothing was removed"
        raise InputError(*(f"{problem}; {why}" for problem in error.problems)) from error


def records_of_others(settings: Settings, store: Store) -> dict[str, Record]:
    """Records of the last training of concepts that this project does not have, by concept. Raises StoreFailed."""
    here = set(concept_names(settings))
    paths = {path: path.split("/")[1] for path in store.records(CONCEPTS)}
    others = {path: name for path, name in paths.items() if name not in here and path == trained_path(name)}
    return {others[path]: record for path, record in store.read_records(others).items()}


def forget(store: Store, concept: str) -> None:
    """Remove what the store has on record about a concept. Raises StoreFailed."""
    store.delete_record(failures_path(concept))
    store.delete_record(trained_path(concept))


def _not_forgettable(settings: Settings, records: Collection[str], forgotten: Collection[str]) -> Iterator[str]:
    here, others = concept_names(settings), ", ".join(sorted(records)) or "none"
    for name in forgotten:
        if name in here:
            yield f"--forget {name}: it is a concept of this project; what its plan needs stays as long as it is there"
        elif name not in records:
            yield f"--forget {name}: the store has no record of a concept of that name; others on record: {others}"


def _registered(settings: Settings, has_trained: bool) -> tuple[set[Place], list[str]]:
    """Artefacts of all versions, and what is wrong with the registry's answer."""
    if has_trained and is_unused(settings):
        return set(), [
            f"MLflow's database {shown(settings)} is not there, though the store has trainings on record that were "
            "registered: which versions are needed cannot be told, so nothing was removed; check the setting "
            "mlflow_tracking_uri, or put the database back"
        ]
    versions = [version for listed in registered_versions(settings).values() for version in listed]
    silent = [version for version in versions if not version.stages]
    return {place for version in versions for place in version.stages.items()}, [
        f"concept '{version.concept}' version {version.version}: its tags conceptbooth.stage.* are gone, so what it "
        "was made by cannot be told, and nothing was removed; put them back from its run, or delete the version"
        for version in silent
    ]


def _promoted(settings: Settings) -> tuple[set[str], list[str]]:
    """Keys that ledgers name, of this store and of production, and what is wrong with the ledgers."""
    addresses = (settings.store, settings.production_store)
    places = {place.address: place for place in (open_blobs(settings, at) for at in addresses)}
    keys: set[str] = set()
    problems: list[str] = []
    for place in places.values():
        for concept in concepts_in(place):
            try:
                for record in read_ledger(place, concept).records:
                    keys |= {*record.stages.values(), *([record.content] if record.content else [])}
            except InputError as error:
                problems += error.problems
    return keys, problems


def _hashes(concept: str, record: Record) -> set[str]:
    """Every hash that a record names, whatever version of conceptbooth wrote it."""
    try:
        found = set(_texts(json.loads(record.content)))
    except ValueError as error:
        raise InputError(
            f"record {trained_path(concept)} of the store is no JSON ({error}): what concept '{concept}' of another "
            f"project needs cannot be told, so nothing was removed; remove it by `conceptbooth gc --forget {concept}`"
        ) from error
    return {text for text in found if _HASH.fullmatch(text)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
