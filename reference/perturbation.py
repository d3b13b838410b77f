r"""How far exact attention and its gradients move when Q, K, V and the cotangent G move within known bounds.

For :math:`|\tilde Q - Q| \le E^Q` and so on, entry by entry, with τ the scale, k̄ and v̄ the largest sizes of the
columns of :math:`\tilde K` and :math:`\tilde V` less the middle of their range, and all maxima over the keys,

.. math::

    \sigma_i &= |\tau| \sum_c \bigl(E^Q_{ic}\, \bar k_c + (|\tilde Q_{ic}| + E^Q_{ic}) \max_j E^K_{jc}\bigr)
        &&\text{the scores of row i, less a constant of the row} \\
    |\tilde f - f|_{ij} &\le (e^{2\sigma_i} - 1)\, \tilde f_{ij} && f = \mathrm{Softmax}(S) \text{ (C.8)} \\
    |\tilde s - s|_{ic} &\le 2 \tanh(\sigma_i / 2)\, \bar v_c + \max_j E^V_{jc} && s = f V \text{ (C.10)} \\
    |\tilde p - p|_{ij} &\le \tilde f_{ij} w_i, \quad
        w_i = 2 (e^{2\sigma_i} - 1) \mu_i + 2 e^{2\sigma_i} \Delta_i && p \text{ the cotangent of the scores (C.12)}

with :math:`\mu_i = \sum_c |\tilde G_{ic}| \bar v_c`, half a bound on the range of row i of q = G Vᵀ, and

.. math:: \Delta_i = \sum_c \bigl(|\tilde G_{ic}| \max_j E^V_{jc} + E^G_{ic} (\bar v_c + \max_j E^V_{jc})\bigr)

a bound on how far q_ij moves. Over a row, :math:`\sum_j |\tilde p - p|_{ij} \le 2 \min(\sigma_i, 1) \mu_i + \Delta_i`.
Where σ_i is so large that f_ij ≤ 1 says more than f_ij ≤ e^{2σ_i} f̃_ij, the first is used, which gives
:math:`|\tilde p - p|_{ij} \le (\mu_i + \Delta_i)/2`. `docs/models.md` has the derivations.
All arrays may have leading dimensions (heads); bounds are float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference.bounded import Bounded, enlarged
from reference.qkv import QKVGradient
from reference.shapes import FloatArray

__all__ = ["gradient_moved", "output_moved", "scores_moved"]


def scores_moved(Q: Bounded, K: Bounded, scale: float) -> FloatArray:
    """σ. Shapes: Q (..., n, d), K (..., m, d) -> (..., n, 1). Cost: O((n + m) d)."""
    k, E_K = _half_range(K), _worst(K)  # (..., d, 1) both
    return abs(scale) * enlarged(Q.error @ k + Q.largest @ E_K, Q.dtype, Q.shape[-1])


def output_moved(Q: Bounded, K: Bounded, V: Bounded, scale: float) -> FloatArray:
    """On the output s. Shapes: Q (..., n, d), K (..., m, d), V (..., m, e) -> (..., n, e). Cost: O((n + m)(d + e))."""
    sigma = scores_moved(Q, K, scale)  # (..., n, 1)
    return enlarged(2 * np.tanh(sigma / 2) * _row(_half_range(V)) + _row(_worst(V)), Q.dtype)


def gradient_moved(
    Q: Bounded, K: Bounded, V: Bounded, G: Bounded, scale: float, column_sums: Callable[[FloatArray], FloatArray]
) -> QKVGradient:
    """On dQ, dK and dV; `column_sums(z)` (..., n, c) -> (..., m, c) gives at least f̃ᵀ z for z ≥ 0.

    Shapes: Q (..., n, d), K (..., m, d), V (..., m, e), G (..., n, e) -> (..., n, d), (..., m, d), (..., m, e).
    Cost: O((n + m)(d + e)) and one call of `column_sums` with c = d + e.
    """
    sigma, tau, d = scores_moved(Q, K, scale), abs(scale), Q.shape[-1]
    v, E_V = _half_range(V), _worst(V)  # (..., e, 1) both
    mu, delta = G.size @ v, G.size @ E_V + G.error @ (v + E_V)  # (..., n, 1) both
    factor, more = np.exp(2 * sigma), np.expm1(2 * sigma)  # (..., n, 1) both
    w = 2 * more * mu + 2 * factor * delta  # (..., n, 1)
    rows = 2 * np.minimum(sigma, 1) * mu + delta  # (..., n, 1), at least the sum of |p̃ − p| over the row
    dQ = tau * (rows * _row(_half_range(K)) + (mu + delta) * _row(_worst(K)))  # (..., n, d)

    far = ~(factor <= K.shape[-2])  # (..., n, 1), where f ≤ 1 is taken
    for_K = np.where(far, 0, w * Q.size + 2 * factor * (mu + delta) * Q.error)  # (..., n, d)
    for_V = np.where(far, 0, more * G.size + factor * G.error)  # (..., n, e)
    anywhere_K = np.where(far, (mu + delta) / 2 * Q.largest, 0).sum(axis=-2, keepdims=True)  # (..., 1, d)
    anywhere_V = np.where(far, G.largest, 0).sum(axis=-2, keepdims=True)  # (..., 1, e)
    sums = column_sums(enlarged(np.concatenate([for_K, for_V], axis=-1), Q.dtype, d))  # (..., m, d + e)
    dK, dV = tau * (sums[..., :d] + anywhere_K), sums[..., d:] + anywhere_V  # (..., m, d), (..., m, e)
    return QKVGradient(*(enlarged(moved, Q.dtype, Q.shape[-2] + d) for moved in (dQ, dK, dV)))


def _half_range(x: Bounded) -> FloatArray:
    """Largest sizes of the columns less the middle of their range. Shapes: (..., m, c) -> (..., c, 1)."""
    low, high = x.value.min(axis=-2).astype(np.float64), x.value.max(axis=-2).astype(np.float64)  # (..., c) both
    return enlarged(high / 2 - low / 2, x.dtype)[..., None]


def _worst(x: Bounded) -> FloatArray:
    """Largest errors of the columns. Shapes: (..., m, c) -> (..., c, 1)."""
    return x.error.max(axis=-2)[..., None]


def _row(column: FloatArray) -> FloatArray:
    return column.swapaxes(-1, -2)  # (..., 1, c)
