"""Weights under the names of the original Stable Diffusion, as the programs that came before diffusers read them.

diffusers renames the original's tensors when it loads a checkpoint (diffusers.loaders.single_file_utils), and has
nothing for the way back; these are the same names, the other way round.
"""

import re
from collections.abc import Mapping

import torch

from model.bases.base import Base
from model.bases.text_encoder import TextEncoder

UNET, VAE = "model.diffusion_model.", "first_stage_model."
_UNET_ENDS = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
_UNET_RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
_VAE_ATTENTION = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out."}
_OPEN_CLIP_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
    "self_attn.out_proj.": "attn.out_proj.",
}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_CODER = re.compile(r"(encoder|decoder)\.(.+)")


def original_checkpoint(base: Base) -> dict[str, torch.Tensor]:
    """All weights of a base, as it is now, under the original's names."""
    unet = original_unet(base.denoiser.state_dict(), base.denoiser.config.layers_per_block)
    vae = original_vae(base.vae.state_dict(), len(base.vae.config.block_out_channels))
    text: dict[str, torch.Tensor] = {}
    for encoder in base.text_encoders:
        text |= _original_text(encoder)
    return unet | vae | text


def original_unet(weights: Mapping[str, torch.Tensor], layers_per_block: int) -> dict[str, torch.Tensor]:
    """The UNet's; the original numbers its layers through, without blocks."""
    with_attention = {name.split(".")[1] for name in weights if re.match(r"up_blocks\.\d+\.attentions", name)}
    return {f"{UNET}{_unet_name(name, layers_per_block, with_attention)}": tensor for name, tensor in weights.items()}


def original_vae(weights: Mapping[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    """The autoencoder's; its attention is a convolution of one pixel there, a linear layer here."""
    renamed = {}
    for name, tensor in weights.items():
        is_linear = ".attentions." in name and tensor.ndim == 2
        renamed[f"{VAE}{_vae_name(name, blocks)}"] = tensor[:, :, None, None] if is_linear else tensor
    return renamed


def original_clip(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The text encoder's of Stable Diffusion 1.x, or the first of XL."""
    return {f"{prefix}text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in weights.items()}


def original_open_clip(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The text encoder's of Stable Diffusion 2.x, or the second of XL.

    Query, key and value are one tensor there, and the projection of the pooled state lies on its side.
    """
    renamed: dict[str, torch.Tensor] = {}
    for full_name, tensor in weights.items():
        name = full_name.removeprefix("text_model.")
        if name in _OPEN_CLIP_ENDS:
            renamed[f"{prefix}{_OPEN_CLIP_ENDS[name]}"] = tensor
            continue
        if name == "text_projection.weight":
            renamed[f"{prefix}text_projection"] = tensor.T
            continue
        _, _, number, part = name.split(".", 3)
        layer = f"{prefix}transformer.resblocks.{number}."
        if not part.startswith(("self_attn.q_", "self_attn.k_", "self_attn.v_")):
            renamed[f"{layer}{_replaced(part, _OPEN_CLIP_LAYER)}"] = tensor
        elif part.startswith("self_attn.q_"):
            kind = part.rpartition(".")[2]  # weight, bias
            three = [weights[full_name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            renamed[f"{layer}attn.in_proj_{kind}"] = torch.cat(three)
    return renamed


def _original_text(encoder: TextEncoder) -> dict[str, torch.Tensor]:
    named, weights = encoder.part.original_names, encoder.model.state_dict()
    # Stable Diffusion 2.x reads by OpenCLIP's encoder, whose activation is another one than that of OpenAI's
    code = "open_clip" if encoder.model.config.hidden_act == "gelu" else "clip"
    code = code if code in named else next(iter(named))
    return (original_open_clip if code == "open_clip" else original_clip)(weights, named[code])


def _unet_name(name: str, layers: int, with_attention: set[str]) -> str:
    if middle := _MIDDLE.fullmatch(name):
        kind, number, part = middle.groups()
        if kind == "attentions":
            return f"middle_block.1.{part}"
        return f"middle_block.{2 * int(number)}.{_replaced(part, _UNET_RESNET)}"
    block = _BLOCK.fullmatch(name)
    if block is None:
        return _replaced(name, _UNET_ENDS)
    way, number, kind, layer, part = block.groups()
    first = int(number) * (layers + 1)  # one more, for what makes it smaller or larger
    if kind == "downsamplers":
        return f"input_blocks.{first + layers + 1}.0.{part.replace('conv.', 'op.', 1)}"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if number in with_attention else 1}.{part}"
    place = f"input_blocks.{first + int(layer) + 1}" if way == "down" else f"output_blocks.{first + int(layer)}"
    return f"{place}.1.{part}" if kind == "attentions" else f"{place}.0.{_replaced(part, _UNET_RESNET)}"


def _vae_name(name: str, blocks: int) -> str:
    coder = _CODER.fullmatch(name)
    if coder is None:
        return name  # quant_conv, post_quant_conv
    side, inner = coder.groups()
    if middle := _MIDDLE.fullmatch(inner):
        kind, number, part = middle.groups()
        if kind == "attentions":
            return f"{side}.mid.attn_1.{_replaced(part, _VAE_ATTENTION)}"
        return f"{side}.mid.block_{int(number) + 1}.{part}"
    block = _BLOCK.fullmatch(inner)
    if block is None:
        return f"{side}.{inner.replace('conv_norm_out.', 'norm_out.')}"
    way, number, kind, layer, part = block.groups()
    place = f"{side}.{way}.{number if way == 'down' else blocks - 1 - int(number)}"  # the decoder's count backwards
    if kind == "resnets":
        return f"{place}.block.{layer}.{part.replace('conv_shortcut.', 'nin_shortcut.')}"
    return f"{place}.{'downsample' if way == 'down' else 'upsample'}.{part}"


def _replaced(name: str, beginnings: Mapping[str, str]) -> str:
    for ours, original in beginnings.items():
        if name.startswith(ours):
            return original + name.removeprefix(ours)
    raise ValueError(f"{name}: the original has no such weights")
