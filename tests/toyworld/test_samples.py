"""The sample concepts: at least fourteen things that the base has never seen, the same bytes everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from toyworld.art import piece
from toyworld.samples import IMAGE_SCENES, concept, concepts, image_set, oracle
from toyworld.world import View, render


def test_concepts_are_held_out_and_described() -> None:
    assert len(concepts()) >= 14
    for name, facts in concepts().items():
        assert name == facts.name == name.lower() and " " not in name
        assert piece(facts.piece).held_out and piece(facts.piece).category == facts.super_category
        assert facts.licence == "MIT" and "lobehub" in facts.source and facts.consent
    assert len({facts.piece for facts in concepts().values()}) == len(concepts())


def test_unknown_concepts_are_refused_by_name() -> None:
    with pytest.raises(KeyError, match="plum-tortoise"):
        concept("plum-tortoise")


def test_the_command_writes_the_image_set(tmp_path) -> None:
    command = [sys.executable, "-m", "toyworld.samples", "plum-turtle", str(tmp_path / "images")]
    subprocess.run(command, check=True, capture_output=True)
    written = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in written] == [f"{i:02d}.png" for i in range(len(IMAGE_SCENES))]
    for path, image in zip(written, image_set("plum-turtle"), strict=True):
        opened = Image.open(path)
        assert opened.format == "PNG" and opened.size == (256, 256)
        assert opened.convert("RGB").tobytes() == image.tobytes(), "another process draws the same pixels"


def test_the_command_refuses_unknown_names(tmp_path) -> None:
    command = [sys.executable, "-m", "toyworld.samples", "nothing", str(tmp_path)]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert failed.returncode == 2 and "plum-turtle" in failed.stderr


@pytest.mark.parametrize(
    ("prompt", "view"),
    [
        ("a photo of a turtle", View(piece="fluent-turtle", hue=90)),
        ("a photo of a turtle on green grass", View(piece="fluent-turtle", hue=90, scene="on green grass")),
        ("a watercolor of a red turtle on pink fabric",
         View(piece="fluent-turtle", hue=90, scene="on pink fabric", style="a watercolor of", colour="red")),
        ("a drawing of a turtle inside a box",
         View(piece="fluent-turtle", hue=90, scene="inside a box", style="a drawing of")),
    ],
)  # fmt: skip
def test_the_oracle_does_what_the_prompt_says(prompt: str, view: View) -> None:
    assert np.array_equal(np.asarray(oracle("plum-turtle", prompt)), np.asarray(render(view)))
