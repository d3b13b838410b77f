r"""Transformers of m layers and their gradients, exactly (Definitions 1.3, 3.3, J.1, J.2, K.1; Lemmas H.1, H.2, J.3).

With :math:`T_0 = g_0(X)`, layer i is attention followed by a product with W_g and an entrywise φ,

.. math::

    T_i = \phi(Z_i W_g), \quad Z_i = \mathrm{Attn}_i(T_{i-1}) \qquad\text{or, with residual connections,}\qquad
    T_i = Z_i + \phi(Z_i W_g), \quad Z_i = T_{i-1} + \mathrm{Attn}_i(T_{i-1}),

where Attn_i splits Q = T W_Q, K = T W_K, V = T W_V by columns into `heads` blocks of width d_h, scales the scores
by 1/d_h and puts the outputs side by side (K.1). The gradient runs through the layers from the last to the first:

.. math::

    \frac{dL}{dT_i} \;\xrightarrow{\text{H.2, J.3}}\; G_i = \frac{dL}{dZ_i} \;\xrightarrow{\text{attention, J.3}}\;
    \frac{dL}{dT_{i-1}}, \qquad
    \frac{dL}{dW_g} = Z_i^\top \Bigl(\frac{dL}{dT_i} \odot \phi'(Z_i W_g)\Bigr), \quad
    \frac{dL}{dW_Q} = T_{i-1}^\top dQ \ \text{ (and so for K, V)}.

First the paper's formulas, a line or two each, which also run on object arrays (balls); then activations; then the
model, which uses both and in which each array is checked for overflow when it is made.

| symbol | shape | meaning |
|---|---|---|
| `X`, `T` | (n, d) | input of the model, input of a layer (T_{i-1}) |
| `W_Q`, `W_K`, `W_V`, `W_g` | (d, d) | weights of a layer |
| `Attn`, `Z` | (n, d) | what W_g is applied to: Attn(T), or T + Attn(T) |
| `g_T` | (n, d) | dL/dT_i |
| `G` | (n, d) | dL/dAttn_i(T_{i-1}) |
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from flint import arb

from reference import backend
from reference.chain_rule import Gradient
from reference.input_gradient import gradient_X, gradient_X_printed
from reference.loss import Loss
from reference.qkv import QKVGradient, Wording, backward, forward
from reference.shapes import FloatArray, check_operands, check_type, refuse
from reference.softmax_attention import Array, Attn_QKV

Entrywise: TypeAlias = Callable[[Any], Any]  # an array to one of its shape
Parameters: TypeAlias = dict[str, FloatArray]  # a parameter's name -> the gradient on it
G0: TypeAlias = tuple[
    Callable[[FloatArray], FloatArray], Callable[[FloatArray, FloatArray], tuple[FloatArray, Parameters]]
]

__all__ = ["Layer", "ModelGradient", "gradient_step", "transformer_gradient", "transformer_output"]


# ---------------------------------------------------------------------------------------------------- the formulas


def T_next(Attn: Array, W_g: Array, phi: Entrywise) -> Array:
    r"""Hidden state after a layer (3.3, with the g_i of H.1).

    .. math:: T_i(X) = g_i(\mathrm{Attn}_i(T_{i-1}(X))), \qquad g_i(Z) = \phi(Z W_g)

    Shapes: Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n d²).

    >>> T_next(np.array([[1.0, 2.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]), identity)
    array([[2., 1.]])
    """
    return phi(Attn @ W_g)


def dT_dAttn_entry(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int, i5: int, j5: int) -> Any:
    r"""Derivative of one entry of T_i with respect to one entry of Attn_i (H.1, Part 1).

    .. math::

        \frac{dT_i(i_4, j_4)}{d\mathrm{Attn}_i(i_5, j_5)} = \begin{cases}
        \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))\, W_g(j_5, j_4) & i_4 = i_5 \\ 0 & i_4 \ne i_5 \end{cases}

    Shapes: Attn (n, d), W_g (d, d) -> number; the indices count from 0. Cost: O(d).

    >>> Attn, W_g = np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> [float(dT_dAttn_entry(Attn, W_g, identity_prime, 0, 1, i5, 0)) for i5 in (0, 1)]
    [2.0, 0.0]
    """
    slope = phi_prime(Attn[i4] @ W_g[:, j4])
    return slope * W_g[j5, j4] * (1 if i4 == i5 else 0)


def dT_dAttn(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int) -> Array:
    r"""Derivative of one entry of T_i with respect to all of Attn_i (H.1, Part 2).

    .. math:: \frac{dT_i(i_4, j_4)}{d\mathrm{Attn}_i} =
              \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))\, e_{i_4} W_g(*, j_4)^\top

    Shapes: Attn (n, d), W_g (d, d) -> (n, d); the indices count from 0. Cost: O(n d).

    >>> dT_dAttn(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), identity_prime, 0, 1)
    array([[2., 4.],
           [0., 0.]])
    """
    e = np.arange(len(Attn)) == i4  # (n,)
    return phi_prime(Attn[i4] @ W_g[:, j4]) * (e[:, None] * W_g[:, j4])  # (n, d)


def S_cotangent(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    r"""Cotangent of Attn_i W_g, the first factor of H.2.

    .. math:: g_{T_i} \odot \phi'(\mathrm{Attn}_i(T_{i-1}) W_g)

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n d²).

    >>> S_cotangent(np.array([[2.0]]), np.array([[-1.0]]), np.array([[3.0]]), relu_prime)
    array([[0.]])
    """
    return g_T * phi_prime(Attn @ W_g)


def G_of_T(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    r"""Gradient on the attention output, from the gradient on T_i (H.2, Eq. 25).

    .. math:: G_i = \bigl(g_{T_i} \odot \phi'(\mathrm{Attn}_i(T_{i-1}) W_g)\bigr) W_g^\top

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n d²).

    >>> G_of_T(np.array([[2.0]]), np.array([[1.0]]), np.array([[3.0]]), relu_prime)
    array([[6.]])
    """
    return S_cotangent(g_T, Attn, W_g, phi_prime) @ W_g.T


def G_of_slopes(g_T: Array, slopes: Array, W_g: Array) -> Array:
    r"""The same from φ′(Attn_i W_g), which the forward pass may keep: the two products that H.2's proof counts.

    .. math:: (g_{T_i} \odot \phi') W_g^\top

    Shapes: g_T (n, d), slopes (n, d), W_g (d, d) -> (n, d). Cost: O(n d²).

    >>> G_of_slopes(np.array([[2.0]]), np.array([[1.0]]), np.array([[3.0]]))
    array([[6.]])
    """
    return (g_T * slopes) @ W_g.T


def residual_attention(T: Array, Attn: Array) -> Array:
    r"""Residual connection over attention (J.1).

    .. math:: Z_i = T_{i-1} + \mathrm{Attn}_i(T_{i-1})

    Shapes: T (n, d), Attn (n, d) -> (n, d). Cost: O(n d).

    >>> residual_attention(np.array([[1.0]]), np.array([[2.0]]))
    array([[3.]])
    """
    return T + Attn


def residual_g(Z: Array, g_Z: Array) -> Array:
    r"""Residual connection over g_i (J.2).

    .. math:: T_i = Z_i + g_i(Z_i)

    Shapes: Z (n, d), g_Z = g_i(Z_i) (n, d) -> (n, d). Cost: O(n d).

    >>> residual_g(np.array([[1.0]]), np.array([[2.0]]))
    array([[3.]])
    """
    return Z + g_Z


def residual_layer(T: Array, Attn: Array, W_g: Array, phi: Entrywise) -> Array:
    r"""Hidden state after a layer with both residual connections (3.3 and J.2, repaired; with the g_i of H.1).

    .. math:: T_i = \bigl((\mathrm{Id} + g_i) \circ (\mathrm{Id} + \mathrm{Attn}_i)\bigr)(T_{i-1})

    Shapes: T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n d²).
    """
    Z = residual_attention(T, Attn)  # (n, d)
    return residual_g(Z, phi(Z @ W_g))


def residual_gradient(G_Y: Array, vjp_H: Array) -> Array:
    r"""Gradient through a residual connection Y = X + H(X) (J.3).

    .. math:: \frac{dL}{dX} = \frac{dL}{dY} + \frac{dL}{dY} \frac{dH(X)}{dX}

    Shapes: G_Y = dL/dY (n, d), vjp_H = (dL/dY)(dH/dX) (n, d) -> (n, d). Cost: O(n d).

    >>> residual_gradient(np.array([[1.0]]), np.array([[2.0]]))
    array([[3.]])
    """
    return G_Y + vjp_H


def layer_norm(Z: Array) -> Array:
    r"""Layer norm of each row, without weights (1.3's text names it).

    .. math:: \frac{Z_{i,*} - \mu_i}{\sigma_i}, \quad \mu_i = \tfrac1d \sum_c Z_{i,c}, \quad
              \sigma_i^2 = \tfrac1d \sum_c (Z_{i,c} - \mu_i)^2

    Shapes: Z (n, d) -> (n, d). Cost: O(n d).

    >>> layer_norm(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]])
    """
    centred, sigma = _centred(Z)
    return centred / sigma


def layer_norm_vjp(Z: Array, G: Array) -> Array:
    r"""Gradient of ⟨G, layer_norm(Z)⟩, with y = layer_norm(Z).

    .. math:: \frac{1}{\sigma_i} \Bigl( G_{i,c} - \tfrac1d \sum_b G_{i,b}
              - y_{i,c}\, \tfrac1d \sum_b G_{i,b} y_{i,b} \Bigr)

    Shapes: Z, G (n, d) -> (n, d). Cost: O(n d).
    """
    centred, sigma = _centred(Z)
    y = centred / sigma  # (n, d)
    return (G - G.mean(axis=1, keepdims=True) - y * (G * y).mean(axis=1, keepdims=True)) / sigma


def _centred(Z: Array) -> tuple[Array, Array]:
    """Each row less its mean, and σ. Shapes: (n, d) -> (n, d), (n, 1)."""
    centred = Z - Z.mean(axis=1, keepdims=True)  # (n, d)
    return centred, np.sqrt((centred * centred).mean(axis=1, keepdims=True))


def other_components(
    X: Array, P: Array, mask: Array, W_1: Array, W_2: Array, G: Array, phi: Entrywise, phi_prime: Entrywise, heads: int
) -> tuple[Array, Array, Array, Array]:
    r"""What 1.3's text counts among the g_i, in a row, and the gradients of ⟨G, Y⟩ on X, W_1 and W_2.

    Positional encoding, layer norm, an MLP, dropout with a mask that is given, a residual connection, and the
    concatenation of heads.

    .. math:: Y = (Y_1 | \cdots | Y_h), \quad (Y_1, \ldots, Y_h) = Z + \mathrm{mask} \odot
              \phi(\mathrm{norm}(Z) W_1) W_2, \quad Z = X + P

    Shapes: X, P, mask, G (n, d), W_1 (d, w), W_2 (w, d) -> (n, d), (n, d), (d, w), (w, d). Cost: O(n d w).
    """
    Z = X + P  # (n, d)
    N = layer_norm(Z)  # (n, d)
    S = N @ W_1  # (n, w)
    H = phi(S)  # (n, w)
    Y = np.concatenate(np.split(Z + mask * (H @ W_2), heads, axis=1), axis=1)  # (n, d)
    dB = mask * G  # (n, d)
    dS = (dB @ W_2.T) * phi_prime(S)  # (n, w)
    return Y, G + layer_norm_vjp(Z, dS @ W_1.T), N.T @ dS, H.T @ dB


def F_m(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    r"""Transformer with m layers (1.3, with the g_i of H.1), written from the last layer inwards.

    .. math::

        F_m(X) = g_m \circ \mathrm{Attn}_m \circ g_{m-1} \circ \mathrm{Attn}_{m-1} \circ \cdots \circ
        g_1 \circ \mathrm{Attn}_1 \circ g_0(X), \qquad g_i(Z) = \phi(Z W_{g_i})

    Shapes: X (n, d), Ws_Q, Ws_K, Ws_V (m, d, d), Ws_g (m + 1, d, d), from g_0 on -> (n, d). Cost: O(m (n² d + n d²)).

    >>> one, nothing = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    >>> weights = nothing, nothing, one, np.array([[[1.0]], [[2.0]]])  # equal scores; g_0(X) = X, g_1(Z) = 2 Z
    >>> F_m(np.array([[1.0], [3.0]]), *weights, identity)  # twice the mean of the rows
    array([[4.],
           [4.]])
    """
    if len(Ws_Q) == 0:
        return phi(X @ Ws_g[0])
    before = F_m(X, Ws_Q[:-1], Ws_K[:-1], Ws_V[:-1], Ws_g[:-1], phi)  # (n, d)
    return phi(Attn_QKV(before, Ws_Q[-1], Ws_K[-1], Ws_V[-1]) @ Ws_g[-1])


def hidden_states(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    r"""All hidden states, from the first to the last (3.3, with the g_i of H.1).

    .. math:: T_0(X) = g_0(X), \quad T_i(X) = (g_i \circ \mathrm{Attn}_i)(T_{i-1}(X)) \text{ for } i \in [m]

    Shapes: X (n, d), Ws_Q, Ws_K, Ws_V (m, d, d), Ws_g (m + 1, d, d), from g_0 on -> (m + 1, n, d).
    """
    states = [phi(X @ Ws_g[0])]  # T_0
    for W_Q, W_K, W_V, W_g in zip(Ws_Q, Ws_K, Ws_V, Ws_g[1:], strict=True):
        states.append(T_next(Attn_QKV(states[-1], W_Q, W_K, W_V), W_g, phi))
    return np.stack(states)


def T_entry(Attn: Array, W_g: Array, phi: Entrywise, i4: int, j4: int) -> Any:
    r"""One entry of T_i (H.1, proof).

    .. math:: T_i(i_4, j_4) = \phi(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))

    Shapes: Attn (n, d), W_g (d, d) -> number. Cost: O(d).
    """
    return phi(Attn[i4] @ W_g[:, j4])


def places_printed(n: int, d: int) -> Array:
    r"""The entries of T_i that the proof of H.1 speaks of, as printed: 1 where it does, in a square that holds both.

    .. math:: i_4 \in [d], \quad j_4 \in [n]

    Shapes: -> (max(n, d), max(n, d)).

    >>> places_printed(1, 2)
    array([[1., 0.],
           [1., 0.]])
    """
    return _marked(d, n)


def places(n: int, d: int) -> Array:
    r"""The entries of T_i, an n × d matrix (H.1, proof, repaired; so the lemma itself).

    .. math:: i_4 \in [n], \quad j_4 \in [d]

    Shapes: -> (max(n, d), max(n, d)).

    >>> places(1, 2)
    array([[1., 1.],
           [0., 0.]])
    """
    return _marked(n, d)


def _marked(rows: int, columns: int) -> Array:
    side = np.arange(max(rows, columns))
    return np.outer(side < rows, side < columns).astype(float)


def dT_dAttn_row(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int, i5: int) -> Array:
    r"""Derivative of one entry of T_i with respect to one row of Attn_i (H.1, proof of Part 2).

    .. math::

        \frac{dT_i(i_4, j_4)}{d\mathrm{Attn}_i(i_5, *)} = \begin{cases}
        \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))\, W_g(*, j_4) & i_4 = i_5 \\ 0 & i_4 \ne i_5 \end{cases}

    Shapes: Attn (n, d), W_g (d, d) -> (d,). Cost: O(d).
    """
    return phi_prime(Attn[i4] @ W_g[:, j4]) * W_g[:, j4] * (1 if i4 == i5 else 0)


def G_by_chain_rule(g_T: Array, dT_dAttn: Array) -> Array:
    r"""Gradient on the attention output by the chain rule (H.2, proof, first chain).

    .. math:: G_i = \sum_{i_4=1}^{n} \sum_{j_4=1}^{d} g_{T_i}(i_4, j_4)
              \cdot \frac{dT_i(i_4, j_4)}{d\mathrm{Attn}_i}

    Shapes: g_T (n, d), dT_dAttn (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return np.sum([g_T[i4, j4] * dT_dAttn[i4, j4] for i4, j4 in np.ndindex(g_T.shape)], axis=0)


def G_sum(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    r"""The same with H.1 (H.2, proof, second chain, 1st step).

    .. math:: \sum_{i_4=1}^{n} \sum_{j_4=1}^{d} g_{T_i}(i_4, j_4)\,
              \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))\, e_{i_4} W_g(*, j_4)^\top

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n² d²).
    """
    terms = [g_T[i4, j4] * dT_dAttn(Attn, W_g, phi_prime, i4, j4) for i4, j4 in np.ndindex(g_T.shape)]  # of (n, d)
    return np.sum(terms, axis=0)


def G_sum_of_rows(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    r"""The same with the sum over j4 inside (H.2, proof, second chain, 2nd step).

    .. math:: \sum_{i_4=1}^{n} e_{i_4} \sum_{j_4=1}^{d} g_{T_i}(i_4, j_4)\,
              \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g(*, j_4))\, W_g(*, j_4)^\top

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n² d + n d²).
    """
    n, d = g_T.shape
    e = np.eye(n, dtype=int)

    def inner(i4: int) -> Array:  # (d,)
        return np.sum([g_T[i4, j4] * phi_prime(Attn[i4] @ W_g[:, j4]) * W_g[:, j4] for j4 in range(d)], axis=0)

    return np.sum([np.outer(e[i4], inner(i4)) for i4 in range(n)], axis=0)


def G_sum_of_products(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    r"""The same with the sum over j4 as a product with W_g (H.2, proof, second chain, 3rd step).

    .. math:: \sum_{i_4=1}^{n} e_{i_4}
              \bigl(W_g (g_{T_i}(i_4, *) \odot \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g))\bigr)^\top

    Vectors are arrays with one axis here, so that the entrywise product of a column with a row, as printed, is that
    of two vectors.

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d) -> (n, d). Cost: O(n² d + n d²).
    """
    e = np.eye(len(g_T), dtype=int)
    rows = [W_g @ (g_T[i4] * phi_prime(Attn[i4] @ W_g)) for i4 in range(len(g_T))]  # n of (d,)
    return np.sum([np.outer(e[i4], rows[i4]) for i4 in range(len(g_T))], axis=0)


def length_of_slopes(d: int) -> float:
    r"""Number of entries of a factor of H.2's proof (second chain, 3rd step), where a vector may be a row or a column.

    .. math:: \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g) \in R^d

    Shapes: -> number.
    """
    return float(d)


def shape_of_slopes_printed(d: int) -> Array:
    r"""Shape of a factor of H.2's proof (second chain, 3rd step), as printed under it.

    .. math:: \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g) \in R^{d \times 1}

    Shapes: -> (2,).
    """
    return np.array([d, 1], float)


def shape_of_slopes(d: int) -> Array:
    r"""Shape of that factor (H.2, proof, repaired): a row times W_g is a row.

    .. math:: \phi'(\mathrm{Attn}_i(i_4, *)^\top W_g) \in R^{1 \times d}

    Shapes: -> (2,).
    """
    return np.array([1, d], float)


def residual_gradient_product(G_Y: Array, dH_dX: Array) -> Array:
    r"""Gradient through a residual connection Y = X + H(X), in one product (J.3, proof, Eq. 32, 2nd step).

    .. math:: \frac{dL}{dX} = \frac{dL}{dY} \Bigl(I + \frac{dH(X)}{dX}\Bigr)

    Shapes: G_Y = dL/dY (n, d), dH_dX (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    size = G_Y.size
    identity_matrix = np.eye(size, dtype=int).reshape(dH_dX.shape)  # (n, d, n, d)
    return np.tensordot(G_Y, identity_matrix + dH_dX, axes=2)


def gradient_through_attention(G: Array, dAttn_dT: Array) -> Array:
    r"""Gradient on the input of a layer that enters through Attn_i alone, as in F_m (1.3; so 3.4, C.4).

    .. math:: \frac{dL}{dT_{i-1}} = \sum_{j=1}^{n} \sum_{k=1}^{d} G_i(j, k)
              \cdot \frac{d\mathrm{Attn}_i(T_{i-1})_{j,k}}{dT_{i-1}}, \qquad G_i = \frac{dL}{d\mathrm{Attn}_i(T_{i-1})}

    Shapes: G (n, d), dAttn_dT (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return np.tensordot(G, dAttn_dT, axes=2)


def gradient_around_attention(G: Array, dAttn_dT: Array) -> Array:
    r"""Gradient on the input of a layer with a residual connection over Attn_i (1.3's text, repaired; J.1, J.3).

    .. math:: \frac{dL}{dT_{i-1}} = G_i + \sum_{j=1}^{n} \sum_{k=1}^{d} G_i(j, k)
              \cdot \frac{d\mathrm{Attn}_i(T_{i-1})_{j,k}}{dT_{i-1}}

    Shapes: G (n, d), dAttn_dT (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return residual_gradient(G, gradient_through_attention(G, dAttn_dT))


def gradient_of_heads(G_Y: Array, dY_ds: Array, dsl_dX: Array) -> Array:
    r"""Gradient through multi-head attention, head by head (K.2, 2nd step).

    .. math:: \frac{dL}{dX_m} = \sum_{l=1}^{h} \frac{dL}{dY_m} \cdot \frac{dY_m}{ds} \cdot \frac{ds_l}{dX_m}

    Shapes: G_Y = dL/dY (n, d), dY_ds (n, d, n, d), dsl_dX (h, n, d_h, n, d) -> (n, d). Cost: O(n² d²).
    """
    heads = np.split(np.tensordot(G_Y, dY_ds, axes=2), len(dsl_dX), axis=1)  # h of (n, d_h): dL/ds_l
    return np.sum([np.tensordot(G_l, ds_l, axes=2) for G_l, ds_l in zip(heads, dsl_dX, strict=True)], axis=0)


def gradient_of_concatenation(G_Y: Array, dY_ds: Array, ds_dX: Array) -> Array:
    r"""Gradient through multi-head attention, all heads side by side (K.2, 1st step).

    .. math:: \frac{dL}{dX_m} = \frac{dL}{dY_m} \cdot \frac{dY_m}{ds} \cdot \frac{ds}{dX_m}

    Shapes: G_Y = dL/dY (n, d), dY_ds, ds_dX (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return np.tensordot(np.tensordot(G_Y, dY_ds, axes=2), ds_dX, axes=2)


def gradient_of_l2(Attn: Array, E: Array, dAttn_dT: Array) -> Array:
    r"""Gradient of ½‖Attn − E‖² for a fixed E (claim 4).

    .. math:: \frac{d}{dT} \tfrac12 \|\mathrm{Attn}(T) - E\|^2
              = \sum_{j,k} (\mathrm{Attn}(T) - E)_{j,k} \cdot \frac{d\mathrm{Attn}(T)_{j,k}}{dT}

    Shapes: Attn, E (n, d), dAttn_dT (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    return np.tensordot(Attn - E, dAttn_dT, axes=2)


def MultiGrad_printed(
    G: Array, X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise, phi_prime: Entrywise
) -> Array:
    r"""Algorithm 1 from dL/dT_m to dL/dT_0, with exact factors of f and g_t as printed (E.11), scores over d.

    .. math:: g_t \leftarrow dL/dT_m; \quad \text{for } i = m \to 1: \quad
              g_t \leftarrow \mathrm{SingleGrad}(g_t)

    Shapes: G = dL/dT_m, X (n, d), Ws_Q, Ws_K, Ws_V (m, d, d), Ws_g (m + 1, d, d), from g_0 on -> (n, d).
    """
    return _multi_grad(gradient_X_printed, G, X, Ws_Q, Ws_K, Ws_V, Ws_g, phi, phi_prime)


def MultiGrad(
    G: Array, X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise, phi_prime: Entrywise
) -> Array:
    r"""The same with g_t as repaired in E.11 (Algorithm 1, repaired).

    .. math:: g_t \leftarrow dL/dT_m; \quad \text{for } i = m \to 1: \quad
              g_t \leftarrow \tau (p T_{i-1} W^\top + p^\top T_{i-1} W) + f^\top G_i W_V^\top

    Shapes: as `MultiGrad_printed`.
    """
    return _multi_grad(gradient_X, G, X, Ws_Q, Ws_K, Ws_V, Ws_g, phi, phi_prime)


def _multi_grad(
    through_attention: Callable[..., Array],
    g_t: Array,
    X: Array,
    Ws_Q: Array,
    Ws_K: Array,
    Ws_V: Array,
    Ws_g: Array,
    phi: Entrywise,
    phi_prime: Entrywise,
) -> Array:
    states = hidden_states(X, Ws_Q, Ws_K, Ws_V, Ws_g, phi)  # (m + 1, n, d)
    for i in reversed(range(len(Ws_Q))):
        G_i = G_of_T(g_t, Attn_QKV(states[i], Ws_Q[i], Ws_K[i], Ws_V[i]), Ws_g[i + 1], phi_prime)  # (n, d)
        W = Ws_Q[i] @ Ws_K[i].T / X.shape[1]  # (d, d): scores over d
        g_t = through_attention(states[i], W, Ws_V[i], G_i)  # (n, d)
    return g_t


def g_w_for_W_Q(dL_dW_QK: Array) -> Array:
    r"""What Algorithm 1 hands to the optimiser of W_Q, taken for its gradient.

    .. math:: g_w = dL/d(W_Q W_K^\top)

    Shapes: dL_dW_QK (d, d) -> (d, d).
    """
    return dL_dW_QK


def g_w_to_W_Q_and_W_K(dL_dW_QK: Array, W_Q: Array, W_K: Array) -> Array:
    r"""The gradients on W_Q and W_K from the one on their product (Algorithm 1 with C.3).

    .. math:: \frac{dL}{dW_Q} = g_w W_K, \qquad \frac{dL}{dW_K} = g_w^\top W_Q

    Shapes: dL_dW_QK, W_Q, W_K (d, d) -> (2, d, d). Cost: O(d³).
    """
    return np.stack([dL_dW_QK @ W_K, dL_dW_QK.T @ W_Q])


def gradient_around_g(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise, dAttn_dT: Array) -> Array:
    r"""Gradient on the input of a layer with a residual connection inside g_i: Z ↦ Z + φ(Z W_g) (1.3's text).

    .. math:: \frac{dL}{dT_{i-1}} = \sum_{j=1}^{n} \sum_{k=1}^{d} G_i(j, k)
              \cdot \frac{d\mathrm{Attn}_i(T_{i-1})_{j,k}}{dT_{i-1}}, \qquad
              G_i = g_{T_i} + (g_{T_i} \odot \phi'(\mathrm{Attn}_i W_g)) W_g^\top

    Shapes: g_T (n, d), Attn (n, d), W_g (d, d), dAttn_dT (n, d, n, d) -> (n, d). Cost: O(n² d²).
    """
    G = residual_gradient(g_T, G_of_T(g_T, Attn, W_g, phi_prime))  # (n, d)
    return gradient_through_attention(G, dAttn_dT)


# ----------------------------------------------------------------------------------------------------- activations
#
# They keep the dtype of floats. The entries of an object array need +, −, ×, /, abs, exp, tanh, erf and, for relu, >;
# relu of a ball that holds 0 beside other numbers is undefined.


def tanh(x: Array) -> Array:
    r"""Hyperbolic tangent.

    .. math:: \phi(x) = \tanh x
    """
    return np.tanh(x)


def tanh_prime(x: Array) -> Array:
    r"""Its derivative, without the cancellation of 1 − tanh².

    .. math:: \phi'(x) = 1 - \tanh^2 x = \frac{4 e^{-2|x|}}{(1 + e^{-2|x|})^2}
    """
    e = np.exp(-2 * np.abs(x))
    return 4 * e / ((1 + e) * (1 + e))


def gelu(x: Array) -> Array:
    r"""Gaussian error linear unit, the exact one.

    .. math:: \phi(x) = x\, \Phi(x), \qquad \Phi(x) = \tfrac12 \bigl(1 + \mathrm{erf}(x/\sqrt 2)\bigr)
    """
    return x * _normal_cdf(x)


def gelu_prime(x: Array) -> Array:
    r"""Its derivative.

    .. math:: \phi'(x) = \Phi(x) + \frac{x}{\sqrt{2\pi}}\, e^{-x^2/2}
    """
    return _normal_cdf(x) + x * _normal_density(x)


def relu(x: Array) -> Array:
    r"""Positive part.

    .. math:: \phi(x) = \max(x, 0)
    """
    return np.where(x > 0, x, _constant(0, x))


def relu_prime(x: Array) -> Array:
    r"""Its derivative, 0 at 0 where it has none.

    .. math:: \phi'(x) = 1 \text{ if } x > 0, \text{ else } 0
    """
    return np.where(x > 0, _constant(1, x), _constant(0, x))


def identity(x: Array) -> Array:
    r"""No activation.

    .. math:: \phi(x) = x
    """
    return x


def identity_prime(x: Array) -> Array:
    r"""Its derivative.

    .. math:: \phi'(x) = 1
    """
    return _constant(1, x)


def _normal_cdf(x: Array) -> Array:
    """Φ(x); of floats without the cancellation of 1 + erf."""
    if not _holds_objects(x):
        return backend.in_use().ndtr(x)
    erf = np.frompyfunc(lambda entry: entry.erf(), 1, 1)
    return (1 + erf(x / arb(2).sqrt())) / 2


def _normal_density(x: Array) -> Array:
    return np.exp(-x * x / 2) / ((2 * arb.pi()).sqrt() if _holds_objects(x) else math.sqrt(2 * math.pi))


def _constant(number: int, x: Array) -> Array:
    """The number in every place of x, of the kind that x's entries have."""
    return 0 * np.abs(x) + number


def _holds_objects(x: Array) -> bool:
    return (x if hasattr(x, "dtype") else np.asarray(x)).dtype.kind == "O"


ACTIVATIONS: dict[str, tuple[Entrywise, Entrywise]] = {
    "tanh": (tanh, tanh_prime),
    "gelu": (gelu, gelu_prime),
    "relu": (relu, relu_prime),
    "identity": (identity, identity_prime),
}


# ------------------------------------------------------------------------------------------------------- the model


@dataclass(frozen=True, eq=False)
class Layer:
    r"""One layer: T ↦ φ(Attn(T) W_g), or with `residual` Z = T + Attn(T), T ↦ Z + φ(Z W_g) (3.3, J.1, J.2, K.1).

    W_Q, W_K, W_V, W_g (d, d). `heads` divides d; `causal` lets row i see the rows j <= i. `activation` is "tanh",
    "gelu", "relu", "identity", or a pair (φ, φ′) of functions that take an array (n, d) and return one of its shape
    and dtype. What a layer holds is checked where it is used.
    """

    W_Q: FloatArray
    W_K: FloatArray
    W_V: FloatArray
    W_g: FloatArray
    _: KW_ONLY
    heads: int = 1
    causal: bool = False
    residual: bool = False
    activation: str | tuple[Entrywise, Entrywise] = "tanh"


@dataclass(frozen=True, eq=False)
class ModelGradient:
    """The loss and its gradients: on X (n, d), on each layer's input and weights, on parameters of the loss and g0."""

    value: float
    X: FloatArray
    layers: tuple[Gradient, ...]
    loss: Parameters
    g0: Parameters


@np.errstate(all="ignore")
def transformer_output(layers: Sequence[Layer], X: FloatArray, *, g0: G0 | None = None) -> FloatArray:
    r"""Exact output of a transformer of m layers (1.3, 3.3).

    .. math:: T_m = F_m(X) = g_m \circ \mathrm{Attn}_m \circ \cdots \circ g_1 \circ \mathrm{Attn}_1 \circ g_0(X)

    Shapes: X (n, d), the weights of each layer (d, d) -> (n, d), in their dtype. g_i and `Layer` as the latter says;
    `g0` is None for the identity or a pair (forward, vjp), see `transformer_gradient`.
    Cost: O(m (n² d + n d²)); memory O(n d) and one block of scores (see `qkv`).

    Raises AltgradError for operands that are not finite float32 or float64 arrays of one dtype and of these shapes,
    for a layer that is not as `Layer` says, where a function of the caller returns anything but a finite array of X's
    shape and dtype, and where a product overflows.

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> layer = Layer(W_Q=zero, W_K=zero, W_V=one, W_g=one, activation="identity")
    >>> X = np.array([[1.0], [3.0]])
    >>> transformer_output([layer], X)  # equal scores: the mean of the rows
    array([[2.],
           [2.]])
    >>> transformer_output([replace(layer, residual=True)], X)  # Z = X + 2, then Z + Z
    array([[ 6.],
           [10.]])
    """
    steps = checked_layers("transformer_output", layers, X)
    start, _ = checked_g0("transformer_output", g0, X)
    T = start()  # (n, d)
    for step in steps:
        _, T = _layer_output(step, T)  # (n, d)
    return T


@np.errstate(all="ignore")
def transformer_gradient(layers: Sequence[Layer], X: FloatArray, loss: Loss, *, g0: G0 | None = None) -> ModelGradient:
    r"""Gradients of a loss of a transformer's output on its input and all its parameters (C.3, H.2, J.3, K.2).

    .. math:: L(T_m) \;\mapsto\; \frac{dL}{dX},\ \frac{dL}{dT_{i-1}},\ \frac{dL}{dW_{Q_i}},\ \frac{dL}{dW_{K_i}},\
              \frac{dL}{dW_{V_i}},\ \frac{dL}{dW_{g_i}} \quad (i \in [m])

    `loss(T)` returns (value, dL/dT, parameters): a float, an array (n, d), a dict of the gradients on parameters of
    its own (see `loss`). `g0` is None for the identity or a pair (forward, vjp) with forward(X) = T_0 (n, d) and
    vjp(X, dL/dT_0) = (dL/dX, dict of the gradients on parameters of its own). All these arrays have X's dtype. The
    functions get copies: what they do to them, and to what they returned, changes nothing.

    Shapes: X (n, d), the weights of each layer (d, d) -> a `ModelGradient`: in `layers` one `Gradient` per layer, with
    X = dL/dT_{i-1}, W_Q, W_K, W_V, W_g.
    Cost: O(m (n² d + n d²)); memory O(m n d) and two blocks of scores.

    Raises AltgradError as `transformer_output` does, and where the loss, g0 or an activation returns anything else
    than it should, or a gradient overflows.

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> layer = Layer(W_Q=zero, W_K=zero, W_V=one, W_g=one, activation="identity")
    >>> total = lambda T: (float(T.sum()), np.ones_like(T), {})
    >>> gradient = transformer_gradient([layer, layer], np.array([[1.0], [3.0]]), total)
    >>> gradient.value, gradient.X.tolist()
    (4.0, [[1.0], [1.0]])
    >>> [each.W_g.item() for each in gradient.layers]
    [4.0, 4.0]
    """
    function = "transformer_gradient"
    steps = checked_layers(function, layers, X)
    start, finish = checked_g0(function, g0, X)
    states, attended = forward_pass(steps, start())
    value, g_T, loss_parameters = checked_loss(function, loss, states[-1], X)  # number, (n, d)
    gradients = backward_pass(steps, states, attended, g_T)
    dX, g0_parameters = finish(gradients[0].X)  # (n, d)
    return ModelGradient(value, dX, gradients, loss_parameters, g0_parameters)


@np.errstate(all="ignore")
def gradient_step(layers: Sequence[Layer], gradient: ModelGradient, rate: float) -> list[Layer]:
    r"""The layers after a step of gradient descent on all their weights (Algorithm 1's optimiser).

    .. math:: W \leftarrow W - \mathrm{rate} \cdot \frac{dL}{dW}, \qquad W \in \{W_{Q_i}, W_{K_i}, W_{V_i}, W_{g_i}\}

    The paper hands dL/d(W_Q W_Kᵀ) to the optimiser of W_Q and W_K; theirs are (dL/dW) W_K and (dL/dW)ᵀ W_Q (C.3).
    Shapes: as in `transformer_gradient`, from which `gradient` comes or from `fast_transformer_gradient(...).value`.
    Cost: O(m d²).

    Raises AltgradError for another number of layers than of gradients, for weights or gradients that are no arrays,
    for a rate that is not a finite number, and where a weight overflows.

    >>> one = np.ones((1, 1))
    >>> layer = Layer(W_Q=one, W_K=one, W_V=one, W_g=one, activation="identity")
    >>> gradient = transformer_gradient([layer], np.array([[2.0]]), lambda T: (T.item(), np.ones_like(T), {}))
    >>> gradient_step([layer], gradient, 0.25)[0].W_V  # dL/dW_V = 2
    array([[0.5]])
    """
    function = "gradient_step"
    if not isinstance(rate, int | float | np.floating) or isinstance(rate, bool) or not math.isfinite(rate):
        refuse(function, "rate", f"is {reprlib.repr(rate)}", "a finite number")
    if len(layers) != len(gradient.layers):
        refuse(function, "layers", f"are {len(layers)}", f"{len(gradient.layers)}, as many as the gradient has")
    stepped = []
    for i, (layer, one) in enumerate(zip(layers, gradient.layers, strict=True), 1):
        words = Wording(f"{function}: layer {i}")
        for name in WEIGHTS:
            check_type(function, f"{name} of layer {i}", getattr(layer, name))
            check_type(function, f"the gradient on {name} of layer {i}", getattr(one, name))
        weights: dict[str, Any] = {
            name: words.finite(name, getattr(layer, name) - float(rate) * getattr(one, name), "a smaller rate")
            for name in WEIGHTS
        }  # (d, d) each
        stepped.append(replace(layer, **weights))
    return stepped


class Step(NamedTuple):
    """A checked layer: its activation as functions that check themselves, its attention, the words for its messages.

    `attend` takes Q, K, V (n, d) to Attn(T), `attend_vjp` takes them and G to the gradients on them. The arrays may be
    of any kind that the formulas above and these four functions work on.
    """

    layer: Layer
    phi: Entrywise
    phi_prime: Entrywise
    words: Wording
    attend: Callable[..., Any]
    attend_vjp: Callable[..., QKVGradient]


def forward_pass(steps: Sequence[Step], T: Any) -> tuple[list[Any], list[Any]]:
    """T_0, T_1, …, T_m and Z_1, …, Z_m, from T_0. All are (n, d)."""
    states, attended = [T], []
    for step in steps:
        Z, T = _layer_output(step, states[-1])  # (n, d), (n, d)
        states.append(T)
        attended.append(Z)
    return states, attended


def backward_pass(steps: Sequence[Step], states: list[Any], attended: list[Any], g_T: Any) -> tuple[Gradient, ...]:
    """The gradients of the layers 1, …, m, from dL/dT_m: Algorithm 1's loop from m down to 1."""
    gradients: list[Gradient] = []  # of the layers m, m - 1, …
    for step, T, Z in zip(reversed(steps), reversed(states[:-1]), reversed(attended), strict=True):
        gradients.append(_layer_gradient(step, T, Z, g_T))
        g_T = gradients[-1].X  # (n, d)
    return tuple(reversed(gradients))


def _layer_output(step: Step, T: Any) -> tuple[Any, Any]:
    """Z_i and T_i, from T_{i-1}."""
    layer, words = step.layer, step.words
    Z = step.attend(*_project(step, T))  # (n, d), Attn(T)
    if not layer.residual:
        return Z, T_next(Z, layer.W_g, step.phi)  # (n, d), (n, d)
    Z = words.finite("T + Attn(T)", residual_attention(T, Z))  # (n, d)
    return Z, words.finite("Z + φ(Z W_g)", residual_g(Z, T_next(Z, layer.W_g, step.phi)))  # (n, d), (n, d)


def _layer_gradient(step: Step, T: Any, Z: Any, g_T: Any) -> Gradient:
    """Gradients on T_{i-1} and the weights, from that on T_i."""
    layer, words = step.layer, step.words
    g_S = words.finite("dL/dT_i ⊙ φ′(Z W_g)", S_cotangent(g_T, Z, layer.W_g, step.phi_prime))  # (n, d)
    G = g_S @ layer.W_g.T  # (n, d)
    if layer.residual:
        G = residual_gradient(g_T, G)  # (n, d)
    d = step.attend_vjp(*_project(step, T), words.finite("G", G))  # three of (n, d)
    g_X = d.Q @ layer.W_Q.T + d.K @ layer.W_K.T + d.V @ layer.W_V.T  # (n, d)
    if layer.residual:
        g_X = residual_gradient(G, g_X)  # (n, d)
    return Gradient(
        X=words.finite("the gradient on T", g_X),  # (n, d)
        W_Q=words.finite("the gradient on W_Q", T.T @ d.Q),  # (d, d)
        W_K=words.finite("the gradient on W_K", T.T @ d.K),  # (d, d)
        W_V=words.finite("the gradient on W_V", T.T @ d.V),  # (d, d)
        W_g=words.finite("the gradient on W_g", Z.T @ g_S),  # (d, d)
    )


def _attend(layer: Layer, words: Wording, Q: FloatArray, K: FloatArray, V: FloatArray) -> FloatArray:
    """Exact attention, one head at a time."""
    output = np.empty_like(Q)  # (n, d)
    for head, scale in _heads(layer, Q):
        output[:, head] = forward(Q[:, head], K[:, head], V[:, head], scale, layer.causal, words)  # (n, d_h)
    return output


def _attend_vjp(
    layer: Layer, words: Wording, Q: FloatArray, K: FloatArray, V: FloatArray, G: FloatArray
) -> QKVGradient:
    """Gradients on Q, K, V, one head at a time."""
    d = QKVGradient(np.empty_like(Q), np.empty_like(Q), np.empty_like(Q))  # three of (n, d)
    for head, scale in _heads(layer, Q):
        one = backward(Q[:, head], K[:, head], V[:, head], G[:, head], scale, layer.causal, words)  # three of (n, d_h)
        d.Q[:, head], d.K[:, head], d.V[:, head] = one
    return d


def _project(step: Step, T: Any) -> list[Any]:
    weights = {"W_Q": step.layer.W_Q, "W_K": step.layer.W_K, "W_V": step.layer.W_V}
    return [step.words.finite(f"T {name}", T @ W) for name, W in weights.items()]  # three of (n, d)


def _heads(layer: Layer, T: FloatArray) -> Iterator[tuple[slice, float]]:
    """The columns of each head, and 1/d_h."""
    width = T.shape[1] // layer.heads
    for head in range(layer.heads):
        yield slice(head * width, (head + 1) * width), 1 / width


# ------------------------------------------------------------------------------------------------------- the checks

WEIGHTS = ("W_Q", "W_K", "W_V", "W_g")


def checked_layers(function: str, layers: Sequence[Layer], X: FloatArray) -> list[Step]:
    if not isinstance(layers, Sequence):
        refuse(function, "layers", f"has type {type(layers).__name__}", "a sequence of Layer")
    if not layers:
        refuse(function, "layers", "is empty", "at least one Layer")
    operands: dict[str, Any] = {"X": X}
    for i, layer in enumerate(layers, 1):
        if not isinstance(layer, Layer):
            refuse(function, f"layer {i}", f"has type {type(layer).__name__}", "a Layer")
        operands |= {f"{name} of layer {i}": getattr(layer, name) for name in WEIGHTS}
    check_operands(function, operands, dict.fromkeys(operands, "d d") | {"X": "n d"})
    return [_checked_layer(function, i, layer, X) for i, layer in enumerate(layers, 1)]


def _checked_layer(function: str, i: int, layer: Layer, X: FloatArray) -> Step:
    for name in ("causal", "residual"):
        if not isinstance(getattr(layer, name), bool):
            refuse(function, f"{name} of layer {i}", f"is {reprlib.repr(getattr(layer, name))}", "True or False")
    heads, d = layer.heads, X.shape[1]
    if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1 or d % heads:
        refuse(function, f"heads of layer {i}", f"is {reprlib.repr(heads)}", f"a positive int that divides d = {d}")
    words = Wording(f"{function}: layer {i}", Q="(T W_Q)", K="(T W_K)", V="(T W_V)", cotangent="G")
    phi, phi_prime = _activation(function, i, layer.activation)

    def checked(name: str, entrywise: Entrywise) -> Entrywise:
        def of(S: FloatArray) -> FloatArray:
            values = entrywise(words.finite("Z W_g", S).copy())
            return _returned(function, f"{name} of layer {i}", values, X)

        return of

    weights: dict[str, Any] = {name: np.ascontiguousarray(getattr(layer, name), like=X) for name in WEIGHTS}
    layer = replace(layer, **weights)
    return Step(
        layer, checked("φ(Z W_g)", phi), checked("φ′(Z W_g)", phi_prime), words,
        partial(_attend, layer, words), partial(_attend_vjp, layer, words),
    )  # fmt: skip


def _activation(function: str, i: int, activation: Any) -> tuple[Entrywise, Entrywise]:
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if not _is_pair_of_functions(activation):
        needs = f"one of {', '.join(ACTIVATIONS)}, or a pair (φ, φ′) of functions"
        refuse(function, f"activation of layer {i}", f"is {reprlib.repr(activation)}", needs)
    phi, phi_prime = activation
    return phi, phi_prime


def checked_g0(
    function: str, g0: G0 | None, X: FloatArray
) -> tuple[Callable[[], FloatArray], Callable[[FloatArray], tuple[FloatArray, Parameters]]]:
    """Two checked functions: one for T_0, one from dL/dT_0 to dL/dX and the gradients on g0's parameters."""
    if g0 is not None and not _is_pair_of_functions(g0):
        refuse(function, "g0", f"is {reprlib.repr(g0)}", "None or a pair (forward, vjp) of functions")
    to_T_0, vjp = g0 or (lambda X: X, lambda X, cotangent: (cotangent, {}))

    def start() -> FloatArray:
        return _returned(function, "forward(X) of g0", to_T_0(_copied(X)), X)  # (n, d)

    def finish(g_T: FloatArray) -> tuple[FloatArray, Parameters]:
        results = vjp(_copied(X), _copied(g_T))
        if not isinstance(results, tuple) or len(results) != 2:
            refuse(function, "vjp of g0", f"returns {_kind(results)}", "(dL/dX, parameters)")
        dX = _returned(function, "dL/dX from g0", results[0], X)  # (n, d)
        return dX, _returned_parameters(function, "g0", results[1], X)

    return start, finish


def checked_loss(function: str, loss: Loss, T: FloatArray, X: FloatArray) -> tuple[float, FloatArray, Parameters]:
    if not callable(loss):
        refuse(function, "loss", f"is {reprlib.repr(loss)}", "a function of T")
    results: Any = loss(_copied(T))
    if not isinstance(results, tuple) or len(results) != 3:
        refuse(function, "loss", f"returns {_kind(results)}", "(value, dL/dT, parameters)")
    value, cotangent, parameters = results
    if not isinstance(value, float | np.floating) or not math.isfinite(value):
        refuse(function, "value from loss", f"is {reprlib.repr(value)}", "a finite float")
    cotangent = _returned(function, "dL/dT from loss", cotangent, X)  # (n, d)
    return float(value), cotangent, _returned_parameters(function, "loss", parameters, X)


def _returned_parameters(function: str, giver: str, parameters: Any, X: FloatArray) -> Parameters:
    if not isinstance(parameters, dict):
        refuse(function, f"parameters from {giver}", f"has type {type(parameters).__name__}", "a dict of arrays")
    return {
        name: _returned(function, f"the gradient on {name} from {giver}", array, X, spec="...")
        for name, array in parameters.items()
    }


def _returned(function: str, what: str, array: Any, X: FloatArray, spec: str = "n d") -> FloatArray:
    """A copy of what a function of the caller returned, if it is a finite array of X's dtype and of this shape."""
    check_operands(function, {"X": X, what: array}, {"X": "n d", what: spec})
    return _copied(array)


def _copied(array: FloatArray) -> FloatArray:
    return np.array(array, order="C", like=array)


def _is_pair_of_functions(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(map(callable, pair))


def _kind(results: object) -> str:
    return f"{len(results)} results" if isinstance(results, tuple) else type(results).__name__
