"""What `conceptbooth adopt` tells: what would be kept, what proves it, where it differs, what is on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from flows.output.console import notices, results
from flows.output.invocation import command
from tasks.adoption.candidates import Candidate, Chosen
from tasks.adoption.proof import ConceptProof
from tasks.jobs.adoptions import Adoption
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import KINDS, stage_words
from tasks.plan.plan import ConceptPlan, Plan

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Adopting:
    """What an adoption is about."""

    plan: Plan
    candidates: Sequence[Candidate]
    chosen: Sequence[Chosen]
    keeps: tuple[str, ...]
    """Concepts that are kept if the proof holds."""
    problems: tuple[str, ...]
    """Why some concepts cannot prove anything."""

    @property
    def left(self) -> list[ConceptPlan]:
        """Concepts that stay stale."""
        return [concept for concept in self.plan.of("stale") if concept.concept not in self.keeps]


def adoption_document(
    adopting: Adopting,
    *,
    proofs: Sequence[ConceptProof] = (),
    record: Adoption | None = None,
    overtaken: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """All of it for scripts."""
    return {
        "dry_run": dry_run,
        "adopted": record is not None,
        "record": record.number if record else None,
        "by_another_process": overtaken,
        "keeps": list(adopting.keeps),
        "left": [{"concept": concept.concept, "causes": list(concept.causes)} for concept in adopting.left],
        "proved_on": [chosen.candidate.name for chosen in adopting.chosen],
        "claims": [
            {"concept": chosen.candidate.name, "stage": plan.stage, "said": _changes(done, plan)}
            for chosen in adopting.chosen
            for done, plan in chosen.candidate.claims.values()
        ],
        "proofs": [proof.to_json() for proof in proofs],
        "problems": list(adopting.problems),
    }


def show_choice(adopting: Adopting, *, dry_run: bool) -> None:
    """What is to be proved, on what, and for whom."""
    for problem in adopting.problems:
        notices().print(Text.assemble(("cannot prove anything: ", "yellow"), problem), soft_wrap=True)
    would = "would be trained" if dry_run else "is trained" if len(adopting.chosen) == 1 else "are trained"
    names = ", ".join(chosen.candidate.name for chosen in adopting.chosen)
    results().print(Text.assemble((names, "bold"), f" {would} anew and compared"), soft_wrap=True)
    said = {
        f"{_called(plan)}: {_changes(done, plan)}"
        for chosen in adopting.chosen
        for done, plan in chosen.candidate.claims.values()
    }
    for line in sorted(said):
        results().print(Text(f"  {line}", style="dim"), soft_wrap=True)
    kept = f"{len(adopting.keeps)} concept{'s' if len(adopting.keeps) != 1 else ''}"
    verb = "would be" if dry_run else "will be"
    results().print(Text(f"If nothing differs {kept} {verb} kept: {_listed(adopting.keeps)}"), soft_wrap=True)
    for concept in adopting.left:
        why = "; ".join(concept.causes)
        notices().print(Text(f"not kept: {concept.concept}: {why}", style="dim"), soft_wrap=True)


def show_differences(proofs: Sequence[ConceptProof]) -> None:
    """Why nothing is adopted."""
    for proof in proofs:
        for difference in proof.differences:
            line = Text.assemble((f"{proof.concept}: ", "bold red"), difference)
            results().print(line, soft_wrap=True)
    where = _where(proofs[0])
    said = f"Nothing is adopted: today's code does not make the same again ({where})."
    notices().print(Text(said, style="bold red"), soft_wrap=True)
    notices().print(Text(f"`{command()} nightly --now` trains what changed", style="dim"), soft_wrap=True)


def show_adopted(adopting: Adopting, proofs: Sequence[ConceptProof], record: Adoption, *, overtaken: bool) -> None:
    """What was proved, and that it is on record."""
    for proof in proofs:
        files = sum(stage.files for stage in proof.stages)
        line = Text.assemble(
            (proof.concept, "bold"), f": {len(proof.stages)} artefacts, {files} files, ", (proof.agreement, "green")
        )
        results().print(line.append(f" ({_where(proof)})"), soft_wrap=True)
        for name, found in proof.scores.items():
            margin = record.margins.get(name)
            results().print(Text(f"  {name}: {found['mean']:+.4f}, margin {margin}", style="dim"), soft_wrap=True)
    who = f"by another process, {record.by}" if overtaken else f"by {record.by}"
    kept = f"Adopted (record {record.number}, {who}): what was trained of {_listed(adopting.keeps)} is kept"
    results().print(Text(kept, style="green"), soft_wrap=True)
    notices().print(Text(f"`{command()} adopt --undo {record.number}` takes it back", style="dim"), soft_wrap=True)


def _called(plan: StagePlan) -> str:
    return f"training, {stage_words(plan.stage)}" if plan.kind == "train" else KINDS[plan.kind].words


def _changes(done: StagePlan, plan: StagePlan) -> str:
    """As in "torch 2.12.0 -> 2.13.0, other code"."""
    versions = {
        name: (done.packages.get(name, "none"), plan.packages.get(name, "none"))
        for name in sorted(done.packages.keys() | plan.packages.keys())
    }
    # Earlier records hold whole versions, of which less counts by now.
    libraries = [
        f"{name} {old} -> {new}"
        for name, (old, new) in versions.items()
        if old != new and not old.startswith(f"{new}.")
    ]
    return ", ".join([*libraries, *(["other code"] if dict(done.code) != dict(plan.code) else [])])


def _where(proof: ConceptProof) -> str:
    same = proof.old_device == proof.new_device
    return f"on {proof.new_device}" if same else f"made on {proof.old_device}, anew on {proof.new_device}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
