"""`gpu.qkv` computes what `reference.qkv` does, and bounds it: on pretended devices, whose kernels are NumPy.

They show that blocks, masks, carried state and bounds are right. They say nothing about CUDA.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpu.qkv
from gpu import fast_qkv as on_gpu
from gpu.backend import backend
from gpu.fast_qkv import Heads
from reference import AltgradError, qkv
from reference.backend import use
from reference.certificate import BINS, Head, error_table
from reference.compiled import Compiled
from reference.error_bounds import attention_rounding, vjp_rounding
from reference.fast_qkv import METHODS, Fast, KeySide, Method, QuerySide, prepare
from reference.polynomial import ExpPolynomial, taylor
from tests.device_arrays import HERE, LIBRARY, DeviceArray, PretendedDevice
from tests.layers import worst_ratio
from tests.pretended import host, on_device, pretended_device, put
from tests.test_fast_qkv import POLYNOMIALS as SOME
from tests.test_fast_qkv import Case, cases, dense, distance
from tests.test_fast_qkv import exact as fractions

POLYNOMIALS = SOME | {"Taylor 0": taylor(0, 2.0), "Taylor 4": taylor(4, 2.0)}
polynomials = st.sampled_from(sorted(POLYNOMIALS)).map(POLYNOMIALS.__getitem__)
methods = st.sampled_from(METHODS)

attention, attention_vjp = on_device(gpu.qkv.attention), on_device(gpu.qkv.attention_vjp)
fast_attention, fast_attention_vjp = on_device(gpu.qkv.fast_attention), on_device(gpu.qkv.fast_attention_vjp)


def rows_of(array: Any) -> Any:
    return lambda rows: put(array)[rows]


def rounding_only(case: Case, polynomial: ExpPolynomial, method: Method) -> tuple[list[Any], list[Any]]:
    """s, dQ, dK, dV on the device, and the bounds that they would have if P were the exponential."""
    n, m, d, e = len(case.Q), len(case.K), case.Q.shape[1], case.V.shape[1]
    head = Head(n, m, d, e, case.Q.dtype, case.scale, case.causal, *map(rows_of, case.operands))
    shapes = (n, e), (n, d), (m, d), (m, e)
    values, bounds = ([np.empty(shape) for shape in shapes] for _ in range(2))
    block: Any
    found: list[Any]
    with (
        pretended_device(),
        use(backend("test")),
        np.errstate(all="ignore"),
        patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))),
    ):
        (fast,), _ = prepare([head], None, polynomial, method, qkv.Wording("test"))
        assert isinstance(fast, Heads)
        for rows, value, bound in fast.output():
            values[0][rows], bounds[0][rows] = host((value, bound))
        for block in fast.gradient():
            if isinstance(block, QuerySide):
                found = [(1, block.dQ, block.dQ_bound)]
            else:
                assert isinstance(block, KeySide)
                found = [(2, block.dK, block.dK_bound), (3, block.dV, block.dV_bound)]
            for i, value, bound in found:
                values[i][block.rows], bounds[i][block.rows] = host((value, bound))
        assert fast.largest_inverse > 0  # the keys know what underflow may have added
    return values, bounds


def off_the_formulas(case: Case, polynomial: ExpPolynomial, method: Method) -> float:
    """How far the values are from the dense formulas in fractions, in units of their rounding bounds."""
    values, bounds = rounding_only(case, polynomial, method)
    R = polynomial.derivative if method == "differentiate" else polynomial.coefficients
    f, s, p = dense(case, polynomial, R or (0 * polynomial.coefficients[0],))
    K = fractions(case.K)  # rows of p sum to 0 but for R = P′, whose keys are relative to the centre
    if method == "differentiate":
        K = K - fractions(centre_of(case, polynomial))
    true = s, p @ K, p.T @ fractions(case.Q), f.T @ fractions(case.dO)
    ratios = [worst_ratio(distance(value, one), bound) for value, bound, one in zip(values, bounds, true, strict=True)]
    return max(ratios)


def centre_of(case: Case, polynomial: ExpPolynomial) -> Any:
    (fast,), _ = prepare([case.head], None, polynomial, "paper", qkv.Wording("test"))
    return fast.ranges.centre


@given(cases, polynomials, methods)
def test_the_results_are_those_of_the_formulas(case: Case, polynomial: ExpPolynomial, method: Method) -> None:
    assert off_the_formulas(case, polynomial, method) <= 1


# --- the reference's results


def operands(n: int, m: int, d: int, e: int, batch: tuple[int, ...] = (), seed: int = 0, dtype: Any = float) -> Any:
    rng = np.random.default_rng(seed)
    shapes = (n, d), (m, d), (m, e), (n, e)
    Q, K, V, dO = (rng.normal(size=batch + shape) for shape in shapes)
    return [array.astype(dtype) for array in (Q / 2, K + 1, V - 3, dO)]


SHAPES = [(1, 1, 1, 1), (13, 13, 1, 1), (3, 3, 5, 2), (18, 18, 2, 3)]


def results(of: Any, of_vjp: Any, arrays: Any, method: Method, **how: Any) -> tuple[list[Any], list[Any]]:
    """Output and gradients, and their bounds."""
    output, gradient = of(*arrays[:3], **how), of_vjp(*arrays, **how, method=method)
    bounds = [] if output.bound is None else [output.bound, *gradient.bound]
    return [output.value, *gradient.value], bounds


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_heads_and_batches_agree_with_the_reference(
    shape: tuple[int, int, int, int], method: Method, causal: bool, dtype: Any
) -> None:
    """All heads at once are what the reference takes one by one: the difference is within both rounding bounds."""
    arrays = operands(*shape, batch=(2, 3), dtype=dtype)
    arrays[0][1, 2] *= 0.5  # heads of other ranges
    arrays[1][0, 1] *= 2**-20
    arrays[2][0, 0] = 5
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(4, 2.0), "causal": causal}
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        theirs, their_bounds = results(qkv.fast_attention, qkv.fast_attention_vjp, arrays, method, **how)
        with pretended_device(ROWS=24):
            ours, bounds = results(fast_attention, fast_attention_vjp, arrays, method, **how)
            without, none = results(fast_attention, fast_attention_vjp, arrays, method, **how, certify=False)
    assert none == []
    for values in (ours, without):
        for value, their, bound, their_bound in zip(values, theirs, bounds, their_bounds, strict=True):
            assert value.shape == their.shape
            assert value.dtype == bound.dtype == their.dtype
            assert worst_ratio(np.abs(value.astype(float) - their), bound.astype(float) + their_bound) <= 1


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_output_and_gradient_in_one_are_those_of_two_calls(method: Method, causal: bool) -> None:
    arrays = operands(11, 11, 3, 2, batch=(2,))
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(2, 2.0), "causal": causal}
    with pretended_device():
        both = on_device(gpu.qkv.fast_attention_and_vjp)(*arrays, method=method, **how)
        values, bounds = results(fast_attention, fast_attention_vjp, arrays, method, **how)
    assert [x.tobytes() for x in both.value] == [x.tobytes() for x in values]
    assert [x.tobytes() for x in both.bound[1:]] == [x.tobytes() for x in bounds[1:]]
    assert (both.bound.output >= bounds[0]).all()  # for sums of more monomials allow for more rounding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_against_exact_attention(seed: int, method: Method, causal: bool, dtype: Any) -> None:
    arrays = operands(21, 21, 3, 2, batch=(2,), seed=seed, dtype=dtype)
    how: dict[str, Any] = {"scale": 0.3, "rtol": 0.5, "causal": causal}
    with pretended_device():
        values, bounds = results(fast_attention, fast_attention_vjp, arrays, method, **how)
    for head in range(2):
        Q, K, V, dO = (array[head].astype(float) for array in arrays)
        exact = [qkv.attention(Q, K, V, scale=0.3, causal=causal)]
        exact += qkv.attention_vjp(Q, K, V, dO, scale=0.3, causal=causal)
        lost: dict[str, Any] = {"scale": 0.3, "causal": causal}
        rounding = [attention_rounding(Q, K, V, **lost), *vjp_rounding(Q, K, V, dO, **lost)]
        for value, bound, true, more in zip(values, bounds, exact, rounding, strict=True):
            assert worst_ratio(np.abs(value[head] - true), bound[head] + more) <= 1


def both_bounds(theirs: Callable[[], list[Any]], ours: Callable[[], list[Any]]) -> tuple[list[Any], list[Any], float]:
    """Bounds by compiled loops and on the device, in steps of 32 rows; by what factor rounding may have moved one."""
    made: list[Any] = []
    certificate = Fast._certificate

    def noted(self: Any, *args: Any) -> Any:
        made.append(self)
        return certificate(self, *args)

    sizes = {"fast_qkv.LONG": 1, "compiled.TILE": 32, "compiled.MASKED_TILE": 32}
    with ExitStack() as stack:
        stack.enter_context(patch.object(Fast, "_certificate", noted))
        for name, size in sizes.items():
            stack.enter_context(patch(f"reference.{name}", size))
        their_bounds = theirs()
        with pretended_device(STEP=32, SEGMENTS=(32, 32), ROWS=2**10):
            our_bounds = ours()
    assert {type(one) for one in made} == {Compiled, Heads}
    assert {one.step for one in made} == {32}
    return their_bounds, our_bounds, max(one.bounds.spare for one in made) ** 2


@pytest.mark.parametrize("table", [error_table, lambda *_: np.zeros((BINS, 4))], ids=["whole", "rounding"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS[1:])
def test_the_bounds_are_those_of_the_compiled_loops(method: Method, causal: bool, dtype: Any, table: Any) -> None:
    """They sum the same columns, and with steps of the same size bound the same rounding: they differ by their own."""
    arrays = operands(90, 90, 3, 2, batch=(2,), dtype=dtype)
    arrays[0][1] *= 0.25  # another range
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(4, 2.0), "causal": causal}
    with patch("reference.certificate.error_table", table):
        theirs, ours, most = both_bounds(
            lambda: results(qkv.fast_attention, qkv.fast_attention_vjp, arrays, method, **how)[1],
            lambda: results(fast_attention, fast_attention_vjp, arrays, method, **how)[1],
        )
    for bound, their in zip(ours, theirs, strict=True):
        assert (bound <= their * most).all()
        assert (their <= bound * most).all()


@pytest.mark.parametrize("causal", [False, True])
def test_exact_attention_is_the_references(causal: bool) -> None:
    """The same code on the same numbers, so the same bits."""
    arrays = operands(9, 9, 3, 2, batch=(2, 2))
    with pretended_device():
        output = attention(*arrays[:3], scale=0.7, causal=causal)
        gradient = attention_vjp(*arrays, scale=0.7, causal=causal)
    assert np.array_equal(output, qkv.attention(*arrays[:3], scale=0.7, causal=causal))
    assert all(map(np.array_equal, gradient, qkv.attention_vjp(*arrays, scale=0.7, causal=causal)))


def flushing(plain: Any) -> Any:
    """What makes arrays without subnormal numbers of float32: CuPy compiles with -ftz=true."""

    def made(self: DeviceArray, hidden: Any, *device: str) -> None:
        plain(self, hidden, *device)
        if self.dtype == np.float32:
            subnormal = np.abs(self.hidden) < np.finfo(np.float32).tiny
            if self.hidden[subnormal].any():
                self.hidden = np.where(subnormal, np.float32(0), self.hidden)

    return made


@pytest.mark.parametrize("powers", [(-121, 119), (119, -121)], ids=["queries", "keys"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_bound_knows_that_a_device_flushes_subnormal_numbers(
    method: Method, causal: bool, powers: tuple[int, int]
) -> None:
    """Some entries of a column are lost whole, and the other side's are so large that the scores miss them."""
    Q, K, V, dO = (array[0] for array in operands(12, 12, 2, 2, batch=(1,)))
    columns = np.array([1, 2.0**-7]), np.array([1, 2.0**5])
    if powers[0] > 0:
        columns = columns[::-1]
    pair = (np.ldexp(x * column, power) for x, column, power in zip((Q, K - 1), columns, powers, strict=True))
    arrays = [array.astype(np.float32) for array in (*pair, V, dO)]
    how: dict[str, Any] = {"scale": 0.25, "causal": causal}
    with patch.object(DeviceArray, "__init__", flushing(DeviceArray.__init__)), pretended_device():
        fast = on_device(gpu.qkv.fast_attention_and_vjp)(*arrays, polynomial=taylor(4, 2.0), method=method, **how)
    wide = [array.astype(float) for array in arrays]
    exact = [qkv.attention(*wide[:3], **how), *qkv.attention_vjp(*wide, **how)]
    rounding = [attention_rounding(*wide[:3], **how), *vjp_rounding(*wide, **how)]
    for value, bound, true, more in zip(fast.value, fast.bound, exact, rounding, strict=True):
        assert worst_ratio(np.abs(value.astype(float) - true), bound.astype(float) + more) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zero", [slice(1, 2), slice(None)], ids=["a column", "all"])
