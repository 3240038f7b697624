"""Attesting that a concept's artefacts, made before anything was committed, are what the newest commit's files give.

Nothing is taken on trust: the keys are computed anew from the files as they are, the files are compared with the
commit's blobs, and both must hold while git's newest commit stays the same.
"""

import getpass
import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from model.errors import InputError
from tasks.concepts.concepts import CONCEPT_FILE
from tasks.concepts.image_origins import ORIGINS_FILE
from tasks.concepts.image_sets import record_file
from tasks.execution.manifest_facts import stated_facts
from tasks.jobs.code_digest import ALL, PROJECT, code_digests
from tasks.jobs.jobs import Job, plan_jobs
from tasks.lineage.attestations import KIND, Attestation, attestations_of, chain_of, read_attestations, uncommitted
from tasks.project.git import committed_blobs, git_facts
from tasks.project.settings import Settings
from tasks.signing.keys import signer_of
from tasks.store.manifest import Manifest
from tasks.store.sealed_chain import append_record
from tasks.store.store import Store


def attest(settings: Settings, store: Store, names: Iterable[str]) -> list[Attestation]:
    """Write a record for each of these concepts whose artefacts were made from files that are committed only now.

    Where anything differs, or cannot be told, nothing is written: the gate says what is missing.

    Raises StoreFailed.
    """
    commit = _clean_commit(settings)
    if commit is None:
        return []
    code_digests.cache_clear()  # the files of now count, not those of when this process began
    written = []
    for name in names:
        try:
            (job,) = plan_jobs(settings, [name])
        except InputError:
            continue  # whoever trains it is told
        record = _attest_one(settings, store, job, commit)
        written += [record] if record else []
    return written


def _attest_one(settings: Settings, store: Store, job: Job, commit: str) -> Attestation | None:
    concept = job.concept.name
    plans = {(plan.stage, plan.key) for plan in job.stages if plan.stage not in job.adopted}
    read = store.read_all(plans)
    manifests = {found.stage: found for found in read.values() if isinstance(found, Manifest)}
    needy = {stage: manifest for stage, manifest in manifests.items() if uncommitted(manifest)}
    if not needy or job.images.state != "committed":
        return None
    done = attestations_of(settings, store, concept, needy)
    if {stage for attested in done if not attested.unsigned for stage in attested.stages} >= needy.keys():
        return None
    if read_attestations(store, concept)[1]:
        return None  # nothing is built on records that were changed
    stated = stated_facts(job.concept)
    if any(manifest.stated and manifest.stated != stated for manifest in needy.values()):
        return None  # it says of its images what the commit does not
    blobs = committed_blobs(settings.root, commit, _files(settings, job, needy.values()))
    if blobs is None or _clean_commit(settings) != commit:
        return None
    (again,) = plan_jobs(settings, [concept])  # of files that were put back between the two looks
    if [plan.key for plan in again.stages] != [plan.key for plan in job.stages]:
        return None
    at = datetime.now(UTC).isoformat(timespec="seconds")
    stages = {stage: {"key": manifest.key, "digest": manifest.digest()} for stage, manifest in needy.items()}
    made: list[Attestation] = []

    def make(number: int) -> dict[str, object]:
        record = Attestation(
            concept=concept,
            number=number,
            commit=commit,
            image_set=job.images.digest,
            stages=stages,
            files=blobs,
            by=f"{getpass.getuser()}@{socket.gethostname()}",
            at=at,
        )
        made.append(record)
        return record.content()

    signer = signer_of(settings, "trainings") or signer_of(settings, "releases")
    append_record(store, chain_of(concept), KIND, make, signer)
    return made[-1]


def _clean_commit(settings: Settings) -> str | None:
    """The newest commit, where no tracked file differs from it; else None."""
    facts = git_facts(settings.root)
    return str(facts["commit"]) if facts and not facts["dirty"] else None


def _files(settings: Settings, job: Job, manifests: Iterable[Manifest]) -> list[Path]:
    """The files that decide the keys and what is said of the images; models and images count by their digests."""
    concept, record = job.concept, record_file(settings, job.concept)
    files = [concept.folder / CONCEPT_FILE, settings.params_file, settings.root / job.recipe.params.evaluation.prompts]
    files += [record] if record else []
    files += [origins] if (origins := concept.folder / ORIGINS_FILE).exists() else []
    if PROJECT.is_relative_to(os.path.realpath(settings.root)):  # code that is installed is told by its digest alone
        code = {name for manifest in manifests for name in manifest.code if name != ALL}
        files += [PROJECT / name for name in sorted(code) if (PROJECT / name).is_file()]
    return files
