"""The losses against balls of 256 bits, and the paper's formulas for them."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference import AltgradError, CrossEntropyLoss, LinearLoss, SquaredLoss
from reference.bounded import FUNCTION, Bounded
from reference.loss import (
    cross_entropy,
    cross_entropy_gradient,
    cross_entropy_of_rows,
    cross_entropy_of_units,
    cross_entropy_units,
    gradient_of_linear_units,
    linear_loss,
    linear_units,
    loss_of_units,
    squared_gradient,
    squared_loss,
    squared_units,
)
from reference.masked_product import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = [np.float32, np.float64]
BITS = 256


@pytest.fixture(autouse=True)
def many_bits() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


def balls(array: Any) -> Any:
    exact = np.empty(np.shape(array), dtype=object)
    for index, entry in np.ndenumerate(np.asarray(array)):
        exact[index] = arb(float(entry))
    return exact


def floats(array: Any) -> Any:
    return np.vectorize(float, otypes=[np.float64])(array)


def same(left: Any, right: Any) -> bool:
    """Balls that overlap, and small ones."""
    pairs = list(zip(np.ravel(left), np.ravel(right), strict=True))
    return all(a.overlaps(b) and a.rad() + b.rad() < 2.0 ** (40 - BITS) for a, b in pairs)


class Case(NamedTuple):
    """T, a matrix of T's shape, W_out and labels."""

    T: Any
    C: Any
    W_out: Any
    labels: Any


def case(n: int = 4, d: int = 3, d_voc: int = 5, *, seed: int = 0, size: float = 1.0, dtype: Any = np.float64) -> Case:
    rng = np.random.default_rng(seed)
    T, C, W_out = ((size * rng.standard_normal(shape)).astype(dtype) for shape in ((n, d), (n, d), (d, d_voc)))
    return Case(T, C, W_out, rng.integers(0, d_voc, n))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return case(
        *(draw(st.integers(1, largest)) for largest in (6, 4, 5)),
        seed=draw(st.integers(0, 2**32 - 1)),
        size=draw(st.sampled_from([0.0, 0.1, 1.0, 30.0])),
        dtype=draw(st.sampled_from(DTYPES)),
    )


def assert_within(name: str, computed: Any, exact: Any, bound: Any) -> None:
    assert np.shape(computed) == np.shape(exact) == np.shape(bound), name
    assert np.isfinite(bound).all(), f"{name}: the bound says nothing"
    error = floats(np.abs(balls(computed) - exact))
    assert (error <= bound).all(), f"{name}: off by {error.max()}, bound {np.max(bound)}"


def u_of(start: Case) -> float:
    return float(np.finfo(start.T.dtype).eps) / 2


# ------------------------------------------------------------------------------------------------- against the truth


@given(cases())
def test_linear_loss(start: Case) -> None:
    """A sum of products: n d + 1 roundings on the way of each, twice over for higher orders in u."""
    value, cotangent, parameters = LinearLoss(start.C)(start.T)
    exact = sum(Fraction(float(c)) * Fraction(float(t)) for c, t in zip(start.C.flat, start.T.flat, strict=True))
    size = float(np.abs(start.C.astype(float) * start.T).sum())
    assert abs(Fraction(value) - exact) <= 2 * (start.T.size + 1) * u_of(start) * size
    assert (cotangent.tobytes(), cotangent.dtype, parameters) == (start.C.tobytes(), start.T.dtype, {})


@given(cases())
def test_squared_loss(start: Case) -> None:
    """A sum of squares of differences: n d + 4 roundings, and the differences are rounded once."""
    value, cotangent, parameters = SquaredLoss(start.C)(start.T)
    differences = [Fraction(float(t)) - Fraction(float(c)) for t, c in zip(start.T.flat, start.C.flat, strict=True)]
    exact = sum(difference**2 for difference in differences) / 2
    assert abs(Fraction(value) - exact) <= 2 * (start.T.size + 4) * Fraction(u_of(start)) * exact
    for entry, difference in zip(cotangent.flat, differences, strict=True):
        assert abs(Fraction(float(entry)) - difference) <= abs(difference) * Fraction(u_of(start))
    assert (cotangent.shape, cotangent.dtype, parameters) == (start.T.shape, start.T.dtype, {})


