r"""Transformers whose forward and backward pass are both approximate, with a bound on the whole gradient (H, J, K).

The paper takes the forward pass as given (H.3); an exact one costs n² operations. Here attention is approximate in
both directions, so layer i runs on :math:`\tilde T_{i-1} \ne T_{i-1}`. Each array carries a bound E on its distance
from the one of the exact model (`bounded`), and attention adds two things to it:

- the *fresh* error: the distance from exact attention at the approximate operands, by the certificate of `fast_qkv`;
- the *moved* error: how far exact attention moves with its operands, by `perturbation`, where sums over a column of
  the attention matrix are products fᵀ z with z ≥ 0, which the fast code bounds in its turn.

`docs/models.md` derives both and shows how they grow with the number of layers. The layers' code is that of
`transformer`, run on `Bounded` arrays.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np

from reference.bounded import FUNCTION, Bounded, enlarged
from reference.certificate import unit
from reference.fast_qkv import METHODS, Approximation, Method, check_rtol
from reference.loss import Loss
from reference.perturbation import gradient_moved, output_moved
from reference.qkv import QKVGradient, Wording, fast_backward, fast_forward
from reference.shapes import FloatArray, refuse
from reference.transformer import (
    G0,
    Entrywise,
    Layer,
    ModelGradient,
    Step,
    backward_pass,
    checked_g0,
    checked_layers,
    checked_loss,
    forward_pass,
)

__all__ = ["fast_transformer_gradient"]


class Slopes(NamedTuple):
    """Bounds on an activation: |φ′|, |φ″|, and the range of φ′."""

    first: float
    second: float
    range: float


SLOPES = {
    "tanh": Slopes(1, 0.77, 1),  # |φ″| ≤ 4/(3√3) < 0.7699
    "gelu": Slopes(1.13, 0.8, 1.26),  # φ′ within [−0.129, 1.129], |φ″| ≤ 2/√(2π) < 0.798
    "relu": Slopes(1, np.inf, 1),
    "identity": Slopes(1, 0, 0),
}


@dataclass
class Journal:
    """What the layers report, forward and backward."""

    degrees: dict[int, int] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    unknown: bool = False  # whether a function was met of which no bound is known

    def attention(self, i: int, fast: Approximation) -> None:
        self.degrees[i], self.ranks[i], self.errors[i] = fast.degree, fast.rank, fast.relative_error
        if fast.why:
            self.note(i, fast.why)

    def note(self, i: int, reason: str) -> None:
        if f"layer {i}: {reason}" not in self.reasons:
            self.reasons.append(f"layer {i}: {reason}")


class BoundedWording(Wording):
    """Wording that looks at the values of bounded arrays."""

    def finite(self, what: str, array: Any, cure: str = "smaller operands") -> Any:
        super().finite(what, array.value if isinstance(array, Bounded) else array, cure)
        return array


@np.errstate(all="ignore")
def fast_transformer_gradient(
    layers: Sequence[Layer], X: FloatArray, loss: Loss, *, rtol: float, g0: G0 | None = None, method: Method = "paper"
) -> Approximation:
    r"""Gradients of a transformer's loss in time linear in n at fixed ranks, with bounds (4.2, Alg 1, H.4, J.5, K.2).

    .. math:: L(T_m) \;\mapsto\; \frac{dL}{dX},\ \frac{dL}{dT_{i-1}},\ \frac{dL}{dW_{Q_i}},\ \frac{dL}{dW_{K_i}},\
              \frac{dL}{dW_{V_i}},\ \frac{dL}{dW_{g_i}} \quad (i \in [m])

    Operands as in `transformer_gradient`; `rtol` and `method` as in `qkv.fast_attention_vjp`, for every layer at the
    scores of the approximate model. `value` and `bound` are `ModelGradient`s; the bound is on the distance from the
    gradient of the exact model, rounding included. `degree`, `rank` and `relative_error` are tuples, one per layer.

    A bound is infinite, and `why` names the layer, where an activation is a pair of functions (nothing is known of
    their slopes), where a loss has no method `bounded` (see `loss`), and on dL/dX and g0's parameters if g0 is given
    (dL/dT_0 in `layers[0].X` keeps its bound; `loss` and `g0` are taken as exact functions). T_0 is taken as g0
    returns it.

    Cost: for each layer O(n d²), the cost of `qkv.fast_attention`, that of `qkv.fast_attention_vjp`, and once more the
    latter's with "differentiate"; memory O(m n d).

    Raises AltgradError as `transformer_gradient` and `qkv.fast_attention_vjp` do; the message names the layer.

    >>> from reference import Layer, LinearLoss, transformer_gradient
    >>> rng = np.random.default_rng(0)
    >>> X, C = rng.normal(size=(2, 300, 2))
    >>> layers = [Layer(*rng.normal(size=(4, 2, 2)) / 2) for _ in range(2)]
    >>> fast = fast_transformer_gradient(layers, X, LinearLoss(C), rtol=1e-6, method="differentiate")
    >>> exact = transformer_gradient(layers, X, LinearLoss(C))
    >>> bool((np.abs(fast.value.X - exact.X) <= fast.bound.X).all()), bool(fast.bound.X.max() < 1e-2)
    (True, True)
    """
    function = "fast_transformer_gradient"
    if method not in METHODS:
        refuse(function, "method", f"is {method!r}", "one of " + ", ".join(map(repr, METHODS)))
    check_rtol(rtol, function)
    journal = Journal()
    steps = [
        _bounded_step(step, i, rtol, method, journal) for i, step in enumerate(checked_layers(function, layers, X), 1)
    ]
    start, finish = checked_g0(function, g0, X)
    states, attended = forward_pass(steps, Bounded(start()))
    value, g_T, loss_parameters = _loss(function, loss, states[-1], X, journal)  # number, (n, d)
    gradients: Any = backward_pass(steps, states, attended, g_T)
    dX, g0_parameters = finish(gradients[0].X.value)  # (n, d)
    if g0 is not None:
        journal.reasons.append("g0 is given as functions: no bound passes through them")
    through: Any = Bounded(dX, gradients[0].X.error if g0 is None else np.inf)  # (n, d)
    unknown: Any = {name: Bounded(array, np.inf) for name, array in g0_parameters.items()}
    whole = ModelGradient(value, through, gradients, loss_parameters, unknown)
    bound = _each(whole, lambda x: rounded_up(x.error, x.dtype))
    if not journal.unknown:
        _name_overflow(states, bound, journal)
    return Approximation(
        value=_each(whole, lambda x: x.value),
        bound=bound,
        degree=tuple(journal.degrees.values()),
        rank=tuple(journal.ranks.values()),
        relative_error=tuple(journal.errors.values()),
        why="; ".join(journal.reasons),
    )


def _each(gradient: Any, of: Callable[[Bounded], Any]) -> ModelGradient:
    """The same structure with `of` of each of its arrays."""
    return ModelGradient(
        value=float(of(gradient.value)),
        X=of(gradient.X),
        layers=tuple(replace(g, **{k: of(v) for k, v in vars(g).items() if v is not None}) for g in gradient.layers),
        loss={name: of(array) for name, array in gradient.loss.items()},
        g0={name: of(array) for name, array in gradient.g0.items()},
    )


def _name_overflow(states: list[Bounded], bound: ModelGradient, journal: Journal) -> None:
    """Of all bounds that overflowed, name the first: forward, at the loss, backward."""
    for i, T in enumerate(states):
        if not np.isfinite(T.error).all():
            return journal.note(i, "the bound on its output overflows")
    if not np.isfinite([bound.value, *(float(array.max()) for array in bound.loss.values())]).all():
        journal.reasons.append("the bound on the loss or on its parameters' gradients overflows")
    for i, gradient in reversed(list(enumerate(bound.layers, 1))):
        if not all(np.isfinite(array).all() for array in vars(gradient).values() if array is not None):
            return journal.note(i, f"a bound on its gradients overflows {gradient.X.dtype}")
    return None


def _loss(
    function: str, loss: Loss, T: Bounded, X: FloatArray, journal: Journal
) -> tuple[Any, Bounded, dict[str, Any]]:
    """The loss, its cotangent and its parameters' gradients, with the bounds that it knows."""
    value, cotangent, parameters = checked_loss(function, loss, T.value, X)
    if hasattr(loss, "bounded"):
        errors = _checked_errors(function, loss.bounded(T), np.array(value, like=cotangent), cotangent, parameters)
    else:
        journal.reasons.append("the loss has no method `bounded`: nothing is known of how it moves with T")
        journal.unknown = True
        errors = np.inf, np.inf, dict.fromkeys(parameters, np.inf)
    error, cotangent_error, parameter_errors = errors
    return (
        Bounded(np.array(value, like=cotangent), error),
        Bounded(cotangent, cotangent_error),
        {name: Bounded(array, parameter_errors[name]) for name, array in parameters.items()},
    )


