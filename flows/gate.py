"""Holding new versions against the champions: verdicts with their numbers, written on the versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.comparison import Evaluation, read_evaluation
from tasks.gate import Policy, Verdict, judge
from tasks.registry import CHAMPION, EVALUATION_TAG, GATE_TAG, REVOKED_TAG, model_name
from tasks.registry_survey import KnownVersion
from tasks.settings import Settings
from tasks.store import Damaged, Store
from tasks.tracking import connect, sorted_failures


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A version that may be measured."""

    version: KnownVersion
    champion: KnownVersion | None


def candidates(registered: Iterable[Sequence[KnownVersion]], policy: Policy, alias: str) -> list[Candidate]:
    """Of the versions of each concept the one with this alias, unless its verdict is there or it is the champion."""
    found = []
    for versions in registered:
        named = next((version for version in versions if alias in version.aliases), None)
        champion = next((version for version in versions if CHAMPION in version.aliases), None)
        if named is None or named is champion:
            continue
        known = Verdict.from_json(named.tags.get(GATE_TAG))
        again = REVOKED_TAG in named.tags and known is not None and known.passed
        if again or known is None or not known.is_about(policy, champion.version if champion else None):
            found.append(Candidate(version=named, champion=champion))
    return found


def gate(settings: Settings, store: Store, policy: Policy, asked: Sequence[Candidate]) -> dict[str, Verdict]:
    """Verdicts by concept, each written on its version.

    Raises:
        StoreFailed, TrackingUnreachable, MlflowRefused, InputError: evaluations cannot be read or verdicts written.
    """
    if not asked:
        return {}
    verdicts = {candidate.version.concept: _judged(store, policy, candidate) for candidate in asked}
    client = connect(settings)
    with sorted_failures(settings):
        for candidate in asked:
            version = candidate.version
            said = verdicts[version.concept].to_json()
            client.set_model_version_tag(model_name(version.concept), str(version.version), GATE_TAG, said)
    return verdicts


def _judged(store: Store, policy: Policy, candidate: Candidate) -> Verdict:
    champion = candidate.champion
    number = champion.version if champion else None
    if revoked := candidate.version.tags.get(REVOKED_TAG):
        return Verdict.impossible(policy, number, f"was revoked on {revoked}", gate="revoked")
    try:
        found = _evaluation(store, candidate.version)
    except Damaged as damage:
        return Verdict.impossible(policy, number, f"its own evaluation cannot be read: {damage}")
    best: Evaluation | Damaged | None
    try:
        best = _evaluation(store, champion) if champion else None
    except Damaged as damage:
        best = damage
    return judge(policy, found, best, number)


def _evaluation(store: Store, version: KnownVersion) -> Evaluation:
    key = version.tags.get(EVALUATION_TAG)
    if key is None:
        raise Damaged("evaluate", "", [f"version {version.version} does not say which evaluation is its own"])
    return read_evaluation(store, key)
