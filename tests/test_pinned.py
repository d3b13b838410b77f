"""What mutation testing found that the other files let pass, pinned one by one."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from flint import arb

from reference import (
    AltgradError,
    bounded,
    chain_rule,
    compiled,
    error_bounds,
    fast_qkv,
    perturbation,
    polynomial,
    qkv,
    row_bounds,
    softmax_attention,
)
from reference.certificate import Head, product_rounding, unit
from reference.fast_qkv import METHODS, Fast, Method, prepare
from reference.masked_product import BLOCK, RunningSum
from reference.polynomial import ExpPolynomial, chebyshev, exp_polynomial, taylor
from reference.qkv import Wording


def test_the_printed_value_bound_is_a_product_of_three_numbers() -> None:
    X, W_V = np.array([[1.5, -2.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[0.5, 0.25], [-0.75, 0.0]])
    assert softmax_attention.value_bound_printed(X, W_V) == 3 * 2.0 * 0.75


# --- polynomials


@pytest.mark.parametrize("R", [0.5, 2.0])
def test_the_factors_are_for_scores_up_to_the_square_of_the_entries(R: float) -> None:
    U0, _ = polynomial.exponential_factors(np.full((1, 2), R), np.full((1, 2), -R), R, 0.01)
    assert U0.shape[1] == math.comb(2 + exp_polynomial(R**2, 0.01).degree, 2)


def test_what_evaluation_loses_counts_roundings_and_underflow() -> None:
    """1 + x + x²/2 on [−1, 1] in float16: 6 roundings of at most 5/2 and underflow of 4 · 3 times the least number.

    P(x) is at least e⁻¹ min P(x) e^{−x} = e⁻¹ (5/2)/e.
    """
    u, tiny = 2.0**-11, 2.0**-24
    loss = (6 * u / (1 - 6 * u) * 2.5 + 4 * tiny * 3) * math.e / (2.5 / math.e)
    assert taylor(2, 1.0).loss(np.float16) == pytest.approx(loss, rel=1e-12)


def test_coefficients_are_rounded_more_finely_than_the_tail() -> None:
    """All roundings together, (g + 1) 2^{−places}, stay 64 binary places below the least that the tail can be."""
    degree = 24
    places = chebyshev(degree, 1.0).coefficients[-1].denominator.bit_length() - 1 + degree - 1
    assert arb(2) ** places >= 2**64 * (degree + 1) * arb(1).exp() / polynomial.chebyshev_error(degree, 1.0)


def test_the_exponent_of_nothing_is_0() -> None:
    assert [polynomial._exponent(arb(x)) for x in (0, 1, -8)] == [0, 1, 4]


def test_as_much_of_Taylor_is_mixed_in_as_makes_it_positive_even_if_that_is_the_least_share() -> None:
    rng = np.random.default_rng(63)
    degree, reach = int(rng.choice([2, 4, 6])), float(rng.uniform(1, 10))
    scores = rng.uniform(-reach, reach, size=int(rng.integers(1, 12)))  # (m,)
    best, safe = (
        ExpPolynomial(c, float(np.abs(scores).max()), "fitted")
        for c in (
            polynomial._least_squares(scores, degree, float(np.abs(scores).max())),
            taylor(degree, 1.0).coefficients,
        )
    )
    found = polynomial.fitted(scores, degree)
    share = Fraction(1, 1024)
    assert not best.positive
    assert found.positive
    assert found.coefficients == tuple(
        (1 - share) * b + share * s for b, s in zip(best.coefficients, safe.coefficients, strict=True)
    )


@pytest.mark.parametrize(("d", "bound", "digits"), [(2, 4, 2), (50, 1, 3), (400, 2, 9)])
def test_the_bound_on_the_rank_is_above_the_rank(d: int, bound: int, digits: int) -> None:
    degree = polynomial.least_degree(float(bound), math.exp(-digits))
    assert polynomial.log_rank_bound(d, bound, digits) > math.log(math.comb(d + degree, degree))


def test_the_tail_of_Taylor_is_bounded_by_a_geometric_series() -> None:
    """|x| ≤ 1/2, g = 4: Σ_{k > 4} |x|^k/k! is at most (1/2)⁵/5! times 1/(1 − (1/2)/6), which is below e^{1/2}."""
    found = taylor(4, 1.0).absolute_error(0.5)
    assert found == pytest.approx(0.5**5 / 120 / (1 - 0.5 / 6), rel=1e-14)


def test_no_degree_below_half_the_bound_is_looked_for() -> None:
    assert polynomial.chebyshev_log_error(0, 0.1) <= -2
    assert polynomial.degree_of_digits(0.1, 2) == 1


def test_a_least_value_that_the_first_precision_cannot_tell_from_0_is_looked_at_more_closely() -> None:
    third = Fraction(1, 3)
    P = ExpPolynomial((third**2 + Fraction(1, 2**300), -2 * third, Fraction(1)), 1.0, "any")  # (x − 1/3)² + 2^{−300}
    with polynomial._precision(bits := next(iter(polynomial._precisions(P, 1.0)))):
        first = polynomial._least(polynomial._ratios(P, 1.0, bits))
    assert not first > 0
    assert not first <= 0
    assert P.positive


# --- bounds on rounding


def test_overflow_makes_the_bound_infinite_and_warns_nobody() -> None:
    Q = np.full((2, 1), 1e200)
    assert np.isinf(error_bounds.attention_rounding(Q, Q, np.ones((2, 1)), scale=1.0)).all()


def test_an_elementary_function_is_good_to_four_units_in_the_last_place() -> None:
    assert bounded.FUNCTION * unit(np.float64) == 4 * np.finfo(np.float64).eps


def test_a_sum_of_one_block_is_bounded_as_one_sum() -> None:
    x, y = np.ones((1, BLOCK)), np.ones((BLOCK, 1))
    product = bounded.Bounded(x) @ bounded.Bounded(y)
    assert product.error == bounded.enlarged(product_rounding(BLOCK, x.dtype) * (x @ y), x.dtype, BLOCK)


# --- fast attention


def fast_of(method: Method, n: int, step: int, causal: bool = False) -> Fast:
    """A head of random operands with scores within ±2, in blocks of `step` rows; d = 2, e = 3, degree 2."""
    rng = np.random.default_rng(n)
    Q, K, V, dO = (rng.uniform(-1, 1, (n, c)).__getitem__ for c in (2, 2, 3, 3))
    head = Head(n, n, 2, 3, np.dtype(np.float64), 1.0, causal, Q, K, V, dO)
    (fast,), _ = prepare([head], None, taylor(2, 4.0), method, Wording("test"))
    assert fast.bounds
    fast.step = fast.bounds.step = step
    return fast


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hardly_depend_on_how_the_rows_come(method: Method) -> None:
    """Under a mask a block reads the rows before it from sums and its own one by one: rounding alone differs."""
    whole, single = (list(fast_of(method, 6, step, causal=True).gradient()) for step in (6, 1))
    for side, names in ((fast_qkv.QuerySide, ("dQ_bound",)), (fast_qkv.KeySide, ("dK_bound", "dV_bound"))):
        for name in names:
            one, other = (_joined(blocks, side, name) for blocks in (whole, single))
            np.testing.assert_allclose(one, other, rtol=1e-9)


def _joined(blocks: list[Any], side: Any, name: str) -> Any:
    found = sorted((b for b in blocks if isinstance(b, side)), key=lambda b: b.rows.start)
    return np.vstack([getattr(b, name) for b in found])


def test_sums_of_two_parts_are_those_of_the_whole() -> None:
    fast = fast_of("paper", 6, 3)
    whole, first, second = ({"some": RunningSum(2, 1)} for _ in range(3))
    for sums, rows in ((whole, slice(6)), (first, slice(2)), (second, slice(2, 6))):
        sums["some"].add(np.arange(12.0).reshape(6, 2)[rows], np.ones((6, 1))[rows])
    fast.take_in(first, second)
    np.testing.assert_array_equal(first["some"].total, whole["some"].total)


@pytest.mark.parametrize(("method", "widest", "columns"), [("paper", 6 * 4, 2), ("differentiate", 6, 4)])
def test_a_rank_too_large_is_refused_with_the_numbers_that_it_would_carry(
    method: Method, widest: int, columns: int
) -> None:
    """d = 2, e = 3: degree 2 has rank 6; the paper's method carries 4 rows for each monomial, for ones and for h."""
    assert fast_of(method, 2, 1).widest == widest
    with (
        patch.object(fast_qkv, "LARGEST_STATE", 1),
        pytest.raises(AltgradError, match=f" {2 * (widest * columns + 6 * 8)} numbers"),
    ):
        fast_of(method, 2, 1)


