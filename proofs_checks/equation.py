"""Trials of equations: a formula against the true value of what it says it is, entry by entry.

Each example is decided twice. The formula runs on numbers that hold a ball (`running_error.Running`): where its
enclosure and the true one are disjoint, the claim is refuted, and nothing else refutes it. The same formula runs on
floats of the drawn precision: the result must lie within the rounding bound that those numbers give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from inspect import Signature, signature
from itertools import product
from typing import Any

import numpy as np
from flint import arb, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks.ground_truth import BITS
from proofs_checks.instances import (
    Array,
    Instance,
    Scale,
    gaussian,
    layers,
    odd_scale,
    paper_scale,
    small,
    unit_scale,
)
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Claim, Form, Role
from proofs_checks.running_error import Running
from proofs_checks.symbols import PAPER, Convention, Symbols
from proofs_checks.trial import Counterexample, Trial

DIGITS = 25  # shown of each side of a counterexample
TIGHT = arb(2) ** -100  # an enclosure that is wider than this, relatively, decides nothing

Truth = Callable[[Any], Array]  # of the trial's symbols


@dataclass(frozen=True)
class EquationTrial(PropertyTrial):
    """formula = truth for all values of the formula's indices.

    `over` gives the range of each index argument: `{"i0": "n", "j0": "d"}`. Both sides have one leading axis for each,
    in this order, before the axes of the formula's own value. `names` are the operands that both sides depend on.
    """

    truth: Truth
    left: str  # what the equation defines or determines, in words
    over: Mapping[str, str] | None = None
    names: tuple[str, ...] = ("X", "W", "W_V", "G")
    scales: tuple[Scale, ...] = (unit_scale,)
    masks: tuple[bool, ...] = (False,)
    convention: Convention = PAPER
    assumed: Callable[[Instance], bool] | None = None
    hypothesis: str = ""
    max_n: int = 5
    max_d: int = 3

    @property
    def scope(self) -> str:
        masked = "masked and unmasked" if len(self.masks) == 2 else "causal" if self.masks[0] else "unmasked"
        sizes = f"n ≤ {self.max_n}, d ≤ {self.max_d}"
        extra = f", {self.hypothesis}" if self.hypothesis else ""
        return f"{sizes}{extra}, {masked}, balls, float64 and float32, scores up to the largest that do not overflow"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*self.scales, masks=self.masks, max_n=self.max_n, max_d=self.max_d)

    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        return small(self.names, self.scales, self.masks)

    def admits(self, instance: Instance) -> bool:
        return self.assumed is None or self.assumed(instance)

    def ratio(self, claim: Claim, instance: Instance) -> float:
        symbols, dtype = self.symbols(instance), instance.operands["X"].dtype
        with ctx.workprec(BITS):
            true = self.truth(symbols)
            if not true.size:
                raise ValueError("an equation without entries tests nothing")
            claimed = self.evaluate(claim, symbols, partial(symbols.running, dtype=dtype))
            pairs = list(zip(of_shape(true, claimed).flat, true.flat, strict=True))
            if any(apart(value(c), t) for c, t in pairs):
                return float("inf")
            computed = of_shape(true, self.evaluate(claim, symbols, partial(symbols.floats, dtype=dtype)))
            checked = zip(np.asarray(computed, np.float64).flat, pairs, strict=True)
            return max((measured(x, t, bound(c)) for x, (c, t) in checked))

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        symbols = self.symbols(instance)
        with ctx.workprec(BITS):
            true = self.truth(symbols)
            claimed = of_shape(true, self.evaluate(claim, symbols, symbols.exact))
            for index in np.ndindex(claimed.shape):
                if apart(value(claimed[index]), true[index]):
                    return Counterexample(
                        operands=instance.listed(self.names),
                        where=self.where(index),
                        claimed=value(claimed[index]).str(DIGITS),
                        true=value(true[index]).str(DIGITS),
                        arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
                        search=search,
                        python=reproduction(
                            claim,
                            self.truth,
                            instance,
                            self.names,
                            index,
                            self.over,
                            self.convention,
                            type(symbols),
                        ),
                    )
        return None

    def symbols(self, instance: Instance) -> Symbols:
        return Symbols(instance, self.convention)

    def evaluate(self, claim: Claim, symbols: Symbols, give: Callable[[str], Any]) -> Any:
        """The formula's value, for all its indices."""
        indices = self.over or {}
        wanted = parameters(claim)
        operands = {name: give(name) for name in wanted if name not in indices}
        if not indices:
            return claim(**operands)
        sizes = tuple(size(symbols, indices[name]) for name in indices)
        values = [
            claim(**operands, **{name: k for name, k in zip(indices, index, strict=True) if name in wanted})
            for index in np.ndindex(sizes)
        ]
        own = np.shape(values[0])
        balls = any(np.asarray(one).dtype == object for one in values)
        stacked = np.empty((len(values), *own), dtype=object if balls else np.float64)
        for k, one in enumerate(values):
            if np.shape(one) != own:
                raise ValueError(f"the claim has shape {np.shape(one)} at one index and {own} at another")
            stacked[k] = one
        return stacked.reshape(*sizes, *own)

    def where(self, index: tuple[int, ...]) -> str:
        """Which entry of which equation."""
        names = tuple(self.over or {})
        quantified = ", ".join(f"{name} = {k + 1}" for name, k in zip(names, index, strict=False))
        entry = tuple(k + 1 for k in index[len(names) :])
        shown = f"entry {entry if len(entry) > 1 else entry[0]} of {self.left}" if entry else self.left
        return f"{shown}, {quantified}" if quantified else shown

    def how_wrong(self, claim: Claim) -> str:
        """Relative difference in the Frobenius norm over 30 Gaussian layers."""
        differences, n, d, settings = [], self.max_n, self.max_d, list(product(self.scales, self.masks))
        for seed in range(30):
            choose, causal = settings[seed % len(settings)]
            symbols = self.symbols(Instance(gaussian(np.random.default_rng(seed), n, d), choose(d), causal))
            if not self.admits(symbols.instance):
                return ""
            true = np.array([float(x) for x in self.truth(symbols).flat])
            claimed = self.evaluate(claim, symbols, partial(symbols.floats, dtype=np.float64))
            differences.append(float(np.linalg.norm(np.ravel(claimed) - true) / np.linalg.norm(true)))
        least, median, most = map(_percent, np.quantile(differences, (0, 0.5, 1)))
        return f"off by {median} (median; {least} to {most}) on 30 Gaussian layers with n = {n}, d = {d}"


