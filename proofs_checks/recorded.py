"""Evidence that is read, not made: what a file of the repository says was measured, when, on what, of which sources.

`verify` shows such evidence and calls it stale when the sources have changed since. What it computes itself, and with
it the baseline and the exit status, never depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import quantiles
from typing import Any

from proofs_checks.digest import closure, fingerprint, module_digest
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, Result, Trial

ROOT = Path(__file__).parent.parent
ROUNDS = 5  # quartiles of fewer say nothing of the spread

Rounds = tuple[tuple[str, tuple[float, ...]], ...]  # of each contender, the seconds of each round


@cache
def identified(*modules: str) -> str:
    """A fingerprint of the code of some modules and of what they import of this project."""
    return fingerprint({name: module_digest(name) for name in closure(frozenset(modules))})


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured by turns, in one run; all but the file is empty where it has no such figures."""

    file: str  # within the repository
    name: str = ""  # of the comparison
    date: str = ""
    machine: str = ""  # hardware and versions, in words
    sources: str = ""  # fingerprint of what was measured; empty where the file has none
    now: str = ""  # the same of the sources as they are
    rounds: Rounds = ()

    @property
    def measured(self) -> str:
        """Where, when and on what."""
        return f"{self.file}: measured {self.date} on {self.machine}"

    @property
    def doubt(self) -> str:
        """Why the figures settle nothing; empty if they may."""
        if not self.rounds:
            return f"{self.file} has no figures{f' of {self.name}' if self.name else ''}"
        if not self.sources:
            return f"{self.measured}, without saying of which sources"
        return f"{self.measured}; stale, the sources have changed since" if self.sources != self.now else ""

    def ratios(self, numerator: str, denominator: str) -> list[float]:
        """One for each round."""
        values = dict(self.rounds)
        return [a / b for a, b in zip(values[numerator], values[denominator], strict=True)]


def benchmark(file: str, name: str, *modules: str) -> Figures:
    """A comparison in a file of `benchmarks`; `modules` are those whose sources it measures."""
    try:
        suite = json.loads((ROOT / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Figures(file=file, name=name)
    found = [{**suite["metadata"], **b["metadata"], "runs": b["runs"]} for b in suite["benchmarks"]]
    found = [about for about in found if about["comparison"] == name]
    if not found:
        return Figures(file=file, name=name)
    return Figures(
        file=file,
        name=name,
        date=found[0]["date"].partition(" ")[0],
        machine=_machine(found[0]),
        sources=found[0].get("sources", ""),
        now=identified(*modules),
        rounds=tuple((about["contender"], tuple(about["runs"][0]["values"])) for about in found),
    )


def _machine(about: dict[str, Any]) -> str:
    versions = [f"{key.removeprefix('version_')} {about[key]}" for key in ("version_numpy", "version_numba")]
    cores = f"{about['cpu_model_name']}, {about['threads']} threads of {about['cpu_count']} cores"
    return ", ".join([cores, f"Python {about['python_version']}", *versions])


class ReadTrial(Trial):
    """A trial whose evidence is read from a file that was measured elsewhere."""


@dataclass(frozen=True, kw_only=True)
class RecordedTrial(ReadTrial):
    """Whether a ratio of times bears the claim out: at both quartiles over rounds, in each of some comparisons.

    The claim is a condition on the ratio. It falls if one comparison fails it at both quartiles, and is open where
    quartiles disagree, or where figures are absent, stale, or of too few rounds.
    """

    figures: tuple[Figures, ...]
    numerator: str
    denominator: str
    again: str  # how to measure it, or what would settle it

    @property
    def scope(self) -> str:
        return f"{self.numerator}/{self.denominator} in {'; '.join(f.name or f.file for f in self.figures)}"

    def required(self, profile: str) -> int:
        return ROUNDS * len(self.figures)

    def run(self, claim: Claim, seed: int) -> Result:
        doubt = next((f.doubt for f in self.figures if f.doubt), "")
        if doubt:
            return Result("open", reason=f"{doubt}. To settle it: {self.again}")
        every = [f.ratios(self.numerator, self.denominator) for f in self.figures]
        if min(map(len, every)) < ROUNDS:
            return Result("open", reason=f"{self.figures[0].measured}, in fewer than {ROUNDS} rounds")
        table = [("comparison", "median", "quartiles", "rounds")]
        met = []
        for figures, ratios in zip(self.figures, every, strict=True):
            lower, median, upper = quantiles(ratios, n=4, method="inclusive")
            table.append((figures.name, f"{median:.3g}", f"{lower:.3g} to {upper:.3g}", f"{len(ratios)}"))
            met.append({bool(claim(lower)), bool(claim(upper))})
        return self._judged(met, table, sum(map(len, every)))

    def _judged(self, met: Sequence[set[bool]], table: Sequence[tuple[str, ...]], rounds: int) -> Result:
        details, where = tuple(table), self.figures[0].measured
        if {False} in met:
            found = self._counterexample(met.index({False}), table)
            return Result("refutes", rounds, reason=where, counterexample=found, details=details)
        if {True, False} in met:
            return Result("open", rounds, reason=f"{where}: the quartiles disagree", details=details)
        return Result("supports", rounds, reason=where, details=details)

    def _counterexample(self, k: int, table: Sequence[tuple[str, ...]]) -> Counterexample:
        name, median, quartiles, rounds = table[k + 1]
        return Counterexample(
            operands={},
            where=f"{self.numerator}/{self.denominator} in {name}",
            claimed="the condition, at both quartiles",
            true=f"{median} ({quartiles}; {rounds} rounds)",
            arithmetic="measured by turns in one run",
            search=f"a comparison in {self.figures[k].file}",
            python=(self.again,),
        )


def is_recorded(trial: Trial) -> bool:
    """Whether its evidence is read from a file that was measured elsewhere."""
    return isinstance(trial, ReadTrial)
