import dataclasses
import json
import re

import pytest

from model.errors import InputError
from model.methods.method import STAGE_SETTINGS, Stage
from model.methods.presets import METHODS, get_method

PUBLISHED = {  # arXiv 2406.05000 and its code: rate, steps, batch, mean weight, variance weight
    "embedding": (1e-3, 60, 8, 0.1, 0.0),
    "cross_attention": (2e-5, 100, 8, 2.0, 5.0),
    "unet": (2e-6, 500, 8, 2.0, 5.0),
}


def test_published_preset_holds_the_published_numbers():
    stages = get_method("attndreambooth", "published").stages
    assert {
        s.name: (
            s.learning_rate,
            s.max_train_steps,
            s.batch_size,
            s.attention_mean_weight,
            s.attention_variance_weight,
        )
        for s in stages
    } == PUBLISHED
    assert [s.starts_from for s in stages] == ["super_category", "previous_stage", "previous_stage"]
    assert all((s.adam_beta1, s.adam_beta2, s.weight_decay) == (0.9, 0.999, 1e-2) for s in stages)
    assert all((s.rotation_degrees, s.rotation_probability, s.flip_probability) == (45, 0.75, 0.25) for s in stages)


def test_the_quick_variant_weighs_its_term_as_its_authors_sum_over_half_the_batch_does():
    for preset in ("published", "toyworld"):
        *_, unet = get_method("attndreambooth_fast", preset).stages
        assert (unet.batch_size, unet.attention_mean_weight, unet.attention_variance_weight) == (4, 1.0, 2.5)


def test_textual_inversion_is_what_its_authors_configured_for_stable_diffusion():
    for name in ("textual_inversion", "textual_inversion+dreambooth"):
        stage = get_method(name, "published").stages[0]
        assert (stage.learning_rate, stage.batch_size, stage.flip_probability) == (1e-2, 2, 0.5)
        assert len(set(stage.templates)) == 27


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"templates": ["a photo"]}, "embedding.templates: 'a photo' needs one {}, where the concept stands"),
        ({"templates": ["{} and {}"]}, "embedding.templates: '{} and {}' needs one {}"),
        ({"templates": "a {}"}, "embedding.templates = 'a {}': a list of sentences"),
        ({"templates": ["a {}"], "semantic_weight": 1.0}, "compare words at their places in one prompt"),
    ],
)
def test_templates_that_cannot_be_meant_are_refused(overrides, said):
    with pytest.raises(InputError, match=re.escape(said)):
        get_method("textual_inversion", "toyworld", {"embedding": overrides})


def test_every_preset_is_within_its_own_limits():
    for presets in METHODS.values():
        for method in presets.values():
            assert method.problems() == []


def test_ablations_leave_out_one_thing_each():
    for preset in ("published", "toyworld"):
        whole = METHODS["attndreambooth"][preset].stages
        no_term = METHODS["attndreambooth_no_term"][preset].stages
        assert [stage.has_attention_term for stage in no_term] == [False] * 3
        unweighted = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0}
        assert no_term == tuple(dataclasses.replace(stage, **unweighted) for stage in whole)
        for left_out in range(3):
            stages = METHODS[f"attndreambooth_no_stage_{left_out + 1}"][preset].stages
            first, *others = [stage for number, stage in enumerate(whole) if number != left_out]
            assert stages == (dataclasses.replace(first, starts_from="super_category"), *others)


def test_a_method_that_starts_from_another_word_differs_in_nothing_but_what_was_tuned():
    pairs = {
        "attndreambooth_rare_token": ("attndreambooth", {"starts_from": "rare_token"}),
        "dreambooth_super_category": ("dreambooth", {"starts_from": "super_category", "rare_token": ""}),
    }
    for changed, (plain, changes) in pairs.items():
        for preset, rare_token in (("published", "sks"), ("toyworld", "q")):
            first, *later = METHODS[plain][preset].stages
            start = dataclasses.replace(first, **({"rare_token": rare_token} | changes))
            tuned = {"embedding", "unet"} if (changed, preset) == ("attndreambooth_rare_token", "toyworld") else set()
            stages, expected = (
                [_without_pace(stage) if stage.name in tuned else stage for stage in compared]
                for compared in (METHODS[changed][preset].stages, (start, *later))
            )
            assert stages == expected


