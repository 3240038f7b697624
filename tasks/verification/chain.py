"""Proof of a chain: every artefact hashed again down to the images, and every link between them compared.

What cannot be checked is a result of its own, and is never counted as good.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from model.errors import InputError, WorkFailed
from tasks.adoption.reliance import check_adoptions
from tasks.jobs.keys import plan_of
from tasks.jobs.kinds import in_lineage
from tasks.lineage.attestations import check_attestations
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.check_results import CheckResult, Verification, fault, good, unchecked, unprovable
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import Ledger, examine_ledger
from tasks.production.registry import open_production
from tasks.production.whole_ledger import standing
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.training_facts import evaluated_content
from tasks.signing.keys import key_problems, public_key_of
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys, load_trusted_keys
from tasks.store.artefacts import SCORES
from tasks.store.blobs import Blobs, StoreFailed
from tasks.store.manifest import KIND, MODELS, Manifest
from tasks.store.store import Damaged, Store
from tasks.verification.images import check_images
from tasks.verification.models import check_models
from tasks.verification.records import check_records
from tasks.verification.releases import check_ledger_signature, check_releases
from tasks.verification.scores import measured_evaluation
from tasks.verification.upgrade_records import Vouched, read_vouched
from tasks.verification.version import check_version


def verify_version(settings: Settings, store: Store, reference: VersionReference) -> Verification:
    """Find the training that is meant, and check everything about it.

    Raises:
        InputError: no such concept, version or alias.
        StoreFailed: it cannot be told what the store holds.
    """
    with open_index(settings, store) as index:
        chain = read_chain(store, index, find_head(settings, store, index, reference))
    return verify(settings, store, chain)


def verify(settings: Settings, store: Store, chain: Chain, *, released: bool = False) -> Verification:
    """Check everything about a chain that can be checked from here; failures are results, not exceptions.

    With `released` also what production holds of it. Promotion asks without: it puts a damaged copy right itself.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    checks: list[CheckResult] = [*check_version(settings, chain)]
    if chain.unread:
        checks += [unchecked(f"{link.stage} {link.key[:12]}", chain.unread) for link in chain.links]
        checks += [
            *_check_production(settings, chain, released=False),
            unchecked("models and images", "which they are could not be read"),
        ]
        return Verification(at=started, seconds=time.monotonic() - clock, checks=tuple(checks), whole=False)
    for problem in dict.fromkeys((*chain.problems, *chain.head.doubts)):
        checks.append(fault("chain", problem))
    keys = load_trusted_keys(settings)
    vouched = read_vouched(store, keys) if keys.asks_for("trainings") or not _all_sealed(chain) else Vouched()
    for manifest in chain.manifests.values():
        checks += _check_files(store, manifest)
        checks += _check_key(manifest, vouched)
        checks += _check_signature(manifest, keys, vouched)
        checks += _check_reads(manifest, chain.manifests)
    checks += check_adoptions(settings, store, chain.manifests)
    checks += check_attestations(settings, store, chain.head.concept, chain.manifests)
    checks += _check_content(chain)
    checks += _check_scores(store, chain)
    checks += _check_production(settings, chain, released=released)
    checks += check_records(settings, store, chain.head.concept, keys)
    checks += check_models(settings, store, chain)
    checks += check_images(settings, chain)
    signed = keys.asks_for("trainings")
    return Verification(at=started, seconds=time.monotonic() - clock, checks=tuple(checks), signed=signed)


def _all_sealed(chain: Chain) -> bool:
    return all(manifest.sealed for manifest in chain.manifests.values())


def _check_files(store: Store, manifest: Manifest) -> Iterator[CheckResult]:
    """Hash each file of an artefact."""
    place = _named(manifest)
    try:
        problems = store.damage(manifest, rehash=True)
    except StoreFailed as failure:
        yield unchecked(f"{place}: {len(manifest.files)} files", str(failure))
        return
    for problem in problems:
        name, _, said = problem.partition(": ")
        yield fault(f"{place}: {name}", said)
    for name in sorted(set(manifest.files) - {problem.partition(": ")[0] for problem in problems}):
        yield good(f"{place}: {name}", "its sha256 is that of the manifest")


def _check_key(manifest: Manifest, vouched: Vouched) -> Iterator[CheckResult]:
    """A key is the hash of everything that could change the result: the manifest must give it again."""
    place = _named(manifest)
    if manifest.sealed:
        yield good(f"{place}: manifest", "its seal is whole")
    elif said := vouched.words(manifest):
        yield unprovable(f"{place}: manifest", f"it was written before manifests were sealed; {said}")
    else:
        said = "it was written before manifests were sealed: what is in no key could have changed"
        yield unchecked(f"{place}: manifest", said)
    plan = plan_of(manifest)
    if plan.key == manifest.key:
        yield good(f"{place}: key", "what the manifest says gives the key again")
    else:
        yield fault(f"{place}: key", f"what the manifest says gives another key, {plan.key[:12]}")


