"""altgrad's own claim about what the fast functions return: a value, and a bound on its distance from the exact one.

Nothing is taken from the code on trial but the two arrays of floats: balls decide whether the true value lies further
away than the bound allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log2
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

import numpy as np
from flint import arb, arb_series, ctx
from hypothesis.strategies import SearchStrategy

import reference
from proofs_checks import device
from proofs_checks.equation import DIGITS, narrow, of_shape
from proofs_checks.ground_truth import (
    BITS,
    GELU,
    IDENTITY,
    TANH,
    Lifted,
    Rows,
    added,
    applied,
    ball_jacobian,
    balls,
    contracted,
    flipped,
    mixed,
    product,
    scaled,
)  # fmt: skip
from proofs_checks.inequality import exceeds, over
from proofs_checks.instances import Array, Instance, layers, odd_scale, paper_scale, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols, total
from proofs_checks.trial import Counterexample, Extreme
from reference import fast_transformer
from reference.fast_qkv import METHODS, Method
from reference.polynomial import taylor

Pairs = list[tuple[Array, Array]]  # a value and its bound, for each array that is returned

NAMES = ("X", "W", "W_V", "G")
SCALES = (paper_scale, unit_scale, odd_scale)
REACH = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 4.0}  # scores, at most, before the keys are centred
TAYLOR: tuple[dict[str, Any], ...] = ({"polynomial": taylor(2, 1.0)}, {"polynomial": taylor(4, 1.0)})
SETTINGS = {
    np.dtype(np.float32): ({"rtol": 0.1}, {"rtol": 1e-2}, *TAYLOR),
    np.dtype(np.float64): ({"rtol": 0.1}, {"rtol": 1e-3}, {"rtol": 1e-6}, *TAYLOR),
}


@dataclass(frozen=True)
class CertificateTrial(PropertyTrial):
    """|value − true| ≤ bound for every entry of every array that a fast function returns."""

    truth: Callable[[Symbols], list[Array]]
    arrays: tuple[str, ...]

    names: ClassVar[tuple[str, ...]] = NAMES

    def returned(self, claim: Claim, instance: Instance) -> Pairs:
        """What the function on trial returns for the instance."""
        pairs: Pairs = claim(*instance.arrays, scale=float(instance.scale), causal=instance.causal)
        return pairs

    @property
    def scope(self) -> str:
        return (
            "n ≤ 5, d ≤ 3, scores within ±4 in float64 and ±2 in float32, masked and unmasked, degrees for rtol from"
            " 0.1 to 1e-6 (float32: 0.01) and Taylor of degree 2 and 4, all methods; exact values in balls"
        )

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*SCALES, masks=(False, True), max_n=5, max_d=3).map(within_reach)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        for n, d, space, instances in small(NAMES, SCALES, (False, True)):
            yield n, d, space, map(within_reach, instances)

    def sides(self, claim: Claim, instance: Instance) -> Iterator[tuple[str, arb, arb]]:
        """Which entry, how far it is from the true one, how far it may be."""
        pairs = self.returned(claim, instance)
        with ctx.workprec(BITS):
            for name, (value, bound), true in zip(self.arrays, pairs, self.truth(Symbols(instance)), strict=True):
                of_shape(true, value), of_shape(true, bound)
                for index in np.ndindex(true.shape):
                    if not np.isfinite(value[index]) or np.isnan(bound[index]):
                        raise FloatingPointError(f"{name} is {value[index]} with bound {bound[index]}")
                    allowed = arb(float(bound[index]))
                    where = f"entry {tuple(k + 1 for k in index)} of {name}"
                    yield where, narrow(abs(arb(float(value[index])) - true[index])), allowed

    def ratio(self, claim: Claim, instance: Instance) -> float:
        return max(over(measured, allowed) for _, measured, allowed in self.sides(claim, instance))

    def extreme(self, instance: Instance, ratio: float) -> Extreme:
        return Extreme(ratio, instance.listed(self.names), str(instance.scale), instance.causal)

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        for where, measured, allowed in self.sides(claim, instance):
            if exceeds(measured, allowed):
                return Counterexample(
                    operands=instance.listed(self.names),
                    where=f"error of {where}",
                    claimed=f"≤ {allowed.str(DIGITS)}",
                    true=measured.str(DIGITS),
                    arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
                    search=search,
                    python=self.reproduction(claim, instance),
                )
        return None

    def reproduction(self, claim: Claim, instance: Instance) -> tuple[str, ...]:
        """Lines that print the values with their bounds, and the true values."""
        given = "".join(f", {name}={rows}" for name, rows in instance.listed(self.names).items())
        how = f'scale="{instance.scale}", causal={instance.causal}'
        return (
            "import numpy as np; from proofs_checks import certificate as checks",
            "from proofs_checks.symbols import Symbols",
            f"s = Symbols.of({instance.n}, {instance.d}, {how}{given})",
            f"print({self.call(getattr(claim, '__name__', repr(claim)), instance)})",
            f"print(checks.{self.truth.__name__}(s))",
        )

    def call(self, name: str, instance: Instance) -> str:
        """The claim on the operands of s."""
        dtype = instance.operands["X"].dtype
        operands = ", ".join(f'np.array(s.instance.operands["{name}"], "{dtype}")' for name in self.names)
        return f"checks.{name}({operands}, scale={float(instance.scale)}, causal={instance.causal})"


def within_reach(instance: Instance) -> Instance:
    """The instance with W divided by a power of two, so that no score exceeds what the precision reaches."""
    X, W, _, _ = (a.astype(np.float64) for a in instance.arrays)
    lengths = np.linalg.norm(X @ W, axis=1).max() * np.linalg.norm(X, axis=1).max() * abs(float(instance.scale))
    excess = lengths / REACH[instance.operands["X"].dtype]
    power = 2.0 ** -max(0, int(np.ceil(log2(excess)))) if excess > 0 else 1.0
    W_small = (instance.operands["W"] * instance.operands["W"].dtype.type(power)).copy()
    return Instance({**instance.operands, "W": W_small}, instance.scale, instance.causal)


def setting(X: Array) -> tuple[dict[str, Any], Method]:
    """A polynomial or a tolerance, and a method: some for every instance, the same for the same one."""
    choice = int(np.abs(X).sum() * 64) % 4096
    settings = SETTINGS[X.dtype]
    return settings[choice % len(settings)], METHODS[choice // len(settings) % len(METHODS)]


class LayerData(NamedTuple):
    """The weights of a layer and its settings."""

    weights: dict[str, Array]
    heads: int
    causal: bool
    residual: bool
    activation: str


class Model(NamedTuple):
    """A model of one to three layers, and how its gradient is asked for."""

    layers: tuple[LayerData, ...]
    X: Array
    G: Array
    rtol: float
    method: Method


RTOLS = {np.dtype(np.float32): (0.1, 1e-2), np.dtype(np.float64): (0.1, 1e-3, 1e-6)}
WEIGHTS = ("W_Q", "W_K", "W_V", "W_g")
LAST = ("dL/dW_V of layer m", "dL/dW_g of layer m")
SMOOTH = ("tanh", "gelu", "identity")


@dataclass(frozen=True)
class ModelTrial(CertificateTrial):
    """The same for a model of several layers; the layers have the weights and their transposes in turn."""

    names: ClassVar[tuple[str, ...]] = ("X", "W_Q", "W_K", "W_V", "W_g", "G")

    def returned(self, claim: Claim, instance: Instance) -> Pairs:
        pairs: Pairs = claim(model_of(instance))
        return pairs

    @property
    def scope(self) -> str:
        return (
            "m ≤ 3 layers, n ≤ 3, d ≤ 2, entries of X within ±2, row sums of weights within ±1/4, tanh, gelu and the"
            " identity, with and without residual connections, one head and d heads, masked and unmasked, half of the"
            " last layers with scores of 0, ⟨G, T_m⟩ as loss, rtol from 0.1 to 1e-6 (float32: 0.01), all methods;"
            " exact values in balls"
        )

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(paper_scale, masks=(False, True), max_n=3, max_d=2).map(moderate)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        for n, d, space, instances in small(self.names, (paper_scale,), (False, True)):
            yield n, d, space, map(moderate, instances)

    def call(self, name: str, instance: Instance) -> str:
        dtype = instance.operands["X"].dtype
        return f'checks.{name}(checks.model_of(s.instance, "{dtype}"))'


def moderate(instance: Instance) -> Instance:
    """The instance with operands divided by powers of two, so that no layer's scores exceed what is reached."""
    limits = dict.fromkeys(WEIGHTS, 0.25) | {"X": 2.0}
    operands = dict(instance.operands)
    for name, limit in limits.items():
        array = operands[name].astype(np.float64)
        size = float(np.abs(array).max() if name == "X" else np.abs(array).sum(axis=0).max())
        power = 2.0 ** -max(0, int(np.ceil(log2(size / limit)))) if size > 0 else 1.0
        operands[name] = (operands[name] * operands[name].dtype.type(power)).copy()
    return Instance(operands, instance.scale, instance.causal)


