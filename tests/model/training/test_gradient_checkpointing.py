"""Inner states that are computed again instead of kept: less memory, the same result to the last bit."""

import pytest
import torch

from model.errors import InputError
from model.methods.method import Stage
from model.methods.presets import get_method
from model.training.train import train_stage


@pytest.fixture(scope="module", params=["sd2", "xl"])
def base(bases, request):
    return bases[request.param]


def train(base, images, prompt, stage: Stage, previous=None, autocast="none"):
    """Weights, curve, and how often the UNet's last block was computed."""
    passes = []
    hook = base.denoiser.up_blocks[-1].resnets[0].register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        trained = train_stage(
            base=base, stage=stage, images=images, prompt=prompt, previous=previous, seed=0, autocast=autocast
        )
    finally:
        hook.remove()
    return trained.weights, [(point.loss, point.attention_loss) for point in trained.curve], len(passes)


@pytest.mark.parametrize("trains", ["embedding", "cross_attention", "unet", "lora", "bfloat16"])
def test_the_result_is_the_same_to_the_last_bit(base, images, prompt, make_stage, trains):
    settings = {"lora_rank": 2, "lora_alpha": 2.0} if trains == "lora" else {}
    kind = "unet" if trains in ("lora", "bfloat16") else trains
    autocast = "bfloat16" if trains == "bfloat16" else "none"
    first = train(base, images, prompt, make_stage("embedding"))[0] if kind != "embedding" else None
    plain, curve, once = train(base, images, prompt, make_stage(kind, **settings), first, autocast)
    again, same_curve, twice = train(
        base, images, prompt, make_stage(kind, gradient_checkpointing=True, **settings), first, autocast
    )
    assert (once, twice) == (3, 6), "a pass in each step, and another for its gradients"
    assert same_curve == curve
    for one, other in zip(plain.embeddings, again.embeddings, strict=True):
        assert torch.equal(one, other)
    assert plain.changed.keys() == again.changed.keys() and plain.lora.keys() == again.lora.keys()
    assert all(torch.equal(tensor, again.changed[name]) for name, tensor in plain.changed.items())
    assert all(torch.equal(tensor, again.lora[name]) for name, tensor in plain.lora.items())
    assert not base.denoiser.is_gradient_checkpointing, "the base is as before"


def test_less_is_kept_for_the_gradients(base, images, prompt, make_stage):
    def kept(**settings) -> int:
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            train(base, images, prompt, make_stage("embedding", max_train_steps=1, **settings))
        return total

    # Inside the blocks that are computed again, their own hooks keep the inputs alone.
    assert kept(gradient_checkpointing=True) < 0.5 * kept()


def test_what_is_watched_on_the_way_is_not_computed_again():
    both = {"embedding": {"gradient_checkpointing": True, "context_attention_weight": 1.0}}
    with pytest.raises(InputError, match=r"embedding\.gradient_checkpointing = true: context_attention_weight watches"):
        get_method("attndreambooth", "published", both)


def test_it_is_part_of_a_stage_only_where_it_is_asked_for():
    (plain, *_) = get_method("attndreambooth", "published").stages
    asked = get_method("attndreambooth", "published", {"embedding": {"gradient_checkpointing": True}}).stages[0]
    assert "gradient_checkpointing" not in plain.facts()
    assert asked.facts()["gradient_checkpointing"] is True
