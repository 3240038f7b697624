"""The ways in which work ends badly: the input is wrong, the work itself failed, or what it stands on did."""


class InputError(ValueError):
    """What was asked for cannot be done; no work was started. Holds every problem that was found."""

    def __init__(self, *problems: str) -> None:
        """Each problem is one sentence that names the thing, its value and the way out."""
        super().__init__(*problems)
        self.problems: tuple[str, ...] = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class SetupError(InputError):
    """Some of the problems are those of the machine or the project, not of a concept: no model, no device."""


class WorkFailed(RuntimeError):
    """The input was right and the work still failed; the message says what is kept and how to go on."""

    def __init__(self, said: str = "", way_out: str = "") -> None:
        """`way_out` is the end of the message; who knows a better one keeps `said` and puts that behind it."""
        super().__init__(f"{said}; {way_out}" if way_out else said)
        self.said = said


class WorldFailed(WorkFailed):
    """A store, a registry or a machine failed: the same work may go well at another time or place."""
