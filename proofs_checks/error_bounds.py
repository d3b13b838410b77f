"""altgrad's own bounds on the approximate attention layer, which stand beside the paper's "ε/poly(n)".

They are about any two matrices f and f̃ of weights with f̃_ij/f_ij = r_ij/R_i, r_ij in [1, κ], or about any Ã in place
of A = exp(S) with |Ã − A|_ij ≤ E_ij: what is tried is not only what a polynomial gives (docs/bounds.md derives each).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import comb, factorial
from typing import Any

import numpy as np
from flint import arb, fmpq, fmpq_mat
from hypothesis.strategies import SearchStrategy, one_of

from proofs_checks import bound_proofs as proofs
from proofs_checks.bound_proofs import DerivationTrial
from proofs_checks.equation import EquationTrial, form
from proofs_checks.falsify import Altered
from proofs_checks.ground_truth import Lifted, Rows
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Array, Instance, layers, odd_scale, paper_scale, unit_scale
from proofs_checks.monomial_count import CountProof
from proofs_checks.products import product
from proofs_checks.record import Check, Claim, Form, Part, PartKind, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import error_bounds as formulas
from reference import low_rank

OPERANDS = ("X", "W", "W_V", "G", "x")
SCALES = (unit_scale, paper_scale, odd_scale)
KAPPAS = (2, 1 + 2.0**-20, 1.25, 10.0)
PATTERNS = 6
SIZES = (1, 8, 1 / 8, 2.0**-20)  # of absolute errors, relative to A
MOVES = 6


class Approximate(Symbols):
    """f, some f̃ beside it, and what is made from f̃ as the same thing is made from f."""

    f_tilde: Any

    @property
    def _choice(self) -> int:
        """By which x_1 draws what f̃ is."""
        return int(1024 * abs(self.instance.operands["x"][0]))

    def allowed(self, i: int) -> range:
        return range(i + 1 if self.causal else self.n)

    @cached_property
    def K_tilde(self) -> Array:
        return table(lambda i: total(self.f_tilde[i, j] * self.q[i, j] for j in range(self.n)), self.n)

    @cached_property
    def p_tilde(self) -> Array:
        return table(lambda i, j: self.f_tilde[i, j] * (self.q[i, j] - self.K_tilde[i]), self.n, self.n)

    @property
    def p_approximate(self) -> Array:
        """What stands for p in the approximate gradient."""
        return self.p_tilde

    @cached_property
    def columns(self) -> Array:
        """y, with which p and p̃ are summed over the keys: X Wᵀ."""
        return product(self.X, self.W.T)


class Neighbours(Approximate):
    """f, and f̃ with f̃_ij/f_ij proportional to r_ij in [1, κ], along each row.

    x_1 draws how: κ, and which entries have r_ij = κ, so that the bounds are met where they are attained. One of the
    two matrices is the softmax; it may be either.
    """

    @cached_property
    def _softmax(self) -> Array:
        return Symbols(self.instance).weights

    @cached_property
    def _fractions(self) -> Array:
        """t_ij in [0, 1], for r_ij = 1 + δ t_ij."""
        f, h, q, pattern = self._softmax, self.h, self.q, self._choice % PATTERNS

        def fraction(i: int, j: int) -> Any:
            match pattern:
                case 0:
                    return arb(int(bool(q[i, j] > total(f[i, k] * q[i, k] for k in range(self.n)))))
                case 1:
                    return arb(int(bool(h[j, 0] < total(f[i, k] * h[k, 0] for k in range(self.n)))))
                case 2 | 3:
                    return arb(int((j == i) == (pattern == 2)))
                case 4:
                    return arb(int(j == 0))
                case _:
                    return arb((3 * i + 5 * j + self.d) % 8) / 7

        t = table(fraction, self.n, self.n)
        heavy = self._share(t) > arb(1) / 2
        return 1 - t if heavy else t

    def _share(self, t: Array) -> Any:
        """Weight of what is multiplied by κ, in the last row."""
        return total(self._softmax[-1, j] * t[-1, j] for j in range(self.n))

    @cached_property
    def delta(self) -> arb:
        """κ − 1. Two of the choices make a bound equal on the last row: that of its range, that of its deviation."""
        choice = self._choice // PATTERNS % (len(KAPPAS) + 2)
        share = self._share(self._fractions)
        odds = (1 - share) / share if share > 2.0**-20 else arb(2)
        if choice < len(KAPPAS):
            return arb(KAPPAS[choice]) - 1
        delta = odds**2 - 1 if choice == len(KAPPAS) else odds - 1
        return delta if delta > 0 else arb(1)

    @cached_property
    def _neighbour(self) -> Array:
        f, r = self._softmax, 1 + self.delta * self._fractions
        R = [total(f[i, j] * r[i, j] for j in range(self.n)) for i in range(self.n)]
        return table(lambda i, j: f[i, j] * r[i, j] / R[i], self.n, self.n)

    @property
    def _exchanged(self) -> bool:
        return self._choice // PATTERNS // (len(KAPPAS) + 2) % 2 == 1

    @cached_property
    def weights(self) -> Array:
        return self._neighbour if self._exchanged else self._softmax

    @cached_property
    def f_tilde(self) -> Array:
        return self._softmax if self._exchanged else self._neighbour

    # --- what the bounds are made of

    @cached_property
    def M(self) -> Array:
        """Largest difference of two entries of a row of q."""
        return table(
            lambda i: max(abs(self.q[i, j] - self.q[i, k]) for j in self.allowed(i) for k in self.allowed(i)), self.n
        )

    @cached_property
    def F(self) -> Array:
        return table(lambda i, j: self.delta * self.f[i, j] * self.M[i], self.n, self.n)

    def deviations(self, y: Array) -> Array:
        """√(½ Σ_jl f_ij f_il (y_ija − y_ila)²), exactly zero where a column is constant. y is (n, n, k)."""
        f = self.f

        def deviation(i: int, a: int) -> Any:
            squares = (f[i, j] * f[i, k] * (y[i, j, a] - y[i, k, a]) ** 2 for j in self.allowed(i) for k in range(j))
            return total(squares).sqrt()

        return table(deviation, self.n, y.shape[2])

    def _of_every_row(self, y: Array) -> Array:
        return np.broadcast_to(y, (self.n, *y.shape))

    @cached_property
    def h_deviation(self) -> Array:
        return self.deviations(self._of_every_row(self.h))

    @cached_property
    def X_deviation(self) -> Array:
        return self.deviations(self._of_every_row(self.X))

    @cached_property
    def y_deviation(self) -> Array:
        """Of the columns of X Wᵀ."""
        return self.deviations(self._of_every_row(self.columns))

    @cached_property
    def q_deviation(self) -> Array:
        return self.deviations(self.q[:, :, None])[:, 0]

    @property
    def centre(self) -> Array:
        """A row that may be subtracted from those of X: the heaviest key, or one that has nothing to do with them."""
        heaviest = max(range(self.n), key=lambda j: float(self.f[-1, j]))
        return self.X[heaviest] if self._choice % 4 else self.G[0]


class Differentiated(Neighbours):
    """The gradient of the approximate layer itself: P'(S) in place of P(S) in p, with |P'/P − 1| ≤ ω."""

    @property
    def omega(self) -> arb:
        """Of the size of δ, less, and more."""
        return self.delta * (arb(1), arb(1) / 8, arb(4))[self._choice % 3]

    @cached_property
    def p_approximate(self) -> Array:
        """f̃_ij ρ_ij (q_ij − K̃_i), ρ_ij = 1 ± ω, away from p, for one instance in five here and there towards it."""

        def entry(i: int, j: int) -> Any:
            away = self.p_tilde[i, j] * (self.p_tilde[i, j] - self.p[i, j]) > 0
            turned = self._choice % 5 == 0 and (i + j) % 2 == 1
            return self.p_tilde[i, j] * (1 + self.omega * (1 if away != turned else -1))

        return table(entry, self.n, self.n)

    @cached_property
    def F(self) -> Array:
        return table(lambda i, j: (self.delta + self.omega) * self.f_tilde[i, j] * self.M[i], self.n, self.n)

    @property
    def centre(self) -> Array:
        return 0 * self.X[0]


class Absolute(Approximate):
    """Ã = A (1 + ε_i t_ij) with t_ij in [−1, 1], and E = |Ã − A| or twice that; T < D̃. Entries of Ã may be negative.

    x_1 draws which are off, which way and how far: one key alone, all of them one way, or by the sign of q − K.
    """

    @property
    def _excess(self) -> int:
        """E over |Ã − A|."""
        return 2 if self._choice // 96 % 4 == 3 else 1

    @cached_property
    def _moved(self) -> Array:
        """t."""
        pattern, sign = self._choice % MOVES, -1 if self._choice // MOVES % 4 == 3 else 1

        def moved(i: int, j: int) -> Any:
            match pattern:
                case 0 | 1:
                    return arb(sign * int(j == (self._farthest(i) if pattern else 0)))
                case 2:
                    return arb(sign * int(j != i))
                case 3:
                    return arb(sign if self.q[i, j] > self.K[i] else -sign)
                case _:
                    size = arb((3 * i + 5 * j + self.d) % 8) / 7
                    return sign * size * (1 if pattern == 4 else (-1) ** (i + j))

        return table(moved, self.n, self.n)

    def _farthest(self, i: int) -> int:
        """The key whose q is the farthest from the mean."""
        return max(self.allowed(i), key=lambda j: abs(float(self.q[i, j] - self.K[i])))

    def _size(self, i: int) -> Any:
        """λ. For the farthest key: where its q, which draws the mean to itself, is as far from it as the other end."""
        far = self._farthest(i)
        distances = [self.q[i, j] - self.K[i] for j in self.allowed(i)]
        a, b = abs(distances[far]), max(-x if distances[far] > 0 else x for x in distances)
        balanced = self._choice % MOVES == 1 and a > b
        return (a - b) / (a + b) / self.f[i, far] if balanced else arb(SIZES[self._choice // 24 % len(SIZES)])

    @cached_property
    def _epsilon(self) -> Array:
        """λ/(1 + λ g_i), g_i = (T_i − (D̃_i − D_i))/(ε_i D_i), so that D̃_i − T_i = D_i/(1 + λ g_i) whatever λ is."""

        def epsilon(i: int) -> Any:
            t, size = self._moved[i], self._size(i)
            g = total(self.u[i, j] * (self._excess * abs(t[j]) - t[j]) for j in range(self.n)) / self.alpha[i]
            return size / (1 + size * g)

        return table(epsilon, self.n)

    @cached_property
    def A_tilde(self) -> Array:
        return table(lambda i, j: self.u[i, j] * (1 + self._epsilon[i] * self._moved[i, j]), self.n, self.n)

    @cached_property
    def E(self) -> Array:
        def most(i: int, j: int) -> Any:
            return self._excess * self.u[i, j] * self._epsilon[i] * abs(self._moved[i, j])

        return table(most, self.n, self.n)

    @cached_property
    def D_tilde(self) -> Array:
        return table(lambda i: total(self.A_tilde[i]), self.n)

    @cached_property
    def f_tilde(self) -> Array:
        return table(lambda i, j: self.A_tilde[i, j] / self.D_tilde[i], self.n, self.n)

    @cached_property
    def columns(self) -> Array:
        """X Wᵀ, and what makes most of the last row's errors: q − K̃ where Ã is above A, K̃ − q elsewhere."""
        far = table(lambda j: (self.q[-1, j] - self.K_tilde[-1]) * (1 if self._moved[-1, j] > 0 else -1), self.n)
        return np.column_stack([super().columns, far])


