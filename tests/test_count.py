"""Trials of cost: what they accept and refuse, and what the laws of the record rest on."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import ctx

from proofs_checks import cost, extensions
from proofs_checks import count as count_module
from proofs_checks.count import CountTrial, FitTrial, NeedTrial, columns, costlier, independent, operands, peak, solve
from proofs_checks.ground_truth import BITS, ball_jacobian, balls, contracted, product, tanh_series
from proofs_checks.record import Check
from proofs_checks.statements import RECORD
from reference import fast_gradient as fast
from reference import fast_qkv, low_rank, qkv, transformer
from reference import masked_product as masked
from reference.certificate import Head
from reference.polynomial import taylor
from reference.softmax_attention import Array
from tests.layers import same

TRIALS: list[tuple[str, Check]] = [
    (f"{s.id} {p.name} {f.reading}"[:60], check)
    for s in RECORD
    for p in s.parts
    for f in p.forms
    for check in f.checks
    if isinstance(check.trial, count_module.Sized)
]
OF_THE_PAPER = [
    (name, check) for name, check in TRIALS if not name.startswith("own/") and not isinstance(check.trial, NeedTrial)
]


def law_nk(n: int, k: int) -> int:
    return n * k


def law_nk_plus_one(n: int, k: int) -> int:
    return n * k + 1


def law_with_corner(n: int, k: int) -> int:
    """As n k, but for n = k = 1."""
    return n * k + (n == k == 1)


def bytes_of_factor(n: int, k: int) -> int:
    return 8 * n * k


WITH_K = {"U1": "n k", "V1": "n k", "K": "n"}
TRIAL = CountTrial(over={"n": (1, 2, 5), "k": (1, 3)}, shapes=WITH_K, law=law_nk, at_most=law_nk)


# --- trials with a law


def test_the_law_itself_is_accepted() -> None:
    result = TRIAL.run(low_rank.z6_factors, 0)
    assert (result.outcome, result.examples, TRIAL.required("quick")) == ("supports", 6, 6)
    assert result.details[0] == ("n", "k", "counted", "law", "at most")
    assert result.details[-1] == ("5", "3", "15", "15", "15")


@pytest.mark.parametrize("law", [law_nk_plus_one, law_with_corner])
def test_another_law_is_refuted_where_it_differs_first(law: Any) -> None:
    found = replace(TRIAL, law=law).run(low_rank.z6_factors, 0)
    assert found.outcome == "refutes"
    assert found.counterexample is not None
    assert found.counterexample.operands == {"n": 1, "k": 1}
    assert (found.counterexample.claimed, found.counterexample.true) == ("2", "1")
    assert found.counterexample.arithmetic == "integers, counted"


def test_a_law_beyond_the_printed_bound_is_refuted() -> None:
    trial = CountTrial(over=TRIAL.over, shapes=TRIAL.shapes, law=law_nk, at_most=one_each)
    found = trial.run(low_rank.z6_factors, 0)
    assert found.counterexample is not None
    assert (found.counterexample.claimed, found.counterexample.true) == ("≤ 1", "3")


def one_each(n: int) -> int:
    return n


@pytest.mark.parametrize("name", costlier(low_rank.z6_factors))
def test_the_same_numbers_at_a_greater_cost_are_refuted(name: str) -> None:
    costly = costlier(low_rank.z6_factors)[name]
    given = operands({"n": 3, "k": 2}, WITH_K)
    pairs = zip(costly(**given), low_rank.z6_factors(**given), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert TRIAL.run(costly, 0).outcome == "refutes"


def test_bytes_and_columns_can_be_measured() -> None:
    for measure, law in ((peak, bytes_of_factor), (columns, columns_law)):
        trial = CountTrial(over=TRIAL.over, shapes=WITH_K, law=law, measure=measure)
        assert trial.run(low_rank.z6_factors, 0).outcome == "supports"
        assert replace(trial, law=law_nk_plus_one).run(low_rank.z6_factors, 0).outcome == "refutes"


def columns_law(k: int) -> int:
    return k


NEED = NeedTrial(over=TRIAL.over, shapes=WITH_K, law=law_nk)


def test_what_has_what_is_needed_is_accepted() -> None:
    result = NEED.run(low_rank.z6_factors, 0)
    assert (result.outcome, result.examples, result.details[-1]) == ("supports", 6, ("5", "3", "15", "15"))
    assert replace(NEED, law=one_each).run(low_rank.z6_factors, 0).outcome == "supports"


@pytest.mark.parametrize("law", [law_nk_plus_one, law_with_corner])
def test_what_does_with_less_refutes_the_need(law: Any) -> None:
    found = replace(NEED, law=law).run(low_rank.z6_factors, 0).counterexample
    assert found is not None
    assert (found.operands, found.claimed, found.true) == ({"n": 1, "k": 1}, "≥ 2", "1")


def test_what_takes_fewer_steps_gives_the_same_product() -> None:
    """To rounding: all terms are positive."""
    rng = np.random.default_rng(0)
    U, V, v = rng.uniform(0.5, 1, (60, 2)), rng.uniform(0.5, 1, (60, 2)), rng.uniform(0.5, 1, 60)
    line_by_line = masked.causal_mask(U, V, v)
    for other in (extensions.cumulated(U, V, v), extensions.in_two(U, V, v)):
        assert (abs(other - line_by_line) <= 2 * (60 + 2 + 1) * 2.0**-52 * line_by_line).all()


@pytest.mark.parametrize("trial", [TRIAL, replace(TRIAL, at_most=one_each)])
def test_the_lines_of_a_counterexample_print_both_sides(trial: CountTrial, capsys: pytest.CaptureFixture[str]) -> None:
    claim = low_rank.z6_factors if trial.at_most is one_each else cost.z6_dense
    found = trial.run(claim, 0).counterexample
    assert found is not None
    exec("\n".join(found.python), {})
    assert capsys.readouterr().out.split() == [found.true, found.claimed.removeprefix("≤ ")]


# --- trials with a form


def squares(n: int) -> int:
    return n * n


def rows(n: int) -> int:
    return n


def one() -> int:
    return 1


PAIRS = FitTrial(over={"n": (2, 3, 5, 7, 8, 9)}, shapes={"X": "n n"}, terms={"n²": squares, "n": rows, "1": one})


def sum_of_pairs(X: Array) -> Any:
    return (X + X).sum(axis=0) * 2


def product_of_squares(X: Array) -> Any:
    return X @ X


def test_a_form_is_fitted_and_predicts() -> None:
    result = PAIRS.run(sum_of_pairs, 0)
    assert result.outcome == "supports"
    assert result.details[1:] == (("n²", "2"), ("n", "0"), ("1", "0"))


def test_a_form_that_does_not_predict_is_refuted() -> None:
    found = PAIRS.run(product_of_squares, 0)
    assert found.outcome == "refutes"
    assert found.counterexample is not None
    assert found.counterexample.operands == {"n": 7}
    assert found.counterexample.true == str(7 * 7 * 13)


@pytest.mark.parametrize("sizes", [(2, 3, 5, 7), (2, 2, 2, 2, 2, 2)])
def test_too_few_sizes_are_an_error(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="coefficients are determined"):
        replace(PAIRS, over={"n": sizes}).run(sum_of_pairs, 0)


def test_fractions_are_exact() -> None:
    rows = [[0, 3], [7, 1]]
    assert solve(rows, [1, 0]) == [Fraction(-1, 21), Fraction(1, 3)]
    assert independent([[1, 2], [2, 4], [0, 0], [1, 0], [5, 5]]) == [0, 3]


# --- the record


@pytest.mark.parametrize(("name", "check"), OF_THE_PAPER, ids=[name for name, _ in OF_THE_PAPER])
def test_false_variants_give_the_same_numbers(name: str, check: Check) -> None:
    """What a variant gets wrong is its cost, not its value: both are exact on small integers, or in fractions."""
    trial = check.trial
    assert isinstance(trial, CountTrial)
    sizes = {key: max(v for v in values if v < 20) for key, values in trial.over.items()}
    given = {k: np.round(8 * x) for k, x in operands(sizes, trial.shapes).items()} | dict(trial.given)
    if "U0" in given:  # there are quotients
        given = {k: np.vectorize(Fraction, otypes=[object])(x) for k, x in given.items()}
    claimed = check.claim(**given)
    for variant, false in check.false.items():
        value = false(**given)
        pairs = (
            [(claimed[0] @ claimed[1].T, value[0] @ value[1].T)]
            if trial.measure is columns
            else [*zip(*(x if isinstance(x, tuple) else (x,) for x in (claimed, value)), strict=True)]
        )
        assert pairs
        assert all((a == b).all() for a, b in pairs), f"{name}: {variant}"


def test_sizes_of_the_laws_determine_their_coefficients() -> None:
    """No other coefficients give the same counts at the sizes that are tried."""
    sizes = [dict(zip(cost.WIDTHS, values, strict=True)) for values in all_of(cost.WIDTHS)]
    table = [
        [a * b for a in cost.in_rows(s["n"], s["rows"]).values() for b in cost.in_width(s["d"], s["g"])] for s in sizes
    ]
    assert len(independent(table)) == len(table[0]) == 40


def all_of(over: Any) -> list[tuple[int, ...]]:
    return list(itertools.product(*over.values()))


def test_what_is_printed_bounds_the_laws_far_beyond_the_sizes_tried() -> None:
    """Laws and bounds are polynomials; this looks at sizes that no run could count."""
    for name, check in OF_THE_PAPER:
        trial = check.trial
        assert isinstance(trial, CountTrial)
        if trial.at_most is None or trial.at_most is cost.hundred_nd:
            continue
        for values in all_of(dict.fromkeys(trial.over, (1, 2, 17, 400, 9001))):
            sizes = dict(zip(trial.over, values, strict=True))
            if trial.law is cost.law_exponential and sizes["d"] > 17:
                continue
            law, bound = (count_module.at(f, sizes) for f in (trial.law, trial.at_most))
            assert law <= bound, f"{name}: {law} > {bound} at {sizes}"


@pytest.mark.parametrize("name", ["paper", "antiderivative", "differentiate", "output"])
@pytest.mark.parametrize(("d", "g"), [(1, 2), (2, 6), (4, 4), (8, 2), (8, 4)])
def test_there_is_one_crossover(name: str, d: int, g: int) -> None:
    """What the bisection finds is the only change of sign, from the smallest n to far beyond, over all the blocks."""
    first = cost.crossover(name, d, g)
    assert [n for n in range(2, 3 * first) if cost.gain(name, n, d, g) > 0] == list(range(first, 3 * first))


def test_blocks_are_those_that_the_code_takes() -> None:
    for name, method in (("paper", "paper"), ("antiderivative", "antiderivative"), ("differentiate", "differentiate")):
        for n, d, g in ((7, 2, 4), (2000, 2, 4), (2000, 8, 6)):
            X = np.ones((n, d))
            head = Head(n, n, d, d, X.dtype, 1.0, False, X.__getitem__, X.__getitem__, X.__getitem__, X.__getitem__)
            words = qkv.Wording("count")
            [fast_head], _ = fast_qkv.prepare([head], None, taylor(g, 64.0), method, words)
            assert fast_head.step == cost.rows_taken(name, n, d, g)


# --- docs/cost.md

DOCS = (Path(__file__).parents[1] / "docs" / "cost.md").read_text(encoding="utf-8")
WIDTH = ("", "d", "d²", "k", "k d", "k d²", "l", "l d", "K", "K d")


def in_words(coefficients: tuple[int, ...]) -> str:
    """151 + 172 d − l: what a row of the table has."""
    terms = [
        (c < 0, " ".join([str(abs(c))] * (abs(c) > 1 or not name) + [name] * bool(name)))
        for c, name in zip(coefficients, WIDTH, strict=True)
        if c
    ]
    (minus, first), *others = terms
    return "−" * minus + first + "".join(f" {'−' if minus else '+'} {term}" for minus, term in others)


@pytest.mark.parametrize("name", cost.LAWS)
def test_the_documentation_has_the_laws(name: str) -> None:
    law = {"Σb²": "", **{size: in_words(row) for size, row in cost.LAWS[name].items()}}
    cells = [name.replace("_masked", ", masked"), law["Σb²"], law["n"], law["B"], law["1"]]
    assert f"\n| {' | '.join(cells)} |\n" in DOCS


@pytest.mark.parametrize("d", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("g", [2, 4, 6])
def test_the_documentation_has_the_crossovers(d: int, g: int) -> None:
    found = (cost.crossover(name, d, g) for name in ("paper", "antiderivative", "differentiate", "output"))
    assert f"\n| {' | '.join(map(str, (d, g, low_rank.rank(d, g), *found)))} |\n" in DOCS


# --- the functions that are counted and were not there before


def fractions(rng: np.random.Generator, *shape: int) -> Array:
    numbers = rng.integers(1, 9, (*shape, 2))
    return np.array([Fraction(int(a), int(b)) for a, b in numbers.reshape(-1, 2)], object).reshape(shape)


def test_masked_terms_are_those_of_the_masked_matrix() -> None:
    """In fractions: what I.6 makes of factors is what I.7 and I.8 say of the matrix that is written out."""
    rng = np.random.default_rng(0)
    n, d, k = 4, 2, 3
    X, W, W_V, G, U0, V0 = (fractions(rng, *s) for s in ((n, d), (d, d), (d, d), (n, d), (n, k), (n, k)))
    f = masked.f_causal_factored(U0, V0)
    h = X @ W_V
    K = (G * (f @ h)).sum(axis=1)
    D6, D2, D8, g_v = fast.masked_dot_terms(X, W, W_V, G, U0, V0)
    assert (-(f * K) @ X @ W.T == D6).all()
    assert (-(K[:, None] * f) @ X @ W == D2).all()
    assert (f @ G @ W_V.T == D8).all()
    assert (g_v == X.T @ f @ G).all()
    D7, D4, g_w = fast.masked_entrywise_terms(X, W, W_V, G, U0, V0)
    p1 = f * (G @ h.T)
    assert ((f * (h @ G.T)) @ X @ W.T == D7).all()
    assert (p1 @ X @ W == D4).all()
    assert (g_w == X.T @ (p1 - p1.sum(axis=1)[:, None] * f) @ X).all()


def test_single_gradient_and_heads_are_made_of_the_printed_parts() -> None:
    rng = np.random.default_rng(1)
    n, d, k = 4, 2, 3
    X, W, W_V, W_g, g_T, Z, U1, V1 = (
        fractions(rng, *s) for s in ((n, d), (d, d), (d, d), (d, d), (n, d), (n, d), (n, k), (n, k))
    )
    slopes = square_prime(Z @ W_g)
    G = transformer.G_of_slopes(g_T, slopes, W_g)
    assert (transformer.G_of_T(g_T, Z, W_g, square_prime) == G).all()
    g_t, g_w, g_v = fast.single_gradient_printed(X, W, W_V, W_g, g_T, Z, square_prime, U1, V1)
    f, q = U1 @ V1.T, G @ (X @ W_V).T
    p = f * q - (f * q).sum(axis=1)[:, None] * f
    assert (g_t == fast.g_t_printed(X, W, W_V, G, U1, V1)).all()
    assert (g_w == X.T @ p @ X).all()
    assert (g_v == X.T @ f @ G).all()
    once = fast.g_t_heads_printed(X, W[None], W_V[None, :, :1], G[None, :, :1], U1[None], V1[None])
    both = fast.g_t_heads_printed(X, *(np.stack([x, x]) for x in (W, W_V[:, :1], G[:, :1], U1, V1)))
    assert (both == 2 * once).all()
    assert (once == fast.g_t_printed(X, W, W_V[:, :1], G[:, :1], U1, V1)).all()


def square_prime(x: Array) -> Array:
    return 2 * x


def test_printed_orders_give_the_products() -> None:
    rng = np.random.default_rng(2)
    X, G, U1, V1, U4, V4 = (fractions(rng, *s) for s in ((4, 2), (4, 2), *((4, 3),) * 4))
    assert (fast.g_v_left_to_right(X, G, U1, V1) == fast.g_v_printed(X, G, U1, V1)).all()
    assert (fast.g_w_left_to_right(X, U1, V1, U4, V4) == fast.g_w(X, U1, V1, U4, V4, 1)).all()


def components(lifted: Any) -> Any:
    """Y of 1.3's other components in power series, entry by entry."""
    X, P, mask, W_1, W_2 = (lifted[name] for name in ("X", "P", "mask", "W_1", "W_2"))
    d, Y = len(X[0]), []
    for x, p, m in zip(X, P, mask, strict=True):
        z = [a + b for a, b in zip(x, p, strict=True)]
        mean = sum(z[1:], z[0]) / d
        squares = [(a - mean) * (a - mean) for a in z]
        sigma = (sum(squares[1:], squares[0]) / d).sqrt()
        hidden = [[tanh_series(y) for y in row] for row in product([[(a - mean) / sigma for a in z]], W_1)]
        Y.append([a + b * c for a, b, c in zip(z, m, product(hidden, W_2)[0], strict=True)])
    return Y


def test_the_other_components_and_their_gradients_are_those_of_power_series() -> None:
    rng = np.random.default_rng(3)
    shapes = {"X": (2, 4), "P": (2, 4), "mask": (2, 4), "W_1": (4, 3), "W_2": (3, 4)}
    with ctx.workprec(BITS):
        given = {name: balls(rng.integers(-8, 9, shape) / 8) for name, shape in shapes.items()}
        G = balls(rng.integers(-8, 9, (2, 4)) / 8)
        _, *found = transformer.other_components(
            **given, G=G, phi=transformer.tanh, phi_prime=transformer.tanh_prime, heads=2
        )
        for name, gradient in zip(("X", "W_1", "W_2"), found, strict=True):
            same(gradient, contracted(G, ball_jacobian(components, given, name)), name)
