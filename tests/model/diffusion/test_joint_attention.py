"""The attention-map term in joint attention against a plain computation of all of the softmax."""

import copy
import dataclasses
import math

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_z_image import ZSingleStreamAttnProcessor

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.attention import attention_term, recorded_columns, recorded_maps
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_text
from model.families.prompt_embeds import PromptEmbeds
from tests.model.tiny_joint import WIDTH

MEAN_WEIGHT, VARIANCE_WEIGHT = 2.0, 5.0


class FullZImage(ZSingleStreamAttnProcessor):
    """The layer's own arithmetic with the whole matrix of attention, which it keeps."""

    def __init__(self):
        super().__init__()
        self.probabilities = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, freqs_cis=None):
        query, key, value = (
            layer(hidden_states).unflatten(-1, (attn.heads, -1)) for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = (self.turned(norm(part), freqs_cis) for norm, part in ((attn.norm_q, query), (attn.norm_k, key)))
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask[:, None, None, :], -math.inf)
        probabilities = scores.softmax(dim=-1)
        self.probabilities.append(probabilities)
        return attn.to_out[0](torch.einsum("bhqk,bkhd->bqhd", probabilities, value).flatten(2))

    @staticmethod
    def turned(states, turns):
        pairs = torch.view_as_complex(states.float().reshape(*states.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns.unsqueeze(2)).flatten(3)

    def own(self, layer, pixels, words):
        """The picture's queries on the prompt's own keys, which stand behind the picture and its padding."""
        first = math.ceil(pixels / 32) * 32
        return layer[:, :, :pixels, first + words.start : first + words.stop]

    def watch(self, denoiser):
        for block in denoiser.layers:
            block.attention.set_processor(self)


class FullKlein:
    """The same of both kinds of blocks."""

    def __init__(self):
        self.probabilities = []

    def __call__(self, attn, hidden_states, *others):
        def heads(states):
            return states.unflatten(-1, (attn.heads, -1))

        *text, _mask, turns = others  # a single block is given the text with the picture
        if fused := not text:
            widths = [attn.inner_dim] * 3 + [2 * attn.mlp_hidden_dim]
            query, key, value, rest = attn.to_qkv_mlp_proj(hidden_states).split(widths, dim=-1)
            query, key, value = attn.norm_q(heads(query)), attn.norm_k(heads(key)), heads(value)
        else:
            (text,) = text
            both = (
                (attn.norm_added_q(heads(attn.add_q_proj(text))), attn.norm_q(heads(attn.to_q(hidden_states)))),
                (attn.norm_added_k(heads(attn.add_k_proj(text))), attn.norm_k(heads(attn.to_k(hidden_states)))),
                (heads(attn.add_v_proj(text)), heads(attn.to_v(hidden_states))),
            )
            query, key, value = (torch.cat(each, dim=1) for each in both)
        query, key = (apply_rotary_emb(part, turns, sequence_dim=1) for part in (query, key))
        probabilities = (torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5).softmax(dim=-1)
        self.probabilities.append(probabilities)
        seen = torch.einsum("bhqk,bkhd->bqhd", probabilities, value).flatten(2)
        if fused:
            return attn.to_out(torch.cat([seen, attn.mlp_act_fn(rest)], dim=-1))
        length = text.shape[1]
        return attn.to_out[0](seen[:, length:]), attn.to_add_out(seen[:, :length])

    def own(self, layer, pixels, words):
        """The picture stands behind the prompt and its padding."""
        return layer[:, :, -pixels:, words.start : words.stop]

    def watch(self, denoiser):
        for block in (*denoiser.transformer_blocks, *denoiser.single_transformer_blocks):
            block.attn.processor = self


PLAIN = {"Z-Image": (FullZImage, 2), "FLUX.2 klein": (FullKlein, 4)}
"""What computes all, and in how many layers picture and prompt meet: in no refiner."""


@pytest.fixture(scope="module")
def base(joint_base):
    return joint_base


def setting(base, category, text="a photo of a {}"):
    prompt = ConceptPrompt("<v>", category)
    tokenized = tokenize(base.tokenizers, prompt.fill(text), prompt)
    row = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(6))
    return tokenized, encode_text(base, [tokenized], [row])


def forward(base, text, batch=2, side=8):
    """Of pictures of `side` x `side` tokens."""
    generator, edge = torch.Generator().manual_seed(1), side * base.family.patch
    noisy = torch.randn(batch, base.latent_shape[0], edge, edge, generator=generator)
    times = 1000 * torch.rand(batch, generator=generator)
    return predict(base, noisy, times, text.expanded(batch), base.time_ids.expand(batch, -1))


