"""The tables of docs/speed.md, and those at the end of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.table import Table

from benchmarks import comparisons as c
from benchmarks.harness import ROOT, Measured, Results, ratio, summary
from benchmarks.targets import REASONS, Judged, judged, targets

PAGE = ROOT / "docs" / "speed.md"
RESULTS = Path(__file__).parent / "results" / "full.json"
BLOCKS = "targets", "methods", "steps", "comparisons", "machine"
NOT_MEASURED = "Not measured yet."

Rows = list[list[str]]


class IncompleteError(ValueError):
    """A file of results lacks what the report needs."""


def page(text: str, results: Results | None, machines: Mapping[str, Mapping[str, object]]) -> str:
    """The page with its tables made again: what stands between <!-- speed: NAME --> and <!-- end -->."""
    made = dict.fromkeys(BLOCKS, NOT_MEASURED)
    if results is not None:
        check(results)
        made = {
            "targets": markdown(TARGETS_HEAD, target_rows(judged(results))),
            "methods": markdown(METHODS_HEAD, method_rows(results)),
            "steps": markdown(STEPS_HEAD, step_rows(results)),
            "comparisons": markdown(COMPARISONS_HEAD, comparison_rows(results)),
            "machine": machine_lines(machines),
        }
    for name, block in made.items():
        pattern = rf"(<!-- speed: {name} -->\n).*?(<!-- end -->)"
        text, times = re.subn(pattern, lambda m, block=block: f"{m[1]}{block}\n{m[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        if times != 1:
            raise IncompleteError(f"the page has {times} blocks <!-- speed: {name} -->, needs one")
    return text


def check(results: Results) -> None:
    """Refuse results in which a comparison or a contender of the full profile is missing."""
    missing = [x.name for x in c.comparisons(c.Profile.full) if x.name not in results]
    missing += [
        f"{x.name}: {name}"
        for x in c.comparisons(c.Profile.full)
        if x.name in results
        for name in x.contenders.keys() - results[x.name].keys()
    ]
    if missing:
        raise IncompleteError("the results lack " + "; ".join(missing))


# --- targets

TARGETS_HEAD = ["target", "wanted", "achieved (quartiles; rounds)", "errors", ""]


def target_rows(rows: Iterable[Judged]) -> Rows:
    return [
        [
            row.target.name,
            f"{'≥' if row.target.at_least else '≤'} {row.target.limit:,.4g} {row.target.unit}",
            spread(row.figures),
            error_text(row.errors),
            "met" if row.met else f"missed: {REASONS.get(row.target.name, 'not explained yet')}",
        ]
        for row in rows
    ]


def spread(figures: tuple[float, ...]) -> str:
    """A median with its spread."""
    median, lower, upper = summary(figures)
    if len(figures) == 1:
        return number(median)
    return f"{number(median)} ({number(lower)} to {number(upper)}; {len(figures)})"


def number(x: float) -> str:
    """Three digits."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:#.3g}".removesuffix(".")


def error_text(errors: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(errors[name])}" for name in ("output", "dQ", "dK", "dV") if name in errors)


def percent(error: float) -> str:
    if error < 1e-5:
        return f"{error:.0e}"
    return f"{100 * error:.0f} %" if error > 0.1 else f"{100 * error:.2g} %"


# --- comparisons

COMPARISONS_HEAD = ["comparison", "contender", "ms", "over the first (quartiles; rounds)", "errors"]


def comparison_rows(results: Results) -> Rows:
    """Every contender's time and how many times as long as the first it takes; of memory, MiB."""
    rows = []
    for comparison, found in results.items():
        first = next(iter(found.values()))
        for contender, measured in found.items():
            over = "" if measured is first else spread(ratio(measured, first))
            rows.append([comparison, contender, size(measured), over, error_text(measured.errors)])
            comparison = ""  # noqa: PLW2901  # once is enough
    return rows


def size(measured: Measured) -> str:
    median = summary(measured.values)[0]
    return f"{number(median / 2**20)} MiB" if measured.unit == "byte" else number(1000 * median)


