"""What is to be reached, and why not where it is not: each target is judged by figures of one comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks import comparisons as c
from benchmarks.contenders import PEERS
from benchmarks.harness import APART, TOGETHER, Measured, Results, ratio, summary

Found = Mapping[str, Measured]  # a comparison's contenders
Figures = tuple[float, ...]  # one for each round

# By the name of a target that is missed: what bounds it, as measured.
PAIRS = (
    "the pairs within tiles of 64 rows are written out, as many products as the sums take at d = 12 and more at d = 8;"
    " the sums before each tile are weighted anew for each tile"
)
REASONS: dict[str, str] = {
    "forward and gradient, n = 65,536, d = 16: rate of the products alone, in tiles": (
        "in tiles the products run at the peak of two cores and are a third of the time; a quarter is the"
        " monomials and"
        " their differentiation; the rest is one reading of the operands for their ranges, transposing tiles, and"
        " waiting for the other thread. NumPy's own products alone take as long as the whole gradient"
    ),
    "forward, n = 40,960, d = 12: faster than dense NumPy": (
        "about a third of one core's time is the reading of the operands that finds their ranges before the"
        " first product;"
        " waiting for the other thread comes on top"
    ),
    "causal mask, n = 65,536, d = 8: slower": PAIRS,
    "causal mask, n = 65,536, d = 12: slower": PAIRS,
    "certificate, n = 65,536, d = 8: adds": (
        "the formulas of the bound take about 100 ns of one core for each row, whatever d is, and its sums"
        " about as much"
    ),
    "certificate, n = 65,536, d = 12: adds": (
        "the formulas of the bound take about 100 ns of one core for each row, whatever d is, and its sums"
        " about as much"
    ),
    "time per token, d = 8: largest over smallest, n from 2^14 to 2^20": (
        "a call has about 2.5 ms that do not depend on n (waiting for threads, checks), nearly as much as 2^14 tokens"
        " take; from 2^17 on the time per token is the same within a tenth"
    ),
    "quick verify: takes": (
        "some 340 s of one core, while the other is as busy, for balls and Hypothesis' examples: 170 s for two cores"
        " that lose nothing; the rest is what sharing loses"
    ),
}


@dataclass(frozen=True)
class Target:
    """`figures` of a comparison, whose median is to be at least or at most `limit`."""

    name: str
    comparison: str
    figures: Callable[[Found], Figures]
    limit: float
    at_least: bool = True
    unit: str = "times"
    of: str = c.ALTGRAD  # whose errors stand beside the figure

    def judge(self, results: Results) -> Judged:
        found = results[self.comparison]
        figures = self.figures(found)
        median, *_ = summary(figures)
        met = median >= self.limit if self.at_least else median <= self.limit
        return Judged(self, figures, met, found[self.of].errors if self.of in found else {})


@dataclass(frozen=True)
class Judged:
    """A target beside what was achieved."""

    target: Target
    figures: Figures
    met: bool
    errors: Mapping[str, float]


def judged(results: Results) -> list[Judged]:
    """All targets whose comparisons have been made."""
    return [target.judge(results) for target in targets() if target.comparison in results]


# --- figures


def faster(than: str, found: Found) -> Figures:
    """How many times as long the other one takes."""
    return ratio(found[than], found[c.ALTGRAD])


def faster_than_peers(found: Found) -> Figures:
    """The same for the fastest peer, in each round, of those whose errors are at most twice altgrad's."""
    own = found[c.ALTGRAD].errors
    rivals = [found[name] for name in PEERS if all(found[name].errors[x] <= 2 * error for x, error in own.items())]
    return tuple(map(min, zip(*(ratio(rival, found[c.ALTGRAD]) for rival in rivals), strict=True)))


def rate_of_products(way: str, found: Found) -> Figures:
    """The rate of the gradient's products, in the time of the whole gradient, over their rate alone, in percent."""
    return tuple(100 * r for r in ratio(found[way], found[c.GRADIENT]))


def error_against_degree_2(found: Found) -> Figures:
    """altgrad's error of the output over that of the paper's polynomial, as a peer computes it."""
    return (found[c.ALTGRAD].errors["output"] / found["taylor-series-linear-attention"].errors["output"],)


def slower(what: str, than: str, found: Found) -> Figures:
    return ratio(found[what], found[than])


def share(found: Found) -> Figures:
    """What the certificate adds, in percent of the gradient without it."""
    return tuple(100 * (r - 1) for r in ratio(found["with"], found["without"]))


def spread_of_time_per_token(found: Found) -> Figures:
    """The largest time per token over the smallest."""
    rounds = zip(*(tuple(t / m.work for t in m.values) for m in found.values()), strict=True)
    return tuple(max(times) / min(times) for times in rounds)


def mebibytes(found: Found) -> Figures:
    return tuple(value / 2**20 for value in found[c.ALTGRAD].values)


def minutes(found: Found) -> Figures:
    return tuple(value / 60 for value in found[TOGETHER].values)


def lost_by_sharing(found: Found) -> Figures:
    """How much longer one run by all cores takes than its share of as many runs apart from each other, in percent."""
    return tuple(100 * (found[APART].work * r - 1) for r in ratio(found[TOGETHER], found[APART]))


# --- targets


def targets() -> list[Target]:
    """The table of docs/speed.md, row by row."""
    n = c.LARGE
    rows = []
    for d, torch, peer in zip(c.DIMENSIONS, (1800, 1000, 700), (4, 10, 12), strict=True):
        name = c.both_name(d, n)
        rows += [
            Target(f"{name}: faster than {c.SDPA}", name, partial(faster, c.SDPA), torch),
            Target(f"{name}: faster than the best peer", name, faster_than_peers, peer),
        ]
    name = c.both_name(16, n)
    for way in (c.PRODUCTS, c.TILES):
        rows.append(
            Target(f"{name}: rate of the {way}", name, partial(rate_of_products, way), 60, unit="%", of=c.GRADIENT)
        )
    name = c.forward_name(12, 40960)
    rows += [
        Target(f"{name}: faster than {c.DENSE}", name, partial(faster, c.DENSE), 900),
        Target(f"{name}: faster than {c.SDPA}", name, partial(faster, c.SDPA), 100),
        # The same polynomial: what differs is rounding.
        Target(f"{name}: error over the paper's degree 2", name, error_against_degree_2, 1.001, at_least=False),
    ]
    for d in c.DIMENSIONS:
        name = c.causal_name(d, n)
        rows.append(
            Target(f"{name}: slower", name, partial(slower, "causal", "unmasked"), 2.5, at_least=False, of="causal")
        )
    for d in c.DIMENSIONS:
        name = c.certificate_name(d, n)
        rows.append(Target(f"{name}: adds", name, share, 50, at_least=False, unit="%", of="with"))
    name = c.memory_name(2**24)
    rows.append(Target(f"{name}: beyond inputs and outputs", name, mebibytes, 256, at_least=False, unit="MiB"))
    name = c.TOKENS_NAME
    rows.append(
        Target(
            f"{name}: largest over smallest, n from 2^14 to 2^20", name, spread_of_time_per_token, 1.3, at_least=False
        )
    )
    rows.append(Target(f"{c.VERIFY_NAME}: takes", c.VERIFY_NAME, minutes, 3, at_least=False, unit="minutes"))
    name = f"{c.VERIFY_NAME}: lost by sharing the work"
    rows.append(Target(name, c.VERIFY_NAME, lost_by_sharing, 10, at_least=False, unit="%"))
    return rows
