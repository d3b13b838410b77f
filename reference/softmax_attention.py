r"""Softmax attention as the paper defines it (Definitions 1.1, 1.2, C.3, C.5 to C.12, I.2, I.5; Lemma C.18).

One function per definition, each a line or two of NumPy that reads like the definition. The functions also run on
object arrays (balls, fractions, complex numbers), so that every kind of evidence judges the code shown here.

| symbol | shape | meaning |
|---|---|---|
| `X` | (n, d) | input sequence |
| `W` | (d, d) | W_Q W_Kᵀ |
| `W_V` | (d, d) | value weights |
| `G` | (n, d) | dL/dAttn(X) |
| `scale` | number | what multiplies the scores: 1/d in 1.2, C.3 and I.5, 1 as C.6 prints u |

They follow the definitions to the letter: exp of a score above 709 overflows here as it does there.
`reference.attention` computes the same output for any finite scores and without an n×n array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # floats, or objects that know exp, +, −, × and /


def u(X: Array, W: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Exponential matrix (C.6), with the causal mask of I.2 if asked for (I.5).

    .. math:: u(X) = \exp(X W X^\top)

    Shapes: X (n, d), W (d, d) -> (n, n). Cost: O(n d² + n² d).

    >>> u(np.array([[0.0], [0.0]]), np.array([[1.0]]), causal=True)
    array([[1., 0.],
           [1., 1.]])
    """
    u = np.exp(scale * (X @ W @ X.T))  # (n, n)
    return np.where(np.tri(len(X), dtype=bool), u, 0) if causal else u


def alpha(u: Array) -> Array:
    r"""Row sums (C.7).

    .. math:: \alpha(X) = u(X) \cdot 1_n

    Shapes: u (n, n) -> (n,). Cost: O(n²).

    >>> alpha(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    """
    return u.sum(axis=1)


def f(u: Array) -> Array:
    r"""Attention matrix (C.8): each row of u divided by its sum.

    .. math:: f(X) = \mathrm{diag}(\alpha(X))^{-1} u(X)

    Shapes: u (n, n) -> (n, n). Cost: O(n²).

    >>> f(np.array([[1.0, 1.0], [1.0, 3.0]]))
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    return u / alpha(u)[:, None]


def h(X: Array, W_V: Array) -> Array:
    r"""Values (C.9).

    .. math:: h(X) = X W_V

    Shapes: X (n, d), W_V (d, d) -> (n, d). Cost: O(n d²).

    >>> h(np.array([[1.0, 2.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    array([[2., 1.]])
    """
    return X @ W_V


def s(f: Array, h: Array) -> Array:
    r"""Attention output (C.10).

    .. math:: s(X) = f(X) h(X)

    Shapes: f (n, n), h (n, d) -> (n, d). Cost: O(n² d).

    >>> s(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([[2.0], [4.0]]))
    array([[3.],
           [4.]])
    """
    return f @ h


def q(G: Array, h: Array) -> Array:
    r"""Cotangent of the attention matrix (C.11).

    .. math:: q(X) = G_i h(X)^\top

    Shapes: G (n, d), h (n, d) -> (n, n). Cost: O(n² d).

    >>> q(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]))
    array([[3., 4.],
           [6., 8.]])
    """
    return G @ h.T


def p1(f: Array, q: Array) -> Array:
    r"""First term of p (C.12).

    .. math:: p_1(X) = f(X) \odot q(X)

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).

    >>> p1(np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]))
    array([[1., 2.]])
    """
    return f * q


def p2(f: Array, q: Array) -> Array:
    r"""Second term of p (C.12).

    .. math:: p_2(X) = \mathrm{diag}(p_1(X) \cdot 1_n) f(X)

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).

    >>> p2(np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]))
    array([[1.5, 1.5]])
    """
    return p1(f, q).sum(axis=1)[:, None] * f


def p(f: Array, q: Array) -> Array:
    r"""Cotangent of the scores (C.12): the VJP of softmax, row by row.

    .. math:: p(X) = p_1(X) - p_2(X)

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).

    >>> p(np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]))
    array([[-0.5,  0.5]])
    """
    return p1(f, q) - p2(f, q)


def value_bound_printed(X: Array, W_V: Array) -> Any:
    r"""Largest entry of h, as printed in the proof of C.18.

    .. math:: \|X W_V\|_\infty \le n \|X\|_\infty \|W_V\|_\infty

    Shapes: X (n, d), W_V (d, d) -> number.

    >>> float(value_bound_printed(np.ones((1, 2)), np.ones((2, 2))))
    1.0
    """
    return len(X) * np.abs(X).max() * np.abs(W_V).max()


def value_bound(X: Array, W_V: Array) -> Any:
    r"""Largest entry of h (C.18, repaired): an entry of X W_V is a sum of d products, not of n.

    .. math:: \|X W_V\|_\infty \le d \|X\|_\infty \|W_V\|_\infty

    Shapes: X (n, d), W_V (d, d) -> number.

    >>> float(value_bound(np.ones((1, 2)), np.ones((2, 2))))
    2.0
    """
    return len(W_V) * np.abs(X).max() * np.abs(W_V).max()


def value_bound_bits(d: int, bits: int) -> int:
    r"""Largest entry of h for entries of at most 2^bits (the explicit form behind C.18's poly(n)).

    .. math:: \|X\|_\infty, \|W_V\|_\infty \le 2^b \implies \|X W_V\|_\infty \le d \cdot 4^b

    >>> value_bound_bits(2, 3)
    128
    """
    return d * 4**bits
