"""What the paper says of softmax attention: its definitions, its causal and multi-head forms, bounds on entries."""

from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
from flint import arb

from proofs_checks.equation import EquationTrial, Truth, form
from proofs_checks.falsify import Altered, negated, transposed, with_transposed, with_wrong_index, wrong_sign_or_factor
from proofs_checks.ground_truth import Lifted, Rows, balls, contracted, mixed
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Instance, odd_scale, paper_scale, unit_scale
from proofs_checks.record import Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import softmax_attention as formulas
from reference.softmax_attention import Array

# --- true sides: what each definition says, entry by entry


def Softmax(symbols: Symbols) -> Array:
    """exp(z_i) / Σ_j exp(z_j)."""
    exponentials = [x.exp() for x in symbols.z.flat]
    return table(lambda i: exponentials[i] / total(exponentials), symbols.n)


def weighted(A: Array, h: Array) -> Array:
    """Means of the rows of h, row i with the weights A_ij / Σ_l A_il."""
    n, width = h.shape

    def mean(i: int, c: int) -> Any:
        return total(A[i, j] * h[j, c] for j in range(n)) / total(A[i, j] for j in range(n))

    return table(mean, n, width)


def A_QK(symbols: Symbols) -> Array:
    """exp(Σ_abc X_ia (W_Q)_ab (W_K)_cb X_jc / d)."""
    X, W_Q, W_K, n, d = symbols.X, symbols.W_Q, symbols.W_K, symbols.n, symbols.d

    def score(i: int, j: int) -> Any:
        return total(X[i, a] * W_Q[a, b] * W_K[c, b] * X[j, c] for a, b, c in np.ndindex(d, d, d)) / d

    return table(lambda i, j: score(i, j).exp(), n, n)


def A(symbols: Symbols) -> Array:
    """exp(Σ_ab X_ia W_ab X_jb / d), the attention matrix of 1.2 and C.3; of I.5, where the mask allows it."""
    X, W, n, d = symbols.X, symbols.W, symbols.n, symbols.d

    def entry(i: int, j: int) -> Any:
        kept = not symbols.causal or i >= j
        return (total(X[i, a] * W[a, b] * X[j, b] for a, b in np.ndindex(d, d)) / d).exp() if kept else arb(0)

    return table(entry, n, n)


def Attn_QKV(symbols: Symbols) -> Array:
    """Self-attention with W_Q and W_K."""
    return weighted(A_QK(symbols), symbols.h)


def Attn(symbols: Symbols) -> Array:
    """Self-attention with W."""
    return weighted(A(symbols), symbols.h)


def dL_dW_Q(symbols: Symbols) -> Array:
    """The gradient of ⟨G, Attn⟩ on W_Q, through W = W_Q W_Kᵀ."""
    return symbols.dL_dW_Q


def entries(symbols: Symbols) -> Array:
    """e_iᵀ X e_j for all i and j."""
    X, n, d = symbols.X, symbols.n, symbols.d
    places = tuple(np.ndindex(n, d))
    return table(lambda i, j: total(X[k, c] * int((k, c) == (i, j)) for k, c in places), n, d)


def rows(symbols: Symbols) -> Array:
    """Xᵀ e_i for all i."""
    X, n, d = symbols.X, symbols.n, symbols.d
    return table(lambda i, c: total(X[k, c] * int(k == i) for k in range(n)), n, d)


def columns(symbols: Symbols) -> Array:
    """X e_j for all j."""
    X, n, d = symbols.X, symbols.n, symbols.d
    return table(lambda j, k: total(X[k, c] * int(c == j) for c in range(d)), d, n)


def u(symbols: Symbols) -> Array:
    """exp(τ Σ_ab X_ia W_ab X_jb)."""
    return symbols.u


def alpha(symbols: Symbols) -> Array:
    """Σ_j u_ij."""
    return symbols.alpha


def f(symbols: Symbols) -> Array:
    """u_ij / Σ_l u_il."""
    return symbols.f


def h(symbols: Symbols) -> Array:
    """Σ_a X_ia (W_V)_ac."""
    return symbols.h


