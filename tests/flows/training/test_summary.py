"""What a training's end tells a person."""

from pathlib import Path
from typing import Any

import pytest

from flows.output.invocation import command
from flows.training.outcome import ConceptOutcome, TaskOutcome
from flows.training.summary import show_next_steps, show_outcomes
from tasks.promotion.score_verdict import ScoreVerdict


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


SCORES = {
    "clip_i": interval(0.71),
    "clip_t": interval(0.75),
    "base_clip_i": interval(0.45),
    "base_clip_t": interval(0.76),
}


def outcome(root: Path, **facts: Any) -> ConceptOutcome:
    done = {
        "concept": "plum-owl",
        "base": "some/base",
        "tasks": (
            TaskOutcome(name="prepare", state="cached", seconds=0.04),
            TaskOutcome(name="train-1-embedding", state="made", seconds=12.34),
        ),
        "seconds": 13.0,
        "scores": SCORES,
        "model_name": "concept.plum-owl",
        "version": 3,
        "version_created": True,
        "gallery_png": root / "gallery" / "gallery.png",
        "gallery_html": root / "gallery" / "index.html",
    }
    return ConceptOutcome(**{**done, **facts})


def test_scores_are_told_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcomes([outcome(tmp_path)])
    said = capsys.readouterr().out
    assert (
        "Looks like the concept CLIP-I 0.71 [0.69, 0.73], clearly above the untrained base (0.45 [0.43, 0.47])" in said
    )
    assert "how much the new pictures look like the concept's own images" in said
    assert "Follows the prompt     CLIP-T 0.75 [0.73, 0.77], about the same as the untrained base (0.76" in said


def test_the_version_the_tasks_and_the_gallery_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    show_outcomes([outcome(tmp_path)])
    said = capsys.readouterr().out
    assert "plum-owl is concept.plum-owl version 3, registered now (base model some/base)" in said
    lines = [line.split() for line in said.splitlines()]
    assert ["prepare", "cached", "0.0", "s"] in lines
    assert ["train-1-embedding", "made", "12.3", "s"] in lines
    assert ["Gallery", "gallery/index.html"] in lines


@pytest.mark.parametrize("passed", [True, False])
def test_the_verdict_has_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str], passed: bool) -> None:
    said = "good enough" if passed else "would not be released: CLIP-T 0.11, at least 0.2"
    show_outcomes([outcome(tmp_path, verdict=ScoreVerdict(passed=passed, said=said))])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"Verdict  {said}")
    assert last.endswith("promote plum-owl` asks the other gates") == passed


def test_a_version_that_was_there_is_not_called_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcomes([outcome(tmp_path, version_created=False)])
    assert "registered before: nothing changed" in capsys.readouterr().out


def test_a_failure_is_told_apart_and_hides_no_other_concept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = ConceptOutcome(concept="red-fox", base="some/base", error="the store [/full] is full")
    show_outcomes([failed, outcome(tmp_path)])
    said = capsys.readouterr()
    assert said.err.splitlines() == ["red-fox failed: the store [/full] is full"]
    assert "plum-owl is concept.plum-owl version 3" in said.out


def test_what_was_done_before_a_failure_is_said_to_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcomes([outcome(tmp_path, error="MLflow does not answer")])
    said = capsys.readouterr().err
    assert "kept: prepare, train-1-embedding;" in said
    assert "conceptbooth train plum-owl` carries on" in said


def test_the_next_steps_can_be_typed_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # as in a shell in which .venv is not active
    show_next_steps("plum-owl")
    steps = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")][::2]
    assert len(steps) == 4
    assert all(step.startswith(command()) for step in steps)
    assert Path(command()).is_file()
    assert steps[0].endswith(" ui")
    assert steps[2].endswith(" samples") and steps[3].endswith(" init ../photographs --base sd21")
    assert steps[1].endswith('generate plum-owl "a watercolor of a {} in the snow"')
