"""A record of planted statements: false lemmas, checks that go wrong, and true ones as a control.

    altgrad verify --record tests.planted false/G.3-printed

The first word of an id says what must come of the statement: `false` ends refuted, `trouble` ends undecided with a
reason, `true` holds. `trouble/hangs` and `trouble/leaves` end only with the time limit of a job.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np

from proofs_checks import softmax_attention, weight_gradient
from proofs_checks.equation import EquationTrial
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Instance, odd_scale, paper_scale
from proofs_checks.proof import with_proofs
from proofs_checks.record import Check, Claim, EvidenceKind, Form, Part, PartKind, Statement
from proofs_checks.softmax_attention import LARGEST_VALUE
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Counterexample, Result, Trial
from reference import input_gradient
from reference import softmax_attention as attn
from reference import weight_gradient as weights
from reference.softmax_attention import Array

DEVIATION = 2.0**-30  # far below any use, far above rounding in float64
CANCELLED = 2.0**40  # added and subtracted again: exact in balls, not in float64


# False bounds on the entries of h (C.18).


def bound_by_mean(X: Array, W_V: Array) -> Any:
    """False: the mean of |X| for its largest entry."""
    return len(W_V) * abs(X).sum() / X.size * abs(W_V).max()


def bound_by_values(X: Array, W_V: Array) -> Any:
    """False: X forgotten."""
    return len(W_V) * abs(W_V).max()


def bound_less(X: Array, W_V: Array) -> Any:
    """False, but only just: the sharp bound times 1 − 2⁻³⁰."""
    return (1 - DEVIATION) * attn.value_bound(X, W_V)


# False gradients with respect to W (F.4).


def W_without_p2(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: p1 for p."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return scale * (X.T @ attn.p1(f, attn.q(G, attn.h(X, W_V))) @ X)


def W_scaled_twice(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: the scale once more."""
    return scale * weights.gradient_W(X, W, W_V, G, scale=scale, causal=causal)


