"""The methods that there are, each with presets of its settings; another one is another entry of `METHODS`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model.errors import InputError
from model.methods import joint_presets
from model.methods.method import STAGE_SETTINGS, Method, Stage, StartsFrom

Presets = dict[str, Method]

PUBLISHED, DIFFUSERS, TOYWORLD, JOINT = "published", "diffusers", "toyworld", "joint_attention"
# Objects of the toy world always stand upright and look one way: its base has never seen a turned or mirrored picture.
# They were tuned with as many views as there were then.
_TOYWORLD_VIEWS: dict[str, Any] = {
    "augmented_views": 256,
    "rotation_degrees": 5.0,
    "rotation_probability": 0.5,
    "flip_probability": 0.0,
    "smallest_crop": 0.95,
}
_UNTURNED: dict[str, Any] = {"rotation_probability": 0.0, "flip_probability": 0.0}
_NO_TERM: dict[str, Any] = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0}


def _attndreambooth(embedding: dict[str, Any], cross_attention: dict[str, Any], unet: dict[str, Any]) -> Method:
    """AttnDreamBooth, arXiv 2406.05000: embedding, then cross-attention, then the UNet, the attention term in each."""
    later: dict[str, Any] = {"attention_mean_weight": 2.0, "attention_variance_weight": 5.0}
    return Method(
        name="attndreambooth",
        stages=(
            Stage(
                name="embedding",
                trains="embedding",
                starts_from="super_category",
                attention_mean_weight=0.1,
                attention_variance_weight=0.0,
                **embedding,
            ),
            Stage(name="cross_attention", trains="cross_attention", **(later | cross_attention)),
            Stage(name="unet", trains="unet", **(later | unet)),
        ),
    )


# Stable Diffusion 2.1-base at 512 px, as the authors' code has them.
_PUBLISHED_FIRST = {"learning_rate": 1e-3, "max_train_steps": 60}, {"learning_rate": 2e-5, "max_train_steps": 100}
# A UNet 200 times smaller than Stable Diffusion's takes, and needs, higher rates. Tuned: docs/tuning.md.
_TOYWORLD_FIRST = (
    {"learning_rate": 1e-2, "max_train_steps": 60, **_TOYWORLD_VIEWS},
    {"learning_rate": 1e-4, "max_train_steps": 100, **_TOYWORLD_VIEWS},
)
_ATTNDREAMBOOTH = {
    PUBLISHED: _attndreambooth(*_PUBLISHED_FIRST, {"learning_rate": 2e-6, "max_train_steps": 500}),
    TOYWORLD: _attndreambooth(*_TOYWORLD_FIRST, {"learning_rate": 2e-4, "max_train_steps": 75, **_TOYWORLD_VIEWS}),
    JOINT: _attndreambooth(*joint_presets.ATTNDREAMBOOTH),
}
# From a rare token the lowest rate of stage 1 that was tried is the best. Tuned: docs/tuning-start.md.
_ATTNDREAMBOOTH_RARE_TOKEN = _ATTNDREAMBOOTH | {
    TOYWORLD: _attndreambooth(
        _TOYWORLD_FIRST[0] | {"learning_rate": 7e-4},
        _TOYWORLD_FIRST[1],
        {"learning_rate": 4e-4, "max_train_steps": 60, **_TOYWORLD_VIEWS},
    )
}
# The authors' quick variant: in stage 3 half the batch and 40 % of the steps at a higher rate. Their code sums the term
# over the batch, so with half of it the weights, which are of 8 pictures here, are halved as well.
_FAST: dict[str, Any] = {"batch_size": 4, "attention_mean_weight": 1.0, "attention_variance_weight": 2.5}
_ATTNDREAMBOOTH_FAST = {
    PUBLISHED: _attndreambooth(*_PUBLISHED_FIRST, {"learning_rate": 1e-5, "max_train_steps": 200, **_FAST}),
    TOYWORLD: _attndreambooth(
        *_TOYWORLD_FIRST, {"learning_rate": 4e-4, "max_train_steps": 30, **_FAST, **_TOYWORLD_VIEWS}
    ),
}


def _as_lora(name: str, presets: Presets, changes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Presets:
    """A method whose UNet stages train LoRAs; `changes` by preset and stage, of presets that have none already."""
    return {
        preset: dataclasses.replace(
            method,
            name=name,
            stages=tuple(
                dataclasses.replace(stage, **changes.get(preset, {}).get(stage.name, {})) for stage in method.stages
            ),
        )
        for preset, method in presets.items()
    }


def _without_term(method: Method) -> Method:
    return dataclasses.replace(method, stages=tuple(dataclasses.replace(stage, **_NO_TERM) for stage in method.stages))


def _without(name: str) -> Callable[[Method], Method]:
    """Leaves a stage out; the first of the others then starts from the super-category."""

    def change(method: Method) -> Method:
        first, *others = [stage for stage in method.stages if stage.name != name]
        return dataclasses.replace(method, stages=(dataclasses.replace(first, starts_from="super_category"), *others))

    return change


_SAID_OF_PICTURES = (
    *("a photo of a {}", "a photograph of the {}", "a picture of a {}", "an image of the {}", "a snapshot of a {}"),
    *("a drawing of a {}", "an illustration of the {}", "a rendering of a {}", "a painting of the {}"),
    *("a close view of a {}", "a close photo of the {}", "a cropped picture of a {}", "a cropped photo of the {}"),
    *("a bright photo of a {}", "a dark photo of the {}", "a clear photo of a {}", "a blurred photo of the {}"),
    *("a good photo of a {}", "a poor photo of the {}", "a photo of a clean {}", "a photo of a dirty {}"),
    *(
        "a photo of one {}",
        "a photo of my {}",
        "a photo of a nice {}",
        "a photo of a small {}",
        "a photo of a large {}",
    ),
    "a photo of a strange {}",
)
"""What Textual Inversion says of a picture: as many neutral sentences as its authors have, in words of our own."""
_SAID_OF_TOYS = (
    *("a photo of a {}", "a {}", "a photo of a little {}", "a photo of a nice {}", "a photo of a cute {}"),
    *("a photo of an old {}", "a photo of a big {}", "a nice {}", "a little {}"),
)
"""The same in the words that the embedded base has."""
_TEXTUAL_INVERSION: dict[str, dict[str, Any]] = {
    # arXiv 2208.01618, its authors' configuration for Stable Diffusion: rate 0.005 times two pictures on one GPU (4e-2
    # is that for latent diffusion); their code does not clip gradients.
    PUBLISHED: {
        "learning_rate": 1e-2,
        "max_train_steps": 6100,
        "batch_size": 2,
        "max_grad_norm": 1e6,
        "rotation_probability": 0.0,
        "flip_probability": 0.5,
        "templates": _SAID_OF_PICTURES,
    },
    # diffusers' example: rate 5e-4 times four accumulated pictures.
    DIFFUSERS: {
        "learning_rate": 2e-3,
        "max_train_steps": 3000,
        "batch_size": 4,
        "max_grad_norm": 1e6,
        "rotation_probability": 0.0,
        "flip_probability": 0.5,
        "templates": _SAID_OF_PICTURES,
    },
    TOYWORLD: {"learning_rate": 2e-2, "max_train_steps": 150, "templates": _SAID_OF_TOYS, **_TOYWORLD_VIEWS},
    JOINT: {"templates": _SAID_OF_PICTURES, **joint_presets.TEXTUAL_INVERSION},
}
_DREAMBOOTH: dict[str, dict[str, Any]] = {
    # arXiv 2208.12242, Stable Diffusion.
    PUBLISHED: {"learning_rate": 5e-6, "max_train_steps": 1000, "batch_size": 1, **_UNTURNED},
    DIFFUSERS: {"learning_rate": 5e-6, "max_train_steps": 400, "batch_size": 1, **_UNTURNED},
    TOYWORLD: {"learning_rate": 4e-4, "max_train_steps": 60, **_TOYWORLD_VIEWS},
    JOINT: joint_presets.DREAMBOOTH,
}
_RARE_TOKEN = {PUBLISHED: "sks", DIFFUSERS: "sks", TOYWORLD: "q", JOINT: joint_presets.RARE_TOKEN}
"""What the toy world's base has no use for is a single letter."""


