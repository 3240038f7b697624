"""How a command is written for the person who reads about it: as it was called, with paths from where they stand."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def command() -> str:
    """How the person can call this program from where they are: its name if the shell finds it, else its path."""
    found = shutil.which("conceptbooth")
    own = Path(sys.executable).parent / "conceptbooth"
    return "conceptbooth" if found and Path(found).resolve() == own.resolve() else shlex.quote(path_from_here(own))


def path_from_here(path: Path) -> str:
    """A path as it can be typed here: relative where it lies below the current folder."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
