"""CoRe's and ClassDiffusion's terms: their formulas, what they pull together, and that they are off by default."""

import pytest
import torch

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.attention import recorded_maps
from model.diffusion.text_encoding import encode_text, initial_embeddings
from model.errors import InputError
from model.methods.presets import METHODS, get_method
from model.training.context import (
    CONTEXTS,
    context_attention_distance,
    context_embedding_distance,
    end_state,
    find_anchors,
    other_words,
    semantic_distance,
)
from model.training.train import train_stage

OFF = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0}


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(name="embedding", previous=None, **settings):
        stage = make_stage(name, **(OFF | settings))
        options = {"base": base, "images": images, "prompt": settings.pop("prompt", prompt), "seed": 0}
        return train_stage(stage=stage, previous=previous, **options)

    return run


def test_embedding_distance_against_the_formula_written_out():
    states, category = (torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    expected = []
    for place in (0, 1, 3, 4):
        a, b = states[0, place], category[0, place]
        expected.append(1 - (a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt()))
    words = [0, 1, 3, 4]
    torch.testing.assert_close(context_embedding_distance(states, category, words), sum(expected) / 4)
    changed = states.clone()
    changed[0, 2] += 100
    assert context_embedding_distance(states, changed, words).abs() < 1e-6


def test_attention_distance_against_the_formula_written_out():
    dice = torch.Generator().manual_seed(1)
    ours, theirs = ([torch.rand(2, pixels, 5, generator=dice) for pixels in (64, 16)] for _ in range(2))
    total = 0.0
    for sample in range(2):
        for token in (0, 2, 4):  # one number a word: the mean of its attention over pixels, and over both layers
            means = [sum(float(layer[sample].mean(dim=0)[token]) for layer in maps) / 2 for maps in (ours, theirs)]
            total += (means[0] - means[1]) ** 2 / (2 * 3)  # samples, words
    assert context_attention_distance(ours, theirs, [0, 2, 4]) == pytest.approx(total, rel=1e-5)


def test_semantic_distance_is_that_of_the_end_tokens(base, prompt):
    with torch.no_grad():
        encoder, tokenizer = base.text_encoders[0].model, base.tokenizers[0].tokenizer
        ids = tokenizer("a photo of a turtle", return_tensors="pt")["input_ids"]
        state = encoder(ids).last_hidden_state[0, -1]
    tokenized = tokenize(base.tokenizers, prompt.class_text)
    with torch.no_grad():
        text = encode_text(base, [tokenized])
    torch.testing.assert_close(end_state(text, tokenized), state)
    torch.testing.assert_close(find_anchors(base, prompt).class_end, state)
    other = torch.roll(state, 1)
    expected = 1 - state @ other / (state.norm() * other.norm())
    torch.testing.assert_close(semantic_distance(state, other), expected)


def test_maps_are_the_softmax_of_explicit_attention(base, prompt):
    text = encode_text(base, [tokenize(base.tokenizers, "a red box")]).states
    noisy, timesteps = torch.randn(1, 4, 8, 8), torch.tensor([300])
    layer = base.denoiser.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    seen = {}
    hook = layer.register_forward_pre_hook(lambda _module, inputs: seen.update(hidden=inputs[0]))
    processors = base.denoiser.attn_processors
    try:
        with torch.no_grad(), recorded_maps(base, tokenize(base.tokenizers, "a red box")) as maps:
            watched = base.denoiser(noisy, timesteps, text).sample
            first = maps.take()[0]
    finally:
        hook.remove()
    heads = layer.heads
    with torch.no_grad():
        query = layer.to_q(seen["hidden"]).unflatten(-1, (heads, -1)).transpose(1, 2)
        key = layer.to_k(text).unflatten(-1, (heads, -1)).transpose(1, 2)
        probabilities = (query @ key.transpose(-1, -2) * layer.scale).softmax(dim=-1)  # (1, heads, pixels, tokens)
        torch.testing.assert_close(first, probabilities.mean(dim=1))
        torch.testing.assert_close(base.denoiser(noisy, timesteps, text).sample, watched, rtol=1e-4, atol=1e-5)
    assert all(base.denoiser.attn_processors[name] is processor for name, processor in processors.items())


@pytest.mark.parametrize("kind", ["sd1", "sd2", "xl"])
def test_an_untrained_word_is_at_no_distance_from_its_super_category(bases, make_stage, kind):
    base, prompt = bases[kind], ConceptPrompt("<bear>", "teddy bear")
    anchors = find_anchors(base, prompt)
    assert 3 < len(anchors.contexts) <= len(CONTEXTS) + 1
    embeddings = initial_embeddings(base, make_stage("embedding"), prompt)
    with torch.no_grad():
        read = encode_text(base, anchors.contexts, embeddings)
    torch.testing.assert_close(read.states, anchors.read.states)
    moved = [embedding + torch.randn(embedding.shape) for embedding in embeddings]
    with torch.no_grad():
        other = encode_text(base, anchors.contexts[:1], moved).states
    category = anchors.read.states[:1]
    place = anchors.contexts[0].placeholder
    words = other_words(anchors.contexts[0])
    assert words == [1, 2, 3, 4, 6, 7], "a photo of a [V] teddy bear, without start, end and padding"
    assert context_embedding_distance(other, category, words) > 1e-4
    # The text encoders read from left to right: what stands before [V] knows nothing of it.
    torch.testing.assert_close(other[:, : place[0]], category[:, : place[0]])


@pytest.mark.parametrize(
    ("weights", "term"),
    [
        ({"context_embedding_weight": 1e4}, "context_loss"),
        ({"context_attention_weight": 1e6}, "context_loss"),
        ({"semantic_weight": 1e4}, "semantic_loss"),
    ],
)
def test_a_strong_term_is_what_the_training_minimises(train, weights, term):
    settings = {"max_train_steps": 40, "weight_decay": 0.0, "starts_from": "rare_token", "rare_token": "q"}
    # Every step has another context, so the same steps without learning are what it is held against.
    still, curve = (train(learning_rate=rate, **settings, **weights).curve for rate in (1e-30, 2e-3))
    assert getattr(curve[-1], term) < 0.5 * getattr(still[-1], term)
    assert curve[0].loss > getattr(curve[0], term) > 0


def test_the_rest_of_a_step_is_as_without_them(train):
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "max_train_steps": 1, "attention_mean_weight": 0.1}
    plain = train(**still).curve[0]
    terms = {"context_embedding_weight": 0.5, "context_attention_weight": 2.0, "semantic_weight": 3.0}
    # The learnt word is its super-category yet: only the class prompt, which says that once, is at a distance.
    with_terms = train(**still, **terms).curve[0]
    assert plain.written().keys() | {"context_loss", "semantic_loss"} == with_terms.written().keys()
    assert with_terms.context_loss == pytest.approx(0, abs=1e-5) and with_terms.semantic_loss > 0
    assert with_terms.loss == pytest.approx(plain.loss + with_terms.semantic_loss, abs=1e-5)
    assert with_terms.attention_loss == pytest.approx(plain.attention_loss, rel=1e-5)


def test_a_text_encoder_that_is_trained_is_held_too(train, prompt):
    first = train().weights
    settings = {"train_text_encoder": True, "learning_rate": 1e-3, "max_train_steps": 20}
    curve = train("unet", first, semantic_weight=1e3, context_embedding_weight=1e3, **settings).curve
    assert curve[-1].semantic_loss < curve[0].semantic_loss


def test_where_nothing_is_read_otherwise_they_are_refused():
    fields = {"context_embedding_weight": 1.0, "context_attention_weight": 1.0, "semantic_weight": 1.0}
    with pytest.raises(InputError) as caught:
        get_method("attndreambooth", "toyworld", {"unet": fields})
    assert len(caught.value.problems) == 3
    assert "unet.semantic_weight = 1.0: it steers what is read of [V]" in str(caught.value)
    assert get_method("attndreambooth", "toyworld", {"embedding": fields}).problems() == []


def test_no_method_has_them_by_default_but_the_one_that_is_about_them():
    for presets in METHODS.values():
        for method in presets.values():
            assert method.name == "core" or not any(stage.has_context for stage in method.stages)
            assert not any(stage.semantic_weight for stage in method.stages)
