"""What a night would do: for each concept whether it is up to date, else which stages will run, and why.

Needs no torch, no Prefect and no MLflow client, and asks the store and the registry a few questions whatever the number
of concepts.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from tasks.concepts.image_notes import ImageNote, notes_of
from tasks.concepts.takedown_memory import current_takedowns
from tasks.jobs.adoptions import read_adoptions
from tasks.jobs.jobs import Job, counted_jobs, survey
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import stage_words
from tasks.plan.causes import causes
from tasks.plan.failures import Failures, failures_path, job_key
from tasks.plan.last_training import CONCEPTS, LastTraining, job_content, last_training_of, last_training_path
from tasks.plan.other_workings import other_workings_alone
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, RegistryUnknown, registered_versions
from tasks.registry.reference import CANDIDATE
from tasks.registry.store_records import training_record_path
from tasks.registry.versions import GALLERY_TAG, KEY_TAG
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Inventory, Store, open_store

REGISTER = "register"
"""The last thing that a training does; no stage, because it leaves nothing in the store."""


@dataclass(frozen=True, kw_only=True)
class ConceptPlan:
    """What is to be done for one concept."""

    concept: str
    state: Literal["up to date", "stale", "problem"]
    causes: tuple[str, ...] = ()
    """Why it is stale, or what is wrong with it; one sentence each."""
    runs: tuple[str, ...] = ()
    """Stages that will run, in their order, with "register" at the end."""
    trained_at: str | None = None
    """When the last training that is on record was finished: UTC, ISO 8601."""
    job: Job | None = None
    """None for a concept with a problem."""
    trained: LastTraining | None = None
    failures: Failures | None = None
    """Of the nights before, if they were about the same content."""
    version: KnownVersion | None = None
    """The registered version of this content."""
    notes: tuple[ImageNote, ...] = ()
    """What is out of order in its image set, though it can be trained on."""

    @cached_property
    def adoptable(self) -> bool:
        """Whether other code or library versions are all that makes it stale: `conceptbooth adopt` may keep it."""
        if self.state != "stale" or self.job is None or self.trained is None:
            return False
        return other_workings_alone(self.job, self.trained)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        failures = self.failures
        return {
            "concept": self.concept,
            "state": self.state,
            "from_stage": self.runs[0] if self.runs else None,
            "runs": list(self.runs),
            "causes": list(self.causes),
            "trained_at": self.trained_at,
            "notes": [note.said for note in self.notes],
            "adoptable": self.adoptable,
            "adopted": {stage: list(records) for stage, records in (self.job.adopted if self.job else {}).items()},
            "failures": {"count": failures.count, "cause": failures.cause, "waits_nights": failures.waits}
            if failures
            else None,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done for several concepts."""

    concepts: tuple[ConceptPlan, ...]
    registry_unknown: str | None = None
    """Why the registry could not be asked; versions that are missing there are then not seen."""
    registered: Mapping[str, list[KnownVersion]] = field(default_factory=dict)
    """All versions by concept, as far as the registry could be asked."""

    def of(self, state: str) -> list[ConceptPlan]:
        """The concepts in one state."""
        return [concept for concept in self.concepts if concept.state == state]


def make_plan(settings: Settings, names: Iterable[str]) -> Plan:
    """Compare what these concepts are made from now with what the store and the registry have. Changes nothing.

    Raises:
        InputError: something that all concepts need is wrong, all problems together; or adoptions that were changed.
        StoreFailed: the store cannot be read.
    """
    names = list(dict.fromkeys(names))
    with _no_collection(), ThreadPoolExecutor(max_workers=1) as aside:
        asked = aside.submit(registered_versions, settings)  # it waits for others, while the rest computes
        found = survey(settings, names)
        store = open_store(settings)
        known = _Known(store, settings, names)
        adoptions = read_adoptions(store)
        if adoptions.in_force:
            there = known.inventory.manifests
            jobs_now = counted_jobs(found.jobs, adoptions, lambda stage, key: (stage, key) in there)
            found = replace(found, jobs=tuple(jobs_now))
        try:
            registered, unknown = asked.result(), None
        except RegistryUnknown as error:
            registered, unknown = {}, str(error)
        if unknown is None:
            known.look_closer(found.jobs, registered)
        taken = current_takedowns(settings, store, ask_registry=False)
        refused = {job.concept.name: taken.problems(job.concept.name, job.images) for job in found.jobs}
        problems = {**found.problems, **{name: said for name, said in refused.items() if said}}
        jobs = {job.concept.name: job for job in found.jobs if job.concept.name not in problems}
        notes = notes_of(settings, [(job.concept, job.images) for job in jobs.values()])
        concepts = tuple(
            replace(_plan(jobs[name], known, None if unknown else registered.get(name, [])), notes=notes.get(name, ()))
            if name in jobs
            else ConceptPlan(concept=name, state="problem", causes=problems[name], trained_at=known.trained_at(name))
            for name in names
        )
        return Plan(concepts=concepts, registry_unknown=unknown, registered=registered)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looking for garbage: a plan makes hundreds of thousands of small things that all stay until its end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Known:
    """What the store knows about these concepts, asked in bulk."""

    def __init__(self, store: Store, settings: Settings, names: Iterable[str]) -> None:
        self.store = store
        self._settings = settings
        self.inventory: Inventory = store.inventory()
        there = set(store.records(CONCEPTS))
        wanted = [
            path
            for name in names
            for path in (last_training_path(name), failures_path(settings, name))
            if path in there
        ]
        self._records = store.read_records(wanted)
        self._trained = {name: self._read(last_training_path(name)) for name in names}

    def look_closer(self, jobs: Iterable[Job], registered: Mapping[str, list[KnownVersion]]) -> None:
        """Where the last training was registered elsewhere, take what this project's own registry has instead.

        Another project may have a concept of the same name in this store.
        """
        paths: dict[str, list[str]] = {}
        for job in jobs:
            name, last = job.concept.name, self._trained[job.concept.name]
            contents = {version.tags.get(KEY_TAG, ""): version.aliases for version in registered.get(name, ())}
            if (contents and not last) or (last and last.content not in contents):
                current = [content for content, aliases in contents.items() if CANDIDATE in aliases] or [*contents][-1:]
                asked = [job_content(job), *current, *([last.content] if last else ())]
                paths[name] = [training_record_path(self._settings, name, content) for content in asked]
        self._records |= self.store.read_records({path for listed in paths.values() for path in listed})
        for name, listed in paths.items():
            self._trained[name] = next(filter(None, map(self._read, listed)), None)

    def trained(self, concept: str) -> LastTraining | None:
        return self._trained[concept]

    def trained_at(self, concept: str) -> str | None:
        trained = self.trained(concept)
        return trained.at if trained else None

    def _read(self, path: str) -> LastTraining | None:
        record = self._records.get(path)
        return LastTraining.from_json(record.content) if record else None

    def remembers(self, version: KnownVersion) -> bool:
        """Whether this version was registered from this store."""
        path = training_record_path(self._settings, version.concept, version.tags.get(KEY_TAG, ""))
        return self.store.record(path) is not None

    def failures(self, job: Job) -> Failures | None:
        """Those of nights that wanted to make the same."""
        record = self._records.get(failures_path(self._settings, job.concept.name))
        failures = Failures.from_json(record.content) if record else None
        return failures if failures and failures.key == job_key(job) else None


