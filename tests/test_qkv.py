"""Exact attention and its gradients in Q, K, V against a dense formula and automatic differentiation in float64."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reference import AltgradError, qkv
from reference.error_bounds import attention_rounding, vjp_rounding
from reference.fast_qkv import METHODS
from reference.polynomial import taylor
from reference.qkv import OutputAndGradient, QKVGradient, Wording, attention, attention_vjp
from tests.signatures import NEEDED, keywords

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference.shapes import FloatArray

DTYPES = [np.float32, np.float64]


class Case(NamedTuple):
    """Operands and keywords of one call."""

    Q: FloatArray
    K: FloatArray
    V: FloatArray
    cotangent: FloatArray
    keywords: dict[str, Any]

    @property
    def operands(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.Q, self.K, self.V


def case(
    shape: tuple[int, int, int, int],
    *,
    seed: int = 0,
    dtype: Any = np.float64,
    scale: float = 0.5,
    causal: bool = False,
    size: float = 1.0,
    lead: tuple[int, ...] = (),
) -> Case:
    """Normal operands of the shape (n, m, d, e); causal takes m = n."""
    n, m, d, e = shape
    m = n if causal else m
    rng = np.random.default_rng(seed)
    Q, K, V, dO = (
        (size * rng.standard_normal((*lead, *rows_columns))).astype(dtype)
        for rows_columns in ((n, d), (m, d), (m, e), (n, e))
    )
    return Case(Q, K, V, dO, {"scale": scale, "causal": causal})


NO_BATCH: st.SearchStrategy[tuple[int, ...]] = st.just(())


@st.composite
def cases(draw: st.DrawFn, lead: st.SearchStrategy[tuple[int, ...]] = NO_BATCH) -> Case:
    return case(
        draw(st.tuples(*[st.integers(1, 9)] * 4)),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(DTYPES)),
        scale=draw(st.sampled_from([-1.0, 0.0, 0.3, 1.0, 4.0])),
        causal=draw(st.booleans()),
        size=draw(st.sampled_from([0.0, 0.01, 1.0, 3.0])),
        lead=draw(lead),
    )


def dense(Q: Any, K: Any, V: Any, *, scale: float, causal: bool = False) -> Any:
    """The truth in float64: the whole matrix, the textbook formula."""
    scores = scale * anp.dot(Q, K.T)
    if causal:
        scores = anp.where(np.arange(len(Q))[:, None] >= np.arange(len(K)), scores, -np.inf)
    f = anp.exp(scores - anp.max(scores, axis=1, keepdims=True))
    return anp.dot(f / anp.sum(f, axis=1, keepdims=True), V)


def wide(array: FloatArray) -> FloatArray:
    """The same numbers in float64."""
    return array.astype(np.float64)


def true_attention(case: Case) -> FloatArray:
    return np.asarray(dense(*map(wide, case.operands), **case.keywords))


def true_vjp(case: Case) -> QKVGradient:
    def loss(Q: Any, K: Any, V: Any) -> Any:
        return anp.sum(wide(case.cotangent) * dense(Q, K, V, **case.keywords))

    return QKVGradient(*autograd.grad(loss, argnum=(0, 1, 2))(*map(wide, case.operands)))


def tolerance(case: Case, *dtypes: Any) -> QKVGradient:
    """How far two gradients computed in these dtypes can be apart."""
    bounds = [vjp_rounding(*case.operands, case.cotangent, **case.keywords, dtype=dtype) for dtype in dtypes]
    return QKVGradient(*(np.asarray(sum(parts)) for parts in zip(*bounds, strict=True)))


def output_tolerance(case: Case, *dtypes: Any) -> FloatArray:
    return np.asarray(sum(attention_rounding(*case.operands, **case.keywords, dtype=dtype) for dtype in dtypes))


def assert_within(name: str, computed: FloatArray, other: FloatArray, bound: FloatArray) -> None:
    assert computed.shape == other.shape == bound.shape, name
    assert np.isfinite(bound).all(), f"{name}: the bound says nothing"
    excess = np.abs(wide(computed) - other) - bound
    assert (excess <= 0).all(), f"{name}: shape {computed.shape}, off by {excess.max()} more than its rounding"


def assert_gradients_within(computed: QKVGradient, other: QKVGradient, bound: QKVGradient) -> None:
    for name in QKVGradient._fields:
        assert_within(name, getattr(computed, name), getattr(other, name), getattr(bound, name))


def assert_true(case: Case) -> None:
    """Output and gradients are those of the truth, to rounding, in the operands' dtype and shapes."""
    output, gradient = attention(*case.operands, **case.keywords), attention_vjp(*case[:4], **case.keywords)
    dtype = case.Q.dtype
    assert {output.dtype, *(array.dtype for array in gradient)} == {dtype}
    assert_within("output", output, true_attention(case), output_tolerance(case, dtype, np.float64))
    assert_gradients_within(gradient, true_vjp(case), tolerance(case, dtype, np.float64))


