"""That the newest takedown of a store is still there: each machine, and the registry, remember which it was.

A chain of seals does not show that its end was cut off. So a machine remembers in its home folder the newest takedown
that it ever read of a store, and the registry in a tag of the experiment; where the store has fewer, nothing is trained
or promoted on what is left of them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from model.errors import InputError
from model.reading.documents import read_json
from tasks.concepts.takedown_records import TAKEDOWNS, Takedowns, read_takedowns
from tasks.files.hashing import digest_of
from tasks.project.settings import Settings
from tasks.store.sealed_chain import ChainLink, chain_path, read_chain_records
from tasks.store.shapes import check_shape
from tasks.store.store import Store
from tasks.tracking.address import EXPERIMENT, is_unused
from tasks.tracking.client import connect, sorted_failures

TAG = "conceptbooth.takedowns"
_FILE = "takedowns.json"


@dataclass(frozen=True, kw_only=True)
class _Remembered:
    """A takedown that was there."""

    number: int
    mark: str
    """Its seal; empty for one of before there were seals, whose bytes `upgrade` changes."""

    @property
    def text(self) -> str:
        return f"{self.number} {self.mark}".strip()

    @classmethod
    def parse(cls, text: object) -> "_Remembered | None":
        number, _, mark = str(text).partition(" ")
        return cls(number=int(number), mark=mark) if number.isascii() and number.isdigit() else None


def current_takedowns(settings: Settings, store: Store, *, ask_registry: bool = True) -> Takedowns:
    """`read_takedowns`, seen to be all that this machine, and with `ask_registry` the registry, has ever known of.

    Raises:
        InputError: records were removed, or cannot be read.
        StoreFailed: the store does not answer; what `connect` raises.
    """
    taken = read_takedowns(store)
    if doubts := list(takedown_doubts(settings, store, ask_registry=ask_registry)):
        raise InputError(*doubts)
    return taken


def takedown_doubts(settings: Settings, store: Store, *, ask_registry: bool = True) -> Iterator[str]:
    """Why the takedowns of a store are not all that there were, one sentence each; what is newer is remembered."""
    links = read_chain_records(store, TAKEDOWNS).links
    known = _in_home(settings, store)
    if known and (said := _lacks(store, links, known)):
        yield f"{said}: this machine has seen it ({settings.home / _FILE}); {_way_out(settings, store)}"
    elif newest := _newest(links):
        _keep_in_home(settings, store, known, newest)
    if not ask_registry or is_unused(settings):
        return
    client = connect(settings)
    with sorted_failures(settings):
        told = _in_registry(client, store)
        if told and (said := _lacks(store, links, told)):
            yield f"{said}: the registry remembers it; {_way_out(settings, store)}"
        elif (newest := _newest(links)) and newest != told:
            _keep_in_registry(client, store, newest)


def _lacks(store: Store, links: Sequence[ChainLink], known: _Remembered) -> str | None:
    """Why this is not the chain that was known."""
    at = f"record {chain_path(TAKEDOWNS, known.number)} of the store {store.address}"
    link = next((link for link in links if link.number == known.number), None)
    if link is None:
        return f"{at} was removed"
    other = known.mark and (link.seal is None or link.seal.digest != known.mark)
    return f"{at} is another one than it was" if other else None


def _way_out(settings: Settings, store: Store) -> str:
    where = f"{settings.home / _FILE} and the tag {_tag(store)} of MLflow's experiment {EXPERIMENT}"
    return (
        "put it back from a copy; where there is none, take down again what it named, and then remove what is "
        f"remembered of it: {where}"
    )


def _newest(links: Sequence[ChainLink]) -> _Remembered | None:
    last = links[-1] if links else None
    return _Remembered(number=last.number, mark=last.seal.digest if last.seal else "") if last else None


def _store_id(store: Store) -> str:
    return digest_of(store.address)[:12]


def _tag(store: Store) -> str:
    return f"{TAG}.{_store_id(store)}"


def _in_home(settings: Settings, store: Store) -> _Remembered | None:
    return _Remembered.parse(_memory(settings).get(_store_id(store)))


def _memory(settings: Settings) -> dict[str, str]:
    file = settings.home / _FILE
    if not file.is_file():
        return {}
    content: dict[str, str] = read_json(file, str(file))
    try:
        check_shape(dict[str, str], content, "it")
    except ValueError as error:
        raise InputError(f"{file}: {error}; it says which takedowns there were: put back a copy") from error
    return content


def _keep_in_home(settings: Settings, store: Store, known: _Remembered | None, newest: _Remembered) -> None:
    if newest == known:
        return
    file = settings.home / _FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps({**_memory(settings), _store_id(store): newest.text}), encoding="utf-8")
    unfinished.replace(file)


def _in_registry(client: Any, store: Store) -> _Remembered | None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return _Remembered.parse(experiment.tags.get(_tag(store))) if experiment else None


def _keep_in_registry(client: Any, store: Store, newest: _Remembered) -> None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment:
        client.set_experiment_tag(experiment.experiment_id, _tag(store), newest.text)