def reproduction(
    claim: Claim,
    truth: Callable[[Symbols], Any],
    instance: Instance,
    names: tuple[str, ...],
    index: tuple[int, ...] = (),
    over: Mapping[str, str] | None = None,
    convention: Convention = PAPER,
    kind: type[Symbols] = Symbols,
) -> tuple[str, ...]:
    """Lines that print both sides of a claim on an instance."""
    package, _, module = claim.__module__.rpartition(".")
    checks = truth.__module__.rpartition(".")[2]
    given = [f"{name}={rows}" for name, rows in instance.listed(names).items()]
    given += [f'scale="{instance.scale}"'] if instance.scale != 1 else []
    given += ["causal=True"] if instance.causal else []
    given += [f"convention={convention}"] if convention != PAPER else []
    convention_too = "from proofs_checks.symbols import Convention; " if convention != PAPER else ""
    at = dict(zip(over or {}, index, strict=False))
    operands = (f"{name}={at[name]}" if name in at else f"{name}=s.{name}" for name in parameters(claim))
    entry = f"[{', '.join(map(str, at.values()))}]" if at else ""
    name = getattr(claim, "__name__", repr(claim))
    return (
        f"from {package} import {module} as paper; from proofs_checks import {checks} as checks; "
        f"{convention_too}from {kind.__module__} import {kind.__name__}",
        f"s = {kind.__name__}.of({instance.n}, {instance.d}, {', '.join(given)})",
        f'print(paper.{name}({", ".join(operands)}), checks.{truth.__name__}(s){entry}, sep="\\n")',
    )


