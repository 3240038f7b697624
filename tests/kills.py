"""Processes that are killed (-9) at a step of their work."""

import multiprocessing
import os
import signal
from types import ModuleType


def killed_at(module: ModuleType, step: str, after: bool, work, *arguments) -> None:
    """Do the work in a child that is killed as this function of the module begins, or as it ends."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(module, step, after, work, *arguments))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def _die(module: ModuleType, step: str, after: bool, work, *arguments) -> None:
    real = getattr(module, step)

    def deadly(*given, **named):
        if after:
            real(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, step, deadly)
    work(*arguments)
