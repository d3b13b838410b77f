"""Does some global convention make the printed gradients true together? Every reading is tried on the whole group.

A reading fixes five choices once for all statements: W or Wᵀ in the scores, their scale, rows or columns that sum to
one, f or fᵀ wherever a closed form writes f, and the output from f or from fᵀ. The paper's own definitions (C.3, C.5
to C.12) are the reading with W, rows, f and s = f h. The columns of exp(X W Xᵀ) are the rows of exp(X Wᵀ Xᵀ), so the
32 readings that one can write down are 16 different ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from flint import ctx

from proofs_checks import ground_truth
from proofs_checks.identity import of_shape
from proofs_checks.instances import Array, Instance, Scale, gaussian, integers, paper_scale, unit_scale
from proofs_checks.record import Check, Claim, Form, Part, Statement
from proofs_checks.trial import Outcome, Result, Trial
from reference import softmax_attention as attn
from reference.input_gradient import five_terms

OPERAND = {"F.4": "W", "G.3": "W_V", "E.11": "X"}
SIZES = ((2, 1), (2, 2), (3, 2))


@dataclass(frozen=True)
class Reading:
    """One global convention."""

    scale: Scale
    W_transposed: bool
    columns: bool  # columns of exp(scores) are divided by their sums, not rows
    closed_transposed: bool  # the closed forms mean fᵀ where they write f
    output_transposed: bool  # s = fᵀ h

    def described(self) -> tuple[str, ...]:
        return (
            "1" if self.scale is unit_scale else "1/d",
            "X Wᵀ Xᵀ" if self.W_transposed else "X W Xᵀ",
            "columns" if self.columns else "rows",
            "fᵀ" if self.closed_transposed else "f",
            "fᵀ h" if self.output_transposed else "f h",
        )


READINGS = tuple(
    Reading(scale, *choices) for scale in (unit_scale, paper_scale) for choices in product((False, True), repeat=4)
)


def printed_group(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> dict[str, Array]:
    """The printed closed forms of F.4, G.3 and E.11 from whatever f and s mean."""
    p = attn.p(f, attn.q(G, h))  # (n, n)
    return {"F.4": X.T @ p @ X, "G.3": X.T @ f @ G, "E.11": five_terms(X, W, W_V, G, f, h, s)}


def repaired_group(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> dict[str, Array]:
    """False variant: with the three repaired closed forms there is a reading that makes all hold."""
    p = attn.p(f, attn.q(G, h))  # (n, n)
    return {"F.4": X.T @ p @ X, "G.3": X.T @ f.T @ G, "E.11": p @ X @ W.T + p.T @ X @ W + f.T @ G @ W_V.T}


def one_alone(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array) -> dict[str, Array]:
    """False variant: F.4 alone holds in the paper's own reading, so a group without the others survives."""
    return {"F.4": printed_group(X, W, W_V, G, f, h, s)["F.4"]}


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
        instances = [_layer(np.random.default_rng([seed, k]), *SIZES[k % len(SIZES)], k) for k in range(9)]
        heading = ("scale", "scores", "sum to 1", "f means", "s", *OPERAND)
        rows, survivors = [heading], []
        for reading in READINGS:
            broken = refuted(claim, reading, instances)
            rows.append((*reading.described(), *_cells(broken)))
            if not any(broken.values()):
                survivors.append(", ".join(reading.described()))
        if survivors:
            return Result("open", reason=f"not refuted: {'; '.join(survivors)}", details=tuple(rows))
        return Result("supports", examples=len(READINGS), details=tuple(rows))


def refuted(claim: Claim, reading: Reading, instances: list[Instance]) -> dict[str, bool]:
    """Which statements of the group an instance refutes in this reading, by disjoint balls."""
    broken: dict[str, bool] = {}
    with ctx.workprec(ground_truth.BITS):
        for instance in instances:
            claimed = claim(**closed_form_operands(reading, instance))
            truth = true_gradients(reading, instance)
            for name, value in claimed.items():
                true = getattr(truth, OPERAND[name])
                pairs = zip(of_shape(true, value).flat, true.flat, strict=True)
                apart = any(not a.overlaps(b) for a, b in pairs)
                broken[name] = broken.get(name, False) or apart
    return broken


def closed_form_operands(reading: Reading, instance: Instance) -> dict[str, Array]:
    """What the closed forms are made of in this reading, in balls."""
    X, W, W_V, G = map(ground_truth.balls, instance.arrays)
    scale = ground_truth.ball(reading.scale(instance.d))
    u = attn.u(X, W.T if reading.W_transposed else W, scale=scale)  # (n, n)
    f = attn.f(u.T).T if reading.columns else attn.f(u)  # (n, n)
    h = attn.h(X, W_V)  # (n, d)
    s = attn.s(f.T if reading.output_transposed else f, h)  # (n, d)
    return {"X": X, "W": W, "W_V": W_V, "G": G, "f": f.T if reading.closed_transposed else f, "h": h, "s": s}


def true_gradients(reading: Reading, instance: Instance) -> ground_truth.Truth:
    """The gradients of ⟨G, s⟩ for the reading's s, enclosed."""
    X, W, W_V, G = instance.arrays
    truth = ground_truth.ball_gradient(
        X,
        W.T if reading.W_transposed else W,
        W_V,
        G,
        scale=reading.scale(instance.d),
        columns=reading.columns,
        transposed=reading.output_transposed,
    )
    return truth._replace(W=truth.W.T) if reading.W_transposed else truth


def _layer(rng: np.random.Generator, n: int, d: int, k: int) -> Instance:
    return Instance(integers(rng, n, d) if k % 2 else gaussian(rng, n, d), unit_scale(d))


def _cells(broken: dict[str, bool]) -> tuple[str, ...]:
    return tuple("" if name not in broken else "refuted" if broken[name] else "not refuted" for name in OPERAND)


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="own/readings",
        kind="finding",
        title="None of 32 conventions makes the printed gradients true together",
        locus="altgrad's own; about Lemmas F.4, G.3 and E.11",
        parts=(
            Part(
                kind="inequality",
                claim="in each of 32 global readings the printed closed form of F.4, G.3 or E.11 is not the gradient",
                forms=(
                    Form(
                        reading="W or Wᵀ in the scores, scale 1 or 1/d, rows or columns that sum to 1, f or fᵀ in the"
                        " closed forms, s = f h or fᵀ h",
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
        note="Columns of exp(X W Xᵀ) are rows of exp(X Wᵀ Xᵀ): of the 32 readings each occurs twice, under two names.",
        related=("F.4", "G.3", "E.11"),
    ),
)
