"""What the configurations of a base's parts must say, and how they must fit each other and the weights beside them."""

from collections.abc import Mapping
from typing import Any

from model.bases.config_values import TEXT, UNET, VAE, size_problems, value_problems
from model.bases.families import Family
from model.bases.noise_schedule import schedule_problems
from model.bases.weight_files import TensorShape

_TIME_IDS = 6
"""How many sizes a UNet of `text_time` is told of a picture: `model.diffusion.augment.View.time_ids`."""
_SHIFTS = ("shift_factor", "latents_mean", "latents_std")
_OTHER_CONDITIONS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
Configs = Mapping[str, Mapping[str, Any]]
"""Of each part, by its folder."""
_Promise = tuple[int, int, str]
_MOST_LATENTS = 1024
"""Side of the largest picture in latents: 8,192 pixels."""


def config_problems(family: Family, configs: Configs, scheduler: Mapping[str, Any]) -> list[str]:
    """What is wrong with the configurations of a base's parts and of its scheduler, each by itself and together.

    Those that could not be read are empty, and have been complained of.
    """
    kinds = {"unet": UNET, "vae": VAE}
    problems = []
    for part, config in configs.items():
        found = [*size_problems(config), *value_problems(config, kinds.get(part, TEXT))]
        if config.get("quantization_config"):
            found.append("its weights are quantised (quantization_config); those of the whole model are needed")
        problems += [f"{part}/config.json: {problem}" for problem in dict.fromkeys(found)]
    found = [*size_problems(scheduler), *schedule_problems(scheduler)]
    problems += [f"scheduler/scheduler_config.json: {problem}" for problem in dict.fromkeys(found)]
    # What fits what can only be asked of values that are of their kind.
    return problems or _parts_problems(family, configs, scheduler)


def shape_problems(family: Family, configs: Configs, shapes: Mapping[str, Mapping[str, TensorShape]]) -> list[str]:
    """Where the configurations promise other sizes than the tensors in the weights have."""
    problems = []
    for part, wanted in _promised(family, configs).items():
        for name, shape in shapes.get(part, {}).items():
            short = name.removeprefix("text_model.")
            for axis, size, called in wanted.get(short, ()):
                if axis < len(shape.shape) and shape.shape[axis] != size:
                    problems.append(
                        f"{part}/config.json: {called} {size}, and its weights have {shape.shape[axis]} ({name})"
                    )
    return problems


def _promised(family: Family, configs: Configs) -> dict[str, dict[str, list[_Promise]]]:
    """By part and tensor: axis, size, and what of the configuration says so."""
    promised: dict[str, dict[str, list[_Promise]]] = {}

    def promise(part: str, tensor: str, axis: int, key: str, block: int | None = None) -> None:
        size = configs[part].get(key)
        size = size[block] if block is not None and size else size
        if isinstance(size, int):
            called = key if block is None else f"{key}[{block}]"
            promised.setdefault(part, {}).setdefault(tensor, []).append((axis, size, called))

    promise("unet", "conv_in.weight", 1, "in_channels")
    promise("unet", "conv_out.weight", 0, "out_channels")
    promise("vae", "decoder.conv_in.weight", 1, "latent_channels")
    for part, prefix in (("unet", ""), ("vae", "encoder.")):
        for block in range(len(configs[part].get("block_out_channels") or ())):
            promise(part, f"{prefix}down_blocks.{block}.resnets.0.conv1.weight", 0, "block_out_channels", block)
    for text in family.text:
        promise(text.folder, "embeddings.token_embedding.weight", 0, "vocab_size")
        promise(text.folder, "embeddings.token_embedding.weight", 1, "hidden_size")
        promise(text.folder, "embeddings.position_embedding.weight", 0, "max_position_embeddings")
        promise(text.folder, "encoder.layers.0.mlp.fc1.weight", 0, "intermediate_size")
    return promised


