"""Adoptions: what was made by earlier code and libraries counts as made by others, because a proof said they agree.

    adoptions/<number>.json     a chain of sealed records (tasks/store/sealed_chain.py), signed where a key is set

What is taken back stays on record, with a further record that takes it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, TypedDict

from model.errors import InputError
from tasks.files.hashing import digest_of
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import kind_name
from tasks.store.manifest import WHOLE_CODE
from tasks.store.sealed import Seal
from tasks.store.sealed_chain import ChainLink, chain_path, read_chain_records
from tasks.store.shapes import check_fields, check_shape
from tasks.store.store import Store

ADOPTIONS = "adoptions/"
KIND = "adoption"
"""What a signature says that it is over."""
SCHEMA = 1


class _Proved(TypedDict):
    scope: Mapping[str, Any]
    old: str
    new: str
    concepts: Sequence[str]


class _Compared(TypedDict):
    stage: str
    key: str
    old_digest: str
    new_digest: str


class _Concept(TypedDict):
    concept: str
    agreement: str
    stages: Sequence[_Compared]


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """One record: since then workings count as others, or those of an earlier record no longer do."""

    number: int
    action: Literal["adopt", "undo"]
    undoes: int | None = None
    """Number of the record that is taken back."""
    proved: tuple[Mapping[str, Any], ...] = ()
    """What counts as what, each with `scope` (what it is true of), digests of the `old` and the `new` workings, and the
    `concepts` that proved it."""
    workings: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Code and packages, by their digest."""
    concepts: tuple[Mapping[str, Any], ...] = ()
    """The proof: of each concept that was trained anew all artefacts, with the digests of both, and how they agree."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Largest difference of each score that was taken as none, where devices differ."""
    reason: str
    by: str
    at: str
    """UTC, ISO 8601."""
    schema: int = SCHEMA
    seal: Seal | None = field(default=None, compare=False)
    """As it was read."""

    def content(self) -> dict[str, Any]:
        """What the record says."""
        content = asdict(self)
        del content["seal"]
        return content

    @classmethod
    def from_link(cls, link: ChainLink) -> Self:
        """Read a record of the chain. Raises ValueError where it is none of this schema, or says of itself nothing."""
        try:
            values = dict(link.content)
            if values["schema"] != SCHEMA:
                raise ValueError(f"schema {values['schema']!r}, this version reads {SCHEMA}")
            if link.seal is None:
                raise ValueError("is not sealed")
            check_fields(cls, values)
            check_shape(Sequence[_Proved], values["proved"], "proved")
            check_shape(Sequence[_Concept], values["concepts"], "concepts")
            record = cls(**values | {name: tuple(values[name]) for name in ("proved", "concepts")}, seal=link.seal)
            for name, workings in record.workings.items():
                if workings_digest(workings["code"], workings["packages"]) != name:
                    raise ValueError(f"workings {name[:12]} are others")
            if any(entry[side] not in record.workings for entry in record.proved for side in ("old", "new")):
                raise ValueError("does not say what it adopts")
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"is no record of an adoption: {error!r}") from error
        return record


@dataclass(frozen=True, kw_only=True)
class OlderWorkings:
    """Code and libraries that count as others, by the records that say so."""

    code: Mapping[str, str]
    packages: Mapping[str, str]
    records: tuple[int, ...]


