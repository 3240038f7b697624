"""What is printed holds paths and names as they are: brackets are no markup, bytes that are no text stop nothing."""

import io
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.cli.panel import Panel
from flows.output.console import notices, print_json, results
from flows.output.progress import TerminalReporter
from tests.training_project import add_concept

NAMES = ("[/nope]", "out[red]side[", "[bold]x[/bold]", "a:cat:b", "[link=x]y[/]")
FLOWS = Path(__file__).resolve().parents[3] / "flows"


@pytest.mark.parametrize("name", NAMES)
def test_brackets_are_no_markup(capsys, name: str) -> None:
    table = Table(name)
    table.add_row(name)
    results().print(name, table)
    notices().print(name)
    out, err = capsys.readouterr()
    assert out.count(name) == 3
    assert err == f"{name}\n"


@pytest.mark.parametrize("name", NAMES)
def test_nor_are_they_beside_a_bar(name: str) -> None:
    file = io.StringIO()
    reporter = TerminalReporter(Console(file=file, force_terminal=True, width=200))
    reporter.begin(name, 3, "pictures")
    reporter.advance(1, name)
    reporter.end()
    assert name in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())


def test_nothing_in_flows_is_written_as_markup() -> None:
    style = re.compile(r"print\(.*\[/?(bold|dim|red|green|yellow|cyan)?\]")
    lines = (line for path in FLOWS.rglob("*.py") for line in path.read_text().splitlines())
    assert [line for line in lines if style.search(line)] == []


def test_a_name_that_is_no_text_is_written_all_the_same(monkeypatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    name = os.fsdecode(b"caf\xe9")
    results().print(name)
    print_json({"name": name})
    out.flush()
    first, *rest = out.buffer.getvalue().decode().splitlines()
    assert first == "caf\\udce9"
    assert json.loads("".join(rest)) == {"name": name}


def test_a_project_in_a_folder_with_brackets(project, monkeypatch) -> None:
    root = project.root.rename(project.root.with_name("out[red]side["))
    add_concept(root, "broken")
    (root / "data/concepts/broken/concept.yaml").write_text("x: '[/nope]'\n")
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "turtle" in done.stdout
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "400"})
    assert f"{root}" in done.stdout
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)


def at_work(seconds: float, *, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A command that says nothing for so long, on a terminal or elsewhere."""
    panel = Panel("A panel")

    @panel.command("think")
    def think() -> None:
        """Think."""
        time.sleep(seconds)
        results().print("done")

    monkeypatch.setattr("flows.output.wheel.AFTER_SECONDS", 0.1)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    return CliRunner().invoke(panel.commands, [])


def test_a_command_that_takes_long_says_on_a_terminal_that_it_is_at_work(monkeypatch) -> None:
    done = at_work(0.5, terminal=True, monkeypatch=monkeypatch)
    assert (done.exit_code, done.stdout) == (0, "done\n")
    assert "think: at work ..." in done.stderr
    assert done.stderr.rstrip().endswith("\x1b[2K")  # and takes that away


@pytest.mark.parametrize(("seconds", "terminal"), [(0.5, False), (0.0, True)])
def test_nothing_turns_elsewhere_or_before_a_quick_answer(seconds: float, terminal: bool, monkeypatch) -> None:
    done = at_work(seconds, terminal=terminal, monkeypatch=monkeypatch)
    assert (done.stdout, done.stderr) == ("done\n", "")


HOSTILE = "2026\x1b[2J\x1b]0;x\x07\x9b1A\x7f\r\u202everified"


def test_no_terminal_obeys_what_others_wrote(capsys) -> None:
    """The date of a record could move the cursor and write "verified" over the faults above it."""
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for console in (results(), notices()):
        console.print(Text(HOSTILE, style="bold"), soft_wrap=True)
        console.print(HOSTILE, table)
        console.print(Text("two\nlines"))
    out, err = capsys.readouterr()
    for shown in (out, err):
        assert "2026\\x1b[2J" in shown and "\\u202everified" in shown and "two\nlines" in shown
        assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []
    print_json({"at": HOSTILE, "wo": "früher\n"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"at": HOSTILE, "wo": "früher\n"} and "früher" in out
    assert [letter for letter in out if not letter.isprintable() and letter != "\n"] == []


def test_colours_and_moves_of_ours_still_reach_a_terminal(monkeypatch) -> None:
    stream = io.StringIO()
    console = results()
    monkeypatch.setattr(console, "file", stream)
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "_color_system", 1)
    console.print(Text("red", style="red"))
    console.show_cursor(False)
    assert "\x1b[31mred\x1b[0m" in stream.getvalue() and "\x1b[?25l" in stream.getvalue()
