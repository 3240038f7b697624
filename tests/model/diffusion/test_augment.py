import dataclasses
import random

import numpy as np
import pytest
from PIL import Image, ImageChops

from model.diffusion.augment import _rotate, augmented_view
from model.diffusion.latents import encode_views, to_images, to_pixels
from model.diffusion.shrinking import shrunk

STILL = {"rotation_probability": 0.0, "flip_probability": 0.0, "smallest_crop": 1.0}


def test_images_are_shrunk_to_the_shorter_side_and_never_enlarged():
    assert shrunk(Image.new("RGB", (300, 150)), 100).size == (200, 100)
    assert shrunk(Image.new("RGB", (99, 50)), 100).size == (99, 50)


@pytest.mark.parametrize("size", [(64, 64), (300, 100), (33, 90), (10, 10)])
def test_turned_pictures_have_no_black_corners(make_stage, size):
    stage = make_stage("unet", rotation_probability=1.0, rotation_degrees=180.0, smallest_crop=0.5)
    white = Image.new("RGB", size, "white")
    for seed in range(20):
        view = augmented_view(white, stage, 32, random.Random(seed)).image
        assert view.size == (32, 32)
        assert np.asarray(view).min() == 255


def test_nothing_switched_on_only_resizes(make_stage, images):
    view = augmented_view(images[0], make_stage("unet", **STILL), 16, random.Random(0)).image
    assert view.tobytes() == images[0].tobytes()


def test_flip_and_crop(make_stage):
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))).convert("RGB")
    flipped = augmented_view(ramp, make_stage("unet", **STILL | {"flip_probability": 1.0}), 64, random.Random(0)).image
    assert flipped.tobytes() == ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    views = [
        np.asarray(
            augmented_view(ramp, make_stage("unet", **STILL | {"smallest_crop": 0.5}), 64, random.Random(seed)).image
        )
        for seed in range(30)
    ]
    shown = [int(view[0, -1, 0]) - int(view[0, 0, 0]) for view in views]
    assert 115 < min(shown) < 170, "the smallest crop shows half of the ramp"
    assert max(shown) > 220


def test_rotation_turns_by_the_drawn_angle(make_stage):
    bar = Image.new("RGB", (101, 101), "white")
    bar.paste("black", (45, 0, 56, 101))
    stage = make_stage("unet", **STILL | {"rotation_probability": 1.0, "rotation_degrees": 90.0})
    rng = random.Random(3)
    peek = random.Random(3)
    peek.random()
    expected = bar.rotate(peek.uniform(-90, 90), Image.Resampling.BICUBIC, fillcolor="white")
    middle = (30, 30, 71, 71)
    difference = ImageChops.difference(augmented_view(bar, stage, 101, rng).image.crop(middle), expected.crop(middle))
    assert np.asarray(difference).mean() < 2


@pytest.mark.parametrize("size", [(60, 60), (120, 60)])
def test_a_turned_view_that_keeps_all_shows_the_whole_image_smaller(make_stage, size):
    """The authors' way of turning, with the picture mirrored at its edge in the place of their black corners."""
    framed = Image.new("RGB", size, "white")
    for place in ((0, 0), (size[0] - 8, 0), (0, size[1] - 8), (size[0] - 8, size[1] - 8)):
        framed.paste("red", (*place, place[0] + 8, place[1] + 8))
    turns = STILL | {"rotation_probability": 1.0, "rotation_degrees": 45.0}
    for seed in range(6):
        cut, kept = (
            _rotate(framed, random.Random(seed).uniform(-45, 45), keep_all=keep_all) for keep_all in (False, True)
        )
        assert cut.size == size
        assert kept.width >= size[0] and kept.height >= size[1]
        reds = (np.asarray(kept)[..., 1] < 100).sum()
        assert reds >= 4 * 64 * 0.85, "all four corners are still in it"
    whole = augmented_view(framed, make_stage("unet", **turns, rotation_keeps_all=True), 32, random.Random(0)).image
    assert whole.size == (32, 32) and np.asarray(whole)[..., 0].min() > 200, "no black corner"