@given(cases())
@example(case(1, 1, 1))
@example(case(3, 2, 5, size=0.0))
@example(case(6, 4, 5, size=30.0, dtype=np.float32))
def test_cross_entropy_loss(start: Case) -> None:
    r"""With V classes, N_jk = (|T||W_out|)_jk and γ(k) = k u / (1 - k u):

    - a logit is a sum of d products, and the row's largest is subtracted: off by σ_j = γ(2d + 6) max_k N_jk at most;
    - an exponential of a logit is off by the factor e^σ (8 roundings), their sum too (V more), so log of it by
      σ + (V + 8) u, and by 8 roundings of its own, at most log V each; then n terms are added;
    - p is off by the factor e^{2σ} (1 + u)^{V + 20}, the last products by γ(V + 2) and γ(n + 2) of p + Y_gt.

    u is taken twice, for its square and for what the subtraction and the bound itself round.
    """
    value, cotangent, parameters = CrossEntropyLoss(start.W_out, start.labels)(start.T)
    assert {cotangent.dtype, parameters["W_out"].dtype} == {start.T.dtype}
    T, W, (n, d), V = balls(start.T), balls(start.W_out), start.T.shape, start.W_out.shape[1]
    Y, Y_gt = T @ W, np.eye(V)[start.labels]  # (n, V), (n, V)
    D = np.exp(Y).sum(axis=1)  # (n,)
    units = np.log(D) - Y[np.arange(n), start.labels]  # (n,)
    error = np.exp(Y) / D[:, None] - Y_gt  # (n, V)

    u = 2 * u_of(start)
    abs_T, abs_W = np.abs(start.T.astype(float)), np.abs(start.W_out.astype(float))
    N = abs_T @ abs_W  # (n, V)
    sigma = gamma(2 * d + 6, u) * N.max(axis=1)  # (n,)
    of_units = 2 * sigma + (V + n + 16) * u * (1 + math.log(V) + 2 * N.max(axis=1))  # (n,)
    assert_within("value", value, units.sum(), of_units.sum())

    size = np.abs(floats(error)) + 2 * Y_gt  # (n, V), p + Y_gt
    off = np.expm1(2 * sigma + (V + 20) * u)[:, None] * size  # (n, V)
    assert_within("dL/dT", cotangent, error @ W.T, (off + gamma(V + 2, u) * size) @ abs_W.T + 1e-36)
    assert_within("dL/dW_out", parameters["W_out"], T.T @ error, abs_T.T @ (off + gamma(n + 2, u) * size) + 1e-36)


def gamma(k: int, u: float) -> float:
    return k * u / (1 - k * u)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_far_logits(dtype: Any) -> None:
    """Differences beyond the range of exp, in both directions, and beyond that of the dtype: 0 and the difference."""
    W_out, T = np.array([[1, -1]], dtype), np.array([[1e4], [-1e4]], dtype)
    value, cotangent, parameters = CrossEntropyLoss(W_out, np.array([0, 0]))(T)
    assert value == 2e4
    assert cotangent.tolist() == [[0], [-2]]
    assert parameters["W_out"].tolist() == [[1e4, -1e4]]
    large = np.array([[0.9 * np.finfo(dtype).max]], dtype)
    assert CrossEntropyLoss(W_out, np.array([0]))(large)[0] == 0


def test_one_class_has_no_loss() -> None:
    start = case(d_voc=1)
    value, cotangent, parameters = CrossEntropyLoss(start.W_out, start.labels)(start.T)
    assert value == 0
    assert not cotangent.any()
    assert not parameters["W_out"].any()


# ------------------------------------------------------------------------------------- where T is known within a bound


def losses(start: Case) -> dict[str, Any]:
    return {
        "linear": LinearLoss(start.C),
        "squared": SquaredLoss(start.C),
        "cross-entropy": CrossEntropyLoss(start.W_out, start.labels),
    }


