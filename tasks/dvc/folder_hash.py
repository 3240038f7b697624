"""DVC's hash of a folder, which names the data version of an image set everywhere in this project.

It is the md5 of a JSON list of {"md5", "relpath"}, sorted by relpath, plus ".dir". Seen in DVC 3.67; a test holds this
module against the installed DVC.
"""

import fnmatch
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError

IGNORED_NAMES = (".DS_Store", "._*", "Thumbs.db", "desktop.ini")
"""What file managers leave in folders; .dvcignore says the same to DVC."""
_IGNORED = re.compile("|".join(map(fnmatch.translate, IGNORED_NAMES))).match


@dataclass(frozen=True, kw_only=True)
class FolderFile:
    """One file of a hashed folder."""

    relpath: str
    md5: str
    size: int
    """Bytes."""


def folder_files(folder: Path, md5: Callable[[Path], str] | None = None) -> tuple[FolderFile, ...]:
    """Every file in a folder and its subfolders, hashed (by `md5`), in the order of the folder's hash.

    Raises:
        InputError: what lies there is no file or cannot be read, all of it together. It is not passed over: another
            folder's hash would say that the images are others.
    """
    files: list[FolderFile] = []
    problems: list[str] = []
    for relpath, path in _files_below(folder, "", (), problems):
        try:
            size = path.stat().st_size
            files.append(FolderFile(relpath=relpath, md5=(md5 or file_md5)(path), size=size))
        except OSError as error:
            problems.append(_unusable(path, f"cannot be read ({error.strerror})"))
    if problems:
        raise InputError(*problems)
    return tuple(sorted(files, key=lambda file: file.relpath))


def _files_below(
    folder: Path, inside: str, above: tuple[tuple[int, int], ...], problems: list[str]
) -> Iterator[tuple[str, Path]]:
    """Name and path of each regular file; links are followed. Nothing is opened: a FIFO would wait for ever."""
    try:
        own = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(_unusable(folder, f"cannot be read ({error.strerror})"))
        return
    if (own.st_dev, own.st_ino) in above:
        problems.append(_unusable(folder, "is a link to a folder that it lies in"))
        return
    for entry in entries:
        path = Path(entry.path)
        if _IGNORED(entry.name):
            continue
        try:
            entry.name.encode()
            mode = path.stat().st_mode
        except UnicodeEncodeError:
            problems.append(_unusable(path, "has a name that is not UTF-8"))
            continue
        except OSError as error:
            why = "is a link to nothing" if path.is_symlink() and not path.exists() else f"({error.strerror})"
            problems.append(_unusable(path, why))
            continue
        if stat.S_ISDIR(mode):
            yield from _files_below(path, f"{inside}{entry.name}/", (*above, (own.st_dev, own.st_ino)), problems)
        elif stat.S_ISREG(mode):
            yield inside + entry.name, path
        else:
            problems.append(_unusable(path, "is a device, a pipe or a socket, and no file"))


def _unusable(path: Path, why: str) -> str:
    return f"{ascii(str(path))[1:-1]}: {why}; take it away"


def folder_digest(files: Iterable[FolderFile]) -> str:
    """The hash of a folder with these files: 32 hex digits and ".dir"."""
    entries = [{"md5": file.md5, "relpath": file.relpath} for file in sorted(files, key=lambda file: file.relpath)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def path_digest(path: Path) -> str | None:
    """DVC's hash of a file or folder; None if nothing is there."""
    if path.is_dir():
        return folder_digest(folder_files(path))
    return file_md5(path) if path.is_file() else None


def file_md5(path: Path) -> str:
    """md5 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
