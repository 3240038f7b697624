"""What a training step minimises: the error of the prediction, and the terms that a stage adds to it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.bases.base import Base
from model.diffusion.attention import AttentionColumns, attention_term, recorded_columns, recorded_maps
from model.diffusion.latents import LatentBank
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_text
from model.families.prompt_embeds import PromptEmbeds
from model.families.tokenized import TokenizedPrompt
from model.methods.method import Stage
from model.training.context import (
    Anchors,
    context_attention_distance,
    context_embedding_distance,
    end_state,
    other_words,
    semantic_distance,
)
from model.training.process_group import ProcessGroup

_ALONE = ProcessGroup()


@dataclass(frozen=True, kw_only=True)
class LoopSetup:
    """What every step reads and none changes."""

    base: Base
    stage: Stage
    banks: Sequence[LatentBank]
    """Of the instance images; with prior preservation also of the class images."""
    prompts: Sequence[TokenizedPrompt]
    """What each bank's images show."""
    templates: Sequence[TokenizedPrompt] = ()
    """Where there are some, each picture of the first bank shows one of them, at random."""
    anchors: Anchors | None = None
    """Of a stage with terms of `model.training.context`."""
    untrained: Base | None = None
    """The base with a denoiser that no stage has changed; of a stage that keeps the class prompt's predictions."""
    class_text: PromptEmbeds | None = None
    """What is read of the class prompt; of the same stage."""
    pulled: Sequence[tuple[torch.nn.Parameter, torch.Tensor]] = ()
    """Trained parameters, each with the base's; of a stage that pulls them to it."""
    autocast: str
    group: ProcessGroup


@dataclass(frozen=True, kw_only=True)
class StepText:
    """What the pictures of one step are said to show."""

    embeds: PromptEmbeds
    """What the text encoders make of prompts."""
    rows: Sequence[torch.Tensor]
    """For each bank the number of each picture's prompt in `embeds`, (batch)."""

    @classmethod
    def one_each(cls, embeds: PromptEmbeds, pictures: int) -> "StepText":
        """One prompt a bank, for as many pictures of each."""
        return cls(embeds=embeds, rows=[torch.full((pictures,), number) for number in range(len(embeds.states))])


def constant_text(setup: LoopSetup, embeddings: Sequence[torch.Tensor]) -> PromptEmbeds | None:
    """What is read of all prompts of a stage that does not change how prompts are read; else None."""
    if setup.stage.trains_text:
        return None
    return encode_text(setup.base, [*setup.prompts, *setup.templates], embeddings)


def step_text(
    setup: LoopSetup, embeddings: Sequence[torch.Tensor], generator: torch.Generator, constant: PromptEmbeds | None
) -> StepText:
    """The prompts of one step, read now unless they are `constant`; templates are drawn from `generator`."""
    prompts, own = [*setup.prompts, *setup.templates], len(setup.prompts)
    rows = [torch.full((setup.stage.batch_size,), number) for number in range(own)]
    if setup.templates:
        rows[0] = own + torch.randint(len(setup.templates), rows[0].shape, generator=generator)
    if constant is not None:
        return StepText(embeds=constant, rows=rows)
    # Only what this step shows is read: a batch of 4 does not need all 27 templates.
    used, places = torch.cat(rows).unique(return_inverse=True)
    embeds = encode_text(setup.base, [prompts[number] for number in used.tolist()], embeddings)
    return StepText(embeds=embeds, rows=places.split(setup.stage.batch_size))


def step_losses(
    setup: LoopSetup,
    text: StepText,
    embeddings: Sequence[torch.Tensor],
    generator: torch.Generator,
    columns: AttentionColumns | None,
) -> Mapping[str, torch.Tensor]:
    """`loss`, what one step minimises, and its parts by the names of `model.training.curve.term_names`; scalars.

    `embeddings` are those of [V]; `columns` records attention where the stage has the attention-map term. Everything
    random is drawn from `generator`.
    """
    stage = setup.stage
    # Drawn one after the other: the concept's random numbers are the same with prior preservation and without.
    batches = (bank.sample(stage.batch_size, generator) for bank in setup.banks)
    instance, *prior = prediction_losses(setup.base, batches, text, generator, setup.group)
    terms = {"attention_loss": _attention_loss(setup, columns)}
    if prior:
        terms["prior_loss"] = stage.prior_weight * prior[0]
    if setup.anchors and stage.has_context:
        terms["context_loss"] = _context_loss(setup, setup.anchors, embeddings, generator)
    if setup.anchors and stage.semantic_weight:
        ours = end_state(text.embeds, setup.prompts[0])
        terms["semantic_loss"] = stage.semantic_weight * semantic_distance(ours, setup.anchors.class_end)
    if setup.untrained:
        terms["class_loss"] = stage.class_prediction_weight * _class_distance(
            setup, setup.untrained, generator, columns
        )
    if setup.pulled:
        gone = [(parameter - original).square().sum() for parameter, original in setup.pulled]
        terms["pull_loss"] = stage.weight_pull * torch.stack(gone).sum()
    return {"loss": instance + sum(terms.values()), **terms}


