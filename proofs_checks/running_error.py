"""Numbers that know how far floating point may be from them, so that a formula gives its own rounding bound.

A `Running` number stands for what a formula computes in a floating-point format, whatever the order of its sums, with
or without fused multiply-add. It holds the exact value as a ball and three numbers that bound the distance:

    |computed − value| ≤ majorant · (e^drift − 1) + floor

as long as nothing overflows:

- `majorant`: the same sum of products with every entry replaced by its absolute value and every minus by a plus;
- `drift`: the operations on the longest path, each a factor of at most 1 + u, and what errors of exponents add. A sum
  keeps apart the largest drift of its terms and the number of its additions, which it may do in any order;
- `floor`: absolute errors that are no factors: underflow (the smallest normal number for each product, quotient and
  function) and what it grows to, and errors that pass through tanh and erf.

A formula is evaluated on object arrays of these numbers: the code that is judged is the code that is read.
`docs/rounding.md` derives the rules. An exponential, logarithm, tanh or erf counts as eight roundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, inf, isfinite, log1p
from typing import Any, Self

import numpy as np
from flint import arb
from numpy.typing import DTypeLike, NDArray

FUNCTION = 8  # roundings of an elementary function: four units in the last place
SPARE = 1 + 2.0**-20  # pays for the rounding of the bounds themselves, which are sums and products of float64


@dataclass(frozen=True)
class Format:
    """A floating-point format: half its machine epsilon and its smallest normal number."""

    u: float
    tiny: float

    @classmethod
    def of(cls, dtype: DTypeLike) -> Self:
        info = np.finfo(np.dtype(dtype))
        return cls(float(info.eps) / 2, float(info.tiny))


class Running:
    """A value and the bound on what rounding does to it."""

    __slots__ = ("additions", "floor", "format", "majorant", "of_terms", "value")

    def __init__(
        self, value: arb, majorant: float, of_terms: float, floor: float, format: Format, additions: int = 0
    ) -> None:
        self.value, self.majorant, self.floor, self.format = value, majorant, floor, format
        self.of_terms, self.additions = of_terms, additions

    @property
    def drift(self) -> float:
        return self.of_terms + self.additions * self.format.u

    @classmethod
    def rounded(cls, value: arb, format: Format) -> Running:
        """An operand that was rounded once, to the format, from the middle of its ball."""
        return cls(value, _size(value), format.u, format.tiny + 2 * float(value.rad()), format)

    @classmethod
    def exact(cls, value: arb, format: Format) -> Running:
        """An operand that the format represents."""
        return cls(value, _size(value), 0.0, 0.0, format)

    @property
    def absolute(self) -> float:
        """The floor after the additions, each of which may let it grow by a factor 1 + u."""
        return self.floor * exp(self.additions * self.format.u)

    @property
    def error(self) -> float:
        """Bound on |computed − value|; infinite where there is none."""
        bound = (_growth(self.drift) * self.majorant + self.absolute) * SPARE if self.majorant < inf else inf
        return bound if isfinite(bound) else inf

    def _reach(self) -> float:
        """Bound on |computed|."""
        return self.majorant + self.error

    def _relative(self) -> float:
        """Bound on |computed / value − 1|; 1 or more where the computed number may be zero or have the wrong sign."""
        least = float(abs(self.value).lower())
        return self.error / least if least > 0 else inf

    def _other(self, other: object) -> Running | None:
        if isinstance(other, Running):
            return other
        if isinstance(other, arb):
            return Running.rounded(other, self.format)
        if isinstance(other, float):
            return Running.rounded(_constant(other), self.format)
        if isinstance(other, int | np.integer):
            represented = abs(int(other)) * self.format.u <= 1
            return (Running.exact if represented else Running.rounded)(arb(int(other)), self.format)
        return None

    def __add__(self, other: object) -> Any:
        o = self._other(other)
        if o is None:
            return NotImplemented
        return Running(
            self.value + o.value,
            self.majorant + o.majorant,
            max(self.of_terms, o.of_terms),
            self.floor + o.floor,
            self.format,
            self.additions + o.additions + 1,
        )

    __radd__ = __add__

    def __neg__(self) -> Running:
        return Running(-self.value, self.majorant, self.of_terms, self.floor, self.format, self.additions)

    def __sub__(self, other: object) -> Any:
        o = self._other(other)
        return NotImplemented if o is None else self + -o

    def __rsub__(self, other: object) -> Any:
        o = self._other(other)
        return NotImplemented if o is None else o + -self

    def __mul__(self, other: object) -> Any:
        o = self._other(other)
        if o is None:
            return NotImplemented
        floor = self.format.tiny
        if self.floor or o.floor:
            floor += (self.absolute * o._reach() + o.absolute * self._reach()) * (1 + 2 * self.format.u)
        drift = self.drift + o.drift + self.format.u
        return Running(self.value * o.value, self.majorant * o.majorant, drift, floor, self.format)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Any:
        o = self._other(other)
        if o is None:
            return NotImplemented
        least, relative = float(abs(o.value).lower()), o._relative()
        if not relative < 1:
            return Running(self.value / o.value, inf, inf, inf, self.format)
        drift = self.drift - log1p(-relative) + self.format.u
        floor = self.absolute * (1 + 2 * self.format.u) / (least * (1 - relative)) + self.format.tiny
        return Running(self.value / o.value, self.majorant / least, drift, floor, self.format)

    def __rtruediv__(self, other: object) -> Any:
        o = self._other(other)
        return NotImplemented if o is None else o / self

    def __abs__(self) -> Running:
        return Running(abs(self.value), self.majorant, self.of_terms, self.floor, self.format, self.additions)

    def exp(self) -> Running:
        value = self.value.exp()
        return Running(value, _size(value), self.error + FUNCTION * self.format.u, self.format.tiny, self.format)

    def log(self) -> Running:
        relative = self._relative()
        moved = -log1p(-relative) if relative < 1 else inf
        return self._function(self.value.log(), moved)

    def tanh(self) -> Running:
        return self._function(self.value.tanh(), self.error)  # |tanh′| ≤ 1

    def erf(self) -> Running:
        return self._function(self.value.erf(), 1.13 * self.error)  # |erf′| ≤ 2/√π < 1.13

    def _function(self, value: arb, moved: float) -> Running:
        """A function's value, where the error of its argument moves it by at most `moved`."""
        drift = FUNCTION * self.format.u
        return Running(value, _size(value), drift, moved * (1 + 2 * drift) + self.format.tiny, self.format)

    def __gt__(self, other: object) -> bool:
        return bool(self.value > _value(other))

    def __lt__(self, other: object) -> bool:
        return bool(self.value < _value(other))

    def __repr__(self) -> str:
        return f"Running({self.value.str(8)} within {self.error:.2g})"


def running(balls: NDArray[Any], dtype: DTypeLike, *, exact: bool) -> NDArray[Any]:
    """An array of balls as running numbers: represented by the format, or rounded to it once. Read-only."""
    format = Format.of(dtype)
    make = Running.exact if exact else Running.rounded
    result = np.empty(balls.shape, dtype=object)
    for index, ball in np.ndenumerate(balls):
        result[index] = make(ball, format)
    result.flags.writeable = False
    return result


def _constant(number: float) -> arb:
    """A constant of a formula: 1/2, not 1/3, which as a float would be another number than the one that is meant."""
    if not (number * 2**40).is_integer():
        raise TypeError(
            f"the constant {number!r} is rounded: a formula needs integers, their quotients or short floats"
        )
    return arb(number)


def _value(number: object) -> Any:
    return number.value if isinstance(number, Running) else number


def _size(value: arb) -> float:
    return float(abs(value).upper())


def _growth(drift: float) -> float:
    return expm1(drift) if drift < 700 else inf
