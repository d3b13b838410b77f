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

from typing import Any, NamedTuple

import numpy as np
from flint import arb
from numpy.typing import DTypeLike, NDArray

from reference.chain_rule import Gradient
from reference.qkv import QKVGradient
from reference.softmax_attention import Array

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


# ------------------------------------------------------- what approximate factors of f and q cost (C.13 to C.16)


def C_13_bound(kappa: Any) -> Any:
    r"""Largest error of f with a polynomial P in place of exp, κ = max P(x)e⁻ˣ / min P(x)e⁻ˣ over all scores x (C.13).

    .. math:: \|\tilde f - f\|_\infty \le \tanh\bigl(\tfrac14 \ln \kappa\bigr)
              = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1} \le \frac{\kappa - 1}{4}

    One key against all others has the odds f/(1 − f); P changes them by a factor of at most κ, and the derivative of
    x ↦ 1/(1 + e⁻ˣ) between x − ½ ln κ and x + ½ ln κ adds up to the most around x = 0.

    >>> float(C_13_bound(9.0))
    0.5
    """
    root = np.sqrt(kappa)
    return (root - 1) / (root + 1)


def C_14_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], h: NDArray[Any]) -> Any:
    r"""Error of s from that of f (C.14).

    .. math:: \|U_1 V_1^\top h(X) - s(X)\|_\infty \le n \|U_1 V_1^\top - f(X)\|_\infty \|h(X)\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), h (n, d) -> number.
    """
    return len(f) * _distance(U1, V1, f) * _largest(h)


def C_15_bound(
    U1: NDArray[Any], V1: NDArray[Any], U2: NDArray[Any], V2: NDArray[Any], f: NDArray[Any], q: NDArray[Any]
) -> Any:
    r"""Error of p1 = f ⊙ q from those of f and q (C.15), with f̃ = U1 V1ᵀ and q̃ = U2 V2ᵀ.

    .. math:: \|\tilde f \odot \tilde q - p_1\|_\infty
              \le \|\tilde f - f\|_\infty \|\tilde q\|_\infty + \|f\|_\infty \|\tilde q - q\|_\infty

    Shapes: U1, V1 (n, k1), U2, V2 (n, k2), f, q (n, n) -> number.
    """
    q_tilde = U2 @ V2.T  # (n, n)
    return _distance(U1, V1, f) * _largest(q_tilde) + _largest(f) * _largest(q_tilde - q)


def C_15_bound_exact_q(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], q: NDArray[Any]) -> Any:
    r"""Error of p1 where U2 V2ᵀ = q exactly (C.15 with U2 = G_i, V2 = h).

    .. math:: \|\tilde f \odot q - p_1\|_\infty \le \|\tilde f - f\|_\infty \|q\|_\infty

    Shapes: U1, V1 (n, k1), f, q (n, n) -> number.
    """
    return _distance(U1, V1, f) * _largest(q)


def C_16_bound(
    U1: NDArray[Any], V1: NDArray[Any], U2: NDArray[Any], V2: NDArray[Any], f: NDArray[Any], q: NDArray[Any]
) -> Any:
    r"""Error of p2 = diag(p1 1_n) f from those of f and q (C.16), with f̃ = U1 V1ᵀ and q̃ = U2 V2ᵀ.

    .. math:: \|\tilde p_2 - p_2\|_\infty \le \bigl( n \|\tilde f - f\|_\infty \|\tilde q\|_\infty
              + \|\tilde q - q\|_\infty \bigr) \|\tilde f\|_\infty + \|q\|_\infty \|\tilde f - f\|_\infty

    Row sums of f̃ ⊙ q̃ − f ⊙ q are those of (f̃ − f) ⊙ q̃ and of f ⊙ (q̃ − q), and the rows of f are weights.

    Shapes: U1, V1 (n, k1), U2, V2 (n, k2), f, q (n, n) -> number.
    """
    f_tilde, q_tilde = U1 @ V1.T, U2 @ V2.T  # (n, n)
    of_f = _largest(f_tilde - f)
    of_sums = len(f) * of_f * _largest(q_tilde) + _largest(q_tilde - q)
    return of_sums * _largest(f_tilde) + _largest(q) * of_f


def C_16_bound_exact_q(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], q: NDArray[Any]) -> Any:
    r"""Error of p2 where U2 V2ᵀ = q exactly (C.16 with U2 = G_i, V2 = h).

    .. math:: \|\tilde p_2 - p_2\|_\infty
              \le \|\tilde f - f\|_\infty \|q\|_\infty \bigl( n \|\tilde f\|_\infty + 1 \bigr)

    Shapes: U1, V1 (n, k1), f, q (n, n) -> number.
    """
    f_tilde = U1 @ V1.T  # (n, n)
    return _largest(f_tilde - f) * _largest(q) * (len(f) * _largest(f_tilde) + 1)


# --------------------------------------------- what an error of f̃ = U1 V1ᵀ does to the gradients (E, F.5, G.4)


def E_2_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], K: NDArray[Any]) -> Any:
    r"""Error of the factors of z6 (E.2).

    .. math:: \|U_6 V_6^\top - z_6(X)\|_\infty \le n \|U_1 V_1^\top - f(X)\|_\infty \|\mathrm{diag}(K)\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), K (n,) -> number.
    """
    return len(f) * _distance(U1, V1, f) * _largest(K)


def E_2_bound_with_K(
    U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], K: NDArray[Any], h: NDArray[Any], G: NDArray[Any]
) -> Any:
    r"""The same, and the error of the factors of z2 (E.7), if K too is made from U1 and V1 (E.2, E.7, repaired).

    With ε the distance of U1 V1ᵀ from f, the inner products are off by at most n d ε ‖h‖ ‖G‖, and f by ε:

    .. math:: \|U_6 V_6^\top - z_6(X)\|_\infty
              \le \epsilon \|K\|_\infty + (1 + \epsilon)\, n d\, \epsilon \|h(X)\|_\infty \|G_i\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), K (n,), h (n, d), G (n, d) -> number.
    """
    epsilon = _distance(U1, V1, f)
    return epsilon * _largest(K) + (1 + epsilon) * h.size * epsilon * _largest(h) * _largest(G)


def E_3_bound(U6: NDArray[Any], V6: NDArray[Any], z6: NDArray[Any], X: NDArray[Any], W: NDArray[Any]) -> Any:
    r"""Error of the term D6 (E.3).

    .. math:: \|\tilde z_6 X W^\top - z_6 X W^\top\|_\infty
              \le d \cdot n \|U_6 V_6^\top - z_6\|_\infty \|X\|_\infty \|W\|_\infty

    Shapes: U6, V6 (n, k6), z6 (n, n), X (n, d), W (d, d) -> number.
    """
    return X.size * _distance(U6, V6, z6) * _largest(X) * _largest(W)