def test_queries_of_zeros_spoil_no_bound(zero: slice, dtype: Any) -> None:
    """What underflow may take from a column of zeros is much beside its largest entry, and nothing beside others."""
    arrays = operands(9, 9, 3, 2, dtype=dtype)
    arrays[0][:, zero] *= 2.0**-10
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(4, 2.0), "method": "differentiate"}
    with pretended_device():
        small = fast_attention_vjp(*arrays, **how).bound
        arrays[0][:, zero] = 0
        none = fast_attention_vjp(*arrays, **how).bound
    assert (none.K <= small.K).all()
    assert all(np.isfinite(bound).all() for bound in none)


def test_queries_and_keys_may_differ_in_number() -> None:
    arrays = operands(5, 17, 2, 3, batch=(2,))
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(2, 2.0)}
    theirs, their_bounds = results(qkv.fast_attention, qkv.fast_attention_vjp, arrays, "antiderivative", **how)
    with pretended_device():
        ours, bounds = results(fast_attention, fast_attention_vjp, arrays, "antiderivative", **how)
    for value, their, *both in zip(ours, theirs, bounds, their_bounds, strict=True):
        assert worst_ratio(np.abs(value - their), sum(both)) <= 1


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_chunks_and_segments_changes_nothing(method: Method, causal: bool) -> None:
    arrays = operands(25, 25, 2, 2, batch=(2,))
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(4, 2.0), "causal": causal}
    sizes: list[dict[str, Any]] = [
        {"SEGMENTS": (1, 1), "STEP": 1, "ROWS": 2},  # a row is a segment and a chunk
        {"SEGMENTS": (4, 4), "STEP": 2, "ROWS": 16},  # of several steps each
        {"SEGMENTS": (2, 2), "STEP": 8, "ROWS": 32},  # several in a step
        {"SEGMENTS": (64, 64), "STEP": 64, "ROWS": 10**6},  # one for all
    ]
    found = []
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        for size in sizes:
            with pretended_device(**size):
                found.append(results(fast_attention, fast_attention_vjp, arrays, method, **how))
    for values, bounds in found[1:]:
        for value, first, *both in zip(values, found[0][0], bounds, found[0][1], strict=True):
            assert worst_ratio(np.abs(value - first), sum(both)) <= 1


