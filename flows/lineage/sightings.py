"""`conceptbooth lineage --image` and `--near`: which models saw an image, those in production first."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from flows.lineage.tree import SHORT
from flows.output.console import notices, print_json, results
from model.errors import InputError
from tasks.lineage.index import open_index
from tasks.lineage.sightings import LOOKED_FOR, NOT_LOOKED_FOR, Sighting, Sightings, unseen, who_saw, who_saw_alike
from tasks.project.settings import Settings
from tasks.store.store import open_store


def show_sightings(settings: Settings, *, image: str | None, near: Path | None, as_json: bool) -> None:
    """Print every training on the image, by its bytes (a file or a sha256) or by its looks.

    Raises:
        InputError: no image is meant, or one that no model saw, with what is not known.
        WorkFailed: the store cannot be read.
    """
    store = open_store(settings)
    with open_index(settings, store) as index:
        if near is not None:
            answer = who_saw_alike(settings, store, index, near)
        else:
            answer = who_saw(settings, store, index, str(image))
    if near is None and not answer.found:
        raise InputError(unseen(answer), *answer.notes)
    if as_json:
        print_json({"schema": 1, **asdict(answer)})
        return
    for note in answer.notes:
        notices().print(Text(note, style="yellow"), soft_wrap=True)
    console = results()
    console.print(_headline(answer), soft_wrap=True)
    if answer.found:
        console.print(sightings_table(answer.found))


def _headline(answer: Sightings) -> Text:
    asked = Text.assemble((answer.asked, "bold"), f" (sha256 {answer.sha256[:SHORT]})" if answer.sha256 else "")
    looked = f" {answer.trainings} training{'' if answer.trainings == 1 else 's'} in the store looked through"
    if not answer.found and answer.sha256 is None:
        asked.append(f": no image on record looks like it;{looked}\n{LOOKED_FOR}\n{NOT_LOOKED_FOR}")
        return asked
    if not answer.found:
        return asked.append(f": no model saw it;{looked}")
    serving = sum(sighting.in_production for sighting in answer.found)
    return asked.append(f": seen by {len(answer.found)}, {serving} of them in production;{looked}")


def sightings_table(found: Sequence[Sighting]) -> Table:
    """One row a training, in the order given; in 80 columns nothing is cut off."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("concept", "version", "trained"):
        table.add_column(title, no_wrap=True)
    for title in ("where", "image"):
        table.add_column(title, overflow="fold", min_width=14)
    for sighting in found:
        images = "\n".join(f"{match.file}\n{match.how}" for match in sighting.matches)
        where = Text("\n".join(_where(sighting)), style="bold red" if sighting.in_production else "")
        version = str(sighting.version) if sighting.version else sighting.key[:SHORT]
        table.add_row(sighting.concept, version, sighting.created[:10], where, images)
    return table


def _where(sighting: Sighting) -> Iterator[str]:
    if sighting.in_production:
        yield "in production"
    if sighting.version is None:
        yield "not registered"
    if sighting.revoked:
        yield f"revoked on {sighting.revoked}"
    if numbers := ", ".join(map(str, sighting.promotions)):
        yield f"promotion{'s' if len(sighting.promotions) > 1 else ''} {numbers}"
    yield from (f"@{alias}" for alias in sighting.aliases)
