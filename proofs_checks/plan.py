"""Whether the approximation pays at some size: degree, rank, operations, memory, time, and from which n on.

Operations are those of own/cost for one head as attention of a sequence in X, W, W_V, with the gradient and its bound,
in blocks as they are. The laws there are for Taylor polynomials, whose bound sums the l monomials of the highest even
degree; the Chebyshev polynomial that `rtol` leads to has l = 1, and a test counts that.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import isfinite, log2, tanh
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import reference
from proofs_checks import cost
from proofs_checks.matrices import Matrices
from reference import qkv
from reference.certificate import Head
from reference.errors import AltgradError
from reference.fast_qkv import LARGEST_STATE, LONG, Fast, Method
from reference.low_rank import rank
from reference.polynomial import exp_polynomial, least_degree, taylor
from reference.shapes import FloatArray, refuse

BUDGET = 1e9  # operations of a run that measures speed: a second or less
MOST = 2**62  # rows, beyond which no crossover is looked for


@dataclass(frozen=True)
class Setting:
    """What is asked: heads of width d over n rows, scores within ±bound, an error rtol of each attention weight."""

    n: int
    d: int
    heads: int
    bound: float
    rtol: float
    method: Method = "antiderivative"

    def __post_init__(self) -> None:
        for name in ("n", "d", "heads"):
            if getattr(self, name) < 1:
                refuse("plan", name, f"is {getattr(self, name)}", "at least 1")
        if not (isfinite(self.bound) and self.bound >= 0):
            refuse("plan", "bound", f"is {self.bound}", "a finite number, 0 or more")
        if not 0 < self.rtol < 1:
            refuse("plan", "rtol", f"is {self.rtol}", "a number between 0 and 1")

    @property
    def epsilon(self) -> float:
        """The relative error of the polynomial that gives weights within rtol."""
        return self.rtol / (2 + self.rtol)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Operations in a second, as they are counted, and what they were taken from."""

    short: float  # of the fast gradient, below the length from which on its loops are compiled
    long: float  # and from there on
    exact: float
    basis: str

    def fast(self, n: int) -> float:
        return self.short if n < LONG else self.long


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the approximation takes where there is one; times are predictions."""

    degree: int
    rank: int
    operations: int
    bytes: int
    weight_error: float  # of each attention weight, relative, before rounding
    output_error: float  # of the output, as a share of the range of the values
    rounding: float  # at most what float64 loses in the polynomial; the certificate has the rest
    crossover: int  # the least n at which it takes fewer operations
    seconds: float | None = None
    crossover_seconds: int | None = None  # the least n at which it is predicted to be faster


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The answer to a setting."""

    setting: Setting
    operations: int  # of exact attention, as the next two
    bytes: int
    seconds: float | None
    fit: Fit | None
    why: str  # there is none
    basis: str

    @property
    def pays(self) -> bool:
        """By predicted time where there is one, else by operations."""
        return self.threshold is not None and self.setting.n >= self.threshold

    @property
    def threshold(self) -> int | None:
        return None if self.fit is None else self.fit.crossover_seconds or self.fit.crossover

    @property
    def recommendation(self) -> str:
        n, less, more = f"{self.setting.n:,}", "fewer operations", "more operations"
        if self.seconds:
            less, more = "less time", "more time"
        if self.fit is None:
            return f"Nothing pays here, at any n: use exact attention. {self.why}"
        if not self.pays:
            return f"Use exact attention below n = {self.threshold:,}: at n = {n} the approximation takes {more}."
        ratio = (self.seconds or self.operations) / (self.fit.seconds or self.fit.operations)
        return (
            f"Use the approximation: at n = {n} it takes {ratio:.3g} times {less};"
            f" use exact attention below n = {self.threshold:,}."
        )


def operations(method: Method, n: int, d: int, g: int) -> int:
    """Of the fast gradient of one head with a Chebyshev polynomial; a few more than there are, whatever n is."""
    k, K = rank(d, g), rank(d, g + 1)
    width = 1, d, d * d, k, k * d, k * d * d, 1, d, K, K * d  # as in cost.in_width, with l = 1
    sizes = cost.in_rows(n, cost.rows_taken(method, n, d, g))
    return sum(sizes[s] * sum(c * x for c, x in zip(row, width, strict=True)) for s, row in cost.LAWS[method].items())


def exact_operations(n: int, d: int) -> int:
    """Of the exact gradient of one head."""
    return cost.law_exact_gradient(n, d, qkv.BLOCK_ENTRIES)


def carried(method: Method, d: int, g: int) -> int:
    """The numbers in all sums of one head that are carried along, as `fast_qkv` foresees them."""
    columns = rank(d, g) * (1 + d) * d if method == "paper" else rank(d, g + (method == "antiderivative")) * (1 + d)
    return 2 * (columns + rank(d, g) * (2 * d + 3))


def least_n(gain: Callable[[int], float]) -> int:
    """The least n with a positive gain, which is negative at first and changes sign once."""
    enough = 1
    while gain(enough) <= 0 and enough < MOST:
        enough *= 2
    start = enough // 2 + 1
    return start + bisect_left(range(start, enough), True, key=lambda n: gain(n) > 0)