@dataclass(frozen=True)
class ApproximateTrial(BoundTrial):
    """As `BoundTrial`, on two matrices of weights; half of the layers are small, where bounds are attained."""

    names: tuple[str, ...] = OPERANDS
    scales: tuple[Any, ...] = SCALES
    masks: tuple[bool, ...] = (False, True)

    @property
    def instances(self) -> SearchStrategy[Instance]:
        small = layers(*self.scales, masks=self.masks, max_n=3, max_d=2, single=False)
        return one_of(small, super().instances)


@dataclass(frozen=True)
class AbsoluteTrial(ApproximateTrial):
    """With an absolute error of the exponential."""

    hypothesis: str = "any Ã with |Ã − A|_ij ≤ E_ij and Σ_j E_ij < D̃_i, some entries of Ã negative"

    def symbols(self, instance: Instance) -> Absolute:
        return Absolute(instance)


@dataclass(frozen=True)
class NeighbourTrial(ApproximateTrial):
    """With a relative error of the exponential."""

    hypothesis: str = "any f̃ with f̃_ij/f_ij proportional to r_ij in [1, κ], κ from 1 + 2⁻²⁰ to 2⁴⁰"

    def symbols(self, instance: Instance) -> Neighbours:
        return Neighbours(instance)


@dataclass(frozen=True)
class DifferentiatedTrial(NeighbourTrial):
    """With P' in place of P in p."""

    hypothesis: str = "any f̃ with f̃_ij/f_ij proportional to r_ij in [1, κ] and any P'/P in [1 − ω, 1 + ω]"

    def symbols(self, instance: Instance) -> Differentiated:
        return Differentiated(instance)


