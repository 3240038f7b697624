from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from model.errors import InputError
from model.methods.presets import METHODS
from tasks.project.params import load_params, parse_params

PROJECT_PARAMS = Path(__file__).parents[3] / "params.yaml"


def content(**changes: object) -> dict:
    return yaml.safe_load(PROJECT_PARAMS.read_text()) | changes


def problems(**changes: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_params(content(**changes), "params.yaml")
    return list(caught.value.problems)


def test_the_project_s_own_file_is_right_and_says_what_it_changes_of_its_preset():
    params = load_params(PROJECT_PARAMS)
    *first, last = METHODS[params.method][params.preset].stages
    assert params.training().stages == (*first, replace(last, learning_rate=1e-4, max_train_steps=200))
    assert params.demo in params.samples


def test_stages_are_changed_field_by_field():
    params = parse_params(content(stages={"unet": {"max_train_steps": 7}}), "params.yaml")
    before, after = METHODS[params.method][params.preset].stages, params.training().stages
    assert after[2].max_train_steps == 7
    assert after[2].learning_rate == before[2].learning_rate
    assert after[:2] == before[:2]


def test_stages_with_nothing_but_comments_below_are_no_changes():
    assert parse_params(content(stages=None), "params.yaml").stages == {}


def test_numbers_as_people_write_them(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(PROJECT_PARAMS.read_text().replace("learning_rate: 1.0e-4, max", "learning_rate: 2e-6, max"))
    assert load_params(file).training().stages[2].learning_rate == 2e-6


def test_every_absurd_value_is_reported_at_once():
    said = problems(
        seed=-1,
        dtype="float16",
        typo=1,
        base_revision="main",
        prepare={"max_short_side": float("nan")},
        sampling={"guidance_scale": -3.0, "num_inference_steps": 0},
        evaluation={"prompts": "p.yaml", "images_per_prompt": 10**9, "imgs": 2},
        stages={"unet": {"learning_rate": -1, "max_train_steps": "many", "speed": 1}, "warp": {}},
    )
    named = ["seed = -1", "dtype = 'float16'", "typo", "base_revision = 'main'", "prepare.max_short_side = nan"]
    named += ["sampling.guidance_scale = -3.0", "sampling.num_inference_steps = 0"]
    named += ["evaluation.images_per_prompt = 1000000000", "evaluation.imgs"]
    named += ["unet.learning_rate = -1", "unet.max_train_steps = 'many'", "unet.speed", "'warp'"]
    for name in named:
        assert sum(name in problem for problem in said) == 1, (name, said)
    assert len(said) == len(named)
    assert all(problem.startswith("params.yaml: ") for problem in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, "attndreambooth"),
        ({"preset": "magic"}, "published"),
        ({"stages": {"unets": {}}}, "cross_attention"),
        ({"seed": True}, "seed = true"),
        ({"seed": "0"}, "seed = '0'"),
        ({"seed": None}, "seed = null: a whole number is needed"),
        ({"base": ""}, "base"),
        ({"base_revision": "main"}, "base_revision = 'main': a whole commit is needed, 40 digits of 0-9 and a-f"),
        ({"dtype": "float16"}, "dtype = 'float16': 'auto', 'float32' or 'bfloat16' is needed"),
        ({"prepare": {"max_short_side": 9999}}, "prepare.max_short_side = 9999: at most 4,096 is allowed"),
    ],
)
def test_a_wrong_value_is_named_with_what_there_is(changes, words):
    (said,) = problems(**changes)
    assert words in said


def test_a_value_of_a_wrong_type_hides_no_other_of_its_section():
    said = problems(sampling={"guidance_scale": "much", "num_inference_steps": 0, "batch_size": 10**6})
    assert said == [
        "params.yaml: sampling.guidance_scale = 'much': a number is needed",
        "params.yaml: sampling.num_inference_steps = 0: at least 1 is needed",
        "params.yaml: sampling.batch_size = 1000000: at most 1,024 is allowed",
    ]


def test_a_mistyped_section_is_told_apart_from_its_neighbour():
    wrong = content()
    wrong["samplng"] = wrong.pop("sampling")
    with pytest.raises(InputError) as caught:
        parse_params(wrong, "params.yaml")
    assert set(caught.value.problems) == {
        "params.yaml: sampling is missing",
        "params.yaml: samplng is unknown; did you mean sampling?",
    }


def test_files_that_are_no_parameters(tmp_path):
    file = tmp_path / "params.yaml"
    for text in ("", "- a\n- b\n", "seed: [", "seed: 1\nseed: 2\n"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"params\.yaml"):
            load_params(file)
    with pytest.raises(InputError, match=r"params\.yaml"):
        load_params(tmp_path / "nowhere" / "params.yaml")
