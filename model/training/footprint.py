"""The memory that a stage will take, told before it starts and without weights, by training a base of shapes alone.

The training's own code runs on a base of `model.bases.weightless`: one batch through the VAE, and one step with the
optimizer's moments in place. Each tensor that torch makes on the way is counted from its first use to its last. What
libraries take inside one operation is not seen, nor what an allocator keeps beside it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch._subclasses.fake_tensor import FakeTensor

from model.bases.base import Base
from model.bases.parameters import modules_of, parameters_of
from model.bases.prompt import ConceptPrompt
from model.bases.weightless import shapes_only
from model.diffusion.latents import MOST_ENCODED, LatentBank
from model.methods.method import Method, Stage
from model.runtime.allocations import AllocationCounter
from model.runtime.memory import recomputed_states
from model.training.curve import Figures, Step
from model.training.learners import learners, trained_names
from model.training.preservation import originals_of, untrained_of
from model.training.train import initial_state, loop_setup, run_loop
from model.weights.concept import ConceptWeights

_CATEGORY = "turtle"
"""Any word does: only the places of words in prompts are read."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a stage takes of the device's memory, in bytes; on a CPU without what Python and its libraries take."""

    stage: Stage
    base: int
    """The base's weights; on a CPU without the VAE's decoder, since files are mapped and no training reads that."""
    host: int
    """On a CPU: the copies of what is trained that are put back afterwards, and what earlier stages have left. Beside
    a GPU they lie in the machine's memory."""
    learning: int
    """Adapters, gradients and the optimizer's moments."""
    encoding: int
    """The most in use while the images are encoded."""
    step: int
    """The most in use in a step."""

    @property
    def highest(self) -> int:
        """The most that is in use at any time."""
        return max(self.encoding, self.step)


def usual_prompt(method: Method) -> ConceptPrompt:
    """A prompt of the method's kind, of a concept whose names are as good as any."""
    return ConceptPrompt("<v>", _CATEGORY, method.instance_prompt, method.names_category)


def stage_footprint(
    base: Base,
    stage: Stage,
    prompt: ConceptPrompt,
    *,
    before: Sequence[Stage] = (),
    device: str = "cpu",
    autocast: str = "none",
) -> Footprint:
    """What `train_stage` takes with a base of `weightless_base`, on a `cuda` or `cpu` device, behind stages `before`.

    `autocast` is `none` or `bfloat16`. It takes some seconds, and the base is as before.
    """
    mode = shapes_only(base)
    host = _on_host(base, stage, before) if device == "cpu" else 0
    unread = {id(parameter) for parameter in base.vae.decoder.parameters()} if device == "cpu" else set[int]()
    counter = AllocationCounter()
    tensors = (tensor for module in _parts(base) for tensor in (*module.parameters(), *module.buffers()))
    counter.add(tensor for tensor in tensors if id(tensor) not in unread)
    weights = counter.now
    # A step along the sphere asks for numbers, and takes of one row what any other takes.
    steps = replace(stage, max_train_steps=1, on_sphere=False, sphere_prior=0.0)
    norms = _float_norms(base) if device == "cuda" and autocast == "bfloat16" else nullcontext()
    with counter, norms, recomputed_states(base.denoiser, stage.gradient_checkpointing), ExitStack() as inside:
        with warnings.catch_warnings(action="ignore"):  # a copy asks where the numbers lie that there are none of
            untrained = untrained_of(base, stage)
        originals = originals_of(base, stage)
        banks = [_encoded(base, count, steps) for count in _views(stage)]
        encoding = counter.restarted()
        before_learning = counter.now
        learnt = _without_numbers(base, inside.enter_context(learners(base, stage, seed=0)))
        with mode:
            embeddings = [torch.empty(1, encoder.width) for encoder in base.text_encoders]
        setup = loop_setup(base, steps, prompt, banks, learnt, untrained, originals, autocast)
        with mode:
            state = initial_state(setup, prompt, ConceptWeights.of(prompt, embeddings, {}), learnt, 0, None)
        state.figures = _NoFigures(steps, base.device, str)
        for parameter in state.parameters.values():
            parameter.requires_grad_(True)
        with mode:
            for parameter in state.parameters.values():
                parameter.grad = torch.empty_like(parameter)
        state.optimizer.step()  # from the second step on it has its moments
        learning = counter.now - before_learning
        state.optimizer.zero_grad(set_to_none=True)
        counter.restarted()
        run_loop(setup, state, lambda _step: None)
        step = counter.restarted()
        _left(state.parameters)
        del setup, state, banks, untrained, originals
    return Footprint(
        stage=stage, base=weights, host=host, learning=learning, encoding=encoding + host, step=step + host
    )


