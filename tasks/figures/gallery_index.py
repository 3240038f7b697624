"""One page of all concepts: newest picture, scores, what is registered and what serves, state, and a filter."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import PackageLoader

from tasks.figures.html import page_environment

_SCRIPT = Path(__file__).parent / "templates" / "gallery_index.js"


@dataclass(frozen=True, kw_only=True)
class IndexCard:
    """One concept on the page; what is not known is None."""

    name: str
    super_category: str | None
    state: str
    """Up to date, stale, failed, problem, or not known."""
    why: str
    """Why it is not up to date, in a sentence; empty where it is."""
    version: int | None
    candidate: int | None
    champion: int | None
    """The version that serves in production."""
    clip_i: float | None
    clip_t: float | None
    trained_at: str | None
    """UTC, ISO 8601."""
    picture: str | None
    """A ``data:`` address."""
    page: str | None
    """Where its gallery lies, from the page's own place."""


def index_policy() -> str:
    """What browsers are told of the page: its own pictures and style, and its one script by its hash, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.read_bytes()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def render_index(cards: Sequence[IndexCard], *, made_at: str, notes: Sequence[str]) -> str:
    """The page, which asks nothing of any server; `notes` say what could not be asked."""
    states = sorted({card.state for card in cards})
    environment = page_environment(PackageLoader("tasks.figures"), {})
    return environment.get_template("gallery_index.html.j2").render(
        cards=cards,
        counts={state: sum(card.state == state for card in cards) for state in states},
        serving=sum(card.champion is not None for card in cards),
        made_at=made_at,
        notes=notes,
        script=_SCRIPT.read_text(encoding="utf-8"),
        policy=index_policy(),
    )
