"""Promotion: a registered version becomes what serves, in steps that can each be done again, and undone by rollback.

    gate -> copy the bytes and hash them there -> register -> load and draw in a fresh process -> ledger -> alias

What serves changes with the ledger's record, which is written in one step and by one of several promoters; the alias
follows it. A process that is killed anywhere leaves the champion that was, and the same command carries on.
"""

import getpass
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.errors import InputError, WorkFailed
from tasks.files.locks import file_lock
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion, append, read_ledger
from tasks.production.registry import (
    development_registry,
    follow_ledger,
    is_settled,
    mark_revoked,
    mark_settled,
    name_champion,
    open_production,
    placement_problem,
    production_model,
    production_registry,
    register_release,
)
from tasks.production.release import MODEL, Release, assemble, read_release, send
from tasks.production.signatures import sign_ledger, sign_release
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.policy import GateCheck
from tasks.promotion.smoke_test import smoke_test
from tasks.promotion.source import Source
from tasks.registry.versions import REVOKED_TAG
from tasks.signing.keys import all_key_problems, signer_of
from tasks.store.blobs import Blobs
from tasks.store.manifest import Manifest
from tasks.store.models import copy_model, kept_model
from tasks.store.store import open_store

Tell = Callable[[str], None]
UNASKED: Mapping[str, Any] = {"gates": (), "overridden": {}, "approved_by": None, "accepts": (), "signature": None}
"""What a record takes over from none before it."""


class Overtaken(WorkFailed):
    """Another promotion of the same concept was quicker."""


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """What serves now, and whether this call changed it."""

    record: Promotion
    changed: bool


def check_production(settings: Settings) -> Blobs:
    """The production store, seen to work.

    Raises:
        InputError: the store, the key or their combination cannot be used, all problems together; a bucket without
            conditional writes, on which two promoters could write over each other.
        StoreFailed: the store does not answer.
    """
    problems = [problem for problem in (placement_problem(settings), *all_key_problems(settings)) if problem]
    if problems:
        raise InputError(*problems)
    place = open_production(settings)
    place.probe()
    return place


def put_into_production(
    settings: Settings,
    place: Blobs,
    ledger: Ledger,
    source: Source,
    checks: Sequence[GateCheck],
    overridden: Mapping[str, str],
    *,
    reason: str,
    approved_by: str | None,
    tell: Tell = lambda _: None,
) -> Promoted:
    """Have a version serve whose gates have been asked; does only what is not done yet.

    Raises:
        Overtaken: another promotion was recorded since `ledger` was read.
        WorkFailed: bytes did not arrive, the version does not load, MLflow does not answer; what served still serves.
    """
    concept, manifests = source.concept, source.chain.manifests
    with _spool(settings, concept) as folder:
        with development_registry(settings) as client:
            release = assemble(client, source.version, concept, source.content, manifests, folder)
        send(place, release, folder, tell)
        if problems := releases.beside(place, release, tell):
            raise WorkFailed(f"release {place.where(release.place)} cannot serve: {'; '.join(problems)}")
        sign_release(settings, place, release, folder)
    _send_base(settings, place, manifests, tell)
    record = Promotion(
        **next_record(settings, ledger),
        action="promote",
        version=int(source.version.version),
        content=source.content,
        release=release.id,
        stages={stage: manifest.key for stage, manifest in manifests.items()},
        scores={score: dict(asdict(value)) for score, value in source.evaluation.scores.items()},
        gates=tuple(asdict(check) for check in checks),
        overridden=dict(overridden),
        approved_by=approved_by,
        reason=reason,
    )
    tags = {key: value for key, value in source.version.tags.items() if key.startswith("conceptbooth.")}
    return let_serve(settings, place, ledger, release, record, tags, source.version.description or "", tell)


def _send_base(settings: Settings, place: Blobs, manifests: Mapping[str, Manifest], tell: Tell) -> None:
    """Have production hold the base that a release names by its files, once for all of them: it serves from there.

    A base of the hub is named by id and commit; one that the development store never kept, by its digests alone.
    """
    base = next((manifest.base for manifest in manifests.values() if manifest.base), None)
    if base is None or base["revision"] is not None:
        return
    store = open_store(settings)
    kept = kept_model(store, "base", base["digest"])
    if kept and (copied := copy_model(store, kept, place)):
        tell(f"copied {copied} files of base model {base['reference']} to {place.address}")


def roll_back(
    settings: Settings, place: Blobs, concept: str, *, to: int | None, reason: str, tell: Tell = lambda _: None
) -> Promoted:
    """Have an earlier promotion serve again, and keep what served from coming back by itself.

    A rollback that was killed after its record was written is finished, and no second one is made.

    Raises:
        InputError: nothing to go back to, or a record that cannot serve.
        WorkFailed: the earlier version's bytes are not what they were, or do not load; what serves still serves.
    """
    ledger = read_whole_ledger(settings, place, concept)
    now = ledger.head
    if now is None:
        raise InputError(f"concept '{concept}' was never promoted: there is nothing to roll back")
    if to is None and now.action == "rollback" and settle(settings, place, concept, tell):
        tell(f"finished the rollback of record {now.seq}, which had been interrupted")
        return Promoted(record=now, changed=False)
    target = _target(ledger, to)
    if target.content == now.content and now.release:
        settle(settings, place, concept, tell)
        return Promoted(record=now, changed=False)
    release = read_release(place, concept, str(target.release))
    tell(f"hashing {len(release.files)} files in {place.where(release.place)}")
    if problems := releases.unfit(place, release, tell):
        raise WorkFailed(
            f"promotion {target.seq} cannot serve again: {'; '.join(problems)}; "
            f"`conceptbooth rollback {concept} --to SEQ` takes another one"
        )
    record = replace(
        target,
        **next_record(settings, ledger),
        action="rollback",
        withdraws=(now.content,) if now.content else (),
        **UNASKED,
        reason=reason,
    )
    described = f"Promotion {target.seq} of '{concept}', registered again."
    return let_serve(settings, place, ledger, release, record, {}, described, tell)


