r"""Almost-linear attention and its gradients in Q, K, V for one head, with a bound on their error.

**The approximation.** The exponential is replaced by a polynomial P, positive on the range of the scores:

.. math::

    A_{ij} = M_{ij} P(S_{ij}), \quad D_i = \sum_j A_{ij}, \quad f = D^{-1} A, \quad s = f V, \quad
    p_{ij} = \frac{M_{ij} R(S_{ij})}{D_i} (q_{ij} - K_i), \quad q = dO\, V^\top, \quad K_i = \langle dO_i, s_i \rangle

with R = P for the methods "paper" and "antiderivative": p is C.12's p with f approximated; and R = P′ for the method
"differentiate": p is the cotangent of the scores in the approximate forward pass itself. The gradients are
dQ = τ p K, dK = τ pᵀ Q, dV = fᵀ dO in every case.

**No n × m matrix.** P(S) = φ(Q) w φ(K)ᵀ with the monomials φ of `low_rank`. Write y_i = (−K_i, dO_i)/D_i and
v_j = (1, V_j): then p_ij = R(S_ij) ⟨y_i, v_j⟩, and there are two ways to sum p_ij k_j over j in linear time.

- "paper": p = (φ(Q) w ⊘ y)(φ(K) ⊘ v)ᵀ by Fact C.2, factors of rank binom(d+g, g)(e + 1) (E.4, E.7, E.9, I.6).
- Otherwise, with an antiderivative R̂ of R, which has one more degree than R,

  .. math:: \sum_j R(\langle q_i, k_j \rangle) \langle y_i, v_j \rangle\, k_j
            = \nabla_{q_i} \sum_j \hat R(\langle q_i, k_j \rangle) \langle y_i, v_j \rangle

  with y and v held fixed: the sum on the right is a product with monomials φ̂ up to the degree of R̂, and its gradient
  is reverse-mode differentiation through their recursion (`low_rank.monomials_vjp`). For R = P′ take R̂ = P.

The keys are read once into sums over j, the queries then read these and are summed in their turn, and the keys read
those. Under a causal mask both sums run along with the rows, the first from the front and the second from the end.

**Range.** Subtracting one vector from all keys changes no softmax, one from all values only shifts the output: keys
and values are taken relative to the middle of their range. The centre of the keys is rounded to an eighth of their
spread, so it is constant in K almost everywhere and differentiation need not know of it. No score of query i is larger
than B_i = |τ| ‖q_i‖ max_j ‖k_j‖.

**The bound** on the distance from the exact gradient is in `certificate`.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from math import ceil, isfinite, log2
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np

from reference import backend
from reference.certificate import Certificate, Head, Ranges, Read, as_float, unit
from reference.errors import AltgradError
from reference.low_rank import monomials, monomials_vjp, rank, row_kronecker, weights
from reference.masked_product import RunningSum, blocks, within
from reference.polynomial import ExpPolynomial, exp_polynomial, taylor
from reference.row_bounds import Coefficients, Facts, Numbers, largest_inverse
from reference.shapes import FloatArray, refuse

Method = Literal["paper", "antiderivative", "differentiate"]
METHODS: tuple[Method, ...] = get_args(Method)

LARGEST_STATE = 2**27  # entries of all sums that are carried along: 1 GiB in float64
LARGEST_BLOCK = 2**21  # entries of the features of one block
ROWS = 512  # of a block, at most
LONG = 2**12  # rows from which on compiled loops pay for being loaded


@dataclass(frozen=True, eq=False)
class Approximation:
    """A value and an entrywise upper bound on its distance from the exact one, rounding included.

    `value` and `bound` have the same structure. `degree` and `rank` are those of the polynomial in the scores and of
    the approximate attention matrix; `relative_error` is the polynomial's, over the range it was made for. `why` says
    what a reader should know: why a bound is infinite, or that the rank is above n.
    """

    value: Any
    bound: Any  # None where none was asked for
    degree: Any  # int, and of a model one per layer; so are the next two
    rank: Any
    relative_error: Any  # float
    why: str = ""


class Output(NamedTuple):
    """A block of rows of the output, and its bound."""

    rows: slice
    value: FloatArray  # (b, e)
    bound: Any  # (b, e), or None


class QuerySide(NamedTuple):
    """A block of rows of dQ, and its bound; the output there, where it is wanted too."""

    rows: slice
    dQ: FloatArray  # (b, d)
    dQ_bound: Any  # (b, d), or None
    output: Output | None = None


class KeySide(NamedTuple):
    """A block of rows of dK and dV, and their bounds."""

    rows: slice
    dK: FloatArray  # (b, d)
    dV: FloatArray  # (b, e)
    dK_bound: Any  # (b, d), or None
    dV_bound: Any  # (b, e), or None


class Side(NamedTuple):
    """A block of queries or of keys: its monomials, and what the other side multiplies them by."""

    x: FloatArray  # (b, d)
    features: FloatArray  # (k̂, b)
    factor: FloatArray  # (b, 1 + e): y of a query, v of a key
    positive: FloatArray  # (b, c): what the bound of the approximation sums with the weights P(S)
    moments: FloatArray  # (b, c″): and with the weights S^h
    absolute: FloatArray  # (b, c′): what the bound of rounding sums with the weights P̄(|q||k|)


class Near(NamedTuple):
    """The other side's block under the diagonal of the mask, and the weights within it."""

    other: Side
    P: FloatArray  # (b, b)
    moment: FloatArray  # (b, b)
    majorant: FloatArray  # (b, b)
    R: FloatArray  # (b, b)

    def transposed(self, other: Side) -> Near:
        return Near(other, self.P.T, self.moment.T, self.majorant.T, self.R.T)


