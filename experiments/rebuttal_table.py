"""The table that the authors gave their reviewers, as their script measures it and as softmax attention is measured.

The table (`rebuttal_table.csv`: errors in percent, times in ms) is from the public discussion of the paper on
OpenReview.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.experiment import REPETITION, Experiment, Panel, Row, gaussian, relative, timed
from reference import qkv
from reference.polynomial import taylor

Array = NDArray[Any]

BLOCK = 2**24  # scores at a time
SCRIPT, SOFTMAX, ALTGRAD = "as the script does", "softmax, degree 2", "altgrad, degree 2"


def printed() -> dict[int, dict[str, float]]:
    """The authors' table by d."""
    text = Path(__file__).with_suffix(".csv").read_text(encoding="utf-8")
    return {int(row["d"]): {k: float(v) for k, v in row.items()} for row in csv.DictReader(text.splitlines())}


def all_products(x: Array) -> Array:
    """1, x and all d² products of two entries, so that inner products are 1 + ⟨x, y⟩ + ⟨x, y⟩²/2: (n, 1 + d + d²)."""
    n, d = x.shape
    squares = (x[:, :, None] * x[:, None, :]).reshape(n, d * d) / np.float32(2**0.5)  # (n, d²)
    return np.concatenate([np.ones((n, 1), x.dtype), x, squares], axis=1)  # (n, 1 + d + d²)


def softmax(Q: Array, K: Array, V: Array) -> Array:
    """Dense attention: exp(Q Kᵀ), each row divided by its sum, times V."""
    output = np.empty_like(V)  # (n, d)
    for rows in _blocks(len(Q)):
        A = np.exp(Q[rows] @ K.T)  # (b, n)
        output[rows] = A @ V / A.sum(axis=1)[:, None]
    return output


def columns_divided(Q: Array, K: Array, V: Array) -> Array:
    """The script's dense attention, which is no softmax: column j of exp(Q Kᵀ) is divided by the sum of row j."""
    sums = np.concatenate([np.exp(Q[rows] @ K.T).sum(axis=1) for rows in _blocks(len(Q))])  # (n,)
    values = V / sums[:, None]  # (n, d)
    return np.concatenate([np.exp(Q[rows] @ K.T) @ values for rows in _blocks(len(Q))])


def _blocks(n: int) -> list[slice]:
    step = max(1, BLOCK // n)
    return [slice(i, i + step) for i in range(0, n, step)]


def degree_2(Q: Array, K: Array, V: Array, *, script: bool) -> Array:
    """The same with 1 + x + x²/2 for exp, by factors with 1 + d + d² columns."""
    U, W = all_products(Q), all_products(K)  # (n, k)
    sums = (U @ W.sum(axis=0))[:, None]  # (n, 1)
    output: Array = U @ (W.T @ (V / sums if script else V))  # (n, d)
    return output if script else output / sums


def altgrad(Q: Array, K: Array, V: Array) -> Array:
    """The same polynomial by altgrad: each monomial once, of queries and centred keys, which moves errors a little."""
    found: Array = qkv.fast_attention(Q, K, V, scale=1.0, polynomial=taylor(2, 1.0), certify=False).value
    return found


def of_the_sum(x: NDArray[Any], y: NDArray[Any]) -> float:
    """‖x − y‖/‖x + y‖ in percent, the script's error."""
    return 100 * float(np.linalg.norm(x - y) / np.linalg.norm(x + y))


def run(*, seed: int, dims: tuple[int, ...], repetitions: int) -> Iterator[Row]:
    """A row for each d, repetition and way: error and speed-up, and both over what is printed."""
    for d in dims:
        for r in range(repetitions):
            yield from _ways(printed()[d], *gaussian(int(printed()[d]["n"]), d, seed + r), repetition=r)


def _ways(said: dict[str, float], Q: Array, K: Array, V: Array, *, repetition: int) -> Iterator[Row]:
    exact, slow = timed(lambda: softmax(Q, K, V))
    d, sample = Q.shape[1], all_products(Q[:1024].astype(np.float64))
    rank = int(np.linalg.matrix_rank(sample))
    for way, columns, call, truth, measure in (
        (SCRIPT, 1 + d + d * d, partial(degree_2, script=True), columns_divided(Q, K, V), of_the_sum),
        (SOFTMAX, 1 + d + d * d, partial(degree_2, script=False), exact, relative),
        (ALTGRAD, comb(d + 2, 2), altgrad, exact, relative),
    ):
        error = measure(truth, call(Q, K, V))  # the first call, which is not timed
        speed_up = slow / timed(lambda: call(Q, K, V))[1]  # noqa: B023  # called at once
        yield {
            "d": int(said["d"]),
            "n": int(said["n"]),
            "way": way,
            REPETITION: repetition,
            "error, %": error,
            "error/printed": error / said["error"],
            "speed-up": speed_up,
            "speed-up/printed": speed_up / said["speed-up"],
            "columns": columns,
            "rank/columns": rank / columns,
        }


EXPERIMENT = Experiment(
    name="rebuttal-table",
    title="The table of errors and speed-ups",
    question="The authors' table has one run for each n = 10·2^d. Here the same sizes are run with other random"
    " numbers, in three ways. **As the script does**: dense and approximate attention both divide column j by the sum"
    " of row j, and the error is ‖x − y‖/‖x + y‖. **Softmax, degree 2**: rows are divided by their own sums and the"
    " error is ‖x − y‖/‖x‖; the polynomial 1 + x + x²/2 and its 1 + d + d² columns are the same. **altgrad, degree"
    " 2**: the same polynomial with each monomial once, in `reference.qkv`, which takes keys relative to the middle of"
    " their range and so moves scores, and errors, a little.",
    notes="The speed-up is the time of dense softmax in NumPy, by blocks of rows, over that of the way's own call,"
    " after a first call that is not timed. The authors' times are from another machine, so a ratio of ratios says"
    " which of both gains more there, not who is faster. rank/columns is the rank of the factors, found on 1,024 rows"
    " in float64, over their columns: x_a x_b and x_b x_a are the same, so that almost half of the d² products add"
    " nothing. d grows with n: what that does is in `error-vs-n`.",
    run=run,
    small={"dims": (4, 5), "repetitions": 2},
    full={"dims": tuple(range(4, 13)), "repetitions": 5},
    setting=("d", "n", "way"),
    measured=("error, %", "error/printed", "speed-up", "speed-up/printed", "columns", "rank/columns"),
    panels=(Panel("n", "error, %", ("way",)), Panel("n", "speed-up", ("way",))),
)
