"""What a visitor of the booth brought and had drawn: in a folder that only their token leads to.

    booth/visitors/<hash of the token>/drawings/<drawing>/order.json    what was asked for
                                                         <side>/*.png   what was drawn, marked
                                       drafts/<draft>/<number>/<name>   a picture that was brought for a new concept

The token is in the visitor's browser alone; who reads the disk finds prompts and pictures, and no key to the page.
"""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.files.names import proper_name
from tasks.project.settings import Settings

KEPT_SECONDS = 7 * 24 * 3600.0
"""Drawings and drafts that nobody has touched for a week are removed."""
MOST_DRAWINGS = 40
"""Of one visitor; older ones make room."""
MOST_DRAFTS = 3
MOST_FILES = 60
"""Of one draft: more than any concept wants, and few enough to be looked at."""
MOST_FILE_BYTES = 100 * 2**20
MOST_DRAFT_BYTES = 2**30
_ID = re.compile(r"[0-9a-f]{24}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,60}")
_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


@dataclass(frozen=True, kw_only=True)
class BroughtFile:
    """A file of a draft."""

    number: str
    name: str
    path: Path
    size: int


class Visitor:
    """One browser, by its token."""

    def __init__(self, settings: Settings, token: str) -> None:
        name = hashlib.sha256(token.encode()).hexdigest()[:32]
        self.folder = settings.home / "booth" / "visitors" / name
        self.name = name

    def new_drawing(self, order: dict[str, Any]) -> tuple[str, Path]:
        """A folder for a drawing, with what was asked for in it; its id. The oldest make room."""
        drawings = self.drawings()
        for _, old in drawings[MOST_DRAWINGS - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
        identity, folder = self._new("drawings")
        spool = folder / ".order.json"
        spool.write_text(json.dumps(order, ensure_ascii=False), encoding="utf-8")
        spool.replace(folder / "order.json")
        return identity, folder

    def drawings(self) -> list[tuple[str, Path]]:
        """Those that are there, newest first."""
        return self._those("drawings")

    def drawing(self, identity: str) -> Path | None:
        """The folder of a drawing; None where this visitor has none of that id."""
        return self._one("drawings", identity)

    def new_draft(self) -> str:
        """Room for the pictures of a new concept; the oldest draft makes room."""
        for _, old in self._those("drafts")[MOST_DRAFTS - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
        return self._new("drafts")[0]

    def draft(self, identity: str) -> Path | None:
        """The folder of a draft; None where this visitor has none of that id."""
        return self._one("drafts", identity)

    def forget_draft(self, identity: str) -> None:
        """Remove a draft with its pictures."""
        if folder := self.draft(identity):
            shutil.rmtree(folder, ignore_errors=True)

    def _new(self, kind: str) -> tuple[str, Path]:
        identity = secrets.token_hex(12)
        folder = self.folder / kind / identity
        folder.mkdir(parents=True)
        return identity, folder

    def _one(self, kind: str, identity: str) -> Path | None:
        folder = self.folder / kind / identity
        return folder if _ID.fullmatch(identity) and folder.is_dir() else None

    def _those(self, kind: str) -> list[tuple[str, Path]]:
        there = self.folder / kind
        folders = [folder for folder in there.iterdir() if _ID.fullmatch(folder.name)] if there.is_dir() else []
        return [(folder.name, folder) for folder in sorted(folders, key=lambda f: f.stat().st_mtime_ns, reverse=True)]


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def is_token(text: str | None) -> bool:
    """Whether it has the form of a token; a stranger's has it too, and leads to an empty folder."""
    return text is not None and _TOKEN.fullmatch(text) is not None


def place_for(draft: Path, name: str) -> tuple[str, Path]:
    """A number and a place for one more file of a draft, by the name that it has at the visitor's.

    Raises:
        InputError: the draft has enough of them.
    """
    there = [int(folder.name) for folder in draft.iterdir() if folder.name.isdigit()]
    if len(there) >= MOST_FILES:
        raise InputError(f"{len(there)} files: a new concept is chosen from at most {MOST_FILES}; leave some out first")
    if sum(file.size for file in brought(draft)) >= MOST_DRAFT_BYTES:
        raise InputError(f"{MOST_DRAFT_BYTES / 2**20:,.0f} MB were brought, which is enough; leave some out first")
    plain = _IN_NAMES.sub("-", name.replace("\\", "/").rpartition("/")[2]).strip(" .")[-120:] or "picture"
    number = max(there, default=0)
    while True:  # several come at once
        number += 1
        folder = draft / f"{number:03}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder.name, folder / proper_name(plain)


def brought(draft: Path) -> list[BroughtFile]:
    """The files of a draft, in the order in which they were brought; half-written ones are not there yet."""
    return list(_brought(draft))


def remove_brought(draft: Path, number: str) -> None:
    """Leave a file out."""
    if re.fullmatch(r"\d{3,6}", number):
        shutil.rmtree(draft / number, ignore_errors=True)


def sweep_visitors(settings: Settings) -> None:
    """Remove what nobody has touched for a week."""
    now, visitors = time.time(), settings.home / "booth" / "visitors"
    for folder in visitors.glob("*/*/*"):
        if now - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _brought(draft: Path) -> Iterator[BroughtFile]:
    for folder in sorted(path for path in draft.iterdir() if path.name.isdigit()):
        for path in folder.iterdir():
            if path.name != ".part":
                yield BroughtFile(number=folder.name, name=path.name, path=path, size=path.stat().st_size)
