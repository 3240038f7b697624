"""What a concept model keeps: the embeddings of [V] and the parameters that differ from the base's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from model.base import Base
from model.errors import InputError
from model.prompt import ConceptPrompt
from model.weights_file import FACTS, FORMAT, read_prompt, unknown_format

FILE_NAME = "concept.safetensors"
_EMBEDDINGS = ("embedding", "embedding_2")  # one for each text encoder that a base may have
_UNET = "unet."


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

    @classmethod
    def of(
        cls, prompt: ConceptPrompt, embeddings: Sequence[torch.Tensor], changed: Mapping[str, torch.Tensor]
    ) -> "ConceptWeights":
        """From what was trained of a base, by the names of `parameters_of`."""
        unet = {name.removeprefix(_UNET): tensor for name, tensor in changed.items() if name.startswith(_UNET)}
        text = {name: tensor for name, tensor in changed.items() if not name.startswith(_UNET)}
        return cls(prompt=prompt, embeddings=tuple(embeddings), unet=unet, text=text)

    @property
    def changed(self) -> dict[str, torch.Tensor]:
        """All trained parameters by the names of `parameters_of`."""
        return {f"{_UNET}{name}": tensor for name, tensor in self.unet.items()} | self.text

    def save(self, path: Path) -> None:
        """Write one safetensors file; the same weights give the same bytes. Raises OSError if there is no room."""
        tensors = named_embeddings(self.embeddings) | self.changed
        facts = {"format": FORMAT, **asdict(self.prompt)}
        content = to_bytes(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            metadata={FACTS: json.dumps(facts, sort_keys=True)},
        )
        path.write_bytes(content)  # safetensors' own writing hides a full disk in an error that is no OSError

    @classmethod
    def load(cls, path: Path) -> "ConceptWeights":
        """Read what `save` has written. Raises InputError if the file is missing, damaged or something else."""
        prompt = read_prompt(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError) as error:
            raise InputError(f"concept weights '{path}': cannot be read ({error})") from error
        embeddings = tuple(tensors.pop(name) for name in _EMBEDDINGS if name in tensors)
        if not embeddings:
            raise unknown_format(path, KeyError(_EMBEDDINGS[0]))
        return cls.of(prompt, embeddings, tensors)

    def check_fits(self, base: Base) -> None:
        """Raise InputError if these weights were trained on a base of another shape."""
        shapes = [tuple(embedding.shape) for embedding in self.embeddings]
        parameters = parameters_of(base)
        wrong = [
            name
            for name, tensor in self.changed.items()
            if name not in parameters or parameters[name].shape != tensor.shape
        ]
        if shapes != [(1, encoder.width) for encoder in base.text_encoders] or wrong:
            found = f"parameter {wrong[0]}" if wrong else f"embedding of shape {', '.join(map(str, shapes))}"
            raise InputError(
                f"concept {self.prompt.placeholder_token}: {found} does not fit base model "
                f"'{base.source.reference}'; use the base that it was trained on"
            )

    @contextmanager
    def applied(self, base: Base) -> Iterator[None]:
        """Inside, the base has this concept's parameters; afterwards its own, bit for bit.

        The embeddings are not part of it: they are given to `model.text_encoding.encode_text` with each prompt.
        Raises InputError if the weights do not fit the base.
        """
        self.check_fits(base)
        parameters = parameters_of(base)
        with borrowed_parameters({name: parameters[name] for name in self.changed}):
            put_parameters(parameters, self.changed)
            yield

    def put_into(self, base: Base) -> None:
        """Give the base this concept's parameters for good. Raises InputError if they do not fit."""
        self.check_fits(base)
        put_parameters(parameters_of(base), self.changed)


def named_embeddings(embeddings: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The embeddings of [V] by the names that they have in files and in trainings."""
    return dict(zip(_EMBEDDINGS, embeddings, strict=False))


def modules_of(base: Base) -> dict[str, torch.nn.Module]:
    """The models of a base that trainings may change, by their folders in it."""
    return {"unet": base.unet} | {encoder.part.folder: encoder.model for encoder in base.text_encoders}


def parameters_of(base: Base) -> dict[str, torch.nn.Parameter]:
    """All that trainings may change of a base: `unet.conv_in.weight`, `text_encoder.encoder.layers.0.mlp.fc1.bias`."""
    return {
        f"{place}.{name}": parameter
        for place, module in modules_of(base).items()
        for name, parameter in module.named_parameters()
    }


@contextmanager
def borrowed_parameters(parameters: Mapping[str, torch.nn.Parameter]) -> Iterator[None]:
    """Inside, these parameters may be changed in place; afterwards they are as before, also after an error."""
    # On the host: a second UNet on the device would take 3.5 GB from the training.
    kept = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
    try:
        yield
    finally:
        put_parameters(parameters, kept)


@torch.no_grad()
def put_parameters(parameters: Mapping[str, torch.nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    """Copy values into the parameters of the same names."""
    for name, value in values.items():
        parameters[name].copy_(value)
