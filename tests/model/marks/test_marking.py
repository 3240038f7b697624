"""Reading marks out of files that anybody may have sent."""

import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from model.errors import InputError
from model.marks.marking import read_mark
from tests.picture_files import chunk, picture, png


def test_no_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to whatever is called gs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    started = tmp_path / "started"
    for name in ("gs", "gswin64c"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    path = tmp_path / "e.eps"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(InputError, match=r"e\.eps: no picture that can be read"):
        read_mark(path)
    assert not started.exists()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "zero", "garbage", "text", "folder"])
def test_what_is_no_picture_is_one_problem(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "garbage":
            path.write_bytes(png(picture(), chunk(b"cHRM", b"\0")))
        case "text":
            path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
        case _:
            path.mkdir()
    with pytest.raises(InputError) as caught:
        read_mark(path)
    assert len(caught.value.problems) == 1
    assert str(path) in str(caught.value)
