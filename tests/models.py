"""Models for the tests of transformers, and their gradients by dense formulas on running numbers.

`Running` numbers hold the exact value as a ball and bound what rounding does to the operations that made it
(docs/rounding.md, "The running bound"). The formulas below do the operations of `reference.transformer`, a row's
largest score subtracted and the queries scaled, so that their bound is taken as it is; what they leave open is the
order of sums, which the bound allows, and so the size of the blocks. Two operations differ, both elementary functions:
SciPy's Φ is taken to be good to four units in the last place, and relu and its step round nothing. That the formulas
are the gradient is shown in tests/test_transformer.py, without tolerance, on power series of balls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
from flint import arb
from hypothesis import strategies as st

from proofs_checks.ground_truth import (
    BITS,
    GELU,
    IDENTITY,
    RELU,
    TANH,
    Activation,
    balls,
)
from proofs_checks.running_error import Running, running
from reference import CrossEntropyLoss, Layer, LinearLoss, ModelGradient, SquaredLoss

DTYPES = [np.float32, np.float64]
WEIGHTS = ("W_Q", "W_K", "W_V", "W_g")

Tree = Any  # nested dicts and lists of arrays


# ---------------------------------------------------------------------------------------------------- the test cases


@dataclass(frozen=True, eq=False)
class Case:
    """A model in float64 numbers that its dtype represents."""

    X: Any
    layers: list[Layer]
    loss: str
    of_loss: dict[str, Any]
    labels: Any
    g0: bool = False
    of_g0: dict[str, Any] = field(default_factory=dict)
    dtype: Any = np.float64

    @property
    def operands(self) -> Tree:
        layers = [{name: getattr(layer, name) for name in WEIGHTS} for layer in self.layers]
        return {"X": self.X, "layers": layers, "loss": self.of_loss, "g0": self.of_g0 if self.g0 else {}}

    @property
    def arguments(self) -> tuple[list[Layer], Any, Any]:
        """As the functions take them."""
        cast = map_tree(lambda array: array.astype(self.dtype), self.operands)
        layers = [replace(each, **weights) for each, weights in zip(self.layers, cast["layers"], strict=True)]
        if self.loss == "cross_entropy":
            return layers, cast["X"], CrossEntropyLoss(**cast["loss"], labels=self.labels)
        make: Any = LinearLoss if self.loss == "linear" else SquaredLoss
        return layers, cast["X"], make(**cast["loss"])

    @property
    def keywords(self) -> dict[str, Any]:
        if not self.g0:
            return {"g0": None}
        E, B = (self.of_g0[name].astype(self.dtype) for name in ("E", "B"))
        return {"g0": (lambda X: X @ E + B, lambda X, G: (G @ E.T, {"E": X.T @ G, "B": G}))}


def gaussian(rng: np.random.Generator, n: int, d: int) -> Any:
    return rng.standard_normal((n, d))


def small(rng: np.random.Generator, n: int, d: int) -> Any:
    return 0.3 * rng.standard_normal((n, d))


def zero(rng: np.random.Generator, n: int, d: int) -> Any:
    return np.zeros((n, d))


def repeated_rows(rng: np.random.Generator, n: int, d: int) -> Any:
    return np.repeat(rng.standard_normal((1, d)), n, axis=0)


def rank_one(rng: np.random.Generator, n: int, d: int) -> Any:
    return np.outer(rng.standard_normal(n), rng.standard_normal(d))


def small_integers(rng: np.random.Generator, n: int, d: int) -> Any:
    return rng.integers(-1, 2, (n, d)).astype(float)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x: Any) -> Any:
    return sigmoid(x) * (1 - sigmoid(x))


STYLES = [gaussian, small, zero, repeated_rows, rank_one, small_integers]
PAIR = (sigmoid, sigmoid_prime)
ACTIVATIONS: list[Any] = ["tanh", "gelu", "relu", "identity", PAIR]
LOSSES = ["linear", "squared", "cross_entropy"]


def case(
    n: int = 5,
    d: int = 4,
    m: int = 2,
    *,
    seed: int = 0,
    loss: str = "squared",
    g0: bool = False,
    dtype: Any = np.float64,
    X: Any = gaussian,
    weights: Any = gaussian,
    **layer: Any,
) -> Case:
    """A case whose keywords for layers are one for all layers, or a list with one for each."""
    rng = np.random.default_rng(seed)

    def rounded(array: Any) -> Any:
        return array.astype(dtype).astype(np.float64)

    def weight() -> Any:
        return rounded(weights(rng, d, d) / np.sqrt(d))

    options = [{name: each[i] if isinstance(each, list) else each for name, each in layer.items()} for i in range(m)]
    layers = [Layer(*(weight() for _ in WEIGHTS), **each) for each in options]
    name, shape = {"linear": ("C", (n, d)), "squared": ("target", (n, d)), "cross_entropy": ("W_out", (d, 3))}[loss]
    of_loss, labels = {name: rounded(rng.standard_normal(shape))}, rng.integers(0, 3, n)
    of_g0 = {"E": weight(), "B": rounded(rng.standard_normal((n, d)))}
    return Case(rounded(X(rng, n, d)), layers, loss, of_loss, labels, g0, of_g0, dtype)


def chosen(choose: Callable[[list[Any]], Any], seed: int) -> Case:
    """Any case, by a function that takes one of a list."""
    n, d, m = choose([1, 2, 3, 4, 5]), choose([1, 2, 3, 4]), choose([1, 2, 3])
    both: list[Any] = [False, True]
    heads: list[Any] = [heads for heads in range(1, d + 1) if d % heads == 0]
    each = {"heads": heads, "causal": both, "residual": both, "activation": ACTIVATIONS}
    model: Any = {"loss": LOSSES, "g0": both, "dtype": DTYPES, "X": STYLES, "weights": STYLES}
    layers: Any = {name: [choose(values) for _ in range(m)] for name, values in each.items()}
    return case(n, d, m, seed=seed, **{name: choose(values) for name, values in model.items()}, **layers)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return chosen(lambda values: draw(st.sampled_from(values)), draw(st.integers(0, 2**32 - 1)))


def map_tree(function: Callable[[Any], Any], tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {name: map_tree(function, each) for name, each in tree.items()}
    return [map_tree(function, each) for each in tree] if isinstance(tree, list) else function(tree)


def leaves(tree: Tree, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict):
        return [leaf for key, each in tree.items() for leaf in leaves(each, f"{name}.{key}")]
    if isinstance(tree, list):
        return [leaf for i, each in enumerate(tree, 1) for leaf in leaves(each, f"{name}[{i}]")]
    return [(name, tree)]


def as_tree(gradient: ModelGradient) -> Tree:
    layers = [{name: getattr(layer, name) for name in ("X", *WEIGHTS)} for layer in gradient.layers]
    return {"X": gradient.X, "layers": layers, "loss": gradient.loss, "g0": gradient.g0}


# ------------------------------------------------------------------- the dense formulas, of running numbers and series

TRUE = {
    "tanh": TANH,
    "gelu": GELU,
    "relu": RELU,
    "identity": IDENTITY,
    PAIR: Activation(*PAIR, lambda x: 1 / (1 + (-x).exp())),
}


def phi(activation: Any, S: Any) -> Any:
    true = TRUE[activation]
    return true.phi(S) if isinstance(S.flat[0], Running) else np.frompyfunc(true.series, 1, 1)(S)


def phi_prime(activation: Any, S: Any) -> Any:
    if activation == "tanh":
        e = np.exp(-2 * np.abs(S))
        return 4 * e / ((1 + e) * (1 + e))
    return np.frompyfunc(step, 1, 1)(S) if activation == "relu" else TRUE[activation].phi_prime(S)


def step(x: Running) -> Running:
    """1 above 0, else 0, without rounding; but a number that may be on either side of 0 may have either."""
    doubt = 0.0 if x > x.error or x < -x.error else 1.0
    return Running(arb(int(x > 0)), 1.0, 0.0, doubt, x.format)


def shift(scores: Any, seen: Any) -> Any:
    """The largest score that each row sees; for series none, as any other leaves their softmax as it is. (n, 1)"""
    if not isinstance(scores[0, 0], Running):
        return np.zeros((len(scores), 1), int)
    return np.array([[largest(row[may].tolist())] for row, may in zip(scores, seen == 1, strict=True)], object)


def largest(numbers: list[Running]) -> Running:
    """The largest of what was computed is as near to the exact one as the worst of the numbers is to its own."""
    value = reduce(arb.max, [number.value for number in numbers])
    majorant, drift, floor = np.max([(each.majorant, each.drift, each.floor) for each in numbers], axis=0).tolist()
    return Running(value, majorant, drift, floor, numbers[0].format)


def settled(array: Any) -> Any:
    """The same numbers with the same bounds, kept as absolute errors: what cancelled does not grow any further."""
    if not isinstance(array.flat[0], Running):
        return array
    return np.frompyfunc(lambda x: Running(x.value, float(abs(x.value).upper()), 0.0, x.error, x.format), 1, 1)(array)


def dense_attention(layer: Layer, W: Tree, T: Any) -> tuple[Any, Callable[[Any], list[Any]]]:
    """Attn(T), and the map from the gradient on it to those on T W_Q, T W_K, T W_V."""
    n, d = T.shape
    tau, seen = layer.heads / arb(d), np.tri(n, dtype=int) if layer.causal else np.ones((n, n), int)
    Q, K, V = (settled(T @ W[name]) for name in ("W_Q", "W_K", "W_V"))
    Q = settled(Q * tau)
    heads, f = np.split(np.arange(d), layer.heads), []
    for head in heads:
        scores = settled(Q[:, head] @ K[:, head].T)
        u = np.exp((scores - shift(scores, seen)) * seen) * seen
        f.append(settled(u / u.sum(axis=1, keepdims=True)))

    def gradient(G: Any) -> list[Any]:
        parts = []
        for each, head in zip(f, heads, strict=True):
            mean = (G[:, head] * (each @ V[:, head])).sum(axis=1, keepdims=True)
            P = settled(settled(G[:, head] @ V[:, head].T - mean) * each)
            parts.append((P @ K[:, head] * tau, P.T @ Q[:, head], each.T @ G[:, head]))
        return [settled(np.hstack(each)) for each in zip(*parts, strict=True)]

    return settled(np.hstack([each @ V[:, head] for each, head in zip(f, heads, strict=True)])), gradient


def dense_layer(layer: Layer, W: Tree, T: Any) -> tuple[Any, Callable[[Any], Tree]]:
    """The layer's output, and the map from the gradient on it to all of the layer's gradients."""
    output, through_attention = dense_attention(layer, W, T)
    Z = settled(T + output if layer.residual else output)
    S = settled(Z @ W["W_g"])

    def gradient(g: Any) -> Tree:
        g_S = settled(g * phi_prime(layer.activation, S))
        G = g_S @ W["W_g"].T
        G = settled(g + G if layer.residual else G)
        dQ, dK, dV = through_attention(G)
        dT = dQ @ W["W_Q"].T + dK @ W["W_K"].T + dV @ W["W_V"].T
        of_weights = {"W_Q": T.T @ dQ, "W_K": T.T @ dK, "W_V": T.T @ dV, "W_g": Z.T @ g_S}
        return {"X": settled(G + dT if layer.residual else dT)} | of_weights

    after = phi(layer.activation, S)
    return settled(after + Z if layer.residual else after), gradient


def dense_loss(start: Case, operands: Tree, T: Any) -> tuple[Any, Any, Tree]:
    """The loss, its gradient on T, and on its parameters."""
    if start.loss == "linear":
        return (operands["C"] * T).sum(), operands["C"], {}
    if start.loss == "squared":
        difference = T - operands["target"]
        return (difference * difference / 2).sum(), difference, {}
    W_out, Y_gt = operands["W_out"], np.eye(3, dtype=int)[start.labels]
    Y = settled(T @ W_out)
    Y = Y - shift(Y, np.ones(Y.shape, int))
    u = np.exp(Y)
    error = settled(u / u.sum(axis=1, keepdims=True) - Y_gt)
    return (np.log(u.sum(axis=1)) - Y[Y_gt == 1]).sum(), settled(error @ W_out.T), {"W_out": T.T @ error}


@np.errstate(all="ignore")
def dense(start: Case, operands: Tree, *, gradient: bool = True) -> Tree:
    """Output, loss and gradients: of series only the first two."""
    X, g0 = operands["X"], operands["g0"]
    T, layers = X @ g0["E"] + g0["B"] if start.g0 else X, []
    for layer, W in zip(start.layers, operands["layers"], strict=True):
        T, through_layer = dense_layer(layer, W, T)
        layers.append(through_layer)
    value, g, of_loss = dense_loss(start, operands["loss"], T)
    results: Tree = {"output": T, "value": value}
    if not gradient:
        return results
    of_layers: list[Tree] = []
    for through_layer in reversed(layers):
        of_layers.insert(0, through_layer(g))
        g = of_layers[0]["X"]
    of_g0 = {"E": X.T @ g, "B": g} if start.g0 else {}
    return results | {"X": g @ g0["E"].T if start.g0 else g, "layers": of_layers, "loss": of_loss, "g0": of_g0}


def run(start: Case) -> Tree:
    """The dense formulas of running numbers."""
    return dense(start, map_tree(lambda array: running(balls(array), start.dtype, exact=True), start.operands))


def same(left: Any, right: Any) -> bool:
    """Balls that overlap, and small ones."""
    pairs = list(zip(np.ravel(left), np.ravel(right), strict=True))
    return all(a.overlaps(b) and a.rad() + b.rad() < 2.0 ** (60 - BITS) for a, b in pairs)
