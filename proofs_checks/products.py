"""Products of arrays of balls, written out entry by entry."""

from __future__ import annotations

from proofs_checks.instances import Array
from proofs_checks.symbols import table, total


def product(A: Array, B: Array) -> Array:
    """Σ_l A_il B_lj."""
    return table(lambda i, j: total(A[i, k] * B[k, j] for k in range(len(B))), len(A), B.shape[1])


def pairs(U: Array, V: Array) -> Array:
    """All products of an entry of U and one of V in the same row."""
    k, width = U.shape[1], V.shape[1]
    return table(lambda i, column: U[i, column % k] * V[i, column // k], len(U), k * width)
