"""What the gradient of an attention layer really is, found in three independent ways.

1. `gradient`: the dense forward pass in autograd's NumPy, differentiated by autograd (reverse mode).
2. `complex_step`: the same forward pass at X + i h E; the imaginary part over h is the derivative along E.
3. `ball_gradient`: the forward pass written apart, on power series whose coefficients are balls of FLINT. The
   coefficient of t in the value at X + t E encloses the derivative along E: rigorous, to as many digits as asked.

That the three agree is a test. Nothing here is imported from `reference`: truth shares no helper with what it judges.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.tracer import getval
from flint import arb, arb_series, ctx
from numpy.typing import NDArray
from scipy import special

BITS = 256  # working precision of the balls
STEP = 2.0**-300  # of the complex step: its square is below every rounding, itself far above underflow

OPERANDS = ("X", "W", "W_V")


Rows: TypeAlias = list[list[Any]]  # a matrix of power series (or of balls)
Lifted: TypeAlias = dict[str, Rows]  # operands by name


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
    bits: int = BITS,
) -> Truth:
    """Rigorous enclosures of the same gradients, as object arrays of `arb`. Operands are taken as exact numbers.

    For the conventions that a reader may try, `columns` divides the columns of exp(scores) by their sums instead of
    the rows, and `transposed` makes the output fᵀ h instead of f h.
    """
    operands = {"X": balls(X), "W": balls(W), "W_V": balls(W_V)}
    with ctx.workprec(bits):
        tau, cotangent = ball(scale), balls(G)

        def forward(lifted: Lifted) -> Rows:
            X, W, W_V = (lifted[name] for name in OPERANDS)
            return series_attention(X, W, W_V, tau, causal=causal, columns=columns, transposed=transposed)

        jacobians = (ball_jacobian(forward, operands, name, bits) for name in OPERANDS)
        return Truth(*(contracted(cotangent, jacobian) for jacobian in jacobians))


def ball_jacobian(
    forward: Callable[[Lifted], Rows], operands: dict[str, NDArray[Any]], wrt: str, bits: int = BITS
) -> NDArray[Any]:
    """Derivatives of every entry of `forward` with respect to every entry of one operand, enclosed.

    `forward` takes the operands as nested lists of power series and returns rows of power series. The coefficient of
    t in its value at (operand + t E) is the derivative along E. Shapes: output (n, d) -> (n, d) + the operand's shape.
    """
    cap = ctx.cap
    ctx.cap = 2  # value and first derivative
    try:
        with ctx.workprec(bits):
            columns = [_derivative(forward, operands, wrt, index) for index in np.ndindex(operands[wrt].shape)]
    finally:
        ctx.cap = cap
    jacobian = np.empty((*columns[0].shape, len(columns)), dtype=object)
    for k, column in enumerate(columns):
        jacobian[..., k] = column
    return frozen(jacobian.reshape(*columns[0].shape, *operands[wrt].shape))


def _derivative(
    forward: Callable[[Lifted], Rows], operands: dict[str, NDArray[Any]], wrt: str, index: tuple[int, ...]
) -> NDArray[Any]:
    """Derivative of every entry of `forward` with respect to entry `index` of the operand `wrt`."""
    moved = operands[wrt].astype(object)
    moved[index] = arb_series([operands[wrt][index], arb(1)])
    lifted: Lifted = {name: _lift(moved if name == wrt else a) for name, a in operands.items()}
    output = forward(lifted)
    result = np.empty((len(output), len(output[0])), dtype=object)
    for i, c in np.ndindex(result.shape):
        result[i, c] = output[i][c][1]
    return result


def _lift(array: NDArray[Any]) -> Rows:
    return [[x if isinstance(x, arb_series) else arb_series([x]) for x in row] for row in array.tolist()]


def contracted(G: NDArray[Any], jacobian: NDArray[Any]) -> NDArray[Any]:
    """Gradient of ⟨G, output⟩ from the derivatives of every entry of the output."""
    return frozen(np.tensordot(G, jacobian, axes=2))


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, read-only from now on."""
    array.flags.writeable = False
    return array


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