def ranges_of(
    head: Head,
    of_keys: tuple[FloatArray, FloatArray, FloatArray, float, FloatArray],
    of_queries: tuple[FloatArray, float, FloatArray],
) -> Ranges:
    """The ranges of a head from what `Fast.of_keys` and `Fast.of_queries` return."""
    centre, middle, k, longest_k, v = of_keys
    q, longest_q, dO = of_queries
    balance = _balance(float(q.max()), float(k.max()), head.dtype)
    least = float(np.finfo(head.dtype).smallest_subnormal)  # scale Q may have lost this much to underflow
    more = 1 + 8 * unit(head.dtype) + (head.d + 8) * 2.0**-52  # the norms are those of rounded numbers
    return Ranges(
        centre=centre,
        middle=middle,
        balance=balance,
        q=(q + least) * balance * more,
        k=k / balance * more,
        v=v * more,
        dO=dO,
        longest_q=(longest_q + least * np.sqrt(head.d)) * balance * more,
        longest_k=longest_k / balance * more,
    )


def _balance(q: float, k: float, dtype: np.dtype[Any]) -> float:
    """The power of two that makes q and 1/k of it about equal; if one of them is 0, that makes the other about 1.

    It and its inverse are numbers of the dtype.
    """
    if q > 0 and k > 0:
        power = round((log2(k) - log2(q)) / 2)
    else:
        power = ceil(log2(k)) if k > 0 else -ceil(log2(q)) if q > 0 else 0
    most = int(np.finfo(dtype).maxexp) - 3
    return 2.0 ** min(max(power, -most), most)


def extremes(operand: Callable[[slice], FloatArray], n: int) -> tuple[FloatArray, FloatArray]:
    """The least and largest entry of each column, in float64."""
    lows, highs = zip(*((b.min(axis=0), b.max(axis=0)) for b in map(operand, blocks(n))), strict=True)
    return np.min(lows, axis=0).astype(np.float64), np.max(highs, axis=0).astype(np.float64)


def centres(
    low_K: FloatArray, high_K: FloatArray, low_V: FloatArray, high_V: FloatArray, dtype: Any
) -> tuple[FloatArray, FloatArray]:
    """What keys and values are taken relative to. Shapes: (d,) twice, (e,) twice -> (d,), (e,)."""
    return _coarse_middle(low_K, high_K).astype(dtype), (low_V / 2 + high_V / 2).astype(dtype)


