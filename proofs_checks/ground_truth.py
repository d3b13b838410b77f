"""What the gradient of an attention layer really is, found in three independent ways.

1. `gradient`: the dense forward pass in autograd's NumPy, differentiated by autograd (reverse mode).
2. `complex_step`: the same forward pass at X + i h E; the imaginary part over h is the derivative along E.
3. `ball_gradient`: the forward pass written apart, on power series whose coefficients are balls of FLINT. The
   coefficient of t in the value at X + t E encloses the derivative along E: rigorous, to as many digits as asked.

That the three agree is a test. Nothing here is imported from `reference`: truth shares no helper with what it judges.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.tracer import getval
from flint import arb, arb_series, ctx
from numpy.typing import NDArray

BITS = 256  # working precision of the balls
STEP = 2.0**-300  # of the complex step: its square is below every rounding, itself far above underflow

OPERANDS = ("X", "W", "W_V")


class Truth(NamedTuple):
    """Gradients of L = ⟨G, Attn(X)⟩."""

    X: NDArray[Any]
    W: NDArray[Any]
    W_V: NDArray[Any]


def forward(X: Any, W: Any, W_V: Any, *, scale: float, causal: bool = False) -> Any:
    """Attention output, dense. The shift is a constant to the differentiation: softmax does not depend on it."""
    scores = scale * anp.dot(anp.dot(X, W), X.T)  # (n, n)
    if causal:
        scores = anp.where(np.tri(len(X), dtype=bool), scores, -np.inf)
    weights = anp.exp(scores - np.max(np.real(getval(scores)), axis=1, keepdims=True))  # (n, n)
    f = weights / anp.sum(weights, axis=1, keepdims=True)  # (n, n)
    return anp.dot(f, anp.dot(X, W_V))


def gradient(X: Any, W: Any, W_V: Any, G: Any, *, scale: float, causal: bool = False) -> Truth:
    """Gradients of ⟨G, forward(X, W, W_V)⟩ in float64 by reverse-mode automatic differentiation."""
    X, W, W_V, G = (np.asarray(a, np.float64) for a in (X, W, W_V, G))

    def loss(X: Any, W: Any, W_V: Any) -> Any:
        return anp.sum(G * forward(X, W, W_V, scale=scale, causal=causal))

    return Truth(*autograd.grad(loss, argnum=(0, 1, 2))(X, W, W_V))


def complex_step(X: Any, W: Any, W_V: Any, G: Any, *, scale: float, causal: bool = False) -> Truth:
    """The same gradients by complex-step differentiation, one forward pass per entry."""
    operands = [np.asarray(a, np.complex128) for a in (X, W, W_V)]

    def derivative(which: int, index: tuple[int, ...]) -> float:
        moved = [a.copy() for a in operands]
        moved[which][index] += 1j * STEP
        value = np.sum(np.asarray(G, np.float64) * forward(*moved, scale=scale, causal=causal))
        return float(value.imag / STEP)

    def entries(which: int) -> NDArray[np.float64]:
        shape = operands[which].shape
        return np.array([derivative(which, index) for index in np.ndindex(shape)]).reshape(shape)

    return Truth(*map(entries, range(3)))


def ball_gradient(
    X: Any,
    W: Any,
    W_V: Any,
    G: Any,
    *,
    scale: Fraction | int,
    causal: bool = False,
    columns: bool = False,
    transposed: bool = False,
) -> Truth:
    """Rigorous enclosures of the same gradients, as object arrays of `arb`. Operands are taken as exact numbers.

    For the conventions that a reader may try, `columns` divides the columns of exp(scores) by their sums instead of
    the rows, and `transposed` makes the output fᵀ h instead of f h.
    """
    operands = [balls(a) for a in (X, W, W_V)]
    cotangent = balls(G)

    def derivative(which: int, index: tuple[int, ...]) -> arb:
        lifted = [[[arb_series([entry]) for entry in row] for row in a.tolist()] for a in operands]
        i, j = index
        lifted[which][i][j] = arb_series([operands[which][index], arb(1)])
        output = _series_forward(lifted, scale, causal, columns, transposed)
        n, d = cotangent.shape
        total: arb = _total(cotangent[i, c] * output[i][c][1] for i in range(n) for c in range(d))
        return total

    def entries(which: int) -> NDArray[Any]:
        result = np.empty(operands[which].shape, dtype=object)
        for index in np.ndindex(result.shape):
            result[index] = derivative(which, index)
        return result

    cap = ctx.cap
    ctx.cap = 2  # value and first derivative
    try:
        with ctx.workprec(BITS):
            return Truth(*map(entries, range(3)))
    finally:
        ctx.cap = cap


def balls(array: Any) -> NDArray[Any]:
    """The same numbers as balls: floats are represented without error, balls are kept. Read-only."""
    exact = np.empty(np.shape(array), dtype=object)
    for index, entry in np.ndenumerate(np.asarray(array)):
        exact[index] = entry if isinstance(entry, arb) else arb(float(entry))
    exact.flags.writeable = False
    return exact


def ball(number: Fraction | int) -> arb:
    """A rational number as a ball, to the working precision."""
    number = Fraction(number)
    return arb(number.numerator) / arb(number.denominator)


def _series_forward(
    operands: list[Any], scale: Fraction | int, causal: bool, columns: bool, transposed: bool
) -> list[list[arb_series]]:
    """softmax(scale · X W Xᵀ) X W_V on nested lists, entry by entry."""
    X, W, W_V = operands
    n, d = len(X), len(W)
    queries = [[_total(X[i][a] * W[a][b] for a in range(d)) for b in range(d)] for i in range(n)]
    values = [[_total(X[j][a] * W_V[a][c] for a in range(d)) for c in range(d)] for j in range(n)]
    tau = arb_series([ball(scale)])
    u = [
        [
            (tau * _total(queries[i][b] * X[j][b] for b in range(d))).exp() if i >= j or not causal else None
            for j in range(n)
        ]
        for i in range(n)
    ]
    kept = [(i, j) for i in range(n) for j in range(n) if u[i][j] is not None]
    line = 1 if columns else 0  # the index that is fixed along a sum of f
    sums = [_total(u[i][j] for i, j in kept if (i, j)[line] == k) for k in range(n)]
    f = {(i, j): u[i][j] / sums[(i, j)[line]] for i, j in kept}
    zero = arb_series([0])
    weights = {(j, i): w for (i, j), w in f.items()} if transposed else f
    return [
        [_total((weights[i, j] * values[j][c] for j in range(n) if (i, j) in weights), zero) for c in range(d)]
        for i in range(n)
    ]


def _total(terms: Any, start: Any = None) -> Any:
    """Sum of numbers that are not Python's."""
    total = start
    for term in terms:
        total = term if total is None else total + term
    return total
