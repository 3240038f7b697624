"""The benchmark of hostile input runs, and says so where something does not hold."""

import sys
from pathlib import Path

import pytest

from benchmarks.hostile import __main__ as hostile
from benchmarks.hostile import changed_bytes, tested
from benchmarks.hostile.parts import TESTED, Tried


def test_changed_bytes_are_noticed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(changed_bytes, "RANDOM", 2)
    monkeypatch.setattr(changed_bytes, "AIMED", 4)
    monkeypatch.setattr(sys, "argv", ["hostile", "bytes", "--verbose"])
    assert hostile.main() == 0
    assert capsys.readouterr().out.count("held: ") == 6


def test_what_does_not_hold_is_named_and_the_exit_code_says_so(monkeypatch, capsys) -> None:
    def one() -> list[Tried]:
        return [Tried(what="an attempt", held=False, said="nothing noticed it")]

    monkeypatch.setattr(hostile, "attempts_of", lambda part: iter(one()))
    monkeypatch.setattr(sys, "argv", ["hostile", "bytes"])
    assert hostile.main() == 1
    assert "NOT HELD: an attempt" in capsys.readouterr().out


def test_cases_that_stand_in_tests_are_counted_one_by_one(tmp_path) -> None:
    file = tmp_path / "test_cases_of_a_part.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, 2, 3])\n"
        "def test_it(n): assert n != 2\n"
        "def test_not_here(): pytest.skip('for want of it')\n"
    )
    tried = list(tested.attempts([str(file)]))
    assert [(each.what, each.held) for each in tried] == [
        ("test_it[1]", True),
        ("test_it[2]", False),
        ("test_it[3]", True),
    ]


def test_files_that_are_gone_are_not_taken_for_cases_that_held(tmp_path) -> None:
    with pytest.raises(RuntimeError, match="USAGE_ERROR"):
        list(tested.attempts([str(tmp_path / "test_gone.py")]))


def test_every_part_names_files_that_are_there() -> None:
    root = Path(__file__).parents[2]
    assert all((root / file).is_file() for files in TESTED.values() for file in files)
