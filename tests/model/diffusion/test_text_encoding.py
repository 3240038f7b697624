"""[V] among the words: exactly what transformers reads with a row for it, and never anybody else's."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import encode_text
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.runtime.quiet import quiet_libraries
from model.weights.concept import ConceptWeights

TEXTS = ["a photo of a <v> teddy bear", "<v> teddy bear on a beach", "the <v> teddy bear in the red box"]
PROMPT = ConceptPrompt("<v>", "teddy bear")


def rows_of(base, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, encoder.width, generator=generator) for encoder in base.text_encoders]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["sd1", "sd2", "xl"])
@pytest.mark.parametrize("count", [1, 3])
def test_bitwise_what_transformers_reads_with_a_row_of_its_own(bases, kind, count):
    base, rows = bases[kind], rows_of(bases[kind], 0)
    prompts = [tokenize(base.tokenizers, text, PROMPT) for text in TEXTS[:count]]
    read = encode_text(base, prompts, rows)
    states = []
    for number, (encoder, row) in enumerate(zip(base.text_encoders, rows, strict=True)):
        stand_in = 5
        ids = torch.tensor([prompt.ids[number] for prompt in prompts])
        assert not (ids == stand_in).any()  # a word in no prompt lends its place
        for line, prompt in zip(ids, prompts, strict=True):
            line[list(prompt.placeholder)] = stand_in
        before = encoder.embeddings[stand_in].clone()
        encoder.embeddings[stand_in] = row[0]  # in place: a copy lies otherwise in memory, and rounds otherwise
        output = encoder.model(ids, output_hidden_states=base.family.penultimate)
        encoder.embeddings[stand_in] = before
        states.append(output.hidden_states[-2] if base.family.penultimate else output.last_hidden_state)
        pooled = output.get("text_embeds")
    assert torch.equal(read.states, torch.cat(states, dim=-1))
    assert (read.pooled is None) if pooled is None else torch.equal(read.pooled, pooled)


@pytest.mark.parametrize("kind", ["sd1", "xl"])
def test_many_threads_one_base_each_its_own_word(bases, kind):
    base = bases[kind]
    asked = [(text, seed) for text in TEXTS for seed in range(8)]

    def states(text: str, seed: int) -> torch.Tensor:
        with torch.no_grad():
            return encode_text(base, [tokenize(base.tokenizers, text, PROMPT)], rows_of(base, seed)).states

    alone = [states(*each) for each in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: states(*asked[number % len(asked)]), range(20 * len(asked))))
    wrong = [number for number, found in enumerate(together) if not torch.equal(found, alone[number % len(asked)])]
    assert not wrong


def test_many_threads_draw_what_each_would_draw_alone(bases):
    base = bases["xl"]
    asked = list(itertools.product(TEXTS, range(4)))

    def drawn(text: str, seed: int) -> bytes:
        weights = ConceptWeights(prompt=PROMPT, embeddings=tuple(rows_of(base, seed)))
        sampling = Sampling(num_inference_steps=2, seed=seed)
        return generate(base, weights, [text], 1, sampling)[0][0].tobytes()

    alone = [drawn(*each) for each in asked]
    assert len(set(alone)) == len(alone)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: drawn(*each), asked)) == alone


def test_a_thread_that_is_quiet_leaves_the_libraries_as_the_first_found_them():
    from diffusers.utils import logging

    before, entered, leave = logging.get_verbosity(), threading.Event(), threading.Event()

    def stay() -> None:
        with quiet_libraries():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    with quiet_libraries():
        thread.start()
        assert entered.wait(10)
    assert logging.get_verbosity() == logging.ERROR  # the other is still inside
    leave.set()
    thread.join()
    assert logging.get_verbosity() == before
