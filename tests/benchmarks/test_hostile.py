"""The benchmark of hostile input runs, and says so where something does not hold."""

import sys

from benchmarks.hostile import __main__ as hostile
from benchmarks.hostile import changed_bytes
from benchmarks.hostile.parts import Tried


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
