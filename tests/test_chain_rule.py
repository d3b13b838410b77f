"""Exact attention of a sequence and its gradient against the ground truth."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import reference
from proofs_checks import ground_truth
from reference import (
    AltgradError,
    Gradient,
    attention,
    attention_gradient,
    chain_rule,
    fast_attention,
    fast_attention_gradient,
    qkv,
)
from reference.certificate import product_rounding, unit
from reference.error_bounds import gradient_rounding, output_rounding
from reference.fast_qkv import METHODS, KeySide, QuerySide
from reference.masked_product import BLOCK
from tests.signatures import keywords

if TYPE_CHECKING:
    from reference.shapes import FloatArray

DTYPES = [np.float32, np.float64]
FIELDS = ["X", "W", "W_V"]


class Case(NamedTuple):
    """Operands and keywords of one call."""

    X: FloatArray
    W: FloatArray
    W_V: FloatArray
    G: FloatArray
    keywords: dict[str, Any]

    @property
    def operands(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.X, self.W, self.W_V

    @property
    def explicit(self) -> dict[str, Any]:
        """The keywords, the paper's scale written out."""
        scale = self.keywords["scale"]
        return self.keywords | {"scale": 1 / self.X.shape[1] if scale is None else scale}


def case(
    n: int,
    d: int,
    *,
    seed: int = 0,
    dtype: Any = np.float64,
    scale: float | None = None,
    causal: bool = False,
    size: float = 1.0,
) -> Case:
    rng = np.random.default_rng(seed)
    X, W, W_V, G = ((size * rng.standard_normal(shape)).astype(dtype) for shape in ((n, d), (d, d), (d, d), (n, d)))
    return Case(X, W, W_V, G, {"scale": scale, "causal": causal})


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return case(
        draw(st.integers(1, 9)),
        draw(st.integers(1, 6)),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(DTYPES)),
        scale=draw(st.sampled_from([None, -1.0, 0.0, 0.3, 1.0])),
        causal=draw(st.booleans()),
        size=draw(st.sampled_from([0.0, 0.01, 1.0, 2.0])),
    )


def assert_within(name: str, computed: FloatArray, other: FloatArray, bound: FloatArray) -> None:
    assert computed.shape == other.shape == bound.shape, name
    assert np.isfinite(bound).all(), f"{name}: the bound says nothing"
    excess = np.abs(computed.astype(np.float64) - other) - bound
    assert (excess <= 0).all(), f"{name}: shape {computed.shape}, off by {excess.max()} more than its rounding"


def assert_gradients_within(case: Case, computed: Gradient, other: Any, *dtypes: Any) -> None:
    """Two gradients, computed in these dtypes, differ by rounding."""
    bounds = [gradient_rounding(*case[:4], **case.keywords, dtype=dtype) for dtype in dtypes]
    for name in FIELDS:
        bound = np.sum([getattr(each, name) for each in bounds], axis=0)
        assert_within(name, getattr(computed, name), getattr(other, name), bound)


def assert_outputs_within(case: Case, computed: FloatArray, other: FloatArray, *dtypes: Any) -> None:
    bounds = [output_rounding(*case.operands, **case.keywords, dtype=dtype) for dtype in dtypes]
    assert_within("output", computed, other, np.sum(bounds, axis=0))


def assert_true(case: Case) -> None:
    """Output and gradient are those of the ground truth, to rounding, in the operands' dtype and shapes."""
    output, gradient = attention(*case.operands, **case.keywords), attention_gradient(*case[:4], **case.keywords)
    dtype = case.X.dtype
    assert {output.dtype, *(getattr(gradient, name).dtype for name in FIELDS)} == {dtype}
    wide = [array.astype(np.float64) for array in case[:4]]
    assert_outputs_within(case, output, ground_truth.forward(*wide[:3], **case.explicit), dtype, np.float64)
    assert_gradients_within(case, gradient, ground_truth.gradient(*wide, **case.explicit), dtype, np.float64)


# ------------------------------------------------------------------------------------------------- against the truth


@given(cases())
def test_truth(case: Case) -> None:
    assert_true(case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 5), (7, 1), (2, 9), (60, 4)])
