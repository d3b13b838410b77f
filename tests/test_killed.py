"""A run that is killed, at whatever moment, loses only what was in flight: the next one goes on and ends the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import planted

ROOT = Path(__file__).parent.parent
IDS = tuple(id for id in planted.ids((*planted.TRUE, *planted.FALSE)) if "C.18" in id or "G.3" in id)
VERIFY = ("verify", *IDS, "--record", "tests.planted", "--json", "out.json", "--seed", "7", "--jobs", "2")
PATIENCE = 60.0  # seconds for what should take a few
ORPHANS = 20.0  # seconds that processes without a parent may live on: the longest job takes a fifth of it
ROUNDS = 4
KEPT = "Interrupted. What was finished is kept: run the command again to go on."


@pytest.fixture(autouse=True, scope="module")
def heeded_interrupts() -> Iterator[None]:
    """Background jobs of a script start with SIGINT ignored, and hand that on to their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "proofs_checks", *(arguments or VERIFY)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str]:
    """Exit status and standard error. All processes that share its output, workers among them, have ended then."""
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise AssertionError(f"processes of {process.args!r} outlive it by more than {seconds} s") from None
    return process.returncode, errors


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for a condition, while the process runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(1 / 100)


def stored(folder: Path) -> dict[Path, int]:
    """The finished results, each with the time at which it was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / ".altgrad" / "shards").glob("*/*.json")}


def outcome(folder: Path) -> bytes:
    return (folder / "out.json").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, shared: Callable[[str], AbstractContextManager[Path]]
) -> Path:
    """A folder in which the command ran to its end."""
    folder = tmp_path_factory.mktemp("undisturbed") / "copy"
    with shared("undisturbed") as first:
        if not (first / "out.json").exists():
            status, errors = finish(start(first))
            assert status in {0, 1}, errors  # by the baseline
        shutil.copytree(first, folder)
    return folder


def kill_at(folder: Path, wanted: int, delay: float) -> None:
    """Start the command, kill it when so many results are stored, or soon after that."""
    before = stored(folder)
    process = start(folder)
    until(lambda: len(stored(folder)) >= wanted, process)
    time.sleep(delay)
    process.kill()
    status, _ = finish(process, ORPHANS)
    assert status == -signal.SIGKILL
    assert not (folder / "out.json").exists()
    assert before.items() <= stored(folder).items()


def test_killed_runs_are_continued(tmp_path: Path, undisturbed: Path) -> None:
    rng = random.Random(0)
    names = {path.name for path in stored(undisturbed)}
    for wanted in sorted(rng.sample(range(1, len(names) // 2), ROUNDS)):  # a kill comes late where cores are busy
        kill_at(tmp_path, wanted, rng.uniform(0, 1 / 20))
    before = stored(tmp_path)
    assert 0 < len(before) < len(names), "the kills came too early or too late to test anything"
    status, errors = finish(start(tmp_path))
    assert status in {0, 1}, errors
    assert before.items() <= stored(tmp_path).items()
    assert {path.name for path in stored(tmp_path)} == names
    assert outcome(tmp_path) == outcome(undisturbed)


def test_finished_run_is_only_read(tmp_path: Path, undisturbed: Path) -> None:
    before = stored(undisturbed), outcome(undisturbed)
    status, errors = finish(start(undisturbed))
    assert status in {0, 1}, errors
    assert (stored(undisturbed), outcome(undisturbed)) == before


@pytest.mark.parametrize("group", [False, True], ids=["process", "terminal"])
def test_interrupted_run_is_continued(tmp_path: Path, undisturbed: Path, group: bool) -> None:
    """Ctrl-C in a terminal reaches the whole process group; workers that are just starting may then say so too."""
    process = start(tmp_path)
    until(lambda: len(stored(tmp_path)) > 0, process)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    status, errors = finish(process, ORPHANS)
    assert status == 130, errors
    said = " ".join(errors.split())
    assert said.endswith(KEPT) if group else said == KEPT
    assert not (tmp_path / "out.json").exists()
    before = stored(tmp_path)
    status, errors = finish(start(tmp_path))
    assert status in {0, 1}, errors
    assert before.items() <= stored(tmp_path).items()
    assert outcome(tmp_path) == outcome(undisturbed)


def test_orphan_that_hangs_ends(tmp_path: Path) -> None:
    """The limit of time is kept by the parent; without one, a claim that hangs must not go on for ever."""
    process = start(tmp_path, "verify", "trouble/hangs", "--record", "tests.planted", "--jobs", "1")
    until(lambda: len(stored(tmp_path)) > 0, process)  # its false variant: the worker now hangs, or is about to
    process.kill()
    status, _ = finish(process, ORPHANS)
    assert status == -signal.SIGKILL


def test_damaged_and_stray_files_do_no_harm(tmp_path: Path, undisturbed: Path) -> None:
    process = start(tmp_path)
    until(lambda: len(stored(tmp_path)) > 2, process)
    process.kill()
    finish(process, ORPHANS)
    torn = min(stored(tmp_path))
    torn.write_text(torn.read_text("utf-8")[:20], "utf-8")
    torn.with_suffix(".tmp").write_text('{"outcome": "supp', "utf-8")
    status, errors = finish(start(tmp_path))
    assert status in {0, 1}, errors
    assert outcome(tmp_path) == outcome(undisturbed)
    assert json.loads(torn.read_text("utf-8"))
