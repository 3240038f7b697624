"""The booth's pages: HTML from templates, with what is filled in escaped; scripts and styles lie beside as files."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from tasks.booth.concept_view import Images, VersionView
from tasks.booth.overview import ConceptCard, Overview
from tasks.booth.words import WordsAtHand
from tasks.figures.html import page_environment

SHOWN_PER_SCENE = 4
"""Pictures of a prompt before somebody asks for more."""
STATES = {
    "up to date": "trained, and nothing has changed since",
    "to train": "something has changed since its last training",
    "not trained": "never trained to the end",
    "failed": "its last training at night failed",
    "problem": "cannot be trained as it is",
    "unknown": "the project's parameters cannot be read",
}


class Pages:
    """All pages of one booth."""

    def __init__(self, *, project: str, base: str, read_only: bool) -> None:
        self._environment = _environment()
        self._shared = {"project": project, "base": base, "read_only": read_only}

    def overview(self, overview: Overview, trainings: Mapping[str, Any]) -> str:
        """All concepts."""
        present = [state for state in STATES if any(card.state == state for card in overview.cards)]
        return self._page("overview.html.j2", overview=overview, trainings=trainings, states=present, meanings=STATES)

    def concept(
        self,
        card: ConceptCard,
        versions: Sequence[Mapping[str, Any]],
        shown: VersionView | None,
        images: Images,
        words: WordsAtHand,
        most_pictures: int,
    ) -> str:
        """One concept, with one of its versions."""
        return self._page(
            "concept.html.j2",
            card=card,
            versions=versions,
            shown=shown,
            images=images,
            words=words,
            most_pictures=most_pictures,
            per_scene=SHOWN_PER_SCENE,
            meanings=STATES,
        )

    def new(self, words: WordsAtHand, fewest_pixels: int | None) -> str:
        """A new concept."""
        return self._page("new.html.j2", words=words, fewest_pixels=fewest_pixels)

    def message(self, title: str, lines: Sequence[str]) -> str:
        """That something is not there, or went wrong."""
        return self._page("message.html.j2", title=title, lines=lines)

    def _page(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**self._shared, **values)


def static_folder() -> Path:
    """Where scripts and styles lie."""
    return Path(str(files("tasks.booth") / "static"))


def _environment() -> Environment:
    environment = page_environment(
        PackageLoader("tasks.booth"), {"day": _day, "score": lambda value: f"{value:.2f}", "words": _words}
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def _day(at: str | None) -> str:
    """A time as people read it: "2026-11-30 21:04"."""
    return at[:16].replace("T", " ") if at else ""


def _words(names: Sequence[Any]) -> str:
    """ "1, 2 and 3" """
    said = [str(name) for name in names]
    return " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else "".join(said)