def exact_losses(start: Case, T: Any) -> dict[str, list[tuple[str, Any]]]:
    """Value, gradient and parameters' gradients of each at T (balls), from the definitions."""
    C, W = balls(start.C), balls(start.W_out)
    u, Y_gt = np.exp(T @ W), np.eye(W.shape[1])[start.labels]  # (n, V) both
    D = u.sum(axis=1)  # (n,)
    of_class = (u * Y_gt).sum(axis=1)  # (n,)
    error = u / D[:, None] - Y_gt  # (n, V)
    return {
        "linear": [("value", (C * T).sum()), ("dL/dT", C)],
        "squared": [("value", ((T - C) * (T - C)).sum() / 2), ("dL/dT", T - C)],
        "cross-entropy": [("value", np.log(D / of_class).sum()), ("dL/dT", error @ W.T), ("W_out", T.T @ error)],
    }


def moved(start: Case, E: float, side: Any) -> Any:
    """The exact T that lies E to one side of start.T, entry by entry."""
    return balls(start.T) + balls(E * side.astype(float))


def assert_bounds_hold(start: Case, E: float, side: Any) -> None:
    exact = exact_losses(start, moved(start, E, side))
    for name, loss in losses(start).items():
        value, cotangent, parameters = loss(start.T)
        with np.errstate(all="ignore"):  # as the model's gradient calls it
            of_value, of_cotangent, of_parameters = loss.bounded(Bounded(start.T, E))
        assert set(of_parameters) == set(parameters)
        computed = [
            (value, of_value),
            (cotangent, of_cotangent),
            *((parameters[k], of_parameters[k]) for k in parameters),
        ]
        for (what, true), (ours, bound) in zip(exact[name], computed, strict=True):
            assert_within(f"{name}: {what}", ours, true, np.broadcast_to(bound, np.shape(ours)))


