"""What is out of order in image sets, as warnings: a line each, and one for many of a kind."""

from collections.abc import Iterable

from rich.text import Text

from flows.output.console import notices
from flows.output.names import some_names
from tasks.concepts.image_notes import ImageNote, Kind

FOLDED_FROM = 3
"""Notes of one kind; more of them are one line."""
OF_MANY: dict[Kind, str] = {
    "metadata": "with metadata in images that was not taken out",
    "no entry": "with images without an entry in images.yaml",
    "changed": "with images that are not what images.yaml says",
    "gone": "without images that images.yaml names",
    "unreadable": "whose images.yaml cannot be read",
}


def tell_notes(notes: Iterable[ImageNote]) -> None:
    """Print them on standard error."""
    by_kind: dict[Kind, list[ImageNote]] = {}
    for note in notes:
        by_kind.setdefault(note.kind, []).append(note)
    for kind, found in by_kind.items():
        said = [note.said for note in found]
        if len(found) > FOLDED_FROM:
            names = some_names([note.concept for note in found])
            way_out = "`conceptbooth images NAME` says which and how to mend it"
            said = [f"{len(found)} concepts {OF_MANY[kind]} ({names}): {way_out}"]
        for line in said:
            notices().print(Text.assemble(("warning: ", "yellow"), line), soft_wrap=True)
