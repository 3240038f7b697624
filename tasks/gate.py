"""The gate: whether a version may take the champion's place, by the policy in mlflow/promotion.yaml. Pure comparison.

A score may fall short of the champion's by the half-width of the 95 % interval of their difference, which for two
independent means is the root of the sum of the squares of their own half-widths. A score of a single picture has no
interval, and allows for nothing.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import InputError
from tasks.artefacts import SCORES
from tasks.hashing import digest_of
from tasks.score_words import Interval, interval
from tasks.settings import Settings
from tasks.store import Damaged, Store
from tasks.yaml_files import read_yaml, schema_problems

POLICY_FILE = "mlflow/promotion.yaml"
Score = Literal["clip_i", "clip_t"]
_CALLED = {"clip_i": "CLIP-I", "clip_t": "CLIP-T"}


class Enough(BaseModel):
    """How much an evaluation has to rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: int = Field(default=1, ge=1)
    images: int = Field(default=1, ge=1)
    """Pictures that were drawn and measured, of all prompts together."""


class Policy(BaseModel):
    """mlflow/promotion.yaml: scores for every night, all of it for a promotion (tasks/promotion_gates.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: dict[Score, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    not_worse_than_champion: tuple[Score, ...] = ()
    lineage: Literal["verified", "without_faults"] | None = None
    git_clean: bool = False
    stated: tuple[Literal["licence", "source", "consent"], ...] = ()
    base_licences: tuple[str, ...] = ()
    evaluated_on: Enough = Enough()
    approval_by: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Other demands on scores have another digest, and ask for another verdict."""
        return digest_of(self.model_dump(include={"minimum", "not_worse_than_champion"}))[:16]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a version is, and by what that was measured."""

    scores: Mapping[str, Interval]
    measured_by: str
    """Digest of prompts and evaluator: only equal ones can be compared."""


@dataclass(frozen=True, kw_only=True)
class Check:
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
    checks: tuple[Check, ...]

    def to_json(self) -> str:
        """One line, as it stands in the version's tag."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Read a tag; None where there is none, or something else."""
        try:
            content = json.loads(text or "null")
            return cls(**{**content, "checks": tuple(Check(**check) for check in content["checks"])})
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def impossible(cls, policy: Policy, champion: int | None, why: str) -> Self:
        """Of a version that cannot be measured."""
        check = Check(gate="evaluation", passed=False, said=why)
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


def read_evaluation(store: Store, key: str) -> Evaluation:
    """The evaluation with this key. Raises Damaged where it is not in the store as it was, and StoreFailed."""
    manifest = store.get("evaluate", key)
    document: dict[str, Any] = json.loads(store.file(manifest, SCORES).read_text(encoding="utf-8"))
    return Evaluation(
        scores={name: interval(document[name]) for name in _CALLED},
        measured_by=digest_of([manifest.parameters["prompts"], document["evaluator"]]),
    )


def judge(
    policy: Policy, candidate: Evaluation, champion: Evaluation | Damaged | None, champion_version: int | None
) -> Verdict:
    """Hold a candidate against the policy; all checks are made, so that all that failed is known at once.

    `champion` is None where there is none, and Damaged where its evaluation cannot be read.
    """
    checks = [_minimum(name, candidate.scores[name], least) for name, least in policy.minimum.items()]
    for name in policy.not_worse_than_champion:
        if champion is not None:
            checks.append(_compared(name, candidate, champion, f"champion (version {champion_version})"))
    return Verdict(
        passed=all(check.passed for check in checks),
        champion=champion_version,
        policy=policy.digest,
        checks=tuple(checks),
    )


def _minimum(name: str, found: Interval, least: float) -> Check:
    passed = found.mean >= least
    said = f"{_CALLED[name]} {found}, {'at least' if passed else 'less than'} {least:g}"
    return Check(gate=f"minimum.{name}", passed=passed, said=said)


def _compared(name: str, candidate: Evaluation, champion: Evaluation | Damaged, called: str) -> Check:
    gate, found = f"not_worse_than_champion.{name}", candidate.scores[name]
    if isinstance(champion, Damaged):
        said = f"{_CALLED[name]} {found}: the evaluation of the {called} cannot be read: {champion}"
        return Check(gate=gate, passed=False, said=said)
    if candidate.measured_by != champion.measured_by:
        said = f"{_CALLED[name]} {found}: the {called} was evaluated by other prompts or another evaluator"
        return Check(gate=gate, passed=False, said=said)
    best = champion.scores[name]
    allowed = math.hypot(_half(found), _half(best))
    short = best.mean - found.mean
    how = f"{abs(short):.3f} {'below' if short > 0 else 'above'}, {allowed:.3f} below is allowed"
    said = f"{_CALLED[name]} {found} against {best} of the {called}: {how}"
    return Check(gate=gate, passed=short <= allowed, said=said)


def _half(score: Interval) -> float:
    return 0.0 if score.low is None or score.high is None else (score.high - score.low) / 2
