"""Methods as data: a method is a named list of stages, and one training loop runs every stage of every method.

`model.methods.presets` has those that there are."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from model.methods.limits import as_floats, number, problems_of, switch, templates, whole_number, word

MOST_VIEWS = 1024
"""That are encoded where a stage does not say how many: more differ too little to be worth their time."""

Trains = Literal["embedding", "cross_attention", "unet"]
StartsFrom = Literal["super_category", "rare_token", "previous_stage"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training stage: what it trains, for how long, and how strongly the attention-map term pulls."""

    name: str
    """The stage's name within its method."""
    trains: Trains
    """`embedding`: the one row of [V]; `cross_attention`: the `attn2` parameters; `unet`: all of the UNet."""
    starts_from: StartsFrom = "previous_stage"
    """Where [V] comes from: a copy of the super-category's embedding, or of a rare token's, or the weights that the
    stage before has left."""

    learning_rate: float = number(0, 1, above=True)
    """Constant rate of AdamW."""
    max_train_steps: int = whole_number(1, 1_000_000)
    """Optimizer steps."""
    batch_size: int = whole_number(1, 1024, default=8)
    """Pictures of the concept a step; with prior preservation as many class images beside them."""
    attention_mean_weight: float = number(0, 1e6)
    """Weight of the squared difference between the mean attention of [V] and of the super-category."""
    attention_variance_weight: float = number(0, 1e6)
    """Weight of the squared difference between their variances."""
    adam_beta1: float = number(0, 0.9999, default=0.9)
    """Decay of AdamW's first moment."""
    adam_beta2: float = number(0, 0.999999, default=0.999)
    """Decay of AdamW's second moment."""
    weight_decay: float = number(0, 1, default=1e-2)
    """Decoupled weight decay."""
    max_grad_norm: float = number(0, 1e6, default=1.0, above=True)
    """Gradients are scaled down to this norm over all trained parameters."""

    templates: tuple[str, ...] = templates()
    """What the pictures are said to show, one of these for each picture at random, as Textual Inversion does it; empty:
    the method's instance prompt. `{}` becomes what it becomes there."""

    rare_token: str = word(default="")
    """A word that the base has one token for and hardly ever met; of a stage that starts from it."""

    lora_rank: int = whole_number(0, 1024, default=0)
    """Rank of the LoRA (arXiv 2106.09685) that is trained in the place of the layers themselves; 0 is none."""
    lora_alpha: float = number(0, 1e6, default=0.0)
    """The LoRA's change is scaled by lora_alpha / lora_rank."""
    train_text_encoder: bool = switch(default=False)
    """Whether a stage that trains the UNet trains the text encoders with it: all but their words' embeddings."""

    gradient_checkpointing: bool = switch(default=False)
    """Whether the UNet's inner states are computed again for the gradients instead of kept (arXiv 1604.06174): a base
    of 1024 pixels then trains with less memory, in more time, and comes to the same."""

    prior_weight: float = number(0, 1e6, default=0.0)
    """Prior preservation (arXiv 2208.12242, equation 2): weight of the loss on class images, which the base draws of
    the super-category before the training; 0 is none."""
    class_images: int = whole_number(0, 100_000, default=0)
    """How many class images there are, of prior preservation."""

    context_embedding_weight: float = number(0, 1e6, default=0.0)
    """CoRe (arXiv 2408.15914): weight of how differently the text encoders read the other words of prompts beside [V]
    and beside the super-category; 0 is none."""
    context_attention_weight: float = number(0, 1e6, default=0.0)
    """CoRe: the same of where the UNet's cross-attention sees those other words; 0 is none."""
    norm_kept_from: int = whole_number(0, 1_000_000, default=0)
    """CoRe: from this step on, the first being 1, the norm of [V] is put back after each step to what it was before."""
    norm_kept_until: int = whole_number(0, 1_000_000, default=0)
    """CoRe: up to this step, it included; 0 is never."""
    semantic_weight: float = number(0, 1e6, default=0.0)
    """ClassDiffusion (arXiv 2405.17532): weight of how far the instance prompt has gone from the class prompt; 0 is
    none."""

    on_sphere: bool = switch(default=False)
    """DTI (arXiv 2512.13672): the norm of [V] stays the vocabulary's mean norm, and its direction alone is learnt, in
    steps of `learning_rate` along the sphere."""
    sphere_prior: float = number(0, 1e6, default=0.0)
    """DTI: how strongly the direction is pulled to the one that [V] began with (the concentration of the prior)."""
    class_prediction_weight: float = number(0, 1e6, default=0.0)
    """Differential output preservation: weight of how far the UNet's prediction by the class prompt has gone from the
    untrained base's; 0 is none. It holds the base's UNet a second time."""
    weight_pull: float = number(0, 1e6, default=0.0)
    """Pull to the base (arXiv 2505.19519): weight of the squared distance of the trained parameters from the base's,
    summed over all; 0 is none."""

    augmented_views: int = whole_number(0, 100_000, default=0)
    """Augmented views of the images that are encoded once, before the first step, and drawn from at every step; 0: as
    many as the stage trains on pictures, up to MOST_VIEWS (`view_count`)."""
    rotation_degrees: float = number(0, 180, default=45.0)
    """Views are turned by up to this angle, either way."""
    rotation_probability: float = number(0, 1, default=0.75)
    """Share of the views that are turned."""
    rotation_keeps_all: bool = switch(default=False)
    """Whether a turned view shows all of the image, smaller, instead of its middle in the same size."""
    flip_probability: float = number(0, 1, default=0.25)
    """Share of the views that are mirrored left to right."""
    smallest_crop: float = number(0.1, 1, default=1.0)
    """Side of the smallest random square crop, as a share of the image's short side."""

    def __post_init__(self) -> None:
        as_floats(self)
        if isinstance(self.templates, list):  # as YAML has it
            object.__setattr__(self, "templates", tuple(self.templates))

    def problems(self) -> list[str]:
        """One sentence for each field outside its limits, as `stage.field = value: what is allowed`."""
        problems = problems_of(self, self.name)
        if self.starts_from == "rare_token" and not self.rare_token:
            problems.append(f"{self.name}.rare_token: the stage starts from one, so name it, such as sks")
        if self.starts_from != "rare_token" and self.rare_token:
            problems.append(f"{self.name}.rare_token = {self.rare_token!r}: the stage starts from none")
        if bool(self.lora_rank) != bool(self.lora_alpha):
            problems.append(
                f"{self.name}.lora_rank = {self.lora_rank}, lora_alpha = {self.lora_alpha}: a LoRA has both, alpha is "
                "often the rank; leave both out for none"
            )
        if self.lora_rank and self.trains == "embedding":
            problems.append(
                f"{self.name}.lora_rank = {self.lora_rank}: a LoRA changes layers, and the stage trains none"
            )
        if self.train_text_encoder is True and self.trains != "unet":
            problems.append(
                f"{self.name}.train_text_encoder = true: the text encoder is trained beside the whole UNet or not at "
                f"all, and this stage trains the {self.trains.replace('_', ' ')}"
            )
        if self.gradient_checkpointing is True and self.context_attention_weight:
            problems.append(
                f"{self.name}.gradient_checkpointing = true: context_attention_weight watches the UNet while it works, "
                "and what is computed again is not watched; leave one of them out"
            )
        if self.templates and (self.has_attention_term or self.semantic_weight):
            problems.append(
                f"{self.name}.templates: the attention-map term and semantic_weight compare words at their places in "
                "one prompt, and every picture would have another; leave the templates out, or set those weights to 0"
            )
        if self.has_prior and self.class_images == 0:
            problems.append(
                f"{self.name}.class_images = 0: prior preservation needs some, such as 200; or set prior_weight to 0"
            )
        if self.class_images and self.prior_weight == 0:
            problems.append(
                f"{self.name}.class_images = {self.class_images}: of no use while prior_weight is 0; set that, such as "
                "to 1, or leave both out"
            )
        if self.has_prior and self.trains == "embedding":
            problems.append(
                f"{self.name}.prior_weight = {self.prior_weight}: class images do not show [V], so they teach a stage "
                "nothing that trains its embedding alone; a stage that changes the UNet can have them"
            )
        if bool(self.norm_kept_from) != bool(self.norm_kept_until) or self.norm_kept_from > self.norm_kept_until:
            problems.append(
                f"{self.name}.norm_kept_from = {self.norm_kept_from}, norm_kept_until = {self.norm_kept_until}: the "
                "first and the last step in which the norm of [V] is kept are needed, such as 120 and 180, or neither"
            )
        if self.trains != "embedding" and (self.norm_kept_until or self.on_sphere):
            which = "norm_kept_until" if self.norm_kept_until else "on_sphere"
            problems.append(f"{self.name}.{which}: this stage does not change the embedding of [V]")
        if self.on_sphere and self.norm_kept_until:
            problems.append(
                f"{self.name}.norm_kept_until: on_sphere keeps the norm in every step; leave one of them out"
            )
        if self.sphere_prior and not self.on_sphere:
            problems.append(f"{self.name}.sphere_prior = {self.sphere_prior}: of no use without on_sphere = true")
        if self.trains == "embedding" and (self.class_prediction_weight or self.weight_pull):
            which = "class_prediction_weight" if self.class_prediction_weight else "weight_pull"
            problems.append(
                f"{self.name}.{which}: it keeps the UNet near the base's, and this stage leaves it as it is"
            )
        if self.weight_pull and self.lora_rank:
            problems.append(
                f"{self.name}.weight_pull = {self.weight_pull}: a LoRA leaves the base's parameters as they are; its "
                "weight_decay pulls its change to nothing"
            )
        if self.class_prediction_weight and self.train_text_encoder:
            problems.append(
                f"{self.name}.class_prediction_weight: the class prompt's states are read once, and train_text_encoder "
                "changes how prompts are read; leave one of them out"
            )
        if not self.trains_text:
            problems += [
                f"{self.name}.{name} = {value}: it steers what is read of [V], which this stage does not change; a "
                "stage that trains the embedding or the text encoder can have it"
                for name in ("context_embedding_weight", "context_attention_weight", "semantic_weight")
                if (value := getattr(self, name))
            ]
        return problems

    def facts(self) -> dict[str, Any]:
        """All fields by name; options that are not used are left out, so that a new one changes no other stage."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value or name not in _OPTIONS}

    @property
    def view_count(self) -> int:
        """How many augmented views are encoded."""
        return self.augmented_views or min(self.max_train_steps * self.batch_size, MOST_VIEWS)

    @property
    def has_attention_term(self) -> bool:
        """Whether the attention-map term is part of the loss."""
        return self.attention_mean_weight != 0 or self.attention_variance_weight != 0

    @property
    def trains_text(self) -> bool:
        """Whether what the UNet reads of a prompt changes from step to step."""
        return self.trains == "embedding" or self.train_text_encoder

    @property
    def has_context(self) -> bool:
        """Whether CoRe's regularisation of the words beside [V] is part of the loss."""
        return self.context_embedding_weight != 0 or self.context_attention_weight != 0

    @property
    def has_prior(self) -> bool:
        """Whether the stage preserves the base's prior with class images."""
        return self.prior_weight != 0

    def uneven_share(self, processes: int) -> str | None:
        """What is wrong with a batch that so many processes cannot share evenly; None if nothing."""
        if self.batch_size % processes == 0:
            return None
        return (
            f"{self.name}.batch_size = {self.batch_size}: {processes} processes share each step, so a multiple of "
            f"{processes} is needed"
        )


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to teach a concept: stages run in this order, each from the weights of the one before."""

    name: str
    stages: tuple[Stage, ...]
    instance_prompt: str = "a photo of a {}"
    """What every instance image is said to show; `{}` becomes "[V] super-category"."""
    names_category: bool = True
    """False: `{}` becomes [V] alone, here and wherever the concept is drawn."""

    def problems(self) -> list[str]:
        """One sentence for each setting of a stage that is outside its limits or does not go with the method."""
        problems = [problem for stage in self.stages for problem in stage.problems()]
        if not self.names_category:
            problems += [
                f"{stage.name}: the attention-map term compares [V] with its super-category, which the prompts of "
                f"method '{self.name}' do not name; both its weights must be 0"
                for stage in self.stages
                if stage.has_attention_term
            ]
        counts = {f"{stage.name}.class_images": stage.class_images for stage in self.stages if stage.has_prior}
        if len(set(counts.values())) > 1:
            said = " and ".join(f"{name} = {count}" for name, count in counts.items())
            problems.append(f"{said}: one set of class images serves all stages of a method, so give one number")
        return problems

    @property
    def trains_weights(self) -> bool:
        """Whether a stage trains parameters of the base as they are, and not [V] or LoRAs alone."""
        return any(stage.trains != "embedding" and not stage.lora_rank for stage in self.stages)

    @property
    def class_images(self) -> int:
        """How many class images its stages read; 0 for a method without prior preservation."""
        return max(stage.class_images for stage in self.stages)


_OPTIONS = {"lora_rank", "lora_alpha", "train_text_encoder", "prior_weight", "class_images"} | {
    "gradient_checkpointing",
    "context_embedding_weight",
    "context_attention_weight",
    "semantic_weight",
    "templates",
    "rotation_keeps_all",
    "norm_kept_from",
    "norm_kept_until",
    "on_sphere",
    "sphere_prior",
    "class_prediction_weight",
    "weight_pull",
}
# What a stage is cannot be turned by a setting; that would be another method.
_FIXED = {"name", "trains", "starts_from"}
STAGE_SETTINGS = tuple(field.name for field in dataclasses.fields(Stage) if field.name not in _FIXED)
"""The fields of a stage that `get_method` may override."""