def _parts(base: Base) -> list[torch.nn.Module]:
    return [base.vae, *modules_of(base).values()]


@contextmanager
def _float_norms(base: Base) -> Iterator[None]:
    """Inside, norms stay float32 as CUDA's autocast has them; shapes are computed on a CPU, whose autocast does not."""

    def upcast(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0].float(), *given[1:])

    norms = (
        m for part in _parts(base) for m in part.modules() if isinstance(m, torch.nn.GroupNorm | torch.nn.LayerNorm)
    )
    hooks = [norm.register_forward_pre_hook(upcast) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _on_host(base: Base, stage: Stage, before: Sequence[Stage]) -> int:
    """Bytes of `borrowed_parameters` around the stage, and of the weights that it is given."""
    every = parameters_of(base)
    earlier = {name for each in before for name in trained_names(base, each)}
    given = {name for each in before if not each.lora_rank for name in trained_names(base, each)}
    kept = earlier | set(trained_names(base, stage))
    return sum(every[name].nbytes for name in kept) + sum(every[name].nbytes for name in given)


def _views(stage: Stage) -> list[int]:
    """How many pictures are encoded into each bank."""
    return [stage.view_count, stage.class_images] if stage.has_prior else [stage.view_count]


@torch.no_grad()
def _encoded(base: Base, count: int, stage: Stage) -> LatentBank:
    """A bank of so many views, as `encode_views` makes it; its last batch alone goes through the VAE."""
    channels, height, width = base.latent_shape
    last = min(MOST_ENCODED, stage.batch_size, count)
    with shapes_only(base):
        mean = torch.empty(count - last, 2 * channels, height, width)[:, :channels]  # beside it lies its variance
        std = torch.empty(count - last, channels, height, width)
        pixels = torch.empty(last, 3, base.resolution, base.resolution)
        time_ids = torch.empty(count, 6)
    distribution = base.vae.encode(pixels).latent_dist
    return LatentBank(
        mean=torch.cat([mean, distribution.mean]),
        std=torch.cat([std, distribution.std]),
        time_ids=time_ids,
        normalised=partial(base.family.normalised, base.vae),
    )


def _without_numbers(base: Base, learnt: dict[str, torch.nn.Parameter]) -> dict[str, torch.nn.Parameter]:
    """Adapters, which peft has made as usual, as shapes alone in their places."""
    mode, found = shapes_only(base), dict(learnt)
    names = {id(parameter): name for name, parameter in learnt.items() if not isinstance(parameter.data, FakeTensor)}
    for module in (each for part in modules_of(base).values() for each in part.modules()):
        for own, parameter in module._parameters.items():
            if name := names.get(id(parameter)):
                assert parameter is not None
                found[name] = torch.nn.Parameter(mode.from_tensor(parameter.detach()))
                module._parameters[own] = found[name]
    return found


def _left(parameters: dict[str, torch.nn.Parameter]) -> None:
    for parameter in parameters.values():
        parameter.requires_grad_(False)
        parameter.grad = None


class _NoFigures(Figures):
    """A loss of shapes alone has no value."""

    def add(self, step: int, *, loss: torch.Tensor, grad_norm: torch.Tensor, **terms: torch.Tensor) -> Step:
        return Step(
            step=step,
            loss=0.0,
            attention_loss=0.0,
            learning_rate=0.0,
            grad_norm=0.0,
            samples_per_second=0.0,
            stage=self._stage.name,
            max_train_steps=step,
        )
