"""A sequence on disk, spread over workers: what it takes here, and what a longer one would take on more machines.

`run` writes X and G to .npy files, starts workers of one thread, takes the gradient under a bar and adds time and
memory to benchmarks/results/cluster.json. `plan` computes from two lengths in that file what another takes elsewhere.
`report` writes both into docs/cluster.md.
"""

from __future__ import annotations

import json
import re
import resource
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, log
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Any

import numpy as np
import typer
from distributed import Client, LocalCluster
from numpy.lib import format as npy

from benchmarks.harness import machine
from proofs_checks.recorded import identified
from reference.distributed import FAN_IN, fast_attention_gradient, from_npy
from reference.low_rank import rank
from reference.polynomial import taylor

RESULTS = Path(__file__).parent / "results" / "cluster.json"
PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"
DEGREE = 2
GIB = 2**30

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)


@dataclass(frozen=True)
class Taken:
    """What one gradient took."""

    rows: int
    d: int
    workers: int
    part: int  # rows
    causal: bool
    seconds: float  # until the gradient was there
    worker_seconds: float  # most of any worker's processor, whatever else the machine did
    worker_bytes: int  # most of any worker, resident
    client_bytes: int  # of the process that has the scheduler


FIGURES: dict[str, Any] = {"seconds": 0.0, "worker_seconds": 0.0, "worker_bytes": 0, "client_bytes": 0}


@app.command()
def run(
    rows: Annotated[int, typer.Option(help="n.")] = 8_000_000,
    d: Annotated[int, typer.Option(help="Dimensions.")] = 8,
    part: Annotated[int, typer.Option(help="Rows of a part.")] = 2**18,
    workers: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
    memory: Annotated[float, typer.Option(help="GiB that each may take.")] = 4.0,
    causal: Annotated[bool, typer.Option(help="Under the causal mask.")] = False,
    file: Annotated[Path, typer.Option(help="Where the figures are added.")] = RESULTS,
) -> None:
    """Measure one gradient."""
    taken = measured(rows, d, part, workers, memory, causal)
    known = load(file) if file.exists() else []
    others = [one for one in known if replace(one, **FIGURES) != replace(taken, **FIGURES)]
    taken_now = sorted([*others, taken], key=lambda one: (one.causal, one.rows, one.part))
    about = machine() | {"sources": identified("reference.distributed")}
    found = {"machine": about, "taken": [asdict(one) for one in taken_now]}
    file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    typer.echo(taken)


def measured(rows: int, d: int, part: int, workers: int, memory: float, causal: bool) -> Taken:
    """One gradient of a sequence in .npy files, by workers that a limit of their memory would end."""
    rng = np.random.default_rng(0)
    W, W_V = rng.normal(size=(2, d, d)) / d**0.5
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=f"{memory} GiB", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        for name in "XG":
            write(Path(folder, f"{name}.npy"), rows, d, rng)
        X, G = (from_npy(Path(folder, f"{name}.npy"), part) for name in "XG")
        start, before = perf_counter(), client.run(process_time)
        fast = fast_attention_gradient(
            X, W, W_V, G, polynomial=taylor(DEGREE, 1.0), method="antiderivative", causal=causal, progress=True
        )
        seconds, after = perf_counter() - start, client.run(process_time)
        worker_seconds = max(after[worker] - before[worker] for worker in before)
        if fast.why or not np.isfinite(fast.bound.W).all():
            raise RuntimeError(f"the gradient has no certificate: {fast.why}")
        worker_bytes = max(client.run(peak).values())
        return Taken(rows, d, workers, part, causal, seconds, worker_seconds, worker_bytes, peak())


def write(path: Path, rows: int, d: int, rng: np.random.Generator) -> None:
    """Standard normal entries, a block at a time."""
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (rows, d)})
        for first in range(0, rows, 2**18):
            file.write(rng.standard_normal((min(2**18, rows - first), d)).tobytes())


