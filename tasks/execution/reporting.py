"""What a stage says while it works: how far it is, and what a person must know. Who listens is decided elsewhere."""

from typing import Protocol


class Reporter(Protocol):
    """A listener."""

    def prepare(self, what: str) -> None:
        """Something without a count begins, such as loading a model; it is over with whatever is told next."""

    def begin(self, title: str, total: int, unit: str) -> None:
        """A piece of work begins: `total` of what `unit` names, such as steps."""

    def advance(self, done: int, note: str = "") -> None:
        """`done` of them are finished; `note` is a figure to show beside, such as the loss."""

    def end(self) -> None:
        """That piece of work is over, finished or not."""

    def tell(self, message: str) -> None:
        """Something is done."""

    def warn(self, message: str) -> None:
        """Something is odd, and the work goes on."""


class Silence:
    """Listens to nothing."""

    def prepare(self, what: str) -> None: ...

    def begin(self, title: str, total: int, unit: str) -> None: ...

    def advance(self, done: int, note: str = "") -> None: ...

    def end(self) -> None: ...

    def tell(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...