def s(symbols: Symbols) -> Array:
    """Σ_j f_ij h_jc."""
    return symbols.s


def q(symbols: Symbols) -> Array:
    """Σ_c G_ic h_jc."""
    return symbols.q


def p(symbols: Symbols) -> Array:
    """The gradient of ⟨q, Softmax(scores)⟩ on the scores, q held fixed."""
    n, d, causal = symbols.n, symbols.d, symbols.causal
    pairs = list(np.ndindex(d, d))
    X, W, scale = symbols.X, symbols.W, symbols.scale
    scores = table(lambda i, j: scale * total(X[i, a] * W[a, b] * X[j, b] for a, b in pairs), n, n)

    def softmax(lifted: Lifted) -> Rows:
        return mixed([[x.exp() for x in row] for row in lifted["scores"]], lifted["one"], causal=causal)

    return contracted(symbols.q, symbols.jacobian(softmax, {"scores": scores, "one": balls(np.eye(n))}, "scores"))


def M(symbols: Symbols) -> Array:
    """1 where i ≥ j."""
    return table(lambda i, j: arb(int(i >= j)), symbols.n, symbols.n)


def Q_split(symbols: Symbols) -> Array:
    """(Q_l)_ic is entry (i, l d_h + c) of Q, for heads and columns that count from 0."""
    width = symbols.d // symbols.heads
    return table(lambda head, i, c: symbols.Q[i, head * width + c], symbols.heads, symbols.n, width)


def A_heads(symbols: Symbols) -> Array:
    """exp(Σ_c Q_ic K_jc / d_h), c over the columns of head l."""
    X, W_K, n, d, heads = symbols.X, symbols.W_K, symbols.n, symbols.d, symbols.heads
    width = d // heads
    K = table(lambda j, c: total(X[j, a] * W_K[a, c] for a in range(d)), n, d)

    def entry(head: int, i: int, j: int) -> Any:
        of_head = range(head * width, (head + 1) * width)
        return (total(symbols.Q[i, c] * K[j, c] for c in of_head) / width).exp()

    return table(entry, heads, n, n)


def f_heads(symbols: Symbols) -> Array:
    """A_heads, rows divided by their sums."""
    A, n = A_heads(symbols), symbols.n
    return table(lambda head, i, j: A[head, i, j] / total(A[head, i, m] for m in range(n)), *A.shape)


def s_heads(symbols: Symbols) -> Array:
    """Σ_j (f_l)_ij V_jc, c over the columns of head l."""
    f, h, n, width = f_heads(symbols), symbols.h, symbols.n, symbols.d // symbols.heads
    return table(
        lambda head, i, c: total(f[head, i, j] * h[j, head * width + c] for j in range(n)),
        symbols.heads,
        n,
        width,
    )