def test_a_stage_encodes_a_view_for_each_picture_that_it_trains_on_up_to_a_limit(make_stage):
    assert make_stage("unet", augmented_views=0, max_train_steps=60, batch_size=8).view_count == 480
    assert make_stage("unet", augmented_views=0, max_train_steps=500, batch_size=8).view_count == 1024
    assert make_stage("unet", augmented_views=9, max_train_steps=500, batch_size=8).view_count == 9


def test_views_are_decided_by_the_seed(make_stage, images):
    stage = make_stage("unet", rotation_probability=0.5, smallest_crop=0.7)
    one, two, other = (augmented_view(images[2], stage, 16, random.Random(seed)).image.tobytes() for seed in (1, 1, 2))
    assert one == two != other


def test_bank_holds_an_equal_share_of_each_image(base, make_stage):
    colours = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    bank = encode_views(base, colours, make_stage("unet", augmented_views=10, **STILL), seed=0)
    assert bank.mean.shape == bank.std.shape == (10, 4, 8, 8)
    distinct, counts = np.unique(bank.mean.flatten(1).numpy().round(4), axis=0, return_counts=True)
    assert sorted(counts) == [3, 3, 4], distinct.shape


def test_bank_samples_the_distribution_in_the_unets_scale(base, make_stage):
    import torch

    bank = encode_views(
        base, [Image.new("RGB", (16, 16), "red")], make_stage("unet", augmented_views=1, **STILL), seed=0
    )
    samples, _ = bank.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples.mean(dim=0), bank.mean[0] * 0.5, atol=0.05, rtol=0.05)
    torch.testing.assert_close(samples.std(dim=0), bank.std[0] * 0.5, atol=0.05, rtol=0.05)


def test_pixels_and_pictures_are_each_others_inverse(images):
    pixels = to_pixels([images[0]])
    assert pixels.shape == (1, 3, 16, 16)
    assert pixels.min() >= -1 and pixels.max() <= 1
    assert to_images(pixels)[0].tobytes() == images[0].tobytes()


def test_a_view_knows_where_it_comes_from(make_stage):
    across, down = np.meshgrid(np.arange(200), np.arange(100))
    image = Image.fromarray(np.stack([across, down, 0 * down], axis=2).astype(np.uint8))
    for flip in (0.0, 1.0):
        stage = make_stage("unet", **STILL | {"smallest_crop": 0.5, "flip_probability": flip})
        for seed in range(10):
            view = augmented_view(image, stage, 50, random.Random(seed))
            assert view.original_size == (100, 200)
            top, left = view.crop_top_left
            assert view.time_ids == (100, 200, top, left, 50, 50)
            # What the middle shows, by its colour, and where the numbers say that it is.
            x, y, _ = np.asarray(view.image)[20:30, 20:30].reshape(-1, 3).mean(axis=0)
            shown = np.asarray(view.image).astype(int)
            scale = 49 / (shown[-1, 0, 1] - shown[0, 0, 1])  # pixels of the view for one of the image
            middle = (200 - 1 - x if flip else x, y)
            assert abs(middle[0] * scale - (left + 25)) < 3 and abs(middle[1] * scale - (top + 25)) < 3


def test_the_bank_gives_each_latent_the_sizes_of_its_view(base, make_stage):
    import torch

    images = [Image.new("RGB", (32, 20), "black"), Image.new("RGB", (16, 64), "white")]
    bank = encode_views(base, images, make_stage("unet", augmented_views=8, **STILL), seed=0)
    bank = dataclasses.replace(bank, std=torch.zeros_like(bank.std))
    latents, time_ids = bank.sample(50, torch.Generator().manual_seed(0))
    dark, light = (bank.normalised(bank.mean[number]) for number in (0, 1))
    for latent, ids in zip(latents, time_ids.tolist(), strict=True):
        is_dark = (latent - dark).norm() < (latent - light).norm()
        assert ids[:2] == ([20, 32] if is_dark else [64, 16])
        assert ids[4:] == [16, 16]
