"""`conceptbooth promote` and `conceptbooth rollback`: the gates, the steps, and who is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from flows.output.console import DONE, FAILED, notices, print_json, results
from flows.production.notifications import notify_of_change
from model.errors import InputError
from tasks.adoption.reliance import adoptions_of
from tasks.concepts.concepts import NOT_STATED
from tasks.lineage.attest import attest
from tasks.lineage.attestations import attestations_of
from tasks.production.ledger import Ledger
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.gates import Evidence, gate_names, promotion_checks
from tasks.promotion.policy import POLICY_FILE, GateCheck, Policy, load_policy
from tasks.promotion.promotion import Promoted, check_production, put_into_production, roll_back
from tasks.promotion.repair import repair_ledger
from tasks.promotion.source import Source, find_source, refuse_for_good, serving_evaluation
from tasks.registry.reference import VersionReference
from tasks.store.blobs import Blobs
from tasks.store.store import Store, open_store
from tasks.verification.chain import verify
from tasks.verification.scores import check_pictures


def run_promotion(
    settings: Settings,
    reference: VersionReference,
    *,
    version: int | None,
    reason: str | None,
    overrides: Sequence[str],
    approved_by: str | None,
    measure_again: bool = False,
    as_json: bool,
) -> int:
    """Promote the version that is meant; the exit code says whether it serves.

    Raises:
        InputError: an unknown, unevaluated or revoked version, unknown gates, no reason where the policy asks for
            one, a place or key that cannot be used.
        WorkFailed: a step failed; what served before still serves, and the same command carries on.
    """
    if version is not None:
        if reference.alias or reference.version:
            raise InputError(f"{reference} and --version {version}: name the version once")
        reference = replace(reference, version=version)
    policy = load_policy(settings)
    _check_overrides(policy, overrides, reason)
    wanted = Wanted(
        policy=policy,
        store=open_store(settings),
        place=check_production(settings),
        reason=reason,
        overrides=tuple(overrides),
        approved_by=approved_by,
        measure_again=measure_again,
    )
    tried = try_promotion(settings, reference, wanted, _teller(as_json))
    if tried.done is None:
        return _refuse(reference.concept, tried, as_json)
    return _show(settings, wanted.place, tried.done, as_json)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for of one promotion, or of several."""

    policy: Policy
    store: Store
    place: Blobs
    reason: str | None
    overrides: tuple[str, ...] = ()
    approved_by: str | None
    measure_again: bool


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a promotion came to."""

    version: int
    checks: tuple[GateCheck, ...]
    done: Promoted | None
    """None where a gate did not let it pass."""
    failed: tuple[GateCheck, ...] = ()
    """Gates that did not, and were not passed over."""


def try_promotion(
    settings: Settings, reference: VersionReference, wanted: Wanted, tell: Callable[[str], None]
) -> Tried:
    """Ask the gates, and put the version into production if they let it pass. Raises as `run_promotion`."""
    concept, place = reference.concept, wanted.place
    ledger = read_whole_ledger(settings, place, concept)
    source = find_source(settings, wanted.store, reference)
    refuse_for_good(settings, wanted.store, ledger, source)
    serving, version = ledger.serving, int(source.version.version)
    if serving and (serving.content, serving.version) == (source.content, version):
        checks, used = tuple(GateCheck(**check) for check in serving.gates), dict(serving.overridden)  # asked then
    else:
        check_reason(wanted.policy, wanted.reason)
        checks = _asked(settings, wanted, source, ledger, tell)
        used = {check.gate: str(wanted.reason) for check in checks if not check.passed}
        failed = tuple(check for check in checks if not check.passed and check.gate not in wanted.overrides)
        if failed:
            return Tried(version=version, checks=checks, done=None, failed=failed)
        for gate in sorted(set(wanted.overrides) - used.keys()):
            tell(f"gate {gate} is passed: nothing to override")
    done = put_into_production(
        settings,
        place,
        ledger,
        source,
        checks,
        used,
        reason=wanted.reason or NOT_STATED,
        approved_by=wanted.approved_by,
        tell=tell,
    )
    return Tried(version=version, checks=checks, done=done)


def check_reason(policy: Policy, reason: str | None) -> None:
    """InputError where the policy asks for a reason, and none is given."""
    if policy.promotion_reason and not (reason or "").strip():
        raise InputError(
            "--reason TEXT is needed: say why this goes into production; the ledger keeps it for ever "
            f"({POLICY_FILE} can waive it: promotion_reason: false)"
        )


def run_rollback(settings: Settings, concept: str, *, to: int | None, reason: str | None, as_json: bool) -> int:
    """Let an earlier promotion serve again.

    Raises:
        InputError: nothing to go back to, no such record, a place that cannot be used.
        WorkFailed: the earlier version is damaged or does not load; what serves still serves.
    """
    place = check_production(settings)
    done = roll_back(settings, place, concept, to=to, reason=reason or NOT_STATED, tell=_teller(as_json))
    return _show(settings, place, done, as_json)


def run_repair(settings: Settings, concept: str, *, reason: str, as_json: bool) -> int:
    """Go on with a ledger that is not the one that was written.

    Raises:
        InputError: no reason, a ledger that is whole, or one whose chain is broken.
        WorkFailed: production does not answer.
    """
    if not reason.strip():
        raise InputError("--reason TEXT is needed: say why the ledger is to be repaired; it is kept for ever")
    place = check_production(settings)
    done = repair_ledger(settings, place, concept, reason=reason, tell=_teller(as_json))
    return _show(settings, place, done, as_json)


def _asked(
    settings: Settings, wanted: Wanted, source: Source, ledger: Ledger, tell: Callable[[str], None]
) -> tuple[GateCheck, ...]:
    """What the gates say."""
    policy, store = wanted.policy, wanted.store
    verification = None
    if policy.lineage:
        tell("hashing everything that the version was made from")
        verification = verify(settings, store, source.chain)
    if policy.git_clean:
        for record in attest(settings, store, [source.concept]):
            tell(f"commit {record.commit[:12]} holds what it was made from: attestation {record.number}")
    measured = source.measured
    if wanted.measure_again or policy.measured_again == "pictures":
        tell("measuring the pictures of its evaluation again")
        measured = (*measured, *check_pictures(settings, store, source.chain.manifests))
    return promotion_checks(
        policy,
        Evidence(
            chain=source.chain,
            verification=verification,
            evaluation=source.evaluation,
            measured=measured,
            champion=serving_evaluation(store, wanted.place, ledger),
            ledger=ledger,
            approved_by=wanted.approved_by,
            adoptions=adoptions_of(settings, store, source.chain.manifests),
            attested=attestations_of(settings, store, source.concept, source.chain.manifests),
        ),
    )


def _check_overrides(policy: Policy, overrides: Sequence[str], reason: str | None) -> None:
    names = gate_names(policy)
    problems = [
        f"--override {gate}: there is no such gate; there are: {', '.join(names)}"
        for gate in overrides
        if gate not in names
    ]
    if overrides and not (reason or "").strip():
        problems.append("--override: say why with --reason TEXT; it is kept for ever")
    if problems:
        raise InputError(*problems)


def _refuse(concept: str, tried: Tried, as_json: bool) -> int:
    checks, failed = tried.checks, tried.failed
    if as_json:
        gates = [{"gate": check.gate, "passed": check.passed, "said": check.said} for check in checks]
        print_json({"concept": concept, "version": tried.version, "promoted": False, "gates": gates})
        return FAILED
    console = notices()
    line = f"{concept} version {tried.version} is not promoted: {len(failed)} of {len(checks)} gates failed"
    console.print(Text(line, style="bold red"), soft_wrap=True)
    for check in failed:
        console.print(Text.assemble("  ", (check.gate, "bold"), f"  {check.said}"), soft_wrap=True)
    console.print(
        Text("`--override GATE --reason TEXT` passes a gate over; the ledger shows that for ever.", style="dim"),
        soft_wrap=True,
    )
    return FAILED


def _show(settings: Settings, place: Blobs, done: Promoted, as_json: bool) -> int:
    problem = notify_of_change(settings, place, done.record)
    record = done.record
    if problem:
        notices().print(Text(f"{problem}; the same command tries again", style="yellow"), soft_wrap=True)
    if as_json:
        facts: dict[str, Any] = {
            "concept": record.concept,
            "promoted": True,
            "changed": done.changed,
            "action": record.action,
            "seq": record.seq,
            "version": record.version,
            "model": record.model,
            "production_version": record.production_version,
            "release": record.release,
            "overridden": dict(record.overridden),
            "gates": [dict(gate) for gate in record.gates],
        }
        print_json(facts)
        return DONE
    console = results()
    since = f"in production since record {record.seq}"
    how = f"serves now, {since}" if done.changed else f"serves already, {since}; nothing was changed"
    if record.release is None:
        console.print(Text(f"{record.concept}: nothing serves (record {record.seq})", style="bold"), soft_wrap=True)
        return DONE
    console.print(
        Text.assemble(
            (f"{record.concept} version {record.version}", "bold"),
            f" {how}: models:/{record.model}@champion",
        ),
        soft_wrap=True,
    )
    for gate, reason in record.overridden.items():
        console.print(Text(f"  passed over: {gate}: {reason}", style="yellow"), soft_wrap=True)
    return DONE


def _teller(as_json: bool) -> Callable[[str], None]:
    return lambda said: None if as_json else notices().print(Text(said, style="dim"), soft_wrap=True)