def launches(batch: tuple[int, ...], **sizes: Any) -> list[str]:
    """The kernels that a gradient launches."""
    names = ["absorb", "read", "pull", "near_read", "near_pull"]
    counted: list[str] = []

    def noted(name: str) -> Any:
        kernel = getattr(PretendedDevice, name)

        def launch(*args: Any, **options: Any) -> Any:
            counted.append(name)
            return kernel(*args, **options)

        return launch

    arrays = operands(16, 16, 2, 2, batch=batch)
    with patch.multiple(PretendedDevice, **{name: noted(name) for name in names}), pretended_device(**sizes):
        fast_attention_vjp(*arrays, scale=0.2, polynomial=taylor(2, 2.0), causal=True, method="antiderivative")
    return counted


def test_one_launch_takes_all_heads() -> None:
    assert launches((), ROWS=16) == launches((3, 2), ROWS=96) == launches((6,), ROWS=96)
    assert len(launches((), ROWS=4)) > len(launches((), ROWS=16))


def test_a_chunk_holds_no_more_sums_than_it_may() -> None:
    """Under the mask each segment has sums of its own: where they are many, a chunk has fewer rows."""
    few, many = 10, 10**6  # numbers
    assert launches((), ROWS=16) == launches_with(many) != launches_with(few) == launches((), ROWS=2)


