"""Trials of gradient formulas: a closed form against automatic differentiation, refuted in ball arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from itertools import product
from typing import Any, Literal

import numpy as np
from flint import ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks import ground_truth
from proofs_checks.instances import Instance, Scale, gaussian, layers, odd_scale, paper_scale, small, unit_scale
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Claim, Form
from proofs_checks.trial import Counterexample, apply
from reference.error_bounds import gradient_rounding

Operand = Literal["X", "W", "W_V"]

DIGITS = 25  # shown of each side of a counterexample

UNIT_READING = "scores X W Xᵀ, as C.6 prints them"
PAPER_READING = "scores X W Xᵀ/d, as 1.2, C.3 and I.5 print them"
REPAIRED_READING = "scores τ X W Xᵀ for any τ (1/d in 1.2, C.3 and I.5; 1 in C.6), masked or not"


@dataclass(frozen=True)
class GradientTrial(PropertyTrial):
    """dL/d(operand), L = ⟨G, Attn(X)⟩: claimed by a formula, known by differentiation, equal within rounding."""

    operand: Operand
    scales: tuple[Scale, ...]
    masks: tuple[bool, ...] = (False,)

    @property
    def scope(self) -> str:
        masked = "masked and unmasked" if len(self.masks) == 2 else "causal" if self.masks[0] else "unmasked"
        return f"n ≤ 6, d ≤ 4, {masked}, float64 and float32, |scores| ≤ 60"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*self.scales, masks=self.masks)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        return small(("X", "W", "W_V", "G"), self.scales, self.masks)

    def ratio(self, claim: Claim, instance: Instance) -> float:
        scale, causal = float(instance.scale), instance.causal
        true = getattr(ground_truth.gradient(*instance.arrays, scale=scale, causal=causal), self.operand)
        claimed = of_shape(true, apply(claim, instance.operands, scale=scale, causal=causal))
        error = np.abs(claimed - true)
        if not error.any():  # NaN counts as any
            return 0.0
        bounds = (
            gradient_rounding(*instance.arrays, scale=scale, causal=causal, dtype=dtype)
            for dtype in (instance.operands["X"].dtype, np.float64)
        )
        allowed = sum(getattr(b, self.operand) for b in bounds)
        if not np.isfinite(allowed).all():
            raise OverflowError("there is no finite rounding bound: the instance tests nothing")
        return worst_ratio(error, allowed)

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        with ctx.workprec(ground_truth.BITS):
            operands = {name: ground_truth.balls(a) for name, a in instance.operands.items()}
            truth = ground_truth.ball_gradient(*instance.arrays, scale=instance.scale, causal=instance.causal)
            true = getattr(truth, self.operand)
            scale = ground_truth.ball(instance.scale)
            claimed = of_shape(true, apply(claim, operands, scale=scale, causal=instance.causal))
            for i, j in np.ndindex(true.shape):
                if not true[i, j].overlaps(claimed[i, j]):
                    return Counterexample(
                        operands=instance.listed(),
                        where=f"entry ({i + 1}, {j + 1}) of dL/d{self.operand}",
                        claimed=claimed[i, j].str(DIGITS),
                        true=true[i, j].str(DIGITS),
                        arithmetic=f"balls of {ground_truth.BITS} bits: the enclosures are disjoint",
                        search=search,
                        python=self._python(claim, instance),
                    )
        return None

    def how_wrong(self, claim: Claim) -> str:
        """Relative difference in the Frobenius norm over 100 Gaussian layers."""
        differences, settings = [], list(product(self.scales, self.masks))
        for seed in range(100):
            choose, causal = settings[seed % len(settings)]
            layer, scale = Instance(gaussian(np.random.default_rng(seed), 6, 4), choose(4), causal), float(choose(4))
            true = getattr(ground_truth.gradient(*layer.arrays, scale=scale, causal=causal), self.operand)
            claimed = apply(claim, layer.operands, scale=scale, causal=causal)
            differences.append(float(np.linalg.norm(claimed - true) / np.linalg.norm(true)))
        least, median, most = map(_percent, np.quantile(differences, (0, 0.5, 1)))
        return f"off by {median} (median; {least} to {most}) on 100 Gaussian layers with n = 6, d = 4"

    def _python(self, claim: Claim, instance: Instance) -> tuple[str, ...]:
        """Three lines that print both sides."""
        package, _, module = claim.__module__.rpartition(".")
        used = [name for name in ("X", "W", "W_V", "G") if name in signature(claim).parameters]
        options = f"scale={instance.scale}" + (", causal=True" if instance.causal else "")
        arrays = ", ".join(map(str, instance.listed().values()))
        return (
            f"import numpy as np; from {package} import {module}; from proofs_checks import ground_truth",
            f"X, W, W_V, G = (np.array(a, float) for a in ({arrays}))",
            f"print({module}.{claim.__name__}({', '.join(used)}, {options}), "
            f'ground_truth.gradient(X, W, W_V, G, {options}).{self.operand}, sep="\\n")',
        )


def of_shape(true: Any, claimed: Any) -> Any:
    """The claimed array, if it has the shape of the true one: nothing is broadcast."""
    if np.shape(claimed) != np.shape(true):
        raise ValueError(f"the claim has shape {np.shape(claimed)}, the gradient has shape {np.shape(true)}")
    return claimed


def _percent(x: float) -> str:
    return f"{x:.0%}" if x == 0 or x >= 1 / 100 else f"{100 * x:.1g}%"


def worst_ratio(error: Any, allowed: Any) -> float:
    """Largest error over what is allowed, entry by entry; an error where none is allowed is infinite."""
    if np.isnan(error).any() or np.isnan(allowed).any():
        return float("nan")
    ratio = np.divide(error, allowed, out=np.where(error > 0, np.inf, 0.0), where=allowed > 0)
    return float(ratio.max())


def gradient_forms(
    operand: Operand, *, printed: Claim, repaired: Claim, change: str, false: Mapping[str, Claim]
) -> tuple[Form, ...]:
    """A printed gradient under both scales that the paper prints for the scores, and its repair under any scale."""

    def form(formula: Claim, trial: GradientTrial, false: Mapping[str, Claim], **fields: Any) -> Form:
        check = Check(kind="property", claim=formula, trial=trial, false=false)
        return Form(formula=formula, checks=(check,), **fields)

    anywhere = GradientTrial(operand, (paper_scale, unit_scale, odd_scale), (False, True))
    return (
        form(printed, GradientTrial(operand, (unit_scale,)), false, reading=UNIT_READING),
        form(printed, GradientTrial(operand, (paper_scale,)), false, reading=PAPER_READING),
        form(
            repaired,
            anywhere,
            {**false, "as printed": printed},
            role="repaired",
            reading=f"{change}, {REPAIRED_READING}",
        ),
    )
