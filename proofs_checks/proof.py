"""Trials by proof: the formula of an equation, run on indeterminates, against the truth on the same ones.

That their difference is the zero polynomial proves the equation for all values of the entries, at these sizes.
docs/proofs.md says why, what is proved so, and what the argument for other sizes needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np

from proofs_checks import transformer
from proofs_checks.chains import TargetTrial
from proofs_checks.equation import EquationTrial, of_shape
from proofs_checks.error_bounds import MomentTrial
from proofs_checks.fast_gradient import FactorEquation
from proofs_checks.generic import Generic, GenericSymbols, generic, rational
from proofs_checks.input_gradient import two_rows
from proofs_checks.instances import Instance, gaussian, odd_scale
from proofs_checks.low_rank import FactorTrial
from proofs_checks.masked_product import MaskedTrial, PositiveTrial
from proofs_checks.record import Claim, Form, Statement
from proofs_checks.trial import Outcome, Result, Trial

SIZES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2))  # (n, d)
KINDS = (EquationTrial, FactorEquation, FactorTrial, MaskedTrial, MomentTrial, PositiveTrial, TargetTrial)
PARTS = ("identity", "definition", "construction")
# Hypotheses that concern numbers, or that no proof here needs: of the others a generic layer meets none.
OF_NUMBERS = (None, transformer.moderate, transformer.smooth_at_Attn, transformer.smooth_at_X, two_rows)
TOO_SMALL = ("K.1",)  # in d ≤ 2 columns no two heads are wider than one, and false variants look true
NONE = Instance(gaussian(np.random.default_rng(0), 1, 1), Fraction(1))  # only to ask for its kind of symbols


@dataclass(frozen=True)
class ProofTrial(Trial):
    """formula = truth, for all values of the entries of the operands, at fixed sizes."""

    equation: EquationTrial
    refusals: tuple[Outcome, ...] = ("open",)  # other fractions may still be equal numbers: never a refutation
    sizes: tuple[tuple[int, int], ...] = SIZES

    @property
    def scope(self) -> str:
        masks = self.equation.masks
        masked = "masked and unmasked" if len(masks) == 2 else "causal" if masks[0] else "unmasked"
        n, d = map(max, zip(*self.sizes, strict=True))
        scale = ", any scale of the scores" if self.any_scale else ""
        return f"all real entries{scale}, n ≤ {n}, d ≤ {d}, {masked}: fractions of polynomials"

    @property
    def any_scale(self) -> bool:
        return odd_scale in self.equation.scales

    def run(self, claim: Claim, seed: int) -> Result:
        for symbols in self.layers():
            true = self.equation.truth(symbols)
            claimed = of_shape(true, self.equation.evaluate(claim, symbols, symbols.exact))
            if not true.size:
                raise ValueError("an equation without entries proves nothing")
            if not all(equal(a, b) for a, b in zip(claimed.flat, true.flat, strict=True)):
                where = f"n = {symbols.n}, d = {symbols.d}{', masked' * symbols.causal}"
                return Result("open", reason=f"the two sides are different fractions at {where}")
        return Result("supports")

    def layers(self) -> Iterator[GenericSymbols]:
        e = self.equation
        kind = generic(type(e.symbols(NONE)))
        for n, d in self.sizes:
            for causal in e.masks:
                for scale in (None,) if self.any_scale else {s(d) for s in e.scales}:
                    yield kind.at(n, d, scale, causal=causal, convention=e.convention)


def equal(a: Any, b: Any) -> bool:
    """Whether two numbers are the same for all values of the indeterminates."""
    if isinstance(a, Generic) or isinstance(b, Generic):
        difference = a - b
        return bool(difference.is_zero)
    exact = rational(a), rational(b)
    if None in exact:
        raise TypeError(f"{a!r} and {b!r} are not exact numbers")
    return exact[0] == exact[1]


def with_proofs(statement: Statement) -> Statement:
    """The statement with a proof beside the property check of each equation that fractions can decide."""
    if statement.id in TOO_SMALL:
        return statement
    parts = (
        replace(part, forms=tuple(map(with_proof, part.forms))) if part.kind in PARTS else part
        for part in statement.parts
    )
    return replace(statement, parts=tuple(parts))


def with_proof(form: Form) -> Form:
    proofs = tuple(replace(c, kind="proof", trial=proof_of(c.trial)) for c in form.checks if decidable(c.trial))
    return replace(form, checks=(*form.checks, *proofs))


def proof_of(trial: EquationTrial) -> ProofTrial:
    """With two rows or more, where one leaves the equation without entries."""
    return ProofTrial(trial, sizes=tuple((n, d) for n, d in SIZES if n > 1 or trial.assumed is not two_rows))


def decidable(trial: Trial) -> TypeGuard[EquationTrial]:
    return isinstance(trial, EquationTrial) and type(trial) in KINDS and trial.assumed in OF_NUMBERS
