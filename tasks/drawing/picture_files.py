"""Pictures as files: names that tell what they show, and files that appear whole and are never written over."""

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from model.errors import WorkFailed
from model.marks.content_credentials import without_manifest
from tasks.registry.versions import ResolvedVersion

SLUG_LETTERS = 80


def write_picture(folder: Path, stem: str, png: bytes, sign: Callable[[bytes], bytes] | None = None) -> Path:
    """Write a PNG that appears whole or not at all; returns its path, that of the same picture if it is there already.

    What `sign` makes of it is written, if there is one; it may be other bytes each time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := folder / (f"{stem}.png" if number == 1 else f"{stem} ({number}).png")).exists():
            present = path.read_bytes()
            if without_manifest(present) == png and not (sign and present == png):
                return path
            number += 1
        spool = folder / f".{path.name}.{os.getpid()}"
        spool.write_bytes(sign(png) if sign else png)
        spool.replace(path)
    except OSError as error:
        raise WorkFailed(
            f"picture {folder / stem}.png: {error.strerror}; the pictures before it are there, and the same command "
            "makes the others once that is mended"
        ) from error
    return path


def file_stems(version: ResolvedVersion, texts: Sequence[str], seed: int) -> list[str]:
    """The beginning of the pictures' file names, different for different prompts."""
    stems: list[str] = []
    for text in texts:
        words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:SLUG_LETTERS].rstrip("-")
        stem = f"{version.concept}-v{version.version}-{words}-{seed}"
        twins = sum(other == stem or other.startswith(f"{stem}-prompt") for other in stems)
        stems.append(f"{stem}-prompt{twins + 1}" if twins else stem)
    return stems


def folder_problems(folder: Path) -> list[str]:
    """Why pictures cannot be written into a folder, which need not be there yet."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        return [f"folder {folder}: {nearest} is a file; name another folder with -o"]
    try:  # what permissions say is not all: a full disk, and file systems on which nobody can write
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"\0")
    except OSError as error:
        return [f"folder {folder}: {nearest} cannot be written ({error.strerror}); name another folder with -o"]
    return []
