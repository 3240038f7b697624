"""Going on with a ledger that is not the one that was written: explicit, with a reason, and on record for ever.

What serves goes on serving if registry and store both know it; everything else that the ledger names is taken out of
service, since the records that said so may be those that are lost.
"""

from dataclasses import replace
from typing import Any

from model.errors import InputError
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion, read_ledger
from tasks.production.registry import RELEASE_TAG, production_model, production_registry
from tasks.production.release import read_release
from tasks.production.whole_ledger import Standing, standing
from tasks.project.settings import Settings
from tasks.promotion.promotion import UNASKED, Promoted, Tell, next_record, record_promotion, settle
from tasks.registry.reference import CHAMPION
from tasks.registry.versions import REVOKED_TAG
from tasks.store.blobs import Blobs


def repair_ledger(
    settings: Settings, place: Blobs, concept: str, *, reason: str, tell: Tell = lambda _: None
) -> Promoted:
    """Go on from what is left of a ledger that was cut off, forked or added to; what that was is in the new record.

    Raises:
        InputError: nothing is to be repaired, or the chain itself is broken: no record can be written after that.
        WorkFailed: production's registry or store do not answer.
    """
    ledger = read_ledger(place, concept)
    found = standing(settings, place, ledger)
    if not found.doubts:
        raise InputError(f"concept '{concept}': its ledger is whole, there is nothing to repair")
    for doubt in found.doubts:
        tell(doubt)
    target = _serving(settings, place, ledger, found, tell)
    following = next_record(settings, ledger)
    facts: dict[str, Any] = {
        "action": "repair",
        "withdraws": _others(ledger, target),
        "accepts": (found.remembered,) if found.remembered else (),
        "reason": reason,
    }
    if target is None:
        record = Promotion(**following, **facts, version=None, content=None, release=None)
    else:
        unasked = {name: value for name, value in UNASKED.items() if name != "accepts"}
        number = target.production_version
        record = replace(target, **{**following, **unasked, **facts, "production_version": number})
    record = record_promotion(settings, place, record)
    settle(settings, place, concept, tell)
    return Promoted(record=record, changed=True)


def _serving(settings: Settings, place: Blobs, ledger: Ledger, found: Standing, tell: Tell) -> Promotion | None:
    """The record of what the alias names, if it can be believed, was never revoked and its bytes are whole."""
    name = production_model(settings, ledger.concept)
    with production_registry(settings) as client:
        models = client.search_registered_models(f"name = '{name}'")
        number = models[0].aliases.get(CHAMPION) if models else None
        if number is None:
            return None
        version = client.get_model_version(name, str(number))
    said = f"{name} version {number}, which serves, does not serve any more"
    if REVOKED_TAG in version.tags:
        tell(f"{said}: it was revoked on {version.tags[REVOKED_TAG]}")
        return None
    believed = ledger.records[: found.trusted]
    same = [r for r in believed if r.release == version.tags.get(RELEASE_TAG) and r.content not in ledger.revoked]
    if not same:
        tell(f"{said}: no record that can be believed names it")
        return None
    try:
        problems = releases.damage(place, read_release(place, ledger.concept, str(same[-1].release)))
    except InputError as error:
        problems = list(error.problems)
    if problems:
        tell(f"{said}: {'; '.join(problems)}")
        return None
    return replace(same[-1], production_version=int(number))


def _others(ledger: Ledger, target: Promotion | None) -> tuple[str, ...]:
    kept = target.content if target else None
    return tuple(sorted({record.content for record in ledger.records if record.content} - {kept}))