# 10 x 10 tokens are filled up to 128 by Z-Image: the text stands behind those.
@pytest.mark.parametrize("side", [8, 10])
@pytest.mark.parametrize("category", ["turtle", "teddy bear"])
def test_term_and_its_gradients_agree_with_the_whole_matrix(base, category, side):
    base = dataclasses.replace(base, denoiser=copy.deepcopy(base.denoiser).requires_grad_(True))
    tokenized, text = setting(base, category)
    states = text.states.detach().requires_grad_(True)
    text = PromptEmbeds(states, lengths=text.lengths)
    watched = {"text": states} | dict(base.denoiser.named_parameters())

    def gradients(value):
        found = torch.autograd.grad(value, watched.values(), allow_unused=True)
        return {name: gradient for name, gradient in zip(watched, found, strict=True) if gradient is not None}

    with recorded_columns(base, tokenized) as columns:
        said = forward(base, text, side=side)
        layers = columns.take()
    value = attention_term(layers, mean_weight=MEAN_WEIGHT, variance_weight=VARIANCE_WEIGHT)

    processor, count = PLAIN[base.family.name]
    plain = processor()
    plain.watch(base.denoiser)
    torch.testing.assert_close(forward(base, text, side=side), said, rtol=1e-4, atol=1e-5)
    total = 0
    for layer in plain.probabilities:
        own = plain.own(layer, side**2, tokenized.words)
        own = own / own.sum(dim=-1, keepdim=True) * len(tokenized.words) / 77
        v, c = (
            own[..., [place - tokenized.words.start for place in places]].mean(dim=-1).flatten(1)
            for places in (tokenized.placeholder, tokenized.super_category)
        )
        difference = MEAN_WEIGHT * (v.mean(1) - c.mean(1)) ** 2 + VARIANCE_WEIGHT * (v.var(1) - c.var(1)) ** 2
        total = total + difference.mean()
    expected = 8 * total / len(plain.probabilities)

    assert len(layers) == len(plain.probabilities) == count
    assert expected.item() > 1e-6, "there is something to compare"
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    found, wanted = gradients(value), gradients(expected)
    assert found.keys() == wanted.keys() and "text" in found
    error = torch.stack([(found[name] - gradient).norm() for name, gradient in wanted.items()]).norm()
    assert error / torch.stack([gradient.norm() for gradient in wanted.values()]).norm() < 1e-4


def test_recording_changes_nothing_and_leaves_nothing_behind(base):
    tokenized, text = setting(base, "dog")
    with torch.no_grad():
        expected = forward(base, text)
        with pytest.raises(KeyboardInterrupt), recorded_columns(base, tokenized) as columns:
            assert torch.equal(forward(base, text), expected)
            assert [tuple(layer.shape) for layer in columns.take()] == [(2, 3, 64, 2)] * PLAIN[base.family.name][1]
            raise KeyboardInterrupt
    modules = list(base.denoiser.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


@torch.no_grad()
def test_maps_share_out_the_prompts_own_tokens(base):
    tokenized, text = setting(base, "dog")
    with recorded_maps(base, tokenized) as maps:
        forward(base, text)
        layers = maps.take()
    for layer in layers:  # (batch, pixels, tokens)
        assert layer.shape == (2, 64, tokenized.words.stop)
        assert torch.all(layer[..., : tokenized.words.start] == 0)
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(2, 64))


def test_what_a_layer_computes_again_for_the_backward_pass_is_the_same(base):
    tokenized, text = setting(base, "dog")
    states = text.states.detach().requires_grad_(True)
    found = []
    for checkpointing in (False, True):
        denoiser = copy.deepcopy(base.denoiser)
        if checkpointing:
            denoiser.enable_gradient_checkpointing()
        own = dataclasses.replace(base, denoiser=denoiser)
        with recorded_columns(own, tokenized) as columns:
            forward(own, PromptEmbeds(states, lengths=text.lengths))
            value = attention_term(columns.take(), mean_weight=MEAN_WEIGHT, variance_weight=VARIANCE_WEIGHT)
            with columns.closed():
                found.append(torch.autograd.grad(value, states)[0])
            assert not columns.layers
    assert found[0].abs().sum() > 0 and torch.equal(*found)


@torch.no_grad()
def test_shares_are_as_large_as_in_stable_diffusion_where_attention_is_even(base):
    """So that the weights of a method mean the same: 1 of 77 tokens there, 1 of the prompt's own here."""
    tokenized, text = setting(base, "dog")
    even = dataclasses.replace(base, denoiser=copy.deepcopy(base.denoiser))
    norms = [module for name, module in even.denoiser.named_modules() if name.endswith(("norm_k", "norm_added_k"))]
    for norm in norms:
        norm.weight.zero_()
    with recorded_columns(even, tokenized) as columns:
        forward(even, text)
        for layer in columns.take():
            torch.testing.assert_close(layer, torch.full_like(layer, 1 / 77))