def _inversion(preset: str) -> Stage:
    return Stage(
        name="embedding",
        trains="embedding",
        starts_from="super_category",
        **_NO_TERM,
        **_TEXTUAL_INVERSION[preset],
    )


def _textual_inversion(preset: str) -> Method:
    """Textual Inversion, arXiv 2208.01618: the embedding alone, long; prompts say [V] and no super-category."""
    return Method(name="textual_inversion", stages=(_inversion(preset),), names_category=False)


_PRIOR: dict[str, dict[str, Any]] = {
    # arXiv 2208.12242: a weight of 1, about 1000 class images; diffusers' example with them trains longer.
    PUBLISHED: {"prior_weight": 1.0, "class_images": 1000},
    DIFFUSERS: {"prior_weight": 1.0, "class_images": 200, "max_train_steps": 800},
    TOYWORLD: {"prior_weight": 1.0, "class_images": 100},
    JOINT: joint_presets.PRIOR,
}


def _dreambooth(preset: str) -> Method:
    """DreamBooth, arXiv 2208.12242, without prior preservation: the whole UNet, [V] a rare token that stays."""
    return Method(
        name="dreambooth",
        stages=(
            Stage(
                name="unet",
                trains="unet",
                starts_from="rare_token",
                rare_token=_RARE_TOKEN[preset],
                **_NO_TERM,
                **_DREAMBOOTH[preset],
            ),
        ),
    )


