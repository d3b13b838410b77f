"""`altgrad audit` tries to fool the suite: false statements, changed code, empty hypotheses, borrowed truth, slack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

import reference
from proofs_checks.equation import EquationTrial
from proofs_checks.evidence import Evidence
from proofs_checks.instances import Instance
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Form, Part, Statement
from proofs_checks.recorded import identified, is_recorded
from proofs_checks.runner import Address, Run

if TYPE_CHECKING:
    from proofs_checks.mutation import Mutation

SCHEMA = "altgrad-audit/2"
SECTIONS = ("planted", "mutants", "hypotheses", "independence", "slack")
READ = {"planted", "hypotheses", "slack"}  # from the results of a run
OPERANDS = ("X", "W", "W_V", "G")
FACTORS = (100, 10, 2, 1)  # by which a bound is divided
KILLED = 0.95  # of the mutants, at least
SAMPLE = {"quick": 20, "standard": 100, "deep": 400}  # mutants, unless a number is given
DRAWN = settings(
    max_examples=1_000,
    phases=(Phase.generate,),
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Planted:
    """What a check made of its false variants: each by name, with `refused`, `accepted`, `failed` or `not run`."""

    where: str
    claim: str
    variants: dict[str, str]

    @property
    def fault(self) -> str:
        """Why the check cannot be trusted; empty if it can."""
        if not self.variants:
            return "has no false variant"
        wrong = [f"{name} {became}" for name, became in self.variants.items() if became in ("accepted", "failed")]
        return "; ".join(wrong)


@dataclass(frozen=True)
class Met:
    """The hypotheses of one form that is tried, an instance that meets them, and how many drawn ones did."""

    where: str
    hypotheses: tuple[str, ...]
    instance: dict[str, Any]
    valid: int
    discarded: int


@dataclass(frozen=True)
class Slack:
    """How much smaller the bound of an inequality could be, as far as the drawn examples tell."""

    where: str
    claim: str
    largest: float  # measured/bound
    survives: int  # the largest of `FACTORS` by which the bound can be divided
    scope: str


@dataclass(frozen=True)
class Audit:
    """All figures of one audit."""

    planted: tuple[Planted, ...]
    met: tuple[Met, ...]
    slack: tuple[Slack, ...]
    borrowed: dict[str, list[str]]
    mutation: Mutation | None
    not_run: tuple[str, ...]  # checks without evidence in this profile

    def faults(self, profile: str) -> list[str]:
        """All that makes the audit fail, in words."""
        found = [f"{p.where}: the check of {p.claim}: {p.fault}" for p in self.planted if p.fault]
        found += [f"{m.where}: no drawn example meets {'; '.join(m.hypotheses)}" for m in self.met if not m.instance]
        found += [f"{truth} rests on {', '.join(used)}" for truth, used in self.borrowed.items() if used]
        found += [f"{where}: no evidence" for where in self.not_run]
        return found + (mutation_faults(self.mutation, profile) if self.mutation else [])


def mutation_faults(m: Mutation, profile: str) -> list[str]:
    """A deep sample has to show that at least 95 % are killed; a smaller one only fails if it shows that fewer are."""
    found = [f"reference/{module}.py: its kill suite fails without any mutant" for module in m.broken]
    found += [f"on the list of survivors, but killed: {name}" for name in m.stale]
    if m.stopped:
        found.append(f"mutants: the tests of {m.stopped} were stopped by a signal: run the audit again")
    low, high = m.interval
    if (low if profile == "deep" else high) < KILLED:
        found.append(f"mutants: {m.killed} of {m.counted} killed, 95 % interval {low:.1%} to {high:.1%}")
    return found


def audit(run: Run, ids: Sequence[str], mutation: Mutation | None, only: Collection[str] = SECTIONS) -> Audit:
    """Read the chosen figures, all but those of mutants, from the results of a run."""
    from proofs_checks.independence import borrowed  # noqa: PLC0415  # it imports every check, and only this needs it

    record = run.book.statements
    addresses = list(run.book.checks(ids)) if READ.intersection(only) else []
    found = [(a, *a.find(record), run.evidence(a)) for a in addresses]
    with_evidence = [(a, s, p, f, c, e) for a, s, p, f, c, e in found if e is not None]
    return Audit(
        planted=tuple(planted(run, a, e) for a, *_, e in found if "planted" in only),
        met=tuple(m for one in with_evidence if "hypotheses" in only and (m := met(*one)) is not None),
        slack=tuple(x for one in with_evidence if "slack" in only and (x := slack(*one)) is not None),
        borrowed=borrowed(record.values()) if "independence" in only else {},
        mutation=mutation,
        not_run=tuple(place(a, p, f) for a, s, p, f, c, e in found if e is None and run.profile in c.profiles),
    )


def place(address: Address, part: Part, form: Form) -> str:
    """A check as a reader finds it: statement, part, form."""
    name = f" ({part.name})" if part.name else ""
    return f"{address.statement}{name}, {form.role}{f': {form.reading}' if form.reading else ''}"


def planted(run: Run, address: Address, e: Evidence | None) -> Planted:
    """The false variants of a check. One whose evidence is read from a file says nothing without a fresh file."""
    _, part, form, check = address.find(run.book.statements)
    unread = is_recorded(check.trial) and (e is None or e.outcome == "open")
    became: dict[str, str] = {}
    for name, result in run.variants(address).items():
        if result is None or unread:
            became[name] = "not run"
        elif result.outcome == "failed":
            became[name] = "failed"
        else:
            became[name] = "refused" if result.outcome in check.trial.refusals else "accepted"
    return Planted(place(address, part, form), f"{check.claim.__module__}.{check.claim.__qualname__}", became)


def met(address: Address, s: Statement, part: Part, form: Form, check: Check, e: Evidence) -> Met | None:
    """For a check with hypotheses, of the statement, the form or the trial: an instance that meets them all.

    Hypotheses for large n alone, such as d = O(log n), hold or fail on no single instance: what the check has made
    explicit of them is what the instance meets. A proof that draws nothing assumes what the other checks of its form
    do: theirs is the instance.
    """
    if check.kind == "proof" and not e.examples and any(c.kind != "proof" for c in form.checks):
        return None
    own = (getattr(check.trial, "hypothesis", ""), form.reading if form.role == "hypothesis" else "")
    hypotheses = (*s.assumes, *(h for h in own if h))
    if not hypotheses or is_recorded(check.trial):
        return None
    return Met(place(address, part, form), hypotheses, instance(check, e), e.examples, e.discarded)


def instance(check: Check, e: Evidence) -> dict[str, Any]:
    """Operands or sizes on which a check was tried: where it came nearest to failing, or did; else a drawn layer."""
    if e.extreme is not None and e.extreme.operands:
        return e.extreme.operands
    if e.counterexample is not None and e.counterexample.operands:
        return e.counterexample.operands
    if isinstance(check.trial, PropertyTrial) and e.examples:
        return drawn(check.trial)
    return dict(zip(e.details[0], e.details[1], strict=False)) if len(e.details) > 1 else {}


def drawn(trial: PropertyTrial) -> dict[str, Any]:
    """A layer that the trial admits, of several rows of which none is zero where it has such; empty if none."""

    def proper(layer: Instance) -> bool:
        return layer.n > 1 and bool(layer.operands["X"].any(axis=1).all()) and trial.admits(layer)

    for wanted in (proper, trial.admits):
        with suppress(NoSuchExample):
            layer = find(trial.instances, wanted, settings=DRAWN)
            return layer.listed(getattr(trial, "names", OPERANDS) or OPERANDS)  # of some trials only sizes matter
    return {}


def slack(address: Address, s: Statement, part: Part, form: Form, check: Check, e: Evidence) -> Slack | None:
    """By how much a bound that holds can be divided. Divided by c it is exceeded by the same examples, where
    c measured > bound: what is measured and allowed are ends of balls, so that is a refutation. Equations have none.
    """
    if e.outcome != "supports" or not e.worst or isinstance(check.trial, EquationTrial):
        return None
    return Slack(place(address, part, form), e.claim, e.worst, divisor(e.worst), e.scope)


def divisor(largest: float) -> int:
    """The largest of `FACTORS` by which a bound can be divided, from the largest measured/bound."""
    return next(c for c in FACTORS if c * largest <= 1)


def results(found: Audit, run: Run) -> dict[str, Any]:
    """The figures as plain data (schema: `audit.schema.json`)."""
    m = found.mutation
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).date().isoformat(),
        "profile": run.profile,
        "seed": run.seed,
        "reference": reference_digest(),
        "faults": found.faults(run.profile),
        "planted": [asdict(p) for p in found.planted],
        "met": [asdict(x) for x in found.met],
        "slack": [asdict(x) for x in found.slack],
        "borrowed": found.borrowed,
        "mutation": None if m is None else _mutation(m),
    }


def reference_digest() -> str:
    """A fingerprint of the code that mutants change: all modules of `reference/`."""
    return identified(*(f"{reference.__name__}.{module.name}" for module in iter_modules(reference.__path__)))


def _mutation(m: Mutation) -> dict[str, Any]:
    explained = {x.name for x in m.explained}
    return {
        "made": len(m.made),
        "killed": m.killed,
        "explained": sorted(explained),
        "interval": list(m.interval),
        "modules": {module: _of_module(m, module) for module in sorted({x.module for x in m.made})},
        "broken": list(m.broken),
        "survived": [{"mutant": x.name, "line": x.line} for x in m.survived if x.name not in explained],
    }


def _of_module(m: Mutation, module: str) -> dict[str, int]:
    made = sum(x.module == module for x in m.made)
    return {"made": made, "killed": made - sum(x.module == module for x in m.survived)}


def counts(planted: Iterable[Planted]) -> dict[str, int]:
    """How many false variants ended how."""
    every = [became for p in planted for became in p.variants.values()]
    return {word: every.count(word) for word in ("refused", "accepted", "failed", "not run")}
