"""What a power failure must not take away."""

import os
from pathlib import Path


def to_disk(path: Path) -> None:
    """Return once the file's content, or the folder's list of names, is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
