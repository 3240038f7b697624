"""How an exception is told where it stops being one: our own by their words, others with where they come from."""

import traceback
from datetime import UTC, datetime

from model.errors import InputError, WorkFailed
from tasks.project.settings import Settings


def error_lines(error: Exception, settings: Settings, name: str) -> tuple[str, ...]:
    """The problems that an exception stands for. One that nobody foresaw is written down in a log called after `name`.

    Call it where the exception is handled.
    """
    if isinstance(error, InputError):
        return error.problems
    if isinstance(error, WorkFailed):
        return (str(error),)
    return (f"unexpected {type(error).__name__}: {error}; {_where_from(settings, name)}",)


def forget_traceback(error: BaseException) -> None:
    """Free what the frames that an exception went through still hold: whoever keeps it would keep a model's gradients.

    Prefect keeps the exceptions of failed runs as long as the process lives. Call it when the exception has been told.
    """
    ahead, seen = [error], set()
    while ahead:
        one = ahead.pop()
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        ahead += [other for other in (one.__cause__, one.__context__) if other and id(other) not in seen]


def _where_from(settings: Settings, name: str) -> str:
    """Write down where the present exception comes from; says where, or shows it where nothing can be written."""
    file = settings.home / "logs" / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
    trace = traceback.format_exc()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(trace, encoding="utf-8")
    except OSError as error:
        return f"its details could not be kept in {file} ({error.strerror}):\n{trace}"
    return f"details in {file}"
