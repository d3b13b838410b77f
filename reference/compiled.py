"""`fast_qkv` for long sequences: the same formulas, with the sums of `kernels` and all cores.

The rows are taken in chunks, several at a time, each by one thread; what they add up to is added in their order, so
the bits do not depend on the number of threads, which is that of BLAS (`OPENBLAS_NUM_THREADS`). Under a mask the sums
of the chunks before come first; within a chunk the sums before each tile are kept.

The bound has the same derivation. It sums one column for the keys, max_c |k_jc|/max_j |k_jc|, and one for the values,
where `fast_qkv` sums each column apart: it costs less, and is worth as much as the other is for the worst column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, cached_property
from itertools import islice
from math import ceil
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  # the BLAS that Numba calls, which the controller must find loaded
from threadpoolctl import ThreadpoolController

from reference import kernels
from reference.certificate import Head, as_float, unit
from reference.fast_qkv import Fast, KeySide, Output, QuerySide, centres
from reference.masked_product import blocks
from reference.row_bounds import Fixed, Units, compiled_rows
from reference.shapes import FloatArray

CHUNK = 2**14  # rows that a thread takes at a time, at most
TILE = 256  # rows at most whose monomials are made at once
MASKED_TILE = 64  # the same under a mask, where a tile's pairs are written out
CACHED = 2**17  # monomials of a tile, at most
KEPT = 2**18  # numbers in the sums before each tile of a chunk, at most

Item = TypeVar("Item")
Result = TypeVar("Result")
Groups = tuple[FloatArray, FloatArray, FloatArray]


class Part(NamedTuple):
    """A chunk of one side: what its rows are, and what they add to the sums of the other's."""

    x: FloatArray  # (b, d)
    factor: FloatArray  # (b, 1 + e): y of a query, v of a key
    groups: Groups  # (b, c) each: the factor and what the bound sums with P(S); with S^h; with P̄(|q||k|)


class Scan(NamedTuple):
    """A chunk under the mask, with the sums before each of its tiles, and before the chunk itself."""

    rows: slice
    part: Part
    within: Groups  # (tiles, k̂, c), (tiles, l, c″), (tiles, k, c′)
    sums: Groups  # (k̂, c), (l, c″), (k, c′)


class Answered(NamedTuple):
    """A chunk of queries that have read the keys."""

    answer: QuerySide
    inverse: float  # the largest 1/D
    numbers: FloatArray  # (b, 4)
    sums: Groups  # what they add to the sums that the keys read


class Blas:
    """BLAS on one thread while ours run, for however many callers there are."""

    def __init__(self) -> None:
        self.lock, self.callers = Lock(), 0
        self.limit: Any = None

    @cached_property
    def controller(self) -> Any:
        return ThreadpoolController().select(user_api="blas")

    @contextmanager
    def on_one_thread(self) -> Iterator[int]:
        """How many threads it was to have."""
        with self.lock:
            if not self.callers:
                self.number = max((one.num_threads for one in self.controller.lib_controllers), default=1)
                self.limit = self.controller.limit(limits=1)
            self.callers += 1
        try:
            yield self.number
        finally:
            with self.lock:
                self.callers -= 1
                if not self.callers:
                    self.limit.restore_original_limits()


BLAS = Blas()


class Team(NamedTuple):
    """The threads of a computation: the caller's and its helpers."""

    pool: Executor | None
    size: int


@contextmanager
def team() -> Iterator[Team]:
    """As many threads as BLAS was to have."""
    with BLAS.on_one_thread() as size:
        yield Team(helpers(size - 1) if size > 1 else None, size)


@cache
def helpers(number: int) -> Executor:
    """Threads that wait for work: to start them takes as long as many a chunk."""
    return ThreadPoolExecutor(number, "altgrad")


os.register_at_fork(after_in_child=helpers.cache_clear)  # a child has none of its parent's threads


