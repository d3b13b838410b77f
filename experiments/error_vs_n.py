"""What the error of a polynomial of degree 2 depends on: n and d varied together, and each alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

from experiments.experiment import REPETITION, Experiment, Panel, Row, gaussian, relative
from reference import qkv
from reference.polynomial import taylor

TOGETHER, N_ALONE, D_ALONE = "d = log2(n/10)", "d fixed", "n fixed"
SAMPLE = 512  # queries in which errors are measured, at most


def error(n: int, d: int, seed: int) -> float:
    """‖x − y‖/‖x‖ in percent, in the first queries, over all keys."""
    Q, K, V = gaussian(n, d, seed)
    Q = Q[:SAMPLE]
    exact = qkv.attention(Q, K, V, scale=1.0)
    return relative(exact, qkv.fast_attention(Q, K, V, scale=1.0, polynomial=taylor(2, 1.0), certify=False).value)


def run(
    *, seed: int, lengths: tuple[int, ...], dims: tuple[int, ...], fixed_n: int, fixed_d: int, repetitions: int
) -> Iterator[Row]:
    """A row for each size and repetition: error, and the spread of the scores."""
    sizes = [(TOGETHER, n, round(log2(n / 10))) for n in lengths]
    sizes += [(N_ALONE, n, fixed_d) for n in lengths] + [(D_ALONE, fixed_n, d) for d in dims]
    for varied, n, d in sizes:
        for r in range(repetitions):
            yield {"varied": varied, "n": n, "d": d, REPETITION: r, "error, %": error(n, d, seed + r)}


EXPERIMENT = Experiment(
    name="error-vs-n",
    title="Does the error fall with the length?",
    question="In the authors' table n doubles whenever d grows by one, and the error falls. Here n and d grow"
    " together as there, then n alone at d = 8, then d alone at n = 2,560. Inputs are the script's: entries of Q and"
    " K are N(0, 1)/√d, scores are q·k, so that their standard deviation is 1/√d. The polynomial is 1 + x + x²/2; the"
    " error is ‖x − y‖/‖x‖ against softmax attention, in 512 queries (in all, if there are fewer) over all keys.",
    notes="The polynomial does not know n: what it makes of a weight depends on the score alone. With these inputs"
    " scores shrink like 1/√d, and the error with them; a longer sequence at the same d has the same scores. The"
    " theorem does not say otherwise: its 1/poly(n) comes from a degree that grows with n, and the script's degree is"
    " 2 for every n.",
    run=run,
    small={"lengths": (160, 640), "dims": (4, 8), "fixed_n": 320, "fixed_d": 8, "repetitions": 2},
    full={
        "lengths": tuple(10 * 2**d for d in range(4, 13)),
        "dims": tuple(range(4, 13)),
        "fixed_n": 2560,
        "fixed_d": 8,
        "repetitions": 9,
    },
    setting=("varied", "n", "d"),
    measured=("error, %",),
    panels=(Panel("n", "error, %", ("varied",)), Panel("d", "error, %", ("varied",), "y")),
)
