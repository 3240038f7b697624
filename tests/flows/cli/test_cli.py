"""The command line as a shell sees it: exit codes, what goes to which stream, and how quick it is to load."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from typer import Option, Typer
from typer.main import get_command
from typer.testing import CliRunner

from flows.cli.app import app
from flows.output.console import ReportingCommand
from model.errors import InputError, WorkFailed

CONCEPTBOOTH = Path(sys.executable).parent / "conceptbooth"
COMMANDS = sorted(get_command(app).commands)
HEAVY = ("torch", "diffusers", "transformers", "mlflow", "dvc", "prefect", "numpy", "PIL")

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"
CONCEPT = "super_category: owl\nlicence: MIT\nsource: drawn\nconsent: not needed\n"


def conceptbooth(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONCEPTBOOTH_")}
    return subprocess.run(
        [str(CONCEPTBOOTH), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**environment, "COLUMNS": "100", **variables},
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    for name in ("brown-owl", "red-teapot"):
        (tmp_path / "data" / "concepts" / name).mkdir(parents=True)
        (tmp_path / "data" / "concepts" / name / "concept.yaml").write_text(CONCEPT)
    return tmp_path


def test_help_names_every_command(tmp_path: Path) -> None:
    done = conceptbooth("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert {"demo", "add", "train", "lineage", "promote", "deploy"} < set(COMMANDS)  # of each panel
    assert all(f" {command} " in done.stdout for command in COMMANDS)
    assert done.stderr == ""


def test_help_breaks_lines_where_the_terminal_ends_and_not_where_the_source_does() -> None:
    said = CliRunner().invoke(app, ["nightly", "--help"], env={"COLUMNS": "200"}).stdout
    assert "tried again the next night, then after 2, 4 and 7 nights, or as soon as it changes." in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    assert f"conceptbooth {command}" in said.stdout.partition("Examples")[2]


def test_the_command_line_loads_none_of_the_large_libraries(tmp_path: Path) -> None:
    code = f"import flows.cli.app, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train"], "NAME"),
        (["generate", "brown-owl"], "PROMPT"),
        (["generate", "brown-owl", "a {}", "-n", "0"], "--count"),
        (["generate", "brown-owl", "a {}", "--seed", "-1"], "--seed"),
        (["add", "new-owl", "a.png"], "--category"),
        (["list", "--jsn"], "--jsn"),
    ],
)
def test_wrong_usage_is_exit_code_2_on_standard_error(arguments: list[str], named: str) -> None:
    done = CliRunner().invoke(app, arguments, prog_name="conceptbooth")
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in done.stderr


def test_a_misspelt_command_is_one_message_in_a_shell_too(tmp_path: Path) -> None:
    done = conceptbooth("trian", "brown-owl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'train'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_project_the_way_out_is_named(tmp_path: Path) -> None:
    done = conceptbooth("list", cwd=tmp_path)
    assert done.returncode == 2
    assert "params.yaml" in done.stderr
    assert done.stdout == ""


def test_all_unknown_concepts_are_named_at_once_with_what_was_meant(project: Path) -> None:
    done = conceptbooth("train", "brown-oul", "brown-owl", "nothing", cwd=project)
    assert done.returncode == 2
    assert "concept 'brown-oul'" in done.stderr
    assert "did you mean 'brown-owl'?" in done.stderr
    assert "concept 'nothing'" in done.stderr
    assert "there are: brown-owl, red-teapot" in done.stderr
    assert not (project / ".conceptbooth" / "store").exists()


def test_an_error_is_json_where_json_was_asked_for(project: Path) -> None:
    done = conceptbooth("train", "nothing", "nobody", "--json", cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    error = json.loads(done.stderr)
    assert error["error"] == "input"
    named = [problem for problem in error["problems"] if problem.startswith("concept '")]
    assert [problem.split(":")[0] for problem in named] == ["concept 'nothing'", "concept 'nobody'"]


def test_absurd_numbers_in_params_are_reported_together(project: Path) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    (project / "params.yaml").write_text(
        text.replace("seed: 0\n", "seed: -3\n", 1)
        .replace("guidance_scale: 3.0", "guidance_scale: -1")
        .replace("preset: toyworld", "preset: nothing")
    )
    done = conceptbooth("train", "brown-owl", cwd=project)
    assert done.returncode == 2
    named = [line for line in done.stderr.splitlines() if line.startswith("  - params.yaml: ")]
    assert len(named) == 3
    for said in ("seed", "guidance_scale", "preset 'nothing'"):
        assert any(said in line for line in named)


def test_images_that_the_training_makes_itself_are_no_problem(project: Path) -> None:
    sample = project / "data" / "concepts" / "plum-turtle"
    sample.mkdir()
    (sample / "concept.yaml").write_text(CONCEPT)
    text = PARAMS.read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("preset: toyworld", "preset: nothing"))
    done = conceptbooth("train", "plum-turtle", "--json", cwd=project)
    (problem,) = json.loads(done.stderr)["problems"]
    assert "preset 'nothing'" in problem


def test_completion_knows_the_concepts(project: Path) -> None:
    done = conceptbooth(
        cwd=project,
        _CONCEPTBOOTH_COMPLETE="complete_bash",
        COMP_WORDS="conceptbooth train br",
        COMP_CWORD="2",
    )
    assert done.stdout.split() == ["brown-owl"]


def failing(error: BaseException) -> Typer:
    """A command line whose one command ends with `error`."""
    line = Typer(pretty_exceptions_enable=False)

    @line.command(cls=ReportingCommand)
    def work(as_json: Annotated[bool, Option("--json")] = False) -> None:
        raise error

    return line


@pytest.mark.parametrize(
    ("error", "code", "kind", "said"),
    [
        (InputError("one is wrong", "two is wrong"), 2, "input", "one is wrong"),
        (WorkFailed("the store is full"), 1, "failed", "the store is full"),
        (KeyboardInterrupt(), 130, "interrupted", "the same command carries on"),
        (ZeroDivisionError("by zero"), 1, "unexpected", "ZeroDivisionError: by zero"),
    ],
)
def test_every_failure_is_one_message_and_a_code(
    error: BaseException, code: int, kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONCEPTBOOTH_DEBUG", raising=False)
    result = CliRunner().invoke(failing(error))
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    as_json = CliRunner().invoke(failing(error), ["--json"])
    assert as_json.exit_code == code
    document = json.loads(as_json.stderr)
    assert document["error"] == kind
    assert any(said in problem for problem in document["problems"])


def test_all_problems_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONCEPTBOOTH_DEBUG", raising=False)
    said = CliRunner().invoke(failing(InputError("[one]", "two"))).stderr
    assert said.splitlines() == ["2 problems, nothing was done:", "  - [one]", "  - two"]


def test_debug_shows_where_an_error_comes_from(project: Path) -> None:
    done = conceptbooth("--debug", "train", "nothing", cwd=project)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "Traceback" in conceptbooth("train", "nothing", cwd=project, CONCEPTBOOTH_DEBUG="1").stderr


def test_version(tmp_path: Path) -> None:
    done = conceptbooth("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "conceptbooth 0.1.0\n")
