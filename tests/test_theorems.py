"""What the documents say of the theorems, and the witnesses by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from proofs_checks import gaps, ground_truth, theorems
from proofs_checks.equation import parameters
from proofs_checks.family import FamilyTrial
from proofs_checks.ground_truth import BITS
from reference import error_bounds as bounds
from reference import extensions, low_rank, polynomial

DOCUMENT = Path(__file__).parents[1] / "docs" / "theorems.md"
LOG2_N, WIDTH = 20, 20  # n = 2^20, d = log2 n
DEEP = 4096  # bits: 32 layers magnify by 10^290
GROWTH = (20, 64, 256, 1_000, 10_000, 100_000, 1_000_000)  # n = 2^…
POWERS = (10, 20, 32, 64, 256, 1_000, 10_000, 100_000, 1_000_000)  # n = 2^…


def rows() -> list[str]:
    """The table of exponents."""
    lines = []
    for e in POWERS:
        log_n, percent = e * arb(2).log(), arb(100).log()
        cases = ((1, log_n), (1, percent), (log_n.sqrt() / 2, log_n), (log_n.sqrt(), log_n))
        found = [polynomial.rank_exponent(e, *case) for case in cases]
        found.append(polynomial.printed_rank_exponent(e, 1, log_n))
        lines.append(f"| 2^{e} | {' | '.join(x.str(2 if x < 0.095 else 3, radius=False) for x in found)} |")
    return lines


def test_the_table_of_exponents_is_what_is_computed() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [row for row in rows() if row not in text]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("log2_n", "digits", "exponent"),
    [(20, "n", 0.99), (64, "n", 0.89), (1000, "n", 0.63), (10**6, "n", 0.35), (20, "100", 0.67), (64, "100", 0.31)],
)
def test_figures_that_are_quoted(log2_n: int, digits: str, exponent: float) -> None:
    L = log2_n * arb(2).log() if digits == "n" else arb(100).log()
    assert round(float(polynomial.rank_exponent(log2_n, 1, L)), 2) == exponent


def test_from_where_on_there_are_fewer_columns_than_rows() -> None:
    """|scores| ≤ 1 or √log n, ε = 1/n."""
    log_2 = arb(2).log()
    assert polynomial.rank_exponent(26, 1, 26 * log_2) > 1
    assert all(polynomial.rank_exponent(e, 1, e * log_2) < 1 for e in range(27, 300))
    assert polynomial.rank_exponent(1808, (1808 * log_2).sqrt(), 1808 * log_2) > 1
    assert all(polynomial.rank_exponent(e, (e * log_2).sqrt(), e * log_2) < 1 for e in range(1809, 1900))


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_parabola_is_diagonally_dominant(n: int) -> None:
    """As docs/theorems.md has it: 1 − f_ii < 0.11, which leaves room for an error of 1/(3n)."""
    f = gaps.parabola(n).f
    assert all(1 - f[i, i] < arb(11) / 100 for i in range(n))


def test_the_circle_grows() -> None:
    """T_1 lies on a circle of radius c W_V with c > 0.24."""
    for n in (3, 4, 7, 16):
        radius = float(np.linalg.norm(theorems.circle(n).X[0].astype(float)))
        assert radius > 1.9 * n
        assert radius == pytest.approx(float(np.linalg.norm(theorems.circle(n).X[1].astype(float))))


def test_the_kink_is_between_the_two_passes() -> None:
    witness = theorems.kink(4)
    exact, approximate = (p.Z[0][0, 0] for p in (witness.exact_pass, witness.approximate_pass))
    assert exact * approximate < 0
    assert abs(exact - approximate) < arb(1) / 16


def test_the_error_of_the_kink_does_not_depend_on_n() -> None:
    assert theorems.kink(8).degree == theorems.kink(16).degree
    assert float(theorems.kink(8).error) == pytest.approx(float(theorems.kink(16).error), rel=1e-12)


@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_witnesses_are_as_accurate_as_they_say(n: int) -> None:
    """P on scores of at most 1, and f where an error grows from layer to layer."""
    growing, kink = theorems.many_layers(n), theorems.kink(n)
    with ctx.workprec(BITS):
        for witness in (growing, kink):
            for x in (arb(-1), arb(1)):
                assert abs(theorems.taylor(x, witness.degree) / x.exp() - 1) < arb(n) ** -witness.accuracy
        off = growing.approximate_pass.f[0][0] - growing.exact_pass.f[0][0]
        assert theorems.largest([off]) < arb(n) ** -4


def layer_norm(z: list[Fraction]) -> tuple[bool, Fraction]:
    """Sign and square of the first entry of (z − mean)/deviation."""
    mean = sum(z, Fraction(0)) / len(z)
    variance = sum(((x - mean) ** 2 for x in z), Fraction(0)) / len(z)
    return z[0] > mean, (z[0] - mean) ** 2 / variance


def test_layer_norm_is_no_function_of_one_product() -> None:
    """It does not change when z is doubled, so it could take three values; it takes more from d = 3 on, not at 2."""
    three = [[Fraction(k), Fraction(0), Fraction(1)] for k in range(2, 8)]
    assert all(layer_norm(z) == layer_norm([2 * x for x in z]) for z in three)
    assert len({layer_norm(z) for z in three}) == len(three) > 3
    assert [layer_norm(z)[1] for z in three] == [
        Fraction((2 * k - 1) ** 2, 2 * k * k - 2 * k + 2) for k in range(2, 8)
    ]
    two = {layer_norm([Fraction(k), Fraction(1)]) for k in (-3, 0, 2, 7)}
    assert two == {(False, Fraction(1)), (True, Fraction(1))}


def digits_needed(m: int, omega: arb) -> arb:
    """log(1/ε) for an error of dL/dT_0 of |dL/dT_m|₁/100: n = 2^20, d = 20, ρ = L = L' = 1, scores over d, r = 0."""

    def error(digits: arb) -> Any:
        eta = (1 + (-digits).exp()).log() - (1 - (-digits).exp()).log()  # ln κ
        return bounds.model_X_error(m, WIDTH, arb(1), omega, 1 / arb(WIDTH), eta, 1, 1, 0, arb(1), arb(0))

    low, high = arb(0), arb(1)
    while not error(high) <= arb(1) / 100:
        low, high = high, 2 * high
    for _ in range(40):
        middle = ((low + high) / 2).mid()
        low, high = (low, middle) if error(middle) <= arb(1) / 100 else (middle, high)
    return high


