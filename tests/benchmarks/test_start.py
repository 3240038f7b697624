"""The benchmark of start times: commands take turns with Python itself, and its record is whole."""

import json
import sys

from benchmarks import start

VERSION = "conceptbooth --version"


def test_a_command_takes_longer_than_python(monkeypatch, tmp_path, capsys):
    path = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["start", "--repeats", "1", "--commands", VERSION, "--json", str(path)])
    start.main()
    python, version = json.loads(path.read_text())["rows"]
    assert (python["command"], version["command"]) == (start.PYTHON, VERSION)
    assert python["ratio"] == 1 and 0 < version["ratio_low"] == version["ratio"] < 1
    assert version["over_python"] > 0 and version["seconds"] > 0
    assert VERSION in capsys.readouterr().out