# --- measured


def off(a: Array, b: Array) -> Array:
    """|a − b|, entry by entry."""
    return table(lambda *index: abs(a[index] - b[index]), *a.shape)


def weights(s: Approximate) -> Array:
    """|f̃ − f|."""
    return off(s.f_tilde, s.f)


def moved_weight(s: Neighbours) -> Any:
    """max_i ½ Σ_j |f̃ − f|_ij."""
    return max(total(row) / 2 for row in weights(s))


def pairs(s: Neighbours) -> Array:
    """Σ_{l ≠ j} |f̃_ij f̃_il − f_ij f_il|."""
    f, g, n = s.f, s.f_tilde, s.n

    def entry(i: int, j: int) -> Any:
        return total(abs(g[i, j] * g[i, k] - f[i, j] * f[i, k]) for k in range(n) if k != j)

    return table(entry, n, n)


def output(s: Approximate) -> Array:
    """|s̃ − s|."""
    return off(product(s.f_tilde, s.h), product(s.f, s.h))


def row_means(s: Neighbours) -> Array:
    """|K̃ − K|."""
    return off(s.K_tilde, table(lambda i: total(s.f[i, j] * s.q[i, j] for j in range(s.n)), s.n))


def cotangent(s: Approximate) -> Array:
    """|p̃ − p|, p̃ as the approximate gradient has it."""
    return off(s.p_approximate, s.p)


def along_keys(s: Approximate) -> Array:
    """|(p̃ − p) y|, y = X Wᵀ or more."""
    return off(product(s.p_tilde, s.columns), product(s.p, s.columns))


def gradient_X(s: Neighbours) -> Array:
    """|τ ((p̃ − p) X Wᵀ + (p̃ − p)ᵀ X W) + (f̃ − f)ᵀ G W_Vᵀ|."""
    dp, df = s.p_approximate - s.p, s.f_tilde - s.f
    return abs(s.scale * (dp @ s.X @ s.W.T + dp.T @ s.X @ s.W) + df.T @ s.G @ s.W_V.T)


def gradient_W(s: Neighbours) -> Array:
    """|τ Xᵀ (p̃ − p) X|."""
    return abs(s.scale * (s.X.T @ (s.p_approximate - s.p) @ s.X))


def gradient_W_V(s: Neighbours) -> Array:
    """|Xᵀ (f̃ − f)ᵀ G|."""
    return abs(s.X.T @ (s.f_tilde - s.f).T @ s.G)


# --- other trials: ranks, antiderivatives, shifts


class Polynomial(Symbols):
    """P with coefficients from z, or those of exp; x_1 draws the degree and which."""

    @property
    def _choice(self) -> int:
        return int(1024 * abs(self.instance.operands["x"][0]))

    @property
    def degree(self) -> int:
        return 1 + self._choice % 4

    @property
    def fractions(self) -> list[Fraction]:
        """c_0 … c_g, exactly."""
        z = self.instance.operands["z"].tolist()
        ours = [Fraction(z[k % self.n]) for k in range(self.degree + 1)]
        return [Fraction(1, factorial(k)) for k in range(self.degree + 1)] if self._choice // 4 % 2 else ours


@dataclass(frozen=True)
class RankTrial(BoundTrial):
    """Ranks over the rational numbers, of matrices that are larger than the bound."""

    scales: tuple[Any, ...] = SCALES
    hypothesis: str = "more of n ≤ 16, d ≤ 2; degrees 1 to 4, ranks in rational arithmetic"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return one_of(layers(*self.scales, max_n=16, max_d=2, single=False), super().instances)

    def symbols(self, instance: Instance) -> Polynomial:
        return Polynomial(instance)


def rank_of_polynomial(s: Polynomial) -> int:
    """The rank of Σ_k c_k (τ Σ_ab X_ia W_ab X_jb)^k."""
    X, W = ([[Fraction(x) for x in row] for row in s.instance.operands[name].tolist()] for name in ("X", "W"))
    tau, pairs_of_columns = s.instance.scale, list(np.ndindex(s.d, s.d))

    def entry(i: int, j: int) -> fmpq:
        score = tau * sum(X[i][a] * W[a][b] * X[j][b] for a, b in pairs_of_columns)
        value = Fraction(sum(c * score**k for k, c in enumerate(s.fractions)))
        return fmpq(value.numerator, value.denominator)

    matrix = fmpq_mat(s.n, s.n, [entry(i, j) for i in range(s.n) for j in range(s.n)])
    rank: int = matrix.rank()
    return rank


