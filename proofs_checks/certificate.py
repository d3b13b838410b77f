"""altgrad's own claim about what the fast functions return: a value, and a bound on its distance from the exact one.

Nothing is taken from the code on trial but the two arrays of floats: balls decide whether the true value lies further
away than the bound allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from flint import arb, ctx
from hypothesis.strategies import SearchStrategy

import reference
from proofs_checks.equation import DIGITS, narrow, of_shape
from proofs_checks.ground_truth import BITS
from proofs_checks.inequality import exceeds, over
from proofs_checks.instances import Array, Instance, layers, odd_scale, paper_scale, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Counterexample, Extreme
from reference.fast_qkv import METHODS, Method
from reference.polynomial import taylor

Pairs = list[tuple[Array, Array]]  # a value and its bound, for each array that is returned

NAMES = ("X", "W", "W_V", "G")
SCALES = (paper_scale, unit_scale, odd_scale)
REACH = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 4.0}  # scores, at most, before the keys are centred
TAYLOR: tuple[dict[str, Any], ...] = ({"polynomial": taylor(2, 1.0)}, {"polynomial": taylor(4, 1.0)})
SETTINGS = {
    np.dtype(np.float32): ({"rtol": 0.1}, {"rtol": 1e-2}, *TAYLOR),
    np.dtype(np.float64): ({"rtol": 0.1}, {"rtol": 1e-3}, {"rtol": 1e-6}, *TAYLOR),
}


@dataclass(frozen=True)
class CertificateTrial(PropertyTrial):
    """|value − true| ≤ bound for every entry of every array that a fast function returns."""

    truth: Callable[[Symbols], list[Array]]
    arrays: tuple[str, ...]

    @property
    def scope(self) -> str:
        return (
            "n ≤ 5, d ≤ 3, scores within ±4 in float64 and ±2 in float32, masked and unmasked, degrees for rtol from"
            " 0.1 to 1e-6 (float32: 0.01) and Taylor of degree 2 and 4, all methods; exact values in balls"
        )

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*SCALES, masks=(False, True), max_n=5, max_d=3).map(within_reach)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        for n, d, space, instances in small(NAMES, SCALES, (False, True)):
            yield n, d, space, map(within_reach, instances)

    def sides(self, claim: Claim, instance: Instance) -> Iterator[tuple[str, arb, arb]]:
        """Which entry, how far it is from the true one, how far it may be."""
        pairs: Pairs = claim(*instance.arrays, scale=float(instance.scale), causal=instance.causal)
        with ctx.workprec(BITS):
            for name, (value, bound), true in zip(self.arrays, pairs, self.truth(Symbols(instance)), strict=True):
                of_shape(true, value), of_shape(true, bound)
                for index in np.ndindex(true.shape):
                    if not np.isfinite(value[index]) or np.isnan(bound[index]):
                        raise FloatingPointError(f"{name} is {value[index]} with bound {bound[index]}")
                    allowed = arb(float(bound[index]))
                    where = f"entry {tuple(k + 1 for k in index)} of {name}"
                    yield where, narrow(abs(arb(float(value[index])) - true[index])), allowed

    def ratio(self, claim: Claim, instance: Instance) -> float:
        return max(over(measured, allowed) for _, measured, allowed in self.sides(claim, instance))

    def extreme(self, instance: Instance, ratio: float) -> Extreme:
        return Extreme(ratio, instance.listed(NAMES), str(instance.scale), instance.causal)

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        for where, measured, allowed in self.sides(claim, instance):
            if exceeds(measured, allowed):
                return Counterexample(
                    operands=instance.listed(NAMES),
                    where=f"error of {where}",
                    claimed=f"≤ {allowed.str(DIGITS)}",
                    true=measured.str(DIGITS),
                    arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
                    search=search,
                    python=reproduction(claim, self.truth, instance),
                )
        return None


def reproduction(claim: Claim, truth: Callable[..., Any], instance: Instance) -> tuple[str, ...]:
    """Lines that print the values with their bounds, and the true values."""
    given = "".join(f", {name}={rows}" for name, rows in instance.listed(NAMES).items())
    how = f'scale="{instance.scale}", causal={instance.causal}'
    dtype = instance.operands["X"].dtype
    operands = ", ".join(f'np.array(s.instance.operands["{name}"], "{dtype}")' for name in NAMES)
    name = getattr(claim, "__name__", repr(claim))
    return (
        "import numpy as np; from proofs_checks import certificate as checks",
        "from proofs_checks.symbols import Symbols",
        f"s = Symbols.of({instance.n}, {instance.d}, {how}{given})",
        f"print(checks.{name}({operands}, scale={float(instance.scale)}, causal={instance.causal}))",
        f"print(checks.{truth.__name__}(s))",
    )


def within_reach(instance: Instance) -> Instance:
    """The instance with W divided by a power of two, so that no score exceeds what the precision reaches."""
    X, W, _, _ = (a.astype(np.float64) for a in instance.arrays)
    lengths = np.linalg.norm(X @ W, axis=1).max() * np.linalg.norm(X, axis=1).max() * abs(float(instance.scale))
    excess = lengths / REACH[instance.operands["X"].dtype]
    power = 2.0 ** -max(0, int(np.ceil(log2(excess)))) if excess > 0 else 1.0
    W_small = (instance.operands["W"] * instance.operands["W"].dtype.type(power)).copy()
    return Instance({**instance.operands, "W": W_small}, instance.scale, instance.causal)


def setting(X: Array) -> tuple[dict[str, Any], Method]:
    """A polynomial or a tolerance, and a method: some for every instance, the same for the same one."""
    choice = int(np.abs(X).sum() * 64) % 4096
    settings = SETTINGS[X.dtype]
    return settings[choice % len(settings)], METHODS[choice // len(settings) % len(METHODS)]


# --- the claims


def output(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """What `fast_attention` returns."""
    how, _ = setting(X)
    fast = reference.fast_attention(X, W, W_V, scale=scale, causal=causal, **how)
    return [(fast.value, fast.bound)]


def gradient(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """What `fast_attention_gradient` returns."""
    how, method = setting(X)
    fast = reference.fast_attention_gradient(X, W, W_V, G, scale=scale, causal=causal, method=method, **how)
    return [(getattr(fast.value, name), getattr(fast.bound, name)) for name in ("X", "W", "W_V")]


# --- and the truth


def exact_output(symbols: Symbols) -> list[Array]:
    """f h."""
    return [symbols.s]


def exact_gradient(symbols: Symbols) -> list[Array]:
    """The gradient of ⟨G, f h⟩."""
    return [symbols.dL_dX, symbols.dL_dW, symbols.dL_dW_V]


# --- false variants


def output_quarter(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: a quarter of the bound."""
    return [(value, bound / 4) for value, bound in output(X, W, W_V, G, scale=scale, causal=causal)]