def _coarse_middle(low: FloatArray, high: FloatArray) -> FloatArray:
    """The middle of each range, to a multiple of the power of two that is an eighth of the range or a little more."""
    half, middle = high / 2 - low / 2, low / 2 + high / 2  # (d,) both
    unit = np.exp2(np.ceil(np.log2(np.where(half > 0, half, 1) / 4)))  # (d,)
    coarse = unit * np.round(middle / np.where(unit > 0, unit, 1))  # (d,)
    return np.where((half > 0) & np.isfinite(coarse), coarse, low)


def _largest(operand: Callable[[slice], FloatArray], n: int) -> FloatArray:
    """The largest absolute entry of each column, in float64."""
    columns = [np.abs(block).max(axis=0) for block in map(operand, blocks(n))]
    largest: FloatArray = np.max(columns, axis=0).astype(np.float64)  # (c,)
    return largest


def _sizes(operand: Callable[[slice], FloatArray], n: int) -> tuple[FloatArray, float]:
    """The largest absolute entry of each column and the largest Euclidean norm of a row, in float64."""
    columns, rows = [], []
    for block in map(operand, blocks(n)):
        columns.append(np.abs(block).max(axis=0))  # (d,)
        largest = float(columns[-1].max()) or 1.0  # or squares may underflow or overflow
        rows.append(largest * np.linalg.norm(block.astype(np.float64) / largest, axis=1).max())
    return np.max(columns, axis=0).astype(np.float64), float(max(rows))


def choose(B: float, rtol: float | None, polynomial: ExpPolynomial | None, words: Any) -> ExpPolynomial:
    """The polynomial for scores within ±B: the one that was given, if it is positive there, or the one for `rtol`."""
    if (rtol is None) == (polynomial is None):
        got = "neither rtol nor polynomial" if rtol is None else "both rtol and polynomial"
        raise AltgradError(f"{words.function}: got {got}, needs one of them")
    if polynomial is None:
        assert rtol is not None
        try:
            return exp_polynomial(B, min(float(rtol) / (2 + float(rtol)), 1 - 2.0**-53))
        except AltgradError as error:
            raise AltgradError(f"{words.function}: rtol is {rtol} with scores up to {B:.4g}; {error}") from None
    if not isinstance(polynomial, ExpPolynomial):
        refuse(words.function, "polynomial", f"has type {type(polynomial).__name__}", "an ExpPolynomial")
    everywhere = polynomial.degree % 2 == 0 and polynomial.coefficients == taylor(polynomial.degree, 1.0).coefficients
    if not everywhere and not isfinite(polynomial.weight_error(B)):
        refuse(
            words.function,
            "polynomial",
            f"of degree {polynomial.degree} may vanish on scores within ±{B:.4g}",
            "to be positive there, as an even Taylor polynomial is everywhere",
        )
    return polynomial


def prepare(
    heads: list[Head], rtol: Any, polynomial: Any, method: Any, words: Any, certify: bool = True
) -> tuple[list[Fast], ExpPolynomial]:
    """The heads with one polynomial for all of them."""
    check_choice(rtol, method, words.function)
    by = implementation(heads, method)
    ranges = [by.measure(head, words) for head in heads]
    make, chosen = for_ranges(by, ranges, rtol, polynomial, method, words, certify)
    return [make(head, r) for head, r in zip(heads, ranges, strict=True)], chosen


def for_ranges(
    by: type[Fast], ranges: list[Ranges], rtol: Any, polynomial: Any, method: Method, words: Any, certify: bool = True
) -> tuple[Callable[[Head, Ranges], Fast], ExpPolynomial]:
    """What makes heads with these ranges, and the polynomial that they share."""
    widest = max(ranges, key=lambda r: r.scores)
    if not isfinite(widest.scores):
        refuse(words.function, f"scale {words.Q} {words.K}ᵀ (the scores)", "may overflow", "smaller operands or scale")
    B = widest.scores if polynomial is not None else widest.rounded_up()
    chosen = choose(B, rtol, polynomial, words)
    reach = B if 2 * widest.scores > B else widest.scores  # rounded up: nearby operands share one table of errors
    shared = {"polynomial": chosen, "scores": reach, "rtol": rtol, "method": method, "words": words}
    return partial(by, **shared, certify=certify), chosen


