"""Trials of cost: what running the code takes, as an integer, against a law that is stated in advance.

A count depends on the sizes alone, so a law is an equation between integers and no tolerance is left. `CountTrial` has
the law itself; `FitTrial` only its form, a sum of stated terms: the coefficients are found exactly, as fractions, from
as many sizes as there are terms, and have to predict all other sizes exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from inspect import Signature, signature
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq_mat

from proofs_checks.counting import Count, count
from proofs_checks.record import Check, Claim, Form, Role
from proofs_checks.trial import Counterexample, Result, Trial

Law = Callable[..., int]  # of some of the sizes, by name
Measure = Callable[[Count], int]


def operations(found: Count) -> int:
    """Operations."""
    return found.operations


def peak(found: Count) -> int:
    """Most bytes at once, beside the operands."""
    return found.peak


def columns(found: Count) -> int:
    """Columns of the first factor that is returned."""
    return int(found.value[0].shape[1])


def calls(found: Count) -> int:
    """Calls of array functions, one after the other."""
    return found.calls


def widest(found: Count) -> int:
    """Columns of the largest array, of n rows, for each column of the factors of f."""
    X, k = found.value.value.X, found.value.rank
    return found.largest // int(X.itemsize * len(X) * k)


def operands(sizes: Mapping[str, int], shapes: Mapping[str, str], seed: int = 0) -> dict[str, Any]:
    """Arrays of these shapes, a word per dimension: numbers drawn from 1/2 to 1."""
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 1, [sizes[word] for word in words.split()]) for name, words in shapes.items()}


def at(law: Law, sizes: Mapping[str, int]) -> int:
    """The law's value at these sizes, of which it takes those that it names."""
    return law(**{name: sizes[name] for name in signature(law).parameters})


@dataclass(frozen=True, kw_only=True)
class Sized(Trial):
    """Runs the claim at every combination of some sizes, on operands that are drawn anew, and measures it."""

    over: Mapping[str, tuple[int, ...]]
    shapes: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)  # further operands, the same for all sizes
    measure: Measure = operations
    checked: bool = False  # the claim refuses what is no plain array, and makes counted ones itself

    @property
    def sizes(self) -> list[dict[str, int]]:
        return [dict(zip(self.over, values, strict=True)) for values in product(*self.over.values())]

    @property
    def tried(self) -> str:
        return "; ".join(f"{name} = {', '.join(map(str, values))}" for name, values in self.over.items())

    def required(self, profile: str) -> int:
        return len(self.sizes)

    def measured(self, claim: Claim, sizes: Mapping[str, int], seed: int) -> int:
        """Arrays, further operands and sizes are handed over by name."""
        named = {name: value for name, value in {**self.given, **sizes}.items() if name in signature(claim).parameters}
        made = {**operands(sizes, self.shapes, seed), **named}
        return self.measure(count(claim, lift=not self.checked, **made))

    def counterexample(
        self, claim: Claim, sizes: Mapping[str, int], stated: str, found: int, how: str, law: tuple[str, str]
    ) -> Counterexample:
        package, _, module = claim.__module__.rpartition(".")
        imports, shown = law
        name, of_it = getattr(claim, "__name__", repr(claim)), signature(claim).parameters
        extra = {key: value for key, value in self.given.items() if key in of_it}
        more = {f"import {value.__module__}" for value in extra.values() if callable(value)}
        values = [f"{key}={_shown(value)}" for key, value in extra.items()]
        values += [f"{key}={value}" for key, value in sizes.items() if key in of_it]
        values += ["lift=False"] if self.checked else []
        return Counterexample(
            operands=dict(sizes),
            where=f"{(self.measure.__doc__ or '').rstrip('.').lower()} of {claim.__module__}.{name}",
            claimed=stated,
            true=str(found),
            arithmetic="integers, counted",
            search=how,
            python=(
                "; ".join(
                    [
                        f"from {package} import {module} as paper",
                        "from proofs_checks.count import *",
                        *sorted(more),
                        *([imports] if imports else []),
                    ]
                ),
                f"given = operands({dict(sizes)}, {dict(self.shapes)})",
                f"print({self.measure.__name__}(count(paper.{name}, **given{''.join(f', {v}' for v in values)})),"
                f' {shown}, sep="\\n")',
            ),
        )


