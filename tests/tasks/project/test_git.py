"""What manifests say about the place of the work."""

import os
from pathlib import Path

from tasks.project.git import git_facts, git_status
from tests.data_project import commit, git


def test_a_commit_is_recorded_once_there_is_one(tmp_path: Path) -> None:
    assert git_facts(tmp_path) is None, "no repository"
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file name").write_text("one")
    git(tmp_path, "add", "--all")
    assert git_facts(tmp_path) is None, "a repository without a commit"

    made = commit(tmp_path)
    (tmp_path / "another").touch()
    assert git_facts(tmp_path) == {"commit": made, "dirty": False}, "what git does not track decides nothing"

    git(tmp_path, "mv", "file name", "renamed")
    assert git_facts(tmp_path) == {"commit": made, "dirty": True}


def test_files_are_named_in_bytes(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "one").touch()
    commit(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).touch()
    assert git_status(tmp_path).changed == {"caf\udce9"}
