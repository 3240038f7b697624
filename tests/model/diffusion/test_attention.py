"""The attention-map term against a plain explicit softmax, and the processor against diffusers' own."""

import copy
import dataclasses

import pytest
import torch
from diffusers.models.attention_processor import Attention

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.attention import AttentionColumns, attention_term, recorded_columns, word_columns
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_text
from model.families.cross_attention import WatchedCrossAttention

MEAN_WEIGHT, VARIANCE_WEIGHT = 2.0, 5.0


class ExplicitSoftmax:
    """Cross-attention as a textbook has it, which keeps every probability."""

    def __init__(self):
        self.probabilities = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        batch, pixels, channels = hidden_states.shape
        tokens = encoder_hidden_states.shape[1]
        depth = channels // attn.heads
        q = attn.to_q(hidden_states).reshape(batch, pixels, attn.heads, depth)
        k = attn.to_k(encoder_hidden_states).reshape(batch, tokens, attn.heads, depth)
        v = attn.to_v(encoder_hidden_states).reshape(batch, tokens, attn.heads, depth)
        scores = torch.einsum("bphd,bthd->bhpt", q, k) / depth**0.5
        probabilities = scores.softmax(dim=-1)
        self.probabilities.append(probabilities)
        output = torch.einsum("bhpt,bthd->bphd", probabilities, v).reshape(batch, pixels, channels)
        return attn.to_out[0](output)


def explicit_term(probabilities, placeholder, super_category):
    """The published loops: a sum over a batch of 8 and a mean over layers, here for any batch size."""
    total = 0
    for layer in probabilities:
        for sample in layer:  # (heads, pixels, tokens)
            v = sample[..., placeholder].flatten()
            c = torch.stack([sample[..., place] for place in super_category]).mean(dim=0).flatten()
            total = total + MEAN_WEIGHT * (v.mean() - c.mean()) ** 2 + VARIANCE_WEIGHT * (v.var() - c.var()) ** 2
    return total / len(probabilities) * 8 / len(probabilities[0])


@pytest.fixture(scope="module")
def cross_attention_unet(base):
    """A UNet whose attention is far from uniform, as a trained one's is."""
    unet = copy.deepcopy(base.denoiser).requires_grad_(True)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "attn2.to_q" in name or "attn2.to_k" in name:
                parameter.mul_(3)
    return unet


def forward(unet, text, dtype, batch=3):
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(batch, 4, 8, 8, generator=generator).to(dtype)
    timesteps = torch.randint(1000, (batch,), generator=generator)
    return unet(noisy, timesteps, text.expand(batch, -1, -1)).sample


# float64 tells a wrong formula; how float32 rounds depends on the processor: 1.1e-5 was seen without AVX-512.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("super_category", ["turtle", "teddy bear"])
def test_term_and_its_gradients_agree_with_explicit_softmax(
    base, cross_attention_unet, super_category, dtype, tolerance
):
    prompt = ConceptPrompt("<v>", super_category)
    tokenized = tokenize(base.tokenizers, prompt.text, prompt)
    assert len(tokenized.super_category) == len(super_category.split())
    unet = torch.nn.Module.to(cross_attention_unet, dtype)  # diffusers' own `to` warns of float64
    text = encode_text(base, [tokenized], [torch.randn(1, 16, generator=torch.Generator().manual_seed(5))])
    text = (text.states * 3).to(dtype).detach().requires_grad_(True)
    watched = {"text": text} | {n: p for n, p in unet.named_parameters() if p.requires_grad}

    def gradients(value):
        found = torch.autograd.grad(value, watched.values(), allow_unused=True)
        return {name: gradient for name, gradient in zip(watched, found, strict=True) if gradient is not None}

    with recorded_columns(dataclasses.replace(base, denoiser=unet), tokenized) as columns:
        forward(unet, text, dtype)
        layers = columns.take()
    value = attention_term(layers, mean_weight=MEAN_WEIGHT, variance_weight=VARIANCE_WEIGHT)

    explicit = copy.deepcopy(dict(unet.attn_processors))
    plain = ExplicitSoftmax()
    unet.set_attn_processor({name: plain if ".attn2." in name else kept for name, kept in explicit.items()})
    try:
        forward(unet, text, dtype)
    finally:
        unet.set_attn_processor(explicit)
    expected = explicit_term(plain.probabilities, tokenized.placeholder[0], tokenized.super_category)

    assert len(layers) == len(plain.probabilities) == 7
    assert {layer.shape[2] for layer in layers} == {64, 16}, "two resolutions"
    assert value.dtype == dtype
    assert expected.item() > 1e-4, "there is something to compare"
    assert abs(value.item() / expected.item() - 1) < tolerance
    found, wanted = gradients(value), gradients(expected)
    assert found.keys() == wanted.keys()
    # As one vector: a float32 rounding in one layer reaches the small gradients of all layers before it.
    error = torch.stack([(found[name] - gradient).norm() for name, gradient in wanted.items()]).norm()
    assert error / torch.stack([gradient.norm() for gradient in wanted.values()]).norm() < tolerance
    if dtype == torch.float64:
        for name, gradient in wanted.items():
            torch.testing.assert_close(
                found[name], gradient, rtol=tolerance, atol=tolerance * gradient.abs().max(), msg=name
            )


