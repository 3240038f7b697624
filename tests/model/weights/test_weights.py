import copy
import errno
import resource

import pytest
import torch
from safetensors.torch import save_file

from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from model.weights.concept import ConceptWeights


@pytest.fixture
def weights(base):
    generator = torch.Generator().manual_seed(0)
    return ConceptWeights.of(
        ConceptPrompt("<v>", "teddy bear", "a {} in the snow"),
        [torch.randn(1, 16, generator=generator)],
        {
            name: torch.randn(parameter.shape, generator=generator)
            for name, parameter in parameters_of(base).items()
            if ".attn2." in name or ".mlp." in name
        },
    )


def test_saved_and_loaded_bit_for_bit(weights, tmp_path):
    weights.save(tmp_path / "one.safetensors")
    loaded = ConceptWeights.load(tmp_path / "one.safetensors")
    assert loaded.prompt == weights.prompt
    assert torch.equal(loaded.embeddings[0], weights.embeddings[0])
    assert loaded.unet.keys() == weights.unet.keys() and loaded.text.keys() == weights.text.keys()
    assert weights.unet and weights.text
    assert all(torch.equal(loaded.changed[name], tensor) for name, tensor in weights.changed.items())
    loaded.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_no_room_is_the_systems_own_error(weights, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            weights.save(tmp_path / "one.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def test_applied_and_taken_back_bit_for_bit(base, weights):
    before = {name: parameter.clone() for name, parameter in parameters_of(base).items()}
    with pytest.raises(KeyboardInterrupt), weights.applied(base):
        for name, parameter in parameters_of(base).items():
            assert torch.equal(parameter, weights.changed.get(name, before[name]))
        raise KeyboardInterrupt
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters_of(base).items())


def test_weights_of_another_base_are_refused(base, weights):
    wrong_embedding = copy.copy(weights)
    object.__setattr__(wrong_embedding, "embeddings", (torch.zeros(1, 768),))
    wrong_unet = copy.copy(weights)
    object.__setattr__(wrong_unet, "unet", {"mid_block.nothing.weight": torch.zeros(1)})
    wrong_text = copy.copy(weights)
    object.__setattr__(wrong_text, "text", {"text_encoder_2.final_layer_norm.weight": torch.zeros(1)})
    for wrong in (wrong_embedding, wrong_unet, wrong_text):
        with pytest.raises(InputError, match="does not fit base model"), wrong.applied(base):
            pass


@pytest.mark.parametrize(
    "facts",
    [
        "no json",
        '"text"',
        "3",
        '{"format": 2}',
        '{"format": 3}',
        '{"format": 1, "placeholder_token": "<v>"}',
        '{"format": 1, "placeholder_token": "<v>", "super_category": "turtle", "colour": "red"}',
        '{"format": 1, "placeholder_token": "<v>", "super_category": 5}',
        '{"format": 1, "placeholder_token": "turtle", "super_category": "turtle"}',
    ],
)
def test_facts_that_are_no_concepts_are_refused(tmp_path, facts):
    path = tmp_path / "other.safetensors"
    save_file({"embedding": torch.zeros(1, 4)}, path, metadata={"conceptbooth": facts})
    with pytest.raises(InputError, match=r"concept weights '.*other.safetensors': no concept of a format"):
        ConceptWeights.load(path)


def test_a_concept_without_its_embedding_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    facts = '{"format": 1, "placeholder_token": "<v>", "super_category": "turtle"}'
    save_file({"unet.conv_in.bias": torch.zeros(1)}, path, metadata={"conceptbooth": facts})
    with pytest.raises(InputError, match=r"no concept of a format .*embedding"):
        ConceptWeights.load(path)


def test_files_that_are_no_concept(tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors here")
    save_file({"embedding": torch.zeros(1, 4)}, tmp_path / "other.safetensors")
    for name, said in [("missing", "cannot be read"), ("text", "cannot be read"), ("other", "no concept")]:
        with pytest.raises(InputError, match=said) as caught:
            ConceptWeights.load(tmp_path / f"{name}.safetensors")
        assert name in str(caught.value)