def let_serve(
    settings: Settings,
    place: Blobs,
    ledger: Ledger,
    release: Release,
    record: Promotion,
    tags: Mapping[str, str],
    description: str,
    tell: Tell,
) -> Promoted:
    """Have a release serve whose bytes are there: register it, load it, enter `record`, and do what follows from that.

    Only the record's production version is not known before. Raises as `put_into_production`.
    """
    name = production_model(settings, ledger.concept)
    with production_registry(settings) as client:
        version = register_release(client, name, release.id, release_source(place, release), tags, description)
        if revoked := client.get_model_version(name, str(version)).tags.get(REVOKED_TAG):
            said = f"{name} version {version} was revoked on {revoked}, whatever the ledger says"
            raise WorkFailed(said, "what was revoked never serves again; name another version")
    now = ledger.serving
    if now and (now.release, now.production_version) == (release.id, version):
        settle(settings, place, ledger.concept, tell)
        return Promoted(record=now, changed=False)
    tell(f"loading {name} version {version} in a fresh process")
    smoke_test(settings, name, version, {name: file.sha256 for name, file in release.below(MODEL).items()})
    record = record_promotion(settings, place, replace(record, production_version=version))
    settle(settings, place, ledger.concept, tell)
    return Promoted(record=record, changed=True)


def settle(settings: Settings, place: Blobs, concept: str, tell: Tell = lambda _: None) -> bool:
    """Do all that follows from the newest record: aliases, signature. False if that had been done to the end.

    Whoever moves an alias looks at the ledger again afterwards: of two promoters the slower one must not put back what
    the ledger no longer says.
    """
    name = production_model(settings, concept)
    while True:
        ledger = read_whole_ledger(settings, place, concept)
        head = ledger.head
        if head is None or not ledger.ever_served:  # no registry knows of it
            sign_ledger(settings, place, ledger)
            return False
        with production_registry(settings) as client:
            settled = is_settled(client, name, head)
            follow_ledger(client, name, head)
            mark_revoked(client, name, ledger)
        if read_ledger(place, concept).head == head:
            break
    sign_ledger(settings, place, ledger)
    try:
        with development_registry(settings) as client:
            name_champion(client, head)
    except (InputError, WorkFailed) as error:  # what serves does not depend on it
        tell(f"the alias champion of the development registry was not moved: {error}")
    with production_registry(settings) as client:
        if not settled:
            mark_settled(client, name, head)
    return not settled


def record_promotion(settings: Settings, place: Blobs, record: Promotion) -> Promotion:
    """Write the record, signed where a key is set; the one that is there if it says the same."""
    record = record.signed_by(signer_of(settings, "releases"))
    if append(place, record):
        return record
    winner = read_ledger(place, record.concept).find(record.seq)
    decisive = ("action", "release", "production_version", "withdraws")
    if all(getattr(winner, name) == getattr(record, name) for name in decisive):
        return winner
    serves = f"version {winner.version}" if winner.release else "nothing"
    raise Overtaken(
        f"concept '{record.concept}': another {winner.action} was recorded meanwhile (record {winner.seq}, by "
        f"{winner.by}): {serves} serves now. Look at `conceptbooth releases {record.concept}`, and run the same "
        "command again if this is still wanted"
    )


def _target(ledger: Ledger, to: int | None) -> Promotion:
    concept = ledger.concept
    if to is None:
        before = ledger.before()
        if before is None:
            raise InputError(f"concept '{concept}': no earlier promotion can serve: `conceptbooth releases {concept}`")
        return before
    target = ledger.find(to)
    if target.release is None:
        raise InputError(f"concept '{concept}': with promotion {to} nothing served; name another one")
    for marked, how in ((ledger.revoked, "revoked"), (ledger.withdrawn, "taken out of production")):
        if target.content in marked:
            record = marked[str(target.content)]
            back = f"`conceptbooth promote {concept} --version {target.version} --override withdrawn --reason ...`"
            raise InputError(
                f"concept '{concept}': promotion {to} (version {target.version}) was {how} by record {record.seq}: "
                f"{record.reason}" + (f"; {back} brings it back" if how != "revoked" else "")
            )
    return target


def release_source(place: Blobs, release: Release) -> str:
    """Address of a release's package as MLflow takes it."""
    where = place.where(f"{release.place}{MODEL}")
    return where if "://" in where else Path(where).as_uri()


def user_and_host() -> str:
    """Who is at work, as records say it."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def next_record(settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """What the next record of a ledger says in any case."""
    return {
        "concept": ledger.concept,
        "seq": len(ledger.records) + 1,
        "model": production_model(settings, ledger.concept),
        "production_version": None,
        "by": user_and_host(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": ledger.head.seal if ledger.head else None,
    }


@contextmanager
def _spool(settings: Settings, concept: str) -> Iterator[Path]:
    """An empty folder; one promotion of a concept at a time on this machine, so that a killed one's can be cleared."""
    folder = settings.home / "releasing" / concept
    with file_lock(settings.home / "locks" / f"promote-{concept}"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
