"""What the paper says of implementations (B.4): what can be combined, and what has to be written for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from proofs_checks import device
from proofs_checks.count import NeedTrial, calls, widest
from proofs_checks.equation import EquationTrial, form
from proofs_checks.falsify import with_transposed, wrong_sign_or_factor
from proofs_checks.ground_truth import Lifted, Rows, ball_jacobian, contracted, flipped, mixed, product, scaled
from proofs_checks.instances import Instance, odd_scale, paper_scale
from proofs_checks.record import Check, Claim, Form, Part
from proofs_checks.recorded import Figures, RecordedTrial, benchmark
from proofs_checks.symbols import Symbols, table, total
from reference import extensions as formulas
from reference import masked_product
from reference.chain_rule import fast_attention_gradient
from reference.softmax_attention import Array

# --- more speed: times that a file holds

RESULTS, DEVICE = "benchmarks/results/full.json", "docs/evidence"
AGAIN = 'python -m benchmarks run --profile full --only "compiled against NumPy"'
COMPILED = RecordedTrial(
    figures=tuple(
        benchmark(RESULTS, f"compiled against NumPy, n = 16,384, d = {d}", "reference.qkv") for d in (8, 12, 16)
    ),
    numerator="NumPy",
    denominator="compiled",
    again=AGAIN,
)
ON_A_DEVICE = RecordedTrial(
    figures=(Figures(file=DEVICE, name="own kernels against library products"),),  # gpu.evidence times other things
    numerator="library products",
    denominator="own kernels",
    again="times of both on a machine with a GPU; on a CPU it was tried, and is measured (combination)",
)


def slower(ratio: float) -> bool:
    """False: it costs speed."""
    return ratio < 1


def as_fast(ratio: float) -> bool:
    """False: no difference beyond a tenth."""
    return 0.9 < ratio < 1.1


def hundredfold(ratio: float) -> bool:
    """False: a hundred times the speed."""
    return ratio > 100


def recorded_form(trial: RecordedTrial, reading: str = "", *more: Check) -> Form:
    false: dict[str, Claim] = {"less speed": slower, "as fast": as_fast, "a hundredfold": hundredfold}
    check = Check(kind="experiment", claim=formulas.faster, trial=trial, false=false)
    return Form(reading=reading, formula=formulas.faster, checks=(check, *more))


# --- a product of k1 d columns


def columns_of_5(d: int) -> int:
    """U1 ⊘ h has d columns for each of U1."""
    return d


def by_antiderivative(X: Array, W: Array, W_V: Array, G: Array, rtol: float) -> Any:
    """The same numbers without the row-wise product."""
    return fast_attention_gradient(X, W, W_V, G, rtol=rtol, method="antiderivative")


def by_differentiation(X: Array, W: Array, W_V: Array, G: Array, rtol: float) -> Any:
    """The derivative of the approximate output, which needs no such product either."""
    return fast_attention_gradient(X, W, W_V, G, rtol=rtol, method="differentiate")


def need_form(formula: Claim, trial: NeedTrial, false: Mapping[str, Claim], reading: str) -> Form:
    """What is said to be needed, counted on a function that has it, or on one that does without."""
    check = Check(kind="count", claim=formula, trial=trial, false=false)
    return Form(reading=reading, formula=formula, checks=(check,))


def product_form(method: str, reading: str) -> Form:
    trial = NeedTrial(
        over={"n": (60, 90), "d": (2, 3)},
        shapes={"X": "n d", "W": "d d", "W_V": "d d", "G": "n d"},
        given={"rtol": 0.1, "method": method},
        measure=widest,
        checked=True,
        law=columns_of_5,
    )
    false: dict[str, Claim] = {"by an antiderivative": by_antiderivative, "by differentiation": by_differentiation}
    return need_form(fast_attention_gradient, trial, false, reading)


# --- steps one after the other


def one_each(n: int) -> int:
    """A step for each row."""
    return n


def cumulated(U0: Array, V0: Array, v: Array) -> Array:
    """The same product by one cumulative sum."""
    Y: Array = (U0 * np.add.accumulate(V0 * v[:, None], axis=0)).sum(axis=1)  # (n,)
    return Y


def in_two(U0: Array, V0: Array, v: Array) -> Array:
    """The same product in blocks of half of the rows."""
    half = -(-len(v) // 2)
    return masked_product.masked_product(U0, V0, v[:, None], causal=True, step=half)[:, 0]  # (n,)


def blocks_of_two(U: Array, V: Array, H: Array) -> Array:
    """The product in two blocks."""
    return masked_product.masked_product(U, V, H, causal=True, step=-(-len(H) // 2))


def columns_cumulated(U: Array, V: Array, H: Array) -> Array:
    """Each column by one cumulative sum."""
    return np.stack([cumulated(U, V, column) for column in H.T], axis=1)  # (n, c)


def steps(shapes: Mapping[str, str], given: Mapping[str, Any] | None = None) -> NeedTrial:
    return NeedTrial(over={"n": (64, 128), "k": (1, 3)}, shapes=shapes, given=given or {}, measure=calls, law=one_each)


# --- the derivative of the approximate output


class Taylor(Symbols):
    """Attention with P(x) = 1 + x + x²/2, which has no zero, for exp."""

    @cached_property
    def scores(self) -> Array:
        def score(i: int, j: int) -> Any:
            pairs = np.ndindex(self.d, self.d)
            return self.scale * total(self.X[i, a] * self.W[a, b] * self.X[j, b] for a, b in pairs)

        return table(score, self.n, self.n)

    def _of_scores(self, value: Any) -> Array:
        return table(lambda i, j: value(self.scores[i, j]) * int(j <= i or not self.causal), self.n, self.n)

    @cached_property
    def P(self) -> Array:
        return self._of_scores(lambda x: 1 + x + x * x / 2)

    @cached_property
    def P_prime(self) -> Array:
        return self._of_scores(lambda x: 1 + x)

    def approximate(self, lifted: Lifted) -> Rows:
        """The output, on power series."""
        X = lifted["X"]
        scores = scaled(self.scale, product(product(X, lifted["W"]), flipped(X)))
        P = [[1 + x + x * x / 2 for x in row] for row in scores]
        return mixed(P, product(X, lifted["W_V"]), causal=self.causal)


def derivative_of_approximation(symbols: Taylor) -> Array:
    """The gradient of ⟨G, s̃⟩ on X, the coefficient of t in s̃(X + t E)."""
    operands = {name: getattr(symbols, name) for name in ("X", "W", "W_V")}
    return contracted(symbols.G, ball_jacobian(symbols.approximate, operands, "X"))


@dataclass(frozen=True)
class TaylorTrial(EquationTrial):
    """As `EquationTrial`, on attention with a polynomial for exp."""

    def symbols(self, instance: Instance) -> Taylor:
        return Taylor(instance)


DERIVATIVE = TaylorTrial(
    derivative_of_approximation,
    "the derivative of ⟨G, s̃⟩ on X",
    scales=(paper_scale, odd_scale),
    masks=(False, True),
    hypothesis="P(x) = 1 + x + x²/2",
    max_n=4,
)


def gradient_of_algorithm_1(X: Array, W: Array, W_V: Array, G: Array, P: Array, P_prime: Array, scale: Any) -> Array:
    """False: E.11's gradient, with f̃ for f."""
    return formulas.gradient_X_differentiated(X, W, W_V, G, P, P, scale)


