"""Beside PyTorch's exact attention and packages that approximate: what `python -m benchmarks` measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.experiment import REPETITION, Experiment, Panel, Row
from proofs_checks.recorded import identified
from reference.errors import AltgradError

FILE = Path(__file__).parent.parent / "benchmarks" / "results" / "full.json"
ALTGRAD = "altgrad"
OTHERS = ("PyTorch", "dense NumPy", "taylor-series-linear-attention", "performer-pytorch", "nystrom-attention")
FRESH, STALE = "as they are", "changed since"


def run(*, seed: int, n: int, dims: tuple[int, ...]) -> Iterator[Row]:
    """A row for each d, method and round of the file's comparison; nothing is measured here."""
    if not FILE.exists():
        raise AltgradError(f"versus: there is no {FILE}, needs a checkout in which the benchmarks have run")
    suite = json.loads(FILE.read_text("utf-8"))
    found = [{**suite["metadata"], **b["metadata"], "times": b["runs"][0]["values"]} for b in suite["benchmarks"]]
    now = identified("reference.qkv")
    for d in dims:
        compared = {one["contender"]: one for one in found if one["comparison"] == _name(n, d)}
        for method in (ALTGRAD, *OTHERS):
            yield from _rounds(compared, method, d, now)


def _name(n: int, d: int) -> str:
    return f"forward and gradient, n = {n:,}, d = {d}"


def _rounds(compared: dict[str, dict[str, Any]], method: str, d: int, now: str) -> Iterator[Row]:
    one, own = compared[method], compared[ALTGRAD]
    for r, (time, ours) in enumerate(zip(one["times"], own["times"], strict=True)):
        yield {
            "sources": FRESH if one["sources"] == now else STALE,
            "d": d,
            "method": method,
            REPETITION: r,
            "time, ms": 1000 * time,
            "time/altgrad": time / ours,
            "output, %": 100 * one["error_output"],
            "dQ, %": 100 * one["error_dQ"],
            "dK, %": 100 * one["error_dK"],
            "dV, %": 100 * one["error_dV"],
        }


EXPERIMENT = Experiment(
    name="versus",
    title="Beside exact attention and other packages",
    question="Output and gradient at n = 4,096, one head, float32, by turns in one run: altgrad at degree 2,"
    " PyTorch's exact `scaled_dot_product_attention` (which runs in blocks, as FlashAttention does), dense NumPy, and"
    " the packages of PyPI that approximate softmax attention and run without a GPU. Nothing is measured here: times"
    " and errors are those that `python -m benchmarks run --profile full` wrote ([speed](../speed.md)).",
    notes="Errors are ‖x − y‖/‖x‖ against softmax attention in float64. PyTorch and dense NumPy are exact; the"
    " packages are at their own settings, so that time and error are to be read together. Which length makes how much"
    " of a difference, memory, and larger n are in [speed](../speed.md). FlashAttention itself needs a GPU. Of"
    " HyperAttention no package is installed by these benchmarks, so nothing is said of it. `sources` says whether"
    " the code that was measured is the code that is here; only then do the figures settle anything, else the"
    " benchmarks come first.",
    run=run,
    small={"n": 4096, "dims": (8,)},
    full={"n": 4096, "dims": (8, 12, 16)},
    setting=("sources", "d", "method"),
    measured=("time, ms", "time/altgrad", "output, %", "dQ, %", "dK, %", "dV, %"),
    panels=(Panel("output, %", "time, ms", ("method",)), Panel("dQ, %", "time, ms", ("method",))),
)
