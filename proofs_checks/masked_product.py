"""What the paper says of products with a causally masked low-rank matrix."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from flint import arb

from proofs_checks import cost
from proofs_checks.equation import EquationTrial, form
from proofs_checks.falsify import wrong_sign_or_factor
from proofs_checks.instances import CLASSES, Array, Instance, paper_scale
from proofs_checks.low_rank import ERROR_OF_F, FALSE_ERRORS_OF_F
from proofs_checks.products import product
from proofs_checks.record import Claim, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import error_bounds as bounds
from reference import masked_product as formulas
from reference.low_rank import row_kronecker


class Masked(Symbols):
    """Operands of masked products: U0, V0 (n, d) are X and G, U, V (n, CLASSES) these times W_out, H is (x | y)."""

    @property
    def U0(self) -> Array:
        return self.X

    @property
    def V0(self) -> Array:
        return self.G

    @cached_property
    def U(self) -> Array:
        return product(self.X, self.W_out)

    @cached_property
    def V(self) -> Array:
        return product(self.G, self.W_out)

    @property
    def v(self) -> Array:
        return self.x

    @cached_property
    def H(self) -> Array:  # type: ignore[override]  # the layer of J.3 has the same name
        return np.column_stack([self.x, self.y])

    @cached_property
    def D(self) -> Array:
        """A diagonal matrix."""
        return table(lambda i, j: self.x[i] if i == j else arb(0), self.n, self.n)

    @property
    def A(self) -> Array:
        return self.X

    @property
    def B(self) -> Array:
        return self.G


class Positive(Masked):
    """The same with U0 V0ᵀ > 0, as what stands for exp should be: U0 and V0 hold 1 + X² and 1 + G²."""

    @cached_property
    def U0(self) -> Array:
        return 1 + self.X * self.X

    @cached_property
    def V0(self) -> Array:
        return 1 + self.G * self.G


@dataclass(frozen=True)
class MaskedTrial(EquationTrial):
    """As `EquationTrial`, on operands of masked products."""

    def symbols(self, instance: Instance) -> Masked:
        return Masked(instance)


@dataclass(frozen=True)
class PositiveTrial(EquationTrial):
    """As `EquationTrial`, with U0 V0ᵀ > 0."""

    hypothesis: str = "U0V0ᵀ > 0"

    def symbols(self, instance: Instance) -> Positive:
        return Positive(instance)


# --- the true sides


def weight(s: Symbols, i: int, j: int) -> Any:
    """(U0 V0ᵀ)_ij."""
    return total(s.U0[i, a] * s.V0[j, a] for a in range(s.d))


def masked_times_vector(s: Symbols) -> Array:
    """Σ_{j ≤ i} (U0 V0ᵀ)_ij v_j."""
    return table(lambda i: total(weight(s, i, j) * s.v[j] for j in range(i + 1)), s.n)


def masked_times_matrix(s: Symbols) -> Array:
    """Σ_{j ≤ i} (U0 V0ᵀ)_ij H_jc."""
    H: Array = s.exact("H")
    return table(lambda i, c: total(weight(s, i, j) * H[j, c] for j in range(i + 1)), *H.shape)


def normalised(s: Symbols) -> Array:
    """(U0 V0ᵀ)_ij over its sum over all j ≤ i; 0 for j > i."""
    sums = [total(weight(s, i, j) for j in range(i + 1)) for i in range(s.n)]
    return table(lambda i, j: weight(s, i, j) / sums[i] if j <= i else arb(0), s.n, s.n)


def normalised_times_matrix(s: Symbols) -> Array:
    """Σ_{j ≤ i} (D⁻¹(M ⊙ (U0 V0ᵀ)))_ij H_jc."""
    f, H = normalised(s), s.exact("H")
    return table(lambda i, c: total(f[i, j] * H[j, c] for j in range(i + 1)), *H.shape)


def masked_entrywise_times_matrix(s: Symbols) -> Array:
    """Σ_j (D⁻¹(M ⊙ (U0 V0ᵀ)))_ij (U Vᵀ)_ij H_jc."""
    f, H = normalised(s), s.exact("H")

    def entry(i: int, c: int) -> Any:
        other = (total(s.U[i, k] * s.V[j, k] for k in range(CLASSES)) for j in range(s.n))
        return total(f[i, j] * x * H[j, c] for j, x in enumerate(other))

    return table(entry, *H.shape)


def scaled_rows(s: Symbols) -> Array:
    """x_i A_ij B_ij."""
    return table(lambda i, j: s.x[i] * s.A[i, j] * s.B[i, j], s.n, s.d)


# --- false variants


def sums_before(U0: Array, V0: Array, v: Array) -> Array:
    """False: c_{j−1} for c_j, that is i > j for i ≥ j."""
    return formulas.causal_mask(U0, V0, v) - (U0 * V0).sum(axis=1) * v


def sums_of_all(U0: Array, V0: Array, v: Array) -> Array:
    """False: c_n for c_j, no mask."""
    return U0 @ (V0.T @ v)


def sums_from_the_end(U0: Array, V0: Array, v: Array) -> Array:
    """False: i ≤ j for i ≥ j."""
    return formulas.causal_mask(U0[::-1], V0[::-1], v[::-1])[::-1]


def queries_weighted(U0: Array, V0: Array, v: Array) -> Array:
    """False: v_j at the second loop, where the row is i."""
    return formulas.causal_mask(U0, V0, np.ones(len(v), v.dtype)) * v


def columns_before(U0: Array, V0: Array, H: Array) -> Array:
    """False: i > j for i ≥ j."""
    return formulas.causal_mask_columns(U0, V0, H) - (U0 * V0).sum(axis=1)[:, None] * H


def columns_of_all(U0: Array, V0: Array, H: Array) -> Array:
    """False: no mask."""
    return U0 @ (V0.T @ H)


def first_column_only(U0: Array, V0: Array, H: Array) -> Array:
    """False: the first column of H for each."""
    return np.stack([formulas.causal_mask(U0, V0, H[:, 0])] * H.shape[1], axis=1)


def normalised_by_all(U0: Array, V0: Array) -> Array:
    """False: sums over whole rows, as without the mask."""
    return formulas.within(U0, V0) / (U0 @ V0.sum(axis=0))[:, None]


def normalised_by_columns(U0: Array, V0: Array) -> Array:
    """False: columns that sum to one."""
    masked = formulas.within(U0, V0)
    return masked / masked.sum(axis=0)


def not_normalised(U0: Array, V0: Array) -> Array:
    """False: no division."""
    return formulas.within(U0, V0) / 1


def product_over_all(U0: Array, V0: Array, H: Array) -> Array:
    """False: D from whole rows."""
    return formulas.causal_mask_columns(U0, V0, H) / (U0 @ V0.sum(axis=0))[:, None]


def product_unmasked(U0: Array, V0: Array, H: Array) -> Array:
    """False: no mask on what is divided."""
    return columns_of_all(U0, V0, H) / formulas.masked_row_sums(U0, V0)[:, None]


def entrywise_unmasked_sums(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    """False: D from whole rows."""
    U_M = row_kronecker(U0 / (U0 @ V0.sum(axis=0))[:, None], U)
    return formulas.causal_mask_columns(U_M, row_kronecker(V0, V), H)


def entrywise_unmasked(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    """False: the mask lost in the last step."""
    U_M = row_kronecker(U0 / formulas.masked_row_sums(U0, V0)[:, None], U)
    return U_M @ (row_kronecker(V0, V).T @ H)


def entrywise_orders_mixed(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    """False: V ⊘ V0 for V0 ⊘ V."""
    U_M = row_kronecker(U0 / formulas.masked_row_sums(U0, V0)[:, None], U)
    return formulas.causal_mask_columns(U_M, row_kronecker(V, V0), H)


def entrywise_scaled_twice(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    """False: D(A ⊙ B) = (DA) ⊙ (DB)."""
    D = formulas.masked_row_sums(U0, V0)[:, None]
    return formulas.causal_mask_columns(row_kronecker(U0 / D, U / D), row_kronecker(V0, V), H)


def both_scaled(D: Array, A: Array, B: Array) -> Array:
    """False: D(A ⊙ B) = (DA) ⊙ (DB)."""
    return (D @ A) * (D @ B)


FALSE_VECTOR: dict[str, Claim] = {
    "c_{j−1} for c_j": sums_before,
    "c_n for c_j": sums_of_all,
    "from the last row": sums_from_the_end,
    "v_i for v_j": queries_weighted,
}
FALSE_MATRIX: dict[str, Claim] = {
    "i > j for i ≥ j": columns_before,
    "no mask": columns_of_all,
    "the first column for all": first_column_only,
}
FALSE_PRODUCT: dict[str, Claim] = {
    "D without the mask": product_over_all,
    "no mask": product_unmasked,
    "no division": formulas.causal_mask_columns,
}
FALSE_REWRITING: dict[str, Claim] = {
    "D without the mask": entrywise_unmasked_sums,
    "no mask": entrywise_unmasked,
    "V ⊘ V0": entrywise_orders_mixed,
    "D⁻¹ twice": entrywise_scaled_twice,
}
TIMES_VECTOR = MaskedTrial(masked_times_vector, "(M ⊙ (U0V0ᵀ)) v", names=("X", "G", "x"))
SCALED = MaskedTrial(scaled_rows, "D(A ⊙ B)", names=("X", "G", "x"))

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="I.3",
        kind="lemma",
        title="Masked low-rank matrix times a vector",
        locus="Appendix I.1, Lemma I.3",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="Algorithm 2 returns Y = (M ⊙ (U0V0ᵀ)) v for U0, V0 ∈ R^{n×k} and v ∈ R^n",
                forms=(form(formulas.causal_mask, TIMES_VECTOR, FALSE_VECTOR),),
            ),
            Part(kind="cost", name="time", claim="it takes O(nk) time", forms=(cost.I_3,)),
        ),
        uses=("I.2", "Alg 2"),
        note="Quoted from earlier work of three of the authors with Liu and Yin (2024); no proof here.",
    ),
    Statement(
        id="Alg 2",
        kind="algorithm",
        title="Causal mask by running sums",
        locus="Appendix I.1, Algorithm 2",
        parts=(
            Part(
                kind="construction",
                claim="c_0 = 0_k; b_j = (V0ᵀ)_j v_j and c_j = c_{j−1} + b_j for j = 1…n; Y_j = ⟨(U0ᵀ)_j, c_j⟩",
                forms=(
                    form(
                        formulas.causal_mask,
                        TIMES_VECTOR,
                        FALSE_VECTOR,
                        reading="(V0ᵀ)_j the j-th row of V0, as printed beside it, and (U0ᵀ)_j that of U0",
                    ),
                ),
            ),
        ),
        note="(V0ᵀ)_j is explained as the j-th row of V0; in the notation of C.5 it would be (V0)_{j,∗}. (U0ᵀ)_j is"
        " not explained and is read alike. All c_j are kept, n k numbers, although the two loops could be one.",
    ),
    Statement(
        id="I.4",
        kind="lemma",
        title="Masked low-rank matrix times a matrix",
        locus="Appendix I.1, Lemma I.4 and its proof",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="an algorithm returns Z = (M ⊙ (U0V0ᵀ)) H, one column of H at a time",
                forms=(
                    form(
                        formulas.causal_mask_columns,
                        MaskedTrial(masked_times_matrix, "(M ⊙ (U0V0ᵀ)) H", names=("X", "G", "x", "y")),
                        FALSE_MATRIX,
                    ),
                ),
            ),
            Part(kind="cost", name="cost", claim="it takes O(n k k_H) time", forms=(cost.I_4_COST,)),
            Part(kind="asymptotic", name="time", claim="it takes n^{1+o(1)} time", forms=(cost.I_4_TIME,)),
        ),
        assumes=("U0, V0 ∈ R^{n×k}, k = n^{o(1)}", "H ∈ R^{n×k_H}, k_H = n^{o(1)}"),
        uses=("I.2", "I.3"),
    ),
    Statement(
        id="I.6",
        kind="lemma",
        title="Masked attention matrix times a matrix",
        locus="Appendix I.2, Lemma I.6",
        parts=(
            Part(
                kind="asymptotic",
                name="Part 1",
                claim="f̂(X) H is approximated in n^{1+o(1)} time",
                forms=(cost.I_6_PART_1,),
            ),
            Part(
                kind="identity",
                name="Part 1, product",
                claim="D⁻¹ times (M ⊙ (U0V0ᵀ)) H, found by Lemma I.4, is (D⁻¹(M ⊙ (U0V0ᵀ))) H",
                forms=(
                    form(
                        formulas.masked_attention_product,
                        PositiveTrial(
                            normalised_times_matrix,
                            "(D⁻¹(M ⊙ (U0V0ᵀ))) H",
                            names=("X", "G", "x", "y"),
                        ),
                        FALSE_PRODUCT,
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="Part 2",
                claim="(f̂(X) ⊙ (U Vᵀ)) H is approximated in n^{1+o(1)} time",
                forms=(cost.I_6_PART_2,),
            ),
            Part(
                kind="identity",
                name="Part 2, rewriting",
                claim="((D⁻¹(M ⊙ (U0V0ᵀ))) ⊙ (U Vᵀ)) H = (M ⊙ ((D⁻¹U0) ⊘ U)(V0 ⊘ V)ᵀ) H",
                forms=(
                    form(
                        formulas.masked_entrywise_product,
                        PositiveTrial(
                            masked_entrywise_times_matrix,
                            "((D⁻¹(M ⊙ (U0V0ᵀ))) ⊙ (U Vᵀ)) H",
                            names=("X", "G", "W_out", "x", "y"),
                        ),
                        FALSE_REWRITING,
                    ),
                ),
            ),
            Part(
                kind="cost",
                name="Part 2, factors",
                claim="D⁻¹U0 takes n k time; (D⁻¹U0) ⊘ U and V0 ⊘ V take O(n k²) time each",
                forms=(cost.I_6_FACTORS,),
            ),
        ),
        assumes=("U, V ∈ R^{n×k}, k = n^{o(1)}", "H ∈ R^{n×k_H}, k_H = n^{o(1)}"),
        uses=("I.1", "I.3", "I.4", "I.5", "C.2", "I.6/normalisation", "I.6/Part 2 step 1"),
        note="No bound on the approximation error is stated. U0 and U are both written with k columns, which makes the"
        " rank k² and the time O(n k²); with k0 columns of U0 it is k0 k. They are tried with different widths.",
    ),
    Statement(
        id="I.6/normalisation",
        kind="lemma",
        title="The masked row sums",
        locus="Appendix I.2, proof of Lemma I.6, before Part 1",
        parts=(
            Part(
                kind="construction",
                name="approximation",
                claim="f̂ is approximated by D⁻¹(M ⊙ (U0V0ᵀ)) with D = diag((M ⊙ (U0V0ᵀ)) · 1_n)",
                forms=(
                    form(
                        formulas.f_causal_factored,
                        PositiveTrial(normalised, "rows of M ⊙ (U0V0ᵀ) over their sums", names=("X", "G")),
                        {
                            "sums of whole rows": normalised_by_all,
                            "sums of columns": normalised_by_columns,
                            "no division": not_normalised,
                        },
                        reading="U0V0ᵀ > 0",
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="error",
                claim="this is an approximation",
                forms=(
                    form(
                        bounds.C_13_bound,
                        replace(ERROR_OF_F, scales=(paper_scale,), masks=(True,)),
                        FALSE_ERRORS_OF_F,
                        reading="‖D⁻¹(M ⊙ (U0V0ᵀ)) − f̂‖∞ ≤ tanh(¼ ln κ) for P > 0 in place of exp on all scores,"
                        " κ = max P(x)e⁻ˣ / min P(x)e⁻ˣ (no bound is printed)",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="(M ⊙ (U0V0ᵀ)) · 1_n takes almost linear time, diag and D⁻¹ take O(n) each",
                forms=(cost.I_6_SUMS,),
            ),
        ),
        uses=("I.1", "I.3", "I.5"),
        note="Both the diagonal of Definition I.5 and this one are written D. That U0V0ᵀ is a good approximation of A"
        " does not say that no row sum is 0 or negative: a polynomial that is positive on all scores is needed.",
    ),
    Statement(
        id="I.6/Part 2 step 1",
        kind="lemma",
        title="A diagonal matrix and an entrywise product",
        locus="Appendix I.2, proof of Lemma I.6, Part 2, 1st step",
        parts=(
            Part(
                kind="identity",
                name="first factor",
                claim="D(A ⊙ B) = (DA) ⊙ B for diagonal D ∈ R^{m×m} and A, B ∈ R^{m×n}",
                forms=(
                    form(
                        formulas.diagonal_first,
                        SCALED,
                        {"(DA) ⊙ (DB)": both_scaled, **wrong_sign_or_factor(formulas.diagonal_first)},
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="second factor",
                claim="(DA) ⊙ B = A ⊙ (DB)",
                forms=(
                    form(
                        formulas.diagonal_second,
                        SCALED,
                        {"(DA) ⊙ (DB)": both_scaled, **wrong_sign_or_factor(formulas.diagonal_second)},
                    ),
                ),
            ),
        ),
    ),
)
