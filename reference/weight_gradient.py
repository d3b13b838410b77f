r"""The gradients of one attention layer with respect to W = W_Q W_Kᵀ (Lemma F.4) and W_V (Lemma G.3).

Notation: `reference.softmax_attention`.
"""

from __future__ import annotations

from typing import Any

from reference import softmax_attention as attn
from reference.softmax_attention import Array


def gradient_W_printed(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on W, as printed (F.4). It has no scale of its own: `scale` is the one inside f.

    .. math:: \frac{dL}{dW_i} = X^\top p(X) X

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (d, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return X.T @ p @ X


def gradient_W(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on W for scores scaled by τ (F.4, repaired for the scores of 1.2 and C.3).

    .. math:: \frac{dL}{dW} = \tau X^\top p(X) X

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (d, d). Cost: O(n² d) time, n² memory.
    """
    return scale * gradient_W_printed(X, W, W_V, G, scale=scale, causal=causal)


def gradient_W_V_printed(X: Array, W: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on W_V, as printed (G.3).

    .. math:: \frac{dL}{dW_{V_i}} = X^\top f(X) G_i

    Shapes: X (n, d), W (d, d), G (n, d) -> (d, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return X.T @ f @ G


def gradient_W_V(X: Array, W: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on W_V (G.3, repaired): value j reaches the outputs through column j of f.

    .. math:: \frac{dL}{dW_V} = X^\top f(X)^\top G

    Shapes: X (n, d), W (d, d), G (n, d) -> (d, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return X.T @ f.T @ G
