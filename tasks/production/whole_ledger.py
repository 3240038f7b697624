"""Whether a ledger is all that was ever written: the registry remembers its newest record, and keys sign each of them.

A chain of seals alone does not tell: whoever can write to the store can cut records off its end, or add some with seals
of their own. So no command writes to production, or vouches for it, before all three agree; where they do not, only a
repair passes, which is on record itself (tasks/promotion/repair.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.production.ledger import KIND, LEDGER, Ledger, LedgerDamaged, Promotion, read_ledger
from tasks.production.registry import LEDGER_TAG, production_model, production_registry
from tasks.production.signatures import (
    NotSigned,
    hashes_of_documents,
    ledger_documents,
    ledger_signature_path,
    verify_signature,
)
from tasks.project.settings import Settings
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys, load_trusted_keys
from tasks.store.blobs import Blobs
from tasks.tracking.address import is_unused


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What stands behind a ledger."""

    remembered: str | None
    """Number and seal of the newest record that the production registry saw carried out; None where it knows none."""
    trusted: int
    """Records, from the first on, that a trusted key or the registry stands for; all of them where no key is asked."""
    doubts: tuple[str, ...]
    """Why it is not the ledger that was written, one sentence each; empty where it is."""


def read_whole_ledger(settings: Settings, place: Blobs, concept: str) -> Ledger:
    """The ledger of a concept, for commands that write to production or build on what it says.

    Raises:
        LedgerDamaged: it is not as it was written, or not all of it; every reason is named.
        TrackingUnreachable, StoreFailed: production's registry or store does not answer.
    """
    ledger = read_ledger(place, concept)
    doubts = standing(settings, place, ledger).doubts
    if doubts:
        at, repair = place.where(f"{LEDGER}{concept}/"), f"`conceptbooth repair {concept} --reason TEXT`"
        way_out = f"put {at} back from a copy; where there is none, {repair} goes on from what is left, on record"
        raise LedgerDamaged(*(f"{doubt}; {way_out}" for doubt in doubts))
    return ledger


def standing(settings: Settings, place: Blobs, ledger: Ledger) -> Standing:
    """What registry and keys say of a ledger whose chain is whole. Raises as `read_whole_ledger`."""
    keys, remembered = load_trusted_keys(settings), remembered_mark(settings, ledger.concept)
    trusted, doubts = len(ledger.records), []
    known = _remembered_seq(ledger, remembered, keys)
    at = f"ledger {place.where(f'{LEDGER}{ledger.concept}/')}"
    if remembered is not None and known is None:
        seq = remembered.partition(" ")[0]
        there = f"record {seq} has another content" if _has(ledger, seq) else f"it ends with record {trusted}"
        doubts.append(
            f"{at}: the production registry remembers record {seq}, and {there}: records were removed or rewritten"
        )
    if keys.asks_for("releases"):
        trusted = max(known or 0, _signed(place, ledger, keys))
        if trusted < len(ledger.records):
            first = ledger.records[trusted]
            doubts.append(
                f"{at}: record {first.seq} ({first.action}, said to be by {first.by}) {_why_not(first, keys)}: whoever "
                "can write to the store can have put it there"
            )
    return Standing(remembered=remembered, trusted=trusted, doubts=tuple(doubts))


def remembered_mark(settings: Settings, concept: str) -> str | None:
    """Number and seal of the newest record that the production registry saw carried out; None where it knows none."""
    from mlflow.exceptions import MlflowException

    if is_unused(settings.model_copy(update={"mlflow_tracking_uri": settings.production_tracking_uri})):
        return None
    with production_registry(settings) as client:
        try:
            mark = client.get_registered_model(production_model(settings, concept)).tags.get(LEDGER_TAG)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
    return str(mark) if mark else None


def _remembered_seq(ledger: Ledger, mark: str | None, keys: TrustedKeys) -> int | None:
    """Number of the remembered record, if it is there as it was; or of the repair that went on without it."""
    for record in ledger.records:
        if record.mark == mark:
            return record.seq
        if mark in record.accepts and (not keys.asks_for("releases") or _who(record, keys)):
            return record.seq
    return None


def _has(ledger: Ledger, seq: str) -> bool:
    return any(str(record.seq) == seq for record in ledger.records)


def _signed(place: Blobs, ledger: Ledger, keys: TrustedKeys) -> int:
    """How many records, from the first on, trusted keys have signed: each one, or all together."""
    newest = max((record.seq for record in ledger.records if _who(record, keys)), default=0)
    signature = place.read(ledger_signature_path(ledger.concept)) if newest < len(ledger.records) else None
    if signature is None:
        return newest
    pems = [key.public_key for key in keys.keys if "releases" in key.trusted_with]
    for length in range(len(ledger.records), newest, -1):
        those = Ledger(concept=ledger.concept, records=ledger.records[:length])
        hashes = hashes_of_documents(ledger_documents(those))
        if any(_holds(hashes, signature.content, pem) for pem in pems):
            return length
    return newest


def _holds(hashes: Mapping[str, str], signature: bytes, public_key: bytes) -> bool:
    try:
        verify_signature(hashes, signature, public_key)
    except NotSigned:
        return False
    return True


def _who(record: Promotion, keys: TrustedKeys) -> TrustedKey | None:
    found = keys.who_signed("releases", KIND, record.signed_text, record.signature)
    return found if isinstance(found, TrustedKey) else None


def _why_not(record: Promotion, keys: TrustedKeys) -> str:
    return str(keys.who_signed("releases", KIND, record.signed_text, record.signature))
