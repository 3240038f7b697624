import copy
import logging

import pytest
import torch

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import check_concept, check_lengths, super_category_ids, tokenize
from model.diffusion.text_encoding import encode_text, initial_embeddings
from model.errors import InputError


@pytest.mark.parametrize("kind", ["sd1", "sd2", "xl"])
@pytest.mark.parametrize(
    "text", ["", "a red teapot on the beach", "A photo, of the box's snow!", "xyz", "\u00e9t\u00e9"]
)
def test_plain_text_as_the_tokenizer_itself_has_it(bases, kind, text):
    tokenizers = bases[kind].tokenizers
    expected = [tokenizer.tokenizer(text, padding="max_length")["input_ids"] for tokenizer in tokenizers]
    assert [list(ids) for ids in tokenize(tokenizers, text).ids] == expected


@torch.no_grad()
@pytest.mark.parametrize("kind", ["sd1", "sd2"])
@pytest.mark.parametrize(
    "text", ["a photo of a <v> teddy bear", "<v> teddy bear's box, on a beach", "the <v> teddy bear <v>"]
)
def test_text_states_as_with_a_token_added_to_the_model(bases, kind, text):
    base = bases[kind]
    row = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    prompt = ConceptPrompt("<v>", "teddy bear")

    (encoder,) = base.text_encoders
    tokenizer, text_encoder = copy.deepcopy(encoder.tokenizer), copy.deepcopy(encoder.model)
    tokenizer.add_tokens(["<v>"])
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    text_encoder.get_input_embeddings().weight[-1] = row[0]
    ids = tokenizer(text, padding="max_length", return_tensors="pt")["input_ids"]
    expected = text_encoder(ids).last_hidden_state

    torch.testing.assert_close(encode_text(base, [tokenize(base.tokenizers, text, prompt)], [row]).states, expected)


def test_places_of_the_concept(base):
    prompt = ConceptPrompt("<v>", "teddy bear")
    tokenized = tokenize(base.tokenizers, "a photo of a <v> teddy bear in the snow", prompt)
    assert (tokenized.placeholder, tokenized.super_category) == ((5,), (6, 7))
    alone = tokenize(base.tokenizers, "a <v> in the snow", prompt)
    assert (alone.placeholder, alone.super_category) == ((2,), ())


def test_gradients_reach_the_learned_row_and_nothing_else(base):
    row = torch.nn.Parameter(torch.randn(1, 16))
    before = base.text_encoders[0].embeddings.clone()
    prompt = ConceptPrompt("<v>", "turtle")
    encode_text(base, [tokenize(base.tokenizers, prompt.text, prompt)], [row]).states.square().sum().backward()
    assert row.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in base.text_encoders[0].model.parameters())
    assert torch.equal(base.text_encoders[0].embeddings, before)
    assert not base.text_encoders[0].model.get_input_embeddings()._forward_hooks


def test_a_concept_without_its_embedding_is_an_error(base, prompt):
    with pytest.raises(ValueError, match="no embedding"):
        encode_text(base, [tokenize(base.tokenizers, prompt.text, prompt)])


def test_the_embedding_starts_from_the_super_category(base, make_stage):
    rows = base.text_encoders[0].embeddings
    ids = base.tokenizers[0].tokenizer("teddy bear", add_special_tokens=False)["input_ids"]
    stage = make_stage("embedding")
    bear, turtle = ConceptPrompt("<v>", "teddy bear"), ConceptPrompt("<v>", "turtle")
    assert torch.equal(initial_embeddings(base, stage, bear)[0][0], rows[ids].mean(dim=0))
    ids = base.tokenizers[0].tokenizer("turtle", add_special_tokens=False)["input_ids"]
    assert torch.equal(initial_embeddings(base, stage, turtle)[0][0], rows[ids[0]])


def test_a_long_prompt_is_quoted_as_it_was_written_and_the_library_adds_nothing(base, caplog):
    text = "a photo of a {} in the snow on the beach in the box on the red teapot"
    transformers = logging.getLogger("transformers")
    transformers.addHandler(caplog.handler)
    try:
        with pytest.raises(InputError) as caught:
            check_lengths(base.tokenizers, ConceptPrompt("<v>", "teddy bear"), [text, "a {}", f"{text} box"])
    finally:
        transformers.removeHandler(caplog.handler)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [f'prompt "{text}"', f'prompt "{text} box"']
    assert not caplog.records


def test_a_super_category_that_fills_the_prompt_is_what_is_blamed(base):
    long = " ".join(["red teapot"] * 6)
    with pytest.raises(InputError) as caught:
        check_concept(base.tokenizers, ConceptPrompt("<v>", long))
    (said,) = caught.value.problems
    assert said.startswith(f"super-category '{long}': 12 tokens, and \"a photo of a {{}}\" leaves room for 9;")


def test_a_long_prompt_says_what_would_be_cut_off(base):
    text = "a photo of a {} in the snow on the beach in the box on the red teapot"
    prompt = ConceptPrompt("<v>", "teddy bear")
    with pytest.raises(InputError) as caught:
        tokenize(base.tokenizers, prompt.fill(text), prompt)
    assert '"the box on the red teapot" would be cut off' in str(caught.value)
    assert "20 tokens, the base takes 14" in str(caught.value)
    with pytest.raises(InputError, match='"the box on the red teapot" would be cut off'):
        tokenize(base.tokenizers, text.replace("{}", "red teddy bear"))
    with pytest.raises(InputError) as caught:
        tokenize(base.tokenizers, "a photo of a " + "very " * 300)
    assert len(str(caught.value)) < 300


def test_a_prompt_may_be_as_long_as_the_base_reads_with_the_placeholder_as_one_token(base):
    text = "a <v> turtle " + " ".join(["snow"] * 11)
    prompt = ConceptPrompt("<v>", "turtle")
    assert tokenize(base.tokenizers, text, prompt).ids[0][-1] == base.tokenizers[0].tokenizer.eos_token_id
    with pytest.raises(InputError, match='"snow" would be cut off'):
        tokenize(base.tokenizers, f"{text} snow", prompt)


@pytest.mark.parametrize(("category", "said"), [("", "empty"), ("xqzv", "'xqzv'"), ("teddy \U0001f9a5", "\U0001f9a5")])
def test_a_super_category_that_the_base_does_not_know(base, category, said):
    with pytest.raises(InputError, match="super-category") as caught:
        super_category_ids(base.tokenizers, category)
    assert said in str(caught.value)
    assert [len(ids) for ids in super_category_ids(base.tokenizers, "teddy bear")] == [2]


def test_all_problems_of_a_concept_together(base):
    tokenizer = copy.deepcopy(base.tokenizers[0])
    tokenizer.tokenizer.add_tokens(["<taken>"])
    with pytest.raises(InputError) as caught:
        check_concept(
            [tokenizer], ConceptPrompt("<taken>", "wug"), ["a {} " + "in the snow " * 6, "a {} on the beach", "a box"]
        )
    assert len(caught.value.problems) == 4
    assert "'<taken>': a word of the base already" in str(caught.value)