def series_attention(
    X: Rows,
    W: Rows,
    W_V: Rows,
    tau: arb,
    *,
    causal: bool = False,
    columns: bool = False,
    transposed: bool = False,
) -> Rows:
    """softmax(τ · X W Xᵀ) X W_V, entry by entry."""
    u = [[score.exp() for score in row] for row in scaled(tau, product(product(X, W), flipped(X)))]
    return mixed(u, product(X, W_V), causal=causal, columns=columns, transposed=transposed)


def mixed(u: Rows, h: Rows, *, causal: bool = False, columns: bool = False, transposed: bool = False) -> Rows:
    """Sums of the rows of h, weighted by u divided by its row sums."""
    n = len(u)
    kept = [(i, j) for i in range(n) for j in range(n) if i >= j or not causal]
    line = 1 if columns else 0  # the index that is fixed along a sum of f
    sums = [_total(u[i][j] for i, j in kept if (i, j)[line] == k) for k in range(n)]
    f = {(i, j): u[i][j] / sums[(i, j)[line]] for i, j in kept}
    weights = {(j, i): w for (i, j), w in f.items()} if transposed else f
    return [
        [_total((weights[i, j] * h[j][c] for j in range(n) if (i, j) in weights), arb(0)) for c in range(len(h[0]))]
        for i in range(n)
    ]


def product(A: Rows, B: Rows) -> Rows:
    """A B."""
    return [[_total(row[k] * B[k][j] for k in range(len(B))) for j in range(len(B[0]))] for row in A]


def flipped(A: Rows) -> Rows:
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def scaled(tau: arb, A: Rows) -> Rows:
    """τ A."""
    factor = arb_series([tau])
    return [[factor * x for x in row] for row in A]


class Activation(NamedTuple):
    """An entrywise φ, its derivative, and φ on a power series of balls.

    The first two take what formulas are tried on, floats and running numbers; the truth is found from the third.
    """

    phi: Callable[[Any], Any]
    phi_prime: Callable[[Any], Any]
    series: Callable[[Any], Any]


def identity(x: Any) -> Any:
    return x


def one(x: Any) -> Any:
    return 0 * x + 1


def tanh_prime(x: Any) -> Any:
    return 1 - np.tanh(x) * np.tanh(x)


def tanh_series(x: Any) -> Any:
    e = (x + x).exp()
    return (e - 1) / (e + 1)


def normal_cdf(x: Any) -> Any:
    """The normal distribution's Φ."""
    if np.asarray(x).dtype != object:
        return (1 + special.erf(x / np.sqrt(2, dtype=x.dtype))) / 2
    return (1 + np.frompyfunc(lambda entry: entry.erf(), 1, 1)(x / arb(2).sqrt())) / 2


def gelu(x: Any) -> Any:
    return x * normal_cdf(x)


def gelu_prime(x: Any) -> Any:
    turn = np.sqrt(2 * np.pi, dtype=x.dtype) if np.asarray(x).dtype != object else (2 * arb.pi()).sqrt()
    return normal_cdf(x) + x * np.exp(-x * x / 2) / turn


def gelu_series(x: Any) -> Any:
    return x * (1 + (x / arb(2).sqrt()).erf()) / 2


def relu(x: Any) -> Any:
    return (x + abs(x)) / 2


def relu_prime(x: Any) -> Any:
    """1 or 0, away from 0."""
    return (1 + x / abs(x)) / 2


def relu_series(x: Any) -> Any:
    """max(x, 0), without a derivative where x may be 0."""
    if x[0] > 0 or x[0] < 0:
        return x if x[0] > 0 else 0 * x
    return arb_series([x[0].max(arb(0)), arb.nan()])


TANH = Activation(np.tanh, tanh_prime, tanh_series)
GELU = Activation(gelu, gelu_prime, gelu_series)
IDENTITY = Activation(identity, one, identity)
RELU = Activation(relu, relu_prime, relu_series)


def applied(activation: Activation, A: Rows) -> Rows:
    """φ(A)."""
    return [[activation.series(x) for x in row] for row in A]


def added(A: Rows, B: Rows) -> Rows:
    """A + B."""
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(A, B, strict=True)]


def _total(terms: Any, start: Any = None) -> Any:
    """Sum of numbers that are not Python's."""
    total = start
    for term in terms:
        total = term if total is None else total + term
    return total
