"""Arrays with bounds: every operation encloses the exact result, in fractions, and says no more than it must."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.bounded import Bounded, enlarged, matmul
from reference.certificate import gamma, unit
from reference.masked_product import BLOCK

DTYPES: list[Any] = [np.float32, np.float64]
SUMS = [1, 2, 3, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 5]  # how many terms


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """As the functions call it: an infinite bound times zero is no error."""
    with np.errstate(all="ignore"):
        yield


def fractions(array: Any) -> Any:
    exact = np.empty(np.shape(array), dtype=object)
    for index, entry in np.ndenumerate(np.asarray(array, np.float64)):
        exact[index] = number(float(entry))
    return exact


def excess(computed: Any, exact: Any) -> Any:
    """By how much a bounded array misses the exact one beyond its bound, entry by entry; infinite bounds never do."""
    assert computed.value.shape == computed.error.shape == exact.shape
    assert np.isfinite(computed.value).all()
    assert (computed.error >= 0).all()
    known = np.isfinite(computed.error)
    distance = abs(fractions(computed.value) - exact)
    return (distance - fractions(np.where(known, computed.error, 0)))[known]


def assert_enclosed(computed: Any, exact: Any) -> None:
    beyond = excess(computed, exact)
    assert (beyond <= 0).all(), f"beyond its bound by {max(beyond)}"


# --- operands

SIZES = {
    "ordinary": 1.0,
    "large": 2.0**50,  # products of squares stay below float32's limit
    "underflow": 2.0**-75,  # products are subnormal in float32
    "subnormal": 2.0**-140,  # are themselves, in float32
    "tiny": 2.0**-530,  # products are subnormal in float64, and the numbers 0 in float32
}
ERRORS: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: 0 * np.abs(x),
    "rounding": lambda x: 2.0**-24 * np.abs(x),
    "small": lambda x: 0.01 * np.abs(x) + 0.001 * np.abs(x).max(),
    "huge": lambda x: 1e6 * (1 + np.abs(x)),
    "smallest": lambda x: np.full(x.shape, 5e-324),
    "infinite": lambda x: np.where(np.indices(x.shape).sum(axis=0) % 3 == 1, np.inf, 0.25),
}
UNKNOWN = 1e60  # where nothing is known the exact number is this far away


class Operand:
    """A bounded array, and an exact one within its bound."""

    def __init__(self, rng: np.random.Generator, shape: Any, dtype: Any, size: str, error: str, place: str) -> None:
        drawn = rng.normal(size=shape) * rng.integers(0, 5, size=shape).clip(0, 1)  # a fifth of them is 0
        value = (drawn * SIZES[size]).astype(dtype)
        self.bounded = Bounded(value, ERRORS[error](value.astype(np.float64)))
        side = {"corner": rng.choice([-1, 1], size=shape), "upper": np.ones(shape, int), "inner": None}[place]
        reach = np.where(np.isfinite(self.bounded.error), self.bounded.error, UNKNOWN)
        part = fractions(rng.uniform(-1, 1, size=shape)) if side is None else fractions(side)
        self.exact = fractions(value) + part * fractions(reach)

    @classmethod
    def unbounded(cls, array: Any) -> Operand:
        """A plain array, which is exact."""
        operand = cls.__new__(cls)
        operand.bounded, operand.exact = array, fractions(array)
        return operand


@st.composite
def pairs(draw: st.DrawFn, shapes: Callable[[st.DrawFn], tuple[Any, Any]]) -> tuple[Operand, Operand]:
    """Two operands of one dtype; sometimes one of them is a plain array."""
    rng, dtype = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.sampled_from(DTYPES))
    sizes, errors = st.sampled_from(sorted(SIZES)), st.sampled_from(sorted(ERRORS))
    places = st.sampled_from(("corner", "upper", "inner"))
    x, y = (Operand(rng, shape, dtype, draw(sizes), draw(errors), draw(places)) for shape in shapes(draw))
    plain = draw(st.sampled_from(("neither", "left", "right")))
    if plain == "left":
        x = Operand.unbounded(x.bounded.value)
    if plain == "right":
        y = Operand.unbounded(y.bounded.value)
    return x, y


def of_one_shape(draw: st.DrawFn) -> Any:
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return shape, shape


def inner(draw: st.DrawFn) -> Any:
    rows, k, columns = draw(st.integers(1, 3)), draw(st.sampled_from(SUMS)), draw(st.integers(1, 2))
    return (rows, k), (k, columns)


# --- enclosure


@settings(max_examples=400)
@given(pairs(of_one_shape), st.sampled_from([operator.add, operator.sub, operator.mul]))
def test_entrywise(operands: tuple[Operand, Operand], operation: Any) -> None:
    x, y = operands
    if operation is operator.sub and not isinstance(x.bounded, Bounded):
        x, y = y, x  # an array less a bounded one is not needed, and not defined
    assert_enclosed(operation(x.bounded, y.bounded), operation(x.exact, y.exact))


@settings(max_examples=300)
@given(pairs(inner))
def test_matrix_products(operands: tuple[Operand, Operand]) -> None:
    x, y = operands
    assert_enclosed(x.bounded @ y.bounded, x.exact @ y.exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", SUMS)
def test_rounding_of_sums_of_all_lengths(k: int, dtype: Any) -> None:
    """Exact operands of one sign, and of sums that cancel."""
    rng = np.random.default_rng(k)
    for shift in (0.0, 1.0, 1e3):
        x, y = rng.normal(size=(3, k)).astype(dtype), (rng.normal(size=(k, 3)) + shift).astype(dtype)
        assert_enclosed(Bounded(x) @ y, fractions(x) @ fractions(y))
        assert_enclosed(x @ Bounded(y), fractions(x) @ fractions(y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", SUMS)
def test_rounding_is_that_of_the_longest_path(k: int, dtype: Any) -> None:
    """A product and the additions of its block, each off by a factor 1 + u; blocks in float64; one conversion."""
    u, path, additions = number(unit(dtype)), min(k, BLOCK), (k - 1) // BLOCK
    converted = k > BLOCK and dtype == np.float32
    worst = k * ((1 + u) ** (path + converted) * (1 + number(2.0**-53)) ** additions - 1)
    computed = Bounded(np.ones((1, k), dtype)) @ np.ones((k, 1), dtype)
    assert worst <= number(computed.error.item()) <= worst * number(1 + 8 / k + 1e-3)


def test_sums_longer_than_a_block_are_added_up_in_float64() -> None:
    """One by one in float32 the last block would be lost."""
    x = np.full((1, 2 * BLOCK), np.float32(2.0**-24))
    x[0, :BLOCK] = [1] + [0] * (BLOCK - 1)
    assert matmul(x, np.ones((2 * BLOCK, 1), np.float32)) == np.float32(1 + BLOCK * 2.0**-24)


# --- no larger than it must be


def number(x: float) -> Any:
    return fmpq(*x.as_integer_ratio())


def assert_attained(computed: Any, farthest: Any, terms: int = 1) -> None:
    """The bound is the distance that was attained, but for the rounding of values up to 16 times as large."""
    rounding = 16 * gamma(terms + 2, unit(computed.dtype)) + (terms + 17) * 2.0**-52
    assert (fractions(computed.error) <= farthest * number(1 + rounding)).all()
    assert (fractions(computed.error) >= farthest).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("E_x", "E_y"), [(0.25, 0.5), (0.25, 0.0), (0.0, 0.5), (64.0, 64.0)])
def test_the_bounds_are_attained(E_x: float, E_y: float, dtype: Any) -> None:
    """Operands from 1 to 2, the exact ones at the upper corner; of a difference the second one at the lower."""
    for k in (1, 5, BLOCK, BLOCK + 1):
        x, y = np.random.default_rng(k).uniform(1, 2, size=(2, 2, k)).astype(dtype)
        X, Y, x, y = Bounded(x, E_x), Bounded(y, E_y), fractions(x), fractions(y)
        above_x, above_y = x + number(E_x), y + number(E_y)
        assert_attained(X @ Y.T, above_x @ above_y.T - x @ y.T, k)
        assert_attained(X * Y, above_x * above_y - x * y)
        assert_attained(X + Y, above_x + above_y - (x + y))
        assert_attained(X - Y, above_x + above_y - (x + y))


def test_one_rounding_is_attained() -> None:
    """Halfway between two numbers: half a unit in the last place is lost, and no more than that is allowed for."""
    formats: list[Any] = [(np.float32, 12, 12), (np.float64, 26, 27)]
    for dtype, a, b in formats:
        u = unit(dtype)
        x, y = (np.array([[1 + 2.0**-power]], dtype) for power in (a, b))
        for computed, exact in (
            (Bounded(x) * y, fractions(x) * fractions(y)),
            (Bounded(x) @ y, fractions(x) @ fractions(y)),
            (Bounded(x / x) + np.array([[u]], dtype), fractions([[1]]) + number(u)),
        ):
            lost = abs(fractions(computed.value) - exact)[0, 0]
            assert lost == number(u)
            assert lost <= number(computed.error.item()) <= lost * number(1 + 2.0**-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_underflow_is_attained(dtype: Any) -> None:
    """All of a product can be lost where numbers below the smallest normal one are not kept: within a factor of 4."""
    tiny = float(np.finfo(dtype).tiny)
    for k in (1, 9, BLOCK + 1):
        zero = Bounded(np.zeros((1, k), dtype))
        assert tiny <= (zero * zero).error.max() <= 4 * tiny
        assert k * tiny <= (zero @ zero.T).error.item() <= 4 * k * tiny


def test_zero_without_error_takes_nothing_over() -> None:
    x, zero = Bounded(np.ones((2, 3)), 0.5), np.zeros((3, 2))
    assert (x @ zero).error.max() <= 6 * np.finfo(np.float64).tiny
    assert ((x * zero.T).error <= 2 * np.finfo(np.float64).tiny).all()


# --- the interface


def test_parts_of_a_bounded_array() -> None:
    value, error = np.array([[-1, 2, 3], [4, 5, -6]], np.float32), np.arange(6.0).reshape(2, 3)
    x = Bounded(value, error)
    assert (x.shape, x.dtype.name, x.error.dtype.name) == ((2, 3), "float32", "float64")
    for part, of_value, of_error in (
        (x.T, value.T, error.T),
        (x[1], value[1], error[1]),
        (x[:, 1:], value[:, 1:], error[:, 1:]),
        (x[[0, 1], [2, 0]], value[[0, 1], [2, 0]], error[[0, 1], [2, 0]]),
    ):
        assert isinstance(part, Bounded)
        assert np.array_equal(part.value, of_value)
        assert np.array_equal(part.error, of_error)
    assert np.array_equal(x.size, np.abs(value))
    assert np.array_equal(x.largest, np.abs(value) + error)
    assert x.size.dtype == x.largest.dtype == np.float64


def test_an_error_may_be_one_number_or_unknown() -> None:
    value = np.ones((2, 2))
    assert (Bounded(value).error == 0).all()
    assert Bounded(value, 3).error.tolist() == [[3, 3], [3, 3]]
    assert Bounded(value, np.nan).error.tolist() == [[np.inf, np.inf], [np.inf, np.inf]]
    assert Bounded(np.array(2.0), np.inf).error == np.inf


def test_infinity_stays_where_it_reaches() -> None:
    x = Bounded(np.zeros((2, 2)), np.array([[np.inf, 0], [0, 0]]))
    assert np.isfinite((x + 1 * np.ones((2, 2))).error).tolist() == [[False, True], [True, True]]
    assert np.isfinite((x @ np.zeros((2, 1))).error).tolist() == [[False], [True]]
    assert np.isfinite((np.ones((1, 2)) @ x).error).tolist() == [[False, True]]


def test_the_kinds_of_operands() -> None:
    """A plain array is an exact one on either side, and values are those of NumPy."""
    value = np.array([[1.0, 2.0], [3.0, 5.0]])
    x = Bounded(value, 0.5)
    for result, expected in (
        (x + value, value + value),
        (value + x, value + value),
        (x - value, 0 * value),
        (x * value, value * value),
        (value * x, value * value),
        (x @ value, value @ value),
        (value @ x, value @ value),
    ):
        assert isinstance(result, Bounded)
        assert np.array_equal(result.value, expected)
    left, right = np.array([[1.0, 0.0], [0.0, 0.0]]) @ x, x @ np.array([[1.0, 0.0], [0.0, 0.0]])
    assert (left.error > 0.4).tolist() == [[True, True], [False, False]]
    assert (right.error > 0.4).tolist() == [[True, False], [True, False]]


def test_what_enlarges_a_bound() -> None:
    """Added one by one to 1, halves of its last place are all lost."""
    for k in (1, 10, 1000):
        exact = number(1.0) + (k + 3) * number(2.0**-53)
        assert exact <= number(float(enlarged(np.array(1.0), np.float64, k))) <= number(1 + (k + 17) * 2.0**-52)
    assert enlarged(np.zeros(1), np.float32, 3) == 6 * np.finfo(np.float32).tiny
    assert enlarged(np.array([np.nan, np.inf]), np.float64).tolist() == [np.inf, np.inf]
