"""Attention matrices of full rank, and matrices of lower rank that are close to them in every entry."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Any

import flint
import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

from experiments.experiment import REPETITION, Experiment, Panel, Row
from reference.polynomial import exp_polynomial

TOLERANCE = 0.1  # of every weight
MOST_RANGE = 16.0  # beyond it the degree is above any that could pay
BITS = 4096  # of the balls in which a determinant is told from 0


def scores(X: NDArray[Any], B: float) -> NDArray[Any]:
    """Inner products, scaled to reach ±B: (n, n)."""
    S = X @ X.T  # (n, n)
    scaled: NDArray[Any] = B / np.abs(S).max() * S
    return scaled


def weights(A: NDArray[Any]) -> NDArray[Any]:
    """Each row over its sum: (n, n)."""
    divided: NDArray[Any] = A / A.sum(axis=1)[:, None]
    return divided


def regular(S: NDArray[Any]) -> bool:
    """Whether exp(S), and with it f, is of full rank: its determinant, in balls, excludes 0."""
    with flint.ctx.workprec(BITS):
        return not arb_mat([[arb(x).exp() for x in row] for row in S.tolist()]).det().contains(0)


def least_rank(f: NDArray[Any], tolerance: float) -> int:
    """No matrix of lower rank is within `tolerance` of f in every entry, relative to it.

    Such a matrix is within tolerance ‖f‖_F in the Frobenius norm, and what rank k leaves out is at least the root of
    the sum of the squares of the singular values from the (k + 1)-st on.
    """
    s = np.linalg.svd(f, compute_uv=False)  # (n,)
    left = np.sqrt(np.append(np.cumsum(s[::-1] ** 2)[::-1], 0))  # (n + 1,)
    return int(np.argmax(left <= tolerance * left[0]))


def run(*, seed: int, n: int, d: int, bounds: tuple[float, ...], repetitions: int) -> Iterator[Row]:
    """A row for each range of the scores and repetition."""
    for B in bounds:
        P = exp_polynomial(B, TOLERANCE / (2 + TOLERANCE)) if B <= MOST_RANGE else None
        for r in range(repetitions):
            X = np.random.default_rng((seed, r)).standard_normal((n, d))
            S = scores(X / np.linalg.norm(X, axis=1)[:, None], B)  # points of a sphere: near keys have large scores
            f = weights(np.exp(S - S.max(axis=1)[:, None]))  # (n, n)
            yield {
                "B": B,
                REPETITION: r,
                "regular": int(regular(S)),
                "degree": P and P.degree,
                "rank/n": P and comb(d + P.degree, P.degree) / n,
                "largest error of a weight": P and float(np.abs(weights(P(S)) / f - 1).max()),
                "least rank/n": least_rank(f, TOLERANCE) / n,
            }


EXPERIMENT = Experiment(
    name="full-rank",
    title="Attention of full rank",
    question="Attention matrices f of 120 points on a sphere in 3 dimensions, with scores scaled to reach ±B. Is f of"
    " full rank (“regular”, by the determinant in balls), and is there a polynomial of the scores that gives every"
    " weight within a tenth of itself, at a rank below n? “Least rank” is a lower bound, by singular values, for any"
    " matrix that is so close in every entry.",
    notes="rank/n is binom(d + g, g)/n at the least degree g whose Chebyshev polynomial is within the tolerance on"
    " ±B. The matrix is approximated, not decomposed: nothing is assumed of its rank, and most of its singular values"
    " are small though none is 0. What is assumed is that scores are bounded. As B grows f turns into the identity,"
    " and no matrix of much lower rank is close to that in every entry, by whatever method.",
    run=run,
    small={"n": 24, "d": 2, "bounds": (1.0, 64.0), "repetitions": 2},
    full={"n": 120, "d": 3, "bounds": (0.5, 1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0), "repetitions": 5},
    setting=("B",),
    measured=("regular", "degree", "rank/n", "largest error of a weight", "least rank/n"),
    panels=(Panel("B", "rank/n"), Panel("B", "least rank/n", log="x")),
)
