"""What running the code takes: laws in the sizes, exact integers, of the paper's steps and of altgrad's functions.

First the laws of the paper's parts about time, on the functions that mirror its steps: n rows, width d (e of the
values), k columns of U1 and V1. Products are multiplied out in the order that the paper prints. Each law comes with
false variants: functions that give the same numbers at a greater cost.

Then altgrad's own. With k(g) = binom(d + g, g) monomials of degree at most g, Σ b² the sum of the squared sizes of the
blocks of rows and B their number, the operations are a sum of n, B, 1 (and Σ b² under the mask, where a block has all
its pairs) times a sum of 1, d, d², and of k, k d, k d² for monomials, with integers for coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import numpy as np

from proofs_checks.count import (
    Costlier,
    CountTrial,
    CrossoverTrial,
    FitTrial,
    Law,
    Measure,
    Sized,
    columns,
    counted_form,
)
from proofs_checks.counting import Count
from proofs_checks.record import Check, Claim, Form, Part, Statement
from reference import (
    attention,
    attention_gradient,
    fast_attention,
    fast_attention_gradient,
    fast_qkv,
    loss,
    low_rank,
    polynomial,
    qkv,
    transformer,
)
from reference import fast_gradient as fast
from reference import input_gradient as exact
from reference import masked_product as masked
from reference.fast_qkv import Method
from reference.low_rank import rank
from reference.polynomial import taylor
from reference.softmax_attention import Array

# --- laws


def inner(m: int, k: int, n: int) -> int:
    """A product (m, k) @ (k, n): k products and k − 1 sums for each entry."""
    return m * n * (2 * k - 1)


def nd(n: int, d: int) -> int:
    return n * d


def nk(n: int, k: int) -> int:
    return n * k


def rank_k(k: int) -> int:
    return k


def rank_kd(k: int, d: int) -> int:
    return k * d


def law_K(n: int, d: int) -> int:
    """d products and d − 1 sums for each row."""
    return n * (2 * d - 1)


def law_K_from_factors(n: int, d: int, k: int) -> int:
    """V1ᵀ h, then U1 · that, then K."""
    return inner(k, n, d) + inner(n, k, d) + law_K(n, d)


def two_nd(n: int, d: int) -> int:
    return 2 * n * d


def law_kronecker(n: int, d: int, k: int) -> int:
    """Two row-wise Kronecker products."""
    return 2 * n * d * k


def law_term(n: int, d: int, k: int) -> int:
    """Vᵀ X, then · W, then U · that."""
    return inner(k, n, d) + inner(k, d, d) + inner(n, k, d)


def linear_term(n: int, d: int, k: int) -> int:
    return 4 * n * k * d + 2 * k * d * d


def four_nd(n: int, d: int) -> int:
    return 4 * n * d


def five_nd(n: int, d: int) -> int:
    return 5 * n * d


def law_g_t_wide(n: int, d: int, e: int, k: int) -> int:
    """h and K̃, the factors, the five terms (two with a sign) and their sum, for values of width e."""
    h_and_K = inner(n, d, e) + inner(k, n, e) + inner(n, k, e) + n * (2 * e - 1)
    factors = 2 * n * k + 2 * law_kronecker(n, e, k)
    D8 = inner(k, n, e) + inner(k, e, d) + inner(n, k, d)
    return h_and_K + factors + 2 * law_term(n, d, k) + 2 * n * d + 2 * law_term(n, d, k * e) + D8 + 4 * n * d


def law_g_t(n: int, d: int, k: int) -> int:
    return law_g_t_wide(n, d, d, k)


def linear_g_t(n: int, d: int, k: int) -> int:
    return linear_heads(n, d, d, k, 1)


def law_g_w_left(n: int, d: int, k: int) -> int:
    """Twice: Xᵀ U, then · Vᵀ, then · X; and a difference."""
    return 2 * (inner(d, n, k) + inner(d, k, n) + inner(d, n, d)) + d * d


def linear_g_w(n: int, d: int, k: int) -> int:
    return n * (8 * k * d + 4 * d * d) + d * d


def law_g_v_left(n: int, d: int, k: int) -> int:
    return inner(d, n, k) + inner(d, k, n) + inner(d, n, d)


def linear_g_v(n: int, d: int, k: int) -> int:
    return n * (4 * k * d + 2 * d * d)


def law_p1(n: int, k: int, l: int) -> int:  # noqa: E741
    return 2 * n * k * l


def law_p2(n: int, k: int, l: int) -> int:  # noqa: E741
    """Column sums of V3, U3 times these, and n rows of U1 times one number each."""
    return l * (n - 1) + n * (2 * l - 1) + n * k


def linear_p2(n: int, k: int, l: int) -> int:  # noqa: E741
    return n * (3 * l + k)


def law_G(n: int, d: int) -> int:
    """Attn_i W_g, tanh′ with eight operations for each entry, the entrywise product, the product with W_gᵀ."""
    return inner(n, d, d) + 8 * n * d + law_H_2(n, d)


def linear_G(n: int, d: int) -> int:
    return n * (4 * d * d + 7 * d)


def law_S_cotangent(n: int, d: int) -> int:
    """Attn_i W_g, tanh′, and the entrywise product."""
    return inner(n, d, d) + 9 * n * d


def law_H_2(n: int, d: int) -> int:
    """The entrywise product, and the product with W_gᵀ."""
    return n * d + inner(n, d, d)


def linear_H_2(n: int, d: int) -> int:
    return n * d + 2 * n * d * d


def law_single(n: int, d: int, k: int) -> int:
    """G_i; the factors of p; g_t, g_w with k (d + 1) columns and g_v."""
    wide = k * (d + 1)
    p = inner(n, d, d) + law_p1(n, k, d) + law_p2(n, k, k * d) + n * k
    g_w, g_v = 2 * inner(d, n, wide) + inner(d, wide, d), inner(d, n, k) + inner(k, n, d) + inner(d, k, d)
    return law_G(n, d) + p + law_g_t(n, d, k) + g_w + g_v


def linear_single(n: int, d: int, k: int) -> int:
    more = 4 * k * d * (d + 1) + 9 * k * d + 2 * k + 6 * d * d + 7 * d
    return linear_g_t(n, d, k) + n * more + 4 * k * d * d * (d + 1)


def law_heads(n: int, d: int, e: int, k: int, h: int) -> int:
    """That of one head for each, and their sum."""
    return h * law_g_t_wide(n, d, e, k) + (h - 1) * n * d


def linear_heads(n: int, d: int, e: int, k: int, h: int) -> int:
    per_row = 8 * k * d * e + 10 * k * (d + e) + 2 * k + 2 * d * e + 2 * d
    return h * (n * per_row + 4 * k * d * d * (e + 1) + 2 * k * d * e)


def law_running_sums(n: int, k: int) -> int:
    """k products, k sums, then k products and k − 1 sums, for each row."""
    return n * (4 * k - 1)


def four_nk(n: int, k: int) -> int:
    return 4 * n * k


def law_columns(n: int, k: int, c: int) -> int:
    return c * law_running_sums(n, k)


def four_nkc(n: int, k: int, c: int) -> int:
    return 4 * n * k * c


def law_attention_product(n: int, k: int, c: int) -> int:
    """c columns, the row sums, and a division for each entry."""
    return law_columns(n, k, c) + law_running_sums(n, k) + n * c


def linear_attention_product(n: int, k: int, c: int) -> int:
    return 4 * n * k * (c + 1)


def law_rewritten(n: int, k: int, l: int, c: int) -> int:  # noqa: E741
    """The row sums, the factors, and c columns of width k l."""
    return law_running_sums(n, k) + law_rewritten_factors(n, k, l) + law_columns(n, k * l, c)


def linear_rewritten(n: int, k: int, l: int, c: int) -> int:  # noqa: E741
    return n * (4 * k * l * c + 2 * k * l + 5 * k)


def law_rewritten_factors(n: int, k: int, l: int) -> int:  # noqa: E741
    """A division for each entry of U0, and two row-wise Kronecker products."""
    return n * k + 2 * n * k * l


def law_dot_terms(n: int, d: int, k: int) -> int:
    """h, K, and four products by Part 1 with what stands beside them."""
    K = inner(n, d, d) + law_attention_product(n, k, d) + law_K(n, d)
    beside = 3 * inner(n, d, d) + 3 * n * d + n + inner(d, n, d)
    return K + 4 * law_attention_product(n, k, d) + beside


def linear_dot_terms(n: int, d: int, k: int) -> int:
    return n * (20 * k * (d + 1) + 10 * d * d + 6 * d)


def law_entrywise_terms(n: int, d: int, k: int) -> int:
    """h, the sums of p1, p2 X, and three products by Part 2 with what stands beside them."""
    p2 = law_rewritten(n, k, d, 1) + law_attention_product(n, k, d) + n * d
    return inner(n, d, d) + p2 + 3 * law_rewritten(n, k, d, d) + 2 * inner(n, d, d) + n * d + inner(d, n, d)


def linear_entrywise_terms(n: int, d: int, k: int) -> int:
    return n * (12 * k * d * d + 16 * k * d + 24 * k + 8 * d * d + 2 * d)


def law_exponential(n: int, d: int) -> int:
    """One multiplication for each monomial but the first, for Q and K, and one for each weight."""
    r = rank(d, DEGREE)
    return 2 * n * (r - 1) + n * r


def three_nr(n: int, d: int) -> int:
    return 3 * n * rank(d, DEGREE)


def law_layer(n: int, d: int) -> int:
    """Z, Z W_g, tanh, and the sum."""
    return inner(n, d, d) + 3 * n * d


def law_next(n: int, d: int) -> int:
    """Z W_g and tanh."""
    return inner(n, d, d) + n * d


def law_components(n: int, d: int, w: int) -> int:
    """Position, layer norm, an MLP of width w with tanh, dropout, a sum; and backwards, for X and both weights."""
    forward = 2 * n * d + law_norm(n, d) + inner(n, d, w) + n * w + inner(n, w, d) + n * d
    backward = n * d + inner(n, d, w) + 9 * n * w + inner(n, w, d) + law_norm(n, d) + 7 * n * d + n * d
    return forward + backward + inner(w, n, d) + inner(d, n, w)


def law_norm(n: int, d: int) -> int:
    """The mean of each row, differences, their squares, the mean of these, its root, a quotient."""
    return n * (5 * d + 1)


def linear_components(n: int, d: int, w: int) -> int:
    return n * (12 * d * w + 10 * w + 24 * d + 2)


def hundred_nd(n: int, d: int) -> int:
    return 100 * n * d


def law_units(n: int, d: int) -> int:
    """n² d² numbers summed to n d."""
    return (n * d) ** 2 - n * d


R, EPSILON = 1.0, 0.01  # of I.1
DEGREE = polynomial.least_degree(R**2, EPSILON)

# --- false variants: the same numbers at a greater cost


def K_from_pairs(G: Array, s: Array) -> Array:
    """False: the diagonal of the n × n matrix G sᵀ."""
    return np.diag(G @ s.T)


def z6_dense(U1: Array, V1: Array, K: Array) -> tuple[Array, Array]:
    """False: diag(K) as a matrix."""
    return U1, np.diag(K) @ V1


def z2_dense(U1: Array, V1: Array, K: Array) -> tuple[Array, Array]:
    """False: diag(K) as a matrix."""
    return np.diag(K) @ U1, V1


def wider(value: tuple[Array, Array]) -> tuple[Array, Array]:
    """Both factors with a column of zeros more."""
    U, V = value
    zero = np.zeros((len(U), 1))
    return np.hstack([U, zero]), np.hstack([V, zero])


def twice_as_wide(value: tuple[Array, Array]) -> tuple[Array, Array]:
    """Both factors with as many columns of zeros again."""
    U, V = value
    return np.hstack([U, 0 * U]), np.hstack([V, 0 * V])


def wide(claim: Claim) -> dict[str, Claim]:
    """Factors of the same matrix with more columns."""
    return {"a column of zeros more": Costlier(claim, wider), "zeros beside it": Costlier(claim, twice_as_wide)}


def D6_from_the_left(X: Array, W: Array, U6: Array, V6: Array) -> Array:
    """False: U6 V6ᵀ written out."""
    return ((U6 @ V6.T) @ X) @ W.T


def D7_from_the_left(X: Array, W: Array, U7: Array, V7: Array) -> Array:
    """False: U7 V7ᵀ written out."""
    return ((U7 @ V7.T) @ X) @ W.T


def D8_from_the_left(W_V: Array, G: Array, U1: Array, V1: Array) -> Array:
    """False: U1 V1ᵀ written out."""
    return ((U1 @ V1.T) @ G) @ W_V.T


def D2_from_the_left(X: Array, W: Array, U9: Array, V9: Array) -> Array:
    """False: U9 V9ᵀ written out."""
    return ((U9 @ V9.T) @ X) @ W


def D4_from_the_left(X: Array, W: Array, U10: Array, V10: Array) -> Array:
    """False: U10 V10ᵀ written out."""
    return ((U10 @ V10.T) @ X) @ W


def g_w_written_out(X: Array, U3: Array, V3: Array, U4: Array, V4: Array) -> Array:
    """False: p written out."""
    return X.T @ (U3 @ V3.T - U4 @ V4.T) @ X


def g_v_written_out(X: Array, G: Array, U1: Array, V1: Array) -> Array:
    """False: U1 V1ᵀ written out."""
    return X.T @ (U1 @ V1.T) @ G


def p2_written_out(U1: Array, V1: Array, U3: Array, V3: Array) -> tuple[Array, Array]:
    """False: the row sums of U3 V3ᵀ written out."""
    return (U3 @ V3.T).sum(axis=1)[:, None] * U1, V1


def sums_again(U0: Array, V0: Array, v: Array) -> Array:
    """False: for each row the sum from the first row on."""
    return np.array([U0[i] @ (V0[: i + 1].T @ v[: i + 1]) for i in range(len(v))])


def masked_written_out(U0: Array, V0: Array, v: Array) -> Array:
    """False: M ⊙ (U0 V0ᵀ) written out."""
    return masked.within(U0, V0) @ v


def columns_written_out(U0: Array, V0: Array, H: Array) -> Array:
    """False: M ⊙ (U0 V0ᵀ) written out."""
    return masked.within(U0, V0) @ H


def product_written_out(U0: Array, V0: Array, H: Array) -> Array:
    """False: the masked attention matrix written out."""
    return masked.f_causal_factored(U0, V0) @ H


def row_sums_written_out(U0: Array, V0: Array) -> Array:
    """False: M ⊙ (U0 V0ᵀ) written out."""
    return masked.within(U0, V0).sum(axis=1)


def rewritten_in_full(U0: Array, V0: Array, U: Array, V: Array, H: Array) -> Array:
    """False: both matrices written out."""
    return (masked.f_causal_factored(U0, V0) * (U @ V.T)) @ H


def products_of_powers(Q: Array, K: Array, R: float, epsilon: float) -> tuple[Array, Array]:
    """False: each monomial as a product of d powers."""
    U0, V0 = polynomial.exponential_factors(Q, K, R, epsilon)
    more = np.prod([Q[:, :1] ** 0 * np.ones((1, U0.shape[1])) for _ in range(Q.shape[1])], axis=0)
    return U0 * more, V0


# --- trials of the paper's parts

N, D, K1 = (1, 2, 5, 12), (1, 2, 3), (1, 2, 4)
ND, NDK = {"n": N, "d": D}, {"n": N, "d": D, "k": K1}

THIN = (
    "U1 and V1 are given, as C.13 has them, which needs a bound on the entries. The count is at most {bound} for"
    " all n, d, k1 ≥ 1. If d = O(log n) and k1 = n^{{o(1)}}, every factor of n in it is n^{{o(1)}}, and so is what is"
    " added, so the count is n^{{1+o(1)}}"
)
UNSTATED = ". Neither hypothesis is printed here; without them, say for d = n, the claim is not true of this algorithm"
NO_D = ". That d = O(log n) is not printed in this lemma, but in 4.1 and 1.4, which it serves"


FROM_FACTORS = "once U1 and V1 are there, with k1 = n^{o(1)} columns as C.13 claims"


def implied_by(bound: str, unstated: bool = False) -> str:
    return THIN.format(bound=bound) + (UNSTATED if unstated else NO_D)


def term_form(formula: Claim, false: Claim, shapes: Mapping[str, str], *, wide: bool = False) -> Form:
    """The time of one D̃_k, in the printed order of multiplication."""
    trial = CountTrial(
        over=NDK,
        shapes=shapes,
        law=law_term,
        at_most=linear_term,
    )
    columns_of_it = "k = k1 d" if wide else "k = k1"
    return counted_form(
        formula,
        trial,
        {"from the left": false},
        reading="the printed order of multiplication, without a sign",
        implication=implied_by(f"4 n k d + 2 k d², {columns_of_it} columns of the factors"),
    )


def factors_form(formula: Claim, false: Mapping[str, Claim], law: Law, shapes: Mapping[str, str], words: str) -> Form:
    """The time of building factors from those of f."""
    over = NDK if "d" in " ".join(shapes.values()).split() else {"n": N, "k": K1}
    trial = CountTrial(over=over, shapes=shapes, law=law)
    return counted_form(formula, trial, false, reading=FROM_FACTORS, implication=implied_by(words))


def rank_form(formula: Claim, law: Law, shapes: Mapping[str, str], words: str) -> Form:
    """How many columns factors have."""
    over = NDK if "d" in " ".join(shapes.values()).split() else {"n": N, "k": K1}
    trial = CountTrial(over=over, shapes=shapes, law=law, measure=columns)
    check = Check(kind="count", claim=formula, trial=trial, false=wide(formula))
    implication = f"the columns are counted: {words}; d = O(log n) is printed in 4.1, not in every lemma"
    reading = "k1 = n^{o(1)}, as C.13 claims; C.13 needs a bound on the entries for it"
    return Form(reading=reading, formula=formula, implication=implication, checks=(check,))


FACTORS = {"U1": "n k", "V1": "n k"}
WITH_K = {**FACTORS, "K": "n"}
WITH_G = {**FACTORS, "h": "n d", "G": "n d"}

E_1 = counted_form(
    exact.K,
    CountTrial(over=ND, shapes={"G": "n d", "s": "n d"}, law=law_K, at_most=two_nd),
    {"from all pairs": K_from_pairs},
    reading="s is given, as the proof has it: n (2d − 1) operations",
)
E_1_FROM_FACTORS = counted_form(
    fast.K_factored,
    CountTrial(
        over={"n": (1, 5), "d": (1, 3), "k": (1, 64)}, shapes=WITH_G, law=law_K_from_factors, at_most=hundred_nd
    ),
    reading="s is made from U1 and V1 (C.14), as almost linear time requires: about 4 k1 + 2 operations for each n d,"
    " here against 100, and no constant is enough for all k1",
)
E_2_RANK = rank_form(low_rank.z6_factors, rank_k, WITH_K, "k6 = k1")
E_2_COST = counted_form(
    low_rank.z6_factors,
    CountTrial(over={"n": N, "k": K1}, shapes=WITH_K, law=nk),
    {"diag(K) written out": z6_dense},
    reading="exactly n k1 operations, diag(K) being kept as a vector",
)
E_2_TIME = factors_form(
    low_rank.z6_factors, {"diag(K) written out": z6_dense}, nk, WITH_K, "n k1, K being given (E.1)"
)
E_3 = term_form(fast.D6_factored_printed, D6_from_the_left, {"X": "n d", "W": "d d", "U6": "n k", "V6": "n k"})
E_4_RANK = rank_form(low_rank.z7_factors, rank_kd, WITH_G, "k7 = k1 d")
E_4_COST = counted_form(
    low_rank.z7_factors,
    CountTrial(over=NDK, shapes=WITH_G, law=law_kronecker),
    reading="n d k1 operations for each of the two",
)
E_4_TIME = factors_form(low_rank.z7_factors, {}, law_kronecker, WITH_G, "2 n d k1, h being given")
E_5 = term_form(fast.D7_factored, D7_from_the_left, {"X": "n d", "W": "d d", "U7": "n k", "V7": "n k"}, wide=True)
E_6 = term_form(fast.D8_factored, D8_from_the_left, {"W_V": "d d", "G": "n d", **FACTORS})
E_7_RANK = rank_form(low_rank.z2_factors, rank_k, WITH_K, "k9 = k1")
E_7_COST = counted_form(
    low_rank.z2_factors,
    CountTrial(over={"n": N, "k": K1}, shapes=WITH_K, law=nk),
    {"diag(K) written out": z2_dense},
    reading="exactly n k1 operations, diag(K) being kept as a vector",
)
E_7_TIME = factors_form(
    low_rank.z2_factors, {"diag(K) written out": z2_dense}, nk, WITH_K, "n k1, K being given (E.1)"
)
E_8 = term_form(fast.D2_factored_printed, D2_from_the_left, {"X": "n d", "W": "d d", "U9": "n k", "V9": "n k"})
E_9_RANK = rank_form(low_rank.z4_factors, rank_kd, WITH_G, "k10 = k1 d")
E_9_COST = counted_form(
    low_rank.z4_factors,
    CountTrial(over=NDK, shapes=WITH_G, law=law_kronecker),
    reading="n d k1 operations for each of the two",
)
E_9_TIME = factors_form(low_rank.z4_factors, {}, law_kronecker, WITH_G, "2 n d k1, h being given")
E_10 = term_form(fast.D4_factored, D4_from_the_left, {"X": "n d", "W": "d d", "U10": "n k", "V10": "n k"}, wide=True)
E_11_SUM = counted_form(
    fast.sum_of_terms,
    CountTrial(over=ND, shapes=dict.fromkeys(("D6", "D7", "D8", "D2", "D4"), "n d"), law=four_nd, at_most=five_nd),
    reading="4 n d operations, within the 5 n d that are printed",
)
LAYER = {"X": "n d", "W": "d d", "W_V": "d d", "G": "n d"}
E_11_TIME = counted_form(
    fast.g_t_printed,
    CountTrial(over=NDK, shapes={**LAYER, **FACTORS}, law=law_g_t, at_most=linear_g_t),
    reading="all of it, K from the approximate output, once U1, V1 and G_i are there",
    implication=implied_by("n (8 k1 d² + 20 k1 d + 2 k1 + 2 d² + 2 d) + 4 k1 d³ + 6 k1 d²")
    + ". The repaired sum takes 4 n d operations more, for τ",
)
F_5 = counted_form(
    fast.g_w_left_to_right,
    CountTrial(
        over=NDK,
        shapes={"X": "n d", "U3": "n k", "V3": "n k", "U4": "n k", "V4": "n k"},
        law=law_g_w_left,
        at_most=linear_g_w,
    ),
    {"p written out": g_w_written_out},
    reading="the printed order, from the left: Xᵀ U3 V3ᵀ is d × n; d = O(log n), which is not printed",
    implication=implied_by("n (8 k d + 4 d²) + d², k columns of the factors of C.15 and C.16, k1 d of p1", True),
)
G_4 = counted_form(
    fast.g_v_left_to_right,
    CountTrial(over=NDK, shapes={"X": "n d", "G": "n d", **FACTORS}, law=law_g_v_left, at_most=linear_g_v),
    {"f̃ written out": g_v_written_out},
    reading="the printed order, from the left: Xᵀ U1 V1ᵀ is d × n; d = O(log n), which is not printed",
    implication=implied_by("n (4 k1 d + 2 d²)", True),
)
NKL = {"n": N, "k": K1, "l": (1, 2, 3)}
C_15 = counted_form(
    low_rank.p1_factors,
    CountTrial(over=NKL, shapes={**FACTORS, "U2": "n l", "V2": "n l"}, law=law_p1),
    reading="U3 = U1 ⊘ U2 and V3 = V1 ⊘ V2, from U1, V1, U2 and V2",
    implication="exactly 2 n k1 k2 operations, and k1, k2 = n^{o(1)} are assumed",
)
C_16 = counted_form(
    low_rank.p2_factors,
    CountTrial(over=NKL, shapes={**FACTORS, "U3": "n l", "V3": "n l"}, law=law_p2, at_most=linear_p2),
    {"p1 written out": p2_written_out},
    reading="U4 = diag(U3 V3ᵀ 1_n) U1 and V4 = V1, from U1, V1, U3 and V3",
    implication="at most n (3 k3 + k1) operations, k3 = k1 k2 by C.15, and k1, k2 = n^{o(1)} are assumed",
)
SLOPES = {"g_T": "n d", "Attn": "n d", "W_g": "d d"}
H_2_COST = counted_form(
    transformer.G_of_slopes,
    CountTrial(over=ND, shapes={"g_T": "n d", "slopes": "n d", "W_g": "d d"}, law=law_H_2, at_most=linear_H_2),
    reading="φ′(Attn_i W_g) is given: n d operations, then n d (2d − 1), which is d² n twice",
)
H_2_WITH_SLOPES = counted_form(
    transformer.S_cotangent,
    CountTrial(
        over={"n": (1, 5), "d": (1, 64)},
        shapes=SLOPES,
        given={"phi_prime": transformer.tanh_prime},
        law=law_S_cotangent,
        at_most=hundred_nd,
    ),
    reading="φ′(Attn_i W_g) is found first: 2 d + 8 operations for each of the n d entries, here against 100, and no"
    " constant is enough for all d; with d² n for the product W_gᵀ the sum is of the same order",
)
H_2_TIME = counted_form(
    transformer.G_of_T,
    CountTrial(over=ND, shapes=SLOPES, given={"phi_prime": transformer.tanh_prime}, law=law_G, at_most=linear_G),
    reading="Attn_i W_g included, which the proof leaves out, and φ = tanh, whose φ′ takes 8 operations an entry",
    implication="at most n (4 d² + 7 d) operations, with a constant more per entry for another φ′: n^{1+o(1)} if"
    " d = n^{o(1)}, so for the d = O(log n) of 1.4 and 4.1. No hypothesis on d is printed here; for d = n it is n³",
)
SINGLE = counted_form(
    fast.single_gradient_printed,
    CountTrial(
        over=NDK,
        shapes={"X": "n d", "W": "d d", "W_V": "d d", **FACTORS, **SLOPES},
        given={"phi_prime": transformer.tanh_prime},
        law=law_single,
        at_most=linear_single,
    ),
    reading="all lines together, φ = tanh, once U1, V1, dL/dT_i and Attn_i are there",
    implication="U1, V1 and Attn_i are given: C.13 and the forward pass have them. The count is at most"
    " n (12 k1 d² + 33 k1 d + 4 k1 + 8 d² + 9 d) + 8 k1 d³ + 10 k1 d². If d = O(log n), as 4.1 prints, and"
    " k1 = n^{o(1)} (C.13), it is n^{1+o(1)}, for each line and all of them. An exact Attn_i would cost n² d",
)
K_2 = counted_form(
    fast.g_t_heads_printed,
    CountTrial(
        over={"n": (1, 4), "d": (2, 3), "e": (1, 2), "k": (1, 3), "h": (1, 3)},
        shapes={"X": "n d", "W": "h d d", "W_V": "h d e", "G": "h n e", "U1": "h n k", "V1": "h n k"},
        law=law_heads,
        at_most=linear_heads,
    ),
    reading="E.11 for each of h heads of width e, once the factors and the dL/ds_l are there",
    implication="at most h times n (8 k1 d e + 10 k1 (d + e) + 2 k1 + 2 d e + 2 d) + 4 k1 d² (e + 1) +"
    " 2 k1 d e operations: n^{1+o(1)} for a constant h if d = O(log n) and k1 = n^{o(1)} for every head, by C.13."
    " dL/ds from dL/dY takes n (4 d² + 7 d) more (H.2). Neither hypothesis is printed here",
)
I_1 = counted_form(
    polynomial.exponential_factors,
    CountTrial(
        over=ND,
        shapes={"Q": "n d", "K": "n d"},
        given={"R": R, "epsilon": EPSILON},
        law=law_exponential,
        at_most=three_nr,
    ),
    {"powers multiplied out": products_of_powers},
    reading=f"r = binom(d + g, g) monomials, R = {R:g}, ε = {EPSILON:g}: 3 n r − 2 n operations. What is done to the"
    " g + 1 coefficients and r weights in exact numbers does not depend on n and is not counted",
)
UV = {"U0": "n k", "V0": "n k"}
NKC = {"n": N, "k": K1, "c": (1, 3)}
NKLC = {"n": (1, 2, 5), "k": (1, 3), "l": (1, 2), "c": (1, 2)}
I_3 = counted_form(
    masked.causal_mask,
    CountTrial(over={"n": N, "k": K1}, shapes={**UV, "v": "n"}, law=law_running_sums, at_most=four_nk),
    {"each sum from the first row": sums_again, "written out": masked_written_out},
    reading="Algorithm 2: n (4k − 1) operations",
)
I_4_COST = counted_form(
    masked.causal_mask_columns,
    CountTrial(over=NKC, shapes={**UV, "H": "n c"}, law=law_columns, at_most=four_nkc),
    {"written out": columns_written_out},
    reading="one column of H at a time: n k_H (4k − 1) operations",
)
I_4_TIME = counted_form(
    masked.causal_mask_columns,
    CountTrial(over=NKC, shapes={**UV, "H": "n c"}, law=law_columns, at_most=four_nkc),
    {"written out": columns_written_out},
    implication="at most 4 n k k_H operations, and k, k_H = n^{o(1)} are assumed",
)
I_6_PART_1 = counted_form(
    masked.masked_attention_product,
    CountTrial(over=NKC, shapes={**UV, "H": "n c"}, law=law_attention_product, at_most=linear_attention_product),
    {"written out": product_written_out},
    reading="D⁻¹((M ⊙ (U0V0ᵀ)) H), D included, once U0 and V0 are there",
    implication="at most 4 n k0 (k_H + 1) operations, k_H = n^{o(1)} is assumed, k0 is the rank of I.1, written k with"
    " k = n^{o(1)}; that I.1 gives such a rank takes d = O(log n), R = o(√log n) and ε = 1/poly(n), which I.6 does"
    " not print. D is found first; had f̂ been written out, it would cost n²",
)
I_6_PART_2 = counted_form(
    masked.masked_entrywise_product,
    CountTrial(
        over=NKLC, shapes={**UV, "U": "n l", "V": "n l", "H": "n c"}, law=law_rewritten, at_most=linear_rewritten
    ),
    {"written out": rewritten_in_full},
    reading="the rewritten product, D included, once U0 and V0 are there",
    implication="at most n (4 k0 k k_H + 2 k0 k + 5 k0) operations, k, k_H = n^{o(1)} are assumed, and of k0 the same"
    " as in Part 1",
)
I_6_FACTORS = counted_form(
    masked.masked_entrywise_factors,
    CountTrial(
        over={"n": N, "k": K1, "l": (1, 3)},
        shapes={"D": "n", **UV, "U": "n l", "V": "n l"},
        law=law_rewritten_factors,
    ),
    reading="D is given: n k0, then n k0 k each",
)
I_6_SUMS = counted_form(
    masked.masked_row_sums,
    CountTrial(over={"n": N, "k": K1}, shapes=UV, law=law_running_sums, at_most=four_nk),
    {"written out": row_sums_written_out},
    implication="n (4 k0 − 1) operations, and n divisions for D⁻¹, which is kept as a vector; as a matrix it would"
    " have n² entries. k0 = n^{o(1)} as in Part 1",
)
MASKED = {**LAYER, **UV}
I_7 = counted_form(
    fast.masked_dot_terms,
    CountTrial(over=NDK, shapes=MASKED, law=law_dot_terms, at_most=linear_dot_terms),
    reading="D6, D2, D8, g_v and K from the right, K by Part 1 as well, once U0 and V0 are there",
    implication="at most n (20 k (d + 1) + 10 d² + 6 d) operations for all four: n^{1+o(1)} if d = O(log n) (printed"
    " in 4.1) and the rank k of I.1 is n^{o(1)}. Multiplied from the left, as f̂ diag(K) X Wᵀ is written, it costs n²",
)
I_8 = counted_form(
    fast.masked_entrywise_terms,
    CountTrial(over=NDK, shapes=MASKED, law=law_entrywise_terms, at_most=linear_entrywise_terms),
    reading="D7, D4 and g_w with H = X Wᵀ, X W and X, the sums of p1 by Part 2 with H = 1, once U0 and V0 are there",
    implication="at most n (12 k d² + 16 k d + 24 k + 8 d² + 2 d) operations for all three: n^{1+o(1)} if d = O(log n)"
    " (printed in 4.1) and the rank k of I.1 is n^{o(1)}",
)
TWO = {"G_Y": "n d", "vjp_H": "n d"}
J_3_ADDITION = counted_form(transformer.residual_gradient, CountTrial(over=ND, shapes=TWO, law=nd))
J_3_TIME = counted_form(
    transformer.residual_gradient,
    CountTrial(over=ND, shapes=TWO, law=nd),
    reading="dL/dY_R and (dL/dY_R)(dH/dX_R) are given",
    implication="exactly n d operations, beside (dL/dY_R)(dH/dX_R), which is assumed to take n^{1+o(1)}; n d is"
    " n^{1+o(1)} if d = n^{o(1)}, which is not printed here, but in 4.1",
)
B_2 = counted_form(
    transformer.residual_layer,
    CountTrial(
        over=ND,
        shapes={"T": "n d", "Attn": "n d", "W_g": "d d"},
        given={"phi": transformer.tanh},
        law=law_layer,
    ),
    reading="n d (2d + 2) operations, 2 n d more than without the two connections (1.3/text); backwards 2 n d (J.3)",
)
COMPONENTS = counted_form(
    transformer.other_components,
    CountTrial(
        over={"n": (1, 2, 7), "d": (2, 4), "w": (1, 3)},
        shapes={"X": "n d", "P": "n d", "mask": "n d", "W_1": "d w", "W_2": "w d", "G": "n d"},
        given={"phi": transformer.tanh, "phi_prime": transformer.tanh_prime, "heads": 2},
        law=law_components,
        at_most=linear_components,
    ),
    reading="all of them in a row and backwards: positional encoding, layer norm, an MLP of width w with φ = tanh,"
    " dropout, residual connection, concatenation of heads: at most n (12 d w + 10 w + 24 d + 2) operations",
)
START_ANY = "each ℓ_{j,k} any function of all of X, as 3.1 prints them: linear ones"
START_OWN = "ℓ_{j,k} depends on T_{j,k} alone"
START_FAULT = (
    "Definition 3.1 lets every one of the n d units depend on all n d entries. Then dL/dT is a sum of n d arrays and"
    " takes n² d² steps, already for linear units, whose coefficients all have to be read. A hypothesis on the units"
    " is missing here and in the theorems; entrywise losses and cross-entropy (3.2) satisfy one."
)


def start() -> tuple[Form, ...]:
    """The time of the gradient at the output, for units that depend on all entries and on one."""
    return (
        counted_form(
            loss.gradient_of_linear_units,
            CountTrial(
                over={"n": (1, 5, 50), "d": (1, 3)}, shapes={"A": "n d n d"}, law=law_units, at_most=hundred_nd
            ),
            reading=START_ANY,
        ),
        counted_form(
            loss.squared_gradient,
            CountTrial(over=ND, shapes={"T": "n d", "target": "n d"}, law=nd),
            role="hypothesis",
            reading=START_OWN,
        ),
    )


# --- altgrad's own functions

SCORES = 64.0  # more than any score of the operands that are drawn


def _gradient(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int, method: Method, causal: bool) -> Any:
    with patch.object(fast_qkv, "ROWS", rows):
        return fast_attention_gradient(X, W, W_V, G, polynomial=taylor(g, SCORES), method=method, causal=causal)


def paper(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The fast gradient by the paper's factors."""
    return _gradient(X, W, W_V, G, g, rows, "paper", False)


