"""The inputs of every comparison, and exact attention of them in float64, in which errors are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]  # "output", "dQ", "dK", "dV" or some of them, (heads, n, d) each

SAMPLE = 256  # rows in which errors are measured, at most
SCORES = 2**28  # of the sampled queries, at most
BLOCK = 2**23  # scores at a time


@dataclass(frozen=True)
class Problem:
    """Q, K ~ N(0, 1)/√d and V, dO ~ N(0, 1), independent, float32, (heads, n, d). Scores are q·k."""

    n: int
    d: int
    heads: int = 1
    causal: bool = False

    @cached_property
    def Q(self) -> NDArray[np.float32]:
        return self._gaussian(0, self.d**-0.5)

    @cached_property
    def K(self) -> NDArray[np.float32]:
        return self._gaussian(1, self.d**-0.5)

    @cached_property
    def V(self) -> NDArray[np.float32]:
        return self._gaussian(2, 1)

    @cached_property
    def dO(self) -> NDArray[np.float32]:
        return self._gaussian(3, 1)

    def _gaussian(self, seed: int, size: float) -> NDArray[np.float32]:
        x = np.random.default_rng(seed).standard_normal((self.heads, self.n, self.d), dtype=np.float32)
        x *= np.float32(size)
        return x


def errors(problem: Problem, approximate: Arrays, exact_keys: int) -> dict[str, float]:
    """‖x − y‖_F/‖x‖_F of each array against exact attention, in sampled rows.

    A row of dK and dV takes all n² scores, one of the output and of dQ only n: beyond n = `exact_keys` the former are
    left out.
    """
    rows, truth = exact(problem, problem.n <= exact_keys and "dK" in approximate)
    return {
        name: float(np.linalg.norm(truth[name] - y[:, rows]) / np.linalg.norm(truth[name]))
        for name, y in approximate.items()
        if name in truth
    }


@lru_cache(maxsize=1)  # the contenders of a comparison are checked one after the other
def exact(problem: Problem, with_keys: bool) -> tuple[NDArray[np.int_], dict[str, NDArray[np.float64]]]:
    """Sampled rows (s,), and in these the output, dQ and `with_keys` dK and dV in float64, (heads, s, d) each."""
    size = max(1, min(problem.n, SAMPLE, SCORES // problem.n))
    rows = np.sort(np.random.default_rng(4).choice(problem.n, size, replace=False))  # (s,)
    heads = [_exact_head(problem, head, rows, with_keys) for head in range(problem.heads)]
    return rows, {name: np.stack([head[name] for head in heads]) for name in heads[0]}


def _exact_head(
    problem: Problem, head: int, rows: NDArray[np.int_], with_keys: bool
) -> dict[str, NDArray[np.float64]]:
    Q, K, V, dO = (x[head].astype(np.float64) for x in (problem.Q, problem.K, problem.V, problem.dO))  # (n, d)
    queries = np.arange(problem.n) if with_keys else rows  # (q,)
    output, dQ = np.empty((len(queries), problem.d)), np.empty((len(queries), problem.d))  # (q, d)
    dK, dV = np.zeros((len(rows), problem.d)), np.zeros((len(rows), problem.d))  # (s, d), whole only `with_keys`
    step = max(1, BLOCK // problem.n)
    for first in range(0, len(queries), step):
        at = slice(first, first + step)
        i = queries[at]  # (b,)
        f = np.exp(Q[i] @ K.T)  # (b, n)
        if problem.causal:
            f[i[:, None] < np.arange(problem.n)] = 0
        f /= f.sum(axis=1, keepdims=True)
        output[at] = f @ V
        p = dO[i] @ V.T  # (b, n)
        p -= (dO[i] * output[at]).sum(axis=1, keepdims=True)
        p *= f
        dQ[at] = p @ K
        dV += f[:, rows].T @ dO[i]
        dK += p[:, rows].T @ Q[i]
    return {"output": output[rows], "dQ": dQ[rows], "dK": dK, "dV": dV} if with_keys else {"output": output, "dQ": dQ}