def test_several_tokens_count_as_their_mean(base):
    prompt = ConceptPrompt("<v>", "teddy bear")
    tokenized = tokenize(base.tokenizers, prompt.text, prompt)
    place = tokenized.placeholder[0]
    assert tokenized.super_category == (place + 1, place + 2)


def test_the_same_attention_costs_nothing_and_batches_count_per_sample():
    generator = torch.Generator().manual_seed(0)
    column = torch.rand(2, 3, 16, 1, generator=generator)
    same = column.expand(-1, -1, -1, 2)
    assert attention_term([same], mean_weight=2, variance_weight=5) == 0
    one = torch.rand(1, 3, 16, 2, generator=generator)
    single = attention_term([one], mean_weight=2, variance_weight=5)
    assert torch.isclose(attention_term([one.repeat(4, 1, 1, 1)], mean_weight=2, variance_weight=5), single)
    v, c = one[0, ..., 0], one[0, ..., 1]
    by_hand = 8 * (2 * (v.mean() - c.mean()) ** 2 + 5 * (v.var() - c.var()) ** 2)
    assert torch.isclose(single, by_hand)


@torch.no_grad()
def test_recording_does_not_change_what_the_unet_says(bases, prompt):
    for base in bases.values():
        tokenized = tokenize(base.tokenizers, prompt.text, prompt)
        words = [torch.randn(1, encoder.width) for encoder in base.text_encoders]
        text = encode_text(base, [tokenized], words).expanded(3)
        noisy, timesteps = torch.randn(3, 4, 8, 8), torch.tensor([10, 500, 900])

        def forward(base=base, text=text, noisy=noisy, timesteps=timesteps):
            return predict(base, noisy, timesteps, text, base.time_ids.expand(3, -1))

        expected = forward()
        with recorded_columns(base, tokenized) as columns:
            torch.testing.assert_close(forward(), expected, rtol=1e-5, atol=1e-6)
        layers = [name for name, _ in base.denoiser.named_modules() if name.endswith(".attn2")]
        assert len(columns.take()) == len(layers) >= 7


def test_processors_come_back_after_an_error(base, prompt):
    before = base.denoiser.attn_processors
    tokenized = tokenize(base.tokenizers, prompt.text, prompt)
    with pytest.raises(KeyboardInterrupt), recorded_columns(base, tokenized):
        during = base.denoiser.attn_processors
        assert all((during[name] is not before[name]) == (".attn2." in name) for name in before)
        raise KeyboardInterrupt
    assert all(base.denoiser.attn_processors[name] is processor for name, processor in before.items())


@torch.no_grad()
def test_columns_are_float32_under_bfloat16_autocast():
    generator = torch.Generator().manual_seed(0)
    attn = Attention(query_dim=16, cross_attention_dim=16, heads=2, dim_head=8, bias=False)
    for layer in (attn.to_q, attn.to_k):
        layer.weight.copy_(torch.randn(16, 16, generator=generator))
    pixels, text = torch.randn(1, 9, 16, generator=generator), torch.randn(1, 6, 16, generator=generator)
    columns, words = AttentionColumns(), [slice(2, 3), slice(3, 4)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        WatchedCrossAttention(lambda scores: columns.add(word_columns(scores, words)))(attn, pixels, text)
        query, key = attn.to_q(pixels), attn.to_k(text)
    query, key = (states.float().reshape(1, -1, 2, 8).transpose(1, 2) for states in (query, key))
    expected = (query @ key.transpose(-1, -2) / 8**0.5).softmax(dim=-1)[..., [2, 3]]
    (found,) = columns.take()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("text", ["a box", "a <v> turtle and a <v> turtle"])
def test_a_prompt_without_the_concept_once_cannot_be_recorded(base, prompt, text):
    tokenized = tokenize(base.tokenizers, text, prompt)
    with pytest.raises(ValueError, match="does not hold"), recorded_columns(base, tokenized):
        pass
