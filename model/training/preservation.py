"""What a stage holds against forgetting: the untrained denoiser, the class prompt as it is read, and parameters."""

import copy
import dataclasses

import torch

from model.bases.base import Base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import encode_text
from model.families.prompt_embeds import PromptEmbeds
from model.methods.method import Stage
from model.training.learners import trained_names


def untrained_of(base: Base, stage: Stage) -> Base | None:
    """The base with a denoiser of its own that stays as it is now, for a stage that compares with it; else None."""
    return dataclasses.replace(base, denoiser=copy.deepcopy(base.denoiser)) if stage.class_prediction_weight else None


@torch.no_grad()
def class_text(base: Base, prompt: ConceptPrompt) -> PromptEmbeds:
    """What is read of the class prompt, one prompt."""
    return encode_text(base, [tokenize(base.tokenizers, prompt.class_text)])


def originals_of(base: Base, stage: Stage) -> dict[str, torch.Tensor]:
    """The parameters that the stage trains as they are now, by name, for a stage that pulls them back; else none."""
    every = parameters_of(base)
    return {name: every[name].detach().clone() for name in trained_names(base, stage)} if stage.weight_pull else {}
