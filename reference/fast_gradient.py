r"""The fast gradients of one layer on factors of its attention matrix, in the paper's order of multiplication.

Sections E (the gradient on T, term by term), F.5 (on W), G.4 (on W_V), Algorithm 1 (all three: SingleGrad) and, for
the causal mask, I.7 and I.8; each printed formula that does not hold beside the one that does. f̃ = U1 V1ᵀ stands for f
wherever it occurs, and never is an n×n array made of it: products are taken from the right, V1ᵀ first.

| symbol | shape | meaning |
|---|---|---|
| `U1`, `V1` | (n, k1) | factors of f̃ ≈ f (C.13) |
| `U3`, `V3` | (n, k3) | factors of p1 (C.15) |
| `U4`, `V4` | (n, k4) | factors of p2 (C.16) |
| `U6`, `V6` … `U10`, `V10` | (n, k) | factors of z6, z7, z2 (9) and z4 (10): `reference.low_rank` |

Transposing f̃ exchanges U1 and V1. That is all the repairs of D6, D7, D8 and g_v need, so they cost the same.

What `X`, `f`, `h`, `s`, `q`, `G` and `scale` mean: `reference.softmax_attention`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference import input_gradient as exact
from reference import low_rank
from reference import softmax_attention as attn
from reference.masked_product import masked_attention_product, masked_entrywise_product
from reference.softmax_attention import Array
from reference.transformer import Entrywise, G_of_T

# --------------------------------------------------------------------------------------- E: the five terms, on factors


def K_factored(U1: Array, V1: Array, h: Array, G: Array) -> Array:
    r"""The inner products K of D.16, from the approximate output (C.14), as almost linear time requires (E.1).

    .. math:: \tilde K = (G_i \odot U_1 (V_1^\top h(X))) \cdot 1_d

    Shapes: U1, V1 (n, k1), h (n, d), G (n, d) -> (n,). Cost: O(n k1 d).
    """
    return exact.K(G, U1 @ (V1.T @ h))


def D6_factored_printed(X: Array, W: Array, U6: Array, V6: Array) -> Array:
    r"""What the steps of the proof of E.3 compute for the term D6 on factors of z6: without the minus sign.

    .. math:: U_6 ((V_6^\top X) W^\top)

    Shapes: X (n, d), W (d, d), U6, V6 (n, k6) -> (n, d). Cost: O(n k6 d + k6 d²).
    """
    return U6 @ ((V6.T @ X) @ W.T)


def D6_factored(X: Array, W: Array, U6: Array, V6: Array) -> Array:
    r"""The term D6 on factors of z6 (E.3, repaired).

    .. math:: \tilde D_6 = -U_6 ((V_6^\top X) W^\top)

    Shapes: X (n, d), W (d, d), U6, V6 (n, k6) -> (n, d). Cost: O(n k6 d + k6 d²).
    """
    return -D6_factored_printed(X, W, U6, V6)


def D7_factored(X: Array, W: Array, U7: Array, V7: Array) -> Array:
    r"""The term D7 on factors of z7 (E.5).

    .. math:: \tilde D_7 = U_7 ((V_7^\top X) W^\top)

    Shapes: X (n, d), W (d, d), U7, V7 (n, k7) -> (n, d). Cost: O(n k7 d + k7 d²).
    """
    return U7 @ ((V7.T @ X) @ W.T)


def D8_factored(W_V: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""The term D8 on factors of f (E.6).

    .. math:: \tilde D_8 = U_1 ((V_1^\top G_i) W_V^\top)

    Shapes: W_V (d, d), G (n, d), U1, V1 (n, k1) -> (n, d). Cost: O(n k1 d + k1 d²).
    """
    return U1 @ ((V1.T @ G) @ W_V.T)


def D2_factored_printed(X: Array, W: Array, U9: Array, V9: Array) -> Array:
    r"""What the steps of the proof of E.8 compute for the term D2 on factors of z2: without the minus sign.

    .. math:: U_9 ((V_9^\top X) W)

    Shapes: X (n, d), W (d, d), U9, V9 (n, k9) -> (n, d). Cost: O(n k9 d + k9 d²).
    """
    return U9 @ ((V9.T @ X) @ W)


