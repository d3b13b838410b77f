"""Trials of inequalities: what an instance has against what a bound allows, both as balls: there is no tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks.equation import DIGITS, TIGHT, narrow, of_shape, parameters, reproduction
from proofs_checks.ground_truth import BITS
from proofs_checks.instances import Instance, Scale, layers, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Claim
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Counterexample, Extreme


@dataclass(frozen=True)
class BoundTrial(PropertyTrial):
    """`measured` ≤ formula, entry by entry where they are arrays; `assumed` is the claim's hypothesis."""

    quantity: str  # the left side, in words
    measured: Callable[[Any], Any]  # of the trial's symbols: a ball, or an array of balls
    names: tuple[str, ...]  # the operands that matter
    scales: tuple[Scale, ...] = (unit_scale,)
    masks: tuple[bool, ...] = (False,)
    assumed: Callable[[Instance], bool] | None = None
    hypothesis: str = ""

    @property
    def scope(self) -> str:
        masked = ", masked and unmasked" if len(self.masks) == 2 else ""
        return f"n ≤ 6, d ≤ 6{masked}, balls" + (f", {self.hypothesis}" if self.hypothesis else "")

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*self.scales, masks=self.masks, max_d=6, single=False)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        return small(self.names, self.scales, self.masks)

    def admits(self, instance: Instance) -> bool:
        return self.assumed is None or self.assumed(instance)

    def symbols(self, instance: Instance) -> Symbols:
        return Symbols(instance)

    def sides(self, claim: Claim, instance: Instance) -> Iterable[tuple[tuple[int, ...], arb, arb]]:
        """Both sides as balls, for every entry; the index of a number that is no entry is ()."""
        symbols = self.symbols(instance)
        with ctx.workprec(BITS):
            measured = np.asarray(self.measured(symbols), dtype=object)
            claimed = claim(**{name: symbols.exact(name) for name in parameters(claim)})
            allowed = of_shape(measured, np.asarray(claimed, dtype=object))  # an int stays one
            pairs = zip(np.ndindex(measured.shape), measured.flat, allowed.flat, strict=True)
            return [(index, narrow(exact(m)), narrow(exact(a))) for index, m, a in pairs]

    def ratio(self, claim: Claim, instance: Instance) -> float:
        return max(over(measured, allowed) for _, measured, allowed in self.sides(claim, instance))

    def extreme(self, instance: Instance, ratio: float) -> Extreme:
        return Extreme(ratio, instance.listed(self.names), str(instance.scale), instance.causal)

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        for index, measured, allowed in self.sides(claim, instance):
            if exceeds(measured, allowed):
                return Counterexample(
                    operands=instance.listed(self.names),
                    where=self.where(index),
                    claimed=f"≤ {allowed.str(DIGITS)}",
                    true=measured.str(DIGITS),
                    arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
                    search=search,
                    python=reproduction(claim, self.measured, instance, self.names, kind=type(self.symbols(instance))),
                )
        return None

    def where(self, index: tuple[int, ...]) -> str:
        """Which entry of which quantity."""
        entry = tuple(k + 1 for k in index)
        return f"entry {entry if len(entry) > 1 else entry[0]} of {self.quantity}" if entry else self.quantity


def exact(number: Any) -> arb:
    """The number as a ball; TypeError for a float, which would be refuted by its own rounding."""
    if not isinstance(number, arb | int):
        raise TypeError(f"the claim gives {number!r}, which is no exact number")
    return arb(number)


def over(measured: arb, allowed: arb) -> float:
    """The least that is measured over the most that is allowed; 1 at most, unless one provably exceeds the other."""
    if exceeds(measured, allowed):
        return float("inf")
    least, most = measured.lower(), allowed.upper()
    if least <= 0:
        return 0.0
    return min(1.0, float(least / most)) if most > 0 else 1.0


def exceeds(measured: arb, allowed: arb) -> bool:
    """Whether one ball is above the other, by more than a maximum over balls may have missed."""
    with ctx.workprec(BITS):
        return bool(measured - allowed > TIGHT * (abs(measured) + abs(allowed)))
