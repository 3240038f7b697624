"""Holding new versions against the champions: verdicts with their numbers, written on the versions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from model.errors import InputError, WorkFailed
from tasks.lineage.evaluations import Evaluation
from tasks.production.ledger import Promotion, concepts_in, examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.promotion.policy import Policy, Verdict, compare_with_champion
from tasks.registry.all_versions import KnownVersion
from tasks.registry.reference import CHAMPION
from tasks.registry.versions import EVALUATION_TAG, GATE_TAG, KEY_TAG, REVOKED_TAG, model_name
from tasks.store.store import Damaged, Store
from tasks.tracking.client import connect, sorted_failures
from tasks.verification.scores import measured_evaluation


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A version that may be measured."""

    version: KnownVersion
    champion: KnownVersion | None
    withdrawn: Promotion | None
    """The ledger's record that took it out of production; None where nobody did."""


def challengers(
    settings: Settings, registered: Iterable[Sequence[KnownVersion]], policy: Policy, alias: str
) -> list[Challenger]:
    """Of the versions of each concept the one with this alias, unless its verdict is there or it is the champion."""
    found = []
    for versions in registered:
        named = next((version for version in versions if alias in version.aliases), None)
        champion = next((version for version in versions if CHAMPION in version.aliases), None)
        if named is not None and named is not champion:
            found.append(Challenger(version=named, champion=champion, withdrawn=None))
    withdrawn = _withdrawn(settings, {challenger.version.concept for challenger in found})
    found = [replace(each, withdrawn=withdrawn.get(each.version.tags.get(KEY_TAG, ""))) for each in found]
    return [challenger for challenger in found if not _has_verdict(challenger, policy)]


def _withdrawn(settings: Settings, concepts: set[str]) -> Mapping[str, Promotion]:
    """Contents of these concepts that were taken out of production; who cannot read it is told by `reconcile`."""
    try:
        place = open_production(settings)
        ledgers = [examine_ledger(place, concept)[0] for concept in sorted(concepts.intersection(concepts_in(place)))]
    except (InputError, WorkFailed):
        return {}
    return {content: record for ledger in ledgers for content, record in ledger.withdrawn.items()}


def _has_verdict(challenger: Challenger, policy: Policy) -> bool:
    """Whether it was measured against this champion by this policy, and nothing has spoken against it since."""
    known = Verdict.from_json(challenger.version.tags.get(GATE_TAG))
    if known is None or not known.is_about(policy, challenger.champion.version if challenger.champion else None):
        return False
    return not (known.passed and (challenger.withdrawn or REVOKED_TAG in challenger.version.tags))


def gate(settings: Settings, store: Store, policy: Policy, asked: Sequence[Challenger]) -> dict[str, Verdict]:
    """Verdicts by concept, each written on its version.

    Raises:
        StoreFailed, TrackingUnreachable, MlflowRefused, InputError: evaluations cannot be read or verdicts written.
    """
    if not asked:
        return {}
    verdicts = {challenger.version.concept: _judged(store, policy, challenger) for challenger in asked}
    client = connect(settings)
    with sorted_failures(settings):
        for challenger in asked:
            version = challenger.version
            said = verdicts[version.concept].to_json()
            client.set_model_version_tag(model_name(version.concept), str(version.version), GATE_TAG, said)
    return verdicts


def _judged(store: Store, policy: Policy, challenger: Challenger) -> Verdict:
    champion = challenger.champion
    number = champion.version if champion else None
    if revoked := challenger.version.tags.get(REVOKED_TAG):
        return Verdict.impossible(policy, number, f"was revoked on {revoked}", gate="revoked")
    if withdrawn := challenger.withdrawn:
        return Verdict.impossible(policy, number, f"was taken out of production on {withdrawn.words}", "withdrawn")
    try:
        found = _evaluation(store, challenger.version)
    except Damaged as damage:
        return Verdict.impossible(policy, number, f"its own evaluation cannot be read: {damage}")
    best: Evaluation | Damaged | None
    try:
        best = _evaluation(store, champion) if champion else None
    except Damaged as damage:
        best = damage
    return compare_with_champion(policy, found, best, number)


def _evaluation(store: Store, version: KnownVersion) -> Evaluation:
    key = version.tags.get(EVALUATION_TAG)
    if key is None:
        raise Damaged("evaluate", "", [f"version {version.version} does not say which evaluation is its own"])
    measured = measured_evaluation(store, store.get("evaluate", key))
    if faults := [check.said for check in measured.checks if check.state == "fault"]:
        raise Damaged("evaluate", key, [f"its scores {said}" for said in faults])
    return measured.evaluation
