"""What the commands of all panels share: how one is made, the options that several have, the project around them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from flows.output.console import ReportingCommand

if TYPE_CHECKING:
    from tasks.project.settings import Settings

MOST_SEED = 2**32 - 1


class Panel:
    """Commands that stand together in the help; `commands` is what the command line takes in."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.commands = Typer()

    def command(self, *examples: str, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Make a function a command, whose help ends with these examples; its name is the function's unless given."""

        def make(function: Callable[..., Any]) -> Callable[..., Any]:
            return self.commands.command(
                name,
                cls=ReportingCommand,
                rich_help_panel=self._title,
                help=_paragraphs(function.__doc__ or ""),
                epilog=_shown(examples),
            )(function)

        return make

    def group(self, name: str, help_text: str, *examples: str) -> "Panel":
        """Commands that are called by two words, the first of which is `name`."""
        inner = Panel(self._title)
        self.commands.add_typer(
            inner.commands,
            name=name,
            help=help_text,
            epilog=_shown(examples),
            rich_help_panel=self._title,
            no_args_is_help=True,
        )
        return inner


def _paragraphs(docstring: str) -> str:
    """A docstring without the line breaks of its source, all but the first paragraph's of which Typer would show."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))


def _shown(examples: Iterable[str]) -> str:
    """One a paragraph, because Typer joins the lines of a paragraph."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]conceptbooth {line}[/]" for line in examples)])


def project() -> "Settings":
    """Settings of the project around the current folder, with the libraries' own settings put into the environment."""
    from tasks.project.private import keep_private
    from tasks.project.settings import apply_environment, load_settings

    settings = load_settings()
    apply_environment(settings)
    keep_private(settings.home)
    return settings


def whole_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """The numbers of an option such as `--seeds 0,1`; none if it is not given. BadParameter if one is none."""
    parts = [part.strip() for part in (text or "").split(",")] if text is not None else []
    if wrong := [part for part in parts if not part.isdecimal()]:
        raise BadParameter(f"{option} {text}: {wrong[0]!r} is no whole number; say them as in {option} 0,1")
    return tuple(int(part) for part in parts)


def seed_of(text: str) -> int:
    """The seed that an option gives. BadParameter if it is none; the command line's own reading takes 7.0 for 7."""
    said = str(text)
    if not (said.isascii() and said.isdigit() and len(said) <= 10 and int(said) <= MOST_SEED):
        raise BadParameter(f"{said!r} is no whole number from 0 to {MOST_SEED:,}")
    return int(said)


def complete_concept(incomplete: str) -> list[str]:
    """Names of the project's concepts for the shell; an empty list outside a project."""
    folder = next(
        (p / "data" / "concepts" for p in (Path.cwd(), *Path.cwd().parents) if (p / "params.yaml").is_file()), None
    )
    if folder is None or not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(incomplete) and (p / "concept.yaml").is_file())


AsJson = Annotated[
    bool, Option("--json", help="Print one JSON document for scripts; errors become JSON on standard error.")
]
Verbose = Annotated[bool, Option("--verbose", help="Show what Prefect logs.")]
ConceptNames = Annotated[
    list[str],
    Argument(metavar="NAME", help="Concepts of this project: `conceptbooth list`.", autocompletion=complete_concept),
]
SomeConcepts = Annotated[
    list[str] | None,
    Argument(metavar="NAME", help="Concepts; all if none is named.", autocompletion=complete_concept),
]
TrainedConcept = Annotated[str, Argument(metavar="NAME", help="A trained concept.", autocompletion=complete_concept)]
