"""The command line: `run` measures, `report` writes docs/speed.md."""

from __future__ import annotations

import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import report as tables
from benchmarks.comparisons import Profile, comparisons
from benchmarks.harness import Results, in_own_process, load, machine, save
from benchmarks.targets import judged

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)


@app.command()
def run(
    profile: Annotated[
        Profile, typer.Option(help="Five minutes, or all of docs/speed.md in half an hour.")
    ] = Profile.quick,
    only: Annotated[str, typer.Option(help="Only comparisons whose names contain this; the file's others stay.")] = "",
    json: Annotated[Path | None, typer.Option(help="Where to write; else benchmarks/results/PROFILE.json.")] = None,
) -> None:
    """Measure, print what came out and write it to a file."""
    console = Console()
    file = json or tables.RESULTS.with_name(f"{profile}.json")
    results, machines = load(file) if only and file.exists() else ({}, {})
    chosen = [x for x in comparisons(profile) if only in x.name]
    died, start = [], time.monotonic()
    for comparison in chosen:
        console.print(f"{time.monotonic() - start:5.0f} s  {comparison.name}", highlight=False)
        try:
            results[comparison.name] = in_own_process(comparison)
        except BrokenProcessPool:  # most likely for want of memory: the others are still worth having
            died.append(comparison.name)
            continue
        machines[comparison.name] = machine()
        save(results, machines, file)
    _show(console, results)
    console.print(f"{time.monotonic() - start:.0f} s; written to {file}", soft_wrap=True)
    if died:
        console.print("died: " + "; ".join(died), style="red")
        raise typer.Exit(1)


def _show(console: Console, results: Results) -> None:
    rows = tables.comparison_rows(results)
    console.print(tables.terminal(tables.COMPARISONS_HEAD, rows, "Comparisons"))
    console.print(tables.terminal(tables.TARGETS_HEAD, tables.target_rows(judged(results)), "Targets"))
    console.print(f"targets that are not in this run: {len(tables.not_run(results))} (--profile full has all)")


@app.command()
def report() -> None:
    """Make the tables of docs/speed.md from benchmarks/results/full.json."""
    results, machines = load(tables.RESULTS)
    tables.PAGE.write_text(tables.page(tables.PAGE.read_text("utf-8"), results, machines), "utf-8")


if __name__ == "__main__":
    app()