def paper_masked(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The same under the causal mask."""
    return _gradient(X, W, W_V, G, g, rows, "paper", True)


def antiderivative(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The fast gradient by the antiderivative."""
    return _gradient(X, W, W_V, G, g, rows, "antiderivative", False)


def antiderivative_masked(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The same under the causal mask."""
    return _gradient(X, W, W_V, G, g, rows, "antiderivative", True)


def differentiate(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The gradient of the fast output."""
    return _gradient(X, W, W_V, G, g, rows, "differentiate", False)


def differentiate_masked(X: Array, W: Array, W_V: Array, G: Array, g: int, rows: int) -> Any:
    """The same under the causal mask."""
    return _gradient(X, W, W_V, G, g, rows, "differentiate", True)


def output(X: Array, W: Array, W_V: Array, g: int, rows: int) -> Any:
    """The fast output."""
    with patch.object(fast_qkv, "ROWS", rows):
        return fast_attention(X, W, W_V, polynomial=taylor(g, SCORES))


def output_masked(X: Array, W: Array, W_V: Array, g: int, rows: int) -> Any:
    """The same under the causal mask."""
    with patch.object(fast_qkv, "ROWS", rows):
        return fast_attention(X, W, W_V, polynomial=taylor(g, SCORES), causal=True)


# What each of these takes: for n, the number B of blocks, 1, and under the mask Σ b², the coefficients of
# 1, d, d², k, k d, k d², l, l d, K, K d: k monomials of degree at most g, l of degree g, K of degree at most g + 1.
Coefficients = Mapping[str, tuple[int, ...]]
LAWS: Mapping[str, Coefficients] = {
    "paper": {
        "n": (160, 146, 32, 35, 32, 8, 5, 16, 0, 0),
        "B": (-10, 7, 3, 0, 0, 0, 0, 0, 0, 0),
        "1": (-26, 29, 21, 6, 0, 0, 0, 0, 4, 0),
    },
    "paper_masked": {
        "Σb²": (15, 26, 0, 8, 0, 0, 4, 0, 0, 0),
        "n": (301, 173, 36, 42, 32, 8, 7, 16, 0, 0),
        "B": (-12, 8, 4, 0, 0, 0, 0, 0, 0, 0),
        "1": (-26, 29, 21, 6, 0, 0, 0, 0, 4, 0),
    },
    "antiderivative": {
        "n": (152, 148, 32, 22, 16, 0, 5, 16, 19, 8),
        "B": (-10, 7, 3, 0, 0, 0, 0, 0, 0, 0),
        "1": (-26, 29, 21, 6, 0, 0, 0, 0, 4, 0),
    },
    "antiderivative_masked": {
        "Σb²": (15, 26, 0, 8, 0, 0, 4, 0, 0, 0),
        "n": (293, 175, 36, 28, 16, 0, 7, 16, 20, 8),
        "B": (-12, 8, 4, 0, 0, 0, 0, 0, 0, 0),
        "1": (-26, 29, 21, 6, 0, 0, 0, 0, 4, 0),
    },
    "differentiate": {
        "n": (152, 148, 32, 41, 24, 0, 5, 16, 0, 0),
        "B": (-10, 7, 3, 0, 0, 0, 0, 0, 0, 0),
        "1": (-26, 29, 21, 10, 0, 0, 0, 0, 0, 0),
    },
    "differentiate_masked": {
        "Σb²": (15, 26, 0, 12, 0, 0, 0, 0, 0, 0),
        "n": (293, 175, 36, 50, 24, 0, 5, 16, 0, 0),
        "B": (-12, 8, 4, 0, 0, 0, 0, 0, 0, 0),
        "1": (-27, 29, 21, 12, 0, 0, -2, 0, 0, 0),
    },
    "output": {
        "n": (85, 75, 14, 13, 8, 0, 4, 8, 0, 0),
        "B": (-3, 1, 1, 0, 0, 0, 0, 0, 0, 0),
        "1": (-18, 30, 1, 10, 0, 0, 0, 0, 0, 0),
    },
    "output_masked": {
        "Σb²": (5, 8, 0, 6, 0, 0, 0, 0, 0, 0),
        "n": (85, 75, 14, 17, 8, 0, 4, 8, 0, 0),
        "B": (-3, 1, 1, 0, 0, 0, 0, 0, 0, 0),
        "1": (-19, 30, 1, 12, 0, 0, -2, 0, 0, 0),
    },
}


def in_rows(n: int, rows: int) -> dict[str, int]:
    """Σ b², n, B and 1, for n rows in blocks of so many."""
    return {"Σb²": n // rows * rows**2 + (n % rows) ** 2, "n": n, "B": -(-n // rows), "1": 1}


def in_width(d: int, g: int) -> tuple[int, ...]:
    """What the coefficients of a law multiply."""
    k, l, K = rank(d, g), rank(d, g) - rank(d, g - 1), rank(d, g + 1)  # noqa: E741
    return 1, d, d * d, k, k * d, k * d * d, l, l * d, K, K * d


def law_of(name: str, n: int, d: int, g: int, rows: int) -> int:
    """The operations of one of the functions above."""
    sizes, width = in_rows(n, rows), in_width(d, g)
    return sum(sizes[size] * sum(c * x for c, x in zip(row, width, strict=True)) for size, row in LAWS[name].items())


def law_paper(n: int, d: int, g: int, rows: int) -> int:
    return law_of("paper", n, d, g, rows)


def law_paper_masked(n: int, d: int, g: int, rows: int) -> int:
    return law_of("paper_masked", n, d, g, rows)


def law_antiderivative(n: int, d: int, g: int, rows: int) -> int:
    return law_of("antiderivative", n, d, g, rows)


def law_antiderivative_masked(n: int, d: int, g: int, rows: int) -> int:
    return law_of("antiderivative_masked", n, d, g, rows)


def law_differentiate(n: int, d: int, g: int, rows: int) -> int:
    return law_of("differentiate", n, d, g, rows)


def law_differentiate_masked(n: int, d: int, g: int, rows: int) -> int:
    return law_of("differentiate_masked", n, d, g, rows)


def law_output(n: int, d: int, g: int, rows: int) -> int:
    return law_of("output", n, d, g, rows)


def law_output_masked(n: int, d: int, g: int, rows: int) -> int:
    return law_of("output_masked", n, d, g, rows)


def exact_blocks(n: int, entries: int) -> list[tuple[int, int]]:
    """The rows of each block of scores, and the keys that its last row sees under the mask."""
    step = max(1, entries // n)
    return [(min(step, n - first), min(first + step, n)) for first in range(0, n, step)]


def law_exact_gradient(n: int, d: int, entries: int) -> int:
    B = len(range(0, n, max(1, entries // n)))
    return n * n * (12 * d + 9) + n * (12 * d * d + 14 * d - 3) + 2 * d * d - 8 - 3 * B


def law_exact_gradient_masked(n: int, d: int, entries: int) -> int:
    """The pairs of each block, about half of all, for n²; and the mask of each block."""
    blocks = exact_blocks(n, entries)
    pairs, masks = sum(b * keys for b, keys in blocks), sum(b * b for b, _ in blocks)
    return law_exact_gradient(n, d, entries) + (pairs - n * n) * (12 * d + 9) + 3 * masks


def law_exact_output(n: int, d: int, entries: int) -> int:
    B = len(range(0, n, max(1, entries // n)))
    return n * n * (4 * d + 6) + n * (4 * d * d + 6 * d - 2) - 3 - 2 * B


def law_exact_output_masked(n: int, d: int, entries: int) -> int:
    blocks = exact_blocks(n, entries)
    pairs, masks = sum(b * keys for b, keys in blocks), sum(b * b for b, _ in blocks)
    return law_exact_output(n, d, entries) + (pairs - n * n) * (4 * d + 6) + 2 * masks


def exact_gradient(X: Array, W: Array, W_V: Array, G: Array, entries: int) -> Any:
    """The exact gradient, in blocks of so many scores."""
    with patch.object(qkv, "BLOCK_ENTRIES", entries):
        return attention_gradient(X, W, W_V, G)


def exact_gradient_masked(X: Array, W: Array, W_V: Array, G: Array, entries: int) -> Any:
    """The same under the causal mask."""
    with patch.object(qkv, "BLOCK_ENTRIES", entries):
        return attention_gradient(X, W, W_V, G, causal=True)


def exact_output(X: Array, W: Array, W_V: Array, entries: int) -> Any:
    """The exact output, in blocks of so many scores."""
    with patch.object(qkv, "BLOCK_ENTRIES", entries):
        return attention(X, W, W_V)


def exact_output_masked(X: Array, W: Array, W_V: Array, entries: int) -> Any:
    """The same under the causal mask."""
    with patch.object(qkv, "BLOCK_ENTRIES", entries):
        return attention(X, W, W_V, causal=True)


# --- from which n on the fast functions take fewer operations than the exact ones

EXACT: Mapping[str, Law] = {"output": law_exact_output}  # all others: law_exact_gradient


def rows_taken(name: str, n: int, d: int, g: int) -> int:
    """The rows of a block, as `fast_qkv` chooses them."""
    widest = {"paper": rank(d, g) * (1 + d), "antiderivative": rank(d, g + 1)}.get(name, rank(d, g))
    return max(1, min(fast_qkv.ROWS, fast_qkv.LARGEST_BLOCK // widest, n))


def gain(name: str, n: int, d: int, g: int) -> int:
    """Operations of the exact function less those of the fast one, by the laws."""
    return EXACT.get(name, law_exact_gradient)(n, d, qkv.BLOCK_ENTRIES) - law_of(
        name, n, d, g, rows_taken(name, n, d, g)
    )


def crossover(name: str, d: int, g: int) -> int:
    """The least n from which on the fast function takes fewer operations: the gain is convex in n up to its blocks."""
    enough = 2
    while gain(name, enough, d, g) <= 0:
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if gain(name, middle, d, g) > 0 else (middle, enough)
    return enough


def crossover_paper(d: int, g: int) -> int:
    return crossover("paper", d, g)


def crossover_antiderivative(d: int, g: int) -> int:
    return crossover("antiderivative", d, g)


def crossover_differentiate(d: int, g: int) -> int:
    return crossover("differentiate", d, g)


def crossover_output(d: int, g: int) -> int:
    return crossover("output", d, g)


# --- functions in blocks as they are


def vjp(Q: Array, K: Array, V: Array, dO: Array) -> Any:
    """The fast gradients on Q, K and V, in blocks as they are."""
    return qkv.fast_attention_vjp(Q, K, V, dO, scale=0.5, polynomial=taylor(2, SCORES), method="antiderivative")


def vjp_masked(Q: Array, K: Array, V: Array, dO: Array) -> Any:
    """The same under the causal mask."""
    return qkv.fast_attention_vjp(
        Q, K, V, dO, scale=0.5, polynomial=taylor(2, SCORES), method="antiderivative", causal=True
    )


def gradient_in_blocks(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The fast gradient, in blocks as they are."""
    return fast_attention_gradient(X, W, W_V, G, polynomial=taylor(2, SCORES))


def gradient_in_blocks_masked(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The same under the causal mask."""
    return fast_attention_gradient(X, W, W_V, G, polynomial=taylor(2, SCORES), causal=True)


def rows_of(n: int) -> int:
    return n


def one() -> int:
    return 1


LINEAR: Mapping[str, Law] = {"n": rows_of, "1": one}


def beside_results(found: Count) -> int:
    """Most bytes at once, less those of the gradient on X and of its bound."""
    return found.peak - int(found.value.value.X.nbytes) - int(found.value.bound.X.nbytes)


def beside_results_and_rows(found: Count) -> int:
    """The same less four numbers for each row."""
    return beside_results(found) - 4 * 8 * len(found.value.value.X)


# --- false variants of these


def _first(found: Any) -> Array:
    """The first array of a result."""
    value = getattr(found, "value", found)
    return value if isinstance(value, np.ndarray) else value[0] if isinstance(value, tuple) else value.X


def all_pairs(found: Any) -> Any:
    """An n × n array is made beside it."""
    first = _first(found)
    found_too = first @ first.T
    return found if len(found_too) else None


def one_more(found: Any) -> Any:
    """A multiplication for each number of the first result."""
    first = _first(found)
    return found if len(1 * first) else None


def keeping_pairs(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The fast gradient, with a number kept for each pair of rows."""
    pairs = np.zeros((len(X), len(X)))
    return gradient_in_blocks(X, W, W_V, G) if len(pairs) else None


def keeping_rows(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The same with one number kept for each row."""
    rows = np.zeros(len(X))
    return gradient_in_blocks(X, W, W_V, G) if len(rows) else None


def keeping_pairs_masked(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The fast gradient under the mask, with a number kept for each pair of rows."""
    pairs = np.zeros((len(X), len(X)))
    return gradient_in_blocks_masked(X, W, W_V, G) if len(pairs) else None


def keeping_rows_masked(X: Array, W: Array, W_V: Array, G: Array) -> Any:
    """The same with one number kept for each row."""
    rows = np.zeros(len(X))
    return gradient_in_blocks_masked(X, W, W_V, G) if len(rows) else None


def costs_more(claim: Claim) -> dict[str, Claim]:
    return {"n × n numbers beside it": Costlier(claim, all_pairs), "times 1": Costlier(claim, one_more)}


def own_form(claim: Claim, trial: Sized, false: Mapping[str, Claim] | None = None, reading: str = "") -> Form:
    check = Check(kind="count", claim=claim, trial=trial, false=false or costs_more(claim))
    return Form(reading=reading, formula=claim, checks=(check,))


WITHOUT_G = {"X": "n d", "W": "d d", "W_V": "d d"}
WIDTHS = {"n": (2, 4, 7), "rows": (2, 3), "d": (1, 2, 3, 4), "g": (2, 4, 6)}
IN_BLOCKS = {"n": (512, 1024, 1536, 2048, 3072), "d": (2,)}


def law_part(name: str, claim: Claim, law: Law, words: str) -> Part:
    shapes = WITHOUT_G if "output" in name else LAYER
    trial = CountTrial(over=WIDTHS, shapes=shapes, law=law, checked=True)
    return Part(kind="cost", name=name, claim=words, forms=(own_form(claim, trial),))


def exact_part(name: str, claim: Claim, law: Law, words: str) -> Part:
    shapes = WITHOUT_G if "output" in name else LAYER
    over = {"n": (1, 2, 7, 40), "d": (1, 2, 5), "entries": (16, 10000)}
    trial = CountTrial(over=over, shapes=shapes, law=law, checked=True)
    return Part(kind="cost", name=name, claim=words, forms=(own_form(claim, trial),))


def linear_part(name: str, claim: Claim, shapes: Mapping[str, str]) -> Part:
    trial = FitTrial(over=IN_BLOCKS, shapes=shapes, terms=LINEAR, checked=True)
    false: dict[str, Claim] = {
        "n × n numbers beside it": Costlier(claim, all_pairs),
        "once more per pair of rows": Costlier(claim, sorted_pairs),
    }
    words = "the operations at multiples of the block are a n + b: found from two n, the same at three others"
    return Part(kind="cost", name=name, claim=words, forms=(own_form(claim, trial, false),))


def sorted_pairs(found: Any) -> Any:
    """Each row is compared with each other."""
    first = _first(found)[:, 0]
    return found if len(first[:, None] < first) else None


def bytes_part(name: str, claim: Claim, measure: Measure, false: Mapping[str, Claim], words: str) -> Part:
    over = {"n": (1024, 1536, 2048, 3072), "d": (2,)}
    trial = FitTrial(over=over, shapes=LAYER, terms={"1": one}, measure=measure, checked=True)
    return Part(kind="cost", name=name, claim=words, forms=(own_form(claim, trial, false),))


def crossover_part(name: str, claim: Claim, rival: Claim, law: Law, slower: Claim) -> Part:
    trial = CrossoverTrial(
        over={"d": (1, 2, 4), "g": (2, 4)},
        shapes=WITHOUT_G if name == "output" else LAYER,
        given={"rows": fast_qkv.ROWS, "entries": qkv.BLOCK_ENTRIES},
        rival=rival,
        law=law,
        checked=True,
    )
    false: dict[str, Claim] = {
        "n × n numbers beside it": Costlier(claim, all_pairs),
        "once more for every pair of rows": Costlier(claim, sorted_pairs),
        "another method": slower,
    }
    words = (
        "from the n of docs/cost.md on, and not at the one before, it takes fewer operations than the exact function"
    )
    return Part(kind="cost", name=name, claim=words, forms=(own_form(claim, trial, false),))


QKV = {"Q": "n d", "K": "n d", "V": "n d", "dO": "n d"}
THE_LAW = "the operations are those of docs/cost.md, at any n, block, d and even g, unless all keys are equal"
STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="own/cost",
        kind="bound",
        title="What the fast and the exact functions take",
        locus="altgrad's own; about Theorems 4.1 and 4.2, whose time is n^{1+o(1)}",
        parts=(
            law_part("paper", paper, law_paper, THE_LAW),
            law_part("paper, masked", paper_masked, law_paper_masked, THE_LAW),
            law_part("antiderivative", antiderivative, law_antiderivative, THE_LAW),
            law_part("antiderivative, masked", antiderivative_masked, law_antiderivative_masked, THE_LAW),
            law_part("differentiate", differentiate, law_differentiate, THE_LAW),
            law_part("differentiate, masked", differentiate_masked, law_differentiate_masked, THE_LAW),
            law_part("output", output, law_output, THE_LAW),
            law_part("output, masked", output_masked, law_output_masked, THE_LAW),
            linear_part("blocks", gradient_in_blocks, LAYER),
            linear_part("blocks, masked", gradient_in_blocks_masked, LAYER),
            linear_part("Q, K, V", vjp, QKV),
            linear_part("Q, K, V, masked", vjp_masked, QKV),
            bytes_part(
                "bytes",
                gradient_in_blocks,
                beside_results,
                {"a number for each pair": keeping_pairs, "a number for each row": keeping_rows},
                "the most bytes at once, beside the operands and the gradient and bound on X, do not depend on n from"
                " two blocks on",
            ),
            bytes_part(
                "bytes, masked",
                gradient_in_blocks_masked,
                beside_results_and_rows,
                {"a number for each pair": keeping_pairs_masked, "a number for each row": keeping_rows_masked},
                "the same under the mask, with four numbers more for each row",
            ),
            exact_part(
                "exact gradient",
                exact_gradient,
                law_exact_gradient,
                "n² (12 d + 9) + n (12 d² + 14 d − 3) + 2 d² − 8 operations, less 3 for each block",
            ),
            exact_part(
                "exact gradient, masked",
                exact_gradient_masked,
                law_exact_gradient_masked,
                "the same with the pairs of each block that its last row sees for n², and 3 b² more for its mask:"
                " half of it for many blocks, 3 n² more for one",
            ),
            exact_part(
                "exact output",
                exact_output,
                law_exact_output,
                "n² (4 d + 6) + n (4 d² + 6 d − 2) − 3 operations, less 2 for each block",
            ),
            exact_part(
                "exact output, masked",
                exact_output_masked,
                law_exact_output_masked,
                "the same with the pairs of each block that its last row sees for n², and 2 b² more for its mask",
            ),
        ),
        note="Operations and bytes are counted as docs/cost.md says, bounds on the error included. Polynomials are"
        " given; what is done to their coefficients in exact numbers does not depend on n.",
        related=("4.1", "E.11", "F.5", "G.4", "I.7", "I.8"),
    ),
    Statement(
        id="own/crossover",
        kind="bound",
        title="From which n on the fast functions take fewer operations",
        locus="altgrad's own; about Theorem 4.1, which names no n",
        parts=(
            crossover_part("paper", paper, exact_gradient, crossover_paper, differentiate),
            crossover_part("antiderivative", antiderivative, exact_gradient, crossover_antiderivative, paper),
            crossover_part("differentiate", differentiate, exact_gradient, crossover_differentiate, paper),
            crossover_part("output", output, exact_output, crossover_output, output_masked),
        ),
        note="Operations without a mask, at d = 1, 2, 4 and g = 2, 4; docs/cost.md has the n for larger ones, from the"
        " laws of own/cost. They say nothing of time.",
        related=("4.1", "own/cost"),
    ),
)
