"""How errors grow with the number of layers: measured, by our certificate, by the paper's factor for each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import reference
from experiments.experiment import REPETITION, Experiment, Panel, Row
from reference.polynomial import least_degree


def run(
    *, seed: int, n: int, d: int, heads: int, layers: tuple[int, ...], rtol: float, target: float, repetitions: int
) -> Iterator[Row]:
    """A row for each number of layers, with and without residual connections, and repetition.

    The layers of a longer model continue those of a shorter one.
    """
    for residual in (False, True):
        for r in range(repetitions):
            rng = np.random.default_rng((seed, r))
            X, C = rng.standard_normal((2, n, d))
            Ws = rng.standard_normal((max(layers), 4, d, d)) / d**0.5  # W_Q, W_K, W_V, W_g of each layer
            if residual:
                Ws /= max(layers) ** 0.5  # as deep models begin, or hidden states and scores would explode
            model = [replace(reference.Layer(*W), heads=heads, residual=residual) for W in Ws]
            first, before = 0.0, (0, 0.0, 0.0)  # the error of one layer; m, error and bound of the model before
            for m in layers:
                loss = reference.LinearLoss(C)
                exact = reference.transformer_gradient(model[:m], X, loss).X
                fast = reference.fast_transformer_gradient(model[:m], X, loss, rtol=rtol, method="differentiate")
                size = float(np.abs(exact).max())
                error, bound = float(np.abs(fast.value.X - exact).max()) / size, float(fast.bound.X.max()) / size
                first = first or error
                yield {
                    "residual": "residual" if residual else "no residual",
                    "m": m,
                    REPETITION: r,
                    "error": error,
                    "bound": bound if np.isfinite(bound) else None,
                    "paper": _paper(first, n * d, m),
                    "error per layer": _per_layer(error, before[1], m - before[0]),
                    "bound per layer": _per_layer(bound, before[2], m - before[0]),
                    "rtol for target": min(1.0, rtol * target / error),
                    "degree for target": _degree(rtol * target / error),
                }
                before = m, error, bound


def _paper(first: float, factor: int, m: int) -> float | None:
    """The error of one layer, magnified by n d in each further one; none beyond what a float holds."""
    logarithm = np.log10(first) + (m - 1) * np.log10(factor)
    return float(10**logarithm) if logarithm < 300 else None


def _per_layer(x: float, before: float, layers: int) -> float | None:
    """The factor by which each of the further layers would multiply, if all did the same."""
    return float((x / before) ** (1 / layers)) if before and np.isfinite(x) else None


def _degree(rtol: float) -> int:
    """Of the Chebyshev polynomial for scores within ±1."""
    return least_degree(1.0, min(rtol, 1.0) / (2 + min(rtol, 1.0)))


EXPERIMENT = Experiment(
    name="depth",
    title="Errors and the number of layers",
    question="Models of m layers with two heads, d = 4, 64 rows, Gaussian weights of variance 1/d, tanh, a linear"
    " loss, with and without residual connections (with them the variance is 1/(32 d), as deep models"
    " begin), approximated in every layer, forward and backward, at `rtol` 1e-5. Relative to the largest entry of"
    " dL/dX: **error**, its largest true error; **bound**, altgrad's certificate, which is carried from layer to"
    " layer ([how](../models.md)); **paper**, the error of one layer times (n d)^(m−1), as H.4 multiplies by at most"
    " poly(n) for each layer, with n d, the least factor that its proof of one layer uses.",
    notes="“Per layer” is the factor by which each further layer multiplies what the model of the line before has."
    " Errors are proportional to `rtol` until rounding shows, so that “rtol for target” follows from them: what to"
    " ask of each weight for a relative error of one percent at that m, as measured; “degree for target” is that of"
    " the polynomial for scores within ±1. By the certificate the same target needs `rtol` smaller by bound/error."
    " For Theorem 4.2 this says: with a factor c > 1 for each layer the error after m layers is c^m times a layer's,"
    " which a degree that grows like m log c absorbs; that stays n^{o(1)} in rank for a fixed m, and c = poly(n)"
    " leaves nothing of it for an m that grows with n (`altgrad show 4.2`). A bound that has overflowed is left out.",
    run=run,
    small={"n": 24, "d": 2, "heads": 1, "layers": (1, 2, 4), "rtol": 1e-5, "target": 0.01, "repetitions": 2},
    full={
        "n": 64,
        "d": 4,
        "heads": 2,
        "layers": (1, 2, 4, 8, 16, 32),
        "rtol": 1e-5,
        "target": 0.01,
        "repetitions": 9,
    },
    setting=("residual", "m"),
    measured=("error", "bound", "paper", "error per layer", "bound per layer", "rtol for target", "degree for target"),
    panels=(
        Panel("m", "error", ("residual",)),
        Panel("m", "bound", ("residual",)),
        Panel("m", "paper", ("residual",)),
    ),
)