def E_4_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], h: NDArray[Any], G: NDArray[Any]) -> Any:
    r"""Error of the factors of z7 (E.4).

    .. math:: \|U_7 V_7^\top - z_7(X)\|_\infty \le d \|h(X)\|_\infty \|G_i\|_\infty \|U_1 V_1^\top - f(X)\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), h (n, d), G (n, d) -> number.
    """
    return h.shape[1] * _largest(h) * _largest(G) * _distance(U1, V1, f)


def E_5_bound(U7: NDArray[Any], V7: NDArray[Any], z7: NDArray[Any], X: NDArray[Any], W: NDArray[Any]) -> Any:
    r"""Error of the term D7 (E.5).

    .. math:: \|\tilde z_7 X W^\top - z_7 X W^\top\|_\infty
              \le d \cdot n \|U_7 V_7^\top - z_7\|_\infty \|X\|_\infty \|W\|_\infty

    Shapes: U7, V7 (n, k7), z7 (n, n), X (n, d), W (d, d) -> number.
    """
    return X.size * _distance(U7, V7, z7) * _largest(X) * _largest(W)


def E_6_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], G: NDArray[Any], W_V: NDArray[Any]) -> Any:
    r"""Error of the term D8 (E.6).

    .. math:: \|\tilde f G_i W_V^\top - f G_i W_V^\top\|_\infty
              \le d \cdot n \|U_1 V_1^\top - f\|_\infty \|G_i\|_\infty \|W_V\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), G (n, d), W_V (d, d) -> number.
    """
    return G.size * _distance(U1, V1, f) * _largest(G) * _largest(W_V)


def E_7_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], K: NDArray[Any]) -> Any:
    r"""Error of the factors of z2 (E.7).

    .. math:: \|U_9 V_9^\top - z_2(X)\|_\infty \le n \|U_1 V_1^\top - f(X)\|_\infty \|\mathrm{diag}(K)\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), K (n,) -> number.
    """
    return len(f) * _distance(U1, V1, f) * _largest(K)


def E_8_bound(U9: NDArray[Any], V9: NDArray[Any], z2: NDArray[Any], X: NDArray[Any], W: NDArray[Any]) -> Any:
    r"""Error of the term D2 (E.8).

    .. math:: \|\tilde z_2 X W - z_2 X W\|_\infty
              \le d \cdot n \|U_9 V_9^\top - z_2\|_\infty \|X\|_\infty \|W\|_\infty

    Shapes: U9, V9 (n, k9), z2 (n, n), X (n, d), W (d, d) -> number.
    """
    return X.size * _distance(U9, V9, z2) * _largest(X) * _largest(W)


def E_9_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], h: NDArray[Any], G: NDArray[Any]) -> Any:
    r"""Error of the factors of z4 (E.9).

    .. math:: \|U_{10} V_{10}^\top - z_4(X)\|_\infty
              \le d \|U_1 V_1^\top - f(X)\|_\infty \|h(X)\|_\infty \|G_i\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), h (n, d), G (n, d) -> number.
    """
    return h.shape[1] * _distance(U1, V1, f) * _largest(h) * _largest(G)


def E_9_step_4(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], h: NDArray[Any], G: NDArray[Any]) -> Any:
    r"""The norm of an entrywise product: printed as an equality, true as an upper bound (E.9, proof, 4th step).

    .. math:: \|U_1 V_1^\top - f(X)\|_\infty \|G_i h(X)^\top\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), h (n, d), G (n, d) -> number.
    """
    return _distance(U1, V1, f) * _largest(G @ h.T)


def E_10_bound(U10: NDArray[Any], V10: NDArray[Any], z4: NDArray[Any], X: NDArray[Any], W: NDArray[Any]) -> Any:
    r"""Error of the term D4 (E.10).

    .. math:: \|\tilde z_4 X W - z_4 X W\|_\infty
              \le d \cdot n \|U_{10} V_{10}^\top - z_4\|_\infty \|X\|_\infty \|W\|_\infty

    Shapes: U10, V10 (n, k10), z4 (n, n), X (n, d), W (d, d) -> number.
    """
    return X.size * _distance(U10, V10, z4) * _largest(X) * _largest(W)


def E_11_bound(D_tilde: NDArray[Any], D: NDArray[Any]) -> Any:
    r"""Error of the gradient on T: the sum of those of its five terms (E.11).

    .. math:: \sum_{k \in \{2, 4, 6, 7, 8\}} \|\tilde D_k - D_k\|_\infty

    Shapes: D_tilde, D (5, n, d) -> number.
    """
    return sum(_largest(approximate - term) for approximate, term in zip(D_tilde, D, strict=True))


def F_5_bound(
    U3: NDArray[Any],
    V3: NDArray[Any],
    U4: NDArray[Any],
    V4: NDArray[Any],
    p1: NDArray[Any],
    p2: NDArray[Any],
    X: NDArray[Any],
) -> Any:
    r"""Error of the gradient on W (F.5).

    .. math:: n^2 \|X\|_\infty^2 (\|U_3 V_3^\top - p_1\|_\infty + \|U_4 V_4^\top - p_2\|_\infty)

    Shapes: U3, V3 (n, k3), U4, V4 (n, k4), p1, p2 (n, n), X (n, d) -> number.
    """
    return len(X) ** 2 * _largest(X) ** 2 * (_distance(U3, V3, p1) + _distance(U4, V4, p2))


def F_5_bound_scaled(
    U3: NDArray[Any],
    V3: NDArray[Any],
    U4: NDArray[Any],
    V4: NDArray[Any],
    p1: NDArray[Any],
    p2: NDArray[Any],
    X: NDArray[Any],
    scale: Any,
) -> Any:
    r"""The same for scores τ X W Xᵀ, the gradient having the factor τ (F.5, repaired as F.4 is).

    .. math:: |\tau| \, n^2 \|X\|_\infty^2 (\|U_3 V_3^\top - p_1\|_\infty + \|U_4 V_4^\top - p_2\|_\infty)

    Shapes: U3, V3 (n, k3), U4, V4 (n, k4), p1, p2 (n, n), X (n, d) -> number.
    """
    return abs(scale) * F_5_bound(U3, V3, U4, V4, p1, p2, X)


