r"""Exact softmax attention and its gradients in Q, K, V, without the n × m matrix.

For one head, with M_ij = 1 where query i may see key j (everywhere, or where i >= j),

.. math::

    S = \tau\, Q K^\top, \qquad
    f_{ij} = \frac{M_{ij}\, e^{S_{ij} - \mu_i}}{\sum_l M_{il}\, e^{S_{il} - \mu_i}}, \quad
    \mu_i = \max_{M_{ij} = 1} S_{ij}, \qquad
    O = f V.

Subtracting μ_i changes no f_ij and makes every exponent at most 0, and one of each row equal to 0. So the sum lies in
[1, m], and an exponential that underflows belongs to a weight that is 0 in this precision.

For L = ⟨dO, O⟩ we have dL = ⟨dO, df V⟩ + ⟨dO, f dV⟩. The second term gives the gradient on V. In the first, row i of f
moves by df_ij = f_ij (dS_ij − Σ_l f_il dS_il); collecting dS_ij, with Σ_l f_il (dO Vᵀ)_il = (dO Oᵀ)_ii, gives P:

.. math::

    P = f \odot \bigl(dO\, V^\top - \mathrm{rowsum}(dO \odot O)\, 1^\top\bigr), \qquad
    dQ = \tau P K, \quad dK = \tau P^\top Q, \quad dV = f^\top dO.

| symbol | shape | meaning |
|---|---|---|
| `Q`, `dQ` | (n, d) | queries, the gradient on them |
| `K`, `dK` | (m, d) | keys |
| `V`, `dV` | (m, e) | values, h in the paper (C.9) |
| `dO` | (n, e) | cotangent of the output, G in the paper |
| `f` | (n, m) | attention weights, f in the paper (C.8); rows sum to 1 |
| `O` | (n, e) | output, s in the paper (C.10) |
| `P` | (n, m) | cotangent of the scores, p in the paper (C.12); rows sum to 0 |
| τ | number | `scale`; 1/d in the paper (1.2) |

A row of f needs no other row, so both maps run over blocks of rows, and the second computes f again. This costs
O(n m (d + e)) time and memory for inputs, outputs and one block of about `BLOCK_ENTRIES` scores (in the gradient one
more, for P).

Softmax attention is Vaswani et al., *Attention is all you need* (2017). Working by blocks and recomputing the weights
for the gradient follows Rabe & Staats, *Self-attention does not need O(n²) memory* (2021), and Dao et al.,
*FlashAttention* (2022); they cut the keys as well, here a block holds whole rows.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reference import backend
from reference.certificate import Head
from reference.errors import AltgradError
from reference.fast_qkv import Approximation, KeySide, Method, approximation, prepare
from reference.polynomial import ExpPolynomial
from reference.shapes import refuse, shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference.shapes import FloatArray

__all__ = [
    "OutputAndGradient",
    "QKVGradient",
    "attention",
    "attention_vjp",
    "fast_attention",
    "fast_attention_and_vjp",
    "fast_attention_vjp",
]

BLOCK_ENTRIES = 2**22  # scores held at once: 16 MiB in float32


class QKVGradient(NamedTuple):
    """Gradients on Q, K and V, each of its operand's shape."""

    Q: FloatArray
    K: FloatArray
    V: FloatArray


class OutputAndGradient(NamedTuple):
    """The output of attention, and gradients on Q, K and V."""

    output: FloatArray
    Q: FloatArray
    K: FloatArray
    V: FloatArray


class Wording(NamedTuple):
    """What the caller calls itself and its operands, for the messages."""

    function: str
    Q: str = "Q"
    K: str = "K"
    V: str = "V"
    cotangent: str = "dO"

    def finite(self, what: str, array: FloatArray, cure: str = "smaller operands") -> FloatArray:
        """The array, if it did not overflow. Call under errstate: this check stands in for NumPy's warnings."""
        if not np.isfinite(array).all():
            cure += "" if array.dtype == np.float64 else ", or float64"
            largest = np.finfo(array.dtype).max
            raise AltgradError(f"{self.function}: {what} overflows {array.dtype} (at most {largest!s}), needs {cure}")
        return array