@dataclass(frozen=True)
class Adoptions:
    """All records of a store, oldest first; numbered from 1."""

    records: tuple[Adoption, ...] = ()

    @cached_property
    def in_force(self) -> tuple[Adoption, ...]:
        """Those that were not taken back."""
        undone = {record.undoes for record in self.records if record.action == "undo"}
        return tuple(record for record in self.records if record.action == "adopt" and record.number not in undone)

    @cached_property
    def _steps(self) -> dict[tuple[str, str], list[OlderWorkings]]:
        """One step back, by scope and by workings."""
        steps: dict[tuple[str, str], list[OlderWorkings]] = {}
        for record in reversed(self.in_force):
            for entry in record.proved:
                old = record.workings[entry["old"]]
                older = OlderWorkings(code=old["code"], packages=old["packages"], records=(record.number,))
                steps.setdefault((digest_of(dict(entry["scope"])), entry["new"]), []).append(older)
        return steps

    def older(self, plan: StagePlan) -> list[OlderWorkings]:
        """Workings that count as those of this stage, nearest first."""
        if not self._steps:
            return []
        return self.older_than(digest_of(scope_of(plan)), workings_digest(plan.code, plan.packages))

    def older_than(self, scope: str, own: str) -> list[OlderWorkings]:
        """The same by digests of scope and workings; step by step, and never in a circle."""
        found: list[OlderWorkings] = []
        seen = {own}
        ahead: list[tuple[str, tuple[int, ...]]] = [(own, ())]
        while ahead:
            at, records = ahead.pop(0)
            for step in self._steps.get((scope, at), ()):
                name = workings_digest(step.code, step.packages)
                if name not in seen:
                    seen.add(name)
                    way = tuple(dict.fromkeys((*records, *step.records)))
                    found.append(OlderWorkings(code=step.code, packages=step.packages, records=way))
                    ahead.append((name, way))
        return found

    def find(self, number: int) -> Adoption:
        """The adoption with this number, which is in force. InputError, naming those that are, if there is none."""
        for record in self.in_force:
            if record.number == number:
                return record
        there = ", ".join(str(record.number) for record in self.in_force) or "none"
        said = f"there is no adoption {number} in force; in force: {there}"
        if any(record.undoes == number for record in self.records):
            said = f"adoption {number} was taken back already; in force: {there}"
        raise InputError(said)


def scope_of(plan: StagePlan) -> dict[str, Any]:
    """What a proof by this stage is true of: its kind, what it trains by which options, its form, number types, models.

    Numbers such as the learning rate are not part of it; what decides which code runs is.
    """
    stage = plan.parameters.get("stage", {}) if kind_name(plan.stage) == "train" else {}
    shape = {name: stage.get(name) for name in ("name", "trains", "starts_from")} if stage else {}
    form = {"form": plan.parameters["form"]} if "form" in plan.parameters else {}
    return form | {
        "kind": plan.kind,
        "stage": shape,
        "options": sorted(stage),
        "numeric_policy": dict(plan.numeric_policy),
        "models": {kind: dict(model) for kind, model in plan.models.items()},
    }


def workings_digest(code: Mapping[str, str], packages: Mapping[str, str]) -> str:
    """One digest for code and libraries, as far as they stand in keys."""
    counted = {WHOLE_CODE: code[WHOLE_CODE]} if WHOLE_CODE in code else dict(code)
    return digest_of({"code": counted, "packages": dict(packages)})


def read_adoptions(store: Store) -> Adoptions:
    """The adoptions of a store, their chain verified.

    Raises:
        InputError: they are not as they were written; every broken place is named.
        StoreFailed: they cannot be read.
    """
    adoptions, problems = examine_adoptions(store)
    if problems:
        way_out = "put it back from a copy; what counts as what cannot be told before, and nothing is done on a guess"
        raise InputError(*(f"{problem}; {way_out}" for problem in problems))
    return adoptions


def examine_adoptions(store: Store) -> tuple[Adoptions, list[str]]:
    """The records that can be read, and what is wrong with them, one sentence each. Raises StoreFailed."""
    chain = read_chain_records(store, ADOPTIONS)
    records, problems = [], list(chain.problems)
    for link in chain.links:
        try:
            records.append(Adoption.from_link(link))
        except ValueError as error:
            problems.append(f"record {chain_path(ADOPTIONS, link.number)} of the store {store.address}: {error}")
    return Adoptions(tuple(records)), problems
