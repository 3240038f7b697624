"""Where work was done: the commit of the project and the device, for manifests. None of it is in a key."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The newest commit and the paths below the project's root that differ from it."""

    commit: str | None
    changed: frozenset[str]

    def records(self, relpath: str) -> bool:
        """Whether the commit holds this file as it is now."""
        parts = Path(relpath).parts
        paths = {"/".join(parts[:n]) + "/" for n in range(1, len(parts))} | {relpath}
        return self.commit is not None and not paths & self.changed


def git_status(root: Path, *arguments: str) -> GitState | None:
    """What `git status` with these arguments says; None without git or outside a repository.

    A repository before its first commit has the commit None.
    """
    command = ["git", "status", "--porcelain=v2", "--branch", "-z", "--no-renames", *arguments]
    try:
        # names of files are bytes, and not always UTF-8
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:  # no git here
        return None
    if done.returncode != 0:
        return None
    commit, changed = None, set()
    for entry in done.stdout.split("\0"):
        match entry[:1]:
            case "#" if entry.startswith("# branch.oid ") and not entry.endswith("(initial)"):
                commit = entry.split()[-1]
            case "?" | "!":
                changed.add(entry[2:])
            case "1":  # changed: eight fields before the path
                changed.add(entry.split(" ", 8)[-1])
            case "u":  # in conflict: ten fields
                changed.add(entry.split(" ", 10)[-1])
    return GitState(commit=commit, changed=frozenset(changed))


def git_facts(root: Path) -> dict[str, Any] | None:
    """Newest commit of the project, and whether tracked files differ from it; None where there is no commit."""
    state = git_status(root, "--untracked-files=no")
    return {"commit": state.commit, "dirty": bool(state.changed)} if state and state.commit else None
