"""Every concept as it stands: what a plan says of it, its versions, what serves, its last scores; asked in bulk."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import Concept, concept_names, load_concept
from tasks.concepts.image_notes import ImageNote, notes_of
from tasks.concepts.image_sets import ImageSet, ImagesMissing, git_state, image_set
from tasks.files.hashing import DigestMemory
from tasks.plan.plan import ConceptPlan, Plan, make_plan
from tasks.production.ledger import Promotion, newest_records
from tasks.production.registry import open_production
from tasks.project.git import GitState
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.reference import CANDIDATE

BROKEN, MISSING, UNKNOWN = "broken", "missing", "not known"


@dataclass(frozen=True, kw_only=True)
class ConceptRow:
    """One concept; what could not be told is None, and `problems` say why."""

    name: str
    super_category: str | None = None
    images: int | None = None
    licence: str | None = None
    data_version: str | None = None
    """DVC's folder hash."""
    state: str = BROKEN
    """Of its images: committed, uncommitted, changed or untracked (see tasks.concepts.image_sets.ImageSet), missing or
    broken."""
    training: str = UNKNOWN
    """Up to date, stale, failed (stale, and the night before could not mend it), problem, or not known."""
    causes: tuple[str, ...] = ()
    """Why it is not up to date."""
    version: int | None = None
    """The newest registered version."""
    candidate: int | None = None
    champion: int | None = None
    """The version that serves in production."""
    clip_i: float | None = None
    clip_t: float | None = None
    """Of the last training."""
    trained_at: str | None = None
    """UTC, ISO 8601."""
    notes: tuple[ImageNote, ...] = ()
    """What is out of order in the images."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All concepts, and what could not be asked."""

    rows: tuple[ConceptRow, ...]
    unknown: tuple[str, ...]


def overview(settings: Settings) -> Overview:
    """All concepts by name. A broken one is a row with its problems; a silent place hides none of them."""
    names = concept_names(settings)
    unknown: list[str] = []
    plan = Plan(concepts=())
    serving: Mapping[str, Promotion] = {}
    if names:
        try:
            plan = make_plan(settings, names)
        except (InputError, WorkFailed) as error:
            said = "; ".join(error.problems) if isinstance(error, InputError) else str(error)
            unknown.append(f"what is up to date: {said}")
        if plan.registry_unknown:
            unknown.append(f"versions: {plan.registry_unknown}")
        try:
            serving = newest_records(open_production(settings))
        except (InputError, WorkFailed) as error:
            unknown.append(f"what serves: {error}")
    plans = {each.concept: each for each in plan.concepts}
    git, memory = git_state(settings), DigestMemory(settings.home / "image-digests.json", "md5")
    rows = []
    for name in names:
        row = _row(settings, name, plans.get(name), git, memory)
        row = _registered(row, plan.registered.get(name, []))
        record = serving.get(name)
        rows.append(replace(row, champion=record.version if record and record.release else None))
    return Overview(rows=tuple(rows), unknown=tuple(unknown))


def _row(settings: Settings, name: str, plan: ConceptPlan | None, git: GitState, memory: DigestMemory) -> ConceptRow:
    """What the plan found already is not looked for again."""
    row = ConceptRow(name=name)
    if plan is not None and plan.job is not None:
        row = _described(row, plan.job.concept, plan.job.images)
        row = replace(row, notes=plan.notes)
    else:
        try:
            concept = load_concept(settings, name)
            row = replace(row, super_category=concept.super_category, licence=concept.licence)
            images = image_set(settings, concept, git, memory)
            row = _described(row, concept, images)
            row = replace(row, notes=notes_of(settings, [(concept, images)]).get(name, ()))
        except ImagesMissing as error:
            row = replace(row, state=MISSING, problems=error.problems)
        except InputError as error:
            row = replace(row, problems=error.problems)
    if plan is None:
        return row
    trained = plan.trained
    failed = plan.state == "stale" and plan.failures is not None
    return replace(
        row,
        training="failed" if failed else plan.state,
        causes=plan.causes,
        problems=row.problems or (plan.causes if plan.state == "problem" else ()),
        trained_at=plan.trained_at,
        clip_i=trained.scores["clip_i"]["mean"] if trained else None,
        clip_t=trained.scores["clip_t"]["mean"] if trained else None,
    )


def _described(row: ConceptRow, concept: Concept, images: ImageSet) -> ConceptRow:
    return replace(
        row,
        super_category=concept.super_category,
        licence=concept.licence,
        images=len(images.files),
        data_version=images.digest,
        state=images.state,
    )


def _registered(row: ConceptRow, versions: list[KnownVersion]) -> ConceptRow:
    candidate = next((version.version for version in versions if CANDIDATE in version.aliases), None)
    return replace(row, version=max((v.version for v in versions), default=None), candidate=candidate)
