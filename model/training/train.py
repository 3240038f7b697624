"""One training loop for every stage of every method."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from PIL import Image

from model.bases.base import Base
from model.bases.parameters import borrowed_parameters, parameters_of
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import check_concept, rare_token_ids, tokenize
from model.diffusion.latents import encode_as_they_are, encode_views
from model.diffusion.text_encoding import initial_embeddings
from model.errors import InputError, WorkFailed
from model.methods.method import Stage
from model.runtime.interruption import uninterrupted
from model.runtime.memory import enough_memory, recomputed_states
from model.runtime.numerics import autocast_to, deterministic
from model.training.checkpoint import Checkpoints
from model.training.context import find_anchors
from model.training.curve import CurvePoint, Figures, Step
from model.training.learners import learners, left_by, trained_names
from model.training.loop_state import LoopState
from model.training.objective import LoopSetup, columns_of, constant_text, step_losses, step_text
from model.training.preservation import class_text, originals_of, untrained_of
from model.training.process_group import ProcessGroup
from model.training.sphere import SphereDescent, same_norms, vocabulary_norms
from model.weights.concept import ConceptWeights, named_embeddings

_ALONE = ProcessGroup()


class Painter(Protocol):
    """Draws on the way what the base has learnt so far (`model.drawing.training_pictures`), and changes nothing."""

    def due(self, step: int) -> bool:
        """Whether it wants to after this step."""

    def draw(self, step: int, base: Base, embeddings: Sequence[torch.Tensor]) -> None:
        """Draw with the base as it is, and [V] as (1, width) in each text encoder."""


@dataclass(frozen=True, kw_only=True)
class TrainedStage:
    """What a stage leaves."""

    weights: ConceptWeights
    curve: tuple[CurvePoint, ...]
    """The first step, every tenth, and the last."""


def train_stage(
    *,
    base: Base,
    stage: Stage,
    images: Sequence[Image.Image],
    prompt: ConceptPrompt,
    previous: ConceptWeights | None,
    seed: int,
    class_images: Sequence[Image.Image] = (),
    autocast: str = "none",
    on_step: Callable[[Step], None] = lambda step: None,
    checkpoints: Checkpoints | None = None,
    painter: Painter | None = None,
    group: ProcessGroup = _ALONE,
) -> TrainedStage:
    """Train one stage on the instance images, from the weights that the stage before has left.

    `class_images` are what the base draws of the super-category, for a stage with prior preservation. `autocast` is
    `none` or `bfloat16`; weights are float32 throughout. The base is as before when this returns or fails. The same
    arguments on the same machine give bitwise the same weights (see `model.runtime.numerics.deterministic`), also where
    `checkpoints` hold a part of the training, which then goes on from there. Whatever stops it, such as Ctrl-C, it
    leaves one last checkpoint first if that takes a few seconds only.

    In a `group` every process calls this with the same arguments and gets the same result, which is that of one process
    but for rounding (`model.training.several_processes` starts them).

    Raises InputError if the stage lacks its predecessor, the images, or a prompt that the base can read, and
    WorkFailed if the loss is no longer a number or the device's memory does not suffice.
    """
    _check_input(base, stage, images, class_images, prompt, previous, group)
    previous = previous.whole(base) if previous else None
    touched = {*trained_names(base, stage), *(previous.touched if previous else ())}
    with (
        enough_memory(
            f"stage '{stage.name}'",
            base.device,
            f"{stage.name}.batch_size",
            stage.batch_size,
            also="" if stage.gradient_checkpointing else f"{stage.name}.gradient_checkpointing = true",
        ),
        deterministic(base.device),
        recomputed_states(base.denoiser, stage.gradient_checkpointing),
        borrowed_parameters({name: parameter for name, parameter in parameters_of(base).items() if name in touched}),
    ):
        untrained = untrained_of(base, stage)
        originals = originals_of(base, stage)
        if previous:
            previous.put_into(base)
        banks, texts = [encode_views(base, images, stage, _derived_seed(seed, stage, "views"))], [prompt.text]
        if stage.has_prior:
            banks.append(encode_as_they_are(base, class_images, stage))
            texts.append(prompt.class_text)
        with learners(base, stage, _derived_seed(seed, stage, "lora")) as learnt:
            setup = LoopSetup(
                base=base,
                stage=stage,
                banks=banks,
                prompts=[tokenize(base.tokenizers, text, prompt) for text in texts],
                templates=[tokenize(base.tokenizers, prompt.fill(template), prompt) for template in stage.templates],
                autocast=autocast,
                anchors=find_anchors(base, prompt) if stage.has_context or stage.semantic_weight else None,
                untrained=untrained,
                class_text=class_text(base, prompt) if untrained else None,
                pulled=[(learnt[name], original) for name, original in originals.items()],
                group=group,
            )
            state = _initial_state(setup, prompt, previous, learnt, seed, checkpoints)
            try:
                for parameter in state.parameters.values():
                    parameter.requires_grad_(True)
                with _parting_checkpoint(state, checkpoints):
                    run_loop(setup, state, on_step, checkpoints, painter)
            finally:
                for parameter in state.parameters.values():
                    parameter.requires_grad_(False)
                    parameter.grad = None
            embeddings = [embedding.detach().cpu().clone() for embedding in state.embeddings]
            weights = ConceptWeights.of(prompt, embeddings, left_by(stage, previous, learnt))
    return TrainedStage(weights=weights, curve=tuple(state.figures.curve))


def run_loop(
    setup: LoopSetup,
    state: LoopState,
    on_step: Callable[[Step], None],
    checkpoints: Checkpoints | None = None,
    painter: Painter | None = None,
) -> None:
    """Take optimizer steps from `state.step` until the stage is done; keep checkpoints and draw on the way."""
    base, stage = setup.base, setup.stage
    # What is read of the prompts may stay the same all the time; then it is encoded once for all steps.
    with torch.no_grad(), autocast_to(setup.autocast, base.device):
        constant = constant_text(setup, state.embeddings)
    with columns_of(setup) as columns:
        while state.step < stage.max_train_steps:
            with autocast_to(setup.autocast, base.device):
                text = step_text(setup, state.embeddings, state.generator, constant)
                losses = step_losses(setup, text, state.embeddings, state.generator, columns)
            with columns.closed() if columns else nullcontext():
                losses["loss"].backward()
            setup.group.average([*_gradients(state), *losses.values()])
            grad_norm = torch.nn.utils.clip_grad_norm_(state.parameters.values(), stage.max_grad_norm)
            kept = stage.norm_kept_from <= state.step + 1 <= stage.norm_kept_until
            with state.update(), same_norms(state.embeddings) if kept else nullcontext():
                state.optimizer.step()
                state.optimizer.zero_grad(set_to_none=True)
                state.step += 1
                done = state.figures.add(state.step, grad_norm=grad_norm, **losses)
            if painter and painter.due(state.step):  # before a checkpoint, so that a resumed training lacks none
                with columns.closed() if columns else nullcontext():
                    painter.draw(state.step, base, state.embeddings)
            if checkpoints and state.step < stage.max_train_steps and checkpoints.due(state.step):
                checkpoints.keep(state.checkpoint(checkpoints.identity))
            on_step(done)


@contextmanager
def _parting_checkpoint(state: LoopState, checkpoints: Checkpoints | None) -> Iterator[None]:
    """Whatever ends the training inside, what it has learnt since the last checkpoint is kept if that is quick."""
    try:
        yield
    except BaseException:
        if checkpoints and checkpoints.parting(state.step, state.size) and state.whole:
            # A state that cannot be gone on from is none to keep; why it stopped is said below. A second signal (of a
            # supervisor, or Ctrl-C pressed twice) waits for the few seconds that this takes.
            with suppress(WorkFailed), uninterrupted():
                checkpoints.keep(state.checkpoint(checkpoints.identity))
        raise


def _gradients(state: LoopState) -> Iterator[torch.Tensor]:
    return (parameter.grad for parameter in state.parameters.values() if parameter.grad is not None)


def _initial_state(
    setup: LoopSetup,
    prompt: ConceptPrompt,
    previous: ConceptWeights | None,
    learnt: dict[str, torch.nn.Parameter],
    seed: int,
    checkpoints: Checkpoints | None,
) -> LoopState:
    """The state before the first step, or that of the newest checkpoint."""
    base, stage = setup.base, setup.stage
    start = previous.embeddings if previous else initial_embeddings(base, stage, prompt)
    embeddings = [embedding.to(base.device) for embedding in start]
    parameters = learnt
    if stage.trains == "embedding":
        if stage.on_sphere:
            norms = vocabulary_norms(base)
            embeddings = [norm * F.normalize(row, dim=-1) for norm, row in zip(norms, embeddings, strict=True)]
        words = [torch.nn.Parameter(embedding.clone()) for embedding in embeddings]
        embeddings, parameters = list(words), dict(zip(named_embeddings(words), words, strict=True))
    state = LoopState(
        embeddings=embeddings,
        parameters=parameters,
        optimizer=_optimizer(stage, parameters),
        generator=torch.Generator().manual_seed(_derived_seed(seed, stage, "noise")),
        figures=Figures(
            stage, base.device, checkpoints.words if checkpoints else lambda: "no checkpoint was asked for"
        ),
    )
    with setup.group.first_one_first():  # it may remove what is damaged
        checkpoint = checkpoints.restore() if checkpoints else None
    if checkpoint:
        state.resume(checkpoint)
    return state


def _optimizer(stage: Stage, parameters: dict[str, torch.nn.Parameter]) -> torch.optim.Optimizer:
    if stage.on_sphere:
        return SphereDescent(list(parameters.values()), lr=stage.learning_rate, prior=stage.sphere_prior)
    return torch.optim.AdamW(
        parameters.values(),
        lr=stage.learning_rate,
        betas=(stage.adam_beta1, stage.adam_beta2),
        weight_decay=stage.weight_decay,
        fused=True,
    )


def _check_input(
    base: Base,
    stage: Stage,
    images: Sequence[Image.Image],
    class_images: Sequence[Image.Image],
    prompt: ConceptPrompt,
    previous: ConceptWeights | None,
    group: ProcessGroup,
) -> None:
    problems = [*stage.problems(), *base.family.stage_problems(stage)]
    if uneven := stage.uneven_share(group.size):
        problems.append(uneven)
    if not images:
        problems.append(f"stage '{stage.name}': no instance images")
    if len(class_images) != stage.class_images:
        problems.append(
            f"stage '{stage.name}': {len(class_images)} class images were given, class_images is {stage.class_images}"
        )
    if stage.starts_from == "previous_stage" and previous is None:
        problems.append(f"stage '{stage.name}': starts from the stage before, and its weights were not given")
    if stage.starts_from != "previous_stage" and previous is not None:
        start = stage.starts_from.replace("_", "-")
        problems.append(f"stage '{stage.name}': starts from the {start}, and was given another stage's weights")
    if stage.has_attention_term and not prompt.names_category:
        problems.append(f"stage '{stage.name}': the attention-map term needs a prompt that names the super-category")
    if previous is not None and previous.prompt != prompt:
        problems.append(f"stage '{stage.name}': its predecessor was trained on {previous.prompt}, not on {prompt}")
    if problems:
        raise InputError(*problems)
    check_concept(base.tokenizers, prompt)
    if stage.starts_from == "rare_token":
        rare_token_ids(base.tokenizers, stage.rare_token, prompt)
    if previous is not None:
        previous.check_fits(base)


def _derived_seed(seed: int, stage: Stage, purpose: str) -> int:
    """A seed of its own for each stage and purpose; with one for all, every stage would draw the same noise."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage.name}/{purpose}".encode()).digest()[:7], "big")
