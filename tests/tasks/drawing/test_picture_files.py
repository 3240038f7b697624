"""Pictures as files: nothing that is there is written over."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from model.marks.marking import Mark, marked_png
from tasks.drawing.picture_files import write_picture


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    mark = Mark(concept="owl", content="c" * 64, version=1, prompt="a {}", text="an owl", seed=0, index=0)
    red, blue = (marked_png(Image.new("RGB", (4, 4), colour), mark) for colour in ("red", "blue"))
    first = write_picture(tmp_path, "picture", red)
    assert write_picture(tmp_path, "picture", red) == first
    second = write_picture(tmp_path, "picture", blue)
    assert second.name == "picture (2).png"
    assert write_picture(tmp_path, "picture", blue) == second
    assert np.asarray(Image.open(first))[0, 0].tolist() == [255, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture (2).png", "picture.png"]

    def sign(png: bytes) -> bytes:  # each time other bytes
        return png[:33] + (4).to_bytes(4, "big") + b"caBX" + os.urandom(8) + png[33:]

    third = write_picture(tmp_path, "picture", blue, sign)
    assert third.name == "picture (3).png", "an unsigned picture is no signed one"
    assert write_picture(tmp_path, "picture", blue, sign) == third
