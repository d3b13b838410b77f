"""What the counter counts, against counts by hand, and against what Python's own tracer sees."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from proofs_checks import counting
from proofs_checks.counting import Counted, count, counted
from reference import attention_gradient, fast_attention, fast_attention_gradient, low_rank, qkv
from reference import masked_product as masked
from reference.polynomial import taylor
from reference.softmax_attention import Array

N, D = 5, 3
A, B = np.arange(1.0, N * D + 1).reshape(N, D), np.full((N, D), 2.0)
v = np.arange(1.0, D + 1)
BYTES = N * D * 8

# An expression of A, B (5, 3) and v (3,), its operations, and the most bytes beside them.
BY_HAND: dict[str, tuple[Callable[[Array, Array, Array], Any], int, int]] = {
    "sum of two": (lambda A, B, v: A + B, 15, BYTES),
    "product": (lambda A, B, v: A * B, 15, BYTES),
    "power": (lambda A, B, v: A**2, 15, BYTES),
    "with a number": (lambda A, B, v: 2 * A, 15, BYTES),
    "minus": (lambda A, B, v: -A, 15, BYTES),
    "exponential": (lambda A, B, v: np.exp(A), 15, BYTES),
    "comparison": (lambda A, B, v: A < B, 15, 15),
    "broadcasting": (lambda A, B, v: A + v, 15, BYTES),
    "broadcasting both": (lambda A, B, v: v[:, None] * v, 9, 72),
    "two steps, one kept": (lambda A, B, v: A * B + A, 30, 2 * BYTES),
    "a product of three": (lambda A, B, v: A * B * A * B, 45, 2 * BYTES),  # the first temporary is freed
    "matrix product": (lambda A, B, v: A @ B.T, 5 * 5 * 5, 200),
    "other matrix product": (lambda A, B, v: A.T @ B, 3 * 3 * 9, 72),
    "matrix and vector": (lambda A, B, v: A @ v, 5 * 5, 40),
    "two vectors": (lambda A, B, v: v @ v, 5, 0),
    "dot": (lambda A, B, v: np.dot(A, B.T), 5 * 5 * 5, 200),
    "batches": (lambda A, B, v: np.stack([A, A]) @ B.T, 2 * 5 * 5 * 5, 240 + 400),
    "tensordot": (lambda A, B, v: np.tensordot(A, B, axes=2), 29, 8),
    "tensordot of axes": (lambda A, B, v: np.tensordot(A, B, axes=([0], [0])), 3 * 3 * 9, 72),
    "einsum": (lambda A, B, v: np.einsum("ij,ij->i", A, B), 15 * 2 - 5, 40),
    "outer": (lambda A, B, v: np.outer(v, v), 9, 72),
    "kron": (lambda A, B, v: np.kron(v, v), 9, 72),
    "sum of all": (lambda A, B, v: A.sum(), 14, 0),
    "sums of rows": (lambda A, B, v: A.sum(axis=1), 10, 40),
    "sums of columns": (lambda A, B, v: np.sum(A, axis=0, keepdims=True), 12, 24),
    "largest": (lambda A, B, v: A.max(axis=1), 10, 40),
    "largest, with a first": (lambda A, B, v: A.max(axis=1, initial=0), 15, 40),
    "running sums": (lambda A, B, v: np.add.accumulate(A, axis=1), 10, BYTES),
    "norms": (lambda A, B, v: np.linalg.norm(A, axis=1), 5 * (3 + 2 + 1), 40),
    "where": (lambda A, B, v: np.where(A > B, A, 0), 30, 15 + BYTES),
    "lower triangle": (lambda A, B, v: np.tril(A), 15, BYTES),
    "transposed": (lambda A, B, v: A.T, 0, 0),
    "a part": (lambda A, B, v: A[1:3, :2], 0, 0),
    "reshaped": (lambda A, B, v: A.reshape(3, 5), 0, 0),
    "chosen": (lambda A, B, v: A[[0, 1]], 0, 48),
    "copied": (lambda A, B, v: A.copy(), 0, BYTES),
    "in float32": (lambda A, B, v: A.astype(np.float32), 0, BYTES // 2),
    "side by side": (lambda A, B, v: np.hstack([A, B]), 0, 2 * BYTES),
    "split": (lambda A, B, v: np.hsplit(A, 3), 0, 0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_counts_by_hand(name: str) -> None:
    expression, operations, peak = BY_HAND[name]
    found = count(expression, A, B, v)
    assert (found.operations, found.peak) == (operations, peak)
    assert np.array_equal(found.value, expression(A, B, v)), "counting changed the value"


def in_place(A: Array, B: Array) -> Array:
    total: Array = A.copy()
    total += B
    np.multiply(total, B, out=total)
    total[0] = B[0]
    total[1:] -= 1
    return total


def test_work_in_place_is_counted_and_takes_no_memory() -> None:
    found = count(in_place, A, B)
    assert (found.operations, found.peak) == (15 + 15 + 12, BYTES)
    assert np.array_equal(found.value, in_place(A, B))


def freed(A: Array) -> Array:
    first = A + 1
    second: Array = first + 1
    del first
    return second * second  # beside second alone


def test_what_is_freed_no_longer_counts() -> None:
    assert count(freed, A).peak == 2 * BYTES


def view_kept(A: Array) -> Array:
    first: Array = (A + 1)[:1]  # keeps all of it alive
    both: Array = first + (A + 1)
    return both


def test_a_view_keeps_its_owner() -> None:
    assert count(view_kept, A).peak == 3 * BYTES


@pytest.mark.parametrize(
    "unknown",
    [
        lambda A: A.cumsum(),
        lambda A: A.dot(A.T),
        lambda A: A.sort(),
        np.cumsum,
        np.linalg.svd,
        np.sort,
        lambda A: np.add.reduceat(A, [0, 1]),
        lambda A: np.add(A, A, out=A.copy(), where=A > 1),
        lambda A: np.linalg.norm(A, 1, axis=1),
    ],
)
def test_what_has_no_rule_is_refused(unknown: Callable[[Array], Any]) -> None:
    with pytest.raises(NotImplementedError, match="no rule"):
        count(unknown, A)


def test_the_largest_array_and_the_calls_are_kept() -> None:
    """A copy and assignments are no calls that do operations; views are no arrays."""
    found = count(in_place, A, B)
    assert (found.largest, found.calls) == (BYTES, 3)
    found = count(view_kept, A)
    assert (found.largest, found.calls) == (BYTES, 3)
    assert count(lambda A, B: np.hstack([A, B]), A, B).largest == 2 * BYTES


# --- functions of the reference


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_papers_running_sums(n: int) -> None:
    """k products and k sums for each c_j, k products and k − 1 sums for each Y_j; c and Y, b and v_j beside them."""
    k = 3
    found = count(masked.causal_mask, np.ones((n, k)), np.ones((n, k)), np.ones(n))
    assert found.operations == n * (4 * k - 1)
    assert found.peak == 8 * ((n + 1) * k + n + 2 * k)


def test_monomials_take_one_multiplication_each() -> None:
    n, d, g = 7, 3, 4
    k = low_rank.rank(d, g)
    found = count(low_rank.monomials, np.ones((n, d)), g)
    assert found.operations == n * (k - 1)
    assert found.peak == 8 * n * (k + d)


def layer(n: int, seed: int = 0, d: int = 2) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(d, d)), rng.normal(size=(d, d)), rng.normal(size=(n, d))


def arrays(x: Any) -> list[Array]:
    """All arrays of a result."""
    if x is None or isinstance(x, np.ndarray):
        return [] if x is None else [x]
    inner = [getattr(x, name) for name in ("value", "bound", "X", "W", "W_V") if hasattr(x, name)]
    return [a for y in inner for a in arrays(y)]


P = taylor(4, 64.0)
PUBLIC: dict[str, Callable[..., Any]] = {
    "attention_gradient": lambda X, W, W_V, G: attention_gradient(X, W, W_V, G, causal=True),
    "fast_attention": lambda X, W, W_V, G: fast_attention(X, W, W_V, polynomial=P),
    "paper": lambda X, W, W_V, G: fast_attention_gradient(X, W, W_V, G, polynomial=P),
    "masked": lambda X, W, W_V, G: fast_attention_gradient(
        X, W, W_V, G, polynomial=P, causal=True, method="antiderivative"
    ),
}


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_counting_run_gives_the_same_bits(name: str, dtype: type) -> None:
    operands: list[Array] = [x.astype(dtype) for x in layer(40)]
    found, ordinary = count(PUBLIC[name], *operands, lift=False), PUBLIC[name](*operands)
    pairs = list(zip(arrays(found.value), arrays(ordinary), strict=True))
    assert pairs
    assert all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize("name", PUBLIC)
def test_counts_are_the_same_every_time(name: str) -> None:
    """Caches are filled by the first run, and the second must not profit; nor do other values of the operands."""
    counts = {
        (c.operations, c.peak) for seed in (0, 0, 1) for c in [count(PUBLIC[name], *layer(40, seed), lift=False)]
    }
    assert len(counts) == 1
    operations, peak = counts.pop()
    assert operations > 0
    assert peak > 0


def test_nothing_counted_is_left_behind() -> None:
    """Neither in a module nor in a cache: an ordinary run afterwards gives ordinary arrays."""
    count(PUBLIC["paper"], *layer(20), lift=False)
    assert all(type(x) is np.ndarray for x in arrays(PUBLIC["paper"](*layer(20))))
    assert all(vars(module).get("np", np) is np for module in counting.MODULES)


def test_one_count_at_a_time() -> None:
    with counted(), pytest.raises(RuntimeError, match="running already"), counted():
        pass


def test_live_bytes_are_those_that_python_traces() -> None:
    """NumPy tells Python's tracer of every array it allocates and frees."""
    domain = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)

    def traced() -> int:
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([domain]).traces)

    X, W, W_V, G = layer(40)
    tracemalloc.start()
    try:
        before = traced()
        with counted() as tally:
            kept = [PUBLIC["masked"](X, W, W_V, G)]
            one, other = tally.live, traced() - before
            kept.append(np.exp(X.view(Counted))[:1])
            assert (tally.live, traced() - before) == (one + X.nbytes, other + X.nbytes)
        assert one == other > 0
    finally:
        tracemalloc.stop()


# --- planted faults


def with_a_square(U: Array, V: Array) -> Array:
    """The same numbers, through an n × n matrix."""
    return low_rank.row_kronecker(np.eye(len(U)) @ U, V)


def with_a_product(U: Array, V: Array) -> Array:
    return low_rank.row_kronecker(1 * U, V)


def test_an_extra_square_and_an_extra_product_are_seen() -> None:
    n, k = 9, 2
    U = np.ones((n, k))
    honest = count(low_rank.row_kronecker, U, U)
    assert (honest.operations, honest.peak) == (n * k * k, 8 * n * k * k)
    assert count(with_a_product, U, U).operations == honest.operations + n * k
    square = count(with_a_square, U, U)
    assert square.operations == honest.operations + n * k * (2 * n - 1)
    assert square.peak == 8 * max(n * n + n * k, n * k + n * k * k)


def test_heads_are_counted_one_by_one() -> None:
    Q = np.random.default_rng(0).normal(size=(3, 6, 2))
    one = count(qkv.attention, Q[0], Q[0], Q[0], lift=False, scale=1.0)
    assert count(qkv.attention, Q, Q, Q, lift=False, scale=1.0).operations == 3 * one.operations
