"""What the configurations of a Z-Image base's parts must say, and how they must fit each other."""

from collections.abc import Mapping, Sequence

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


def config_problems(text: Sequence[TextPart], configs: Configs, scheduler: Config) -> list[str]:
    """What is wrong with the configurations of a base's parts and of its scheduler, each by itself and together."""
    if others := class_problems(configs, transformer="ZImageTransformer2DModel", vae="AutoencoderKL"):
        return others
    kinds = {"transformer": _TRANSFORMER, "vae": VAE} | {part.folder: TEXT for part in text}
    problems = kind_problems(configs, kinds, scheduler, flow_problems)
    return problems or _parts_problems(text, configs, scheduler)


def promised(text: Sequence[TextPart], configs: Configs) -> dict[str, dict[str, list[Promise]]]:
    """By part and tensor: axis, size, and what of the configuration says so."""
    return promises(
        configs,
        [
            ("transformer", "layers.0.attention.to_q.weight", 1, "dim"),
            ("transformer", "cap_embedder.1.weight", 0, "dim"),
            ("transformer", "cap_embedder.1.weight", 1, "cap_feat_dim"),
            ("vae", "decoder.conv_in.weight", 1, "latent_channels"),
            *text_sizes(text),
        ],
    )


def _parts_problems(text: Sequence[TextPart], configs: Configs, scheduler: Config) -> list[str]:
    transformer, vae = configs["transformer"], configs["vae"]
    problems = _transformer_problems(transformer, vae) if transformer else []
    problems += side_problems(vae) if vae else []
    return problems + text_problems(text, configs, "cap_feat_dim") + steps_problems(scheduler)


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
