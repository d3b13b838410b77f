r"""Arrays that know how far they may be from the exact ones, so that a model's code carries its own error bound.

A `Bounded` array stands for an exact array :math:`x` of which only :math:`\tilde x` is known, with
:math:`|\tilde x - x| \le E` entry by entry. Its arithmetic is that of NumPy on :math:`\tilde x`, and

.. math::

    |\mathrm{fl}(\tilde x \tilde y) - x y| \;\le\; E_x |\tilde y| + (|\tilde x| + E_x)\, E_y
    + \gamma_k\, |\tilde x| |\tilde y| + 2 k\, t

for a product of matrices with k terms to a sum (k = 1: entry by entry), and for a sum
:math:`E_x + E_y + u |\tilde x + \tilde y|`. γ_k = k u/(1 − k u), u is half the machine epsilon, t the smallest normal
number; where the backend rounds factors to TF32, `certificate.product_rounding` stands for γ_k. The bounds are kept in
float64, and each is enlarged by what rounding may have taken from it. `docs/models.md` derives the rules.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.certificate import product_rounding, unit
from reference.masked_product import BLOCK, RunningSum, blocks
from reference.row_bounds import or_infinite
from reference.shapes import FloatArray

__all__ = ["FUNCTION", "Bounded", "enlarged", "matmul"]

FUNCTION = 8  # roundings of an elementary function: four units in the last place


class Bounded:
    """An array and an entrywise bound on its distance from the exact one, in float64; infinite where there is none."""

    __array_ufunc__ = None  # so that array @ Bounded comes here

    def __init__(self, value: FloatArray, error: FloatArray | float = 0.0) -> None:
        self.value = value
        self.error = np.broadcast_to(or_infinite(np.asarray(error, np.float64, like=value)), value.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def T(self) -> Bounded:
        return Bounded(self.value.T, self.error.T)

    @property
    def size(self) -> FloatArray:
        """|x̃|, in float64."""
        return np.abs(self.value, dtype=np.float64)

    @property
    def largest(self) -> FloatArray:
        """At least |x|."""
        return self.size + self.error

    def __getitem__(self, index: Any) -> Bounded:
        return Bounded(self.value[index], self.error[index])

    def __add__(self, other: Bounded | FloatArray) -> Bounded:
        other = _bounded(other)
        value = self.value + other.value
        rounding = unit(self.dtype) * np.abs(value, dtype=np.float64)
        return Bounded(value, enlarged(self.error + other.error + rounding, self.dtype))

    def __sub__(self, other: Bounded | FloatArray) -> Bounded:
        other = _bounded(other)
        return self + Bounded(-other.value, other.error)

    def __mul__(self, other: Bounded | FloatArray) -> Bounded:
        other = _bounded(other)
        value = self.value * other.value
        moved = self.error * other.size + self.largest * other.error
        return Bounded(value, enlarged(moved + unit(self.dtype) * np.abs(value, dtype=np.float64), self.dtype))

    __radd__, __rmul__ = __add__, __mul__

    def __matmul__(self, other: Bounded | FloatArray) -> Bounded:
        return _product(self, _bounded(other))

    def __rmatmul__(self, other: FloatArray) -> Bounded:
        return _product(_bounded(other), self)


def _bounded(operand: Bounded | FloatArray) -> Bounded:
    return operand if isinstance(operand, Bounded) else Bounded(operand)


def _product(x: Bounded, y: Bounded) -> Bounded:
    """x @ y as `matmul` does it."""
    k = x.shape[1]
    terms = min(k, BLOCK) + (k / BLOCK * 2.0**-53 / unit(x.dtype) if k > BLOCK else 0) + (k > BLOCK)
    moved = x.error @ y.size + x.largest @ y.error + product_rounding(terms, x.dtype) * (x.size @ y.size)
    return Bounded(matmul(x.value, y.value), enlarged(moved, x.dtype, k))


def matmul(x: FloatArray, y: FloatArray) -> FloatArray:
    """x @ y. A sum of more than `BLOCK` terms is taken in blocks, which are added up in float64."""
    if x.shape[1] <= BLOCK:
        return x @ y
    total = RunningSum(len(x), y.shape[1], like=x)
    for rows in blocks(len(y)):
        total.add(x.T[rows], y[rows])
    return total.total.astype(x.dtype, copy=False)


def enlarged(error: FloatArray, dtype: Any, terms: int = 1) -> FloatArray:
    """The bound with what its own rounding may have lost, and underflow of the value and of the bound."""
    return or_infinite(error * (1 + (terms + 16) * 2.0**-52) + 2 * terms * float(np.finfo(dtype).tiny))