class Moments(Symbols):
    """Queries X W_Q, keys X, and P with the coefficients z."""

    @property
    def K(self) -> Array:
        return self.X

    @property
    def coefficients(self) -> Array:
        return self.z

    def _moved(self, name: str) -> Array:
        """Gradient of Σ_ij M_ij P̂(⟨q_i, k_j⟩) ⟨G_i, h_j⟩ on q or k: row i meets no other q, row j no other k."""
        n, q = self.n, self.q

        def number(lifted: Lifted) -> Rows:
            Q, K = lifted["Q"], lifted["K"]
            terms = []
            for i in range(n):
                for j in range(i + 1 if self.causal else n):
                    score = total(Q[i][a] * K[j][a] for a in range(self.d))
                    raised = total(score ** (k + 1) * (c / (k + 1)) for k, c in enumerate(self.z))
                    terms.append(raised * q[i, j])
            return [[total(terms)]]

        return self.jacobian(number, {"Q": self.Q, "K": self.X}, name)[0, 0]


@dataclass(frozen=True)
class MomentTrial(EquationTrial):
    """As `EquationTrial`, with queries, keys and a polynomial."""

    def symbols(self, instance: Instance) -> Moments:
        return Moments(instance)


def along_moved_queries(s: Moments) -> Array:
    """Derivatives of Σ_ij M_ij P̂(⟨q_i, k_j⟩) ⟨G_i, h_j⟩ on every q_ia."""
    return s._moved("Q")


def along_moved_keys(s: Moments) -> Array:
    """The same on every k_ja."""
    return s._moved("K")


class Shifted(Symbols):
    """Keys from which the first row of G is subtracted."""

    @property
    def centre(self) -> Array:
        return self.G[0]

    def floats(self, name: str, dtype: Any) -> Any:
        return self.instance.operands["G"][0] if name == "centre" else super().floats(name, dtype)


@dataclass(frozen=True)
class ShiftTrial(EquationTrial):
    """As `EquationTrial`, with a centre of the keys."""

    def symbols(self, instance: Instance) -> Shifted:
        return Shifted(instance)


def softmax(s: Shifted) -> Array:
    """exp(S_ij) / Σ_l exp(S_il), of the keys as they are."""
    return s.f


def not_large(instance: Instance) -> bool:
    """No exponential of a shifted score overflows."""
    X, W, _, G = instance.arrays
    largest = 64 if X.dtype == np.float32 else 256
    shifted = X.astype(np.float64) @ W @ (X - G[0]).T
    return bool(np.abs(float(instance.scale) * shifted).max() <= largest)


# --- false variants


def one_percent_less(value: Any) -> Any:
    return 99 * value / 100


def eighth(value: Any) -> Any:
    return value / 8


def quarter(value: Any) -> Any:
    return value / 4


def halved(value: Any) -> Any:
    return value / 2


def nothing(value: Any) -> Any:
    """As if this did not count."""
    return 0 * value


def own_position(weights: Array) -> Array:
    """What each position has of itself."""
    return weights * np.eye(len(weights), dtype=int)


def quarter_of_delta(f: Array, delta: Any) -> Array:
    """False: the constant of sums of weights, for each of them."""
    return delta / 4 * f


def sharp_with_maximum(f: Array, delta: Any) -> Array:
    """False: max(f, 1 − f) in the denominator."""
    return delta * f * (1 - f) / (1 + delta * np.maximum(f, 1 - f))


def moved_by_logarithm(delta: Any) -> Any:
    """False: ⅛ ln κ for ¼ ln κ."""
    root = np.sqrt(np.sqrt(1 + delta))
    return (root - 1) / (root + 1)


def pairs_by_total(f: Array, delta: Any) -> Array:
    """False: as if only one of the two weights moved, by no more than a row can."""
    return formulas.total_weight_error(delta) * f * (1 - f)


def range_of_all(h: Array, delta: Any) -> Array:
    """False: the range of each row's own values, over c for over j."""
    low, high = h.min(axis=1, keepdims=True), h.max(axis=1, keepdims=True)
    return formulas.total_weight_error(delta) * (high - low + 0 * h)


def position_with_maximum(f: Array, h: Array, delta: Any) -> Array:
    """False: max(x, y) in the denominator."""
    low, high = h.min(axis=0), h.max(axis=0)
    x, y = f @ h - low, high - f @ h
    constant = high == low
    return np.where(constant, high - low, delta * x * y / np.where(constant, 1, high - low + delta * np.maximum(x, y)))


def deviation_over_kappa(h_deviation: Array, delta: Any) -> Array:
    """False: κ for √κ."""
    return delta / (2 * (1 + delta)) * h_deviation


def mean_deviation_over_kappa(q_deviation: Array, delta: Any) -> Array:
    """False: κ for √κ."""
    return delta / (2 * (1 + delta)) * q_deviation


def mean_range_of_columns(q: Array, delta: Any) -> Array:
    """False: the range along the columns of q."""
    return formulas.total_weight_error(delta) * (q.max(axis=0) - q.min(axis=0))


def cotangent_by_entry(f: Array, q: Array, delta: Any) -> Array:
    """False: |q_ij| for the range."""
    return delta * f * abs(q)


def cotangent_without_entry(f: Array, q_deviation: Array, delta: Any) -> Array:
    """False: as if only K moved."""
    return delta * f * np.sqrt(1 + delta) / 2 * q_deviation[:, None]


def covariance_like_mean(q_deviation: Array, y_deviation: Array, delta: Any) -> Array:
    """False: the constant of the means."""
    return delta / (2 * np.sqrt(1 + delta)) * q_deviation[:, None] * y_deviation


def W_V_deviation_over_kappa(X_deviation: Array, G: Array, delta: Any) -> Array:
    """False: κ for √κ."""
    return delta / (2 * (1 + delta)) * X_deviation.T @ abs(G)


def differentiated_by_larger(f_tilde: Array, q: Array, delta: Any, omega: Any, causal: bool) -> Array:
    """False: the larger of the two errors, not their sum."""
    return formulas.differentiated_error(f_tilde, q, max(delta, omega), 0 * omega, causal)


def absolute_without_T(E: Array, D_tilde: Array) -> Array:
    """False: as if the row sum did not move."""
    return E / D_tilde[:, None]