def peak() -> int:
    """The most bytes that were resident in this process."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def load(file: Path) -> list[Taken]:
    return [Taken(**one) for one in json.loads(file.read_text("utf-8"))["taken"]]


# --- the plan


@dataclass(frozen=True)
class Site:
    """Where a sequence is to be computed."""

    machines: int = 64
    workers: int = 2  # on each
    memory: float = 16.0  # GiB of each machine
    network: float = 1.25e9  # bytes a second of each machine: 10 Gbit/s
    disk: float = 0.5e9  # bytes a second of each machine
    hop: float = 0.01  # seconds from the end of a task to the start of the one that waits for it


def plan(rows: int, site: Site, taken: list[Taken], causal: bool = False) -> dict[str, float]:
    """Seconds of each thing that takes time, and GiB of each machine, from the shortest and the longest measured.

    Time and memory of a worker grow with its rows on the line through both. What is assumed is in `site`.
    """
    less, *_, more = sorted((one for one in taken if one.causal == causal), key=lambda one: one.rows)
    d, parts = more.d, ceil(rows / more.part)
    each, of_machine = rows / site.machines / site.workers, rows / site.machines
    state = 8 * rank(d, DEGREE + 1) * (d + 7) / site.network  # for the sums over a side to travel, at most
    hops = parts if causal else 2 * ceil(log(parts, FAN_IN))  # one after the other: a scan, or up the tree and down
    return {
        "computing": line(each, less, more, "worker_seconds"),
        "reading X and G three times": 3 * 2 * 8 * d * of_machine / site.disk,
        "waiting for sums": 2 * hops * (site.hop + (1 if causal else FAN_IN) * state),  # of keys, and of queries
        "GiB of a machine": site.workers * line(each, less, more, "worker_bytes") / GIB,
    }


def line(rows: float, less: Taken, more: Taken, what: str) -> float:
    """The value at so many rows of a worker, on the line through two that were measured."""
    x, y = ((t.rows / t.workers, getattr(t, what)) for t in (less, more))
    return float(x[1] + (y[1] - x[1]) / (y[0] - x[0]) * (rows - x[0]))


def said(found: Mapping[str, float], site: Site) -> str:
    """The plan in words, and what binds."""
    lines = [f"{name:<30} {value:8.3g}{' s' if 'GiB' not in name else ''}" for name, value in found.items()]
    times = {name: value for name, value in found.items() if "GiB" not in name}
    fits = found["GiB of a machine"] <= site.memory
    memory = "fits" if fits else f"does not fit into {site.memory:g} GiB: take more machines"
    return "\n".join([*lines, f"What binds is {max(times, key=lambda name: times[name])}; memory {memory}."])


@app.command("plan")
def show_plan(
    rows: Annotated[int, typer.Option(help="n.")] = 10**9,
    machines: Annotated[int, typer.Option(help="How many.")] = 64,
    memory: Annotated[float, typer.Option(help="GiB of each.")] = 16.0,
    causal: Annotated[bool, typer.Option(help="Under the causal mask.")] = False,
    file: Annotated[Path, typer.Option(help="What was measured.")] = RESULTS,
) -> None:
    """Say what n rows would take."""
    site = Site(machines=machines, memory=memory)
    typer.echo(said(plan(rows, site, load(file), causal), site))


def table(taken: list[Taken]) -> str:
    """What was measured."""
    lines = [
        "| n | d | mask | workers | rows of a part | seconds | processor | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in taken:
        memory = (one.client_bytes + one.workers * one.worker_bytes) / GIB
        cells = [f"{one.rows:,}", one.d, "causal" if one.causal else "none", one.workers, f"{one.part:,}"]
        lines.append(
            "| "
            + " | ".join(map(str, [*cells, f"{one.seconds:.0f}", f"{one.worker_seconds:.0f}", f"{memory:.2f} GiB"]))
            + " |"
        )
    return "\n".join(lines)


def page(text: str, taken: list[Taken]) -> str:
    """docs/cluster.md with these figures."""
    plans = [said(plan(10**9, Site(), taken, causal), Site()) for causal in (False, True)]
    both = "```text\n{}\n\nunder the causal mask\n\n{}\n```".format(*plans)
    blocks = {"measured": table(taken), "plan": both}
    for name, block in blocks.items():
        pattern = re.compile(rf"(<!-- cluster: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)  # type: ignore[misc]
    return text


@app.command()
def report() -> None:
    """Write the figures of the results into docs/cluster.md."""
    PAGE.write_text(page(PAGE.read_text("utf-8"), load(RESULTS)), "utf-8")


if __name__ == "__main__":
    app()