def F_5_last_step_1_printed(
    U3: NDArray[Any],
    V3: NDArray[Any],
    U4: NDArray[Any],
    V4: NDArray[Any],
    p1: NDArray[Any],
    p2: NDArray[Any],
    X: NDArray[Any],
) -> Any:
    r"""Error of the gradient on W as one of two parts, as printed (F.5, proof, chain after Eq. (19), 1st step).

    .. math:: \|X^\top \tilde p_1 X - X^\top p_1 X + X^\top \tilde p_2 X - X^\top p_2 X\|_\infty

    Shapes: U3, V3 (n, k3), U4, V4 (n, k4), p1, p2 (n, n), X (n, d) -> number.
    """
    return _largest(X.T @ (U3 @ V3.T) @ X - X.T @ p1 @ X + X.T @ (U4 @ V4.T) @ X - X.T @ p2 @ X)


def F_5_last_step_1(
    U3: NDArray[Any],
    V3: NDArray[Any],
    U4: NDArray[Any],
    V4: NDArray[Any],
    p1: NDArray[Any],
    p2: NDArray[Any],
    X: NDArray[Any],
) -> Any:
    r"""The same (repaired): p = p1 − p2, so the second part is taken off.

    .. math:: \|X^\top \tilde p_1 X - X^\top p_1 X - (X^\top \tilde p_2 X - X^\top p_2 X)\|_\infty

    Shapes: U3, V3 (n, k3), U4, V4 (n, k4), p1, p2 (n, n), X (n, d) -> number.
    """
    return _largest(X.T @ (U3 @ V3.T) @ X - X.T @ p1 @ X - (X.T @ (U4 @ V4.T) @ X - X.T @ p2 @ X))


def G_4_bound(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], X: NDArray[Any], G: NDArray[Any]) -> Any:
    r"""Error of the gradient on W_V (G.4).

    .. math:: n^2 \|X\|_\infty \|U_1 V_1^\top - f\|_\infty \|G_i\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), X (n, d), G (n, d) -> number.
    """
    return len(X) ** 2 * _largest(X) * _distance(U1, V1, f) * _largest(G)


# --------------------- the same for entries of at most 2^b and ‖U1 V1ᵀ − f‖∞ = ε: what poly(n) stands for


def K_bits(d: int, bits: int) -> int:
    r"""Largest of the inner products K (E.2, proof, 4th step): each is d products of an entry of G and one of s.

    .. math:: \|K\|_\infty \le d \|G\|_\infty \|s\|_\infty \le d^2 \cdot 8^b

    >>> K_bits(2, 1)
    32
    """
    return d**2 * 8**bits


