"""What the paper says of low-rank factors: row-wise Kronecker products, and factors of f, s, p1 and p2.

How small a rank can be is asked from the other side too: how many columns an error of at most e needs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb, factorial
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks import bound_proofs as proofs
from proofs_checks import cost, gaps
from proofs_checks.bound_proofs import derived
from proofs_checks.equation import (
    PAPER_READING,
    UNIT_READING,
    EquationTrial,
    form,
    reproduction,
)
from proofs_checks.falsify import with_transposed, wrong_sign_or_factor
from proofs_checks.ground_truth import BITS
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import (
    CLASSES,
    Array,
    Instance,
    Scale,
    layers,
    odd_scale,
    paper_scale,
    small,
    unit_scale,
)
from proofs_checks.products import pairs, product
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Claim, Part, Statement
from proofs_checks.softmax_attention import POLY_D
from proofs_checks.symbols import Symbols, table, total
from proofs_checks.trial import Counterexample
from reference import error_bounds as bounds
from reference import low_rank as formulas


class Factors(Symbols):
    """Factors with different numbers of columns: U1, V1 (n, d) are X and G, U2, V2 (n, CLASSES) these times W_out."""

    @property
    def U1(self) -> Array:
        return self.X

    @property
    def V1(self) -> Array:
        return self.G

    @cached_property
    def U2(self) -> Array:
        return product(self.X, self.W_out)

    @cached_property
    def V2(self) -> Array:
        return product(self.G, self.W_out)


@dataclass(frozen=True)
class FactorTrial(EquationTrial):
    """As `EquationTrial`, on factors."""

    def symbols(self, instance: Instance) -> Factors:
        return Factors(instance)


def product_of_entries(symbols: Symbols) -> Array:
    """Σ_l (U1)_il (V1)_jl times Σ_l (U2)_il (V2)_jl."""

    def entry(i: int, j: int) -> Any:
        first = total(symbols.U1[i, a] * symbols.V1[j, a] for a in range(symbols.d))
        return first * total(symbols.U2[i, b] * symbols.V2[j, b] for b in range(CLASSES))

    return table(entry, symbols.n, symbols.n)


def columns_in_order(symbols: Symbols) -> Array:
    """Column l1 + (l2 − 1) k1, counted from 1, holds (U1)_{i,l1} (U2)_{i,l2}."""
    n, k1 = symbols.n, symbols.d
    columns = {l1 + (l2 - 1) * k1: (l1, l2) for l1 in range(1, k1 + 1) for l2 in range(1, CLASSES + 1)}

    def entry(i: int, column: int) -> Any:
        l1, l2 = columns[column + 1]
        return symbols.U1[i, l1 - 1] * symbols.U2[i, l2 - 1]

    return table(entry, n, k1 * CLASSES)


def kronecker_in_other_order(U1: Array, U2: Array) -> Array:
    """False: column l2 + (l1 − 1) k2, wrong where both have more than one column."""
    return formulas.row_kronecker(U2, U1)


def orders_mixed(U1: Array, V1: Array, U2: Array, V2: Array) -> Array:
    """False: the factors of the second product the other way round."""
    return formulas.row_kronecker(U1, U2) @ formulas.row_kronecker(V2, V1).T


def products_added(U1: Array, V1: Array, U2: Array, V2: Array) -> Array:
    """False: the sum of the two matrices."""
    return U1 @ V1.T + U2 @ V2.T


OPERANDS = ("X", "G", "W_out")


# --- factors as such: what they multiply out to, and how many columns they have


def columns_of_both(symbols: Symbols) -> int:
    return symbols.d * CLASSES


def columns_of_first(symbols: Symbols) -> int:
    return symbols.d


@dataclass(frozen=True)
class ConstructionTrial(EquationTrial):
    """U Vᵀ = truth for the factors U, V that the claim returns, which have no more columns than they may."""

    symbols_of: type[Symbols] = Factors
    columns: Callable[[Any], int] = columns_of_both  # how many there may be

    def symbols(self, instance: Instance) -> Symbols:
        return self.symbols_of(instance)

    def evaluate(self, claim: Claim, symbols: Symbols, give: Callable[[str], Any]) -> Any:
        U, V = super().evaluate(claim, symbols, give)
        if U.shape[1] > self.columns(symbols):
            raise ValueError(f"{U.shape[1]} columns, where {self.columns(symbols)} are allowed")
        return U @ V.T

    def surplus(self, claim: Claim, instance: Instance) -> tuple[int, int]:
        """How many columns the factors have, and how many they may have."""
        symbols = self.symbols(instance)
        with ctx.workprec(BITS):
            return super().evaluate(claim, symbols, symbols.exact)[0].shape[1], self.columns(symbols)

    def ratio(self, claim: Claim, instance: Instance) -> float:
        had, allowed = self.surplus(claim, instance)
        return super().ratio(claim, instance) if had <= allowed else float("inf")

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        had, allowed = self.surplus(claim, instance)
        if had <= allowed:
            return super().confirm(claim, instance, search)
        return Counterexample(
            operands=instance.listed(self.names),
            where=f"columns of the factors of {self.left}",
            claimed=str(had),
            true=f"≤ {allowed}",
            arithmetic="integers",
            search=search,
            python=reproduction(claim, self.truth, instance, self.names, kind=self.symbols_of),
        )


class ThirdFactors(Factors):
    """Those of the entrywise product, column l1 + (l2 − 1) k1 for each pair of columns (C.2)."""

    @cached_property
    def U3(self) -> Array:
        return pairs(self.U1, self.U2)

    @cached_property
    def V3(self) -> Array:
        return pairs(self.V1, self.V2)


def sums_times_first(symbols: Symbols) -> Array:
    """Row sums of (U1 V1ᵀ) ⊙ (U2 V2ᵀ), each times the row of U1 V1ᵀ."""
    p1, n = product_of_entries(symbols), symbols.n
    sums = [total(p1[i, j] for j in range(n)) for i in range(n)]
    return table(lambda i, j: sums[i] * total(symbols.U1[i, a] * symbols.V1[j, a] for a in range(symbols.d)), n, n)


def p1_second_reversed(U1: Array, V1: Array, U2: Array, V2: Array) -> tuple[Array, Array]:
    """False: U2 and V2 exchanged, factors of f ⊙ qᵀ."""
    return formulas.row_kronecker(U1, V2), formulas.row_kronecker(V1, U2)


def p1_orders_mixed(U1: Array, V1: Array, U2: Array, V2: Array) -> tuple[Array, Array]:
    """False: V2 ⊘ V1 for V1 ⊘ V2."""
    return formulas.row_kronecker(U1, U2), formulas.row_kronecker(V2, V1)


def p1_multiplied_out(U1: Array, V1: Array, U2: Array, V2: Array) -> tuple[Array, Array]:
    """False: the whole n×n matrix beside an identity, and as many zeros as there are columns allowed."""
    product = (U1 @ V1.T) * (U2 @ V2.T)
    n, more = len(U1), U1.shape[1] * U2.shape[1]
    zeros = np.zeros((n, more), int)
    return np.hstack([product, zeros]), np.hstack([np.eye(n, dtype=int), zeros])


def p2_without_sums(U1: Array, V1: Array, U3: Array, V3: Array) -> tuple[Array, Array]:
    """False: diag(U3 V3ᵀ) for diag(U3 V3ᵀ 1): entries of the diagonal, not row sums."""
    return (U3 * V3).sum(axis=1)[:, None] * U1, V1


def p2_column_sums(U1: Array, V1: Array, U3: Array, V3: Array) -> tuple[Array, Array]:
    """False: column sums of p1."""
    return (V3 @ U3.sum(axis=0))[:, None] * U1, V1


def p2_scaled_columns(U1: Array, V1: Array, U3: Array, V3: Array) -> tuple[Array, Array]:
    """False: the row sums multiply V1, that is the columns of f."""
    return U1, (U3 @ V3.sum(axis=0))[:, None] * V1


# --- a polynomial in place of exp


class Taylor(Symbols):
    """P is the Taylor polynomial of degree 2, 4 or 6, which changes with n and with how many entries of X are zero."""

    @property
    def degree(self) -> int:
        return (2, 4, 6)[(self.n + int(np.count_nonzero(self.instance.operands["X"]))) % 3]

    @cached_property
    def coefficients(self) -> Array:
        return table(lambda j: 1 / arb(factorial(j)), self.degree + 1)

    def P(self, x: arb) -> arb:
        return total(c * x**j for j, c in enumerate(self.coefficients))

    @cached_property
    def scores(self) -> dict[tuple[int, int], arb]:
        """Those that the mask allows."""
        n, places = self.n, list(np.ndindex(self.d, self.d))
        allowed = ((i, j) for i in range(n) for j in range(n) if i >= j or not self.causal)
        return {
            (i, j): self.scale * total(self.X[i, a] * self.W[a, b] * self.X[j, b] for a, b in places)
            for i, j in allowed
        }

    @cached_property
    def f_tilde(self) -> Array:
        """P of the scores, divided by its row sums."""
        kept = {pair: self.P(score) for pair, score in self.scores.items()}
        sums = [total(x for (row, _), x in kept.items() if row == i) for i in range(self.n)]
        return table(lambda i, j: kept.get((i, j), arb(0)) / sums[i], self.n, self.n)

    @cached_property
    def kappa(self) -> arb:
        """κ over |x| ≤ B, the largest score: P(x)e⁻ˣ falls, since its derivative is −x^g/g! e⁻ˣ and g is even."""
        B = max(abs(score) for score in self.scores.values())
        return self.P(-B) / self.P(B) * (2 * B).exp()


LARGEST = 4  # of τ Σ |XW||X|, so of every score
BOUNDED = f"scores of at most {LARGEST}, Taylor polynomials of degree 2, 4 and 6"


def bounded(instance: Instance) -> Instance:
    """The instance, with W made smaller where scores could exceed the limit."""
    X, W = (instance.operands[name].astype(np.float64) for name in ("X", "W"))
    size = abs(float(instance.scale)) * float((np.abs(X @ W) @ np.abs(X).T).max())
    if size <= LARGEST:
        return instance
    smaller = (W * (LARGEST / size * (1 - 2.0**-20))).astype(instance.operands["W"].dtype)
    return Instance({**instance.operands, "W": smaller}, instance.scale, instance.causal)


@dataclass(frozen=True)
class BoundedScoresTrial(ConstructionTrial):
    """Factors made from a polynomial of bounded scores."""

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return super().instances.map(bounded)


@dataclass(frozen=True)
class PolynomialBoundTrial(BoundTrial):
    """The error of a polynomial on bounded scores."""

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return super().instances.map(bounded)

    def symbols(self, instance: Instance) -> Taylor:
        return Taylor(instance)


def f_tilde(symbols: Symbols) -> Array:
    return symbols.f_tilde


def monomial_count(symbols: Taylor) -> int:
    return comb(symbols.d + symbols.degree, symbols.degree)


def error_of_f(symbols: Symbols) -> arb:
    return max(abs(a - b) for a, b in zip(symbols.f_tilde.flat, symbols.f.flat, strict=True))


def f_unnormalised(X: Array, W: Array, coefficients: Array, *, scale: Any = 1) -> tuple[Array, Array]:
    """False: U0 V0ᵀ itself."""
    U1, V1 = formulas.f_factors(X, W, coefficients, scale=scale)
    return (U1 / U1[:, :1]), V1


def f_over_columns(X: Array, W: Array, coefficients: Array, *, scale: Any = 1) -> tuple[Array, Array]:
    """False: columns that sum to one."""
    U1, V1 = formulas.f_factors(X, W, coefficients, scale=scale)
    U0 = U1 / U1[:, :1]
    return U0, V1 / (V1 @ U0.sum(axis=0))[:, None]


def f_lower_degree(X: Array, W: Array, coefficients: Array, *, scale: Any = 1) -> tuple[Array, Array]:
    """False: a term of the polynomial left out."""
    return formulas.f_factors(X, W, coefficients[:-1], scale=scale)


def f_wider(X: Array, W: Array, coefficients: Array, *, scale: Any = 1) -> tuple[Array, Array]:
    """False: one column more than there are monomials."""
    U1, V1 = formulas.f_factors(X, W, coefficients, scale=scale)
    zero = np.zeros((len(X), 1), int)
    return np.hstack([U1, zero]), np.hstack([V1, zero])


def eighth_of_logarithm(kappa: Any) -> Any:
    """False: tanh(⅛ ln κ)."""
    return bounds.C_13_bound(np.sqrt(kappa))


def quarter_of_square(kappa: Any) -> Any:
    """False: (κ − 1)²/4, as if first-order errors cancelled."""
    return (kappa - 1) * (kappa - 1) / 4


# --- errors that follow from those of f and q, for f̃ and q̃ of three kinds


class InexactFactors(Taylor):
    """f̃ = U1 V1ᵀ is f + x yᵀ, any product of d columns, or P of the scores; q̃ = U2 V2ᵀ is q + z xᵀ."""

    @property
    def _kind(self) -> int:
        return (self.n + int(np.count_nonzero(self.instance.operands["W_g"]))) % 3

    @cached_property
    def U1(self) -> Array:
        if self._kind == 0:
            return np.column_stack([self.f, self.x])
        if self._kind == 1:
            return product(self.X, self.W_g)
        return self.f_tilde

    @cached_property
    def V1(self) -> Array:
        eye = table(lambda i, j: arb(int(i == j)), self.n, self.n)
        return (np.column_stack([eye, self.y]), self.G, eye)[self._kind]

    @cached_property
    def U2(self) -> Array:
        return np.column_stack([self.G, self.z])

    @cached_property
    def V2(self) -> Array:
        return np.column_stack([self.h, self.x])


@dataclass(frozen=True)
class InexactFactorsTrial(BoundTrial):
    """As `BoundTrial`, with approximate factors of f and q, under any scale of the scores."""

    scales: tuple[Scale, ...] = (unit_scale, paper_scale, odd_scale)
    hypothesis: str = "f̃ of three kinds, scales 1, 1/d and −1/2"

    def symbols(self, instance: Instance) -> InexactFactors:
        return InexactFactors(instance)


def approximate_f(s: Symbols) -> Array:
    return product(s.U1, s.V1.T)


def approximate_q(s: Symbols) -> Array:
    return product(s.U2, s.V2.T)


def sum_of_row(A: Array, B: Array, i: int) -> Any:
    """Of the entrywise product."""
    return total(a * b for a, b in zip(A[i], B[i], strict=True))


def error_of_s(s: Symbols) -> arb:
    f = approximate_f(s)
    entries = (total(f[i, j] * s.h[j, c] for j in range(s.n)) - s.s[i, c] for i, c in np.ndindex(s.n, s.d))
    return max(map(abs, entries))


def error_of_p1(s: Symbols) -> arb:
    return _error_of_p1(s, approximate_q(s))


def error_of_p1_exact_q(s: Symbols) -> arb:
    return _error_of_p1(s, s.q)


def _error_of_p1(s: Symbols, q: Array) -> arb:
    f = approximate_f(s)
    return max(abs(f[i, j] * q[i, j] - s.f[i, j] * s.q[i, j]) for i, j in np.ndindex(s.n, s.n))


def error_of_p2(s: Symbols) -> arb:
    return _error_of_p2(s, approximate_q(s))


def error_of_p2_exact_q(s: Symbols) -> arb:
    return _error_of_p2(s, s.q)


def _error_of_p2(s: Symbols, q: Array) -> arb:
    f = approximate_f(s)
    sums = [(sum_of_row(f, q, i), sum_of_row(s.f, s.q, i)) for i in range(s.n)]
    return max(abs(sums[i][0] * f[i, j] - sums[i][1] * s.f[i, j]) for i, j in np.ndindex(s.n, s.n))


def s_without_n(U1: Array, V1: Array, f: Array, h: Array) -> Any:
    """False: as if the entries of one row of f̃ − f did not add up."""
    return bounds.C_14_bound(U1, V1, f, h) / len(f)


def s_one_less(U1: Array, V1: Array, f: Array, h: Array) -> Any:
    """False: n − 1 for n."""
    return bounds.C_14_bound(U1, V1, f, h) * (len(f) - 1) / len(f)


def p1_without_q(U1: Array, V1: Array, U2: Array, V2: Array, f: Array, q: Array) -> Any:
    """False: the sum of both errors, without ‖q̃‖."""
    return np.abs(U1 @ V1.T - f).max() + np.abs(U2 @ V2.T - q).max()


def p1_one_term(U1: Array, V1: Array, U2: Array, V2: Array, f: Array) -> Any:
    """False: only the error of f."""
    return np.abs(U1 @ V1.T - f).max() * np.abs(U2 @ V2.T).max()


def p1_exact_without_q(U1: Array, V1: Array, f: Array) -> Any:
    """False: without ‖q‖."""
    return np.abs(U1 @ V1.T - f).max()


def p1_exact_halved(U1: Array, V1: Array, f: Array, q: Array) -> Any:
    """False: half of it."""
    return bounds.C_15_bound_exact_q(U1, V1, f, q) / 2


def p2_without_n(U1: Array, V1: Array, U2: Array, V2: Array, f: Array, q: Array) -> Any:
    """False: as if the entries of one row of f̃ − f did not add up."""
    f_tilde, q_tilde = U1 @ V1.T, U2 @ V2.T
    sums = np.abs(f_tilde - f).max() * np.abs(q_tilde).max() + np.abs(q_tilde - q).max()
    return sums * np.abs(f_tilde).max() + np.abs(q).max() * np.abs(f_tilde - f).max()


def p2_with_exact_f(U1: Array, V1: Array, U2: Array, V2: Array, f: Array, q: Array) -> Any:
    """False: ‖f‖ ≤ 1 for ‖f̃‖, which is second order only while f̃ is near f."""
    of_f = np.abs(U1 @ V1.T - f).max()
    q_tilde = U2 @ V2.T
    return len(f) * of_f * np.abs(q_tilde).max() + np.abs(q_tilde - q).max() + np.abs(q).max() * of_f


def p2_exact_without_n(U1: Array, V1: Array, f: Array, q: Array) -> Any:
    """False: without the factor n."""
    f_tilde = U1 @ V1.T
    return np.abs(f_tilde - f).max() * np.abs(q).max() * (np.abs(f_tilde).max() + 1)


def p2_exact_sums_only(U1: Array, V1: Array, f: Array, q: Array) -> Any:
    """False: only the error of the row sums, not of the second f."""
    f_tilde = U1 @ V1.T
    return len(f) * np.abs(f_tilde - f).max() * np.abs(q).max() * np.abs(f_tilde).max()


# --- which rank is necessary


@dataclass(frozen=True)
class NecessaryRankTrial(PropertyTrial):
    """A claim says how many columns an error takes; f cut off after its first k singular values has only k."""

    max_n: int = 6

    @property
    def scope(self) -> str:
        return f"n ≤ {self.max_n}, masked and unmasked, f cut off after each of its singular values"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(paper_scale, unit_scale, masks=(False, True), max_n=self.max_n, max_d=6, single=False)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        return small(("X", "W"), (unit_scale,), (False, True))

    def ratio(self, claim: Claim, instance: Instance) -> float:
        return max(self._over(claimed, k) for k, claimed, _ in self._tried(claim, instance))

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        for k, claimed, error in self._tried(claim, instance):
            if claimed > k:
                lines = reproduction(claim, cut_off, instance, ("X", "W"))
                name = getattr(claim, "__name__", repr(claim))
                return Counterexample(
                    operands=instance.listed(("X", "W")),
                    where=f"columns that an error of {error:.17g} takes in every entry of f",
                    claimed=f"≥ {claimed}",
                    true=f"{k}: f cut off after {k} singular values is as near",
                    arithmetic=f"the error in balls of {BITS} bits",
                    search=search,
                    python=(*lines[:2], f"print([paper.{name}(s.f.astype(float), e) for e in checks.cut_off(s)])"),
                )
        return None

    def _over(self, claimed: int, k: int) -> float:
        return 1.0 if claimed == k == 0 else float("inf") if k == 0 else claimed / k

    def _tried(self, claim: Claim, instance: Instance) -> Iterator[tuple[int, int, float]]:
        symbols = Symbols(instance)
        f = np.array([float(x) for x in symbols.f.flat]).reshape(symbols.f.shape)
        for k, error in enumerate(cut_off(symbols)):
            yield k, claim(f=f, error=error), error


def cut_off(symbols: Symbols) -> list[float]:
    """How far f is, in some entry, from what is left of it after k = 0 … n − 1 singular values: rounded up."""
    f = symbols.f
    U, sigma, Vt = np.linalg.svd(np.array([float(x) for x in f.flat]).reshape(f.shape))
    errors = []
    with ctx.workprec(BITS):
        for k in range(symbols.n):
            left = (
                abs(f[i, j] - total(arb(U[i, m]) * arb(sigma[m]) * arb(Vt[m, j]) for m in range(k)))
                for i, j in np.ndindex(f.shape)
            )
            errors.append(float(np.nextafter(max(float(x.upper()) for x in left), np.inf)))
    return errors


def as_if_largest_were_norm(f: Array, error: float) -> int:
    """False: singular values above e, as if the spectral norm were the largest entry."""
    return formulas.necessary_rank(f, error / len(f))


def as_if_root_of_n(f: Array, error: float) -> int:
    """False: singular values above √n e."""
    return formulas.necessary_rank(f, error / len(f) ** 0.5)


def one_more(f: Array, error: float) -> int:
    """False: one more."""
    return formulas.necessary_rank(f, error) + 1


class Signs(Symbols):
    """f of all 2^d vectors of d signs, d ≤ 3, W = c I, scores X W Xᵀ; c between 1/4 and 5/4."""

    @cached_property
    def c(self) -> Any:
        square = self.X[0, 0] * self.X[0, 0]
        return arb(1) / 4 + square / (1 + square)

    @cached_property
    def f_of_signs(self) -> Array:
        n, d = 2**self.d, self.d
        sign = table(lambda i, a: arb(1 - 2 * (i >> a & 1)), n, d)
        u = table(lambda i, j: (self.c * total(sign[i, a] * sign[j, a] for a in range(d))).exp(), n, n)
        return table(lambda i, j: u[i, j] / total(u[i]), n, n)


class UnitSigns(Signs):
    """The same with W = I."""

    @property
    def c(self) -> Any:
        return arb(1)


@dataclass(frozen=True)
class SignTrial(EquationTrial):
    """As `EquationTrial`, on vectors of signs."""

    @property
    def scope(self) -> str:
        return f"all 2^d vectors of d signs, d ≤ {self.max_d}, W = c I, 1/4 ≤ c ≤ 5/4, balls, float64 and float32"

    def symbols(self, instance: Instance) -> Signs:
        return Signs(instance)


@dataclass(frozen=True)
class UnitSignTrial(BoundTrial):
    """As `BoundTrial`, on vectors of signs and W = I."""

    @property
    def scope(self) -> str:
        return "n = 2^d, d ≤ 6: 6 distinct cases, balls"

    def symbols(self, instance: Instance) -> UnitSigns:
        return UnitSigns(instance)


def distance_from_below(symbols: Symbols) -> Array:
    """1/(n‖f⁻¹‖): f is at least 1/‖f⁻¹‖ in the spectral norm, 1/n of that in some entry, from a lower rank.

    f is symmetric, so the spectral norm of its inverse is at most its largest sum of |entries| along a row.
    """
    f = symbols.f_of_signs
    with ctx.workprec(BITS):
        inverse = arb_mat(f.tolist()).inv().tolist()
        return table(lambda: 1 / (len(f) * max(total(map(abs, row)) for row in inverse)))


def distance_from_above(symbols: Symbols) -> Array:
    """Largest entry of f − M for M = f (I − w wᵀ/n), w_i the product of the signs of row i: M w = 0, M is singular."""
    f = symbols.f_of_signs
    n = len(f)
    w = [(-1) ** i.bit_count() for i in range(n)]
    return table(lambda: max(abs(total(x * y for x, y in zip(row, w, strict=True))) for row in f) / n)


def three_halves(symbols: Symbols) -> arb:
    """n^(−3/2) for n = 2^d."""
    n = arb(2**symbols.d)
    return 1 / (n * n.sqrt())


def error_of_one_sign(d: int, c: Any) -> Any:
    """False: tanh(c)/2^d, without the power."""
    return np.tanh(c) / 2**d


def error_with_paper_scale(d: int, c: Any) -> Any:
    """False here: for scores X W Xᵀ/d."""
    return formulas.full_rank_error(d, c / d)


def error_with_half(d: int, c: Any) -> Any:
    """False here: W = I/2."""
    return formulas.full_rank_error(d, c / 2)


def error_without_n(d: int, c: Any) -> Any:
    """False: the singular value itself, as if it stood in one entry."""
    return np.prod(np.asarray([np.tanh(c)] * d))


APPROXIMATE_F = ("X", "W", "W_g", "G", "x", "y")  # what f̃ is made from
APPROXIMATE_Q = ("W_V", "z")  # and q̃

FACTORS_OF_F = BoundedScoresTrial(
    f_tilde,
    "P(τ X W Xᵀ) with rows divided by their sums",
    names=("X", "W"),
    hypothesis=BOUNDED,
    symbols_of=Taylor,
    columns=monomial_count,
)
FALSE_FACTORS_OF_F: dict[str, Claim] = {
    "rows not divided": f_unnormalised,
    "columns divided": f_over_columns,
    "a lower degree": f_lower_degree,
    "one column more": f_wider,
    **with_transposed(formulas.f_factors, "W"),
}
ERROR_OF_F = PolynomialBoundTrial("‖U1V1ᵀ − f‖∞", error_of_f, ("X", "W"), hypothesis=BOUNDED)
FALSE_ERRORS_OF_F: dict[str, Claim] = {"tanh(⅛ ln κ)": eighth_of_logarithm, "(κ − 1)²/4": quarter_of_square}
SMALL_ENOUGH = (
    "for any error there is an even degree g so that κ − 1 over |x| ≤ max|τ X W Xᵀ| is below it, and tanh(¼ ln κ) ≤"
    " (κ − 1)/4: take ε/poly(n). How large g, and with it the rank, must be is the next part's matter"
)
O_LOG_N = f"G_i and h of O(log n) bits, as 4.1 has it; {POLY_D}"
SMALL_Q = "entries of G_i and h of O(log n) bits, and d ≤ n^l, make ‖q‖∞ ≤ d‖G_i‖∞‖h‖∞ ≤ n^c"
ANY_RANK = "k1 of any size"
FROM_MONOMIALS = "from monomials, k1 = binom(d+g, g)"
FALSE_FULL_RANK: dict[str, Claim] = {
    "tanh(c)/n": error_of_one_sign,
    "for scores X W Xᵀ/d": error_with_paper_scale,
    "without n": error_without_n,
}
ERROR_OF_S = InexactFactorsTrial("‖U1V1ᵀ h − s‖∞", error_of_s, (*APPROXIMATE_F, "W_V"))
FALSE_ERRORS_OF_S: dict[str, Claim] = {"without n": s_without_n, "n − 1 for n": s_one_less}


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="C.2",
        kind="fact",
        title="Entrywise product of two factored matrices",
        locus="Appendix C.1, Fact C.2",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="(U1 V1ᵀ) ⊙ (U2 V2ᵀ) = (U1 ⊘ U2)(V1 ⊘ V2)ᵀ for U1, V1 ∈ R^{n×k1} and U2, V2 ∈ R^{n×k2}",
                forms=(
                    form(
                        formulas.entrywise_product,
                        FactorTrial(product_of_entries, "(U1 V1ᵀ) ⊙ (U2 V2ᵀ)", names=OPERANDS),
                        {
                            "(V2 ⊘ V1)ᵀ": orders_mixed,
                            "U1 V1ᵀ + U2 V2ᵀ": products_added,
                            **wrong_sign_or_factor(formulas.entrywise_product),
                        },
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="row-wise product",
                claim="(U1 ⊘ U2)_{i, l1+(l2−1)k1} = (U1)_{i,l1} U_{i,l2}, U1 ⊘ U2 ∈ R^{n×k1k2}",
                clashes_with="its entries, column by column",
                forms=(
                    form(
                        formulas.row_kronecker,
                        FactorTrial(columns_in_order, "U1 ⊘ U2", names=OPERANDS),
                        {
                            "column l2 + (l1−1) k2": kronecker_in_other_order,
                            **wrong_sign_or_factor(formulas.row_kronecker),
                        },
                    ),
                ),
            ),
        ),
        note="The last factor is printed U_{i,l2}, without its index 2; it is read as (U2)_{i,l2}.",
    ),
    Statement(
        id="C.13",
        kind="lemma",
        title="Low-rank factors of f",
        locus="Appendix C.4, Lemma C.13",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U1, V1 ∈ R^{n×k1} can be constructed explicitly, where f(X) = D⁻¹ exp(X W Xᵀ) and"
                " D = diag(exp(X W Xᵀ) 1_n)",
                forms=(
                    form(
                        formulas.f_factors,
                        FACTORS_OF_F,
                        FALSE_FACTORS_OF_F,
                        reading=f"{FROM_MONOMIALS}, {UNIT_READING}",
                    ),
                    form(
                        formulas.f_factors,
                        replace(FACTORS_OF_F, scales=(paper_scale,)),
                        FALSE_FACTORS_OF_F,
                        reading=f"{FROM_MONOMIALS}, {PAPER_READING}",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n)",
                forms=(
                    replace(
                        derived(
                            form(
                                bounds.C_13_bound, ERROR_OF_F, FALSE_ERRORS_OF_F, reading=f"{UNIT_READING}; {ANY_RANK}"
                            ),
                            "C.13",
                            proofs.of_kappa,
                            Taylor,
                        ),
                        implication=SMALL_ENOUGH,
                    ),
                    replace(
                        derived(
                            form(
                                bounds.C_13_bound,
                                replace(ERROR_OF_F, scales=(paper_scale,)),
                                FALSE_ERRORS_OF_F,
                                reading=f"{PAPER_READING}; {ANY_RANK}",
                            ),
                            "C.13",
                            proofs.of_kappa,
                            Taylor,
                        ),
                        implication=SMALL_ENOUGH,
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="rank",
                claim="k1 = n^{o(1)}",
                fault="gap",
                consequence="R has no bound, and the rank is n: for an error of n^(−3/2) where R = 1, with the scores"
                " that are printed, and for an error of 1/(3n) with scores X W Xᵀ/d, d = 3 and integer entries of"
                " O(log n) bits. Nor is d bounded: for d = n it is n with scores of at most 1."
                " 4.1, 4.2 and 1.4, which do not even name R, rest on it.",
                forms=(
                    gaps.falls(
                        gaps.SIGNS,
                        formulas.few_columns,
                        gaps.FALSE_COLUMNS,
                        reading=f"{UNIT_READING}; entries of X and X W at most R = 1, d = log2 n",
                        necessary=gaps.FEW,
                    ),
                    gaps.falls(
                        gaps.PARABOLA,
                        formulas.few_columns,
                        gaps.FALSE_COLUMNS,
                        reading=f"{PAPER_READING}; R without a bound, as it is printed, d = 3",
                        necessary=gaps.FEW,
                    ),
                    gaps.falls(
                        gaps.ORTHOGONAL,
                        formulas.few_columns,
                        gaps.FALSE_COLUMNS,
                        reading=f"{PAPER_READING}; |scores| ≤ 1, d = n",
                        necessary=gaps.FEW,
                    ),
                    gaps.few("k1 is this rank"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="U1 and V1 can be constructed explicitly in n^{1+o(1)} time",
                fault="gap",
                consequence="That of the rank: where k1 = n the factors alone have n² entries.",
                forms=(
                    gaps.falls(
                        gaps.SIGNS_WRITTEN,
                        formulas.few_entries,
                        gaps.FALSE_ENTRIES,
                        reading=f"{UNIT_READING}; entries of X and X W at most R = 1, d = log2 n",
                        necessary=gaps.WRITTEN,
                    ),
                    gaps.falls(
                        gaps.PARABOLA_WRITTEN,
                        formulas.few_entries,
                        gaps.FALSE_ENTRIES,
                        reading=f"{PAPER_READING}; R without a bound, as it is printed, d = 3",
                        necessary=gaps.WRITTEN,
                    ),
                    gaps.few(
                        "One multiplication makes an entry of a factor from another (f_factors), X W takes O(n d²)"
                    ),
                ),
            ),
        ),
        assumes=("A = o(√log n)", "‖XW‖∞ ≤ R", "‖X‖∞ ≤ R"),
        uses=("C.7", "C.8"),
        note="The quantity A does not occur again; R carries no bound, d no hypothesis, ε no quantifier. Taken over"
        " from Section 3 of Alman and Song (2023) and Lemma D.1 of Alman and Song (2024); no proof here. The error"
        " alone says little: U1 = f, V1 = I has none. By own/necessary rank no bound on R that admits 1 mends the rank"
        " for the scores X W Xᵀ that are printed; with scores X W Xᵀ/d and d = log2 n it is n where R = √log2 n, so"
        " that R = o(√log n), as A has it, is what is missing. With it |X W Xᵀ/d| ≤ R² = o(log n).",
        related=("I.1", "own/necessary rank"),
    ),
    Statement(
        id="C.14",
        kind="lemma",
        title="Low-rank factors of s",
        locus="Appendix C.4, Lemma C.14 and its proof",
        parts=(
            Part(
                kind="inequality",
                name="bound",
                claim="‖U1V1ᵀ h(X) − s(X)‖∞ ≤ n‖U1V1ᵀ − f(X)‖∞‖h(X)‖∞",
                forms=(
                    derived(
                        form(bounds.C_14_bound, ERROR_OF_S, FALSE_ERRORS_OF_S), "C.14", proofs.of_sizes, InexactFactors
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="there are U1, V1 ∈ R^{n×k1} with ‖U1V1ᵀ h(X) − s(X)‖∞ ≤ ε/poly(n)",
                forms=(
                    replace(
                        derived(
                            form(bounds.C_14_bound, ERROR_OF_S, FALSE_ERRORS_OF_S),
                            "C.14",
                            proofs.of_sizes,
                            InexactFactors,
                        ),
                        implication="entries of O(log n) bits make ‖h‖∞ ≤ n^c; factors of f within ε/n^{c+1+k}, which"
                        " C.13 has for every k, give ε/n^k",
                    ),
                ),
            ),
        ),
        assumes=("d = O(log n)", "entries of h(X) have O(log n) bits"),
        uses=("C.10", "C.13"),
    ),
    Statement(
        id="C.15",
        kind="lemma",
        title="Low-rank factors of p1",
        locus="Appendix C.4, Lemma C.15",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U3, V3 ∈ R^{n×k3} can be constructed explicitly, where p1(X) = f(X) ⊙ q(X)",
                forms=(
                    form(
                        formulas.p1_factors,
                        ConstructionTrial(product_of_entries, "(U1 V1ᵀ) ⊙ (U2 V2ᵀ)", names=OPERANDS),
                        {
                            "V2 ⊘ V1": p1_orders_mixed,
                            "U2 and V2 exchanged": p1_second_reversed,
                            "the whole matrix, and an identity": p1_multiplied_out,
                        },
                        reading="U3 = U1 ⊘ U2 and V3 = V1 ⊘ V2, k3 = k1 k2",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="‖U3V3ᵀ − p1(X)‖∞ ≤ ε/poly(n)",
                forms=(
                    replace(
                        derived(
                            form(
                                bounds.C_15_bound,
                                InexactFactorsTrial("‖U3V3ᵀ − p1‖∞", error_of_p1, (*APPROXIMATE_F, *APPROXIMATE_Q)),
                                {"without ‖q̃‖": p1_without_q, "only the error of f": p1_one_term},
                                reading=f"any factors of q, {O_LOG_N}",
                            ),
                            "C.15",
                            proofs.of_inexact_q,
                            InexactFactors,
                        ),
                        implication=f"‖f‖∞ ≤ 1, and {SMALL_Q}, so ‖q̃‖∞ ≤ n^c + ε: errors of f and q of at most"
                        " ε/n^{c+1+k} give ε/n^k for large n",
                    ),
                    replace(
                        form(
                            bounds.C_15_bound_exact_q,
                            InexactFactorsTrial("‖U3V3ᵀ − p1‖∞", error_of_p1_exact_q, (*APPROXIMATE_F, "W_V")),
                            {"without ‖q‖": p1_exact_without_q, "half": p1_exact_halved},
                            reading=f"U2 = G_i and V2 = h, {O_LOG_N}",
                        ),
                        implication=f"{SMALL_Q}: an error of f of at most ε/n^{{c+k}} gives ε/n^k",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="U3 and V3 can be constructed explicitly in n^{1+o(1)} time",
                forms=(cost.C_15,),
            ),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Nothing is printed of k3, and without a bound on it U3 = p1, V3 = I would do; k1 k2 columns are enough."
        " Neither bits of G_i and h nor a bound on d are assumed: the error of f is multiplied by ‖q‖∞, which nothing"
        " else bounds. Taken"
        " over from Lemma D.4 of Alman and Song (2024); no proof here.",
    ),
    Statement(
        id="C.16",
        kind="lemma",
        title="Low-rank factors of p2",
        locus="Appendix C.4, Lemma C.16",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U4, V4 ∈ R^{n×k4} can be constructed explicitly,"
                " where p2(X)_{j0} = f(X)_{j0} f(X)_{j0}ᵀ q(X)_{j0}",
                forms=(
                    form(
                        formulas.p2_factors,
                        ConstructionTrial(
                            sums_times_first,
                            "diag(((U1 V1ᵀ) ⊙ (U2 V2ᵀ)) 1) U1 V1ᵀ",
                            names=OPERANDS,
                            symbols_of=ThirdFactors,
                            columns=columns_of_first,
                        ),
                        {
                            "the diagonal of U3 V3ᵀ": p2_without_sums,
                            "column sums": p2_column_sums,
                            "the sums multiply V1": p2_scaled_columns,
                        },
                        reading="U4 = diag(U3 V3ᵀ 1_n) U1 and V4 = V1, k4 = k1",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="‖U4V4ᵀ − p2(X)‖∞ ≤ ε/poly(n)",
                forms=(
                    replace(
                        derived(
                            form(
                                bounds.C_16_bound,
                                InexactFactorsTrial("‖U4V4ᵀ − p2‖∞", error_of_p2, (*APPROXIMATE_F, *APPROXIMATE_Q)),
                                {"without n": p2_without_n, "‖f‖ for ‖f̃‖": p2_with_exact_f},
                                reading=f"any factors of q, {O_LOG_N}",
                            ),
                            "C.16",
                            proofs.of_inexact_q,
                            InexactFactors,
                        ),
                        implication=f"{SMALL_Q}, so ‖q̃‖∞ ≤ n^c + ε, and ‖f̃‖∞ ≤ 1 + ε: errors of f and q of at most"
                        " ε/n^{c+2+k} give ε/n^k for large n",
                    ),
                    replace(
                        form(
                            bounds.C_16_bound_exact_q,
                            InexactFactorsTrial("‖U4V4ᵀ − p2‖∞", error_of_p2_exact_q, (*APPROXIMATE_F, "W_V")),
                            {"without n": p2_exact_without_n, "only the error of the sums": p2_exact_sums_only},
                            reading=f"U2 = G_i and V2 = h, {O_LOG_N}",
                        ),
                        implication=f"{SMALL_Q} and ‖f̃‖∞ ≤ 1 + ε: an error of f of at most ε/n^{{c+2+k}} gives ε/n^k"
                        " for large n",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="U4 and V4 can be constructed explicitly in n^{1+o(1)} time",
                forms=(cost.C_16,),
            ),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "k4 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Neither bits of G_i and h nor a bound on d are assumed, as in C.15. Taken over from Lemma D.5 of Alman"
        " and Song (2024); no proof here.",
    ),
    Statement(
        id="own/necessary rank",
        kind="finding",
        title="How many columns an error of f takes",
        locus="altgrad's own; about the rank in Lemma C.13",
        parts=(
            Part(
                kind="inequality",
                name="singular values",
                claim="if ‖U1V1ᵀ − f‖∞ ≤ e then U1 has at least as many columns as f has singular values above n e",
                forms=(
                    form(
                        formulas.necessary_rank,
                        NecessaryRankTrial(),
                        {
                            "above e": as_if_largest_were_norm,
                            "above √n e": as_if_root_of_n,
                            "one more": one_more,
                        },
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="signs, from below",
                claim="for the n = 2^d vectors of signs, W = c I and scores X W Xᵀ, n − 1 columns are at least"
                " tanh(c)^d/n away from f",
                forms=(
                    form(
                        formulas.full_rank_error,
                        SignTrial(distance_from_below, "1/(n‖f⁻¹‖)", names=("X",), max_n=2),
                        FALSE_FULL_RANK,
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="signs, from above",
                claim="and some n − 1 columns are no further away",
                forms=(
                    form(
                        formulas.full_rank_error,
                        SignTrial(distance_from_above, "‖f w wᵀ/n‖∞", names=("X",), max_n=2),
                        FALSE_FULL_RANK,
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="C.13",
                claim="so with d = log2 n, ‖X‖∞ = ‖XW‖∞ = 1 and scores X W Xᵀ, an error of n^(−3/2) takes k1 = n",
                forms=(
                    replace(
                        form(
                            formulas.full_rank_error,
                            UnitSignTrial("n^(−3/2)", three_halves, ("X",)),
                            {"for scores X W Xᵀ/d": error_with_paper_scale, "tanh(1/2)": error_with_half},
                        ),
                        implication="W = I, so c = 1: tanh(1)^d/n > 2^(−d/2)/n = n^(−3/2) for every d, since"
                        " tanh(1) = 0.76… > 2^(−1/2) = 0.70…; fewer than n columns are further away than that",
                    ),
                ),
            ),
        ),
        note="f of all vectors of signs is the d-fold Kronecker power of that of 1 and −1, whose eigenvalues are 1 and"
        " tanh(c): those of f are tanh(c)^j, binom(d, j) times each (docs/low_rank.md). C.13 prints the scores without"
        " 1/d. With 1/d and entries of X of ±R, W = I, the same holds with c = R²/d: rank n at R = √d = √log2 n, so a"
        " condition like R = o(√log n) is needed. C.13 names one, A = o(√log n), and does not use it.",
        related=("C.13", "I.1"),
    ),
)
