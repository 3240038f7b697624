"""What a concept model keeps: the embeddings of [V] and the parameters that differ from the base's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from model.bases.base import Base
from model.bases.parameters import borrowed_parameters, parameters_of, put_parameters
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from model.weights.file import EXACT_FORMAT, FACTS, SMALL, SMALL_FORMAT, read_facts, unknown_format
from model.weights.lora import DOWN, UP, lora_change, lora_layers, lora_shape
from model.weights.small import USUAL_RANKS, Layer, SmallChange, shrink

_EMBEDDINGS = ("embedding", "embedding_2")  # one for each text encoder that a base may have
_UNET = "unet."
_CODES, _STEPS = "small.codes", "small.steps"


@dataclass(frozen=True, kw_only=True)
class ConceptWeights:
    """A concept as it stands after a stage: all that has to be put into the base to draw it."""

    prompt: ConceptPrompt
    embeddings: tuple[torch.Tensor, ...]
    """The learned embedding of [V] in each of the base's text encoders, (1, width), float32."""
    unet: dict[str, torch.Tensor] = field(default_factory=dict)
    """Trained UNet parameters by name, float32; empty while the UNet is still the base's."""
    text: dict[str, torch.Tensor] = field(default_factory=dict)
    """Trained parameters of the text encoders, as `parameters_of` names them, float32; empty while they are frozen."""

    lora: dict[str, torch.Tensor] = field(default_factory=dict)
    """A LoRA on top of all that, as `model.weights.lora` names its tensors, float32; empty where none was trained."""
    small: SmallChange | None = None
    """Of weights in the small form, in the place of `unet` and `text`: how the parameters differ from the base's."""

    @classmethod
    def of(
        cls, prompt: ConceptPrompt, embeddings: Sequence[torch.Tensor], trained: Mapping[str, torch.Tensor]
    ) -> "ConceptWeights":
        """From what was trained of a base: parameters by the names of `parameters_of`, and those of a LoRA."""
        lora = {name: tensor for name, tensor in trained.items() if name.endswith((DOWN, UP))}
        changed = {name: tensor for name, tensor in trained.items() if name not in lora}
        unet = {name.removeprefix(_UNET): tensor for name, tensor in changed.items() if name.startswith(_UNET)}
        text = {name: tensor for name, tensor in changed.items() if not name.startswith(_UNET)}
        return cls(prompt=prompt, embeddings=tuple(embeddings), unet=unet, text=text, lora=lora)

    @property
    def changed(self) -> dict[str, torch.Tensor]:
        """Parameters that were trained as they are, by the names of `parameters_of`."""
        return {f"{_UNET}{name}": tensor for name, tensor in self.unet.items()} | self.text

    @property
    def touched(self) -> set[str]:
        """Names of all parameters that differ from the base's, those of the LoRA's layers among them."""
        small = self.small.layers if self.small else ()
        return {*self.changed, *small, *(f"{layer}.weight" for layer in lora_layers(self.lora))}

    @property
    def alone(self) -> "ConceptWeights":
        """The word alone, for a base that these weights were put into for good."""
        return ConceptWeights(prompt=self.prompt, embeddings=self.embeddings)

    def shrunk(self, base: Base, ranks: float = USUAL_RANKS) -> "ConceptWeights":
        """The same in the small form (`model.weights.small`), which draws nearly the same; a LoRA stays as it is.

        Raises InputError if the weights do not fit the base.
        """
        self.check_fits(base)
        own = parameters_of(base)
        changes = {name: tensor.to(own[name].device) - own[name].detach() for name, tensor in self.changed.items()}
        if not changes:
            return self
        return replace(self, unet={}, text={}, small=shrink(changes, ranks))

    def whole(self, base: Base) -> "ConceptWeights":
        """The same with every parameter as it is in the base that has them: what further training begins with.

        Raises InputError if the weights do not fit the base.
        """
        if self.small is None:
            return self
        self.check_fits(base)
        own = parameters_of(base)
        changed = {name: own[name].detach().cpu() + change for name, change in self.small.changes()}
        return ConceptWeights.of(self.prompt, self.embeddings, changed | self.lora)

    def save(self, path: Path) -> None:
        """Write one safetensors file; the same weights give the same bytes. Raises OSError if there is no room."""
        tensors = named_embeddings(self.embeddings) | self.changed | self.lora
        facts: dict[str, Any] = {"format": EXACT_FORMAT, **asdict(self.prompt)}
        if self.small:
            tensors |= {_CODES: self.small.codes, _STEPS: self.small.steps}
            facts["format"] = SMALL_FORMAT
            facts[SMALL] = {name: [layer.shape, layer.kept] for name, layer in self.small.layers.items()}
        content = to_bytes(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            metadata={FACTS: json.dumps(facts, sort_keys=True, separators=(",", ":") if self.small else None)},
        )
        path.write_bytes(content)  # safetensors' own writing hides a full disk in an error that is no OSError

    @classmethod
    def load(cls, path: Path) -> "ConceptWeights":
        """Read what `save` has written. Raises InputError if the file is missing, damaged or something else."""
        prompt, layout = read_facts(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError) as error:
            raise InputError(f"concept weights '{path}': cannot be read ({error})") from error
        embeddings = tuple(tensors.pop(name) for name in _EMBEDDINGS if name in tensors)
        if not embeddings:
            raise unknown_format(path, KeyError(_EMBEDDINGS[0]))
        if layout is None:
            return cls.of(prompt, embeddings, tensors)
        try:
            small = _small_change(layout, tensors)
        except (ValueError, TypeError, KeyError) as error:
            raise unknown_format(path, error) from error
        return replace(cls.of(prompt, embeddings, tensors), small=small)

    def check_fits(self, base: Base) -> None:
        """Raise InputError if these weights were trained on a base of another shape."""
        shapes = [tuple(embedding.shape) for embedding in self.embeddings]
        parameters = parameters_of(base)
        own = {name: tensor.shape for name, tensor in self.changed.items()}
        own |= {f"{layer}.weight": lora_shape(self.lora, layer) for layer in lora_layers(self.lora)}
        own |= {name: torch.Size(layer.shape) for name, layer in self.small.layers.items()} if self.small else {}
        wrong = [name for name, shape in own.items() if name not in parameters or parameters[name].shape != shape]
        if shapes != [(1, encoder.width) for encoder in base.text_encoders] or wrong:
            found = f"parameter {wrong[0]}" if wrong else f"embedding of shape {', '.join(map(str, shapes))}"
            raise InputError(
                f"concept {self.prompt.placeholder_token}: {found} does not fit base model "
                f"'{base.source.reference}'; use the base that it was trained on"
            )

    @contextmanager
    def applied(self, base: Base) -> Iterator[None]:
        """Inside, the base has this concept's parameters; afterwards its own, bit for bit.

        The embeddings are not part of it: they are given to `model.diffusion.text_encoding.encode_text` with each
        prompt. Raises InputError if the weights do not fit the base.
        """
        self.check_fits(base)
        parameters = parameters_of(base)
        with borrowed_parameters({name: parameters[name] for name in self.touched}):
            self._put(parameters)
            yield

    def put_into(self, base: Base) -> None:
        """Give the base this concept's parameters for good. Raises InputError if they do not fit."""
        self.check_fits(base)
        self._put(parameters_of(base))

    @torch.no_grad()
    def _put(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        put_parameters(parameters, self.changed)
        if self.small:
            for name, change in self.small.changes(next(iter(parameters.values())).device):
                parameters[name].add_(change)
        for layer in lora_layers(self.lora):
            weight = parameters[f"{layer}.weight"]
            weight.add_(lora_change(self.lora, layer).to(weight.device))


def _small_change(layout: Any, tensors: dict[str, torch.Tensor]) -> SmallChange:
    """The small form of a file; ValueError, TypeError or KeyError unless its bytes are those that its layout names."""
    layers = {}
    for name, (shape, kept) in layout.items():
        if not all(type(count) is int and count >= 0 for count in (*shape, *kept)) or len(kept) != 3 or not shape:
            raise ValueError(f"{name}: shape {shape}, kept {kept}")
        layers[str(name)] = Layer(shape=tuple(shape), kept=tuple(kept))
    return SmallChange(layers=layers, codes=tensors.pop(_CODES), steps=tensors.pop(_STEPS))


def named_embeddings(embeddings: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The embeddings of [V] by the names that they have in files and in trainings."""
    return dict(zip(_EMBEDDINGS, embeddings, strict=False))