def _shown(value: Any) -> str:
    return f"{value.__module__}.{value.__name__}" if callable(value) else repr(value)


@dataclass(frozen=True, kw_only=True)
class CountTrial(Sized):
    """The count is the law at every size, and at most what is printed, where that is an upper bound."""

    law: Law
    at_most: Law | None = None

    @property
    def scope(self) -> str:
        bound = " and the printed bound" if self.at_most is not None else ""
        return f"{self.measure.__name__} at {self.tried}, against the law{bound}: integers, equal or not"

    def run(self, claim: Claim, seed: int) -> Result:
        table = [(*self.over, "counted", "law", *(["at most"] if self.at_most else []))]
        for tried, sizes in enumerate(self.sizes, start=1):
            found, law, *bound = row = self._row(claim, sizes, seed)
            if found != law or any(found > b for b in bound):
                return Result("refutes", tried, counterexample=self._witness(claim, sizes, row))
            table.append((*map(str, sizes.values()), *map(str, row)))
        return Result("supports", len(self.sizes), details=tuple(table))

    def _row(self, claim: Claim, sizes: Mapping[str, int], seed: int) -> tuple[int, ...]:
        bound = () if self.at_most is None else (at(self.at_most, sizes),)
        return self.measured(claim, sizes, seed), at(self.law, sizes), *bound

    def _witness(self, claim: Claim, sizes: Mapping[str, int], row: tuple[int, ...]) -> Counterexample:
        found, law, *bound = row
        broken, stated = (self.law, str(law)) if found != law else (self.at_most, f"≤ {bound[0]}")
        assert broken is not None
        package, _, module = broken.__module__.rpartition(".")
        of_it = ", ".join(f"{name}={sizes[name]}" for name in signature(broken).parameters)
        shown = f"from {package} import {module} as laws", f"laws.{broken.__name__}({of_it})"
        return self.counterexample(claim, sizes, stated, found, "the first of the sizes tried", shown)

    def explain(self, claim: Claim) -> Result:
        return self.run(claim, 0)


@dataclass(frozen=True, kw_only=True)
class NeedTrial(Sized):
    """What is said to be needed is there: the measure is at least the law at every size.

    That the claim has it says nothing of others; one that does the same with less refutes that it is needed.
    """

    law: Law

    @property
    def scope(self) -> str:
        return f"{self.measure.__name__} at {self.tried}, against what is said to be needed: integers"

    def run(self, claim: Claim, seed: int) -> Result:
        table = [(*self.over, "counted", "needed")]
        for tried, sizes in enumerate(self.sizes, start=1):
            found, need = self.measured(claim, sizes, seed), at(self.law, sizes)
            if found < need:
                how = "the first of the sizes tried"
                witness = self.counterexample(claim, sizes, f"≥ {need}", found, how, ("", f"{need}"))
                return Result("refutes", tried, counterexample=witness)
            table.append((*map(str, sizes.values()), str(found), str(need)))
        return Result("supports", len(self.sizes), details=tuple(table))

    def explain(self, claim: Claim) -> Result:
        return self.run(claim, 0)


@dataclass(frozen=True, kw_only=True)
class FitTrial(Sized):
    """The count is a sum of these terms with fixed coefficients: what some sizes determine, all others obey."""

    terms: Mapping[str, Law]

    @property
    def scope(self) -> str:
        form = " + ".join(f"c{k} {name}" for k, name in enumerate(self.terms, start=1))
        return (
            f"{self.measure.__name__} at {self.tried}: {form}, fitted on {len(self.terms)} sizes, exact on the others"
        )

    def run(self, claim: Claim, seed: int) -> Result:
        sizes = self.sizes
        rows = [[at(term, size) for term in self.terms.values()] for size in sizes]
        fitted = independent(rows)
        others = [i for i in range(len(sizes)) if i not in fitted]
        if len(fitted) < len(self.terms) or len(others) < 3:
            raise ValueError(
                f"{len(fitted)} of {len(self.terms)} coefficients are determined, {len(others)} sizes remain"
            )
        coefficients = solve([rows[i] for i in fitted], [self.measured(claim, sizes[i], seed) for i in fitted])
        for tried, i in enumerate(others, start=len(fitted) + 1):
            predicted = sum(c * x for c, x in zip(coefficients, rows[i], strict=True))
            found = self.measured(claim, sizes[i], seed)
            if predicted != found:
                how = f"the first of the sizes that were not fitted; with {_formula(coefficients, self.terms)}"
                witness = self.counterexample(claim, sizes[i], str(predicted), found, how, ("", str(predicted)))
                return Result("refutes", tried, counterexample=witness)
        table = [("term", "coefficient"), *zip(self.terms, map(str, coefficients), strict=True)]
        return Result("supports", len(sizes), details=tuple(table))

    def explain(self, claim: Claim) -> Result:
        return self.run(claim, 0)