def D2_factored(X: Array, W: Array, U9: Array, V9: Array) -> Array:
    r"""The term D2 on factors of z2 (E.8, repaired).

    .. math:: \tilde D_2 = -U_9 ((V_9^\top X) W)

    Shapes: X (n, d), W (d, d), U9, V9 (n, k9) -> (n, d). Cost: O(n k9 d + k9 d²).
    """
    return -D2_factored_printed(X, W, U9, V9)


def D4_factored(X: Array, W: Array, U10: Array, V10: Array) -> Array:
    r"""The term D4 on factors of z4 (E.10).

    .. math:: \tilde D_4 = U_{10} ((V_{10}^\top X) W)

    Shapes: X (n, d), W (d, d), U10, V10 (n, k10) -> (n, d). Cost: O(n k10 d + k10 d²).
    """
    return U10 @ ((V10.T @ X) @ W)


# ------------------------------------------------------------------------------- Algorithm 1, F.5, G.4: the gradients


def g_t_printed(X: Array, W: Array, W_V: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""Gradient on T as the sum of the five terms, as printed (Algorithm 1, line 16; E.11).

    .. math:: g_t = \tilde D_6 + \tilde D_7 + \tilde D_8 + \tilde D_2 + \tilde D_4

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), U1, V1 (n, k1) -> (n, d). Cost: O(n k1 d²).
    """
    h = attn.h(X, W_V)  # (n, d)
    K = K_factored(U1, V1, h, G)  # (n,)
    D6 = D6_factored(X, W, *low_rank.z6_factors(U1, V1, K))  # (n, d), as are all five
    D7 = D7_factored(X, W, *low_rank.z7_factors(U1, V1, h, G))
    D8 = D8_factored(W_V, G, U1, V1)
    D2 = D2_factored(X, W, *low_rank.z2_factors(U1, V1, K))
    D4 = D4_factored(X, W, *low_rank.z4_factors(U1, V1, h, G))
    return sum_of_terms(D6, D7, D8, D2, D4)


def sum_of_terms(D6: Array, D7: Array, D8: Array, D2: Array, D4: Array) -> Array:
    r"""The five terms put together (E.11).

    .. math:: \tilde D_6 + \tilde D_7 + \tilde D_8 + \tilde D_2 + \tilde D_4

    Shapes: five of (n, d) -> (n, d). Cost: 4 n d.
    """
    return D6 + D7 + D8 + D2 + D4


def g_t(X: Array, W: Array, W_V: Array, G: Array, U1: Array, V1: Array, scale: Any) -> Array:
    r"""Gradient on T (Algorithm 1, line 16, repaired as E.11 is): the gradient of E.11 with f̃ for f.

    Wᵀ for W; f̃ᵀ for f̃ in D6, D7 and D8, so that U1 and V1 change places there; τ on all terms but D8.

    .. math:: g_t = \tau (\tilde p X W^\top + \tilde p^\top X W) + \tilde f^\top G W_V^\top, \qquad
              \tilde p = \tilde f \odot (G h^\top) - \mathrm{diag}(\tilde K) \tilde f

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d), U1, V1 (n, k1) -> (n, d). Cost: O(n k1 d²).
    """
    h = attn.h(X, W_V)  # (n, d)
    K = K_factored(U1, V1, h, G)  # (n,)
    D6 = D6_factored(X, W.T, *low_rank.z6_factors(V1, U1, K))  # (n, d), as are all five
    D7 = D7_factored(X, W.T, *low_rank.z7_factors(V1, U1, h, G))
    D8 = D8_factored(W_V, G, V1, U1)
    D2 = D2_factored(X, W.T, *low_rank.z2_factors(U1, V1, K))
    D4 = D4_factored(X, W.T, *low_rank.z4_factors(U1, V1, h, G))
    return scale * (D6 + D7 + D2 + D4) + D8


def g_w_printed(X: Array, U3: Array, V3: Array) -> Array:
    r"""Gradient on W, as printed (Algorithm 1, line 19), with T_{i−1} = X.

    .. math:: g_w = (T_{i-1}^\top U_3) \cdot (V_3^\top T_{i-1})

    Shapes: X (n, d), U3, V3 (n, k3) -> (d, d). Cost: O(n k3 d + k3 d²).
    """
    return (X.T @ U3) @ (V3.T @ X)


def g_w_left_to_right(X: Array, U3: Array, V3: Array, U4: Array, V4: Array) -> Array:
    r"""Gradient on W in the order of multiplication of F.5's proof, from the left, where Algorithm 1 has g_w.

    .. math:: ((X^\top U_3) V_3^\top) X - ((X^\top U_4) V_4^\top) X

    Shapes: X (n, d), U3, V3 (n, k3), U4, V4 (n, k4) -> (d, d). Cost: O(n (k3 + k4 + d) d): a d × n array on the way.

    >>> import numpy as np
    >>> X, p1, p2 = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), np.array([[1.0], [1.0]])
    >>> g_w_left_to_right(X, p1, p1, p2, p2)
    array([[112.]])
    """
    return ((X.T @ U3) @ V3.T) @ X - ((X.T @ U4) @ V4.T) @ X


def g_w(X: Array, U3: Array, V3: Array, U4: Array, V4: Array, scale: Any) -> Array:
    r"""Gradient on W (Algorithm 1, line 19, repaired): p2 taken off, and the factor τ of the scores.

    .. math:: g_w = \tau \bigl((X^\top U_3)(V_3^\top X) - (X^\top U_4)(V_4^\top X)\bigr)

    Shapes: X (n, d), U3, V3 (n, k3), U4, V4 (n, k4) -> (d, d). Cost: O(n (k3 + k4) d + (k3 + k4) d²).

    >>> import numpy as np
    >>> X, p1, p2 = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), np.array([[1.0], [1.0]])
    >>> g_w(X, p1, p1, p2, p2, 1), X.T @ (p1 @ p1.T - p2 @ p2.T) @ X
    (array([[112.]]), array([[112.]]))
    """
    return scale * (g_w_printed(X, U3, V3) - g_w_printed(X, U4, V4))


def g_v_printed(X: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""Gradient on W_V, as printed (Algorithm 1, line 22; G.4), with T_{i−1} = X.

    .. math:: g_v = (T_{i-1}^\top U_1) \cdot (V_1^\top G_i)

    Shapes: X (n, d), G (n, d), U1, V1 (n, k1) -> (d, d). Cost: O(n k1 d + k1 d²).
    """
    return (X.T @ U1) @ (V1.T @ G)


