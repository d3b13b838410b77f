"""Trials of altgrad's own bounds by their derivations: every step follows, and the last one is what is computed.

`python -m proofs_checks.bound_proofs` prints docs/derivations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flint import arb, ctx
from sympy import Expr, Symbol

from proofs_checks import bound_derivations as d
from proofs_checks import entry_derivations as e
from proofs_checks.derivation import F_K, Derivation, GapError, Relation, check, evaluate
from proofs_checks.equation import DIGITS, narrow, parameters
from proofs_checks.ground_truth import BITS
from proofs_checks.instances import Array, Instance, gaussian, odd_scale, paper_scale, unit_scale
from proofs_checks.products import product
from proofs_checks.record import Claim, Form
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Outcome, Result, Trial

DERIVATIONS: dict[str, Derivation] = {**d.DERIVATIONS, **e.ENTRIES}
SIZES = ((1, 1), (2, 1), (3, 2), (4, 3))
SCALES = (unit_scale, paper_scale, odd_scale)
LAYERS = 24
UNIT = Symbol("unit")  # in which the sides of a derivation are measured, where it is not 1

Letters = Mapping[Expr, Any]


@dataclass(frozen=True)
class DerivationTrial(Trial):
    """Every step follows, none of its false variants does, and the claim is the right side of the last one."""

    derivation: str
    letters: Callable[..., Letters]  # of the symbols and the index of an entry: what stands for what
    kind: type[Symbols]
    refusals: tuple[Outcome, ...] = ("open",)  # a bound that was not derived may be true

    @property
    def chain(self) -> Derivation:
        return DERIVATIONS[self.derivation]

    @property
    def scope(self) -> str:
        return (
            f"all n and d, {len(all_steps(self.chain))} steps, docs/derivations.md; that the formula computes the last"
            f" one: {LAYERS} layers, balls"
        )

    @property
    def complete(self) -> bool:
        return True

    def run(self, claim: Claim, seed: int) -> Result:
        try:
            check(self.chain)
        except GapError as gap:
            return Result("open", reason=str(gap))
        for symbols in layers(self.kind, seed):
            with ctx.workprec(BITS):
                value = claim(**{name: symbols.exact(name) for name in parameters(claim)})
                claimed: Array = np.asarray(value, dtype=object)
                derived: Array = np.empty_like(claimed)
                for index in np.ndindex(claimed.shape):
                    letters = self.letters(symbols, *index)
                    derived[index] = evaluate(self.chain.conclusion.right, letters) * letters.get(UNIT, 1)
                pairs = [(arb(a), arb(b)) for a, b in zip(claimed.flat, derived.flat, strict=True)]
            wrong = [f"{a.str(DIGITS)} for {b.str(DIGITS)}" for a, b in pairs if not narrow(a).overlaps(narrow(b))]
            if wrong:
                said = wrong[0]
                return Result(
                    "open", reason=f"the formula is not what is derived: {said} on {symbols.instance.listed()}"
                )
        return Result("supports", LAYERS, details=table(self.chain))


def derived(explicit: Form, derivation: str, letters: Callable[..., Letters], kind: type[Symbols]) -> Form:
    """The form with a proof beside its property check, which must refuse the same false variants."""
    (tried,) = explicit.checks
    proof = replace(tried, kind="proof", trial=DerivationTrial(derivation, letters, kind))
    return replace(explicit, checks=(tried, proof))


def layers(kind: type[Symbols], seed: int) -> Iterator[Symbols]:
    for k in range(LAYERS):
        n, d = SIZES[k % len(SIZES)]
        operands = gaussian(np.random.default_rng([seed, k]), n, d)
        yield kind(Instance(operands, SCALES[k % len(SCALES)](d), k // 12 % 2 == 1))


def all_steps(chain: Derivation) -> set[Relation]:
    """Each claim, also of the derivations that are used."""
    before = (*chain.uses, *(link.source for link in chain.links))
    return {step.claim for step in chain.steps}.union(*map(all_steps, before))


def table(chain: Derivation) -> tuple[tuple[str, ...], ...]:
    """What is given, every step with its reason, what is taken from other derivations."""
    rows = [("step", "claim", "why")]
    linked = [link.given for link in chain.links]
    rows += [("given", relation.latex, "") for relation in chain.given if relation not in linked]
    rows += [("given", link.given.latex, title(link.source)) for link in chain.links]
    rows += [("", used.conclusion.latex, title(used)) for used in chain.uses]
    for k, step in enumerate(chain.steps, start=1):
        case = f" if {' and '.join(r.latex for r in step.under)}" if step.under else ""
        rows.append((str(k), f"{step.claim.latex}{case}", step.by.why))
    return tuple(rows)


def title(chain: Derivation) -> str:
    """The name of a derivation in the record."""
    return next(name for name, found in DERIVATIONS.items() if found is chain)


# --- what stands for the letters of the last step


def of_taylor(s: Any) -> Letters:
    return {d.E_B: arb(s.bound).exp(), d.TERM_B: arb(s.bound) ** (s.degree + 1) / arb.fac_ui(s.degree + 1)}


def of_chebyshev(s: Any) -> Letters:
    """Σ_{k ≥ 1} 2 I_k(B) = e^B − I_0(B)."""
    omitted = arb(s.bound).exp() - s.bessel[0] - 2 * sum(s.bessel[1:], arb(0))
    return {d.E_B: arb(s.bound).exp(), d.ALL_BESSEL: omitted}


def of_even_taylor(s: Any) -> Letters:
    return {d.E_B: arb(s.bound).exp()}


def of_spread(s: Any) -> Letters:
    return {d.EPSILON: s.relative_error}


def of_weights(s: Any, i: int, k: int) -> Letters:
    f = s.f[i, k]
    return {F_K: f, d.DELTA: s.delta, d.LEAST: min(f, 1 - f), **_of_cotangent(s, i, k)}


def _of_cotangent(s: Any, i: int, k: int) -> Letters:
    row = [s.q[i, j] for j in s.allowed(i)]
    farthest = max(abs(s.q[i, k] - x) for x in row)
    K = sum(s.f[i, j] * s.q[i, j] for j in s.allowed(i))
    return {d.Q_K: s.q[i, k], d.K: K, d.WIDEST_K: farthest, d.WIDEST: s.M[i], d.S: _root(s), d.SIGMA: s.q_deviation[i]}


def _root(s: Any) -> arb:
    root: arb = (1 + s.delta).sqrt()
    return root


def of_total(s: Any) -> Letters:
    return {d.S: _root(s)}


def _of_column(s: Any, i: int, values: list[Any]) -> Letters:
    return {d.S: _root(s), d.BOTTOM: min(values), d.TOP: max(values)}


def of_output(s: Any, i: int, c: int) -> Letters:
    values = [s.h[j, c] for j in s.allowed(i)]
    return {**_of_column(s, i, values), d.SIGMA: s.h_deviation[i, c]}


def of_position(s: Any, i: int, c: int) -> Letters:
    values, keys = [s.h[j, c] for j in s.allowed(i)], s.allowed(i)
    low, width = min(values), max(values) - min(values)
    y = sum(s.f[i, j] * (s.h[j, c] - low) for j in keys) / width if len(keys) > 1 else arb(0)
    return {d.OUTPUT: y, d.LEAST: min(y, 1 - y), d.DELTA: s.delta, UNIT: width}


def of_mean(s: Any, i: int) -> Letters:
    return {**_of_column(s, i, [s.q[i, j] for j in s.allowed(i)]), d.SIGMA: s.q_deviation[i]}


def of_covariance(s: Any, i: int, a: int) -> Letters:
    return {d.DELTA: s.delta, d.SIGMA_Q: s.q_deviation[i], d.SIGMA_Y: s.y_deviation[i, a]}


def of_X(s: Any, i: int, a: int) -> Letters:
    """Row i of F and of X Wᵀ − c Wᵀ, column i of F and f."""
    Y, Z, U = s.X @ s.W.T, s.X @ s.W, s.G @ s.W_V.T
    return {
        **of_covariance(s, i, a),
        d.TAU: s.scale,
        d.CENTRE: (s.centre @ s.W.T)[a],
        d.BOUND_P: s.F[i],
        d.BOUND_BACK: s.F[:, i],
        d.F_BACK: s.f[:, i],
        d.Y_ROW: Y[:, a],
        d.Z_ROW: Z[:, a],
        d.U_ROW: U[:, a],
    }


def of_W(s: Any, a: int, b: int) -> Letters:
    return {
        d.TAU: s.scale,
        d.CENTRE: s.centre[b],
        d.X_I: s.X[:, a],
        d.BOUND_P: s.F,
        d.Y_ROW: s.X[:, b],
        d.DELTA: s.delta,
        d.SIGMA_I: s.q_deviation,
        d.SIGMA_IB: s.X_deviation[:, b],
    }


def of_W_V(s: Any, a: int, c: int) -> Letters:
    return {
        d.TAU: arb(1),
        d.CENTRE: s.centre[a],
        d.X_I: s.G[:, c],
        d.BOUND_P: s.delta * s.f,
        d.Y_ROW: s.X[:, a],
        d.S: _root(s),
        d.SIGMA_IA: s.X_deviation[:, a],
    }


def of_differentiated(s: Any, i: int, k: int) -> Letters:
    return {d.DELTA: s.delta, d.OMEGA: s.omega, d.F_TILDE_K: s.f_tilde[i, k], d.WIDEST: s.M[i]}


def of_absolute(s: Any, i: int, k: int) -> Letters:
    """Row i of Ã, Δ and E; k is a key or a column of values, of which there may be another number."""
    T, far = sum(s.E[i]), max(abs(s.q[i, j] - s.K_tilde[i]) for j in s.allowed(i))
    common = {d.E: s.E[i], d.A_TILDE: s.A_tilde[i], d.DIFFERENCE: s.u[i] - s.A_tilde[i], d.FARTHEST: far, d.Q: s.q[i]}
    return {**common, d.FRACTION: T / (s.D_tilde[i] - T)}


def of_absolute_entry(s: Any, i: int, k: int) -> Letters:
    T, f = sum(s.E[i]), s.f_tilde[i, k]
    limit = (s.E[i, k] + f * T) / (s.D_tilde[i] - T)
    return {**of_absolute(s, i, k), d.E_K: s.E[i, k], d.F_TILDE_K: f, d.LIMIT_F: limit}


def of_absolute_output(s: Any, i: int, c: int) -> Letters:
    return {**of_absolute(s, i, c), d.H: s.h[:, c]}


def of_absolute_sum(s: Any, i: int, a: int) -> Letters:
    columns: Array = s.columns
    return {**of_absolute(s, i, a), d.Y: columns[:, a]}


# --- the same for the bounds by largest entries


def largest(A: Array) -> arb:
    """‖·‖∞."""
    size: arb = max(abs(x) for x in A.flat)
    return size


def of_sizes(s: Any) -> Letters:
    """With the error of f̃ = U1 V1ᵀ."""
    return {
        e.N: arb(s.n),
        e.D: arb(s.d),
        e.EPSILON: largest(product(s.U1, s.V1.T) - s.f),
        e.ETA: largest(s.h),
        e.GAMMA: largest(s.G),
        e.CHI: largest(s.X),
        e.OMEGA: largest(s.W),
        e.K_SIZE: largest(s.K),
    }


def of_z6(s: Any) -> Letters:
    return {**of_sizes(s), e.EPSILON: largest(product(s.U6, s.V6.T) - s.z6)}


def of_z7(s: Any) -> Letters:
    return {**of_sizes(s), e.EPSILON: largest(product(s.U7, s.V7.T) - s.z7)}


def of_z2(s: Any) -> Letters:
    return {**of_sizes(s), e.EPSILON: largest(product(s.U9, s.V9.T) - s.z2)}


def of_z4(s: Any) -> Letters:
    return {**of_sizes(s), e.EPSILON: largest(product(s.U10, s.V10.T) - s.z4)}


def of_values(s: Any) -> Letters:
    """W_V for W."""
    return {**of_sizes(s), e.OMEGA: largest(s.W_V)}


def of_p1_and_p2(s: Any) -> Letters:
    first, second = product(s.U3, s.V3.T) - s.p1, product(s.U4, s.V4.T) - s.p2
    return {**of_sizes(s), e.EPSILON_1: largest(first), e.EPSILON_2: largest(second)}


def of_kappa(s: Any) -> Letters:
    return {d.S: arb(s.kappa).sqrt()}


def of_five_terms(s: Any) -> Letters:
    """Each by its largest entry."""
    return dict(zip(e.TERMS, map(largest, s.D_tilde - s.D), strict=True))


def of_inexact_q(s: Any) -> Letters:
    q_tilde = product(s.U2, s.V2.T)
    return {
        **of_sizes(s),
        e.F_SIZE: largest(s.f),
        e.F_TILDE_SIZE: largest(product(s.U1, s.V1.T)),
        e.Q_SIZE: largest(s.q),
        e.Q_TILDE_SIZE: largest(q_tilde),
        e.THETA: largest(q_tilde - s.q),
    }


def of_chain(s: Any) -> Letters:
    return {e.N: arb(s.n), e.D: arb(s.d), e.EPSILON: largest(s.E), e.JACOBIAN: largest(s.dT_dX)}


def of_residual(s: Any) -> Letters:
    return {e.N: arb(s.n), e.D: arb(s.d), e.EPSILON: largest(s.E), e.JACOBIAN: largest(s.dH_dX)}


def of_all_heads(s: Any) -> Letters:
    heads, _, width = s.dsl_dX.shape[:3]
    counts = {e.HEADS: arb(heads), e.WIDTH: arb(width), e.N: arb(s.n), e.D: arb(s.d)}
    return {**counts, e.EPSILON: largest(s.E), e.OUTPUT: largest(s.dY_ds), e.JACOBIAN: largest(s.dsl_dX)}


# --- the page

INTRODUCTION = """# The derivations, step by step