def absolute_over_D(E: Array, f_tilde: Array, D_tilde: Array) -> Array:
    """False: D̃ for D̃ − T."""
    return formulas.weight_error_absolute(E, f_tilde, _over_D(E, D_tilde))


def output_over_D(E: Array, f_tilde: Array, D_tilde: Array, h: Array) -> Array:
    """False: D̃ for D̃ − T."""
    return formulas.output_error_absolute(E, f_tilde, _over_D(E, D_tilde), h)


def output_from_zero(E: Array, D_tilde: Array, h: Array) -> Array:
    """False: |h_j| for |h_j − s̃|, as if the row sum did not move."""
    return E @ abs(h) / (D_tilde - E.sum(axis=1))[:, None]


def cotangent_tau_once(E: Array, f_tilde: Array, D_tilde: Array, q: Array, K_tilde: Array, causal: bool) -> Array:
    """False: τ for 2τ, as if either f or K did not move."""
    T = E.sum(axis=1)
    once = f_tilde * (_farthest(q, K_tilde, causal) * T / (D_tilde - T))[:, None]
    return formulas.cotangent_error_absolute(E, f_tilde, D_tilde, q, K_tilde, causal) - once


def cotangent_over_D(E: Array, f_tilde: Array, D_tilde: Array, q: Array, K_tilde: Array, causal: bool) -> Array:
    """False: D̃ for D̃ − T."""
    return formulas.cotangent_error_absolute(E, f_tilde, _over_D(E, D_tilde), q, K_tilde, causal)


def sums_over_D(
    E: Array, f: Array, D_tilde: Array, q: Array, K_tilde: Array, p_tilde: Array, columns: Array, causal: bool
) -> Array:
    """False: D̃ for D̃ − T."""
    return formulas.sum_error_absolute(E, f, _over_D(E, D_tilde), q, K_tilde, p_tilde, columns, causal)


def sums_about_approximate_mean(
    E: Array, f_tilde: Array, D_tilde: Array, q: Array, K_tilde: Array, p_tilde: Array, columns: Array, causal: bool
) -> Array:
    """False: the mean with the weights f̃ for m."""
    return formulas.sum_error_absolute(E, f_tilde, D_tilde, q, K_tilde, p_tilde, columns, causal)


def _over_D(E: Array, D_tilde: Array) -> Array:
    """What has to stand for D̃ for D̃ − T to be D̃."""
    return D_tilde + E.sum(axis=1)


def _farthest(q: Array, K_tilde: Array, causal: bool) -> Array:
    rows = (abs(q[i, : i + 1 if causal else None] - K) for i, K in enumerate(K_tilde))
    return np.stack([row.max() for row in rows])


