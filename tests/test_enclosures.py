"""Enclosures: that they enclose, what they refuse, the digits that are printed, and the examples of docs/bounds.md."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_checks import enclosures
from proofs_checks.enclosures import (
    CASES,
    CERTAIN,
    Case,
    TableTrial,
    allows_one_less,
    enclosed_error,
    gradient_error,
    known_digits,
    measured_loss,
    polynomial,
)
from proofs_checks.ground_truth import Truth, ball_gradient
from proofs_checks.independence import home, used
from proofs_checks.polynomial import STATEMENTS
from reference import fast_attention_gradient
from reference.polynomial import chebyshev, taylor, taylor_error_attained
from tests.layers import anywhere

DOCS = Path(__file__).parents[1] / "docs" / "bounds.md"
PRECISION = 1000
coefficients = st.lists(st.fractions(-2, 2, max_denominator=8), min_size=1, max_size=6)
bounds = st.sampled_from((0.25, 1.0, 3.0)) | st.floats(2.0**-8, 6)


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(PRECISION):
        yield


def ratio(coefficients: list[Fraction], x: arb) -> arb:
    value = arb(0)
    for c in reversed(coefficients):
        value = value * x + arb(fmpq(c.numerator, c.denominator))
    return value * (-x).exp()


# --- the error of a polynomial


@settings(max_examples=60)
@given(coefficients, bounds, st.integers(1, 99))
def test_no_point_has_more_and_some_point_has_it(c: list[Fraction], bound: float, points: int) -> None:
    enclosure = enclosed_error(c, bound)
    errors = [abs(ratio(c, arb(bound) * (2 * k - points) / points) - 1) for k in range(points + 1)]
    assert not any(e > enclosure for e in errors)
    step, magnitude = arb(bound) / points, sum((abs(x) for x in c), Fraction(0))
    steepest = 6 * arb(fmpq(magnitude.numerator, magnitude.denominator)) * arb(max(bound, 1.0)) ** 5 * arb(bound).exp()
    assert not enclosure > max(errors, key=float) + step * 2 * steepest


def test_what_is_known_in_closed_form() -> None:
    for degree, bound in ((0, 1.0), (3, 0.5), (6, 4.0), (40, 8.0)):
        attained = taylor_error_attained(degree, bound)
        assert enclosed_error(taylor(degree, bound).coefficients, bound).overlaps(attained)
    # (1 + x) e^{−x} is 1 at most, at x = 0, and 2x e^{−x} has its largest value, 2/e, inside.
    assert enclosed_error([Fraction(1), Fraction(1)], 1.0).overlaps(arb(1))
    assert enclosed_error([Fraction(0), Fraction(4)], 3.0).overlaps(1 + 12 * arb(3).exp())
    assert enclosed_error([Fraction(3, 2), Fraction(3, 2)], 0.5).overlaps(arb(1) / 2)


def test_nothing_is_shared_with_what_is_judged() -> None:
    shared = [home(t) for t in used(enclosed_error) if home(t).split(".")[0] == "reference"]
    assert not shared


TABLE = {p.name: c for s in STATEMENTS for p in s.parts for c in p.forms[0].checks if isinstance(c.trial, TableTrial)}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_holds_and_its_false_variants_are_refuted(name: str) -> None:
    check = TABLE[name]
    result = check.trial.run(check.claim, 0)
    assert (result.outcome, result.examples, result.worst and 0 < result.worst <= 1) == ("supports", 192, True)
    for variant, false in check.false.items():
        found = check.trial.run(false, 0)
        assert found.outcome == "refutes", f"{name} accepts {variant}"
        assert found.counterexample is not None
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec("\n".join(found.counterexample.python), {})
        assert len(output.getvalue().splitlines()) == 2


def not_known(kind: str, bound: float, relative_error: float) -> arb:
    return arb(1, 1)


def test_what_cannot_be_told_is_left_open() -> None:
    trial: Any = TABLE["returned error"].trial
    assert trial.run(not_known, 0).outcome == "open"


def test_what_is_returned_is_within_what_was_asked_for() -> None:
    assert all(polynomial(case).relative_error <= case.relative_error for case in CASES)


def test_one_degree_less_is_enough_where_the_stated_bound_does_not_know() -> None:
    """The Taylor polynomial of degree 3 has error |1 − e P(−1)| = 0.0939 at B = 1, its stated bound is 0.113."""
    assert allows_one_less(Case("taylor", 1.0, 0.1))
    assert not allows_one_less(Case("taylor", 1.0, 0.01))
    assert not allows_one_less(Case("chebyshev", 0.25, 0.1))
    assert 0.0939 < float(enclosed_error(taylor(3, 1.0).coefficients, 1.0)) < 0.094


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [taylor, chebyshev])
def test_what_is_measured_is_less_than_what_is_proved(make: Callable[..., Any], dtype: Any) -> None:
    for degree, bound in ((2, 0.5), (9, 4.0), (30, 8.0)):
        P = make(degree, bound)
        assert 0 < measured_loss(P, dtype) < P.loss(dtype)


# --- the error of a gradient


def zeros(n: int, d: int) -> Truth:
    return Truth(np.zeros((n, d)), np.zeros((d, d)), np.zeros((d, d)))


@settings(max_examples=15)
@given(anywhere)
def test_errors_are_enclosed_and_known_to_200_bits(layer: Any) -> None:
    n, d = layer.arrays[0].shape
    errors = gradient_error(zeros(n, d), *layer.arrays, scale=layer.scale, causal=layer.causal)
    true = ball_gradient(*layer.arrays, scale=layer.scale, causal=layer.causal, bits=PRECISION)
    for array, exact in zip(errors, true, strict=True):
        assert array.shape == exact.shape
        for e, t in zip(array.flat, exact.flat, strict=True):
            assert e.overlaps(abs(t))
            assert e.is_exact() or e.rel_accuracy_bits() >= CERTAIN or e.overlaps(arb(0))


def test_a_small_fault_of_a_gradient_is_seen_in_full() -> None:
    rng = np.random.default_rng(0)
    X, G = rng.normal(size=(2, 4, 2))
    W, W_V = rng.normal(size=(2, 2, 2))
    true = ball_gradient(X, W, W_V, G, scale=Fraction(1, 2))
    computed = Truth(*(np.array([[float(x) for x in row] for row in a]) for a in true))
    computed.X[2, 1] += 2.0**-30
    errors = gradient_error(computed, X, W, W_V, G, scale=Fraction(1, 2))
    assert all(e < 2.0**-50 for array in errors for e in array.flat if e is not errors.X[2, 1])
    assert abs(errors.X[2, 1] - arb(2) ** -30) < 2.0**-50
    assert gradient_error(computed, X, W, W_V, G, scale=Fraction(1, 2), causal=True).X[2, 1] > 2.0**-30


def test_errors_of_the_fast_gradient_are_within_its_certificate() -> None:
    rng = np.random.default_rng(1)
    X, G = rng.normal(size=(2, 5, 2))
    W, W_V = rng.normal(size=(2, 2, 2)) / 2
    fast = fast_attention_gradient(X, W, W_V, G, rtol=1e-3, causal=True)
    errors = gradient_error(fast.value, X, W, W_V, G, scale=Fraction(1, 2), causal=True)
    for name, array in errors._asdict().items():
        allowed = getattr(fast.bound, name)
        assert all(e < float(a) for e, a in zip(array.flat, allowed.flat, strict=True)), name


def test_a_gradient_of_another_shape_is_refused() -> None:
    ones = np.ones((2, 1))
    with pytest.raises(ValueError, match=r"shape \(3, 1\) is given, that of the layer has shape \(2, 1\)"):
        gradient_error(zeros(3, 1), ones, [[1]], [[1]], ones, scale=1)


# --- digits


@settings(max_examples=300)
@given(st.fractions(-(10**6), 10**6), st.integers(-60, 3), st.integers(1, 40))
def test_digits_are_those_of_both_ends(middle: Fraction, exponent: int, most: int) -> None:
    radius = Fraction(10) ** exponent
    x = arb(fmpq(middle.numerator, middle.denominator), arb(fmpq(radius.numerator, radius.denominator)))
    mid, rad = (Fraction(int(end.p), int(end.q)) for end in (x.mid().fmpq(), x.rad().fmpq()))
    ends = mid - rad, mid + rad
    text = known_digits(x, most)
    if text.endswith("in size"):
        assert all(abs(end) <= Fraction(text.split()[2]) for end in ends)
        return
    digits, _, power = text.replace("…", "").partition("e")
    unit = Fraction(10) ** (int(power or 0) - len(digits.lstrip("-").partition(".")[2]))
    least = abs(Fraction(digits)) * Fraction(10) ** int(power or 0)
    assert all(least <= abs(end) < least + unit for end in ends)
    assert all((end < 0) == text.startswith("-") for end in ends)
    assert len(re.sub(r"\D", "", digits)) <= most


@pytest.mark.parametrize(
    ("ball", "text"),
    [
        (arb(0), "0"),
        (arb(3) / 2, "1.5"),
        (arb(-100), "-1e2"),
        (arb(12, 1), "1…e1"),
        (arb(10, 1), "at most 2e1 in size"),
        (arb(0, 0.5), "at most 6e-1 in size"),
    ],
)
def test_digits_of_plain_numbers(ball: arb, text: str) -> None:
    assert known_digits(ball) == text


def test_no_digit_is_made_up() -> None:
    pi = arb.pi()
    assert known_digits(pi, 20) == "3.1415926535897932384…"
    assert known_digits(arb(pi.mid(), arb(2) ** -20)) == "3.14159…"
    assert math.isclose(float(known_digits(pi, 17).rstrip("…")), math.pi, rel_tol=1e-15)


# --- the documentation

EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_of_the_documentation() -> None:
    ((code, shown),) = EXAMPLES
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, {})
    assert output.getvalue() == shown


def test_the_command_prints_a_line_for_each_case(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(enclosures, "CASES", CASES[:3])
    monkeypatch.setattr("sys.argv", ["enclosures", "--all"])
    enclosures.main()
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["kind", "B", "ε", "degree", "relative"]
    assert [line.split()[:4] for line in lines] == [
        ["taylor", "0.25", "1e-01", "1"],
        ["taylor", "0.25", "1e-02", "2"],
        ["taylor", "0.25", "1e-03", "3"],
    ]
