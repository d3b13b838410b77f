r"""Softmax attention as the paper defines it (Definitions 1.1, 1.2, C.3, C.5 to C.12, I.2, I.5, K.1), and bounds on
its entries (Lemmas C.17 to C.19).

One function per definition, in the paper's order, each a few lines of NumPy that read like the definition. The
functions also run on object arrays (balls, fractions, complex numbers), so that every kind of evidence judges the code
shown here.

| symbol | shape | meaning |
|---|---|---|
| `X` | (n, d) | input sequence |
| `W_Q`, `W_K` | (d, d) | query and key weights |
| `W` | (d, d) | W_Q W_Kᵀ |
| `W_V` | (d, d) | value weights |
| `G` | (n, d) | dL/dAttn(X) |
| `scale` | number | τ, what multiplies the scores: 1/d in 1.2, C.3 and I.5, 1 as C.6 prints u |
| `heads` | number | h of K.1, where h is also the name of the values |

They follow the definitions to the letter: exp of a score above 709 overflows here as it does there.
`reference.attention` computes the same output for any finite scores and without an n×n array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # floats, or objects that know exp, +, −, × and /


def Softmax(z: Array) -> Array:
    r"""Softmax of a vector (1.1).

    .. math:: \mathrm{Softmax}(z) = \exp(z) / \langle \exp(z), 1_n \rangle

    Shapes: z (n,) -> (n,). Cost: O(n).

    >>> Softmax(np.array([0.0, 0.0, np.log(2)]))
    array([0.25, 0.25, 0.5 ])
    """
    return np.exp(z) / np.exp(z).sum()


def Softmax_rows(Z: Array) -> Array:
    r"""Softmax of each row of a matrix, as 1.2, C.3 and K.1 apply it.

    .. math:: \mathrm{Softmax}(Z)_{i,*} = \mathrm{Softmax}(Z_{i,*})

    Shapes: Z (n, m) -> (n, m). Cost: O(n m).

    >>> Softmax_rows(np.array([[0.0, 0.0], [0.0, np.log(3)]]))
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    return np.stack([Softmax(row) for row in Z])


