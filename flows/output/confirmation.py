"""Having a person say yes before something is done that cannot be undone."""

import sys

from typer import confirm

from model.errors import InputError


def ask(what: str, question: str, *, as_json: bool) -> None:
    """Ask at the terminal. InputError where nobody can be asked, Abort (exit code 1) where they say no."""
    if as_json or not sys.stdin.isatty():
        raise InputError(
            f"{what}: nobody is here to be asked; look at it with --dry-run, then say --yes. Nothing was done"
        )
    confirm(question, abort=True, err=True)
