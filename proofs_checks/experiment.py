"""Evidence from experiments: rows that `altgrad reproduce` wrote to docs/experiments, judged by a condition.

As with all evidence that is read (`recorded`), data whose sources have changed since settle nothing, and the baseline
does not depend on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from statistics import median
from typing import Any

from experiments import module_of
from experiments.experiment import REPETITION, Row, Rows
from proofs_checks.record import Check, Claim, Form, Role
from proofs_checks.recorded import ROOT, ROUNDS, ReadTrial, identified
from proofs_checks.trial import Counterexample, Result

FOLDER = "docs/experiments"


@dataclass(frozen=True, kw_only=True)
class Data:
    """The rows of one run of an experiment; all but the name is empty where there is no file."""

    name: str
    date: str = ""
    machine: str = ""  # in words
    sources: str = ""  # fingerprint of what ran
    now: str = ""  # the same of the sources as they are
    rows: Rows = ()

    @property
    def file(self) -> str:
        return f"{FOLDER}/{self.name}.json"

    @property
    def again(self) -> str:
        """The command that makes the file."""
        return f"altgrad reproduce {self.name} --size full --output {FOLDER}"

    @property
    def doubt(self) -> str:
        """Why the rows settle nothing; empty if they may."""
        if not self.rows:
            return f"{self.file} has no rows"
        return "" if self.sources == self.now else f"{self.where}; stale, the sources have changed since"

    @property
    def where(self) -> str:
        return f"{self.file}: measured {self.date} on {self.machine}"


@cache
def committed(name: str) -> Data:
    """What docs/experiments holds of an experiment."""
    try:
        text = (ROOT / FOLDER / f"{name}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return Data(name=name)
    return read(json.loads(text))


def read(found: Mapping[str, Any]) -> Data:
    """The data of a file, with the fingerprint of the sources as they are."""
    machine = ", ".join([found["machine"], *(f"{name} {version}" for name, version in found["versions"].items())])
    return Data(
        name=found["name"],
        date=found["date"],
        machine=machine,
        sources=found["sources"],
        now=identified(module_of(found["name"])),
        rows=tuple(found["rows"]),
    )


@dataclass(frozen=True, kw_only=True)
class Series:
    """Which numbers a condition is put to: for each setting and repetition the columns `values`, ordered by `over`."""

    values: tuple[str, ...]
    over: str
    where: Mapping[str, Any] = field(default_factory=dict)  # columns that are held fixed
    setting: tuple[str, ...] = ()  # columns that the condition has to hold for each of

    def of(self, rows: Rows) -> dict[tuple[Any, ...], list[tuple[float, ...]]]:
        """By setting, one series for each repetition that has all values of `over` which the setting has."""
        taken = [
            row
            for row in rows
            if all(row[column] == value for column, value in self.where.items())
            and all(row[column] is not None for column in self.values)
        ]
        found: dict[tuple[Any, ...], list[tuple[float, ...]]] = {}
        for setting, of_setting in grouped(taken, *self.setting):
            repetitions = [list(of_repetition) for _, of_repetition in grouped(of_setting, REPETITION)]
            complete = max(map(len, repetitions))
            found[setting] = [
                tuple(
                    float(row[column]) for _, at in grouped(of_one, self.over) for row in at for column in self.values
                )
                for of_one in repetitions
                if len(of_one) == complete
            ]
        return found

    @property
    def words(self) -> str:
        return f"{', '.join(self.values)} over {self.over}"


def grouped(rows: Iterable[Row], *columns: str) -> Iterator[tuple[tuple[Any, ...], Iterator[Row]]]:
    """The rows with equal values of the columns together, in the order of the values."""

    def place(row: Row) -> tuple[Any, ...]:
        return tuple(row[column] for column in columns)

    return groupby(sorted(rows, key=place), key=place)


@dataclass(frozen=True, kw_only=True)
class ExperimentTrial(ReadTrial):
    """Whether a condition on a series is met by every repetition, in each setting.

    The claim falls if it is met by no repetition of some setting. It is open where repetitions disagree, and where
    rows are absent, stale or of fewer repetitions than are needed.
    """

    data: Data
    series: Series
    repetitions: int = ROUNDS

    @property
    def scope(self) -> str:
        fixed = "".join(f", {column} {value}" for column, value in self.series.where.items())
        each = f", for each {' and '.join(self.series.setting)}" if self.series.setting else ""
        return f"{self.series.words}{fixed}{each}, in {self.data.file}"

    def required(self, profile: str) -> int:
        return self.repetitions

    def run(self, claim: Claim, seed: int) -> Result:
        if self.data.doubt:
            return Result("open", reason=f"{self.data.doubt}. To settle it: {self.data.again}")
        found = self.series.of(self.data.rows)
        if not found or min(map(len, found.values())) < self.repetitions:
            return Result(
                "open", reason=f"{self.data.where}: fewer than {self.repetitions} repetitions of {self.scope}"
            )
        met = {setting: {bool(claim(values)) for values in every} for setting, every in found.items()}
        tried, details = sum(map(len, found.values())), self._table(found)
        fallen = next((setting for setting, answers in met.items() if answers == {False}), None)
        if fallen is not None:
            witness = self._counterexample(claim, fallen, found[fallen])
            return Result("refutes", tried, reason=self.data.where, counterexample=witness, details=details)
        if any(len(answers) > 1 for answers in met.values()):
            return Result("open", tried, reason=f"{self.data.where}: the repetitions disagree", details=details)
        return Result("supports", tried, reason=self.data.where, details=details)

    def _table(self, found: Mapping[tuple[Any, ...], Sequence[tuple[float, ...]]]) -> tuple[tuple[str, ...], ...]:
        heading = (*self.series.setting, f"{self.series.words}, medians", REPETITION + "s")
        rows = ((*map(str, setting), shown(every), str(len(every))) for setting, every in found.items())
        return (heading, *rows)

    def _counterexample(
        self, claim: Claim, setting: tuple[Any, ...], every: Sequence[tuple[float, ...]]
    ) -> Counterexample:
        named = ", ".join(f"{column} {value}" for column, value in zip(self.series.setting, setting, strict=True))
        return Counterexample(
            operands={},
            where=f"{self.series.words}{f' at {named}' if named else ''}",
            claimed=(claim.__doc__ or "").partition("\n")[0].rstrip("."),
            true=f"{shown(every)} (medians of {len(every)} repetitions, none of which meets it)",
            arithmetic="measured",
            search=f"a setting in {self.data.file}",
            python=(self.data.again,),
        )


def shown(every: Sequence[tuple[float, ...]]) -> str:
    """The median over repetitions of each number of a series."""
    return ", ".join(f"{median(values):.3g}" for values in zip(*every, strict=True))


def measured_form(
    formula: Claim, name: str, series: Series, false: Mapping[str, Claim], *,
    role: Role = "printed", reading: str = "", repetitions: int = ROUNDS,
) -> Form:  # fmt: skip
    """A form that the rows of an experiment are put to."""
    trial = ExperimentTrial(data=committed(name), series=series, repetitions=repetitions)
    check = Check(kind="experiment", claim=formula, trial=trial, false=false)
    return Form(role=role, reading=reading, formula=formula, checks=(check,))