# --- the parts

PARTS: tuple[Part, ...] = (
    Part(
        kind="experiment",
        name="combination",
        claim="the method combines with system-level kernels such as FlashAttention, for more speed",
        forms=(
            recorded_form(
                COMPILED,
                "tiles that stay in the cache, factors of f made again in the backward pass, on a CPU;"
                " against the same sums by library products",
            ),
        ),
    ),
    Part(
        kind="experiment",
        name="on a GPU",
        claim="such an I/O-aware form of Algorithm 1 makes use of a GPU, for more speed",
        forms=(recorded_form(ON_A_DEVICE, "own kernels against library products on one GPU", device.FASTER),),
    ),
    Part(
        kind="cost",
        name="tensor operations",
        claim="the gradient needs the tensor operations of Eq. (5) and Eq. (8), such as a row-wise product of k1 d"
        " columns",
        fault="misprint",
        consequence="Nothing rests on it: a form without k1 d columns gives the same numbers (own/antiderivative).",
        forms=(
            product_form("paper", "whoever multiplies the factors as E.4 and E.9 do"),
            product_form("antiderivative", "whoever wants the same numbers"),
        ),
    ),
    Part(
        kind="identity",
        name="backward functions",
        claim="back-propagation has to be written anew: what a framework finds, the derivative of the approximate"
        " output, has (P'/P)(S) ⊙ p̃ where Algorithm 1 has p̃",
        forms=(
            form(
                formulas.gradient_X_differentiated,
                DERIVATIVE,
                {
                    "p̃, as Algorithm 1": gradient_of_algorithm_1,
                    **wrong_sign_or_factor(formulas.gradient_X_differentiated),
                    **with_transposed(formulas.gradient_X_differentiated, "W"),
                },
                reading="whoever wants the gradients of Algorithm 1",
            ),
        ),
    ),
    Part(
        kind="cost",
        name="causal kernel",
        claim="a function of its own is needed to run in parallel under the causal mask: Algorithm 2 takes n steps one"
        " after the other",
        fault="misprint",
        consequence="Nothing rests on it: in blocks the same product takes a few library calls for each block, and"
        " each call runs in parallel. What a kernel of its own gains is another part.",
        forms=(
            need_form(
                masked_product.causal_mask,
                steps({"U0": "n k", "V0": "n k", "v": "n"}),
                {"one cumulative sum": cumulated, "two blocks": in_two},
                "whoever runs Algorithm 2 line by line",
            ),
            need_form(
                masked_product.masked_product,
                steps({"U": "n k", "V": "n k", "H": "n k"}, {"causal": True, "step": 16}),
                {"two blocks": blocks_of_two, "one cumulative sum for each column": columns_cumulated},
                "whoever wants the same product",
            ),
        ),
    ),
)
