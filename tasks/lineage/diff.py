"""What differs between two trainings of a concept: in what they were made from, and in what they score."""

import json
from dataclasses import dataclass
from typing import Any

from model.errors import InputError
from model.scores.interval import Interval
from tasks.figures.score_words import interval
from tasks.jobs.keys import plan_of
from tasks.lineage.chain import Chain
from tasks.lineage.evaluations import Difference, Evaluation, difference, evaluation_of
from tasks.plan.causes import Making, differences
from tasks.plan.last_training import FinishedStage, LastTraining
from tasks.store.manifest import SCHEMA as MANIFEST_SCHEMA

SCORES = (("clip_i", "CLIP-I"), ("clip_t", "CLIP-T"))
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ScorePair:
    """One score of both, with 95 % intervals."""

    name: str
    before: Interval
    after: Interval
    difference: Difference | str
    """Or why there is none."""

    @property
    def verdict(self) -> str:
        """Whether it rose or fell; "clearly" only where the interval of the difference leaves zero out."""
        if isinstance(self.difference, str):
            return "cannot be compared"
        change = self.difference.interval.mean
        if self.difference.interval.low is None:
            return f"too few pictures to tell ({change:+.2f})"
        if self.difference.clearly_higher:
            return f"clearly higher, by {change:.2f}"
        if self.difference.clearly_lower:
            return f"clearly lower, by {-change:.2f}"
        return f"no clear difference ({change:+.2f})"


@dataclass(frozen=True, kw_only=True)
class VersionDiff:
    """Two trainings, the earlier one named first by who asked."""

    before: Chain
    after: Chain
    changes: tuple[str, ...]
    """What the second is made from otherwise, in words; empty if they are the same."""
    same_stages: tuple[str, ...]
    """Stages that both share, artefact and all."""
    scores: tuple[ScorePair, ...]
    prompts: tuple[tuple[str, ScorePair, ScorePair], ...]
    """Of the prompts that both drew: the prompt, CLIP-I, CLIP-T."""
    notes: tuple[str, ...]
    """What keeps them from being comparable."""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "schema": SCHEMA,
            "concept": self.after.head.concept,
            "before": _side(self.before),
            "after": _side(self.after),
            "changes": list(self.changes),
            "same_stages": list(self.same_stages),
            "scores": [_pair(pair) for pair in self.scores],
            "prompts": [
                {"prompt": prompt, "scores": [_pair(pair) for pair in pairs]} for prompt, *pairs in self.prompts
            ],
            "notes": list(self.notes),
        }


def compare_chains(before: Chain, after: Chain) -> VersionDiff:
    """Compare two chains of one concept.

    Raises:
        InputError: a manifest of either is missing or damaged.
    """
    problems = [problem for chain in (before, after) for problem in chain.problems]
    if problems:
        raise InputError(*problems)
    old, new = before.manifests, after.manifests
    return VersionDiff(
        before=before,
        after=after,
        changes=tuple(differences(_making(after), _trained(before)) + _surroundings(before, after)),
        same_stages=tuple(stage for stage in new if stage in old and old[stage].key == new[stage].key),
        scores=tuple(_scores(before, after)),
        prompts=tuple(_prompts(before, after)),
        notes=tuple(_notes(before, after)),
    )


def _making(chain: Chain) -> Making:
    plans = [plan_of(manifest) for manifest in chain.manifests.values()]
    return Making(
        stages=plans,
        images=_images(chain),
        method=chain.trainings[-1].labels.get("method", ""),
        references={kind: model["reference"] for kind, model in chain.manifests["evaluate"].models.items()},
    )


def _trained(chain: Chain) -> LastTraining:
    manifests = chain.manifests
    facts = {stage: plan_of(manifest).facts() for stage, manifest in manifests.items()}
    return LastTraining(
        concept=chain.head.concept,
        at=max(manifest.created for manifest in manifests.values()),
        manifest_schema=MANIFEST_SCHEMA,
        images=_images(chain),
        content=chain.head.content or "",
        version=chain.head.version,
        scores=chain.scores or {},
        stages=tuple(
            FinishedStage(stage=manifest.stage, key=manifest.key, digest=manifest.digest(), files={})
            for manifest in manifests.values()
        ),
        facts_json=json.dumps(facts, default=dict),
    )


def _images(chain: Chain) -> dict[str, str]:
    return {image["made_from"]: image["sha256"] for image in chain.images}


def _surroundings(before: Chain, after: Chain) -> list[str]:
    """What is in no key, and yet was another: the project's commit, the device."""
    old, new = before.trainings[-1], after.trainings[-1]
    said = []
    commits = [(manifest.git or {}).get("commit") for manifest in (old, new)]
    if commits[0] != commits[1]:
        said.append(f"git commit {_short(commits[0])} -> {_short(commits[1])}")
    if old.device != new.device:
        said.append(f"device {old.device} -> {new.device}")
    return said


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "none"


def _scores(before: Chain, after: Chain) -> list[ScorePair]:
    old, new = _evaluation(before), _evaluation(after)
    if old is None or new is None:
        return []
    return [
        ScorePair(name=name, before=old.scores[key], after=new.scores[key], difference=difference(new, old, key))
        for key, name in SCORES
    ]


def _prompts(before: Chain, after: Chain) -> list[tuple[str, ScorePair, ScorePair]]:
    old, new = _evaluation(before), _evaluation(after)
    if old is None or new is None:
        return []
    scored = [_scored(chain) for chain in (before, after)]
    found = []
    for prompt in (prompt for prompt in scored[1] if prompt in scored[0]):
        clip_i, clip_t = (
            ScorePair(
                name=name,
                before=interval(scored[0][prompt][key]),
                after=interval(scored[1][prompt][key]),
                difference=difference(new, old, key, only=prompt),
            )
            for key, name in SCORES
        )
        found.append((prompt, clip_i, clip_t))
    return found


def _evaluation(chain: Chain) -> Evaluation | None:
    return None if chain.scores is None else evaluation_of(chain.manifests["evaluate"], chain.scores)


def _scored(chain: Chain) -> dict[str, Any]:
    """Scores of each prompt, by its words with {} in them."""
    if chain.scores is None:
        return {}
    prompts = chain.manifests["evaluate"].parameters["prompts"]
    return dict(zip(prompts, chain.scores["prompts"], strict=True))


def _notes(before: Chain, after: Chain) -> list[str]:
    old, new = before.manifests.get("evaluate"), after.manifests.get("evaluate")
    if old is None or new is None:
        return ["one of them was not evaluated: no scores and no pictures to compare"]
    evaluators = [next(e.digest for e in manifest.inputs if e.kind == "evaluator") for manifest in (old, new)]
    said = []
    if evaluators[0] != evaluators[1]:
        said.append("the evaluators differ: their scores cannot be compared")
    if old.parameters["prompts"] != new.parameters["prompts"]:
        said.append("the prompts differ: scores are compared over those that both drew")
    if old.seed != new.seed:
        said.append("the seeds of the pictures differ: scores are compared prompt by prompt, not picture by picture")
    return said


def _side(chain: Chain) -> dict[str, Any]:
    keys = {link.stage: link.key for link in chain.links}
    return {"version": chain.head.version, "content": chain.head.content, "stages": keys}


def _pair(pair: ScorePair) -> dict[str, Any]:
    return {
        "name": pair.name,
        "before": vars(pair.before),
        "after": vars(pair.after),
        "difference": None if isinstance(pair.difference, str) else vars(pair.difference.interval),
        "verdict": pair.verdict,
    }
