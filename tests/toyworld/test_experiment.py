"""The project in which methods are compared: its concepts, and the look-alikes that they are told from."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from toyworld.art import cutout, piece
from toyworld.experiment import CHECKOUT, REPORTED, TUNING, write
from toyworld.look_alikes import look_alike_images, look_alikes
from toyworld.samples import IMAGE_SCENES, concepts, image_set

SOME = ("plum-turtle", "mallard")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("experiment") / "deep" / "project"
    write(folder, SOME)
    return folder


def test_nothing_is_tuned_on_what_is_reported() -> None:
    assert len(REPORTED) >= 12 and len(TUNING) >= 3
    assert not set(REPORTED) & set(TUNING)
    assert all(piece(concepts()[name].piece).held_out for name in (*REPORTED, *TUNING))
    samples = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["samples"]
    assert set(samples) <= set(TUNING), "who builds the project looks at its samples' pictures all the time"


def test_the_project_has_concepts_models_and_prompts(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    for model in ("base", "evaluator", "identity_model"):
        assert (project / params[model]).is_dir()
    assert (project / params["evaluation"]["prompts"]).is_file()
    assert (project / "reported.txt").read_text().split() == list(REPORTED)
    for name in SOME:
        home = project / "data" / "concepts" / name
        assert yaml.safe_load((home / "concept.yaml").read_text())["super_category"] == concepts()[name].super_category
        drawn = [Image.open(path).tobytes() for path in sorted((home / "images").iterdir())]
        assert drawn == [image.tobytes() for image in image_set(name)]
        assert len(list((project / "look-alikes" / name).iterdir())) >= len(IMAGE_SCENES)


def test_it_is_a_project_of_conceptbooth(project: Path) -> None:
    code = "import sys; from flows.cli.app import main; sys.argv = ['conceptbooth', 'list', '--json']; main()"
    listed = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    assert all(f'"{name}"' in listed.stdout for name in SOME)


def test_look_alikes_share_category_and_colour_and_nothing_else() -> None:
    def colour(art: str, hue: int) -> np.ndarray:
        image = np.asarray(cutout(art, hue), dtype=float)
        return image[image[..., 3] > 128][:, :3].mean(axis=0)

    for name, facts in concepts().items():
        others = look_alikes(name)
        assert others
        wanted = colour(facts.piece, facts.hue)
        for other in others:
            assert other.super_category == facts.super_category and other.piece != facts.piece
            turned = [np.abs(colour(other.piece, hue) - wanted).sum() for hue in (0, 90, 180, 270)]
            assert np.abs(colour(other.piece, other.hue) - wanted).sum() <= min(turned)


def test_look_alikes_stand_where_the_concept_stands() -> None:
    """No scene must give away which is which."""
    assert len(look_alike_images("mallard")) == len(look_alikes("mallard")) * len(IMAGE_SCENES)
    corners = [np.asarray(image)[4, 4] for image in image_set("mallard")]
    for shown, corner in zip(look_alike_images("mallard"), corners, strict=True):
        assert np.abs(np.asarray(shown)[4, 4].astype(int) - corner).max() < 60
