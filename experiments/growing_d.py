"""What rank and operations come to as n grows, for several ways in which d may grow with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import comb, log

from experiments.experiment import REPETITION, Experiment, Panel, Row
from proofs_checks.cost import law_exact_output, law_output, rows_taken
from reference import qkv
from reference.polynomial import least_degree

WIDTHS: Mapping[str, Callable[[int], int]] = {  # d for n = 2^e
    "d = log2 n": lambda e: e,
    "d = n^(1/4)": lambda e: round(2 ** (e / 4)),
    "d = n^(1/2)": lambda e: round(2 ** (e / 2)),
    "d = 64": lambda _: 64,
}
DEGREE_2, PERCENT, SHRINKING = "degree 2", "1 % of every weight", "1/n of every weight"


def degree(accuracy: str, n: int) -> int:
    """For scores within ±1, the next even one: an even polynomial's sums of weights cannot vanish."""
    if accuracy == DEGREE_2:
        return 2
    rtol = 0.01 if accuracy == PERCENT else 1 / n
    g = least_degree(1.0, rtol / (2 + rtol))
    return g + g % 2


def run(*, seed: int, exponents: tuple[int, ...]) -> Iterator[Row]:
    """A row for each growth of d, accuracy and n; counted, so that nothing depends on the seed."""
    for width, d_of in WIDTHS.items():
        for accuracy in (DEGREE_2, PERCENT, SHRINKING):
            for e in exponents:
                n, d = 2**e, d_of(e)
                g = degree(accuracy, n)
                fast = law_output(n, d, g, rows_taken("output", n, d, g))
                yield {
                    "width": width,
                    "accuracy": accuracy,
                    "log2 n": e,
                    REPETITION: 0,
                    "d": d,
                    "degree": g,
                    "log rank/log n": log(comb(d + g, g)) / log(n),
                    "operations/exact": fast / law_exact_output(n, d, qkv.BLOCK_ENTRIES),
                }


EXPERIMENT = Experiment(
    name="growing-d",
    title="Wide heads, and d that grows with n",
    question="For scores within ±1, the rank binom(d + g, g) as a power of n, and the operations of altgrad's"
    " approximate output, certificate included, over those of exact attention, by the laws that are checked against"
    " counts (`altgrad show own/cost`). d is log2 n, n^(1/4), n^(1/2) or 64; the degree g is 2, or what every weight"
    " needs to be within 1 % or 1/n of itself, and even.",
    notes="A power below 1 and a quotient below 1 are where it pays. Degree 2 says nothing of the error: at scores"
    " within ±1 the Taylor polynomial of degree 2 is off by up to 36 % of exp, and by less the smaller the scores"
    " are. Scores within ±1 are an assumption that trained heads do not meet (`real-model`); each further unit of"
    " range costs degrees. 2^17 is the length of the context of Llama 3.2. Operations are not times: `crossover` has"
    " both.",
    run=run,
    small={"exponents": (10, 17, 24)},
    full={"exponents": (10, 13, 17, 20, 24, 28, 32, 40)},
    setting=("width", "accuracy", "log2 n", "d", "degree"),
    measured=("log rank/log n", "operations/exact"),
    panels=(
        Panel("log2 n", "log rank/log n", ("width", "accuracy"), ""),
        Panel("log2 n", "operations/exact", ("width", "accuracy"), "y"),
    ),
)
