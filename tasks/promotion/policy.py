"""The gate: whether a version may take the champion's place, by the policy in mlflow/promotion.yaml. Pure comparison.

A score is worse than the champion's where the 95 % interval of their difference lies below zero as a whole. Both drew
the same prompts from the same seeds, so the difference is taken picture by picture (tasks/lineage/evaluations.py): what
makes a prompt hard for both takes no part in it. A difference of a single picture has no interval, and allows for
nothing.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import InputError
from model.scores.interval import Interval
from tasks.files.hashing import digest_of
from tasks.files.yaml_files import read_yaml, schema_problems
from tasks.lineage.evaluations import Evaluation, difference
from tasks.project.settings import Settings
from tasks.store.store import Damaged

POLICY_FILE = "mlflow/promotion.yaml"
Score = Literal["clip_i", "clip_t"]
CALLED = {"clip_i": "CLIP-I", "clip_t": "CLIP-T"}


class Enough(BaseModel):
    """How much an evaluation has to rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: int = Field(default=1, ge=1)
    images: int = Field(default=1, ge=1)
    """Pictures that were drawn and measured, of all prompts together."""


class Policy(BaseModel):
    """mlflow/promotion.yaml: scores for every night, all of it for a promotion (tasks/promotion/gates.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: dict[Score, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    not_worse_than_champion: tuple[Score, ...] = ()
    lineage: Literal["verified", "without_faults"] | None = None
    git_clean: bool = False
    stated: tuple[Literal["licence", "source", "consent"], ...] = ()
    base_licences: tuple[str, ...] = ()
    evaluated_on: Enough = Enough()
    measured_again: Literal["scores", "pictures"] = "scores"
    approval_by: tuple[str, ...] = ()
    promotion_reason: bool = True
    adopted: Literal["allowed", "refused"] = "allowed"
    adoption_reason: bool = False

    @property
    def digest(self) -> str:
        """Other demands on scores have another digest, and ask for another verdict."""
        return digest_of(self.model_dump(include={"minimum", "not_worse_than_champion", "evaluated_on"}))[:16]


@dataclass(frozen=True, kw_only=True)
class GateCheck:
    """One thing that the policy asks for."""

    gate: str
    """As the policy calls it: "minimum.clip_i"."""
    passed: bool
    said: str
    """The numbers."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate says of a version."""

    passed: bool
    champion: int | None
    """Version that it was compared with; None where there is no champion."""
    policy: str
    """Digest of the policy."""
    checks: tuple[GateCheck, ...]

    def to_json(self) -> str:
        """One line, as it stands in the version's tag."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Read a tag; None where there is none, or something else."""
        try:
            content = json.loads(text or "null")
            return cls(**{**content, "checks": tuple(GateCheck(**check) for check in content["checks"])})
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def impossible(cls, policy: Policy, champion: int | None, why: str, gate: str = "evaluation") -> Self:
        """Of a version that cannot be measured, or must not be."""
        check = GateCheck(gate=gate, passed=False, said=why)
        return cls(passed=False, champion=champion, policy=policy.digest, checks=(check,))

    def is_about(self, policy: Policy, champion: int | None) -> bool:
        """Whether it would be asked for again in vain."""
        return (self.policy, self.champion) == (policy.digest, champion)

    @property
    def said(self) -> str:
        """In one line: what failed, or what was passed."""
        told = [check.said for check in self.checks if check.passed == self.passed]
        return "; ".join(told) or "nothing is asked for"


def load_policy(settings: Settings) -> Policy:
    """The project's policy. InputError, with all problems, if the file is not there or wrong."""
    label, content = POLICY_FILE, read_yaml(settings.root / POLICY_FILE, POLICY_FILE)
    try:
        return Policy.model_validate({} if content is None else content)
    except ValidationError as error:
        raise InputError(*schema_problems(error, label, Policy.model_fields)) from error


def compare_with_champion(
    policy: Policy, candidate: Evaluation, champion: Evaluation | Damaged | None, champion_version: int | None
) -> Verdict:
    """Hold a candidate against the policy; all checks are made, so that all that failed is known at once.

    `champion` is None where there is none, and Damaged where its evaluation cannot be read.
    """
    checks = [_minimum(name, candidate.scores[name], least) for name, least in policy.minimum.items()]
    for name in policy.not_worse_than_champion:
        if champion is not None:
            called = f"champion (version {champion_version})"
            checks.append(_compared(name, candidate, champion, called, policy.evaluated_on.prompts))
    return Verdict(
        passed=all(check.passed for check in checks),
        champion=champion_version,
        policy=policy.digest,
        checks=tuple(checks),
    )


def _minimum(name: str, found: Interval, least: float) -> GateCheck:
    passed = found.mean >= least
    said = f"{CALLED[name]} {found}, {'at least' if passed else 'less than'} {least:g}"
    return GateCheck(gate=f"minimum.{name}", passed=passed, said=said)


def _compared(
    name: str, candidate: Evaluation, champion: Evaluation | Damaged, called: str, fewest_prompts: int
) -> GateCheck:
    gate, found = f"not_worse_than_champion.{name}", f"{CALLED[name]} {candidate.scores[name]}"
    if isinstance(champion, Damaged):
        said = f"{found}: the evaluation of the {called} cannot be read: {champion}"
        return GateCheck(gate=gate, passed=False, said=said)
    more = difference(candidate, champion, name)
    if isinstance(more, str):
        return GateCheck(gate=gate, passed=False, said=f"{found}: cannot be compared with the {called}: {more}")
    said = f"{found} against {champion.scores[name]} of the {called}: {more}"
    if more.partial and more.prompts < fewest_prompts:
        return GateCheck(gate=gate, passed=False, said=f"{said}; at least {fewest_prompts} are needed")
    return GateCheck(gate=gate, passed=not more.clearly_lower, said=said)
