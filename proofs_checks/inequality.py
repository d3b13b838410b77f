"""Trials of inequalities: what an instance has against what a bound allows, both as balls: there is no tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flint import arb, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks.equation import DIGITS, TIGHT, narrow, parameters, reproduction
from proofs_checks.ground_truth import BITS
from proofs_checks.instances import Instance, Scale, layers, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Claim
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Counterexample


@dataclass(frozen=True)
class BoundTrial(PropertyTrial):
    """`measured` ≤ formula; `assumed` is the claim's hypothesis."""

    quantity: str  # the left side, in words
    measured: Callable[[Symbols], arb]
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

    def sides(self, claim: Claim, instance: Instance) -> tuple[arb, arb]:
        """Both sides as balls."""
        symbols = Symbols(instance)
        with ctx.workprec(BITS):
            measured = self.measured(symbols)
            allowed = claim(**{name: symbols.exact(name) for name in parameters(claim)})
            if not isinstance(allowed, arb | int):  # a float would be refuted by its own rounding
                raise TypeError(f"the claim gives {allowed!r}, which is no exact number")
            return narrow(measured), narrow(arb(allowed))

    def ratio(self, claim: Claim, instance: Instance) -> float:
        measured, allowed = self.sides(claim, instance)
        if exceeds(measured, allowed):
            return float("inf")
        if measured == 0:
            return 0.0
        return min(1.0, float(measured / allowed)) if allowed > 0 else 1.0

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        measured, allowed = self.sides(claim, instance)
        if not exceeds(measured, allowed):
            return None
        return Counterexample(
            operands=instance.listed(self.names),
            where=self.quantity,
            claimed=f"≤ {allowed.str(DIGITS)}",
            true=measured.str(DIGITS),
            arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
            search=search,
            python=reproduction(claim, self.measured, instance, self.names),
        )


def exceeds(measured: arb, allowed: arb) -> bool:
    """Whether one ball is above the other, by more than a maximum over balls may have missed."""
    with ctx.workprec(BITS):
        return bool(measured - allowed > TIGHT * (abs(measured) + abs(allowed)))
