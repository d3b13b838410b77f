"""Sums over monomials in compiled loops: what `compiled` is made of.

A tile of rows at a time: its monomials, one row each (`low_rank.monomials`), stay in the cache until BLAS has
multiplied them. Everything else, such as the weights of the monomials, is the business of the caller. Three groups of
columns are summed side by side, any of which may be empty: `factor` with all monomials, `moments` with those of one
degree (rows `low` to `high`), `absolute` with the absolute values of all.

Numba compiles these functions when they are first called with arrays of a type, and keeps the result on disk. They
hold no lock of the interpreter, so threads run side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from reference.low_rank import recursion


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled on its first call with arrays of a type, kept on disk, and run without the interpreter's lock."""
    return njit(nogil=True, cache=True, error_model="numpy")(function)


def steps(d: int, degree: int) -> Any:
    """The recursion of `low_rank.monomials`: a row each of first and last made, variable, first used. -> (s, 4)."""
    made = [(made.start, made.stop, i, used.start) for made, i, used in recursion(d, degree)]
    return np.array(made, np.int64).reshape(-1, 4)  # (s, 4)


@compiled
def monomials(steps, x, features):
    """Shapes: x (d, t) -> features (k, t), in place."""
    features[0] = 1
    for s in range(len(steps)):
        first, stop, i, used = steps[s]
        for a in range(stop - first):
            for t in range(x.shape[1]):
                features[first + a, t] = features[used + a, t] * x[i, t]


@compiled
def monomials_vjp(steps, x, features, cotangent, dx):
    """Shapes: x (d, t), features, cotangent (k, t) -> dx (d, t), in place; cotangent is overwritten."""
    dx[:] = 0
    for s in range(len(steps) - 1, -1, -1):
        first, stop, i, used = steps[s]
        for a in range(stop - first):
            for t in range(x.shape[1]):
                dx[i, t] += cotangent[first + a, t] * features[used + a, t]
                cotangent[used + a, t] += cotangent[first + a, t] * x[i, t]


@compiled
def load(rows, tile):
    """Up to t rows as columns, followed by zeros. Shapes: rows (b, d) -> tile (d, t), in place."""
    for c in range(len(tile)):
        for t in range(len(rows)):
            tile[c, t] = rows[t, c]
        for t in range(len(rows), tile.shape[1]):
            tile[c, t] = 0


@compiled
def store(tile, rows):
    """Its inverse. Shapes: tile (d, t) -> rows (b, d), in place."""
    for t in range(len(rows)):
        for c in range(len(tile)):
            rows[t, c] = tile[c, t]


@compiled
def numbers(factor, moments, absolute, dO):
    """D_i, K_i = Σ_c dO_ic factor_i,1+c/D_i, D̄_i/D_i and Σ_j S_ij^h, the last two 0 where nothing was summed for them.

    Shapes: factor (b, c), c ≥ 1 + e, moments (b, 3) or (b, 0), absolute (b, 1) or (b, 0), dO (b, e) -> (b, 4).
    """
    found = np.zeros((len(dO), 4), dO.dtype)  # (b, 4)
    for i in range(len(dO)):
        D = found[i, 0] = factor[i, 0]
        for c in range(dO.shape[1]):
            found[i, 1] += dO[i, c] * (factor[i, 1 + c] / D)
        if absolute.shape[1]:
            found[i, 2], found[i, 3] = absolute[i, 0] / D, moments[i, 0]
    return found


@compiled
def answers(numbers, dO):
    """y_i = (−K_i, dO_i)/D_i. Shapes: numbers (b, 4), dO (b, e) -> (b, 1 + e)."""
    y = np.empty((len(dO), 1 + dO.shape[1]), dO.dtype)  # (b, 1 + e)
    for i in range(len(dO)):
        y[i, 0] = -numbers[i, 1] / numbers[i, 0]
        for c in range(dO.shape[1]):
            y[i, 1 + c] = dO[i, c] / numbers[i, 0]
    return y


