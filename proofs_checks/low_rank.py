"""What the paper says of low-rank factors: row-wise Kronecker products, and factors of f, s, p1 and p2."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from proofs_checks.equation import EquationTrial, form
from proofs_checks.falsify import wrong_sign_or_factor
from proofs_checks.instances import CLASSES, Array, Instance
from proofs_checks.record import Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import low_rank as formulas


class Factors(Symbols):
    """Factors with different numbers of columns: U1, V1 (n, d) are X and G, U2, V2 (n, CLASSES) these times W_out."""

    @property
    def U1(self) -> Array:
        return self.X

    @property
    def V1(self) -> Array:
        return self.G

    @cached_property
    def U2(self) -> Array:
        return self._of_other_rank(self.X)

    @cached_property
    def V2(self) -> Array:
        return self._of_other_rank(self.G)

    def _of_other_rank(self, factor: Array) -> Array:
        return table(lambda i, k: total(factor[i, a] * self.W_out[a, k] for a in range(self.d)), self.n, CLASSES)


@dataclass(frozen=True)
class FactorTrial(EquationTrial):
    """As `EquationTrial`, on factors."""

    def symbols(self, instance: Instance) -> Factors:
        return Factors(instance)


def product_of_entries(symbols: Symbols) -> Array:
    """Σ_l (U1)_il (V1)_jl times Σ_l (U2)_il (V2)_jl."""

    def entry(i: int, j: int) -> Any:
        first = total(symbols.U1[i, a] * symbols.V1[j, a] for a in range(symbols.d))
        return first * total(symbols.U2[i, b] * symbols.V2[j, b] for b in range(CLASSES))

    return table(entry, symbols.n, symbols.n)


def columns_in_order(symbols: Symbols) -> Array:
    """Column l1 + (l2 − 1) k1, counted from 1, holds (U1)_{i,l1} (U2)_{i,l2}."""
    n, k1 = symbols.n, symbols.d
    columns = {l1 + (l2 - 1) * k1: (l1, l2) for l1 in range(1, k1 + 1) for l2 in range(1, CLASSES + 1)}

    def entry(i: int, column: int) -> Any:
        l1, l2 = columns[column + 1]
        return symbols.U1[i, l1 - 1] * symbols.U2[i, l2 - 1]

    return table(entry, n, k1 * CLASSES)


def kronecker_in_other_order(U1: Array, U2: Array) -> Array:
    """False: column l2 + (l1 − 1) k2, wrong where both have more than one column."""
    return formulas.row_kronecker(U2, U1)


def orders_mixed(U1: Array, V1: Array, U2: Array, V2: Array) -> Array:
    """False: the factors of the second product the other way round."""
    return formulas.row_kronecker(U1, U2) @ formulas.row_kronecker(V2, V1).T


def products_added(U1: Array, V1: Array, U2: Array, V2: Array) -> Array:
    """False: the sum of the two matrices."""
    return U1 @ V1.T + U2 @ V2.T


OPERANDS = ("X", "G", "W_out")

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="C.2",
        kind="fact",
        title="Entrywise product of two factored matrices",
        locus="Appendix C.1, Fact C.2",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="(U1 V1ᵀ) ⊙ (U2 V2ᵀ) = (U1 ⊘ U2)(V1 ⊘ V2)ᵀ for U1, V1 ∈ R^{n×k1} and U2, V2 ∈ R^{n×k2}",
                forms=(
                    form(
                        formulas.entrywise_product,
                        FactorTrial(product_of_entries, "(U1 V1ᵀ) ⊙ (U2 V2ᵀ)", names=OPERANDS),
                        {
                            "(V2 ⊘ V1)ᵀ": orders_mixed,
                            "U1 V1ᵀ + U2 V2ᵀ": products_added,
                            **wrong_sign_or_factor(formulas.entrywise_product),
                        },
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="row-wise product",
                claim="(U1 ⊘ U2)_{i, l1+(l2−1)k1} = (U1)_{i,l1} U_{i,l2}, U1 ⊘ U2 ∈ R^{n×k1k2}",
                clashes_with="its entries, column by column",
                forms=(
                    form(
                        formulas.row_kronecker,
                        FactorTrial(columns_in_order, "U1 ⊘ U2", names=OPERANDS),
                        {
                            "column l2 + (l1−1) k2": kronecker_in_other_order,
                            **wrong_sign_or_factor(formulas.row_kronecker),
                        },
                    ),
                ),
            ),
        ),
        note="The last factor is printed U_{i,l2}, without its index 2; it is read as (U2)_{i,l2}.",
    ),
    Statement(
        id="C.13",
        kind="lemma",
        title="Low-rank factors of f",
        locus="Appendix C.4, Lemma C.13",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U1, V1 ∈ R^{n×k1} with ‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), where f(X) = D⁻¹ exp(X W Xᵀ)"
                " and D = diag(exp(X W Xᵀ) 1_n)",
            ),
            Part(kind="asymptotic", name="rank", claim="k1 = n^{o(1)}"),
            Part(kind="asymptotic", name="time", claim="U1 and V1 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=("A = o(√log n)", "‖XW‖∞ ≤ R", "‖X‖∞ ≤ R"),
        uses=("C.7", "C.8"),
        note="The quantity A does not occur again; R carries no bound, d no hypothesis, ε no quantifier. Taken over"
        " from Section 3 of Alman and Song (2023) and Lemma D.1 of Alman and Song (2024); no proof here.",
        related=("I.1",),
    ),
    Statement(
        id="C.14",
        kind="lemma",
        title="Low-rank factors of s",
        locus="Appendix C.4, Lemma C.14 and its proof",
        parts=(
            Part(kind="inequality", name="bound", claim="‖U1V1ᵀ h(X) − s(X)‖∞ ≤ n‖U1V1ᵀ − f(X)‖∞‖h(X)‖∞"),
            Part(
                kind="asymptotic",
                name="poly",
                claim="there are U1, V1 ∈ R^{n×k1} with ‖U1V1ᵀ h(X) − s(X)‖∞ ≤ ε/poly(n)",
            ),
        ),
        assumes=("d = O(log n)", "entries of h(X) have O(log n) bits"),
        uses=("C.10", "C.13"),
    ),
    Statement(
        id="C.15",
        kind="lemma",
        title="Low-rank factors of p1",
        locus="Appendix C.4, Lemma C.15",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U3, V3 ∈ R^{n×k3} with ‖U3V3ᵀ − p1(X)‖∞ ≤ ε/poly(n), where p1(X) = f(X) ⊙ q(X)",
            ),
            Part(kind="asymptotic", name="time", claim="U3 and V3 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Nothing is printed of k3. Taken over from Lemma D.4 of Alman and Song (2024); no proof here.",
    ),
    Statement(
        id="C.16",
        kind="lemma",
        title="Low-rank factors of p2",
        locus="Appendix C.4, Lemma C.16",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U4, V4 ∈ R^{n×k4} with ‖U4V4ᵀ − p2(X)‖∞ ≤ ε/poly(n),"
                " where p2(X)_{j0} = f(X)_{j0} f(X)_{j0}ᵀ q(X)_{j0}",
            ),
            Part(kind="asymptotic", name="time", claim="U4 and V4 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "k4 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Taken over from Lemma D.5 of Alman and Song (2024); no proof here.",
    ),
)
