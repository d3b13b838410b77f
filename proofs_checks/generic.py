"""The symbols on a layer whose entries are indeterminates: what is equal here is equal for all values.

A number is a fraction of polynomials over the rationals, exact. An exponential is an indeterminate of its own,
differentiated by d exp(S) = exp(S) dS; so is a value of φ, and one of φ′: φ is any function with a derivative. In row
i of u the last exponential is α_i less the others, α_i an indeterminate too: by this change of coordinates dividing by
the row's sum leaves a monomial below. Taking values of functions for independent can only make two numbers differ that
are equal, never the other way round. What follows from this, and what does not, is in docs/proofs.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from operator import mul
from typing import Any, Self

import numpy as np
from flint import Ordering, arb, arb_series, fmpq, fmpq_mpoly, fmpq_mpoly_ctx

from proofs_checks.ground_truth import Activation, Lifted, Rows, frozen, product
from proofs_checks.instances import Array, Instance, shapes
from proofs_checks.symbols import PAPER, Convention, Symbols

Key = frozenset[Any]


class Ring:
    """The polynomials in all entries of all operands, in τ, in t, and in values of functions."""

    def __init__(self, n: int, d: int) -> None:
        entries = [f"{name}_{k}" for name, shape in shapes(n, d).items() for k in range(int(np.prod(shape)))]
        spare = [f"value_{k}" for k in range(16 * n * max(n, d))]
        sums = [f"alpha_{k}" for k in range(4 * n)]
        self.context = fmpq_mpoly_ctx.get((*entries, "tau", "t", *spare, *sums), Ordering.lex)
        self.generator = dict(zip(self.context.names(), self.context.gens(), strict=True))
        self.spare, self.sums = iter(spare), iter(sums)
        self.values: dict[tuple[str, Key, Key], Generic] = {}

    def constant(self, number: Any) -> fmpq_mpoly:
        return self.context.constant(fmpq(*Fraction(number).as_integer_ratio()))

    def named(self, name: str) -> Generic:
        return Generic(self, self.generator[name], self.constant(1))

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        flat = [self.named(f"{name}_{k}") for k in range(int(np.prod(shape)))]
        result = np.empty(len(flat), dtype=object)
        result[:] = flat
        return frozen(result.reshape(shape))

    def value(self, function: str, x: Generic) -> Generic:
        """A function of a number: the same indeterminate for the same number."""
        key = function, *x.key
        if key not in self.values:
            self.values[key] = self.named(next(self.spare))
        return self.values[key]


@dataclass(frozen=True, eq=False)
class Generic:
    """A fraction of polynomials."""

    ring: Ring
    above: fmpq_mpoly
    below: fmpq_mpoly

    def of(self, other: Any) -> Generic | None:
        """Another number as one of these; None if it is none."""
        if isinstance(other, Generic):
            return other
        number = rational(other)
        return None if number is None else Generic(self.ring, self.ring.constant(number), self.ring.constant(1))

    def __add__(self, other: Any) -> Any:
        y = self.of(other)
        if y is None:
            return NotImplemented
        if self.below == y.below:
            return Generic(self.ring, self.above + y.above, self.below)
        shared = self.below.gcd(y.below)
        mine, its = y.below / shared, self.below / shared
        return Generic(self.ring, self.above * mine + y.above * its, self.below * mine)

    def __mul__(self, other: Any) -> Any:
        y = self.of(other)
        if y is None:
            return NotImplemented
        return Generic(self.ring, self.above * y.above, self.below * y.below)

    def __truediv__(self, other: Any) -> Any:
        y = self.of(other)
        if y is None:
            return NotImplemented
        if y.is_zero:
            raise ZeroDivisionError("division by a number that is zero for all values")
        return reduced(Generic(self.ring, self.above * y.below, self.below * y.above))

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else y / self

    def __neg__(self) -> Generic:
        return Generic(self.ring, -self.above, self.below)

    def __sub__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else self + -y

    def __rsub__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else y + -self

    def exp(self) -> Generic:
        return self.of(1) if self.is_zero else self.ring.value("exp", self)  # type: ignore[return-value]

    def __pow__(self, power: int) -> Any:
        return product_of([self] * power)

    @property
    def is_zero(self) -> bool:
        return bool(self.above.is_zero())

    @property
    def key(self) -> tuple[Key, Key]:
        """The same for equal numbers."""
        lowest = reduced(self)
        leading = lowest.below.leading_coefficient()
        above, below = lowest.above / leading, lowest.below / leading
        return frozenset(above.to_dict().items()), frozenset(below.to_dict().items())


def product_of(factors: list[Any]) -> Any:
    """Of one or more numbers."""
    return reduce(mul, factors)


def phi(x: Any) -> Any:
    """An activation of which nothing is known but that it has a derivative, on a number or on each of an array."""
    return np.frompyfunc(lambda one: one.ring.value("phi", one), 1, 1)(x)


def phi_prime(x: Any) -> Any:
    """Its derivative."""
    return np.frompyfunc(lambda one: one.ring.value("phi'", one), 1, 1)(x)


def phi_of_dual(x: Any) -> Any:
    return Dual(phi(x.value), phi_prime(x.value) * x.slope) if isinstance(x, Dual) else phi(x)


ANY = Activation(phi, phi_prime, phi_of_dual)


def reduced(x: Generic) -> Generic:
    """In lowest terms."""
    shared = x.above.gcd(x.below)
    return Generic(x.ring, x.above / shared, x.below / shared)


def rational(number: Any) -> Fraction | None:
    """An exact number of another kind as a fraction; None if it is none."""
    if isinstance(number, arb):
        if not number.is_exact():
            return None
        mantissa, exponent = number.man_exp()
        return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    if isinstance(number, np.generic):
        number = number.item()
    return Fraction(number) if isinstance(number, int | float | Fraction) else None


@dataclass(frozen=True, eq=False)
class Dual:
    """value + slope t, without higher powers of t."""

    value: Any
    slope: Any

    def of(self, other: Any) -> Dual | None:
        if isinstance(other, Dual):
            return other
        if isinstance(other, arb_series):
            other = other[0]  # a constant
        known = isinstance(other, Generic) or rational(other) is not None
        return Dual(other, 0) if known else None

    def __add__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else Dual(self.value + y.value, self.slope + y.slope)

    def __mul__(self, other: Any) -> Any:
        y = self.of(other)
        if y is None:
            return NotImplemented
        return Dual(self.value * y.value, self.slope * y.value + self.value * y.slope)

    def __truediv__(self, other: Any) -> Any:
        y = self.of(other)
        if y is None:
            return NotImplemented
        quotient = self.value / y.value
        return Dual(quotient, (self.slope - quotient * y.slope) / y.value)

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else y / self

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Any:
        y = self.of(other)
        return NotImplemented if y is None else self + -y

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __pow__(self, power: int) -> Any:
        return product_of([self] * power)

    def exp(self) -> Dual:
        power = self.value.exp()
        return Dual(power, power * self.slope)


class GenericSymbols(Symbols):
    """The symbols of section C to H, where every entry of the operands is an indeterminate."""

    def __init__(self, instance: Instance, convention: Convention = PAPER) -> None:
        super().__init__(instance, convention)
        self.name_rows()

    @classmethod
    def at(
        cls,
        n: int,
        d: int,
        scale: Fraction | None,
        *,
        causal: bool = False,
        convention: Convention = PAPER,
    ) -> Self:
        """Of n rows and d columns; no scale is any scale, an indeterminate."""
        ring = Ring(n, d)
        operands = {name: ring.array(name, shape) for name, shape in shapes(n, d).items()}
        tau: Any = ring.named("tau") if scale is None else scale
        return cls(Instance(operands, tau, causal), convention)

    def name_rows(self) -> None:
        """In each line that f divides by its sum, the diagonal's exponential is that sum less the others."""
        n, ring = self.n, self.X.flat[0].ring
        for i in range(n):
            own = "exp", *self.score(i, i).key
            if own in ring.values:
                continue
            line = [(j, i) if self.convention.columns else (i, j) for j in range(n)]
            summed = [(a, b) for a, b in line if a != b and not (self.causal and b > a)]
            others = sum(self.score(a, b).exp() for a, b in summed)
            ring.values[own] = ring.named(next(ring.sums)) - others

    def score(self, i: int, j: int) -> Any:
        W = self.W.T if self.convention.W_transposed else self.W  # (d, d)
        pairs = np.ndindex(self.d, self.d)
        return self.scale * sum(self.X[i, a] * W[a, b] * self.X[j, b] for a, b in pairs)

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__") or name not in self.instance.operands:
            raise AttributeError(f"no symbol {name}")
        value = self.__dict__[name] = self.instance.operands[name]
        return value

    @property
    def activation(self) -> Activation:
        return ANY

    def loss(self, attention: Rows) -> Any:
        """½ Σ φ(Attn(T) W_g)²."""
        hidden = product(attention, self.W_g.tolist())
        return sum(phi_of_dual(x) ** 2 for row in hidden for x in row) / 2

    @property
    def t(self) -> Any:
        """By how much factors are off (E)."""
        return self.X.flat[0].ring.named("t")

    def activated(self, S: Array) -> Array:
        return frozen(phi(S))

    @cached_property
    def scale(self) -> Any:
        """τ."""
        return self.X.flat[0].of(self.instance.scale)

    def _output(self, lifted: Lifted) -> Rows:
        """softmax(τ X W Xᵀ) X W_V in this convention, entry by entry."""
        c, n, d = self.convention, self.n, self.d
        X, W, W_V = lifted["X"], lifted["W"], lifted["W_V"]
        kept = [(i, j) for i, j in np.ndindex(n, n) if i >= j or not self.causal]

        def score(i: int, j: int) -> Any:
            terms = (X[i][a] * (W[b][a] if c.W_transposed else W[a][b]) * X[j][b] for a, b in np.ndindex(d, d))
            return self.scale * sum(terms)

        u = {(i, j): score(i, j).exp() for i, j in kept}
        line = 1 if c.columns else 0
        sums = [sum(x for at, x in u.items() if at[line] == k) for k in range(n)]
        f = {at: x / sums[at[line]] for at, x in u.items()}
        h = [[sum(X[j][a] * W_V[a][b] for a in range(d)) for b in range(d)] for j in range(n)]
        weight = {(j, i): x for (i, j), x in f.items()} if c.output_transposed else f
        return [
            [sum(weight[i, j] * h[j][b] for j in range(n) if (i, j) in weight) for b in range(d)] for i in range(n)
        ]

    def jacobian(self, forward: Callable[[Lifted], Rows], operands: dict[str, Array], wrt: str) -> Array:
        """Derivatives of every entry of `forward` on every entry of one operand, by dual numbers."""
        columns = []
        for index in np.ndindex(operands[wrt].shape):
            moved = operands[wrt].astype(object)
            moved[index] = Dual(moved[index], 1)
            rows = forward({name: (moved if name == wrt else a).tolist() for name, a in operands.items()})
            columns.append([[x.slope if isinstance(x, Dual) else 0 for x in row] for row in rows])
        slopes = np.empty((len(columns), len(columns[0]), len(columns[0][0])), dtype=object)
        for index in np.ndindex(slopes.shape):
            slopes[index] = columns[index[0]][index[1]][index[2]]
        shape = (*slopes.shape[1:], *operands[wrt].shape)
        return frozen(np.moveaxis(slopes, 0, -1).reshape(shape))


# Of a kind of symbols: what the indeterminates put in its place.
OWN = {"activation", "activated", "jacobian", "loss", "scale", "t"}


def generic(kind: type[Symbols]) -> type[GenericSymbols]:
    """These symbols on indeterminates, where they change nothing else that is written anew here."""
    replaced = {
        name for base in kind.__mro__ if issubclass(base, Symbols) and base is not Symbols for name in vars(base)
    }
    if clash := (replaced & set(vars(GenericSymbols))) - OWN - {"__doc__", "__module__"}:
        raise TypeError(f"{kind.__name__} has its own {', '.join(sorted(clash))}")
    return type(f"Generic{kind.__name__}", (GenericSymbols, kind), {})
