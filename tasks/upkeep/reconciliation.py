"""Whether the registries say what the production ledgers say."""

from collections.abc import Sequence

from model.errors import InputError, WorkFailed
from tasks.production.ledger import Ledger, concepts_in, examine_ledger
from tasks.production.registry import disagreements, open_production, production_registry
from tasks.project.settings import Settings
from tasks.store.blobs import Blobs
from tasks.store.store import open_store
from tasks.upkeep.version_deletion import deleted_versions


def reconcile(settings: Settings) -> list[str]:
    """What is not as the ledgers say, for a night's summary; empty where all agrees or nothing was ever promoted.

    That somebody could not be asked is said as well.
    """
    try:
        place = open_production(settings)
        ledgers, problems = read_ledgers(place, concepts_in(place))
        found, silent = compare_with_registries(settings, ledgers)
        problems += found
    except (InputError, WorkFailed) as error:
        problems, silent = [], _said(error)
    return problems + [f"production could not be compared with its ledger: {said}" for said in silent]


def compare_with_registries(settings: Settings, ledgers: Sequence[Ledger]) -> tuple[list[str], list[str]]:
    """Where the registries do not say what the ledgers say, and why one of them could not be asked."""
    problems: list[str] = []
    silent: list[str] = []
    for ask in (_in_production, _in_development):
        try:
            problems += ask(settings, ledgers)
        except (InputError, WorkFailed) as error:
            silent += _said(error)
    return problems, silent


def _in_production(settings: Settings, ledgers: Sequence[Ledger]) -> list[str]:
    if not ledgers:
        return []
    with production_registry(settings) as client:
        return [problem for ledger in ledgers for problem in disagreements(client, settings, ledger)]


def _in_development(settings: Settings, ledgers: Sequence[Ledger]) -> list[str]:
    return deleted_versions(settings, open_store(settings), ledgers)


def _said(error: InputError | WorkFailed) -> list[str]:
    return list(error.problems) if isinstance(error, InputError) else [str(error)]


def read_ledgers(place: Blobs, concepts: Sequence[str]) -> tuple[list[Ledger], list[str]]:
    """The ledgers of these concepts, and what is wrong with them. Raises StoreFailed."""
    ledgers, problems = [], []
    for concept in concepts:
        ledger, broken = examine_ledger(place, concept)
        ledgers.append(ledger)
        problems += broken
    return ledgers, problems
