"""A training step that does what AttnDreamBooth's published code does, for `benchmarks.train_step` to measure against.

Written from a description of that code, none of it taken: every step encodes its pictures by the VAE and the one prompt
once for each of them; the text encoder collects gradients that nobody uses; self- and cross-attention build their whole
softmax; cross-attention keeps it, and loops of Python take it apart by layer, token and sample; all is float32; AdamW
is torch's plain one; each step waits to read its loss. Of what is not known of it the cheaper is taken: pictures are
augmented beforehand, the VAE keeps nothing for gradients, and in the first stage the embedding of [V] alone is trained.
"""

import copy
import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention

from model.bases.base import Base
from model.bases.parameters import parameters_of
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import encode_text
from model.families.tokenized import TokenizedPrompt
from model.methods.method import Stage
from model.training.learners import trained_names
from model.weights.concept import ConceptWeights


class PublishedTraining:
    """A stage of AttnDreamBooth on a copy of the base, step by step."""

    def __init__(
        self,
        base: Base,
        stage: Stage,
        start: ConceptWeights,
        pixels: torch.Tensor,
        time_ids: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        """`start` is what the stage begins with, `pixels` (views, 3, height, width) in -1..1 its augmented views.

        `time_ids` (views, 6) are their sizes. The copy has its denoiser and text encoders for itself, so that the base
        stays as it is. `generator` is drawn from in the order in which `model.training.objective` does.
        """
        texts = tuple(dataclasses.replace(each, model=copy.deepcopy(each.model)) for each in base.text_encoders)
        self.base = dataclasses.replace(base, denoiser=copy.deepcopy(base.denoiser), text_encoders=texts)
        self.stage, self.pixels, self.time_ids, self.generator = stage, pixels, time_ids, generator
        start.put_into(self.base)
        prompt = start.prompt
        self.prompt: TokenizedPrompt = tokenize(base.tokenizers, prompt.text, prompt)
        self.embeddings = [embedding.to(base.device) for embedding in start.embeddings]
        for encoder in texts:
            encoder.model.requires_grad_(True)
        if stage.trains == "embedding":
            self.embeddings = [torch.nn.Parameter(embedding.clone()) for embedding in self.embeddings]
            trained: Sequence[torch.Tensor] = self.embeddings
        else:
            named = parameters_of(self.base)
            trained = [named[name].requires_grad_(True) for name in trained_names(base, stage)]
        self.attention = ExplicitAttention()
        self.base.denoiser.set_attn_processor(self.attention)
        self.optimizer = torch.optim.AdamW(
            trained,
            lr=stage.learning_rate,
            betas=(stage.adam_beta1, stage.adam_beta2),
            weight_decay=stage.weight_decay,
        )

    def step(self) -> float:
        """Take one step; what it minimised."""
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()  # what the text encoder has collected stays
        return loss.item()

    def loss(self) -> torch.Tensor:
        """What the next step minimises, a scalar; the generator goes on."""
        base, count, scheduler = self.base, self.stage.batch_size, self.base.noise_scheduler
        views = torch.randint(len(self.pixels), (count,), generator=self.generator).to(base.device)
        encoded = base.vae.encode(self.pixels[views]).latent_dist
        chance = torch.randn(encoded.mean.shape, generator=self.generator).to(base.device)
        latents = base.family.normalised(base.vae, encoded.mean + encoded.std * chance)
        noise = torch.randn(latents.shape, generator=self.generator).to(base.device)
        timesteps = base.family.drawn_timesteps(scheduler, count, self.generator).to(base.device)
        noisy, target = base.family.noised(scheduler, latents, noise, timesteps)
        text = encode_text(base, [self.prompt] * count, self.embeddings)
        self.attention.kept.clear()
        prediction = base.family.predict(base.denoiser, noisy, timesteps, text, self.time_ids[views])
        return F.mse_loss(prediction.float(), target.float()) + self._term()

    def _term(self) -> torch.Tensor:
        """The attention-map term, one layer, one token, one sample after the other."""
        total = torch.zeros((), device=self.base.device)
        for layer in self.attention.kept:  # (batch, heads, pixels, tokens)
            maps = [layer[..., token] for token in range(layer.shape[-1])]
            ours = maps[self.prompt.placeholder[0]]
            theirs = torch.stack([maps[token] for token in self.prompt.super_category]).mean(dim=0)
            for of_v, of_category in zip(ours, theirs, strict=True):
                total = total + self.stage.attention_mean_weight * F.mse_loss(of_v.mean(), of_category.mean())
                total = total + self.stage.attention_variance_weight * F.mse_loss(of_v.var(), of_category.var())
        # Summed over a batch of 8, which the weights of stages are meant for, and the mean over layers.
        return total * 8 / self.stage.batch_size / len(self.attention.kept)


class ExplicitAttention:
    """Self- and cross-attention as a textbook has them; of cross-attention every probability is kept."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []
        """Of each cross-attention layer (batch, heads, pixels, tokens)."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,  # (batch, pixels, channels)
        encoder_hidden_states: torch.Tensor | None = None,  # (batch, tokens, width)
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert attention_mask is None, "Stable Diffusion attends to all tokens"
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))  # (batch x heads, pixels, depth)
        key = attn.head_to_batch_dim(attn.to_k(read))
        value = attn.head_to_batch_dim(attn.to_v(read))
        scores = torch.bmm(query, key.transpose(-1, -2)) * attn.scale
        probabilities = scores.softmax(dim=-1)  # (batch x heads, pixels, pixels or tokens)
        if encoder_hidden_states is not None:
            self.kept.append(probabilities.unflatten(0, (-1, attn.heads)))
        output: torch.Tensor = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        for layer in attn.to_out:
            output = layer(output)
        return output
