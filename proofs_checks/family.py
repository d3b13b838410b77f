"""Trials of what a claim about all large n implies: it fails on one witness for each size, and not only by chance.

One counterexample says nothing of "for all large n". A family of them, one for each size that is tried, with a proof
for every n written out beside it, does. The trial can only refute: a bound that one family meets may fail on another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flint import arb, ctx

from proofs_checks.equation import DIGITS, narrow, parameters
from proofs_checks.ground_truth import BITS
from proofs_checks.inequality import exact, exceeds
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, Result, Trial

SHOWN = 12  # digits of each number in the table


@dataclass(frozen=True)
class FamilyTrial(Trial):
    """`measured` > claim on the witness of every size, and not on the control of any.

    A witness is made from a size; its attributes are the operands of the claim, and `shown` of them tell what it is.
    A control is like it but meets the hypothesis that the claim leaves out.
    """

    quantity: str  # what is measured, in words
    measured: Callable[[Any], Any]  # of a witness: an integer or a ball
    witness: Callable[[int], Any]
    control: Callable[[int], Any]
    missing: str  # the hypothesis that the control meets and the witness does not, in words
    sizes: tuple[int, ...]
    shown: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        return f"{self.witness.__name__}({', '.join(map(str, self.sizes))}), balls; not refuted with {self.missing}"

    def run(self, claim: Claim, seed: int) -> Result:
        with ctx.workprec(BITS):
            witnesses = [self.sides(claim, self.witness, size) for size in self.sizes]
            controls = [self.sides(claim, self.control, size) for size in self.sizes]
        rows = [
            (str(n), *map(_short, w), *map(_short, c)) for n, w, c in zip(self.sizes, witnesses, controls, strict=True)
        ]
        heading = ("size", "measured", "claimed", "measured with it", "claimed with it")
        details = (heading, *rows)
        if any(exceeds(*sides) for sides in controls):
            return Result(
                "open", reason=f"refuted with {self.missing} as well: that is not what is missing", details=details
            )
        if not all(exceeds(*sides) for sides in witnesses):
            return Result("open", reason="not refuted at every size", details=details)
        found = self.counterexample(claim, self.sizes[0], *witnesses[0])
        return Result("refutes", examples=len(self.sizes), counterexample=found, details=details)

    def sides(self, claim: Claim, make: Callable[[int], Any], size: int) -> tuple[arb, arb]:
        """What is measured on the witness or control of this size, and what the claim allows."""
        made, measured = _measured(make, size, self.measured)
        allowed = claim(**{name: getattr(made, name) for name in parameters(claim)})
        return measured, narrow(exact(allowed))

    def counterexample(self, claim: Claim, size: int, measured: arb, allowed: arb) -> Counterexample:
        witness = self.witness(size)
        package, _, module = claim.__module__.rpartition(".")
        checks = self.witness.__module__.rpartition(".")[2]
        given = ", ".join(f"{name}=w.{name}" for name in parameters(claim))
        name = getattr(claim, "__name__", repr(claim))
        return Counterexample(
            operands={name: getattr(witness, name) for name in self.shown},
            where=self.quantity,
            claimed=f"≤ {allowed.str(DIGITS)}",
            true=measured.str(DIGITS),
            arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
            search=f"one of a family: sizes {', '.join(map(str, self.sizes))}, and every other by the proof",
            python=(
                f"from {package} import {module} as paper; from proofs_checks import {checks} as checks",
                f"w = checks.{self.witness.__name__}({size})",
                f'print(paper.{name}({given}), checks.{self.measured.__name__}(w), sep="\\n")',
            ),
        )


@lru_cache(maxsize=64)
def _measured(make: Callable[[int], Any], size: int, measured: Callable[[Any], Any]) -> tuple[Any, arb]:
    """A witness or control, and what is measured on it: the same for every claim and statement that it is tried on."""
    made = make(size)
    return made, narrow(exact(measured(made)))


def _short(number: arb) -> str:
    whole = number.unique_fmpz() if abs(number) < 10**SHOWN else None
    return number.str(SHOWN, radius=False) if whole is None or number != whole else str(whole)
