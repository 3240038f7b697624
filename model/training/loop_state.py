"""What the steps of a training change: with it and what they only read, training goes on exactly where it was."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from model.runtime.interruption import uninterrupted
from model.training.checkpoint_files import Checkpoint
from model.training.curve import Figures

_GENERATOR = "generator"
_PARAMETER, _OPTIMIZER = "parameter/", "optimizer/"


@dataclass(kw_only=True)
class LoopState:
    """The state of a training between two steps."""

    embeddings: Sequence[torch.Tensor]
    """[V] in each text encoder, (1, width); parameters in the stage that trains them."""
    parameters: dict[str, torch.nn.Parameter]
    """Everything that is trained, by name."""
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    """Draws views, noise and timesteps; on the CPU, so that every device sees the same numbers. Its state is also the
    position in the data, whose views are drawn from it."""
    figures: Figures
    step: int = 0
    whole: bool = True
    """False inside a step's update, and for good if that fails: such a state is none to go on from."""

    def __post_init__(self) -> None:
        self._drawn = self.generator.get_state()

    @property
    def size(self) -> int:
        """Bytes of a checkpoint: each parameter, and AdamW's two moments of it."""
        return 3 * sum(parameter.nbytes for parameter in self.parameters.values())

    @contextmanager
    def update(self) -> Iterator[None]:
        """Inside, parameters, optimizer, figures and `step` go from one step to the next; Ctrl-C waits for the end."""
        with uninterrupted():
            self.whole = False
            yield
            self._drawn = self.generator.get_state()  # what a step draws before its update is drawn again on a resume
            self.whole = True

    def checkpoint(self, identity: str) -> Checkpoint:
        """This state. Raises WorkFailed if it holds a value that is no finite number: none may ever be kept."""
        facts = self.figures.to_json()
        tensors = {f"{_PARAMETER}{name}": parameter.detach() for name, parameter in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for part, value in self.optimizer.state[parameter].items():
                tensors[f"{_OPTIMIZER}{part}/{name}"] = value
        if not torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).all():
            raise self.figures.diverged("a trained parameter is no finite number", self.step)
        return Checkpoint(step=self.step, identity=identity, facts=facts, tensors=tensors | {_GENERATOR: self._drawn})

    @torch.no_grad()
    def resume(self, checkpoint: Checkpoint) -> None:
        """Become the state that `checkpoint` has kept."""
        tensors = checkpoint.tensors
        moments: dict[str, dict[str, torch.Tensor]] = {name: {} for name in self.parameters}
        for name, tensor in tensors.items():
            if name.startswith(_OPTIMIZER):
                part, parameter_name = name.removeprefix(_OPTIMIZER).split("/", 1)
                moments[parameter_name][part] = tensor
        for name, parameter in self.parameters.items():
            parameter.copy_(tensors[f"{_PARAMETER}{name}"])
        groups = self.optimizer.state_dict()["param_groups"]  # these are the stage's settings
        self.optimizer.load_state_dict({"state": dict(enumerate(moments.values())), "param_groups": groups})
        self.generator.set_state(tensors[_GENERATOR])
        self._drawn = self.generator.get_state()
        self.figures.resume(checkpoint.facts)
        self.step = checkpoint.step