@dataclass(frozen=True, kw_only=True)
class CrossoverTrial(Sized):
    """From the n that the law gives on the claim takes less than its rival, and not at the n before."""

    rival: Claim
    law: Law  # of the other sizes

    @property
    def scope(self) -> str:
        return f"{self.measure.__name__} of both at the n that the law gives and at the one before, {self.tried}"

    def run(self, claim: Claim, seed: int) -> Result:
        table = [(*self.over, "n", "counted", "of the rival")]
        for tried, sizes in enumerate(self.sizes, start=1):
            n = at(self.law, sizes)
            for m in (n - 1, n):
                both = {**sizes, "n": m}
                ours, theirs = (self.measured(function, both, seed) for function in (claim, self.rival))
                if (ours < theirs) != (m == n):
                    stated = f"{'<' if m == n else '≥'} {theirs}"
                    witness = self.counterexample(claim, both, stated, ours, "the first tried", ("", f"{theirs}"))
                    return Result("refutes", tried, counterexample=witness)
                table.append((*map(str, both.values()), str(ours), str(theirs)))
        return Result("supports", len(self.sizes), details=tuple(table))

    def explain(self, claim: Claim) -> Result:
        return self.run(claim, 0)


def _formula(coefficients: Sequence[Fraction], terms: Mapping[str, Law]) -> str:
    return " + ".join(f"{c} {name}" for c, name in zip(coefficients, terms, strict=True))


def independent(rows: Sequence[Sequence[int]]) -> list[int]:
    """Which rows are no combination of rows before them."""
    reduced, rank = fmpq_mat([list(column) for column in zip(*rows, strict=True)]).rref()
    return [next(j for j in range(len(rows)) if reduced[i, j] != 0) for i in range(rank)]


def solve(rows: Sequence[Sequence[int]], values: Sequence[int]) -> list[Fraction]:
    """The solution of a square system of rank n, in fractions."""
    solution = fmpq_mat([list(row) for row in rows]).solve(fmpq_mat([[value] for value in values]))
    return [Fraction(int(x.p), int(x.q)) for x in solution.entries()]


# --- false variants: the same numbers at a greater cost


def through_identity(value: Any) -> Any:
    """The first array of the value times a dense identity matrix from the left, as of diag(K) written out."""
    first, *others = value if isinstance(value, tuple) else (value,)
    product = np.eye(len(first), dtype=first.dtype) @ first
    return (product, *others) if others else product


def times_one(value: Any) -> Any:
    """One multiplication more for each entry of the first array of the value."""
    first, *others = value if isinstance(value, tuple) else (value,)
    return (1 * first, *others) if others else 1 * first


@dataclass(frozen=True)
class Costlier:
    """A function that does something more with its value. It takes the same operands."""

    claim: Claim
    more: Callable[[Any], Any]

    @property
    def __signature__(self) -> Signature:
        return signature(self.claim)

    def __call__(self, *operands: Any, **named: Any) -> Any:
        return self.more(self.claim(*operands, **named))


def costlier(claim: Claim) -> dict[str, Claim]:
    """A dense product that was not needed, and a multiplication that was not."""
    return {"times a dense identity": Costlier(claim, through_identity), "times 1": Costlier(claim, times_one)}


def counted_form(
    formula: Claim, trial: Sized, false: Mapping[str, Claim] | None = None, *,
    role: Role = "printed", reading: str = "", implication: str = "",
) -> Form:  # fmt: skip
    """A form of a part whose cost is counted on the function that it shows."""
    check = Check(kind="count", claim=formula, trial=trial, false={**costlier(formula), **(false or {})})
    return Form(role=role, reading=reading, formula=formula, implication=implication, checks=(check,))