def s_multi_head(symbols: Symbols) -> Array:
    """Column c of s belongs to head ⌊c / d_h⌋."""
    f, h, n, width = f_heads(symbols), symbols.h, symbols.n, symbols.d // symbols.heads
    return table(lambda i, c: total(f[c // width, i, j] * h[j, c] for j in range(n)), n, symbols.d)


# --- true sides of inequalities


def largest(array: Array) -> arb:
    """‖·‖∞, entry by entry."""
    return max(abs(x) for x in array.flat)


def largest_weight(symbols: Symbols) -> arb:
    """‖f(X)‖∞."""
    return largest(symbols.f)


def largest_value(symbols: Symbols) -> arb:
    """‖X W_V‖∞."""
    return largest(symbols.h)


def largest_output(symbols: Symbols) -> arb:
    """‖s(X)‖∞."""
    return largest(symbols.s)


def long_sequence(instance: Instance) -> bool:
    """n ≥ d."""
    return instance.n >= instance.d


# --- false variants


def Softmax_of_squares(z: Array) -> Array:
    """False: exp(z) in both places of the inner product."""
    return np.exp(z) / (np.exp(z) @ np.exp(z))


def exp_alone(z: Array) -> Array:
    """False: not divided."""
    return np.exp(z)


def Attn_QKV_keys_first(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    """False: queries and keys exchanged, which transposes the scores."""
    return formulas.Attn_QKV(X, W_K, W_Q, W_V)


def Attn_QKV_undivided(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    """False: scores not divided by d."""
    return formulas.Attn_QKV(X, W_Q * len(W_Q), W_K, W_V)


def Attn_QKV_by_columns(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    """False: Softmax of each column of the scores."""
    return formulas.Softmax_rows((X @ W_Q @ W_K.T @ X.T / len(W_Q)).T).T @ X @ W_V


def Attn_undivided(X: Array, W: Array, W_V: Array) -> Array:
    """False: scores not divided by d."""
    return formulas.Attn(X, W * len(W), W_V)


def Attn_by_columns(X: Array, W: Array, W_V: Array) -> Array:
    """False: D with the column sums of A."""
    A = np.exp(X @ W @ X.T / len(W))
    return A / A.sum(axis=0)[:, None] @ X @ W_V


def from_the_other_weight(dL_dW_QK: Array, W_Q: Array) -> Array:
    """False: times W_Q."""
    return dL_dW_QK @ W_Q


def row_reversed(X: Array, i0: int) -> Array:
    """False: from right to left."""
    return X[i0, ::-1]


def column_reversed(X: Array, j0: int) -> Array:
    """False: from bottom to top."""
    return X[::-1, j0]


def u_divided_twice(X: Array, W: Array, scale: Any, causal: bool) -> Array:
    """False: scores divided by d²."""
    return formulas.u(X, W, scale=scale / len(W), causal=causal)


def column_sums(u: Array) -> Array:
    """False: u summed over its rows."""
    return u.sum(axis=0)


def row_means(u: Array) -> Array:
    """False: divided by n."""
    return u.sum(axis=1) / len(u)


def f_by_columns(u: Array) -> Array:
    """False: columns divided by their sums."""
    return u / u.sum(axis=0)


def f_by_column_sums(u: Array) -> Array:
    """False: rows divided by the sums of columns."""
    return u / u.sum(axis=0)[:, None]


def p_row_swapped(f: Array, q: Array, j0: int) -> Array:
    """False: f_{j0} and q_{j0} exchanged."""
    return formulas.p_row(q, f, j0)


def p_row_without_outer(f: Array, q: Array, j0: int) -> Array:
    """False: diag(f_{j0}) q_{j0} alone."""
    return f[j0] * q[j0]


def p_sum(f: Array, q: Array) -> Array:
    """False: p1 + p2."""
    return formulas.p1(f, q) + formulas.p2(f, q)


def p_by_columns(f: Array, q: Array) -> Array:
    """False: p2 with the column sums of p1."""
    p1 = formulas.p1(f, q)
    return p1 - p1.sum(axis=0)[:, None] * f


def p_diagonal_behind(f: Array, q: Array) -> Array:
    """False: f diag(p1 1_n)."""
    p1 = formulas.p1(f, q)
    return p1 - f * p1.sum(axis=1)


def equal_weights(X: Array) -> Any:
    """False: 1/n, as if all weights were equal."""
    return arb(1) / len(X)


def below_one() -> Any:
    """False, but only just: 1 − 2⁻³⁰."""
    return 1 - arb(2) ** -30


def one_product(X: Array, W_V: Array) -> Any:
    """False: as if each entry were one product."""
    return abs(X).max() * abs(W_V).max()


def root_of_d(X: Array, W_V: Array) -> Any:
    """False: random-sign growth, √d, for the worst case."""
    return isqrt(len(W_V)) * abs(X).max() * abs(W_V).max()


def one_product_less(X: Array, W_V: Array) -> Any:
    """False: a factor d − 1."""
    return (len(W_V) - 1) * abs(X).max() * abs(W_V).max()


def one_less(X: Array, W_V: Array) -> Any:
    """False: a factor n − 1."""
    return (len(X) - 1) * abs(X).max() * abs(W_V).max()


def bits_once(d: int, bits: int) -> int:
    """False: 2^b for a product of two numbers up to 2^b."""
    return d * 2**bits


def bits_without_d(d: int, bits: int) -> int:
    """False: one product for d of them."""
    return 4**bits


def one_weight(f: Array, h: Array) -> Any:
    """False: one product for n of them."""
    return abs(f).max() * abs(h).max()


def one_weight_less(f: Array, h: Array) -> Any:
    """False: a factor n − 1."""
    return (len(f) - 1) * abs(f).max() * abs(h).max()


def mean_value(h: Array) -> Any:
    """False: the mean of |h| for its largest entry."""
    return abs(h).sum() / h.size


def half_of_values(h: Array) -> Any:
    """False: half."""
    return abs(h).max() / 2


def M_strict(n: int) -> Array:
    """False: 1 where i > j."""
    return np.tri(n, k=-1)


def f_unmasked_sums(X: Array, W: Array) -> Array:
    """False: D with the sums of A, not of M ⊙ A."""
    A = np.exp(X @ W @ X.T / len(W))
    return np.where(formulas.M(len(X)), A / A.sum(axis=1)[:, None], 0)


def f_unmasked(X: Array, W: Array) -> Array:
    """False: no mask."""
    return formulas.f(formulas.u_printed(X, W / len(W)))


def split_interleaved(Q: Array, heads: int) -> Array:
    """False: head l takes every h-th column."""
    return np.stack([Q[:, head::heads] for head in range(heads)])


def heads_reversed(Q: Array, heads: int) -> Array:
    """False: the last head first."""
    return formulas.split(Q, heads)[::-1]


def f_heads_over_d(X: Array, W_Q: Array, W_K: Array, heads: int) -> Array:
    """False: divided by d, not by d_h."""
    return formulas.f_heads(X, W_Q / heads, W_K, heads)


def f_heads_keys_first(X: Array, W_Q: Array, W_K: Array, heads: int) -> Array:
    """False: queries and keys exchanged."""
    return formulas.f_heads(X, W_K, W_Q, heads)


def s_heads_with_one_value(X: Array, W_Q: Array, W_K: Array, W_V: Array, heads: int) -> Array:
    """False: the values of the first head for all."""
    return formulas.f_heads(X, W_Q, W_K, heads) @ formulas.split(X @ W_V, heads)[0]


def s_heads_transposed(X: Array, W_Q: Array, W_K: Array, W_V: Array, heads: int) -> Array:
    """False: f_lᵀ V_l."""
    return formulas.f_heads(X, W_Q, W_K, heads).swapaxes(1, 2) @ formulas.split(X @ W_V, heads)


def heads_in_turn(X: Array, W_Q: Array, W_K: Array, W_V: Array, heads: int) -> Array:
    """False: the first columns of all heads, then the second ones."""
    s = formulas.s_heads(X, W_Q, W_K, W_V, heads)  # (h, n, d_h)
    return s.transpose(1, 2, 0).reshape(X.shape)


def one_head(X: Array, W_Q: Array, W_K: Array, W_V: Array) -> Array:
    """False for more than one head: d columns in one."""
    return formulas.Attn_QKV(X, W_Q, W_K, W_V)


# --- trials

SCALES = (paper_scale, unit_scale, odd_scale)


def anywhere(truth: Truth, left: str, *names: str) -> EquationTrial:
    """Under any scale of the scores, masked or not: for what is defined by u."""
    return EquationTrial(truth, left, names=names, scales=SCALES, masks=(False, True))


def heads(truth: Truth, left: str, *names: str) -> EquationTrial:
    """Up to four columns, so that there is a number of heads between 1 and d."""
    return EquationTrial(truth, left, names=names, max_d=4, hypothesis="h a divisor of d")


QKV = ("X", "W_Q", "W_K", "W_V")
FALSE_ATTN_QKV = {
    "queries and keys exchanged": Attn_QKV_keys_first,
    "no division by d": Attn_QKV_undivided,
    "Softmax of columns": Attn_QKV_by_columns,
}
FALSE_ATTN = {
    **with_transposed(formulas.Attn, "W", "W_V"),
    "no division by d": Attn_undivided,
    "column sums": Attn_by_columns,
}
LARGEST_VALUE = BoundTrial("‖X W_V‖∞", largest_value, ("X", "W_V"))
LARGEST_OUTPUT = BoundTrial("‖s(X)‖∞", largest_output, ("X", "W", "W_V"), scales=SCALES, masks=(False, True))
LARGEST_WEIGHT = BoundTrial("‖f(X)‖∞", largest_weight, ("X", "W"), scales=SCALES, masks=(False, True))
ATTN_QKV = EquationTrial(Attn_QKV, "Attn(X)", names=QKV)
ATTN = EquationTrial(Attn, "Attn(X)", names=("X", "W", "W_V"))
P = replace(anywhere(p, "p(X)", "X", "W", "W_V", "G"), max_n=4)
POLY_D = "with d ≤ poly(n), as 4.1 and 4.2 assume (d = O(log n)), though not here"
WITH_BITS = "entries of O(log n) bits, as 4.1 assumes, though not here"
ENTRYWISE = "its meaning entry by entry"

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="1.1",
        kind="definition",
        title="Softmax",
        locus="Section 1.1, Definition 1.1",
        parts=(
            Part(
                kind="definition",
                claim="Softmax(z) = exp(z) / ⟨exp(z), 1_n⟩ for z ∈ R^n, exp entrywise",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.Softmax,
                        EquationTrial(Softmax, "Softmax(z)", names=("z",)),
                        {
                            "not divided": exp_alone,
                            "divided by ⟨exp(z), exp(z)⟩": Softmax_of_squares,
                            "−z for z": Altered(formulas.Softmax, negated, "z"),
                        },
                    ),
                ),
            ),
        ),
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
                clashes_with=ENTRYWISE,
                forms=(form(formulas.Attn_QKV, ATTN_QKV, FALSE_ATTN_QKV),),
            ),
            Part(
                kind="identity",
                name="matrix form",
                claim="Attn(X) = f(X) · X W_V, A = exp(X W_Q W_Kᵀ Xᵀ / d) entrywise, D = diag(A 1_n), f(X) = D⁻¹ A",
                forms=(form(formulas.Attn_QKV_matrix_form, ATTN_QKV, FALSE_ATTN_QKV),),
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
                clashes_with=ENTRYWISE,
                forms=(form(formulas.Attn, ATTN, FALSE_ATTN),),
            ),
            Part(
                kind="identity",
                name="matrix form",
                claim="Attn(X) = f(X) · X · W_V with A = exp(X W Xᵀ / d) entrywise, D = diag(A 1_n), f(X) = D⁻¹ A",
                forms=(form(formulas.Attn_matrix_form, ATTN, FALSE_ATTN),),
            ),
            Part(
                kind="identity",
                name="gradient of W_Q",
                claim="dL/dW_Q = (dL/dW) · (dW/dW_Q) = (dL/dW) · W_K",
                forms=(
                    form(
                        formulas.gradient_W_Q,
                        anywhere(dL_dW_Q, "dL/dW_Q", "X", "W_Q", "W_K", "W_V", "G"),
                        {
                            **with_transposed(formulas.gradient_W_Q, "W_K", "dL_dW_QK"),
                            "W_Q for W_K": from_the_other_weight,
                        },
                    ),
                ),
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
                name="entry",
                claim="Z_{i,j} or Z(i,j) is entry (i,j) of Z ∈ R^{n×d}",
                clashes_with="e_iᵀ Z e_j",
                forms=(
                    form(
                        formulas.entry,
                        EquationTrial(entries, "Z_{i,j}", {"i0": "n", "j0": "d"}, names=("X",)),
                        with_wrong_index(formulas.entry, "i0", "j0"),
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="row",
                claim="Z_{i,*} or Z(i,*) is the i-th row of Z, in R^{d×1}",
                clashes_with="Zᵀ e_i",
                forms=(
                    form(
                        formulas.row,
                        EquationTrial(rows, "Z_{i,*}", {"i0": "n"}, names=("X",)),
                        {**with_wrong_index(formulas.row, "i0"), "read backwards": row_reversed},
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="column",
                claim="Z_{*,j} or Z(*,j) is the j-th column of Z, in R^{n×1}",
                clashes_with="Z e_j",
                forms=(
                    form(
                        formulas.column,
                        EquationTrial(columns, "Z_{*,j}", {"j0": "d"}, names=("X",)),
                        {**with_wrong_index(formulas.column, "j0"), "read backwards": column_reversed},
                    ),
                ),
            ),
        ),
        note="Rows and columns are both written as column vectors: d×1 and n×1.",
    ),
    Statement(
        id="C.6",
        kind="definition",
        title="The exponential function u",
        locus="Appendix C.3, Definition C.6",
        parts=(
            Part(
                kind="definition",
                name="formula",
                claim="u(X) = exp(X W Xᵀ) ∈ R^{n×n}, with W = W_Q W_Kᵀ",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.u_printed,
                        EquationTrial(u, "u(X)", names=("X", "W")),
                        {
                            **wrong_sign_or_factor(formulas.u_printed),
                            **with_transposed(formulas.u_printed, "W"),
                        },
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="attention matrix",
                claim="u(X) is the exponential matrix in the attention mechanism: A of 1.2, C.3 and I.5, so that C.7,"
                " C.8 and C.10 give D, f(X) and Attn(X) (the proofs of D.2, F.4 and G.3 print s = Attn_i)",
                clashes_with="1.2, C.3 and I.5",
                fault="misprint",
                consequence="Sections D and F differentiate exp(X W Xᵀ), while Attn has exp(X W Xᵀ/d): C1 to C4, C6"
                " and C7 of D.1, D6, D7, D2 and D4 of D.17, F.3 and F.4, and what rests on them, lack the factor 1/d"
                " that differentiating the scores brings; the terms through the values (C5, C8, D8, G.3) do not.",
                forms=(
                    form(
                        formulas.u_printed,
                        EquationTrial(A, "A", names=("X", "W")),
                        {
                            **wrong_sign_or_factor(formulas.u_printed),
                            **with_transposed(formulas.u_printed, "W"),
                        },
                    ),
                    form(
                        formulas.u,
                        EquationTrial(A, "A", names=("X", "W"), scales=(paper_scale,), masks=(False, True)),
                        {
                            "as printed": formulas.u_printed,
                            "d² for d": u_divided_twice,
                            **with_transposed(formulas.u, "W"),
                        },
                        role="repaired",
                        reading="u(X) = exp(X W Xᵀ/d)",
                    ),
                ),
            ),
        ),
        note="Printed with no division by d, where Definitions 1.2, C.3 and I.5 print X W Xᵀ / d. C.13 follows C.6.",
        related=("1.2", "C.3", "I.5", "C.13"),
    ),
    Statement(
        id="C.7",
        kind="definition",
        title="The row sums α",
        locus="Appendix C.3, Definition C.7",
        parts=(
            Part(
                kind="definition",
                claim="α(X) = u(X) · 1_n ∈ R^n",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.alpha,
                        anywhere(alpha, "α(X)", "X", "W"),
                        {"column sums": column_sums, "means": row_means},
                    ),
                ),
            ),
        ),
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
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.f,
                        anywhere(f, "f(X)", "X", "W"),
                        {
                            "columns normalised": f_by_columns,
                            "rows divided by column sums": f_by_column_sums,
                            **with_transposed(formulas.f, "u"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.6", "C.7"),
    ),
    Statement(
        id="C.9",
        kind="definition",
        title="The values h",
        locus="Appendix C.3, Definition C.9",
        parts=(
            Part(
                kind="definition",
                claim="h(X) = X W_V ∈ R^{n×d}",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.h,
                        EquationTrial(h, "h(X)", names=("X", "W_V")),
                        {**with_transposed(formulas.h, "W_V"), **wrong_sign_or_factor(formulas.h)},
                    ),
                ),
            ),
        ),
    ),
    Statement(
        id="C.10",
        kind="definition",
        title="The attention output s",
        locus="Appendix C.3, Definition C.10",
        parts=(
            Part(
                kind="definition",
                claim="s(X) = f(X) h(X) ∈ R^{n×d}",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.s,
                        anywhere(s, "s(X)", "X", "W", "W_V"),
                        {**with_transposed(formulas.s, "f"), **wrong_sign_or_factor(formulas.s)},
                    ),
                ),
            ),
        ),
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
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.q,
                        EquationTrial(q, "q(X)", names=("X", "W_V", "G")),
                        {"h G_iᵀ": Altered(formulas.q, transposed), **wrong_sign_or_factor(formulas.q)},
                    ),
                ),
            ),
        ),
        uses=("3.3", "C.3", "C.9"),
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
                clashes_with="the derivative of ⟨q, Softmax(scores)⟩, entry by entry",
                forms=(
                    form(
                        formulas.p_row,
                        replace(P, over={"j0": "n"}),
                        {
                            **with_wrong_index(formulas.p_row, "j0"),
                            "f and q exchanged": p_row_swapped,
                            "diag(f_{j0}) q_{j0} alone": p_row_without_outer,
                        },
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="difference",
                claim="p(X) = p1(X) − p2(X) with p1(X) = f(X) ⊙ q(X) and p2(X) = diag(p1(X) · 1_n) f(X)",
                forms=(
                    form(
                        formulas.p,
                        P,
                        {"p1 + p2": p_sum, "column sums in p2": p_by_columns, "f diag(p1 1_n)": p_diagonal_behind},
                    ),
                ),
            ),
        ),
        uses=("C.8", "C.11"),
    ),
    Statement(
        id="C.17",
        kind="lemma",
        title="Entries of f",
        locus="Appendix C.5, Lemma C.17",
        parts=(
            Part(
                kind="inequality",
                claim="‖f(X)‖∞ ≤ 1",
                forms=(
                    form(
                        formulas.weight_bound,
                        LARGEST_WEIGHT,
                        {"1/n": equal_weights, "1 − 2⁻³⁰": below_one},
                    ),
                ),
            ),
        ),
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
                fault="gap",
                consequence="The bound needs n ≥ d, which C.18 does not assume; with d = O(log n), as in 4.1 and 4.2,"
                " it holds from some n on. C.19, E.4 and E.9 use no more than poly(n), which holds, but is derived"
                " from it.",
                forms=(
                    form(
                        formulas.value_bound_printed,
                        LARGEST_VALUE,
                        {"no factor": one_product, "⌊√d⌋ for n": root_of_d},
                    ),
                    form(
                        formulas.value_bound,
                        LARGEST_VALUE,
                        {
                            "no factor": one_product,
                            "⌊√d⌋ for d": root_of_d,
                            "d − 1 for d": one_product_less,
                        },
                        role="repaired",
                        reading="d for n: an entry of X W_V is a sum of d products",
                    ),
                    form(
                        formulas.value_bound_printed,
                        replace(LARGEST_VALUE, assumed=long_sequence, hypothesis="n ≥ d"),
                        {"no factor": one_product, "n − 1 for n": one_less},
                        role="hypothesis",
                        reading="n ≥ d",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖h(X)‖∞ ≤ poly(n)",
                forms=(
                    replace(
                        form(
                            formulas.value_bound_bits,
                            LARGEST_VALUE,
                            {"2^b for 4^b": bits_once, "no factor d": bits_without_d},
                            reading=POLY_D,
                        ),
                        implication="entries of O(log n) bits are at most 2^b with b ≤ c log2 n, so 4^b ≤ n^{2c}, and"
                        " d ≤ n^k for large n: ‖h‖∞ ≤ d · 4^b ≤ n^{k+2c}, a polynomial in n",
                    ),
                ),
            ),
        ),
        assumes=("entries of X, W, W_V have O(log n) bits",),
        uses=("C.3", "C.9"),
        note="The explicit bound stands in the proof, the polynomial one in the lemma. Appendix C says that poly(n)"
        " denotes polynomial time complexity; it is read as some polynomial in n, as Section 3 has it.",
    ),
    Statement(
        id="C.19",
        kind="lemma",
        title="Entries of s",
        locus="Appendix C.5, Lemma C.19 and its proof",
        parts=(
            Part(
                kind="inequality",
                name="bound",
                claim="‖s(X)‖∞ = ‖f(X) h(X)‖∞ ≤ n‖f(X)‖∞‖h(X)‖∞",
                forms=(
                    form(
                        formulas.output_bound,
                        LARGEST_OUTPUT,
                        {"no factor": one_weight, "n − 1 for n": one_weight_less},
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖s(X)‖∞ ≤ poly(n)",
                forms=(
                    replace(
                        form(
                            formulas.output_bound_sharp,
                            LARGEST_OUTPUT,
                            {"the mean of |h|": mean_value, "half": half_of_values},
                            reading="from C.18, with no factor n",
                        ),
                        implication="‖s‖∞ ≤ ‖h‖∞, since each row of s is a mean of rows of h with weights of f, and"
                        " ‖h‖∞ ≤ poly(n) by C.18",
                    ),
                    replace(
                        form(
                            formulas.output_bound_bits,
                            LARGEST_OUTPUT,
                            {"2^b for 4^b": bits_once, "no factor d": bits_without_d},
                            reading=POLY_D,
                        ),
                        implication="entries of O(log n) bits are at most 2^b with b ≤ c log2 n, so 4^b ≤ n^{2c}, and"
                        " d ≤ n^k for large n: ‖s‖∞ ≤ d · 4^b ≤ n^{k+2c}, a polynomial in n",
                    ),
                ),
            ),
        ),
        assumes=("entries of X, W, W_V have O(log n) bits",),
        uses=("C.3", "C.10", "C.17", "C.18"),
        note="The proof gives its first equality as the definition of c(X), a name that this section does not define."
        " The factor n is not needed: rows of f are weights, so ‖s‖∞ ≤ ‖h‖∞.",
    ),
    Statement(
        id="I.2",
        kind="definition",
        title="Causal mask",
        locus="Appendix I.1, Definition I.2",
        parts=(
            Part(
                kind="definition",
                claim="M ∈ {0,1}^{n×n} with M_{i,j} = 1 if i ≥ j and M_{i,j} = 0 otherwise",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.M,
                        EquationTrial(M, "M", names=()),
                        {"i > j": M_strict, "i ≤ j": Altered(formulas.M, transposed)},
                    ),
                ),
            ),
        ),
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
                clashes_with="f of C.8 for the scores of 1.2 and C.3, keys after the query left out",
                forms=(
                    form(
                        formulas.f_causal,
                        EquationTrial(f, "f̂(X)", names=("X", "W"), scales=(paper_scale,), masks=(True,)),
                        {
                            "sums over the whole rows of A": f_unmasked_sums,
                            "no mask": f_unmasked,
                            **with_transposed(formulas.f_causal, "W"),
                        },
                    ),
                ),
            ),
        ),
        uses=("C.3", "I.2"),
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
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.split,
                        heads(Q_split, "Q_l", "X", "W_Q"),
                        {"every h-th column": split_interleaved, "last head first": heads_reversed},
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="Step 2, weights",
                claim="f_l = Softmax(Q_l K_lᵀ / d_h) ∈ R^{n×n}",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.f_heads,
                        heads(f_heads, "f_l", "X", "W_Q", "W_K"),
                        {"d for d_h": f_heads_over_d, "queries and keys exchanged": f_heads_keys_first},
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="Step 2, outputs",
                claim="s_l = f_l V_l ∈ R^{n×d_h}",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.s_heads,
                        heads(s_heads, "s_l", *QKV),
                        {"V_1 for V_l": s_heads_with_one_value, "f_lᵀ for f_l": s_heads_transposed},
                    ),
                ),
            ),
            Part(
                kind="definition",
                name="Step 3",
                claim="s ∈ R^{n×d} is the concatenation of s_1, …, s_h",
                clashes_with=ENTRYWISE,
                forms=(
                    form(
                        formulas.s_multi_head,
                        heads(s_multi_head, "s", *QKV),
                        {"heads in turn": heads_in_turn, "one head": one_head},
                    ),
                ),
            ),
        ),
        uses=("1.1", "C.3", "C.8", "C.10"),
        note="Q, K and V are referred to Definition C.3, which writes X W Xᵀ and X W_V and does not use these names:"
        " they are read as X W_Q, X W_K and X W_V. For h > 1 the heads are no function of W = W_Q W_Kᵀ alone, and h"
        " must divide d. One head is Attn(X) of 1.2.",
    ),
)
