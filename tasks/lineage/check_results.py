"""Results of checking a chain: good, at fault, not checked, or of a kind that nobody can prove any more."""

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["good", "fault", "unchecked", "unprovable"]
"""`unprovable`: as it was when a key vouched for it (`conceptbooth upgrade`); what was before that cannot be proved."""

UNWANTED: tuple[State, ...] = ("fault", "unchecked", "unprovable")
NOT_SIGNED = "sealed, not signed"
"""Of what no key is asked to stand for: damage shows, and who made it is not proved."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One thing that was looked at, or could not be."""

    what: str
    state: State
    said: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything that was checked about a chain."""

    at: str
    """When it began: UTC, ISO 8601."""
    seconds: float
    checks: tuple[CheckResult, ...]
    whole: bool = True
    """Whether there was a chain to check; without one nothing is proved, however little is wrong."""
    signed: bool = True
    """Whether keys were asked for; without them a seal proves damage alone."""

    def of(self, state: State) -> tuple[CheckResult, ...]:
        """The checks with this result."""
        return tuple(check for check in self.checks if check.state == state)

    @property
    def words(self) -> str:
        """The result in one line."""
        faults, missed = len(self.of("fault")), len(self.of("unchecked"))
        if not self.whole:
            missing = f"not verified: {_counted(missed, 'thing')} could not be checked"
            return f"{_counted(faults, 'fault')} found, {missing}" if faults else missing
        if faults:
            return f"{_counted(faults, 'fault')} found" + (f", {missed} not checked" if missed else "")
        unproved, but = len(self.of("unprovable")), []
        if missed:
            but.append(f"{_counted(missed, 'thing')} that could not be checked")
        if unproved:
            but.append(f"{_counted(unproved, 'thing')} of before that cannot be proved")
        said = f"verified, except {' and '.join(but)}" if but else "verified"
        return said if self.signed else f"{said} ({NOT_SIGNED})"

    def to_json(self) -> dict[str, Any]:
        """For scripts: the good checks by number alone; verified is what has no fault and leaves nothing unchecked."""
        listed = {state: [{"what": c.what, "said": c.said} for c in self.of(state)] for state in UNWANTED}
        return {
            "verified": self.whole and not listed["fault"] and not listed["unchecked"],
            "whole": self.whole,
            "signed": self.signed,
            "at": self.at,
            "seconds": round(self.seconds, 3),
            "good": len(self.of("good")),
            "faults": listed["fault"],
            "unchecked": listed["unchecked"],
            "unprovable": listed["unprovable"],
        }


def good(what: str, said: str) -> CheckResult:
    """A check that was passed."""
    return CheckResult(what=what, state="good", said=said)


def fault(what: str, said: str) -> CheckResult:
    """Something that is not as it was."""
    return CheckResult(what=what, state="fault", said=said)


def unchecked(what: str, said: str) -> CheckResult:
    """Something that could not be looked at, and why."""
    return CheckResult(what=what, state="unchecked", said=said)


def unprovable(what: str, said: str) -> CheckResult:
    """Something that is as it was when a key vouched for it, and of which nothing earlier can be proved."""
    return CheckResult(what=what, state="unprovable", said=said)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
