"""Gradients of several losses through attention, exact and approximate, against automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad
from numpy.typing import NDArray

import reference
from experiments.experiment import REPETITION, Experiment, Panel, Row, relative

Array = NDArray[Any]


def tanh(T: Any) -> Any:
    """A bounded one."""
    return anp.sum(anp.tanh(T))


def cross_entropy(T: Any) -> Any:
    """Of the first column as label."""
    return anp.sum(anp.log(anp.sum(anp.exp(T), axis=1)) - T[:, 0])


def largest_row(T: Any) -> Any:
    """Not a sum over entries or rows: the largest norm of a row, softly."""
    return anp.log(anp.sum(anp.exp(anp.sum(T * T, axis=1))))


LOSSES: Mapping[str, Callable[[Any], Any]] = {
    "Σ tanh": tanh,
    "cross-entropy": cross_entropy,
    "soft largest row": largest_row,
}


def attention(X: Any, W: Array, W_V: Array) -> Any:
    """Softmax attention for automatic differentiation, written apart from `reference`."""
    A = anp.exp(anp.dot(anp.dot(X, W), X.T) / X.shape[1])
    return anp.dot(A / anp.sum(A, axis=1, keepdims=True), anp.dot(X, W_V))


def run(*, seed: int, n: int, d: int, rtols: tuple[float, ...], repetitions: int) -> Iterator[Row]:
    """A row for each loss, tolerance and repetition."""
    for r in range(repetitions):
        rng = np.random.default_rng((seed, r))
        X, (W, W_V) = rng.standard_normal((n, d)), rng.standard_normal((2, d, d)) / d**0.5
        for name, loss in LOSSES.items():
            true = grad(lambda X: loss(attention(X, W, W_V)))(X)  # noqa: B023  # called at once
            output = reference.attention(X, W, W_V)
            G = grad(loss)(output)
            E = output - G  # fixed from here on
            linear, ell2 = _gradient_of(X, W, W_V, G), _gradient_of(X, W, W_V, output - E)
            for rtol in rtols:
                fast = reference.fast_attention_gradient(X, W, W_V, G, rtol=rtol, method="antiderivative")
                yield {
                    "loss": name,
                    "rtol": rtol,
                    REPETITION: r,
                    "linear, %": relative(true, linear),
                    "ℓ2, %": relative(true, ell2),
                    "approximate, %": relative(true, fast.value.X),
                    "error/bound": float((np.abs(fast.value.X - true) / fast.bound.X).max()),
                    "rank/n": fast.rank / n,
                }


def _gradient_of(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    found: Array = reference.attention_gradient(X, W, W_V, G).X
    return found


EXPERIMENT = Experiment(
    name="any-loss",
    title="Any differentiable loss",
    question="The gradient on X of three losses of Attn(X), by automatic differentiation of all of it, beside that of"
    " the linear loss ⟨G, Attn(X)⟩ with G = dL/dAttn, that of ½‖Attn(X) − E‖² with E = Attn(X) − G, and the almost"
    " linear one for the same G with its certificate. One of the losses is no sum over entries or rows.",
    notes="That the three exact gradients are the same is an identity, which `altgrad show` has proved of claim 4;"
    " here it is seen at work, to rounding. The approximate gradient takes G as it is given: G comes from the exact"
    " output here, and where the forward pass is approximate too G is off by what the loss makes of that error."
    " error/bound is the largest over all entries, and must stay below 1.",
    run=run,
    small={"n": 60, "d": 2, "rtols": (1e-2,), "repetitions": 2},
    full={"n": 1000, "d": 4, "rtols": (1e-1, 1e-2, 1e-3, 1e-4), "repetitions": 5},
    setting=("loss", "rtol"),
    measured=("linear, %", "ℓ2, %", "approximate, %", "error/bound", "rank/n"),
    panels=(Panel("rtol", "approximate, %", ("loss",)),),
)