@shapes(Q="... n d", K="... m d", V="... m e")
def attention(Q: FloatArray, K: FloatArray, V: FloatArray, *, scale: float, causal: bool = False) -> FloatArray:
    r"""Exact softmax attention (1.2, C.3, with Q = X W_Q, K = X W_K, V = X W_V).

    .. math:: \mathrm{Softmax}(\tau\, Q K^\top)\, V, \qquad \tau = \mathrm{scale}

    Shapes: Q (..., n, d), K (..., m, d), V (..., m, e) -> (..., n, e), in their dtype. With `causal`, query i sees the
    keys j <= i, which needs n = m. Cost: O(n m (d + e)) per head; memory for the output and one block of scores.

    Raises AltgradError for operands that are not finite float32 or float64 arrays of these shapes, for `causal` with
    n ≠ m, and where the scores or the output overflow.

    >>> Q, K, V = np.zeros((1, 2)), np.eye(3, 2), np.array([[3.0], [6.0], [9.0]])
    >>> attention(Q, K, V, scale=0.5)  # equal scores: the mean of the values
    array([[6.]])
    >>> attention(1e4 * np.eye(2), np.eye(2), V[:2], scale=1)  # far apart: a look-up
    array([[3.],
           [6.]])
    """
    words = Wording("attention")
    _check_causal(words.function, Q, K, causal)
    output = np.empty((*Q.shape[:-1], V.shape[-1]), Q.dtype, like=Q)  # (..., n, e)
    for head in np.ndindex(Q.shape[:-2]):
        output[head] = forward(Q[head], K[head], V[head], scale, causal, words)
    return output


@shapes(Q="... n d", K="... m d", V="... m e", dO="... n e")
def attention_vjp(
    Q: FloatArray, K: FloatArray, V: FloatArray, dO: FloatArray, *, scale: float, causal: bool = False
) -> QKVGradient:
    r"""Gradients of ⟨dO, attention(Q, K, V)⟩ on Q, K and V (P is C.12's p; the parts of D.17, F.4 and G.3).

    .. math::

        dQ = \tau P K, \quad dK = \tau P^\top Q, \quad dV = f^\top dO, \qquad
        P = f \odot \bigl(dO\, V^\top - \mathrm{rowsum}(dO \odot f V)\, 1^\top\bigr)

    Shapes: Q (..., n, d), K (..., m, d), V (..., m, e), dO (..., n, e) -> (..., n, d), (..., m, d), (..., m, e), in
    their dtype. Cost: O(n m (d + e)) per head; memory for the gradients and two blocks.

    Raises AltgradError as `attention` does, and where dO Vᵀ - rowsum(dO ⊙ f V) or a gradient overflows.

    >>> Q, K, V = np.zeros((1, 2)), np.eye(2), np.array([[3.0], [5.0]])
    >>> gradient = attention_vjp(Q, K, V, np.ones((1, 1)), scale=1)
    >>> gradient.Q  # more weight on the second key, away from the first
    array([[-0.5,  0.5]])
    >>> gradient.V
    array([[0.5],
           [0.5]])
    """
    words = Wording("attention_vjp")
    _check_causal(words.function, Q, K, causal)
    gradient = QKVGradient(np.empty_like(Q), np.empty_like(K), np.empty_like(V))
    for head in np.ndindex(Q.shape[:-2]):
        one = backward(Q[head], K[head], V[head], dO[head], scale, causal, words)
        gradient.Q[head], gradient.K[head], gradient.V[head] = one
    return gradient


