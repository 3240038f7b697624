"""What a production store proves about itself: with the public key alone, without registry, project or network.

Every ledger is followed from record to record. Of every release that a ledger names the signature is verified first,
by what release.json says; then it is hashed file by file where it lies, and the manifests in it are compared with each
other and with the weights. Nothing of it is written anywhere or run, and a file that is not listed is a fault.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from model.errors import InputError
from tasks.lineage.check_results import CheckResult, Verification, fault, good, unchecked
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion, concepts_in, examine_ledger
from tasks.production.release import LINEAGE, MODEL, PROVENANCE, Release, read_release
from tasks.production.signatures import (
    NotSigned,
    hashes_of_documents,
    ledger_documents,
    ledger_signature_path,
    release_signature_path,
    verify_signature,
)
from tasks.registry.package_listing import MLFLOW_NOTE, REMOVE_IT, is_bytecode, mlflow_note
from tasks.store.artefacts import WEIGHTS
from tasks.store.blobs import Blobs
from tasks.store.manifest import Manifest

_PACKAGED_WEIGHTS = f"{MODEL}/artifacts/{WEIGHTS}"
_NOTE = f"{MODEL}/{MLFLOW_NOTE}"


def check_place(place: Blobs, public_key: bytes) -> Verification:
    """Check all that a production store holds; failures are results.

    Raises:
        InputError: nothing was ever promoted there.
        StoreFailed: it cannot be read.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    concepts = concepts_in(place)
    if not concepts:
        raise InputError(f"{place.address} holds no ledger: nothing was ever promoted there")
    checks: list[CheckResult] = []
    for concept in concepts:
        ledger, problems = examine_ledger(place, concept)
        checks += [fault(f"ledger of {concept}", problem) for problem in problems]
        if not problems:
            checks.append(good(f"ledger of {concept}", f"{len(ledger.records)} records follow one another"))
            checks += check_ledger_signature(place, ledger, public_key)
        checks += check_releases(place, ledger.records, public_key)
    return Verification(at=started, seconds=time.monotonic() - clock, checks=tuple(checks))


def check_releases(place: Blobs, records: Iterable[Promotion], public_key: bytes | None) -> Iterator[CheckResult]:
    """Every release that these records name: its files, its manifests, its signature (`check_ledger_signature`)."""
    naming: dict[str, list[Promotion]] = {}
    for record in records:
        if record.release:
            naming.setdefault(record.release, []).append(record)
    for identity, those in naming.items():
        try:
            yield from _release(place, those, identity, public_key)
        except InputError as error:  # of a name or a file by which nothing is read
            yield fault(f"release {those[0].concept}/{identity[:16]}", str(error))


def check_ledger_signature(place: Blobs, ledger: Ledger, public_key: bytes | None) -> Iterator[CheckResult]:
    """The signature over a ledger; without a key one that is there stays unchecked, and none is asked for."""
    of, path = f"ledger of {ledger.concept}", ledger_signature_path(ledger.concept)
    hashes = hashes_of_documents(ledger_documents(ledger))
    yield from _signature(place, of, path, public_key, hashes, "over every record")


def _signature(
    place: Blobs, of: str, path: str, public_key: bytes | None, hashes: Mapping[str, str], over: str
) -> Iterator[CheckResult]:
    what = f"{of}: signature"
    signature = place.read(path)
    if public_key is None:
        if signature is not None:
            yield unchecked(what, "no signing key is set here; `conceptbooth verify-release` takes its public half")
    elif signature is None:
        yield fault(what, f"missing ({place.where(path)})")
    else:
        try:
            verify_signature(hashes, signature.content, public_key)
            yield good(what, f"is the key's, {over}")
        except NotSigned as error:
            yield fault(what, str(error))