def prediction_losses(
    base: Base,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    text: StepText,
    generator: torch.Generator,
    group: ProcessGroup = _ALONE,
) -> list[torch.Tensor]:
    """Mean squared error of the denoiser's prediction of the noise, or of the velocity, of each batch.

    `batches` hold latents (batch, channels, height, width) and their time ids (batch, 6), as many each; `text` says
    what their pictures show. All go through the denoiser at once, and of each the share of this process.
    """
    drawn = [_noised(base, *batch, generator, group) for batch in batches]
    noisy, timesteps, time_ids, target = (torch.cat(rows) for rows in zip(*drawn, strict=True))
    shown = torch.cat([group.share(rows) for rows in text.rows]).to(noisy.device)
    prediction = predict(base, noisy, timesteps, text.embeds.each(lambda part: part[shown]), time_ids)
    halves = zip(prediction.float().chunk(len(drawn)), target.float().chunk(len(drawn)), strict=True)
    return [F.mse_loss(*half) for half in halves]


def _noised(
    base: Base, latents: torch.Tensor, time_ids: torch.Tensor, generator: torch.Generator, group: ProcessGroup
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy latents, their timesteps and time ids, and what is to be predicted of them; this process's share."""
    scheduler, family = base.noise_scheduler, base.family
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = family.drawn_timesteps(scheduler, len(latents), generator)
    latents, time_ids, noise, timesteps = (
        group.share(rows).to(latents.device) for rows in (latents, time_ids, noise, timesteps)
    )
    noisy, target = family.noised(scheduler, latents, noise, timesteps)
    return noisy, timesteps, time_ids, target


def columns_of(setup: LoopSetup) -> AbstractContextManager[AttentionColumns | None]:
    """The recorder of attention columns, or None for a stage without the attention-map term."""
    return recorded_columns(setup.base, setup.prompts[0]) if setup.stage.has_attention_term else nullcontext()


def _attention_loss(setup: LoopSetup, columns: AttentionColumns | None) -> torch.Tensor:
    """The stage's attention-map term for the forward pass that has just been."""
    if columns is None:
        return torch.zeros((), device=setup.base.device)
    return attention_term(
        # Class images, which come last, are not of [V].
        [layer.chunk(len(setup.banks))[0] for layer in columns.take()],
        mean_weight=setup.stage.attention_mean_weight,
        variance_weight=setup.stage.attention_variance_weight,
    )


def _class_distance(
    setup: LoopSetup, untrained: Base, generator: torch.Generator, columns: AttentionColumns | None
) -> torch.Tensor:
    """Mean squared difference of what the denoiser and the untrained one predict by the class prompt."""
    latents, time_ids = setup.banks[0].sample(setup.stage.batch_size, generator)
    noisy, timesteps, time_ids, _ = _noised(setup.base, latents, time_ids, generator, setup.group)
    assert setup.class_text is not None  # it comes with `untrained`
    text = setup.class_text.expanded(len(noisy))
    with torch.no_grad():
        wanted = predict(untrained, noisy, timesteps, text, time_ids)
    with columns.closed() if columns else nullcontext():  # these pictures do not show [V]
        found = predict(setup.base, noisy, timesteps, text, time_ids)
    return F.mse_loss(found.float(), wanted.float())


def _context_loss(
    setup: LoopSetup, anchors: Anchors, embeddings: Sequence[torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    """CoRe's weighted terms by one of the context prompts, chosen at random."""
    base, stage = setup.base, setup.stage
    chosen = int(torch.randint(len(anchors.contexts), (1,), generator=generator))
    prompt = anchors.contexts[chosen]
    words = other_words(prompt)
    ours, theirs = encode_text(base, [prompt], embeddings), anchors.read.each(lambda part: part[chosen : chosen + 1])
    as_long = theirs.states[:, : ours.states.shape[1]]  # it was read beside longer prompts
    distance = context_embedding_distance(ours.states, as_long, words)
    loss = stage.context_embedding_weight * distance
    if stage.context_attention_weight:
        latents, time_ids = setup.banks[0].sample(stage.batch_size, generator)
        noisy, timesteps, time_ids, _ = _noised(base, latents, time_ids, generator, setup.group)
        with recorded_maps(base, prompt) as maps:
            predict(base, noisy, timesteps, ours.expanded(len(noisy)), time_ids)
            our_maps = maps.take()
            with torch.no_grad():
                predict(base, noisy, timesteps, theirs.expanded(len(noisy)), time_ids)
        seen = context_attention_distance(our_maps, maps.take(), words)
        loss = loss + stage.context_attention_weight * seen
    return loss
