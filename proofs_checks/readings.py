"""Does some global convention make the printed statements true together? Every reading is tried on the whole group.

A reading fixes five choices once for all statements: W or Wᵀ in the scores, their scale, rows or columns that sum to
one, f or fᵀ wherever a formula writes f, and the output from f or from fᵀ. The paper's own definitions (C.3, C.5 to
C.12) are the reading with W, rows, f and s = f h. The columns of exp(X W Xᵀ) are the rows of exp(X Wᵀ Xᵀ), so the
32 readings that one can write down are 16 different ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from proofs_checks.equation import EquationTrial
from proofs_checks.fast_gradient import dL_dX
from proofs_checks.input_gradient import other_rows, same_row, weighted_derivative
from proofs_checks.instances import Array, Instance, Scale, gaussian, integers, paper_scale, unit_scale
from proofs_checks.record import Check, Claim, Form, Part, Statement
from proofs_checks.symbols import Convention
from proofs_checks.trial import Outcome, Result, Trial
from proofs_checks.weight_gradient import DS_DW_I, dL_dW, dL_dW_V, ds_dW_V
from reference import input_gradient, weight_gradient

SIZES = ((2, 1), (2, 2), (3, 2))


@dataclass(frozen=True)
class Member:
    """A printed formula, and the trial whose true side it is held against."""

    formula: Claim
    trial: EquationTrial


Group = dict[str, Member]

GRADIENT_X = EquationTrial(dL_dX, "dL/dX")
GRADIENT_W = EquationTrial(dL_dW, "dL/dW")
GRADIENT_W_V = EquationTrial(dL_dW_V, "dL/dW_V")
SAME_ROW = EquationTrial(same_row, "ds_{i0,j0}/dX_{i0,j1}", over={"i0": "n", "j0": "d", "j1": "d"})
OTHER_ROWS = EquationTrial(other_rows, "ds_{i0,j0}/dX_{i1,j1}", over={"i0": "n", "j0": "d", "i1": "n", "j1": "d"})
ENTRY_W_V = EquationTrial(ds_dW_V, "ds_{i2,j2}/dW_V", over={"i2": "n", "j2": "d"})
WEIGHTED = EquationTrial(weighted_derivative, "G(i0,j0) · ds_{i0,j0}/dX", over={"i0": "n", "j0": "d"})

READINGS = tuple(
    (scale, Convention(*choices))
    for scale in (unit_scale, paper_scale)
    for choices in product((False, True), repeat=4)
)


def printed_group() -> Group:
    """The statements whose printed formula depends on the convention, each in terms of f, h and s."""
    return {
        "D.1=": Member(input_gradient.ds_dX_same_printed, SAME_ROW),
        "D.1≠": Member(input_gradient.ds_dX_other_printed, OTHER_ROWS),
        "D.8": Member(input_gradient.weighted_ds_dX_printed, WEIGHTED),
        "E.11": Member(input_gradient.five_terms_printed, GRADIENT_X),
        "F.3": Member(weight_gradient.ds_dw_printed, DS_DW_I),
        "F.4": Member(weight_gradient.tensor_trick, GRADIENT_W),
        "G.2": Member(weight_gradient.ds_dW_V, ENTRY_W_V),
        "G.3": Member(weight_gradient.sum_as_product_printed, GRADIENT_W_V),
    }


def repaired_group() -> Group:
    """False variant: with the repaired formulas there is a reading that makes all hold."""
    return {
        **printed_group(),
        "D.1=": Member(input_gradient.ds_dX_same, SAME_ROW),
        "D.1≠": Member(input_gradient.ds_dX_other, OTHER_ROWS),
        "D.8": Member(input_gradient.weighted_ds_dX, WEIGHTED),
        "E.11": Member(input_gradient.five_terms, GRADIENT_X),
        "G.3": Member(weight_gradient.sum_as_product, GRADIENT_W_V),
    }


def one_alone() -> Group:
    """False variant: F.4 alone holds in the paper's own reading, so a group without the others survives."""
    return {"F.4": printed_group()["F.4"]}


@dataclass(frozen=True)
class ReadingsTrial(Trial):
    """No reading makes all statements of the group true: each reading needs a statement that it refutes."""

    refusals: tuple[Outcome, ...] = ("open",)  # a surviving reading is no proof that it holds, so never a refutation

    @property
    def scope(self) -> str:
        return f"all {len(READINGS)} readings, each refuted on a small instance in ball arithmetic"

    @property
    def complete(self) -> bool:
        return True

    def run(self, claim: Claim, seed: int) -> Result:
        layers = [_operands(np.random.default_rng([seed, k]), *SIZES[k % len(SIZES)], k) for k in range(9)]
        group: Group = claim()
        rows, survivors = [("scale", "scores", "sum to 1", "f means", "s", *group)], []
        for scale, convention in READINGS:
            instances = [Instance(layer, scale(layer["X"].shape[1])) for layer in layers]
            broken = [refutes(member, convention, instances) for member in group.values()]
            rows.append((*described(scale, convention), *("x" if b else "-" for b in broken)))
            if not any(broken):
                survivors.append(", ".join(described(scale, convention)))
        if survivors:
            return Result("open", reason=f"not refuted: {'; '.join(survivors)}", details=tuple(rows))
        return Result("supports", examples=len(READINGS), details=tuple(rows))


def refutes(member: Member, convention: Convention, instances: list[Instance]) -> bool:
    """Whether an instance has the two sides of a formula disjoint in this reading."""
    trial = replace(member.trial, convention=convention)
    return any(trial.confirm(member.formula, instance, "") is not None for instance in instances)


def described(scale: Scale, convention: Convention) -> tuple[str, ...]:
    return "1" if scale is unit_scale else "1/d", *convention.described()


def _operands(rng: np.random.Generator, n: int, d: int, k: int) -> dict[str, Array]:
    return integers(rng, n, d) if k % 2 else gaussian(rng, n, d)


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="own/readings",
        kind="finding",
        title="None of 32 conventions makes the printed derivatives true together",
        locus="altgrad's own; about Lemmas D.1, D.8, E.11, F.3, F.4, G.2 and G.3",
        parts=(
            Part(
                kind="inequality",
                claim="in each of 32 global readings the printed formula of D.1, D.8, E.11, F.3, F.4, G.2 or G.3 is"
                " not the derivative that it is said to be",
                forms=(
                    Form(
                        reading="W or Wᵀ in the scores, scale 1 or 1/d, rows or columns that sum to 1, f or fᵀ"
                        " wherever a formula writes f, s = f h or fᵀ h",
                        checks=(
                            Check(
                                kind="enclosure",
                                claim=printed_group,
                                trial=ReadingsTrial(),
                                false={"the repaired group": repaired_group, "F.4 alone": one_alone},
                            ),
                        ),
                    ),
                ),
            ),
        ),
        note="x: refuted, -: not refuted. The first line is the paper's own reading, C.6 to C.10: F.3, F.4 and G.2"
        " stand, F.3 and F.4 in no other (but its second name, below). D.8 and E.11 stand in none; the two parts of"
        " D.1 (D.1= for i1 = i0, D.1≠ for the rest) never stand together, and neither do G.2 and G.3: no convention"
        " explains them. F.3 is read with vec(W) row by row. Columns of exp(X W Xᵀ) are rows of exp(X Wᵀ Xᵀ): each"
        " reading occurs twice, under two names.",
        related=("D.1", "D.8", "E.11", "F.3", "F.4", "G.2", "G.3"),
    ),
)
