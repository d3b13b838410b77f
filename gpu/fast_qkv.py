r"""`reference.fast_qkv` on a CUDA device: the same formulas for all heads at once, with the sums of its kernels.

The rows are taken in chunks, of as many rows as fill a device, whatever n is. One launch sums a chunk of every head,

.. math:: \mathrm{absorb}: \sigma = \sum_j \varphi(k_j)^\top v_j, \qquad
          \mathrm{read}: \varphi(q_i)\, w\, \sigma, \qquad
          \mathrm{pull}: \nabla_{q_i} \sum_a \varphi_a(q_i)\, w_a \langle \sigma_a, y_i \rangle

and the monomials φ never reach the device's memory (`gpu.device`). The method "paper" sums v_j ⊗ k_j in place of v_j,
one column of v_j at a time: the rows of Fact C.2's product, which are not written out either.

**Causal.** A chunk is cut into segments of L rows. `absorb` gives the sum of each; those of the segments before, and
what the chunks before have left, are added in float64 and read; the pairs within a segment are taken one by one
(`near_read`, `near_pull`). The keys read the queries that come after them: the chunks from the last to the first, the
sums of the segments that follow, and within a segment the pairs with j ≥ i.

**The bound** is that of `reference.certificate` with one column for all keys and one for all values, as in
`reference.compiled`, by the formulas of `reference.row_bounds` on columns of all heads. Rows are summed in their own
precision at most STEP at a time, under the mask at most max(STEP, L), and these sums are added in float64: that is the
certificate's `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from math import log2, sqrt
from typing import Any, NamedTuple

import numpy as np

from gpu import device
from reference.certificate import BINS, Head, Ranges, as_float, unit
from reference.fast_qkv import LARGEST_STATE, Fast, KeySide, Output, QuerySide, centres, ranges_of
from reference.masked_product import blocks
from reference.row_bounds import (
    Coefficients,
    Errors,
    Facts,
    Numbers,
    coefficients,
    for_keys,
    largest_inverse,
    or_infinite,
    output_bound,
    query_bound,
    relative_rounding,
    which_bin,
)
from reference.shapes import FloatArray, refuse

ROWS = 2**20  # that are taken at once, of all heads together
KEPT = 2**27  # numbers in the sums of the segments of a chunk, at most where one segment has less
SEGMENTS = 64, 1024  # rows of a segment, at least and at most

Sums = list[FloatArray]  # one for each `Sum`


class Sum(NamedTuple):
    """One of the sums over the rows of a side: of which monomials, and how the other side weights them."""

    degree: int
    lowest: int
    absolute: bool
    read_degree: int
    weights: FloatArray  # (k, 1)
    polynomial: FloatArray  # (g + 1,), of a score, which gives the same weights


class Part(NamedTuple):
    """A chunk of queries or of keys, of all heads, and what it adds to the sums that the other side reads."""

    x: FloatArray  # (H, b, d)
    factor: FloatArray  # (H, b, 1 + e): y of a query, v of a key
    columns: list[FloatArray]  # (H, b, c) each: the factor and what the bound sums with P(S); with S^h; with P̄(|q||k|)


class Near(NamedTuple):
    """The other side's rows in the same segment, and whether they come after."""

    other: Part
    reverse: bool


class Judged(NamedTuple):
    """What the bounds of a chunk of queries are made of."""

    facts: Facts
    at: Coefficients
    numbers: Numbers  # float64