def exponent(log2_n: int, digits: arb) -> str:
    return str(polynomial.rank_exponent(log2_n, 1, digits).str(3, radius=False))


def rows_of_layers() -> list[str]:
    """The table of what m layers need: by our recursion, and by a factor n d for each further layer."""
    lines = []
    with ctx.workprec(DEEP):
        first = digits_needed(1, 1 / arb(WIDTH))
        for m in (1, 2, 4, 8, 16, 32):
            by_paper = first + (m - 1) * (arb(2) ** LOG2_N * WIDTH).log()
            every = [digits_needed(m, 1 / arb(WIDTH)), digits_needed(m, arb(1)), by_paper]
            lines.append(f"| {m} | {' | '.join(f'{power_of_ten(L)}, {exponent(LOG2_N, L)}' for L in every)} |")
    return lines


def power_of_ten(digits: arb) -> str:
    return f"10^−{float(digits / arb(10).log()):.1f}"


def rows_of_growing_depth() -> list[str]:
    """The table of exponents for an m that grows with n."""
    lines = []
    for e in GROWTH:
        log_n, by_poly = e * arb(2).log(), (1, arb(e).log() / arb(2).log(), e)
        m = [arb(by_poly[0]), by_poly[1].sqrt(), by_poly[1], arb(by_poly[2])]
        digits = [each * log_n for each in m] + [log_n + k * arb(e).log() for k in (arb(e).sqrt(), e)]
        lines.append(f"| 2^{e} | {' | '.join(exponent(e, L) for L in digits)} |")
    return lines