def g_v_left_to_right(X: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""The same in the order of multiplication of G.4's proof, from the left.

    .. math:: ((X^\top U_1) V_1^\top) G_i

    Shapes: X (n, d), G (n, d), U1, V1 (n, k1) -> (d, d). Cost: O(n k1 d + n d²): a d × n array on the way.
    """
    return ((X.T @ U1) @ V1.T) @ G


def g_v(X: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""Gradient on W_V (Algorithm 1, line 22, repaired as G.3 is): f̃ᵀ for f̃, so that U1 and V1 change places.

    .. math:: g_v = (X^\top V_1) \cdot (U_1^\top G_i)

    Shapes: X (n, d), G (n, d), U1, V1 (n, k1) -> (d, d). Cost: O(n k1 d + k1 d²).

    >>> import numpy as np
    >>> X, G, U1, V1 = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]), np.ones((2, 1)), np.array([[1.0], [0.0]])
    >>> g_v(X, G, U1, V1), g_v_printed(X, G, U1, V1)  # both outputs see the first value; the second is felt
    (array([[1.]]), array([[0.]]))
    """
    return (X.T @ V1) @ (U1.T @ G)


def single_gradient_printed(
    X: Array, W: Array, W_V: Array, W_g: Array, g_T: Array, Attn: Array, phi_prime: Entrywise, U1: Array, V1: Array
) -> tuple[Array, Array, Array]:
    r"""All lines of SingleGrad (Algorithm 1, lines 12 to 24), as printed, from factors of f (C.13), with T_{i−1} = X.

    .. math:: G_i, \quad g_t, \quad g_w = (X^\top U)(V^\top X), \quad g_v, \qquad
              U V^\top = U_3 V_3^\top - U_4 V_4^\top \approx p(X)

    Shapes: X, g_T, Attn (n, d), W, W_V, W_g (d, d), U1, V1 (n, k1) -> (n, d), (d, d), (d, d). Cost: O(n k1 d²).
    """
    G = G_of_T(g_T, Attn, W_g, phi_prime)  # (n, d)
    U3, V3 = low_rank.p1_factors(U1, V1, *low_rank.q_factors(G, attn.h(X, W_V)))  # (n, k1 d) both
    U4, V4 = low_rank.p2_factors(U1, V1, U3, V3)  # (n, k1) both
    U, V = np.hstack([U3, -U4]), np.hstack([V3, V4])  # (n, k1 (d + 1)) both
    return g_t_printed(X, W, W_V, G, U1, V1), g_w_printed(X, U, V), g_v_printed(X, G, U1, V1)


def g_t_heads_printed(X: Array, W: Array, W_V: Array, G: Array, U1: Array, V1: Array) -> Array:
    r"""Gradient on T of attention with several heads: that of E.11 for each, as printed, and their sum (K.2).

    .. math:: \sum_{l=1}^{h} g_t\bigl(X, W_l, (W_V)_l, G_l\bigr), \qquad W_l = (W_Q)_l (W_K)_l^\top

    Shapes: X (n, d), W (h, d, d), W_V (h, d, d_h), G (h, n, d_h), U1, V1 (h, n, k1) -> (n, d). Cost: O(n k1 d²).
    """
    return np.sum([g_t_printed(X, *one) for one in zip(W, W_V, G, U1, V1, strict=True)], axis=0)


# --------------------------------------------------------------------------------- I.7 and I.8: under the causal mask


def D6_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""The term D6 under the mask (I.7, Part 1), K from the masked output.

    .. math:: D_6 = -\hat f(X)\, \mathrm{diag}(K) X W^\top

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    f = attn.f_causal(X, W)  # (n, n)
    return exact.D6(X, W, f, exact.K(G, attn.s(f, attn.h(X, W_V))))


def D2_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""The term D2 under the mask (I.7, Part 2), K from the masked output.

    .. math:: D_2 = -\mathrm{diag}(K) \hat f(X) X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    f = attn.f_causal(X, W)  # (n, n)
    return exact.D2(X, W, f, exact.K(G, attn.s(f, attn.h(X, W_V))))


def D8_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""The term D8 under the mask (I.7, Part 3).

    .. math:: D_8 = \hat f(X) G_i W_V^\top

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return attn.f_causal(X, W) @ G @ W_V.T


def g_v_causal_printed(X: Array, W: Array, G: Array) -> Array:
    r"""Gradient on W_V under the mask, as printed (I.7, Part 4).

    .. math:: g_v = X^\top \hat f(X) G_i

    Shapes: X (n, d), W (d, d), G (n, d) -> (d, d). Cost: O(n² d + n d²).
    """
    return X.T @ attn.f_causal(X, W) @ G


def g_v_causal(X: Array, W: Array, G: Array) -> Array:
    r"""Gradient on W_V under the mask (I.7, Part 4, repaired as G.3 is).

    .. math:: g_v = X^\top \hat f(X)^\top G_i

    Shapes: X (n, d), W (d, d), G (n, d) -> (d, d). Cost: O(n² d + n d²).
    """
    return X.T @ attn.f_causal(X, W).T @ G


def D7_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""The term D7 under the mask (I.8, Part 1).

    .. math:: D_7 = (\hat f(X) \odot (h(X) G_i^\top)) X W^\top

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return exact.D7(X, W, attn.f_causal(X, W), attn.h(X, W_V), G)


def D4_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""The term D4 under the mask (I.8, Part 2).

    .. math:: D_4 = (\hat f(X) \odot (G_i h(X)^\top)) X W

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d). Cost: O(n² d + n d²).
    """
    return exact.D4(X, W, attn.f_causal(X, W), attn.h(X, W_V), G)


def g_w_causal_printed(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""Gradient on W under the mask, as printed (I.8, Part 3).

    .. math:: g_w = X^\top (p_1(X) - p_2(X)) X, \quad p_1(X) = \hat f(X) \odot q(X), \quad
              p_2(X) = \mathrm{diag}(p_1(X) \cdot 1_n) \hat f(X)

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (d, d). Cost: O(n² d + n d²).
    """
    p = attn.p(attn.f_causal(X, W), attn.q(G, attn.h(X, W_V)))  # (n, n)
    return X.T @ p @ X


