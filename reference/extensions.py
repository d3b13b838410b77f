"""What the paper says of implementations (B.4), as formulas."""

from __future__ import annotations

from typing import Any

from reference.softmax_attention import Array

__all__ = ["faster", "gradient_X_differentiated"]


def faster(ratio: float) -> bool:
    r"""More speed (B.4), from times of both.

    .. math:: \frac{t_\text{without}}{t_\text{with}} > 1

    >>> faster(6.3), faster(0.9)
    (True, False)
    """
    return ratio > 1


def gradient_X_differentiated(X: Array, W: Array, W_V: Array, G: Array, P: Array, P_prime: Array, scale: Any) -> Array:
    r"""Derivative on X of ⟨G, s̃⟩, the output with P(S) for exp(S): not E.11's, which has p̃ for p′ (B.4).

    .. math::

        \frac{d}{dX} \langle G, \tilde s \rangle = \tau (p' X W^\top + p'^\top X W) + \tilde f^\top G W_V^\top, \qquad
        p' = \frac{P'(S)}{P(S)} \odot \tilde p, \quad \tilde p = \tilde f \odot (q - \tilde K 1^\top)

    Shapes: X (n, d), W, W_V (d, d), G (n, d), P = P(S), P_prime = P′(S) (n, n), 0 where the mask forbids -> (n, d).
    Cost: O(n² d).
    """
    D = P.sum(axis=1)[:, None]  # (n, 1)
    f = P / D  # (n, n)
    h = X @ W_V  # (n, d)
    K = (G * (f @ h)).sum(axis=1)[:, None]  # (n, 1)
    p = P_prime / D * (G @ h.T - K)  # (n, n)
    gradient: Array = scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ W_V.T  # (n, d)
    return gradient
