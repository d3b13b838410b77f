"""The plots of the report as SVG, drawn from results, from `reference/` and from counts, each with words for it.

All of them can stand in one page: each has ids of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from matplotlib.figure import Figure
from matplotlib.style import context

from experiments import load
from proofs_checks import cost, reproduce
from proofs_checks.count import CountTrial, Law, at
from proofs_checks.experiment import FOLDER, Data, ExperimentTrial
from proofs_checks.judgement import Judgement
from proofs_checks.record import Claim
from proofs_checks.recorded import ROOT
from reference import qkv
from reference.low_rank import rank
from reference.polynomial import chebyshev_error, least_degree, taylor_error

BOUNDS = (1.0, 2.0, 4.0, 8.0)  # of the scores, a line for each
DEGREES = range(1, 31)
WIDTHS = (1, 2, 4, 8, 16)  # d, a line for each
RTOL = 0.01  # of the weights, where the rank is shown against the bound
SHOWN = 1e-16  # no smaller error is
D, G = 2, 4  # of the costs
ROWS = tuple(2**k for k in range(3, 21))
COUNTED = (8, 32, 128, 512)  # n at which operations are counted; at others they follow from the laws
GRADIENTS: Mapping[str, tuple[Claim, Law]] = {
    "exact": (cost.exact_gradient, cost.law_exact_gradient),
    "paper": (cost.paper, cost.law_paper),
    "antiderivative": (cost.antiderivative, cost.law_antiderivative),
    "differentiate": (cost.differentiate, cost.law_differentiate),
}


@dataclass(frozen=True)
class Picture:
    """A plot, and what it shows in words."""

    svg: str
    words: str


@dataclass(frozen=True)
class Shown:
    """An experiment as a reader sees it: its table, with the heading first, and its plot."""

    title: str
    data: Data
    rows: list[list[str]]
    picture: Picture


def drawn(figure: Figure, name: str) -> str:
    """The figure as SVG. Equal figures give equal text."""
    text = io.StringIO()
    with context({"svg.fonttype": "none", "svg.hashsalt": "altgrad"}):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return inlined(text.getvalue(), name)


def inlined(text: str, name: str) -> str:
    """The element of an SVG file, with its name before each of its ids."""
    return re.sub(r'(?<=\bid=")|(?<=href="#)|(?<=url\(#)', f"{name}-", text[text.index("<svg") :])


def slack(judged: Mapping[str, Judgement]) -> Picture:
    """Largest measured/bound of each piece of evidence that has one, by section."""
    rows: dict[str, list[float]] = {}
    for j in judged.values():
        held = (e for p in j.parts for f in p.forms if f.verdict.holds for e in f.evidence)
        rows.setdefault(j.statement.section, []).extend(e.worst for e in held if e.worst)
    shown = [(section, ratios) for section, ratios in rows.items() if ratios]
    figure = Figure(figsize=(7, 0.3 * len(shown) + 0.8))
    axes = figure.subplots()
    for row, (_, ratios) in enumerate(shown):
        axes.plot(ratios, [row] * len(ratios), "|", color="C0", markersize=10)
    axes.axvline(1, color="C3", linewidth=1)
    axes.set(xscale="log", xlabel="largest measured/bound of a check (1: attained)")
    axes.set_yticks(range(len(shown)), [section for section, _ in shown])
    axes.invert_yaxis()
    figure.tight_layout()
    every = [ratio for _, ratios in shown for ratio in ratios]
    words = f"Largest measured/bound, by section: {len(every)} marks, the largest at {max(every, default=0):.3g}"
    return Picture(drawn(figure, "slack"), words)


@cache
def approximation() -> Picture:
    """What the degree of the polynomial and the bound on the scores do to the error, and to the rank."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    (error, degree), (rank_of_degree, rank_of_bound) = figure.subplots(2, 2)
    for k, b in enumerate(BOUNDS):
        for of_degree, style in ((chebyshev_error, "-"), (taylor_error, ":")):
            points = [(g, x) for g in DEGREES if SHOWN < (x := float(of_degree(g, b))) < 1]
            error.plot(*zip(*points, strict=True), style, color=f"C{k}", label=f"B = {b:g}" if style == "-" else None)
    bounds = [k / 2 for k in range(1, 21)]
    degrees = [least_degree(b, RTOL) for b in bounds]
    degree.plot(bounds, degrees, ".", color="C0")
    for k, d in enumerate(WIDTHS):
        rank_of_degree.plot(DEGREES, [rank(d, g) for g in DEGREES], color=f"C{k}", label=f"d = {d}")
        rank_of_bound.plot(bounds, [rank(d, g) for g in degrees], ".", color=f"C{k}", label=f"d = {d}")
    error.set(yscale="log", xlabel="degree g", ylabel="relative error for |x| ≤ B (dotted: Taylor)")
    degree.set(xlabel="bound B on the scores", ylabel=f"least degree for an error of {RTOL:g}")
    rank_of_degree.set(yscale="log", xlabel="degree g", ylabel="rank, binom(d + g, g)")
    rank_of_bound.set(yscale="log", xlabel="bound B on the scores", ylabel=f"rank for an error of {RTOL:g}")
    for axes in (error, rank_of_degree, rank_of_bound):
        axes.legend(fontsize="small", frameon=False)
    b, g = bounds[-1], degrees[-1]
    words = (
        f"Error and rank against the degree g and the bound B on the scores. For a relative error of {RTOL:g}"
        f" B = {bounds[0]:g} takes degree {degrees[0]} and B = {b:g} degree {g}; the rank is then"
        f" {rank(WIDTHS[0], g):,} at d = {WIDTHS[0]} and {rank(WIDTHS[-1], g):,} at d = {WIDTHS[-1]}"
    )
    return Picture(drawn(figure, "approximation"), words)


