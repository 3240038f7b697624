"""What a base model's folder must hold, told from its files alone: no weights are read and no torch is imported."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.bases.families import FAMILIES, STABLE_DIFFUSION, STABLE_DIFFUSION_XL, Family
from model.errors import InputError

PREDICTION_TYPES = ("epsilon", "v_prediction")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INDEX = "model_index.json"
_FAMILIES = ", ".join(family.name for family in FAMILIES)
_TIME_IDS = 6
"""How many sizes a UNet of `text_time` is told of a picture: `model.diffusion.augment.View.time_ids`."""
_SHIFTS = ("shift_factor", "latents_mean", "latents_std")
_OTHER_CONDITIONS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")


@dataclass(frozen=True)
class ModelSource:
    """Where a pretrained model comes from: a folder, or a hub repository at one commit."""

    reference: str
    """Folder path, or hub id `owner/name`."""
    revision: str | None
    """40-digit commit of a hub id; None for a folder."""

    @property
    def folder(self) -> Path | None:
        """The folder, or None for a hub id."""
        return Path(self.reference) if self.revision is None else None


def model_source(reference: str, revision: str | None = None, *, what: str = "base model") -> ModelSource:
    """Tell a folder from a hub id. InputError for a folder that is not there, or a hub id without a full commit."""
    if Path(reference).is_dir():
        if revision is not None:
            raise InputError(
                f"{what} '{reference}' is a folder: its revision '{revision}' has no meaning, leave it out"
            )
        return ModelSource(reference, None)
    if not _HUB_ID.fullmatch(reference):
        raise InputError(f"{what} '{reference}': no such folder, and no hub id of the form owner/name")
    if not _COMMIT.fullmatch(revision or ""):
        raise InputError(
            f"{what} '{reference}': no such folder, and as a hub id it needs a revision of 40 hex digits, not "
            f"{revision!r}; copy the newest commit from the model page's file history on the hub"
        )
    return ModelSource(reference, revision)


def check_base_folder(folder: Path, *, with_weights: bool = True) -> Family:
    """The family of the pipeline in `folder`; `with_weights` False looks at the configurations alone.

    Raises InputError, with all problems, unless it is one of `model.bases.families`, in safetensors.
    """
    if not (folder / _INDEX).exists() and not any((folder / part).is_dir() for part in STABLE_DIFFUSION.models):
        raise InputError(
            f"base model '{folder}': no diffusers pipeline folder (it has no {_INDEX}); name one of {_FAMILIES}, or a "
            "hub id with its commit"
        )
    problems: list[str] = []
    index = _read_json(folder / _INDEX, problems)
    if refusal := _other_kind(index):
        raise InputError(f"base model '{folder}': {refusal}; name one of {_FAMILIES}")
    family = _family(index)
    configs = {part: _read_json(folder / part / "config.json", problems) for part in family.models}
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json", problems)
    for part in family.text:
        if not any((folder / part.tokenizer / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            problems.append(f"{part.tokenizer}/: neither tokenizer.json nor vocab.json")
    problems += _config_problems(family, configs, scheduler)
    if with_weights:
        weights = family.models.items()
        problems += [problem for part, name in weights if (problem := _weights_problem(folder, part, name))]
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return family


def base_family(folder: Path) -> Family:
    """The family of a base's folder. Raises InputError if its index cannot be read."""
    problems: list[str] = []
    index = _read_json(folder / _INDEX, problems)
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return _family(index)


def empty_prompt_is_zero(folder: Path, family: Family) -> bool:
    """Whether zeros stand for the empty prompt of a checked base."""
    if family.zero_option is None:
        return False
    return bool(json.loads((folder / _INDEX).read_text(encoding="utf-8")).get(family.zero_option, True))


def base_resolution(folder: Path) -> int:
    """Side of the square pictures of a checked base, in pixels."""
    unet, vae = (json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def _family(index: Mapping[str, Any]) -> Family:
    return STABLE_DIFFUSION_XL if _holds(index, "text_encoder_2") else STABLE_DIFFUSION


def _other_kind(index: Mapping[str, Any]) -> str | None:
    """Why a pipeline cannot be a base whatever its parts are; None if it may be one."""
    kind = index.get("_class_name")
    if _holds(index, "transformer"):
        return (
            f"it is a {kind}, whose transformer ({index['transformer'][1]}) reads text and picture by joint attention, "
            "as Stable Diffusion 3 and FLUX do; the training works on the cross-attention of a UNet, which it has not"
        )
    only_the_second = _holds(index, "text_encoder_2") and not _holds(index, "text_encoder")
    if index.get("requires_aesthetics_score") or only_the_second:
        return (
            f"it is a {kind} with one text encoder of two and an aesthetic score, the refiner of Stable Diffusion XL; "
            "it finishes what the XL base has begun, and draws nothing by itself"
        )
    return None


def _holds(index: Mapping[str, Any], part: str) -> bool:
    """Whether a pipeline's index names that part; what a pipeline does without stands there as [null, null]."""
    return any(index.get(part) or ())


def _config_problems(family: Family, configs: dict[str, dict[str, Any]], scheduler: dict[str, Any]) -> list[str]:
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
    prediction = scheduler.get("prediction_type", "epsilon")
    if scheduler and prediction not in PREDICTION_TYPES:
        problems.append(f"scheduler/: prediction_type '{prediction}'; there are {', '.join(PREDICTION_TYPES)}")
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
    size = unet.get("sample_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        problems.append(f"unet/: sample_size {size!r}: one number is needed, for square pictures")
    return problems


def _text_problems(family: Family, unet: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
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


def _weights_problem(folder: Path, part: str, name: str) -> str | None:
    if not (folder / part).is_dir():
        return None  # its missing config has been reported
    if any((folder / part).glob(f"{name}*.safetensors")):
        return None
    others = sorted(path.name for path in (folder / part).glob("*.bin"))
    found = f"only {', '.join(others)}, and pickle is never read" if others else "no weights"
    return f"{part}/: {found}; {name}.safetensors is needed"


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """The file's content, or {} after adding to `problems`."""
    name = f"{path.parent.name}/{path.name}" if path.name != _INDEX else path.name
    if not path.is_file():
        problems.append(f"no {name}; a diffusers pipeline folder is needed")
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        problems.append(f"{name} is not JSON ({error})")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{name} is not a JSON object")
        return {}
    return content
