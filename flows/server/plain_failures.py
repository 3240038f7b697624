"""Failures that are no surprise, as Prefect's pages show them: a state with their sentence, and no traceback.

What nobody foresaw keeps its traceback: there it says where to look.
"""

import logging
from typing import TYPE_CHECKING, Any

from model.errors import InputError, WorkFailed

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
_TOLD = "_conceptbooth_told"


def failed(error: InputError | WorkFailed) -> "State[Any]":
    """What a flow returns that fails: who called it gets the error raised, and the pages show its sentence."""
    from prefect.states import Failed

    log_plainly()
    return Failed(message=sentence(error), data=error)


def sentence(error: InputError | WorkFailed) -> str:
    """All that an error says."""
    return "; ".join(error.problems) if isinstance(error, InputError) else str(error)


def log_plainly() -> None:
    """From now on, the logs of runs tell an error of ours once, by its sentence."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Plainly) for each in logger.filters):
            logger.addFilter(_Plainly())


class _Plainly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(error, InputError | WorkFailed):
            return True
        if hasattr(error, _TOLD):
            return False
        setattr(error, _TOLD, True)
        record.msg, record.args, record.exc_info, record.exc_text = sentence(error), (), None, None
        return True
