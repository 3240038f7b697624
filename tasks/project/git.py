"""What git says of the project: the newest commit, what differs from it, what it leaves out, why it says nothing."""

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.files.text_names import is_utf8

NOT_A_REPOSITORY = "git init && git add --all && git commit --message first"


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The newest commit and the paths that differ from it."""

    commit: str | None = None
    changed: frozenset[str] = frozenset()
    """From the repository's top, which may be above the project; a folder ends with "/"."""
    top: Path | None = None
    """The repository's top; None outside one."""
    asked: tuple[Path, ...] = ()
    """What git was asked about, links followed; of other files nothing is known."""

    def records(self, file: Path) -> bool:
        """Whether the commit holds this file as it is now. Behind a link git sees the link alone, so it is followed."""
        if self.commit is None or self.top is None:
            return False
        real = Path(os.path.realpath(file))
        if not any(real.is_relative_to(place) for place in self.asked):
            return False
        parts = real.relative_to(self.top).parts
        above = {"/".join(parts[:n]) for n in range(1, len(parts))}
        return not {*above, *(f"{path}/" for path in above), "/".join(parts)} & self.changed


def git_status(root: Path, *options: str, places: Sequence[Path] = ()) -> GitState:
    """What `git status` says of the project, or of some places in it; nothing without git or outside a repository.

    A repository before its first commit has the commit None.
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        repository = Path(os.path.realpath(top.stdout.rstrip("\n")))
        wanted = [Path(os.path.realpath(place)) for place in places or (repository,)]
        inside = tuple(place for place in wanted if place.is_relative_to(repository))
        format_ = ("--porcelain=v2", "--branch", "-z", "--no-renames")
        # without any place git would say everything
        done = _git(root, "status", *format_, *options, "--", *map(str, inside or (repository / "params.yaml",)))
    except FileNotFoundError:  # no git here
        return GitState()
    if top.returncode != 0 or done.returncode != 0:
        return GitState()
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
    return GitState(commit=commit, changed=frozenset(changed), top=repository, asked=inside)


def git_facts(root: Path) -> dict[str, Any] | None:
    """Newest commit of the project, and whether tracked files differ from it; None where there is no commit."""
    state = git_status(root, "--untracked-files=no")
    return {"commit": state.commit, "dirty": bool(state.changed)} if state.commit else None


def committed_blobs(root: Path, commit: str, files: Iterable[Path]) -> dict[str, str] | None:
    """git's blob of each file, by its path from the repository's top, where the commit holds just these bytes.

    None where one of them differs, is not in the commit, or lies outside the repository; and where git was told to
    overlook changes (assume-unchanged, skip-worktree): what it calls clean proves nothing then.
    """
    try:
        top = Path(os.path.realpath(_git(root, "rev-parse", "--show-toplevel").stdout.rstrip("\n")))
        flags = _git(top, "ls-files", "-v", "-z").stdout.split("\0")
        overlooked = [entry[2:] for entry in flags if entry and (entry[0].islower() or entry[0] == "S")]
        if any((top / name).exists() for name in overlooked):
            return None
        real = [Path(os.path.realpath(file)) for file in files]
        if not all(file.is_relative_to(top) and file.is_file() and "\n" not in str(file) for file in real):
            return None
        names = list(dict.fromkeys(file.relative_to(top).as_posix() for file in real))
        listed = _git(top, "ls-tree", "-z", "--full-tree", commit, "--", *names).stdout.split("\0")[:-1]
        hashed = _git(top, "hash-object", "--stdin-paths", given="\n".join(names) + "\n").stdout.split()
    except FileNotFoundError:
        return None
    there = {path: facts.split()[2] for facts, path in (entry.split("\t", 1) for entry in listed)}
    here = dict(zip(names, hashed, strict=False))
    return here if len(hashed) == len(names) and here == there else None


def git_problem(root: Path) -> tuple[str, str] | None:
    """Why git says nothing of the project, and the way out; None where the project is in a repository."""
    try:
        done = _git(root, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return "git is not installed", "DVC needs it: install git"
    if done.returncode == 0:
        return None
    if "dubious ownership" in done.stderr:
        trust = re.search(r"git config --global --add safe\.directory .+", done.stderr)
        return (
            f"git does not read the repository of {root}, since it belongs to another user (dubious ownership)",
            f"`{trust[0].strip() if trust else 'git config --global --add safe.directory FOLDER'}` trusts it",
        )
    if "not a git repository" in done.stderr:
        return (
            f"{root} is in no git repository, which a ZIP of a project is not",
            f"image sets are recorded in one: `{NOT_A_REPOSITORY}`",
        )
    return f"git does not read the repository of {root}", " ".join(done.stderr.split())


def git_ignores(root: Path, files: Iterable[Path]) -> list[str]:
    """Which of these files, there or not, git would leave out, with the rule that says so; nothing outside git."""
    asked = [str(file) for file in files if is_utf8(str(file))]
    try:
        done = _git(root, "check-ignore", "--verbose", "-z", "--stdin", given="\0".join(asked))
    except FileNotFoundError:
        return []
    fields = done.stdout.split("\0")[:-1]
    rules = zip(*(fields[part::4] for part in range(4)), strict=True)
    return [
        f"{path}: ignored by git ({source} line {line}: {pattern})"
        for source, line, pattern, path in rules
        if not pattern.startswith("!")
    ]


def _git(root: Path, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    # Names of files are bytes, and not always UTF-8; what git says is read, so it is asked in English.
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, "LC_ALL": "C"},
        input=given,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
