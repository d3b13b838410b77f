"""Bounded entries: the least rank that is close to attention as entries grow, for random and for the worst rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import atanh, comb, log, tanh

import numpy as np
from numpy.typing import NDArray

from experiments.experiment import REPETITION, Experiment, Panel, Row
from experiments.full_rank import weights
from reference.polynomial import least_degree

Matrix = NDArray[np.float64]

EXPONENT = 1.5  # errors are n^(−3/2)
MOST_RANGE = 64.0  # of scores: beyond it the degree is above any that could pay
SLACK = 2.0**-40  # n times it is far beyond the rounding errors of singular values, which are below 1 here

ENTRIES: Mapping[str, Callable[[int], float]] = {  # the largest of X and X W, by d
    "1/2": lambda _: 0.5,
    "1": lambda _: 1.0,
    "√d": lambda d: d**0.5,
    "4": lambda _: 4.0,
}
SCORES: Mapping[str, Callable[[int], float]] = {"X W Xᵀ": lambda _: 1.0, "X W Xᵀ/d": lambda d: 1 / d}


def all_signs(d: int, _: np.random.Generator) -> Matrix:
    """Every vector of d signs: (2^d, d)."""
    return np.array(list(product((-1.0, 1.0), repeat=d)))


def random_signs(d: int, rng: np.random.Generator) -> Matrix:
    """2^d vectors of d signs: (2^d, d)."""
    return rng.choice((-1.0, 1.0), size=(2**d, d))


def uniform(d: int, rng: np.random.Generator) -> Matrix:
    """2^d vectors with entries between −1 and 1: (2^d, d)."""
    return rng.uniform(-1, 1, size=(2**d, d))


ROWS: Mapping[str, Callable[[int, np.random.Generator], Matrix]] = {
    "all signs": all_signs,
    "random signs": random_signs,
    "uniform": uniform,
}


def least_rank(f: Matrix, error: float) -> int:
    """No matrix of lower rank is within `error` of f in every entry: #{k : σ_k(f) > n error} (docs/low_rank.md)."""
    n = len(f)
    s = np.linalg.svd(f, compute_uv=False)  # (n,)
    return int((s > n * (error + SLACK)).sum())


def columns(B: float, d: int, error: float) -> int | None:
    """Of the factors that come within `error` of f by a polynomial, if scores are within ±B (C.13)."""
    return comb(d + (g := least_degree(B, tanh(2 * atanh(error)))), g) if B <= MOST_RANGE else None


def power(X: Matrix, c: float) -> float:
    """log rank/log n of the least rank within n^(−3/2) of f, for the scores c X Xᵀ."""
    S = c * X @ X.T  # (n, n)
    f = weights(np.exp(S - S.max(axis=1)[:, None]))  # (n, n)
    return log(least_rank(f, len(X) ** -EXPONENT)) / log(len(X))


def run(*, seed: int, dims: tuple[int, ...], repetitions: int) -> Iterator[Row]:
    """A row for each kind of scores, size of entries, d and repetition."""
    for scores, R, d, r in product(SCORES, ENTRIES, dims, range(repetitions)):
        rng = np.random.default_rng((seed, d, r))
        c = SCORES[scores](d) * ENTRIES[R](d) ** 2  # W = I
        enough = columns(c * d, d, 2 ** (-EXPONENT * d))
        yield {
            "scores": scores,
            "R": R,
            "d": d,
            REPETITION: r,
            "B": c * d,
            **{kind: power(drawn(d, rng), c) for kind, drawn in ROWS.items()},
            "columns/n": enough and enough / 2**d,
        }


EXPERIMENT = Experiment(
    name="bounded-entries",
    title="Bounded entries, and the rank they leave",
    question="n = 2^d rows, W = I, no entry of X or of X W above R in size, so that no score is above B. The rows are"
    " all vectors of d signs, times R; or as many random ones; or uniform in the cube of half-width R. Scores are"
    " X W Xᵀ, as C.6 and C.13 print them, or X W Xᵀ/d, as 1.2 does. For each kind of rows: the power of n that is"
    " necessary, log rank/log n of the least rank of any matrix within n^(−3/2) of f in every entry, by whatever"
    " method (n times that error bounds the singular values that can be left out).",
    notes="A power that stays away from 0 as n grows is no n^(o(1)). For all signs the singular values are tanh(c)^j,"
    " binom(d, j) times each, with c = R² or R²/d ([why](../low_rank.md)), so that the answer is known beyond these n:"
    " R = 1 without 1/d needs all n columns for ever, and R = √d with 1/d is the same matrix; R = 1 with 1/d needs a"
    " power that tends to 0. Random rows are hardly better. R = 4 with 1/d is within the theorem, since B = 16 for"
    " every n, but that takes far longer sequences than these to show. columns/n is what factors take whose polynomial"
    " is close enough on ±B, for any rows: at these n it is above 1 unless B is far below 1. What is missing is beyond"
    " B = 64.",
    run=run,
    small={"dims": (3, 4, 5), "repetitions": 1},
    full={"dims": (4, 6, 8, 10), "repetitions": 5},
    setting=("scores", "R", "d"),
    measured=("B", *ROWS, "columns/n"),
    panels=tuple(Panel("d", kind, ("scores", "R"), "") for kind in ROWS),
)