def in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: Team) -> Iterator[Result]:
    """The results in the order of the items. Helpers see the caller's context, and have their next item at hand."""
    items = iter(items)
    if threads.pool is None:
        yield from map(function, items)
        return

    def handed_out() -> list[Future[Result]]:
        assert threads.pool
        return [threads.pool.submit(copy_context().run, function, item) for item in islice(items, threads.size - 1)]

    at_work = handed_out()
    while at_work:
        mine, following = list(islice(items, 1)), handed_out()
        at_work += [tried(function, item) for item in mine]
        yield from (one.result() for one in at_work)
        at_work = following


def tried(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    """The result, or the error, which is raised when it is its turn: it is that of the first item that has one."""
    found: Future[Result] = Future()
    try:
        found.set_result(function(item))
    except Exception as error:
        found.set_exception(error)
    return found


def chunks(n: int) -> Iterator[slice]:
    """Rows for one thread at a time: four chunks at least, whatever the number of threads is."""
    return blocks(n, min(CHUNK, TILE * ceil(n / (4 * TILE))))


def merged(extremes: Iterable[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Least and largest entries of all rows from those of chunks, in float64. Shapes: (c,) -> (c,)."""
    lows, highs = zip(*extremes, strict=True)
    return np.min(lows, axis=0).astype(np.float64), np.max(highs, axis=0).astype(np.float64)


def farthest(low: FloatArray, high: FloatArray, centre: FloatArray) -> FloatArray:
    """The largest |x − centre|, rounded as in the type of the centre, in float64. Shapes: (c,) -> (c,)."""
    low, high = low.astype(centre.dtype), high.astype(centre.dtype)  # (c,) both
    return np.maximum(high - centre, centre - low).astype(np.float64)


class Compiled(Fast):
    """One head, by the kernels."""

    @property
    def block(self) -> int:
        if not self.head.causal:
            return CHUNK
        return self.step * max(1, min(CHUNK // self.step, KEPT // (self.k_top * (self.e + 6))))

    def _step(self) -> int:
        return max(32, min(MASKED_TILE if self.head.causal else TILE, CACHED // self.widest))

    @staticmethod
    def of_keys(head: Head, words: Any) -> tuple[FloatArray, FloatArray, FloatArray, float, FloatArray]:
        def ranges(rows: slice) -> tuple[Any, Any]:
            return kernels.extremes(head.K(rows)), kernels.extremes(head.V(rows))

        with team() as threads:
            K, V = (merged(found) for found in zip(*in_order(ranges, chunks(head.m), threads), strict=True))
            centre, middle = centres(*K, *V, head.dtype)  # (d,), (e,)
            k = words.finite(f"{words.K} − centre", farthest(*K, centre))  # (d,)
            v = words.finite(f"{words.V} − middle", farthest(*V, middle))  # (e,)

            def longest(rows: slice) -> float:
                return float(kernels.longest(head.K(rows), centre, float(k.max())))

            return centre, middle, k, max(in_order(longest, chunks(head.m), threads)), v

    @staticmethod
    def of_queries(head: Head, words: Any) -> tuple[FloatArray, float, FloatArray]:
        zero, none = np.zeros(head.d, head.dtype), np.zeros(head.e, head.dtype)  # (d,), (e,)

        def sizes(rows: slice) -> tuple[FloatArray, float, FloatArray]:
            x = np.ascontiguousarray(head.scale * head.Q(rows))  # (b, d)
            low, high = kernels.extremes(x)  # (d,) both
            q, dO = farthest(low, high, zero), none  # (d,), (e,)
            if head.dO is not None:
                low, high = kernels.extremes(head.dO(rows))  # (e,) both
                dO = farthest(low, high, none)
            return q, float(kernels.longest(x, zero, float(q.max()))), dO

        with team() as threads:
            q, longest, dO = zip(*in_order(sizes, chunks(head.n), threads), strict=True)
        return words.finite(f"scale {words.Q}", np.max(q, axis=0)), max(longest), np.max(dO, axis=0) + 0.0

    # --- the sums

    def output(self) -> Iterator[Output]:
        with team() as threads:
            if self.head.causal:
                for scans in self._scans(blocks(self.head.n, self.block), self._key_part, self.nothing(1), threads):
                    yield from in_order(self._masked_output, scans, threads)
            else:
                keys = self.nothing(1)
                self.add_keys(self.head.m, keys)
                weighted, rows = self._weighted(keys), chunks(self.head.n)
                yield from in_order(lambda one: self._output_chunk(one, weighted), rows, threads)

    def add_keys(self, n: int, keys: Groups) -> None:
        with team() as threads:
            for sums in in_order(lambda rows: self._absorbed(self._key_part(rows), 1), chunks(n), threads):
                self.take_in(keys, sums)

    def ask(
        self, n: int, keys: Groups, queries: Groups | None, kept: FloatArray, output: bool = False
    ) -> Iterator[QuerySide]:
        with team() as threads:
            for answer, inverse, numbers, sums in self._answers(n, keys, queries is not None, output, threads):
                yield answer
                self.remember(inverse)
                if queries:
                    self.take_in(queries, sums)
                if self.head.causal:
                    kept[answer.rows] = numbers

    def _answers(self, n: int, keys: Groups, added: bool, output: bool, threads: Team) -> Iterator[Answered]:
        if self.head.causal:
            for scans in self._scans(blocks(n, self.block), self._key_part, keys, threads):
                yield from in_order(lambda scan: self._masked_query_chunk(scan, added, output), scans, threads)
        else:
            weighted, slopes = self._weighted(keys), self._slopes(keys)
            yield from in_order(lambda rows: self._query_chunk(rows, weighted, slopes, output), chunks(n), threads)

    def reply(self, n: int, queries: Groups, kept: FloatArray) -> Iterator[KeySide]:
        with team() as threads:
            yield from (
                self._masked_replies(n, queries, kept, threads)
                if self.head.causal
                else self._replies(n, queries, threads)
            )

    def _replies(self, n: int, queries: Groups, threads: Team) -> Iterator[KeySide]:
        weighted, slopes = self._weighted(queries), self._slopes(queries)
        yield from in_order(lambda rows: self._key_chunk(rows, weighted, slopes), chunks(n), threads)

    def _masked_replies(self, n: int, queries: Groups, kept: FloatArray, threads: Team) -> Iterator[KeySide]:
        def answered(rows: slice) -> Part:
            x = self._query_rows(rows)  # (b, d)
            unread = np.zeros((len(x), 4), self.head.dtype)  # (b, 4)
            return reversed_part(self._query_part(rows, x, kept[rows], unread[:, :1], unread[:, 1:3])[0])

        every = list(blocks(n, self.block))
        for scans in self._scans(every[::-1], answered, queries, threads):
            yield from in_order(self._masked_key_chunk, scans, threads)

    def _scans(
        self, every: Iterable[slice], part: Callable[[slice], Part], sums: Groups, threads: Team
    ) -> Iterator[list[Scan]]:
        """As many chunks as there are threads at a time, each with the sums before it."""

        def scan(rows: slice) -> tuple[Part, Groups, Groups]:
            one, total = part(rows), zeros_like(sums)
            return one, kernels.prefixes(*self._features, one.x, one.groups, total), total

        every = iter(every)
        while some := list(islice(every, threads.size)):
            scans = []
            for rows, (one, within, total) in zip(some, in_order(scan, some, threads), strict=True):
                scans.append(Scan(rows, one, within, sums))
                sums = plus(sums, total)
            yield scans

    @cached_property
    def _features(self) -> tuple[Any, int, int, int]:
        """The monomials that are summed: their recursion, which of them are moments, and how many rows at a time."""
        return kernels.steps(self.d, self.top), self.power_rows.start, self.power_rows.stop, self.step

    @cached_property
    def _read_features(self) -> tuple[Any, int, int, int]:
        """Those that are read, of which there are fewer where R has an antiderivative of a higher degree."""
        return kernels.steps(self.d, self.degree), *self._features[1:]

    def nothing(self, side: int) -> Groups:
        """Empty sums over the keys (1) or the queries (2)."""
        moments = (3 if side == 1 else 2) if self.bounds else 0
        more = side if self.bounds else 0
        shapes = (self.k_top, 1 + self.e + more), (len(self.w_moment), moments), (self.k, more)
        return tuple(np.zeros(shape) for shape in shapes)  # type: ignore[return-value]

    @staticmethod
    def take_in(sums: Groups, more: Groups) -> None:
        for total, part in zip(sums, more, strict=True):
            np.add(total, part, out=total)

    def _absorbed(self, part: Part, side: int) -> Groups:
        """The sums over a chunk of keys (1) or queries (2)."""
        sums = self.nothing(side)
        kernels.absorb(*self._features, part.x, part.groups, sums)
        return sums

    @cached_property
    def _group_weights(self) -> Groups:
        """Of the monomials in the three groups. Shapes: (k,), (l,), (k,)."""
        return self.w.ravel(), self.w_moment.ravel(), np.abs(self.w.ravel())

    def _weighted(self, sums: Groups) -> Groups:
        """What a row is multiplied by. Shapes: (k, c), (l, c″), (k, c′)."""
        read = sums[0][: self.k], sums[1], sums[2]
        return tuple(self._own(w[:, None] * s) for w, s in zip(self._group_weights, read, strict=True))  # type: ignore[return-value]

    def _slopes(self, sums: Groups) -> FloatArray:
        """What a row is pulled by. Shapes: (k̂, 1 + e)."""
        return np.ascontiguousarray(self._own(self.w_integral * sums[0][:, : 1 + self.e]))

    @cached_property
    def _polynomials(self) -> Groups:
        """P, S^h and P̄ in the scores, for pairs within a tile."""
        P = np.array([as_float(c) for c in self.polynomial.coefficients]).astype(self.head.dtype)  # (g + 1,)
        return P, np.eye(self.power + 1, dtype=self.head.dtype)[-1], np.abs(P)

    @cached_property
    def _R(self) -> FloatArray:
        if self.method != "differentiate":
            return self._polynomials[0]
        return np.array([as_float(c) for c in self.polynomial.derivative]).astype(self.head.dtype)  # (g,)

    # --- chunks

    def _key_part(self, rows: slice) -> Part:
        ranges = self.ranges
        middle = ranges.middle.astype(self.head.dtype)  # (e,)
        x, v = kernels.key_rows(self.head.K(rows), ranges.centre, ranges.balance, self.head.V(rows), middle)
        if not self.bounds:
            return Part(x, v, (v, x[:, :0].copy(), x[:, :0].copy()))
        return Part(x, v, kernels.key_sizes(x, v, inverse(ranges.k), inverse(ranges.v)))

    def _query_rows(self, rows: slice) -> FloatArray:
        return np.ascontiguousarray(self.head.scale * self.head.Q(rows) * self.ranges.balance)  # (b, d)

    def _query_part(
        self, rows: slice, x: FloatArray, numbers: FloatArray, positive: FloatArray, moments: FloatArray
    ) -> tuple[Part, FloatArray, float]:
        """What the keys sum; what `bounded_query` needs, and the largest 1/D. Shapes: numbers (b, 4) -> (b, 4)."""
        dO = self._dO(rows)  # (b, e)
        if not self.bounds:
            y, none = kernels.answers(numbers, dO), x[:, :0].copy()  # (b, 1 + e), (b, 0)
            return Part(x, y, (y, none, none)), none, 0.0
        *groups, parts, worst, largest = compiled_rows()[0](
            numbers, positive, moments, x, dO, self.bounds.moved(rows), *self._by_row
        )
        self.bounds.accept(worst)
        return Part(x, groups[0][:, : 1 + self.e], tuple(groups)), parts, largest

    @cached_property
    def _by_row(self) -> tuple[FloatArray, Units, Fixed]:
        assert self.bounds
        r = self.ranges
        units = Units(r.k, r.v, inverse(self._q), inverse(r.v), inverse(r.dO), self.V_error)
        return self.bounds.table, units, self.bounds.fixed

    @cached_property
    def _q(self) -> FloatArray:
        """Units of the queries: those of a column of zeros are not as small as what it may have lost."""
        q = self.ranges.q  # (d,)
        return np.maximum(q, max(unit(self.head.dtype) * q.max(), np.finfo(np.float64).tiny))

    def _output_of(self, x: FloatArray, rows: slice, found: Groups) -> Output:
        factor, moments, absolute = found[0][:, : 1 + self.e], found[1], found[2]
        mean = factor[:, 1:] / factor[:, :1]  # (b, e)
        value = mean + self.ranges.middle.astype(self.head.dtype)  # (b, e)
        if not self.bounds:
            return Output(rows, value, None)
        numbers = kernels.numbers(factor, moments, absolute, np.zeros_like(mean))  # (b, 4)
        bound, worst, largest = compiled_rows()[1](
            numbers, moments[:, 1:], mean, x, self.bounds.moved(rows), *self._by_row
        )
        self.bounds.accept(worst)
        floor = self.bounds.floor(largest, self.ranges.v.max()) + self.V_error  # (e,)
        return Output(rows, value, self._bounded(value, bound, self.ranges.v, floor))

    def _bounded(self, value: FloatArray, row: FloatArray, column: FloatArray, floor: Any) -> FloatArray:
        assert self.bounds
        floors = np.broadcast_to(floor, column.shape) + 0.0  # (c,)
        bound: FloatArray = kernels.bounded(value, row, column, self._per_value, floors, self.bounds.spare)  # (b, c)
        return bound

    @property
    def _per_value(self) -> float:
        return 4 * unit(self.head.dtype)

    def _answer_of(self, rows: slice, pulled: FloatArray, parts: FloatArray, largest: float) -> QuerySide:
        units = self.head.scale * self.ranges.balance
        dQ = units * pulled  # (b, d)
        if not self.bounds:
            return QuerySide(rows, dQ, None)
        floor = self.bounds.floor(largest, self.ranges.v.max(), self.ranges.dO.max(), self.ranges.k.max())
        column = abs(units) * self.ranges.k  # (d,)
        return QuerySide(rows, dQ, kernels.bounded_query(dQ, parts, column, self._per_value, floor, self.bounds.spare))

    def _output_chunk(self, rows: slice, weighted: Groups) -> Output:
        x = self._query_rows(rows)
        return self._output_of(x, rows, kernels.read(*self._read_features, x, weighted))

    def _masked_output(self, scan: Scan) -> Output:
        x = self._query_rows(scan.rows)
        return self._output_of(x, scan.rows, self._masked_read(x, scan))

    def _masked_read(self, x: FloatArray, scan: Scan) -> Groups:
        within, sums = (np.ascontiguousarray(s[..., : self.k, :]) for s in (scan.within[0], scan.sums[0]))
        found: Groups = kernels.masked_read(
            *self._read_features, x, scan.part.x, scan.part.groups, (within, *scan.within[1:]), (sums, *scan.sums[1:]),
            self._group_weights, self._polynomials,
        )  # fmt: skip
        return found

    def _masked_pull(self, x: FloatArray, factor: FloatArray, scan: Scan) -> FloatArray:
        split = 1 + self.e
        within, sums = (np.ascontiguousarray(s[..., :split]) for s in (scan.within[0], scan.sums[0]))
        pulled: FloatArray = kernels.masked_pull(
            self._features[0], self.step, x, scan.part.x, factor, scan.part.factor, within, sums,
            self.w_integral.ravel(), self._R,
        )  # fmt: skip
        return pulled

    def _asked(self, rows: slice, x: FloatArray, found: Groups) -> tuple[FloatArray, tuple[Part, FloatArray, float]]:
        """The numbers of a chunk of queries that have read the keys, and what `_query_part` makes of them."""
        numbers: FloatArray = kernels.numbers(*found, self._dO(rows))  # (b, 4)
        return numbers, self._query_part(rows, x, numbers, found[0][:, 1 + self.e :], found[1][:, 1:])

    def _query_chunk(self, rows: slice, weighted: Groups, slopes: FloatArray, output: bool) -> Answered:
        x = self._query_rows(rows)
        found = kernels.read(*self._read_features, x, weighted)
        mean = self._output_of(x, rows, found) if output else None
        numbers, (part, parts, largest) = self._asked(rows, x, found)
        sums = self._absorbed(part, 2)
        pulled = kernels.pull(self._features[0], self.step, x, part.factor, slopes)  # (b, d)
        return Answered(self._answer_of(rows, pulled, parts, largest)._replace(output=mean), largest, numbers, sums)

    def _masked_query_chunk(self, scan: Scan, added: bool, output: bool) -> Answered:
        x = self._query_rows(scan.rows)
        found = self._masked_read(x, scan)
        mean = self._output_of(x, scan.rows, found) if output else None
        numbers, (part, parts, largest) = self._asked(scan.rows, x, found)
        sums = self._absorbed(part, 2) if added else self.nothing(2)
        pulled = self._masked_pull(x, part.factor, scan)  # (b, d)
        answer = self._answer_of(scan.rows, pulled, parts, largest)._replace(output=mean)
        return Answered(answer, largest, numbers, sums)

    def _reply_of(self, rows: slice, found: Groups, pulled: FloatArray) -> KeySide:
        split, ranges = 1 + self.e, self.ranges
        dK, dV = pulled / ranges.balance, np.ascontiguousarray(found[0][:, 1:split])  # (b, d), (b, e)
        if not self.bounds:
            return KeySide(rows, dK, dV, None, None)
        of_K, of_V = (found[0][:, split:] + found[1] + found[2]).T.astype(np.float64)  # (b,) both
        floor_K, floor_V = self._reply_floors()
        return KeySide(
            rows, dK, dV,
            self._bounded(dK, of_K, self._q / ranges.balance, floor_K), self._bounded(dV, of_V, ranges.dO, floor_V),
        )  # fmt: skip

    def _key_chunk(self, rows: slice, weighted: Groups, slopes: FloatArray) -> KeySide:
        part = self._key_part(rows)
        found = kernels.read(*self._read_features, part.x, weighted)
        return self._reply_of(rows, found, kernels.pull(self._features[0], self.step, part.x, part.factor, slopes))

    def _masked_key_chunk(self, scan: Scan) -> KeySide:
        keys = reversed_part(self._key_part(scan.rows))
        factor, moments, absolute = (group[::-1] for group in self._masked_read(keys.x, scan))
        pulled = self._masked_pull(keys.x, keys.factor, scan)  # (b, d)
        found = factor, moments, absolute
        return self._reply_of(scan.rows, found, np.ascontiguousarray(pulled[::-1]))


def inverse(columns: FloatArray) -> FloatArray:
    """One over each, or 0. Shapes: (c,) -> (c,)."""
    return np.divide(1.0, columns, out=np.zeros_like(columns), where=columns > 0)


def plus(one: Groups, other: Groups) -> Groups:
    return tuple(a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def zeros_like(groups: Groups) -> Groups:
    return tuple(np.zeros_like(group) for group in groups)  # type: ignore[return-value]


def reversed_part(part: Part) -> Part:
    """The same rows, the last one first, as a mask is read from the other end."""
    x, factor, *groups = (np.ascontiguousarray(array[::-1]) for array in (part.x, part.factor, *part.groups))
    return Part(x, factor, tuple(groups))  # type: ignore[arg-type]