def _check_signature(manifest: Manifest, keys: TrustedKeys, vouched: Vouched) -> Iterator[CheckResult]:
    """Who made it: a key that is trusted with trainings. Where none is, nobody can say."""
    if not keys.asks_for("trainings"):
        return
    what = f"{_named(manifest)}: signature"
    who = keys.who_signed("trainings", KIND, manifest.signed_text, manifest.signature)
    if isinstance(who, TrustedKey):
        yield good(what, f"is by {who}")
    elif manifest.signature is None and (said := vouched.words(manifest)):
        yield unprovable(what, f"it was made before trainings were signed here; {said}")
    else:
        hint = "; `conceptbooth upgrade` vouches for what is of before" if manifest.signature is None else ""
        yield fault(what, f"{who}: whoever can write to the store can have made it{hint}")


def _check_scores(store: Store, chain: Chain) -> Iterator[CheckResult]:
    """The scores on record are those that the stored embeddings give."""
    evaluation = chain.manifests.get("evaluate")
    if evaluation is None or SCORES not in evaluation.files:
        return
    try:
        yield from measured_evaluation(store, evaluation).checks
    except Damaged:
        return  # its files were named
    except (StoreFailed, ValueError, KeyError, TypeError) as failure:
        yield unchecked(f"{_named(evaluation)}: scores", f"cannot be derived again: {failure}")


def _check_reads(manifest: Manifest, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    """What a stage says it read is what the earlier stage left."""
    for entry in manifest.inputs:
        link = f"{_named(manifest)} <- {entry.kind}"
        source = manifests.get(entry.kind)
        if source is not None:
            if entry.key != source.key:
                yield fault(link, f"read {entry.key[:12]}, and the chain holds {source.key[:12]}")
            elif entry.digest != source.digest():
                yield fault(link, f"read files with digest {entry.digest[:12]}, there are {source.digest()[:12]} now")
            else:
                yield good(link, "read what that stage left")
        elif entry.kind in MODELS:
            model = manifest.models.get(entry.kind)
            if model is None:
                yield unchecked(link, "its manifest does not say which files the model had")
            elif model["digest"] != entry.digest:
                yield fault(link, f"read {entry.digest[:12]}, and its manifest describes {model['digest'][:12]}")
        elif in_lineage(entry.kind):
            yield unchecked(link, "what it read cannot be found")


def _check_content(chain: Chain) -> Iterator[CheckResult]:
    """The key by which the content is registered comes from the last stage and the evaluation."""
    evaluation = chain.manifests.get("evaluate")
    if chain.head.content is None or evaluation is None:
        return
    given = evaluated_content(evaluation)
    if given == chain.head.content:
        yield good("content", "the evaluation's manifest gives the key that is registered")
    else:
        yield fault("content", f"registered as {chain.head.content[:12]}, and the manifests give {given[:12]}")


def _check_production(settings: Settings, chain: Chain, *, released: bool) -> Iterator[CheckResult]:
    """The concept's production ledger, and with `released` what production holds of this content."""
    try:
        place = open_production(settings)
        ledger, problems = examine_ledger(place, chain.head.concept)
    except (StoreFailed, InputError) as failure:
        yield unchecked("ledger", str(failure))
        return
    yield from _check_ledger(chain, ledger, problems)
    if ledger.records and not problems:
        yield from _check_standing(settings, place, ledger)
    of_this = [record for record in ledger.records if record.content == chain.head.content and record.release]
    if not (released and of_this):
        return
    unusable = key_problems(settings, "releases")
    if unusable:
        yield unchecked("ledger and releases: signatures", "; ".join(unusable))
    key = public_key_of(settings) if settings.signing_key and not unusable else None
    try:
        if not problems:
            yield from check_ledger_signature(place, ledger, key)
        yield from check_releases(place, of_this, key)
    except StoreFailed as failure:
        yield unchecked("releases", str(failure))


def _check_ledger(chain: Chain, ledger: Ledger, problems: Sequence[str]) -> Iterator[CheckResult]:
    """It is a whole chain, and its records of this content name these artefacts."""
    for problem in problems:
        yield fault("ledger", problem.removeprefix("ledger "))
    if ledger.records and not problems:
        yield good("ledger", f"its {len(ledger.records)} records follow each other")
    keys = {link.stage: link.key for link in chain.links}
    for record in (record for record in ledger.records if record.content == chain.head.content):
        what = f"ledger record {record.seq}"
        other = sorted(stage for stage, key in record.stages.items() if keys.get(stage, key) != key)
        yield (
            fault(what, f"names other artefacts: {', '.join(other)}") if other else good(what, "names these artefacts")
        )


def _check_standing(settings: Settings, place: Blobs, ledger: Ledger) -> Iterator[CheckResult]:
    """It is all that was ever written, as far as registry and keys can tell."""
    what = "ledger: its end"
    try:
        found = standing(settings, place, ledger)
    except (InputError, WorkFailed) as failure:
        yield unchecked(what, f"whether it was cut off could not be asked: {failure}")
        return
    for doubt in found.doubts:
        yield fault(what, doubt.removeprefix("ledger "))
    if not found.doubts:
        yield good(what, "registry and keys know of no other record")


def _named(manifest: Manifest) -> str:
    return f"{manifest.stage} {manifest.key[:12]}"
