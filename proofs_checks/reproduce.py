"""Runs an experiment, and shows what came out: a table, a plot, a file of data, a page.

The page is made from the data alone, so that what is committed in docs/experiments can be held against it.
"""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.table import Table

from experiments import module_of
from experiments.experiment import Experiment, Panel, Row
from proofs_checks.digest import packages
from proofs_checks.evidence import Evidence, merge
from proofs_checks.experiment import FOLDER, Data, ExperimentTrial, read
from proofs_checks.record import Check, Form, Part, Statement
from proofs_checks.recorded import identified
from proofs_checks.verdict import FormVerdict, form_verdict

Size = Literal["small", "full"]

STYLE: Any = {"svg.hashsalt": "altgrad", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
MOST_INSIDE = 6  # lines whose names stand within a plot
MARKERS = "osv^Dx*+P"  # lines can be told apart without colours


def reproduce(experiment: Experiment, size: Size, seed: int) -> dict[str, Any]:
    """The data of one run, as they are written to a file."""
    parameters = experiment.small if size == "small" else experiment.full
    module = module_of(experiment.name)
    return {
        "name": experiment.name,
        "size": size,
        "parameters": dict(parameters),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before",
        "versions": {"Python": platform.python_version(), **_versions(module)},
        "sources": identified(module),
        "rows": [dict(row) for row in experiment.run(seed=seed, **parameters)],
    }


def _versions(module: str) -> dict[str, str]:
    """Of the packages that an experiment's own figures depend on."""
    found = packages(frozenset({module}))
    return {name: found[name] for name in sorted(found) if name in ("numba", "numpy", "scipy", "torch", "tokenizers")}


def _processor() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def write(experiment: Experiment, found: Mapping[str, Any], folder: Path, record: Iterable[Statement]) -> list[Path]:
    """NAME.json, NAME.svg and NAME.md in a folder."""
    files = [folder / f"{experiment.name}{suffix}" for suffix in (".json", ".svg", ".md")]
    files[0].write_text(to_json(found), encoding="utf-8")
    files[1].write_text(plot(experiment, found), encoding="utf-8")
    files[2].write_text(page(experiment, found, record), encoding="utf-8")
    return files


def to_json(found: Mapping[str, Any]) -> str:
    """The data with a line for each row."""
    about = {key: value for key, value in found.items() if key != "rows"}
    head = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False)[:-2]
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in found["rows"])
    return f'{head},\n "rows": [\n{rows}\n ]\n}}\n'


# --- a table