def _without_pace(stage):
    """The stage less what is tuned for each start on its own: its rate and steps."""
    return dataclasses.replace(stage, learning_rate=1.0, max_train_steps=1)


def test_every_method_has_its_name_both_presets_and_a_start_without_a_predecessor():
    for name, presets in METHODS.items():
        assert {"published", "toyworld"} <= presets.keys()
        for method in presets.values():
            assert method.name == name
            assert [stage.starts_from == "previous_stage" for stage in method.stages] == [
                number > 0 for number in range(len(method.stages))
            ]


def test_settings_that_do_not_go_with_the_method_are_refused():
    with pytest.raises(InputError, match=r"embedding: the attention-map term compares .* 'textual_inversion' do not"):
        get_method("textual_inversion", "toyworld", {"embedding": {"attention_mean_weight": 0.1}})
    with pytest.raises(InputError) as caught:
        get_method("dreambooth", "toyworld", {"unet": {"rare_token": "", "learning_rate": -1}})
    assert len(caught.value.problems) == 2 and "unet.rare_token: the stage starts from one" in str(caught.value)
    with pytest.raises(InputError, match=r"unet\.rare_token = 'sks': the stage starts from none"):
        get_method("attndreambooth", "toyworld", {"unet": {"rare_token": "sks"}})
    with pytest.raises(InputError, match=r"unet\.rare_token = 'My Dog': a word of small letters is needed"):
        get_method("dreambooth", "toyworld", {"unet": {"rare_token": "My Dog"}})


def test_overrides_replace_single_fields_and_nothing_else():
    plain = get_method("attndreambooth", "toyworld")
    changed = get_method("attndreambooth", "toyworld", {"unet": {"max_train_steps": 7}})
    assert changed.stages[:2] == plain.stages[:2]
    assert changed.stages[2] == dataclasses.replace(plain.stages[2], max_train_steps=7)


def test_a_whole_number_is_written_like_the_same_number_with_a_point():
    written = {
        json.dumps(dataclasses.asdict(get_method("attndreambooth", "published", {"unet": {"rotation_degrees": value}})))
        for value in (30, 30.0)
    }
    assert len(written) == 1
    (whole,) = {type(s.max_train_steps) for s in get_method("attndreambooth", "published").stages}
    assert whole is int


@pytest.mark.parametrize(
    ("method", "preset", "named"),
    [("dreambooht", "published", "attndreambooth"), ("attndreambooth", "quick", "toyworld")],
)
def test_unknown_method_or_preset_lists_what_exists(method, preset, named):
    with pytest.raises(InputError, match=named):
        get_method(method, preset)


def test_all_bad_overrides_are_reported_together():
    with pytest.raises(InputError) as caught:
        get_method(
            "attndreambooth",
            "published",
            {
                "unet": {"learning_rate": -1, "max_train_steps": 2.5, "weight_decay": float("nan"), "trains": "all"},
                "embedding": {"batch_size": True, "max_grad_norm": "big", "weight_decay": 10**400},
                "vae": {},
            },
        )
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 8
    for named in (
        "unet.learning_rate = -1: a number above 0",
        "unet.max_train_steps = 2.5: a whole number from 1",
        "unet.weight_decay = nan",
        "unet.trains",
        "embedding.batch_size = true",
        "embedding.max_grad_norm = 'big'",
        "embedding.weight_decay = 1000",
        "stage 'vae'",
    ):
        assert named in problems


def test_every_setting_of_a_stage_has_limits():
    fields = {field.name: field for field in dataclasses.fields(Stage)}
    assert all("limits" in fields[name].metadata for name in STAGE_SETTINGS)


def test_input_error_survives_pickling_with_all_its_problems():
    import pickle

    error = pickle.loads(pickle.dumps(InputError("one", "two")))  # noqa: S301 - Prefect sends exceptions this way
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"