Each bound of [bounds.md](bounds.md) as a chain of small steps, from the polynomial's ε to the gradients. `altgrad
verify` decides each of them by machine, for all n and d, masked or not; `altgrad show own/weights` shows them beside
the verdict.

- *algebra* is an identity of rational functions, or an inequality between them over the whole ranges that are
  stated; all else is a standard lemma, by name (`proofs_checks/derivation.py` has them).
- What a step takes for granted is given, or stands before it, or is derived under the heading that is named beside
  it, with other letters.
- A step that would follow as well the other way round, with twice its right side, or out of nothing, is not
  accepted.

One query at a time: its index i is left out. j runs over the keys that the mask allows, k is one of them; what has
the index j is meant for every j. The weights are f_j, those of the polynomial f_j r_j/Σ_l f_l r_l, 1 ≤ r_j ≤ κ = 1 +
δ.

This page is written by `python -m proofs_checks.bound_proofs`; a test compares it with that.
"""


BY_ENTRIES = """# By largest entries: C.13 to K.2

What an error of f̃ = U1 V1ᵀ does to the paper's factors and gradients, with constants. Every step is about one
entry; the sums may be over keys, rows or columns, and Σ_j 1 says how many there are. "Bits": entries are at most 2^b.
"""


def page() -> str:
    """docs/derivations.md."""
    ours, entries = ("\n".join(_section(*item) for item in part.items()) for part in (d.DERIVATIONS, e.ENTRIES))
    return "\n".join([INTRODUCTION, ours, BY_ENTRIES, entries])


def _section(name: str, chain: Derivation) -> str:
    _, *rows = table(chain)
    given = [_line("- ", claim, why) for step, claim, why in rows if not step.isdigit()]
    steps = [_line(f"{step}. ", claim, why) for step, claim, why in rows if step.isdigit()]
    lines = [f"## {name}", "", *([f"Letters: {chain.where}.", ""] if chain.where else [])]
    return "\n".join([*lines, *(["Given:", "", *given, "", "Steps:", ""] if given else []), *steps, ""])


def _line(mark: str, claim: str, why: str) -> str:
    formula, _, case = claim.partition(" if ")
    return f"{mark}${formula}${f' if ${case}$' if case else ''}{f' ({why})' if why else ''}"


if __name__ == "__main__":
    print(page(), end="")
