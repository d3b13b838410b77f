"""Exact attention of a sequence and its gradient against the ground truth."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import reference
from proofs_checks import ground_truth
from reference import AltgradError, Gradient, attention, attention_gradient, qkv
from reference.error_bounds import gradient_rounding, output_rounding

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


def test_what_the_package_exports() -> None:
    assert set(reference.__all__) >= {"AltgradError", "Gradient", "attention", "attention_gradient", "qkv"}
    assert all(hasattr(reference, name) for name in reference.__all__)
