"""Timing by turns, in a process of its own for each comparison, and files of what came out.

In every round each contender is called once, so that what slows the machine down for a while slows all of them down.
A figure is the median over rounds of a ratio within a round. No known tool does this; pyperf keeps the numbers, so
that `python -m pyperf show`, `stats` and `compare_to` read the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyperf
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.problem import Problem, errors
from proofs_checks.recorded import identified

ROOT = Path(__file__).parent.parent
THREADS = 2
ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(THREADS)
) | {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "OPENBLAS_THREAD_TIMEOUT": "4",
}  # waiting threads sleep, or they slow down the next contender
PACKAGES = ("numpy", "numba", "torch", "taylor-series-linear-attention", "performer-pytorch", "nystrom-attention")
SHORT = 1.0  # seconds: a call as short as this is made once more before it is timed, with its own data in the caches


@dataclass(frozen=True)
class Contender:
    """What is timed: `make(problem, **options)` gives the call; `work` is what a call does, in operations or bytes."""

    make: Callable[..., Callable[[], Mapping[str, Any]]]
    problem: Problem
    options: Mapping[str, Any] = field(default_factory=dict)
    work: int = 1

    def call(self) -> Callable[[], Mapping[str, Any]]:
        return self.make(self.problem, **self.options)


@dataclass(frozen=True)
class Measured:
    """One contender's values, a round each (seconds; bytes of memory), its errors and its work."""

    values: tuple[float, ...]
    errors: Mapping[str, float] = field(default_factory=dict)
    work: int = 1
    unit: str = "second"


Results = dict[str, dict[str, Measured]]  # by comparison, then by contender


@dataclass(frozen=True)
class Comparison:
    """Contenders that are measured together: for `budget` seconds, but at least `least` rounds and at most `most`."""

    name: str
    contenders: Mapping[str, Contender]
    budget: float = 10
    least: int = 3
    most: int = 15
    exact_keys: int = 16384  # the largest n at which errors of dK and dV are measured
    measure: Callable[[Comparison], dict[str, Measured]] | None = None  # else by turns


def interleave(comparison: Comparison, clock: Callable[[], float] = perf_counter) -> dict[str, Measured]:
    """The contenders' times, a, b, c, a, b, c, …, after one call of each that is not timed but checked for errors."""
    calls = {name: contender.call() for name, contender in comparison.contenders.items()}
    found = {}
    for name, contender in comparison.contenders.items():
        value = calls[name]()
        found[name] = errors(contender.problem, value, comparison.exact_keys) if value else {}
        del value
    check_threads()
    times: dict[str, list[float]] = {name: [] for name in calls}
    start, rounds = clock(), 0
    while rounds < comparison.least or (rounds < comparison.most and clock() - start < comparison.budget):
        for name, call in calls.items():
            if rounds and times[name][-1] < SHORT:
                call()
            times[name].append(timed(call, clock))
        rounds += 1
    return {
        name: Measured(tuple(times[name]), found[name], contender.work)
        for name, contender in comparison.contenders.items()
    }


def timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds until the call has returned; letting go of its result is not counted."""
    start = clock()
    value = call()
    end = clock()
    del value
    return end - start


def check_threads() -> None:
    """Refuse a run in which a library of matrix products or loops uses more or fewer threads."""
    wrong = {pool["prefix"]: pool["num_threads"] for pool in threadpool_info() if pool["num_threads"] != THREADS}
    if wrong:
        raise RuntimeError(f"needs {THREADS} threads, and as many cores: got {wrong}")


# --- what is not a time of a call


def peak_memory(comparison: Comparison) -> dict[str, Measured]:
    """The most memory of one call beyond inputs and outputs, in bytes: to be run in a process of its own.

    A first call on a small problem has compiled and loaded what is needed.
    """
    ((name, contender),) = comparison.contenders.items()
    problem = contender.problem
    contender.make(Problem(4096, problem.d), **contender.options)()
    for operand in ("Q", "K", "V", "dO"):
        getattr(problem, operand)
    call, before = contender.call(), _status("VmRSS")
    value = call()
    extra = _status("VmHWM") - before - sum(x.nbytes for x in value.values())
    found = errors(problem, value, comparison.exact_keys)
    return {name: Measured((float(max(extra, 1)),), found, unit="byte")}


def _status(line: str) -> int:
    """A line of this process's status (Linux), in bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (kilobytes,) = (text.split()[1] for text in lines if text.startswith(line + ":"))
    return 1024 * int(kilobytes)


