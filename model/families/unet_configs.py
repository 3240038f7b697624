"""What the configurations of a Stable Diffusion base's parts must say, and how they must fit each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.families.config_values import TEXT, UNET, VAE, kind_problems
from model.families.family import Configs, Promise, TextPart
from model.families.noise_schedule import schedule_problems

_SHIFTS = ("shift_factor", "latents_mean", "latents_std")
_OTHER_CONDITIONS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
_TIME_IDS = 6
"""How many sizes a UNet of `text_time` is told of a picture: `model.diffusion.augment.View.time_ids`."""
_MOST_LATENTS = 1024
"""Side of the largest picture in latents: 8,192 pixels."""


def config_problems(
    name: str,
    addition_embed_type: str | None,
    text: Sequence[TextPart],
    configs: Configs,
    scheduler: Mapping[str, Any],
) -> list[str]:
    """What is wrong with the configurations of a base's parts and of its scheduler, each by itself and together.

    Those that could not be read are empty, and have been complained of.
    """
    kinds = {"unet": UNET, "vae": VAE} | {part.folder: TEXT for part in text}
    # What fits what can only be asked of values that are of their kind.
    return kind_problems(configs, kinds, scheduler, schedule_problems) or _parts_problems(
        name, addition_embed_type, text, configs, scheduler
    )


def promised(text: Sequence[TextPart], configs: Configs) -> dict[str, dict[str, list[Promise]]]:
    """By part and tensor: axis, size, and what of the configuration says so."""
    found: dict[str, dict[str, list[Promise]]] = {}

    def promise(part: str, tensor: str, axis: int, key: str, block: int | None = None) -> None:
        size = configs[part].get(key)
        size = size[block] if block is not None and size else size
        if isinstance(size, int):
            called = key if block is None else f"{key}[{block}]"
            found.setdefault(part, {}).setdefault(tensor, []).append((axis, size, called))

    promise("unet", "conv_in.weight", 1, "in_channels")
    promise("unet", "conv_out.weight", 0, "out_channels")
    promise("vae", "decoder.conv_in.weight", 1, "latent_channels")
    for part, prefix in (("unet", ""), ("vae", "encoder.")):
        for block in range(len(configs[part].get("block_out_channels") or ())):
            promise(part, f"{prefix}down_blocks.{block}.resnets.0.conv1.weight", 0, "block_out_channels", block)
    for encoder in text:
        for prefix in ("", "text_model."):  # as transformers 5 saves it, and as it was saved before
            promise(encoder.folder, f"{prefix}embeddings.token_embedding.weight", 0, "vocab_size")
            promise(encoder.folder, f"{prefix}embeddings.token_embedding.weight", 1, "hidden_size")
            promise(encoder.folder, f"{prefix}embeddings.position_embedding.weight", 0, "max_position_embeddings")
            promise(encoder.folder, f"{prefix}encoder.layers.0.mlp.fc1.weight", 0, "intermediate_size")
    return found


def _parts_problems(
    family: str,
    addition_embed_type: str | None,
    text: Sequence[TextPart],
    configs: Configs,
    scheduler: Mapping[str, Any],
) -> list[str]:
    unet, vae = configs["unet"], configs["vae"]
    problems = []
    if unet:
        problems += _unet_problems(family, addition_embed_type, unet)
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
        problems += _text_problems(addition_embed_type, text, unet, configs)
    if vae and vae.get("_class_name") != "AutoencoderKL":
        problems.append(f"vae/ is a {vae.get('_class_name')}, an AutoencoderKL is needed")
    problems += [
        f"vae/ shifts its latents ({name} {vae[name]!r}); those of {family} are only scaled"
        for name in _SHIFTS
        if vae.get(name)
    ]
    if scheduler and not scheduler.get("beta_schedule") and not scheduler.get("trained_betas"):
        problems.append(
            f"scheduler/ is a {scheduler.get('_class_name')} without a beta_schedule: {family} learns from noise "
            "of another kind"
        )
    return problems


def _unet_problems(family: str, addition_embed_type: str | None, unet: Mapping[str, Any]) -> list[str]:
    problems = []
    if unet.get("_class_name") != "UNet2DConditionModel":
        problems.append(f"unet/ is a {unet.get('_class_name')}, a text-conditioned UNet2DConditionModel is needed")
    elif not any("CrossAttn" in block for block in unet.get("down_block_types") or ()):
        problems.append("unet/ has no cross-attention: it cannot be told by text what to draw")
    wanted = {"addition_embed_type": addition_embed_type}
    for name in _OTHER_CONDITIONS:
        found = unet.get(name) or None
        if found != wanted.get(name):
            problems.append(
                f"unet/ has {name} {found!r} for conditions beside the text states; that of {family} has "
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


def _text_problems(
    addition_embed_type: str | None, text: Sequence[TextPart], unet: Mapping[str, Any], configs: Configs
) -> list[str]:
    """Text encoders of another kind, or of another width than the UNet reads."""
    read = [(part, configs[part.folder]) for part in text if configs[part.folder]]
    problems = [
        f"{part.folder}/ is a {config.get('architectures')}, a {part.model_class} is needed"
        for part, config in read
        if part.model_class not in (config.get("architectures") or ())
    ]
    if problems or len(read) < len(text):
        return problems
    folders = " and ".join(f"{part.folder}/" for part in text)
    width = sum(config.get("hidden_size") or 0 for _, config in read)
    if unet.get("cross_attention_dim") != width:
        problems.append(f"unet/ reads text states of width {unet.get('cross_attention_dim')}, {folders} make {width}")
    if addition_embed_type:
        pooled = read[-1][1].get("projection_dim") or 0
        sizes = _TIME_IDS * (unet.get("addition_time_embed_dim") or 0)
        beside = unet.get("projection_class_embeddings_input_dim")
        if beside != pooled + sizes:
            problems.append(
                f"unet/ reads conditions of width {beside} beside the text states; the pooled state of "
                f"{text[-1].folder}/ ({pooled}) and {_TIME_IDS} sizes ({sizes}) make {pooled + sizes}"
            )
    return problems