@shapes(Q="... n d", K="... m d", V="... m e")
def fast_attention(
    Q: FloatArray,
    K: FloatArray,
    V: FloatArray,
    *,
    scale: float,
    causal: bool = False,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    certify: bool = True,
) -> Approximation:
    r"""Softmax attention in time linear in n and m at a fixed rank, with a bound on its error (C.13, C.14, I.6).

    .. math:: \tilde f V, \qquad \tilde f_{ij} = \frac{M_{ij} P(S_{ij})}{\sum_l M_{il} P(S_{il})}, \quad
              S = \tau\, Q K^\top, \quad P \approx \exp

    Either `rtol` or `polynomial` is given. `rtol` bounds the relative error that P brings to every attention weight: P
    is the Chebyshev polynomial of least degree for it on the scores' range. Rounding comes on top; where it may exceed
    `rtol` of a row of weights, `rtol` is refused. `value` and `bound` are (..., n, e). With `certify=False` there
    is no bound, and nothing looks at rounding: it takes less time, for what is certified only now and then.

    Shapes as in `attention`. Cost: O((n + m) k (d + e)) with k = binom(d + degree, degree) for each head; memory for
    inputs, outputs and a constant.

    Raises AltgradError as `attention` does, for both or neither of `rtol` and `polynomial`, for a polynomial that may
    vanish on the scores' range, a rank whose sums would not fit, and an `rtol` that is not positive and finite or that
    the dtype or a polynomial of degree 256 cannot reach. With `causal`, hidden scores count as well.

    >>> rng = np.random.default_rng(0)
    >>> Q, K, V = rng.normal(size=(3, 2000, 4))
    >>> fast = fast_attention(Q, K, V, scale=0.1, rtol=1e-3)
    >>> bool((np.abs(fast.value - attention(Q, K, V, scale=0.1)) <= fast.bound).all())
    True
    """
    words = Wording("fast_attention")
    _check_causal(words.function, Q, K, causal)
    return fast_forward(Q, K, V, scale, causal, rtol, polynomial, words, _checked_certify(words.function, certify))


@shapes(Q="... n d", K="... m d", V="... m e", dO="... n e")
def fast_attention_vjp(
    Q: FloatArray,
    K: FloatArray,
    V: FloatArray,
    dO: FloatArray,
    *,
    scale: float,
    causal: bool = False,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    method: Method = "paper",
    certify: bool = True,
) -> Approximation:
    r"""Gradients of ⟨dO, attention(Q, K, V)⟩ in time linear in n and m at a fixed rank, with bounds (E, F.5, G.4, I).

    .. math:: dQ = \tau \tilde p K, \quad dK = \tau \tilde p^\top Q, \quad dV = \tilde f^\top dO

    `method` says what p̃ is and how it is summed (`fast_qkv`): "paper" uses P for exp in C.12 and factors of rank
    k (e + 1); "antiderivative" gives the same numbers from monomials of one degree more; "differentiate" is the exact
    gradient of `fast_attention`. `value` and `bound` are `QKVGradient`s; the bound is on the distance from the exact
    gradient of softmax attention, whatever the method. `certify` as in `fast_attention`.

    Shapes and errors as in `attention_vjp` and `fast_attention`. Cost: O((n + m) k d e) with
    k = binom(d + degree, degree) for "paper", O((n + m) k′ (d + e)) with k′ = binom(d + degree + 1, degree + 1) for
    "antiderivative" and k′ = k for "differentiate"; memory for inputs, outputs and a constant, and with `causal` four
    numbers for each row.

    >>> rng = np.random.default_rng(0)
    >>> Q, K, V, dO = rng.normal(size=(4, 2000, 4))
    >>> fast = fast_attention_vjp(Q, K, V, dO, scale=0.1, rtol=1e-3, method="antiderivative")
    >>> exact = attention_vjp(Q, K, V, dO, scale=0.1)
    >>> all((np.abs(a - b) <= c).all() for a, b, c in zip(fast.value, exact, fast.bound))
    True
    """
    words = Wording("fast_attention_vjp")
    _check_causal(words.function, Q, K, causal)
    certify = _checked_certify(words.function, certify)
    return fast_backward(Q, K, V, dO, scale, causal, rtol, polynomial, method, words, certify)


@shapes(Q="... n d", K="... m d", V="... m e", dO="... n e")
def fast_attention_and_vjp(
    Q: FloatArray,
    K: FloatArray,
    V: FloatArray,
    dO: FloatArray,
    *,
    scale: float,
    causal: bool = False,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    method: Method = "paper",
    certify: bool = True,
) -> Approximation:
    """`fast_attention` and `fast_attention_vjp` in one, for little more than the cost of the second (C.13, E, I).

    The gradient needs the forward pass anyway; this hands out its output too. `value` and `bound` are
    `OutputAndGradient`s. Operands, cost and errors as in `fast_attention_vjp`.

    >>> rng = np.random.default_rng(0)
    >>> Q, K, V, dO = rng.normal(size=(4, 2000, 4))
    >>> both = fast_attention_and_vjp(Q, K, V, dO, scale=0.1, rtol=1e-3, method="antiderivative")
    >>> exact = (attention(Q, K, V, scale=0.1), *attention_vjp(Q, K, V, dO, scale=0.1))
    >>> all((np.abs(a - b) <= c).all() for a, b, c in zip(both.value, exact, both.bound))
    True
    """
    words = Wording("fast_attention_and_vjp")
    _check_causal(words.function, Q, K, causal)
    certify = _checked_certify(words.function, certify)
    return fast_backward(Q, K, V, dO, scale, causal, rtol, polynomial, method, words, certify, output=True)


