"""`conceptbooth adopt`: prove on a few concepts that an upgrade changes nothing, and keep what was trained of all."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flows.adoption.report import Adopting, adoption_document, show_adopted, show_choice, show_differences
from flows.output.console import DONE, FAILED, notices, print_json, results
from flows.output.progress import TerminalReporter
from flows.training.from_scratch import make_from_scratch
from model.errors import InputError
from tasks.adoption.candidates import Chosen, choose_concepts, find_candidates, unproved
from tasks.adoption.proof import ConceptProof, compare_trainings
from tasks.adoption.records import AlreadyAdopted, kept_by, take_back, write_adoption
from tasks.concepts.concepts import NOT_STATED, concept_names
from tasks.execution.preflight import check_jobs
from tasks.files.hashing import digest_of
from tasks.files.locks import file_lock
from tasks.jobs.adoptions import read_adoptions
from tasks.plan.plan import make_plan
from tasks.project.settings import Settings
from tasks.promotion.policy import POLICY_FILE, load_policy
from tasks.signing.keys import key_problems
from tasks.store.store import Store, open_store


def run_adopt(settings: Settings, *, prove: int, reason: str | None, dry_run: bool, as_json: bool) -> int:
    """Train a few concepts anew, compare, and put on record that all count as made by today's code; the exit code.

    Raises:
        InputError: nothing to adopt, too few concepts that can prove it, no reason where the policy asks for one, a
            signing key that cannot be used; nothing was done.
        WorkFailed: store or training failed; nothing is adopted, and the same command carries on.
    """
    store, said = open_store(settings), _reason(settings, reason)
    if not dry_run:
        store.probe()
    plan = make_plan(settings, concept_names(settings))
    candidates, adoptions = find_candidates(plan), read_adoptions(store)
    chosen, problems = choose_concepts(store, candidates, unproved(candidates, adoptions), prove)
    adopting = Adopting(
        plan=plan,
        candidates=candidates,
        chosen=chosen,
        keeps=tuple(kept_by(candidates, chosen, adoptions)),
        problems=tuple(problems),
    )
    if not as_json:
        show_choice(adopting, dry_run=dry_run)
    if dry_run:
        if as_json:
            print_json(adoption_document(adopting, dry_run=True))
        return DONE
    check_jobs(settings, [each.candidate.job for each in chosen])
    with _scratch(settings, chosen) as folder:
        proofs = [_proved(settings, store, each, folder / each.candidate.name) for each in chosen]
        if any(proof.differences for proof in proofs):
            if as_json:
                print_json(adoption_document(adopting, proofs=proofs))
            else:
                show_differences(proofs)
            return FAILED
        try:
            record, overtaken = write_adoption(settings, store, chosen, proofs, said), False
        except AlreadyAdopted as other:
            record, overtaken = other.record, True
    if as_json:
        print_json(adoption_document(adopting, proofs=proofs, record=record, overtaken=overtaken))
    else:
        show_adopted(adopting, proofs, record, overtaken=overtaken)
    return DONE


def run_undo(settings: Settings, seq: int, *, reason: str | None, as_json: bool) -> int:
    """Take an adoption back.

    Raises:
        InputError: no such adoption is in force, or no reason where the policy asks for one.
        StoreFailed: the store does not answer.
    """
    store, said = open_store(settings), _reason(settings, reason)
    record = take_back(settings, store, seq, said)
    if as_json:
        print_json({"record": record.number, "undoes": seq})
    else:
        results().print(f"Adoption {seq} is taken back (record {record.number}): the plan is as if it had not been")
    return DONE


def _reason(settings: Settings, reason: str | None) -> str:
    """Why, as it stands on record. Raises InputError, with what is wrong with the key too."""
    problems = key_problems(settings, "releases")
    given = (reason or "").strip()
    if not given and load_policy(settings).adoption_reason:
        problems.append(f"{POLICY_FILE}: adoption_reason asks for one; say why with --reason TEXT")
    if problems:
        raise InputError(*problems)
    return given or NOT_STATED


def _proved(settings: Settings, store: Store, chosen: Chosen, folder: Path) -> ConceptProof:
    """Train a concept anew under the keys that it has, so that pages which show those are the same, and compare."""
    candidate = chosen.candidate
    there = settings.model_copy(update={"home": folder / "home", "store": folder / "store"})
    stages = tuple(candidate.done[plan.stage] for plan in candidate.job.stages)
    scratch, manifests = make_from_scratch(
        replace(candidate.job, settings=there, stages=stages), TerminalReporter(notices())
    )
    keys = {plan.stage: plan.key for plan in candidate.job.stages}
    return compare_trainings(candidate.name, keys, (store, chosen.manifests), (scratch, manifests))


@contextmanager
def _scratch(settings: Settings, chosen: Sequence[Chosen]) -> Iterator[Path]:
    """A folder for what is trained anew, gone afterwards; one that was killed is taken up by the same proof alone."""
    place = settings.home / "adopt"
    proof = digest_of([[plan.key for plan in each.candidate.job.stages] for each in chosen])[:16]

    def waiting() -> None:
        notices().print("another process of this machine is adopting: waiting for it")

    place.mkdir(parents=True, exist_ok=True)
    with file_lock(settings.home / "locks" / "adopt", waiting):
        for other in place.iterdir():
            if other.name != proof:
                shutil.rmtree(other, ignore_errors=True)
        folder = place / proof
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
