"""Where work was done: the commit of the project and the device, for manifests. None of it is in a key."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def git_facts(root: Path) -> dict[str, Any] | None:
    """Newest commit of the project, and whether tracked files differ from it; None outside a git repository."""
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:  # no git here
        return None
    if done.returncode != 0:
        return None
    lines = done.stdout.splitlines()
    commit = next(line.split()[-1] for line in lines if line.startswith("# branch.oid"))
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def device_words(kind: str) -> str:
    """The device in words: a GPU's name, or the processor's kind and number of cores."""
    if kind == "cuda":
        import torch

        return f"cuda, {torch.cuda.get_device_name()}"
    return f"{kind}, {platform.machine()}, {os.cpu_count()} cores"