def model_of(instance: Instance, dtype: Any = None) -> Model:
    """The model on trial: depth, residuals, heads and activation differ from instance to instance."""
    drawn = {name: a.astype(dtype or a.dtype) for name, a in instance.operands.items()}
    X = drawn["X"]
    choice = int(np.abs(X.astype(np.float64)).sum() * 64) % 4096
    depth, choice = 1 + choice % 3, choice // 3
    residual, choice = bool(choice % 2), choice // 2
    activation, choice = SMOOTH[choice % 3], choice // 3
    heads, choice = (1, X.shape[1])[choice % 2], choice // 2
    weights = {name: drawn[name] for name in WEIGHTS}
    transposed = {name: np.ascontiguousarray(W.T) for name, W in weights.items()}
    layers = tuple(
        LayerData(transposed if i % 2 else weights, heads, instance.causal, residual, activation) for i in range(depth)
    )
    rtols = RTOLS[X.dtype]
    rtol, choice = rtols[choice % len(rtols)], choice // len(rtols)
    method, choice = METHODS[choice % len(METHODS)], choice // len(METHODS)
    if depth > 1 and choice % 2:
        layers = (*layers[:-1], flattened(layers[-1]))
    return Model(layers, X, drawn["G"], rtol, method)


def flattened(layer: LayerData) -> LayerData:
    """The layer with scores of 0, whose attention is exact: all error in it comes from the layers before."""
    return layer._replace(weights=layer.weights | {"W_Q": 0 * layer.weights["W_Q"]})


