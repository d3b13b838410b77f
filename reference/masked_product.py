r"""Products with a masked matrix of low rank (I.3, I.4, Algorithm 2), block by block.

The one primitive of the fast half is Y = (M ⊙ (U Vᵀ)) H with U (n, k), V (m, k), H (m, c). Without a mask it is
U (Vᵀ H): a k×c state, then one product. With M_ij = 1 for i ≥ j (I.2), row i needs the state of the rows up to i,

.. math:: Y_{i,*} = U_{i,*} \sum_{j \le i} V_{j,*}^\top H_{j,*}

so the rows are taken in blocks: what lies before the block is read from the state that is carried along, what lies
within it from one small masked product. The transpose (M ⊙ (U Vᵀ))ᵀ H is the same with U and V exchanged and the
blocks taken from the other end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from reference.low_rank import row_kronecker
from reference.softmax_attention import Array

__all__ = ["RunningSum", "blocks", "masked_product", "within"]

BLOCK = 512  # rows


def blocks(n: int, step: int = BLOCK) -> Iterator[slice]:
    """The rows 0 … n − 1, a block at a time."""
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def masked_product(
    U: Array, V: Array, H: Array, *, causal: bool = False, transposed: bool = False, step: int = BLOCK
) -> Array:
    r"""A masked matrix of low rank times a matrix, or its transpose times a matrix (I.4; I.3 for one column).

    .. math:: (M \odot (U V^\top))\, H, \qquad (M \odot (U V^\top))^\top H

    Shapes: U (n, k), V (m, k), H (m, c) -> (n, c); transposed: H (n, c) -> (m, c). With `causal`, M_ij = 1 for i ≥ j,
    which needs n = m, else M_ij = 1. Cost: O((n + m) k c), and O(n step (k + c)) within the blocks under the mask;
    memory for the result, O((step + c) k), and O(step²) under the mask. Sums are kept in float64.

    >>> U, V, H = np.ones((3, 1)), np.array([[1.0], [2.0], [4.0]]), np.ones((3, 1))
    >>> masked_product(U, V, H).T, masked_product(U, V, H, causal=True).T
    (array([[7., 7., 7.]]), array([[1., 3., 7.]]))
    """
    if transposed:
        if not causal:
            return masked_product(V, U, H, step=step)
        return masked_product(V[::-1], U[::-1], H[::-1], causal=True, step=step)[::-1]  # j ≥ i, read backwards
    state = RunningSum(U.shape[1], H.shape[1])
    product = np.empty((len(U), H.shape[1]), np.result_type(U, V, H))  # (n, c)
    if not causal:
        for rows in blocks(len(V), step):
            state.add(V[rows], H[rows])
    for rows in blocks(len(U), step):
        product[rows] = state.read(U[rows])  # (b, c)
        if causal:
            product[rows] += within(U[rows], V[rows]) @ H[rows]  # (b, c)
            state.add(V[rows], H[rows])
    return product


class RunningSum:
    """Vᵀ H of the rows seen so far. Blocks are added up in float64, so their number hardly adds to the rounding."""

    def __init__(self, k: int, c: int, like: Any = None) -> None:
        self.total = np.zeros((k, c), like=like)  # (k, c)

    def add(self, V: Array, H: Array) -> None:
        """Take in a block of rows. Shapes: V (b, k), H (b, c)."""
        self.total += V.T @ H  # (k, c)

    def read(self, U: Array) -> Array:
        """U times the sum, or its first rows, in the precision of U. Shapes: U (b, k) -> (b, c)."""
        return U @ self.total[: U.shape[1]].astype(U.dtype, copy=False)  # (b, c)


def within(U: Array, V: Array) -> Array:
    """M ⊙ (U Vᵀ) within one block. Shapes: U (b, k), V (b, k) -> (b, b)."""
    return np.tril(U @ V.T)  # (b, b)


# --- the paper's own algorithm, line by line: what the primitive above is checked against


def causal_mask(U0: Array, V0: Array, v: Array) -> Array:
    r"""Masked matrix of low rank times a vector, by running sums (I.3, Algorithm 2), as printed.

    .. math:: c_0 = 0_k, \quad b_j = (V_0^\top)_j v_j, \quad c_j = c_{j-1} + b_j, \quad
              Y_j = \langle (U_0^\top)_j, c_j \rangle, \quad (V_0^\top)_j \text{ the } j\text{-th row of } V_0

    Shapes: U0, V0 (n, k), v (n,) -> (n,): (M ⊙ (U0 V0ᵀ)) v. Cost: O(n k) time, and O(n k) memory for all the c_j.

    >>> causal_mask(np.ones((3, 1)), np.array([[1.0], [2.0], [4.0]]), np.ones(3))
    array([1., 3., 7.])
    """
    n, k = V0.shape
    Y = np.empty(n, np.result_type(U0, V0, v))  # (n,)
    c = np.zeros((n + 1, k), Y.dtype)  # (n + 1, k)
    for j in range(n):
        b = V0[j] * v[j]  # (k,)
        c[j + 1] = c[j] + b  # (k,)
    for j in range(n):
        Y[j] = U0[j] @ c[j + 1]
    return Y


def causal_mask_columns(U0: Array, V0: Array, H: Array) -> Array:
    r"""Masked matrix of low rank times a matrix, one column at a time (I.4).

    .. math:: Z_{*,j} = (M \odot (U_0 V_0^\top))\, H_{*,j}

    Shapes: U0, V0 (n, k), H (n, k_H) -> (n, k_H). Cost: O(n k k_H).
    """
    return np.stack([causal_mask(U0, V0, column) for column in H.T], axis=1)  # (n, k_H)


def masked_row_sums(U0: Array, V0: Array) -> Array:
    r"""Diagonal of D for the masked product, the unmasked one approximating A (I.6, before Part 1).

    .. math:: D = \mathrm{diag}((M \odot (U_0 V_0^\top)) \cdot 1_n)

    Shapes: U0, V0 (n, k) -> (n,). Cost: O(n k).
    """
    return causal_mask(U0, V0, np.ones(len(V0), V0.dtype))  # (n,)


def f_causal_factored(U0: Array, V0: Array) -> Array:
    r"""The matrix that I.6 approximates f̂ by, written out.

    .. math:: D^{-1} (M \odot (U_0 V_0^\top)), \quad D = \mathrm{diag}((M \odot (U_0 V_0^\top)) \cdot 1_n)

    Shapes: U0, V0 (n, k) -> (n, n). Cost: O(n² k).

    >>> f_causal_factored(np.ones((2, 1)), np.array([[1.0], [3.0]]))
    array([[1.  , 0.  ],
           [0.25, 0.75]])
    """
    return within(U0, V0) / masked_row_sums(U0, V0)[:, None]


def masked_attention_product(U0: Array, V0: Array, H: Array) -> Array:
    r"""Masked attention matrix times a matrix (I.6, Part 1).

    .. math:: D^{-1} \bigl( (M \odot (U_0 V_0^\top))\, H \bigr)

    Shapes: U0, V0 (n, k), H (n, k_H) -> (n, k_H). Cost: O(n k k_H).
    """
    return causal_mask_columns(U0, V0, H) / masked_row_sums(U0, V0)[:, None]


def masked_entrywise_product(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    r"""Entrywise product of the masked attention matrix with U Vᵀ, times a matrix (I.6, Part 2), as rewritten there.

    .. math:: ((D^{-1}(M \odot (U_0 V_0^\top))) \odot (U V^\top))\, H
              = (M \odot ((D^{-1} U_0) \oslash U)(V_0 \oslash V)^\top)\, H

    Shapes: U0, V0 (n, k0), U, V (n, k), H (n, k_H) -> (n, k_H). Cost: O(n k0 k k_H), memory O(n k0 k). I.6 writes k
    for both widths, k0 and k.
    """
    U_M, V_M = masked_entrywise_factors(masked_row_sums(U0, V0), U0, V0, U, V)  # (n, k0 k) both
    return causal_mask_columns(U_M, V_M, H)


def masked_entrywise_factors(D: Array, U0: Array, V0: Array, U: Array, V: Array) -> tuple[Array, Array]:
    r"""The factors of that rewriting (I.6, Part 2), D being the diagonal.

    .. math:: (D^{-1} U_0) \oslash U, \quad V_0 \oslash V

    Shapes: D (n,), U0, V0 (n, k0), U, V (n, k) -> (n, k0 k) both. Cost: n k0 + 2 n k0 k.
    """
    return row_kronecker(U0 / D[:, None], U), row_kronecker(V0, V)


def diagonal_first(D: Array, A: Array, B: Array) -> Array:
    r"""A diagonal matrix times an entrywise product (I.6, Part 2, step 1): taken into the first factor.

    .. math:: D (A \odot B) = (D A) \odot B

    Shapes: D (m, m) diagonal, A, B (m, n) -> (m, n). Cost: O(m² n).
    """
    return (D @ A) * B


def diagonal_second(D: Array, A: Array, B: Array) -> Array:
    r"""The same, taken into the second factor (I.6, Part 2, step 1).

    .. math:: D (A \odot B) = A \odot (D B)

    Shapes: D (m, m) diagonal, A, B (m, n) -> (m, n). Cost: O(m² n).
    """
    return A * (D @ B)