@pytest.mark.parametrize("rows", [rows_of_layers, rows_of_growing_depth])
def test_the_tables_of_layers_are_what_is_computed(rows: Callable[[], list[str]]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [row for row in rows() if row not in text]
    assert not missing, "\n".join(missing)


def test_an_error_for_m_layers_brings_what_is_asked_and_no_smaller_one_does() -> None:
    omega = 1 / arb(WIDTH)
    with ctx.workprec(DEEP):
        for digits, met in ((digits_needed(3, omega), True), (digits_needed(3, omega) - arb(1) / 1000, False)):
            eta = 2 * (-digits).exp().atanh()  # ln κ for κ = (1 + ε)/(1 − ε)
            found = bounds.model_errors(3, WIDTH, arb(1), omega, 1 / arb(WIDTH), eta, 1, 1, 0, arb(1), arb(0))
            assert bool(found[0].dT <= 0.01) is met


@pytest.mark.parametrize("residual", [0, 1])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_closed_form_is_no_less_than_the_recursion(m: int, residual: int) -> None:
    """As docs/theorems.md sums it up."""
    d, rho, omega, tau, eta, L, curvature, size, start = 2, 0.7, 0.9, 0.5, 0.01, 1.1, 0.8, 3.0, 0.2
    errors = bounds.model_errors(m, d, rho, omega, tau, eta, L, curvature, residual, size, start)
    attention = bounds.attention_magnification(d, rho, omega, tau)
    Gamma = (residual + attention) * (residual + d * omega * L)
    terms = 0.0
    for e in errors:
        sigma = 2 * tau * d**2 * omega * rho * e.T
        z = residual * e.T + d * omega * (e.T + rho * (eta / 2 + sigma))
        terms += curvature / (L + residual / (d * omega)) * d * omega * z + e.weights + 2 * e.T / rho
    closed = Gamma**m * (start + size * terms)
    assert errors[0].dT <= closed * (1 + 1e-12)
    assert residual or errors[0].dT == pytest.approx(closed)


def test_the_bounds_on_weights_are_those_of_the_document() -> None:
    d, rho, omega, tau, eta = 2, 0.7, 0.9, 0.5, 0.01
    given = (3, d, rho, omega, tau, eta, 1.1, 0.8, 1, 3.0, 0.2)
    by_W, by_W_V = bounds.model_W_error(*given), bounds.model_W_V_error(*given)
    for e, of_W, of_W_V in zip(bounds.model_errors(*given), by_W, by_W_V, strict=True):
        assert e.weights == pytest.approx(np.expm1(eta + 2 * (2 * tau * d**2 * omega * rho * e.T)))
        assert of_W == pytest.approx(2 * tau * d * rho**3 * omega * (e.dG + (e.weights + 3 * e.T / rho) * e.G))
        assert of_W_V == pytest.approx(rho * (e.dG + (e.weights / 2 + e.T / rho) * e.G))


def test_the_bound_grows_by_a_power_per_layer() -> None:
    """Γ for the cotangents, for an error of the loss alone."""
    values: list[Any] = [bounds.model_X_error(m, 2, 1, 1, 1, 0, 1, 0, 0, 0, 1) for m in (1, 2, 3)]
    assert values[1] / values[0] == values[2] / values[1] == (4 * 8 + 2) * 2


def test_states_are_given_back_by_both_passes() -> None:
    """The approximate pass is approximate, and by no more than κ."""
    witness = theorems.fresh(4)
    exact, approximate = witness.exact_pass.f[0][0], witness.approximate_pass.f[0][0]
    ratios = [float(a / b) for a, b in zip(approximate.flat, exact.flat, strict=True)]
    assert max(ratios) > 1 > min(ratios)
    assert theorems.fresh_with_exact_factors(4).approximate_pass.f[0][0][1, 1].overlaps(exact[1, 1])


def test_all_that_grows_is_error() -> None:
    """The exact states, cotangents and gradients are 0 from the second layer on; the approximate ones are not."""
    witness = theorems.many_layers(8)
    with ctx.workprec(BITS):
        zero = [*witness.exact_pass.states[-1].flat, *witness.exact_gradient("T").flat]
        assert all(abs(x) < arb(2) ** -200 for x in zero)
        sizes = [float(theorems.largest([T])) for T in witness.approximate_pass.states[2:]]
    assert sizes[1] == pytest.approx(8 * sizes[0])


class Steered(theorems.Witness):
    """φ(x) = x; the first key has κ times its weight."""

    kappa = arb(1 + 2.0**-20)
    weights_of = theorems.Model.weights_of

    def _moved(self, i: int, j: int, layer: int) -> arb:
        return arb(int(j == 0))


class Around(Steered):
    residual = 1


class Bent(Steered):
    smooth = theorems.SMOOTH[1]


class Misled(Steered):
    """The factors are exact, the cotangent that it starts from is not."""

    kappa = arb(1)

    def start(self, taken: theorems.Pass) -> Any:
        return self.G if taken is self.exact_pass else self.G + self.G / 8


def steered(kind: type[Steered], m: int, omega: float, X: float = 1) -> Steered:
    """Two rows, X and −1, d = 1, scores of 0, W_V = W_g = ω."""
    made = kind.of(2, 1, X=[[X], [-1]], G=[[1], [1]], scale=Fraction(1, 2**30))
    zero, value = ground_truth.balls([[0]]), ground_truth.balls([[omega]])
    made.given = (theorems.Layer([zero], value, value),) * m
    return made


def bound_on(bound: Any, witness: Steered, **other: Any) -> Any:
    given = {name: getattr(witness, name) for name in parameters(bound)}
    return bound(**given | other)


@pytest.mark.parametrize(("kind", "omega"), [(Steered, 4), (Around, 1 / 16)], ids=["values", "residual connections"])
def test_states_are_off_by_what_they_are_given_as_well(kind: type[Steered], omega: float) -> None:
    """T_2 is off by more than a second layer with the true T_1 would be."""
    with ctx.workprec(BITS):
        witness = steered(kind, 2, omega)
        errors = bound_on(bounds.model_errors, witness, m=3)
        passes = (witness.approximate_pass.states, witness.exact_pass.states)
        off = [theorems.largest([a - e]) for a, e in zip(*passes, strict=True)]
        assert all(o <= e.T for o, e in zip(off, errors, strict=True))
        assert off[2] > errors[1].T


def test_what_the_loss_is_off_by_counts() -> None:
    with ctx.workprec(BITS):
        witness = steered(Misled, 1, 4, X=2)
        pairs: tuple[tuple[Any, Any], ...] = (
            (bounds.model_X_error, theorems.error_X),
            (bounds.model_W_error, theorems.errors_W),
            (bounds.model_W_V_error, theorems.errors_W_V),
        )
        for bound, measured in pairs:
            errors = np.atleast_1d(measured(witness))
            allowed, without = (np.atleast_1d(bound_on(bound, witness, **g)) for g in ({}, {"g_error": arb(0)}))
            assert all(w == 0 and w < e <= a for w, e, a in zip(without, errors, allowed, strict=True))


def test_the_slope_of_the_slope_counts() -> None:
    """φ = tanh where it bends most."""
    with ctx.workprec(BITS):
        witness = steered(Bent, 1, 4, X=1.078125)
        bound = bounds.model_X_error
        assert bound_on(bound, witness, curvature=0) < theorems.error_X(witness) <= bound_on(bound, witness)


def test_the_bound_on_W_V_is_attained() -> None:
    """By f̃ at the first layer, by the input at the second; up to the second order in η."""
    with ctx.workprec(BITS):
        for m in (1, 2):
            witness = steered(Steered, m, 4)
            last, allowed = theorems.errors_W_V(witness)[-1], bound_on(bounds.model_W_V_error, witness)[-1]
            assert allowed * (1 if m == 1 else 0.9) * (1 - witness.eta) < last <= allowed


# --- how many columns the controls of the rank families need


def by_d_alone(d: int) -> gaps.Rows:
    """Scores X W Xᵀ/d: no lower bound is certified there, but no √n columns are known to suffice either."""
    scale = Fraction(1, d)
    return gaps.EnoughForThreeHalves.of(2**d, d, X=gaps.all_signs(d), W=gaps.identity(d), scale=scale)


def without_columns(d: int) -> gaps.Rows:
    """The same, by the lower bound, which says 1 where it says nothing."""
    return gaps.ThreeHalves.of(2**d, d, X=gaps.all_signs(d), W=gaps.identity(d), scale=Fraction(1, d))


@pytest.mark.parametrize(
    ("trial", "claim"),
    [
        (gaps.SIGNS, low_rank.few_columns),
        (gaps.PARABOLA, low_rank.few_columns),
        (gaps.ORTHOGONAL, low_rank.few_columns),
        (gaps.SIGNS_WRITTEN, low_rank.few_entries),
        (gaps.PARABOLA_WRITTEN, low_rank.few_entries),
        (theorems.SECOND_WRITTEN, low_rank.few_entries),
    ],
    ids=["signs", "parabola", "orthogonal", "signs written", "parabola written", "second written"],
)
def test_controls_are_counted_by_columns_that_suffice(trial: FamilyTrial, claim: Any) -> None:
    for size in trial.sizes:
        control = trial.control(size)
        assert isinstance(control, gaps.Enough)
        assert np.linalg.matrix_rank(control.f.astype(float)) > control.columns  # more than f itself would tell
    assert trial.run(claim, 0).outcome == "refutes"


def test_a_control_without_enough_columns_is_refused() -> None:
    assert all(without_columns(d).columns == 1 < low_rank.few_columns(2**d) < by_d_alone(d).columns for d in (2, 3, 4))
    assert replace(gaps.SIGNS, control=by_d_alone).run(low_rank.few_columns, 0).outcome == "open"


def test_columns_that_suffice_are_no_fewer_than_those_that_are_needed() -> None:
    """All of them, where the lower bound says so."""
    for d in (2, 3, 4):
        enough = gaps.EnoughForThreeHalves.of(2**d, d, X=gaps.all_signs(d), W=gaps.identity(d))
        assert enough.columns == gaps.signs(d).columns == 2**d


def test_elimination_counts_the_rank() -> None:
    """Of f with all weights the same, and of one that is off by more than the error in a single row."""
    assert gaps.EnoughForThird.of(4, 1, X=[[1], [2], [3], [4]], W=[[0]]).columns == 1
    assert gaps.EnoughForThird.of(4, 1, X=[[0], [0], [0], [30]], W=[[1]]).columns == 2


# --- B.4


def test_faster_is_more_than_as_fast() -> None:
    assert [extensions.faster(ratio) for ratio in (0.999, 1, 1.001)] == [False, False, True]


@pytest.mark.parametrize("causal", [False, True])
def test_the_gradient_through_a_polynomial_by_complex_steps(causal: bool) -> None:
    """P(S) = 3 + S + S² for exp(S); the derivative of ⟨G, s̃⟩ is an imaginary part, to rounding."""
    rng = np.random.default_rng(0)
    (X, G), (W, W_V), scale = rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 2, 2)), -0.3
    mask = np.tri(4) if causal else np.ones((4, 4))

    def loss(X: Any) -> Any:
        S = scale * X @ W @ X.T
        P = mask * (3 + S + S * S)
        return (G * (P / P.sum(axis=1)[:, None] @ X @ W_V)).sum()

    true = np.empty_like(X)
    for index in np.ndindex(X.shape):
        moved = X.astype(complex)
        moved[index] += 1e-200j
        true[index] = loss(moved).imag / 1e-200
    S = scale * X @ W @ X.T
    gradient = extensions.gradient_X_differentiated(X, W, W_V, G, mask * (3 + S + S * S), mask * (1 + 2 * S), scale)
    np.testing.assert_allclose(gradient, true, rtol=1e-12)
