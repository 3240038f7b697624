"""Pictures that are drawn while a stage trains: they cost a bounded share of it, and change nothing."""

import pytest
import torch
from PIL import Image

from model.drawing.sampling_options import Sampling
from model.drawing.training_pictures import TrainingPictures
from model.training.picture_steps import PictureInterval
from model.training.train import train_stage


def painter(folder, prompt, steps=(2, 5), templates=("a photo of a {}", "a {} on the beach"), **options):
    return TrainingPictures(
        folder,
        steps=frozenset(steps),
        templates=templates,
        prompt=prompt,
        sampling=Sampling(guidance_scale=3.0, num_inference_steps=2),
        **options,
    )


@pytest.mark.parametrize("trains", ["embedding", "unet"])
def test_a_training_comes_to_the_same_bits_with_and_without_them(tmp_path, base, images, prompt, make_stage, trains):
    stage = make_stage(trains, max_train_steps=6, starts_from="super_category")
    options = {"base": base, "stage": stage, "images": images, "prompt": prompt, "previous": None, "seed": 0}
    randomness = torch.random.get_rng_state()
    drawing = painter(tmp_path, prompt)
    seen = train_stage(**options, painter=drawing)
    assert torch.equal(torch.random.get_rng_state(), randomness)
    unseen = train_stage(**options)

    seen.weights.save(tmp_path / "seen"), unseen.weights.save(tmp_path / "unseen")
    assert (tmp_path / "seen").read_bytes() == (tmp_path / "unseen").read_bytes()
    assert [point.loss for point in seen.curve] == [point.loss for point in unseen.curve]

    files = sorted(path.name for path in tmp_path.glob("*.png"))
    assert files == ["000002-00.png", "000002-01.png", "000005-00.png", "000005-01.png"]
    early, late = (Image.open(tmp_path / f"{step:06}-00.png").tobytes() for step in (2, 5))
    assert early != late  # of the model as it was then
    again = painter(tmp_path / "again", prompt)
    train_stage(**options, painter=again)
    assert (tmp_path / "again" / "000005-01.png").read_bytes() == (tmp_path / "000005-01.png").read_bytes()


def test_a_picture_that_cannot_be_drawn_ends_the_pictures_and_not_the_training(
    tmp_path, base, images, prompt, make_stage
):
    said = []
    wrong = painter(tmp_path, prompt, templates=("no concept in it",), warn=said.append)
    stage = make_stage("embedding", max_train_steps=6, starts_from="super_category")
    train_stage(base=base, stage=stage, images=images, prompt=prompt, previous=None, seed=0, painter=wrong)
    (told,) = said
    assert "no more pictures are drawn" in told and "the training goes on" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "max_train_steps", "steps"),
    [
        ("auto", 500, {125, 250, 375, 500}),
        ("auto", 60, {30, 60}),  # a twentieth of sixty steps
        ("auto", 20, set()),  # one row would be more than that
        ("never", 500, set()),
        ("200 steps", 500, {200, 400, 500}),
        ("1 step", 10, {2, 5, 8, 10}),  # half of the work, and no more
    ],
)
def test_so_many_rows_are_drawn_as_a_stage_can_afford(make_stage, words, max_train_steps, steps):
    stage = make_stage("unet", max_train_steps=max_train_steps, batch_size=8)
    due = PictureInterval.parse(words).due(stage, prompts=2, num_inference_steps=6, guided=True)
    assert due == steps
