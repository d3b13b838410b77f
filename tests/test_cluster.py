"""Runs over a cluster: the same evidence as one process, also when workers are killed; and what is refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from typer.testing import CliRunner

from proofs_checks import cluster as clusters
from proofs_checks import command_line, export, runner
from proofs_checks.cluster import Cluster, cluster
from proofs_checks.runner import Book, Processes, Run, Workers
from proofs_checks.store import Store
from reference.errors import AltgradError
from tests import planted

MODULE = "tests.planted"
IDS = (
    "false/C.18-printed",
    "false/G.3-deviating",
    "true/F.4",
    "true/G.3",
    "trouble/contradiction",
    "trouble/raises-at-six",
)


@pytest.fixture(scope="module")
def two() -> Iterator[Client]:
    """A scheduler with two workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
        yield client


def executed(folder: Path, workers: Workers, ids: tuple[str, ...] = IDS, progress: Any = None) -> Run:
    done = Run(Book.open(MODULE), Store(folder), profile="quick", seed=0)
    done.execute(ids, workers, progress or (lambda done, total: None))
    return done


def as_json(done: Run, ids: tuple[str, ...] = IDS) -> list[Any]:
    return [(e := done.evidence(address)) and e.to_json() for address in done.book.checks(ids)]


def stored(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in folder.rglob("*.json")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process stores."""
    folder = tmp_path_factory.mktemp("alone")
    assert None not in as_json(executed(folder, Processes(1)))
    return stored(folder)


def test_four_processes_store_what_one_stores(tmp_path: Path, alone: dict[str, str]) -> None:
    executed(tmp_path, Processes(4))
    assert stored(tmp_path) == alone


def test_two_workers_store_what_one_process_stores(tmp_path: Path, two: Client, alone: dict[str, str]) -> None:
    executed(tmp_path, Cluster(two))
    assert stored(tmp_path) == alone


def test_a_killed_worker_costs_nothing(tmp_path: Path, two: Client, alone: dict[str, str]) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            os.kill(next(iter(two.run(os.getpid).values())), signal.SIGKILL)

    executed(tmp_path, Cluster(two), progress=kill)
    assert stored(tmp_path) == alone


def test_jobs_that_die_or_do_not_end_cost_themselves_only(
    tmp_path: Path, two: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TIME_LIMIT", 6.0)
    deadly = ("trouble/dies", planted.ids(planted.ENDLESS)[0], "true/answer")
    found = [e["reason"] for e in as_json(executed(tmp_path, Cluster(two), deadly), deadly)]
    assert "the process died" in found[0]
    assert found[1:] == ["no result within 6 s", ""]


def test_a_worker_with_other_code_does_no_job() -> None:
    book = Book.open(MODULE)
    [address] = book.checks(["true/answer"])
    job = runner.Job(address, "shard", "0", "another digest", 0)
    result = clusters.perform_same(MODULE, job)
    assert (result.outcome, result.reason) == ("failed", clusters.OTHER)


@pytest.mark.parametrize("address", ["nonsense", "ftp://there", "tcp://127.0.0.1:9"])
def test_a_scheduler_that_is_not_there_is_refused(address: str) -> None:
    with pytest.raises(AltgradError, match=f"{address} does not answer .*needs the address"), cluster(address, 1):
        pass


def test_a_scheduler_without_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", protocol="tcp") as empty,
        pytest.raises(AltgradError, match="has had no worker for 1 s"),
        cluster(empty.scheduler_address, 1),
    ):
        pass


def test_the_command_starts_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "load_baseline", lambda profile: {})
    arguments = ["verify", "true/answer", "false/answer", "--record", MODULE, "--scheduler", "local", "--jobs", "2"]
    result = CliRunner().invoke(command_line.app, arguments)
    assert result.exit_code == command_line.DIFFERS, result.output
    assert "2 statements: 1 holds as printed, 1 refuted" in result.stdout


def test_the_command_says_that_there_is_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command_line.app, ["verify", "F.4", "--scheduler", "tcp://127.0.0.1:9"])
    assert result.exit_code == command_line.BAD_USAGE
    assert "scheduler: tcp://127.0.0.1:9 does not answer" in result.stderr


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proofs_checks.cluster", None)
    result = CliRunner().invoke(command_line.app, ["verify", "F.4", "--scheduler", "local"])
    assert result.exit_code == command_line.BAD_USAGE
    assert "pip install 'altgrad[cluster]'" in result.stderr
