"""What an experiment is: a function that gives rows of plain data, and how these are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]  # numbers and words by column; REPETITION tells rows with the same setting apart
Rows = Sequence[Row]

REPETITION = "repetition"


@dataclass(frozen=True)
class Panel:
    """A plot: a measured column over another one, a line for each combination of some columns."""

    x: str
    y: str
    lines: tuple[str, ...] = ()
    log: str = "xy"  # axes with a logarithmic scale


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """`run(seed=…, **parameters)` gives the rows; `small` and `full` are two choices of its parameters.

    Rows that agree in the columns `setting` are repetitions of one measurement: of the columns `measured` the tables
    show the median and, where they differ, the least and the largest.
    """

    name: str
    title: str
    question: str  # what is asked, what is varied, what is held fixed
    notes: str  # how to read it: what the figures do not say
    run: Callable[..., Iterator[Row]]
    small: Mapping[str, Any]
    full: Mapping[str, Any]
    setting: tuple[str, ...]
    measured: tuple[str, ...]
    panels: tuple[Panel, ...]
    needs: tuple[str, ...] = field(default=())  # modules that the extra `experiments` brings


def relative(x: NDArray[Any], y: NDArray[Any]) -> float:
    """‖x − y‖/‖x‖ in the Frobenius norm, in percent."""
    return 100 * float(np.linalg.norm(x - y) / np.linalg.norm(x))


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds it took."""
    start = perf_counter()
    value = call()
    return value, perf_counter() - start


def gaussian(n: int, d: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Q, K ~ N(0, 1)/√d and V ~ N(0, 1), float32, (n, d) each: the inputs of the authors' script."""
    rng = np.random.default_rng((seed, n, d))
    Q, K, V = rng.standard_normal((3, n, d), dtype=np.float32)
    return Q / np.float32(d**0.5), K / np.float32(d**0.5), V