@compiled
def add(features, rows, padded, total):
    """total += features · rows. Shapes: features (k, t), rows (b, c), b ≤ t, padded (t, c), total (k, c)."""
    if rows.shape[1] == 0:
        return
    if len(rows) == len(padded):
        total += np.dot(features, rows)  # (k, c), rounded to the type of the rows, then summed in float64
    else:
        padded[: len(rows)] = rows
        padded[len(rows) :] = 0
        total += np.dot(features, padded)


@compiled
def absorb(steps, low, high, tile, x, groups, sums):
    """Add the three groups to their sums. Shapes: x (n, d), groups (n, c) -> sums (k, c), in place."""
    n, d = x.shape
    xt, features = np.empty((d, tile), x.dtype), np.empty((len(sums[0]), tile), x.dtype)  # (d, t), (k, t)
    padded = [np.empty((tile, c.shape[1]), x.dtype) for c in groups]  # (t, c) each
    for first in range(0, n, tile):
        rows = slice(first, min(first + tile, n))
        load(x[rows], xt)
        monomials(steps, xt, features)
        add(features, groups[0][rows], padded[0], sums[0])
        add(features[low:high], groups[1][rows], padded[1], sums[1])
        if groups[2].shape[1]:
            np.abs(features, features)
            add(features[: len(sums[2])], groups[2][rows], padded[2], sums[2])


@compiled
def fetch(features, sums, rows):
    """Shapes: features (k, t), sums (k, c), weighted -> rows (b, c), b ≤ t, in place."""
    if rows.shape[1]:
        store(np.dot(sums.T, features), rows)


@compiled
def read(steps, low, high, tile, x, sums):
    """What each row reads from the three sums. Shapes: x (n, d), sums (k, c), weighted -> (n, c) each."""
    n, d = x.shape
    xt, features = np.empty((d, tile), x.dtype), np.empty((len(sums[0]), tile), x.dtype)  # (d, t), (k, t)
    found = [np.empty((n, s.shape[1]), x.dtype) for s in sums]  # (n, c) each
    for first in range(0, n, tile):
        rows = slice(first, min(first + tile, n))
        load(x[rows], xt)
        monomials(steps, xt, features)
        fetch(features, sums[0], found[0][rows])
        fetch(features[low:high], sums[1], found[1][rows])
        if sums[2].shape[1]:
            np.abs(features, features)
            fetch(features, sums[2], found[2][rows])
    return found


@compiled
def pull(steps, tile, x, factor, total):
    """Gradient of Σ_i ⟨monomials(x_i), total · factor_i⟩ on x.

    Shapes: x (n, d), factor (n, c), total (k, c), weighted -> (n, d).
    """
    n, d = x.shape
    xt, dx = np.empty((d, tile), x.dtype), np.empty((d, tile), x.dtype)  # (d, t) both
    yt, features = np.empty((factor.shape[1], tile), x.dtype), np.empty((len(total), tile), x.dtype)  # (c, t), (k, t)
    pulled = np.empty_like(x)  # (n, d)
    for first in range(0, n, tile):
        rows = slice(first, min(first + tile, n))
        load(x[rows], xt)
        load(factor[rows], yt)
        monomials(steps, xt, features)
        monomials_vjp(steps, xt, features, np.dot(total, yt), dx)
        store(dx, pulled[rows])
    return pulled


# --- under the mask: row i sees the rows j ≤ i of the other side