def _heads(
    Q: FloatArray, K: FloatArray, V: FloatArray, scale: float, causal: bool, dO: FloatArray | None = None
) -> tuple[list[tuple[int, ...]], list[Head]]:
    """The index of each head and what gives its rows; or one index for all of them, where they are taken at once."""
    indices: list[tuple[int, ...]] = [()] if backend.in_use().fast else list(np.ndindex(Q.shape[:-2]))
    sizes = Q.shape[-2], K.shape[-2], Q.shape[-1], V.shape[-1]
    heads = [
        Head(
            *sizes, Q.dtype, scale, causal, _rows_of(Q[i]), _rows_of(K[i]), _rows_of(V[i]),
            None if dO is None else _rows_of(dO[i]),
        )
        for i in indices
    ]  # fmt: skip
    return indices, heads


def _rows_of(array: FloatArray) -> Callable[[slice], FloatArray]:
    return lambda rows: array[..., rows, :]


@np.errstate(all="ignore")
def forward(Q: FloatArray, K: FloatArray, V: FloatArray, scale: float, causal: bool, words: Wording) -> FloatArray:
    """One head of `attention`, for checked operands."""
    output = np.empty((len(Q), V.shape[1]), Q.dtype, like=Q)  # (n, e)
    for rows, keys in _blocks(len(Q), len(K), causal):
        output[rows] = _weights(_scaled(scale, Q[rows], words), K[keys], rows, causal, words) @ V[keys]  # (b, e)
    return words.finite(f"the output softmax(scale {words.Q} {words.K}ᵀ) {words.V}", output)


@np.errstate(all="ignore")
def backward(
    Q: FloatArray, K: FloatArray, V: FloatArray, dO: FloatArray, scale: float, causal: bool, words: Wording
) -> QKVGradient:
    """One head of `attention_vjp`, for checked operands."""
    dQ, dK, dV = np.empty_like(Q), np.zeros_like(K), np.zeros_like(V)  # (n, d), (m, d), (m, e)
    for rows, keys in _blocks(len(Q), len(K), causal):
        tau_Q = _scaled(scale, Q[rows], words)  # (b, d)
        f = _weights(tau_Q, K[keys], rows, causal, words)  # (b, m)
        dV[keys] += f.T @ dO[rows]  # (m, e)
        P = _score_cotangent(f, V[keys], dO[rows], rows, causal, words)  # (b, m)
        dQ[rows] = P @ K[keys]  # (b, d)
        dK[keys] += P.T @ tau_Q  # (m, d)
        del f, P  # or they would stand beside the next block
    dQ *= scale
    for operand, array in zip((words.Q, words.K, words.V), (dQ, dK, dV), strict=True):
        words.finite(f"the gradient on {operand}", array, "smaller operands or scale")
    return QKVGradient(dQ, dK, dV)


@np.errstate(all="ignore")
def fast_forward(
    Q: FloatArray, K: FloatArray, V: FloatArray, scale: float, causal: bool, rtol: float | None,
    polynomial: ExpPolynomial | None, words: Wording, certify: bool = True,
) -> Approximation:  # fmt: skip
    """`fast_attention`, for checked operands."""
    indices, heads = _heads(Q, K, V, scale, causal)
    fast, chosen = prepare(heads, rtol, polynomial, "differentiate", words, certify)
    output = np.empty((*Q.shape[:-1], V.shape[-1]), Q.dtype, like=Q)  # (..., n, e)
    bound = np.empty_like(output) if certify else None  # (..., n, e)
    for head, one in zip(indices, fast, strict=True):
        for rows, value, error in one.output():
            output[head][..., rows, :] = value
            if bound is not None:
                bound[head][..., rows, :] = error
    words.finite("the output, or a sum on the way to it,", output)
    return approximation(output, bound, fast, chosen)


