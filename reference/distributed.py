r"""The fast gradient of a sequence in parts: Dask arrays chunked along n, on one machine or on a cluster.

**What travels.** Three passes over the rows make the gradient (`fast_qkv`), and between rows pass only sums

.. math:: \sigma = \sum_j \varphi(k_j)^\top v_j, \qquad \eta = \sum_i \varphi(q_i)^\top y_i

of a size that does not depend on n. So each part is summed where it lies. Without a mask the σ of all parts are added
up in a tree; every part reads the total and gives its share of η, which is added up likewise. Under the causal mask a
part reads the σ of the parts before it and the η of those after it: two scans with a carried sum. The functions that
do it are those of one process: to them a part is a short sequence whose sums do not begin at nothing.

**Before that** come the ranges of the operands, for the centre of the keys and the degree of the polynomial: least and
largest entries, which are the same however the rows are cut.

**The bound** is that of `certificate`. Only the order of the sums differs from one process: a part begins a new block,
and the sums of parts are added in float64, on the way of any number at most one addition for each part. This is
`Head.parts`, which γ counts.

**Lost workers.** A task depends on its operands alone, wherever they come from, and leaves them as they are, and the
tree has the same shape whoever climbs it: what is lost is computed again, to the same bits.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from itertools import accumulate
from os import PathLike, fspath
from typing import Any, NamedTuple

import numpy as np

from reference.certificate import Head, Ranges
from reference.chain_rule import Collected, head_of, largest_sums, paper_scale, words_of
from reference.errors import AltgradError
from reference.fast_qkv import (
    Approximation,
    Fast,
    Method,
    approximation,
    centres,
    check_choice,
    extremes,
    for_ranges,
    implementation,
    ranges_of,
)
from reference.polynomial import ExpPolynomial
from reference.qkv import Wording
from reference.shapes import FloatArray, refuse, shapes

__all__ = ["fast_attention_gradient", "from_npy"]

FAN_IN = 8  # sums that one task of a tree adds
FUNCTION = "fast_attention_gradient"


@shapes(W="d d", W_V="d d")
@np.errstate(all="ignore")
def fast_attention_gradient(
    X: Any,
    W: FloatArray,
    W_V: FloatArray,
    G: Any,
    *,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    scale: float | None = None,
    causal: bool = False,
    method: Method = "paper",
    progress: bool = False,
) -> Approximation:
    r"""`reference.fast_attention_gradient` of Dask arrays (E.11, F.5, G.4, I.7, I.8).

    X and G are Dask arrays (n, d) of the same chunks, any along n and one along d; W and W_V are NumPy's. In `value`
    and `bound` X is a Dask array too, computed, and its parts lie where they were made; W and W_V are NumPy's. Every
    number is that of one process up to the rounding that both bounds contain. The scheduler is the one in Dask's use.
    `progress` shows a bar for each of three computations: the ranges, the distances from their middle, the gradient.

    Cost: as `reference.fast_attention_gradient`, and under the mask one more pass over the keys; memory of a worker
    for its parts of X, G, the gradient and the bound. Sums of some k (d + 4) numbers pass between the parts, of
    k (d + 1) d more for "paper", k as in `qkv.fast_attention_vjp`.

    Raises AltgradError as `reference.fast_attention_gradient` does, for chunks other than these, and without Dask.

    >>> from dask.array import from_array
    >>> from reference import fast_attention_gradient as of_one_process
    >>> X, G = np.random.default_rng(0).normal(size=(2, 2000, 2))
    >>> W, W_V = np.eye(2) / 8, np.eye(2)
    >>> one = of_one_process(X, W, W_V, G, rtol=1e-3)
    >>> fast = fast_attention_gradient(from_array(X, chunks=600), W, W_V, from_array(G, chunks=600), rtol=1e-3)
    >>> bool((abs(fast.value.X - one.value.X) <= fast.bound.X + one.bound.X).all().compute())
    True
    """
    run = Run(_dask(), progress)
    _check(run.dask.array.Array, X, W, G)
    check_choice(rtol, method, FUNCTION)
    if not isinstance(progress, bool):
        refuse(FUNCTION, "progress", f"is {reprlib.repr(progress)}", "True or False")
    problem = Problem(W, W_V, paper_scale(scale, X), causal, len(X), X.numblocks[0], words_of(FUNCTION))
    operands = (array.map_blocks(np.ascontiguousarray).to_delayed().ravel() for array in (X, G))
    parts = list(zip(*operands, strict=True))

    ranges, values, largest = _measured(run, problem, parts, X.chunks[0])
    head = problem.whole(values)
    by = implementation([head], method)
    make, chosen = for_ranges(by, [ranges], rtol, polynomial, method, problem.words)
    plan = Plan(problem, make, ranges, values, largest)

    dX, dX_bound, sums, whys = _gradient(run, plan, by.take_in, parts, X.chunks[0])
    fast = make(head, ranges)
    assert fast.bounds  # which `for_ranges` was not told to leave out
    fast.bounds.why = next(filter(None, whys), "")
    collected = plan.collected(fast, W[:0], dX, dX_bound)
    _add_each(collected.totals, sums)
    value, bound = collected.gradients()
    for operand in ("W", "W_V"):
        problem.words.finite(f"the gradient on {operand}", getattr(value, operand))
    return approximation(value, bound, [fast], chosen)


def from_npy(path: str | PathLike[str], rows: int) -> Any:
    """The matrix in a .npy file as a Dask array, so many rows to a chunk, read where and when a task needs them.

    Every worker must find the file under this path. Raises AltgradError for another number of dimensions and without
    Dask, ValueError and OSError as `numpy.load` does.
    """
    file = NpyFile(fspath(path))
    if file.ndim != 2:
        refuse("from_npy", fspath(path), f"has shape {file.shape}", "(n, d)")
    return _dask().array.from_array(file, chunks=(rows, -1), name=False)


class NpyFile:
    """A .npy file that travels by its name: a mapped array would travel with all its entries."""

    def __init__(self, path: str) -> None:
        self.path, mapped = path, np.load(path, mmap_mode="r")
        self.shape, self.ndim, self.dtype = mapped.shape, mapped.ndim, mapped.dtype

    def __getitem__(self, index: Any) -> FloatArray:
        part: FloatArray = np.load(self.path, mmap_mode="r")[index]
        return part


def _dask() -> Any:
    """Dask with its arrays."""
    try:
        import_module("dask.array")
        return import_module("dask")
    except ModuleNotFoundError:
        raise AltgradError("reference.distributed needs Dask: pip install 'altgrad[cluster]'") from None


def _check(of_dask: Any, X: Any, W: FloatArray, G: Any) -> None:
    """AltgradError if X and G do not fit W and each other, as far as is known without their entries."""
    for operand, array in (("X", X), ("G", G)):
        if not isinstance(array, of_dask):
            refuse(FUNCTION, operand, f"has type {type(array).__name__}", "a dask.array.Array")
        if type(array._meta) is not np.ndarray:
            refuse(FUNCTION, operand, f"has blocks of type {type(array._meta).__name__}", "a plain numpy.ndarray")
        if array.dtype != W.dtype:
            refuse(FUNCTION, operand, f"has dtype {array.dtype}", f"{W.dtype}, the dtype of W")
        if array.ndim != 2 or array.shape[1] != len(W):
            refuse(FUNCTION, operand, f"has shape {array.shape}", f"(n, d) with d = {len(W)} from W")
        rows, columns = array.chunks
        if len(columns) > 1:
            refuse(FUNCTION, operand, f"has chunks of {columns} columns", f"one: {operand}.rechunk({{1: -1}})")
        if not all(size > 0 for size in rows):  # of unknown size: not a number
            refuse(FUNCTION, operand, f"has chunks of {reprlib.repr(rows)} rows", "known sizes, none of them 0")
    if G.shape != X.shape:
        refuse(FUNCTION, "G", f"has shape {G.shape}", f"(n, d) with n = {len(X)} from X")
    if G.chunks != X.chunks:
        got, needs = (f"chunks of {reprlib.repr(array.chunks[0])} rows" for array in (G, X))
        refuse(FUNCTION, "G", f"has {got}", f"{needs} as X has: G.rechunk(X.chunks)")


class Run(NamedTuple):
    """How tasks are run."""

    dask: Any
    progress: bool

    def task(self, function: Any) -> Any:
        return self.dask.delayed(function, traverse=False)

    def persisted(self, *tasks: Any) -> Any:
        """The tasks, done or under way, and a bar for them."""
        if not self.progress:
            return self.dask.persist(*tasks)
        distributed = import_module("distributed")
        try:
            distributed.default_client()
        except ValueError:  # there is none: this process does it
            with import_module("dask.diagnostics").ProgressBar():
                return self.dask.persist(*tasks)
        under_way = self.dask.persist(*tasks)
        distributed.progress(*under_way, notebook=False)
        return under_way

    def stacked(self, blocks: list[Any], lengths: Any, like: FloatArray) -> Any:
        """The array of these blocks of rows, with the columns and the dtype of another."""
        array, d = self.dask.array, like.shape[1]
        rows = zip(blocks, lengths, strict=True)
        return array.concatenate([array.from_delayed(block, (length, d), like.dtype) for block, length in rows])

    def results(self, tasks: Iterable[Any]) -> Any:
        return self.dask.compute(*self.persisted(*tasks))


@dataclass(frozen=True, eq=False)
class Problem:
    """What all parts have in common."""

    W: FloatArray
    W_V: FloatArray
    scale: float
    causal: bool
    n: int
    parts: int
    words: Wording

    def head(self, X: FloatArray, G: FloatArray, values: FloatArray, n: int | None = None) -> Head:
        """Rows X as a part of a sequence of n."""
        return head_of(X, self.W, self.W_V, G, self.scale, self.causal, values, n or self.n, self.parts)

    def whole(self, values: FloatArray) -> Head:
        """The sequence without its rows."""
        return self.head(self.W[:0], self.W[:0], values)


@dataclass(frozen=True, eq=False)
class Plan:
    """The same once the ranges of the operands are known."""

    problem: Problem
    make: Callable[[Head, Ranges], Fast]
    ranges: Ranges
    values: FloatArray  # (d,), `largest_sums`
    largest: Any  # of all entries of X

    def fast(self, X: FloatArray, G: FloatArray) -> Fast:
        return self.make(self.problem.head(X, G, self.values), self.ranges)

    def collected(self, fast: Fast, X: FloatArray, dX: Any, dX_bound: Any) -> Collected:
        return Collected(fast, X, self.problem.W, self.problem.W_V, self.largest, dX, dX_bound)


def task(function: Callable[..., Any]) -> Callable[..., Any]:
    """A task, on copies of its operands: it may change them.

    And what came over a network may begin at an address that is no multiple of its entries' size, where products round
    in another way than where it was made.
    """

    @wraps(function)
    def on_copies(*operands: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*deepcopy(operands))

    return on_copies


# --- ranges


class Extent(NamedTuple):
    """Where the rows of a part lie."""

    low_K: FloatArray  # (d,), as all but the last
    high_K: FloatArray
    low_V: FloatArray
    high_V: FloatArray
    values: FloatArray
    not_finite: list[tuple[str, int, int, float]]  # an operand, where its first such entry is, and the entry


def _measured(run: Run, problem: Problem, parts: list[Any], lengths: Any) -> tuple[Ranges, FloatArray, Any]:
    """The ranges of the sequence, its `largest_sums`, and the largest |x|."""
    shared = run.task(problem)
    found = run.results(run.task(_extent)(shared, *part) for part in parts)
    _refuse_not_finite(found, lengths)
    low_K, low_V = (np.min(ends, axis=0) for ends in zip(*((e.low_K, e.low_V) for e in found), strict=True))  # (d,)
    high_K, high_V, values = (
        np.max(ends, axis=0) for ends in zip(*((e.high_K, e.high_V, e.values) for e in found), strict=True)
    )  # (d,) each
    middles = centres(low_K, high_K, low_V, high_V, problem.W.dtype)  # (d,) both
    of_both = run.results(run.task(_distances)(shared, *middles, *part) for part in parts)
    of_keys, of_queries = (
        [np.max(sizes, axis=0) for sizes in zip(*side, strict=True)] for side in zip(*of_both, strict=True)
    )
    ranges = ranges_of(problem.whole(values), (*middles, *of_keys), tuple(of_queries))
    return ranges, values, problem.W.dtype.type(max(high_K.max(), -low_K.min()))


@task
def _extent(problem: Problem, X: FloatArray, G: FloatArray) -> Extent:
    head, n = problem.head(X, G, np.zeros(X.shape[1])), len(X)
    not_finite = [(operand, *_first(array)) for operand, array in (("X", X), ("G", G)) if not np.isfinite(array).all()]
    return Extent(*extremes(head.K, n), *extremes(head.V, n), largest_sums(X, problem.W_V), not_finite)


def _first(array: FloatArray) -> tuple[int, int, float]:
    """Row and column of the first entry that is not finite, and the entry."""
    row, column = map(int, np.argwhere(~np.isfinite(array))[0])
    return row, column, float(array[row, column])


def _refuse_not_finite(found: list[Extent], lengths: Any) -> None:
    """AltgradError for the first entry of X that is not finite, or that of G."""
    before = np.cumsum([0, *lengths])
    bad = [
        (name, int(start) + i, j, x) for start, e in zip(before, found, strict=False) for name, i, j, x in e.not_finite
    ]
    for operand, row, column, entry in sorted(bad, key=lambda one: one[0] == "G"):
        refuse(FUNCTION, operand, f"has {entry} at index {(row, column)}", "finite entries")


@task
def _distances(problem: Problem, centre: FloatArray, middle: FloatArray, X: FloatArray, G: FloatArray) -> Any:
    """What `Fast.distances` and `Fast.of_queries` find of these rows."""
    head = problem.head(X, G, np.zeros(X.shape[1]), len(X))
    return Fast.distances(head, centre, middle, problem.words), Fast.of_queries(head, problem.words)


# --- the three passes


class Asked(NamedTuple):
    """A part whose queries have read the keys."""

    dX: FloatArray  # (b, d), so far
    dX_bound: FloatArray  # (b, d), so far
    queries: Any  # what the keys read
    kept: FloatArray
    weights: list[FloatArray]  # (d, d) each
    inverse: float
    why: str


class Replied(NamedTuple):
    """A part whose keys have read the queries."""

    dX: FloatArray  # (b, d)
    dX_bound: FloatArray  # (b, d)
    weights: list[FloatArray]  # (d, d) each


def _gradient(run: Run, plan: Plan, take_in: Any, parts: list[Any], lengths: Any) -> Any:
    """The gradient on X and its bound as Dask arrays, the sums for the weights, and why bounds are infinite."""
    shared, sums = run.task(plan), Sums(run, take_in)
    keys = [run.task(_keys)(shared, *part) for part in parts]
    seen = sums.before(keys) if plan.problem.causal else sums.of_all(keys)
    asked = [run.task(_asked)(shared, *part, one) for part, one in zip(parts, seen, strict=True)]
    queries = [one.queries for one in asked]
    seeing = sums.before(queries[::-1])[::-1] if plan.problem.causal else sums.of_all(queries)
    inverse = run.task(max)([one.inverse for one in asked])
    replied = [
        run.task(_replied)(shared, *part, one, after, inverse)
        for part, one, after in zip(parts, asked, seeing, strict=True)
    ]
    weights = Sums(run, _add_each).total([one.weights for one in (*asked, *replied)])
    whys = run.task(list)([one.why for one in asked])
    dX = run.stacked([one.dX for one in replied], lengths, plan.problem.W)
    dX_bound = run.stacked([one.dX_bound for one in replied], lengths, plan.problem.W)
    dX, dX_bound, weights, whys = run.persisted(dX, dX_bound, weights, whys)
    return dX, dX_bound, *run.dask.compute(weights, whys)


class Sums(NamedTuple):
    """Sums of what tasks have summed, made by tasks."""

    run: Run
    take_in: Callable[[Any, Any], None]

    def of_all(self, sums: list[Any]) -> list[Any]:
        """For each the sum of all."""
        return [self.total(sums)] * len(sums)

    def total(self, sums: list[Any]) -> Any:
        """The sum of all, in a tree."""
        while len(sums) > 1:
            sums = [self._joined(sums[first : first + FAN_IN]) for first in range(0, len(sums), FAN_IN)]
        return sums[0]

    def before(self, sums: list[Any]) -> list[Any]:
        """For each the sum of those before it: None for the first."""
        return [None, *accumulate(sums[:-1], lambda carried, one: self._joined([carried, one]))]

    def _joined(self, some: list[Any]) -> Any:
        return self.run.task(_joined)(self.take_in, some)


@task
def _joined(take_in: Callable[[Any, Any], None], sums: list[Any]) -> Any:
    total, *others = sums
    for one in others:
        take_in(total, one)
    return total


def _add_each(sums: list[FloatArray], more: list[FloatArray]) -> None:
    for total, one in zip(sums, more, strict=True):
        np.add(total, one, out=total)


@task
def _keys(plan: Plan, X: FloatArray, G: FloatArray) -> Any:
    """The sums over the keys of a part."""
    fast = plan.fast(X, G)
    keys = fast.nothing(1)
    fast.add_keys(len(X), keys)
    return keys


@task
def _asked(plan: Plan, X: FloatArray, G: FloatArray, keys: Any) -> Asked:
    """The queries of a part read the keys of all parts, or under the mask of those before it."""
    fast = plan.fast(X, G)
    collected = plan.collected(fast, X, np.empty_like(X), np.empty_like(X))
    queries, kept = fast.nothing(2), fast.unanswered(len(X))
    for block in fast.ask(len(X), fast.nothing(1) if keys is None else keys, queries, kept):
        collected.take(block)
    assert fast.bounds  # `for_ranges` was not told to leave it out
    return Asked(
        collected.dX, collected.dX_bound, queries, kept, collected.totals, fast.largest_inverse, fast.bounds.why
    )


@task
def _replied(plan: Plan, X: FloatArray, G: FloatArray, asked: Asked, queries: Any, inverse: float) -> Replied:
    """The keys of a part read the queries of all parts, or under the mask of those after it."""
    fast = plan.fast(X, G)
    fast.remember(inverse)
    collected = plan.collected(fast, X, asked.dX, asked.dX_bound)
    for block in fast.reply(len(X), fast.nothing(2) if queries is None else queries, asked.kept):
        collected.take(block)
    collected.finish()
    plan.problem.words.finite("the gradient on X", collected.dX)
    return Replied(collected.dX, collected.dX_bound, collected.totals)
