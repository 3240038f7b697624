"""Where ComfyUI puts a LoRA of diffusers' names: its models keep the original's names, query, key and value in one.

The rules of `z_image_to_diffusers` and `flux_to_diffusers` in its comfy/utils.py, for the layers that a LoRA can have.
"""

import re

_THIRDS = {"q": 0, "k": 1, "v": 2}
RULES: dict[str, list[tuple[str, str, dict[str, int]]]] = {
    "Z-Image": [
        (r"(\w+\.\d+\.attention)\.to_(q|k|v)", r"\1.qkv", _THIRDS),
        (r"(\w+\.\d+\.attention)\.to_out\.0", r"\1.out", {}),
        (r"(\w+\.\d+\.feed_forward\.w[123])", r"\1", {}),
    ],
    "FLUX.2 klein": [
        (r"transformer_blocks\.(\d+)\.attn\.to_(q|k|v)", r"double_blocks.\1.img_attn.qkv", _THIRDS),
        (
            r"transformer_blocks\.(\d+)\.attn\.add_(q|k|v)_proj",
            r"double_blocks.\1.txt_attn.qkv",
            {"q": 0, "k": 1, "v": 2},
        ),
        (r"transformer_blocks\.(\d+)\.attn\.to_out\.0", r"double_blocks.\1.img_attn.proj", {}),
        (r"transformer_blocks\.(\d+)\.attn\.to_add_out", r"double_blocks.\1.txt_attn.proj", {}),
        (r"transformer_blocks\.(\d+)\.ff\.linear_in", r"double_blocks.\1.img_mlp.0", {}),
        (r"transformer_blocks\.(\d+)\.ff\.linear_out", r"double_blocks.\1.img_mlp.2", {}),
        (r"transformer_blocks\.(\d+)\.ff_context\.linear_in", r"double_blocks.\1.txt_mlp.0", {}),
        (r"transformer_blocks\.(\d+)\.ff_context\.linear_out", r"double_blocks.\1.txt_mlp.2", {}),
        (r"single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj", r"single_blocks.\1.linear1", {}),
        (r"single_transformer_blocks\.(\d+)\.attn\.to_out", r"single_blocks.\1.linear2", {}),
    ],
}


def comfyui_place(family: str, layer: str) -> tuple[str, int]:
    """The name of a layer of the transformer there, and the third of its rows that it is. KeyError without a rule."""
    for rule, name, thirds in RULES[family]:
        if found := re.fullmatch(rule, layer):
            return found.expand(name), thirds[found[2]] if thirds else 0
    raise KeyError(layer)