@cache
def operations() -> Picture:
    """What gradients take against n: lines by the laws of `own/cost`, marks counted now."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, (gradient, law) in GRADIENTS.items():
        (line,) = axes.plot(ROWS, [at(law, _sizes(name, n)) for n in ROWS], label=name)
        trial = CountTrial(over={}, shapes=cost.LAYER, law=law, checked=True)
        found = [trial.measured(gradient, _sizes(name, n), 0) for n in COUNTED]
        axes.plot(COUNTED, found, "o", color=line.get_color())
    axes.set(xscale="log", yscale="log", xlabel="rows n", ylabel="operations of a gradient")
    axes.legend(frameon=False)
    crossings = ", ".join(f"{name} from n = {cost.crossover(name, D, G):,}" for name in GRADIENTS if name != "exact")
    words = f"Operations of a gradient against n at d = {D}, g = {G}. Fewer than the exact one takes: {crossings}"
    return Picture(drawn(figure, "operations"), words)


def _sizes(name: str, n: int) -> dict[str, int]:
    return {"n": n, "d": D, "g": G, "rows": cost.rows_taken(name, n, D, G), "entries": qkv.BLOCK_ENTRIES}


def experiments_of(j: Judgement) -> list[Shown]:
    """The experiments whose rows the statement's forms were put to."""
    trials = (c.trial for p in j.statement.parts for f in p.forms for c in f.checks)
    found = {t.data.name: t.data for t in trials if isinstance(t, ExperimentTrial) and t.data.rows}
    return [_experiment(data, j.statement.id) for data in found.values()]


def _experiment(data: Data, id: str) -> Shown:
    experiment = load(data.name)
    text = (ROOT / FOLDER / f"{data.name}.svg").read_text(encoding="utf-8")
    panels = "; ".join(f"{panel.y} against {panel.x}" for panel in experiment.panels)
    words = f"{experiment.title}: {panels}. The table has the same figures"
    rows = reproduce.table(experiment, data.rows)
    return Shown(experiment.title, data, rows, Picture(inlined(text, f"{data.name}-{id.replace(' ', '-')}"), words))