def table(experiment: Experiment, rows: Iterable[Row]) -> list[list[str]]:
    """A line for each setting, below a heading: the median, then from the least to the largest."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in experiment.setting), []).append(row)
    lines = [[*experiment.setting, *experiment.measured]]
    for setting, group in groups.items():
        values = [[row[column] for row in group if row[column] is not None] for column in experiment.measured]
        lines.append([*map(_cell, setting), *map(_spread, values)])
    return lines


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    middle, least, most = (_number(x) for x in (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def _number(x: float) -> str:
    return f"{x:,}" if isinstance(x, int) else f"{x:,.0f}" if 1000 <= abs(x) < 1e7 else f"{x:.3g}"


def terminal(experiment: Experiment, rows: Iterable[Row]) -> Table:
    """The table for a terminal, without the spread."""
    head, *lines = table(experiment, rows)
    shown = Table(*head, title=f"{experiment.title} (medians)", title_justify="left")
    for line in lines:
        shown.add_row(*(cell.partition(" (")[0] for cell in line))
    return shown


def _markdown(lines: list[list[str]]) -> str:
    head, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rest))


# --- a plot


def plot(experiment: Experiment, found: Mapping[str, Any]) -> str:
    """The panels side by side as SVG: medians, with bars from the least to the largest. Same data, same text."""
    panels, file = experiment.panels, io.StringIO()
    with rc_context(STYLE):
        figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
        each = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel, following in zip(each, panels, (*panels[1:], None), strict=True):
            last = (
                following is None or following.lines != panel.lines
            )  # those with the same lines share what is beside
            _draw(axes, panel, found["rows"], beside=last)
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _draw(axes: Any, panel: Panel, rows: Iterable[Row], *, beside: bool) -> None:
    lines: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        if row[panel.y] is not None:
            label = ", ".join(_labelled(column, row[column]) for column in panel.lines)
            lines.setdefault(label, {}).setdefault(row[panel.x], []).append(row[panel.y])
    for (label, points), marker in zip(lines.items(), cycle(MARKERS)):
        xs = sorted(points)
        middle = [median(points[x]) for x in xs]
        bars = [
            [m - min(points[x]) for m, x in zip(middle, xs, strict=True)],
            [max(points[x]) - m for m, x in zip(middle, xs, strict=True)],
        ]
        axes.errorbar(xs, middle, yerr=bars, label=label or None, marker=marker, markersize=4, linewidth=1, capsize=2)
    axes.set(xlabel=panel.x, ylabel=panel.y)
    if "x" in panel.log:
        axes.set_xscale("log", base=2)
    if "y" in panel.log:
        axes.set_yscale("log")
    if panel.lines and len(lines) <= MOST_INSIDE:
        axes.legend(fontsize="small", frameon=False)
    elif panel.lines and beside:
        axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _labelled(column: str, value: Any) -> str:
    return f"{column} {value}" if str(value).isdigit() else str(value)


# --- a page


def page(experiment: Experiment, found: Mapping[str, Any], record: Iterable[Statement]) -> str:
    """Question, what follows for the authors' claims, table, plot, how to read it, and where the data are from."""
    data = read(found)
    taken = replace(data, now=data.sources)  # whether they are stale today is for `verify` to say
    blocks = [
        f"# {experiment.title}",
        experiment.question,
        *(["## What follows", *answers] if (answers := list(_answers(taken, record))) else []),
        "## What was measured",
        "Medians, with the least and the largest of all repetitions in brackets."
        f" Data: [{experiment.name}.json]({experiment.name}.json).",
        _markdown(table(experiment, found["rows"])),
        f"![{experiment.title}]({experiment.name}.svg)",
        "## How to read it",
        experiment.notes,
        f"Measured on {data.date}, seed {found['seed']}, on {data.machine}. Again:",
        f"```text\naltgrad reproduce {experiment.name} --size {found['size']} --seed {found['seed']}\n```",
        f"This page is written by that command with `--output {FOLDER}`; what the words of the verdicts mean is in"
        " [verdicts](../verdicts.md).",
    ]
    return "\n\n".join(blocks) + "\n"


def _answers(data: Data, record: Iterable[Statement]) -> Iterator[str]:
    for statement, part in ((s, p) for s in record for p in s.parts):
        lines = [_line(part, form, check, data) for form, check in _put_to(part, data.name)]
        if lines:
            name = f" ({part.name})" if part.name else ""
            fault = f"\n\n{part.fault.capitalize()}. {part.consequence}" if part.fault else ""
            yield f"**{statement.id}**{name}: {part.claim}.\n\n" + "\n".join(lines) + fault


def _put_to(part: Part, name: str) -> Iterator[tuple[Form, Check]]:
    for form in part.forms:
        for check in form.checks:
            if isinstance(check.trial, ExperimentTrial) and check.trial.data.name == name:
                yield form, check


def _line(part: Part, form: Form, check: Check, data: Data) -> str:
    evidence, verdict = judged(part, check, data)
    condition = (check.claim.__doc__ or "").partition("\n")[0].rstrip(".")
    condition = f"{condition[0].lower()}{condition[1:]}"
    role = "" if form.role == "printed" else "after repair: " if form.role == "repaired" else "if "
    reason = f" ({verdict.reason})" if verdict.reason else ""
    return (
        f"- {role}{form.reading or 'as printed'}: **{verdict.word}**{reason}. Condition: {condition};"
        f" {evidence.refused} of {evidence.planted} false conditions refused."
    )


def judged(part: Part, check: Check, data: Data) -> tuple[Evidence, FormVerdict]:
    """What other data than the committed ones make of a check."""
    assert isinstance(check.trial, ExperimentTrial)
    trial = replace(check.trial, data=data)
    evidence = merge(
        replace(check, trial=trial),
        [trial.run(check.claim, 0)],
        {name: trial.run(claim, 0) for name, claim in check.false.items()},
        None,
        required=trial.required("quick"),
        seed=0,
        digest=data.sources,
    )
    return evidence, form_verdict(part.kind, [evidence])
