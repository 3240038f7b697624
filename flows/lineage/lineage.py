"""`conceptbooth lineage`: what a model was made of, proved if asked for, as a tree, a document or a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from flows.lineage.tree import lineage_tree
from flows.lineage.verification import tell_verification
from flows.output.console import DONE, FAILED, notices, print_json, results
from model.errors import InputError, WorkFailed
from tasks.adoption.reliance import adoptions_of
from tasks.lineage.attestations import attestations_of
from tasks.lineage.chain import Chain, read_chain, unread_chain
from tasks.lineage.document import document
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import Promotion, examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.store.blobs import StoreFailed
from tasks.store.store import Store, open_store
from tasks.verification.chain import verify


def show_lineage(
    settings: Settings, reference: VersionReference, *, proved: bool, as_json: bool, page: Path | None
) -> int:
    """Print the lineage of a version, and write the page if one is asked for.

    The exit code says whether the chain is whole, as far as was looked.

    Raises:
        InputError: no such concept, version or alias; the page's folder is not there.
        WorkFailed: the store cannot be read, or the page not be written.
    """
    if page is not None and not page.resolve().parent.is_dir():
        raise InputError(f"--html {page}: there is no folder {page.parent}")
    store = open_store(settings)
    chain = _chain(settings, store, reference, proved=proved)
    verification = verify(settings, store, chain, released=True) if proved else None
    promotions, notes = _promotions(settings, chain)
    adoptions, unknown = _adoptions(settings, store, chain)
    attestations, silent = _attestations(settings, store, chain)
    lineage = document(chain, promotions, verification, [*notes, *unknown, *silent], adoptions, attestations)
    if page is not None:
        from tasks.lineage.page import write_page

        try:
            write_page(page, store, chain, lineage)
        except OSError as error:
            raise WorkFailed(f"--html {page}: cannot be written: {error.strerror}") from error
    if as_json:
        print_json(lineage)
    else:
        for note in lineage["notes"]:
            notices().print(Text(note, style="dim"), soft_wrap=True)
        results().print(lineage_tree(lineage))
        tell_verification(verification)
        if page is not None:
            results().print(Text.assemble(("Page  ", "bold"), str(page)), soft_wrap=True)
    return FAILED if lineage["problems"] or (verification and verification.of("fault")) else DONE


def _chain(settings: Settings, store: Store, reference: VersionReference, *, proved: bool) -> Chain:
    """The chain; of a store that does not answer, what the registry names, so that it can be told as unchecked."""
    try:
        with open_index(settings, store) as index:
            return read_chain(store, index, find_head(settings, store, index, reference))
    except StoreFailed as failure:
        if not proved:
            raise
        return unread_chain(settings, reference, failure)


def _adoptions(settings: Settings, store: Store, chain: Chain) -> tuple[list[dict[str, Any]], list[str]]:
    """The adoptions by which parts of the chain count, or why they are not known."""
    try:
        return [each.to_json() for each in adoptions_of(settings, store, chain.manifests)], []
    except StoreFailed as failure:
        return [], [f"adoptions are not known: {failure}"]


def _attestations(settings: Settings, store: Store, chain: Chain) -> tuple[list[dict[str, Any]], list[str]]:
    """What was committed after the chain's artefacts were made from it, or why that is not known."""
    try:
        found = attestations_of(settings, store, chain.head.concept, chain.manifests)
        return [each.to_json() for each in found], []
    except StoreFailed as failure:
        return [], [f"attestations are not known: {failure}"]


def _promotions(settings: Settings, chain: Chain) -> tuple[Sequence[Promotion], list[str]]:
    """Records of the concept's ledger, or why they are not known; what is wrong with them the verification says."""
    try:
        return examine_ledger(open_production(settings), chain.head.concept)[0].records, []
    except (InputError, StoreFailed) as failure:
        return (), [f"promotions and revocations are not known: {failure}"]
