"""What a concept model keeps: the embeddings of [V] and the UNet parameters that differ from the base's."""

import json
from collections.abc import Collection, Iterator, Sequence
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


@dataclass(frozen=True, kw_only=True)
class ConceptWeights:
    """A concept as it stands after a stage: all that has to be put into the base to draw it."""

    prompt: ConceptPrompt
    embeddings: tuple[torch.Tensor, ...]
    """The learned embedding of [V] in each of the base's text encoders, (1, width), float32."""
    unet: dict[str, torch.Tensor] = field(default_factory=dict)
    """Trained UNet parameters by name, float32; empty while the UNet is still the base's."""

    def save(self, path: Path) -> None:
        """Write one safetensors file; the same weights give the same bytes. Raises OSError if there is no room."""
        tensors = named_embeddings(self.embeddings) | {f"unet.{name}": tensor for name, tensor in self.unet.items()}
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
        unet = {name.removeprefix("unet."): tensor for name, tensor in tensors.items()}
        return cls(prompt=prompt, embeddings=embeddings, unet=unet)

    def check_fits(self, base: Base) -> None:
        """Raise InputError if these weights were trained on a base of another shape."""
        shapes = [tuple(embedding.shape) for embedding in self.embeddings]
        parameters = dict(base.unet.named_parameters())
        wrong = [
            name
            for name, tensor in self.unet.items()
            if name not in parameters or parameters[name].shape != tensor.shape
        ]
        if shapes != [(1, encoder.width) for encoder in base.text_encoders] or wrong:
            found = f"unet parameter {wrong[0]}" if wrong else f"embedding of shape {', '.join(map(str, shapes))}"
            raise InputError(
                f"concept {self.prompt.placeholder_token}: {found} does not fit base model "
                f"'{base.source.reference}'; use the base that it was trained on"
            )

    @contextmanager
    def applied(self, base: Base) -> Iterator[None]:
        """Inside, the base's UNet has this concept's parameters; afterwards its own, bit for bit.

        The embeddings are not part of it: they are given to `model.text_encoding.encode_text` with each prompt.
        Raises InputError if the weights do not fit the base.
        """
        self.check_fits(base)
        with borrowed_parameters(base.unet, self.unet):
            put_parameters(base.unet, self.unet)
            yield


def named_embeddings(embeddings: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The embeddings of [V] by the names that they have in files and in trainings."""
    return dict(zip(_EMBEDDINGS, embeddings, strict=False))


@contextmanager
def borrowed_parameters(module: torch.nn.Module, names: Collection[str]) -> Iterator[None]:
    """Inside, the named parameters may be changed in place; afterwards they are as before, also after an error."""
    # On the host: a second UNet on the device would take 3.5 GB from the training.
    kept = {name: module.get_parameter(name).detach().to("cpu", copy=True) for name in names}
    try:
        yield
    finally:
        put_parameters(module, kept)


@torch.no_grad()
def put_parameters(module: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Copy values into a module's parameters."""
    for name, value in values.items():
        module.get_parameter(name).copy_(value)
