"""The end of a process in which a thread still waits."""

import os
import subprocess
import sys

from tests.data_project import REPOSITORY

PROGRAM = """
import sys
from flows.cli.app import main
from flows.doctor.diagnosis import diagnosed_at_once

def hang():
    return [sys.stdin.buffer.read()]  # nobody writes: it waits for ever, and holds the lock of the stream

(silence,) = diagnosed_at_once({"a place": hang}, seconds=0.5)
print(silence.found)
sys.argv = ["conceptbooth", *sys.argv[1:]]
main()
"""


def test_a_process_ends_with_its_code_though_a_thread_holds_a_lock_for_ever() -> None:
    """The interpreter's own end would abort, with SIGABRT and without a word of what was found."""
    command = [sys.executable, "-c", PROGRAM, "--version"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
        assert process.wait(timeout=60) == 0
    assert said.startswith("no answer within 0.5 seconds\nconceptbooth ")
