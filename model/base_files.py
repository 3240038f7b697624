"""What a base model's folder must hold, told from its files alone: no weights are read and no torch is imported."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.families import STABLE_DIFFUSION, Family

PREDICTION_TYPES = ("epsilon", "v_prediction")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
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


def check_base_folder(folder: Path) -> None:
    """Raise InputError, with all problems, unless `folder` is a Stable Diffusion 1.x or 2.x pipeline in safetensors."""
    problems: list[str] = []
    if not (folder / "model_index.json").exists() and not any((folder / part).is_dir() for part in _WEIGHTS):
        raise InputError(
            f"base model '{folder}': no diffusers pipeline folder (it has no model_index.json); name one of Stable "
            "Diffusion 1.x or 2.x, or a hub id with its commit"
        )
    index = _read_json(folder / "model_index.json", problems)
    configs = {part: _read_json(folder / part / "config.json", problems) for part in ("unet", "vae", "text_encoder")}
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json", problems)
    if "text_encoder_2" in index:
        problems.append("it has a second text encoder (Stable Diffusion XL or newer); 1.x and 2.x are supported")
    if not any((folder / "tokenizer" / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        problems.append("tokenizer/: neither tokenizer.json nor vocab.json")
    problems += _config_problems(configs, scheduler)
    problems += [problem for part in _WEIGHTS if (problem := _weights_problem(folder, part))]
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))


def base_family(folder: Path) -> Family:
    """What kind of base a checked folder holds."""
    return STABLE_DIFFUSION


def base_resolution(folder: Path) -> int:
    """Side of the square pictures of a checked base, in pixels."""
    unet, vae = (json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def _config_problems(configs: dict[str, dict[str, Any]], scheduler: dict[str, Any]) -> list[str]:
    unet, vae, text_encoder = configs["unet"], configs["vae"], configs["text_encoder"]
    problems = []
    if unet:
        if unet.get("_class_name") != "UNet2DConditionModel":
            problems.append(f"unet/ is a {unet.get('_class_name')}, a text-conditioned UNet2DConditionModel is needed")
        elif not any("CrossAttn" in block for block in unet.get("down_block_types", [])):
            problems.append("unet/ has no cross-attention: it cannot be told by text what to draw")
        problems += [
            f"unet/ also wants conditions beside the text ({name} {unet[name]!r}); 1.x and 2.x have none"
            for name in _OTHER_CONDITIONS
            if unet.get(name)
        ]
        size = unet.get("sample_size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            problems.append(f"unet/: sample_size {size!r}: one number is needed, for square pictures")
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
        if text_encoder and unet.get("cross_attention_dim") != text_encoder.get("hidden_size"):
            problems.append(
                f"unet/ reads text states of width {unet.get('cross_attention_dim')}, "
                f"text_encoder/ makes {text_encoder.get('hidden_size')}"
            )
    if vae and vae.get("_class_name") != "AutoencoderKL":
        problems.append(f"vae/ is a {vae.get('_class_name')}, an AutoencoderKL is needed")
    if text_encoder and "CLIPTextModel" not in text_encoder.get("architectures", []):
        problems.append(f"text_encoder/ is a {text_encoder.get('architectures')}, a CLIPTextModel is needed")
    prediction = scheduler.get("prediction_type", "epsilon")
    if scheduler and prediction not in PREDICTION_TYPES:
        problems.append(f"scheduler/: prediction_type '{prediction}'; there are {', '.join(PREDICTION_TYPES)}")
    return problems


def _weights_problem(folder: Path, part: str) -> str | None:
    if not (folder / part).is_dir():
        return None  # its missing config has been reported
    name = _WEIGHTS[part]
    if any((folder / part).glob(f"{name}*.safetensors")):
        return None
    others = sorted(path.name for path in (folder / part).glob("*.bin"))
    found = f"only {', '.join(others)}, and pickle is never read" if others else "no weights"
    return f"{part}/: {found}; {name}.safetensors is needed"


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """The file's content, or {} after adding to `problems`."""
    name = f"{path.parent.name}/{path.name}" if path.name != "model_index.json" else path.name
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
