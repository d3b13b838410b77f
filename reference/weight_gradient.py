r"""The gradients of one attention layer on W = W_Q W_Kᵀ and W_V, in the steps of sections F and G.

F.1 to F.4 and G.1 to G.3 in the order of the paper, each printed formula that does not hold in every reading beside
the one that does.

| symbol | shape | meaning |
|---|---|---|
| `A` | (n², d²) | X ⊗ X; its block `A_j0` has shape (n, d²), column `i` of a block shape (n,) |
| w | (d²,) | W as a vector, read row by row where nothing else is said: entry a d + b is W[a, b] |
| `i`, `i0`, `j0`, … | | the paper's indices, from 0 |

What `X`, `f`, `h`, `s`, `q`, `p`, `G` and `scale` mean: `reference.softmax_attention`. A formula that takes `f` leaves
the scale and the mask of the scores to it; `scale` is then the factor that differentiation brings out.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from reference import softmax_attention as attn
from reference.softmax_attention import Array

# ----------------------------------------------------------------------------------------------------- F.1: notation


def kronecker(A1: Array, A2: Array) -> Array:
    r"""Kronecker product (F.1): all products of an entry of A1 and an entry of A2.

    .. math:: \mathsf{A} = A_1 \otimes A_2

    Shapes: A1 (n, d), A2 (n, d) -> (n², d²). Cost: O(n² d²) time and memory.

    >>> kronecker(np.array([[1, 2]]), np.array([[3, 5]]))
    array([[ 3,  5,  6, 10]])
    """
    return np.kron(A1, A2)


def block(A: Array, j0: int) -> Array:
    r"""The j0-th block of n consecutive rows (F.1): row j0 of A1 against all rows of A2.

    .. math:: \mathsf{A}_{j_0} = (A_1)_{j_0,*}^\top \otimes A_2

    Shapes: A (n², d²) -> (n, d²).

    >>> block(np.arange(4)[:, None], 1)  # the last two of 2² rows
    array([[2],
           [3]])
    """
    n = isqrt(len(A))
    return A.reshape(n, n, -1)[j0]  # (n, d²)


def A(X: Array) -> Array:
    r"""The Kronecker product of self-attention (F.2): how the scores X W Xᵀ depend on W.

    .. math:: \mathsf{A} = X \otimes X

    Shapes: X (n, d) -> (n², d²).

    >>> X, W = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    >>> bool((block(A(X), 0) @ W.ravel() == (X @ W @ X.T)[0]).all())
    True
    """
    return kronecker(X, X)


# ----------------------------------------------------------------------------------------- F.2 and F.3: gradient on W


def ds_dw_printed(A: Array, f: Array, h: Array, j0: int, i0: int, i: int) -> Any:
    r"""Gradient of one entry of s on one entry of w, as printed (F.3).

    .. math:: \frac{ds_{j_0,i_0}}{dw_i} = \langle \mathsf{A}_{j_0,i} \odot f_{j_0}, h_{i_0} \rangle
              - \langle f_{j_0}, h_{i_0} \rangle \cdot \langle \mathsf{A}_{j_0,i}, f_{j_0} \rangle

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    A_j0i, f_j0, h_i0 = block(A, j0)[:, i], f[j0], h[:, i0]  # (n,), (n,), (n,)
    return (A_j0i * f_j0) @ h_i0 - (f_j0 @ h_i0) * (A_j0i @ f_j0)


def ds_dw(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int, i: int) -> Any:
    r"""Gradient of one entry of s on one entry of w, for scores scaled by τ (F.3, repaired).

    .. math:: \frac{ds_{j_0,i_0}}{dw_i} = \tau \left( \langle \mathsf{A}_{j_0,i} \odot f_{j_0}, h_{i_0} \rangle
              - \langle f_{j_0}, h_{i_0} \rangle \cdot \langle \mathsf{A}_{j_0,i}, f_{j_0} \rangle \right)

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    return scale * ds_dw_printed(A, f, h, j0, i0, i)


def hadamard_product(A: Array, f: Array, h: Array, j0: int, i0: int, i: int) -> Any:
    r"""First term of F.3 as a product of matrices (F.4, proof, by C.1).

    .. math:: \langle \mathsf{A}_{j_0,i} \odot f_{j_0}, h_{i_0} \rangle
              = \mathsf{A}_{j_0,i}^\top \mathrm{diag}(f_{j_0})\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    return block(A, j0)[:, i] @ np.diag(f[j0]) @ h[:, i0]