@compiled
def prefixes(steps, low, high, tile, x, groups, sums):
    """The three sums before each tile; `sums` become those of all rows. Shapes: of `absorb` -> (tiles, k, c) each."""
    n = len(x)
    before = [np.empty((-(-n // tile), *s.shape)) for s in sums]  # (tiles, k, c) each
    for i in range(len(before[0])):
        rows = slice(i * tile, min((i + 1) * tile, n))
        for g in range(3):
            before[g][i] = sums[g]
        absorb(steps, low, high, tile, x[rows], (groups[0][rows], groups[1][rows], groups[2][rows]), sums)
    return before


@compiled
def masked_polynomial(coefficients, scores, values):
    """M ⊙ P(scores), in place. Shapes: coefficients (g + 1,), scores (t, t) -> values (t, t)."""
    s, v = scores.ravel(), values.ravel()  # (t²,) both: all pairs, for one long loop is faster than many short ones
    v[:] = coefficients[-1]
    for c in coefficients[-2::-1]:
        for j in range(len(s)):
            v[j] = v[j] * s[j] + c
    for i in range(len(values)):
        values[i, i + 1 :] = 0


@compiled
def weighted(total, before, weights):
    """(total + before) times the weights, in their type. Shapes: total, before (k, c), weights (k,) -> (k, c)."""
    found = np.empty(total.shape, weights.dtype)  # (k, c)
    for a in range(len(total)):
        for c in range(total.shape[1]):
            found[a, c] = (total[a, c] + before[a, c]) * weights[a]
    return found


@compiled
def masked_read(steps, low, high, tile, x, y, groups, before, sums, weights, polynomials):
    """`read` with the sums of the rows up to its own.

    `polynomials` are of the three groups, the last in |x| and |y|. Shapes: x, y (n, d), groups (n, c),
    before (tiles, k, c), sums (k, c), weights (k,), polynomials (g + 1,) -> (n, c) each.
    """
    n, d = x.shape
    xs, yt = np.empty((tile, d), x.dtype), np.empty((d, tile), x.dtype)  # (t, d), (d, t)
    scores, near = np.empty((tile, tile), x.dtype), np.empty((tile, tile), x.dtype)  # (t, t) both
    found = [np.empty((n, s.shape[1]), x.dtype) for s in sums]  # (n, c) each
    for i in range(len(before[0])):
        rows = slice(i * tile, min((i + 1) * tile, n))
        now = (
            weighted(sums[0], before[0][i], weights[0]),
            weighted(sums[1], before[1][i], weights[1]),
            weighted(sums[2], before[2][i], weights[2]),
        )  # (k, c) each
        seen = read(steps, low, high, tile, x[rows], now)  # (b, c) each
        pad(x[rows], xs)
        load(y[rows], yt)
        np.dot(xs, yt, scores)
        for g in range(3):
            if sums[g].shape[1]:
                if g == 2:
                    np.dot(np.abs(xs), np.abs(yt), scores)
                masked_polynomial(polynomials[g], scores, near)
                found[g][rows] = seen[g] + np.dot(near, padded(groups[g][rows], tile))[: len(seen[g])]
    return found


@compiled
def pad(rows, full):
    """The rows, followed by zeros. Shapes: (b, c) -> full (t, c), in place."""
    full[: len(rows)] = rows
    full[len(rows) :] = 0


@compiled
def padded(rows, tile):
    """The same in a new array. Shapes: (b, c) -> (t, c)."""
    full = np.empty((tile, rows.shape[1]), rows.dtype)  # (t, c)
    pad(rows, full)
    return full


@compiled
def masked_pull(steps, tile, x, y, x_factor, y_factor, before, total, weights, slope):
    """`pull` with the sums of the rows up to its own; `slope` is the polynomial's derivative.

    Shapes: x, y (n, d), factors (n, c), before (tiles, k, c), total (k, c), weights (k,), slope (g,) -> (n, d).
    """
    n, d = x.shape
    xs, yt = np.empty((tile, d), x.dtype), np.empty((d, tile), x.dtype)  # (t, d), (d, t)
    xf, yf = (
        np.empty((tile, x_factor.shape[1]), x.dtype),
        np.empty((x_factor.shape[1], tile), x.dtype),
    )  # (t, c), (c, t)
    scores, near = np.empty((tile, tile), x.dtype), np.empty((tile, tile), x.dtype)  # (t, t) both
    pulled = np.empty_like(x)  # (n, d)
    for i in range(len(before)):
        rows = slice(i * tile, min((i + 1) * tile, n))
        seen = pull(steps, tile, x[rows], x_factor[rows], weighted(total, before[i], weights))  # (b, d)
        pad(x[rows], xs)
        pad(x_factor[rows], xf)
        load(y[rows], yt)
        load(y_factor[rows], yf)
        np.dot(xs, yt, scores)
        masked_polynomial(slope, scores, near)
        np.dot(xf, yf, scores)
        near *= scores
        pulled[rows] = seen + np.dot(near, padded(y[rows], tile))[: len(seen)]
    return pulled


# --- one reading of the operands


@compiled
def extremes(x):
    """Least and largest entry of each column, or what is no number. Shapes: (n, d) -> (2, d)."""
    low, high = x[0].copy(), x[0].copy()  # (d,) both
    for i in range(len(x)):
        for c in range(x.shape[1]):  # without branches, so that columns go side by side
            low[c] = low[c] if (low[c] <= x[i, c]) | (low[c] != low[c]) else x[i, c]
            high[c] = high[c] if (high[c] >= x[i, c]) | (high[c] != high[c]) else x[i, c]
    return low, high


@compiled
def longest(x, centre, largest):
    """The largest Euclidean norm of a row of x − centre, of which no entry is above `largest`, in float64.

    Shapes: x (n, d), centre (d,) -> number.
    """
    scale = 1 / max(largest, 1e-300)  # or squares may underflow or overflow
    found = 0.0
    for i in range(len(x)):
        squares = 0.0
        for c in range(x.shape[1]):
            one = np.float64(x[i, c] - centre[c]) * scale
            squares += one * one
        found = squares if squares > found else found
    return np.sqrt(found) / scale


@compiled
def key_rows(K, centre, balance, V, middle):
    """(K − centre)/balance, and 1 before V − middle. Shapes: K (b, d), V (b, e) -> (b, d), (b, 1 + e)."""
    x, v = np.empty_like(K), np.empty((len(V), 1 + V.shape[1]), V.dtype)  # (b, d), (b, 1 + e)
    for i in range(len(K)):
        for c in range(K.shape[1]):
            x[i, c] = (K[i, c] - centre[c]) / balance
        v[i, 0] = 1
        for c in range(V.shape[1]):
            v[i, 1 + c] = V[i, c] - middle[c]
    return x, v


@compiled
def key_sizes(x, v, per_k, per_v):
    """What the bounds of the queries sum over the keys: v and max_c |x_c|/k_c; 1, the same and max_c |v_c| of values.

    Shapes: x (b, d), v (b, 1 + e), per_k (d,), per_v (e,) -> (b, 1 + e + 1), (b, 3), (b, 1).
    """
    e = len(per_v)
    factor, sizes = np.empty((len(x), e + 2), x.dtype), np.ones((len(x), 3), x.dtype)  # (b, 1 + e + 1), (b, 3)
    for i in range(len(x)):
        largest = 0.0
        for c in range(x.shape[1]):
            largest = max(largest, abs(x[i, c]) * per_k[c])
        factor[i, 1 + e] = sizes[i, 1] = largest
        largest, factor[i, 0] = 0.0, v[i, 0]
        for c in range(e):
            largest = max(largest, abs(v[i, 1 + c]) * per_v[c])
            factor[i, 1 + c] = v[i, 1 + c]
        sizes[i, 2] = largest
    return factor, sizes, np.ones((len(x), 1), x.dtype)


@compiled
def bounded(value, row, column, per_value, floor, spare):
    """(row_i column_c + per_value |value_ic| + floor_c) spare, infinite where it is no number.

    Shapes: value (n, d), row (n,), column, floor (d,) -> (n, d).
    """
    bound = np.empty_like(value)  # (n, d)
    for i in range(len(value)):
        for c in range(value.shape[1]):
            one = (row[i] * column[c] + per_value * abs(value[i, c]) + floor[c]) * spare
            bound[i, c] = np.inf if np.isnan(one) else one
    return bound


@compiled
def bounded_query(value, parts, column, per_value, floor, spare):
    """The same with min(a, b + τ |value|/column) + c for `row`, infinite where both are no numbers.

    Shapes: value (n, d), parts (n, 4), which are a, b, τ, c, column (d,) -> (n, d).
    """
    bound = np.empty_like(value)  # (n, d)
    for i in range(len(value)):
        a, b, tau, more = parts[i]
        for c in range(value.shape[1]):
            size = abs(value[i, c])
            by_ratio, by_moment = a * column[c], b * column[c] + tau * size
            least = by_ratio if np.isnan(by_moment) or by_ratio < by_moment else by_moment
            one = (least + more * column[c] + per_value * size + floor) * spare
            bound[i, c] = np.inf if np.isnan(one) else one
    return bound
