"""Prompt sets: the shipped one, and what wrong ones are told."""

from collections import Counter
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.project.prompt_sets import load_prompt_set, names_scene
from tests.data_project import REPOSITORY
from toyworld.samples import IMAGE_SCENES
from toyworld.scenes import SCENES
from toyworld.second.scenes import SCENES as SECOND_SCENES
from toyworld.styles import STYLES


def test_the_shipped_set_asks_in_the_words_of_the_embedded_world() -> None:
    prompts = load_prompt_set(REPOSITORY / "data/prompts/toyworld.yaml").prompts
    assert len(prompts) == 10
    scenes = [scene for prompt in prompts for scene in SCENES if prompt.text.endswith(f"{{}} {scene}")]
    assert len(scenes) == len(set(scenes)) == 9, "each prompt but the sketch has a scene of its own"
    assert not set(scenes) & set(IMAGE_SCENES), "scenes that no sample image shows"
    assert all(any(prompt.text.startswith(f"{style} a ") for style in STYLES) for prompt in prompts)
    assert {tag for prompt in prompts for tag in prompt.tags} == {"background", "environment", "colour", "style"}


@pytest.mark.parametrize(
    ("name", "count", "tags"),
    [
        ("dreambooth-objects", 25, {"background": 16, "environment": 4, "colour": 2, "property": 3}),
        ("dreambooth-live", 25, {"background": 10, "accessory": 10, "colour": 2, "property": 3}),
        ("neti", 15, {"plain": 1, "background": 4, "style": 9, "environment": 1}),
        ("four-aspects", 24, {"background": 6, "environment": 6, "colour": 6, "style": 6}),
    ],
)
def test_the_other_shipped_sets_are_whole(name: str, count: int, tags: dict[str, int]) -> None:
    prompts = load_prompt_set(REPOSITORY / f"data/prompts/{name}.yaml").prompts
    assert len(prompts) == count
    assert Counter(tag for prompt in prompts for tag in prompt.tags) == tags
    table = (REPOSITORY / "data/prompts/README.md").read_text()
    assert f"`{name}.yaml`" in table


def test_the_two_dreambooth_sets_share_what_they_share() -> None:
    """Of each 25 prompts the ten first and the five last are the same in the data set's own list."""
    objects, live = (
        [prompt.text for prompt in load_prompt_set(REPOSITORY / f"data/prompts/dreambooth-{kind}.yaml").prompts]
        for kind in ("objects", "live")
    )
    assert objects[:10] == live[:10] and objects[-5:] == live[-5:] and not set(objects[10:20]) & set(live[10:20])


def test_order_and_tags(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text("prompts:\n- prompt: b {}\n  tags: [style, colour]\n- prompt: a {}\n")
    first, second = load_prompt_set(file).prompts
    assert (first.text, first.tags) == ("b {}", ("style", "colour"))
    assert (second.text, second.tags) == ("a {}", ())


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text(
        "prompts:\n- prompt: a photo\n- {prompt: '{} and {}', tag: x, tags: [A B]}\n- 12\n"
        "- prompt: a {}\n- prompt: a  {}\n"
    )
    with pytest.raises(InputError) as caught:
        load_prompt_set(file)
    said = [problem.removeprefix(f"{file}: ") for problem in caught.value.problems]
    assert len(said) == 6
    assert said[0].startswith("prompts.1.tags.0 = 'A B'")
    assert said[1] == "prompts.1.tag is unknown; did you mean tags?"
    assert said[2].startswith("prompts.2 = 12")
    assert said[3].startswith('prompt "a photo": no {}')
    assert said[4].startswith('prompt "{} and {}": 2 times {}')
    assert said[5] == 'prompt "a {}" stands twice: leave one out'


def test_a_word_stands_once_in_its_prompt(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    right = "prompts:\n- {prompt: 'a {}, in a box.', word: box}\n"
    file.write_text(f"{right}- {{prompt: 'a {{}} in a boxcar', word: box}}\n- tags: [X]")
    with pytest.raises(InputError) as caught:
        load_prompt_set(file)
    assert [problem for problem in caught.value.problems if ": word " in problem] == [
        f"{file}: word 'box': not once in \"a {{}} in a boxcar\"; name a word of the prompt, or none"
    ]
    file.write_text(right)
    assert load_prompt_set(file).prompts[0].word == "box"


def test_comparisons_show_a_word_of_every_set_that_comes_along() -> None:
    for file in (Path(__file__).parents[3] / "data" / "prompts").glob("*.yaml"):
        assert sum(prompt.word is not None for prompt in load_prompt_set(file).prompts) == 2, file.name


def test_scenes_are_those_of_prompts_and_of_images(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text("prompts: [{prompt: 'a {} on the beach'}]\nscenes: [on the beach, in a kitchen]\n")
    assert load_prompt_set(file).scenes == ("on the beach", "in a kitchen")
    assert names_scene("a {} on the beach", "on the beach") and not names_scene("a {} on the beaches", "on the beach")
    file.write_text("prompts: [{prompt: 'a {} on the beach'}]\nscenes: [in a kitchen, in a kitchen]\n")
    with pytest.raises(InputError) as caught:
        load_prompt_set(file)
    assert caught.value.problems == (
        f'{file}: scene "in a kitchen" stands twice: leave one out',
        f"{file}: no prompt names any of the scenes, so none could leak: write them as the prompts do",
    )


def test_the_worlds_sets_name_every_scene_of_their_world() -> None:
    for name, world in (("toyworld", SCENES), ("toyworld-complex", SECOND_SCENES)):
        assert set(load_prompt_set(REPOSITORY / f"data/prompts/{name}.yaml").scenes) == set(world)


@pytest.mark.parametrize("content", ["", "- a {}", "prompts: []", "prompts: a {}", "prompts:\n- tags: [x]"])
def test_a_file_without_prompts(tmp_path: Path, content: str) -> None:
    file = tmp_path / "set.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match="prompts"):
        load_prompt_set(file)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.yaml: there is no such file"):
        load_prompt_set(tmp_path / "nowhere.yaml")