def inner_products(A: Array, f: Array, h: Array, j0: int, i0: int, i: int) -> Any:
    r"""Second term of F.3 as a product of matrices (F.4, proof, by C.1).

    .. math:: \langle f_{j_0}, h_{i_0} \rangle \cdot \langle f_{j_0}, \mathsf{A}_{j_0,i} \rangle
              = \mathsf{A}_{j_0,i}^\top f_{j_0} f_{j_0}^\top h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    return block(A, j0)[:, i] @ np.outer(f[j0], f[j0]) @ h[:, i0]


def softmax_jacobian(f_j0: Array) -> Array:
    r"""Derivative of one row of softmax on its scores, which F.4's proof and C.12 write out wherever they need it.

    .. math:: \mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top

    Shapes: f_j0 (n,) -> (n, n).

    >>> softmax_jacobian(np.array([0.5, 0.5]))
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    return np.diag(f_j0) - np.outer(f_j0, f_j0)


def ds_dw_product_printed(A: Array, f: Array, h: Array, j0: int, i0: int, i: int) -> Any:
    r"""Gradient of one entry of s on one entry of w as a product of matrices, as printed (F.4, proof, above (12)).

    .. math:: \frac{ds_{j_0,i_0}}{dw_i}
              = \mathsf{A}_{j_0,i}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    return block(A, j0)[:, i] @ softmax_jacobian(f[j0]) @ h[:, i0]


def ds_dw_product(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int, i: int) -> Any:
    r"""Gradient of one entry of s on one entry of w as a product of matrices, for scores scaled by τ (repaired).

    .. math:: \frac{ds_{j_0,i_0}}{dw_i}
              = \tau\, \mathsf{A}_{j_0,i}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> number.
    """
    return scale * ds_dw_product_printed(A, f, h, j0, i0, i)


def ds_dW_printed(A: Array, f: Array, h: Array, j0: int, i0: int) -> Array:
    r"""Gradient of one entry of s on W, as a vector, as printed (F.4, equation 12).

    .. math:: \frac{ds_{j_0,i_0}}{dW} = \mathsf{A}_{j_0}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> (d²,).
    """
    return block(A, j0).T @ softmax_jacobian(f[j0]) @ h[:, i0]


def ds_dW(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int) -> Array:
    r"""Gradient of one entry of s on W, as a vector, for scores scaled by τ (F.4, equation 12, repaired).

    .. math:: \frac{ds_{j_0,i_0}}{dW}
              = \tau\, \mathsf{A}_{j_0}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d) -> (d²,).
    """
    return scale * ds_dW_printed(A, f, h, j0, i0)


def dL_dW_sum_printed(A: Array, f: Array, h: Array, G: Array) -> Array:
    r"""Gradient of the loss on W, as a vector, as printed (F.4, equation 14).

    .. math:: \frac{dL}{dW_i} = \sum_{j_0=1}^{n} \sum_{i_0=1}^{d} G_i(j_0, i_0)
              \cdot \mathsf{A}_{j_0}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d), G (n, d) -> (d²,).
    """
    return np.sum([G[j0, i0] * ds_dW_printed(A, f, h, j0, i0) for j0, i0 in np.ndindex(G.shape)], axis=0)


def dL_dW_sum(A: Array, f: Array, h: Array, G: Array, scale: Any) -> Array:
    r"""Gradient of the loss on W, as a vector, for scores scaled by τ (F.4, equation 14, repaired).

    .. math:: \frac{dL}{dW_i} = \tau \sum_{j_0=1}^{n} \sum_{i_0=1}^{d} G_i(j_0, i_0)
              \cdot \mathsf{A}_{j_0}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, h_{i_0}

    Shapes: A (n², d²), f (n, n), h (n, d), G (n, d) -> (d²,).
    """
    return scale * dL_dW_sum_printed(A, f, h, G)


def q_row(G: Array, h: Array, j0: int) -> Array:
    r"""One row of q as a sum over the columns of h (F.4, equation 15).

    .. math:: q_{j_0} = \sum_{i_0=1}^{d} G_i(j_0, i_0) \cdot h_{i_0}

    Shapes: G (n, d), h (n, d) -> (n,).
    """
    return np.sum([G[j0, i0] * h[:, i0] for i0 in range(h.shape[1])], axis=0)


def sum_with_q(A: Array, f: Array, q: Array) -> Array:
    r"""Equation 14 with the sum over i0 in q (F.4, proof, 2nd step).

    .. math:: \sum_{j_0=1}^{n} \mathsf{A}_{j_0}^\top (\mathrm{diag}(f_{j_0}) - f_{j_0} f_{j_0}^\top)\, q_{j_0}

    Shapes: A (n², d²), f (n, n), q (n, n) -> (d²,).
    """
    return np.sum([block(A, j0).T @ softmax_jacobian(f[j0]) @ q[j0] for j0 in range(len(q))], axis=0)


def sum_with_p(A: Array, f: Array, q: Array) -> Array:
    r"""Equation 14 with all but A in p (F.4, proof, 3rd step).

    .. math:: \sum_{j_0=1}^{n} \mathsf{A}_{j_0}^\top p_{j_0}, \qquad p = p_1 - p_2

    Shapes: A (n², d²), f (n, n), q (n, n) -> (d²,).
    """
    p = attn.p(f, q)  # (n, n)
    return np.sum([block(A, j0).T @ p[j0] for j0 in range(len(p))], axis=0)


def tensor_trick(X: Array, f: Array, q: Array) -> Array:
    r"""The sum over the blocks of A as a product of matrices (F.4, proof, 4th step).

    .. math:: \sum_{j_0=1}^{n} \mathsf{A}_{j_0}^\top p_{j_0} = X^\top p\, X

    Shapes: X (n, d), f (n, n), q (n, n) -> (d, d). Cost: O(n² d).

    >>> X, f, q = np.array([[1.0, 2.0], [3.0, 4.0]]), np.full((2, 2), 0.5), np.array([[0.0, 4.0], [0.0, 0.0]])
    >>> tensor_trick(X, f, q)
    array([[2., 2.],
           [4., 4.]])
    >>> sum_with_p(A(X), f, q)  # the vector holds the rows, one after the other
    array([2., 2., 4., 4.])
    """
    return X.T @ attn.p(f, q) @ X


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


# -------------------------------------------------------------------------------------- G.1 and G.2: gradient on W_V


def h_entry(X: Array, W_V: Array, i0: int, j0: int) -> Any:
    r"""One entry of h (G.1, proof).

    .. math:: h_{i_0,j_0} = X_{i_0,*}^\top (W_V)_{*,j_0}

    Shapes: X (n, d), W_V (d, d) -> number.
    """
    return X[i0] @ W_V[:, j0]


def dh_dW_V(X: Array, i0: int, j0: int, i1: int, j1: int) -> Any:
    r"""Gradient of one entry of h on one entry of W_V (G.1).

    .. math:: \frac{dh_{i_0,j_0}}{d(W_V)_{i_1,j_1}}
              = \begin{cases} X_{i_0,i_1} & j_0 = j_1 \\ 0 & j_0 \ne j_1 \end{cases}

    Shapes: X (n, d) -> number.
    """
    return X[i0, i1] if j0 == j1 else 0


def s_entry(f: Array, h: Array, i2: int, j2: int) -> Any:
    r"""One entry of s (G.2, equation 20).

    .. math:: s_{i_2,j_2} = f_{i_2,*}^\top h_{*,j_2}

    Shapes: f (n, n), h (n, d) -> number.
    """
    return f[i2] @ h[:, j2]


def ds_dh(f: Array, i2: int, i3: int) -> Any:
    r"""Gradient of one entry of s on one entry of h in its column (G.2, equation 21).

    .. math:: \frac{ds_{i_2,j_2}}{dh_{i_3,j_2}} = f_{i_2,i_3}

    Shapes: f (n, n) -> number.
    """
    return f[i2, i3]


def chain_rule_sum_printed(X: Array, f: Array, i2: int, i1: int) -> Any:
    r"""Gradient of one entry of s on one entry of W_V in its column, as printed (G.2, 3rd step): a sum to d.

    .. math:: \frac{ds_{i_2,j_2}}{d(W_V)_{i_1,j_2}} = \sum_{i_3=1}^{d} f_{i_2,i_3} X_{i_3,i_1}

    For n < d there are only n such terms, and those are taken.

    Shapes: X (n, d), f (n, n) -> number.
    """
    d = X.shape[1]
    return f[i2, :d] @ X[:d, i1]


def chain_rule_sum(X: Array, f: Array, i2: int, i1: int) -> Any:
    r"""Gradient of one entry of s on one entry of W_V in its column (G.2, 3rd step, repaired): a sum to n.

    .. math:: \frac{ds_{i_2,j_2}}{d(W_V)_{i_1,j_2}} = \sum_{i_3=1}^{n} f_{i_2,i_3} X_{i_3,i_1}

    Shapes: X (n, d), f (n, n) -> number.
    """
    n = X.shape[0]
    return f[i2, :n] @ X[:n, i1]


def zero_case_printed(i2: int, j2: int, i1: int, j1: int) -> Any:
    r"""The derivative where j1 ≠ j2, as printed, with j2 for j1 in the index (G.2, proof of part 1).

    .. math:: j_1 \ne j_2 \implies \frac{ds_{i_2,j_2}}{d(W_V)_{i_1,j_2}} = 0
    """
    return 0


def zero_case(i2: int, j2: int, i1: int, j1: int) -> Any:
    r"""The derivative where j1 ≠ j2 (G.2, proof of part 1, repaired).

    .. math:: j_1 \ne j_2 \implies \frac{ds_{i_2,j_2}}{d(W_V)_{i_1,j_1}} = 0
    """
    return 0


def ds_dW_V_entry(X: Array, f: Array, i2: int, j2: int, i1: int, j1: int) -> Any:
    r"""Gradient of one entry of s on one entry of W_V (G.2, part 1).

    .. math:: \frac{ds_{i_2,j_2}}{d(W_V)_{i_1,j_1}}
              = \begin{cases} f_{i_2,*}^\top X_{*,i_1} & j_2 = j_1 \\ 0 & j_2 \ne j_1 \end{cases}

    Shapes: X (n, d), f (n, n) -> number.
    """
    return f[i2] @ X[:, i1] if j2 == j1 else 0


def ds_dW_V_column(X: Array, f: Array, i2: int) -> Array:
    r"""Gradient of one entry of s on the column of W_V that it depends on (G.2, proof of part 2).

    .. math:: \frac{ds_{i_2,j_2}}{d(W_V)_{*,j_2}} = X^\top f_{i_2,*}

    Shapes: X (n, d), f (n, n) -> (d,).
    """
    return X.T @ f[i2]


def ds_dW_V(X: Array, f: Array, i2: int, j2: int) -> Array:
    r"""Gradient of one entry of s on W_V (G.2, part 2).

    .. math:: \frac{ds_{i_2,j_2}}{dW_V} = X^\top f_{i_2,*} e_{j_2}^\top

    Shapes: X (n, d), f (n, n) -> (d, d).
    """
    d = X.shape[1]
    return np.outer(X.T @ f[i2], np.eye(d, dtype=int)[j2])


def dL_dW_V_sum(X: Array, f: Array, G: Array) -> Array:
    r"""Gradient of the loss on W_V (G.3, proof, 1st step).

    .. math:: \frac{dL}{dW_{V_i}} = \sum_{i_2=1}^{n} \sum_{j_2=1}^{d} G_i(i_2, j_2) \cdot X^\top f_{i_2,*} e_{j_2}^\top

    Shapes: X (n, d), f (n, n), G (n, d) -> (d, d).
    """
    return np.sum([G[i2, j2] * ds_dW_V(X, f, i2, j2) for i2, j2 in np.ndindex(G.shape)], axis=0)


def sum_of_rows(X: Array, f: Array, G: Array) -> Array:
    r"""The same with the sum over j2 inside (G.3, proof, 2nd step).

    .. math:: \sum_{i_2=1}^{n} X^\top f_{i_2,*} \sum_{j_2=1}^{d} G_i(i_2, j_2)\, e_{j_2}^\top

    Shapes: X (n, d), f (n, n), G (n, d) -> (d, d).
    """
    n, d = G.shape
    e = np.eye(d, dtype=int)
    rows = [np.sum([G[i2, j2] * e[j2] for j2 in range(d)], axis=0) for i2 in range(n)]  # n of (d,)
    return np.sum([np.outer(X.T @ f[i2], rows[i2]) for i2 in range(n)], axis=0)


def sum_of_products(X: Array, f: Array, G: Array) -> Array:
    r"""The same with the rows of G (G.3, proof, 3rd step).

    .. math:: \sum_{i_2=1}^{n} X^\top f_{i_2,*} G_i(i_2,*)^\top

    Shapes: X (n, d), f (n, n), G (n, d) -> (d, d).
    """
    return np.sum([np.outer(X.T @ f[i2], G[i2]) for i2 in range(len(G))], axis=0)


def sum_as_product_printed(X: Array, f: Array, G: Array) -> Array:
    r"""That sum as a product of matrices, as printed (G.3, proof, 4th step).

    .. math:: \sum_{i_2=1}^{n} X^\top f_{i_2,*} G_i(i_2,*)^\top = X^\top f\, G_i

    Shapes: X (n, d), f (n, n), G (n, d) -> (d, d).
    """
    return X.T @ f @ G


def sum_as_product(X: Array, f: Array, G: Array) -> Array:
    r"""That sum as a product of matrices (G.3, proof, 4th step, repaired): the rows of f are the columns of fᵀ.

    .. math:: \sum_{i_2=1}^{n} X^\top f_{i_2,*} G_i(i_2,*)^\top = X^\top f^\top G_i

    Shapes: X (n, d), f (n, n), G (n, d) -> (d, d).

    >>> X, f, G = np.array([[1.0], [0.0]]), np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0], [1.0]])
    >>> sum_as_product(X, f, G), sum_as_product_printed(X, f, G)  # value 1 reaches output 2, not value 2 output 1
    (array([[0.5]]), array([[0.]]))
    """
    return X.T @ f.T @ G


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
