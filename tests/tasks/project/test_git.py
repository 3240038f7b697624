"""What manifests say about the place of the work."""

import os
from pathlib import Path

import pytest

from tasks.project.git import git_facts, git_ignores, git_problem, git_status
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


def _repository(folder: Path) -> Path:
    """A project, committed, with a file `images.dvc`, in `folder` of a repository of its own or of another project."""
    project = folder / "inner" / "booth"
    (project / "data").mkdir(parents=True)
    for name in ("params.yaml", "data/images.dvc", "data/with space.dvc"):
        (project / name).write_text("one")
    git(folder, "init", "--quiet")
    commit(folder)
    return project


@pytest.mark.parametrize("kind", ["subfolder", "worktree", "submodule", "shallow clone", "linked"])
def test_what_is_committed_is_asked_from_the_top_of_the_repository(tmp_path: Path, kind: str) -> None:
    (tmp_path / "repository").mkdir()
    project = _repository(tmp_path / "repository")
    if kind == "worktree":
        git(tmp_path / "repository", "worktree", "add", "--quiet", str(tmp_path / "tree"))
        project = tmp_path / "tree" / "inner" / "booth"
    elif kind == "submodule":
        (tmp_path / "outer").mkdir()
        git(tmp_path / "outer", "init", "--quiet")
        allowed = ("-c", "protocol.file.allow=always")
        git(tmp_path / "outer", *allowed, "submodule", "add", "--quiet", str(tmp_path / "repository"), "part")
        project = tmp_path / "outer" / "part" / "inner" / "booth"
    elif kind == "shallow clone":
        git(tmp_path, "clone", "--quiet", "--depth", "1", (tmp_path / "repository").as_uri(), "clone")
        project = tmp_path / "clone" / "inner" / "booth"
    elif kind == "linked":
        (tmp_path / "link").symlink_to(project)
        project = tmp_path / "link"

    def records(name: str) -> bool:
        return git_status(project, "--untracked-files=all", places=[project / "data"]).records(project / "data" / name)

    assert records("images.dvc")
    assert records("with space.dvc")
    (project / "data/images.dvc").write_text("another")
    (project / "data/with space.dvc").write_text("another")
    (project / "data/new.dvc").write_text("new")
    assert not records("images.dvc")
    assert not records("with space.dvc")
    assert not records("new.dvc")
    assert git_facts(project)["dirty"]


def test_what_lies_behind_a_link_is_what_git_says_of_its_place(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    project = _repository(tmp_path / "repository")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "images.dvc").write_text("nobody has committed this")
    (project / "data/linked").symlink_to(outside)
    commit(tmp_path / "repository")
    state = git_status(project, "--untracked-files=all", places=[project / "data", outside])
    assert state.commit and state.records(project / "data/images.dvc")
    assert not state.records(project / "data/linked/images.dvc")
    assert not git_status(project, places=[project / "data"]).records(project / "params.yaml"), "nobody asked"


def test_why_git_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, way_out = git_problem(tmp_path) or ("", "")
    assert "is in no git repository" in found and "git init" in way_out
    git(tmp_path, "init", "--quiet")
    assert git_problem(tmp_path) is None
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")  # git's own way to test what it says to others
    found, way_out = git_problem(tmp_path) or ("", "")
    assert "belongs to another user (dubious ownership)" in found
    assert way_out == f"`git config --global --add safe.directory {tmp_path}` trusts it"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_problem(tmp_path) == ("git is not installed", "DVC needs it: install git")
    assert git_facts(tmp_path) is None


def test_what_git_would_leave_out(tmp_path: Path) -> None:
    names = ["data/a/concept.yaml", "data/a/images.dvc", "data/a/caf\u00e9.dvc"]
    asked = [Path(name) for name in names]
    assert git_ignores(tmp_path, asked) == []
    git(tmp_path, "init", "--quiet")
    assert git_ignores(tmp_path, asked) == []
    (tmp_path / ".gitignore").write_text("*.png\n*.dvc\n!data/a/images.dvc\n")
    assert git_ignores(tmp_path, asked) == ["data/a/caf\u00e9.dvc: ignored by git (.gitignore line 2: *.dvc)"]
    (tmp_path / ".gitignore").write_text("data/\n")
    assert len(git_ignores(tmp_path, asked)) == 3