def launches_with(kept: int) -> list[str]:
    with patch.object(on_gpu, "KEPT", kept):
        return launches((), ROWS=16)


# --- faults that must show

BEFORE = on_gpu._exclusive


def no_carry(sums: Any, carried: Any, reverse: bool) -> Any:
    return BEFORE(sums, 0 * carried, reverse)


def from_the_front(sums: Any, carried: Any, reverse: bool) -> Any:
    return BEFORE(sums, carried, reverse=False)


def inclusive(sums: Any, carried: Any, reverse: bool) -> Any:
    before, after = BEFORE(sums, carried, reverse)
    return before + sums, after


def ordered_near(name: str) -> Any:
    """A kernel that does not know from which end the mask is read."""
    kernel = getattr(PretendedDevice, name)
    return lambda *args, reverse, **options: kernel(*args, reverse=False, **options)


FAULTS = {
    "nothing is carried": patch.object(on_gpu, "_exclusive", no_carry),
    "the key side is summed from the front": patch.object(on_gpu, "_exclusive", from_the_front),
    "a segment is read with what is before it": patch.object(on_gpu, "_exclusive", inclusive),
    "pairs of keys are read from the front": patch.object(PretendedDevice, "near_read", ordered_near("near_read")),
    "pairs of keys are pulled from the front": patch.object(PretendedDevice, "near_pull", ordered_near("near_pull")),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_shows(fault: str) -> None:
    case, polynomial = Case(9, 9, 2, 2, seed=1, causal=True), POLYNOMIALS["Taylor 2"]
    assert off_the_formulas(case, polynomial, "antiderivative") <= 1
    with FAULTS[fault]:
        assert off_the_formulas(case, polynomial, "antiderivative") > 100


def test_an_array_of_the_host_among_those_of_the_device_shows() -> None:
    array = DeviceArray(np.ones(2))
    for mixed in (
        lambda: array + np.ones(2),
        lambda: np.ones(2) * array,
        lambda: np.concatenate([array, np.ones(2)]),
        lambda: array[np.array([0])],
        lambda: np.asarray(array),
        lambda: np.linalg.norm(np.array(array)),
    ):
        with pytest.raises(TypeError):
            mixed()


# --- memory


def peak(n: int, causal: bool, method: Method) -> int:
    """Bytes beyond inputs and outputs."""
    arrays = list(map(put, operands(n, n, 2, 2, dtype=np.float32)))
    how: dict[str, Any] = {"scale": 0.1, "polynomial": taylor(2, 2.0), "causal": causal, "method": method}
    gc.collect()
    tracemalloc.start()
    with pretended_device(SEGMENTS=(512, 512), STEP=512, ROWS=2**12):
        fast = gpu.qkv.fast_attention_vjp(*arrays, **how)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return int(most - sum(host(array).nbytes for array in (*fast.value, *fast.bound)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("causal", "per_row"), [(False, 2), (True, 2 + 4 * 4)])
def test_memory_does_not_grow_with_n(causal: bool, per_row: int, method: Method) -> None:
    """But for a byte for each entry that is looked at for NaN, and four numbers a row under the mask."""
    n, more = 2**14, 2**16  # the rest, which does not grow with n, is small beside the slope
    peak(n, causal, method)  # what is made once and kept
    # 4 more, for what Python keeps of small objects that were freed: half of what one array (n, d) would take
    assert peak(more, causal, method) - peak(n, causal, method) <= (more - n) * (per_row + 4)


# --- what is refused


def refusal(function: Any, *arrays: Any, **how: Any) -> str:
    with pretended_device(), pytest.raises(AltgradError) as error:
        function(*arrays, **how)
    return str(error.value)


FUNCTIONS = [gpu.qkv.attention, gpu.qkv.attention_vjp, gpu.qkv.fast_attention, gpu.qkv.fast_attention_vjp]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_operands_are_refused_in_the_words_of_the_reference(function: Any) -> None:
    name = function.__name__
    number = 4 if name.endswith("vjp") else 3
    how = {"scale": 1.0} | ({"rtol": 0.1} if name.startswith("fast") else {})
    good = list(map(DeviceArray, operands(4, 4, 2, 2)))[:number]
    cases: list[tuple[Any, str]] = [
        (np.ones((4, 2)), "K has type ndarray, needs a plain cupy.ndarray"),
        ([[1.0]], "K has type list, needs a plain cupy.ndarray"),
        (
            DeviceArray(np.ones((4, 2)), "<CUDA Device 1>"),
            f"K is on <CUDA Device 1>, needs {HERE}, the current device",
        ),
        (DeviceArray(np.ones((4, 2), np.float32)), "K has dtype float32, needs float64, the dtype of Q"),
        (DeviceArray(np.ones((4, 2), int)), "K has dtype int64, needs float32 or float64 in native byte order"),
        (DeviceArray(np.ones((4, 3))), "K has shape (4, 3), needs (..., m, d) with d = 2 from Q"),
        (DeviceArray(np.ones((0, 2))), "K has shape (0, 2), needs (..., m, d) with no dimension of size 0"),
        (DeviceArray(np.diag([1, np.nan])), "K has nan at index (1, 1), needs finite entries"),
    ]
    for bad, message in cases:
        assert refusal(function, good[0], bad, *good[2:], **how) == f"{name}: {message}"


def test_the_reference_takes_no_array_of_a_device() -> None:
    Q = DeviceArray(np.ones((2, 2)))
    with pytest.raises(AltgradError, match=r"Q has type DeviceArray, needs a plain numpy\.ndarray"):
        qkv.attention(Q, Q, Q, scale=1.0)  # type: ignore[arg-type]


@settings(max_examples=20)
@given(method=methods, causal=st.booleans())
def test_scores_and_ranks_that_are_too_large_are_refused_as_the_reference_does(method: Method, causal: bool) -> None:
    arrays = operands(3, 3, 2, 2)
    how: dict[str, Any]
    for how in ({"rtol": 1e-30}, {"rtol": -1}, {}, {"polynomial": taylor(1, 9.0)}, {"polynomial": 3}):
        with pytest.raises(AltgradError) as theirs:
            qkv.fast_attention_vjp(*arrays, scale=5.0, causal=causal, method=method, **how)
        ours = refusal(fast_attention_vjp, *arrays, scale=5.0, causal=causal, method=method, **how)
        assert ours == str(theirs.value)
    for how in ({"scale": 1e200}, {"scale": 1.0, "method": "no"}):
        arrays[0] = np.full((3, 2), 1e200)
        with pytest.raises(AltgradError) as theirs:
            qkv.fast_attention_vjp(*arrays, causal=causal, rtol=0.1, **how)
        assert refusal(fast_attention_vjp, *arrays, causal=causal, rtol=0.1, **how) == str(theirs.value)


def test_sums_of_all_heads_that_do_not_fit_are_refused() -> None:
    arrays = operands(3, 3, 2, 2, batch=(4,))
    with patch.object(on_gpu, "LARGEST_STATE", 40):
        message = refusal(fast_attention, *arrays[:3], scale=0.1, polynomial=taylor(2, 1.0))
    assert message.startswith(
        "fast_attention: the polynomial of degree 2 in d = 2 variables has rank 6 and would carry"
    )
    assert "4 heads, needs at most 320" in message
    assert message.endswith("or fewer heads at once")


def test_a_library_that_multiplies_in_fewer_digits_than_tf32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = operands(2, 2, 1, 1)
    for kind in (0, 3, 5, 6):
        monkeypatch.setattr(LIBRARY._core, "get_compute_type", lambda dtype, kind=kind: kind)
        message = refusal(attention, *arrays[:3], scale=1.0)
        assert message == f"attention: CuPy has compute type {kind} for float32, needs one of [1, 2, 4, 7]"


def test_the_same_operands_give_the_same_bits() -> None:
    arrays = operands(30, 30, 2, 2, batch=(2,))
    with pretended_device():
        one, other = (
            results(fast_attention, fast_attention_vjp, arrays, "paper", scale=0.1, rtol=0.1, causal=True)
            for _ in range(2)
        )
    for these, those in zip(one, other, strict=True):
        assert all(map(np.array_equal, these, those))