def crossover(method: Method, d: int, g: int, speed: Speed | None = None) -> int:
    """The least n from which on the fast gradient takes fewer operations, or less time at these speeds."""
    if speed is None:
        return least_n(lambda n: exact_operations(n, d) - operations(method, n, d, g))
    return least_n(lambda n: exact_operations(n, d) / speed.exact - operations(method, n, d, g) / speed.fast(n))


def obstacle(setting: Setting) -> str:
    """Why there is no approximation at all, if so."""
    try:
        g = least_degree(setting.bound, setting.epsilon)
    except AltgradError as error:
        return str(error)
    numbers = carried(setting.method, setting.d, g)
    if numbers > LARGEST_STATE:
        return (
            f"Degree {g} in {setting.d} variables has rank {rank(setting.d, g):,}: {numbers:,} numbers"
            f" would be carried along, at most {LARGEST_STATE:,} are."
        )
    return ""


def plan(setting: Setting, speed: Speed | None = None) -> Plan:
    """What exact and approximate attention take, and which to use; times only where a speed is given."""
    n, d, heads = setting.n, setting.d, setting.heads
    exact = heads * exact_operations(n, d)
    why = obstacle(setting)
    fit = None if why else _fit(setting, speed)
    if fit and fit.rounding > setting.rtol:
        why = f"Rounding in float64 may take {fit.rounding:.3g} of an attention weight, more than rtol."
        fit = None
    step = min(n, max(1, qkv.BLOCK_ENTRIES // n))
    return Plan(
        setting=setting,
        operations=exact,
        bytes=8 * (8 * n * d * heads + 2 * step * n),
        seconds=exact / speed.exact if speed else None,
        fit=fit,
        why=why,
        basis=speed.basis if speed else "",
    )


def _fit(setting: Setting, speed: Speed | None) -> Fit:
    n, d, heads, method = setting.n, setting.d, setting.heads, setting.method
    polynomial = exp_polynomial(setting.bound, setting.epsilon)
    g, spread = polynomial.degree, polynomial.weight_error(setting.bound)
    taken = heads * operations(method, n, d, g)
    block = cost.rows_taken(method, n, d, g) * rank(d, g + 1)
    return Fit(
        degree=g,
        rank=rank(d, g),
        operations=taken,
        bytes=8 * (12 * n * d * heads + heads * carried(method, d, g) + 2 * block),
        weight_error=spread,
        output_error=tanh(np.log1p(spread) / 4),
        rounding=polynomial.loss(np.float64),
        crossover=crossover(method, d, g),
        seconds=taken / speed.fast(n) if speed else None,
        crossover_seconds=crossover(method, d, g, speed) if speed else None,
    )


def calibrate(setting: Setting) -> Speed:
    """Run both gradients once they are warm, at sizes that take a second or less, and divide operations by time.

    The degree of the fast one is the plan's made even, or less where that takes too long. Where the rows are too few
    for compiled loops, they are taken to be as fast as the others. Needs a setting without an obstacle.
    """
    d, method = setting.d, setting.method
    g = max(2, least_degree(setting.bound, setting.epsilon) // 2 * 2)

    def taken(n: int, g: int) -> int:
        return cost.law_of(method, n, d, g, cost.rows_taken(method, n, d, g))

    while g > 2 and taken(LONG, g) > BUDGET:
        g -= 2
    sizes = [2**k for k in range(5, 13)]
    n = max((n for n in sizes if taken(n, g) <= BUDGET), default=sizes[0])
    short = min(n, LONG // 2)
    m = max((n for n in sizes if exact_operations(n, d) <= BUDGET), default=sizes[0])

    def fast(X: FloatArray, W: FloatArray, G: FloatArray) -> object:
        return reference.fast_attention_gradient(X, W, W, G, polynomial=taylor(g, 1.0), method=method)

    def exact(X: FloatArray, W: FloatArray, G: FloatArray) -> object:
        return reference.attention_gradient(X, W, W, G)

    rate_short = taken(short, g) / _seconds(fast, short, d)
    rate_long = rate_short if n == short else taken(n, g) / _seconds(fast, n, d)
    rate_exact = exact_operations(m, d) / _seconds(exact, m, d)
    basis = (
        f"fast at n = {short:,} and {n:,}, degree {g}: {rate_short:.3g} and {rate_long:.3g} operations/s;"
        f" exact at n = {m:,}: {rate_exact:.3g} operations/s; float64, the best of two runs on this machine"
    )
    return Speed(short=rate_short, long=rate_long, exact=rate_exact, basis=basis)


def _seconds(run: Callable[[FloatArray, FloatArray, FloatArray], object], n: int, d: int) -> float:
    rng = np.random.default_rng(0)
    X, G = rng.uniform(-1, 1, size=(2, n, d)) / d
    W = np.eye(d)
    times = []
    for _ in range(3):
        start = perf_counter()
        run(X, W, G)
        times.append(perf_counter() - start)
    return min(times[1:])


class Measured(NamedTuple):
    """The size of some matrices and bounds on their scores."""

    n: int
    d: int
    heads: int
    bound: float  # with keys relative to the middle of their range
    plain: float  # with keys as they are


def measured(matrices: Matrices, scale: float | None) -> Measured:
    """What to plan for these matrices; `scale=None` is 1/d.

    A bound is |τ| max ‖q‖ max ‖k‖ over the rows of a head; the widest head decides. Raises AltgradError unless Q, K
    and V have the same shape.
    """
    if "X" in matrices:
        X, W, W_V = (matrices[key] for key in ("X", "W", "W_V"))
        matrices = {"Q": X @ W, "K": X, "V": X @ W_V}
    Q, K, V = (matrices[key] for key in ("Q", "K", "V"))
    for key in ("K", "V"):
        if matrices[key].shape != Q.shape:
            refuse("plan", key, f"has shape {matrices[key].shape}", f"the shape of Q, {Q.shape}, to be planned for")
    (n, d), tau = Q.shape[-2:], 1 / Q.shape[-1] if scale is None else scale
    centred = plain = 0.0
    for i in np.ndindex(Q.shape[:-2]):
        rows = Q[i].__getitem__, K[i].__getitem__, V[i].__getitem__
        ranges = Fast.measure(Head(n, n, d, d, Q.dtype, tau, False, *rows), qkv.Wording("plan"))
        centred = max(centred, ranges.scores)
        plain = max(plain, abs(tau) * float(_longest(Q[i]) * _longest(K[i])))
    return Measured(n, d, int(np.prod(Q.shape[:-2])), centred, plain)


def _longest(rows: FloatArray) -> float:
    return float(np.linalg.norm(rows.astype(np.float64), axis=-1).max())


def picture(setting: Setting, path: Path) -> None:
    """Draw from which n on the approximation takes fewer operations, over the bound on scores. Needs matplotlib."""
    from matplotlib import rc_context  # noqa: PLC0415  # an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    bounds = np.geomspace(0.1, max(20.0, 2 * setting.bound), 40)
    settings = [replace(setting, bound=float(B)) for B in bounds]
    there = [s for s in settings if not obstacle(s)]
    curve = [crossover(s.method, s.d, least_degree(s.bound, s.epsilon)) for s in there]
    with rc_context({"svg.hashsalt": "altgrad"}):  # the same picture, the same file
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        top = 10 * max([setting.n, *curve])
        axes.fill_between([s.bound for s in there], curve, top, alpha=0.3, label="the approximation pays")
        axes.plot(setting.bound, setting.n, "k*", label="this plan")
        axes.set(xscale="log", yscale="log", ylim=(1, top), xlim=(bounds[0], bounds[-1]))
        axes.set(xlabel="bound B on the scores", ylabel="rows n")
        axes.set_title(f"fewer operations: d = {setting.d}, rtol = {setting.rtol:g}")
        axes.legend(loc="lower right")
        figure.savefig(path, metadata={"Date": None})


def as_json(found: Plan, plain: float | None) -> str:
    """The plan as JSON; `plain` is the bound without centring keys, where matrices were measured."""
    derived = {"uncentred_bound": plain, "threshold": found.threshold, "pays": found.pays}
    return json.dumps({**asdict(found), **derived, "recommendation": found.recommendation}, indent=2, allow_nan=False)


def show(found: Plan, plain: float | None, console: Console) -> None:
    """Print the plan: what each takes, what the approximation is, and which to use."""
    s, fit = found.setting, found.fit
    more = "" if plain is None else f" ({plain:.4g} if keys were not centred)"
    size = f"n = {s.n:,}, d = {s.d}, heads = {s.heads}, scores within {s.bound:.4g}{more}, rtol = {s.rtol:g}"
    table = Table("", "exact", "approximate")
    table.add_row("operations", f"{found.operations:.3g}", f"{fit.operations:.3g}" if fit else "")
    table.add_row("memory, about", _bytes(found.bytes), _bytes(fit.bytes) if fit else "")
    if found.seconds is not None:
        table.add_row("time, predicted", f"{found.seconds:.3g} s", f"{fit.seconds:.3g} s" if fit else "")
    lines = [size]
    if fit:
        lines += [
            f"degree {fit.degree}, rank {fit.rank:,}",
            f"each attention weight within {fit.weight_error:.3g} of its value,"
            f" the output within {fit.output_error:.3g} of the range of the values",
            f"rounding in float64: at most {fit.rounding:.3g} in the polynomial, more in the certificate",
            f"fewer operations from n = {fit.crossover:,} on",
        ]
        if fit.crossover_seconds:
            lines.append(f"faster from n = {fit.crossover_seconds:,} on, as predicted")
    if found.basis:
        lines.append(f"times follow from {found.basis}")
    console.print(lines[0], highlight=False, soft_wrap=True)
    console.print(table)
    for line in (*lines[1:], found.recommendation):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _bytes(number: float) -> str:
    power = min(int(log2(number) / 10), 5)
    return f"{number / 1024**power:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][power]}"
