"""The record of an adoption: written once it is proved, signed where a key is set, and taken back by a further one."""

import getpass
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tasks.adoption.candidates import Candidate, Chosen, Claim, follows
from tasks.adoption.proof import MARGINS, ConceptProof
from tasks.jobs.adoptions import ADOPTIONS, KIND, Adoption, Adoptions, read_adoptions, scope_of
from tasks.project.settings import Settings
from tasks.signing.keys import signer_of
from tasks.store.sealed_chain import append_record
from tasks.store.store import Store


class AlreadyAdopted(Exception):
    """Another process was quicker; `record` is its."""

    def __init__(self, record: Adoption) -> None:
        super().__init__(f"adoption {record.number}")
        self.record = record


def write_adoption(
    settings: Settings, store: Store, chosen: Sequence[Chosen], proofs: Sequence[ConceptProof], reason: str
) -> Adoption:
    """Put on record what was proved; of two at once one wins.

    Raises:
        AlreadyAdopted: all of it is on record by now.
        StoreFailed: the store does not answer; nothing is written, or all of it.
    """
    proved, workings = _proved(chosen)

    def made(adoptions: Adoptions) -> dict[str, Any]:
        for record in adoptions.in_force:
            if all(any(_same(entry, other) for other in record.proved) for entry in proved):
                raise AlreadyAdopted(record)
        return {
            "action": "adopt",
            "proved": tuple(proved),
            "workings": workings,
            "concepts": tuple(proof.to_json() for proof in proofs),
            "margins": MARGINS if any(proof.agreement != "bit for bit" for proof in proofs) else {},
        }

    return _append(settings, store, made, reason)


def take_back(settings: Settings, store: Store, number: int, reason: str) -> Adoption:
    """Put on record that an adoption is taken back: what it let count does not any more.

    Raises:
        InputError: no such adoption is in force.
        StoreFailed: the store does not answer.
    """
    read_adoptions(store).find(number)
    return _append(
        settings, store, lambda adoptions: {"action": "undo", "undoes": adoptions.find(number).number}, reason
    )


def _append(settings: Settings, store: Store, made: Callable[[Adoptions], dict[str, Any]], reason: str) -> Adoption:
    """Write the next record: signed, where a key is set, from the moment that it is there."""
    written: list[Adoption] = []

    def make(number: int) -> dict[str, Any]:
        record = Adoption(
            number=number,
            by=f"{getpass.getuser()}@{socket.gethostname()}",
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            reason=reason,
            **made(read_adoptions(store)),
        )
        written.append(record)
        return record.content()

    append_record(store, ADOPTIONS, KIND, make, signer_of(settings, "releases"))
    return written[-1]


def _proved(chosen: Sequence[Chosen]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is proved, each with the concepts that proved it, and the workings that it speaks of."""
    entries: dict[Claim, dict[str, Any]] = {}
    workings: dict[str, Any] = {}
    for each in chosen:
        for claim, (done, plan) in each.candidate.claims.items():
            names = {"old": claim.old, "new": claim.new}
            entry = entries.setdefault(claim, {"scope": scope_of(plan), **names, "concepts": []})
            entry["concepts"].append(each.candidate.name)
            for name, stage in ((claim.old, done), (claim.new, plan)):
                workings.setdefault(name, {"code": dict(stage.code), "packages": dict(stage.packages)})
    return list(entries.values()), workings


def kept_by(candidates: Sequence[Candidate], chosen: Sequence[Chosen], adoptions: Adoptions) -> list[str]:
    """Concepts of which everything is proved."""
    proved = {claim for each in chosen for claim in each.candidate.claims}
    return [
        candidate.name
        for candidate in candidates
        if all(
            claim in proved or any(follows(claim, other, adoptions) for other in proved) for claim in candidate.claims
        )
    ]


def _same(entry: dict[str, Any], other: Any) -> bool:
    return all(entry[name] == other[name] for name in ("scope", "old", "new"))