def _plan(job: Job, known: _Known, versions: list[KnownVersion] | None) -> ConceptPlan:
    """`versions` is None where the registry could not be asked."""
    trained = known.trained(job.concept.name)
    lacking = {plan.stage: _lack(plan, trained, known) for plan in job.stages}
    runs = [stage for stage, lack in lacking.items() if lack is not None]
    why: list[str] = []
    if trained is None:
        if runs:
            why.append(_unrecorded(job, runs, versions or []))
        else:  # trained before there were records
            trained = last_training_from_manifests(known.store, job)
    if trained is not None:
        why += causes(job, trained)
        same = {stage.stage for stage in trained.stages if any(p.key == stage.key for p in job.stages)}
        why += [lack for stage, lack in lacking.items() if lack and stage in same]
    version = _version(job, versions or [])
    if versions is not None and not runs:
        why += _registration_lacks(job, version, versions, known)
    if why or runs:
        runs.append(REGISTER)
    return ConceptPlan(
        concept=job.concept.name,
        state="stale" if runs else "up to date",
        causes=tuple(why),
        runs=tuple(runs),
        trained_at=trained.at if trained else None,
        job=job,
        trained=trained,
        failures=known.failures(job),
        version=version,
    )


def _lack(plan: StagePlan, trained: LastTraining | None, known: _Known) -> str | None:
    """What is missing of a stage's artefact; None if it is whole, as far as can be told without opening it."""
    if (plan.stage, plan.key) not in known.inventory.manifests:
        return f"artefact of {stage_words(plan.stage)} missing"
    done = trained.stage(plan.stage) if trained else None
    if done is None or done.key != plan.key:
        try:
            return None if known.store.find(plan.stage, plan.key) else f"artefact of {stage_words(plan.stage)} missing"
        except Damaged as damage:
            return f"artefact of {stage_words(plan.stage)} damaged: {'; '.join(damage.problems)}"
    contents = known.inventory.contents
    missing = [
        name
        for name, (sha256, size) in done.files.items()
        if (entry := contents.get(sha256)) is None or entry.size != size
    ]
    if not missing:
        return None
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"artefact of {stage_words(plan.stage)} damaged: {missing[0]}{more} missing or cut short"


def _unrecorded(job: Job, runs: list[str], versions: list[KnownVersion]) -> str:
    """Why a concept without a record is not up to date."""
    if versions:
        return f"version {versions[-1].version} was made from something else, of which there is no record"
    done = [stage_words(plan.stage) for plan in job.stages if plan.stage not in runs]
    return f"never trained to the end ({', '.join(done)} done)" if done else "never trained"


def _version(job: Job, versions: list[KnownVersion]) -> KnownVersion | None:
    """The oldest version of this content: the one that registration would return."""
    content = job_content(job)
    return next((version for version in versions if version.tags.get(KEY_TAG) == content), None)


def _registration_lacks(
    job: Job, version: KnownVersion | None, versions: list[KnownVersion], known: _Known
) -> list[str]:
    """What a registration would put right, of a training whose artefacts are all there."""
    if version is None:
        return ["registered version missing"]
    if version.tags.get(GALLERY_TAG) != job.stages[-1].key:
        return ["the registered version shows another gallery"]
    if CANDIDATE not in version.aliases:
        named = next((other for other in versions if CANDIDATE in other.aliases), None)
        names = f"version {named.version}" if named else "nothing"
        said = f"alias '{CANDIDATE}' names {names}, not version {version.version}"
        if named and not known.remembers(named):
            said += (
                ", and this store did not register that one: two projects with a concept of this name in one MLflow "
                "take the alias from each other; give one of them another name, or an MLflow of its own"
            )
        return [said]
    return []


def last_training_from_manifests(store: Store, job: Job) -> LastTraining:
    """The record of a training that has none, from the manifests of its stages. Raises Damaged, StoreFailed."""
    manifests = {plan.stage: store.get(plan.stage, plan.key) for plan in job.stages}
    scores = load_scores(store, manifests["evaluate"])
    return last_training_of(job, manifests, None, scores)
