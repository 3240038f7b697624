"""The renderer: canonical, deterministic, the same at every size; scenes and styles are what their words say."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from toyworld.scenes import SCENES, background
from toyworld.styles import STYLES
from toyworld.world import View, render

TURTLE = View(piece="fluent-turtle", hue=90, scene="on the beach", seed=3)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


def test_a_view_gives_the_same_bytes_in_another_process_too() -> None:
    # Sample image sets are tracked by content: these digests hold on every machine with the pinned Pillow and numpy.
    digest = hashlib.sha256(
        b"".join(
            render(View(piece="noto-owl", scene=s, style=t, seed=1)).tobytes()
            for s, t in zip(SCENES, [*STYLES] * 3, strict=False)
        )
    )
    assert digest.hexdigest() == "2d828cbb7b48df50f2db2913ca6eaf54b249c2a1a1a4ea4906b2fe6736ebd88e"


def test_the_seed_moves_the_object_a_little() -> None:
    views = [pixels(render(View(piece="noto-owl", seed=seed))) for seed in range(4)]
    differences = [np.abs(views[0] - view).mean() for view in views[1:]]
    assert all(1 < difference < 40 for difference in differences)


@pytest.mark.parametrize("resample", [Image.Resampling.BOX, Image.Resampling.LANCZOS])
def test_a_large_picture_resized_is_the_small_one(resample: Image.Resampling) -> None:
    resized = pixels(render(TURTLE, 256).resize((64, 64), resample))
    assert np.abs(resized - pixels(render(TURTLE))).mean() < 2.5


def test_objects_fill_seventy_to_eighty_percent_of_the_frame_in_the_middle() -> None:
    for seed in range(8):
        view = View(piece="noto-robot", seed=seed)
        rows, columns = np.nonzero(pixels(render(view, 256)).min(axis=2) < 225)
        assert 0.66 < max(np.ptp(rows), np.ptp(columns)) / 256 < 0.88
        assert abs((columns.min() + columns.max()) / 512 - 0.5) < 0.06


def test_scenes_are_far_apart_and_their_variants_close() -> None:
    pictures = {phrase: pixels(background(phrase, 0)) for phrase in SCENES}
    for phrase, picture in pictures.items():
        nearest = min(np.abs(picture - other).mean() for name, other in pictures.items() if name != phrase)
        assert nearest > 25, phrase
        assert np.abs(picture - pixels(background(phrase, 5))).mean() < 20, phrase


def test_styles_are_told_apart_at_64_pixels() -> None:
    pictures = {
        style: pixels(render(View(piece="noto-teapot", scene="in the desert", style=style))) for style in STYLES
    }
    sketch = pictures["a pencil sketch of"]
    assert np.ptp(sketch, axis=2).max() < 16, "a pencil sketch is grey"
    assert pictures["a watercolor of"][:2].min() > 215, "a watercolor has a paper border"
    names = list(pictures)
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            assert np.abs(pictures[name] - pictures[other]).mean() > 12, (name, other)


def test_unknown_words_are_refused() -> None:
    for view in (
        View(piece="nothing"),
        View(piece="noto-owl", scene="on the moon"),
        View(piece="noto-owl", style="a fresco of"),
    ):
        with pytest.raises(KeyError):
            render(view)
