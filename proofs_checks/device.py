"""Evidence from a CUDA device, read from `docs/evidence/*.json`, which `python -m gpu.evidence` writes where one is.

It is shown beside the statements it bears on, with date and machine, and is stale when the sources of `gpu/` have
changed since. It settles nothing: the verdict rule leaves out evidence of kind "device".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.sources import sources
from proofs_checks.record import Check, Claim
from proofs_checks.recorded import ROOT, ReadTrial
from proofs_checks.trial import Outcome, Result

FOLDER = "docs/evidence"
AGAIN = f"python -m gpu.evidence --out {FOLDER}/NAME.json on a machine with a GPU"

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Property:
    """What one property of the suite came to, and what ratio its false versions reached."""

    name: str
    examples: int
    failures: int
    worst: float
    planted: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Race:
    """Median seconds of output and gradient for one size and mask."""

    name: str
    altgrad: float
    pytorch: float


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What one file says."""

    file: str
    measured: str  # when and on what
    sources: str
    properties: tuple[Property, ...] = ()
    checkers: tuple[tuple[str, str], ...] = ()  # of memory and races: tool, outcome
    races: tuple[Race, ...] = ()
    unreadable: str = ""


def suites(folder: Path = ROOT / FOLDER) -> tuple[Suite, ...]:
    """The files of a folder, by name."""
    return tuple(_suite(path) for path in sorted(folder.glob("*.json")) if path.name != "schema.json")


def _suite(path: Path) -> Suite:
    try:
        return _read(path.name, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Suite(file=path.name, measured="", sources="", unreadable=f"{type(error).__name__}: {error}")


def _read(file: str, data: dict[str, Any]) -> Suite:
    about, versions = data["machine"], [f"{name} {version}" for name, version in data["versions"].items()]
    machine = ", ".join([about["device"], f"driver {about['driver']}", *versions])
    rows = data.get("times", {}).get("rows", [])
    slow = {(r["n"], r["causal"]): r["median"] for r in rows if r["contender"] == "PyTorch"}
    return Suite(
        file=file,
        measured=f"measured {data['date']} on {machine}",
        sources=data["sources"],
        properties=tuple(
            Property(
                name=name,
                examples=tally["examples"],
                failures=tally["failures"],
                worst=float(tally["worst"]),
                planted=tuple(tally["planted"].items()),
            )
            for name, tally in data.get("properties", {}).items()
        ),
        checkers=tuple((ran["tool"], ran["outcome"]) for ran in data.get("sanitizer", [])),
        races=tuple(
            Race(
                name=f"n = {r['n']:,}, degree {r['degree']}{', causal' * r['causal']}",
                altgrad=float(r["median"]),
                pytorch=float(slow[r["n"], r["causal"]]),
            )
            for r in rows
            if r["contender"] == "altgrad" and (r["n"], r["causal"]) in slow
        ),
    )


@dataclass(frozen=True, kw_only=True)
class DeviceTrial(ReadTrial):
    """Whether the ratio that the claim takes from each fresh file is at most 1."""

    read: tuple[Suite, ...]
    now: str  # the sources of gpu/ as they are
    table: Callable[[Suite], Rows]
    what: str

    @property
    def scope(self) -> str:
        return self.what

    def run(self, claim: Claim, seed: int) -> Result:
        if not self.read:
            return Result("open", reason=f"no device evidence. To make it: {AGAIN}")
        where = "; ".join(f"{FOLDER}/{one.file}: {self._state(one)}" for one in self.read)
        fresh = [one for one in self.read if not one.unreadable and one.sources == self.now]
        found = [ratio for one in fresh if (ratio := claim(one)) is not None]
        if not found:
            return Result("open", reason=f"{where}. To make it: {AGAIN}")
        details = tuple(row for one in fresh for row in self.table(one))
        outcome: Outcome = "supports" if max(found) <= 1 else "refutes"
        return Result(outcome, worst=max(found), reason=where, details=(HEADINGS[self.table], *details))

    def _state(self, one: Suite) -> str:
        if one.unreadable:
            return f"cannot be read ({one.unreadable})"
        return one.measured + ("" if one.sources == self.now else "; stale, the sources of gpu/ have changed since")


# --- within the bounds


def worst(suite: Suite) -> float | None:
    """The largest difference/bound of all properties; beyond 1 if an example failed or a checker found faults.

    Nothing if a property has no example: all may have been refused.
    """
    if not suite.properties or not all(p.examples for p in suite.properties):
        return None
    faults = any(p.failures for p in suite.properties) or any(outcome == "faults" for _, outcome in suite.checkers)
    return max(2.0 * faults, *(p.worst for p in suite.properties))


def _planted(suite: Suite, name: str) -> float | None:
    """The ratio that a false version reached, in the property that it troubled least."""
    return min((ratio for p in suite.properties for other, ratio in p.planted if other == name), default=None)


def half_the_scale(suite: Suite) -> float | None:
    """False: scores half as large."""
    return _planted(suite, "half the scale")


def the_other_mask(suite: Suite) -> float | None:
    """False: masked where it is not, or not where it is."""
    return _planted(suite, "the other mask")


def the_last_value_lost(suite: Suite) -> float | None:
    """False: the tail is dropped."""
    return _planted(suite, "the last value lost")


def properties(suite: Suite) -> Rows:
    """A row for each property, and for each checker of memory and races."""
    rows = [
        (p.name, str(p.examples), f"{p.worst:.2g}", f"{sum(r > 1 for _, r in p.planted)} of {len(p.planted)}")
        for p in suite.properties
    ]
    return *rows, *((tool, "", outcome, "") for tool, outcome in suite.checkers)


# --- faster


def slowest(suite: Suite) -> float | None:
    """The largest time as a share of PyTorch's."""
    return max((race.altgrad / race.pytorch for race in suite.races), default=None)


def as_slow(suite: Suite) -> float | None:
    """False: PyTorch's time as a share of ours."""
    return max((race.pytorch / race.altgrad for race in suite.races), default=None)


def a_millionfold(suite: Suite) -> float | None:
    """False: a million times as fast."""
    share = slowest(suite)
    return None if share is None else 1e6 * share


def times(suite: Suite) -> Rows:
    """A row for each size, degree and mask."""
    return tuple(
        (r.name, f"{r.altgrad:.3g} s", f"{r.pytorch:.3g} s", f"{r.pytorch / r.altgrad:.3g}") for r in suite.races
    )


HEADINGS: dict[Callable[[Suite], Rows], tuple[str, ...]] = {
    properties: ("property", "examples", "largest difference/bound", "false versions refused"),
    times: ("output and gradient", "altgrad", "PyTorch", "times faster"),
}


def _check(what: str, claim: Claim, table: Callable[[Suite], Rows], false: dict[str, Claim]) -> Check:
    trial = DeviceTrial(read=suites(), now=sources(), table=table, what=what)
    return Check(kind="device", claim=claim, trial=trial, false=false)


WITHIN = _check(
    "output and gradients by gpu.qkv on a CUDA device",
    worst,
    properties,
    {"half the scale": half_the_scale, "the other mask": the_other_mask, "the last value lost": the_last_value_lost},
)
FASTER = _check(
    "altgrad in float32 against PyTorch's attention in bfloat16, on a CUDA device",
    slowest,
    times,
    {"as slow": as_slow, "a millionfold": a_millionfold},
)
