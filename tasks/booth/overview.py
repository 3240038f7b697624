"""All concepts of the project as the booth's first page shows them; a thousand of them take a few questions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import IMAGES_FOLDER, concept_names, load_concept
from tasks.pictures.kinds import is_picture
from tasks.plan.plan import ConceptPlan, make_plan
from tasks.production.ledger import concepts_in, examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.reference import CHAMPION
from tasks.registry.versions import KEY_TAG
from tasks.store.artefacts import GENERATIONS

State = Literal["up to date", "to train", "not trained", "failed", "problem", "unknown"]
_FIRST_PICTURE = f"{GENERATIONS}/"


@dataclass(frozen=True, kw_only=True)
class ConceptCard:
    """One concept in a few words."""

    name: str
    category: str | None
    """None where its concept.yaml cannot be read."""
    state: State
    why: tuple[str, ...] = ()
    """What made it so, a sentence each."""
    version: int | None = None
    """The newest registered one."""
    champion: int | None = None
    """The version that others are measured against."""
    serving: str | None = None
    """What production serves: "version 3", or its release where no version here has that content."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Means of its last training's scores."""
    trained_at: str | None = None
    """UTC, ISO 8601."""
    picture: str | None = None
    """sha256 of the newest picture, by which a browser keeps it; None where it has none."""
    image: str | None = None
    """Name of the first image of its folder, to be shown where there is no picture."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All of them, by name."""

    cards: tuple[ConceptCard, ...]
    notes: tuple[str, ...] = ()
    """What could not be told, a sentence each."""

    def card(self, name: str) -> ConceptCard | None:
        """The concept of that name."""
        return next((card for card in self.cards if card.name == name), None)


def read_overview(settings: Settings) -> Overview:
    """Look at all concepts. Never raises for one of them; what is wrong with the project stands in the notes."""
    names = concept_names(settings)
    try:
        plan = make_plan(settings, names)
    except InputError as error:
        cards = [ConceptCard(name=name, category=_category(settings, name), state="unknown") for name in names]
        return Overview(cards=tuple(cards), notes=error.problems)
    except WorkFailed as error:
        cards = [ConceptCard(name=name, category=_category(settings, name), state="unknown") for name in names]
        return Overview(cards=tuple(cards), notes=(str(error),))
    notes = [plan.registry_unknown] if plan.registry_unknown else []
    serving = _serving(settings, names, plan.registered, notes)
    cards = [
        _card(settings, concept, plan.registered.get(concept.concept, []), serving.get(concept.concept))
        for concept in plan.concepts
    ]
    return Overview(cards=tuple(cards), notes=tuple(notes))


def _card(settings: Settings, plan: ConceptPlan, versions: list[KnownVersion], serving: str | None) -> ConceptCard:
    trained = plan.trained
    evaluation = trained.stage("evaluate") if trained else None
    pictures = sorted(name for name in (evaluation.files if evaluation else ()) if name.startswith(_FIRST_PICTURE))
    why = plan.causes
    if plan.failures:
        why = (f"failed {plan.failures.count} times: {plan.failures.cause}", *why)
    return ConceptCard(
        name=plan.concept,
        category=plan.job.concept.super_category if plan.job else _category(settings, plan.concept),
        state=_state(plan, versions),
        why=why,
        version=versions[-1].version if versions else None,
        champion=next((version.version for version in versions if CHAMPION in version.aliases), None),
        serving=serving,
        scores=_means(trained.scores) if trained else {},
        trained_at=plan.trained_at,
        picture=str(evaluation.files[pictures[0]][0]) if evaluation and pictures else None,
        image=None if pictures else _first_image(settings, plan.concept),
    )


def _state(plan: ConceptPlan, versions: list[KnownVersion]) -> State:
    if plan.state == "problem":
        return "problem"
    if plan.failures:
        return "failed"
    if plan.state == "up to date":
        return "up to date"
    return "to train" if plan.trained or versions else "not trained"


def _means(scores: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    return {name: mean for name, score in scores.items() if (mean := score["mean"]) is not None}


def _first_image(settings: Settings, name: str) -> str | None:
    folder = settings.concepts_dir / name / IMAGES_FOLDER
    return min((path.name for path in folder.iterdir() if is_picture(path)), default=None) if folder.is_dir() else None


def _category(settings: Settings, name: str) -> str | None:
    try:
        return load_concept(settings, name).super_category
    except InputError:
        return None


def _serving(
    settings: Settings, names: list[str], registered: Mapping[str, list[KnownVersion]], notes: list[str]
) -> dict[str, str]:
    """What production serves of each concept, in words."""
    found: dict[str, str] = {}
    try:
        place = open_production(settings)
        for name in sorted(set(names) & set(concepts_in(place))):
            ledger, problems = examine_ledger(place, name)
            notes += problems
            if serving := ledger.serving:
                same = (v.version for v in registered.get(name, ()) if v.tags.get(KEY_TAG) == serving.content)
                number = next(same, None)
                found[name] = f"version {number}" if number else f"release {str(serving.release)[:12]}"
    except WorkFailed as error:
        notes.append(f"what production serves is not known: {error}")
    return found