def apart(a: Any, b: Any) -> bool:
    """Whether two balls are disjoint; ValueError where one is too wide to tell."""
    return not narrow(a).overlaps(narrow(b))


def narrow(ball: arb) -> arb:
    """The ball, if it is narrow enough to decide something."""
    if not ball.is_finite() or ball.rad() > TIGHT * (1 + abs(ball.mid())):
        raise ValueError(f"the enclosure {ball.str(8)} is too wide to decide anything")
    return ball


def value(number: Any) -> arb:
    """The ball of a number that may have come out as one of Python's."""
    number = number.value if isinstance(number, Running) else number
    if isinstance(number, np.generic):
        number = number.item()
    return number if isinstance(number, arb) else arb(number)


def bound(number: Any) -> float:
    """What rounding may add to a number; nothing if it came out as a constant."""
    return number.error if isinstance(number, Running) else 0.0


def measured(computed: float, true: arb, allowed: float) -> float:
    """Distance of a float from the true value, over what rounding may add."""
    if not np.isfinite(computed):
        raise FloatingPointError(f"the formula gives {computed}")
    if not np.isfinite(allowed):
        raise OverflowError("there is no finite rounding bound: the instance tests nothing")
    error = float(abs(arb(computed) - true).lower())  # the true value may be anywhere in its ball
    if error == 0:
        return 0.0
    return error / allowed if allowed > 0 else float("inf")


def of_shape(true: Any, claimed: Any) -> Array:
    """The claimed array, if it has the shape of the true one: nothing is broadcast."""
    result: Array = np.asarray(claimed)
    if result.shape != np.shape(true):
        raise ValueError(f"the claim has shape {result.shape}, what it claims to be has shape {np.shape(true)}")
    return result


def size(symbols: Symbols, word: str) -> int:
    """How many values an index has: n, d, or d² for an index of vec(W)."""
    return {"n": symbols.n, "d": symbols.d, "d²": symbols.d**2}[word]


@cache
def parameters(claim: Claim) -> tuple[str, ...]:
    """The names of a formula's operands."""
    found: Signature = signature(claim)
    return tuple(found.parameters)


def form(
    formula: Claim, trial: Trial, false: Mapping[str, Claim], *, role: Role = "printed", reading: str = ""
) -> Form:
    """A form of a part with one property check of the formula that it shows."""
    check = Check(kind="property", claim=formula, trial=trial, false=false)
    return Form(role=role, reading=reading, formula=formula, checks=(check,))


UNIT_READING = "scores X W Xᵀ, as C.6 prints them"
PAPER_READING = "scores X W Xᵀ/d, as 1.2, C.3 and I.5 print them"
REPAIRED_READING = "any scale τ of the scores"


def derivative_forms(
    trial: EquationTrial, *, printed: Claim, repaired: Claim, change: str, false: Mapping[str, Claim]
) -> tuple[Form, ...]:
    """A printed derivative under both scales that the paper prints for the scores, and its repair under any scale.

    The repair is tried with the mask as well.
    """
    anywhere = replace(trial, scales=(paper_scale, unit_scale, odd_scale), masks=(False, True))
    return (
        form(printed, replace(trial, scales=(unit_scale,)), false, reading=UNIT_READING),
        form(printed, replace(trial, scales=(paper_scale,)), false, reading=PAPER_READING),
        form(
            repaired,
            anywhere,
            {**false, "as printed": printed},
            role="repaired",
            reading=f"{change}, {REPAIRED_READING}, masked or not",
        ),
    )


def _percent(x: float) -> str:
    return f"{x:.0%}" if x == 0 or x >= 1 / 100 else f"{100 * x:.1g}%"