TOGETHER, ALONE, APART = "all cores", "one process", "one process on each core, each all of the work"


def quick_verify(comparison: Comparison) -> dict[str, Measured]:
    """The time of the quick `verify`, of which nothing is stored yet, by all cores and by one process.

    Apart from each other so many processes finish so many whole runs: what these are slower than one is the machine's.
    """
    ways = {TOGETHER: (1, THREADS), ALONE: (1, 1), APART: (THREADS, 1)}  # runs at once, processes of each
    return {
        way: Measured((timed(partial(verify_runs, *how), perf_counter),), work=how[0]) for way, how in ways.items()
    }


def verify_runs(runs: int, jobs: int) -> None:
    """So many runs at once, each in a folder of its own."""
    command = [sys.executable, "-m", "proofs_checks", "verify", "--jobs", str(jobs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(runs)]
        started = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) for folder in folders
        ]
        failed = [run.wait() for run in started]  # all end before their folders go
        if any(failed):
            raise RuntimeError("a run of verify failed")


# --- a process for each comparison


def in_own_process(comparison: Comparison) -> dict[str, Measured]:
    """Measure in a fresh process, which has the environment before it imports anything."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(_measure, comparison).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measure(comparison: Comparison) -> dict[str, Measured]:
    with threadpool_limits(THREADS):
        return (comparison.measure or interleave)(comparison)


# --- files


def machine() -> dict[str, str | int]:
    """What the numbers depend on; `sources` tells the code of altgrad that was measured."""
    collected = pyperf.Run([1.0]).get_metadata()
    names = ("cpu_model_name", "cpu_count", "python_version", "date")
    installed = {distribution.name for distribution in metadata.distributions()}
    versions = {f"version_{name}": metadata.version(name) for name in PACKAGES if name in installed}
    about = {name: collected[name] for name in names if name in collected} | versions
    return about | {"threads": THREADS, "sources": identified("reference.qkv")}


def save(results: Results, machines: Mapping[str, Mapping[str, str | int]], file: Path) -> None:
    """Write results, with the machine of each comparison."""
    suite = []
    for comparison, contenders in results.items():
        for contender, measured in contenders.items():
            own = {"comparison": comparison, "contender": contender, "work": measured.work, "unit": measured.unit}
            found = {f"error_{name}": error for name, error in measured.errors.items()}
            about = {"name": f"{comparison}: {contender}", **own, **found, **machines[comparison]}
            suite.append(pyperf.Benchmark([pyperf.Run(measured.values, metadata=about, collect_metadata=False)]))
    file.parent.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite(suite).dump(str(file), replace=True)


def load(file: Path) -> tuple[Results, dict[str, dict[str, str | int]]]:
    """Read results, and the machine of each comparison."""
    results: Results = {}
    machines: dict[str, dict[str, str | int]] = {}
    for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
        about = dict(benchmark.get_metadata())
        comparison, contender = about.pop("comparison"), about.pop("contender")
        found = {name.removeprefix("error_"): about.pop(name) for name in list(about) if name.startswith("error_")}
        values, work, unit = benchmark.get_values(), about.pop("work"), about.pop("unit")
        results.setdefault(comparison, {})[contender] = Measured(tuple(values), found, work, unit)
        del about["name"]
        machines[comparison] = about
    return results, machines


def ratio(numerator: Measured, denominator: Measured) -> tuple[float, ...]:
    """One for each round."""
    return tuple(a / b for a, b in zip(numerator.values, denominator.values, strict=True))


def summary(figures: tuple[float, ...]) -> tuple[float, float, float]:
    """The median, and the quartiles as the spread."""
    lower, median, upper = np.quantile(figures, (0.25, 0.5, 0.75))
    return float(median), float(lower), float(upper)