def _dreambooth_prior(preset: str) -> Method:
    """DreamBooth with prior preservation: beside each picture of the concept the base's own of the super-category."""
    (unet,) = _dreambooth(preset).stages
    return Method(name="dreambooth_prior", stages=(dataclasses.replace(unet, **_PRIOR[preset]),))


def _inversion_and_dreambooth(preset: str) -> Method:
    """The two, one after the other: [V] is learnt first, then the UNet; prompts name the super-category throughout."""
    unet = Stage(name="unet", trains="unet", **_NO_TERM, **_DREAMBOOTH[preset])
    return Method(name="textual_inversion+dreambooth", stages=(_inversion(preset), unet))


# LoRAs take higher rates than the layers themselves. The papers train none: `published` has the rate of diffusers'
# LoRA examples.
_ATTNDREAMBOOTH_LORA: dict[str, dict[str, dict[str, Any]]] = {
    PUBLISHED: {
        "cross_attention": {"lora_rank": 16, "lora_alpha": 16.0, "learning_rate": 1e-4},
        "unet": {"lora_rank": 16, "lora_alpha": 16.0, "learning_rate": 1e-4},
    },
    TOYWORLD: {
        "cross_attention": {"lora_rank": 8, "lora_alpha": 8.0, "learning_rate": 1e-3},
        "unet": {"lora_rank": 8, "lora_alpha": 8.0, "learning_rate": 1e-3},
    },
}
_DREAMBOOTH_LORA: dict[str, dict[str, dict[str, Any]]] = {
    PUBLISHED: {"unet": {"lora_rank": 16, "lora_alpha": 16.0, "learning_rate": 1e-4}},
    DIFFUSERS: {"unet": {"lora_rank": 4, "lora_alpha": 4.0, "learning_rate": 1e-4, "max_train_steps": 500}},
    TOYWORLD: {"unet": {"lora_rank": 8, "lora_alpha": 8.0, "learning_rate": 1e-3}},
}


# arXiv 2408.15914, appendix G; the embedded base takes higher rates, and fewer steps do.
_CORE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    PUBLISHED: (
        {"learning_rate": 5e-3, "max_train_steps": 300, "batch_size": 6, "norm_kept_from": 120, "norm_kept_until": 180},
        {"learning_rate": 2e-6, "max_train_steps": 1000, "batch_size": 4},
    ),
    TOYWORLD: (
        {"learning_rate": 1e-2, "max_train_steps": 60, "norm_kept_from": 24, "norm_kept_until": 36, **_TOYWORLD_VIEWS},
        {"learning_rate": 4e-4, "max_train_steps": 60, **_TOYWORLD_VIEWS},
    ),
}


def _core(preset: str) -> Method:
    """CoRe, arXiv 2408.15914: the embedding with the words beside it held in place, then the whole UNet."""
    embedding, unet = _CORE[preset]
    return Method(
        name="core",
        stages=(
            Stage(
                name="embedding",
                trains="embedding",
                starts_from="super_category",
                context_embedding_weight=1.5e-4,
                context_attention_weight=0.05,
                **_NO_TERM,
                **embedding,
            ),
            Stage(name="unet", trains="unet", **_NO_TERM, **unet),
        ),
    )


# arXiv 2512.13672, Stable Diffusion XL.
_ON_SPHERE: dict[str, Any] = {"on_sphere": True, "learning_rate": 1e-2, "sphere_prior": 1e-4}


def _dti(preset: str) -> Method:
    """Directional Textual Inversion, arXiv 2512.13672: the direction of [V] alone, at the vocabulary's norm."""
    (stage,) = _textual_inversion(preset).stages
    steps: dict[str, Any] = {"max_train_steps": 400, "batch_size": 4} if preset == PUBLISHED else {}
    return Method(name="dti", stages=(dataclasses.replace(stage, **_ON_SPHERE, **steps),), names_category=False)


def _with(stages: Sequence[str], **settings: Any) -> Callable[[Method], Method]:
    """Changes settings of the stages of these names."""

    def change(method: Method) -> Method:
        changed = (dataclasses.replace(s, **settings) if s.name in stages else s for s in method.stages)
        return dataclasses.replace(method, stages=tuple(changed))

    return change