class Heads(Fast):
    """All heads at once."""

    # --- ranges

    @classmethod
    def measure(cls, head: Head, words: Any) -> Ranges:
        """The ranges of each head, on the host: (H, 1, d), (H, 1, e) and (H, 1, 1)."""
        xp = device.current().xp
        K, V = _extremes(head.K, head.m), _extremes(head.V, head.m)  # (2, H, d), (2, H, e)
        (low_K, high_K), (low_V, high_V) = K.astype(np.float64), V.astype(np.float64)  # (H, d), (H, e) twice
        centre, middle = centres(low_K, high_K, low_V, high_V, head.dtype)  # (H, d), (H, e)
        k = words.finite(f"{words.K} − centre", _farthest(K, centre))  # (H, d)
        v = words.finite(f"{words.V} − middle", _farthest(V, middle))  # (H, e)
        on_device = xp.asarray(centre[:, None])  # (H, 1, d)
        longest_k = _longest(lambda rows: flat(head.K(rows)) - on_device, head.m, k)  # (H,)

        def scaled(rows: slice) -> FloatArray:
            return head.scale * head.Q(rows)  # (..., b, d)

        q = words.finite(f"scale {words.Q}", np.abs(_extremes(scaled, head.n)).max(axis=0))  # (H, d)
        longest_q = _longest(scaled, head.n, q)  # (H,)
        dO = np.zeros_like(v) if head.dO is None else np.abs(_extremes(head.dO, head.n)).max(axis=0)  # (H, e)
        k, v, q, dO = (largest.astype(np.float64) for largest in (k, v, q, dO))
        every = zip(zip(centre, middle, k, longest_k, v, strict=True), zip(q, longest_q, dO, strict=True), strict=True)
        fields = zip(*(ranges_of(head, *one) for one in every), strict=True)
        return _with_what_is_lost(Ranges(*(np.stack(field).reshape(len(k), 1, -1) for field in fields)), head)

    def _foresee(self) -> None:
        """Refuse a rank whose sums would not fit, those of all heads together."""
        entries = len(self.ranges.q) * 2 * self._numbers_in_sums
        if entries > 8 * LARGEST_STATE:
            refuse(
                self.words.function,
                "the polynomial",
                f"of degree {self.degree} in d = {self.d} variables has rank {self.k} and would carry {entries}"
                f" numbers for {len(self.ranges.q)} heads",
                f"at most {8 * LARGEST_STATE}: a larger rtol, smaller scores (now up to {self.ranges.scores:.4g}),"
                " heads of fewer dimensions or fewer heads at once",
            )

    @property
    def _numbers_in_sums(self) -> int:
        """Of one head and one segment."""
        kronecker = self.k * (1 + self.e) * self.d if self.method == "paper" else 0
        return self.k_top * (1 + self.e + 2) + 3 * self.k + kronecker

    # --- sizes

    def _step(self) -> int:
        return max(device.STEP, self.segment if self.head.causal else 0)

    @property
    def segment(self) -> int:
        """L: a power of two near 12 √k, where the pairs cost as much as writing and reading the sums (docs/gpu.md)."""
        least, most = SEGMENTS
        return int(min(max(2 ** round(log2(12 * sqrt(self.k))), least), most))

    @property
    def block(self) -> int:
        """Rows of a chunk of each head: whole steps."""
        heads, segment = len(self.ranges.q), max(self.segment, device.STEP)
        rows = ROWS // heads
        if self.head.causal:
            rows = min(rows, self.segment * (KEPT // (heads * self._numbers_in_sums)))
        return segment * max(1, rows // segment)

    # --- constants on the device

    @cached_property
    def device(self) -> Any:
        return device.current()

    def _put(self, array: Any, dtype: Any = np.float64) -> Any:
        return self.device.xp.asarray(np.asarray(array).astype(dtype))

    @cached_property
    def own(self) -> Ranges:
        """The ranges in the operands' precision."""
        return Ranges(*(self._put(field, self.head.dtype) for field in self.ranges))

    @cached_property
    def wide(self) -> Ranges:
        """The ranges in float64."""
        return Ranges(*map(self._put, self.ranges))

    @cached_property
    def per(self) -> Ranges:
        """One over the ranges in float64, or 0."""
        with np.errstate(divide="ignore"):
            return Ranges(*(self._put(np.where(field > 0, 1 / field, 0)) for field in self.ranges))

    @cached_property
    def _lost(self) -> tuple[Any, Any]:
        query, key = lost(self.head, self.ranges.balance)  # (H, 1, 1) both
        return self._put(query), self._put(key)

    @cached_property
    def fixed(self) -> Any:
        """Those of the certificate, with the longest key of each head."""
        assert self.bounds
        fixed = self.bounds.fixed
        return fixed._replace(longest_k=self.wide.longest_k if self.bounds.scores > 0 else 1.0)

    @cached_property
    def table(self) -> Any:
        assert self.bounds
        return self._put(self.bounds.table)  # (BINS, 4)

    @cached_property
    def sums(self) -> list[Sum]:
        """What is summed: with P(S), and for the bounds with S^h and with P̄(|q||k|)."""
        h, one = self.power, Sum(self.top, 0, False, self.degree, self._put(self.w, self.head.dtype), self._P)
        if not self.bounds:
            return [one]
        moment = np.eye(h + 1)[-1]  # (h + 1,)
        return [
            one,
            Sum(h, h, False, h, self._put(self.w_moment, self.head.dtype), self._put(moment, self.head.dtype)),
            Sum(self.degree, 0, True, self.degree, np.abs(one.weights), np.abs(self._P)),
        ]

    @cached_property
    def _P(self) -> Any:
        return self._coefficients(self.polynomial.coefficients)  # (g + 1,)

    @cached_property
    def _R(self) -> Any:
        slope = self.polynomial.derivative or (0,)
        return self._coefficients(slope) if self.method == "differentiate" else self._P  # (g,) or (g + 1,)

    def _coefficients(self, polynomial: Any) -> Any:
        return self._put([as_float(c) for c in polynomial], self.head.dtype)

    @cached_property
    def _units(self) -> Any:
        return self._put(self.head.scale * self.ranges.balance, self.head.dtype)  # (H, 1, 1)

    @cached_property
    def _slopes(self) -> Any:
        return self._put(self.w_integral, self.head.dtype)  # (k̂, 1)

    # --- the sums

    def output(self) -> Iterator[Output]:
        for rows, sums, near in self._with_keys():
            x = self._query_rows(rows)  # (H, b, d)
            yield self._output_of(rows, x, self._read_by(x, sums, near))

    def gradient(self, output: bool = False) -> Iterator[QuerySide | KeySide]:
        kept: list[FloatArray] = []  # (H, b, 4) each, the numbers of the queries
        queries: Sums = []
        for rows, sums, near in self._with_keys():
            x = self._query_rows(rows)  # (H, b, d)
            found = self._read_by(x, sums, near)
            mean = self._output_of(rows, x, found) if output else None
            numbers = self._numbers_of(rows, found)
            part, judged = self._query_part(rows, x, numbers)
            yield self._answer_of(rows, found, judged, self._pulled_by(part, sums, near))._replace(output=mean)
            if self.head.causal:
                kept.append(np.concatenate(list(numbers), axis=-1))
            else:
                queries = plus(queries, self._absorbed(part))
        for rows, sums, near in self._with_queries(queries, kept):
            key = self._key_part(rows)
            yield self._reply_of(rows, self._read_by(key.x, sums, near), self._pulled_by(key, sums, near))

    def _with_keys(self) -> Iterator[tuple[slice, Sums, Near | None]]:
        """Rows of queries, with the sums over the keys that they see."""
        if self.head.causal:
            yield from self._scan(list(blocks(self.head.n, self.block)), self._key_part, reverse=False)
            return
        keys: Sums = []
        for rows in blocks(self.head.m, self.block):
            keys = plus(keys, self._absorbed(self._key_part(rows)))
        for rows in blocks(self.head.n, self.block):
            yield rows, keys, None

    def _with_queries(self, queries: Sums, kept: list[FloatArray]) -> Iterator[tuple[slice, Sums, Near | None]]:
        """Rows of keys, with the sums over the queries that see them: all, or those that are made again."""
        if not self.head.causal:
            for rows in blocks(self.head.m, self.block):
                yield rows, queries, None
            return

        def again(rows: slice) -> Part:
            numbers = Numbers(*np.split(kept.pop(), len(Numbers._fields), axis=-1))  # (H, b, 1) each
            return self._query_part(rows, self._query_rows(rows), numbers)[0]

        yield from self._scan(list(blocks(self.head.n, self.block))[::-1], again, reverse=True)

    def _scan(
        self, every: list[slice], part_of: Callable[[slice], Part], *, reverse: bool
    ) -> Iterator[tuple[slice, Sums, Near]]:
        """Chunk by chunk, the sums before each segment; with `reverse` those after it, and `every` is from the end."""
        carried: Sums = []
        for rows in every:
            part = part_of(rows)
            before, carried = exclusive(self._absorbed(part), carried, reverse)
            yield rows, before, Near(part, reverse)

    def _length(self, x: FloatArray) -> int:
        """L: rows of a segment."""
        return self.segment if self.head.causal else x.shape[1]

    def _absorbed(self, part: Part) -> Sums:
        """The sums over each segment, (H, s, k, c) each; the last 1 + e of "paper" are those of v_j ⊗ k_j."""
        x, L = part.x, self._length(part.x)
        sums = [
            self.device.absorb(x, columns, one.degree, L, absolute=one.absolute, lowest=one.lowest)
            for columns, one in zip(part.columns, self.sums, strict=True)
        ]
        if self.method == "paper":
            factors = (part.factor[..., a : a + 1] for a in range(1 + self.e))  # (H, b, 1) each
            sums += [self.device.absorb(x, contiguous(v * x), self.degree, L) for v in factors]
        return sums

    def _read_by(self, x: FloatArray, sums: Sums, near: Near | None) -> list[FloatArray]:
        """What each row reads from each sum. Shapes: x (H, b, d) -> (H, b, c) each."""
        L, found = self._length(x), []
        for total, one in zip(sums[: len(self.sums)], self.sums, strict=True):
            weighted = self._weighted(one.weights, total)  # (H, s, k, c)
            read = self.device.read(x, weighted, one.read_degree, L, absolute=one.absolute, lowest=one.lowest)
            found.append(read)
        if near is None:
            return found
        y, reverse = near.other.x, near.reverse
        return [
            read + self.device.near_read(x, y, columns, one.polynomial, L, absolute=one.absolute, reverse=reverse)
            for read, columns, one in zip(found, near.other.columns, self.sums, strict=True)
        ]

    def _pulled_by(self, part: Part, sums: Sums, near: Near | None) -> FloatArray:
        """Σ_j p_ij x_j, x being the other side's: the part of the gradient through S. Shapes: -> (H, b, d)."""
        x, factor, L = part.x, part.factor, self._length(part.x)
        if self.method == "paper":
            products = (
                self.device.read(x, self._weighted(self.sums[0].weights, total), self.degree, L)
                * factor[..., a : a + 1]
                for a, total in enumerate(sums[len(self.sums) :])
            )  # (H, b, d) each
            pulled: FloatArray = sum(products, start=np.zeros_like(x))
        else:
            pulled = self.device.pull(x, factor, self._weighted(self._slopes, sums[0][..., : 1 + self.e]), self.top, L)
        if near is None:
            return pulled
        other = near.other
        within: FloatArray = self.device.near_pull(x, other.x, factor, other.factor, self._R, L, reverse=near.reverse)
        return pulled + within

    def _weighted(self, weights: FloatArray, total: FloatArray) -> FloatArray:
        """What a row is multiplied by. Shapes: (k, 1), (H, s, k̂, c) -> (H, s, k, c)."""
        return contiguous(self._own(weights * total[..., : len(weights), :]))

    # --- chunks

    def _key_part(self, rows: slice) -> Part:
        own = self.own
        x = contiguous((flat(self.head.K(rows)) - own.centre) / own.balance)  # (H, b, d)
        values = flat(self.head.V(rows)) - own.middle  # (H, b, e)
        one = np.ones_like(x[..., :1])  # (H, b, 1)
        v = np.concatenate([one, values], axis=-1)  # (H, b, 1 + e)
        if not self.bounds:
            return Part(x, v, [v])
        of_key, of_value = self._own(largest(x, self.per.k)), self._own(largest(values, self.per.v))  # (H, b, 1) both
        columns = [v, of_key], [one, of_key, of_value], [one]
        return Part(x, v, [np.concatenate(some, axis=-1) for some in columns])

    def _query_rows(self, rows: slice) -> FloatArray:
        return contiguous(self.head.scale * flat(self.head.Q(rows)) * self.own.balance)  # (H, b, d)

    def _cotangent(self, rows: slice) -> FloatArray:
        return flat(self._dO(rows))  # (H, b, e)

    def _numbers_of(self, rows: slice, found: list[FloatArray]) -> Numbers:
        D = found[0][..., :1]  # (H, b, 1)
        mean = found[0][..., 1 : 1 + self.e] / D  # (H, b, e)
        K = (self._cotangent(rows) * mean).sum(axis=-1, keepdims=True)  # (H, b, 1)
        return Numbers(D, K, *self._loss_and_moment(found))

    def _loss_and_moment(self, found: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        D = found[0][..., :1]  # (H, b, 1)
        return (found[2] / D, found[1][..., :1]) if self.bounds else (0 * D, 0 * D)

    def _query_part(self, rows: slice, x: FloatArray, numbers: Numbers) -> tuple[Part, Judged | None]:
        dO = self._cotangent(rows)  # (H, b, e)
        y = np.concatenate([-numbers.K / numbers.D, dO / numbers.D], axis=-1)  # (H, b, 1 + e)
        if not self.bounds:
            return Part(x, y, [y]), None
        judged = self._judged(rows, x, dO, numbers)
        sums = for_keys(judged.facts, judged.at, judged.numbers, 1.0, self.fixed)
        columns = [y, sums.x, sums.dO], [sums.x_moment, sums.dO_moment], [sums.x_absolute, sums.dO_absolute]
        return Part(x, y, [np.concatenate([*map(self._own, some)], axis=-1) for some in columns]), judged

    # --- bounds

    def _judged(self, rows: slice, x: FloatArray, dO: FloatArray, numbers: Numbers) -> Judged:
        """The coefficients of each query, by the errors on its part of the range."""
        assert self.bounds
        exact = Numbers(*(number.astype(np.float64) for number in numbers))  # (H, b, 1) each
        facts, size = self._facts(rows, x, dO), np.abs(x).astype(np.float64)  # (H, b, d)
        length = np.sqrt((size * size).sum(axis=-1, keepdims=True))  # (H, b, 1)
        bins = which_bin(length, BINS, self.fixed).astype(int)  # (H, b, 1)
        errors = Errors(*(self.table[:, t][bins] for t in range(len(Errors._fields))))  # (H, b, 1) each
        rho = relative_rounding(exact, self.fixed)  # (H, b, 1)
        self.bounds.accept(float(rho.max()))
        return Judged(facts, coefficients(facts, errors, exact, rho, self.fixed), exact)

    def _facts(self, rows: slice, x: FloatArray, dO: FloatArray) -> Facts:
        """`certificate.Facts` with one column for x and one for dO, in units of the largest entries."""
        moved, sizes = self._moved(rows), np.abs(dO).astype(np.float64)  # (H, 1 or b, d), (H, b, e)
        size = np.abs(x).astype(np.float64)  # (H, b, d)
        moved_most, dO_most = largest(moved, self.per.q), largest(dO, self.per.dO)  # (H, 1 or b, 1), (H, b, 1)
        V_error = 0.0 if self.head.V_error is None else self.head.V_error.astype(np.float64)  # (e,)
        _, of_key = self._lost  # (H, 1, 1)
        return Facts(
            reach=(size * self.wide.k).sum(axis=-1, keepdims=True),
            mu=(sizes * self.wide.v).sum(axis=-1, keepdims=True),
            moved=(sizes * V_error).sum(axis=-1, keepdims=True),
            sigma=(moved * self.wide.k + (size + moved) * of_key).sum(axis=-1, keepdims=True),
            x=largest(x, self.per.q),
            x_moved=moved_most,
            x_moved_most=moved_most,
            dO=dO_most,
            dO_most=dO_most,
        )

    def _moved(self, rows: slice) -> FloatArray:
        """How far rounding may have moved the queries. Shapes: -> (H, 1, d) or (H, b, d)."""
        least, _ = self._lost  # (H, 1, 1)
        if self.head.Q_error is None:
            return np.zeros_like(self.wide.k) + least
        errors = flat(self.head.Q_error(rows)).astype(np.float64)  # (H, b, d)
        return abs(self.head.scale) * errors * self.wide.balance + least

    def _output_of(self, rows: slice, x: FloatArray, found: list[FloatArray]) -> Output:
        D = found[0][..., :1]  # (H, b, 1)
        mean = found[0][..., 1 : 1 + self.e] / D  # (H, b, e)
        value = mean + self.own.middle  # (H, b, e)
        if not self.bounds:
            return Output(rows, self._shaped(value), None)
        numbers = Numbers(D, 0 * D, *self._loss_and_moment(found))
        facts, at, exact = self._judged(rows, x, np.zeros_like(mean), numbers)
        moments = found[1][..., 2:].astype(np.float64)  # (H, b, 1), of the values
        row = output_bound(facts, at, exact.D, moments, largest(mean, self.per.v), 1.0, self.fixed)  # (H, b, 1)
        floor = self.bounds.floor(largest_inverse(exact.D, at.rho), self.ranges.v.max())
        V_error = 0.0 if self.head.V_error is None else self.head.V_error.astype(np.float64)  # (e,)
        bound = self.bounds.whole(row * self.wide.v, value, floor + V_error)  # (H, b, e)
        return Output(rows, self._shaped(value), self._shaped(bound))

    def _answer_of(self, rows: slice, found: list[FloatArray], judged: Judged | None, pulled: FloatArray) -> QuerySide:
        units = self._units  # (H, 1, 1)
        dQ = units * pulled  # (H, b, d)
        if not (self.bounds and judged):
            return QuerySide(rows, self._shaped(dQ), None)
        facts, at, numbers = judged
        positive, moments = found[0][..., 1 + self.e :].astype(np.float64), found[1][..., 1:2].astype(np.float64)
        by_ratio, by_moment, tau, more = query_bound(facts, at, numbers, positive, moments, 1.0, self.fixed)
        column = np.abs(units) * self.wide.k  # (H, 1, d)
        far = or_infinite(by_moment * column + tau * np.abs(dQ))  # (H, b, d)
        bound = np.minimum(by_ratio * column, far) + more * column  # (H, b, d)
        inverse = largest_inverse(numbers.D, at.rho)
        self.remember(inverse)
        ranges = self.ranges
        floor = self.bounds.floor(inverse, ranges.v.max(), ranges.dO.max(), ranges.k.max())
        return QuerySide(rows, self._shaped(dQ), self._shaped(self.bounds.whole(bound, dQ, floor)))

    def _reply_of(self, rows: slice, found: list[FloatArray], pulled: FloatArray) -> KeySide:
        split, own, wide = 1 + self.e, self.own, self.wide
        dK, dV = pulled / own.balance, found[0][..., 1:split]  # (H, b, d), (H, b, e)
        if not self.bounds:
            return KeySide(rows, self._shaped(dK), self._shaped(dV), None, None)
        by_P, by_power, by_rounding = (part.astype(np.float64) for part in (found[0][..., split:], *found[1:]))
        of_both = by_P + by_power + by_rounding  # (H, b, 2)
        floor_K, floor_V = self._reply_floors()
        dK_bound = self.bounds.whole(of_both[..., :1] * (wide.q / wide.balance), dK, floor_K)  # (H, b, d)
        dV_bound = self.bounds.whole(of_both[..., 1:] * wide.dO, dV, floor_V)  # (H, b, e)
        return KeySide(rows, *map(self._shaped, (dK, dV, dK_bound, dV_bound)))

    @cached_property
    def _batch(self) -> tuple[int, ...]:
        return self.head.Q(slice(0, 1)).shape[:-2]

    def _shaped(self, array: FloatArray) -> FloatArray:
        """With the operands' leading dimensions. Shapes: (H, b, c) -> (..., b, c)."""
        return array.reshape(*self._batch, *array.shape[1:])


# --- arrays of all heads


def flat(array: FloatArray) -> FloatArray:
    """All leading dimensions as one. Shapes: (..., b, c) -> (H, b, c)."""
    return array.reshape(-1, *array.shape[-2:])


def contiguous(array: FloatArray) -> FloatArray:
    return np.ascontiguousarray(array, like=array)


def largest(array: FloatArray, per: FloatArray) -> FloatArray:
    """max_c |x_c| per_c of each row. Shapes: (H, b, c), (H, 1, c) -> (H, b, 1)."""
    sizes: FloatArray = (np.abs(array) * per).max(axis=-1, keepdims=True)  # (H, b, 1)
    return sizes


def plus(one: Sums, other: Sums) -> Sums:
    """The sums of both; no sums are zero."""
    return [a + b for a, b in zip(one, other, strict=True)] if one else other


def exclusive(sums: Sums, carried: Sums, reverse: bool) -> tuple[Sums, Sums]:
    """What is carried and the sums of all segments before each; the same after the last. Shapes: (H, s, k, c) each."""
    found = [_exclusive(own, first, reverse) for own, first in zip(sums, carried or nothing(sums), strict=True)]
    return [before for before, _ in found], [after for _, after in found]


def _exclusive(sums: FloatArray, carried: FloatArray, reverse: bool) -> tuple[FloatArray, FloatArray]:
    """Shapes: (H, s, k, c), (H, 1, k, c) -> (H, s, k, c), (H, 1, k, c)."""
    if reverse:
        before, after = _exclusive(sums[:, ::-1], carried, reverse=False)
        return before[:, ::-1], after
    before = np.cumsum(np.concatenate([carried, sums[:, :-1]], axis=1), axis=1)  # (H, s, k, c)
    return before, before[:, -1:] + sums[:, -1:]


def nothing(sums: Sums) -> Sums:
    return [np.zeros_like(total[:, :1]) for total in sums]


# --- ranges


def lost(head: Head, balance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What underflow may take from an entry of a query and of a key, in the units of both. Shapes: all (H, 1, 1).

    CuPy compiles with -ftz=true: subnormal numbers of float32, read or made, count as 0.
    """
    least = float(np.finfo(head.dtype).tiny)
    return least * ((1 + abs(head.scale)) * balance + 1), least * (3 / balance + 1)


def _with_what_is_lost(ranges: Ranges, head: Head) -> Ranges:
    """And no column of queries so small beside others that what it may have lost is much in its own unit."""
    (of_query, of_key), root = lost(head, ranges.balance), sqrt(head.d)  # (H, 1, 1) both
    q = ranges.q + of_query  # (H, 1, d)
    return ranges._replace(
        q=np.maximum(q, unit(head.dtype) * q.max(axis=-1, keepdims=True)),
        k=ranges.k + of_key,
        longest_q=ranges.longest_q + root * of_query,
        longest_k=ranges.longest_k + root * of_key,
    )


def _extremes(operand: Callable[[slice], FloatArray], n: int) -> FloatArray:
    """The least and largest entry of each column of each head, on the host. Shapes: -> (2, H, c)."""
    found = [(block.min(axis=1), block.max(axis=1)) for block in _chunks(operand, n)]  # (H, c) twice each
    lows, highs = (np.stack(ends) for ends in zip(*found, strict=True))  # (chunks, H, c) both
    ends: FloatArray = device.current().xp.asnumpy(np.stack([lows.min(axis=0), highs.max(axis=0)]))  # (2, H, c)
    return ends


def _chunks(operand: Callable[[slice], FloatArray], n: int) -> Iterator[FloatArray]:
    """All rows of all heads, a chunk at a time. Shapes: -> (H, b, c)."""
    heads = len(flat(operand(slice(0, 1))))
    return (flat(operand(rows)) for rows in blocks(n, max(1, ROWS // heads)))


def _farthest(ends: FloatArray, centre: FloatArray) -> FloatArray:
    """The largest |x − centre| of each column, rounded as x is. Shapes: (2, H, c), (H, c) -> (H, c)."""
    low, high = ends  # (H, c) both
    return np.maximum(high - centre, centre - low)


def _longest(operand: Callable[[slice], FloatArray], n: int, largest: FloatArray) -> FloatArray:
    """The largest Euclidean norm of a row, of which no entry is above `largest`. Shapes: (H, c) -> (H,)."""
    xp, most = device.current().xp, largest.max(axis=1).astype(np.float64)  # (H,)
    most[most == 0] = 1  # or squares may underflow or overflow
    per = xp.asarray(1 / most[:, None, None])  # (H, 1, 1)
    norms = [np.linalg.norm(block * per, axis=-1).max(axis=1) for block in _chunks(operand, n)]  # (H,) each
    found: FloatArray = most * xp.asnumpy(np.stack(norms).max(axis=0))  # (H,)
    return found