def Attn_QKV(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    r"""Self-attention (1.2).

    .. math:: \mathrm{Attn}(X) = \mathrm{Softmax}(X W_Q W_K^\top X^\top / d) \cdot X W_V

    Shapes: X (n, d), W_Q (d, d), W_K (d, d), W_V (d, d) -> (n, d). Cost: O(n² d + n d²) time, n² memory.

    >>> one = np.ones((1, 1))
    >>> Attn_QKV(np.array([[0.0], [1.0]]), np.log(3) * one, one, 4 * one)
    array([[2.],
           [3.]])
    """
    scores = X @ W_Q @ W_K.T @ X.T / X.shape[1]  # (n, n)
    return Softmax_rows(scores) @ (X @ W_V)


def Attn_QKV_matrix_form(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    r"""Self-attention with its attention matrix f(X) written out (1.2).

    .. math:: \mathrm{Attn}(X) = f(X) \cdot X W_V, \quad f(X) = D^{-1} A, \quad D = \mathrm{diag}(A 1_n), \quad
              A = \exp(X W_Q W_K^\top X^\top / d)

    Shapes: X (n, d), W_Q (d, d), W_K (d, d), W_V (d, d) -> (n, d). Cost: O(n² d + n d²) time, n² memory.
    """
    A = np.exp(X @ W_Q @ W_K.T @ X.T / X.shape[1])  # (n, n)
    D = A.sum(axis=1)  # (n,): the diagonal
    f = A / D[:, None]  # (n, n)
    return f @ (X @ W_V)


def Attn(X: Array, W: Array, W_V: Array) -> Array:
    r"""Self-attention with one matrix for queries and keys, W = W_Q W_Kᵀ (C.3).

    .. math:: \mathrm{Attn}(X) = \mathrm{Softmax}(X W X^\top / d) \cdot X \cdot W_V

    Shapes: X (n, d), W (d, d), W_V (d, d) -> (n, d). Cost: O(n² d + n d²) time, n² memory.
    """
    scores = X @ W @ X.T / X.shape[1]  # (n, n)
    return Softmax_rows(scores) @ X @ W_V


def Attn_matrix_form(X: Array, W: Array, W_V: Array) -> Array:
    r"""The same with its attention matrix f(X) written out (C.3).

    .. math:: \mathrm{Attn}(X) = f(X) \cdot X \cdot W_V, \quad f(X) = D^{-1} A, \quad D = \mathrm{diag}(A 1_n), \quad
              A = \exp(X W X^\top / d)

    Shapes: X (n, d), W (d, d), W_V (d, d) -> (n, d). Cost: O(n² d + n d²) time, n² memory.
    """
    A = np.exp(X @ W @ X.T / X.shape[1])  # (n, n)
    D = A.sum(axis=1)  # (n,): the diagonal
    f = A / D[:, None]  # (n, n)
    return f @ X @ W_V


def gradient_W_Q(dL_dW_QK: Array, W_K: Array) -> Array:
    r"""Gradient on W_Q from the one on W, taken at W = W_Q W_Kᵀ (C.3).

    .. math:: \frac{dL}{dW_Q} = \frac{dL}{dW} \cdot W_K

    Shapes: dL_dW_QK (d, d), W_K (d, d) -> (d, d). Cost: O(d³).
    """
    return dL_dW_QK @ W_K


def gradient_W_K(dL_dW_QK: Array, W_Q: Array) -> Array:
    r"""Gradient on W_K from the one on W (C.3 calls it as easy as that on W_Q and does not write it out).

    W_K enters W = W_Q W_Kᵀ transposed, and so does the gradient on W:

    .. math:: \frac{dL}{dW_K} = \left( \frac{dL}{dW} \right)^\top W_Q

    Shapes: dL_dW_QK (d, d), W_Q (d, d) -> (d, d). Cost: O(d³).
    """
    return dL_dW_QK.T @ W_Q


def entry(X: Array, i0: int, j0: int) -> Any:
    r"""Entry of a matrix Z, here of X (C.5).

    .. math:: Z_{i,j} = Z(i,j)

    Shapes: X (n, d) -> number.
    """
    return X[i0, j0]


def row(X: Array, i0: int) -> Array:
    r"""Row of a matrix Z, here of X, as a vector (C.5).

    .. math:: Z_{i,*} \in R^{d \times 1}

    Shapes: X (n, d) -> (d,).
    """
    return X[i0, :]


def column(X: Array, j0: int) -> Array:
    r"""Column of a matrix Z, here of X, as a vector (C.5).

    .. math:: Z_{*,j} \in R^{n \times 1}

    Shapes: X (n, d) -> (n,).
    """
    return X[:, j0]


def u_printed(X: Array, W: Array) -> Array:
    r"""Exponential matrix, as printed (C.6).

    .. math:: u(X) = \exp(X W X^\top)

    Shapes: X (n, d), W (d, d) -> (n, n). Cost: O(n d² + n² d).
    """
    return np.exp(X @ W @ X.T)


def u(X: Array, W: Array, *, scale: Any = 1, causal: bool = False) -> Array:
    r"""Exponential matrix (C.6) for scores scaled by τ, with the causal mask of I.2 if asked for (I.5).

    .. math:: u(X) = \exp(\tau X W X^\top)

    C.6 prints it with τ = 1, the attention matrices of 1.2, C.3 and I.5 have τ = 1/d.

    Shapes: X (n, d), W (d, d) -> (n, n). Cost: O(n d² + n² d).

    >>> u(np.array([[0.0], [0.0]]), np.array([[1.0]]), causal=True)
    array([[1., 0.],
           [1., 1.]])
    """
    u = np.exp(scale * (X @ W @ X.T))  # (n, n)
    return np.where(M(len(X)), u, 0) if causal else u


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


def p_row(f: Array, q: Array, j0: int) -> Array:
    r"""One row of p (C.12): the vector-Jacobian product of softmax.

    .. math:: p(X)_{j_0} = (\mathrm{diag}(f(X)_{j_0}) - f(X)_{j_0} f(X)_{j_0}^\top)\, q(X)_{j_0}

    Shapes: f (n, n), q (n, n) -> (n,). Cost: O(n²) for one row.

    >>> p_row(np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]), 0)
    array([-0.5,  0.5])
    """
    return (np.diag(f[j0]) - np.outer(f[j0], f[j0])) @ q[j0]


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
    r"""Cotangent of the scores (C.12): all rows at once.

    .. math:: p(X) = p_1(X) - p_2(X)

    Shapes: f (n, n), q (n, n) -> (n, n). Cost: O(n²).

    >>> p(np.array([[0.5, 0.5]]), np.array([[2.0, 4.0]]))
    array([[-0.5,  0.5]])
    """
    return p1(f, q) - p2(f, q)


def weight_bound() -> int:
    r"""Largest entry of f (C.17): the rows of f are non-negative and sum to one.

    .. math:: \|f(X)\|_\infty \le 1

    Shapes: -> number.
    """
    return 1


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


def output_bound(f: Array, h: Array) -> Any:
    r"""Largest entry of s, as printed in the proof of C.19.

    .. math:: \|f(X) h(X)\|_\infty \le n \|f(X)\|_\infty \|h(X)\|_\infty

    Shapes: f (n, n), h (n, d) -> number.

    >>> float(output_bound(np.full((2, 2), 0.5), np.array([[1.0], [-3.0]])))
    3.0
    """
    return len(f) * np.abs(f).max() * np.abs(h).max()


def output_bound_sharp(h: Array) -> Any:
    r"""Largest entry of s, without the factor of C.19: a row of s is a mean of the rows of h with weights of f.

    .. math:: \|s(X)\|_\infty \le \|h(X)\|_\infty

    Shapes: h (n, d) -> number.

    >>> float(output_bound_sharp(np.array([[1.0], [-3.0]])))
    3.0
    """
    return np.abs(h).max()


def output_bound_bits(d: int, bits: int) -> int:
    r"""Largest entry of s for entries of at most 2^bits (the explicit form behind C.19's poly(n)).

    .. math:: \|X\|_\infty, \|W_V\|_\infty \le 2^b \implies \|s(X)\|_\infty \le d \cdot 4^b

    >>> output_bound_bits(2, 3)
    128
    """
    return d * 4**bits


def M(n: int) -> Array:
    r"""Causal mask (I.2).

    .. math:: M_{i,j} = 1 \text{ if } i \ge j, \quad 0 \text{ otherwise}

    Shapes: -> (n, n). Cost: O(n²).

    >>> M(2)
    array([[1., 0.],
           [1., 1.]])
    """
    return np.tri(n)


def f_causal(X: Array, W: Array) -> Array:
    r"""Attention matrix with the causal mask (I.5).

    .. math:: \hat f(X) = D^{-1} (M \odot A), \quad A = \exp(X W X^\top / d), \quad
              D = \mathrm{diag}((M \odot A) \cdot 1_n)

    Shapes: X (n, d), W (d, d) -> (n, n). Cost: O(n² d + n d²).

    >>> f_causal(np.array([[0.0], [0.0]]), np.array([[1.0]]))
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    A = np.exp(X @ W @ X.T / X.shape[1])  # (n, n)
    masked = np.where(M(len(X)), A, 0)  # (n, n): M ⊙ A
    D = masked.sum(axis=1)  # (n,): the diagonal
    return masked / D[:, None]


def split(Q: Array, heads: int) -> Array:
    r"""Queries, keys or values split along d into h heads of width d_h = d/h (K.1, step 1).

    .. math:: Q = (Q_1 \,|\, Q_2 \,|\, \cdots \,|\, Q_h), \quad Q_l \in R^{n \times d_h}

    Shapes: Q (n, d) -> (h, n, d_h).

    >>> split(np.array([[1.0, 2.0, 3.0, 4.0]]), 2)
    array([[[1., 2.]],
    <BLANKLINE>
           [[3., 4.]]])
    """
    return np.stack(np.split(Q, heads, axis=1))


def f_heads(X: Array, W_Q: Array, W_K: Array, heads: int) -> Array:
    r"""Attention matrix of each head (K.1, step 2), with Q = X W_Q and K = X W_K.

    .. math:: f_l = \mathrm{Softmax}(Q_l K_l^\top / d_h)

    Shapes: X (n, d), W_Q (d, d), W_K (d, d) -> (h, n, n). Cost: O(n² d + n d²).
    """
    pairs = zip(split(X @ W_Q, heads), split(X @ W_K, heads), strict=True)
    return np.stack([Softmax_rows(Q @ K.T / Q.shape[1]) for Q, K in pairs])


def s_heads(X: Array, W_Q: Array, W_K: Array, W_V: Array, heads: int) -> Array:
    r"""Output of each head (K.1, step 2), with V = X W_V.

    .. math:: s_l = f_l V_l

    Shapes: X (n, d), W_Q (d, d), W_K (d, d), W_V (d, d) -> (h, n, d_h). Cost: O(n² d + n d²).
    """
    return f_heads(X, W_Q, W_K, heads) @ split(X @ W_V, heads)


def s_multi_head(X: Array, W_Q: Array, W_K: Array, W_V: Array, heads: int) -> Array:
    r"""Multi-head attention (K.1, step 3): the outputs of the heads side by side.

    .. math:: s = (s_1 \,|\, s_2 \,|\, \cdots \,|\, s_h)

    Shapes: X (n, d), W_Q (d, d), W_K (d, d), W_V (d, d) -> (n, d). Cost: O(n² d + n d²) time, h n² memory.
    """
    return np.concatenate(s_heads(X, W_Q, W_K, W_V, heads), axis=1)
