"""What the kernels of `gpu` compute, in plain NumPy: test equipment, never a GPU result.

Monomials are made from their exponents, and each segment is taken on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

STEP = 256


def features(x: Any, degree: int, lowest: int = 0) -> Any:
    """All monomials of degree lowest … degree, by degree, then by last variable. Shapes: x (b, d) -> (b, k)."""
    b, d = x.shape
    columns = []
    for j in range(lowest, degree + 1):
        for variables in sorted(combinations_with_replacement(range(d), j), key=lambda some: some[::-1]):
            column = np.ones(b, x.dtype)  # (b,)
            for i in variables:
                column = column * x[:, i]
            columns.append(column)
    return np.stack(columns, axis=1)


class NumpyDevice:
    """`gpu.device.Device` without a device."""

    xp = np

    def absorb(self, x: Any, columns: Any, degree: int, L: int, *, absolute: bool = False, lowest: int = 0) -> Any:
        """Shapes: x (H, b, d), columns (H, b, c) -> (H, s, k, c)."""
        return np.stack([self._absorb_head(*one, degree, L, absolute, lowest) for one in zip(x, columns, strict=True)])

    def _absorb_head(self, x: Any, columns: Any, degree: int, L: int, absolute: bool, lowest: int) -> Any:
        sums = []
        for segment in segments(len(x), L):
            total = 0.0
            for first in range(segment.start, segment.stop, STEP):
                rows = slice(first, min(first + STEP, segment.stop))
                phi = features(x[rows], degree, lowest)  # (r, k)
                total = total + ((np.abs(phi) if absolute else phi).T @ columns[rows]).astype(np.float64)
            sums.append(total)
        return np.stack(sums)

    def read(self, x: Any, sums: Any, degree: int, L: int, *, absolute: bool = False, lowest: int = 0) -> Any:
        """Shapes: x (H, b, d), sums (H, s, k, c) -> (H, b, c)."""
        found = np.empty((*x.shape[:2], sums.shape[-1]), x.dtype)  # (H, b, c)
        for h, one in enumerate(x):
            for s, rows in enumerate(segments(len(one), L)):
                phi = features(one[rows], degree, lowest)  # (r, k)
                found[h, rows] = (np.abs(phi) if absolute else phi) @ sums[h, min(s, sums.shape[1] - 1)]
        return found

    def pull(self, x: Any, factor: Any, sums: Any, degree: int, L: int) -> Any:
        """By the product rule, variable by variable. Shapes: (H, b, d), (H, b, c), (H, s, k, c) -> (H, b, d)."""
        pulled = np.zeros_like(x)  # (H, b, d)
        powers = exponents(x.shape[2], degree)  # (k, d)
        for h, one in enumerate(x):
            for s, rows in enumerate(segments(len(one), L)):
                weights = factor[h, rows] @ sums[h, s].T  # (r, k)
                for i in range(x.shape[2]):
                    lowered = powers.copy()  # (k, d)
                    lowered[:, i] = np.maximum(lowered[:, i] - 1, 0)
                    slopes = np.prod(one[rows, None] ** lowered, axis=2, dtype=x.dtype)  # (r, k)
                    pulled[h, rows, i] = (weights * powers[:, i].astype(x.dtype) * slopes).sum(axis=1)
        return pulled

    def near_read(
        self, x: Any, y: Any, columns: Any, coefficients: Any, L: int, *, absolute: bool = False, reverse: bool = False
    ) -> Any:
        """Shapes: x, y (H, b, d), columns (H, b, c), coefficients (g + 1,) -> (H, b, c)."""
        found = np.empty_like(columns)  # (H, b, c)
        for h in range(len(x)):
            for rows in segments(x.shape[1], L):
                one, other = (np.abs(x[h, rows]), np.abs(y[h, rows])) if absolute else (x[h, rows], y[h, rows])
                found[h, rows] = masked(one @ other.T, coefficients, reverse) @ columns[h, rows]
        return found

    def near_pull(
        self, x: Any, y: Any, x_factor: Any, y_factor: Any, slope: Any, L: int, *, reverse: bool = False
    ) -> Any:
        """Shapes: x, y (H, b, d), factors (H, b, c), slope (g,) -> (H, b, d)."""
        pulled = np.empty_like(x)  # (H, b, d)
        for h in range(len(x)):
            for rows in segments(x.shape[1], L):
                weights = masked(x[h, rows] @ y[h, rows].T, slope, reverse)  # (r, r)
                pulled[h, rows] = (weights * (x_factor[h, rows] @ y_factor[h, rows].T)) @ y[h, rows]
        return pulled


def exponents(d: int, degree: int) -> Any:
    """Of the same monomials in the same order. Shapes: -> (k, d)."""
    found = []
    for j in range(degree + 1):
        for variables in sorted(combinations_with_replacement(range(d), j), key=lambda some: some[::-1]):
            found.append([variables.count(i) for i in range(d)])
    return np.array(found)


def segments(b: int, L: int) -> Iterator[slice]:
    return (slice(first, min(first + L, b)) for first in range(0, b, L))


def masked(scores: Any, coefficients: Any, reverse: bool) -> Any:
    """The polynomial in the pairs that the mask allows, 0 elsewhere. Shapes: (r, r) -> (r, r)."""
    values = np.zeros_like(scores)
    for c in coefficients[::-1]:
        values = values * scores + c
    return np.triu(values) if reverse else np.tril(values)
