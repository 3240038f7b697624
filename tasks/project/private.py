"""The project's own folder is its owner's alone: images, prompts, keys of caches and state lie in it."""

import os
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o077
_made: list[Path] = []


def keep_private(folder: Path) -> None:
    """Let nobody but the owner into a folder, which is made: so it is closed before anything lies in it."""
    with suppress(OSError):  # on a file system that cannot be written: who writes there tells that
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            _made.append(folder)
        found = folder.stat()
        if found.st_mode & _OTHERS and found.st_uid == os.getuid():
            folder.chmod(found.st_mode & 0o7700)


def remove_unused() -> None:
    """Take away what was made for nothing, at the end of a command that wrote nothing."""
    while _made:
        with suppress(OSError):  # it holds something by now
            _made.pop().rmdir()