def z_bits(d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the factors of z6, z7, z2 and z4, K exact (E.2, E.4, E.7, E.9).

    .. math:: \|\tilde z_k - z_k\|_\infty \le d^2\, 8^b\, \epsilon

    >>> z_bits(2, 1, 0.5)
    16.0
    """
    return d**2 * 8**bits * epsilon


def z_bits_with_K(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the factors of z6 and z2 with K made from the same factors (E.2, E.7).

    .. math:: \|\tilde z_k - z_k\|_\infty \le d^2\, 8^b\, \epsilon (1 + n (1 + \epsilon))

    >>> z_bits_with_K(3, 2, 1, 0.5)
    88.0
    """
    return z_bits(d, bits, epsilon) * (1 + n * (1 + epsilon))


def D_bits(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the terms D6, D7, D2 and D4, K exact (E.3, E.5, E.8, E.10).

    .. math:: \|\tilde D_k - D_k\|_\infty \le n\, d^3\, 32^b\, \epsilon

    >>> D_bits(3, 2, 1, 0.5)
    384.0
    """
    return n * d**3 * 32**bits * epsilon


def D_bits_with_K(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the terms D6 and D2 with K made from the same factors (E.3, E.8).

    .. math:: \|\tilde D_k - D_k\|_\infty \le n\, d^3\, 32^b\, \epsilon (1 + n (1 + \epsilon))

    >>> D_bits_with_K(3, 2, 1, 0.5)
    2112.0
    """
    return D_bits(n, d, bits, epsilon) * (1 + n * (1 + epsilon))


def D8_bits(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the term D8 (E.6).

    .. math:: \|\tilde D_8 - D_8\|_\infty \le n\, d\, 4^b\, \epsilon

    >>> D8_bits(3, 2, 1, 0.5)
    12.0
    """
    return n * d * 4**bits * epsilon


def g_t_bits(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the gradient on T with K made from the same factors, the scale of the scores at most 1 (E.11).

    That of D8, and twice those of a term with z7 and of one with z6:

    .. math:: \|g_t - dL/dT_{i-1}\|_\infty
              \le n\, d\, 4^b\, \epsilon + 2 n\, d^3\, 32^b\, \epsilon (2 + n (1 + \epsilon))

    >>> g_t_bits(1, 1, 0, 0.5)
    4.0
    """
    of_z7_and_z6 = D_bits(n, d, bits, epsilon) + D_bits_with_K(n, d, bits, epsilon)
    return D8_bits(n, d, bits, epsilon) + 2 * of_z7_and_z6


def g_w_bits(n: int, d: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the gradient on W, p̃1 = f̃ ⊙ q, p̃2 = diag(p̃1 1) f̃, the scale of the scores at most 1 (F.5).

    .. math:: \|g_w - dL/dW\|_\infty \le n^2\, d^2\, 32^b\, \epsilon (2 + n (1 + \epsilon))

    >>> g_w_bits(1, 1, 0, 0.5)
    1.75
    """
    return n**2 * d**2 * 32**bits * epsilon * (2 + n * (1 + epsilon))


def g_v_bits(n: int, bits: int, epsilon: Any) -> Any:
    r"""Error of the gradient on W_V (G.4).

    .. math:: \|g_v - dL/dW_V\|_\infty \le n^2\, 4^b\, \epsilon

    >>> g_v_bits(3, 1, 0.5)
    18.0
    """
    return n**2 * 4**bits * epsilon


# ----------------------------------------------------------------- sharper: factors that can be left out


def z_bound_sharp(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], K: NDArray[Any]) -> Any:
    r"""Error of the factors of z6 and z2 (E.2, E.7) without the factor n: a diagonal matrix adds nothing up.

    .. math:: \|\tilde f\, \mathrm{diag}(K) - f\, \mathrm{diag}(K)\|_\infty \le \|\tilde f - f\|_\infty \|K\|_\infty

    Shapes: U1, V1 (n, k1), f (n, n), K (n,) -> number.
    """
    return _distance(U1, V1, f) * _largest(K)


def D8_bound_sharp(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], G: NDArray[Any], W_V: NDArray[Any]) -> Any:
    r"""Error of a term (E.6; with other names E.3, E.5, E.8, E.10): a sum over a column for n d largest entries.

    .. math:: \|(\tilde f - f) G W_V^\top\|_\infty
              \le \|\tilde f - f\|_\infty \max_c \sum_j |(G W_V^\top)_{jc}|

    Shapes: U1, V1 (n, k1), f (n, n), G (n, d), W_V (d, d) -> number.
    """
    return _distance(U1, V1, f) * _largest(np.abs(G @ W_V.T).sum(axis=0))


def g_w_bound_sharp(
    U3: NDArray[Any],
    V3: NDArray[Any],
    U4: NDArray[Any],
    V4: NDArray[Any],
    p1: NDArray[Any],
    p2: NDArray[Any],
    X: NDArray[Any],
) -> Any:
    r"""Error of the gradient on W (F.5): sums over columns for n times the largest entry, one difference for two.

    .. math:: \|X^\top (\tilde p - p) X\|_\infty \le \|\tilde p - p\|_\infty \Bigl(\max_a \sum_i |X_{ia}|\Bigr)^2

    Shapes: U3, V3 (n, k3), U4, V4 (n, k4), p1, p2 (n, n), X (n, d) -> number.
    """
    return _largest(U3 @ V3.T - U4 @ V4.T - (p1 - p2)) * _largest(np.abs(X).sum(axis=0)) ** 2


def g_v_bound_sharp(U1: NDArray[Any], V1: NDArray[Any], f: NDArray[Any], X: NDArray[Any], G: NDArray[Any]) -> Any:
    r"""Error of the gradient on W_V (G.4): sums over columns for n times the largest entry.

    .. math:: \|X^\top (\tilde f - f)^\top G\|_\infty
              \le \|\tilde f - f\|_\infty \max_a \sum_j |X_{ja}| \max_c \sum_i |G_{ic}|

    Shapes: U1, V1 (n, k1), f (n, n), X (n, d), G (n, d) -> number.
    """
    return _distance(U1, V1, f) * _largest(np.abs(X).sum(axis=0)) * _largest(np.abs(G).sum(axis=0))


def _distance(U: NDArray[Any], V: NDArray[Any], exact: NDArray[Any]) -> Any:
    """‖U Vᵀ − exact‖∞."""
    return _largest(U @ V.T - exact)


def _largest(A: NDArray[Any]) -> Any:
    """‖A‖∞, the largest entry."""
    return np.abs(A).max()


# ---------------------------------------------------------------------- ours, derived in docs/bounds.md
#
# f and f̃ are matrices whose rows are weights, f̃_ij/f_ij = r_ij/R_i with r_ij in [1, κ] and R_i = Σ_j f_ij r_ij, as
# where exp is replaced by a polynomial P with max P(x)e^{−x} / min P(x)e^{−x} = κ; δ = κ − 1. In each bound but
# `differentiated_error` f and f̃ may change places, since 1/r_ij varies by no more than r_ij does.


def weight_error(f: Array, delta: Any) -> Array:
    r"""Entries of f, in proportion (own/weights).

    .. math:: |\tilde f - f|_{ij} \le \delta f_{ij}

    Shapes: f (n, n) -> (n, n). Cost: O(n²).
    """
    return delta * f


def weight_error_sharp(f: Array, delta: Any) -> Array:
    r"""Entries of f (own/weights): nothing moves where one key has all the weight.

    .. math:: |\tilde f - f|_{ij} \le \frac{\delta f_{ij} (1 - f_{ij})}{1 + \delta \min(f_{ij}, 1 - f_{ij})}

    Shapes: f (n, n) -> (n, n). Cost: O(n²).

    >>> weight_error_sharp(np.array([[0.5, 0.5]]), 1.0)  # 2/3 and 1/3 at most
    array([[0.16666667, 0.16666667]])
    """
    return delta * f * (1 - f) / (1 + delta * np.minimum(f, 1 - f))


def total_weight_error(delta: Any) -> Any:
    r"""Weight that moves from some keys of a row to others (own/weights).

    .. math:: \tfrac12 \sum_j |\tilde f - f|_{ij} \le \tanh(\tfrac14 \ln \kappa)
              = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1} = \frac{\delta}{(1 + \sqrt{1 + \delta})^2} \le \frac{\delta}{4}

    >>> float(total_weight_error(3.0))  # from (1/3, 2/3) to (2/3, 1/3)
    0.3333333333333333
    """
    return delta / (1 + np.sqrt(1 + delta)) ** 2


def pair_error(f: Array, delta: Any) -> Array:
    r"""Products of two weights of a row (own/weights).

    .. math:: \sum_{l \ne j} |\tilde f_{ij} \tilde f_{il} - f_{ij} f_{il}| \le \delta f_{ij} (1 - f_{ij})

    Shapes: f (n, n) -> (n, n). Cost: O(n²).
    """
    return delta * f * (1 - f)


def output_error_by_range(h: Array, delta: Any, causal: bool) -> Array:
    r"""The attention output (own/output), by the range of the values over the keys that the mask allows.

    .. math:: |\tilde s - s|_{ic} \le \tanh(\tfrac14 \ln \kappa)\,
              \bigl(\max_j h_{jc} - \min_j h_{jc}\bigr)

    Shapes: h (n, d) -> (n, d). Cost: O(n d).

    >>> output_error_by_range(np.array([[0.0], [6.0]]), 3.0, causal=True)
    array([[0.],
           [2.]])
    """
    low, high = _extremes(h, causal)
    return total_weight_error(delta) * (high - low)


def output_error_by_position(f: Array, h: Array, delta: Any, causal: bool) -> Array:
    r"""The attention output (own/output): one near the end of the range of the values moves less.

    .. math:: |\tilde s - s|_{ic} \le \frac{\delta\, x\, y}{x + y + \delta \min(x, y)}, \qquad
              x = s_{ic} - \min_j h_{jc}, \quad y = \max_j h_{jc} - s_{ic}

    and 0 where x = y = 0; j over the keys that the mask allows. Shapes: f (n, n), h (n, d) -> (n, d). Cost: O(n² d).
    """
    low, high = _extremes(h, causal)
    s = f @ h  # (n, d)
    x, y = s - low, high - s  # (n, d)
    constant = high == low
    return np.where(constant, high - low, delta * x * y / np.where(constant, 1, high - low + delta * np.minimum(x, y)))


def output_error_by_deviation(h_deviation: Array, delta: Any) -> Array:
    r"""The attention output (own/output), by the standard deviation of the values under the weights.

    .. math:: |\tilde s - s|_{ic} \le \frac{\delta}{2 \sqrt\kappa}\, \sigma_{ic}, \qquad
              \sigma_{ic}^2 = \sum_j f_{ij} (h_{jc} - s_{ic})^2

    Shapes: h_deviation (n, d), as `deviation(f, h)` -> (n, d). Cost: O(n d).
    """
    return delta / (2 * np.sqrt(1 + delta)) * h_deviation


def deviation(f: Array, y: Array) -> Array:
    r"""Standard deviation of the columns of y with the weights of each row of f.

    .. math:: \sigma_{ia}^2 = \sum_j f_{ij} \Bigl(y_{ja} - \sum_l f_{il} y_{la}\Bigr)^2

    Shapes: f (n, n), y (n, d) -> (n, d). Cost: O(n² d); f (y ⊙ y) − (f y) ⊙ (f y) is as much, but it cancels.

    >>> deviation(np.array([[0.5, 0.5]]), np.array([[1.0], [3.0]]))
    array([[1.]])
    """
    moved = y[None, :, :] - (f @ y)[:, None, :]  # (n, n, d)
    return np.sqrt((f[:, :, None] * moved * moved).sum(axis=1))  # (n, d)


def mean_error_by_range(q: Array, delta: Any, causal: bool) -> Array:
    r"""The row means K_i = Σ_j f_ij q_ij (own/cotangent), by the range of q_ij over the keys that the mask allows.

    .. math:: |\tilde K - K|_i \le \tanh(\tfrac14 \ln \kappa)\, M_i, \qquad M_i = \max_j q_{ij} - \min_j q_{ij}

    Shapes: q (n, n) -> (n,). Cost: O(n²).
    """
    return total_weight_error(delta) * _ranges(q, causal)


def mean_error_by_deviation(q_deviation: Array, delta: Any) -> Array:
    r"""The row means K_i (own/cotangent), by the standard deviation of q_ij under the weights.

    .. math:: |\tilde K - K|_i \le \frac{\delta}{2 \sqrt\kappa}\, \sigma_i, \qquad
              \sigma_i^2 = \sum_j f_{ij} (q_{ij} - K_i)^2

    Shapes: q_deviation (n,) -> (n,). Cost: O(n).
    """
    return delta / (2 * np.sqrt(1 + delta)) * q_deviation


def cotangent_error(f: Array, q: Array, delta: Any, causal: bool) -> Array:
    r"""The cotangent of the scores (own/cotangent).

    .. math:: |\tilde p - p|_{ij} \le F_{ij} = \delta f_{ij} M_i, \qquad M_i = \max_j q_{ij} - \min_j q_{ij}

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).
    """
    return delta * f * _ranges(q, causal)[:, None]


def cotangent_error_sharp(f: Array, q: Array, delta: Any, causal: bool) -> Array:
    r"""The cotangent of the scores (own/cotangent): as `pair_error`; M_ij ≤ M_i is the largest distance from q_ij.

    .. math:: |\tilde p - p|_{ij} \le \delta f_{ij} (1 - f_{ij}) M_{ij}, \qquad M_{ij} = \max_l |q_{ij} - q_{il}|

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).
    """
    rows = [q[i, : i + 1 if causal else None] for i in range(len(q))]
    low = np.stack([row.min() for row in rows])[:, None]  # (n, 1)
    high = np.stack([row.max() for row in rows])[:, None]  # (n, 1)
    return delta * f * (1 - f) * np.maximum(q - low, high - q)


def cotangent_error_by_deviation(f: Array, q: Array, q_deviation: Array, delta: Any) -> Array:
    r"""The cotangent of the scores (own/cotangent), without the range of q.

    .. math:: |\tilde p - p|_{ij} \le \delta f_{ij} \bigl(|q_{ij} - K_i| + \tfrac12 \sqrt\kappa\, \sigma_i\bigr)

    Shapes: f (n, n), q (n, n), q_deviation (n,) -> (n, n). Cost: O(n²).
    """
    K = (f * q).sum(axis=1, keepdims=True)  # (n, 1)
    return delta * f * (np.abs(q - K) + np.sqrt(1 + delta) / 2 * q_deviation[:, None])


def covariance_error(q_deviation: Array, y_deviation: Array, delta: Any) -> Array:
    r"""Sums of p over the keys (own/cotangent), by two standard deviations: (p y)_ia is a covariance.

    .. math:: \Bigl|\sum_j (\tilde p - p)_{ij}\, y_{ja}\Bigr| \le \delta\, \sigma_i\, \sigma_{ia}, \qquad
              \sigma_{ia}^2 = \sum_j f_{ij} \Bigl(y_{ja} - \sum_l f_{il} y_{la}\Bigr)^2

    Shapes: q_deviation (n,), y_deviation (n, d) -> (n, d). Cost: O(n d).
    """
    return delta * q_deviation[:, None] * y_deviation


def gradient_X_error(
    F: Array, f: Array, X: Array, W: Array, W_V: Array, G: Array, delta: Any, scale: Any, centre: Array
) -> Array:
    r"""dL/dX (own/gradients) from |p̃ − p| ≤ F, for any row c; c = 0 if the rows of p̃ do not sum to zero.

    .. math:: |\widetilde{dX} - dX| \le |\tau| \bigl(F\, |(X - 1_n c^\top) W^\top| + F^\top |X W|\bigr)
              + \delta f^\top |G W_V^\top|

    Shapes: F, f (n, n), X, G (n, d), W, W_V (d, d), centre (d,) -> (n, d). Cost: O(n² d + n d²).
    """
    by_keys = F @ np.abs((X - centre) @ W.T) + F.T @ np.abs(X @ W)  # (n, d)
    return np.abs(scale) * by_keys + delta * f.T @ np.abs(G @ W_V.T)


def gradient_W_error(F: Array, X: Array, scale: Any, centre: Array) -> Array:
    r"""dL/dW (own/gradients) from |p̃ − p| ≤ F, for any row c; c = 0 if the rows of p̃ do not sum to zero.

    .. math:: |\widetilde{dW} - dW| \le |\tau|\, |X|^\top F\, |X - 1_n c^\top|

    Shapes: F (n, n), X (n, d), centre (d,) -> (d, d). Cost: O(n² d + n d²).
    """
    return np.abs(scale) * np.abs(X).T @ F @ np.abs(X - centre)


def gradient_W_V_error(f: Array, X: Array, G: Array, delta: Any, centre: Array) -> Array:
    r"""dL/dW_V (own/gradients), for any row c.

    .. math:: |\widetilde{dW_V} - dW_V| \le \delta\, |X - 1_n c^\top|^\top f^\top |G|

    Shapes: f (n, n), X, G (n, d), centre (d,) -> (d, d). Cost: O(n² d + n d²).
    """
    return delta * np.abs(X - centre).T @ f.T @ np.abs(G)


def gradient_X_error_by_deviation(
    F: Array,
    f: Array,
    X: Array,
    W: Array,
    W_V: Array,
    G: Array,
    q_deviation: Array,
    y_deviation: Array,
    delta: Any,
    scale: Any,
) -> Array:
    r"""dL/dX (own/gradients): the sums over the keys by standard deviations, σ_ia of X Wᵀ.

    .. math:: |\widetilde{dX} - dX|_{ia} \le |\tau| \bigl(\delta\, \sigma_i\, \sigma_{ia}
              + (F^\top |X W|)_{ia}\bigr) + (\delta f^\top |G W_V^\top|)_{ia}

    Shapes: F, f (n, n), X, G (n, d), W, W_V (d, d), q_deviation (n,), y_deviation (n, d) -> (n, d). Cost:
    O(n² d + n d²).
    """
    by_keys = covariance_error(q_deviation, y_deviation, delta) + F.T @ np.abs(X @ W)  # (n, d)
    return np.abs(scale) * by_keys + delta * f.T @ np.abs(G @ W_V.T)


def gradient_W_error_by_deviation(X: Array, q_deviation: Array, X_deviation: Array, delta: Any, scale: Any) -> Array:
    r"""dL/dW (own/gradients) by standard deviations alone, σ_ib of X: no more than second moments of the weights.

    .. math:: |\widetilde{dW} - dW|_{ab} \le |\tau|\, \delta \sum_i |X_{ia}|\, \sigma_i\, \sigma_{ib}

    Shapes: X (n, d), q_deviation (n,), X_deviation (n, d) -> (d, d). Cost: O(n d²).
    """
    return np.abs(scale) * np.abs(X).T @ covariance_error(q_deviation, X_deviation, delta)


def gradient_W_V_error_by_deviation(X_deviation: Array, G: Array, delta: Any) -> Array:
    r"""dL/dW_V (own/gradients) by standard deviations alone, σ_ia of X.

    .. math:: |\widetilde{dW_V} - dW_V|_{ac} \le \frac{\delta}{2 \sqrt\kappa} \sum_i \sigma_{ia}\, |G_{ic}|

    Shapes: X_deviation, G (n, d) -> (d, d). Cost: O(n d²).
    """
    return delta / (2 * np.sqrt(1 + delta)) * X_deviation.T @ np.abs(G)


def differentiated_error(f_tilde: Array, q: Array, delta: Any, omega: Any, causal: bool) -> Array:
    r"""The cotangent of the scores where P itself is differentiated (own/differentiate), |P'/P − 1| ≤ ω.

    .. math:: \Bigl|\frac{P'(S)_{ij}}{\tilde D_i} (q_{ij} - \tilde K_i) - p_{ij}\Bigr|
              \le (\delta + \omega) \tilde f_{ij} M_i, \qquad M_i = \max_j q_{ij} - \min_j q_{ij}

    Shapes: f_tilde, q (n, n) -> (n, n). Cost: O(n²).
    """
    return (delta + omega) * f_tilde * _ranges(q, causal)[:, None]


def _extremes(h: Array, causal: bool) -> tuple[Array, Array]:
    """Least and largest value over the keys that the mask allows, (n, d) each."""
    if causal:
        return np.minimum.accumulate(h), np.maximum.accumulate(h)
    return np.broadcast_to(h.min(axis=0), h.shape), np.broadcast_to(h.max(axis=0), h.shape)


def _ranges(q: Array, causal: bool) -> Array:
    """Largest minus least entry of each row, over the keys that the mask allows. (n,)."""
    rows = (q[i, : i + 1 if causal else None] for i in range(len(q)))
    return np.stack([row.max() - row.min() for row in rows])


# As exp is replaced by any Ã with |Ã − A|_ij ≤ E_ij, A = exp(S) where the mask allows it and 0 elsewhere; D̃ and T are
# the row sums of Ã and E, and T < D̃. Entries of Ã may be negative.


def weight_error_absolute(E: Array, f_tilde: Array, D_tilde: Array) -> Array:
    r"""Entries of f, by the absolute error of the exponential (own/moments).

    .. math:: |\tilde f - f|_{ij} \le \frac{E_{ij} + \tilde f_{ij} T_i}{\tilde D_i - T_i}, \qquad T_i = \sum_j E_{ij}

    Shapes: E, f_tilde (n, n), D_tilde (n,) -> (n, n). Cost: O(n²).

    >>> weight_error_absolute(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([4.0]))  # A = (1, 2): 1/3, 2/3
    array([[0.5       , 0.16666667]])
    """
    T = E.sum(axis=1)  # (n,)
    return (E + f_tilde * T[:, None]) / (D_tilde - T)[:, None]


def output_error_absolute(E: Array, f_tilde: Array, D_tilde: Array, h: Array) -> Array:
    r"""The attention output, by the absolute error of the exponential (own/moments).

    .. math:: |\tilde s - s|_{ic} \le \frac{\sum_j E_{ij} |h_{jc} - \tilde s_{ic}|}{\tilde D_i - T_i}

    Shapes: E, f_tilde (n, n), D_tilde (n,), h (n, d) -> (n, d). Cost: O(n² d).
    """
    return _distances(E, h, f_tilde @ h) / (D_tilde - E.sum(axis=1))[:, None]


def cotangent_error_absolute(
    E: Array, f_tilde: Array, D_tilde: Array, q: Array, K_tilde: Array, causal: bool
) -> Array:
    r"""The cotangent of the scores, by the absolute error of the exponential (own/moments).

    .. math:: |\tilde p - p|_{ij} \le \frac{E_{ij}\, Q_i (1 + \tau_i)}{\tilde D_i - T_i}
              + \tilde f_{ij}\, Q_i (2 \tau_i + \tau_i^2), \qquad
              \tau_i = \frac{T_i}{\tilde D_i - T_i}, \quad Q_i = \max_j |q_{ij} - \tilde K_i|

    j over the keys that the mask allows. Shapes: E, f_tilde, q (n, n), D_tilde, K_tilde (n,) -> (n, n). Cost: O(n²).
    """
    T = E.sum(axis=1)  # (n,)
    tau, Q = T / (D_tilde - T), _farthest(q, K_tilde, causal)  # (n,)
    by_entry = Q * (1 + tau) / (D_tilde - T)  # (n,)
    return E * by_entry[:, None] + f_tilde * (Q * (2 * tau + tau * tau))[:, None]


def sum_error_absolute(
    E: Array, f: Array, D_tilde: Array, q: Array, K_tilde: Array, p_tilde: Array, columns: Array, causal: bool
) -> Array:
    r"""Sums of p over the keys, by the absolute error of the exponential (own/moments), for any columns y.

    .. math:: \Bigl|\sum_j (\tilde p - p)_{ij}\, y_{ja}\Bigr|
              \le \frac{Q_i \sum_j E_{ij} |y_{ja} - m_{ia}| + T_i |\sum_j \tilde p_{ij}\, y_{ja}|}{\tilde D_i - T_i},
              \qquad m_{ia} = \sum_j f_{ij}\, y_{ja}

    with the exact mean m, not f̃ y. Shapes: E, f, q, p_tilde (n, n), D_tilde, K_tilde (n,), columns (n, k) -> (n, k).
    Cost: O(n² k).
    """
    T, Q = E.sum(axis=1)[:, None], _farthest(q, K_tilde, causal)[:, None]  # (n, 1)
    return (Q * _distances(E, columns, f @ columns) + T * np.abs(p_tilde @ columns)) / (D_tilde[:, None] - T)


def _distances(E: Array, y: Array, centres: Array) -> Array:
    """Σ_j E_ij |y_ja − c_ia|. (n, k)."""
    return (E[:, :, None] * np.abs(y[None, :, :] - centres[:, None, :])).sum(axis=1)


def _farthest(q: Array, K_tilde: Array, causal: bool) -> Array:
    """Largest |q_ij − K̃_i| of each row, over the keys that the mask allows. (n,)."""
    rows = (np.abs(q[i, : i + 1 if causal else None] - K) for i, K in enumerate(K_tilde))
    return np.stack([row.max() for row in rows])


# ------------------------------------------------- whole models, derived in docs/theorems.md (own/theorem)
#
# m layers, T_i = r Z_i + φ(Z_i W_g), Z_i = r T_{i−1} + Attn_i(T_{i−1}), r = 1 with residual connections and 0 without.
# The approximate pass is approximate forwards too: f̃ is made from its own scores, with κ = e^η, at every layer. No
# entry of a weight matrix is above ω, nor of a hidden state of either pass above ρ; |φ'| ≤ L, and φ' is Lipschitz with
# the constant L'. |·|₁ is the sum of |entries|: attention moves weight, and adds none, so no power of n is in it.


def vanishing() -> arb:
    r"""What an error of 1/poly(n) implies for all large n, as a ball: it is below any constant (4.1, 4.2, H, J).

    .. math:: \|\tilde g - dL/dX\|_\infty \le 1/\mathrm{poly}(n) \implies
              \|\tilde g - dL/dX\|_\infty \le \tfrac14

    >>> float(vanishing())
    0.25
    """
    return arb(1) / 4


def H_4_magnification(poly: Any, g_k_error: Any) -> Any:
    r"""Error of the gradient on a layer's input from that of the cotangent of its attention (H.4, step 3.2).

    .. math:: \| \tilde g_{t_0} - dL/dg(X) \|_\infty \le \mathrm{poly}(n)\, \| \tilde g_k - dL/dT(X) \|_\infty
    """
    return poly * g_k_error


def attention_magnification(d: int, rho: Any, omega: Any, scale: Any) -> Any:
    r"""What attention can make of a cotangent (own/theorem).

    .. math:: |\tau (p X W^\top + p^\top X W) + f^\top G W_V^\top|_1 \le \Lambda\, |G|_1, \qquad
              \Lambda = 4 |\tau| d^3 \rho^2 \omega^2 + d \omega

    >>> attention_magnification(1, 1, 1, 1)
    5
    """
    return 4 * abs(scale) * d**3 * rho**2 * omega**2 + d * omega


class LayerErrors(NamedTuple):
    """Bounds on what one layer of the approximate pass has, against the exact one."""

    T: Any  # largest error of T_{i−1}
    weights: Any  # δ' = κ e^{2σ} − 1 of f̃ against f
    G: Any  # |G_i|₁, the exact cotangent of Z_i
    dG: Any  # |G̃_i − G_i|₁
    dT: Any  # |g̃_{T_{i−1}} − g_{T_{i−1}}|₁


def model_errors(
    m: int,
    d: int,
    rho: Any,
    omega: Any,
    scale: Any,
    eta: Any,
    slope: Any,
    curvature: Any,
    residual: int,
    g_size: Any,
    g_error: Any,
) -> list[LayerErrors]:
    r"""The errors of all layers, from the first to the last (own/theorem). g_size = |dL/dT_m|₁, g_error its error.

    Forwards, from t_0 = 0, with σ_i = 2|τ|d²ωρ t_{i−1} by which scores may move and δ_i = e^{η + 2σ_i} − 1:

    .. math:: z_i = r\, t_{i-1} + d \omega \bigl(t_{i-1} + \rho(\tfrac12 \eta + \sigma_i)\bigr), \qquad
              t_i = r\, z_i + L\, d \omega z_i

    Backwards, with Λ of `attention_magnification`, from c_m = g_error and γ_m = g_size:

    .. math:: G_i = (r + d \omega L) \gamma_i, \quad
              \Delta_i = (r + d \omega L) c_i + d \omega L' \cdot d \omega z_i\, \gamma_i, \qquad
              \gamma_{i-1} = (r + \Lambda) G_i, \quad
              c_{i-1} = (r + \Lambda) \Delta_i + \Lambda (\delta_i + 2 t_{i-1}/\rho) G_i

    Cost: O(m).
    """
    through_g, attention = residual + d * omega * slope, attention_magnification(d, rho, omega, scale)
    t, forwards = 0 * rho, []
    for _ in range(m):
        sigma = 2 * abs(scale) * d**2 * omega * rho * t
        z = residual * t + d * omega * (t + rho * (eta / 2 + sigma))
        forwards.append((t, np.exp(eta + 2 * sigma) - 1, z))
        t = through_g * z
    layers = []
    for t, delta, z in reversed(forwards):
        G = through_g * g_size
        dG = through_g * g_error + d * omega * curvature * d * omega * z * g_size
        moved = delta + (2 * t / rho if rho > 0 else 0)
        g_size = (residual + attention) * G
        g_error = (residual + attention) * dG + attention * moved * G
        layers.append(LayerErrors(t, delta, G, dG, g_error))
    return layers[::-1]


def model_state_error(m: int, d: int, rho: Any, omega: Any, scale: Any, eta: Any, slope: Any, residual: int) -> Array:
    r"""The states T_1 … T_m of the approximate pass (own/theorem), the largest error of an entry of each.

    .. math:: \|\tilde T_i - T_i\|_\infty \le t_i = (r + d \omega L)
              \bigl(r\, t_{i-1} + d \omega (t_{i-1} + \rho(\tfrac12 \eta + \sigma_i))\bigr)

    Shapes: -> (m,).
    """
    errors = model_errors(m + 1, d, rho, omega, scale, eta, slope, 0, residual, 0 * rho, 0 * rho)
    return np.array([e.T for e in errors[1:]])


def model_X_error(
    m: int,
    d: int,
    rho: Any,
    omega: Any,
    scale: Any,
    eta: Any,
    slope: Any,
    curvature: Any,
    residual: int,
    g_size: Any,
    g_error: Any,
) -> Any:
    r"""The gradient on the input T_0 (own/theorem), the sum of all entries' errors; L, L', r, γ_m, c_m as above.

    .. math:: |\tilde g_0 - dL/dT_0|_1 \le \Gamma^m \Bigl( c_m + \gamma_m \sum_{i=1}^{m} \Bigl(
              \frac{L'}{L + r/(d \omega)}\, d \omega z_i + \delta_i + \frac{2 t_{i-1}}{\rho} \Bigr) \Bigr),
              \qquad \Gamma = (r + \Lambda)(r + d \omega L)
    """
    return model_errors(m, d, rho, omega, scale, eta, slope, curvature, residual, g_size, g_error)[0].dT


def model_W_error(
    m: int,
    d: int,
    rho: Any,
    omega: Any,
    scale: Any,
    eta: Any,
    slope: Any,
    curvature: Any,
    residual: int,
    g_size: Any,
    g_error: Any,
) -> Any:
    r"""The gradients on the products W_Q W_Kᵀ of all layers (own/theorem), each entry.

    .. math:: \|\tilde g_{W_i} - dL/dW_i\|_\infty
              \le 2 |\tau| d \rho^3 \omega \bigl(\Delta_i + (\delta_i + 3 t_{i-1}/\rho) G_i\bigr)

    Shapes: -> (m,).
    """
    errors = model_errors(m, d, rho, omega, scale, eta, slope, curvature, residual, g_size, g_error)
    factor = 2 * abs(scale) * d * omega
    return np.array([factor * (rho**3 * (e.dG + e.weights * e.G) + 3 * rho**2 * e.T * e.G) for e in errors])


def model_W_V_error(
    m: int,
    d: int,
    rho: Any,
    omega: Any,
    scale: Any,
    eta: Any,
    slope: Any,
    curvature: Any,
    residual: int,
    g_size: Any,
    g_error: Any,
) -> Any:
    r"""The gradients on W_V of all layers (own/theorem), each entry.

    .. math:: \|\tilde g_{V_i} - dL/dW_{V_i}\|_\infty
              \le \rho \bigl(\Delta_i + (\delta_i/2 + t_{i-1}/\rho) G_i\bigr)

    Shapes: -> (m,).
    """
    errors = model_errors(m, d, rho, omega, scale, eta, slope, curvature, residual, g_size, g_error)
    return np.array([rho * (e.dG + e.weights / 2 * e.G) + e.T * e.G for e in errors])


# ------------------------------------------------- what is said of errors through layers (H.3, H.4, J.3, J.4, K.2)


def chain_bound(E: Array, dT_dX: Array) -> Any:
    r"""Error of a gradient behind one more map, from that before it (H.3, Part 2; H.4, step 3.2).

    .. math:: \| (\tilde g_{t_0} - dL/dT_0) \cdot dT_0/dX \|_\infty
              \le n \cdot d\, \| \tilde g_{t_0} - dL/dT_0 \|_\infty \| dT_0/dX \|_\infty

    Shapes: E = g̃ − dL/dT_0 (n, d), dT_dX (n, d, n, d) -> number.
    """
    return E.size * _largest(E) * _largest(dT_dX)


def chain_bits(n: int, d: int, bits: int, slope: Any, epsilon: Any) -> Any:
    r"""The same for T_0 = φ(X W_g) with |φ′| ≤ L and entries of W_g of at most 2^b (H.4, step 3.2; J.4, step 4).

    .. math:: \| (\tilde g_{t_0} - dL/dT_0) \cdot dT_0/dX \|_\infty \le n \cdot d\, L\, 2^b\, \epsilon

    >>> chain_bits(2, 3, 1, 1, 0.5)
    6.0
    """
    return n * d * slope * 2**bits * epsilon


def residual_magnification(E: Array, dH_dX: Array) -> Any:
    r"""Error of a gradient behind a residual connection, from that before it (J.3).

    .. math:: \| \Delta_X \|_\infty \le (n \cdot d\, \| dH/dX \|_\infty + 1) \| \Delta_Y \|_\infty

    Shapes: E = Δ_Y (n, d), dH_dX (n, d, n, d) -> number.
    """
    return (E.size * _largest(dH_dX) + 1) * _largest(E)


def chosen_after(n: int, d: int, a: int, k: int) -> Any:
    r"""J.3's last step with the second polynomial chosen after the first (repaired), times n^k, for d ≤ n.

    .. math:: (n \cdot d\, n^a + 1) \cdot \frac{1}{n^{a+2+k}} \le \frac{2}{n^k}
    """
    return 2


def multi_head_magnification(E: Array, dY_ds: Array, dsl_dX: Array) -> Any:
    r"""Error of the gradient through multi-head attention, from that of dL/dY (K.2).

    .. math:: \| \Delta_X \|_\infty \le h \cdot n^2 \cdot d \cdot d_h\, \| dY/ds \|_\infty
              \max_l \| ds_l/dX \|_\infty \cdot \| \Delta_Y \|_\infty

    Shapes: E = Δ_Y (n, d), dY_ds (n, d, n, d), dsl_dX (h, n, d_h, n, d) -> number.
    """
    h, n, d_h = dsl_dX.shape[:3]
    return h * n**2 * E.shape[1] * d_h * _largest(dY_ds) * _largest(dsl_dX) * _largest(E)


def fresh_and_magnified(E: Array, G: Array, n: int, d: int, rho: Any, omega: Any, scale: Any, delta: Any) -> Any:
    r"""Error of the gradient through attention: what comes from above, and the layer's own (H.4, step 3.2, repaired).

    .. math:: \| \tilde g_{t_0} - dL/dT_0 \|_\infty
              \le n d\, \Lambda \bigl( \| \tilde g_k - G \|_\infty + \delta \|G\|_\infty \bigr), \qquad
              \Lambda = 4 |\tau| d^3 \rho^2 \omega^2 + d \omega

    δ = κ − 1 of f̃ against f. Shapes: E = g̃_k − G, G (n, d) -> number.
    """
    return n * d * attention_magnification(d, rho, omega, scale) * (_largest(E) + delta * _largest(G))