def test_a_block_has_no_more_rows_than_numbers_allow() -> None:
    fast = fast_of("paper", 20, 20)
    with patch.object(fast_qkv, "LARGEST_BLOCK", 7 * fast.widest + 1):
        assert fast._step() == 7


@pytest.mark.parametrize("method", METHODS)
def test_only_the_method_of_the_paper_carries_Kronecker_columns(method: Method) -> None:
    assert ("kronecker" in fast_of(method, 2, 2).nothing(1)) == (method == "paper")


def test_the_longest_key_is_rounded_up() -> None:
    K = np.array([[3.0, 4.0], [-3.0, -4.0]])
    head = Head(2, 2, 2, 2, np.dtype(np.float64), 1.0, False, K.__getitem__, K.__getitem__, K.__getitem__, None)
    (fast,), _ = prepare([head], None, taylor(2, 32.0), "antiderivative", Wording("test"))
    assert fast.ranges.longest_k * fast.ranges.balance >= 5 * (1 + 8 * unit(np.float64))


def test_a_length_counts_for_the_part_above_from_a_millionth_below_its_edge() -> None:
    one: Any = SimpleNamespace(longest_k=1.0, scores=1.0)
    lengths = np.array([0.25 * (1 - share * 2.0**-20) for share in (1.5, 0.5)])
    assert row_bounds.which_bin(lengths, 4, one).tolist() == [0, 1]


