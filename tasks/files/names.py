"""Names that somebody else wrote, in a document or a listing: proved to be names before they lead to a file.

`path_inside` is the only way from a document to the disk. A name is parts joined by "/", each of them a file's or
folder's own name, so that one file has one name and none of them leads out of the folder that it is meant for.
"""

import os
import re
import stat
import unicodedata
from pathlib import Path

from model.errors import InputError

_MOST_LETTERS, _MOST_BYTES = 1024, 255  # of a name; of one part, which no usual file system takes longer
_SHOWN_LETTERS = 80
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, halves of surrogate pairs, and separators of lines and paragraphs."""
_SHA256, _MD5 = re.compile("[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}(\.dir)?")


class ImproperName(InputError, ValueError):
    """A name out of a document that is none, or that leads out of its folder. Nothing was opened by it."""

    def __init__(self, name: object, why: str) -> None:
        shown = ascii(name)  # it may hold anything, also what would move a terminal's cursor
        shown = shown if len(shown) <= _SHOWN_LETTERS else f"{shown[:_SHOWN_LETTERS]}..."
        super().__init__(f"the name {shown} {why}")


def proper_name(name: object) -> str:
    """The name as it is, once it was seen to be one.

    Raises:
        ImproperName: no text, empty, too long, absolute, a part that is empty, "." or "..", control characters.
    """
    if not isinstance(name, str) or not name or len(name) > _MOST_LETTERS:
        raise ImproperName(name, f"is no text of 1 to {_MOST_LETTERS} letters")
    plain = name.isascii() and name.isprintable()  # nearly all names are, and there may be 100,000
    if not plain and any(unicodedata.category(letter) in _UNPRINTABLE for letter in name):
        raise ImproperName(name, "holds characters that no file's name has")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise ImproperName(name, 'is not of the form "folder/file": it could lead out of its folder')
        if len(part.encode()) > _MOST_BYTES:
            raise ImproperName(name, f"has a part of more than {_MOST_BYTES} bytes")
    return name


def path_inside(folder: Path, name: object, *, follow: bool = True) -> Path:
    """Where the file of this name lies, or would, below `folder`; links on the way do not lead out of it.

    `follow` False is for what is removed or replaced by its name: then the last part may be a link to anywhere, since
    it is not followed.

    Raises:
        ImproperName: it is no name, or a link leads out of the folder.
    """
    path = folder / proper_name(name)
    there = path if follow else path.parent
    if _is_linked(folder, there) and not Path(os.path.realpath(there)).is_relative_to(os.path.realpath(folder)):
        raise ImproperName(name, f"is, or lies behind, a link that leads out of {folder}")
    return path


def _is_linked(folder: Path, path: Path) -> bool:
    """Whether a link is on the way from a folder down to a path: asked 100,000 times of stores, which have none."""
    place = str(folder)
    for part in path.parts[len(folder.parts) :]:
        place = f"{place}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return True
        except OSError:
            return False  # nothing is there, so nothing is below it
    return False


def proper_sha256(digest: object) -> str:
    """The digest as it is, once it was seen to be one: contents are called by it. Raises ImproperName."""
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ImproperName(digest, "is no sha256: 64 digits of 0-9 and a-f")
    return digest


def proper_md5(digest: object) -> str:
    """The same for DVC's md5 of a file, or of a folder's listing, which ends with ".dir". Raises ImproperName."""
    if not isinstance(digest, str) or not _MD5.fullmatch(digest):
        raise ImproperName(digest, "is no md5 as DVC writes it: 32 digits of 0-9 and a-f")
    return digest
