"""Numbered records that follow each other: each names the seal of the one before it, so that none can be changed,
taken out, put in between or copied into another's place without breaking the chain after it.

    <prefix>000001.json, <prefix>000002.json, ...     created exclusively: of two who write the next one, one wins

Takedowns, upgrades and the like are kept so. That the newest ones were cut off does not show in the chain itself.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from tasks.signing.keys import Signer
from tasks.store.sealed import Seal, sealed, unsealed
from tasks.store.shapes import check_fields
from tasks.store.store import Store

_NUMBER = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """One record of a chain."""

    number: int
    content: Mapping[str, Any]
    """What it says, its number included."""
    previous: str | None
    """Seal of the record before it; None for the first, and for those of before there were seals."""
    mark: str
    """Its seal; of one without a seal, the sha256 of its bytes: what the next one names."""
    seal: Seal | None


class _Numbered(TypedDict):
    """What each record says, of whichever kind."""

    number: int
    previous: NotRequired[str | None]


@dataclass(frozen=True, kw_only=True)
class ChainRecords:
    """A chain as it was read."""

    links: tuple[ChainLink, ...]
    """Those that can be read, in their order."""
    problems: tuple[str, ...]
    """What is wrong with it, one sentence each."""


def chain_path(prefix: str, number: int) -> str:
    """Where a record of a chain lies."""
    return f"{prefix}{number:06}.json"


def read_chain_records(store: Store, prefix: str) -> ChainRecords:
    """Every record of a chain, and what is wrong with it: damaged, missing, in another's place. Raises StoreFailed."""
    paths = store.records(prefix)
    contents = store.read_records(paths) if paths else {}
    links, problems = [], []
    numbers = set()
    for path in paths:
        found = _NUMBER.fullmatch(path.removeprefix(prefix))
        if found is None:
            continue  # another kind of record, or a stray
        numbers.add(int(found[1]))
        try:
            content, seal = unsealed(contents[path].content)
            check_fields(_Numbered, content)
            number = content["number"]
            if number != int(found[1]):
                raise ValueError(f"is record {number}, put in the place of another")
            mark = seal.digest if seal else hashlib.sha256(contents[path].content).hexdigest()
            previous = content.pop("previous", None)
            links.append(ChainLink(number=number, content=content, previous=previous, mark=mark, seal=seal))
        except (ValueError, RecursionError) as error:
            problems.append(f"record {path} of the store {store.address}: {error}")
    missing = sorted(set(range(1, max(numbers, default=0))) - numbers)
    problems += [
        f"record {chain_path(prefix, number)} of the store {store.address}: is missing, and later records are there"
        for number in missing
    ]
    problems += [f"record {chain_path(prefix, n)} of the store {store.address}: {said}" for n, said in _broken(links)]
    return ChainRecords(links=tuple(sorted(links, key=lambda link: link.number)), problems=tuple(problems))


def append_record(
    store: Store,
    prefix: str,
    kind: str,
    make: Callable[[int], Mapping[str, Any]],
    signer: Signer | None = None,
) -> Mapping[str, Any]:
    """Write the next record; `make` is given its number. What was written. Raises StoreFailed.

    Read the chain and refuse a broken one before: this only follows its newest record.
    """
    while True:
        links = read_chain_records(store, prefix).links
        last = links[-1] if links else None
        number = last.number + 1 if last else 1
        content = make(number)
        document = sealed(kind, {**content, "number": number, "previous": last.mark if last else None}, signer)
        if store.create_record(chain_path(prefix, number), document):
            return content


def _broken(links: list[ChainLink]) -> list[tuple[int, str]]:
    """Sealed records whose predecessor is another one by now; a record of before there were seals names none."""
    by_number = {link.number: link for link in links}
    broken = []
    for link in links:
        before = by_number.get(link.number - 1)
        if link.seal is None:
            continue
        if link.number == 1 and link.previous is not None:
            broken.append((1, "is called the first and follows another one"))
        if before is not None and link.previous != before.mark:
            broken.append((link.number, f"does not follow record {before.number} as that is now; one was changed"))
    return broken
