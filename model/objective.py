"""What a training step minimises: the error of the prediction, and the terms that a stage adds to it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.attention import AttentionColumns, attention_term, recorded_columns
from model.base import Base
from model.latents import LatentBank
from model.method import Stage
from model.predict import predict
from model.team import Team
from model.text_encoding import PromptEmbeds
from model.tokens import TokenizedPrompt

_ALONE = Team()


@dataclass(frozen=True, kw_only=True)
class LoopSetup:
    """What every step reads and none changes."""

    base: Base
    stage: Stage
    banks: Sequence[LatentBank]
    """Of the instance images; with prior preservation also of the class images."""
    prompts: Sequence[TokenizedPrompt]
    """What each bank's images show."""
    autocast: str
    team: Team


def step_losses(
    setup: LoopSetup, text: PromptEmbeds, generator: torch.Generator, columns: AttentionColumns | None
) -> Mapping[str, torch.Tensor]:
    """`loss`, what one step minimises, and its parts by the names of `model.curve.term_names`; scalars.

    `text` is what the text encoders make of `setup.prompts`; `columns` records the UNet's attention where the
    stage has the attention-map term. Everything random is drawn from `generator`.
    """
    stage = setup.stage
    # Drawn one after the other: the concept's random numbers are the same with prior preservation and without.
    batches = (bank.sample(stage.batch_size, generator) for bank in setup.banks)
    instance, *prior = prediction_losses(setup.base, batches, text, generator, setup.team)
    terms = {"attention_loss": _attention_loss(setup, columns)}
    if prior:
        terms["prior_loss"] = stage.prior_weight * prior[0]
    return {"loss": instance + sum(terms.values()), **terms}


def prediction_losses(
    base: Base,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    text: PromptEmbeds,
    generator: torch.Generator,
    team: Team = _ALONE,
) -> list[torch.Tensor]:
    """Mean squared error of the UNet's prediction of the noise, or of the velocity, of each batch.

    `batches` hold latents (batch, channels, height, width) and their time ids (batch, 6), as many each; `text` has one
    prompt for each: what it shows. All go through the UNet at once, and of each the share of this process.
    """
    scheduler = base.noise_scheduler
    drawn = []
    for latents, time_ids in batches:
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, latents.shape[:1], generator=generator)
        drawn.append([team.share(rows).to(latents.device) for rows in (latents, time_ids, noise, timesteps)])
    latents, time_ids, noise, timesteps = (torch.cat(rows) for rows in zip(*drawn, strict=True))
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = noise if base.prediction_type == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
    prediction = predict(base, noisy, timesteps, text.repeated(len(latents) // len(drawn)), time_ids)
    halves = zip(prediction.float().chunk(len(drawn)), target.float().chunk(len(drawn)), strict=True)
    return [F.mse_loss(*half) for half in halves]


def columns_of(setup: LoopSetup) -> AbstractContextManager[AttentionColumns | None]:
    """The recorder of attention columns, or None for a stage without the attention-map term."""
    return recorded_columns(setup.base.unet, setup.prompts[0]) if setup.stage.has_attention_term else nullcontext()


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