# --- methods: what the same error in dQ and dK costs

METHODS_HEAD = [
    "d",
    "antiderivative",
    "its errors",
    "differentiate with such errors",
    "its errors",
    "takes",
    "paper takes",
]


def method_rows(results: Results) -> Rows:
    """At the least degree at which "differentiate" has no larger errors in dQ and dK; both in times of the former."""
    rows = []
    for d in (4, *c.DIMENSIONS):
        found = results[c.methods_name(d, c.MIDDLE)]
        for name, one in found.items():
            method, _, degree = name.partition(", ")
            if method != "antiderivative":
                continue
            equal = [
                other
                for other, x in found.items()
                if other.startswith("differentiate") and all(x.errors[a] <= one.errors[a] for a in ("dQ", "dK"))
            ]
            other = min(equal, key=lambda x: int(x.rpartition(" ")[2]), default=None)
            rows.append(
                [
                    str(d),
                    degree,
                    error_text(one.errors),
                    "none measured" if other is None else other.rpartition(", ")[2],
                    "" if other is None else error_text(found[other].errors),
                    "" if other is None else spread(ratio(found[other], one)),
                    spread(ratio(found[f"paper, {degree}"], one)),
                ]
            )
    return rows


# --- steps: where the time goes

STEPS_HEAD = ["d", "part", "ms", "share of the gradient", "achieved", "measured peak", "achieved over peak"]
STEPS = (
    (c.TILES, c.PEAK_PRODUCT, "Gflop/s"),
    (c.ELEMENTWISE, c.PEAK_MULTIPLY, "G multiplications/s"),
    (c.COPIES, c.PEAK_COPY, "GB/s"),
)


def step_rows(results: Results) -> Rows:
    """The parts of the gradient, each timed alone, beside the whole. What remains is negative where parts overlap."""
    rows = []
    for d in c.DIMENSIONS:
        found = results[c.steps_name(d)]
        whole = found[c.GRADIENT]
        rows.append([str(d), "the gradient", size(whole), "", "", "", ""])
        shares = []
        for part, peak, unit in STEPS:
            shares.append(tuple(100 * r for r in ratio(found[part], whole)))
            against = over_peak(found[part], found[part], found[peak], unit)
            rows.append(["", part, size(found[part]), f"{spread(shares[-1])} %", *against])
        rest = tuple(100 - sum(parts) for parts in zip(*shares, strict=True))
        rows.append(["", "what remains", "", f"{spread(rest)} %", "", "", ""])
        against = over_peak(found[c.TILES], whole, found[c.PEAK_PRODUCT], STEPS[0][2])
        rows.append(["", "the products' work in the gradient's time", "", "", *against])
    return rows


def over_peak(work: Measured, time: Measured, peak: Measured, unit: str) -> list[str]:
    """The rate of one contender's work in one's time, the measured peak, and the former over the latter."""
    rate, most = (w.work / summary(t.values)[0] / 1e9 for w, t in ((work, time), (peak, peak)))
    return [f"{number(rate)} {unit}", f"{number(most)} {unit}", f"{100 * rate / most:.0f} %"]


# --- text


def machine_lines(machines: Mapping[str, Mapping[str, object]]) -> str:
    """What the numbers depend on; where comparisons differ in it, all of it."""
    kinds: dict[str, list[str]] = {}
    for about in machines.values():
        for name, value in about.items():
            values = kinds.setdefault(name.removeprefix("version_").replace("_", " "), [])
            if str(value)[:10] not in values and name == "date":
                values.append(str(value)[:10])
            elif str(value) not in values and name != "date":
                values.append(str(value))
    return "\n".join(f"- {name}: {', '.join(values)}" for name, values in sorted(kinds.items()))


def markdown(head: list[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def terminal(head: list[str], rows: Rows, title: str) -> Table:
    table = Table(*head, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def not_run(results: Results) -> list[str]:
    """The targets that these results say nothing about."""
    return [target.name for target in targets() if target.comparison not in results]
