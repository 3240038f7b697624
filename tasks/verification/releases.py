"""What a production store proves about itself: with the public key alone, without registry, project or network.

Every ledger is followed from record to record; every release that a ledger names is hashed file by file, its signature
verified, and the manifests in it compared with each other and with the weights.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from model.errors import InputError
from tasks.lineage.check_results import CheckResult, Verification, fault, good, unchecked
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion, concepts_in, examine_ledger
from tasks.production.release import LINEAGE, MODEL, PROVENANCE, Release, read_release
from tasks.production.signatures import (
    NotSigned,
    ledger_documents,
    ledger_signature_path,
    release_signature_path,
    verify,
    verify_documents,
)
from tasks.registry.package_listing import BYTECODE, MLFLOW_NOTE, is_mlflow_note
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
    first: dict[str, Promotion] = {}
    for record in records:
        if record.release:
            first.setdefault(record.release, record)
    for identity, record in first.items():
        yield from _release(place, record, identity, public_key)


def check_ledger_signature(place: Blobs, ledger: Ledger, public_key: bytes | None) -> Iterator[CheckResult]:
    """The signature over a ledger; without a key one that is there stays unchecked, and none is asked for."""

    def hold(signature: bytes, key: bytes) -> None:
        verify_documents(ledger_documents(ledger), signature, key)

    path = ledger_signature_path(ledger.concept)
    yield from _signature(place, f"ledger of {ledger.concept}", path, public_key, hold, "over every record")


def _signature(
    place: Blobs, of: str, path: str, public_key: bytes | None, hold: Callable[[bytes, bytes], None], over: str
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
            hold(signature.content, public_key)
            yield good(what, f"is the key's, {over}")
        except NotSigned as error:
            yield fault(what, str(error))


def _release(place: Blobs, record: Promotion, identity: str, public_key: bytes | None) -> Iterator[CheckResult]:
    what = f"release {record.concept}/{identity[:16]}"
    try:
        release = read_release(place, record.concept, identity)
    except InputError as error:
        yield fault(what, str(error))
        return
    problems = releases.damage(place, release)
    for problem in problems:
        yield fault(what, problem)
    for name in releases.strangers(place, release):
        if BYTECODE in name.split("/"):
            yield unchecked(f"{what}: {name}", "was left there by a Python that loaded the folder, and is not signed")
        elif name == _NOTE and (note := place.read(f"{release.place}{name}")) and is_mlflow_note(note.content):
            yield unchecked(f"{what}: {name}", "was left there by an MLflow that loaded the folder, and is not signed")
        else:
            yield fault(f"{what}: {name}", "is no part of the release, and whoever loads the folder may load it")
    if problems:
        yield unchecked(f"{what}: signature and lineage", "its files are not what they were")
        return
    yield good(what, f"{len(release.files)} files are what release.json says")
    with TemporaryDirectory() as folder:
        releases.fetch(place, release, Path(folder))
        yield from _release_signature(place, release, Path(folder), public_key)
        yield from _lineage(record, release, Path(folder))


def _release_signature(place: Blobs, release: Release, folder: Path, public_key: bytes | None) -> Iterator[CheckResult]:
    def hold(signature: bytes, key: bytes) -> None:
        verify(folder, signature, key)

    what, path = f"release {release.concept}/{release.id[:16]}", release_signature_path(release)
    yield from _signature(place, what, path, public_key, hold, "over every file")


def _lineage(record: Promotion, release: Release, folder: Path) -> Iterator[CheckResult]:
    """The manifests fit each other, the ledger's record and the weights that are loaded."""
    what = f"release {record.concept}/{release.id[:16]}"
    manifests: dict[str, Manifest] = {}
    for path in sorted((folder / LINEAGE).iterdir()):
        try:
            manifests[path.stem] = Manifest.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            yield fault(f"{what}: {LINEAGE}/{path.name}", str(error))
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
    statement = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    said = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    package = {n.removeprefix(f"{MODEL}/"): r.sha256 for n, r in release.files.items() if n.startswith(f"{MODEL}/")}
    if said == package:
        yield good(f"{what}: provenance", "is about the files of the package")
    else:
        yield fault(f"{what}: provenance", "is about other files than those of the package")


def _links(what: str, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    for stage, manifest in manifests.items():
        for entry in manifest.inputs:
            source = manifests.get(entry.kind)
            if source and (entry.key, entry.digest) != (source.key, source.digest()):
                yield fault(f"{what}: {stage} <- {entry.kind}", "it read something else than that stage left")