# --- the claims


def output(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """What `fast_attention` returns."""
    how, _ = setting(X)
    fast = reference.fast_attention(X, W, W_V, scale=scale, causal=causal, **how)
    return [(fast.value, fast.bound)]


def gradient(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """What `fast_attention_gradient` returns."""
    how, method = setting(X)
    fast = reference.fast_attention_gradient(X, W, W_V, G, scale=scale, causal=causal, method=method, **how)
    return [(getattr(fast.value, name), getattr(fast.bound, name)) for name in ("X", "W", "W_V")]


def model_gradient(model: Model) -> Pairs:
    """What `fast_transformer_gradient` returns: the loss, and its gradients on X and on weights of two layers."""
    layers, loss = [*map(layer_of, model.layers)], reference.LinearLoss(model.G)
    fast = reference.fast_transformer_gradient(layers, model.X, loss, rtol=model.rtol, method=model.method)
    some = [
        (getattr(fast.value.layers[i], name), getattr(fast.bound.layers[i], name)) for i, name in gradients_of(model)
    ]
    return [(np.array(fast.value.value), np.array(fast.bound.value)), (fast.value.X, fast.bound.X), *some]


def gradients_of(model: Model) -> list[tuple[int, str]]:
    """Which gradients on weights are tried: all of the first layer, and of the last one those that need no scores."""
    last = len(model.layers) - 1
    return [*((0, name) for name in WEIGHTS), (last, "W_V"), (last, "W_g")]


def layer_of(data: LayerData) -> reference.Layer:
    """The layer as the function takes it."""
    given: dict[str, Any] = data.weights | {k: v for k, v in data._asdict().items() if k != "weights"}
    return reference.Layer(**given)


# --- and the truth


def exact_output(symbols: Symbols) -> list[Array]:
    """f h."""
    return [symbols.s]


def exact_gradient(symbols: Symbols) -> list[Array]:
    """The gradient of ⟨G, f h⟩."""
    return [symbols.dL_dX, symbols.dL_dW, symbols.dL_dW_V]


def exact_model_gradient(symbols: Symbols) -> list[Array]:
    """⟨G, T_m⟩ and its gradients, the coefficients of 1 and of t in the model on power series."""
    model = model_of(symbols.instance)
    weights = {f"{name} {i}": layer.weights[name] for i, layer in enumerate(model.layers) for name in WEIGHTS}
    operands = {"X": balls(model.X)} | {name: balls(W) for name, W in weights.items()}

    def output(lifted: Lifted) -> Rows:
        T = lifted["X"]
        for i, layer in enumerate(model.layers):
            T = layer_on_series(T, {name: lifted[f"{name} {i}"] for name in WEIGHTS}, layer)
        return T

    constant = {name: [[arb_series([x]) for x in row] for row in operand] for name, operand in operands.items()}
    last = np.array([[x[0] for x in row] for row in output(constant)], dtype=object)  # (n, d)
    loss = total((balls(model.G) * last).flat)
    wanted = ["X", *(f"{name} {i}" for i, name in gradients_of(model))]
    gradients = [contracted(balls(model.G), ball_jacobian(output, operands, name)) for name in wanted]
    return [np.array(loss, dtype=object), *gradients]


ACTIVATIONS = {"tanh": TANH, "gelu": GELU, "identity": IDENTITY}


def layer_on_series(T: Rows, weights: Lifted, layer: LayerData) -> Rows:
    """φ(Attn(T) W_g), or Z + φ(Z W_g) with Z = T + Attn(T), head by head from the definitions."""
    Q, K, V = (product(T, weights[name]) for name in ("W_Q", "W_K", "W_V"))
    width = len(T[0]) // layer.heads
    Z: Rows = [[] for _ in T]
    for first in range(0, len(T[0]), width):
        q, k, v = ([row[first : first + width] for row in rows] for rows in (Q, K, V))
        scores = scaled(1 / arb(width), product(q, flipped(k)))
        attended = mixed([[score.exp() for score in row] for row in scores], v, causal=layer.causal)
        Z = [left + right for left, right in zip(Z, attended, strict=True)]
    if layer.residual:
        Z = added(T, Z)
    after = applied(ACTIVATIONS[layer.activation], product(Z, weights["W_g"]))
    return added(Z, after) if layer.residual else after


# --- false variants


def output_quarter(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: a quarter of the bound."""
    return [(value, bound / 4) for value, bound in output(X, W, W_V, G, scale=scale, causal=causal)]


def output_unmasked(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mask forgotten."""
    return output(X, W, W_V, G, scale=scale, causal=False)


def output_of_X(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mean of X for that of X W_V."""
    return output(X, W, np.eye(len(W), dtype=W.dtype), G, scale=scale, causal=causal)


def gradient_eighth(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: an eighth of the bound."""
    return [(value, bound / 8) for value, bound in gradient(X, W, W_V, G, scale=scale, causal=causal)]


def gradient_unmasked(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mask forgotten."""
    return gradient(X, W, W_V, G, scale=scale, causal=False)


def gradient_transposed(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: Wᵀ for W, as in the printed sum of E.11."""
    return gradient(X, np.ascontiguousarray(W.T), W_V, G, scale=scale, causal=causal)


def model_sixteenth(model: Model) -> Pairs:
    """False: a sixteenth of the bound."""
    return [(value, bound / 16) for value, bound in model_gradient(model)]


def model_unmasked(model: Model) -> Pairs:
    """False: the mask forgotten."""
    return model_gradient(model._replace(layers=tuple(layer._replace(causal=False) for layer in model.layers)))


def model_unscaled(model: Model) -> Pairs:
    """False: scores without the factor 1/d_h."""
    width = model.X.shape[1] // model.layers[0].heads

    def unscaled(layer: LayerData) -> LayerData:
        return layer._replace(weights=layer.weights | {"W_Q": width * layer.weights["W_Q"]})

    return model_gradient(model._replace(layers=tuple(map(unscaled, model.layers))))


def model_unmoved(model: Model) -> Pairs:
    """False: as if no attention passed on the errors of its operands."""
    with patch.object(fast_transformer, "output_moved", unmoved):
        return model_gradient(model)


def unmoved(Q: Any, K: Any, V: Any, scale: float) -> Array:
    """No error."""
    return np.zeros(V.shape)


def model_last_layer(model: Model) -> Pairs:
    """False: the gradients of the last layer for those of the first."""
    return model_gradient(model._replace(layers=model.layers[-1:]))


def _part(
    name: str, claim: str, formula: Claim, trial: CertificateTrial, false: dict[str, Claim], *more: Check
) -> Part:
    check = Check(kind="property", claim=formula, trial=trial, false=false)
    return Part(kind="inequality", name=name, claim=claim, forms=(Form(formula=formula, checks=(check, *more)),))


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="own/certificate",
        kind="bound",
        title="The bounds that the fast functions return",
        locus="altgrad; docs/bounds.md, docs/models.md",
        parts=(
            _part(
                "output",
                "|value − Attn(X)| ≤ bound, entry by entry, for fast_attention",
                output,
                CertificateTrial(exact_output, ("the output",)),
                {"a quarter of the bound": output_quarter, "no mask": output_unmasked, "X for X W_V": output_of_X},
            ),
            _part(
                "gradient",
                "|value − gradient| ≤ bound, entry by entry, on X, W and W_V, for fast_attention_gradient",
                gradient,
                CertificateTrial(exact_gradient, ("dL/dX", "dL/dW", "dL/dW_V")),
                {
                    "an eighth of the bound": gradient_eighth,
                    "no mask": gradient_unmasked,
                    "Wᵀ for W": gradient_transposed,
                },
                device.WITHIN,
            ),
            _part(
                "model",
                "|value − exact| ≤ bound, entry by entry, for the loss and the gradients of a model of several layers"
                " whose forward pass is approximate too, for fast_transformer_gradient",
                model_gradient,
                ModelTrial(
                    exact_model_gradient,
                    (
                        "L",
                        "dL/dX",
                        *(f"dL/d{name} of layer 1" for name in WEIGHTS),
                        "dL/dW_V of layer m",
                        "dL/dW_g of layer m",
                    ),
                ),
                {
                    "a sixteenth of the bound": model_sixteenth,
                    "no mask": model_unmasked,
                    "scores without 1/d_h": model_unscaled,
                    "the last layer for all": model_last_layer,
                    "errors not passed on": model_unmoved,
                },
            ),
        ),
        note="Rounding is included: value and bound are as returned, in float32 or float64. On these small layers the"
        " approximation decides; tests/test_certificate.py has those on which the rounding in the bound is needed.",
        related=("own/weights", "own/output", "own/cotangent", "own/moments", "own/differentiate", "own/shift"),
    ),
)
