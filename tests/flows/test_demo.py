"""`conceptbooth demo`: what it refuses; that it works is shown by running it from a fresh clone."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("demo: plum-turtle", "concept 'plum-turtle': there is none"),
        ("demo: null", "demo = None; write one of plum-turtle, rose-backpack, mint-teddy"),
        ("demo: nobody", "demo = 'nobody'; write one of plum-turtle, rose-backpack, mint-teddy"),
    ],
)
def test_a_demo_without_its_concept_is_refused(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    assert "\ndemo: plum-turtle\n" in text
    (tmp_path / "params.yaml").write_text(text.replace("\ndemo: plum-turtle\n", f"\n{line}\n"), encoding="utf-8")
    monkeypatch.setattr(os, "environ", os.environ.copy())  # what a command sets must not reach the next test
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["demo"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / ".conceptbooth").exists()
