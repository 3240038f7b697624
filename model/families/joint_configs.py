"""What the configurations of bases with joint attention must say alike: text model, side of pictures, timesteps."""

from collections.abc import Mapping, Sequence

from model.families.config_values import Allowed, Whole, Words
from model.families.family import Config, Configs, Promise, TextPart
from model.families.joint_family import PATCH, pixels_to_a_latent

TEXT: Mapping[str, Allowed] = {
    "architectures": Words(),
    "hidden_size": Whole(1, 16384),
    "intermediate_size": Whole(1, 131072),
    "num_hidden_layers": Whole(2, 256),
    "num_attention_heads": Whole(1, 1024),
    "num_key_value_heads": Whole(1, 1024),
    "head_dim": Whole(1, 1024),
    "vocab_size": Whole(3, 2**20),
}
_MOST_PIXELS = 8192
_STEPS = 1000
"""Timesteps that the families' pipelines count by."""


def class_problems(configs: Configs, **wanted: str) -> list[str]:
    """Parts that are there and of another class than `wanted`: then nothing else that they say means anything."""
    kinds = {part: configs[part].get("_class_name") for part in wanted if configs[part]}
    return [f"{part}/ is a {kind}, {wanted[part]} is needed" for part, kind in kinds.items() if kind != wanted[part]]


def text_problems(text: Sequence[TextPart], configs: Configs, key: str, layers: int = 1) -> list[str]:
    """What is wrong with the kinds of text models, and with their width.

    The transformer says by `key` how wide the states are that it reads, of so many layers side by side.
    """
    problems, wanted = [], configs["transformer"].get(key)
    for part in text:
        if not (config := configs[part.folder]):
            continue
        allowed = part.architectures or (part.model_class,)
        if not set(allowed) & set(config.get("architectures", [])):
            needed = f"one of {', '.join(allowed)}" if len(allowed) > 1 else f"a {allowed[0]}"
            problems.append(f"{part.folder}/ is a {config.get('architectures')}, {needed} is needed")
        elif configs["transformer"] and (config.get("hidden_size") or 0) * layers != wanted:
            each = f"{layers} x " if layers > 1 else ""
            problems.append(
                f"transformer/ reads text states of width {wanted}, {part.folder}/ makes {each}"
                f"{config.get('hidden_size')}"
            )
    return problems


def side_problems(vae: Config) -> list[str]:
    """Nothing in the folder but its VAE says how large pictures are."""
    if not vae.get("block_out_channels"):
        return ["vae/: block_out_channels is not said, and with it not how many pixels are one latent"]
    side, step = vae.get("sample_size"), PATCH * pixels_to_a_latent(vae)
    if not isinstance(side, int) or isinstance(side, bool) or not step <= side <= _MOST_PIXELS or side % step:
        return [
            f"vae/: sample_size {repr(side)[:60]}: the side of the pictures in pixels is needed, a multiple of {step} "
            f"up to {_MOST_PIXELS:,}"
        ]
    return []


def steps_problems(scheduler: Config) -> list[str]:
    """Another number of timesteps than the pipelines count by."""
    if scheduler and (steps := scheduler.get("num_train_timesteps", _STEPS)) != _STEPS:
        return [f"scheduler/ has {steps} timesteps, and the pipeline counts by {_STEPS}"]
    return []


def promises(configs: Configs, wanted: Sequence[tuple[str, str, int, str]]) -> dict[str, dict[str, list[Promise]]]:
    """By part and tensor what its configuration says of an axis; `wanted` are part, tensor, axis and key."""
    found: dict[str, dict[str, list[Promise]]] = {}
    for part, tensor, axis, key in wanted:
        if isinstance(size := configs[part].get(key), int):
            found.setdefault(part, {}).setdefault(tensor, []).append((axis, size, key))
    return found


def text_sizes(text: Sequence[TextPart]) -> list[tuple[str, str, int, str]]:
    """What `promises` wants of text models, in the whole model's file or in that of its body alone."""
    return [
        (part.folder, f"{prefix}{tensor}", axis, key)
        for part in text
        for prefix in ("", "model.")
        for tensor, axis, key in (
            ("embed_tokens.weight", 0, "vocab_size"),
            ("embed_tokens.weight", 1, "hidden_size"),
            ("layers.0.mlp.up_proj.weight", 0, "intermediate_size"),
        )
    ]
