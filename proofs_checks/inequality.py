"""Trials of inequalities between a layer's operands, in exact rational arithmetic: no rounding, no tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from inspect import signature
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from proofs_checks.instances import Instance, layers, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, apply


def _nothing(operands: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _always(instance: Instance) -> bool:
    return True


@dataclass(frozen=True)
class BoundTrial(PropertyTrial):
    """`measured` ≤ claim; `derived` are operands that follow from the layer's, `assumed` is the claim's hypothesis."""

    quantity: str  # the left side, in words
    measured: Callable[[Mapping[str, Any]], Fraction]
    names: tuple[str, ...]  # the operands that matter
    derived: Callable[[Mapping[str, Any]], dict[str, Any]] = _nothing
    assumed: Callable[[Instance], bool] = _always
    hypothesis: str = ""

    @property
    def scope(self) -> str:
        return "n ≤ 6, d ≤ 6, rational arithmetic" + (f", {self.hypothesis}" if self.hypothesis else "")

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(unit_scale, max_d=6)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        return small(self.names)

    def admits(self, instance: Instance) -> bool:
        return self.assumed(instance)

    def sides(self, claim: Claim, instance: Instance) -> tuple[Fraction, Fraction | int]:
        """Both sides as exact numbers."""
        operands = {name: exact(instance.operands[name]) for name in self.names}
        measured = self.measured(operands)
        allowed = apply(claim, {**operands, **self.derived(operands)})
        if not isinstance(allowed, (int, Fraction)):
            raise TypeError(f"the claim gives {allowed!r}, which is no exact number")
        return measured, allowed

    def ratio(self, claim: Claim, instance: Instance) -> Any:
        measured, allowed = self.sides(claim, instance)
        if measured <= allowed:
            return measured / allowed if measured else Fraction(0)
        return measured / allowed if allowed > 0 else float("inf")

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        measured, allowed = self.sides(claim, instance)
        if measured <= allowed:
            return None
        listed = instance.listed()
        package, _, module = claim.__module__.rpartition(".")
        arrays = ", ".join(str(listed[name]) for name in self.names)
        derived = self.derived({name: exact(instance.operands[name]) for name in self.names})
        given = ", ".join(str(derived.get(name, name)) for name in signature(claim).parameters)
        return Counterexample(
            operands={name: listed[name] for name in self.names},
            where=self.quantity,
            claimed=f"≤ {allowed}",
            true=str(measured),
            arithmetic="rational numbers",
            search=search,
            python=(
                f"import numpy as np; from {package} import {module}",
                f"{', '.join(self.names)} = (np.array(a) for a in ({arrays}))",
                f"print({module}.{claim.__name__}({given}), abs({' @ '.join(self.names)}).max())",
            ),
        )


def exact(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as fractions. Read-only."""
    result = np.empty(array.shape, dtype=object)
    for index, entry in np.ndenumerate(array):
        result[index] = Fraction(float(entry))
    result.flags.writeable = False
    return result