def _changed(name: str, change: Callable[[Method], Method]) -> Presets:
    """AttnDreamBooth with one thing changed."""
    return {preset: dataclasses.replace(change(method), name=name) for preset, method in _ATTNDREAMBOOTH.items()}


def _starting_from(start: StartsFrom, name: str, presets: Presets) -> Presets:
    """A method whose first stage starts [V] from another word's embedding."""
    changed = {}
    for preset, method in presets.items():
        first, *later = method.stages
        rare_token = _RARE_TOKEN[preset] if start == "rare_token" else ""
        first = dataclasses.replace(first, starts_from=start, rare_token=rare_token)
        changed[preset] = dataclasses.replace(method, name=name, stages=(first, *later))
    return changed


def _presets(make: Callable[[str], Method]) -> Presets:
    return {preset: make(preset) for preset in (PUBLISHED, DIFFUSERS, TOYWORLD, JOINT)}


METHODS: dict[str, Presets] = {
    "attndreambooth": _ATTNDREAMBOOTH,
    "attndreambooth_fast": {
        preset: dataclasses.replace(method, name="attndreambooth_fast")
        for preset, method in _ATTNDREAMBOOTH_FAST.items()
    },
    "textual_inversion": _presets(_textual_inversion),
    "dreambooth": _presets(_dreambooth),
    "dreambooth_prior": _presets(_dreambooth_prior),
    "textual_inversion+dreambooth": _presets(_inversion_and_dreambooth),
    "attndreambooth_lora": _as_lora("attndreambooth_lora", _ATTNDREAMBOOTH, _ATTNDREAMBOOTH_LORA),
    "dreambooth_lora": _as_lora("dreambooth_lora", _presets(_dreambooth), _DREAMBOOTH_LORA),
    # What each part of AttnDreamBooth is good for.
    "attndreambooth_no_term": _changed("attndreambooth_no_term", _without_term),
    "attndreambooth_no_stage_1": _changed("attndreambooth_no_stage_1", _without("embedding")),
    "attndreambooth_no_stage_2": _changed("attndreambooth_no_stage_2", _without("cross_attention")),
    "attndreambooth_no_stage_3": _changed("attndreambooth_no_stage_3", _without("unet")),
    # Terms of later papers, one at a time.
    "core": {preset: _core(preset) for preset in (PUBLISHED, TOYWORLD)},
    "dti": _presets(_dti),
    "attndreambooth_dti": _changed("attndreambooth_dti", _with(["embedding"], **_ON_SPHERE)),
    "attndreambooth_dop": _changed(
        "attndreambooth_dop", _with(["cross_attention", "unet"], class_prediction_weight=1.0)
    ),
    "attndreambooth_pull": {  # a LoRA is not pulled to the base's parameters, which it leaves as they are
        preset: method
        for preset, method in _changed(
            "attndreambooth_pull", _with(["cross_attention", "unet"], weight_pull=1.0)
        ).items()
        if preset != JOINT
    },
    # What the word is good for that [V] starts from.
    "attndreambooth_rare_token": _starting_from("rare_token", "attndreambooth_rare_token", _ATTNDREAMBOOTH_RARE_TOKEN),
    "dreambooth_super_category": _starting_from("super_category", "dreambooth_super_category", _presets(_dreambooth)),
}
"""Every method by name, and its presets by name."""


def get_method(name: str, preset: str, overrides: Mapping[str, Mapping[str, object]] | None = None) -> Method:
    """A method's preset with single fields of its stages replaced: `{"unet": {"max_train_steps": 400}}`.

    Raises InputError, with all problems, for an unknown method, preset, stage or field, and for values out of range.
    """
    if name not in METHODS:
        raise InputError(f"method '{name}': unknown; there are {_listed(METHODS)}")
    if preset not in METHODS[name]:
        raise InputError(f"preset '{preset}' of method '{name}': unknown; there are {_listed(METHODS[name])}")
    method = METHODS[name][preset]
    stages = {stage.name: stage for stage in method.stages}
    problems = []
    for stage_name, fields in (overrides or {}).items():
        if stage_name not in stages:
            problems.append(f"stage '{stage_name}': method '{name}' has {_listed(stages)}")
            continue
        unknown = [field for field in fields if field not in STAGE_SETTINGS]
        problems += [f"{stage_name}.{field}: no such setting; there are {_listed(STAGE_SETTINGS)}" for field in unknown]
        known = {field: value for field, value in fields.items() if field not in unknown}
        stages[stage_name] = dataclasses.replace(stages[stage_name], **known)  # type: ignore[arg-type]
    changed = dataclasses.replace(method, stages=tuple(stages.values()))
    if problems := [*problems, *changed.problems()]:
        raise InputError(*problems)
    return changed


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
