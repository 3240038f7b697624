"""Leakage with a known answer: three scenes laid out by hand."""

import torch

from model.scores.leakage import scene_leakage, shown_scenes

BEACH, SNOW, CITY = torch.eye(3)


def test_a_scene_of_the_images_leaks_where_another_was_asked_for() -> None:
    scenes = torch.stack([BEACH, SNOW, CITY])
    instance = torch.stack([BEACH, SNOW])
    pictures = torch.stack([torch.stack([BEACH, SNOW, CITY])] * 3)  # (3 prompts, 3 pictures, width)
    leaks = scene_leakage(pictures, instance, scenes, asked=[[2], [0], []])
    assert leaks.tolist() == [
        [1, 1, 0],  # the city was asked for: the beach and the snow are the images'
        [0, 1, 0],  # the beach was asked for; a city that nobody asked for is no scene of the images
        [0, 0, 0],  # no scene was asked for
    ]


def test_the_nearest_scene_is_shown() -> None:
    scenes = torch.stack([BEACH, SNOW, CITY])
    assert shown_scenes((0.6 * SNOW + 0.5 * CITY)[None, None], scenes).tolist() == [[1]]