def _parts_problems(family: Family, configs: Configs, scheduler: Mapping[str, Any]) -> list[str]:
    unet, vae = configs["unet"], configs["vae"]
    problems = []
    if unet:
        problems += _unet_problems(family, unet)
        if vae and unet.get("in_channels") != vae.get("latent_channels"):
            problems.append(
                f"unet/ takes {unet.get('in_channels')} channels and vae/ makes {vae.get('latent_channels')}: "
                "inpainting and upscaling models cannot be bases"
            )
        elif unet.get("out_channels") != unet.get("in_channels"):
            problems.append(
                f"unet/ takes {unet.get('in_channels')} channels and predicts {unet.get('out_channels')}: "
                "as many are needed, one for each of the noise's"
            )
        problems += _text_problems(family, unet, configs)
    if vae and vae.get("_class_name") != "AutoencoderKL":
        problems.append(f"vae/ is a {vae.get('_class_name')}, an AutoencoderKL is needed")
    problems += [
        f"vae/ shifts its latents ({name} {vae[name]!r}); those of {family.name} are only scaled"
        for name in _SHIFTS
        if vae.get(name)
    ]
    if scheduler and not scheduler.get("beta_schedule") and not scheduler.get("trained_betas"):
        problems.append(
            f"scheduler/ is a {scheduler.get('_class_name')} without a beta_schedule: {family.name} learns from noise "
            "of another kind"
        )
    return problems


def _unet_problems(family: Family, unet: Mapping[str, Any]) -> list[str]:
    problems = []
    if unet.get("_class_name") != "UNet2DConditionModel":
        problems.append(f"unet/ is a {unet.get('_class_name')}, a text-conditioned UNet2DConditionModel is needed")
    elif not any("CrossAttn" in block for block in unet.get("down_block_types", [])):
        problems.append("unet/ has no cross-attention: it cannot be told by text what to draw")
    wanted = {"addition_embed_type": family.addition_embed_type}
    for name in _OTHER_CONDITIONS:
        found = unet.get(name) or None
        if found != wanted.get(name):
            problems.append(
                f"unet/ has {name} {found!r} for conditions beside the text states; that of {family.name} has "
                f"{wanted.get(name)!r}"
            )
    if unet.get("time_cond_proj_dim"):
        problems.append(
            f"unet/ was distilled to draw in a few steps (time_cond_proj_dim {unet['time_cond_proj_dim']!r}: a latent "
            "consistency model); training would undo that, so name the base that it was distilled from"
        )
    size = unet.get("sample_size")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MOST_LATENTS:
        problems.append(
            f"unet/: sample_size {size!r}: one number is needed, for square pictures, from 1 to {_MOST_LATENTS}"
        )
    return problems


def _text_problems(family: Family, unet: Mapping[str, Any], configs: Configs) -> list[str]:
    """Text encoders of another kind, or of another width than the UNet reads."""
    read = [(part, configs[part.folder]) for part in family.text if configs[part.folder]]
    problems = [
        f"{part.folder}/ is a {config.get('architectures')}, a {part.model_class} is needed"
        for part, config in read
        if part.model_class not in config.get("architectures", [])
    ]
    if problems or len(read) < len(family.text):
        return problems
    folders = " and ".join(f"{part.folder}/" for part in family.text)
    width = sum(config.get("hidden_size", 0) for _, config in read)
    if unet.get("cross_attention_dim") != width:
        problems.append(f"unet/ reads text states of width {unet.get('cross_attention_dim')}, {folders} make {width}")
    if family.addition_embed_type:
        pooled = read[-1][1].get("projection_dim", 0)
        sizes = _TIME_IDS * (unet.get("addition_time_embed_dim") or 0)
        beside = unet.get("projection_class_embeddings_input_dim")
        if beside != pooled + sizes:
            problems.append(
                f"unet/ reads conditions of width {beside} beside the text states; the pooled state of "
                f"{family.text[-1].folder}/ ({pooled}) and {_TIME_IDS} sizes ({sizes}) make {pooled + sizes}"
            )
    return problems
