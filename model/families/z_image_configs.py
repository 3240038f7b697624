"""What the configurations of a Z-Image base's parts must say, and how they must fit each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.families.config_values import VAE, Allowed, Number, Whole, Wholes, Words, kind_problems
from model.families.family import Config, Configs, Promise, TextPart
from model.families.flow_schedule import flow_problems

PATCH = 2
"""Latents to a token of the transformer, along one side."""
_MOST_PIXELS = 8192
_TRANSFORMER: Mapping[str, Allowed] = {
    "in_channels": Whole(1, 256),
    "dim": Whole(8, 16384),
    "n_layers": Whole(1, 256),
    "n_refiner_layers": Whole(0, 64),
    "n_heads": Whole(1, 256),
    "n_kv_heads": Whole(1, 256),
    "cap_feat_dim": Whole(1, 65536),
    "axes_dims": Wholes(2, 1024),
    "axes_lens": Wholes(1, 65536),
    "rope_theta": Number(1, 1e9),
    "t_scale": Number(1, 1e6),
}
_TEXT: Mapping[str, Allowed] = {
    "architectures": Words(),
    "hidden_size": Whole(1, 16384),
    "intermediate_size": Whole(1, 131072),
    "num_hidden_layers": Whole(2, 256),
    "num_attention_heads": Whole(1, 1024),
    "num_key_value_heads": Whole(1, 1024),
    "head_dim": Whole(1, 1024),
    "vocab_size": Whole(3, 2**20),
}
_STEPS = 1000
"""Timesteps that the family's pipeline counts by."""


def config_problems(text: Sequence[TextPart], configs: Configs, scheduler: Config) -> list[str]:
    """What is wrong with the configurations of a base's parts and of its scheduler, each by itself and together."""
    kinds = {"transformer": _TRANSFORMER, "vae": VAE} | {part.folder: _TEXT for part in text}
    problems = kind_problems(configs, kinds, scheduler, flow_problems)
    return problems or _parts_problems(text, configs, scheduler)


def promised(text: Sequence[TextPart], configs: Configs) -> dict[str, dict[str, list[Promise]]]:
    """By part and tensor: axis, size, and what of the configuration says so."""
    found: dict[str, dict[str, list[Promise]]] = {}

    def promise(part: str, tensor: str, axis: int, key: str) -> None:
        if isinstance(size := configs[part].get(key), int):
            found.setdefault(part, {}).setdefault(tensor, []).append((axis, size, key))

    promise("transformer", "layers.0.attention.to_q.weight", 1, "dim")
    promise("transformer", "cap_embedder.1.weight", 0, "dim")
    promise("transformer", "cap_embedder.1.weight", 1, "cap_feat_dim")
    promise("vae", "decoder.conv_in.weight", 1, "latent_channels")
    for part in text:
        for prefix in ("", "model."):  # the whole model's file, or its body's alone
            promise(part.folder, f"{prefix}embed_tokens.weight", 0, "vocab_size")
            promise(part.folder, f"{prefix}embed_tokens.weight", 1, "hidden_size")
            promise(part.folder, f"{prefix}layers.0.mlp.up_proj.weight", 0, "intermediate_size")
    return found


def pixels_to_a_latent(vae: Config) -> int:
    """Along one side."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))


def _parts_problems(text: Sequence[TextPart], configs: Configs, scheduler: Config) -> list[str]:
    transformer, vae = configs["transformer"], configs["vae"]
    problems = []
    if transformer and (kind := transformer.get("_class_name")) != "ZImageTransformer2DModel":
        problems.append(f"transformer/ is a {kind}, a ZImageTransformer2DModel is needed")
    elif transformer:
        problems += _transformer_problems(transformer, vae)
    if vae and vae.get("_class_name") != "AutoencoderKL":
        problems.append(f"vae/ is a {vae.get('_class_name')}, an AutoencoderKL is needed")
    elif vae:
        problems += _side_problems(vae)
    for part in text:
        if not (config := configs[part.folder]):
            continue
        if not set(part.architectures) & set(config.get("architectures", [])):
            problems.append(
                f"{part.folder}/ is a {config.get('architectures')}, one of {', '.join(part.architectures)} is needed"
            )
        elif transformer and config.get("hidden_size") != transformer.get("cap_feat_dim"):
            problems.append(
                f"transformer/ reads text states of width {transformer.get('cap_feat_dim')}, {part.folder}/ makes "
                f"{config.get('hidden_size')}"
            )
    if scheduler and (steps := scheduler.get("num_train_timesteps", _STEPS)) != _STEPS:
        problems.append(f"scheduler/ has {steps} timesteps, and the pipeline counts by {_STEPS}")
    return problems


def _transformer_problems(transformer: Config, vae: Config) -> list[str]:
    problems = []
    if transformer.get("siglip_feat_dim"):
        problems.append(
            f"transformer/ reads pictures beside the text (siglip_feat_dim {transformer['siglip_feat_dim']}: Omni); "
            "name the base that draws from text alone"
        )
    for name, wanted in (("all_patch_size", [PATCH]), ("all_f_patch_size", [1])):
        if transformer.get(name, wanted) != wanted:
            problems.append(f"transformer/ has {name} {transformer[name]!r}; {wanted} is needed")
    if vae and transformer.get("in_channels", 16) != vae.get("latent_channels"):
        problems.append(
            f"transformer/ takes {transformer.get('in_channels')} channels and vae/ makes {vae.get('latent_channels')}"
        )
    return problems


def _side_problems(vae: Config) -> list[str]:
    """Nothing in the folder but its VAE says how large pictures are."""
    side, step = vae.get("sample_size"), PATCH * pixels_to_a_latent(vae)
    if not isinstance(side, int) or isinstance(side, bool) or not step <= side <= _MOST_PIXELS or side % step:
        return [
            f"vae/: sample_size {_shown(side)}: the side of the pictures in pixels is needed, a multiple of {step} up "
            f"to {_MOST_PIXELS:,}"
        ]
    return []


def _shown(value: Any) -> str:
    return repr(value)[:60]