def implementation(heads: list[Head], method: Method) -> type[Fast]:
    """Compiled loops for long sequences where Numba is installed; else, and for "paper", what is written here.

    Where the arrays are another backend's, what evaluates it there.
    """
    if backend.in_use().fast:
        return cast("type[Fast]", backend.in_use().fast)
    longest = max(max(head.n, head.m) for head in heads)
    if longest < LONG or method == "paper" or not (find_spec("numba") and find_spec("threadpoolctl")):
        return Fast
    from reference.compiled import Compiled  # noqa: PLC0415  # it takes a second, and needs this module

    return Compiled


def check_choice(rtol: Any, method: Any, function: str) -> None:
    """AltgradError for a method that there is not, or a tolerance that is no positive number."""
    if method not in METHODS:
        refuse(function, "method", f"is {method!r}", "one of " + ", ".join(map(repr, METHODS)))
    if rtol is not None:
        check_rtol(rtol, function)


def check_rtol(rtol: Any, function: str) -> None:
    real = isinstance(rtol, int | float | np.floating) and not isinstance(rtol, bool)
    if not (real and 0 < rtol <= sys.float_info.max):  # an int may be beyond float64
        refuse(function, "rtol", f"is {reprlib.repr(rtol)}", "a positive finite number")


def approximation(value: Any, bound: Any, fast: list[Fast], polynomial: ExpPolynomial) -> Approximation:
    """The value and its bound, if there is one, with what there is to say of them."""
    k, m = fast[0].k, min(fast[0].head.n, fast[0].head.m)
    slow = f"the rank {k} is above the number of rows {m}: exact attention costs less" if k > m else ""
    arrays = [] if bound is None else [bound] if hasattr(bound, "dtype") else _fields(bound)
    reasons = list(dict.fromkeys(f.bounds.why for f in fast if f.bounds and f.bounds.why))
    if not reasons and not all(np.isfinite(a).all() for a in arrays):
        largest = max(f.ranges.scores for f in fast)
        reasons = [f"the bound overflows {arrays[0].dtype}, with scores up to {largest:.4g}"]
    why = "; ".join([*reasons, slow] if slow else reasons)
    return Approximation(value, bound, polynomial.degree, k, polynomial.relative_error, why)


def _fields(gradient: Any) -> list[FloatArray]:
    found = gradient if isinstance(gradient, tuple) else vars(gradient).values()
    return [array for array in found if array is not None]


@lru_cache(maxsize=16)
def float_weights(coefficients: tuple[Fraction, ...], d: int, dtype: np.dtype[Any]) -> FloatArray:
    """The weights of the monomials, rounded. Shapes: -> (k, 1)."""
    with np.errstate(over="ignore"):
        return np.array([as_float(w) for w in weights(coefficients, d)]).astype(dtype)[:, None]


