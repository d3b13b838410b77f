"""What the paper says of the exact gradient with respect to a layer's input: chain rule, entries, matrix form."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from inspect import signature
from typing import Any

import numpy as np
from flint import arb
from hypothesis.strategies import SearchStrategy

from proofs_checks.equation import PAPER_READING, UNIT_READING, EquationTrial, Truth, derivative_forms, form
from proofs_checks.falsify import Altered, transposed, with_transposed, with_wrong_index, wrong_sign_or_factor
from proofs_checks.instances import Instance, odd_scale, paper_scale, unit_scale
from proofs_checks.record import Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import input_gradient as formulas
from reference.softmax_attention import Array

# --- the true sides


def product_of_three(symbols: Symbols) -> Array:
    """Σ_i x_i y_i z_i."""
    return table(lambda: total(symbols.x[i] * symbols.y[i] * symbols.z[i] for i in range(symbols.n)))


def product_of_three_thrice(symbols: Symbols) -> Array:
    """Σ_i x_i y_i z_i, once for each side."""
    return table(lambda side: product_of_three(symbols)[()], 3)


def product_of_two(symbols: Symbols) -> Array:
    """Σ_i x_i y_i."""
    return table(lambda: total(symbols.x[i] * symbols.y[i] for i in range(symbols.n)))


def gradient_T(symbols: Symbols) -> Array:
    """Derivative of the number L on T, L a nonlinear function of T_i = tanh(Attn_i W_g)."""
    return symbols.derivative(symbols.loss, "X")


def gradient_W(symbols: Symbols) -> Array:
    """Derivative of the same number on W."""
    return symbols.derivative(symbols.loss, "W")


def gradient_W_V(symbols: Symbols) -> Array:
    """Derivative of the same number on W_V."""
    return symbols.derivative(symbols.loss, "W_V")


def same_row(symbols: Symbols) -> Array:
    """ds_{i0,j0}/dX_{i0,j1}."""
    n, d = symbols.n, symbols.d
    return table(lambda i0, j0, j1: symbols.ds_dX[i0, j0, i0, j1], n, d, d)


def other_rows(symbols: Symbols) -> Array:
    """ds_{i0,j0}/dX_{i1,j1} for i1 ≠ i0, and 0 for i1 = i0."""
    n, d = symbols.n, symbols.d
    return table(lambda i0, j0, i1, j1: symbols.ds_dX[i0, j0, i1, j1] if i1 != i0 else arb(0), n, d, n, d)


def linear_gradient(symbols: Symbols) -> Array:
    """Derivative of the number ⟨G, Attn(X)⟩ on X, the scores in Attn as they are in s."""
    entries = list(np.ndindex(symbols.n, symbols.d))
    return symbols.derivative(lambda attention: sum(symbols.G[i, c] * attention[i][c] for i, c in entries), "X")


def linear_gradient_of_C3(symbols: Symbols) -> Array:
    """Derivative of ⟨G, Attn(X)⟩ on X with Attn as C.3 prints it, whatever the scores in s are."""
    return linear_gradient(as_in_C3(symbols))


def attention(symbols: Symbols) -> Array:
    """Σ_j exp(score_ij) (X W_V)_jc / Σ_j exp(score_ij), with the scores that s has."""
    n, d, X = symbols.n, symbols.d, symbols.X

    def exponential(i: int, j: int) -> Any:
        return (symbols.scale * total(X[i, a] * symbols.W[a, b] * X[j, b] for a, b in np.ndindex(d, d))).exp()

    def entry(i: int, c: int) -> Any:
        weighted = (exponential(i, j) * X[j, a] * symbols.W_V[a, c] for j, a in np.ndindex(n, d))
        return total(weighted) / total(exponential(i, j) for j in range(n))

    return table(entry, n, d)


def attention_of_C3(symbols: Symbols) -> Array:
    """The same with the scores of C.3, whatever those in s are."""
    return attention(as_in_C3(symbols))


def as_in_C3(symbols: Symbols) -> Symbols:
    """The same layer with scores X W Xᵀ/d."""
    return type(symbols)(replace(symbols.instance, scale=Fraction(1, symbols.d)), symbols.convention)


def key_score(symbols: Symbols, i0: int, j1: int) -> Any:
    """⟨W_{j1,*}, X_{i0,*}⟩."""
    return total(symbols.W[j1, a] * symbols.X[i0, a] for a in range(symbols.d))


def query_score(symbols: Symbols, k: int, j1: int) -> Any:
    """Entry k of X W_{*,j1}."""
    return total(symbols.X[k, a] * symbols.W[a, j1] for a in range(symbols.d))


def entries_C6(symbols: Symbols) -> Array:
    """C6(X, i1, j1) as D.1 defines it, for all i0 and j0."""

    def entry(i0: int, j0: int, i1: int, j1: int) -> Any:
        return -symbols.s[i0, j0] * symbols.f[i1, i0] * key_score(symbols, i0, j1)

    return table(entry, symbols.n, symbols.d, symbols.n, symbols.d)


def entries_C7(symbols: Symbols) -> Array:
    """C7(X, i1, j1) as D.1 defines it, for all i0 and j0."""

    def entry(i0: int, j0: int, i1: int, j1: int) -> Any:
        return symbols.f[i1, i0] * symbols.h[i1, j0] * key_score(symbols, i0, j1)

    return table(entry, symbols.n, symbols.d, symbols.n, symbols.d)


def entries_C8(symbols: Symbols) -> Array:
    """C8(X, i1, j1) as D.1 defines it, for all i0 and j0."""

    def entry(i0: int, j0: int, i1: int, j1: int) -> Any:
        return symbols.f[i1, i0] * symbols.W_V[j1, j0]

    return table(entry, symbols.n, symbols.d, symbols.n, symbols.d)


def entries_C2(symbols: Symbols) -> Array:
    """C2(X, j1) as D.1 defines it, for all i0 and j0."""

    def entry(i0: int, j0: int, j1: int) -> Any:
        inner = total(symbols.f[i0, k] * query_score(symbols, k, j1) for k in range(symbols.n))
        return -symbols.s[i0, j0] * inner

    return table(entry, symbols.n, symbols.d, symbols.d)


def entries_C4(symbols: Symbols) -> Array:
    """C4(X, j1) as D.1 defines it, for all i0 and j0."""

    def entry(i0: int, j0: int, j1: int) -> Any:
        f, h, n = symbols.f, symbols.h, symbols.n
        return total(f[i0, k] * query_score(symbols, k, j1) * h[k, j0] for k in range(n))

    return table(entry, symbols.n, symbols.d, symbols.d)


def entries_C1(symbols: Symbols) -> Array:
    """C1(X) as D.1 defines it, for all i0, j0 and j1."""

    def entry(i0: int, j0: int, j1: int) -> Any:
        return -symbols.s[i0, j0] * symbols.f[i0, i0] * key_score(symbols, i0, j1)

    return table(entry, symbols.n, symbols.d, symbols.d)


def entries_C3(symbols: Symbols) -> Array:
    """C3(X) as D.1 defines it, for all i0, j0 and j1."""

    def entry(i0: int, j0: int, j1: int) -> Any:
        return symbols.f[i0, i0] * symbols.h[i0, j0] * key_score(symbols, i0, j1)

    return table(entry, symbols.n, symbols.d, symbols.d)


def entries_C5(symbols: Symbols) -> Array:
    """C5(X) as D.1 defines it, for all i0, j0 and j1."""
    return table(lambda i0, j0, j1: symbols.f[i0, i0] * symbols.W_V[j1, j0], symbols.n, symbols.d, symbols.d)


def weighted_derivative(symbols: Symbols) -> Array:
    """G(i0,j0) · ds_{i0,j0}/dX."""
    return symbols.G[:, :, None, None] * symbols.ds_dX


def weighted_row(symbols: Symbols) -> Array:
    """Row i0 of G(i0,j0) · ds_{i0,j0}/dX."""
    n, d = symbols.n, symbols.d
    return table(lambda i0, j0, j1: symbols.G[i0, j0] * symbols.ds_dX[i0, j0, i0, j1], n, d, d)


def shape_of_other_rows(symbols: Symbols) -> Array:
    """The shape of an array without one of its rows, counted."""
    rows = [row for i, row in enumerate(symbols.X.tolist()) if i != 0]
    columns = symbols.X.T.tolist()
    return table(lambda k: arb((len(rows), len(columns))[k]), 2)


def weighted_other_rows(symbols: Symbols) -> Array:
    """G(i0,j0) · ds_{i0,j0}/dX without its row i0."""
    n, d = symbols.n, symbols.d

    def entry(i0: int, j0: int, row: int, j1: int) -> Any:
        return symbols.G[i0, j0] * symbols.ds_dX[i0, j0, row if row < i0 else row + 1, j1]

    return table(entry, n, d, n - 1, d)


def double_sum_C6(symbols: Symbols) -> Array:
    """Σ_{i0,j0} G(i0,j0) C6(X, i1, j1), entry by entry."""
    return double_sum(symbols, entries_C6(symbols))


def double_sum_C7(symbols: Symbols) -> Array:
    """Σ_{i0,j0} G(i0,j0) C7(X, i1, j1), entry by entry."""
    return double_sum(symbols, entries_C7(symbols))


def double_sum_C8(symbols: Symbols) -> Array:
    """Σ_{i0,j0} G(i0,j0) C8(X, i1, j1), entry by entry."""
    return double_sum(symbols, entries_C8(symbols))


def double_sum_C2(symbols: Symbols) -> Array:
    """Row i is Σ_{j0} G(i,j0) C2(X, j1) at i0 = i: e_{i0} has its only 1 there."""
    return single_sum(symbols, entries_C2(symbols))


def double_sum_C4(symbols: Symbols) -> Array:
    """Row i is Σ_{j0} G(i,j0) C4(X, j1) at i0 = i: e_{i0} has its only 1 there."""
    return single_sum(symbols, entries_C4(symbols))


def double_sum(symbols: Symbols, entries: Array) -> Array:
    """Σ_{i0,j0} G(i0,j0) times entry (i0, j0, i1, j1)."""
    n, d, G = symbols.n, symbols.d, symbols.G
    return table(lambda i1, j1: total(G[i, c] * entries[i, c, i1, j1] for i, c in np.ndindex(n, d)), n, d)


def single_sum(symbols: Symbols, entries: Array) -> Array:
    """Σ_{j0} G(i,j0) times entry (i, j0, j1)."""
    n, d, G = symbols.n, symbols.d, symbols.G
    return table(lambda i, j1: total(G[i, c] * entries[i, c, j1] for c in range(d)), n, d)


def inner_products(symbols: Symbols) -> Array:
    """Σ_c G_ic s_ic, with s written out."""
    n, d = symbols.n, symbols.d
    f, h, G = symbols.f, symbols.h, symbols.G
    return table(lambda i: total(G[i, c] * f[i, j] * h[j, c] for j, c in np.ndindex(n, d)), n)


def entries_z6(symbols: Symbols) -> Array:
    """z6 by its columns, as D.10 defines it."""
    K = inner_products(symbols)
    return table(lambda i, i0: K[i0] * symbols.f[i, i0], symbols.n, symbols.n)


def entries_z7(symbols: Symbols) -> Array:
    """z7 by its columns, as D.11 defines it."""
    n, d, f, h, G = symbols.n, symbols.d, symbols.f, symbols.h, symbols.G
    return table(lambda i, i0: f[i, i0] * total(h[i, c] * G[i0, c] for c in range(d)), n, n)


def entries_z2(symbols: Symbols) -> Array:
    """z2 by its rows, as D.13 defines it."""
    K = inner_products(symbols)
    return table(lambda i0, j: K[i0] * symbols.f[i0, j], symbols.n, symbols.n)


def entries_z4(symbols: Symbols) -> Array:
    """z4 by its rows, as D.14 defines it."""
    n, d, f, h, G = symbols.n, symbols.d, symbols.f, symbols.h, symbols.G
    return table(lambda i0, j: f[i0, j] * total(h[j, c] * G[i0, c] for c in range(d)), n, n)


# --- hypotheses


def square(instance: Instance) -> bool:
    """n = d."""
    return instance.n == instance.d


def symmetric(instance: Instance) -> bool:
    """W = Wᵀ."""
    return bool((instance.operands["W"] == instance.operands["W"].T).all())


def two_rows(instance: Instance) -> bool:
    """n ≥ 2."""
    return instance.n >= 2


def symmetrised(instance: Instance) -> Instance:
    """The same layer with (W + Wᵀ)/2 for W: no score grows beyond the largest."""
    W = instance.operands["W"]
    return replace(instance, operands={**instance.operands, "W": (W + W.T) / 2})


@dataclass(frozen=True)
class SymmetricTrial(EquationTrial):
    """As `EquationTrial`, on layers with a symmetric W."""

    assumed: Any = symmetric
    hypothesis: str = "W = Wᵀ"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return super().instances.map(symmetrised)


# --- false variants


def product_of_sums(x: Array, y: Array, z: Array) -> Any:
    """False: ⟨x, y⟩ Σ_i z_i."""
    return (x @ y) * z.sum()


def one_side_another(x: Array, y: Array, z: Array) -> Array:
    """False: the last side with y twice."""
    return np.array([x @ (y * z), y @ (x * z), y @ (y * x)])


def without_last(x: Array, y: Array) -> Any:
    """False: the last entry lost."""
    return x @ y - x[-1] * y[-1]


def other_way_round(G: Array, ds_dX: Array, i1: int, j1: int) -> Any:
    """False: the derivatives of entry (i1, j1) of s, weighted by G."""
    return (G * ds_dX[i1, j1]).sum()


def diagonal_only(G_i: Array, dAttn_dT: Array) -> Array:
    """False: row i of the output as if it depended on row i of the input alone."""
    return np.stack([sum(G * own for G, own in zip(G_i[i], dAttn_dT[i, :, i], strict=True)) for i in range(len(G_i))])


def without_query(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int, j1: int
) -> Any:
    """False: C2 and C4 lost, as if X_{i0} were a key only."""
    scores = formulas.C1(X, W.T, f, s, i0, j0, j1) + formulas.C3(X, W.T, f, h, i0, j0, j1)
    return scale * scores + formulas.C5(W_V, f, i0, j0, j1)


def without_query_printed(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, i0: int, j0: int, j1: int
) -> Any:
    """False: the same as printed, where W is symmetric and the scale is 1."""
    return without_query(X, W, W_V, f, h, s, 1, i0, j0, j1)


def without_row_sum(
    X: Array, W: Array, W_V: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int, i1: int, j1: int
) -> Any:
    """False: C6 lost, as if the weights did not sum to 1."""
    scores = formulas.C7(X, W.T, f.T, h, i0, j0, i1, j1)
    return (i1 != i0) * (scale * scores + formulas.C8(W_V, f.T, i0, j0, i1, j1))


def in_every_row(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    """False: B2 + B4 in every row, not in row i0 alone."""
    B = formulas.B6(X, W.T, f.T, s, i0, j0) + formulas.B7(X, W.T, f.T, h, i0, j0)  # (n, d)
    b = formulas.B2(X, W.T, f, s, i0, j0) + formulas.B4(X, W.T, f, h, i0, j0)  # (d,)
    return G[i0, j0] * (scale * (B + b) + formulas.B8(W_V, f.T, i0, j0))


def row_without_query(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    """False: B2 and B4 lost in row i0."""
    B = formulas.B6(X, W.T, f.T, s, i0, j0) + formulas.B7(X, W.T, f.T, h, i0, j0)  # (n, d)
    return G[i0, j0] * (scale * B[i0] + formulas.B8(W_V, f, i0, j0)[i0])


def rows_reversed(
    X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any, i0: int, j0: int
) -> Array:
    """False: the rows from the last to the first."""
    return formulas.other_rows(X, W, W_V, G, f, h, s, scale, i0, j0)[::-1]


def whole_shape(n: int, d: int) -> Array:
    """False: no row is left out."""
    return np.array([n, d])


def shape_without_both(n: int, d: int) -> Array:
    """False: a column is left out as well."""
    return np.array([n - 1, d - 1])


def sum_in_every_row(X: Array, W: Array, W_V: Array, G: Array, f: Array, h: Array, s: Array, scale: Any) -> Array:
    """False: B2 + B4 in every row, not in row i0 alone."""
    return formulas.double_sum(lambda i0, j0: in_every_row(X, W, W_V, G, f, h, s, scale, i0, j0), *G.shape)


def without_first_column(G: Array, s: Array) -> Array:
    """False: the sum over all columns but the first."""
    return (G[:, 1:] * s[:, 1:]).sum(axis=1)


def D6_with_rows(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    """False: diag(K) f for f diag(K)."""
    return -formulas.z2_rows(G, f, s) @ X @ W.T


def D7_with_rows(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    """False: G hᵀ for h Gᵀ."""
    return formulas.z4_rows(G, f, h) @ X @ W.T


def D2_with_columns(X: Array, W: Array, G: Array, f: Array, s: Array) -> Array:
    """False: f diag(K) for diag(K) f."""
    return -formulas.z6_columns(G, f, s) @ X @ W


def D4_with_columns(X: Array, W: Array, G: Array, f: Array, h: Array) -> Array:
    """False: h Gᵀ for G hᵀ."""
    return formulas.z7_columns(G, f, h) @ X @ W


# --- trials and forms

ANY_SCALE = (unit_scale, paper_scale, odd_scale)
PAPER_SCALES = (unit_scale, paper_scale)
ENTRY_OF_S = {"i0": "n", "j0": "d"}

MIXED_READING = "scores X W Xᵀ/d in Attn_i, as C.3 prints them, and X W Xᵀ in s, as C.6 does"

LOSS = EquationTrial(gradient_T, "dL/dT_{i−1}", names=("X", "W", "W_V", "W_g"), scales=PAPER_SCALES, max_n=4)
PART_1 = EquationTrial(
    same_row, "ds_{i0,j0}/dX_{i0,j1}", over={**ENTRY_OF_S, "j1": "d"}, names=("X", "W", "W_V"), max_n=4
)
PART_2 = EquationTrial(
    other_rows, "ds_{i0,j0}/dX_{i1,j1}", over={**ENTRY_OF_S, "i1": "n", "j1": "d"}, names=("X", "W", "W_V"), max_n=4
)
ENTRYWISE = EquationTrial(linear_gradient, "dL/dT_{i−1}(i1,j1)", over={"i1": "n", "j1": "d"})
LAYER = EquationTrial(attention, "Attn_i(T_{i−1})", names=("X", "W", "W_V"), scales=(unit_scale,))
WEIGHTED = EquationTrial(weighted_derivative, "G(i0,j0) · ds_{i0,j0}/dX", over=ENTRY_OF_S, max_n=4)
WEIGHTED_ROW = EquationTrial(weighted_row, "row i0 of G(i0,j0) · ds_{i0,j0}/dX", over=ENTRY_OF_S, max_n=4)
WEIGHTED_OTHER = EquationTrial(
    weighted_other_rows,
    "the other rows of G(i0,j0) · ds_{i0,j0}/dX",
    over=ENTRY_OF_S,
    assumed=two_rows,
    hypothesis="n ≥ 2, so that there are other rows",
    max_n=4,
)
WITHOUT_ROW = EquationTrial(shape_of_other_rows, "the shape of B_k(≠ i0, *)", names=("X",))
WHOLE = EquationTrial(linear_gradient, "dL/dT_{i−1}", max_n=4)
SYMMETRIC_PART_1 = SymmetricTrial(same_row, PART_1.left, PART_1.over, PART_1.names, max_n=4)
SYMMETRIC_ROW = SymmetricTrial(weighted_row, WEIGHTED_ROW.left, WEIGHTED_ROW.over, max_n=4)
SEVENTH = EquationTrial(
    entries_C7,
    "C7(X,i1,j1) of D.1",
    over={**ENTRY_OF_S, "i1": "n", "j1": "d"},
    names=("X", "W", "W_V"),
    scales=PAPER_SCALES,
    max_n=4,
)
INNER = EquationTrial(inner_products, "K", scales=ANY_SCALE, masks=(False, True))

FOUR = "X W W_V G"
ALGEBRA = "Algebra about the numbers C_k as D.1 defines them, true for any matrix f: it holds though D.1 does not."
WITHOUT_D = (
    "C.6 leaves out the factor 1/d that C.3, 1.2 and I.5 print: s is then another layer than Attn_i, and every formula"
    " that is derived for s lacks the factor."
)


def algebra(formula: Claim, truth: Truth, left: str, names: str, false: Mapping[str, Claim]) -> tuple[Form, ...]:
    """An equation between what the paper has defined: it must hold for any scale, masked or not."""
    trial = EquationTrial(truth, left, names=tuple(names.split()), scales=ANY_SCALE, masks=(False, True), max_n=4)
    return (form(formula, trial, {**wrong_sign_or_factor(formula), **false}),)


def of_entries(formula: Claim, truth: Truth, left: str, names: str, *transposed: str) -> tuple[Form, ...]:
    """The same for each entry (i0, j0) of s, with variants in which an operand is transposed."""
    false = {**wrong_sign_or_factor(formula), **with_transposed(formula, *transposed)}
    trial = EquationTrial(
        truth, left, ENTRY_OF_S, tuple(names.split()), scales=ANY_SCALE, masks=(False, True), max_n=4
    )
    return (form(formula, trial, false),)


def sum_of_terms(name: str, claim: str, formula: Claim, truth: Truth, false: Mapping[str, Claim]) -> Part:
    """One of the D_k of D.15, mirrored."""
    return Part(
        kind="definition",
        name=name,
        claim=f"{name} = {claim}",
        clashes_with=f"the sum of the entries C{name[1:]} of D.1",
        forms=algebra(formula, truth, name, FOUR, false),
    )


def closed_form(name: str, claim: str, formula: Claim, truth: Truth, of: str, false: Mapping[str, Claim]) -> Part:
    """One of the closed forms of D.17; `of` is the item that defines the matrix."""
    forms = algebra(formula, truth, f"{name} of {of}", FOUR, false)
    return Part(kind="identity", name=name, claim=f"{name} = {claim}", forms=forms)


def term(name: str, claim: str, formula: Claim, truth: Truth, *transposed: str) -> Part:
    """One of the C_k, mirrored."""
    indices = {"i0": "n", "j0": "d", "i1": "n", "j1": "d"}
    trial = EquationTrial(
        truth,
        name,
        {index: indices[index] for index in signature(formula).parameters if index in indices},
        ("X", "W", "W_V"),
        scales=ANY_SCALE,
        masks=(False, True),
        max_n=4,
    )
    false = {**wrong_sign_or_factor(formula), **with_transposed(formula, *transposed)}
    return Part(
        kind="definition",
        name=name,
        claim=f"{name} = {claim}",
        clashes_with="its sums, entry by entry",
        forms=(form(formula, trial, false),),
    )


def square_false(formula: Claim) -> dict[str, Claim]:
    """Variants of a gradient on a square matrix."""
    return {**wrong_sign_or_factor(formula), "transposed": Altered(formula, transposed)}


FALSE_CHAIN = {**wrong_sign_or_factor(formulas.dL_dT), "row i from row i alone": diagonal_only}
FALSE_SAME = {
    **wrong_sign_or_factor(formulas.ds_dX_same),
    **with_transposed(formulas.ds_dX_same, "W"),
    **with_wrong_index(formulas.ds_dX_same, "j1"),
    "C2 and C4 lost": without_query,
}
FALSE_SAME_SYMMETRIC = {
    **wrong_sign_or_factor(formulas.ds_dX_same_printed),
    **with_wrong_index(formulas.ds_dX_same_printed, "j1"),
    "C2 and C4 lost": without_query_printed,
}
FALSE_OTHER = {
    **wrong_sign_or_factor(formulas.ds_dX_other),
    **with_transposed(formulas.ds_dX_other, "W", "f"),
    **with_wrong_index(formulas.ds_dX_other, "j1"),
    "C6 lost": without_row_sum,
}
FALSE_ENTRY = {
    **wrong_sign_or_factor(formulas.dL_dT_entry),
    **with_wrong_index(formulas.dL_dT_entry, "i1", "j1"),
    "ds_{i1,j1}/dX_{i0,j0}": other_way_round,
}
FALSE_LAYER = {
    **wrong_sign_or_factor(formulas.Attn_as_s),
    **with_transposed(formulas.Attn_as_s, "f"),
}
FALSE_MATRIX = {
    **wrong_sign_or_factor(formulas.weighted_ds_dX),
    **with_transposed(formulas.weighted_ds_dX, "W", "f"),
    "B2 + B4 in every row": in_every_row,
}
FALSE_ROW = {
    **wrong_sign_or_factor(formulas.row_i0),
    **with_transposed(formulas.row_i0, "W"),
    "B2 and B4 lost": row_without_query,
}
FALSE_ROW_SYMMETRIC = {
    **wrong_sign_or_factor(formulas.row_i0_printed),
    "B2 and B4 lost": row_without_query,
}
FALSE_OTHER_ROWS = {
    **wrong_sign_or_factor(formulas.other_rows),
    **with_transposed(formulas.other_rows, "W", "f"),
    "rows reversed": rows_reversed,
}
FALSE_SHAPE = {"n × d": whole_shape, "(n−1) × (d−1)": shape_without_both}
FALSE_SUM = {
    **wrong_sign_or_factor(formulas.gradient_X_sum),
    **with_transposed(formulas.gradient_X_sum, "W", "f"),
    "B2 + B4 in every row": sum_in_every_row,
}
FALSE_TERMS = {
    **wrong_sign_or_factor(formulas.five_terms),
    **with_transposed(formulas.five_terms, "W", "f", "W_V"),
}
FALSE_D6 = {
    **with_transposed(formulas.sum_B6, "W", "f"),
    "rows of f scaled": D6_with_rows,
}
FALSE_D7 = {
    **with_transposed(formulas.sum_B7, "W", "f"),
    "G hᵀ for h Gᵀ": D7_with_rows,
}
FALSE_D8 = with_transposed(formulas.sum_B8, "W_V", "f")
FALSE_D2 = {
    **with_transposed(formulas.sum_B2, "W", "f"),
    "columns of f scaled": D2_with_columns,
}
FALSE_D4 = {
    **with_transposed(formulas.sum_B4, "W", "f"),
    "h Gᵀ for G hᵀ": D4_with_columns,
}

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="3.4",
        kind="lemma",
        title="Gradient components of a layer, informally",
        locus="Section 3.2, Lemma 3.4",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dL/dT_{i−1} = Σ_{j∈[n],k∈[d]} G_i(j,k) · dAttn_i(T_{i−1})_{j,k}/dT_{i−1}",
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dL/dW_* = Σ_{j∈[n],k∈[d]} G_i(j,k) · dAttn_i(T_{i−1})_{j,k}/dW_*"
                " for W_* = W_{Q_i}, W_{K_i} or W_{V_i}",
            ),
        ),
        uses=("C.4",),
        follows="informal version of Lemma C.4",
        note="Part 2 names W_Q and W_K, where Lemma C.4 names their product W_i = W_Q W_Kᵀ. The text speaks of three"
        " gradient components before the lemma and of four after it.",
    ),
    Statement(
        id="C.1",
        kind="fact",
        title="Inner products and entrywise products",
        locus="Appendix C.1, Fact C.1",
        parts=(
            Part(
                kind="identity",
                name="diagonal",
                claim="⟨x ⊙ y, z⟩ = xᵀ diag(y) z",
                forms=algebra(
                    formulas.diagonal_form, product_of_three, "⟨x ⊙ y, z⟩", "x y z", {"⟨x, y⟩ Σ z": product_of_sums}
                ),
            ),
            Part(
                kind="identity",
                name="exchange",
                claim="⟨x, y ⊙ z⟩ = ⟨y, x ⊙ z⟩ = ⟨z, y ⊙ x⟩",
                forms=algebra(
                    formulas.exchanged,
                    product_of_three_thrice,
                    "Σ x_i y_i z_i",
                    "x y z",
                    {"y for z": one_side_another},
                ),
            ),
            Part(
                kind="identity",
                name="sum",
                claim="⟨x, y⟩ = ⟨x ⊙ y, 1_n⟩",
                forms=algebra(
                    formulas.sum_of_products, product_of_two, "⟨x, y⟩", "x y", {"last entry lost": without_last}
                ),
            ),
        ),
    ),
    Statement(
        id="C.4",
        kind="lemma",
        title="Gradient components of a layer by the chain rule",
        locus="Appendix C.2, Lemma C.4",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dL/dT_{i−1} = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dT_{i−1}",
                forms=(form(formulas.dL_dT, LOSS, FALSE_CHAIN),),
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dL/dW_i = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dW_i, W_i = W_{Q_i} W_{K_i}ᵀ",
                forms=(
                    form(
                        formulas.dL_dW, replace(LOSS, truth=gradient_W, left="dL/dW_i"), square_false(formulas.dL_dW)
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="Part 3",
                claim="dL/dW_{V_i} = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dW_{V_i}",
                forms=(
                    form(
                        formulas.dL_dW_V,
                        replace(LOSS, truth=gradient_W_V, left="dL/dW_{V_i}"),
                        square_false(formulas.dL_dW_V),
                    ),
                ),
            ),
        ),
        uses=("3.1", "3.3"),
        note="G_i = dL/dAttn_i(T_{i−1}(X)). Tried with L = ½‖T_i‖² and T_i = tanh(Attn_i W_g), so G_i depends on"
        " T_{i−1}. L must depend on T_{i−1} through Attn_i alone: see 1.3/text for residual connections.",
        related=("1.3/text", "J.3"),
    ),
    Statement(
        id="D.1",
        kind="lemma",
        title="Gradient of one entry of s with respect to one entry of X",
        locus="Appendix D.1, Lemma D.1",
        parts=(
            Part(
                kind="identity",
                name="i1 = i0",
                claim="ds_{i0,j0}/dX_{i1,j1} = C1 + C2 + C3 + C4 + C5 with"
                " C1 = −s_{i0,j0} f_{i0,i0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C2 = −s_{i0,j0} ⟨f_{i0,*}, X W_{*,j1}⟩,"
                " C3 = f_{i0,i0} h_{i0,j0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C4 = ⟨f_{i0,*} ⊙ (X W_{*,j1}), h_{*,j0}⟩,"
                " C5 = f_{i0,i0} (W_V)_{j1,j0}",
                fault="error",
                consequence="W stands for Wᵀ in C1 to C4, and they lack the factor 1/d of the scores of C.3;"
                " D.8, D.9, E.11 and so Algorithm 1 build the gradient on T_{i−1} from these numbers.",
                forms=(
                    *derivative_forms(
                        PART_1,
                        printed=formulas.ds_dX_same_printed,
                        repaired=formulas.ds_dX_same,
                        change="Wᵀ for W and a factor τ in C1 to C4",
                        false=FALSE_SAME,
                    ),
                    form(
                        formulas.ds_dX_same_printed,
                        SYMMETRIC_PART_1,
                        FALSE_SAME_SYMMETRIC,
                        role="hypothesis",
                        reading="W = Wᵀ, and the scores are X W Xᵀ as in C.6",
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="i1 ≠ i0",
                claim="ds_{i0,j0}/dX_{i1,j1} = C6 + C7 + C8 with"
                " C6 = −s_{i0,j0} f_{i1,i0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C7 = f_{i1,i0} h_{i1,j0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C8 = f_{i1,i0} (W_V)_{j1,j0}",
                fault="error",
                consequence="f_{i1,i0} stands for f_{i0,i1}, W for Wᵀ, and C6 and C7 lack the factor 1/d of the scores"
                " of C.3; D.8, D.9, E.11 and so Algorithm 1 build the gradient on T_{i−1} from these numbers.",
                forms=derivative_forms(
                    PART_2,
                    printed=formulas.ds_dX_other_printed,
                    repaired=formulas.ds_dX_other,
                    change="fᵀ for f in C6 to C8, Wᵀ for W and a factor τ in C6 and C7",
                    false=FALSE_OTHER,
                ),
            ),
        ),
        uses=("C.3", "C.5", "C.8", "C.9", "C.10", "D.1/terms"),
        note="Taken over from Lemma B.16 of Deng, Song, Xie and Yang (2023), for c(X) = s(X) − B; no proof here."
        " C.8 to C.10 state rows and s = f h. With scores X Wᵀ Xᵀ beside them the part i1 = i0 would be true (with the"
        " scale of C.6), and the other one but for f_{i1,i0}, which would have to be f_{i0,i1}. With columns that sum"
        " to 1 and s = fᵀ h the part i1 ≠ i0 would be true, and the other one but for f_{i0,*} in C2 and C4. No"
        " convention makes both true: own/readings.",
        related=("own/readings",),
    ),
    Statement(
        id="D.1/terms",
        kind="definition",
        title="The numbers C1 to C8",
        locus="Appendix D.1, Lemma D.1",
        parts=(
            term("C1", "−s_{i0,j0} f_{i0,i0} ⟨W_{j1,*}, X_{i0,*}⟩", formulas.C1, entries_C1, "W"),
            term("C2", "−s_{i0,j0} ⟨f_{i0,*}, X W_{*,j1}⟩", formulas.C2, entries_C2, "W", "f"),
            term("C3", "f_{i0,i0} h_{i0,j0} ⟨W_{j1,*}, X_{i0,*}⟩", formulas.C3, entries_C3, "W"),
            term("C4", "⟨f_{i0,*} ⊙ (X W_{*,j1}), h_{*,j0}⟩", formulas.C4, entries_C4, "W", "f"),
            term("C5", "f_{i0,i0} (W_V)_{j1,j0}", formulas.C5, entries_C5, "W_V"),
            term("C6", "−s_{i0,j0} f_{i1,i0} ⟨W_{j1,*}, X_{i0,*}⟩", formulas.C6, entries_C6, "W", "f"),
            term("C7", "f_{i1,i0} h_{i1,j0} ⟨W_{j1,*}, X_{i0,*}⟩", formulas.C7, entries_C7, "W", "f"),
            term("C8", "f_{i1,i0} (W_V)_{j1,j0}", formulas.C8, entries_C8, "W_V", "f"),
        ),
        uses=("C.5", "C.6", "C.8", "C.9", "C.10"),
        note="Only what they are; that they add up to a derivative is D.1.",
    ),
    Statement(
        id="D.2",
        kind="lemma",
        title="Gradient with respect to T_{i−1}, entry by entry",
        locus="Appendix D.2, Lemma D.2",
        parts=(
            Part(
                kind="identity",
                claim="dL/dT_{i−1}(i1,j1) = Σ_{i0∈[n],j0∈[d]} G_i(i0,j0) · ds(X)_{i0,j0}/dX_{i1,j1}",
                fault="misprint",
                consequence=WITHOUT_D,
                forms=(
                    form(formulas.dL_dT_entry, ENTRYWISE, FALSE_ENTRY, reading=UNIT_READING),
                    form(
                        formulas.dL_dT_entry,
                        replace(ENTRYWISE, scales=(paper_scale,)),
                        FALSE_ENTRY,
                        reading=PAPER_READING,
                    ),
                    form(
                        formulas.dL_dT_entry,
                        replace(ENTRYWISE, truth=linear_gradient_of_C3),
                        FALSE_ENTRY,
                        reading=MIXED_READING,
                    ),
                ),
            ),
        ),
        uses=("3.3", "C.3", "C.4", "C.10", "D.2/step 2"),
        note="The proof writes X for T_{i−1}(X).",
    ),
    Statement(
        id="D.2/step 2",
        kind="lemma",
        title="The attention layer is s",
        locus="Appendix D.2, proof of Lemma D.2, second equation",
        parts=(
            Part(
                kind="identity",
                claim="Attn_i(T_{i−1}(X)) = s(T_{i−1}(X)), by Definitions C.3 and C.10",
                fault="misprint",
                consequence=WITHOUT_D,
                forms=(
                    form(formulas.Attn_as_s, LAYER, FALSE_LAYER, reading=UNIT_READING),
                    form(
                        formulas.Attn_as_s, replace(LAYER, scales=(paper_scale,)), FALSE_LAYER, reading=PAPER_READING
                    ),
                    form(
                        formulas.Attn_as_s, replace(LAYER, truth=attention_of_C3), FALSE_LAYER, reading=MIXED_READING
                    ),
                ),
            ),
        ),
        uses=("C.3", "C.10"),
        note="The proofs of Lemmas F.4 and G.3 print the same equation.",
    ),
    Statement(
        id="D.3",
        kind="lemma",
        title="Matrix with the entries C6",
        locus="Appendix D.3, Lemma D.3",
        parts=(
            Part(
                kind="identity",
                claim="B6 = −s_{i0,j0} f_{*,i0} (W X_{i0,*})ᵀ ∈ R^{n×d}, where B6(i1,j1) = C6(X,i1,j1)",
                forms=of_entries(formulas.B6, entries_C6, "C6(X,i1,j1)", "X W W_V", "W", "f"),
            ),
        ),
        uses=("C.5", "D.1/terms"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.4",
        kind="lemma",
        title="Matrix with the entries C7",
        locus="Appendix D.3, Lemma D.4",
        parts=(
            Part(
                kind="identity",
                claim="B7 = (f_{*,i0} ⊙ h_{*,j0})(W X_{i0,*})ᵀ ∈ R^{n×d}, where B7(i1,j1) = C7(X,i1,j1)",
                forms=of_entries(formulas.B7, entries_C7, "C7(X,i1,j1)", "X W W_V", "W", "f"),
            ),
        ),
        uses=("C.5", "D.1/terms"),
        related=("D.4/condition",),
        note="The lemma's first condition prints h_{j0,i1} in C7; its proof and Lemma D.1 print h_{i1,j0}, which is"
        f" tried here. {ALGEBRA}",
    ),
    Statement(
        id="D.4/condition",
        kind="lemma",
        title="The entries C7 as a condition of D.4 repeats them",
        locus="Appendix D.3, Lemma D.4, first condition",
        parts=(
            Part(
                kind="identity",
                claim="C7(X,i1,j1) = f_{i1,i0} h_{j0,i1} ⟨W_{j1,*}, X_{i0,*}⟩, as in Lemma D.1",
                fault="misprint",
                consequence="Nothing rests on it: the lemma's matrix and its proof have h_{i1,j0}, as Lemma D.1 does.",
                forms=(
                    form(
                        formulas.C7_condition_printed,
                        replace(
                            SEVENTH, assumed=square, hypothesis="n = d, so that h_{j0,i1} exists", max_n=3, max_d=3
                        ),
                        {**wrong_sign_or_factor(formulas.C7), **with_transposed(formulas.C7, "W", "f")},
                        reading="n = d, since else h_{j0,i1} does not exist for all j0 and i1",
                    ),
                    form(
                        formulas.C7,
                        SEVENTH,
                        {**wrong_sign_or_factor(formulas.C7), **with_transposed(formulas.C7, "W", "f")},
                        role="repaired",
                        reading="h_{i1,j0} for h_{j0,i1}",
                    ),
                ),
            ),
        ),
        uses=("D.1/terms",),
        note="j0 is a column of h and i1 a row: for n ≠ d the printed entry is outside of h.",
    ),
    Statement(
        id="D.5",
        kind="lemma",
        title="Matrix with the entries C8",
        locus="Appendix D.3, Lemma D.5",
        parts=(
            Part(
                kind="identity",
                claim="B8 = f_{*,i0} (W_V)_{*,j0}ᵀ ∈ R^{n×d}, where B8(i1,j1) = C8(X,i1,j1)",
                forms=of_entries(formulas.B8, entries_C8, "C8(X,i1,j1)", "X W W_V", "W_V", "f"),
            ),
        ),
        uses=("C.5", "D.1/terms"),
        note=f"The proof gives its only step as the choice of C7, where C8 is meant. {ALGEBRA}",
    ),
    Statement(
        id="D.6",
        kind="lemma",
        title="Vector with the entries C2",
        locus="Appendix D.3, Lemma D.6",
        parts=(
            Part(
                kind="identity",
                claim="B2 = −s_{i0,j0} Wᵀ Xᵀ f_{i0,*} ∈ R^d, where B2(j1) = C2(X,j1)",
                forms=of_entries(formulas.B2, entries_C2, "C2(X,j1)", "X W W_V", "W", "f"),
            ),
        ),
        uses=("C.5", "D.1/terms"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.7",
        kind="lemma",
        title="Vector with the entries C4",
        locus="Appendix D.3, Lemma D.7",
        parts=(
            Part(
                kind="identity",
                claim="B4 = Wᵀ Xᵀ (f_{i0,*} ⊙ h_{*,j0}) ∈ R^d, where B4(j1) = C4(X,j1)",
                forms=of_entries(formulas.B4, entries_C4, "C4(X,j1)", "X W W_V", "W", "f"),
            ),
        ),
        uses=("C.1", "C.5", "D.1/terms"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.8",
        kind="lemma",
        title="Gradient of one entry of s as a matrix",
        locus="Appendix D.4, Lemma D.8",
        parts=(
            Part(
                kind="identity",
                claim="G_i(i0,j0) · ds_{i0,j0}/dX = G_i(i0,j0) · (B6 + B7 + B8 + e_{i0}(B2 + B4)ᵀ)",
                fault="error",
                consequence="The matrix is that of D.1's numbers, not of the derivative of s: D.9 adds these up.",
                forms=derivative_forms(
                    WEIGHTED,
                    printed=formulas.weighted_ds_dX_printed,
                    repaired=formulas.weighted_ds_dX,
                    change="Wᵀ for W, fᵀ for f in B6 to B8, a factor τ on all but B8",
                    false=FALSE_MATRIX,
                ),
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5", "D.6", "D.7", "D.8/Case 1", "D.8/Case 2"),
    ),
    Statement(
        id="D.8/Case 1",
        kind="lemma",
        title="The row i0 of the gradient of one entry of s",
        locus="Appendix D.4, proof of Lemma D.8, Case 1",
        parts=(
            Part(
                kind="identity",
                claim="(G_i(i0,j0) · ds_{i0,j0}/dX)(i0,*) = G_i(i0,j0) · (B6(i0,*) + B7(i0,*) + B8(i0,*) + B2 + B4)",
                fault="error",
                consequence="The row is not that of the derivative (W for Wᵀ, no factor 1/d); D.8 puts it into its"
                " matrix.",
                forms=(
                    *derivative_forms(
                        WEIGHTED_ROW,
                        printed=formulas.row_i0_printed,
                        repaired=formulas.row_i0,
                        change="Wᵀ for W and a factor τ on all but B8",
                        false=FALSE_ROW,
                    ),
                    form(
                        formulas.row_i0_printed,
                        SYMMETRIC_ROW,
                        FALSE_ROW_SYMMETRIC,
                        role="hypothesis",
                        reading="W = Wᵀ, and the scores are X W Xᵀ as in C.6",
                    ),
                ),
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5", "D.6", "D.7"),
        note="The proof calls C2 and C4 the real numbers whose matrix views are the vectors B2 and B4.",
    ),
    Statement(
        id="D.8/Case 2",
        kind="lemma",
        title="The other rows of the gradient of one entry of s",
        locus="Appendix D.4, proof of Lemma D.8, Case 2",
        parts=(
            Part(
                kind="identity",
                claim="(G_i(i0,j0) · ds_{i0,j0}/dX)(i1,*) = G_i(i0,j0) · (B6(i1,*) + B7(i1,*) + B8(i1,*)) for i1 ≠ i0",
                fault="error",
                consequence="The rows are not those of the derivative (f for fᵀ, W for Wᵀ, no factor 1/d); D.8 puts"
                " them into its matrix.",
                forms=derivative_forms(
                    WEIGHTED_OTHER,
                    printed=formulas.other_rows_printed,
                    repaired=formulas.other_rows,
                    change="Wᵀ for W and fᵀ for f, a factor τ on all but B8",
                    false=FALSE_OTHER_ROWS,
                ),
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5"),
        note="Printed for the matrices without row i0; they are read as (n−1) × d.",
        related=("D.8/Case 2 shape",),
    ),
    Statement(
        id="D.8/Case 2 shape",
        kind="lemma",
        title="The shape of the matrices without row i0",
        locus="Appendix D.4, proof of Lemma D.8, Case 2, below the equation",
        parts=(
            Part(
                kind="identity",
                claim="the matrices without row i0 on the right are d × (n−1), as the equation marks them",
                fault="misprint",
                consequence="Nothing rests on it: the text above the equation puts the same matrices in R^{(n−1)×d}.",
                forms=(
                    form(formulas.shape_without_row_printed, WITHOUT_ROW, FALSE_SHAPE),
                    form(
                        formulas.shape_without_row,
                        WITHOUT_ROW,
                        {**FALSE_SHAPE, "as printed": formulas.shape_without_row_printed},
                        role="repaired",
                        reading="(n−1) × d",
                    ),
                ),
            ),
        ),
        uses=("C.5",),
    ),
    Statement(
        id="D.9",
        kind="lemma",
        title="Gradient with respect to T_{i−1} as a sum of matrices",
        locus="Appendix D.4, Lemma D.9",
        parts=(
            Part(
                kind="identity",
                claim="dL/dT_{i−1} = Σ_{i0∈[n],j0∈[d]} G_i(i0,j0) · (B6 + B7 + B8 + e_{i0}(B2 + B4)ᵀ)",
                fault="error",
                consequence="The sum is not the gradient on T_{i−1}; E.11 computes it, and what lies below in a model"
                " of several layers is computed from it.",
                forms=(
                    *derivative_forms(
                        WHOLE,
                        printed=formulas.gradient_X_sum_printed,
                        repaired=formulas.gradient_X_sum,
                        change="Wᵀ for W, fᵀ for f in B6 to B8, a factor τ on all but B8",
                        false=FALSE_SUM,
                    ),
                    form(
                        formulas.five_terms,
                        replace(WHOLE, scales=ANY_SCALE, masks=(False, True)),
                        FALSE_TERMS,
                        role="repaired",
                        reading="the same in closed form (D.17): Wᵀ for W, fᵀ for f in D6 to D8, τ on all but D8",
                    ),
                ),
            ),
        ),
        uses=("3.1", "3.3", "C.4", "D.2/step 2", "D.8"),
        note="The proof combines Lemma D.8, which speaks of s, with Lemma C.4, which speaks of Attn_i, in one step.",
    ),
    Statement(
        id="D.10",
        kind="lemma",
        title="The sum of the B6",
        locus="Appendix D.5, Lemma D.10",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B6 = −z6 X Wᵀ,"
                " z6 with the columns (z6)_{*,i0} = (G_{i0,*}ᵀ s_{i0,*}) f_{*,i0}",
                forms=algebra(formulas.sum_B6, double_sum_C6, "Σ G_i(i0,j0) B6", FOUR, FALSE_D6),
            ),
        ),
        uses=("C.3", "C.8", "D.3", "D.10/step 3"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.10/step 3",
        kind="lemma",
        title="The sum of the B6 over j0",
        locus="Appendix D.5, proof of Lemma D.10, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B6 = −Σ_{i0} (G_{i0,*}ᵀ s_{i0,*}) f_{*,i0} (W X_{i0,*})ᵀ",
                forms=algebra(formulas.sum_B6_step_3, double_sum_C6, "Σ G_i(i0,j0) B6", FOUR, FALSE_D6),
            ),
        ),
        uses=("D.3",),
    ),
    Statement(
        id="D.11",
        kind="lemma",
        title="The sum of the B7",
        locus="Appendix D.5, Lemma D.11",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B7 = z7 X Wᵀ, z7 with the columns (z7)_{*,i0} = f_{*,i0} ⊙ (h G_{i0,*})",
                forms=algebra(formulas.sum_B7, double_sum_C7, "Σ G_i(i0,j0) B7", FOUR, FALSE_D7),
            ),
        ),
        uses=("C.3", "D.4", "D.11/step 3"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.11/step 3",
        kind="lemma",
        title="The sum of the B7 over j0",
        locus="Appendix D.5, proof of Lemma D.11, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B7 = Σ_{i0} (f_{*,i0} ⊙ (h G_{i0,*})) (X_{i0,*}ᵀ Wᵀ)",
                forms=algebra(formulas.sum_B7_step_3, double_sum_C7, "Σ G_i(i0,j0) B7", FOUR, FALSE_D7),
            ),
        ),
        uses=("D.4",),
    ),
    Statement(
        id="D.12",
        kind="lemma",
        title="The sum of the B8",
        locus="Appendix D.5, Lemma D.12",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B8 = f G_i W_Vᵀ",
                forms=algebra(formulas.sum_B8, double_sum_C8, "Σ G_i(i0,j0) B8", FOUR, FALSE_D8),
            ),
        ),
        uses=("D.5", "D.12/step 3"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.12/step 3",
        kind="lemma",
        title="The sum of the B8 over j0",
        locus="Appendix D.5, proof of Lemma D.12, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B8 = Σ_{i0} f_{*,i0} G_{i0,*}ᵀ W_Vᵀ",
                forms=algebra(formulas.sum_B8_step_3, double_sum_C8, "Σ G_i(i0,j0) B8", FOUR, FALSE_D8),
            ),
        ),
        uses=("D.5",),
    ),
    Statement(
        id="D.13",
        kind="lemma",
        title="The sum of the B2",
        locus="Appendix D.5, Lemma D.13",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B2ᵀ = −z2 X W,"
                " z2 with the rows (z2)_{i0,*} = (G_{i0,*}ᵀ s_{i0,*}) f_{i0,*}",
                forms=algebra(formulas.sum_B2, double_sum_C2, "Σ G_i(i0,j0) e_{i0} B2ᵀ", FOUR, FALSE_D2),
            ),
        ),
        uses=("C.3", "D.6", "D.13/step 3"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.13/step 3",
        kind="lemma",
        title="The sum of the B2 over j0",
        locus="Appendix D.5, proof of Lemma D.13, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B2ᵀ = −Σ_{i0} (G_{i0,*}ᵀ s_{i0,*}) e_{i0} f_{i0,*}ᵀ X W",
                forms=algebra(formulas.sum_B2_step_3, double_sum_C2, "Σ G_i(i0,j0) e_{i0} B2ᵀ", FOUR, FALSE_D2),
            ),
        ),
        uses=("D.6",),
    ),
    Statement(
        id="D.14",
        kind="lemma",
        title="The sum of the B4",
        locus="Appendix D.5, Lemma D.14",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B4ᵀ = z4 X W,"
                " z4 with the rows (z4)_{i0,*} = f_{i0,*} ⊙ (h G_{i0,*})",
                forms=algebra(formulas.sum_B4, double_sum_C4, "Σ G_i(i0,j0) e_{i0} B4ᵀ", FOUR, FALSE_D4),
            ),
        ),
        uses=("C.3", "D.7", "D.14/step 3"),
        note=ALGEBRA,
    ),
    Statement(
        id="D.14/step 3",
        kind="lemma",
        title="The sum of the B4 over j0",
        locus="Appendix D.5, proof of Lemma D.14, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B4ᵀ = Σ_{i0} e_{i0} (f_{i0,*}ᵀ ⊙ (h G_{i0,*})ᵀ) X W",
                forms=algebra(formulas.sum_B4_step_3, double_sum_C4, "Σ G_i(i0,j0) e_{i0} B4ᵀ", FOUR, FALSE_D4),
            ),
        ),
        uses=("D.7",),
    ),
    Statement(
        id="D.15",
        kind="definition",
        title="The five sums D_k",
        locus="Appendix D.6, Definition D.15",
        parts=(
            sum_of_terms("D6", "Σ_{i0,j0} G_i(i0,j0) B6", formulas.D6_sum, double_sum_C6, FALSE_D6),
            sum_of_terms("D7", "Σ_{i0,j0} G_i(i0,j0) B7", formulas.D7_sum, double_sum_C7, FALSE_D7),
            sum_of_terms("D8", "Σ_{i0,j0} G_i(i0,j0) B8", formulas.D8_sum, double_sum_C8, FALSE_D8),
            sum_of_terms("D2", "Σ_{i0,j0} G_i(i0,j0) e_{i0} B2ᵀ", formulas.D2_sum, double_sum_C2, FALSE_D2),
            sum_of_terms("D4", "Σ_{i0,j0} G_i(i0,j0) e_{i0} B4ᵀ", formulas.D4_sum, double_sum_C4, FALSE_D4),
        ),
        uses=("D.3", "D.4", "D.5", "D.6", "D.7"),
    ),
    Statement(
        id="D.16",
        kind="definition",
        title="The vector K of inner products of G_i and s",
        locus="Appendix D.6, Definition D.16",
        parts=(
            Part(
                kind="definition",
                name="entries",
                claim="K_{i0} = G_{i0,*}ᵀ s_{i0,*} for i0 ∈ [n], K ∈ R^n",
                clashes_with="the rows of G_i and of the s of C.10, entry by entry",
                forms=(
                    form(
                        formulas.K_entry,
                        replace(INNER, over={"i0": "n"}),
                        {**wrong_sign_or_factor(formulas.K_entry), **with_wrong_index(formulas.K_entry, "i0")},
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="matrix form",
                claim="K = (G_i ⊙ s) 1_d",
                forms=(
                    form(
                        formulas.K,
                        INNER,
                        {**wrong_sign_or_factor(formulas.K), "first column lost": without_first_column},
                    ),
                ),
            ),
        ),
        uses=("C.10",),
    ),
    Statement(
        id="D.17",
        kind="lemma",
        title="Closed forms of the D_k",
        locus="Appendix D.6, Lemma D.17",
        parts=(
            closed_form("z6", "f diag(K)", formulas.z6, entries_z6, "D.10", {"diag(K) f": formulas.z2}),
            closed_form(
                "z7", "f ⊙ (h Gᵀ), with G = G_i", formulas.z7, entries_z7, "D.11", {"G hᵀ for h Gᵀ": formulas.z4}
            ),
            closed_form("z2", "diag(K) f", formulas.z2, entries_z2, "D.13", {"f diag(K)": formulas.z6}),
            closed_form(
                "z4", "f ⊙ (G hᵀ), with G = G_i", formulas.z4, entries_z4, "D.14", {"h Gᵀ for G hᵀ": formulas.z7}
            ),
            closed_form("D6", "−z6 X Wᵀ", formulas.D6, double_sum_C6, "D.15", FALSE_D6),
            closed_form("D7", "z7 X Wᵀ", formulas.D7, double_sum_C7, "D.15", FALSE_D7),
            closed_form("D8", "f G W_Vᵀ, with G = G_i", formulas.D8, double_sum_C8, "D.15", FALSE_D8),
            closed_form("D2", "−z2 X W", formulas.D2, double_sum_C2, "D.15", FALSE_D2),
            closed_form("D4", "z4 X W", formulas.D4, double_sum_C4, "D.15", FALSE_D4),
        ),
        uses=("C.3", "D.10", "D.11", "D.12", "D.13", "D.14", "D.15", "D.16"),
        note="The closed forms of z6, z7, z2 and z4 are printed among the conditions, beside those of D.10 to D.14."
        f" {ALGEBRA}",
    ),
)
