"""What a production store holds and proves, as one HTML file: it asks nothing of any server."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import PackageLoader

from tasks.figures.html import page_environment
from tasks.lineage.check_results import Verification
from tasks.lineage.words import SHORT, size_words, when_words
from tasks.verification.contents import HeldConcept


def write_place_page(
    page: Path, address: str, key: str, verification: Verification, contents: Sequence[HeldConcept]
) -> None:
    """Write the page of a store at `address`, as the key of this id proves it. Raises OSError."""
    filters: dict[str, Callable[..., object]] = {
        "short": lambda key: str(key)[:SHORT],
        "bytes": size_words,
        "when": when_words,
    }
    environment = page_environment(PackageLoader("tasks.verification"), filters)
    text = environment.get_template("place.html.j2").render(
        address=address, key=key, verification=verification, contents=contents
    )
    page.write_text(text, encoding="utf-8")
