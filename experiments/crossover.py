"""From which n on approximate attention is faster than exact attention: by the clock and by operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.experiment import REPETITION, Experiment, Panel, Row, timed
from proofs_checks.cost import crossover
from reference import qkv
from reference.low_rank import rank
from reference.polynomial import chebyshev, least_degree

MOST_FEATURES = 20_000  # above which no run is made


def run(
    *,
    seed: int,
    lengths: tuple[int, ...],
    dims: tuple[int, ...],
    ranges: tuple[float, ...],
    rtols: tuple[float, ...],
    repetitions: int,
) -> Iterator[Row]:
    """A row for each range of the scores, tolerance, d, n and round. In a round all are timed one after the other."""
    for B, rtol in ((B, rtol) for B in ranges for rtol in rtols):
        g = least_degree(B, rtol / (2 + rtol))
        g += g % 2
        for d in dims:
            if rank(d, g) <= MOST_FEATURES:
                counted = {name: crossover(name, d, g) for name in ("output", "differentiate")}
                for n in lengths:
                    calls = _calls(seed, n, d, B, g)
                    for call in calls:
                        call()
                    for r in range(repetitions):
                        exact, fast, exact_gradient, fast_gradient = (timed(call)[1] for call in calls)
                        yield {
                            "B": B,
                            "rtol": rtol,
                            "degree": g,
                            "d": d,
                            "n": n,
                            REPETITION: r,
                            "exact/fast, output": exact / fast,
                            "exact/fast, gradient": exact_gradient / fast_gradient,
                            "counted n, output": counted["output"],
                            "counted n, gradient": counted["differentiate"],
                        }


def _calls(seed: int, n: int, d: int, B: float, g: int) -> tuple[Callable[[], Any], ...]:
    """Exact and approximate output, exact and approximate gradient, on float32 with scores that reach ±B at most."""
    rng = np.random.default_rng((seed, n, d))
    Q, K, V, dO = rng.standard_normal((4, n, d)).astype(np.float32)
    Q /= np.linalg.norm(Q, axis=1)[:, None]
    K /= np.linalg.norm(K, axis=1)[:, None]
    P = chebyshev(g, 2 * B)  # keys are centred, which moves scores a little: times depend on the degree alone
    return (
        lambda: qkv.attention(Q, K, V, scale=B),
        lambda: qkv.fast_attention(Q, K, V, scale=B, polynomial=P, certify=False),
        lambda: qkv.attention_vjp(Q, K, V, dO, scale=B),
        lambda: qkv.fast_attention_vjp(Q, K, V, dO, scale=B, polynomial=P, method="differentiate", certify=False),
    )


EXPERIMENT = Experiment(
    name="crossover",
    title="From which length it pays",
    question="Exact attention (`reference.qkv`, NumPy in blocks) over the approximate one, output and gradient, in"
    " float32: times of both in the same round, at the even degree that weights within `rtol` of themselves need for"
    " scores within ±B, and for each d. Beside it the n from which the approximate function takes fewer operations,"
    " by the laws that are checked against counts (`altgrad show own/crossover`).",
    notes="A quotient above 1 is where it pays. Operations are counted with the certificate, times are without it,"
    " and from 4,096 rows on compiled loops replace NumPy's, so that the clock crosses at another n than the count. A"
    " combination of more than 20,000 monomials is left out: it would not pay at any n here. Against PyTorch's exact"
    " attention, which is faster than NumPy's, see `versus`.",
    run=run,
    small={"lengths": (256, 1024), "dims": (2,), "ranges": (1.0,), "rtols": (0.1,), "repetitions": 2},
    full={
        "lengths": (256, 512, 1024, 2048, 4096, 8192),
        "dims": (2, 4, 8, 16),
        "ranges": (0.5, 1.0, 2.0),
        "rtols": (0.1, 0.01),
        "repetitions": 5,
    },
    setting=("B", "rtol", "degree", "d", "n"),
    measured=("exact/fast, output", "exact/fast, gradient", "counted n, output", "counted n, gradient"),
    panels=(Panel("n", "exact/fast, output", ("d", "degree")), Panel("n", "exact/fast, gradient", ("d", "degree"))),
)
