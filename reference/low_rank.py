r"""Products of low rank (Fact C.2).

An n×n matrix of rank k is kept as two factors of k columns, U Vᵀ, and never written out. The row-wise Kronecker
product multiplies two such matrices entrywise without writing them out either:

.. math:: (U_1 V_1^\top)_{ij} (U_2 V_2^\top)_{ij}
          = \sum_{l_1} (U_1)_{i l_1} (V_1)_{j l_1} \sum_{l_2} (U_2)_{i l_2} (V_2)_{j l_2}
          = \sum_{l_1, l_2} (U_1)_{i l_1} (U_2)_{i l_2} \cdot (V_1)_{j l_1} (V_2)_{j l_2}
"""

from __future__ import annotations

from reference.softmax_attention import Array


def row_kronecker(U1: Array, U2: Array) -> Array:
    r"""Row-wise Kronecker product: all products of an entry of U1 and an entry of U2 in the same row (C.2).

    .. math:: (U_1 \oslash U_2)_{i,\, l_1 + (l_2 - 1) k_1} = (U_1)_{i, l_1} (U_2)_{i, l_2}

    Shapes: U1 (n, k1), U2 (n, k2) -> (n, k1 k2). Cost: O(n k1 k2).

    >>> import numpy as np
    >>> row_kronecker(np.array([[1, 2]]), np.array([[1, 10, 100]]))
    array([[  1,   2,  10,  20, 100, 200]])
    """
    products = U2[:, :, None] * U1[:, None, :]  # (n, k2, k1)
    return products.reshape(len(U1), U1.shape[1] * U2.shape[1])  # (n, k1 k2)


def entrywise_product(U1: Array, V1: Array, U2: Array, V2: Array) -> Array:
    r"""Entrywise product of two matrices given by their factors, as the factors of a third (C.2).

    .. math:: (U_1 V_1^\top) \odot (U_2 V_2^\top) = (U_1 \oslash U_2)(V_1 \oslash V_2)^\top

    Shapes: U1, V1 (n, k1), U2, V2 (n, k2) -> (n, n). Cost: O(n² k1 k2); the factors alone O(n k1 k2).

    >>> import numpy as np
    >>> U, V = np.array([[1, 2]]), np.array([[3, 4]])
    >>> entrywise_product(U, V, U, V), (U @ V.T) ** 2
    (array([[121]]), array([[121]]))
    """
    return row_kronecker(U1, U2) @ row_kronecker(V1, V2).T  # (n, n)
