"""Trainings that the booth starts, by their notes: one that died without a word has failed, and says so."""

import shutil
from pathlib import Path

import pytest

from flows.booth import trainings as trainings_module
from flows.booth.training_note import NoteReporter, TrainingNote, read_note, write_note
from flows.booth.trainings import Trainings
from tasks.files.process import this_process
from tasks.project.settings import Settings


def test_a_note_says_how_far_the_work_is(tmp_path: Path):
    file = tmp_path / "trainings" / "owl.json"
    reporter = NoteReporter(file, TrainingNote(concept="owl", state="training", process=this_process()))
    reporter.begin("owl train-1-embedding", 60, "steps")
    note = read_note(file)
    assert note and note.is_running and note.work and (note.work.done, note.work.total) == (0, 60)
    reporter.tell("owl prepare: made in 0.1 s")
    reporter.end()
    reporter.change(state="done", said="version 1")
    assert read_note(file) == TrainingNote(
        concept="owl",
        state="done",
        said="version 1",
        lines=("owl prepare: made in 0.1 s",),
        process=this_process(),
        began=note.began,
    )


def test_a_training_that_was_killed_has_failed(tmp_path: Path):
    file = tmp_path / "owl.json"
    gone = {**this_process(), "pid": 2**22 + 1, "started": "1"}
    write_note(file, TrainingNote(concept="owl", state="training", process=gone))
    note = read_note(file)
    assert note and note.state == "failed" and "carries on from there" in note.said
    file.write_text("{half")
    assert read_note(file) is None


def test_a_program_that_ends_before_it_begins_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trainings_module.sys, "executable", shutil.which("false"))
    trainings = Trainings(Settings(root=tmp_path))
    assert trainings.start("owl").state == "waiting"
    trainings._processes["owl"].wait(timeout=20)
    note = trainings.of("owl")
    assert note and note.state == "failed" and "owl.log" in note.said