@settings(max_examples=300)
@given(cases(), st.sampled_from([0.0, 1e-9, 1e-3, 0.5, 40.0, 1e5]), st.integers(0, 2**32 - 1), st.booleans())
def test_bounds(start: Case, E: float, seed: int, pushed: bool) -> None:
    """At a corner of the box, by chance or where T moves each row's probability from one class to another."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1, 1], size=start.T.shape)
    if pushed:
        one, other = rng.integers(0, start.W_out.shape[1], size=(2, len(start.T)))
        side = np.where(start.W_out[:, one] > start.W_out[:, other], 1, -1).T
    assert_bounds_hold(start, E, side)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "d_voc"), [(2 * BLOCK + 3, 2), (2, 2 * BLOCK + 3)])
def test_bounds_of_long_sums(d: int, d_voc: int, dtype: Any) -> None:
    start = case(2, d, d_voc, dtype=dtype)
    for E in (0.0, 1e-3):
        assert_bounds_hold(start, E, np.ones(start.T.shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_probability_that_underflows_may_be_large(dtype: Any) -> None:
    """The second class has no probability left in the dtype; at the exact T it has nearly all."""
    far = 55 if dtype == np.float32 else 400
    start = Case(np.array([[1]], dtype), np.ones((1, 1), dtype), np.array([[far, -far]], dtype), np.array([0]))
    assert CrossEntropyLoss(start.W_out, start.labels)(start.T)[1] == 0
    assert_bounds_hold(start, 1.125, -np.ones((1, 1)))


def test_the_bounds_of_sums_are_attained() -> None:
    """Linear: T moves along C. Squared: T moves away from the target, from far and from the target itself."""
    start, spare = case(), 1 + 1e-9
    far = float(exact_losses(start, moved(start, 0.5, np.sign(start.C)))["linear"][0][1]) - (start.C * start.T).sum()
    assert LinearLoss(start.C).bounded(Bounded(start.T, 0.5))[0] <= far * spare
    for distance in (0.0, 8.0):
        loss, T = SquaredLoss(start.C), start.C + distance
        attained = T.size * ((distance + 0.5) ** 2 - distance**2) / 2
        of_value, of_cotangent, _ = loss.bounded(Bounded(T, 0.5))
        assert attained <= of_value <= attained * spare
        assert np.max(of_cotangent) <= 0.5 * spare


def test_the_bounds_of_cross_entropy_are_attained() -> None:
    """Two classes with logits ±T: the loss moves by 2σ less log 2, the odds by a factor e^{2σ}."""
    W = np.array([[1.0, -1.0]])
    for E in (5.0, 40.0):
        move = np.log1p(np.exp(2 * E)) - np.log(2)
        assert move <= CrossEntropyLoss(W, np.array([1])).bounded(Bounded(np.zeros((1, 1)), E))[0] <= move + 0.7
    for T, E in ((0.0, 1e-5), (10.0, 0.125), (10.0, 0.5), (10.0, 2.0)):
        _, of_cotangent, of_W = CrossEntropyLoss(W, np.array([0])).bounded(Bounded(np.array([[T]]), E))
        move = 1 / (1 + np.exp(2 * (T - E))) - 1 / (1 + np.exp(2 * T))
        assert 2 * move <= np.max(of_cotangent) <= 2 * move * (1 + 1e-4)
        attained = (T + E) * move + E / (1 + np.exp(2 * T))
        assert attained <= of_W["W_out"][0, 1] <= attained * (1 + 1e-4)


@pytest.mark.parametrize(("n", "V"), [(2, 200), (200, 2)])
def test_rounding_of_cross_entropy_is_that_of_the_longest_path(n: int, V: int) -> None:
    """All logits are 0, all p are 1/V. Exponentials and logarithms are off by 8 roundings, sums by one for each term.

    Of p: two exponentials, V − 1 additions, a division; of p − 1 one more; then a product with W_out, here 1.
    """
    u = 2.0**-53
    T, loss = Bounded(np.zeros((n, V))), CrossEntropyLoss(np.eye(V), np.zeros(n, int))
    of_value, cotangent, _ = loss.bounded(T)
    of_cotangent: Any = cotangent
    of_row = (8 + V - 1) * u + (8 + 1) * u * math.log(V)
    assert of_value >= n * (of_row + (n - 1) * u * math.log(V))
    of_p = (8 + 8 + V) * u / V
    gold, other = 1 - 1 / V, 1 / V
    assert (of_cotangent[:, 0] >= of_p + u * gold + V * u * gold).all()
    assert (of_cotangent[:, 1:] >= of_p + V * u * other).all()
    assert np.max(of_cotangent) <= 3 * (of_p + u * gold + V * u * gold)


def bounds_by_hand(start: Case, E: float) -> tuple[float, Bounded]:
    """Of cross-entropy: the bound on the value, and p − Y_gt with its bound, from the docstring in plain loops."""
    u, tiny = u_of(start), float(np.finfo(start.T.dtype).tiny)
    Z, V = Bounded(start.T, E) @ start.W_out, start.W_out.shape[1]
    r = math.expm1((2 * FUNCTION + V + 4) * u)
    total, error, moved = 0.0, np.empty(Z.shape), np.empty(Z.shape)
    for j, label in enumerate(start.labels):
        sigma = Z.error[j].max() + 4 * u * max(abs(float(z)) for z in Z.value[j])
        logits = Z.value[j] - Z.value[j].max()  # in the dtype, as the loss takes them
        powers = np.exp(logits)
        for k, p in enumerate((powers / powers.sum()).tolist()):
            error[j, k] = p - (k == label)
            moved[j, k] = (1 + r) * math.expm1(2 * sigma) * (p + 2 * tiny) * (1 - p + r) + r * p
        size = 1 + math.log(sum(math.exp(x) for x in logits.tolist())) - float(logits[label])
        total += 2 * sigma + (2 * FUNCTION + V) * u * size + gamma(len(Z.value) + 2, u) * size
    return total, Bounded(error.astype(start.T.dtype), np.minimum(moved, 1) + 2 * u + 2 * tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("E", [0.0, 1e-3, 0.7])
@pytest.mark.parametrize(("n", "V"), [(1, 1), (4, 5), (3, 21)])
def test_bounds_of_cross_entropy_term_by_term(n: int, V: int, E: float, dtype: Any) -> None:
    start = case(n, 3, V, dtype=dtype)
    total, error = bounds_by_hand(start, E)
    value, of_T, of_W = CrossEntropyLoss(start.W_out, start.labels).bounded(Bounded(start.T, E))
    assert value == pytest.approx(total, rel=1e-12)
    assert np.allclose(np.asarray(of_T), (error @ start.W_out.T).error, rtol=100 * u_of(start), atol=0)
    assert np.allclose(of_W["W_out"], (Bounded(start.T, E).T @ error).error, rtol=100 * u_of(start), atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bound_on_a_sum_of_units_term_by_term(dtype: Any) -> None:
    """γ of all units for the sum, whatever its order, and 2⁻⁵⁰ for each unit that the bound itself adds up."""
    n, u = 2**16, float(np.finfo(dtype).eps) / 2
    T, C = np.full((n, 1), 1, dtype), np.full((n, 1), -2, dtype)
    units = Bounded(T, 0.25) * C
    expected = (units.error.sum() + gamma(n, u) * 2 * n) * (1 + n * 2.0**-50)
    assert LinearLoss(C).bounded(Bounded(T, 0.25))[0] == pytest.approx(expected, rel=1e-12)
    difference = Bounded(T, 0.25) - C
    square = difference * difference
    expected = (square.error.sum() + gamma(n, u) * 9 * n) * (1 + n * 2.0**-50) / 2
    assert SquaredLoss(C).bounded(Bounded(T, 0.25))[0] == pytest.approx(expected, rel=1e-12)
    zero = np.zeros((n, 2), dtype)
    of_value = CrossEntropyLoss(zero[:1].T @ zero[:1], np.zeros(n, int)).bounded(Bounded(zero))[0]
    size = 1 + math.log(2)
    sigma = (Bounded(zero[:1]) @ zero[:1].T).error.max()
    expected = n * (2 * sigma + ((2 * FUNCTION + 2) * u + gamma(n + 2, u)) * size) * (1 + n * 2.0**-50)
    assert of_value == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype: Any) -> None:
    start = case()
    loss, other = (CrossEntropyLoss(start.W_out, labels) for labels in (start.labels, start.labels.astype(dtype)))
    assert loss(start.T)[0] == other(start.T)[0]


def test_operands_stay_as_they_are() -> None:
    start = case()
    for array in start:
        array.flags.writeable = False
    before = [array.tobytes() for array in start]
    for loss in (LinearLoss(start.C), SquaredLoss(start.C), CrossEntropyLoss(start.W_out, start.labels)):
        _, cotangent, parameters = loss(start.T)
        results = [cotangent, *parameters.values()]
        assert not any(np.shares_memory(result, operand) for result in results for operand in start)
    assert [array.tobytes() for array in start] == before


# -------------------------------------------------------------------------------------------------------- bad input


def refusal(loss: Any, T: Any) -> str:
    with pytest.raises(AltgradError) as error:
        loss(T)
    return str(error.value)


def with_nan(array: Any) -> Any:
    array = array.copy()
    array[1, 0] = np.nan
    return array


@pytest.mark.parametrize(("kind", "operand"), [(LinearLoss, "C"), (SquaredLoss, "target")])
def test_bad_operands(kind: Any, operand: str) -> None:
    name, start = kind.__name__, case()
    good = kind(start.C)
    assert refusal(kind(start.C.tolist()), start.T) == f"{name}: {operand} has type list, needs a plain numpy.ndarray"
    assert refusal(good, start.T.tolist()) == f"{name}: T has type list, needs a plain numpy.ndarray"
    words = refusal(good, start.T.astype(np.float32))
    assert words == f"{name}: T has dtype float32, needs float64, the dtype of {operand}"
    assert refusal(good, start.T[:2]) == f"{name}: T has shape (2, 3), needs (n, d) with n = 4 from {operand}"
    assert refusal(good, start.T[:, :2]) == f"{name}: T has shape (4, 2), needs (n, d) with d = 3 from {operand}"
    assert refusal(good, with_nan(start.T)) == f"{name}: T has nan at index (1, 0), needs finite entries"
    words = refusal(kind(with_nan(start.C)), start.T)
    assert words == f"{name}: {operand} has nan at index (1, 0), needs finite entries"


def test_bad_operands_of_cross_entropy() -> None:
    start = case()
    good = CrossEntropyLoss(start.W_out, start.labels)
    words = refusal(good, start.T[:, :2])
    assert words == "CrossEntropyLoss: W_out has shape (3, 5), needs (d, d_voc) with d = 2 from T"
    words = refusal(good, start.T.astype(np.float32))
    assert words == "CrossEntropyLoss: W_out has dtype float64, needs float32, the dtype of T"
    assert refusal(good, with_nan(start.T)) == "CrossEntropyLoss: T has nan at index (1, 0), needs finite entries"
    words = refusal(CrossEntropyLoss(with_nan(start.W_out), start.labels), start.T)
    assert words == "CrossEntropyLoss: W_out has nan at index (1, 0), needs finite entries"


BAD_LABELS: list[tuple[Any, str]] = [
    ([0, 1, 2, 3], "has type list, needs a plain numpy.ndarray"),
    (np.zeros(4), "has dtype float64, needs integers"),
    (np.zeros(4, bool), "has dtype bool, needs integers"),
    (np.zeros(4, "m8[s]"), "has dtype timedelta64[s], needs integers"),
    (np.zeros(3, int), "has shape (3,), needs (n,) with n = 4 from T"),
    (np.zeros((4, 1), int), "has shape (4, 1), needs (n,) with n = 4 from T"),
    (np.array([0, 1, 5, -1]), "has 5 at index (2,), needs 0 to 4, the classes of W_out"),
    (np.array([0, -1, 4, 0]), "has -1 at index (1,), needs 0 to 4, the classes of W_out"),
]


@pytest.mark.parametrize(("labels", "words"), BAD_LABELS)
def test_bad_labels(labels: Any, words: str) -> None:
    start = case()
    assert refusal(CrossEntropyLoss(start.W_out, labels), start.T) == f"CrossEntropyLoss: labels {words}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_overflow_is_named(sign: int, dtype: Any) -> None:
    largest = np.finfo(dtype).max
    large, root = (np.array([[sign * each]], dtype) for each in (0.9 * largest, 4 * np.sqrt(largest)))
    zero, one, two = (np.array([[each]], dtype) for each in (0, 1, 2))

    def refused(what: str, loss: Any, T: Any) -> None:
        cure = "smaller operands" + ("" if dtype == np.float64 else ", or float64")
        words = f"{type(loss).__name__}: {what} overflows {np.dtype(dtype)} (at most {largest!s}), needs {cure}"
        assert refusal(loss, T) == words

    refused("⟨C, T⟩", LinearLoss(large), two)
    refused("½‖T - target‖²", SquaredLoss(root), zero)
    refused("½‖T - target‖²", SquaredLoss(-large), large)
    refused("T W_out", CrossEntropyLoss(large, np.array([0])), two)
    wide, down = np.hstack([large, -large]), np.array([int(sign > 0)])
    refused("the loss", CrossEntropyLoss(wide, down), one)
    refused("the gradient on T", CrossEntropyLoss(np.hstack([-large, -large, large]), np.array([2])), zero)
    refused("the gradient on W_out", CrossEntropyLoss(np.hstack([zero] * 3), np.array([2, 2])), np.vstack([large] * 2))


# ------------------------------------------------------------------------------------------------------- the formulas


def softmax(Y: Any) -> Any:
    u = np.exp(Y)
    return u / u.sum(axis=1)[:, None]


def test_cross_entropy_is_a_sum_of_units() -> None:
    start = case()
    Y_gt, Y_pred = balls(np.eye(5)[start.labels]), softmax(balls(start.T) @ balls(start.W_out))
    total = cross_entropy(Y_gt, Y_pred)
    assert same(total, loss_of_units(cross_entropy_units(Y_gt, Y_pred)))
    value, _, _ = CrossEntropyLoss(start.W_out, start.labels)(start.T)
    assert abs(float(total) - value) < 2.0**-40 * value


def test_zero_times_log_of_zero() -> None:
    """Is 0, but only for a zero that is exact: a ball around 0 may be something else."""
    Y_gt, Y_pred = np.array([[1.0, 0.0]]), np.array([[0.5, 0.0]])
    assert cross_entropy_units(Y_gt, Y_pred).tolist() == [[-np.log(0.5), 0]]
    assert cross_entropy(Y_gt, Y_pred) == -np.log(0.5)
    assert cross_entropy_units(-Y_gt, Y_pred).tolist() == [[np.log(0.5), 0]]
    assert cross_entropy_units(balls(Y_gt), balls(Y_pred))[0, 1] == 0
    fuzzy = balls(Y_gt)
    fuzzy[0, 1] = arb(0, 1e-9)
    assert not cross_entropy(fuzzy, balls(Y_pred)).is_finite()
    assert cross_entropy_units(np.array([[1, 0]]), np.array([[0.5, 0.0]])).tolist() == [[-np.log(0.5), 0]]


def test_gradient_of_cross_entropy_in_balls() -> None:
    """Against the coefficient of t in the loss at T + t E, for each entry."""
    start = case(2, 2, 3)
    W, Y_gt = balls(start.W_out), np.eye(3)[start.labels]
    derivative = np.empty((2, 2), dtype=object)
    cap, ctx.cap = ctx.cap, 2
    try:
        for i, a in np.ndindex(2, 2):
            entries = [
                [arb_series([arb(float(t)), int((i, a) == (j, b))]) for b, t in enumerate(row)]
                for j, row in enumerate(start.T)
            ]
            logits = [
                [row[0] * arb_series([W[0, k]]) + row[1] * arb_series([W[1, k]]) for k in range(3)] for row in entries
            ]
            total = arb_series([0])
            for row, label in zip(logits, start.labels, strict=True):
                total += (row[0].exp() + row[1].exp() + row[2].exp()).log() - row[label]
            derivative[i, a] = total[1]
    finally:
        ctx.cap = cap
    assert same(cross_entropy_gradient(balls(start.T), W, balls(Y_gt)), derivative)


def test_units_of_the_other_losses() -> None:
    start = case()
    T, C = balls(start.T), balls(start.C)
    difference = T - C
    assert same(linear_units(T, C), C * T)
    assert same(squared_units(T, C), [each * each / 2 for each in difference.flat])
    for units, loss in ((linear_units, LinearLoss), (squared_units, SquaredLoss)):
        total = loss_of_units(units(start.T, start.C))
        assert loss(start.C)(start.T)[0] == total


def test_losses_as_sums_over_units() -> None:
    """Each by a loop over its units, in balls; of rows: one unit each, and d − 1 that are 0."""
    start = case(3, 2, 4)
    T, C = balls(start.T), balls(start.C)
    assert same([linear_loss(T, C)], [sum(C[i, j] * T[i, j] for i, j in np.ndindex(3, 2))])
    assert same([squared_loss(T, C)], [sum((T[i, j] - C[i, j]) ** 2 for i, j in np.ndindex(3, 2)) / 2])
    assert same(squared_gradient(T, C), [T[i, j] - C[i, j] for i, j in np.ndindex(3, 2)])
    Y_gt, Y_pred = balls(np.eye(4)[start.labels]), softmax(T @ balls(start.W_out))
    total = [-sum(Y_pred[j, label].log() for j, label in enumerate(start.labels))]
    assert same([cross_entropy_of_units(Y_gt, Y_pred)], total)
    for d in (1, 2, 7):
        assert same([cross_entropy_of_rows(Y_gt, Y_pred, d)], total)


def test_linear_units_that_depend_on_all_of_T() -> None:
    A = np.arange(2 * 3 * 2 * 3).reshape(2, 3, 2, 3) ** 2
    expected = [[sum(A[j, k, i, c] for j, k in np.ndindex(2, 3)) for c in range(3)] for i in range(2)]
    assert gradient_of_linear_units(A).tolist() == expected


def test_messages_are_refusals_of_values() -> None:
    """Who catches ValueError catches them."""
    with pytest.raises(ValueError, match=re.escape("LinearLoss: T has type int")):
        LinearLoss(np.ones((1, 1)))(3)  # type: ignore[arg-type]
