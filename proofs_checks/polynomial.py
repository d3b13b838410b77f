"""What the paper says of polynomials in place of the exponential (I.1), and what can be said of them with constants.

I.1 is quoted from Alman and Song (2023) without proof. Our own bounds, with their constants, are `own/polynomial`;
what no polynomial can do, and what follows for the degree that I.1 prints, is `own/degree`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from math import comb, isqrt, log2
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks import bound_proofs, cost, enclosures
from proofs_checks.equation import form, narrow, parameters
from proofs_checks.ground_truth import BITS, balls
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Array, Instance, layers, unit_scale
from proofs_checks.monomial_count import CountProof
from proofs_checks.record import Check, Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from proofs_checks.trial import Trial
from reference import low_rank
from reference import polynomial as formulas

POINTS = 24  # intervals of the grid on which a polynomial is held against exp


# --- a polynomial on an interval


class Interval(Symbols):
    """On [−B, B], where B is the largest |entry| of X, polynomials of degree n + d − 2, or 2(n − 1) if it is even."""

    @property
    def bound(self) -> float:
        return float(np.abs(self.instance.operands["X"]).max())

    @property
    def degree(self) -> int:
        return self.n + self.d - 2

    @property
    def even_degree(self) -> int:
        return 2 * (self.n - 1)

    @cached_property
    def angles(self) -> list[arb]:
        """θ for x = B cos θ, from B to −B."""
        return [arb.pi() * k / POINTS for k in range(POINTS + 1)]

    @cached_property
    def grid(self) -> list[arb]:
        return [self.bound * angle.cos() for angle in self.angles]

    @cached_property
    def bessel(self) -> list[arb]:
        return [bessel(k, self.bound) for k in range(self.degree + 1)]

    def chebyshev(self, angle: arb) -> arb:
        """I_0(B) + 2 Σ_k I_k(B) cos kθ, up to the degree."""
        return total((1 + (k > 0)) * c * (k * angle).cos() for k, c in enumerate(self.bessel))

    @cached_property
    def ratios(self) -> list[arb]:
        """P(x)/eˣ of this series."""
        return [self.chebyshev(angle) * (-x).exp() for angle, x in zip(self.angles, self.grid, strict=True)]

    @cached_property
    def slopes(self) -> list[arb]:
        """P′(x)/P(x) of this series, between the ends: dP/dθ over dx/dθ = −B sin θ."""

        def slope(angle: arb) -> arb:
            numerator = total(2 * k * c * (k * angle).sin() for k, c in enumerate(self.bessel))
            return numerator / (self.bound * angle.sin() * self.chebyshev(angle))

        return [slope(angle) for angle in self.angles[1:-1]]

    @cached_property
    def relative_error(self) -> arb:
        return relative_error_of_chebyshev(self)


def bessel(k: int, bound: float) -> arb:
    """I_k(B) = Σ_m (B/2)^{2m+k}/(m! (m+k)!), where what is not summed is less than the last term."""
    half, terms = arb(bound) / 2, 80 + int(bound)
    summed = [half ** (2 * m + k) / (arb.fac_ui(m) * arb.fac_ui(m + k)) for m in range(terms)]
    return total(summed) + arb(0).union(summed[-1])


def taylor(x: arb, degree: int) -> arb:
    """Σ_k x^k/k!, up to the degree."""
    return total(x**k / arb.fac_ui(k) for k in range(degree + 1))


def largest(values: Any) -> arb:
    result, *others = values
    for value in others:
        result = result.max(value)
    return result


def relative_error_of_taylor(symbols: Interval) -> arb:
    return largest(abs(taylor(x, symbols.degree) * (-x).exp() - 1) for x in symbols.grid)


def relative_error_of_chebyshev(symbols: Interval) -> arb:
    return largest(abs(ratio - 1) for ratio in symbols.ratios)


def spread_of_chebyshev(symbols: Interval) -> arb:
    """Largest over least P(x)/eˣ."""
    return largest(symbols.ratios) * largest(1 / ratio for ratio in symbols.ratios)


def weight_error_of_chebyshev(symbols: Interval) -> arb:
    return spread_of_chebyshev(symbols) - 1


def slope_error_of_chebyshev(symbols: Interval) -> arb:
    return largest(abs(slope - 1) for slope in symbols.slopes)


def inverse_of_even_taylor(symbols: Interval) -> arb:
    return largest(1 / taylor(x, symbols.even_degree) for x in symbols.grid)


def precise(instance: Instance) -> bool:
    """Whether the truncated Chebyshev series has a relative error below 1 on the grid."""
    with ctx.workprec(BITS):
        return bool(relative_error_of_chebyshev(Interval(instance)) < 1)


def positive(instance: Instance) -> bool:
    """Whether the truncated Chebyshev series is positive on an interval that is not a point."""
    symbols = Interval(instance)
    return symbols.bound > 0 and formulas.chebyshev(symbols.degree, symbols.bound).positive


def not_a_point(instance: Instance) -> bool:
    return Interval(instance).bound > 0


# --- our bounds, and false variants of them


def taylor_without_factor(degree: int, bound: float) -> arb:
    """False: the error on [−B, B] without e^B, which is relative to the largest exponential."""
    return formulas.taylor_error(degree, bound) * (-arb(bound)).exp()


def taylor_a_term_later(degree: int, bound: float) -> arb:
    return formulas.taylor_error(degree + 1, bound)


def taylor_at_the_other_end(degree: int, bound: float) -> arb:
    return abs(1 - (-arb(bound)).exp() * taylor(arb(bound), degree))


def taylor_next_degree(degree: int, bound: float) -> arb:
    return formulas.taylor_error_attained(degree + 1, bound)


def chebyshev_without_factor(degree: int, bound: float) -> arb:
    """False: without e^B."""
    return formulas.chebyshev_error(degree, bound) * (-arb(bound)).exp()


def chebyshev_without_two(degree: int, bound: float) -> arb:
    return formulas.chebyshev_error(degree, bound) / 2


def chebyshev_a_term_later(degree: int, bound: float) -> arb:
    return formulas.chebyshev_error(degree + 1, bound)


def one_plus(relative_error: arb) -> arb:
    return 1 + relative_error


def one_over(relative_error: arb) -> arb:
    return 1 / (1 - relative_error)


def one() -> int:
    return 1


def root_of_inverse_bound(bound: float) -> arb:
    return formulas.inverse_bound(bound / 2)


def at_the_ends(degree: int, bound: float) -> arb:
    """False: the spread between x = −B and x = B alone."""
    P = formulas.chebyshev(degree, bound)
    low, high = (P(arb(x)) * arb(-x).exp() for x in (-bound, bound))
    return low.max(high) / low.min(high) - 1


def relative_error_at_the_far_end(degree: int, bound: float) -> arb:
    """False: the relative error at x = B alone."""
    return abs(formulas.chebyshev(degree, bound)(arb(bound)) * arb(-bound).exp() - 1)


def half_the_relative_error(degree: int, bound: float) -> arb:
    return formulas.computed_relative_error(degree, bound) / 2


def relative_error_for_spread(degree: int, bound: float) -> arb:
    """False: the relative error where it is the spread that is asked for."""
    return formulas.computed_relative_error(degree, bound)


def relative_error_for_slope(degree: int, bound: float) -> arb:
    """False: as if a derivative were as near as the values."""
    return formulas.computed_relative_error(degree, bound)


def half_the_slope_error(degree: int, bound: float) -> arb:
    return formulas.computed_slope_error(degree, bound) / 2


# --- what no polynomial can do


class PrintedDegree(Symbols):
    """C = n d, R = (C + 1)^(C + 1), scores of at most R², and a relative error of R^(−R²)."""

    @property
    def constant(self) -> int:
        return self.n * self.d

    @property
    def R(self) -> int:
        base: int = self.constant + 1
        return base**base

    @property
    def bound(self) -> int:
        return self.R**2

    @cached_property
    def digits(self) -> arb:
        """log(1/ε)."""
        return self.bound * arb(self.R).log()


def most_digits(symbols: Interval) -> arb:
    """The largest log(1/ε) of three polynomials, where ε is taken over g + 2 equally spaced points only.

    They are Taylor's, Chebyshev's, and the one whose relative errors at these points are equal but for their signs.
    """
    g, B = symbols.degree, arb(symbols.bound)
    points = [B * (2 * i - g - 1) / (g + 1) for i in range(g + 2)]
    angles = [arb.pi(), *((x / B).acos() for x in points[1:-1]), arb(0)]
    rows = [[x**k for k in range(g + 1)] + [(-1) ** i * x.exp()] for i, x in enumerate(points)]
    solved = arb_mat(rows).solve(arb_mat([[x.exp()] for x in points]))
    coefficients = [solved[k, 0] for k in range(g + 1)]
    each = (
        [total(c * x**k for k, c in enumerate(coefficients)) for x in points],
        [taylor(x, g) for x in points],
        [symbols.chebyshev(angle) for angle in angles],
    )
    errors = (largest(abs(P * (-x).exp() - 1) for P, x in zip(values, points, strict=True)) for values in each)
    return largest(-error.log() for error in errors)


def above_the_printed_degree(symbols: PrintedDegree) -> arb:
    """1 more than C times max{log(1/ε)/log(log(1/ε)/R), R²}: as that is a whole number, R², less is not above it."""
    L, R = symbols.digits, arb(symbols.R)
    return 1 + symbols.constant * (L / (L / R).log()).max(R**2)


def necessary_for_half_the_digits(bound: int, digits: arb) -> int:
    return formulas.necessary_degree(bound, digits / 2)


def necessary_for_smaller_scores(bound: int, digits: arb) -> int:
    """False: as if the scores were at most R."""
    return formulas.necessary_degree(isqrt(bound), digits)


def limit_of_the_degree_before(degree: int, bound: float) -> arb:
    return formulas.digits_limit(degree - 1, bound) if degree else arb(0)


def limit_on_twice_the_interval(degree: int, bound: float) -> arb:
    return formulas.digits_limit(degree, 2 * bound)


# --- I.1


class Accuracy(Symbols):
    """Scores of at most B = R², R the largest |entry| of X or 1, and log(1/ε) = n d²/4."""

    @property
    def bound(self) -> float:
        return max(1.0, float(np.abs(self.instance.operands["X"]).max())) ** 2

    @cached_property
    def digits(self) -> arb:
        return arb(self.n * self.d**2) / 4


def least_degree_of_chebyshev(symbols: Accuracy) -> int:
    """The least g with 2e^B Σ_{k>g} I_k(B) ≤ ε, by e^B = I_0(B) + 2 Σ_{k≥1} I_k(B)."""
    with ctx.workprec(2 * BITS):
        largest, allowed, g = arb(symbols.bound).exp(), (-symbols.digits).exp(), 0
        left = largest - bessel(0, symbols.bound)
        while not largest * left <= allowed:
            g += 1
            left -= 2 * bessel(g, symbols.bound)
        return g


def five_left_out(bound: float, digits: arb) -> arb:
    return formulas.sufficient_degree(bound, digits) / 5


def two_for_five(bound: float, digits: arb) -> arb:
    return formulas.sufficient_degree(bound, digits) * 2 / 5


def bound_left_out(bound: float, digits: arb) -> arb:
    """False: the quotient alone."""
    return 5 * digits / (digits / bound).log() if digits > bound else arb(0)


class Bounded(Symbols):
    """Queries Q and keys K with entries of at most 2: X and G, divided by a power of two. ε = 2^{−n−d}, g = n."""

    def _small(self, name: str) -> Array:
        operand = self.instance.operands[name]
        largest = float(np.abs(operand).max())
        return operand / 2.0 ** max(0, int(np.ceil(log2(largest))) - 1) if largest else operand

    @cached_property
    def Q(self) -> Array:
        return balls(self._small("X"))

    @cached_property
    def K(self) -> Array:
        return balls(self._small("G"))

    @property
    def R(self) -> float:
        return float(max(np.abs(self._small(name)).max() for name in ("X", "G")))

    @property
    def epsilon(self) -> float:
        return 2.0 ** -(self.n + self.d)

    @property
    def g(self) -> int:
        return self.n


def exponential(symbols: Bounded) -> Array:
    """exp(Σ_c Q_ic K_jc / d)."""
    n, d = symbols.n, symbols.d
    return table(lambda i, j: (total(symbols.Q[i, c] * symbols.K[j, c] for c in range(d)) / d).exp(), n, n)


def number_of_monomials(symbols: Bounded) -> arb:
    """Those of degree at most g in d variables are those of degree g in one variable more."""
    return arb(sum(1 for _ in combinations_with_replacement(range(symbols.d + 1), symbols.g)))


@dataclass(frozen=True)
class PolynomialTrial(BoundTrial):
    """As `BoundTrial`, with symbols of its own; the hypothesis says all of the scope."""

    measured: Callable[[Any], Any]
    kind: type[Symbols] = Interval

    @property
    def scope(self) -> str:
        return self.hypothesis

    def symbols(self, instance: Instance) -> Symbols:
        return self.kind(instance)


@dataclass(frozen=True)
class FactorsTrial(PolynomialTrial):
    """The claim constructs U0 and V0; `measured` is A, and |U0 V0ᵀ − A| ≤ ε A is asked of every entry."""

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(unit_scale, max_n=4, max_d=3, single=False)

    def sides(self, claim: Claim, instance: Instance) -> Iterator[tuple[tuple[int, ...], arb, arb]]:
        symbols = Bounded(instance)
        with ctx.workprec(BITS):
            A = self.measured(symbols)
            U0, V0 = claim(**{name: symbols.exact(name) for name in parameters(claim)})
            for i, j in np.ndindex(A.shape):
                entry = total(u * v for u, v in zip(U0[i], V0[j], strict=True))
                yield (i, j), narrow(abs(entry - A[i, j])), narrow(symbols.epsilon * A[i, j])


def factors_without_division(Q: Array, K: Array, R: float, epsilon: float) -> tuple[Array, Array]:
    """False: exp(QKᵀ)."""
    return formulas.exponential_factors(Q * Q.shape[1], K, R, epsilon)


def factors_without_multinomials(Q: Array, K: Array, R: float, epsilon: float) -> tuple[Array, Array]:
    """False: the coefficient of the degree alone before each product of monomials."""
    P = formulas.exp_polynomial(R**2, epsilon)
    d = Q.shape[1]
    sizes = [k for k in range(P.degree + 1) for _ in range(comb(d + k - 1, k))]
    w = np.array([arb(P.coefficients[k].numerator) / P.coefficients[k].denominator / d**k for k in sizes])
    return low_rank.monomials(Q, P.degree).T * w, low_rank.monomials(K, P.degree).T


def factors_of_the_printed_degree(Q: Array, K: Array, R: float, epsilon: float) -> tuple[Array, Array]:
    """False: the degree that I.1 prints, with 1 for its constant."""
    P = formulas.chebyshev(int(formulas.printed_degree(R, epsilon)), R**2)
    weights = low_rank.weights([c / Q.shape[1] ** k for k, c in enumerate(P.coefficients)], Q.shape[1])
    w = np.array([arb(c.numerator) / c.denominator for c in weights])
    return low_rank.monomials(Q, P.degree).T * w, low_rank.monomials(K, P.degree).T


def binomial_without_d(g: int) -> int:
    return comb(2 * g, g)


def monomials_of_one_degree(g: int, d: int) -> int:
    """False: those of degree g, not at most g."""
    return comb(d + g - 1, g)


# --- the record


def counted(formula: Claim, trial: Trial, false: Mapping[str, Claim]) -> Form:
    """A form of a bound on the number of monomials, tried and proved."""
    tried = form(formula, trial, false)
    proof = Check(kind="proof", claim=formula, trial=CountProof("binom(2(g+d), 2g)", "≤"), false=false)
    return replace(tried, checks=(*tried.checks, proof))


ON_THE_INTERVAL = "B the largest of up to 36 Gaussian numbers or small integers"
ON_THE_GRID = f"balls, degrees ≤ 10, {POINTS + 1} points x, {ON_THE_INTERVAL}"


def on_grid(
    quantity: str, measured: Callable[[Any], arb], assumed: Callable[[Instance], bool] | None = None, extra: str = ""
) -> PolynomialTrial:
    return PolynomialTrial(quantity, measured, ("X",), assumed=assumed, hypothesis=ON_THE_GRID + extra)


def proved(tried: Form, derivation: str, letters: Callable[..., bound_proofs.Letters]) -> Form:
    """The form with a proof of the same formula beside its property check, and the same false variants."""
    (check,) = tried.checks
    trial = bound_proofs.DerivationTrial(derivation, letters, Interval)
    return replace(tried, checks=(check, replace(check, kind="proof", trial=trial)))


def in_table(name: str, claim: str, formula: Claim, trial: enclosures.TableTrial, false: dict[str, Claim]) -> Part:
    """A part about every polynomial that `exp_polynomial` returns over the table of bounds and errors."""
    check = Check(kind="enclosure", claim=formula, trial=trial, false=false)
    return Part(kind="inequality", name=name, claim=claim, forms=(Form(formula=formula, checks=(check,)),))


ASKED = "B ∈ {1/4, 1/2, 1, 2, 4, 8, 16, 32}, ε ∈ {1e-1, …, 1e-12}, Taylor and Chebyshev"


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="I.1",
        kind="lemma",
        title="Low-rank approximation of the exponential of a bounded product",
        locus="Appendix I.1, Lemma I.1",
        parts=(
            Part(
                kind="asymptotic",
                name="degree",
                claim="there is a positive integer g bounded above by g = O(max{log(1/ε) / log(log(1/ε)/R), R²})",
                fault="misprint",
                consequence="No constant makes the printed expression enough (own/degree). That the rank is n^{o(1)},"
                " which is all that is used, stands for R = o(√log n), d = O(log n) and ε = 1/poly(n).",
                forms=(
                    Form(),
                    replace(
                        form(
                            formulas.sufficient_degree,
                            PolynomialTrial(
                                "the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε",
                                least_degree_of_chebyshev,
                                ("X",),
                                hypothesis="balls, log(1/ε) = n d²/4, n ≤ 6, d ≤ 6, B = R²,"
                                " R the largest of 1 and up to 36 Gaussian numbers or small integers",
                                kind=Accuracy,
                            ),
                            {"1 for 5": five_left_out, "2 for 5": two_for_five, "B left out": bound_left_out},
                            role="repaired",
                            reading="R² for R in the inner logarithm, R ≥ 1, no quotient where log(1/ε) ≤ R²",
                        ),
                        implication="scores are at most B = R², so the Chebyshev series of exp on [−B, B], cut off"
                        " after degree g, has relative error ε as soon as 2e^B Σ_{k>g} I_k(B) ≤ ε (own/polynomial),"
                        " and some g ≤ 5 max{log(1/ε)/log(log(1/ε)/B), B} does this for every B ≥ 1 and ε < 1"
                        " (docs/polynomial.md); entries of less than 1 are at most 1",
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="rank",
                claim="r ≤ binom(2(g+d), 2g)",
                forms=(
                    counted(
                        formulas.rank_bound,
                        PolynomialTrial(
                            "monomials of degree at most g in d variables",
                            number_of_monomials,
                            (),
                            hypothesis="g = n ≤ 6, d ≤ 6: 36 distinct cases, the monomials counted one by one",
                            kind=Bounded,
                        ),
                        {"binom(2g, g)": binomial_without_d, "binom(d+g−1, g)": monomials_of_one_degree},
                    ),
                ),
            ),
            Part(
                kind="construction",
                name="factors",
                claim="some Ã = U0 V0ᵀ ∈ R^{n×n} is an (ε, r)-approximation of A = exp(QKᵀ/d)",
                forms=(
                    form(
                        formulas.exponential_factors,
                        FactorsTrial(
                            "|U0 V0ᵀ − A| ≤ ε A",
                            exponential,
                            ("X", "G"),
                            hypothesis="balls, n ≤ 4, d ≤ 3, R ≤ 2, ε = 2^(−n−d)",
                            kind=Bounded,
                        ),
                        {
                            "exp(QKᵀ)": factors_without_division,
                            "no multinomial coefficients": factors_without_multinomials,
                            "the printed degree, constant 1": factors_of_the_printed_degree,
                        },
                        reading="|Ã − A| ≤ ε A entry by entry; g the least degree by the Chebyshev bound of"
                        " own/polynomial, r = binom(d+g, g)",
                    ),
                ),
            ),
            Part(kind="cost", name="time", claim="U0 and V0 are computed in O(n · r) time", forms=(cost.I_1,)),
        ),
        assumes=("Q, K ∈ R^{n×d}", "‖Q‖∞ ≤ R", "‖K‖∞ ≤ R", "ε ∈ (0,1)"),
        note="Quoted from Alman and Song (2023) without proof. An (ε, r)-approximation is not defined in the paper;"
        " the word degree for g is not printed. The scores are at most R², and the optimal degree (Aggarwal and Alman"
        " 2022) has their bound, R², where the inner logarithm prints R: by own/degree no constant makes the printed"
        " expression the degree of a polynomial with relative error ε. The rank bound has room to spare.",
        related=("C.13", "own/polynomial", "own/degree"),
    ),
    Statement(
        id="own/polynomial",
        kind="bound",
        title="Taylor and Chebyshev polynomials of exp on [−B, B], with constants",
        locus="altgrad's own; beside Lemma I.1",
        parts=(
            Part(
                kind="inequality",
                name="Taylor",
                claim="|P(x) − eˣ| ≤ eˣ · e^B B^{g+1}/(g+1)! for P the Taylor polynomial of degree g at 0",
                forms=(
                    proved(
                        form(
                            formulas.taylor_error,
                            on_grid("relative error of Taylor", relative_error_of_taylor),
                            {"e^B left out": taylor_without_factor, "g + 1 for g": taylor_a_term_later},
                        ),
                        "own/polynomial, Taylor",
                        bound_proofs.of_taylor,
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="Taylor's worst point",
                claim="|P(x)e^{−x} − 1| ≤ |1 − e^B P(−B)| for the same P: its relative error is largest at x = −B",
                forms=(
                    form(
                        formulas.taylor_error_attained,
                        on_grid("relative error of Taylor", relative_error_of_taylor),
                        {"at x = B": taylor_at_the_other_end, "g + 1 for g": taylor_next_degree},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="even Taylor",
                claim="1/P(x) ≤ e^B for P the Taylor polynomial of even degree",
                forms=(
                    proved(
                        form(
                            formulas.inverse_bound,
                            on_grid("1/P(x), even degree", inverse_of_even_taylor),
                            {"P(x) ≥ 1": one, "1/P(x) ≤ e^{B/2}": root_of_inverse_bound},
                        ),
                        "own/polynomial, even Taylor",
                        bound_proofs.of_even_taylor,
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="Chebyshev",
                claim="|P(x) − eˣ| ≤ eˣ · 2e^B Σ_{k>g} I_k(B) for P the Chebyshev series of exp on [−B, B], cut off"
                " after degree g",
                forms=(
                    proved(
                        form(
                            formulas.chebyshev_error,
                            on_grid("relative error of Chebyshev", relative_error_of_chebyshev),
                            {
                                "e^B left out": chebyshev_without_factor,
                                "2 left out": chebyshev_without_two,
                                "g + 1 for g": chebyshev_a_term_later,
                            },
                        ),
                        "own/polynomial, Chebyshev",
                        bound_proofs.of_chebyshev,
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="spread",
                claim="κ = max P(x)e^{−x} / min P(x)e^{−x} ≤ (1+ε)/(1−ε) for a relative error of at most ε < 1",
                forms=(
                    proved(
                        form(
                            formulas.ratio_bound,
                            on_grid("κ of Chebyshev", spread_of_chebyshev, precise, ", relative error < 1"),
                            {"1 + ε": one_plus, "1/(1 − ε)": one_over},
                        ),
                        "own/polynomial, spread",
                        bound_proofs.of_spread,
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="computed relative error",
                claim="|P(x)e^{−x} − 1| ≤ relative_error, which is computed from the zeros of P′ − P",
                forms=(
                    form(
                        formulas.computed_relative_error,
                        on_grid("relative error of Chebyshev", relative_error_of_chebyshev),
                        {"half of it": half_the_relative_error, "at x = B": relative_error_at_the_far_end},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="computed spread",
                claim="κ − 1 ≤ weight_error(B), which is computed from the zeros of P′ − P",
                forms=(
                    form(
                        formulas.computed_weight_error,
                        on_grid("κ − 1 of Chebyshev", weight_error_of_chebyshev, positive, ", P > 0"),
                        {"the ends alone": at_the_ends, "the relative error": relative_error_for_spread},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="computed slope",
                claim="|P′(x)/P(x) − 1| ≤ slope_error(B), which is computed from the zeros of P″P − P′²",
                forms=(
                    form(
                        formulas.computed_slope_error,
                        on_grid("|P′/P − 1| of Chebyshev", slope_error_of_chebyshev, positive, ", P > 0"),
                        {"half of it": half_the_slope_error, "the relative error": relative_error_for_slope},
                    ),
                ),
            ),
            in_table(
                "returned error",
                f"for {ASKED}: the relative error that the polynomial of exp_polynomial(B, ε) returns is at least the"
                " true one over [−B, B] and at most twice that",
                formulas.returned_error,
                enclosures.TableTrial("max |P(x)e^{−x} − 1|", enclosures.error_of, 2),
                {
                    "half of it": enclosures.half_of_it,
                    "thrice that": enclosures.thrice_that,
                    "rounded down": enclosures.next_float_below,
                    "at x = B": enclosures.at_the_far_end,
                },
            ),
            in_table(
                "stated error",
                f"for {ASKED}: the stated bound, which chooses the degree, is at least the true relative error of the"
                " polynomial over [−B, B] and at most twice that",
                formulas.stated_error,
                enclosures.TableTrial("max |P(x)e^{−x} − 1|", enclosures.error_of, 2),
                {
                    "e^B left out": enclosures.stated_without_factor,
                    "g + 1 for g": enclosures.stated_of_the_next,
                    "g − 1 for g": enclosures.stated_of_the_one_before,
                },
            ),
            in_table(
                "least degree",
                f"for {ASKED}: exp_polynomial(B, ε) has the least degree at which the stated bound is at most ε",
                formulas.least_degree,
                enclosures.TableTrial("the least degree", enclosures.least_degree, 1),
                {
                    "one more": enclosures.one_degree_more,
                    "for ε/2": enclosures.degree_for_half,
                    "Chebyshev's for Taylor": enclosures.degree_of_chebyshev,
                },
            ),
        ),
        note="The derivations are in docs/polynomial.md.",
        related=("I.1",),
    ),
    Statement(
        id="own/degree",
        kind="finding",
        title="The degree that I.1 prints is too small by an unbounded factor",
        locus="altgrad's own; about Lemma I.1",
        parts=(
            Part(
                kind="inequality",
                name="limit",
                claim="log(1/ε) ≤ (g+1) log coth(B/(g+1)) for the relative error ε on [−B, B] of any polynomial of"
                " degree g",
                forms=(
                    form(
                        formulas.digits_limit,
                        PolynomialTrial(
                            "log(1/ε) at g + 2 points",
                            most_digits,
                            ("X",),
                            assumed=not_a_point,
                            hypothesis=f"balls, degrees ≤ 10, the best of three polynomials, {ON_THE_INTERVAL}",
                        ),
                        {"g for g + 1": limit_of_the_degree_before, "2B for B": limit_on_twice_the_interval},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="I.1",
                claim="C · max{log(1/ε)/log(log(1/ε)/R), R²} is less than the degree of any polynomial with relative"
                " error ε on [−R², R²], for R = (C+1)^{C+1} and ε = R^{−R²}",
                forms=(
                    form(
                        formulas.necessary_degree,
                        PolynomialTrial(
                            "1 more than C times the printed degree",
                            above_the_printed_degree,
                            (),
                            hypothesis="C = n d, n ≤ 6, d ≤ 6: 18 distinct cases, balls",
                            kind=PrintedDegree,
                        ),
                        {
                            "√ε for ε": necessary_for_half_the_digits,
                            "scores of at most R": necessary_for_smaller_scores,
                        },
                    ),
                ),
            ),
        ),
        note="The proof, in docs/polynomial.md, is for all C. With R² for R in the inner logarithm the expression is"
        " Aggarwal and Alman's, which is of the right order. What the rank bound of I.1 allows is far more than"
        " polynomials of this degree need, so nothing is said against it.",
        related=("I.1",),
    ),
)
