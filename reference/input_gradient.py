r"""The gradient of one attention layer with respect to its input X (Fact C.1, Lemmas C.4 and D.1 to D.17, E.11).

The functions stand in the order of the paper, so that reading them from top to bottom is following its section D:

1. the chain rule leads from L to the derivatives of the entries of s (C.4, D.2);
2. one entry, ds_{i0,j0}/dX_{i1,j1}, is a sum of numbers C1 … C8 (D.1);
3. over all i1 and j1, these numbers are the entries of matrices B6, B7, B8 and of vectors B2, B4 (D.3 to D.9);
4. over all i0 and j0, G times these are the terms D6, D7, D8, D2, D4, each the product of an n×n matrix z with X and
   a weight matrix (D.10 to D.17), and their sum is the gradient (E.11).

Steps 3 and 4 are sound. Step 2 is not: as printed, C1 … C8 are not the derivative. One change makes it right:

.. math:: W \to W^\top \text{ in all of them}, \qquad f \to f^\top \text{ in } C_6, C_7, C_8, \qquad
          \text{a factor } \tau \text{ on all but } C_5, C_8

with τ the scale of the scores. So wherever the paper rests on step 2, a formula stands here twice: as printed
(`_printed`), and with `W.T`, `f.T` and `scale` in its place. Both call the same functions.

| symbol | shape | meaning |
|---|---|---|
| `X` | (n, d) | input of the layer, T_{i-1} |
| `W`, `W_V` | (d, d) | W_Q W_Kᵀ, value weights |
| `G` | (n, d) | G_i = dL/dAttn_i(T_{i-1}) |
| `f`, `h`, `s` | (n, n), (n, d), (n, d) | attention matrix, values, output: `reference.softmax_attention` |
| `K` | (n,) | inner products of the rows of G and s |
| `i0`, `j0` | numbers | an entry of s; they count from 0 |
| `i1`, `j1` | numbers | an entry of X; they count from 0 |

Where no cost is named, it is that of writing the result down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import softmax_attention as attn
from reference.softmax_attention import Array

# ------------------------------------------------------------------------------------------------- C.1: three facts


def diagonal_form(x: Array, y: Array, z: Array) -> Any:
    r"""Inner product with an entrywise product, as a bilinear form (C.1, first fact).

    .. math:: \langle x \odot y, z \rangle = x^\top \mathrm{diag}(y)\, z

    Shapes: x, y, z (n,) -> number.

    >>> int(diagonal_form(np.array([1, 2]), np.array([3, 4]), np.array([5, 6])))
    63
    """
    return x @ np.diag(y) @ z


def exchanged(x: Array, y: Array, z: Array) -> Array:
    r"""The three sides of the second fact of C.1.

    .. math:: \langle x, y \odot z \rangle = \langle y, x \odot z \rangle = \langle z, y \odot x \rangle

    Shapes: x, y, z (n,) -> (3,).

    >>> exchanged(np.array([1, 2]), np.array([3, 4]), np.array([5, 6]))
    array([63, 63, 63])
    """
    return np.array([x @ (y * z), y @ (x * z), z @ (y * x)])


def sum_of_products(x: Array, y: Array) -> Any:
    r"""Inner product as the sum of an entrywise product (C.1, third fact).

    .. math:: \langle x, y \rangle = \langle x \odot y, 1_n \rangle

    Shapes: x, y (n,) -> number.

    >>> int(sum_of_products(np.array([1, 2]), np.array([3, 4])))
    11
    """
    return (x * y) @ np.ones_like(x)


# --------------------------------------------------------------------------------------- C.4 and D.2: the chain rule


def double_sum(term: Callable[[int, int], Any], n: int, d: int) -> Any:
    r"""Sum over the entries of a matrix, as the paper writes it throughout section D.

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} \mathrm{term}(i_0, j_0)

    >>> double_sum(lambda i0, j0: 10 * i0 + j0, 2, 3)
    36
    """
    return sum(term(i0, j0) for i0 in range(n) for j0 in range(d))


def single_sum(term: Callable[[int], Any], n: int) -> Any:
    r"""Sum over the rows of a matrix.

    .. math:: \sum_{i_0=1}^{n} \mathrm{term}(i_0)

    >>> single_sum(lambda i0: 10 * i0, 3)
    30
    """
    return sum(term(i0) for i0 in range(n))


def dL_dT(G_i: Array, dAttn_dT: Array) -> Array:
    r"""Gradient on the input of a layer by the chain rule (C.4, Part 1).

    .. math:: \frac{dL(X)}{dT_{i-1}(X)} = \sum_{i_2=1}^{n} \sum_{j_2=1}^{d} G_i(i_2, j_2) \cdot
              \frac{d\mathrm{Attn}_i(T_{i-1}(X))_{i_2, j_2}}{dT_{i-1}(X)}

    Shapes: G_i (n, d), dAttn_dT (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return double_sum(lambda i2, j2: G_i[i2, j2] * dAttn_dT[i2, j2], *G_i.shape)


def dL_dW(G_i: Array, dAttn_dW: Array) -> Array:
    r"""Gradient on W by the chain rule (C.4, Part 2).

    .. math:: \frac{dL(X)}{dW_i} = \sum_{i_2=1}^{n} \sum_{j_2=1}^{d} G_i(i_2, j_2) \cdot
              \frac{d\mathrm{Attn}_i(T_{i-1}(X))_{i_2, j_2}}{dW_i}

    Shapes: G_i (n, d), dAttn_dW (n, d, d, d) -> (d, d). Cost: O(n d³).
    """
    return double_sum(lambda i2, j2: G_i[i2, j2] * dAttn_dW[i2, j2], *G_i.shape)


def dL_dW_V(G_i: Array, dAttn_dW_V: Array) -> Array:
    r"""Gradient on W_V by the chain rule (C.4, Part 3).

    .. math:: \frac{dL(X)}{dW_{V_i}} = \sum_{i_2=1}^{n} \sum_{j_2=1}^{d} G_i(i_2, j_2) \cdot
              \frac{d\mathrm{Attn}_i(T_{i-1}(X))_{i_2, j_2}}{dW_{V_i}}

    Shapes: G_i (n, d), dAttn_dW_V (n, d, d, d) -> (d, d). Cost: O(n d³).
    """
    return double_sum(lambda i2, j2: G_i[i2, j2] * dAttn_dW_V[i2, j2], *G_i.shape)


def dL_dT_entry(G: Array, ds_dX: Array, i1: int, j1: int) -> Any:
    r"""Gradient on one entry of the input (D.2).

    .. math:: \frac{dL(X)}{dT_{i-1}(X)_{i_1, j_1}} = \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) \cdot
              \frac{ds(X)_{i_0, j_0}}{dX_{i_1, j_1}}

    Shapes: G (n, d), ds_dX (n, d, n, d) -> number. Cost: O(n d).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * ds_dX[i0, j0, i1, j1], *G.shape)


def Attn_as_s(f: Array, h: Array) -> Array:
    r"""The attention layer (D.2, second equation of the proof; also in those of F.4 and G.3).

    .. math:: \mathrm{Attn}_i(T_{i-1}(X)) = s(T_{i-1}(X))

    Shapes: f (n, n), h (n, d) -> (n, d). Cost: O(n² d).
    """
    return attn.s(f, h)


# ------------------------------------------------------------------------------- D.1: one entry of s, one entry of X


def C1(X: Array, W: Array, f: Array, s: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Through the scores, by the row sum, X_{i0} as a key (D.1).

    .. math:: C_1(X) = -s(X)_{i_0, j_0} \cdot f(X)_{i_0, i_0} \cdot \langle W_{j_1, *}, X_{i_0, *} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), s (n, d) -> number.
    """
    return -s[i0, j0] * f[i0, i0] * (W[j1] @ X[i0])


def C2(X: Array, W: Array, f: Array, s: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Through the scores, by the row sum, X_{i0} as the query (D.1).

    .. math:: C_2(X) = -s(X)_{i_0, j_0} \cdot \langle f(X)_{i_0, *}, X W_{*, j_1} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), s (n, d) -> number.
    """
    return -s[i0, j0] * (f[i0] @ (X @ W[:, j1]))


def C3(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Through the scores, by u, X_{i0} as a key (D.1).

    .. math:: C_3(X) = f(X)_{i_0, i_0} \cdot h(X)_{i_0, j_0} \cdot \langle W_{j_1, *}, X_{i_0, *} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> number.
    """
    return f[i0, i0] * h[i0, j0] * (W[j1] @ X[i0])


def C4(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Through the scores, by u, X_{i0} as the query (D.1).

    .. math:: C_4(X) = \langle f(X)_{i_0, *} \odot (X W_{*, j_1}), h(X)_{*, j_0} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> number.
    """
    return (f[i0] * (X @ W[:, j1])) @ h[:, j0]


def C5(W_V: Array, f: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Through the value of X_{i0} (D.1).

    .. math:: C_5(X) = f(X)_{i_0, i_0} \cdot (W_V)_{j_1, j_0}

    Shapes: W_V (d, d), f (n, n) -> number.
    """
    return f[i0, i0] * W_V[j1, j0]


def C6(X: Array, W: Array, f: Array, s: Array, i0: int, j0: int, i1: int, j1: int) -> Any:
    r"""Through the scores, by the row sum, X_{i1} as a key (D.1): C1 if i1 = i0.

    .. math:: C_6(X) = -s(X)_{i_0, j_0} \cdot f(X)_{i_1, i_0} \cdot \langle W_{j_1, *}, X_{i_0, *} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), s (n, d) -> number.
    """
    return -s[i0, j0] * f[i1, i0] * (W[j1] @ X[i0])


def C7(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int, i1: int, j1: int) -> Any:
    r"""Through the scores, by u, X_{i1} as a key (D.1): C3 if i1 = i0.

    .. math:: C_7(X) = f(X)_{i_1, i_0} \cdot h(X)_{i_1, j_0} \cdot \langle W_{j_1, *}, X_{i_0, *} \rangle

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> number.
    """
    return f[i1, i0] * h[i1, j0] * (W[j1] @ X[i0])


def C8(W_V: Array, f: Array, i0: int, j0: int, i1: int, j1: int) -> Any:
    r"""Through the value of X_{i1} (D.1): C5 if i1 = i0.

    .. math:: C_8(X) = f(X)_{i_1, i_0} \cdot (W_V)_{j_1, j_0}

    Shapes: W_V (d, d), f (n, n) -> number.
    """
    return f[i1, i0] * W_V[j1, j0]


def ds_dX_same_printed(X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, i0: int, j0: int, j1: int) -> Any:
    r"""Derivative of an entry of s on an entry of the same row of X, as printed (D.1, Part 1: i1 = i0).

    .. math:: \frac{ds(X)_{i_0, j_0}}{dX_{i_0, j_1}} = C_1(X) + C_2(X) + C_3(X) + C_4(X) + C_5(X)

    Shapes: X (n, d), W (d, d), W_V (d, d), f (n, n), h (n, d), s (n, d) -> number. Cost: O(n d).
    """
    scores = C1(X, W, f, s, i0, j0, j1) + C2(X, W, f, s, i0, j0, j1)
    scores = scores + C3(X, W, f, h, i0, j0, j1) + C4(X, W, f, h, i0, j0, j1)
    return scores + C5(W_V, f, i0, j0, j1)


def ds_dX_same(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int, j1: int
) -> Any:
    r"""Derivative of an entry of s on an entry of the same row of X (D.1, Part 1, repaired).

    .. math:: \frac{ds_{i_0, j_0}}{dX_{i_0, j_1}} = \tau (C_1 + C_2 + C_3 + C_4) + C_5
              \quad\text{with } W^\top \text{ for } W

    Shapes: X (n, d), W (d, d), W_V (d, d), f (n, n), h (n, d), s (n, d) -> number. Cost: O(n d).
    """
    scores = C1(X, W.T, f, s, i0, j0, j1) + C2(X, W.T, f, s, i0, j0, j1)
    scores = scores + C3(X, W.T, f, h, i0, j0, j1) + C4(X, W.T, f, h, i0, j0, j1)
    return scale * scores + C5(W_V, f, i0, j0, j1)


def ds_dX_other_printed(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, i0: int, j0: int, i1: int, j1: int
) -> Any:
    r"""Derivative of an entry of s on an entry of another row of X, as printed (D.1, Part 2: i1 ≠ i0; else 0 here).

    .. math:: \frac{ds(X)_{i_0, j_0}}{dX_{i_1, j_1}} = C_6(X) + C_7(X) + C_8(X)

    Shapes: X (n, d), W (d, d), W_V (d, d), f (n, n), h (n, d), s (n, d) -> number. Cost: O(d).
    """
    scores = C6(X, W, f, s, i0, j0, i1, j1) + C7(X, W, f, h, i0, j0, i1, j1)
    return (i1 != i0) * (scores + C8(W_V, f, i0, j0, i1, j1))


def ds_dX_other(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int, i1: int, j1: int
) -> Any:
    r"""Derivative of an entry of s on an entry of another row of X (D.1, Part 2, repaired: i1 ≠ i0; else 0 here).

    .. math:: \frac{ds_{i_0, j_0}}{dX_{i_1, j_1}} = \tau (C_6 + C_7) + C_8
              \quad\text{with } W^\top \text{ for } W, f^\top \text{ for } f

    Row i1 of X is a key and a value to the query i0, with the weight f_{i0,i1}: the fᵀ of C6 to C8.

    Shapes: X (n, d), W (d, d), W_V (d, d), f (n, n), h (n, d), s (n, d) -> number. Cost: O(d).
    """
    scores = C6(X, W.T, f.T, s, i0, j0, i1, j1) + C7(X, W.T, f.T, h, i0, j0, i1, j1)
    return (i1 != i0) * (scale * scores + C8(W_V, f.T, i0, j0, i1, j1))


# ------------------------------------------------------------------------ D.3 to D.7: matrices with these entries


def B6(X: Array, W: Array, f: Array, s: Array, i0: int, j0: int) -> Array:
    r"""Matrix with the entries C6(X, i1, j1) (D.3).

    .. math:: B_6(X) = -s(X)_{i_0, j_0}\, f(X)_{*, i_0} (W \cdot X_{i_0, *})^\top

    Shapes: X (n, d), W (d, d), f (n, n), s (n, d) -> (n, d). Cost: O(n d + d²).
    """
    return -s[i0, j0] * np.outer(f[:, i0], W @ X[i0])


def B7(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int) -> Array:
    r"""Matrix with the entries C7(X, i1, j1) (D.4).

    .. math:: B_7(X) = (f(X)_{*, i_0} \odot h(X)_{*, j_0}) \cdot (W \cdot X_{i_0, *})^\top

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> (n, d). Cost: O(n d + d²).
    """
    return np.outer(f[:, i0] * h[:, j0], W @ X[i0])


def C7_condition_printed(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int, i1: int, j1: int) -> Any:
    r"""The number C7 as the first condition of D.4 prints it: j0 is a row of h and i1 a column, so n = d is needed.

    .. math:: C_7(X, i_1, j_1) = f(X)_{i_1, i_0} \cdot h(X)_{j_0, i_1} \cdot \langle W_{j_1, *}, X_{i_0, *} \rangle

    Lemma D.1 and the proof of D.4 have :math:`h(X)_{i_1, j_0}`: see `C7`.

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> number.
    """
    return f[i1, i0] * h[j0, i1] * (W[j1] @ X[i0])


def B8(W_V: Array, f: Array, i0: int, j0: int) -> Array:
    r"""Matrix with the entries C8(X, i1, j1) (D.5).

    .. math:: B_8(X) = f(X)_{*, i_0} (W_V)_{*, j_0}^\top

    Shapes: W_V (d, d), f (n, n) -> (n, d).
    """
    return np.outer(f[:, i0], W_V[:, j0])


def B2(X: Array, W: Array, f: Array, s: Array, i0: int, j0: int) -> Array:
    r"""Vector with the entries C2(X, j1) (D.6).

    .. math:: B_2(X) = -s(X)_{i_0, j_0}\, W^\top X^\top f(X)_{i_0, *}

    Shapes: X (n, d), W (d, d), f (n, n), s (n, d) -> (d,). Cost: O(n d + d²).
    """
    return -s[i0, j0] * (W.T @ (X.T @ f[i0]))


def B4(X: Array, W: Array, f: Array, h: Array, i0: int, j0: int) -> Array:
    r"""Vector with the entries C4(X, j1) (D.7).

    .. math:: B_4(X) = W^\top X^\top (f(X)_{i_0, *} \odot h(X)_{*, j_0})

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d) -> (d,). Cost: O(n d + d²).
    """
    return W.T @ (X.T @ (f[i0] * h[:, j0]))


# ------------------------------------------------------------------ D.8 and D.9: one entry of s, all entries of X


def e(i0: int, n: int) -> Array:
    r"""Unit vector.

    .. math:: e_{i_0} \in \mathbb{R}^n

    >>> e(1, 3).astype(int)
    array([0, 1, 0])
    """
    return np.arange(n) == i0


def weighted_ds_dX_printed(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, i0: int, j0: int
) -> Array:
    r"""Derivative of an entry of s on X, times that entry of G, as printed (D.8).

    .. math:: G_i(i_0, j_0) \cdot \frac{ds(X)_{i_0, j_0}}{dX} = G_i(i_0, j_0) \cdot
              (B_6(X) + B_7(X) + B_8(X) + e_{i_0} (B_2(X) + B_4(X))^\top)

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n d + d²).
    """
    B = B6(X, W, f, s, i0, j0) + B7(X, W, f, h, i0, j0) + B8(W_V, f, i0, j0)  # (n, d)
    b = B2(X, W, f, s, i0, j0) + B4(X, W, f, h, i0, j0)  # (d,)
    return G[i0, j0] * (B + np.outer(e(i0, len(X)), b))


def weighted_ds_dX(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    r"""Derivative of an entry of s on X, times that entry of G (D.8, repaired).

    .. math:: G(i_0, j_0) \cdot \frac{ds_{i_0, j_0}}{dX} = G(i_0, j_0) \cdot
              (\tau (B_6 + B_7 + e_{i_0} (B_2 + B_4)^\top) + B_8)
              \quad\text{with } W^\top \text{ for } W, f^\top \text{ for } f \text{ in } B_6, B_7, B_8

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n d + d²).
    """
    B = B6(X, W.T, f.T, s, i0, j0) + B7(X, W.T, f.T, h, i0, j0)  # (n, d)
    b = B2(X, W.T, f, s, i0, j0) + B4(X, W.T, f, h, i0, j0)  # (d,)
    return G[i0, j0] * (scale * (B + np.outer(e(i0, len(X)), b)) + B8(W_V, f.T, i0, j0))


def row_i0_printed(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, i0: int, j0: int) -> Array:
    r"""The row i0 of this matrix, as printed (D.8, Case 1 of the proof).

    .. math:: \Bigl(G_i(i_0, j_0) \cdot \frac{ds(X)_{i_0, j_0}}{dX}\Bigr)(i_0, *) = G_i(i_0, j_0) \cdot
              (B_6(X)(i_0, *) + B_7(X)(i_0, *) + B_8(X)(i_0, *) + B_2(X) + B_4(X))

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (d,). Cost: O(n d + d²).
    """
    B = B6(X, W, f, s, i0, j0) + B7(X, W, f, h, i0, j0) + B8(W_V, f, i0, j0)  # (n, d)
    return G[i0, j0] * (B[i0] + B2(X, W, f, s, i0, j0) + B4(X, W, f, h, i0, j0))


def row_i0(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    r"""The row i0 of this matrix (D.8, Case 1, repaired).

    .. math:: \Bigl(G(i_0, j_0) \cdot \frac{ds_{i_0, j_0}}{dX}\Bigr)(i_0, *) = G(i_0, j_0) \cdot
              (\tau (B_6(i_0, *) + B_7(i_0, *) + B_2 + B_4) + B_8(i_0, *)) \quad\text{with } W^\top \text{ for } W

    In this row f and fᵀ are alike: only f_{i0,i0} occurs.

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (d,). Cost: O(n d + d²).
    """
    B = B6(X, W.T, f, s, i0, j0) + B7(X, W.T, f, h, i0, j0)  # (n, d)
    b = B2(X, W.T, f, s, i0, j0) + B4(X, W.T, f, h, i0, j0)  # (d,)
    return G[i0, j0] * (scale * (B[i0] + b) + B8(W_V, f, i0, j0)[i0])


def other_rows_printed(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, i0: int, j0: int
) -> Array:
    r"""The other n − 1 rows of this matrix, as printed (D.8, Case 2 of the proof).

    .. math:: \Bigl(G_i(i_0, j_0) \cdot \frac{ds(X)_{i_0, j_0}}{dX}\Bigr)(\ne i_0, *) = G_i(i_0, j_0) \cdot
              (B_6(X)(\ne i_0, *) + B_7(X)(\ne i_0, *) + B_8(X)(\ne i_0, *))

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n − 1, d). Cost: O(n d + d²).
    """
    B = B6(X, W, f, s, i0, j0) + B7(X, W, f, h, i0, j0) + B8(W_V, f, i0, j0)  # (n, d)
    return G[i0, j0] * np.delete(B, i0, axis=0)


def shape_without_row_printed(n: int, d: int) -> Array:
    r"""Shape of the matrices without row i0, as the equation marks them (D.8, Case 2 of the proof).

    .. math:: d \times (n - 1)
    """
    return np.array([d, n - 1])


def shape_without_row(n: int, d: int) -> Array:
    r"""Shape of the matrices without row i0 (D.8, Case 2, repaired; the text above the equation has it).

    .. math:: (n - 1) \times d
    """
    return np.array([n - 1, d])


def other_rows(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    r"""The other n − 1 rows of this matrix (D.8, Case 2, repaired).

    .. math:: \Bigl(G(i_0, j_0) \cdot \frac{ds_{i_0, j_0}}{dX}\Bigr)(\ne i_0, *) = G(i_0, j_0) \cdot
              (\tau (B_6(\ne i_0, *) + B_7(\ne i_0, *)) + B_8(\ne i_0, *))
              \quad\text{with } W^\top \text{ for } W, f^\top \text{ for } f

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n − 1, d). Cost: O(n d + d²).
    """
    B = scale * (B6(X, W.T, f.T, s, i0, j0) + B7(X, W.T, f.T, h, i0, j0)) + B8(W_V, f.T, i0, j0)  # (n, d)
    return G[i0, j0] * np.delete(B, i0, axis=0)


def gradient_X_sum_printed(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> Array:
    r"""Gradient on X as a sum of matrices, as printed (D.9).

    .. math:: \frac{dL(X)}{dT_{i-1}(X)} = \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) \cdot
              (B_6(X) + B_7(X) + B_8(X) + e_{i_0} (B_2(X) + B_4(X))^\top)

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: weighted_ds_dX_printed(X, W, W_V, G, f, h, s, i0, j0), *X.shape)


def gradient_X_sum(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any) -> Array:
    r"""Gradient on X as a sum of matrices (D.9, repaired).

    .. math:: \frac{dL}{dX} = \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G(i_0, j_0) \cdot
              (\tau (B_6 + B_7 + e_{i_0} (B_2 + B_4)^\top) + B_8)
              \quad\text{with } W^\top \text{ for } W, f^\top \text{ for } f \text{ in } B_6, B_7, B_8

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: weighted_ds_dX(X, W, W_V, G, f, h, s, scale, i0, j0), *X.shape)


# -------------------------------------------------------------------- D.10 to D.14: each double sum as a product


def z6_columns(G: Array, f: Array, s: Array) -> Array:
    r"""Matrix of the term D6, by its columns (D.10).

    .. math:: z_6(X)_{*, i_0} = (G_i(i_0, *)^\top s(X)_{i_0, *})\, f(X)_{*, i_0}

    Shapes: G (n, d), f (n, n), s (n, d) -> (n, n). Cost: O(n² + n d).
    """
    return np.stack([(G[i0] @ s[i0]) * f[:, i0] for i0 in range(len(G))], axis=1)


def sum_B6_step_3(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The sum over j0 carried out (D.10, 3rd step of the proof).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_6(X)
              = -\sum_{i_0=1}^{n} (G_i(i_0, *)^\top s(X)_{i_0, *})\, f(X)_{*, i_0} (W \cdot X_{i_0, *})^\top

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return -single_sum(lambda i0: (G[i0] @ s[i0]) * np.outer(f[:, i0], W @ X[i0]), len(X))


def sum_B6(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The sum of the B6 as a product (D.10).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_6(X) = -z_6(X) X W^\top

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return -z6_columns(G, f, s) @ X @ W.T


def z7_columns(G: Array, f: Array, h: Array) -> Array:
    r"""Matrix of the term D7, by its columns (D.11).

    .. math:: z_7(X)_{*, i_0} = f(X)_{*, i_0} \odot (h(X) G_i(i_0, *))

    Shapes: G (n, d), f (n, n), h (n, d) -> (n, n). Cost: O(n² d).
    """
    return np.stack([f[:, i0] * (h @ G[i0]) for i0 in range(len(G))], axis=1)


def sum_B7_step_3(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The sum over j0 carried out (D.11, 3rd step of the proof).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_7(X)
              = \sum_{i_0=1}^{n} (f(X)_{*, i_0} \odot (h(X) G_i(i_0, *))) \cdot (X_{i_0, *}^\top W^\top)

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return single_sum(lambda i0: np.outer(f[:, i0] * (h @ G[i0]), X[i0] @ W.T), len(X))


def sum_B7(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The sum of the B7 as a product (D.11).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_7(X) = z_7(X) X W^\top

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return z7_columns(G, f, h) @ X @ W.T


def sum_B8_step_3(W_V: Array, G: Array, f: Array) -> Array:
    r"""The sum over j0 carried out (D.12, 3rd step of the proof).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_8(X)
              = \sum_{i_0=1}^{n} f(X)_{*, i_0} G_i(i_0, *)^\top W_V^\top

    Shapes: W_V (d, d), G (n, d), f (n, n) -> (n, d). Cost: O(n² d + n d²).
    """
    return single_sum(lambda i0: np.outer(f[:, i0], G[i0] @ W_V.T), len(G))


def sum_B8(W_V: Array, G: Array, f: Array) -> Array:
    r"""The sum of the B8 as a product (D.12).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_8(X) = f(X) G_i W_V^\top

    Shapes: W_V (d, d), G (n, d), f (n, n) -> (n, d). Cost: O(n² d + n d²).
    """
    return f @ G @ W_V.T


def z2_rows(G: Array, f: Array, s: Array) -> Array:
    r"""Matrix of the term D2, by its rows (D.13).

    .. math:: z_2(X)_{i_0, *} = (G_i(i_0, *)^\top s(X)_{i_0, *})\, f(X)_{i_0, *}

    Shapes: G (n, d), f (n, n), s (n, d) -> (n, n). Cost: O(n² + n d).
    """
    return np.stack([(G[i0] @ s[i0]) * f[i0] for i0 in range(len(G))])


def sum_B2_step_3(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The sum over j0 carried out (D.13, 3rd step of the proof).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_2(X)^\top
              = -\sum_{i_0=1}^{n} (G_i(i_0, *)^\top s(X)_{i_0, *})\, e_{i_0} f(X)_{i_0, *}^\top X W

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return -single_sum(lambda i0: (G[i0] @ s[i0]) * np.outer(e(i0, len(X)), f[i0] @ X @ W), len(X))


def sum_B2(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The sum of the B2 as a product (D.13).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_2(X)^\top = -z_2(X) X W

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return -z2_rows(G, f, s) @ X @ W


def z4_rows(G: Array, f: Array, h: Array) -> Array:
    r"""Matrix of the term D4, by its rows (D.14).

    .. math:: z_4(X)_{i_0, *} = f(X)_{i_0, *} \odot (h(X) G_i(i_0, *))

    Shapes: G (n, d), f (n, n), h (n, d) -> (n, n). Cost: O(n² d).
    """
    return np.stack([f[i0] * (h @ G[i0]) for i0 in range(len(G))])


def sum_B4_step_3(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The sum over j0 carried out (D.14, 3rd step of the proof).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_4(X)^\top
              = \sum_{i_0=1}^{n} e_{i_0} (f(X)_{i_0, *}^\top \odot (h(X) G_i(i_0, *))^\top) X W

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return single_sum(lambda i0: np.outer(e(i0, len(X)), (f[i0] * (h @ G[i0])) @ X @ W), len(X))


def sum_B4(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The sum of the B4 as a product (D.14).

    .. math:: \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_4(X)^\top = z_4(X) X W

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return z4_rows(G, f, h) @ X @ W


# ------------------------------------------------------------------------------------- D.15 and D.16: names for them


def D6_sum(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The term D6 (D.15).

    .. math:: D_6 := \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_6(X)

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * B6(X, W, f, s, i0, j0), *G.shape)


def D7_sum(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The term D7 (D.15).

    .. math:: D_7 := \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_7(X)

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * B7(X, W, f, h, i0, j0), *G.shape)


def D8_sum(W_V: Array, G: Array, f: Array) -> Array:
    r"""The term D8 (D.15).

    .. math:: D_8 := \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0) B_8(X)

    Shapes: W_V (d, d), G (n, d), f (n, n) -> (n, d). Cost: O(n² d²).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * B8(W_V, f, i0, j0), *G.shape)


def D2_sum(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    r"""The term D2 (D.15).

    .. math:: D_2 := \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_2(X)^\top

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), s (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * np.outer(e(i0, len(X)), B2(X, W, f, s, i0, j0)), *G.shape)


def D4_sum(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    r"""The term D4 (D.15).

    .. math:: D_4 := \sum_{i_0=1}^{n} \sum_{j_0=1}^{d} G_i(i_0, j_0)\, e_{i_0} B_4(X)^\top

    Shapes: X (n, d), W (d, d), G (n, d), f (n, n), h (n, d) -> (n, d). Cost: O(n² d² + n d³).
    """
    return double_sum(lambda i0, j0: G[i0, j0] * np.outer(e(i0, len(X)), B4(X, W, f, h, i0, j0)), *G.shape)


def K_entry(G: Array, s: Array, i0: int) -> Any:
    r"""Inner product of a row of G and a row of s (D.16).

    .. math:: K_{i_0} = G_i(i_0, *)^\top s(X)_{i_0, *}

    Shapes: G (n, d), s (n, d) -> number. Cost: O(d).
    """
    return G[i0] @ s[i0]


def K(G: Array, s: Array) -> Array:
    r"""All these inner products (D.16).

    .. math:: K = (G_i \odot s(X)) \cdot 1_d

    Shapes: G (n, d), s (n, d) -> (n,). Cost: O(n d) once s is known.

    >>> K(np.array([[1, 2], [3, 4]]), np.array([[1, 1], [1, 0]]))
    array([3, 3])
    """
    return (G * s).sum(axis=1)


# ------------------------------------------------------------------------------------------ D.17: their closed forms


def z6(f: Array, K: Array) -> Array:
    r"""Matrix of the term D6 (D.17).

    .. math:: z_6(X) = f(X)\, \mathrm{diag}(K)

    Shapes: f (n, n), K (n,) -> (n, n).
    """
    return f * K


def z7(f: Array, h: Array, G: Array) -> Array:
    r"""Matrix of the term D7 (D.17).

    .. math:: z_7(X) = f(X) \odot (h(X) G_i^\top)

    Shapes: f (n, n), h (n, d), G (n, d) -> (n, n). Cost: O(n² d).
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

    Shapes: f (n, n), h (n, d), G (n, d) -> (n, n). Cost: O(n² d).
    """
    return f * (G @ h.T)


def D6(X: Array, W: Array, f: Array, K: Array) -> Array:
    r"""The term D6 in closed form (D.17).

    .. math:: D_6 = -z_6(X) X W^\top

    Shapes: X (n, d), W (d, d), f (n, n), K (n,) -> (n, d). Cost: O(n² d + n d²).
    """
    return -z6(f, K) @ X @ W.T


def D7(X: Array, W: Array, f: Array, h: Array, G: Array) -> Array:
    r"""The term D7 in closed form (D.17).

    .. math:: D_7 = z_7(X) X W^\top

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return z7(f, h, G) @ X @ W.T


def D8(W_V: Array, f: Array, G: Array) -> Array:
    r"""The term D8 in closed form (D.17).

    .. math:: D_8 = f(X) G_i W_V^\top

    Shapes: W_V (d, d), f (n, n), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return f @ G @ W_V.T


def D2(X: Array, W: Array, f: Array, K: Array) -> Array:
    r"""The term D2 in closed form (D.17).

    .. math:: D_2 = -z_2(X) X W

    Shapes: X (n, d), W (d, d), f (n, n), K (n,) -> (n, d). Cost: O(n² d + n d²).
    """
    return -z2(f, K) @ X @ W


def D4(X: Array, W: Array, f: Array, h: Array, G: Array) -> Array:
    r"""The term D4 in closed form (D.17).

    .. math:: D_4 = z_4(X) X W

    Shapes: X (n, d), W (d, d), f (n, n), h (n, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return z4(f, h, G) @ X @ W


# ------------------------------------------------------------------------------------------- E.11: the gradient on X


def five_terms_printed(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> Array:
    r"""Sum of the five terms, as printed, whatever f and s mean in the reading at hand (E.11).

    .. math:: D_6 + D_7 + D_8 + D_2 + D_4 = -z_6 X W^\top + z_7 X W^\top + f G_i W_V^\top - z_2 X W + z_4 X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    k = K(G, s)  # (n,)
    scores = D6(X, W, f, k) + D7(X, W, f, h, G) + D2(X, W, f, k) + D4(X, W, f, h, G)  # (n, d)
    return scores + D8(W_V, f, G)


def five_terms(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any) -> Array:
    r"""Sum of the five terms (E.11, repaired): Wᵀ for W, fᵀ for f in D6, D7 and D8, and τ on all but D8.

    .. math:: \frac{dL}{dX} = \tau \bigl(-f^\top \mathrm{diag}(K) X W + (f^\top \odot (h G^\top)) X W
              - \mathrm{diag}(K) f X W^\top + (f \odot (G h^\top)) X W^\top\bigr) + f^\top G W_V^\top

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), f (n, n), h (n, d), s (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    k = K(G, s)  # (n,)
    scores = D6(X, W.T, f.T, k) + D7(X, W.T, f.T, h, G) + D2(X, W.T, f, k) + D4(X, W.T, f, h, G)  # (n, d)
    return scale * scores + D8(W_V, f.T, G)


def gradient_X_printed(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on X, as printed (E.11, from D.9, D.15 and D.17).

    .. math:: \frac{dL}{dT_{i-1}} = -f \mathrm{diag}(K) X W^\top + (f \odot (h G_i^\top)) X W^\top + f G_i W_V^\top
              - \mathrm{diag}(K) f X W + (f \odot (G_i h^\top)) X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    h = attn.h(X, W_V)  # (n, d)
    return five_terms_printed(X, W, W_V, G, f, h, attn.s(f, h))


def gradient_X(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Gradient on X (E.11, repaired, its terms collected in p), with τ the scale of the scores.

    .. math:: \frac{dL}{dX} = \tau (p X W^\top + p^\top X W) + f^\top G W_V^\top

    D2 and D4 make up the first term, since p = z4 − z2; D6 and D7 the second. A query i feels the scores of its row,
    a key j those of its column: hence p once as it is and once transposed, and the values of key j reach the outputs
    through column j of f, hence fᵀ.

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d) time, n² memory.
    """
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ W_V.T
