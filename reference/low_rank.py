r"""Products of low rank: monomials of queries and keys (C.13, I.1), the row-wise Kronecker product (C.2).

An n×n matrix of rank k is kept as two factors of k columns, U Vᵀ, and never written out. The row-wise Kronecker
product multiplies two such matrices entrywise without writing them out either:

.. math:: (U_1 V_1^\top)_{ij} (U_2 V_2^\top)_{ij}
          = \sum_{l_1} (U_1)_{i l_1} (V_1)_{j l_1} \sum_{l_2} (U_2)_{i l_2} (V_2)_{j l_2}
          = \sum_{l_1, l_2} (U_1)_{i l_1} (U_2)_{i l_2} \cdot (V_1)_{j l_1} (V_2)_{j l_2}

A polynomial of a score is such a product, too. With x^a = x_1^{a_1} ⋯ x_d^{a_d} and |a| = a_1 + … + a_d, the
multinomial theorem gives

.. math:: P(\langle x, y \rangle) = \sum_{j=0}^{g} c_j \langle x, y \rangle^j
          = \sum_{|a| \le g} w_a\, x^a\, y^a, \qquad w_a = c_{|a|} \frac{|a|!}{a_1! \cdots a_d!}

one product per monomial of degree at most g in d variables, of which there are binom(d + g, g). Monomials are made
from each other, one multiplication each: those of degree j whose last variable is x_i are x_i times the monomials of
degree j − 1 whose last variable is at most x_i, and these stand at the beginning of their block.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb, isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from reference.softmax_attention import Array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def rank(d: int, degree: int) -> int:
    r"""How many monomials of degree at most g there are in d variables: the rank of P(scores) (C.13, I.1).

    .. math:: \binom{d + g}{g}

    >>> rank(8, 2), rank(8, 4)
    (45, 495)
    """
    return comb(d + degree, degree)


def monomials(X: Array, degree: int) -> Array:
    r"""All monomials of each row of X up to a degree, one row per monomial: U0ᵀ without its weights (C.13, I.1).

    .. math:: \bigl(x^a\bigr)_{|a| \le g}, \qquad x = X_{i,*}

    Shapes: X (n, d) -> (binom(d + degree, degree), n). Cost: one multiplication per entry.

    >>> monomials(np.array([[2, 3]]), 2).T  # 1; x, y; x², x y, y²
    array([[1, 2, 3, 4, 6, 9]])
    """
    n, d = X.shape
    features = np.empty((rank(d, degree), n), X.dtype)  # (k, n)
    features[0] = 1
    x = np.ascontiguousarray(X.T)  # (d, n)
    for made, i, before in recursion(d, degree):
        np.multiply(features[before], x[i], out=features[made])  # (l, n)
    return features


def monomials_vjp(X: Array, degree: int, features: Array, cotangent: Array) -> Array:
    r"""Gradient of ⟨cotangent, monomials(X)⟩ on X: the recursion above, run backwards.

    .. math:: dX_{i c} = \sum_a C_{a i}\, \partial x^a / \partial x_c, \qquad x = X_{i,*}

    Shapes: X (n, d), features = monomials(X, degree) (k, n), cotangent (k, n), which is overwritten -> (n, d). Cost:
    two multiplications and additions per entry.

    >>> X = np.array([[2.0, 3.0]])
    >>> monomials_vjp(X, 2, monomials(X, 2), np.array([[0.0], [0], [0], [0], [1], [0]]))  # of x y
    array([[3., 2.]])
    """
    n, d = X.shape
    x, dx = np.ascontiguousarray(X.T), np.zeros((d, n), X.dtype)  # (d, n) both
    for made, i, before in reversed(list(recursion(d, degree))):
        dx[i] += (cotangent[made] * features[before]).sum(axis=0)  # (n,)
        cotangent[before] += cotangent[made] * x[i]  # (l, n)
    return dx.T  # (n, d)


def weights(coefficients: Sequence[Fraction], d: int) -> list[Fraction]:
    r"""What each product of monomials is multiplied by to give P(⟨x, y⟩), in the order of `monomials`, exactly.

    .. math:: w_a = c_{|a|} \frac{|a|!}{a_1! \cdots a_d!}

    >>> [str(w) for w in weights([Fraction(1), Fraction(1), Fraction(1, 2)], 2)]  # 1 + (x + y) + (x + y)² / 2
    ['1', '1', '1', '1/2', '1', '1/2']
    """
    return [Fraction(coefficients[j] * count) for j, count in _multinomials(d, len(coefficients) - 1)]


@cache
def _multinomials(d: int, degree: int) -> tuple[tuple[int, int], ...]:
    """|a| and |a|! / (a_1! ⋯ a_d!) of every monomial. One more factor x_i multiplies the second by |a| / a_i."""
    size, count, last, power = [0], [1], [-1], [0]  # power: the exponent of the last variable
    for _, i, before in recursion(d, degree):
        for b in range(before.start, before.stop):
            size.append(size[b] + 1)
            power.append(power[b] + 1 if last[b] == i else 1)
            last.append(i)
            count.append(count[b] * size[-1] // power[-1])
    return tuple(zip(size, count, strict=True))


def recursion(d: int, degree: int) -> Iterator[tuple[slice, int, slice]]:
    """Which monomials are made, by which variable, from which: of each degree, with each last variable."""
    first = 0  # of the degree before
    for j in range(1, degree + 1):
        start = rank(d, j - 1)
        made = start
        for i in range(d):
            count = comb(i + j - 1, j - 1)  # monomials of degree j − 1 in x_0 … x_i
            yield slice(made, made + count), i, slice(first, first + count)
            made += count
        first = start


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


# ----------------------------------------------------------- factors of the five terms (E), from those of f


def z6_factors(U1: Array, V1: Array, K: Array) -> tuple[Array, Array]:
    r"""Factors of z6 = f diag(K) (E.2).

    .. math:: U_6 = U_1, \qquad V_6 = \mathrm{diag}(K) V_1

    Shapes: U1, V1 (n, k1), K (n,) -> (n, k1) both. Cost: O(n k1).
    """
    return U1, K[:, None] * V1


def z7_factors(U1: Array, V1: Array, h: Array, G: Array) -> tuple[Array, Array]:
    r"""Factors of z7 = f ⊙ (h Gᵀ) (E.4).

    .. math:: U_7 = U_1 \oslash h(X), \qquad V_7 = V_1 \oslash G_i

    Shapes: U1, V1 (n, k1), h (n, d), G (n, d) -> (n, k1 d) both. Cost: O(n k1 d).
    """
    return row_kronecker(U1, h), row_kronecker(V1, G)


def z2_factors(U1: Array, V1: Array, K: Array) -> tuple[Array, Array]:
    r"""Factors of z2 = diag(K) f (E.7, where V9 is printed V6).

    .. math:: U_9 = \mathrm{diag}(K) U_1, \qquad V_9 = V_1

    Shapes: U1, V1 (n, k1), K (n,) -> (n, k1) both. Cost: O(n k1).
    """
    return K[:, None] * U1, V1


def z4_factors(U1: Array, V1: Array, h: Array, G: Array) -> tuple[Array, Array]:
    r"""Factors of z4 = f ⊙ (G hᵀ) (E.9).

    .. math:: U_{10} = U_1 \oslash G_i, \qquad V_{10} = V_1 \oslash h(X)

    Shapes: U1, V1 (n, k1), h (n, d), G (n, d) -> (n, k1 d) both. Cost: O(n k1 d).
    """
    return row_kronecker(U1, G), row_kronecker(V1, h)


def z6_product(U1: Array, V1: Array, K: Array) -> Array:
    r"""What the factors of E.2 are factors of.

    .. math:: U_6 V_6^\top = \tilde f\, \mathrm{diag}(K), \qquad \tilde f = U_1 V_1^\top

    Shapes: U1, V1 (n, k1), K (n,) -> (n, n). Cost: O(n² k1).

    >>> z6_product(np.array([[1], [2]]), np.array([[1], [3]]), np.array([10, 100]))
    array([[ 10, 300],
           [ 20, 600]])
    """
    U6, V6 = z6_factors(U1, V1, K)
    return U6 @ V6.T


def z7_product(U1: Array, V1: Array, h: Array, G: Array) -> Array:
    r"""What the factors of E.4 are factors of.

    .. math:: U_7 V_7^\top = \tilde f \odot (h(X) G_i^\top), \qquad \tilde f = U_1 V_1^\top

    Shapes: U1, V1 (n, k1), h (n, d), G (n, d) -> (n, n). Cost: O(n² k1 d).
    """
    U7, V7 = z7_factors(U1, V1, h, G)
    return U7 @ V7.T


def z2_product(U1: Array, V1: Array, K: Array) -> Array:
    r"""What the factors of E.7 are factors of.

    .. math:: U_9 V_9^\top = \mathrm{diag}(K) \tilde f, \qquad \tilde f = U_1 V_1^\top

    Shapes: U1, V1 (n, k1), K (n,) -> (n, n). Cost: O(n² k1).

    >>> z2_product(np.array([[1], [2]]), np.array([[1], [3]]), np.array([10, 100]))
    array([[ 10,  30],
           [200, 600]])
    """
    U9, V9 = z2_factors(U1, V1, K)
    return U9 @ V9.T


def z4_product(U1: Array, V1: Array, h: Array, G: Array) -> Array:
    r"""What the factors of E.9 are factors of.

    .. math:: U_{10} V_{10}^\top = \tilde f \odot (G_i h(X)^\top), \qquad \tilde f = U_1 V_1^\top

    Shapes: U1, V1 (n, k1), h (n, d), G (n, d) -> (n, n). Cost: O(n² k1 d).
    """
    U10, V10 = z4_factors(U1, V1, h, G)
    return U10 @ V10.T


def f_factors(X: Array, W: Array, coefficients: Array, *, scale: Any = 1) -> tuple[Array, Array]:
    r"""Factors of f with a polynomial P in place of exp (C.13), which prints none.

    .. math:: U_1 = \tilde D^{-1} U_0, \quad V_1 = V_0, \quad U_0 V_0^\top = P(\tau X W X^\top), \quad
              \tilde D = \mathrm{diag}(U_0 (V_0^\top 1_n))

    Shapes: X (n, d), W (d, d), coefficients (g + 1,) of the dtype of X -> (n, k1), (n, k1), k1 = binom(d + g, g).
    Cost: O(n (d² + k1)).

    >>> U1, V1 = f_factors(np.array([[0.0], [1.0]]), np.ones((1, 1)), np.array([1, 1, 0.5]))
    >>> U1 @ V1.T  # [1, 1] / 2 and [1, 5/2] / (7/2), where softmax has 0.27 and 0.73
    array([[0.5       , 0.5       ],
           [0.28571429, 0.71428571]])
    """
    d, degree = X.shape[1], len(coefficients) - 1
    w = np.array([coefficients[j] * count for j, count in _multinomials(d, degree)], coefficients.dtype)  # (k1,)
    U0 = monomials(scale * (X @ W), degree).T  # (n, k1)
    V0 = monomials(X, degree).T * w  # (n, k1)
    D = U0 @ V0.sum(axis=0)  # (n,): the diagonal
    return U0 / D[:, None], V0


def q_factors(G: Array, h: Array) -> tuple[Array, Array]:
    r"""Factors of q (C.11), exact: what C.15 and C.16 assume to approximate q.

    .. math:: U_2 = G_i, \quad V_2 = h(X), \quad U_2 V_2^\top = q(X)

    Shapes: G (n, d), h (n, d) -> (n, k2), (n, k2), k2 = d.
    """
    return G, h


def p1_factors(U1: Array, V1: Array, U2: Array, V2: Array) -> tuple[Array, Array]:
    r"""Factors of p1 = f ⊙ q from those of f and q (C.15, by C.2).

    .. math:: U_3 = U_1 \oslash U_2, \quad V_3 = V_1 \oslash V_2

    Shapes: U1, V1 (n, k1), U2, V2 (n, k2) -> (n, k3), (n, k3), k3 = k1 k2. Cost: O(n k1 k2).

    >>> U3, V3 = p1_factors(*(np.array([[a]]) for a in (2, 3, 5, 7)))
    >>> U3 @ V3.T
    array([[210]])
    """
    return row_kronecker(U1, U2), row_kronecker(V1, V2)


def p2_factors(U1: Array, V1: Array, U3: Array, V3: Array) -> tuple[Array, Array]:
    r"""Factors of p2 = diag(p1 1_n) f from those of f and p1 (C.16): only the row sums of p1 are needed.

    .. math:: U_4 = \mathrm{diag}(U_3 (V_3^\top 1_n))\, U_1, \quad V_4 = V_1

    Shapes: U1, V1 (n, k1), U3, V3 (n, k3) -> (n, k4), (n, k4), k4 = k1. Cost: O(n (k1 + k3)).

    >>> U4, V4 = p2_factors(np.array([[2]]), np.array([[3]]), np.array([[10]]), np.array([[21]]))
    >>> U4 @ V4.T
    array([[1260]])
    """
    sums = U3 @ V3.sum(axis=0)  # (n,): row sums of U3 V3ᵀ
    return sums[:, None] * U1, V1


def necessary_rank(f: Array, error: float) -> int:
    r"""How many columns U1, V1 must have if every entry of U1 V1ᵀ is within `error` of f (the converse of C.13).

    .. math:: \|U_1 V_1^\top - f\|_\infty \le e \implies \mathrm{rank}(U_1 V_1^\top) \ge \#\{k : \sigma_k(f) > n e\}

    A matrix of rank r is at least σ_{r+1}(f) away from f in the spectral norm (Eckart and Young), and the spectral
    norm of an n×n matrix is at most n times its largest entry. Singular values are computed in float64; what lies
    within 8 n² u σ_1 of the limit is not counted, which pays for their rounding.

    Shapes: f (n, n) -> number. Cost: O(n³).

    >>> necessary_rank(np.eye(8), 0.1), necessary_rank(np.full((8, 8), 1 / 8), 0.1)
    (8, 1)
    """
    n = len(f)
    sigma = np.linalg.svd(np.asarray(f, np.float64), compute_uv=False)  # (n,), largest first
    spare = 4 * n**2 * np.finfo(np.float64).eps * sigma[0]
    return int((sigma > n * error + spare).sum())


def few_columns(n: int) -> int:
    r"""What k1 = n^{o(1)} implies for all large n (C.13).

    .. math:: k_1 = n^{o(1)} \implies k_1 \le \sqrt n

    >>> few_columns(10)
    3
    """
    return isqrt(n)


def few_entries(n: int) -> int:
    r"""What a time of n^{1+o(1)} implies for all large n: no more entries than this are written (C.13, 4.1, 4.2, H).

    .. math:: n \cdot k_1 \le n^{1+o(1)} \implies n \cdot k_1 \le n^{3/2}

    >>> few_entries(4)
    8
    """
    return isqrt(n**3)


def full_rank_error(d: int, c: Any) -> Any:
    r"""The least error of n − 1 columns, for f of all n = 2^d vectors of signs: X_ia = ±1, W = c I, no 1/d.

    .. math:: \min_{\mathrm{rank}(\tilde f) < n} \|\tilde f - f\|_\infty = \frac{\tanh(c)^d}{2^d}

    `docs/low_rank.md` proves it. Entries of X and X W are at most R = max(1, c); any smaller error takes n columns.

    >>> float(full_rank_error(10, 1.0) * 1024**1.5) > 1  # n = 1024 rows and R = 1: an error of n^(-3/2) takes rank n
    True
    """
    return np.prod(np.asarray([np.tanh(c) / 2] * d))


# ------------------------------------------------------------- two identities of ours (own/antiderivative, own/shift)


def weighted_keys(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    r"""Sums of keys with weights P(⟨q_i, k_j⟩) ⟨G_i, h_j⟩: gradients on q_i (own/antiderivative), P̂' = P.

    .. math:: \sum_j M_{ij} P(\langle q_i, k_j \rangle) \langle G_i, h_j \rangle\, k_j
              = \nabla_{q_i} \sum_j M_{ij} \hat P(\langle q_i, k_j \rangle) \langle G_i, h_j \rangle

    Shapes: Q, K (n, d), G, h (n, e), coefficients (g + 1,), of P -> (n, d). Cost: O(n² (d + e + g)).
    """
    return _polynomial_weights(Q, K, G, h, coefficients, causal) @ K


def weighted_queries(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    r"""Sums of queries with weights P(⟨q_i, k_j⟩) ⟨G_i, h_j⟩: gradients on k_j (own/antiderivative), P̂' = P.

    .. math:: \sum_i M_{ij} P(\langle q_i, k_j \rangle) \langle G_i, h_j \rangle\, q_i
              = \nabla_{k_j} \sum_i M_{ij} \hat P(\langle q_i, k_j \rangle) \langle G_i, h_j \rangle

    Shapes: Q, K (n, d), G, h (n, e), coefficients (g + 1,), of P -> (n, d). Cost: O(n² (d + e + g)).
    """
    return _polynomial_weights(Q, K, G, h, coefficients, causal).T @ Q


def _polynomial_weights(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """M ⊙ P(Q Kᵀ) ⊙ (G hᵀ), P by Horner's rule. (n, n)."""
    scores = Q @ K.T  # (n, n)
    P = 0 * scores + coefficients[-1]  # (n, n)
    for c in coefficients[-2::-1]:
        P = P * scores + c
    allowed = np.tri(len(Q), dtype=bool) | (not causal)
    return np.where(allowed, P, 0) * (G @ h.T)


def f_shifted(X: Array, W: Array, centre: Array, scale: Any, causal: bool) -> Array:
    r"""The softmax probabilities do not change if one vector is subtracted from all keys (own/shift).

    .. math:: f(X) = \mathrm{diag}(\alpha)^{-1} u, \quad
              u_{ij} = M_{ij} \exp\bigl(\tau (X W (X - 1_n c^\top)^\top)_{ij}\bigr), \quad \alpha = u 1_n

    Shapes: X (n, d), W (d, d), centre (d,) -> (n, n). Cost: O(n² d + n d²).

    >>> f_shifted(np.array([[1.0], [0.0]]), np.array([[1.0]]), np.array([7.0]), 1, causal=True)[1]
    array([0.5, 0.5])
    """
    u = np.exp(scale * (X @ W @ (X - centre).T))  # (n, n)
    u = np.where(np.tri(len(X), dtype=bool) | (not causal), u, 0)  # (n, n)
    return u / u.sum(axis=1, keepdims=True)
