"""The fast gradients of E, F.5, G.4, I.7, I.8 and Algorithm 1, on factors: exact ones, of polynomials, and none."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np
import pytest
from flint import ctx

from proofs_checks import fast_gradient as checks
from proofs_checks.equation import parameters
from proofs_checks.falsify import Altered, doubled
from proofs_checks.fast_gradient import AnyFactors, Exact, FactorBound, NormEquation, Over, constant_layer
from proofs_checks.ground_truth import BITS, ball, balls
from proofs_checks.instances import Array, Instance, gaussian, unit_scale
from proofs_checks.softmax_attention import largest
from proofs_checks.symbols import Symbols
from reference import error_bounds, fast_gradient, input_gradient, low_rank
from tests.layers import SYMBOLS, same

every_layer = pytest.mark.parametrize("layer", SYMBOLS.values(), ids=SYMBOLS)
SIZES = [(1, 1, 1), (1, 3, 2), (4, 1, 3), (2, 3, 1), (5, 2, 4)]  # n, d, k1


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


def whole(rng: np.random.Generator, *shape: int) -> Array:
    """Small whole numbers, on which every formula is exact."""
    return rng.integers(-3, 4, shape)


def exact(layer: Symbols) -> Exact:
    return Exact(layer.instance)


# ------------------------------------------------------------------------------------------- factors of the five terms


@pytest.mark.parametrize(("n", "d", "k1"), SIZES)
def test_factors_multiply_to_the_matrices_of_D17_at_U1_V1(n: int, d: int, k1: int) -> None:
    rng = np.random.default_rng(n + 10 * d)
    U1, V1, h, G, K = whole(rng, n, k1), whole(rng, n, k1), whole(rng, n, d), whole(rng, n, d), whole(rng, n)
    f = U1 @ V1.T
    assert (low_rank.z6_product(U1, V1, K) == f @ np.diag(K)).all()
    assert (low_rank.z2_product(U1, V1, K) == np.diag(K) @ f).all()
    assert (low_rank.z7_product(U1, V1, h, G) == f * (h @ G.T)).all()
    assert (low_rank.z4_product(U1, V1, h, G) == f * (G @ h.T)).all()


@pytest.mark.parametrize(("n", "d", "k1"), SIZES)
def test_factors_have_the_ranks_of_section_E(n: int, d: int, k1: int) -> None:
    U1, h, K = np.ones((n, k1)), np.ones((n, d)), np.ones(n)
    assert {a.shape for a in (*low_rank.z6_factors(U1, U1, K), *low_rank.z2_factors(U1, U1, K))} == {(n, k1)}
    assert {a.shape for a in (*low_rank.z7_factors(U1, U1, h, h), *low_rank.z4_factors(U1, U1, h, h))} == {(n, k1 * d)}


@pytest.mark.parametrize(("n", "d", "k1"), SIZES)
def test_terms_on_factors_are_the_terms_of_D17(n: int, d: int, k1: int) -> None:
    rng = np.random.default_rng(n + 10 * d)
    X, G, h, W, W_V, K = (whole(rng, *s) for s in ((n, d), (n, d), (n, d), (d, d), (d, d), (n,)))
    U1, V1 = whole(rng, n, k1), whole(rng, n, k1)
    f = U1 @ V1.T
    equal(fast_gradient.D6_factored(X, W, *low_rank.z6_factors(U1, V1, K)), input_gradient.D6(X, W, f, K))
    equal(fast_gradient.D7_factored(X, W, *low_rank.z7_factors(U1, V1, h, G)), input_gradient.D7(X, W, f, h, G))
    equal(fast_gradient.D8_factored(W_V, G, U1, V1), input_gradient.D8(W_V, f, G))
    equal(fast_gradient.D2_factored(X, W, *low_rank.z2_factors(U1, V1, K)), input_gradient.D2(X, W, f, K))
    equal(fast_gradient.D4_factored(X, W, *low_rank.z4_factors(U1, V1, h, G)), input_gradient.D4(X, W, f, h, G))
    equal(fast_gradient.D6_factored_printed(X, W, *low_rank.z6_factors(U1, V1, K)), -input_gradient.D6(X, W, f, K))
    equal(fast_gradient.D2_factored_printed(X, W, *low_rank.z2_factors(U1, V1, K)), -input_gradient.D2(X, W, f, K))
    equal(fast_gradient.K_factored(U1, V1, h, G), input_gradient.K(G, f @ h))


def equal(ours: Array, theirs: Array) -> None:
    assert ours.shape == theirs.shape
    assert (ours == theirs).all()


# ----------------------------------------------------------------------------------------- SingleGrad on exact factors


@every_layer
def test_g_t_of_exact_factors_is_the_gradient(layer: Symbols) -> None:
    a = exact(layer)
    same(fast_gradient.g_t(a.X, a.W, a.W_V, a.G, a.U1, a.V1, a.scale), a.dL_dX)


@every_layer
def test_g_w_of_exact_factors_is_the_gradient(layer: Symbols) -> None:
    a = exact(layer)
    same(fast_gradient.g_w(a.X, a.U3, a.V3, a.U4, a.V4, a.scale), a.dL_dW)


@every_layer
def test_g_v_of_exact_factors_is_the_gradient(layer: Symbols) -> None:
    a = exact(layer)
    same(fast_gradient.g_v(a.X, a.G, a.U1, a.V1), a.dL_dW_V)


@every_layer
def test_the_printed_sum_is_that_of_E11(layer: Symbols) -> None:
    a = exact(layer)
    printed = input_gradient.five_terms_printed(a.X, a.W, a.W_V, a.G, a.f, a.h, a.s)
    same(fast_gradient.g_t_printed(a.X, a.W, a.W_V, a.G, a.U1, a.V1), printed)


def test_which_factors_f_has_does_not_matter() -> None:
    """f = U1 V1ᵀ = (U1 B)(V1 B⁻ᵀ)ᵀ, on fractions."""
    rng = np.random.default_rng(0)
    U1, V1, X, W, W_V, G = (fractions(whole(rng, *s)) for s in ((3, 2), (3, 2), (3, 2), (2, 2), (2, 2), (3, 2)))
    B, B_inverse = fractions(np.array([[2, 1], [1, 1]])), fractions(np.array([[1, -1], [-1, 2]]))
    layer, others, third = (X, W, W_V, G), (U1 @ B, V1 @ B_inverse.T), Fraction(1, 3)
    equal(fast_gradient.g_t_printed(*layer, U1, V1), fast_gradient.g_t_printed(*layer, *others))
    equal(fast_gradient.g_t(*layer, U1, V1, third), fast_gradient.g_t(*layer, *others, third))


def fractions(whole: Array) -> Array:
    return np.array([Fraction(int(x)) for x in whole.flat], object).reshape(whole.shape)


# --------------------------------------------------------------------------------------------- factors of a polynomial


def taylor(X: Array, W: Array, degree: int, scale: Fraction) -> tuple[Array, Array]:
    """U1, V1 of C.13: the Taylor polynomial of exp on the scores, rows divided by their sums. In balls."""
    coefficients = [Fraction(1, factorial(j)) for j in range(degree + 1)]
    weights = np.array([ball(w) for w in low_rank.weights(coefficients, X.shape[1])])  # (k,)
    U0, V0 = low_rank.monomials(ball(scale) * (X @ W), degree).T * weights, low_rank.monomials(X, degree).T  # (n, k)
    return U0 / (U0 @ V0.sum(axis=0))[:, None], V0


@pytest.mark.parametrize("degree", [2, 4, 8, 12])
def test_gradients_of_a_polynomial_keep_the_bounds_for_entries_up_to_one(degree: int) -> None:
    """2^b = 1: the bounds with b = 0."""
    rng = np.random.default_rng(degree)
    n, d, scale = 7, 3, Fraction(1, 3)
    X, W, W_V, G = (rng.uniform(-1, 1, size=s) for s in ((n, d), (d, d), (d, d), (n, d)))
    a = Symbols(Instance({"X": X, "W": W, "W_V": W_V, "G": G}, scale))
    U1, V1 = taylor(a.X, a.W, degree, scale)
    epsilon = largest(U1 @ V1.T - a.f)
    U3, V3 = low_rank.z4_factors(U1, V1, a.h, a.G)  # f̃ ⊙ q
    U4, V4 = low_rank.z2_factors(U1, V1, fast_gradient.K_factored(U1, V1, a.h, a.G))  # diag(K̃) f̃
    for ours, true, bound in (
        (fast_gradient.g_t(a.X, a.W, a.W_V, a.G, U1, V1, a.scale), a.dL_dX, error_bounds.g_t_bits(n, d, 0, epsilon)),
        (fast_gradient.g_w(a.X, U3, V3, U4, V4, a.scale), a.dL_dW, error_bounds.g_w_bits(n, d, 0, epsilon)),
        (fast_gradient.g_v(a.X, a.G, U1, V1), a.dL_dW_V, error_bounds.g_v_bits(n, 0, epsilon)),
    ):
        assert largest(ours - true) < bound
    B = largest(ball(scale) * (a.X @ a.W @ a.X.T))
    error = (
        B.exp() * B ** (degree + 1) / factorial(degree + 1)
    )  # Lagrange's remainder over exp: f̃/f is within (1±)/(1∓)
    assert epsilon * (1 - error) < 2 * error, "the bounds above are small where the degree is large"


@pytest.mark.parametrize("n", [3, 30])
def test_the_printed_gradients_are_off_where_f_has_rank_one(n: int) -> None:
    """Scores that depend on the key alone: exact factors of rank 1, so no choice of ε or of a rank can help."""
    X = np.stack([np.ones(n), np.linspace(-1, 1, n)], axis=1)  # (n, 2)
    W, W_V, G = np.array([[0.0, 1.0], [0.0, 0.0]]), np.eye(2), np.stack([np.linspace(1, 0, n), np.ones(n)], axis=1)
    a = Symbols(Instance({"X": X, "W": W, "W_V": W_V, "G": G}, Fraction(1)))
    f = a.f  # (n, n)
    U1, V1 = balls(np.ones((n, 1))), f[:1].T
    same(U1 @ V1.T, f)
    same(fast_gradient.g_t(a.X, a.W, a.W_V, a.G, U1, V1, 1), a.dL_dX)
    same(fast_gradient.g_v(a.X, a.G, U1, V1), a.dL_dW_V)
    assert largest(fast_gradient.g_t_printed(a.X, a.W, a.W_V, a.G, U1, V1) - a.dL_dX) > 0.5
    assert largest(fast_gradient.g_v_printed(a.X, a.G, U1, V1) - a.dL_dW_V) > 0.5


def test_no_square_array_is_made() -> None:
    """One of 50,000² floats would take 20 GB."""
    n, d, k = 50_000, 2, 2
    rng = np.random.default_rng(0)
    X, G, U1, V1 = (rng.normal(size=(n, w)) for w in (d, d, k, k))
    W = np.eye(d)
    assert fast_gradient.g_t(X, W, W, G, U1, V1, 1).shape == (n, d)
    assert fast_gradient.g_t_printed(X, W, W, G, U1, V1).shape == (n, d)
    assert fast_gradient.g_w(X, U1, V1, U1, V1, 1).shape == fast_gradient.g_v(X, G, U1, V1).shape == (d, d)


# ----------------------------------------------------------------------------------------------- under the causal mask


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (4, 1), (2, 3), (5, 2)])
def test_terms_under_the_mask_are_those_of_D17_with_the_masked_f(n: int, d: int) -> None:
    a = Symbols(Instance(gaussian(np.random.default_rng(n), n, d), Fraction(1, d), causal=True))
    given = (a.X, a.W, a.W_V, a.G)
    same(fast_gradient.D6_causal(*given), input_gradient.D6(a.X, a.W, a.f, a.K))
    same(fast_gradient.D2_causal(*given), input_gradient.D2(a.X, a.W, a.f, a.K))
    same(fast_gradient.D8_causal(*given), input_gradient.D8(a.W_V, a.f, a.G))
    same(fast_gradient.D7_causal(*given), input_gradient.D7(a.X, a.W, a.f, a.h, a.G))
    same(fast_gradient.D4_causal(*given), input_gradient.D4(a.X, a.W, a.f, a.h, a.G))
    same(fast_gradient.g_w_causal(*given), a.dL_dW)
    same(fast_gradient.g_v_causal(a.X, a.W, a.G), a.dL_dW_V)


def test_both_values_reach_the_second_output() -> None:
    """The loss is the second output, the mean of X_1 W_V and X_2 W_V; the printed gradient knows of X_2 alone."""
    X, W, G = np.array([[1.0], [5.0]]), np.zeros((1, 1)), np.array([[0.0], [1.0]])
    assert fast_gradient.g_v_causal(X, W, G).item() == 3  # the mean of 1 and 5
    assert fast_gradient.g_v_causal_printed(X, W, G).item() == 2.5  # half of 5


# ---------------------------------------------------------------------------------------------------------- the bounds


def constants(n: int, d: int) -> AnyFactors:
    return AnyFactors(constant_layer(n, d, 1, 0, unit_scale))


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 4), (4, 1), (3, 2), (2, 3)])
def test_bounds_are_attained_by_constant_matrices(n: int, d: int) -> None:
    """All but those of E.2 and E.7, which have a factor n too many."""
    a, b = constants(n, d), error_bounds
    factors = (a.U1, a.V1, a.f)
    assert_equal(n * checks.error_z6(a), b.E_2_bound(*factors, a.K))
    assert_equal(n * checks.error_z2(a), b.E_7_bound(*factors, a.K))
    assert_equal(checks.error_z6(a), b.z_bound_sharp(*factors, a.K))
    assert_equal(checks.error_z2(a), b.z_bound_sharp(*factors, a.K))
    assert_equal(checks.error_D6(a), b.E_3_bound(a.U6, a.V6, a.z6, a.X, a.W))
    assert_equal(checks.error_z7(a), b.E_4_bound(*factors, a.h, a.G))
    assert_equal(checks.error_D7(a), b.E_5_bound(a.U7, a.V7, a.z7, a.X, a.W))
    assert_equal(checks.error_D8(a), b.E_6_bound(*factors, a.G, a.W_V))
    assert_equal(checks.error_D2(a), b.E_8_bound(a.U9, a.V9, a.z2, a.X, a.W))
    assert_equal(checks.error_z4(a), b.E_9_bound(*factors, a.h, a.G))
    assert_equal(checks.error_D4(a), b.E_10_bound(a.U10, a.V10, a.z4, a.X, a.W))
    assert_equal(checks.error_Xf(a), b.G_4_bound(*factors, a.X, a.G))


def test_the_two_errors_of_F5_add_up_where_their_signs_differ() -> None:
    n, d = 3, 2
    one = np.ones((n, 1))
    p1, p2, X = np.zeros((n, n)), np.zeros((n, n)), np.ones((n, d))
    error = np.abs(X.T @ (one @ one.T - one @ (-one.T)) @ X).max()
    assert error == error_bounds.F_5_bound(one, one, one, -one, p1, p2, X) == 2 * n**2
    assert error_bounds.F_5_bound_scaled(one, one, one, -one, p1, p2, X, -0.5) == n**2
    assert error_bounds.F_5_last_step_1(one, one, one, -one, p1, p2, X) == error
    assert error_bounds.F_5_last_step_1_printed(one, one, one, -one, p1, p2, X) == 0


@every_layer
def test_sharper_bounds_are_no_larger(layer: Symbols) -> None:
    a, b = AnyFactors(layer.instance), error_bounds
    factors, of_p = (a.U1, a.V1, a.f), (a.U3, a.V3, a.U4, a.V4, a.p1, a.p2, a.X)
    assert not b.z_bound_sharp(*factors, a.K) > b.E_2_bound(*factors, a.K)
    assert not b.D8_bound_sharp(*factors, a.G, a.W_V) > b.E_6_bound(*factors, a.G, a.W_V)
    assert not b.g_w_bound_sharp(*of_p) > b.F_5_bound(*of_p)
    assert not b.g_v_bound_sharp(*factors, a.X, a.G) > b.G_4_bound(*factors, a.X, a.G)


def assert_equal(a: Any, b: Any) -> None:
    same(a, b)


# ----------------------------------------------------------------------------------------------------- how it is tried


@pytest.mark.parametrize(("near", "t"), [(0, 1.0), (1, 2.0**-20), (2, 0.0)])
def test_factors_are_far_near_and_exact(near: int, t: float) -> None:
    """All operands are 1: an entry of x yᵀ is 1, one of Y (X W_out)ᵀ a sum over three classes."""
    a = AnyFactors(constant_layer(2, 1, 0, near, unit_scale))
    assert float(a.epsilon) == t * (1 + 3)


@every_layer
def test_factors_of_the_checks_multiply_to_what_they_are_factors_of(layer: Symbols) -> None:
    a = AnyFactors(layer.instance)
    K = a.K
    same(a.U6 @ a.V6.T, a.f_tilde * K)
    same(a.U9 @ a.V9.T, K[:, None] * a.f_tilde)
    same(a.U7 @ a.V7.T, a.f_tilde * a.q.T)
    same(a.U10 @ a.V10.T, a.f_tilde * a.q)
    same(a.K_tilde, input_gradient.K(a.G, a.f_tilde @ a.h))


def test_a_bound_without_a_factor_takes_the_size_as_well() -> None:
    a, bound = AnyFactors(constant_layer(3, 2, 1, 0, unit_scale)), error_bounds.G_4_bound
    given = {name: a.exact(name) for name in parameters(bound)}
    assert parameters(Over(bound, "d")) == (*parameters(bound), "d")
    assert_equal(Over(bound, "d")(**given, d=2) * 2, bound(**given))
    assert parameters(Over(error_bounds.D8_bits, "n")) == parameters(error_bounds.D8_bits)
    assert Over(error_bounds.D8_bits, "n")(n=3, d=2, bits=1, epsilon=0.5) == 4


def test_an_equation_between_norms_is_refuted_from_both_sides() -> None:
    trial = NormEquation("‖(U1V1ᵀ − f) ⊙ (G hᵀ)‖∞", checks.error_z4, checks.OPERANDS)
    instance = constant_layer(1, 1, 0, 0, unit_scale)
    true = error_bounds.E_9_step_4
    assert trial.ratio(true, instance) == 1
    assert trial.confirm(true, instance, "") is None
    for false in (Altered(true, doubled), Altered(true, checks.halved)):
        assert trial.ratio(false, instance) == float("inf")
        assert trial.confirm(false, instance, "") is not None


def test_a_counterexample_names_every_operand_that_is_not_zero() -> None:
    trial = FactorBound("‖U6V6ᵀ − z6‖∞", checks.error_z6, ("X",))
    instance = constant_layer(2, 1, 0, 1, unit_scale)
    found = trial.confirm(Altered(error_bounds.z_bound_sharp, checks.halved), instance, "")
    assert found is not None
    assert set(found.operands) == set(checks.DRAWN)
    again = AnyFactors.of(2, 1, **found.operands)
    assert float(again.epsilon) == float(AnyFactors(instance).epsilon)
    assert float(largest(again.D_tilde)) == float(largest(AnyFactors(instance).D_tilde))


def test_the_printed_gradient_of_heads_is_a_sum() -> None:
    """Over as many heads as each operand has."""
    rng = np.random.default_rng(0)
    X, *heads = (whole(rng, *s) for s in ((4, 3), (2, 3, 3), (2, 3, 1), (2, 4, 1), (2, 4, 2), (2, 4, 2)))
    each = [fast_gradient.g_t_printed(X, *(a[i] for a in heads)) for i in range(2)]
    equal(fast_gradient.g_t_heads_printed(X, *heads), each[0] + each[1])
    with pytest.raises(ValueError, match="longer"):
        fast_gradient.g_t_heads_printed(X, heads[0][:1], *heads[1:])
