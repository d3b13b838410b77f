r"""How far a computed attention or gradient can be from the exact one: rounding.

Every comparison of floating-point numbers in this project takes its tolerance from here. The derivation, with each
step and constant, is in `docs/rounding.md`; in short:

- The exact output and gradients are sums of products of entries of the operands, of f, and of the scale. Replace
  each entry by its absolute value and every minus by a plus: that sum is the *majorant*. Rounding multiplies each
  product by at most (1 + u)^k, k being the operations on its way to the result, whatever the order of summation,
  with or without fused multiply-add, by the closed form or by reverse-mode differentiation.
- A score of row i carries an absolute error of at most σ_i = γ(2d + 6) · max_j |τ| (|Q||K|ᵀ)_ij, γ(k) = k u/(1 − k u).
  It moves each exponential and each row sum by a factor within e^{±σ_i}; a gradient has at most two of each.
- So computed and exact differ by at most (e^{4 σ_i} (1 + u)^k − 1) times the majorant, row by row of f. The majorant
  itself is computed, from an f that is off by the same factor at most: squaring the factor pays for that.
- Underflow adds at most the dtype's smallest normal number per operation, times the other factors; to σ_i as well.

u is half the dtype's machine epsilon. An exponential counts as eight roundings (four units in the last place).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reference.chain_rule import Gradient
from reference.qkv import QKVGradient

Floats = NDArray[np.float64]


def longest_path(n: int, m: int, d: int, e: int) -> int:
    """Operations between an operand and an entry of the output or gradient, at most (docs/rounding.md, step 3)."""
    return 4 * m + 2 * n + 4 * (d + e) + 60


@np.errstate(over="ignore", invalid="ignore")
def attention_rounding(
    Q: NDArray[Any],
    K: NDArray[Any],
    V: NDArray[Any],
    *,
    scale: float,
    causal: bool = False,
    dtype: DTypeLike | None = None,
    per_operation: int = 1,
) -> Floats:
    """Entrywise bound on the rounding error of softmax(scale · Q Kᵀ) V computed in `dtype` (the operands' by default).

    Shapes: Q (n, d), K (m, d), V (m, e) -> (n, e). `per_operation` is the number of roundings that one operation of
    the formula costs: 1 in real arithmetic, 4 in complex. Cost: O(n m (d + e)).
    """
    dtype = np.result_type(Q) if dtype is None else dtype
    Q, K, V = (np.asarray(a, np.float64) for a in (Q, K, V))
    majorants = np.abs(Q), np.abs(K), np.abs(V)
    error = _Rounding(Q, K, majorants, (Q, K), scale=scale, causal=causal, dtype=dtype, each=per_operation)
    return _bound(error.f() @ np.abs(V) + error.floor(Q, K, V))


@np.errstate(over="ignore", invalid="ignore")
def vjp_rounding(
    Q: NDArray[Any],
    K: NDArray[Any],
    V: NDArray[Any],
    dO: NDArray[Any],
    *,
    scale: float,
    causal: bool = False,
    dtype: DTypeLike | None = None,
    per_operation: int = 1,
) -> QKVGradient:
    """Entrywise bounds on the rounding error of the gradients of ⟨dO, softmax(scale · Q Kᵀ) V⟩ for Q, K and V.

    Shapes: Q (n, d), K (m, d), V (m, e), dO (n, e) -> (n, d), (m, d), (m, e). Cost: O(n m (d + e)).
    """
    dtype = np.result_type(Q) if dtype is None else dtype
    Q, K, V, dO = (np.asarray(a, np.float64) for a in (Q, K, V, dO))
    majorants = np.abs(Q), np.abs(K), np.abs(V)
    error = _Rounding(Q, K, majorants, (Q, K), scale=scale, causal=causal, dtype=dtype, each=per_operation)
    dQ, dK, dV = error.vjp(np.abs(dO))
    floor = error.floor(Q, K, V, dO)
    return QKVGradient(_bound(dQ + floor), _bound(dK + floor), _bound(dV + floor))


@np.errstate(over="ignore", invalid="ignore")
def output_rounding(
    X: NDArray[Any],
    W: NDArray[Any],
    W_V: NDArray[Any],
    *,
    scale: float | None = None,
    causal: bool = False,
    dtype: DTypeLike | None = None,
    per_operation: int = 1,
) -> Floats:
    """Entrywise bound on the rounding error of softmax(scale · X W Xᵀ) X W_V; `scale=None` is 1/d.

    Shapes: X (n, d), W (d, d), W_V (d, d) -> (n, d). Cost: O(n² d).
    """
    dtype = np.result_type(X) if dtype is None else dtype
    X, W, W_V = (np.asarray(a, np.float64) for a in (X, W, W_V))
    error = _layer_rounding(X, W, W_V, scale, causal, dtype, per_operation)
    return _bound(error.f() @ np.abs(X) @ np.abs(W_V) + error.floor(X, X, W, W_V))


@np.errstate(over="ignore", invalid="ignore")
def gradient_rounding(
    X: NDArray[Any],
    W: NDArray[Any],
    W_V: NDArray[Any],
    G: NDArray[Any],
    *,
    scale: float | None = None,
    causal: bool = False,
    dtype: DTypeLike | None = None,
    per_operation: int = 1,
) -> Gradient:
    """Entrywise bounds on the rounding error of the gradients of ⟨G, softmax(scale · X W Xᵀ) X W_V⟩.

    They hold for the closed forms of `input_gradient` and `weight_gradient`, for `attention_gradient` and for
    automatic differentiation. Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> a Gradient. Cost: O(n² d).
    """
    dtype = np.result_type(X) if dtype is None else dtype
    X, W, W_V, G = (np.asarray(a, np.float64) for a in (X, W, W_V, G))
    error = _layer_rounding(X, W, W_V, scale, causal, dtype, per_operation)
    dQ, dK, dV = error.vjp(np.abs(G))
    floor = error.floor(X, X, W, W_V, G)
    return Gradient(
        X=_bound(dQ @ np.abs(W).T + dK + dV @ np.abs(W_V).T + floor),
        W=_bound(np.abs(X).T @ dQ + floor),
        W_V=_bound(np.abs(X).T @ dV + floor),
    )


def _layer_rounding(
    X: Floats, W: Floats, W_V: Floats, scale: float | None, causal: bool, dtype: DTypeLike, each: int
) -> _Rounding:
    """The operands of attention, Q = X W, K = X, V = X W_V, with their majorants |X||W|, |X|, |X||W_V|."""
    majorants = np.abs(X) @ np.abs(W), np.abs(X), np.abs(X) @ np.abs(W_V)
    scale = 1 / X.shape[1] if scale is None else scale
    return _Rounding(X @ W, X, majorants, (X, W, X), scale=scale, causal=causal, dtype=dtype, each=each)


class _Rounding:
    """The pieces that all bounds share: f, the factor e^{8σ_i}(1 + u)^{2k} − 1 of each row, and the majorants."""

    def __init__(
        self,
        Q: Floats,
        K: Floats,
        majorants: tuple[Floats, Floats, Floats],
        in_scores: tuple[Floats, ...],
        *,
        scale: float,
        causal: bool,
        dtype: DTypeLike,
        each: int,
    ) -> None:
        self.abs_Q, self.abs_K, self.abs_V = majorants
        self.tiny, self.scale = float(np.finfo(dtype).tiny), abs(float(scale))
        (n, d), (m, e) = Q.shape, self.abs_V.shape
        allowed = np.tri(n, m, dtype=bool) if causal else np.ones((n, m), dtype=bool)
        scores = np.where(allowed, scale * (Q @ K.T), -np.inf)  # (n, m)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))  # (n, m)
        self.weights = weights / weights.sum(axis=1, keepdims=True)  # (n, m)
        largest = np.where(allowed, self.scale * (self.abs_Q @ self.abs_K.T), 0).max(axis=1)  # (n,)
        u = float(np.finfo(dtype).eps) / 2
        sigma = _gamma(each * (2 * d + 6), u) * largest + self.floor(*in_scores)  # (n,)
        self.factor = np.expm1(8 * sigma + 2 * each * longest_path(n, m, d, e) * u)  # (n,)

    def f(self) -> Floats:
        """Error of f, (n, m)."""
        error: Floats = self.factor[:, None] * self.weights
        return error

    def vjp(self, abs_dO: Floats) -> tuple[Floats, Floats, Floats]:
        """Errors of the gradients for Q, K and V, without underflow."""
        q = abs_dO @ self.abs_V.T  # (n, m)
        mean = (self.weights * q).sum(axis=1, keepdims=True)  # (n, 1)
        p = self.factor[:, None] * self.weights * (q + mean)  # (n, m)
        dQ: Floats = self.scale * p @ self.abs_K  # (n, d)
        dK: Floats = self.scale * p.T @ self.abs_Q  # (m, d)
        dV: Floats = self.f().T @ abs_dO  # (m, e)
        return dQ, dK, dV

    def floor(self, *operands: Floats) -> float:
        """What underflow can add: the smallest normal number times (1 + the sum of |entries|) of every factor."""
        return self.tiny * (1 + self.scale) * float(np.prod([1 + np.abs(a).sum() for a in operands]))


def _bound(error: Floats) -> Floats:
    """No bound is an infinite one: an overflow times zero is not a number."""
    return np.where(np.isnan(error), np.inf, error)


def _gamma(k: int, u: float) -> float:
    """The usual γ_k = k u/(1 − k u) (Higham 2002, section 3.1); infinite where the bound does not exist."""
    return k * u / (1 - k * u) if k * u < 1 else np.inf
