"""What the paper says of softmax attention: its definitions, its causal and multi-head forms, bounds on entries."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import frexp, isqrt
from typing import Any

from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Instance
from proofs_checks.record import Check, Form, Part, Statement
from reference import softmax_attention as formulas
from reference.softmax_attention import Array


def largest_value(operands: Mapping[str, Any]) -> Fraction:
    """‖X W_V‖∞, entry by entry."""
    X, W_V = operands["X"].tolist(), operands["W_V"].T.tolist()
    return max(abs(sum((x * w for x, w in zip(row, column, strict=True)), Fraction())) for row in X for column in W_V)


def size_and_bits(operands: Mapping[str, Any]) -> dict[str, Any]:
    """d, and the least b ≥ 0 such that no entry of X or W_V exceeds 2^b."""
    mantissa, exponent = frexp(max(abs(float(x)) for name in ("X", "W_V") for x in operands[name].flat))
    return {"d": len(operands["W_V"]), "bits": max(0, exponent - 1 if mantissa == 1 / 2 else exponent)}


def long_sequence(instance: Instance) -> bool:
    """n ≥ d."""
    return instance.n >= instance.d


def one_product(X: Array, W_V: Array) -> Any:
    """False: as if each entry were one product."""
    return abs(X).max() * abs(W_V).max()


def root_of_d(X: Array, W_V: Array) -> Any:
    """False: random-sign growth, √d, for the worst case."""
    return isqrt(len(W_V)) * abs(X).max() * abs(W_V).max()


def one_less(X: Array, W_V: Array) -> Any:
    """False: a factor n − 1."""
    return (len(X) - 1) * abs(X).max() * abs(W_V).max()


def bits_once(d: int, bits: int) -> int:
    """False: 2^b for a product of two numbers up to 2^b."""
    return d * 2**bits


def bits_without_d(d: int, bits: int) -> int:
    """False: one product for d of them."""
    return 4**bits


LARGEST_VALUE = BoundTrial("‖X W_V‖∞", largest_value, ("X", "W_V"))

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="1.1",
        kind="definition",
        title="Softmax",
        locus="Section 1.1, Definition 1.1",
        parts=(Part(kind="definition", claim="Softmax(z) = exp(z) / ⟨exp(z), 1_n⟩ for z ∈ R^n, exp entrywise"),),
    ),
    Statement(
        id="1.2",
        kind="definition",
        title="Self-attention",
        locus="Section 1.1, Definition 1.2",
        parts=(
            Part(
                kind="definition",
                name="softmax form",
                claim="Attn(X) = Softmax(X W_Q W_Kᵀ Xᵀ / d) · X W_V, Softmax row by row; W_Q, W_K, W_V ∈ R^{d×d}",
            ),
            Part(
                kind="identity",
                name="matrix form",
                claim="Attn(X) = f(X) · X W_V, A = exp(X W_Q W_Kᵀ Xᵀ / d) entrywise, D = diag(A 1_n), f(X) = D⁻¹ A",
            ),
        ),
        uses=("1.1",),
    ),
    Statement(
        id="C.3",
        kind="definition",
        title="Self-attention with one matrix W for queries and keys",
        locus="Appendix C.2, Definition C.3",
        parts=(
            Part(
                kind="definition",
                name="softmax form",
                claim="Attn(X) = Softmax(X W Xᵀ / d) · X · W_V with W = W_Q W_Kᵀ, Softmax row by row",
            ),
            Part(
                kind="identity",
                name="matrix form",
                claim="Attn(X) = f(X) · X · W_V with A = exp(X W Xᵀ / d) entrywise, D = diag(A 1_n), f(X) = D⁻¹ A",
            ),
            Part(
                kind="identity",
                name="gradient of W_Q",
                claim="dL/dW_Q = (dL/dW) · (dW/dW_Q) = (dL/dW) · W_K",
            ),
        ),
        uses=("1.1", "1.2"),
        note="The gradient of W_Q is printed in the text below the definition; the one of W_K is not written out.",
    ),
    Statement(
        id="C.5",
        kind="definition",
        title="Entries, rows and columns of a matrix",
        locus="Appendix C.3, Definition C.5",
        parts=(
            Part(
                kind="definition",
                claim="Z_{i,j} or Z(i,j) is entry (i,j), Z_{i,*} ∈ R^d the i-th row, Z_{*,j} ∈ R^n the j-th column",
            ),
        ),
        note="Rows and columns are both written as column vectors: d×1 and n×1.",
    ),
    Statement(
        id="C.6",
        kind="definition",
        title="The exponential function u",
        locus="Appendix C.3, Definition C.6",
        parts=(Part(kind="definition", claim="u(X) = exp(X W Xᵀ) ∈ R^{n×n}, with W = W_Q W_Kᵀ"),),
        note="Printed with no division by d, where Definitions 1.2, C.3 and I.5 print X W Xᵀ / d.",
        related=("1.2", "C.3", "I.5"),
    ),
    Statement(
        id="C.7",
        kind="definition",
        title="The row sums α",
        locus="Appendix C.3, Definition C.7",
        parts=(Part(kind="definition", claim="α(X) = u(X) · 1_n ∈ R^n"),),
        uses=("C.6",),
    ),
    Statement(
        id="C.8",
        kind="definition",
        title="The softmax probabilities f",
        locus="Appendix C.3, Definition C.8",
        parts=(
            Part(
                kind="definition",
                claim="f(X) = diag(α(X))⁻¹ u(X) ∈ R^{n×n}; f(X)_{j0}ᵀ is the j0-th row of f(X)",
            ),
        ),
        uses=("C.6", "C.7"),
    ),
    Statement(
        id="C.9",
        kind="definition",
        title="The values h",
        locus="Appendix C.3, Definition C.9",
        parts=(Part(kind="definition", claim="h(X) = X W_V ∈ R^{n×d}"),),
    ),
    Statement(
        id="C.10",
        kind="definition",
        title="The attention output s",
        locus="Appendix C.3, Definition C.10",
        parts=(Part(kind="definition", claim="s(X) = f(X) h(X) ∈ R^{n×d}"),),
        uses=("C.8", "C.9"),
    ),
    Statement(
        id="C.11",
        kind="definition",
        title="The product q of the upstream gradient and the values",
        locus="Appendix C.3, Definition C.11",
        parts=(
            Part(
                kind="definition",
                claim="q(X) = G_i h(X)ᵀ ∈ R^{n×n}, with G_i = dL/dAttn_i(T_{i−1}(X)); q(X)_{j0}ᵀ is its j0-th row",
            ),
        ),
        uses=("C.9",),
    ),
    Statement(
        id="C.12",
        kind="definition",
        title="The gradient p with respect to the scores",
        locus="Appendix C.3, Definition C.12",
        parts=(
            Part(
                kind="definition",
                name="row by row",
                claim="p_{j0} = (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) q_{j0} ∈ R^n, and p_{j0}ᵀ is the j0-th row of p(X)",
            ),
            Part(
                kind="identity",
                name="difference",
                claim="p(X) = p1(X) − p2(X) with p1(X) = f(X) ⊙ q(X) and p2(X) = diag(p1(X) · 1_n) f(X)",
            ),
        ),
        uses=("C.8", "C.11"),
    ),
    Statement(
        id="C.17",
        kind="lemma",
        title="Entries of f",
        locus="Appendix C.5, Lemma C.17",
        parts=(Part(kind="inequality", claim="‖f(X)‖∞ ≤ 1"),),
        uses=("C.7", "C.8"),
    ),
    Statement(
        id="C.18",
        kind="lemma",
        title="Entries of h",
        locus="Appendix C.5, Lemma C.18 and its proof",
        parts=(
            Part(
                kind="inequality",
                name="bound",
                claim="‖h(X)‖∞ = ‖X W_V‖∞ ≤ n‖X‖∞‖W_V‖∞",
                forms=(
                    Form(
                        formula=formulas.value_bound_printed,
                        checks=(
                            Check(
                                kind="property",
                                claim=formulas.value_bound_printed,
                                trial=LARGEST_VALUE,
                                false={"no factor": one_product, "⌊√d⌋ for n": root_of_d},
                            ),
                        ),
                    ),
                    Form(
                        role="repaired",
                        reading="d for n: an entry of X W_V is a sum of d products",
                        formula=formulas.value_bound,
                        checks=(
                            Check(
                                kind="property",
                                claim=formulas.value_bound,
                                trial=LARGEST_VALUE,
                                false={
                                    "no factor": one_product,
                                    "⌊√d⌋ for d": root_of_d,
                                    "as printed": formulas.value_bound_printed,
                                },
                            ),
                        ),
                    ),
                    Form(
                        role="hypothesis",
                        reading="n ≥ d",
                        formula=formulas.value_bound_printed,
                        checks=(
                            Check(
                                kind="property",
                                claim=formulas.value_bound_printed,
                                trial=replace(LARGEST_VALUE, assumed=long_sequence, hypothesis="n ≥ d"),
                                false={"no factor": one_product, "n − 1 for n": one_less},
                            ),
                        ),
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖h(X)‖∞ ≤ poly(n)",
                forms=(
                    Form(
                        reading="with d ≤ poly(n), which 4.1 and 4.2 assume (d = O(log n)) and C.18 does not repeat",
                        formula=formulas.value_bound_bits,
                        implication="entries of O(log n) bits are at most 2^b with b ≤ c log2 n, so 4^b ≤ n^{2c}, and"
                        " d ≤ n^k for large n: ‖h‖∞ ≤ d · 4^b ≤ n^{k+2c}, a polynomial in n",
                        checks=(
                            Check(
                                kind="property",
                                claim=formulas.value_bound_bits,
                                trial=replace(LARGEST_VALUE, derived=size_and_bits),
                                false={"2^b for 4^b": bits_once, "no factor d": bits_without_d},
                            ),
                        ),
                    ),
                ),
            ),
        ),
        assumes=("entries of X, W, W_V have O(log n) bits",),
        uses=("C.3", "C.9"),
        note="The explicit bound stands in the proof, the polynomial one in the lemma.",
    ),
    Statement(
        id="C.19",
        kind="lemma",
        title="Entries of s",
        locus="Appendix C.5, Lemma C.19 and its proof",
        parts=(
            Part(kind="inequality", name="bound", claim="‖s(X)‖∞ = ‖f(X) h(X)‖∞ ≤ n‖f(X)‖∞‖h(X)‖∞"),
            Part(kind="asymptotic", name="poly", claim="‖s(X)‖∞ ≤ poly(n)"),
        ),
        assumes=("entries of X, W, W_V have O(log n) bits",),
        uses=("C.3", "C.10", "C.17", "C.18"),
        note="The proof gives its first equality as the definition of c(X), a name that this section does not define.",
    ),
    Statement(
        id="I.2",
        kind="definition",
        title="Causal mask",
        locus="Appendix I.1, Definition I.2",
        parts=(Part(kind="definition", claim="M ∈ {0,1}^{n×n} with M_{i,j} = 1 if i ≥ j and M_{i,j} = 0 otherwise"),),
    ),
    Statement(
        id="I.5",
        kind="definition",
        title="Attention matrix with the causal mask",
        locus="Appendix I.2, Definition I.5",
        parts=(
            Part(
                kind="definition",
                claim="f̂(X) = D⁻¹ (M ⊙ A) with A = exp(X W Xᵀ / d) and D = diag((M ⊙ A) · 1_n)",
            ),
        ),
        uses=("I.2",),
        related=("C.6", "C.8"),
    ),
    Statement(
        id="K.1",
        kind="definition",
        title="Multi-head attention",
        locus="Appendix K, Definition K.1",
        parts=(
            Part(
                kind="definition",
                name="Step 1",
                claim="Q, K, V ∈ R^{n×d} are split along d into Q_l, K_l, V_l ∈ R^{n×d_h}, l ∈ [h], with d_h = d/h",
            ),
            Part(
                kind="definition",
                name="Step 2",
                claim="f_l = Softmax(Q_l K_lᵀ / d_h) ∈ R^{n×n} and s_l = f_l V_l ∈ R^{n×d_h}",
            ),
            Part(
                kind="definition",
                name="Step 3",
                claim="s ∈ R^{n×d} is the concatenation of s_1, …, s_h",
            ),
        ),
        uses=("1.1", "C.3", "C.8", "C.10"),
        note="Q, K and V are referred to Definition C.3, which writes X W Xᵀ and X W_V and does not use these names.",
    ),
)
