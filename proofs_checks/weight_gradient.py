"""What the paper says of the exact gradients with respect to the weights W = W_Q W_Kᵀ and W_V."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from flint import arb

from proofs_checks.equation import EquationTrial, derivative_forms, form
from proofs_checks.falsify import Altered, transposed, with_transposed, with_wrong_index, wrong_sign_or_factor
from proofs_checks.ground_truth import Lifted, Rows, flipped, product
from proofs_checks.input_gradient import MIXED_READING, as_in_C3
from proofs_checks.instances import odd_scale, paper_scale, unit_scale
from proofs_checks.record import Claim, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import softmax_attention as attn
from reference import weight_gradient as formulas
from reference.softmax_attention import Array

# --- the true sides of section F


def kronecker(symbols: Symbols) -> Array:
    """All products of an entry of A1 and an entry of A2, those with the same entry of A1 side by side."""
    n, d, A1, A2 = symbols.n, symbols.d, symbols.A1, symbols.A2
    return table(lambda row, i: A1[row // n, i // d] * A2[row % n, i % d], n**2, d**2)


def blocks(symbols: Symbols) -> Array:
    """Rows j0 n + 1 to j0 n + n of X ⊗ X, entry by entry."""
    n, d, X = symbols.n, symbols.d, symbols.X
    return table(lambda j0, k, i: X[j0, i // d] * X[k, i % d], n, n, d**2)


def dscores_dW(symbols: Symbols) -> Array:
    """Derivatives of X W Xᵀ on W: a row for each score, a column for each entry of W, both row by row."""

    def scores(lifted: Lifted) -> Rows:
        return product(product(lifted["X"], lifted["W"]), flipped(lifted["X"]))

    derivatives = symbols.jacobian(scores, {"X": symbols.X, "W": symbols.W}, "W")  # (n, n, d, d)
    n, d = symbols.n, symbols.d
    return table(lambda row, i: derivatives[row // n, row % n, i // d, i % d], n**2, d**2)


def ds_dw_by_rows(symbols: Symbols) -> Array:
    """The derivatives of s on W, where w is W read row by row. (n, d, d²)."""
    n, d, derivatives = symbols.n, symbols.d, symbols.ds_dW
    return table(lambda j0, i0, i: derivatives[j0, i0, i // d, i % d], n, d, d**2)


def first_term(symbols: Symbols) -> Array:
    """⟨A_{j0,i} ⊙ f_{j0}, h_{i0}⟩. (n, d, d²)."""
    n, d, A, f, h = symbols.n, symbols.d, symbols.A, symbols.f, symbols.h
    return table(
        lambda j0, i0, i: total(A[j0 * n + k, i] * f[j0, k] * h[k, i0] for k in range(n)),
        n,
        d,
        d**2,
    )


def second_term(symbols: Symbols) -> Array:
    """⟨f_{j0}, h_{i0}⟩ · ⟨f_{j0}, A_{j0,i}⟩. (n, d, d²)."""
    n, d, A, f, h = symbols.n, symbols.d, symbols.A, symbols.f, symbols.h

    def entry(j0: int, i0: int, i: int) -> Any:
        with_h = total(f[j0, k] * h[k, i0] for k in range(n))
        return with_h * total(f[j0, k] * A[j0 * n + k, i] for k in range(n))

    return table(entry, n, d, d**2)


def dL_dw_by_rows(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on W, read row by row. (d²,)."""
    d, gradient = symbols.d, symbols.dL_dW
    return table(lambda i: gradient[i // d, i % d], d**2)


def q(symbols: Symbols) -> Array:
    """G hᵀ, entry by entry."""
    return symbols.q


def equation_14(symbols: Symbols) -> Array:
    """Σ G(j0,i0) A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}, as sums of numbers. (d²,)."""
    n, d, A, f, h, G = symbols.n, symbols.d, symbols.A, symbols.f, symbols.h, symbols.G

    def entry(i: int) -> Any:
        return total(
            G[j0, i0] * A[j0 * n + k, i] * f[j0, k] * (h[k, i0] - total(f[j0, m] * h[m, i0] for m in range(n)))
            for j0, i0, k in np.ndindex(n, d, n)
        )

    return table(entry, d**2)


def second_line(symbols: Symbols) -> Array:
    """Σ A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) q_{j0}, as sums of numbers. (d²,)."""
    n, d, A, f, q = symbols.n, symbols.d, symbols.A, symbols.f, symbols.q

    def entry(i: int) -> Any:
        return total(
            A[j0 * n + k, i] * f[j0, k] * (q[j0, k] - total(f[j0, m] * q[j0, m] for m in range(n)))
            for j0, k in np.ndindex(n, n)
        )

    return table(entry, d**2)


def third_line_by_rows(symbols: Symbols) -> Array:
    """Σ A_{j0}ᵀ p_{j0}, the vector taken for the rows of a matrix. (d, d)."""
    n, d, A, p = symbols.n, symbols.d, symbols.A, symbols.p
    pairs = list(np.ndindex(n, n))
    return table(lambda a, b: total(A[j0 * n + k, a * d + b] * p[j0, k] for j0, k in pairs), d, d)


def dL_dW(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on W."""
    return symbols.dL_dW


# --- the true sides of section G


def h(symbols: Symbols) -> Array:
    """X W_V, entry by entry."""
    return symbols.h


def dh_dW_V(symbols: Symbols) -> Array:
    """The derivatives of X W_V on W_V. (n, d, d, d)."""

    def values(lifted: Lifted) -> Rows:
        return product(lifted["X"], lifted["W_V"])

    return symbols.jacobian(values, {"X": symbols.X, "W_V": symbols.W_V}, "W_V")


def s(symbols: Symbols) -> Array:
    """f h, entry by entry."""
    return symbols.s


def ds_dh(symbols: Symbols) -> Array:
    """The derivatives of f h on h where f is held, for entries in the same column: i2, j2, i3. (n, d, n)."""

    def output(lifted: Lifted) -> Rows:
        return product(lifted["f"], lifted["h"])

    derivatives = symbols.jacobian(output, {"f": symbols.f, "h": symbols.h}, "h")  # (n, d, n, d)
    return table(lambda i2, j2, i3: derivatives[i2, j2, i3, j2], symbols.n, symbols.d, symbols.n)


def ds_dW_V(symbols: Symbols) -> Array:
    """The derivatives of s on W_V. (n, d, d, d)."""
    return symbols.ds_dW_V


def ds_dW_V_columns(symbols: Symbols) -> Array:
    """The derivatives of s on W_V, for entries in the same column: i2, j2, i1. (n, d, d)."""
    derivatives = symbols.ds_dW_V
    return table(lambda i2, j2, i1: derivatives[i2, j2, i1, j2], symbols.n, symbols.d, symbols.d)


def dL_dW_of_C3(symbols: Symbols) -> Array:
    """The gradient of ⟨G, Attn(X)⟩ on W with Attn as C.3 prints it, whatever the scores in s are."""
    return as_in_C3(symbols).dL_dW


def dL_dW_V(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on W_V."""
    return symbols.dL_dW_V


def sum_to_n(symbols: Symbols) -> Array:
    """Σ_{i2} Xᵀ f_{i2,*} G(i2,*)ᵀ, as sums of numbers."""
    n, d, X, f, G = symbols.n, symbols.d, symbols.X, symbols.f, symbols.G
    pairs = list(np.ndindex(n, n))
    return table(lambda a, c: total(X[k, a] * f[i2, k] * G[i2, c] for i2, k in pairs), d, d)


def off_diagonal(symbols: Symbols) -> Array:
    """ds_{i2,j2}/d(W_V)_{i1,j1} where j1 ≠ j2; zero where they are equal, which is another case."""
    n, d = symbols.n, symbols.d
    return table(lambda i2, j2, i1, j1: symbols.ds_dW_V[i2, j2, i1, j1] if j1 != j2 else arb(0), n, d, d, d)


def on_diagonal(symbols: Symbols) -> Array:
    """ds_{i2,j2}/d(W_V)_{i1,j2}, for each j1 ≠ j2; zero for j1 = j2, which is another case."""
    n, d = symbols.n, symbols.d
    return table(lambda i2, j2, i1, j1: symbols.ds_dW_V[i2, j2, i1, j2] if j1 != j2 else arb(0), n, d, d, d)


# --- false variants


def factors_exchanged(A1: Array, A2: Array) -> Array:
    """False: A2 ⊗ A1."""
    return formulas.kronecker(A2, A1)


def every_nth_row(A: Array, j0: int) -> Array:
    """False: the rows of all keys against one query."""
    n = int(len(A) ** 0.5)
    return A[j0::n]


def A_by_columns(X: Array) -> Array:
    """False: the columns in the order of Wᵀ."""
    d = X.shape[1]
    return formulas.A(X).reshape(-1, d, d).swapaxes(1, 2).reshape(-1, d**2)


def terms_added(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int, i: int) -> Any:
    """False: a plus between the two terms."""
    first, second = formulas.hadamard_product(A, f, h, j0, i0, i), formulas.inner_products(A, f, h, j0, i0, i)
    return scale * (first + second)


def first_term_alone(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int, i: int) -> Any:
    """False: the sums of f taken for constants, so that the second term is lost."""
    return scale * formulas.hadamard_product(A, f, h, j0, i0, i)


def sum_alone(A: Array, f: Array, h: Array, scale: Any, j0: int, i0: int) -> Array:
    """False: without diag(f)."""
    return -scale * (formulas.block(A, j0).T @ f[j0]) * (f[j0] @ h[:, i0])


def without_G(h: Array, j0: int) -> Array:
    """False: the columns of h with equal weights."""
    return h.sum(axis=1)


def q_by_columns(A: Array, f: Array, q: Array) -> Array:
    """False: the columns of q for its rows."""
    return formulas.sum_with_q(A, f, q.T)


def diagonal_alone(A: Array, f: Array, q: Array) -> Array:
    """False: without f fᵀ."""
    return A.T @ (f * q).ravel()


def in_every_column(X: Array, i0: int, i1: int) -> Any:
    """False: without the case j0 ≠ j1."""
    return X[i0, i1]


def in_every_column_of_s(X: Array, f: Array, i2: int, i1: int) -> Any:
    """False: without the case j2 ≠ j1."""
    return f[i2] @ X[:, i1]


def moved_by_every_column(X: Array, f: Array, i2: int, i1: int, j1: int, j2: int) -> Any:
    """False: as if every column of W_V moved every column of s, and twice as much."""
    return 2 * (f[i2] @ X[:, i1]) if j1 != j2 else 0


def row_of_X(X: Array, i2: int, i1: int, j1: int, j2: int) -> Any:
    """False: a position that sees itself alone, with the opposite sign."""
    return -X[i2, i1] if j1 != j2 else 0


def sum_from_2(X: Array, f: Array, i2: int, i1: int) -> Any:
    """False: without the first term."""
    return formulas.chain_rule_sum(X, f, i2, i1) - f[i2, 0] * X[0, i1]


def rows_of_XG(X: Array, f: Array, G: Array) -> Array:
    """False: f left out."""
    return X.T @ G


def W_transposed(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: Xᵀ pᵀ X."""
    return formulas.gradient_W(X, W, W_V, G, scale=scale, causal=causal).T


def W_sign(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p1 + p2."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    q = attn.q(G, attn.h(X, W_V))  # (n, n)
    return scale * (X.T @ (attn.p1(f, q) + attn.p2(f, q)) @ X)


def W_factor(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: twice the gradient."""
    return 2 * formulas.gradient_W(X, W, W_V, G, scale=scale, causal=causal)


def W_axis(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p2 with column sums of p1."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p1 = attn.p1(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (X.T @ (p1 - p1.sum(axis=0)[:, None] * f) @ X)


def W_V_sign(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: minus the gradient."""
    return -formulas.gradient_W_V(X, W, G, scale=scale, causal=causal)


def W_V_factor(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: the gradient times 1 + τ."""
    return (scale + 1) * formulas.gradient_W_V(X, W, G, scale=scale, causal=causal)


def W_V_axis(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: columns of u divided by their sums."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal).T).T  # (n, n)
    return X.T @ f.T @ G


FALSE_W = {"p transposed": W_transposed, "p1 + p2": W_sign, "twice": W_factor, "column sums in p2": W_axis}
FALSE_W_V = {"minus": W_V_sign, "a factor 1 + τ": W_V_factor, "columns normalised": W_V_axis}
FALSE_DW_I = {
    "a plus between the terms": terms_added,
    "the first term alone": first_term_alone,
    **with_transposed(formulas.ds_dw, "f"),
    **with_wrong_index(formulas.ds_dw, "j0"),
}

FALSE_TRICK: dict[str, Claim] = {
    "Xᵀ pᵀ X": Altered(formulas.tensor_trick, transposed),
    **wrong_sign_or_factor(formulas.tensor_trick),
}
FALSE_SUM = {"from the second term on": sum_from_2, **with_transposed(formulas.chain_rule_sum, "f")}
FALSE_STEP = {"f left out": rows_of_XG, **wrong_sign_or_factor(formulas.sum_as_product)}

# --- forms

ANY_SCALE = (unit_scale, paper_scale)
MISSING_FACTOR = (
    "It follows from C.6: right for the scores that C.6 prints, d times too large for those of 1.2, C.3 and I.5. F.4,"
    " and what uses it, rest on it."
)


GRADIENT_W = EquationTrial(dL_dW, "dL/dW")
DS_DW_I = EquationTrial(
    ds_dw_by_rows,
    "ds/dw",
    over={"j0": "n", "i0": "d", "i": "d²"},
    names=("X", "W", "W_V"),
    max_n=4,
)
DS_DW = replace(DS_DW_I, over={"j0": "n", "i0": "d"})
DL_DW_SUM = EquationTrial(dL_dw_by_rows, "dL/dw", max_n=4)
TERMS = replace(DS_DW_I, scales=ANY_SCALE)
TENSOR_TRICK = EquationTrial(third_line_by_rows, "Σ A_{j0}ᵀ p_{j0} as a matrix", scales=ANY_SCALE, max_n=4)
DS_DW_V = EquationTrial(
    ds_dW_V_columns,
    "ds/dW_V",
    over={"i2": "n", "j2": "d", "i1": "d"},
    names=("X", "W"),
    scales=ANY_SCALE,
    max_n=4,
)
ON_DIAGONAL = EquationTrial(
    on_diagonal,
    "ds/dW_V",
    over={"i2": "n", "j2": "d", "i1": "d", "j1": "d"},
    names=("X", "W"),
    scales=ANY_SCALE,
    max_n=4,
)
FALSE_ZERO: Mapping[str, Claim] = {"f_{i2,*}ᵀ X_{*,i1}": moved_by_every_column, "X_{i2,i1}": row_of_X}
DL_DW_V_STEP = EquationTrial(sum_to_n, "Σ Xᵀ f_{i2,*} G(i2,*)ᵀ", names=("X", "W", "G"), scales=ANY_SCALE)

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="F.1",
        kind="definition",
        title="The Kronecker product and its blocks",
        locus="Appendix F.1, Definition F.1",
        parts=(
            Part(
                kind="definition",
                name="product",
                claim="A = A1 ⊗ A2 ∈ R^{n²×d²} for A1, A2 ∈ R^{n×d}",
                clashes_with="the products of an entry of A1 and an entry of A2, one for each entry of A",
                forms=(
                    form(
                        formulas.kronecker,
                        EquationTrial(kronecker, "A1 ⊗ A2", names=("X", "G"), max_n=4),
                        {"A2 ⊗ A1": factors_exchanged, **wrong_sign_or_factor(formulas.kronecker)},
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="blocks",
                claim="A_{j0} ∈ R^{n×d²} is one of the n sub-blocks of A of that size",
                clashes_with="row j0 of A1 against all rows of A2",
                forms=(
                    form(
                        formulas.block,
                        EquationTrial(blocks, "A_{j0}", over={"j0": "n"}, names=("X",), max_n=4),
                        {"every n-th row": every_nth_row, **with_wrong_index(formulas.block, "j0")},
                    ),
                ),
            ),
        ),
        note="Which sub-block has which number is not printed; the blocks are read as consecutive rows, and ⊗ with the"
        " entries of its first factor as the outer ones.",
    ),
    Statement(
        id="F.2",
        kind="remark",
        title="Both factors are X",
        locus="Appendix F.1, Remark F.2",
        parts=(
            Part(
                kind="definition",
                claim="A1 = A2 = X in self-attention, hence A = X ⊗ X",
                clashes_with="the derivatives of X W Xᵀ on W",
                forms=(
                    form(
                        formulas.A,
                        EquationTrial(dscores_dW, "the derivatives of X W Xᵀ on W", names=("X",), max_n=4),
                        {"the order of Wᵀ": A_by_columns, **wrong_sign_or_factor(formulas.A)},
                    ),
                ),
            ),
        ),
        uses=("F.1",),
        note="Compared with the derivatives of the scores, scores and W both read row by row.",
    ),
    Statement(
        id="F.3",
        kind="lemma",
        title="Gradient of one entry of s with respect to W",
        locus="Appendix F.2, Lemma F.3",
        parts=(
            Part(
                kind="identity",
                claim="ds_{j0,i0}/dw_i = ⟨A_{j0,i} ⊙ f_{j0}, h_{i0}⟩ − ⟨f_{j0}, h_{i0}⟩ · ⟨A_{j0,i}, f_{j0}⟩",
                fault="misprint",
                consequence=MISSING_FACTOR,
                forms=derivative_forms(
                    DS_DW_I,
                    printed=formulas.ds_dw_printed,
                    repaired=formulas.ds_dw,
                    change="a factor τ",
                    false=FALSE_DW_I,
                ),
            ),
        ),
        uses=("C.3", "C.8", "C.9", "C.10", "F.1", "F.2"),
        note="w ∈ R^{d²} is the vector form of W, i ∈ [d²]; its order is not given, and is read as row by row, which"
        " fits blocks of consecutive rows (column by column fits blocks of every n-th row). A_{j0,i} is the i-th"
        " column of A_{j0} and h_{i0} a column of h. Taken over from Lemma B.1 of Alman and Song (2024); no proof"
        " here.",
    ),
    Statement(
        id="F.4",
        kind="lemma",
        title="Gradient of the loss with respect to W",
        locus="Appendix F.3, Lemma F.4",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_i = Xᵀ · p(X) · X",
                fault="misprint",
                consequence="It follows from C.6. If f too has the scores of 1.2, C.3 and I.5, this gradient, and"
                " with it what F.5, 5.2 and Algorithm 1 approximate (g_w), is d times too large; with those of C.6 it"
                " is right.",
                forms=(
                    *derivative_forms(
                        GRADIENT_W,
                        printed=formulas.gradient_W_printed,
                        repaired=formulas.gradient_W,
                        change="τ Xᵀ p X",
                        false=FALSE_W,
                    ),
                    form(
                        formulas.gradient_W_printed,
                        replace(GRADIENT_W, truth=dL_dW_of_C3),
                        FALSE_W,
                        reading=MIXED_READING,
                    ),
                ),
            ),
        ),
        related=("own/readings",),
        uses=(
            "3.1",
            "C.4",
            "C.11",
            "C.12",
            "D.2/step 2",
            "F.3",
            "F.4/equation 12",
            "F.4/equation 14",
            "F.4/equation 15",
            "F.4/step 2",
            "F.4/step 3",
            "F.4/step 4",
        ),
        note="The proof prints s(X) = Attn_i(T_{i−1}(X)), by Definition C.10.",
    ),
    Statement(
        id="F.4/first term",
        kind="lemma",
        title="The first term of F.3 as a product of matrices",
        locus="Appendix F.3, proof of Lemma F.4, first equation below Eq. (11)",
        parts=(
            Part(
                kind="identity",
                claim="⟨A_{j0,i} ⊙ f_{j0}, h_{i0}⟩ = A_{j0,i}ᵀ diag(f_{j0}) h_{i0}",
                forms=(
                    form(
                        formulas.hadamard_product,
                        replace(TERMS, truth=first_term, left="⟨A_{j0,i} ⊙ f_{j0}, h_{i0}⟩"),
                        {
                            "f fᵀ for diag(f)": formulas.inner_products,
                            **wrong_sign_or_factor(formulas.hadamard_product),
                            **with_transposed(formulas.hadamard_product, "f"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.1",),
    ),
    Statement(
        id="F.4/second term",
        kind="lemma",
        title="The second term of F.3 as a product of matrices",
        locus="Appendix F.3, proof of Lemma F.4, second equation below Eq. (11)",
        parts=(
            Part(
                kind="identity",
                claim="⟨f_{j0}, h_{i0}⟩ · ⟨f_{j0}, A_{j0,i}⟩ = A_{j0,i}ᵀ f_{j0} f_{j0}ᵀ h_{i0}",
                forms=(
                    form(
                        formulas.inner_products,
                        replace(TERMS, truth=second_term, left="⟨f_{j0}, h_{i0}⟩ · ⟨f_{j0}, A_{j0,i}⟩"),
                        {
                            "diag(f) for f fᵀ": formulas.hadamard_product,
                            **wrong_sign_or_factor(formulas.inner_products),
                            **with_transposed(formulas.inner_products, "f"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.1",),
        note="The reason given is Fact C.1; what it takes is ⟨x, y⟩ = xᵀ y, twice.",
    ),
    Statement(
        id="F.4/difference",
        kind="lemma",
        title="Gradient of one entry of s with respect to one entry of W, as a matrix product",
        locus="Appendix F.3, proof of Lemma F.4, equation above Eq. (12)",
        parts=(
            Part(
                kind="identity",
                claim="ds_{j0,i0}/dw_i = A_{j0,i}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}",
                fault="misprint",
                consequence=MISSING_FACTOR,
                forms=derivative_forms(
                    DS_DW_I,
                    printed=formulas.ds_dw_product_printed,
                    repaired=formulas.ds_dw_product,
                    change="a factor τ",
                    false=FALSE_DW_I,
                ),
            ),
        ),
        uses=("F.3", "F.4/first term", "F.4/second term"),
    ),
    Statement(
        id="F.4/equation 12",
        kind="lemma",
        title="Gradient of one entry of s with respect to W, as a matrix product",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (12)",
        parts=(
            Part(
                kind="identity",
                claim="ds_{j0,i0}/dW = A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}",
                fault="misprint",
                consequence=MISSING_FACTOR,
                forms=derivative_forms(
                    DS_DW,
                    printed=formulas.ds_dW_printed,
                    repaired=formulas.ds_dW,
                    change="a factor τ",
                    false={
                        "without diag(f)": sum_alone,
                        **wrong_sign_or_factor(formulas.ds_dW),
                        **with_transposed(formulas.ds_dW, "f"),
                        **with_wrong_index(formulas.ds_dW, "j0"),
                    },
                ),
            ),
        ),
        uses=("F.4/difference",),
        note="Written with dW on the left; the product is in R^{d²}, so dW is read as dw.",
    ),
    Statement(
        id="F.4/equation 14",
        kind="lemma",
        title="Gradient of the loss with respect to W, as a sum of vectors",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (14)",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_i = Σ_{j0=1}^{n} Σ_{i0=1}^{d} G_i(j0,i0)"
                " · A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}",
                fault="misprint",
                consequence=MISSING_FACTOR,
                forms=derivative_forms(
                    DL_DW_SUM,
                    printed=formulas.dL_dW_sum_printed,
                    repaired=formulas.dL_dW_sum,
                    change="a factor τ",
                    false={
                        **wrong_sign_or_factor(formulas.dL_dW_sum),
                        **with_transposed(formulas.dL_dW_sum, "f"),
                    },
                ),
            ),
        ),
        uses=("C.4", "D.2/step 2", "F.4/equation 12"),
        note="The sum is in R^{d²}, so dW_i is read as dw_i; i ∈ [m] is now the layer.",
    ),
    Statement(
        id="F.4/equation 15",
        kind="lemma",
        title="The rows of q as sums over the columns of h",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (15)",
        parts=(
            Part(
                kind="identity",
                claim="q_{j0} = Σ_{i0=1}^{d} G_i(j0,i0) · h_{i0}, recalled from Definition C.11",
                forms=(
                    form(
                        formulas.q_row,
                        EquationTrial(q, "q", over={"j0": "n"}, names=("X", "W_V", "G")),
                        {
                            "without G": without_G,
                            **wrong_sign_or_factor(formulas.q_row),
                            **with_wrong_index(formulas.q_row, "j0"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.11",),
    ),
    Statement(
        id="F.4/step 2",
        kind="lemma",
        title="The sum over the columns of h gives q",
        locus="Appendix F.3, proof of Lemma F.4, last chain, 2nd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{j0=1}^{n} Σ_{i0=1}^{d} G_i(j0,i0) · A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}"
                " = Σ_{j0=1}^{n} A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) q_{j0}",
                forms=(
                    form(
                        formulas.sum_with_q,
                        EquationTrial(equation_14, "the right side of Eq. (14)", scales=ANY_SCALE, max_n=4),
                        {
                            "columns of q": q_by_columns,
                            "without f fᵀ": diagonal_alone,
                            **wrong_sign_or_factor(formulas.sum_with_q),
                            **with_transposed(formulas.sum_with_q, "f"),
                        },
                    ),
                ),
            ),
        ),
        uses=("F.4/equation 15",),
    ),
    Statement(
        id="F.4/step 3",
        kind="lemma",
        title="What stands beside A is p",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (16) and last chain, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{j0=1}^{n} A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) q_{j0} = Σ_{j0=1}^{n} A_{j0}ᵀ p_{j0}",
                forms=(
                    form(
                        formulas.sum_with_p,
                        EquationTrial(second_line, "the second line", scales=ANY_SCALE, max_n=4),
                        {
                            **wrong_sign_or_factor(formulas.sum_with_p),
                            **with_transposed(formulas.sum_with_p, "f", "q"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.12",),
        note="Eq. (16) is Definition C.12, with x for X.",
    ),
    Statement(
        id="F.4/step 4",
        kind="lemma",
        title="The sum over blocks as a matrix product",
        locus="Appendix F.3, proof of Lemma F.4, last chain, 4th step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{j0=1}^{n} A_{j0}ᵀ p_{j0} = Xᵀ p(X) X",
                forms=(form(formulas.tensor_trick, TENSOR_TRICK, FALSE_TRICK),),
            ),
        ),
        uses=("C.12", "F.1", "F.2"),
        note="The sum is in R^{d²}, the product in R^{d×d}: the vector holds the rows of the matrix, one after the"
        " other. The reason given is tensor tricks.",
    ),
    Statement(
        id="G.1",
        kind="lemma",
        title="Gradient of one entry of h with respect to W_V",
        locus="Appendix G.1, Lemma G.1",
        parts=(
            Part(
                kind="identity",
                claim="dh_{i0,j0}/d(W_V)_{i1,j1} = X_{i0,i1} if j0 = j1, and 0 if j0 ≠ j1",
                forms=(
                    form(
                        formulas.dh_dW_V,
                        EquationTrial(
                            dh_dW_V,
                            "dh/dW_V",
                            over={"i0": "n", "j0": "d", "i1": "d", "j1": "d"},
                            names=("X",),
                            max_n=4,
                        ),
                        {
                            "X_{i0,i1} in every case": in_every_column,
                            **wrong_sign_or_factor(formulas.dh_dW_V),
                            **with_wrong_index(formulas.dh_dW_V, "i0", "i1"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.3", "C.9", "G.1/step 1"),
    ),
    Statement(
        id="G.1/step 1",
        kind="lemma",
        title="One entry of h",
        locus="Appendix G.1, proof of Lemma G.1, first equation",
        parts=(
            Part(
                kind="identity",
                claim="h_{i0,j0} = X_{i0,*}ᵀ (W_V)_{*,j0}",
                forms=(
                    form(
                        formulas.h_entry,
                        EquationTrial(h, "h", over={"i0": "n", "j0": "d"}, names=("X", "W_V")),
                        {
                            **wrong_sign_or_factor(formulas.h_entry),
                            **with_transposed(formulas.h_entry, "W_V"),
                            **with_wrong_index(formulas.h_entry, "j0"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.5", "C.9"),
    ),
    Statement(
        id="G.2",
        kind="lemma",
        title="Gradient of one entry of s with respect to W_V",
        locus="Appendix G.1, Lemma G.2",
        parts=(
            Part(
                kind="identity",
                name="entries",
                claim="ds_{i2,j2}/d(W_V)_{i1,j1} = f_{i2,*}ᵀ X_{*,i1} if j2 = j1, and 0 if j2 ≠ j1",
                forms=(
                    form(
                        formulas.ds_dW_V_entry,
                        replace(DS_DW_V, truth=ds_dW_V, over={"i2": "n", "j2": "d", "i1": "d", "j1": "d"}),
                        {
                            "f_{i2,*}ᵀ X_{*,i1} in every case": in_every_column_of_s,
                            **with_transposed(formulas.ds_dW_V_entry, "f"),
                            **with_wrong_index(formulas.ds_dW_V_entry, "i1"),
                        },
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="matrix",
                claim="ds_{i2,j2}/dW_V = Xᵀ f_{i2,*} e_{j2}ᵀ",
                forms=(
                    form(
                        formulas.ds_dW_V,
                        replace(DS_DW_V, truth=ds_dW_V, over={"i2": "n", "j2": "d"}),
                        {
                            "transposed": Altered(formulas.ds_dW_V, transposed),
                            **with_transposed(formulas.ds_dW_V, "f"),
                            **with_wrong_index(formulas.ds_dW_V, "j2"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.3", "C.10", "G.1", "G.2/equation 20", "G.2/equation 21", "G.2/column"),
        related=("G.2/zero case", "G.2/step 3"),
    ),
    Statement(
        id="G.2/equation 20",
        kind="lemma",
        title="One entry of s",
        locus="Appendix G.1, proof of Lemma G.2, Eq. (20)",
        parts=(
            Part(
                kind="identity",
                claim="s_{i2,j2} = f_{i2,*}ᵀ h_{*,j2}",
                forms=(
                    form(
                        formulas.s_entry,
                        EquationTrial(
                            s,
                            "s",
                            over={"i2": "n", "j2": "d"},
                            names=("X", "W", "W_V"),
                            scales=ANY_SCALE,
                        ),
                        {
                            **wrong_sign_or_factor(formulas.s_entry),
                            **with_transposed(formulas.s_entry, "f"),
                            **with_wrong_index(formulas.s_entry, "i2", "j2"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.5", "C.10"),
    ),
    Statement(
        id="G.2/zero case",
        kind="lemma",
        title="No column of W_V but one moves an entry of s",
        locus="Appendix G.1, proof of Lemma G.2, Part 1, the case j1 ≠ j2",
        parts=(
            Part(
                kind="identity",
                claim="for j1 ≠ j2: ds_{i2,j2}/d(W_V)_{i1,j2} = 0",
                fault="misprint",
                consequence="Nothing rests on it: the lemma's own Part 1 has j1 in the index, and the next lines of"
                " the proof find that the derivative on (W_V)_{i1,j2} is not zero.",
                forms=(
                    form(formulas.zero_case_printed, ON_DIAGONAL, FALSE_ZERO),
                    form(
                        formulas.zero_case,
                        replace(ON_DIAGONAL, truth=off_diagonal, scales=(*ANY_SCALE, odd_scale), masks=(False, True)),
                        FALSE_ZERO,
                        role="repaired",
                        reading="d(W_V)_{i1,j1}, as Lemma G.2 has it",
                    ),
                ),
            ),
        ),
        uses=("G.2/equation 20",),
        note="In the text of the PDF the derivative has the index j2. d = 1 has no such case.",
    ),
    Statement(
        id="G.2/equation 21",
        kind="lemma",
        title="Gradient of one entry of s with respect to h",
        locus="Appendix G.1, proof of Lemma G.2, Eq. (21)",
        parts=(
            Part(
                kind="identity",
                claim="ds_{i2,j2}/dh_{i3,j2} = f_{i2,i3}",
                forms=(
                    form(
                        formulas.ds_dh,
                        EquationTrial(
                            ds_dh,
                            "ds/dh",
                            over={"i2": "n", "j2": "d", "i3": "n"},
                            names=("X", "W"),
                            scales=ANY_SCALE,
                            max_n=4,
                        ),
                        {
                            **wrong_sign_or_factor(formulas.ds_dh),
                            **with_transposed(formulas.ds_dh, "f"),
                            **with_wrong_index(formulas.ds_dh, "i3"),
                        },
                    ),
                ),
            ),
        ),
        uses=("G.2/equation 20",),
        note="s is read as a function of h alone: h depends on X, and so does f.",
    ),
    Statement(
        id="G.2/step 3",
        kind="lemma",
        title="The sum over i3 in the gradient with respect to W_V",
        locus="Appendix G.1, proof of Lemma G.2, Part 1, Eq. (22), 3rd line",
        parts=(
            Part(
                kind="identity",
                claim="ds_{i2,j2}/d(W_V)_{i1,j2} = Σ_{i3=1}^{d} f_{i2,i3} X_{i3,i1} = f_{i2,*}ᵀ X_{*,i1}",
                fault="misprint",
                consequence="Nothing rests on it but the three lines that print the limit: a row of f and a column of"
                " X have n entries, and what the chain ends in, f_{i2,*}ᵀ X_{*,i1}, has all of them.",
                forms=(
                    form(formulas.chain_rule_sum_printed, DS_DW_V, FALSE_SUM),
                    form(
                        formulas.chain_rule_sum,
                        replace(DS_DW_V, scales=(*ANY_SCALE, odd_scale), masks=(False, True)),
                        {**FALSE_SUM, "as printed": formulas.chain_rule_sum_printed},
                        role="repaired",
                        reading="Σ_{i3=1}^{n}",
                    ),
                ),
            ),
        ),
        uses=("G.1", "G.2/equation 21"),
        note="The sum runs from 1 to d in all three lines of the chain; the last equality is its 4th step. For n < d"
        " f_{i2,i3} is not defined for i3 > n: the terms that exist are taken, and"
        " with them the printed sum is right.",
    ),
    Statement(
        id="G.2/column",
        kind="lemma",
        title="Gradient of one entry of s with respect to a column of W_V",
        locus="Appendix G.1, proof of Lemma G.2, Part 2, first equation",
        parts=(
            Part(
                kind="identity",
                claim="ds_{i2,j2}/d(W_V)_{*,j2} = Xᵀ f_{i2,*}",
                forms=(
                    form(
                        formulas.ds_dW_V_column,
                        replace(DS_DW_V, over={"i2": "n", "j2": "d"}),
                        {
                            **wrong_sign_or_factor(formulas.ds_dW_V_column),
                            **with_transposed(formulas.ds_dW_V_column, "f"),
                            **with_wrong_index(formulas.ds_dW_V_column, "i2"),
                        },
                    ),
                ),
            ),
        ),
        uses=("G.1", "G.2/equation 21"),
    ),
    Statement(
        id="G.3",
        kind="lemma",
        title="Gradient of the loss with respect to W_V",
        locus="Appendix G.2, Lemma G.3",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_{V_i} = Xᵀ f(X) G_i",
                fault="error",
                consequence="What G.4, 5.3, Algorithm 1 and I.7 approximate (g_v) is not the gradient on W_V: from"
                " n = 2 on, each value is weighted by its row of f where it acts through its column.",
                forms=derivative_forms(
                    EquationTrial(dL_dW_V, "dL/dW_V", names=("X", "W", "G")),
                    printed=formulas.gradient_W_V_printed,
                    repaired=formulas.gradient_W_V,
                    change="Xᵀ fᵀ G",
                    false=FALSE_W_V,
                ),
            ),
        ),
        related=("own/readings",),
        uses=(
            "3.1",
            "C.3",
            "C.4",
            "C.10",
            "D.2/step 2",
            "G.2",
            "G.3/step 1",
            "G.3/step 2",
            "G.3/step 3",
            "G.3/step 4",
        ),
        note="The proof prints s(X) = Attn_i(T_{i−1}(X)), by Definitions C.10 and C.3.",
    ),
    Statement(
        id="G.3/step 1",
        kind="lemma",
        title="Gradient of the loss with respect to W_V, as a sum",
        locus="Appendix G.2, proof of Lemma G.3, last chain, 1st step",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_{V_i} = Σ_{i2=1}^{n} Σ_{j2=1}^{d} G_i(i2,j2) · Xᵀ f_{i2,*} e_{j2}ᵀ",
                forms=(
                    form(
                        formulas.dL_dW_V_sum,
                        EquationTrial(dL_dW_V, "dL/dW_V", names=("X", "W", "G"), scales=ANY_SCALE),
                        FALSE_STEP | with_transposed(formulas.dL_dW_V_sum, "f"),
                    ),
                ),
            ),
        ),
        uses=("C.4", "D.2/step 2", "G.2"),
        note="Combines Eq. (23), which is Part 2 of Lemma G.2, and Eq. (24), which is Part 3 of Lemma C.4.",
    ),
    Statement(
        id="G.3/step 2",
        kind="lemma",
        title="The sum over j2 drawn inside",
        locus="Appendix G.2, proof of Lemma G.3, last chain, 2nd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i2=1}^{n} Σ_{j2=1}^{d} G_i(i2,j2) · Xᵀ f_{i2,*} e_{j2}ᵀ"
                " = Σ_{i2=1}^{n} Xᵀ f_{i2,*} Σ_{j2=1}^{d} G_i(i2,j2) e_{j2}ᵀ",
                forms=(
                    form(
                        formulas.sum_of_rows,
                        DL_DW_V_STEP,
                        FALSE_STEP | with_transposed(formulas.sum_of_rows, "f"),
                    ),
                ),
            ),
        ),
    ),
    Statement(
        id="G.3/step 3",
        kind="lemma",
        title="The sum over j2 is a row of G",
        locus="Appendix G.2, proof of Lemma G.3, last chain, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i2=1}^{n} Xᵀ f_{i2,*} Σ_{j2=1}^{d} G_i(i2,j2) e_{j2}ᵀ = Σ_{i2=1}^{n} Xᵀ f_{i2,*} G_i(i2,*)ᵀ",
                forms=(
                    form(
                        formulas.sum_of_products,
                        DL_DW_V_STEP,
                        FALSE_STEP | with_transposed(formulas.sum_of_products, "f"),
                    ),
                ),
            ),
        ),
        uses=("C.5",),
    ),
    Statement(
        id="G.3/step 4",
        kind="lemma",
        title="The sum over i2 as a matrix product",
        locus="Appendix G.2, proof of Lemma G.3, last chain, 4th step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i2=1}^{n} Xᵀ f_{i2,*} G_i(i2,*)ᵀ = Xᵀ f(X) G_i",
                fault="error",
                consequence="This is where the proof of G.3 breaks: f_{i2,*} is a row of f, so the sum over i2 of"
                " f_{i2,*} G_i(i2,*)ᵀ is fᵀ G_i.",
                forms=(
                    form(formulas.sum_as_product_printed, DL_DW_V_STEP, FALSE_STEP),
                    form(
                        formulas.sum_as_product,
                        replace(DL_DW_V_STEP, scales=(*ANY_SCALE, odd_scale), masks=(False, True)),
                        FALSE_STEP | {"as printed": formulas.sum_as_product_printed},
                        role="repaired",
                        reading="Xᵀ fᵀ G_i",
                    ),
                ),
            ),
        ),
        uses=("C.5",),
        note="The reason given is basic linear algebra.",
    ),
)
