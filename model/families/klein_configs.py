"""What the configurations of a FLUX.2 klein base's parts must say, and how they must fit each other."""

from collections.abc import Mapping, Sequence
from functools import partial

from model.families.config_values import VAE, Allowed, Number, Whole, Wholes, kind_problems
from model.families.family import Config, Configs, Promise, TextPart
from model.families.flow_schedule import flow_problems
from model.families.joint_configs import (
    TEXT,
    class_problems,
    promises,
    side_problems,
    steps_problems,
    text_problems,
    text_sizes,
)
from model.families.joint_family import PATCH

_CHANNELS, _HEAD, _AXES = 128, 128, [32, 32, 32, 32]
"""What the library takes where a transformer's file says nothing."""
_TRANSFORMER: Mapping[str, Allowed] = {
    "patch_size": Whole(1, 16),
    "in_channels": Whole(4, 1024),
    "out_channels": Whole(4, 1024),
    "num_layers": Whole(1, 256),
    "num_single_layers": Whole(0, 256),
    "attention_head_dim": Whole(2, 1024),
    "num_attention_heads": Whole(1, 256),
    "joint_attention_dim": Whole(1, 65536),
    "timestep_guidance_channels": Whole(2, 8192),
    "mlp_ratio": Number(0.1, 100),
    "axes_dims_rope": Wholes(2, 1024),
    "rope_theta": Number(1, 1e9),
    "eps": Number(0, 1),
}
_VAE: Mapping[str, Allowed] = {**VAE, "batch_norm_eps": Number(0, 1), "patch_size": Wholes(1, 16)}


def config_problems(text: Sequence[TextPart], read: Sequence[int], configs: Configs, scheduler: Config) -> list[str]:
    """What is wrong with the configurations of a base's parts and of its scheduler, each by itself and together.

    `read` are the layers of the text models behind which states are read.
    """
    if others := class_problems(configs, transformer="Flux2Transformer2DModel", vae="AutoencoderKLFlux2"):
        return others
    kinds = {"transformer": _TRANSFORMER, "vae": _VAE} | {part.folder: TEXT for part in text}
    problems = kind_problems(configs, kinds, scheduler, partial(flow_problems, by_size=True))
    return problems or _parts_problems(text, read, configs, scheduler)


def promised(text: Sequence[TextPart], configs: Configs) -> dict[str, dict[str, list[Promise]]]:
    """By part and tensor: axis, size, and what of the configuration says so."""
    found = promises(
        configs,
        [
            ("transformer", "x_embedder.weight", 1, "in_channels"),
            ("transformer", "context_embedder.weight", 1, "joint_attention_dim"),
            ("transformer", "transformer_blocks.0.attn.norm_q.weight", 0, "attention_head_dim"),
            ("vae", "decoder.conv_in.weight", 1, "latent_channels"),
            *text_sizes(text),
        ],
    )
    if isinstance(channels := configs["vae"].get("latent_channels"), int):
        found["vae"]["bn.running_mean"] = [(0, PATCH**2 * channels, f"{PATCH**2} x latent_channels")]
    return found


def _parts_problems(text: Sequence[TextPart], read: Sequence[int], configs: Configs, scheduler: Config) -> list[str]:
    transformer, vae = configs["transformer"], configs["vae"]
    problems = _transformer_problems(transformer, vae) if transformer else []
    problems += side_problems(vae) if vae else []
    if vae and (patch := vae.get("patch_size") or [PATCH, PATCH]) != [PATCH, PATCH]:
        problems.append(f"vae/ has patch_size {patch!r}; {[PATCH, PATCH]} is needed")
    problems += text_problems(text, configs, "joint_attention_dim", len(read))
    for part in text:
        # The states behind the last layer would be normed ones.
        if (layers := configs[part.folder].get("num_hidden_layers")) is not None and layers <= read[-1]:
            problems.append(
                f"{part.folder}/ has {layers} layers, and the states behind the {read[-1]}th of more are read"
            )
    return problems + steps_problems(scheduler)


def _transformer_problems(transformer: Config, vae: Config) -> list[str]:
    problems = []
    if transformer.get("guidance_embeds", True):
        problems.append(
            "transformer/ is given the scale of guidance (guidance_embeds): it was distilled to draw by itself as if "
            "guided, as FLUX.2 dev was; name the klein base that was not"
        )
    if (patch := transformer.get("patch_size") or 1) != 1:
        problems.append(f"transformer/ has patch_size {patch!r}; 1 is needed")
    channels = transformer.get("in_channels") or _CHANNELS
    if (made := transformer.get("out_channels") or channels) != channels:
        problems.append(f"transformer/ takes {channels} channels and makes {made}; as many are needed")
    if vae and PATCH**2 * (vae.get("latent_channels") or 0) != channels:
        problems.append(
            f"transformer/ takes {channels} channels and vae/ makes {vae.get('latent_channels')}, of which "
            f"{PATCH} x {PATCH} are read as one"
        )
    axes, width = transformer.get("axes_dims_rope") or _AXES, transformer.get("attention_head_dim") or _HEAD
    if not all(isinstance(axis, int) for axis in axes) or sum(axes) != width:
        problems.append(f"transformer/ has axes_dims_rope {axes!r}; their sum has to be {width}, the width of a head")
    return problems
