"""`conceptbooth whence`: what a picture says of itself, and the lineage's head of the version that made it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from flows.lineage.tree import lineage_head
from flows.output.console import DONE, FAILED, notices, print_json, results
from model.marks.content_credentials import Credentials, read_credentials
from model.marks.marking import Mark, read_mark
from tasks.lineage.chain import read_chain
from tasks.lineage.document import document
from tasks.lineage.head import find_head_of
from tasks.lineage.index import open_index
from tasks.lineage.words import SHORT
from tasks.production.ledger import examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.store.store import open_store

_STYLES = {"Trusted": "bold green", "Valid": "green", "Invalid": "bold red", "Unchecked": "yellow"}


def show_whence(settings: Settings, picture: Path, *, as_json: bool) -> int:
    """Print a picture's mark, what its C2PA manifest is worth, and the lineage's head; the exit code.

    Raises:
        InputError: no picture, or an unmarked one.
        WorkFailed: the store cannot be read.
    """
    mark = read_mark(picture)
    credentials = read_credentials(picture.read_bytes())
    lineage = _lineage(settings, mark)
    if as_json:
        c2pa = credentials and asdict(credentials)
        print_json({"picture": str(picture), "mark": asdict(mark), "c2pa": c2pa, "lineage": lineage})
    else:
        _tell(mark, credentials, lineage)
    faulty = credentials is not None and credentials.state == "Invalid"
    return FAILED if faulty or lineage is None or lineage["problems"] else DONE


def _lineage(settings: Settings, mark: Mark) -> dict[str, Any] | None:
    store = open_store(settings)
    with open_index(settings, store) as index:
        head = find_head_of(settings, store, index, mark.concept, mark.content)
        if head is None:
            return None
        chain = read_chain(store, index, head)
    ledger, _ = examine_ledger(open_production(settings), mark.concept)  # `lineage --verify` tells of its problems
    return document(chain, ledger.records)


def _tell(mark: Mark, credentials: Credentials | None, lineage: Mapping[str, Any] | None) -> None:
    console = results()

    def say(title: str, said: str, style: str = "") -> None:
        console.print(Text.assemble((f"{title:<10}", "bold"), (said, style)), soft_wrap=True)

    number = "" if mark.version is None else f" version {mark.version}"
    say("made by", f"AI: concept {mark.concept}{number}, content {mark.content[:SHORT]}")
    say("prompt", mark.prompt)
    if mark.negative_prompt:
        say("negative", mark.negative_prompt)
    say("seed", f"{mark.seed}, picture {mark.index}")
    if options := [
        f"{name} {value}"
        for name in ("steps", "guidance", "word_norm", "word_turn", "size")
        if (value := getattr(mark, name))
    ]:
        say("options", ", ".join(options))
    if credentials is None:
        say("C2PA", "no manifest: what stands here is not signed", "dim")
    else:
        by = f", signed by {credentials.signed_by}" if credentials.signed_by else ""
        at = f" at {credentials.at}" if credentials.at else ""
        said = "; ".join((f"{credentials.state}{by}{at}", *credentials.problems))
        say("C2PA", said, _STYLES.get(credentials.state, ""))
    if lineage is None:
        notices().print(
            Text(f"neither registry nor store of this project knows content {mark.content[:SHORT]} of {mark.concept}"),
            style="yellow",
            soft_wrap=True,
        )
        return
    for note in lineage["notes"]:
        notices().print(Text(note, style="dim"), soft_wrap=True)
    console.print(lineage_head(lineage))
    version = lineage["version"]
    reference = f"{mark.concept}/{version['version']}" if version else mark.concept
    console.print(Text(f"All of it: conceptbooth lineage {reference}", style="dim"), soft_wrap=True)