@np.errstate(all="ignore")
def fast_backward(
    Q: FloatArray, K: FloatArray, V: FloatArray, dO: FloatArray, scale: float, causal: bool, rtol: float | None,
    polynomial: ExpPolynomial | None, method: Method, words: Wording, certify: bool = True, output: bool = False,
) -> Approximation:  # fmt: skip
    """`fast_attention_vjp`, or `fast_attention_and_vjp`, for checked operands."""
    indices, heads = _heads(Q, K, V, scale, causal, dO)
    fast, chosen = prepare(heads, rtol, polynomial, method, words, certify)
    results = (dO, Q, K, V) if output else (Q, K, V)  # of whose shapes they are
    value: Any = (OutputAndGradient if output else QKVGradient)(*map(np.empty_like, results))
    bound: Any = type(value)(*map(np.empty_like, results)) if certify else None
    for head, one in zip(indices, fast, strict=True):
        for block in one.gradient(output):
            rows = ..., block.rows, slice(None)
            if isinstance(block, KeySide):
                value.K[head][rows], value.V[head][rows] = block.dK, block.dV
                if bound:
                    bound.K[head][rows], bound.V[head][rows] = block.dK_bound, block.dV_bound
                continue
            value.Q[head][rows] = block.dQ
            if bound:
                bound.Q[head][rows] = block.dQ_bound
            if block.output:
                value.output[head][rows] = block.output.value
                if bound:
                    bound.output[head][rows] = block.output.bound
    if output:
        words.finite("the output, or a sum on the way to it,", value.output)
    for operand, array in zip((words.Q, words.K, words.V), value[-3:], strict=True):
        words.finite(f"the gradient on {operand}, or a sum on the way to it,", array, "smaller operands or scale")
    return approximation(value, bound, fast, chosen)


def _checked_certify(function: str, certify: object) -> bool:
    if not isinstance(certify, bool):
        refuse(function, "certify", f"is {reprlib.repr(certify)}", "True or False")
    return certify


def _check_causal(function: str, Q: FloatArray, K: FloatArray, causal: bool) -> None:
    n, m = Q.shape[-2], K.shape[-2]
    if causal and n != m:
        raise AltgradError(f"{function}: K has m = {m} keys, causal needs m = n with n = {n} from Q")


def _blocks(n: int, m: int, causal: bool) -> Iterator[tuple[slice, slice]]:
    """The rows of each block, and the keys that some row of it may see."""
    step = max(1, BLOCK_ENTRIES // m)
    for first in range(0, n, step):
        stop = min(first + step, n)
        yield slice(first, stop), slice(stop if causal else m)


def _scaled(scale: float, Q: FloatArray, words: Wording) -> FloatArray:
    return words.finite(f"scale {words.Q}", scale * Q, "smaller operands or scale")  # (b, d)


def _weights(tau_Q: FloatArray, K: FloatArray, rows: slice, causal: bool, words: Wording) -> FloatArray:
    """Rows of f: softmax of the scores over the keys each row may see, 0 elsewhere."""
    f = tau_Q @ K.T  # (b, m), scores, then their softmax in place
    if causal:
        _fill_future(f, rows, 0.0)  # a score that the mask hides may overflow
    words.finite(f"scale {words.Q} {words.K}ᵀ (the scores)", f, "smaller operands or scale")
    if causal:
        _fill_future(f, rows, -np.inf)
    f -= f.max(axis=1, keepdims=True)  # (b, 1)
    np.exp(f, out=f)
    f /= f.sum(axis=1, keepdims=True)  # (b, 1)
    return f


def _score_cotangent(
    f: FloatArray, V: FloatArray, dO: FloatArray, rows: slice, causal: bool, words: Wording
) -> FloatArray:
    """Rows of P = f ⊙ (dO Vᵀ - rowsum(dO ⊙ O)), with O = f V."""
    P = dO @ V.T  # (b, m), dO Vᵀ, then P in place
    if causal:
        _fill_future(P, rows, 0.0)  # as in _weights
    P -= (dO * (f @ V)).sum(axis=1, keepdims=True)  # (b, 1), the mean of dO Vᵀ under the weights f
    words.finite(f"{words.cotangent} {words.V}ᵀ - rowsum({words.cotangent} ⊙ output)", P)
    P *= f
    return P


def _fill_future(block: FloatArray, rows: slice, value: float) -> None:
    """Set the pairs that a causal mask hides, all of them in the block's last columns, in place."""
    square = block[:, rows.start :]  # (b, b), a view
    square[~np.tri(len(square), dtype=bool, like=block)] = value
