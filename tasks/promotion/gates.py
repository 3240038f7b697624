"""What a version has to show before it may serve, beside its scores: where it comes from and who stands for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.adoption.reliance import Reliance
from tasks.concepts.concepts import NOT_STATED
from tasks.lineage.attestations import Attested, uncommitted
from tasks.lineage.chain import Chain
from tasks.lineage.check_results import CheckResult, Verification
from tasks.lineage.evaluations import Evaluation
from tasks.production.ledger import Ledger
from tasks.promotion.policy import GateCheck, Policy, compare_with_champion
from tasks.store.artefacts import GENERATIONS
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged

_SHOWN = 3
"""Problems of one gate that are written out; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the gates look at."""

    chain: Chain
    verification: Verification | None
    """None where the policy asks for none."""
    evaluation: Evaluation
    """As its embeddings give it."""
    measured: Sequence[CheckResult]
    """Whether the scores on record are those, and what else was measured again."""
    champion: Evaluation | Damaged | None
    """Of what serves now."""
    ledger: Ledger
    approved_by: str | None
    adoptions: Sequence[Reliance] = ()
    """Those that the version rests on."""
    attested: Sequence[Attested] = ()
    """What was committed after it was trained on."""


def promotion_checks(policy: Policy, evidence: Evidence) -> tuple[GateCheck, ...]:
    """Every gate of the policy, passed or not, with its figures."""
    serving = evidence.ledger.serving
    scores = compare_with_champion(
        policy, evidence.evaluation, evidence.champion, serving.version if serving else None
    ).checks
    return (*scores, *_others(policy, evidence))


def gate_names(policy: Policy) -> list[str]:
    """Gates that this policy can fail at, as `--override` calls them."""
    names = [f"minimum.{name}" for name in policy.minimum]
    names += [f"not_worse_than_champion.{name}" for name in policy.not_worse_than_champion]
    asked = {
        "lineage": policy.lineage,
        "git_clean": policy.git_clean,
        **{f"stated.{name}": True for name in policy.stated},
        "base_licences": policy.base_licences,
        "approval_by": policy.approval_by,
    }
    always = ["evaluated_on", "scores_derived", "withdrawn", "adopted"]
    return names + [name for name, value in asked.items() if value] + always


def _others(policy: Policy, evidence: Evidence) -> Iterator[GateCheck]:
    chain = evidence.chain
    if policy.lineage and evidence.verification:
        yield _lineage(evidence.verification, strict=policy.lineage == "verified")
    if policy.git_clean:
        yield _git_clean(chain.manifests, evidence.attested)
    for name in policy.stated:
        said = str(chain.stated.get(name, NOT_STATED))
        yield GateCheck(gate=f"stated.{name}", passed=said != NOT_STATED, said=f"{name} of the images: {said}")
    if policy.base_licences:
        licence = str((chain.base or {}).get("licence", NOT_STATED))
        allowed = licence in policy.base_licences
        said = f"licence of the base model: {licence}"
        yield GateCheck(
            gate="base_licences",
            passed=allowed,
            said=said if allowed else f"{said}; allowed: {', '.join(policy.base_licences)}",
        )
    if policy.approval_by:
        given = evidence.approved_by
        yield GateCheck(
            gate="approval_by",
            passed=given in policy.approval_by,
            said=f"approved by {given or 'nobody'}; asked for: {' or '.join(policy.approval_by)} (--approved-by)",
        )
    yield _evaluated_on(policy, chain.manifests["evaluate"])
    yield _derived(evidence.measured)
    yield _withdrawn(evidence.ledger, str(chain.head.content))
    if evidence.adoptions or policy.adopted == "refused":
        yield _adopted(policy, evidence.adoptions)


def _lineage(verification: Verification, *, strict: bool) -> GateCheck:
    unwanted = verification.of("fault") + (verification.of("unchecked") if strict else ())
    found = _some([f"{check.what}: {check.said}" for check in unwanted])
    said = f"lineage {verification.words}"
    return GateCheck(gate="lineage", passed=not unwanted, said=f"{said}: {found}" if found else said)


def _derived(checks: Sequence[CheckResult]) -> GateCheck:
    """The scores are those of what was measured, and not numbers that somebody wrote into the store."""
    unwanted = [f"{check.what}: {check.said}" for check in checks if check.state != "good"]
    said = _some(unwanted) or "; ".join(f"{check.what} {check.said}" for check in checks)
    return GateCheck(gate="scores_derived", passed=not unwanted, said=said)


def _git_clean(manifests: Mapping[str, Manifest], attested: Sequence[Attested]) -> GateCheck:
    """Every artefact from committed files: as it was made, or attested since, by a record that counts."""
    by_stage = {stage: each for each in attested if not each.unsigned for stage in each.stages}
    open_, closed = [], dict[int, Attested]()
    for stage, manifest in manifests.items():
        problem = uncommitted(manifest)
        if problem and stage in by_stage:
            closed[by_stage[stage].record.number] = by_stage[stage]
        elif problem:
            open_.append(problem)
    told = "; ".join(
        f"commit {each.record.commit[:12]} holds what it was made from (attestation {number} of {each.record.at[:10]})"
        for number, each in closed.items()
    )
    if not open_:
        return GateCheck(gate="git_clean", passed=True, said=told or "made from committed files alone")
    unsigned = [f"attestation {each.record.number} {each.unsigned}" for each in attested if each.unsigned]
    said = _some([*unsigned, *open_])
    way_out = (
        "where these very files are committed, the next `conceptbooth train` or `promote` attests it: commit them, or, "
        "if an older commit has them, `git checkout` that one and `dvc checkout`, then promote from there"
    )
    return GateCheck(gate="git_clean", passed=False, said=f"{said}; {way_out}")


def _evaluated_on(policy: Policy, evaluation: Manifest) -> GateCheck:
    prompts = len(evaluation.parameters["prompts"])
    images = sum(name.startswith(f"{GENERATIONS}/") for name in evaluation.files)
    least = policy.evaluated_on
    return GateCheck(
        gate="evaluated_on",
        passed=prompts >= least.prompts and images >= least.images,
        said=f"evaluated on {prompts} prompts and {images} images, at least {least.prompts} and {least.images}",
    )


def _withdrawn(ledger: Ledger, content: str) -> GateCheck:
    record = ledger.withdrawn.get(content)
    if record is None:
        return GateCheck(gate="withdrawn", passed=True, said="was never taken out of production")
    said = f"taken out of production on {record.at[:10]} (record {record.seq}): {record.reason}"
    return GateCheck(gate="withdrawn", passed=False, said=said)


def _adopted(policy: Policy, adoptions: Sequence[Reliance]) -> GateCheck:
    """Whether the version counts as made by later code than made it; an adoption that is not signed counts for none."""
    if not adoptions:
        return GateCheck(gate="adopted", passed=True, said="rests on no adoption")
    unsigned = [each.unsigned for each in adoptions if each.unsigned]
    told = ", ".join(
        f"adoption {each.record.number} of {each.record.at[:10]} by {each.record.by}" for each in adoptions
    )
    said = f"rests on {told}"
    if policy.adopted == "refused":
        return GateCheck(gate="adopted", passed=False, said=f"{said}; adopted: refused")
    return GateCheck(gate="adopted", passed=not unsigned, said=f"{said}; {_some(unsigned)}" if unsigned else said)


def _some(problems: Sequence[str]) -> str:
    more = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
