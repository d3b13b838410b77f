r"""The gradient of one attention layer with respect to its input X (Definitions D.15, D.16; Lemmas D.17, E.11).

The paper writes dL/dX as five terms, each the product of an n×n matrix z with X and a weight matrix. They stand
here as printed, and after them the gradient that holds. Notation: `reference.softmax_attention`.
"""

from __future__ import annotations

from typing import Any

from reference import softmax_attention as attn
from reference.softmax_attention import Array


def K(G: Array, s: Array) -> Array:
    r"""Row-wise inner products (D.16).

    .. math:: K = (G_i \odot s(X)) \cdot 1_d

    Shapes: G (n, d), s (n, d) -> (n,). Cost: O(n d) once s is known.
    """
    return (G * s).sum(axis=1)


def z6(f: Array, K: Array) -> Array:
    r"""Matrix of the term D6 (D.17).

    .. math:: z_6(X) = f(X)\, \mathrm{diag}(K)

    Shapes: f (n, n), K (n,) -> (n, n).
    """
    return f * K


def z7(f: Array, h: Array, G: Array) -> Array:
    r"""Matrix of the term D7 (D.17).

    .. math:: z_7(X) = f(X) \odot (h(X) G_i^\top)

    Shapes: f (n, n), h (n, d), G (n, d) -> (n, n).
    """
    return f * (h @ G.T)


def z2(f: Array, K: Array) -> Array:
    r"""Matrix of the term D2 (D.17).

    .. math:: z_2(X) = \mathrm{diag}(K)\, f(X)

    Shapes: f (n, n), K (n,) -> (n, n).
    """
    return K[:, None] * f


def z4(f: Array, h: Array, G: Array) -> Array:
    r"""Matrix of the term D4 (D.17).

    .. math:: z_4(X) = f(X) \odot (G_i h(X)^\top)

    Shapes: f (n, n), h (n, d), G (n, d) -> (n, n).
    """
    return f * (G @ h.T)


def five_terms(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> Array:
    r"""Sum of the five terms of D.17, from whatever f and s mean in the reading at hand (E.11).

    .. math:: D_6 + D_7 + D_8 + D_2 + D_4 = -z_6 X W^\top + z_7 X W^\top + f G_i W_V^\top - z_2 X W + z_4 X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d).
    """
    k = K(G, s)  # (n,)
    D6 = -z6(f, k) @ X @ W.T  # (n, d)
    D7 = z7(f, h, G) @ X @ W.T  # (n, d)
    D8 = f @ G @ W_V.T  # (n, d)
    D2 = -z2(f, k) @ X @ W  # (n, d)
    D4 = z4(f, h, G) @ X @ W  # (n, d)
    return D6 + D7 + D8 + D2 + D4


def gradient_X_printed(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on X, as printed (E.11, from D.9, D.15 and D.17).

    .. math:: \frac{dL}{dT_{i-1}} = -f \mathrm{diag}(K) X W^\top + (f \odot (h G_i^\top)) X W^\top + f G_i W_V^\top
              - \mathrm{diag}(K) f X W + (f \odot (G_i h^\top)) X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    h = attn.h(X, W_V)  # (n, d)
    return five_terms(X, W, W_V, G, f, h, attn.s(f, h))


def gradient_X(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on X (E.11, repaired), with τ the scale of the scores.

    .. math:: \frac{dL}{dX} = \tau (p X W^\top + p^\top X W) + f^\top G W_V^\top

    A query i feels the scores of its row, a key j those of its column: hence p once as it is and once transposed,
    and the values of key j reach the outputs through column j of f, hence fᵀ.

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ W_V.T