def g_w_causal(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    r"""Gradient on W under the mask (I.8, Part 3, repaired): divided by d, as the scores of f̂ are (I.5).

    .. math:: g_w = \tfrac{1}{d} X^\top (p_1(X) - p_2(X)) X

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (d, d). Cost: O(n² d + n d²).
    """
    return g_w_causal_printed(X, W, W_V, G) / X.shape[1]


def masked_dot_terms(X: Array, W: Array, W_V: Array, G: Array, U0: Array, V0: Array) -> tuple[Array, ...]:
    r"""D6, D2, D8 and g_v under the mask in almost linear time (I.7), each by Part 1 of I.6, and so is K.

    .. math:: -\tilde f\, (\mathrm{diag}(K) X W^\top), \quad -\mathrm{diag}(K) (\tilde f\, (X W)), \quad
              \tilde f\, (G_i W_V^\top), \quad X^\top (\tilde f\, G_i), \qquad
              \tilde f = D^{-1} (M \odot (U_0 V_0^\top))

    Shapes: X, G (n, d), W, W_V (d, d), U0, V0 (n, k) -> three of (n, d), and (d, d). Cost: O(n k d + n d²).
    """
    K = exact.K(G, masked_attention_product(U0, V0, attn.h(X, W_V)))[:, None]  # (n, 1)
    return (
        -masked_attention_product(U0, V0, K * (X @ W.T)),
        -K * masked_attention_product(U0, V0, X @ W),
        masked_attention_product(U0, V0, G @ W_V.T),
        X.T @ masked_attention_product(U0, V0, G),
    )


def masked_entrywise_terms(X: Array, W: Array, W_V: Array, G: Array, U0: Array, V0: Array) -> tuple[Array, ...]:
    r"""D7, D4 and g_w under the mask in almost linear time (I.8), by Part 2 of I.6, and Part 1 for p2.

    .. math:: (\tilde f \odot (h G_i^\top)) (X W^\top), \quad (\tilde f \odot (G_i h^\top)) (X W), \quad
              X^\top \bigl( p_1 X - \mathrm{diag}(p_1 1_n) (\tilde f X) \bigr), \qquad
              p_1 = \tilde f \odot (G_i h^\top)

    Shapes: X, G (n, d), W, W_V (d, d), U0, V0 (n, k) -> two of (n, d), and (d, d). Cost: O(n k d²).
    """
    h = attn.h(X, W_V)  # (n, d)
    sums = masked_entrywise_product(U0, V0, G, h, np.ones((len(X), 1), X.dtype))  # (n, 1), p1 1_n
    p2_X = sums * masked_attention_product(U0, V0, X)  # (n, d)
    return (
        masked_entrywise_product(U0, V0, h, G, X @ W.T),
        masked_entrywise_product(U0, V0, G, h, X @ W),
        X.T @ (masked_entrywise_product(U0, V0, G, h, X) - p2_X),
    )