class Fast:
    """One head with a polynomial in place of the exponential."""

    def __init__(
        self, head: Head, ranges: Ranges, polynomial: ExpPolynomial, scores: float, rtol: float | None,
        method: Method, words: Any, certify: bool,
    ) -> None:  # fmt: skip
        self.head, self.ranges, self.polynomial, self.method = head, ranges, polynomial, method
        self.d, self.e = head.d, head.e
        self.words = words
        self.integral = polynomial.coefficients if method == "differentiate" else polynomial.antiderivative
        self.degree = polynomial.degree
        self.top = self.degree + (method == "antiderivative")
        self.k, self.k_top = rank(head.d, self.degree), rank(head.d, self.top)
        taylor = isfinite(polynomial.absolute_error(ranges.scores, 2))
        self.power = self.degree // 2 * 2 if taylor else 0  # h: a moment of the scores that P has features for
        self.power_rows = slice(rank(head.d, self.power - 1) if self.power else 0, rank(head.d, self.power))
        self.widest = self.k * (1 + head.e) if method == "paper" else self.k_top
        self._foresee()
        self.step = self._step()
        self.bounds = self._certificate(scores, rtol) if certify else None
        self.largest_inverse = 0.0  # of the row sums so far

    @property
    def block(self) -> int:
        """Rows that come at once, at most."""
        return self.step

    def _step(self) -> int:
        """Rows that are summed at once."""
        return max(1, min(ROWS, LARGEST_BLOCK // self.widest, max(self.head.n, self.head.m)))

    def _certificate(self, scores: float, rtol: float | None) -> Certificate:
        return Certificate(
            self.head, self.ranges, self.polynomial, differentiated=self.method == "differentiate", power=self.power,
            top=self.top, widest=self.widest, step=self.step, scores=scores, rtol=rtol, words=self.words,
            largest_weight=float(max(np.abs(self.w).max(), np.abs(self.w_integral).max())),
        )  # fmt: skip

    @classmethod
    def measure(cls, head: Head, words: Any) -> Ranges:
        """Where the operands lie. Cost: two readings of K and V, one of Q and dO."""
        return ranges_of(head, cls.of_keys(head, words), cls.of_queries(head, words))

    @staticmethod
    def of_keys(head: Head, words: Any) -> tuple[FloatArray, FloatArray, FloatArray, float, FloatArray]:
        """Centre and middle; of K − centre the largest entries and norm, of V − middle the largest entries."""
        centre, middle = centres(*extremes(head.K, head.m), *extremes(head.V, head.m), head.dtype)  # (d,), (e,)
        return centre, middle, *Fast.distances(head, centre, middle, words)

    @staticmethod
    def distances(
        head: Head, centre: FloatArray, middle: FloatArray, words: Any
    ) -> tuple[FloatArray, float, FloatArray]:
        """Of K − centre the largest entries and norm, of V − middle the largest entries."""
        k, longest_k = _sizes(lambda rows: words.finite(f"{words.K} − centre", head.K(rows) - centre), head.m)
        v = _largest(lambda rows: words.finite(f"{words.V} − middle", head.V(rows) - middle), head.m)  # (e,)
        return k, longest_k, v

    @staticmethod
    def of_queries(head: Head, words: Any) -> tuple[FloatArray, float, FloatArray]:
        """Of scale Q the largest entries and norm, of dO the largest entries."""
        q, longest_q = _sizes(lambda rows: words.finite(f"scale {words.Q}", head.scale * head.Q(rows)), head.n)
        return q, longest_q, np.zeros(head.e) if head.dO is None else _largest(head.dO, head.n)

    def _foresee(self) -> None:
        """Refuse a rank whose sums would not fit, before anything is allocated."""
        d, e = self.head.d, self.head.e
        entries = 2 * (self.widest * (d if self.method == "paper" else 1 + e) + self.k * (d + e + 3))
        if entries > LARGEST_STATE:
            refuse(
                self.words.function,
                "the polynomial",
                f"of degree {self.degree} in d = {d} variables has rank {self.k} and would carry {entries} numbers",
                f"at most {LARGEST_STATE}: a larger rtol, smaller scores (now up to {self.ranges.scores:.4g})"
                " or heads of fewer dimensions",
            )

    @cached_property
    def w(self) -> FloatArray:
        return self._weights(self.polynomial.coefficients)  # (k, 1)

    @cached_property
    def w_integral(self) -> FloatArray:
        return self._weights(self.integral)  # (k̂, 1)

    @cached_property
    def w_moment(self) -> FloatArray:
        """The weights of ⟨x, y⟩^h."""
        return self._weights((Fraction(0),) * self.power + (Fraction(1),))[self.power_rows]  # (l, 1)

    @cached_property
    def w_slope(self) -> FloatArray:
        return self._weights(self.polynomial.derivative)  # (k′, 1)

    def _weights(self, coefficients: tuple[Fraction, ...]) -> FloatArray:
        found = float_weights(coefficients, self.d, self.head.dtype)  # (k, 1)
        if not np.isfinite(found).all():
            largest = max(map(as_float, map(abs, coefficients)))
            refuse(
                self.words.function,
                "polynomial",
                f"has coefficients up to {largest:.2g}",
                f"weights that {self.head.dtype} represents",
            )
        return found

    # --- the sums

    def output(self) -> Iterator[Output]:
        """The output, a block of rows at a time."""
        keys = self.nothing(1)
        if not self.head.causal:
            self.add_keys(self.head.m, keys)
        for rows in blocks(self.head.n, self.step):
            query = self._query(rows)
            near = self._near(query, self._key(rows)) if self.head.causal else None
            yield self._mean(query, rows, self._read(query, keys, near), self._moment(query, keys, near))
            if near is not None:
                self._add(keys, near.other)

    def gradient(self, output: bool = False) -> Iterator[QuerySide | KeySide]:
        """Blocks of dQ, with those of the output if it is wanted, and after these blocks of dK and dV."""
        keys, queries, kept = self.nothing(1), self.nothing(2), self.unanswered(self.head.n)
        if not self.head.causal:
            self.add_keys(self.head.m, keys)
        yield from self.ask(self.head.n, keys, None if self.head.causal else queries, kept, output)
        yield from self.reply(self.head.m, queries, kept)

    # The three passes over the rows. Each takes rows 0 … n − 1 of what the head reads: the whole sequence, or a part
    # of it (`distributed`) with the sums over the other parts.

    def unanswered(self, n: int) -> FloatArray:
        """Room for what is kept of n queries under the mask, none without. Shapes: -> (n, 4) or (0, 4)."""
        return np.empty((n if self.head.causal else 0, len(Numbers._fields)), self.head.dtype)

    def add_keys(self, n: int, keys: Any) -> None:
        """Add n keys to the sums that the queries read."""
        for rows in blocks(n, self.step):
            self._add(keys, self._key(rows))

    def ask(self, n: int, keys: Any, queries: Any, kept: FloatArray, output: bool = False) -> Iterator[QuerySide]:
        """n queries read the sums over all keys, under the mask over those before them, and are added to `queries`.

        Under the mask `keys` may take in the keys of these rows, and `kept` is filled for `reply`. None for `queries`
        adds them nowhere.
        """
        for rows in blocks(n, self.step):
            query = self._query(rows)
            key = self._key(rows) if self.head.causal else None
            near = self._near(query, key) if key else None
            read = self._read(query, keys, near)
            numbers = self._numbers(rows, read, self._moment(query, keys, near))
            mean = self._mean(query, rows, read, numbers.moment) if output else None
            query, facts, at = self._answered(query, rows, numbers)
            self.remember(largest_inverse(numbers.D, at.rho) if at else 0.0)
            answer = self._answer(rows, numbers, facts, at, read, self._pull(query, keys, near))
            yield answer._replace(output=mean)
            if queries:
                self._add(queries, query)
            if key:
                kept[rows] = np.hstack(numbers)
                self._add(keys, key)

    def reply(self, n: int, queries: Any, kept: FloatArray) -> Iterator[KeySide]:
        """n keys read the sums over all queries, under the mask over those after them.

        Under the mask `queries` may take in the queries of these rows.
        """
        every = list(blocks(n, self.step))
        for rows in reversed(every) if self.head.causal else every:
            key, near, query = self._key(rows), None, None
            if self.head.causal:
                numbers = Numbers(*np.hsplit(kept[rows], len(Numbers._fields)))
                query, *_ = self._answered(self._query(rows), rows, numbers)
                near = self._near(query, key).transposed(query)
            yield self._reply(rows, self._read(key, queries, near), self._pull(key, queries, near))
            if query:
                self._add(queries, query)

    def nothing(self, side: int) -> Any:
        """Empty sums over the keys (1) or the queries (2)."""
        e, k_power = self.head.e, self.power_rows.stop - self.power_rows.start
        both = self.d + e if self.bounds else 0
        sums = {
            "factor": RunningSum(self.k_top, 1 + e),
            "positive": RunningSum(self.k, both if side == 2 else min(self.d, both)),
            "moments": RunningSum(k_power, both),
            "absolute": RunningSum(self.k, side if self.bounds else 0),
        }
        kronecker = {"kronecker": RunningSum(self.k * (1 + e), self.head.d)} if self.method == "paper" else {}
        return sums | kronecker

    @staticmethod
    def take_in(sums: Any, more: Any) -> None:
        """Add sums over other rows, in place."""
        for name, total in sums.items():
            total.total += more[name].total

    def _add(self, sums: dict[str, RunningSum], side: Side) -> None:
        features = side.features[: self.k].T  # (b, k)
        sums["factor"].add(side.features.T, side.factor)
        sums["positive"].add(features, side.positive)
        sums["moments"].add(side.features[self.power_rows].T, side.moments)
        sums["absolute"].add(np.abs(features), side.absolute)
        if "kronecker" in sums:
            sums["kronecker"].add(row_kronecker(features, side.factor), side.x)

    def _read(self, side: Side, sums: dict[str, RunningSum], near: Near | None = None) -> Read:
        weighted = (self.w * side.features[: self.k]).T  # (b, k)
        powers = (self.w_moment * side.features[self.power_rows]).T  # (b, l)
        read = Read(
            sums["factor"].read(weighted),
            sums["positive"].read(weighted),
            sums["moments"].read(powers),
            sums["absolute"].read(np.abs(weighted)),
        )
        if near is None:
            return read
        other = near.other
        return Read(
            read.factor + near.P @ other.factor,
            read.positive + near.P @ other.positive,
            read.moments + near.moment @ other.moments,
            read.absolute + near.majorant @ other.absolute,
        )

    def _pull(self, side: Side, sums: dict[str, RunningSum], near: Near | None = None) -> FloatArray:
        """Σ_j p_ij x_j for the block, x and p being the other side's: the part of the gradient that goes through S."""
        if self.method == "paper":
            weighted = (self.w * side.features).T  # (b, k)
            pulled = sums["kronecker"].read(row_kronecker(weighted, side.factor))  # (b, d)
        else:
            total = sums["factor"].total.astype(self.head.dtype, copy=False)  # (k̂, 1 + e)
            cotangent = self.w_integral * (total @ side.factor.T)  # (k̂, b)
            pulled = monomials_vjp(side.x, self.top, side.features, cotangent)  # (b, d)
        if near is not None:
            pulled = pulled + (near.R * (side.factor @ near.other.factor.T)) @ near.other.x  # (b, d)
        return pulled

    # --- blocks

    def _key(self, rows: slice) -> Side:
        x = (self.head.K(rows) - self.ranges.centre) / self.ranges.balance  # (b, d)
        x = x.astype(self.head.dtype, copy=False)
        one = np.ones((len(x), 1), x.dtype)  # (b, 1)
        v = np.hstack([one, self.head.V(rows) - self.ranges.middle])  # (b, 1 + e)
        if not self.bounds:
            return Side(x, monomials(x, self.top), v, x[:, :0], x[:, :0], x[:, :0])
        sizes = np.abs(np.hstack([x, v[:, 1:]]))  # (b, d + e)
        return Side(x, monomials(x, self.top), v, sizes[:, : self.d], sizes, one)

    def _query(self, rows: slice) -> Side:
        x = self.head.scale * self.head.Q(rows) * self.ranges.balance  # (b, d)
        none = x[:, :0]
        return Side(x, monomials(x, self.top), none, none, none, none)

    def _near(self, query: Side, key: Side) -> Near:
        """The weights of the pairs within one block, queries by keys."""
        weighted, features = (self.w * query.features[: self.k]).T, key.features[: self.k].T  # (b, k) both
        P = within(weighted, features)  # (b, b)
        R = P
        if self.method == "differentiate":
            k = len(self.w_slope)
            R = within((self.w_slope * query.features[:k]).T, key.features[:k].T)  # (b, b)
        moment = within((self.w_moment * query.features[self.power_rows]).T, key.features[self.power_rows].T)  # (b, b)
        return Near(key, P, moment, within(np.abs(weighted), np.abs(features)), R)

    def _moment(self, query: Side, keys: dict[str, RunningSum], near: Near | None = None) -> FloatArray:
        """Σ_j S_ij^h over the keys that each query sees. Shapes: -> (b, 1)."""
        powers = (self.w_moment * query.features[self.power_rows]).T  # (b, l)
        ones = keys["factor"].total[self.power_rows, :1].astype(self.head.dtype, copy=False)  # (l, 1)
        moment: FloatArray = powers @ ones  # (b, 1)
        return moment if near is None else moment + near.moment.sum(axis=1, keepdims=True)

    def _mean(self, query: Side, rows: slice, read: Read, moment: FloatArray) -> Output:
        """The output of a block of queries."""
        D = read.factor[:, :1]  # (b, 1)
        mean = read.factor[:, 1:] / D  # (b, e), relative to the middle
        value = mean + self.ranges.middle  # (b, e)
        if not self.bounds:
            return Output(rows, value, None)
        numbers, facts = Numbers(D, 0 * D, read.absolute / D, moment), self.bounds.facts(query.x, rows)
        at = self.bounds.coefficients(query.x, facts, numbers)
        bound = self.bounds.output(facts, mean, at, D, read.moments) + self.V_error  # (b, e)
        floor = self.bounds.floor(largest_inverse(D, at.rho), self.ranges.v.max())
        return Output(rows, value, self.bounds.whole(bound, value, floor))

    @property
    def V_error(self) -> FloatArray:
        """How far rounding may have moved the values. Shapes: -> (e,)."""
        return np.zeros(self.e) if self.head.V_error is None else self.head.V_error

    def _numbers(self, rows: slice, read: Read, moment: FloatArray) -> Numbers:
        D = read.factor[:, :1]  # (b, 1)
        K = (self._dO(rows) * (read.factor[:, 1:] / D)).sum(axis=1, keepdims=True)  # (b, 1)
        if not self.bounds:
            return Numbers(D, K, 0 * D, 0 * D)
        return Numbers(D, K, read.absolute / D, moment)

    def _dO(self, rows: slice) -> FloatArray:
        assert self.head.dO is not None
        return self.head.dO(rows)

    def _answered(self, query: Side, rows: slice, numbers: Numbers) -> tuple[Side, Facts | None, Coefficients | None]:
        """The query with y, and with what the keys sum for their bounds."""
        dO = self._dO(rows)  # (b, e)
        y = np.hstack([-numbers.K, dO]) / numbers.D  # (b, 1 + e)
        if not self.bounds:
            return query._replace(factor=y), None, None
        facts = self.bounds.facts(query.x, rows, dO)
        at = self.bounds.coefficients(query.x, facts, numbers)
        for_keys = self.bounds.for_keys(facts, at, numbers)
        return Side(query.x, query.features, y, *map(self._own, for_keys)), facts, at

    def remember(self, inverse: float) -> None:
        """Of row sums whose queries the keys will answer."""
        self.largest_inverse = max(self.largest_inverse, inverse)

    def _own(self, array: FloatArray) -> FloatArray:
        return array.astype(self.head.dtype, copy=False)

    def _answer(
        self, rows: slice, numbers: Numbers, facts: Facts | None, at: Coefficients | None, read: Read,
        pulled: FloatArray,
    ) -> QuerySide:  # fmt: skip
        units = self.head.scale * self.ranges.balance
        dQ = self._own(units * pulled)  # (b, d)
        if not (self.bounds and facts and at):
            return QuerySide(rows, dQ, None)
        bound = abs(units) * self.bounds.query(facts, numbers, at, read, pulled)  # (b, d)
        sizes = self.ranges.v.max(), self.ranges.dO.max(), self.ranges.k.max()
        floor = self.bounds.floor(largest_inverse(numbers.D, at.rho), *sizes)
        return QuerySide(rows, dQ, self.bounds.whole(bound, dQ, floor))

    def _reply(self, rows: slice, read: Read, pulled: FloatArray) -> KeySide:
        dK, dV = self._own(pulled / self.ranges.balance), read.factor[:, 1:]  # (b, d), (b, e)
        if not self.bounds:
            return KeySide(rows, dK, dV, None, None)
        d, sums = self.d, read.positive + read.moments  # (b, d + e)
        dK_bound = (sums[:, :d] + read.absolute[:, :1]) / self.ranges.balance  # (b, d)
        dV_bound = sums[:, d:] + read.absolute[:, 1:]  # (b, e)
        floor_K, floor_V = self._reply_floors()
        return KeySide(
            rows, dK, dV, self.bounds.whole(dK_bound, dK, floor_K), self.bounds.whole(dV_bound, dV, floor_V)
        )

    def _reply_floors(self) -> tuple[float, float]:
        """What underflow may have added to dK and to dV."""
        assert self.bounds
        inverse, v, dO = self.largest_inverse, self.ranges.v.max(), self.ranges.dO.max()
        return self.bounds.floor(inverse, v, dO, self.ranges.q.max()), self.bounds.floor(inverse, v, dO)
