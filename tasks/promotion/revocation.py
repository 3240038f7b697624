"""Revocation: contents that must never serve again, in the ledger first and on the registered versions after it.

The ledger says what is revoked and what serves instead, in one record; tags and aliases follow it.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from model.errors import InputError
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion
from tasks.production.release import Release, read_release
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.promotion import UNASKED, Promoted, Tell, let_serve, next_record, record_promotion, settle
from tasks.promotion.smoke_test import DoesNotLoad
from tasks.registry.reference import CANDIDATE
from tasks.registry.versions import KEY_TAG, REVOKED_TAG, model_name, versions
from tasks.store.blobs import Blobs
from tasks.tracking.address import is_unused
from tasks.tracking.client import connect, sorted_failures


def revoke(
    settings: Settings,
    place: Blobs,
    concept: str,
    contents: Collection[str],
    *,
    reason: str,
    tell: Tell = lambda _: None,
) -> Promoted | None:
    """Revoke contents of a concept; if one of them serves, the newest other promotion serves instead, or nothing.

    What an interrupted call has left is finished; None where nothing is revoked, and nothing was to be.

    Raises:
        Overtaken: another record was written meanwhile.
        WorkFailed: ledger, production store or registry do not answer; the same call carries on.
    """
    ledger = read_whole_ledger(settings, place, concept)
    new = tuple(sorted(set(contents) - ledger.revoked.keys()))
    if not new:
        settle(settings, place, concept, tell)
        return Promoted(record=ledger.head, changed=False) if ledger.head else None
    facts: dict[str, Any] = {"action": "revoke", "withdraws": new, "reason": reason}
    following = next_record(settings, ledger)
    for target in stand_ins(ledger, new):
        record = replace(target, **following, **facts, **UNASKED)
        if target is ledger.serving:
            return _enter(settings, place, replace(record, production_version=target.production_version), tell)
        release = _whole(place, target, tell)
        try:
            if release:
                described = f"Promotion {target.seq} of '{concept}', registered again."
                return let_serve(settings, place, ledger, release, record, {}, described, tell)
        except DoesNotLoad as error:
            tell(f"promotion {target.seq} cannot stand in: {error}")
    nothing = Promotion(**following, **facts, version=None, content=None, release=None)
    return _enter(settings, place, nothing, tell)


def stand_ins(ledger: Ledger, revoked: Collection[str]) -> list[Promotion]:
    """What may serve once these contents are revoked, the best first: what serves now, else what did, newest first."""
    out = {*revoked, *ledger.withdrawn}
    if ledger.serving is None:
        return []
    if ledger.serving.content not in revoked:
        return [ledger.serving]
    newest = {record.content: record for record in ledger.records if record.release and record.content not in out}
    return sorted(newest.values(), key=lambda record: -record.seq)


def mark_versions(settings: Settings, ledger: Ledger) -> tuple[int, ...]:
    """Write on the registered versions of revoked contents that they are, and take their aliases away.

    `candidate` goes to the newest version that is not revoked. Returns the revoked versions. Raises as `register`.
    """
    if is_unused(settings) or not ledger.revoked:
        return ()
    client, name = connect(settings), model_name(ledger.concept)
    with sorted_failures(settings):
        there = versions(client, ledger.concept)
        marked = {int(v.version): v for v in there if v.tags.get(KEY_TAG) in ledger.revoked}
        for number, version in marked.items():
            words = ledger.revoked[version.tags[KEY_TAG]].words
            if version.tags.get(REVOKED_TAG) != words:
                client.set_model_version_tag(name, str(number), REVOKED_TAG, words)
        left = [int(version.version) for version in there if int(version.version) not in marked]
        aliases = client.get_registered_model(name).aliases if marked else {}
        for alias, number in aliases.items():
            if int(number) in marked and alias == CANDIDATE and left:
                client.set_registered_model_alias(name, alias, str(left[-1]))
            elif int(number) in marked:
                client.delete_registered_model_alias(name, alias)
    return tuple(marked)


def _whole(place: Blobs, target: Promotion, tell: Tell) -> Release | None:
    """The release of an earlier promotion, its bytes hashed; None, and it is told, if they are not what they were."""
    try:
        release = read_release(place, target.concept, str(target.release))
        problems = releases.unfit(place, release, tell)
    except InputError as error:
        problems = list(error.problems)
    if problems:
        tell(f"promotion {target.seq} cannot stand in: {'; '.join(problems)}")
        return None
    return release


def _enter(settings: Settings, place: Blobs, record: Promotion, tell: Tell) -> Promoted:
    """Write a record for which nothing has to be registered, and do what follows from it."""
    record = record_promotion(settings, place, record)
    settle(settings, place, record.concept, tell)
    return Promoted(record=record, changed=True)
