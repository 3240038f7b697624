"""Records of the store that are damaged or of before there were seals, written again: from each other, from manifests,
from the registry. Of a takedown there is no other source: it is named, and left to whoever has a copy.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from model.errors import InputError, WorkFailed
from tasks.concepts.takedown_records import KIND as TAKEDOWN
from tasks.concepts.takedown_records import SCHEMA as TAKEDOWN_SCHEMA
from tasks.concepts.takedown_records import TAKEDOWNS
from tasks.jobs.keys import plan_of
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.head import find_head_of
from tasks.lineage.index import open_index
from tasks.plan.failures import Failures
from tasks.plan.last_training import FinishedStage, LastTraining
from tasks.project.settings import Settings
from tasks.registry.store_records import (
    ADDRESS,
    REGISTRIES,
    address_path,
    address_record,
    registry_folder,
    registry_id,
)
from tasks.registry.training_facts import SCORE_NAMES
from tasks.registry.version_records import VersionRecord, remember_version
from tasks.registry.versions import TAGS, model_name
from tasks.signing.keys import Signer
from tasks.store.manifest import SCHEMA as MANIFEST_SCHEMA
from tasks.store.sealed import sealed, unsealed
from tasks.store.sealed_chain import chain_path, read_chain_records
from tasks.store.store import Store
from tasks.tracking.client import connect, sorted_failures
from tasks.verification.records import RecordsFound


@dataclass(frozen=True, kw_only=True)
class Mended:
    """What became of one record, or would."""

    path: str
    state: Literal["sealed", "mended", "lost"]
    """`lost`: it is damaged, and nothing here tells what it said."""
    said: str = ""


def seal_records(store: Store, found: RecordsFound, *, release: Signer | None, dry_run: bool) -> Iterator[Mended]:
    """Seal the records of before there were seals, as they are now; each follows the one before it of its kind."""
    written = _sealed(store, found.unsealed, release)
    for path, content in written.items():
        if not dry_run:
            store.write_record(path, content)
        yield Mended(path=path, state="sealed")


def _sealed(store: Store, paths: Iterable[str], release: Signer | None) -> dict[str, bytes]:
    paths = list(paths)
    read = {path: record.content for path, record in store.read_records(paths).items()}
    written: dict[str, bytes] = {}
    trained = {path: LastTraining.read(content) for path, content in read.items() if path.endswith(".jsonl")}
    for concept in sorted({record.concept for record in trained.values()}):
        same = {path: record for path, record in trained.items() if record.concept == concept}
        previous = None
        for body in dict.fromkeys(r.body for r in sorted(same.values(), key=lambda record: record.at)):
            record = next(record for record in same.values() if record.body == body)
            document = replace(record, previous=previous).to_json(store.record_signer)
            previous = LastTraining.read(document).seal.digest  # type: ignore[union-attr]
            written |= {path: document for path, record in same.items() if record.body == body}
    before: dict[str, str | None] = {}
    for path in sorted(set(read) - set(trained)):
        folder, _, name = path.rpartition("/")
        if path.startswith(TAKEDOWNS):
            continue
        if path.startswith(REGISTRIES) and name != ADDRESS:
            version = VersionRecord.from_json(read[path])
            written[path] = replace(version, previous=before.get(folder)).to_json(store.record_signer)
            before[folder] = str(unsealed(written[path])[1].digest)  # type: ignore[union-attr]
        elif name == ADDRESS:
            written[path] = sealed("registry", {"schema": 2, **unsealed(read[path])[0]})
        elif failures := Failures.from_json(read[path]):
            written[path] = failures.to_json()
    return written | _sealed_takedowns(store, release)


def _sealed_takedowns(store: Store, release: Signer | None) -> dict[str, bytes]:
    """Of before there were seals, unless a sealed one follows, which then holds them: their bytes are what it names."""
    links = read_chain_records(store, TAKEDOWNS).links
    newest = max((link.number for link in links if link.seal), default=0)
    written: dict[str, bytes] = {}
    previous = next((link.mark for link in links if link.number == newest), None)
    for link in links:
        if link.number > newest:
            content = {**link.content, "schema": TAKEDOWN_SCHEMA, "previous": previous}
            path = chain_path(TAKEDOWNS, link.number)
            written[path] = sealed(TAKEDOWN, content, release)
            previous = unsealed(written[path])[1].digest  # type: ignore[union-attr]
    return written


def mend_records(settings: Settings, store: Store, found: RecordsFound, *, dry_run: bool) -> Iterator[Mended]:
    """Write damaged records again, where something else tells what they said. Raises StoreFailed."""
    ours = registry_folder(registry_id(settings))
    for path, problem in sorted(found.problems.items()):
        name = path.rpartition("/")[2]
        if name.endswith(".jsonl"):
            yield _training(settings, store, path, problem, found, dry_run)
        elif path == address_path(settings):
            if not dry_run:
                store.write_record(path, address_record(settings))
            yield Mended(path=path, state="mended", said=f"{problem}; from the settings")
        elif path.startswith(ours):
            yield _version(settings, store, path, problem, dry_run)
        elif "/failures-" in path:
            if not dry_run:
                store.delete_record(path)
            yield Mended(path=path, state="mended", said=f"{problem}; failures are counted anew")
        else:
            whose = "another project's: run it there" if path.startswith(REGISTRIES) else "put it back from a copy"
            yield Mended(path=path, state="lost", said=f"{problem}; {whose}")


def _training(settings: Settings, store: Store, path: str, problem: str, found: RecordsFound, dry_run: bool) -> Mended:
    """From another whole record of the same training, else from the manifests of its stages."""
    parts = path.split("/")
    concept = parts[1] if path.startswith("concepts/") else parts[2]
    content = parts[-1].removesuffix(".jsonl") if path.startswith(REGISTRIES) else None
    listed = [p for p in store.records(REGISTRIES) if p.split("/")[2:3] == [concept] and p.endswith(".jsonl")]
    others = {p: r.content for p, r in store.read_records([*listed, f"concepts/{concept}/trained.jsonl"]).items()}
    whole = {
        p: record
        for p, c in others.items()
        if p != path and p not in found.problems and (record := LastTraining.from_json(c))
    }
    fit = [(record.at, p) for p, record in whole.items() if content in (None, record.content)]
    if fit:
        source = max(fit)[1]
        if not dry_run:
            store.write_record(path, others[source])
        return Mended(path=path, state="mended", said=f"{problem}; from {source}")
    try:
        trained = _from_manifests(settings, store, concept, content)
    except (InputError, WorkFailed) as error:
        return Mended(path=path, state="lost", said=f"{problem}; nor is it in the manifests: {error}")
    if trained is None:
        again = f"`conceptbooth train {concept}` writes it again"
        return Mended(path=path, state="lost", said=f"{problem}; the store has no manifests of this training; {again}")
    if not dry_run:
        store.write_record(path, trained.to_json(store.record_signer))
    return Mended(path=path, state="mended", said=f"{problem}; from the manifests of its stages")


def _from_manifests(settings: Settings, store: Store, concept: str, content: str | None) -> LastTraining | None:
    with open_index(settings, store) as index:
        newest = next((t.content for t in index.trainings_of(concept) if t.content), None)
        wanted = content or newest
        head = find_head_of(settings, store, index, concept, wanted) if wanted else None
        chain = read_chain(store, index, head) if head else None
    return _trained(chain) if chain and chain.scores and "prepare" in chain.manifests else None


def _trained(chain: Chain) -> LastTraining:
    manifests = chain.manifests
    facts = {
        stage: {name: value for name, value in plan_of(manifest).facts().items() if name != "stage"}
        for stage, manifest in manifests.items()
    }
    assert chain.scores is not None
    return LastTraining(
        concept=chain.head.concept,
        at=max(manifest.created for manifest in manifests.values()),
        manifest_schema=MANIFEST_SCHEMA,
        images={image["made_from"]: image["md5"] for image in chain.images},
        content=chain.head.content or "",
        version=chain.head.version,
        scores={name: chain.scores[name] for name in SCORE_NAMES},
        stages=tuple(
            FinishedStage(
                stage=stage,
                key=manifest.key,
                digest=manifest.digest(),
                files={name: (record.sha256, record.size) for name, record in manifest.files.items()},
            )
            for stage, manifest in manifests.items()
        ),
        facts_json=json.dumps(facts, sort_keys=True, allow_nan=False, default=dict),
    )


def _version(settings: Settings, store: Store, path: str, problem: str, dry_run: bool) -> Mended:
    """From the registry itself, as long as it has the version."""
    from mlflow.exceptions import MlflowException

    concept, number = path.split("/")[2], int(path.rpartition("/")[2].removesuffix(".json"))
    client = connect(settings)
    with sorted_failures(settings):
        try:
            version = client.get_model_version(model_name(concept), str(number))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            said = f"{problem}; and the registry has no version {number} of it"
            return Mended(path=path, state="lost", said=said)
    told: Mapping[str, str] = {name: value for name, value in version.tags.items() if name.startswith(TAGS)}
    if not dry_run:
        remember_version(store, settings, version, told)
    return Mended(path=path, state="mended", said=f"{problem}; from the registry")