def output_unmasked(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mask forgotten."""
    return output(X, W, W_V, G, scale=scale, causal=False)


def output_of_X(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mean of X for that of X W_V."""
    return output(X, W, np.eye(len(W), dtype=W.dtype), G, scale=scale, causal=causal)


def gradient_eighth(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: an eighth of the bound."""
    return [(value, bound / 8) for value, bound in gradient(X, W, W_V, G, scale=scale, causal=causal)]


def gradient_unmasked(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: the mask forgotten."""
    return gradient(X, W, W_V, G, scale=scale, causal=False)


def gradient_transposed(X: Array, W: Array, W_V: Array, G: Array, *, scale: float, causal: bool) -> Pairs:
    """False: Wᵀ for W, as in the printed sum of E.11."""
    return gradient(X, np.ascontiguousarray(W.T), W_V, G, scale=scale, causal=causal)


def _part(name: str, claim: str, formula: Claim, trial: CertificateTrial, false: dict[str, Claim]) -> Part:
    check = Check(kind="property", claim=formula, trial=trial, false=false)
    return Part(kind="inequality", name=name, claim=claim, forms=(Form(formula=formula, checks=(check,)),))


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="own/certificate",
        kind="bound",
        title="The bounds that the fast functions return",
        locus="altgrad; docs/bounds.md",
        parts=(
            _part(
                "output",
                "|value − Attn(X)| ≤ bound, entry by entry, for fast_attention",
                output,
                CertificateTrial(exact_output, ("the output",)),
                {"a quarter of the bound": output_quarter, "no mask": output_unmasked, "X for X W_V": output_of_X},
            ),
            _part(
                "gradient",
                "|value − gradient| ≤ bound, entry by entry, on X, W and W_V, for fast_attention_gradient",
                gradient,
                CertificateTrial(exact_gradient, ("dL/dX", "dL/dW", "dL/dW_V")),
                {
                    "an eighth of the bound": gradient_eighth,
                    "no mask": gradient_unmasked,
                    "Wᵀ for W": gradient_transposed,
                },
            ),
        ),
        note="Rounding is included: value and bound are as returned, in float32 or float64.",
        related=("own/weights", "own/output", "own/cotangent", "own/moments", "own/differentiate", "own/shift"),
    ),
)