def W_deviating(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False, but only just: times 1 + 2⁻³⁰."""
    return (1 + DEVIATION) * weights.gradient_W(X, W, W_V, G, scale=scale, causal=causal)


# False gradients with respect to W_V (G.3).


def W_V_one_position(X: Array, G: Array) -> Any:
    """False: right for n = 1 only, where f is 1."""
    return X.T @ G


def W_V_unmasked(X: Array, W: Array, G: Array, *, scale: Any) -> Any:
    """False: right without the mask only."""
    return weights.gradient_W_V(X, W, G, scale=scale)


def W_V_deviating(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False, but only just: times 1 + 2⁻³⁰."""
    return (1 + DEVIATION) * weights.gradient_W_V(X, W, G, scale=scale, causal=causal)


# False gradients with respect to X (E.11).


def X_queries_only(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: the share of the keys forgotten."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (p @ X @ W.T) + f.T @ G @ W_V.T


def X_weights_swapped(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: W for Wᵀ and Wᵀ for W, right for symmetric W only."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (p @ X @ W + p.T @ X @ W.T) + f.T @ G @ W_V.T


def X_deviating(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False, but only just: times 1 + 2⁻³⁰."""
    return (1 + DEVIATION) * input_gradient.gradient_X(X, W, W_V, G, scale=scale, causal=causal)


def X_values(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: f where fᵀ belongs."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p = attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (p @ X @ W.T + p.T @ X @ W) + f @ G @ W_V.T


def X_twice(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False: twice the gradient."""
    return 2 * input_gradient.gradient_X(X, W, W_V, G, scale=scale, causal=causal)


# Claims that make trouble.


def raises(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """Raises whatever it is given."""
    raise ValueError("planted")


def raises_at_six(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """Right, but raises for n = 6."""
    if len(X) == 6:
        raise ValueError("planted at n = 6")
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal)


def nan_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """Not a number, for n = 5."""
    right = weights.gradient_W_V(X, W, G, scale=scale, causal=causal)
    return right + float("nan") if len(X) == 5 else right


def flat_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """The right numbers as a vector."""
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal).reshape(-1)


def stacked_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """The right numbers with an axis too many: (1, d, d) compares like (d, d)."""
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal)[None]


def flipped_gradient(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """The right numbers, (d, n) for (n, d)."""
    return input_gradient.gradient_X(X, W, W_V, G, scale=scale, causal=causal).T


def rounded_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False by 2⁻³⁰, in float32 even where its operands are float64."""
    return W_V_deviating(X, W, G, scale=scale, causal=causal).astype(np.float32)


def unstable_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """Right in exact arithmetic, and in floating point within the bound that its own large numbers give."""
    return (weights.gradient_W_V(X, W, G, scale=scale, causal=causal) + CANCELLED) - CANCELLED


def overwriting_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """False, and makes itself true: sets G to zero, for which the gradient is zero."""
    G[...] = 0
    return X.T @ G


_calls = count()


def fickle_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """Right in every other call."""
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal) * (1 + next(_calls) % 2)


def same_gradient(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Any:
    """True, but used as a false variant."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return (f @ X).T @ G


def nan_bound(X: Array, W_V: Array) -> Any:
    """Not a number."""
    return float("nan")


def infinite_bound(X: Array, W_V: Array) -> Any:
    """No bound at all, as an overflow would give it."""
    return float("inf")


def float_bound(X: Array, W_V: Array) -> Any:
    """Right in exact arithmetic, rounded to float64: not to be refuted by its rounding."""
    return float(attn.value_bound(X, W_V))


def raising_bound(X: Array, W_V: Array) -> Any:
    """Raises whatever it is given."""
    raise ArithmeticError("planted")


def right() -> bool:
    """What `OneCall` supports."""
    return True


def wrong() -> bool:
    """What `OneCall` refutes."""
    return False


def hangs() -> bool:
    """Never returns."""
    while True:
        time.sleep(1)


def dies() -> bool:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def aborts() -> bool:
    """Leaves its process with an exit status of 3, past every handler."""
    os._exit(3)


def leaves() -> bool:
    """Leaves its process as if all were well."""
    os._exit(0)


def quits() -> bool:
    """Asks its process to exit."""
    sys.exit(0)


def interrupts() -> bool:
    """Behaves like Ctrl-C."""
    raise KeyboardInterrupt


@dataclass(frozen=True)
class OneCall(Trial):
    """The cheapest trial: the claim takes nothing and returns whether it is right."""

    whole: bool = False
    witness: bool = True  # whether a refutation comes with its counterexample
    worst: float | None = None  # what it reports of a claim that it supports

    @property
    def scope(self) -> str:
        return "one call"

    @property
    def complete(self) -> bool:
        return self.whole

    def run(self, claim: Claim, seed: int) -> Result:
        if claim():
            return Result("supports", examples=1, worst=self.worst)
        found = Counterexample(
            {}, "the answer", "True", "False", "none needed", "the only one", ("print(True, False)",)
        )
        return Result("refutes", counterexample=found if self.witness else None)


def three_positions(instance: Instance) -> bool:
    """n = 3: one in six."""
    return instance.n == 3


def largest_layers(instance: Instance) -> bool:
    """n = 6, d = 6 and X begins with a number above 1: about one in two hundred."""
    return bool(instance.n == instance.d == 6 and instance.operands["X"][0, 0] > 1)


def impossible(instance: Instance) -> bool:
    """n > 6: never drawn."""
    return instance.n > 6


Operand = Literal["X", "W", "W_V"]


def dL_dX(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on X."""
    return symbols.dL_dX


TRIALS: Mapping[Operand, EquationTrial] = {
    "X": EquationTrial(dL_dX, "dL/dX", max_n=6),
    "W": EquationTrial(weight_gradient.dL_dW, "dL/dW", max_n=6),
    "W_V": EquationTrial(weight_gradient.dL_dW_V, "dL/dW_V", max_n=6),
}


def anywhere(operand: Operand) -> EquationTrial:
    """The trial that the repaired gradients stand, under one scale."""
    return replace(TRIALS[operand], scales=(odd_scale,), masks=(False, True))


FALSE_VARIANT: Mapping[Operand, Mapping[str, Claim]] = {
    "X": {"twice": X_twice},
    "W": {"twice": weight_gradient.W_factor},
    "W_V": {"a factor 1 + τ": weight_gradient.W_V_factor},
}
FALSE_BOUND: Mapping[str, Claim] = {"no factor": softmax_attention.one_product}
FALSE_ANSWER: Mapping[str, Claim] = {"wrong": wrong}


def planted(id: str, *checks: Check, kind: PartKind = "identity") -> Statement:
    """A statement of one part in one form."""
    said = (checks[0].claim.__doc__ or "").splitlines()[0]
    part = Part(kind=kind, claim=said, forms=(Form(formula=checks[0].claim, checks=checks),))
    return Statement(id=id, kind="claim", title=f"Planted: {id}", locus="nowhere", parts=(part,))


def gradient(id: str, operand: Operand, claim: Claim, trial: Trial | None = None, **fields: Any) -> Statement:
    """A claim on a gradient, tried like the repaired ones unless a trial is given."""
    fields = {"false": FALSE_VARIANT[operand], **fields}
    return planted(id, Check(kind="property", claim=claim, trial=trial or anywhere(operand), **fields))


def bound(id: str, claim: Claim, trial: BoundTrial = LARGEST_VALUE, **fields: Any) -> Statement:
    """A claim on the largest entry of h."""
    fields = {"false": FALSE_BOUND, **fields}
    return planted(id, Check(kind="property", claim=claim, trial=trial, **fields), kind="inequality")


def answer(id: str, claim: Callable[[], bool], kind: PartKind = "inequality", **fields: Any) -> Statement:
    """A claim that is tried with one call."""
    return planted(id, one_call(claim, **fields), kind=kind)


def one_call(claim: Callable[[], bool], evidence: EvidenceKind = "property", **fields: Any) -> Check:
    fields = {"trial": OneCall(), "false": FALSE_ANSWER, **fields}
    return Check(kind=evidence, claim=claim, **fields)


FALSE: tuple[Statement, ...] = (
    bound("false/C.18-no-factor", softmax_attention.one_product, false={"X forgotten": bound_by_values}),
    bound("false/C.18-root-of-d", softmax_attention.root_of_d),
    bound("false/C.18-printed", attn.value_bound_printed),
    bound("false/C.18-mean", bound_by_mean),
    bound("false/C.18-values", bound_by_values),
    bound("false/C.18-deviating", bound_less),
    bound(
        "false/C.18-bits",
        softmax_attention.bits_once,
        LARGEST_VALUE,
        false={"no factor d": softmax_attention.bits_without_d},
    ),
    gradient("false/F.4-transposed", "W", weight_gradient.W_transposed),
    gradient("false/F.4-sign", "W", weight_gradient.W_sign),
    gradient("false/F.4-without-p2", "W", W_without_p2),
    gradient("false/F.4-scaled-twice", "W", W_scaled_twice),
    gradient(
        "false/F.4-printed-with-1/d", "W", weights.gradient_W_printed, replace(TRIALS["W"], scales=(paper_scale,))
    ),
    gradient("false/F.4-deviating", "W", W_deviating),
    gradient("false/G.3-printed", "W_V", weights.gradient_W_V_printed, TRIALS["W_V"]),
    gradient("false/G.3-sign", "W_V", weight_gradient.W_V_sign),
    gradient("false/G.3-one-position", "W_V", W_V_one_position),
    gradient("false/G.3-unmasked", "W_V", W_V_unmasked),
    gradient("false/G.3-deviating", "W_V", W_V_deviating),
    gradient("false/E.11-printed", "X", input_gradient.gradient_X_printed, TRIALS["X"]),
    gradient("false/E.11-values", "X", X_values),
    gradient("false/E.11-queries-only", "X", X_queries_only),
    gradient("false/E.11-weights-swapped", "X", X_weights_swapped),
    gradient("false/E.11-deviating", "X", X_deviating),
    answer("false/answer", wrong),
    answer("false/without-variants", wrong, false={}),
)

TROUBLE: tuple[Statement, ...] = (
    gradient("trouble/raises", "W_V", raises),
    gradient("trouble/raises-at-six", "W_V", raises_at_six),
    gradient("trouble/nan", "W_V", nan_gradient),
    gradient("trouble/flat", "W_V", flat_gradient),
    gradient("trouble/stacked", "W_V", stacked_gradient),
    gradient("trouble/flipped", "X", flipped_gradient),
    gradient("trouble/rounded", "W_V", rounded_gradient),
    gradient("trouble/overwriting", "W_V", overwriting_gradient),
    gradient("trouble/fickle", "W_V", fickle_gradient),
    gradient("trouble/true-variant", "W_V", weights.gradient_W_V, false={"no variant": same_gradient}),
    gradient("trouble/raising-variant", "W_V", weights.gradient_W_V, false={"raises": raises}),
    gradient("trouble/without-variants", "W_V", weights.gradient_W_V, false={}),
    bound("trouble/raising-bound", raising_bound),
    bound("trouble/nan-bound", nan_bound),
    bound("trouble/infinite-bound", infinite_bound),
    bound("trouble/float-bound", float_bound),
    bound("trouble/discards", attn.value_bound, replace(LARGEST_VALUE, assumed=three_positions)),
    bound("trouble/discards-most", attn.value_bound, replace(LARGEST_VALUE, assumed=largest_layers)),
    bound("trouble/discards-all", attn.value_bound, replace(LARGEST_VALUE, assumed=impossible)),
    answer("trouble/dies", dies),
    answer("trouble/aborts", aborts),
    answer("trouble/quits", quits),
    answer("trouble/interrupts", interrupts),
    answer("trouble/dying-variant", right, false={"dies": dies}),
    answer("trouble/no-witness", wrong, trial=OneCall(witness=False)),
    answer("trouble/worst-nan", right, trial=OneCall(worst=float("nan"))),
    answer("trouble/worst-above-one", right, trial=OneCall(worst=1.5)),
    answer("trouble/unfit", right, "cost"),
    answer("trouble/cited", right, "cited"),
    answer("trouble/no-implication", right, "asymptotic"),
    answer("trouble/fixed-sizes", right, "identity", evidence="proof"),
    planted("trouble/contradiction", one_call(wrong), one_call(right, "proof", trial=OneCall(whole=True))),
)

ENDLESS: tuple[Statement, ...] = (answer("trouble/hangs", hangs), answer("trouble/leaves", leaves))

TRUE: tuple[Statement, ...] = (
    bound("true/C.18", attn.value_bound),
    gradient("true/F.4", "W", weights.gradient_W),
    gradient("true/G.3", "W_V", weights.gradient_W_V),
    gradient("true/E.11", "X", input_gradient.gradient_X),
    with_proofs(replace(gradient("true/proved", "W", weights.gradient_W), assumes=("n > 1",))),
    gradient("true/unstable", "W_V", unstable_gradient),
    answer("true/answer", right),
    answer("true/proof", right, evidence="proof", trial=OneCall(whole=True)),
)

DEEP: tuple[Statement, ...] = (answer("deep/answer", right, profiles=("deep",)),)

RECORD: tuple[Statement, ...] = (*FALSE, *TROUBLE, *ENDLESS, *TRUE, *DEEP)


def ids(statements: Iterable[Statement]) -> tuple[str, ...]:
    """Their ids, in order."""
    return tuple(s.id for s in statements)
