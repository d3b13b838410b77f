"""How every test session runs: the profile of Hypothesis, and no skip that is not expected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import Phase, settings

# How a skip's reason begins: why that skip is right.
EXPECTED_SKIPS: dict[str, str] = {"no CUDA device": "tests/test_gpu_device.py needs one, and most machines have none"}
if not os.environ.get("ALTGRAD_BROWSER"):  # set where both are known to be there
    EXPECTED_SKIPS |= {
        "no browser": "tests/test_browser.py needs Chromium and its driver, which are the system's",
        "no site": "tests/test_browser.py looks at the site where `make docs` has built it",
    }

# No deadline: how long an example takes says nothing about whether a statement holds.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
# For `altgrad audit`: that a test fails is all it asks, so nothing is made smaller.
settings.register_profile("mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("ci" if os.environ.get("CI") else "default")


def _skips(config: pytest.Config) -> list[tuple[str, str, bool]]:
    """Where and why each skip happened, and whether it is expected.

    They are those that the terminal counts: unlike the report hooks of this file, it hears of every folder.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None, "without the terminal's reports no skip would be noticed"
    reports = reporter.stats.get("skipped", [])
    skips = [(report.nodeid, report.longrepr[2].removeprefix("Skipped: ")) for report in reports]
    return [(where, reason, reason.startswith(tuple(EXPECTED_SKIPS))) for where, reason in skips]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):  # one of several processes: the session that started it counts
        return
    unexpected = not all(expected for _, _, expected in _skips(session.config))
    if unexpected and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skips = _skips(config)
    terminalreporter.write_line(f"skipped: {len(skips)} (expected {sum(expected for _, _, expected in skips)})")
    for where, reason, expected in skips:
        if not expected:
            terminalreporter.write_line(f"unexpected skip: {where}: {reason}", red=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str], AbstractContextManager[Path]]:
    """Folders that all processes of this session have in common, each for one process at a time."""
    own = tmp_path_factory.getbasetemp()
    base = own if worker_id == "master" else own.parent

    @contextmanager
    def folder(name: str) -> Iterator[Path]:
        path = base / name
        with FileLock(f"{path}.lock"):
            path.mkdir(exist_ok=True)
            yield path

    return folder
