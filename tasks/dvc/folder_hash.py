"""DVC's hash of a folder, which names the data version of an image set everywhere in this project.

It is the md5 of a JSON list of {"md5", "relpath"}, sorted by relpath, plus ".dir". Seen in DVC 3.67; a test holds this
module against the installed DVC.
"""

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

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
    """Every file in a folder and its subfolders, hashed (by `md5`), in the order of the folder's hash."""
    files = []
    for parent, _, names in os.walk(folder, followlinks=True):
        inside = "" if parent == str(folder) else f"{Path(parent).relative_to(folder).as_posix()}/"
        for name in names:
            if not _IGNORED(name):
                path = Path(parent, name)
                files.append(FolderFile(relpath=inside + name, md5=(md5 or file_md5)(path), size=path.stat().st_size))
    return tuple(sorted(files, key=lambda file: file.relpath))


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
