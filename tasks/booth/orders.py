"""What a visitor asks to be drawn: read within the bounds of a served model, before anything is loaded."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from model.bases.prompt import prompt_hints, prompt_problems
from model.errors import InputError
from model.serving.requests import Bounds, read_requests
from tasks.lineage.head import picked
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.reference import VersionReference
from tasks.registry.versions import REVOKED_TAG

MOST_SIDES = 2
MOST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Order:
    """One drawing: the same prompt and seeds for each of its sides."""

    concept: str
    references: tuple[str, ...]
    """What draws, NAME/version: one, or two to be compared."""
    prompt: str
    negative_prompt: str = ""
    count: int
    """Pictures of each side."""
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"references": list(self.references)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read `to_json`'s values, which were proved before."""
        return cls(**{**values, "references": tuple(values["references"])})

    @property
    def hints(self) -> tuple[str, ...]:
        """What a person should know of the prompt."""
        return tuple(prompt_hints(self.prompt))


def read_order(settings: Settings, concept: str, versions: Sequence[KnownVersion], asked: Mapping[str, Any]) -> Order:
    """The order that a page sent: `prompt`, `negative_prompt`, `count`, `seed` and `versions`, a list of one or two.

    Each of them is an alias or a number, or nothing: what the last training registered. `versions` are the concept's.

    Raises:
        InputError: anything in it is wrong, all of it together, or it is beyond the bounds that the environment sets.
    """
    bounds = Bounds.of(os.environ)
    problems: list[str] = []
    prompt, negative = _text(asked, "prompt", problems), _text(asked, "negative_prompt", problems)
    chosen = asked.get("versions")
    named = [str(version).strip() for version in chosen] if isinstance(chosen, list) else [""]
    if not 1 <= len(named) <= MOST_SIDES:
        problems.append(f"{len(named)} versions: one draws, or two side by side")
    references = []
    for version in named[:MOST_SIDES]:
        try:
            references.append(_exactly(concept, version, versions))
        except InputError as error:
            problems += error.problems
    if not problems and len(set(references)) < len(references):
        problems.append("the same version twice: choose another to compare it with")
    if len(prompt) <= bounds.letters:
        problems += prompt_problems(prompt)
    if len(negative) > bounds.letters:
        problems.append(f"negative prompt of {len(negative):,} letters: {bounds.letters:,} are allowed")
    params = load_params(settings.params_file).sampling.model_dump()
    rows = [{"prompt": prompt, "n": asked.get("count"), "seed": asked.get("seed")} for _ in references]
    try:
        requests = read_requests(rows, params, bounds)
    except InputError as error:
        raise InputError(*dict.fromkeys([*problems, *(_plain(problem) for problem in error.problems)])) from error
    seed = requests[0].sampling.seed if requests else 0
    if not 0 <= seed <= MOST_SEED:
        problems.append(f"seed {seed}: 0 to {MOST_SEED:,}")
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return Order(
        concept=concept,
        references=tuple(references),
        prompt=prompt,
        negative_prompt=negative,
        count=requests[0].count,
        seed=seed,
    )


def most_pictures(settings: Settings) -> int:
    """How many pictures of one version an order may have, by the bounds. InputError where they cannot be read."""
    bounds, steps = Bounds.of(os.environ), load_params(settings.params_file).sampling.num_inference_steps
    return max(1, min(bounds.pictures, bounds.steps // steps))


def versions_asked(order: Order) -> Sequence[VersionReference]:
    """The references, read."""
    return [VersionReference.parse(reference) for reference in order.references]


def _exactly(concept: str, named: str, versions: Sequence[KnownVersion]) -> str:
    """The version that is meant, by its number: an alias may name another while the order waits."""
    if not versions:
        raise InputError(f"concept '{concept}' has no registered version yet: train it first")
    written = f"{concept}{'/' if named.isdigit() else '@'}{named}" if named else concept
    version = picked(VersionReference.parse(written), versions)
    if revoked := version.tags.get(REVOKED_TAG):
        raise InputError(f"concept '{concept}' version {version.version} was revoked on {revoked}")
    return f"{concept}/{version.version}"


def _text(asked: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        problems.append(f"{name.replace('_', ' ')}: a text is needed")
        return ""
    return value.strip()


def _plain(problem: str) -> str:
    """Without the number of a row, of which the page knows nothing, and its name for the number of pictures."""
    row, found, rest = problem.partition(": ")
    said = rest if found and row.startswith("row ") else problem
    return said.replace("n = ", "number of pictures = ", 1) if said.startswith("n = ") else said