def test_truth_at_edges(n: int, d: int, causal: bool, dtype: Any) -> None:
    assert_true(case(n, d, causal=causal, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("operand", ["X", "W", "W_V", "G"])
def test_truth_with_zero_or_repeated_rows(operand: str, causal: bool, dtype: Any) -> None:
    start = case(6, 3, causal=causal, dtype=dtype)
    array = getattr(start, operand)
    for other in (np.zeros_like(array), np.repeat(array[:1], len(array), axis=0)):
        changed: dict[str, Any] = {operand: other}
        assert_true(start._replace(**changed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_truth_with_large_scores(causal: bool, dtype: Any) -> None:
    """Scores of ±1e4, and pairs that differ by less than 1."""
    start = case(5, 2, causal=causal, dtype=dtype, scale=1.0)
    X = np.array([[100, 0], [-100, 0], [100, 1 / 128], [0, 1], [1, 0]], dtype)
    assert_true(start._replace(X=X, W=np.eye(2, dtype=dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_row_finds_itself(dtype: Any) -> None:
    """Scores of 1e4 on the diagonal and -1e4 off it: weights are exactly 0 and 1."""
    X = np.array([[100], [-100]], dtype)
    one, two = np.ones((1, 1), dtype), np.full((1, 1), 2, dtype)
    assert attention(X, one, two, scale=1).tobytes() == (2 * X).tobytes()
    gradient = attention_gradient(X, one, two, X, scale=1)
    assert (gradient.X.tobytes(), gradient.W.item(), gradient.W_V.item()) == ((2 * X).tobytes(), 0, 20000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_causal_row_is_its_own_value(dtype: Any) -> None:
    start = case(5, 3, causal=True, dtype=dtype)
    output = attention(*start.operands, **start.keywords)
    assert output[0].tobytes() == (start.X @ start.W_V)[0].tobytes()


def test_scale_none_is_one_over_d() -> None:
    """And neither 1 nor 1/√d."""
    start = case(4, 4)
    outputs = [attention(*start.operands, scale=scale).tobytes() for scale in (None, 0.25, 1, 0.5)]
    assert outputs[0] == outputs[1]
    assert outputs[0] not in outputs[2:]


@given(cases(), st.sampled_from([1, 7, 30]))
@example(case(9, 2, causal=True), 1)
def test_blocks_change_only_rounding(case: Case, entries: int) -> None:
    whole, gradient = attention(*case.operands, **case.keywords), attention_gradient(*case[:4], **case.keywords)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(qkv, "BLOCK_ENTRIES", entries)
        cut, cut_gradient = attention(*case.operands, **case.keywords), attention_gradient(*case[:4], **case.keywords)
        assert_true(case)
    dtype = case.X.dtype
    assert_outputs_within(case, cut, whole, dtype, dtype)
    assert_gradients_within(case, cut_gradient, gradient, dtype, dtype)


# --------------------------------------------------------------------------------------------------- the fast versions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, -0.2])
def test_fast_is_within_its_bound_and_that_of_exact(scale: float | None, causal: bool, dtype: Any) -> None:
    start = case(40, 2, dtype=dtype, scale=scale, causal=causal, size=0.5)
    rounding = output_rounding(*start.operands, **start.keywords, dtype=dtype)
    output, exact = (
        fast_attention(*start.operands, rtol=1e-3, **start.keywords),
        attention(*start.operands, **start.keywords),
    )
    assert_within("output", output.value, exact, output.bound + rounding)
    gradient, off = (
        attention_gradient(*start[:4], **start.keywords),
        gradient_rounding(*start[:4], **start.keywords, dtype=dtype),
    )
    for method in METHODS:
        fast = fast_attention_gradient(*start[:4], rtol=1e-3, method=method, **start.keywords)
        for name in FIELDS:
            bound = getattr(fast.bound, name) + getattr(off, name)
            assert_within(name, getattr(fast.value, name), getattr(gradient, name), bound)


def layer(dtype: Any, n: int = 5, d: int = 2, seed: int = 0) -> tuple[Any, Any, Any, list[Any]]:
    """X, W and W_V, and dQ, dK, dV with bounds of their own, which need not be those of any attention."""
    rng = np.random.default_rng(seed)
    X, W, W_V = (rng.normal(size=shape).astype(dtype) for shape in ((n, d), (d, d), (d, d)))
    return X, W, W_V, [rng.normal(size=(n, d)).astype(dtype) for _ in range(3)]


def blocks_of(parts: list[Any], bounds: list[Any], step: int, joined: int = 0) -> Any:
    """What `_collect` reads of a head: its rows in blocks, those of the queries first."""

    def gradient() -> Iterator[Any]:
        rows = [slice(i, i + step) for i in range(0, len(parts[0]), step)]
        yield from (QuerySide(r, parts[0][r], bounds[0][r]) for r in rows)
        yield from (KeySide(r, parts[1][r], parts[2][r], bounds[1][r], bounds[2][r]) for r in rows)

    return SimpleNamespace(block=step, gradient=gradient, head=SimpleNamespace(n=len(parts[0]), parts=joined))


def by_hand(
    X: Any, W: Any, W_V: Any, parts: list[Any], bounds: list[Any], step: int, joined: int
) -> tuple[Gradient, Gradient]:
    """The gradients by the chain rule, and the bounds on their errors term by term, in float64.

    Through a product goes the error of its first factor; the product adds γ of the sizes. Sums over rows take γ of the
    rows at once, and of the blocks and the parts joined, in float64. Then the bounds' own rounding, and underflow.
    """
    (n, d), u, tiny = X.shape, unit(X.dtype), float(np.finfo(X.dtype).tiny)
    X, W, W_V, dQ, dK, dV = (a.astype(np.float64) for a in (X, W, W_V, *parts))
    bQ, bK, bV = (b.astype(np.float64) for b in bounds)
    at_once = min(step, BLOCK)
    lost = 2 * product_rounding(d + 4, parts[0].dtype)
    summed = lost + 2 * product_rounding(at_once + 4 + (n / at_once + joined) * 2.0**-53 / u, parts[0].dtype)
    dX = dQ @ W.T + dK + dV @ W_V.T
    of_X = np.zeros((n, d))
    of_W, of_W_V = np.zeros((d, d)), np.zeros((d, d))
    for i in range(n):
        for a in range(d):
            for c in range(d):
                of_X[i, a] += (bQ[i, c] + lost * abs(dQ[i, c])) * abs(W[a, c])
                of_X[i, a] += (bV[i, c] + lost * abs(dV[i, c])) * abs(W_V[a, c])
                of_W[a, c] += abs(X[i, a]) * (bQ[i, c] + summed * abs(dQ[i, c]))
                of_W_V[a, c] += abs(X[i, a]) * (bV[i, c] + summed * abs(dV[i, c]))
            of_X[i, a] += bK[i, a] + lost * (abs(dK[i, a]) + abs(dX[i, a]))
    spare = 1 + 2 * summed + 8 * u
    floor = tiny * n * d * (2 + np.abs(W).max() + np.abs(W_V).max()) * (1 + np.abs(X).max())
    return (
        Gradient(X=dX, W=X.T @ dQ, W_V=X.T @ dV),
        Gradient(X=of_X * spare + floor, W=of_W * spare + floor, W_V=of_W_V * spare + floor),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "step", "joined"), [(5, 2, 0), (5, 600, 3), (700, 600, 0)])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0])
def test_bounds_of_the_chain_rule_term_by_term(size: float, n: int, step: int, joined: int, dtype: Any) -> None:
    """Where dQ, dK and dV are exact all is rounding; where they are not, that hides in it."""
    X, W, W_V, parts = layer(dtype, n)
    for wrong in range(3):
        bounds = [np.full_like(part, size * (i == wrong)) for i, part in enumerate(parts)]
        value, bound = chain_rule._collect(blocks_of(parts, bounds, step, joined), X, W, W_V)
        true, expected = by_hand(X, W, W_V, parts, bounds, step, joined)
        for name in FIELDS:
            assert getattr(value, name).dtype == getattr(bound, name).dtype == dtype
            assert np.allclose(getattr(value, name), getattr(true, name), rtol=0, atol=n * 100 * unit(dtype))
            assert np.allclose(getattr(bound, name), getattr(expected, name), rtol=n * 8 * unit(dtype), atol=0), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_of_the_chain_rule_at_zero(dtype: Any) -> None:
    """Nothing is wrong and nothing rounds: underflow alone is left, by the signs of X from either end."""
    zero, one = np.zeros((3, 2), dtype), np.ones((3, 2), dtype)
    for sign in (-4, 4):
        X, W, W_V = sign * one, 2 * one[:2], 8 * one[:2]
        X[1:] = 0
        _, bound = chain_rule._collect(blocks_of([zero] * 3, [zero] * 3, 2), X, W, W_V)
        for name in FIELDS:
            assert (getattr(bound, name) == np.finfo(dtype).tiny * 3 * 2 * (2 + 2 + 8) * (1 + 4)).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_of_the_layers_products(dtype: Any) -> None:
    """X W and X W_V are off by γ of their sizes, taken twice, and by underflow; of X W_V one number for a column."""
    n, d = BLOCK + 3, 2
    X, W, W_V, _ = layer(dtype, n)
    X[-1] *= 100  # the largest row comes last, in a block of its own
    lost, tiny = 2 * product_rounding(d + 4, dtype), float(np.finfo(dtype).tiny)
    for factor in (1, 0):
        head = chain_rule._head(factor * X, W, W_V, None, 0.5, True)
        assert (head.n, head.m, head.d, head.e, head.scale, head.causal) == (n, n, d, d, 0.5, True)
        rows = slice(1, 3)
        sizes = [np.abs(factor * X.astype(float)) @ np.abs(each.astype(float)) for each in (W, W_V)]
        assert head.Q_error
        assert np.allclose(head.Q_error(rows), lost * sizes[0][rows] + tiny * d, rtol=8 * unit(dtype), atol=0)
        assert np.allclose(
            np.asarray(head.V_error), lost * sizes[1].max(axis=0) + tiny * d, rtol=8 * unit(dtype), atol=0
        )


# -------------------------------------------------------------------------------------------------------- bad input


def assert_refused(function: Any, what: str, *operands: Any, dtype: Any, **keywords: Any) -> None:
    arrays = [np.asarray(operand, dtype) for operand in operands]
    with pytest.raises(AltgradError) as error:
        function(*arrays, **{"scale": 1} | keywords)
    message = str(error.value)
    largest = np.finfo(dtype).max
    assert message.startswith(f"{function.__name__}: {what} overflows {np.dtype(dtype)} (at most {largest!s}), needs ")
    assert "smaller operands" in message
    assert message.endswith(", or float64") == (dtype == np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_overflow_is_named(sign: int, dtype: Any) -> None:
    """In the operands that the caller knows: X, W, W_V and G."""
    large = sign * 0.9 * np.finfo(dtype).max
    root = 4 * sign * np.sqrt(np.finfo(dtype).max)
    zero, one, two, G = [[0]], [[1]], [[2]], [[1]]
    for function, rest in ((attention, []), (attention_gradient, [G])):
        assert_refused(function, "X W", two, [[large]], one, *rest, dtype=dtype)
        assert_refused(function, "X W_V", two, one, [[large]], *rest, dtype=dtype)
        assert_refused(function, "scale X W Xᵀ (the scores)", [[root]], one, zero, *rest, dtype=dtype)
        assert_refused(function, "scale X W", two, one, one, *rest, dtype=dtype, scale=large)
    refused = functools.partial(assert_refused, attention_gradient, dtype=dtype)
    refused("G (X W_V)ᵀ - rowsum(G ⊙ output)", one, one, [[large]], two)
    refused("the gradient on X W", [[root / 64], [0]], zero, [[16]], [[256], [256]])
    refused("the gradient on (X W_V)", [[0], [0]], zero, zero, [[large], [large]], causal=True)
    refused("the gradient on X", zero, zero, [[root]], [[root]])
    refused("the gradient on W", [[root / 64], [0]], zero, [[16]], one * 2)
    refused("the gradient on W_V", [[root]], zero, zero, [[root]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_of_the_fast_versions_is_named(dtype: Any) -> None:
    """At operands, and at a gradient: without NumPy's warnings."""
    large = 0.9 * np.finfo(dtype).max
    zero, one, two, G = [[0]], [[1]], [[2]], [[1]]
    for function, rest in ((fast_attention, []), (fast_attention_gradient, [G])):
        refused = functools.partial(assert_refused, function, dtype=dtype, rtol=0.5)
        refused("scale X W", two, [[large]], one, *rest)
        refused("(X W_V) − middle", two, zero, [[large]], *rest)
    refused("the gradient on X", [[1], [1]], zero, [[2]], [[large], [large]])
    refused("the gradient on W_V", [[4], [4]], zero, [[1 / 8]], [[large / 2], [large / 2]])


# ------------------------------------------------------------------------------------------------------ the interface


def test_gradient_is_frozen_and_has_the_operands_fields() -> None:
    start = case(3, 2)
    gradient = attention_gradient(*start[:4])
    assert [field.name for field in dataclasses.fields(gradient)] == [*FIELDS, "W_Q", "W_K", "W_g"]
    assert gradient.W_Q is gradient.W_K is gradient.W_g is None
    assert [getattr(gradient, name).shape for name in FIELDS] == [(3, 2), (2, 2), (2, 2)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        gradient.X = start.X  # type: ignore[misc]
    assert gradient != attention_gradient(*start[:4])  # identity: comparing arrays has no one truth value


def test_keywords() -> None:
    exact: dict[str, Any] = {"scale": None, "causal": False}
    fast = exact | {"rtol": None, "polynomial": None}
    assert keywords(chain_rule) == {
        "attention": exact,
        "attention_gradient": exact,
        "fast_attention": fast,
        "fast_attention_gradient": fast | {"method": "paper"},
    }


def test_what_the_package_exports() -> None:
    assert set(reference.__all__) >= {"AltgradError", "Gradient", "attention", "attention_gradient", "qkv"}
    assert all(hasattr(reference, name) for name in reference.__all__)