def test_operands_of_exact_attention_are_checked() -> None:
    with pytest.raises(AltgradError, match="K has shape"):
        qkv.attention(np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2)), scale=1.0)


def test_helpers_have_one_item_at_hand() -> None:
    """Three of a team of two are drawn before the first result: one each, and the helper's next."""
    drawn = []

    def draw(i: int) -> int:
        drawn.append(i)
        return i

    with ThreadPoolExecutor(1) as pool:
        results = compiled.in_order(abs, map(draw, range(9)), compiled.Team(pool, 2))
        next(results)
        assert drawn == [0, 1, 2]


def test_an_even_polynomial_that_is_not_Taylors_must_be_positive() -> None:
    vanishing = ExpPolynomial((Fraction(1), Fraction(1), Fraction(1, 8)), 4.0, "fitted")
    with pytest.raises(AltgradError, match="may vanish on scores"):
        fast_qkv.choose(4.0, None, vanishing, Wording("test"))


def test_the_bounds_have_room_for_their_own_rounding() -> None:
    fast, u = fast_of("differentiate", 2, 2), 2.0**-53
    X, W = np.ones((2, 2)), np.ones((2, 2))
    collected = chain_rule.Collected(fast, X, W, W, 1.0, X, X)
    assert collected.spare - 1 >= 2 * collected.summed + 6 * u


@pytest.mark.parametrize("rtol", [0.5, 0.1, 1e-6])
def test_the_polynomial_for_a_tolerance_has_the_error_that_gives_it(rtol: float) -> None:
    """Numerator and denominator of softmax are each off by r: (1 + r)/(1 − r) − 1 ≤ rtol for r = rtol/(2 + rtol)."""
    r = fast_qkv.choose(1.0, rtol, None, Wording("test")).relative_error
    assert (1 + r) / (1 - r) - 1 <= rtol * (1 + 2.0**-40)


def test_a_row_sum_below_one_has_an_inverse_above_one() -> None:
    one: Any = np.ones((1, 1))
    facts = row_bounds.Facts(one, one, 0 * one, 0 * one, one, 0 * one, 0 * one, one, one)
    errors = row_bounds.Errors(0 * one, 0 * one, 0 * one, 0 * one)
    numbers = row_bounds.Numbers(one / 4, one, one, one)
    fixed = row_bounds.Fixed(0.0, 2.0**-53, 1.0, 0.0, 2, 1, 1.0, 1.0, 1.0, 1.0)
    assert row_bounds.coefficients(facts, errors, numbers, 0 * one, fixed).inverse == 4


def test_how_far_scores_moved_counts_the_columns_of_stacked_operands() -> None:
    Q, K = bounded.Bounded(np.ones((2, 1, 3))), bounded.Bounded(np.ones((2, 4, 3)))
    assert (perturbation.scores_moved(Q, K, 1.0) >= 2 * 3 * np.finfo(np.float64).tiny).all()