def antiderivative_for_weights(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """False: P̂ in place of P."""
    raised = [0 * coefficients[0], *(c / (k + 1) for k, c in enumerate(coefficients))]
    return low_rank.weighted_keys(Q, K, G, h, np.array(raised), causal)


def keys_for_queries(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """False: sums over the other index."""
    return low_rank.weighted_queries(Q, K, G, h, coefficients, causal)


def queries_for_keys(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """False: sums over the other index."""
    return low_rank.weighted_keys(Q, K, G, h, coefficients, causal)


def queries_of_h(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """False: G and h exchanged, as if ⟨G_i, h_j⟩ were symmetric in i and j."""
    return low_rank.weighted_queries(Q, K, h, G, coefficients, causal)


def keys_of_h(Q: Array, K: Array, G: Array, h: Array, coefficients: Array, causal: bool) -> Array:
    """False: G and h exchanged, as if ⟨G_i, h_j⟩ were symmetric in i and j."""
    return low_rank.weighted_keys(Q, K, h, G, coefficients, causal)


def queries_shifted(X: Array, W: Array, centre: Array, scale: Any, causal: bool) -> Array:
    """False: the vector is subtracted from all queries."""
    return _softmax(scale * ((X - centre) @ W @ X.T), causal)


def shifted_by_neighbours(X: Array, W: Array, scale: Any, causal: bool) -> Array:
    """False: half of the next key is subtracted from each, another vector for every key."""
    return _softmax(scale * (X @ W @ (X - X[[*range(1, len(X)), 0]] / 2).T), causal)


def _softmax(scores: Array, causal: bool) -> Array:
    u = np.where(np.tri(len(scores), dtype=bool) | (not causal), np.exp(scores), 0)
    return u / u.sum(axis=1, keepdims=True)


def one_less(d: int, degree: int) -> int:
    return low_rank.rank(d, degree) - 1


def homogeneous(d: int, degree: int) -> int:
    """False: the monomials of the highest degree alone."""
    return comb(d + degree - 1, degree)


# --- statements


def ours(
    name: str,
    claim: str,
    formula: Claim,
    trial: Any,
    false: dict[str, Claim],
    *,
    kind: PartKind = "inequality",
    less: bool = True,
    proof: DerivationTrial | None = None,
) -> Part:
    """A part with one check, and a proof; one false variant is the bound times 0.99, if it is attained so often."""
    smaller = {"1 % less": Altered(formula, one_percent_less)}
    tried = form(formula, trial, {**false, **(smaller if less else {})})
    if proof is not None:
        check = Check(kind="proof", claim=formula, trial=proof, false={**false, **smaller})
        tried = replace(tried, checks=(*tried.checks, check))
    return Part(kind=kind, name=name, claim=claim, forms=(tried,))


def derived(name: str, letters: Callable[..., proofs.Letters], kind: type[Symbols] = Neighbours) -> DerivationTrial:
    return DerivationTrial(name, letters, kind)


def bound(id: str, title: str, parts: tuple[Part, ...], note: str = "", uses: tuple[str, ...] = ()) -> Statement:
    return Statement(
        id=id, kind="bound", title=title, locus="altgrad's own, docs/bounds.md", parts=parts, note=note, uses=uses
    )


F_EXCHANGED = "f and f̃ may change places"
IDENTITY: dict[str, Any] = {
    "truth": along_moved_queries,
    "left": "the gradient on q_i",
    "names": ("X", "W_Q", "W_V", "G", "z"),
    "masks": (False, True),
    "max_n": 4,
    "max_d": 3,
}
FALSE_X: dict[str, Claim] = {
    "without W_V": Altered(formulas.gradient_X_error, nothing, "W_V"),
    "with W_V alone": Altered(formulas.gradient_X_error, nothing, "F"),
}
FALSE_W: dict[str, Claim] = {
    "j = i alone": Altered(formulas.gradient_W_error, own_position, "F"),
    "δ/8 for δ": Altered(formulas.gradient_W_error, eighth),
}
COTANGENT_LIKE_MEAN = Altered(formulas.cotangent_error, quarter)  # the constant of the means, for the entries
DIFFERENTIATED = DifferentiatedTrial("|pᵈ − p|", cotangent)

COUNTED = Check(
    kind="proof",
    claim=low_rank.rank,
    trial=CountProof("binom(d+g, g)", "="),
    false={"one less": one_less, "binom(d+g−1, g)": homogeneous},
)

STATEMENTS: tuple[Statement, ...] = (
    bound(
        "own/rank",
        "The rank of a polynomial of the scores",
        (
            ours(
                "rank",
                "P(τ X W Xᵀ), P of degree g applied entry by entry, has rank at most binom(d+g, g)",
                low_rank.rank,
                RankTrial("rank of P(S)", rank_of_polynomial, ("X", "W", "x", "z")),
                {
                    "one less": one_less,
                    "binom(d+g−1, g)": homogeneous,
                },
                less=False,
            ),
            Part(
                kind="identity",
                name="count",
                claim="there are binom(d+g, g) monomials of degree at most g in d variables",
                forms=(Form(formula=low_rank.rank, checks=(COUNTED,)),),
            ),
        ),
        note="Attained as soon as n is large enough and no coefficient of P is zero. I.1 prints binom(2(g+d), 2g).",
    ),
    bound(
        "own/weights",
        "The attention matrix under a relative error of the exponential",
        (
            ours(
                "relative",
                f"|f̃ − f|_ij ≤ δ f_ij; {F_EXCHANGED}",
                formulas.weight_error,
                NeighbourTrial("|f̃ − f|", weights),
                {"δ/4 for δ": quarter_of_delta},
                proof=derived("own/weights, relative", proofs.of_weights),
            ),
            ours(
                "sharp",
                f"|f̃ − f|_ij ≤ δ f_ij (1 − f_ij)/(1 + δ min(f_ij, 1 − f_ij)); {F_EXCHANGED}",
                formulas.weight_error_sharp,
                NeighbourTrial("|f̃ − f|", weights),
                {"max for min": sharp_with_maximum},
                proof=derived("own/weights, sharp", proofs.of_weights),
            ),
            ours(
                "total",
                "½ Σ_j |f̃ − f|_ij ≤ tanh(¼ ln κ)",
                formulas.total_weight_error,
                NeighbourTrial("max_i ½ Σ_j |f̃ − f|_ij", moved_weight),
                {"⅛ ln κ": moved_by_logarithm},
                proof=derived("own/weights, total", proofs.of_total),
            ),
            ours(
                "pairs",
                f"Σ_(l≠j) |f̃_ij f̃_il − f_ij f_il| ≤ δ f_ij (1 − f_ij); {F_EXCHANGED}",
                formulas.pair_error,
                NeighbourTrial("Σ_(l≠j) |f̃_ij f̃_il − f_ij f_il|", pairs),
                {"tanh(¼ ln κ) for δ": pairs_by_total},
                proof=derived("own/weights, pairs", proofs.of_weights),
            ),
        ),
    ),
    bound(
        "own/output",
        "The attention output under a relative error of the exponential",
        (
            ours(
                "range",
                "|s̃ − s|_ic ≤ tanh(¼ ln κ) (max_j h_jc − min_j h_jc), j over the keys that the mask allows",
                formulas.output_error_by_range,
                NeighbourTrial("|s̃ − s|", output),
                {"the range over c": range_of_all},
                proof=derived("own/output, range", proofs.of_output),
            ),
            ours(
                "position",
                "|s̃ − s|_ic ≤ δ x y/(x + y + δ min(x, y)), x = s_ic − min_j h_jc, y = max_j h_jc − s_ic;"
                f" {F_EXCHANGED}",
                formulas.output_error_by_position,
                NeighbourTrial("|s̃ − s|", output),
                {"max for min": position_with_maximum},
                proof=derived("own/output, position", proofs.of_position),
            ),
            ours(
                "deviation",
                f"|s̃ − s|_ic ≤ δ/(2√κ) σ_ic, σ_ic² = Σ_j f_ij (h_jc − s_ic)²; {F_EXCHANGED}",
                formulas.output_error_by_deviation,
                NeighbourTrial("|s̃ − s|", output),
                {"κ for √κ": deviation_over_kappa},
                proof=derived("own/output, deviation", proofs.of_output),
            ),
        ),
        uses=("own/weights",),
    ),
    bound(
        "own/cotangent",
        "The cotangent of the scores under a relative error of the exponential",
        (
            ours(
                "mean, range",
                "|K̃ − K|_i ≤ tanh(¼ ln κ) M_i, M_i = max_j q_ij − min_j q_ij over the keys that the mask allows",
                formulas.mean_error_by_range,
                NeighbourTrial("|K̃ − K|", row_means),
                {"the range over i": mean_range_of_columns},
                proof=derived("own/cotangent, mean, range", proofs.of_mean),
            ),
            ours(
                "mean, deviation",
                f"|K̃ − K|_i ≤ δ/(2√κ) σ_i, σ_i² = Σ_j f_ij (q_ij − K_i)²; {F_EXCHANGED}",
                formulas.mean_error_by_deviation,
                NeighbourTrial("|K̃ − K|", row_means),
                {"κ for √κ": mean_deviation_over_kappa},
                proof=derived("own/cotangent, mean, deviation", proofs.of_mean),
            ),
            ours(
                "entries",
                f"|p̃ − p|_ij ≤ δ f_ij M_i; {F_EXCHANGED}",
                formulas.cotangent_error,
                NeighbourTrial("|p̃ − p|", cotangent),
                {"δ/4 for δ": COTANGENT_LIKE_MEAN, "|q_ij| for M_i": cotangent_by_entry},
                proof=derived("own/cotangent, entries", proofs.of_weights),
            ),
            ours(
                "entries, sharp",
                f"|p̃ − p|_ij ≤ δ f_ij (1 − f_ij) M_ij, M_ij = max_l |q_ij − q_il| ≤ M_i; {F_EXCHANGED}",
                formulas.cotangent_error_sharp,
                NeighbourTrial("|p̃ − p|", cotangent),
                {"δ/4 f_ij M_i": COTANGENT_LIKE_MEAN, "|q_ij| for M_ij": cotangent_by_entry},
                proof=derived("own/cotangent, entries, sharp", proofs.of_weights),
            ),
            ours(
                "entries, deviation",
                f"|p̃ − p|_ij ≤ δ f_ij (|q_ij − K_i| + ½ √κ σ_i); {F_EXCHANGED}",
                formulas.cotangent_error_by_deviation,
                NeighbourTrial("|p̃ − p|", cotangent),
                {
                    "without σ": Altered(formulas.cotangent_error_by_deviation, nothing, "q_deviation"),
                    "without |q − K|": cotangent_without_entry,
                },
                proof=derived("own/cotangent, entries, deviation", proofs.of_weights),
            ),
            ours(
                "sums over keys",
                f"|Σ_j (p̃ − p)_ij y_ja| ≤ δ σ_i σ_ia, σ_ia² the variance of y_ja with the weights f_ij; {F_EXCHANGED}",
                formulas.covariance_error,
                NeighbourTrial("|(p̃ − p) X Wᵀ|", along_keys),
                {"δ/(2√κ) for δ": covariance_like_mean},
                proof=derived("own/cotangent, sums over keys", proofs.of_covariance),
            ),
        ),
        uses=("own/weights", "own/output"),
    ),
    bound(
        "own/gradients",
        "The gradients under a relative error of the exponential",
        (
            ours(
                "dX",
                "|d̃X − dX| ≤ |τ| (F |(X − 1cᵀ) Wᵀ| + Fᵀ |X W|) + δ fᵀ |G W_Vᵀ|, F_ij = δ f_ij M_i, for any c",
                formulas.gradient_X_error,
                NeighbourTrial("|d̃X − dX|", gradient_X),
                FALSE_X,
                less=False,
                proof=derived("own/gradients, dX", proofs.of_X),
            ),
            ours(
                "dW",
                "|d̃W − dW| ≤ |τ| |X|ᵀ F |X − 1cᵀ|, for any c",
                formulas.gradient_W_error,
                NeighbourTrial("|d̃W − dW|", gradient_W),
                FALSE_W,
                less=False,
                proof=derived("own/gradients, dW", proofs.of_W),
            ),
            ours(
                "dW_V",
                "|d̃W_V − dW_V| ≤ δ |X − 1cᵀ|ᵀ fᵀ |G|, for any c",
                formulas.gradient_W_V_error,
                NeighbourTrial("|d̃W_V − dW_V|", gradient_W_V),
                {
                    "j = i alone": Altered(formulas.gradient_W_V_error, own_position, "f"),
                    "δ/8 for δ": Altered(formulas.gradient_W_V_error, eighth),
                },
                less=False,
                proof=derived("own/gradients, dW_V", proofs.of_W_V),
            ),
            ours(
                "dX, deviation",
                "|d̃X − dX| ≤ |τ| (δ σ_i σ_ia(X Wᵀ) + Fᵀ |X W|) + δ fᵀ |G W_Vᵀ|",
                formulas.gradient_X_error_by_deviation,
                NeighbourTrial("|d̃X − dX|", gradient_X),
                {
                    "without F": Altered(formulas.gradient_X_error_by_deviation, nothing, "F"),
                    "without W_V": Altered(formulas.gradient_X_error_by_deviation, nothing, "W_V"),
                },
                less=False,
                proof=derived("own/gradients, dX, deviation", proofs.of_X),
            ),
            ours(
                "dW, deviation",
                "|d̃W − dW|_ab ≤ |τ| δ Σ_i |X_ia| σ_i σ_ib(X)",
                formulas.gradient_W_error_by_deviation,
                NeighbourTrial("|d̃W − dW|", gradient_W),
                {
                    "δ/4 for δ": Altered(formulas.gradient_W_error_by_deviation, quarter),
                    "half": Altered(formulas.gradient_W_error_by_deviation, halved),
                },
                less=False,
                proof=derived("own/gradients, dW, deviation", proofs.of_W),
            ),
            ours(
                "dW_V, deviation",
                "|d̃W_V − dW_V|_ac ≤ δ/(2√κ) Σ_i σ_ia(X) |G_ic|",
                formulas.gradient_W_V_error_by_deviation,
                NeighbourTrial("|d̃W_V − dW_V|", gradient_W_V),
                {
                    "κ for √κ": W_V_deviation_over_kappa,
                    "half": Altered(formulas.gradient_W_V_error_by_deviation, halved),
                },
                less=False,
                proof=derived("own/gradients, dW_V, deviation", proofs.of_W_V),
            ),
        ),
        note=f"{F_EXCHANGED} in every part. The exact gradients are the repaired ones of E.11, F.4 and G.3.",
        uses=("own/weights", "own/cotangent"),
    ),
    bound(
        "own/differentiate",
        "The gradient of the approximate layer",
        (
            ours(
                "entries",
                "|pᵈ − p|_ij ≤ (δ + ω) f̃_ij M_i for pᵈ = P'(S)/D̃ ⊙ (q − K̃) and |P'/P − 1| ≤ ω",
                formulas.differentiated_error,
                DIFFERENTIATED,
                {
                    "δ alone": Altered(formulas.differentiated_error, nothing, "omega"),
                    "max(δ, ω)": differentiated_by_larger,
                },
                proof=derived("own/differentiate, entries", proofs.of_differentiated, Differentiated),
            ),
            ours(
                "dX",
                "|dᵈX − dX| ≤ |τ| (F |X Wᵀ| + Fᵀ |X W|) + δ fᵀ |G W_Vᵀ|, F_ij = (δ + ω) f̃_ij M_i",
                formulas.gradient_X_error,
                replace(DIFFERENTIATED, quantity="|dᵈX − dX|", measured=gradient_X),
                FALSE_X,
                less=False,
                proof=derived("own/differentiate, dX", proofs.of_X, Differentiated),
            ),
            ours(
                "dW",
                "|dᵈW − dW| ≤ |τ| |X|ᵀ F |X|",
                formulas.gradient_W_error,
                replace(DIFFERENTIATED, quantity="|dᵈW − dW|", measured=gradient_W),
                FALSE_W,
                less=False,
                proof=derived("own/differentiate, dW", proofs.of_W, Differentiated),
            ),
        ),
        note="The rows of pᵈ need not sum to zero: X may not be shifted. dW_V is that of own/gradients.",
        uses=("own/cotangent",),
    ),
    bound(
        "own/antiderivative",
        "Sums with weights P(S) as gradients of sums with weights P̂(S)",
        (
            ours(
                "queries",
                "Σ_j M_ij P(⟨q_i,k_j⟩)⟨G_i,h_j⟩ k_j = ∇_(q_i) Σ_j M_ij P̂(⟨q_i,k_j⟩)⟨G_i,h_j⟩ if P̂' = P",
                low_rank.weighted_keys,
                MomentTrial(**IDENTITY),
                {
                    "P̂ for P": antiderivative_for_weights,
                    "the sums over i": keys_for_queries,
                    "⟨h_i,G_j⟩": keys_of_h,
                },
                kind="identity",
                less=False,
            ),
            ours(
                "keys",
                "Σ_i M_ij P(⟨q_i,k_j⟩)⟨G_i,h_j⟩ q_i = ∇_(k_j) Σ_i M_ij P̂(⟨q_i,k_j⟩)⟨G_i,h_j⟩ if P̂' = P",
                low_rank.weighted_queries,
                MomentTrial(**{**IDENTITY, "truth": along_moved_keys, "left": "the gradient on k_j"}),
                {"the sums over j": queries_for_keys, "⟨h_i,G_j⟩": queries_of_h},
                kind="identity",
                less=False,
            ),
        ),
    ),
    bound(
        "own/shift",
        "One vector subtracted from all keys",
        (
            ours(
                "",
                "softmax(τ Q (K − 1cᵀ)ᵀ) = softmax(τ Q Kᵀ) for any c, masked or not",
                low_rank.f_shifted,
                ShiftTrial(
                    truth=softmax,
                    left="f(X)",
                    names=("X", "W", "G"),
                    scales=SCALES,
                    masks=(False, True),
                    assumed=not_large,
                    hypothesis="shifted scores up to 256",
                ),
                {"from the queries": queries_shifted, "another one from each key": shifted_by_neighbours},
                kind="identity",
                less=False,
            ),
        ),
    ),
    bound(
        "own/moments",
        "The attention layer under an absolute error of the exponential",
        (
            ours(
                "weights",
                "|f̃ − f|_ij ≤ (E_ij + f̃_ij T_i)/(D̃_i − T_i) if |Ã − A|_ij ≤ E_ij, T_i = Σ_j E_ij < D̃_i",
                formulas.weight_error_absolute,
                AbsoluteTrial("|f̃ − f|", weights),
                {
                    "without T": absolute_without_T,
                    "D̃ for D̃ − T": absolute_over_D,
                    "½ E": Altered(formulas.weight_error_absolute, halved, "E"),
                },
                proof=derived("own/moments, weights", proofs.of_absolute_entry, Absolute),
            ),
            ours(
                "output",
                "|s̃ − s|_ic ≤ Σ_j E_ij |h_jc − s̃_ic|/(D̃_i − T_i)",
                formulas.output_error_absolute,
                AbsoluteTrial("|s̃ − s|", output),
                {
                    "D̃ for D̃ − T": output_over_D,
                    "½ E": Altered(formulas.output_error_absolute, halved, "E"),
                    "|h_jc|": output_from_zero,
                },
                proof=derived("own/moments, output", proofs.of_absolute_output, Absolute),
            ),
            ours(
                "cotangent",
                "|p̃ − p|_ij ≤ E_ij Q_i (1 + τ_i)/(D̃_i − T_i) + f̃_ij Q_i (2τ_i + τ_i²), τ_i = T_i/(D̃_i − T_i),"
                " Q_i = max_j |q_ij − K̃_i| over the keys that the mask allows",
                formulas.cotangent_error_absolute,
                AbsoluteTrial("|p̃ − p|", cotangent),
                {
                    "τ for 2τ": cotangent_tau_once,
                    "D̃ for D̃ − T": cotangent_over_D,
                    "½ E": Altered(formulas.cotangent_error_absolute, halved, "E"),
                },
                proof=derived("own/moments, cotangent", proofs.of_absolute_entry, Absolute),
            ),
            ours(
                "sums over keys",
                "|Σ_j (p̃ − p)_ij y_ja| ≤ (Q_i Σ_j E_ij |y_ja − m_ia| + T_i |Σ_j p̃_ij y_ja|)/(D̃_i − T_i), m = f y",
                formulas.sum_error_absolute,
                AbsoluteTrial("|(p̃ − p) y|", along_keys),
                {
                    "without T": Altered(formulas.sum_error_absolute, nothing, "p_tilde"),
                    "D̃ for D̃ − T": sums_over_D,
                    "f̃ y for m": sums_about_approximate_mean,
                },
                proof=derived("own/moments, sums over keys", proofs.of_absolute_sum, Absolute),
            ),
        ),
        note="Entries of Ã may be negative. In linear time where E is a polynomial of the scores.",
    ),
)
