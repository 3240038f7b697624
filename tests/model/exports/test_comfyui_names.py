"""LoRAs of bases with joint attention under ComfyUI's rules, held against diffusers' way from original names."""

import torch
from diffusers.loaders.single_file_utils import (
    convert_flux2_transformer_checkpoint_to_diffusers,
    convert_z_image_transformer_checkpoint_to_diffusers,
)

from model.weights.lora import matrix_layers
from tests.model.comfyui_names import comfyui_place

CONVERTED = {
    "Z-Image": convert_z_image_transformer_checkpoint_to_diffusers,
    "FLUX.2 klein": convert_flux2_transformer_checkpoint_to_diffusers,
}


def test_every_layer_that_gets_a_lora_has_the_place_there_that_its_weights_have(joint_base):
    family, own = joint_base.family, dict(joint_base.denoiser.named_parameters())
    layers = {name.removeprefix("transformer.") for name in matrix_layers(joint_base) if "transformer." in name}
    layers = {layer for layer in layers if family.takes_lora(layer)}
    stage_2 = {name.removesuffix(".weight") for name in own if family.is_cross_attention(name)}
    assert layers and stage_2 < layers, "what stage 2 trains can be a LoRA"
    thirds: dict[str, dict[int, torch.Tensor]] = {}
    for layer in layers:
        name, third = comfyui_place(family.name, layer)
        assert third not in thirds.setdefault(name, {}), "two layers at one place"
        thirds[name][third] = own[f"{layer}.weight"].detach()
    original = {f"{name}.weight": torch.cat([parts[n] for n in sorted(parts)]) for name, parts in thirds.items()}
    found = CONVERTED[family.name](original)
    assert found.keys() == {f"{layer}.weight" for layer in layers}
    assert all(torch.equal(found[name], own[name]) for name in found)
