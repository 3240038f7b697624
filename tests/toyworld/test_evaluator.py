"""The evaluator that ships counts only if it ranks rightly on every held-out concept; it loads like any model."""

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTModel

from model.scores.leakage import scene_leakage, shown_scenes
from toyworld.checks import PROMPTS, Asked, Scores, draw_base, pasted, prompt_is_nearest, table
from toyworld.contrast import spoil
from toyworld.evaluator import Judge
from toyworld.manifest import EVALUATOR
from toyworld.samples import IMAGE_SCENES, concepts, image_set, oracle
from toyworld.scenes import SCENES


@pytest.fixture(scope="module")
def scores(judge: Judge) -> dict[str, dict[str, Scores]]:
    return table(judge, draw_base(steps=6))


@pytest.mark.parametrize("name", concepts())
def test_the_oracle_beats_the_untrained_base(name: str, scores: dict[str, dict[str, Scores]]) -> None:
    assert scores[name]["oracle"].clip_i > scores[name]["base"].clip_i
    assert scores[name]["oracle"].clip_t > scores[name]["base"].clip_t
    assert scores[name]["oracle"].identity > scores[name]["base"].identity + 0.1


@pytest.mark.parametrize("name", concepts())
def test_a_look_alike_is_not_the_concept(name: str, scores: dict[str, dict[str, Scores]]) -> None:
    assert scores[name]["oracle"].clip_i > scores[name]["alike"].clip_i + 0.05
    assert scores[name]["oracle"].identity > scores[name]["alike"].identity + 0.05


def test_pictures_are_nearest_to_their_own_scene(judge: Judge) -> None:
    shares = [prompt_is_nearest(judge, name, pasted(facts, PROMPTS), PROMPTS) for name, facts in concepts().items()]
    assert sum(shares) / len(shares) > 0.9


def test_true_art_in_the_asked_scene_never_leaks_and_a_pasted_training_image_always_does(judge: Judge) -> None:
    own, told = 0, dict.fromkeys(("oracle", "pasted"), 0.0)
    for name, facts in concepts().items():
        scenes = judge.prompts([Asked(scene=scene).prompt(facts.super_category) for scene in SCENES])
        instance = judge.pictures(image_set(name))
        asked = [[list(SCENES).index(prompt.scene)] for prompt in PROMPTS if prompt.scene not in IMAGE_SCENES]
        drawn = judge.pictures(pasted(facts, [prompt for prompt in PROMPTS if prompt.scene not in IMAGE_SCENES]))
        told["oracle"] += float(scene_leakage(drawn[:, None], instance, scenes, asked).mean())
        repeated = instance[None].expand(len(asked), -1, -1)  # every image in the place of every prompt's picture
        told["pasted"] += float(scene_leakage(repeated, instance, scenes, asked).mean())
        own += [list(SCENES)[number] for number in shown_scenes(instance, scenes)] == list(IMAGE_SCENES)
    assert own == len(concepts()), "the scene of every image is named"
    assert (told["oracle"], told["pasted"]) == (0, len(concepts()))


def test_clip_t_falls_when_shapes_smear(judge: Judge) -> None:
    images = [oracle(name, "a photo of a thing in the snow") for name in concepts()]
    prompts = judge.prompts([f"a photo of a {facts.super_category} in the snow" for facts in concepts().values()])
    pixels = torch.stack([torch.tensor(list(image.tobytes())).reshape(64, 64, 3) for image in images])
    smeared = spoil(pixels.permute(0, 3, 1, 2) / 127.5 - 1, torch.Generator().manual_seed(0))
    damaged = ((smeared.permute(0, 2, 3, 1) + 1) * 127.5).clamp(0, 255).byte().numpy()
    good = (judge.pictures(images) * prompts).sum(1)
    bad = (judge.pictures([Image.fromarray(image) for image in damaged]) * prompts).sum(1)
    assert (good > bad).float().mean() > 0.9


def test_it_loads_as_transformers_models_do() -> None:
    processor = CLIPImageProcessorPil.from_pretrained(EVALUATOR / "clip")
    clip = CLIPModel.from_pretrained(EVALUATOR / "clip", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(EVALUATOR / "clip")
    image = oracle("plum-turtle", "a photo of a turtle on the beach", size=256)
    inputs = processor(images=image, return_tensors="pt") | tokenizer("a turtle on the beach", return_tensors="pt")
    found = clip(**inputs)
    assert found.image_embeds.shape == found.text_embeds.shape == (1, 128)
    vit = ViTModel.from_pretrained(EVALUATOR / "vit", dtype=torch.float32, add_pooling_layer=False)
    pixels = CLIPImageProcessorPil.from_pretrained(EVALUATOR / "vit")(images=image, return_tensors="pt").pixel_values
    assert vit(pixels).last_hidden_state.shape == (1, 65, 128)
    # The judge prepares pictures as the processor does, so that tests and reports agree.
    direct = Judge(EVALUATOR).pictures([image])
    assert torch.allclose(direct, torch.nn.functional.normalize(found.image_embeds, dim=-1), atol=0.02)