def _release(
    place: Blobs, records: Sequence[Promotion], identity: str, public_key: bytes | None
) -> Iterator[CheckResult]:
    """One release that these records name: first whose it is, by what was read, and then all that it says is there."""
    concept = records[0].concept
    what = f"release {concept}/{identity[:16]}"
    try:
        release = read_release(place, concept, identity)
    except InputError as error:
        yield fault(what, str(error))
        return
    path = release_signature_path(release)
    yield from _signature(place, what, path, public_key, release.hashes, "over every file")
    problems = releases.damage(place, release)
    for problem in problems:
        yield fault(what, problem)
    for name in releases.strangers(place, release):
        yield _stranger(place, records, release, name)
    if problems:
        yield unchecked(f"{what}: lineage", "its files are not what they were")
        return
    yield good(what, f"{len(release.files)} files are what release.json says")
    yield from _lineage(place, what, records[0], release)


def _stranger(place: Blobs, records: Sequence[Promotion], release: Release, name: str) -> CheckResult:
    """A file that is not listed: a fault, but for the note by which MLflow says as what it loaded the folder."""
    what = f"release {release.concept}/{release.id[:16]}: {name}"
    if name == _NOTE and (note := place.read(f"{release.place}{name}")):
        named = {(record.model, str(record.production_version)) for record in records}
        if mlflow_note(note.content) in named:
            return good(what, "says the name and version by which MLflow has loaded it, as the ledger does")
        return fault(what, "is no part of the release, and names another model than the ledger does")
    if is_bytecode(name):
        return fault(what, f"is no part of the release, and Python would run it in the place of its code: {REMOVE_IT}")
    return fault(what, "is no part of the release, and whoever loads the folder may load it")


def _lineage(place: Blobs, what: str, record: Promotion, release: Release) -> Iterator[CheckResult]:
    """The manifests fit each other, the ledger's record and the weights that are loaded."""
    manifests: dict[str, Manifest] = {}
    names = sorted(release.below(LINEAGE))
    if not names:
        said = f"it has no folder {LINEAGE}/: what it was made from cannot be told"
        yield fault(f"{what}: lineage", said)
        return
    for name in names:
        try:
            text = releases.read_file(place, release, f"{LINEAGE}/{name}").decode()
            manifests[name.removesuffix(".json")] = Manifest.from_json(text)
        except (ValueError, InputError, RecursionError) as error:
            yield fault(f"{what}: {LINEAGE}/{name}", str(error))
    keys = {stage: manifest.key for stage, manifest in manifests.items()}
    if keys == dict(record.stages):
        yield good(f"{what}: lineage", f"{len(keys)} stages, as record {record.seq} of the ledger names them")
    else:
        yield fault(f"{what}: lineage", f"its stages are not those that record {record.seq} of the ledger names")
    yield from _links(what, manifests)
    last = max((stage for stage in manifests if stage.startswith("train-")), default=None)
    weights = release.files.get(_PACKAGED_WEIGHTS)
    made = manifests[last].files.get(WEIGHTS) if last else None
    if weights and made and weights.sha256 == made.sha256:
        yield good(f"{what}: weights", f"are those that {last} left")
    else:
        yield fault(f"{what}: weights", f"are not those that {last or 'a training stage'} left")
    yield _provenance(place, what, release)


def _provenance(place: Blobs, what: str, release: Release) -> CheckResult:
    try:
        statement = json.loads(releases.read_file(place, release, PROVENANCE))
        said = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except InputError as error:
        return fault(f"{what}: provenance", str(error))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return fault(f"{what}: provenance", f"is no statement: {error or type(error).__name__}")
    if said == {name: record.sha256 for name, record in release.below(MODEL).items()}:
        return good(f"{what}: provenance", "is about the files of the package")
    return fault(f"{what}: provenance", "is about other files than those of the package")


def _links(what: str, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    for stage, manifest in manifests.items():
        for entry in manifest.inputs:
            source = manifests.get(entry.kind)
            if source and (entry.key, entry.digest) != (source.key, source.digest()):
                yield fault(f"{what}: {stage} <- {entry.kind}", "it read something else than that stage left")
