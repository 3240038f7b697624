"""Cases that stand in tests/: each test is a thing that was tried, and holds if it passes."""

from collections.abc import Iterator, Sequence

import pytest

from benchmarks.hostile.parts import Tried


class _Reports:
    """A plugin of pytest that keeps how each test ended."""

    def __init__(self) -> None:
        self.tried: list[Tried] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and not report.skipped):
            said = "refused, or read as it should be" if report.passed else str(report.longrepr)[-200:]
            self.tried.append(Tried(what=report.nodeid.rpartition("::")[2], held=report.passed, said=said))


def attempts(files: Sequence[str]) -> Iterator[Tried]:
    """Run the tests of these files, from the project's root."""
    reports = _Reports()
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", "--no-summary", *files], plugins=[reports])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):  # a file that is gone tries nothing
        raise RuntimeError(f"pytest could not run {' '.join(files)}: {pytest.ExitCode(code).name}")
    yield from reports.tried