def bits(*arrays: FloatArray) -> list[bytes]:
    return [array.tobytes() for array in arrays]


def set_block(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr(qkv, "BLOCK_ENTRIES", entries)


# ------------------------------------------------------------------------------------------------- against the truth


@given(cases())
def test_truth(case: Case) -> None:
    assert_true(case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (1, 6, 3, 2), (6, 1, 3, 2), (5, 7, 1, 3), (5, 7, 3, 1), (2, 3, 20, 11), (60, 50, 4, 3)],
    ids=str,
)
def test_truth_at_edges(shape: tuple[int, int, int, int], causal: bool, dtype: Any) -> None:
    assert_true(case(shape, causal=causal, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("operand", ["Q", "K", "V", "cotangent"])
def test_truth_with_zero_or_repeated_rows(operand: str, causal: bool, dtype: Any) -> None:
    start = case((6, 5, 3, 2), causal=causal, dtype=dtype)
    array = getattr(start, operand)
    for other in (np.zeros_like(array), np.repeat(array[:1], len(array), axis=0)):
        changed: dict[str, Any] = {operand: other}
        assert_true(start._replace(**changed))


def test_equal_values_have_no_gradient_on_scores() -> None:
    """One key, or equal values: the output does not depend on the weights."""
    start = case((6, 1, 3, 2))
    gradient = attention_vjp(*start[:4], **start.keywords)
    assert_gradients_within(
        gradient,
        QKVGradient(np.zeros_like(start.Q), np.zeros_like(start.K), start.cotangent.sum(axis=0, keepdims=True)),
        tolerance(start, np.float64, np.float64),
    )


@given(cases(), st.sampled_from([1, 7, 30]))
@example(case((9, 9, 2, 2), causal=True), 1)
def test_blocks_change_only_rounding(case: Case, entries: int) -> None:
    whole, gradient = attention(*case.operands, **case.keywords), attention_vjp(*case[:4], **case.keywords)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_block(monkeypatch, entries)
        cut, cut_gradient = attention(*case.operands, **case.keywords), attention_vjp(*case[:4], **case.keywords)
        assert_true(case)
    dtype = case.Q.dtype
    assert_within("output", cut, whole, output_tolerance(case, dtype, dtype))
    assert_gradients_within(cut_gradient, gradient, tolerance(case, dtype, dtype))


@pytest.mark.parametrize(("n", "m", "entries", "rows"), [(10, 4, 12, 3), (10, 4, 3, 1), (2, 4, 100, 2), (8, 4, 16, 4)])
def test_blocks_cover_the_rows_once(monkeypatch: pytest.MonkeyPatch, n: int, m: int, entries: int, rows: int) -> None:
    set_block(monkeypatch, entries)
    blocks = list(qkv._blocks(n, m, causal=False))
    assert [i for block, _ in blocks for i in range(n)[block]] == list(range(n))
    assert max(len(range(n)[block]) for block, _ in blocks) == rows
    assert all(keys == slice(m) for _, keys in blocks)


def test_causal_blocks_touch_no_later_key(monkeypatch: pytest.MonkeyPatch) -> None:
    set_block(monkeypatch, 30)
    assert all(keys.stop == rows.stop for rows, keys in qkv._blocks(10, 10, causal=True))


# -------------------------------------------------------------------------------------------- what must hold exactly


@given(cases(lead=st.sampled_from([(1,), (3,), (2, 3)])))
def test_batch_is_a_loop(case: Case) -> None:
    """Also for the layout (batch, sequence, head, feature) that models have."""
    output, gradient = attention(*case.operands, **case.keywords), attention_vjp(*case[:4], **case.keywords)
    lead = case.Q.shape[:-2]
    assert output.shape[:-2] == gradient.Q.shape[:-2] == lead
    for head in np.ndindex(lead):
        Q, K, V, dO = (array[head] for array in case[:4])
        assert bits(output[head]) == bits(attention(Q, K, V, **case.keywords))
        one = attention_vjp(Q, K, V, dO, **case.keywords)
        assert bits(*(array[head] for array in gradient)) == bits(*one)
    moved = [np.ascontiguousarray(array.swapaxes(0, -2)).swapaxes(0, -2) for array in case[:4]]
    assert bits(*attention_vjp(*moved, **case.keywords)) == bits(*gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", [1e4, 1e30])
def test_far_apart_scores_look_up(score: float, dtype: Any) -> None:
    """Scores of ±score: every weight is exactly 0 or 1, and row i takes key order[i]."""
    order = np.array([2, 0, 1, 2])
    K = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype)
    Q = (score * np.eye(3, dtype=dtype))[order]
    V, dO = case((4, 3, 3, 5), dtype=dtype)[2:4]
    assert bits(attention(Q, K, V, scale=1)) == bits(V[order])
    gradient = attention_vjp(Q, K, V, dO, scale=1)
    assert bits(gradient.V[:2]) == bits(dO[[1, 2]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_truth_with_large_scores(causal: bool, dtype: Any) -> None:
    """Scores up to ±1e4, among them equal ones and ones that differ by less than 1."""
    start = case((6, 6, 2, 3), dtype=dtype, causal=causal)
    Q = np.array([[1e4, 0], [-1e4, 0], [1e4, 1], [0, 0], [-1e4, 1], [1, 1e4]], dtype)
    K = np.array([[1, 0], [1, 0.5], [-1, 0.25], [0, 0], [1, -1], [-0.5, 1]], dtype)
    assert_true(start._replace(Q=Q, K=K, keywords=start.keywords | {"scale": 1.0}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", [-1e4, 1e4, 1e30])
def test_equal_large_scores_average(score: float, dtype: Any) -> None:
    """Four equal weights are exactly 1/4; sums of small whole numbers are exact."""
    Q, K, V = np.full((2, 1), score, dtype), np.ones((4, 1), dtype), np.arange(8, dtype=dtype).reshape(4, 2)
    assert bits(attention(Q, K, V, scale=1)) == bits(np.array([[3, 4], [3, 4]], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_causal_row_sees_itself(dtype: Any) -> None:
    start = case((5, 5, 3, 2), causal=True, dtype=dtype)
    assert bits(attention(*start.operands, **start.keywords)[0]) == bits(start.V[0])
    gradient = attention_vjp(*start[:4], **start.keywords)
    assert_within("Q[0]", gradient.Q[0], np.zeros(3), tolerance(start, dtype).Q[0])


@given(cases(), st.integers(0, 8))
def test_causal_rows_ignore_what_follows(case: Case, last: int) -> None:
    """Row i is that of the sequence cut after i, and a cotangent on it moves nothing after i."""
    keywords = case.keywords | {"causal": True}
    last %= len(case.Q)
    n = len(case.Q)
    K, V = (np.resize(array, (n, array.shape[1])) for array in (case.K, case.V))
    start = case._replace(K=K, V=V, keywords=keywords)
    Q, K, V, dO = (array[: last + 1] for array in start[:4])
    cut = Case(Q, K, V, dO, keywords)
    dtype = case.Q.dtype
    short, long = (attention(*each.operands, **keywords)[: last + 1] for each in (cut, start))
    assert_within("output", long, short, output_tolerance(cut, dtype) + output_tolerance(start, dtype)[: last + 1])
    gradient = attention_vjp(*start.operands, np.where(np.arange(n)[:, None] <= last, start.cotangent, 0), **keywords)
    assert not any(array[last + 1 :].any() for array in gradient)


@given(cases())
def test_equal_keys_have_no_gradient_on_queries(case: Case) -> None:
    """All scores of a row move together, which softmax ignores."""
    start = case._replace(K=np.repeat(case.K[:1], len(case.K), axis=0))
    gradient = attention_vjp(*start[:4], **start.keywords)
    bound = tolerance(start, start.Q.dtype).Q
    assert_within("Q", gradient.Q, np.zeros_like(gradient.Q), bound)


# --------------------------------------------------------------------------------------------------- the fast versions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_fast_is_within_its_bound_and_that_of_exact(causal: bool, dtype: Any) -> None:
    """Heads in a batch, more keys than queries without a mask. Without a certificate the values are the same."""
    start = case((6, 8, 2, 3), dtype=dtype, causal=causal, scale=0.3, lead=(2,))
    output, gradient = attention(*start.operands, **start.keywords), attention_vjp(*start[:4], **start.keywords)
    heads = [Case(start.Q[i], start.K[i], start.V[i], start.cotangent[i], start.keywords) for i in range(2)]
    rounding = [np.stack([output_tolerance(head, dtype) for head in heads])]
    rounding += [np.stack(parts) for parts in zip(*(tolerance(head, dtype) for head in heads), strict=True)]
    for method in METHODS:
        how: dict[str, Any] = {"rtol": 1e-3, **start.keywords}
        both = qkv.fast_attention_and_vjp(*start[:4], method=method, **how)
        assert isinstance(both.value, OutputAndGradient)
        for name, value, bound, exact, off in zip(
            OutputAndGradient._fields, both.value, both.bound, (output, *gradient), rounding, strict=True
        ):
            assert value.dtype == dtype
            assert_within(name, value, exact, bound + off)
        alone, apart = (
            qkv.fast_attention(*start.operands, **how),
            qkv.fast_attention_vjp(*start[:4], method=method, **how),
        )
        assert isinstance(apart.value, QKVGradient)
        assert bits(*both.value[1:], *both.bound[1:]) == bits(*apart.value, *apart.bound)
        assert_within("output", alone.value, output, alone.bound + rounding[0])
        for function, certified in (
            (qkv.fast_attention, alone),
            (qkv.fast_attention_vjp, apart),
            (qkv.fast_attention_and_vjp, both),
        ):
            options = how if function is qkv.fast_attention else how | {"method": method}
            operands = start.operands if function is qkv.fast_attention else start[:4]
            bare = function(*operands, certify=False, **options)
            assert bare.bound is None
            assert bits(*bare.value) == bits(*certified.value)


def test_defaults_of_the_fast_versions() -> None:
    """Of what other modules call, for checked operands: certified, and without the output."""
    start = case((4, 5, 2, 3), scale=0.3)
    Q, K, V, dO = start[:4]
    words, how = Wording("test"), taylor(4, 1.0)
    fast = qkv.fast_forward(Q, K, V, 0.3, False, None, how, words)
    assert bits(fast.bound) == bits(qkv.fast_attention(Q, K, V, scale=0.3, polynomial=how).bound)
    both = qkv.fast_backward(Q, K, V, dO, 0.3, False, None, how, "paper", words)
    expected = qkv.fast_attention_vjp(Q, K, V, dO, scale=0.3, polynomial=how)
    assert bits(*both.value, *both.bound) == bits(*expected.value, *expected.bound)


def test_keywords() -> None:
    exact: dict[str, Any] = {"scale": NEEDED, "causal": False}
    fast = exact | {"rtol": None, "polynomial": None, "certify": True}
    vjp = fast | {"method": "paper"}
    assert keywords(qkv) == {
        "attention": exact,
        "attention_vjp": exact,
        "fast_attention": fast,
        "fast_attention_vjp": vjp,
        "fast_attention_and_vjp": vjp,
    }


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("certify", [1, 0, None, "yes"])
@pytest.mark.parametrize("function", ["fast_attention", "fast_attention_vjp", "fast_attention_and_vjp"])
def test_certify_is_yes_or_no(function: str, certify: Any) -> None:
    start = case((3, 4, 2, 2))
    operands = start.operands if function == "fast_attention" else start[:4]
    with pytest.raises(AltgradError) as error:
        getattr(qkv, function)(*operands, scale=1, rtol=0.1, certify=certify)
    assert str(error.value) == f"{function}: certify is {certify!r}, needs True or False"


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_of_the_fast_versions_is_named(dtype: Any) -> None:
    """Equal weights of 1/2 on two keys: they take half of each of four cotangents."""
    large = np.array([[0.9 * np.finfo(dtype).max]] * 4, dtype)
    zero, one = np.zeros((4, 1), dtype), np.ones((2, 1), dtype)
    tail = "" if dtype == np.float64 else ", or float64"
    for function in (qkv.fast_attention_vjp, qkv.fast_attention_and_vjp):
        with pytest.raises(AltgradError) as error:
            function(zero, zero[:2], one, large, scale=1, rtol=0.1)
        words = f"{function.__name__}: the gradient on V, or a sum on the way to it, overflows {np.dtype(dtype)}"
        assert str(error.value).startswith(words)
        assert str(error.value).endswith("needs smaller operands or scale" + tail)


@pytest.mark.parametrize("function", ["attention", "attention_vjp"])
def test_causal_needs_as_many_keys_as_queries(function: str) -> None:
    start = case((3, 4, 2, 2))
    operands = start.operands if function == "attention" else start[:4]
    with pytest.raises(AltgradError) as error:
        getattr(qkv, function)(*operands, scale=1, causal=True)
    assert str(error.value) == f"{function}: K has m = 4 keys, causal needs m = n with n = 3 from Q"


def assert_refused(function: str, what: str, *operands: Any, dtype: Any, **keywords: Any) -> None:
    arrays = [np.asarray(operand, dtype) for operand in operands]
    with pytest.raises(AltgradError) as error:
        getattr(qkv, function)(*arrays, **{"scale": 1} | keywords)
    message = str(error.value)
    assert message.startswith(
        f"{function}: {what} overflows {np.dtype(dtype)} (at most {np.finfo(dtype).max!s}), needs "
    )
    assert "smaller operands" in message
    assert message.endswith(", or float64") == (dtype == np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("entries", [1, 2**22])
def test_overflow_is_named(monkeypatch: pytest.MonkeyPatch, entries: int, sign: int, dtype: Any) -> None:
    """Finite operands, finite scale; what overflows is one product."""
    set_block(monkeypatch, entries)
    large = sign * 0.9 * np.finfo(dtype).max
    root = sign * 4 * np.sqrt(np.finfo(dtype).max)  # times root / 2: eight times the largest number
    zero, one, two = [[0]], [[1]], [[2]]
    scores, cotangent = "scale Q Kᵀ (the scores)", "dO Vᵀ - rowsum(dO ⊙ output)"
    assert_refused("attention", scores, [[large]], two, one, dtype=dtype)
    assert_refused("attention", scores, one, two, one, dtype=dtype, scale=large)
    assert_refused("attention_vjp", scores, [[large]], two, one, one, dtype=dtype)
    assert_refused("attention_vjp", cotangent, one, one, [[large]], two, dtype=dtype)
    assert_refused("attention_vjp", cotangent, one, [[5], [0]], [[large], [-large]], one, dtype=dtype)
    assert_refused("attention_vjp", "the gradient on Q", zero, [[root], [-root]], [[root], [-root]], one, dtype=dtype)
    assert_refused("attention_vjp", "the gradient on K", [[root]], [[0], [0]], [[root], [-root]], one, dtype=dtype)
    assert_refused("attention_vjp", "the gradient on V", [[0], [0]], zero, zero, [[large], [large]], dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_of_the_largest_number(dtype: Any) -> None:
    """Weights that round up can carry the output over the edge: then it is refused, never infinite."""
    largest = np.finfo(dtype).max
    zero, messages = np.zeros((1, 1), dtype), set()
    for m in range(1, 300):
        try:
            output = attention(zero, np.zeros((m, 1), dtype), np.full((m, 1), largest), scale=1)
        except AltgradError as error:
            messages.add(str(error).partition(" (at most")[0])
        else:
            assert np.isfinite(output).all()
    assert messages <= {f"attention: the output softmax(scale Q Kᵀ) V overflows {np.dtype(dtype)}"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entries", [1, 2, 2**22])
def test_overflow_behind_the_mask_is_no_overflow(monkeypatch: pytest.MonkeyPatch, entries: int, dtype: Any) -> None:
    """Query 0 and key 1 would overflow, in the scores and in dO Vᵀ, but the mask hides that pair."""
    set_block(monkeypatch, entries)
    large = 0.9 * np.finfo(dtype).max
    first, second = np.array([[large], [0]], dtype), np.array([[0], [2]], dtype)
    with pytest.raises(AltgradError):
        attention(first, second, second, scale=1)
    assert bits(attention(first, second, second, scale=1, causal=True)) == bits(np.array([[0], [1]], dtype))
    gradient = attention_vjp(first, second, second, first, scale=1, causal=True)
    assert bits(*gradient) == bits(np.zeros_like(first), np.zeros_like(first), first)


# ----------------------------------------------------------------------------------------------------------- memory


def test_no_array_of_all_scores() -> None:
    """The peak, beside the operands, is what the code should hold and nothing more:

    - the results twice, one head's and all heads';
    - one block of scores, in the gradient another for P;
    - the check's truth values for a block, a byte each;
    - a product of a block, at most as large as an operand.
    """
    n, d = 16384, 64
    start = case((n, n, d, d), dtype=np.float32, scale=1 / 8)
    item, operand = start.Q.itemsize, start.Q.nbytes
    block, truth_values = qkv.BLOCK_ENTRIES * item, qkv.BLOCK_ENTRIES
    assert peak(lambda: attention(*start.operands, **start.keywords)) <= 2 * operand + block + truth_values + operand
    bound = 2 * 3 * operand + 2 * block + truth_values + operand
    assert peak(lambda: attention_vjp(*start[:4], **start.keywords)) <= bound < n * n * item / 10


def peak(call: Callable[[], object]) -> int:
    """The most memory that the call held at once, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_peak_sees_arrays() -> None:
    """Without this the test above could not fail."""
    assert peak(lambda: np.ones(10**6).sum()) >= 8 * 10**6
