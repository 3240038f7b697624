"""`conceptbooth init` and `samples`, as a newcomer calls them."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.concepts.concepts import concept_names
from tasks.project.settings import load_settings
from tests.data_project import git


@pytest.fixture(scope="module")
def toyworld(tmp_path_factory) -> Path:
    """A project on the embedded base, as `init` makes it; tests that change it come last."""
    folder = tmp_path_factory.mktemp("init") / "try it"
    done = CliRunner().invoke(app, ["init", str(folder), "--base", "toyworld"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "in git, with DVC set up" in done.stdout
    steps = [line.strip() for line in done.stdout.split("Try next")[1].splitlines() if line.startswith("  ")]
    assert steps[0] == f"cd '{folder}'" and steps[1].endswith("conceptbooth demo")
    return folder


def call(folder: Path, *arguments: str) -> str:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    finally:
        os.chdir(here)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_has_the_sample_of_its_demo_committed_and_nothing_is_wrong(toyworld):
    assert concept_names(load_settings(toyworld)) == ["rose-backpack"]
    assert git(toyworld, "status", "--porcelain") == ""
    found = json.loads(call(toyworld, "doctor", "--json"))
    assert found["ok"], [each for each in found["findings"] if each["state"] == "problem"]
    (concept,) = (each for each in found["findings"] if each["what"] == "concept rose-backpack")
    assert (concept["state"], "in git's newest commit" in concept["found"]) == ("ok", True)
    (plan,) = json.loads(call(toyworld, "plan", "--json"))["concepts"]
    assert plan["concept"] == "rose-backpack" and plan["state"] == "stale", "ready to be trained"


def test_more_samples_are_listed_and_taken_in(toyworld):
    rows = json.loads(call(toyworld, "samples", "--json"))
    assert len(rows) >= 14 and [row["name"] for row in rows if row["in_project"]] == ["rose-backpack"]
    said = call(toyworld, "samples", "jade-teapot", "rose-backpack")
    assert "There before: rose-backpack" in said and "Added: jade-teapot" in said
    (row,) = (row for row in json.loads(call(toyworld, "list", "--json")) if row["name"] == "jade-teapot")
    assert (row["super_category"], row["images"], row["licence"]) == ("teapot", 5, "MIT")


def test_a_base_for_photographs_has_no_samples_and_says_what_comes_next(tmp_path):
    done = CliRunner().invoke(app, ["init", str(tmp_path / "p"), "--base", "some/base"], env={"COLUMNS": "200"})
    assert "some/base is not pinned to a commit yet" in done.stdout and "base_licence" in done.stdout
    found = json.loads(CliRunner().invoke(app, ["init", str(tmp_path / "q"), "--base", "sd21", "--json"]).stdout)
    assert found["samples"] == [] and len(found["base"]["revision"]) == 40
    here = Path.cwd()
    os.chdir(tmp_path / "q")
    try:
        for named in ([], ["jade-teapot"]):
            refused = CliRunner().invoke(app, ["samples", *named])
            assert refused.exit_code == 2 and "import google-dreambooth" in refused.stderr
        beside = CliRunner().invoke(
            app, ["init", "../r", "--base", "sd15"]
        )  # as messages say it, from inside a project
        again = CliRunner().invoke(app, ["init", str(tmp_path / "q"), "--base", "sd21", "--json"])
    finally:
        os.chdir(here)
    assert beside.exit_code == 0 and (tmp_path / "r/params.yaml").is_file()
    assert again.exit_code == 2 and json.loads(again.stderr)["error"] == "input"
