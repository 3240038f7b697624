"""Picture files of odd kinds: read as every viewer shows them, or refused in one sentence; never in wrong colours."""

import re
from pathlib import Path

import numpy as np
import pytest

from model.errors import InputError
from tasks.concepts.image_checks import find_images
from tasks.concepts.image_reading import normalise_image
from tests.data_project import REPOSITORY
from tests.hostile_pictures import Case, cases

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[case.called for case in CASES])
def test_what_becomes_of_it(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    assert find_images([tmp_path]).files == (path,)
    if case.pixels is None:
        with pytest.raises(InputError) as caught:
            normalise_image(path)
        (problem,) = caught.value.problems
        assert problem.startswith(f"{path}: ")
        assert case.says in problem
    else:
        read = np.asarray(normalise_image(path)).astype(float)
        assert read.shape == case.pixels.shape
        assert np.abs(read - case.pixels).mean() <= case.tolerance


def test_as_many_as_are_promised() -> None:
    assert len({case.called for case in CASES}) >= 60


def test_every_picture_is_opened_in_one_place() -> None:
    """`Image.open` without a list of formats would start Ghostscript for a file that says it is PostScript."""
    sources = [path for room in ("flows", "tasks", "model") for path in (REPOSITORY / room).rglob("*.py")]
    found = {path for path in sources if re.search(r"^[^#\"]*\bImage\.open\(", path.read_text("utf-8"), re.MULTILINE)}
    assert found == {REPOSITORY / "model/reading/pictures.py", REPOSITORY / "model/__init__.py"}
