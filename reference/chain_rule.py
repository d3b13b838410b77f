r"""Attention of one sequence in X, W, W_V, as the paper writes it, and its gradient.

Definitions 1.2 and C.3 are attention with the same X in three places:

.. math::

    \mathrm{Attn}(X) = \mathrm{Softmax}(\tau\, X W X^\top)\, X W_V: \qquad Q = X W, \quad K = X, \quad V = X W_V

so for L = ⟨G, Attn(X)⟩ the gradient on X has three terms. Differentiating these products,

.. math::

    dX = dQ\, W^\top + dK + dV\, W_V^\top, \qquad dW = X^\top dQ, \qquad dW_V = X^\top dV

with dQ, dK, dV from `qkv`, where all work on n × n numbers is done.

| symbol | shape | meaning |
|---|---|---|
| `X` | (n, d) | input sequence |
| `W` | (d, d) | W_Q W_Kᵀ |
| `W_V` | (d, d) | value weights |
| `G` | (n, d) | dL/dAttn(X) |
| τ | number | `scale`; None means the paper's 1/d |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reference.qkv import Wording, backward, forward
from reference.shapes import shapes

if TYPE_CHECKING:
    from reference.shapes import FloatArray

__all__ = ["Gradient", "attention", "attention_gradient"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Gradient:
    """Gradients on X and the weights, each of its operand's shape; None for a weight that the function does not take.

    Attention in X, W, W_V has W = W_Q W_Kᵀ; a layer of a transformer has W_Q and W_K apart, and W_g.
    """

    X: FloatArray
    W: FloatArray | Any = None  # "| Any": whoever knows which function was called need not ask for None
    W_V: FloatArray
    W_Q: FloatArray | Any = None
    W_K: FloatArray | Any = None
    W_g: FloatArray | Any = None


@shapes(X="n d", W="d d", W_V="d d")
def attention(
    X: FloatArray, W: FloatArray, W_V: FloatArray, *, scale: float | None = None, causal: bool = False
) -> FloatArray:
    r"""Exact attention of a sequence (1.2, C.3; causal: I.5).

    .. math:: \mathrm{Attn}(X) = \mathrm{Softmax}(\tau\, X W X^\top)\, X W_V, \qquad \tau = \mathrm{scale}

    Shapes: X (n, d), W (d, d), W_V (d, d) -> (n, d), in their dtype. `scale=None` is the paper's 1/d. With `causal`,
    row i sees the rows j <= i. Cost: O(n² d + n d²); memory O(n d) and one block of scores (see `qkv`).

    Raises AltgradError for operands that are not finite float32 or float64 arrays of these shapes, and where X W,
    X W_V, the scores or the output overflow.

    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(X, np.zeros((2, 2)), np.eye(2))  # equal scores: the mean of the rows
    array([[0.5, 0.5],
           [0.5, 0.5]])
    >>> attention(X, np.zeros((2, 2)), np.eye(2), causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    words = _words("attention")
    Q, V = _project(X, W, W_V, words)
    return forward(Q, X, V, _paper_scale(scale, X), causal, words)


@shapes(X="n d", W="d d", W_V="d d", G="n d")
@np.errstate(all="ignore")
def attention_gradient(
    X: FloatArray,
    W: FloatArray,
    W_V: FloatArray,
    G: FloatArray,
    *,
    scale: float | None = None,
    causal: bool = False,
) -> Gradient:
    r"""Gradient of L = ⟨G, Attn(X)⟩ on X, W and W_V (E.11, F.4 and G.3, repaired; causal: I.5).

    .. math::

        \frac{dL}{dX} = dQ\, W^\top + dK + dV\, W_V^\top, \qquad
        \frac{dL}{dW} = X^\top dQ, \qquad
        \frac{dL}{dW_V} = X^\top dV

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d), (d, d), (d, d), in their dtype. `scale` and `causal` as
    in `attention`. Cost: O(n² d + n d²); memory O(n d) and two blocks.

    Raises AltgradError as `attention` does, and where G (X W_V)ᵀ - rowsum(G ⊙ Attn(X)) or a gradient overflows.

    >>> X, G = np.array([[1.0], [3.0]]), np.ones((2, 1))
    >>> gradient = attention_gradient(X, np.zeros((1, 1)), np.ones((1, 1)), G)
    >>> gradient.W_V  # the mean of X is 2, in each of two rows
    array([[4.]])
    >>> gradient.W  # the variance of X is 1, times X, summed
    array([[4.]])
    """
    words = _words("attention_gradient")
    Q, V = _project(X, W, W_V, words)  # (n, d), (n, d)
    d = backward(Q, X, V, G, _paper_scale(scale, X), causal, words)  # three of (n, d)
    return Gradient(
        X=words.finite("the gradient on X", d.Q @ W.T + d.K + d.V @ W_V.T),  # (n, d)
        W=words.finite("the gradient on W", X.T @ d.Q),  # (d, d)
        W_V=words.finite("the gradient on W_V", X.T @ d.V),  # (d, d)
    )


def _words(function: str) -> Wording:
    return Wording(function, Q="X W", K="X", V="(X W_V)", cotangent="G")


def _paper_scale(scale: float | None, X: FloatArray) -> float:
    return 1 / X.shape[1] if scale is None else scale


@np.errstate(all="ignore")
def _project(X: FloatArray, W: FloatArray, W_V: FloatArray, words: Wording) -> tuple[FloatArray, FloatArray]:
    return words.finite("X W", X @ W), words.finite("X W_V", X @ W_V)  # (n, d), (n, d)