def _checked_errors(
    function: str, errors: Any, value: FloatArray, cotangent: FloatArray, parameters: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """What a loss's `bounded` returns, if it has a bound for all that the loss returns."""
    if not isinstance(errors, tuple) or len(errors) != 3:
        refuse(
            function, "bounded of the loss", f"returns {reprlib.repr(errors)}", "bounds on (value, dL/dT, parameters)"
        )
    of_value, of_cotangent, of_parameters = errors
    if not isinstance(of_parameters, dict) or of_parameters.keys() != parameters.keys():
        refuse(function, "bounded of the loss", "has other parameters", f"those of the loss, {sorted(parameters)}")
    return (
        _checked_error(function, "the value", of_value, value),
        _checked_error(function, "dL/dT", of_cotangent, cotangent),
        {name: _checked_error(function, name, of_parameters[name], array) for name, array in parameters.items()},
    )


def _checked_error(function: str, what: str, error: Any, array: Any) -> Any:
    """One of them: a number or an array of the same shape, and nothing below 0; NaN stands for no bound."""
    operand, found = f"the bound on {what} from the loss", np.asarray(error, like=array)
    if found.dtype.kind not in "fiu" or found.shape not in {(), array.shape}:
        got = f"has type {found.dtype}, shape {found.shape}"
        refuse(function, operand, got, f"a real number or an array of shape {array.shape}")
    if (found < 0).any():
        refuse(function, operand, f"has {found.min()}", "nothing below 0")
    return error


# ------------------------------------------------------------------------------------------------------- the layers


def _bounded_step(step: Step, i: int, rtol: float, method: Method, journal: Journal) -> Step:
    """The layer on bounded arrays, with approximate attention."""
    slopes = SLOPES.get(step.layer.activation) if isinstance(step.layer.activation, str) else None
    if slopes is None:
        journal.note(i, "its activation is a pair of functions, nothing is known of their slopes")
        journal.unknown = True
    words = BoundedWording(*step.words)
    attention = Attention(step.layer, words, rtol, method, partial(journal.attention, i))
    return step._replace(
        phi=partial(_phi, step.phi, slopes),
        phi_prime=partial(_phi_prime, step.phi_prime, slopes),
        words=words,
        attend=attention.output,
        attend_vjp=attention.gradient,
    )


def _phi(phi: Entrywise, slopes: Slopes | None, S: Bounded) -> Bounded:
    """φ, which moves by at most max |φ′| times as much as its argument."""
    value = phi(S.value)  # (n, d)
    first = slopes.first if slopes else np.inf
    rounding = 2 * FUNCTION * unit(S.dtype) * np.maximum(S.size, np.abs(value, dtype=np.float64))  # (n, d)
    return Bounded(value, enlarged(_times(first, S.error) + rounding, S.dtype))


def _phi_prime(phi_prime: Entrywise, slopes: Slopes | None, S: Bounded) -> Bounded:
    """φ′, which moves by at most max |φ″| times as much, and not further than its range; relu's only across 0."""
    value = phi_prime(S.value)  # (n, d)
    _, second, range = slopes or Slopes(np.inf, np.inf, np.inf)
    moved = np.where(S.error < S.size, 0, range) if slopes == SLOPES["relu"] else _times(second, S.error)  # (n, d)
    rounding = 4 * FUNCTION * unit(S.dtype) if second else 0
    return Bounded(value, enlarged(np.minimum(moved, range) + rounding, S.dtype))


def _times(slope: float, error: FloatArray) -> FloatArray:
    return slope * error if slope else np.zeros_like(error)  # 0 even where the error is infinite


@dataclass(frozen=True)
class Attention:
    """Approximate attention of a layer's heads on bounded arrays."""

    layer: Layer
    words: Wording
    rtol: float
    method: Method
    report: Callable[[Approximation], None]

    def output(self, Q: Bounded, K: Bounded, V: Bounded) -> Bounded:
        """Attn(T), with the fresh error and the moved one. Shapes: (n, d) each -> (n, d)."""
        Q, K, V = map(self._split, (Q, K, V))  # three of (h, n, d_h)
        fast = fast_forward(Q.value, K.value, V.value, *self._options(Q), self.words)
        self.report(fast)
        return self._joined(fast.value, fast.bound, output_moved(Q, K, V, 1 / Q.shape[-1]))

    def gradient(self, Q: Bounded, K: Bounded, V: Bounded, G: Bounded) -> QKVGradient:
        """Gradients on Q, K, V, with both errors. Shapes: (n, d) each -> three of (n, d)."""
        Q, K, V, G = map(self._split, (Q, K, V, G))  # four of (h, n, d_h)

        def vjp(V: FloatArray, G: FloatArray, method: Method) -> Approximation:
            return fast_backward(Q.value, K.value, V, G, *self._options(Q), method, self.words)

        def column_sums(z: FloatArray) -> FloatArray:
            if not np.isfinite(z).all():
                return np.full_like(z, np.inf)
            size = 2.0 ** min(np.ceil(np.log2(float(z.max()))), 1023)  # or sums may overflow
            rounded = rounded_up(np.nextafter(z / size, np.inf), Q.dtype)  # (h, n, 2 d_h)
            sums = vjp(np.zeros_like(rounded), rounded, "differentiate")
            return size * (sums.value.V.astype(np.float64) + sums.bound.V)  # (h, n, 2 d_h)

        fast = vjp(V.value, G.value, self.method)
        moved = gradient_moved(Q, K, V, G, 1 / Q.shape[-1], column_sums)
        both: Any = map(self._joined, fast.value, fast.bound, moved)  # three of (n, d)
        return QKVGradient(*both)

    def _options(self, Q: Bounded) -> tuple[float, bool, float, None]:
        return 1 / Q.shape[-1], self.layer.causal, self.rtol, None

    def _split(self, x: Bounded) -> Bounded:
        """The heads of an array. Shapes: (n, d) -> (h, n, d_h)."""
        shape = x.shape[0], self.layer.heads, -1
        value, error = (a.reshape(shape).swapaxes(0, 1) for a in (x.value, x.error))  # (h, n, d_h)
        return Bounded(np.ascontiguousarray(value, like=value), error)

    def _joined(self, value: FloatArray, *errors: FloatArray) -> Bounded:
        """Heads side by side, with the sum of the errors. Shapes: (h, n, d_h) each -> (n, d)."""
        error = enlarged(np.stack(errors).sum(axis=0, dtype=np.float64), value.dtype)  # (h, n, d_h)
        shape = value.shape[1], -1
        return Bounded(*(a.swapaxes(0, 1).reshape(shape) for a in (value, error)))  # (n, d)


def rounded_up(bound: FloatArray, dtype: Any) -> FloatArray:
    """The bound in the dtype, not smaller."""
    rounded = bound.astype(dtype)
    return cast("FloatArray", np.where(rounded < bound, np.nextafter(rounded, rounded.dtype.type(np.inf)), rounded))
