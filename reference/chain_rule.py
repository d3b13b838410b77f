r"""Attention of one sequence in X, W, W_V, as the paper writes it, and its gradient.

Definitions 1.2 and C.3 are attention with the same X in three places:

.. math::

    \mathrm{Attn}(X) = \mathrm{Softmax}(\tau\, X W X^\top)\, X W_V: \qquad Q = X W, \quad K = X, \quad V = X W_V

so for L = ⟨G, Attn(X)⟩ the gradient on X has three terms. Differentiating these products,

.. math::

    dX = dQ\, W^\top + dK + dV\, W_V^\top, \qquad dW = X^\top dQ, \qquad dW_V = X^\top dV

with dQ, dK, dV from `qkv`, where all work on n × n numbers is done. The fast versions take the same products a block
of rows at a time: Q, V, dQ and dV never exist as a whole.

| symbol | shape | meaning |
|---|---|---|
| `X` | (n, d) | input sequence |
| `W` | (d, d) | W_Q W_Kᵀ |
| `W_V` | (d, d) | value weights |
| `G` | (n, d) | dL/dAttn(X) |
| τ | number | `scale`; None means the paper's 1/d |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reference.certificate import Head, product_rounding, unit
from reference.fast_qkv import Approximation, Fast, KeySide, Method, QuerySide, approximation, prepare
from reference.masked_product import BLOCK, RunningSum, blocks
from reference.polynomial import ExpPolynomial
from reference.qkv import Wording, backward, forward
from reference.row_bounds import or_infinite
from reference.shapes import shapes

if TYPE_CHECKING:
    from reference.shapes import FloatArray

__all__ = ["Gradient", "attention", "attention_gradient", "fast_attention", "fast_attention_gradient"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Gradient:
    """Gradients on X and the weights, each of its operand's shape; None for a weight that the function does not take.

    Attention in X, W, W_V has W = W_Q W_Kᵀ; a layer of a transformer has W_Q and W_K apart, and W_g.
    """

    X: FloatArray
    W: FloatArray | Any = None  # "| Any": whoever knows which function was called need not ask for None
    W_V: FloatArray
    W_Q: FloatArray | Any = None
    W_K: FloatArray | Any = None
    W_g: FloatArray | Any = None


@shapes(X="n d", W="d d", W_V="d d")
def attention(
    X: FloatArray, W: FloatArray, W_V: FloatArray, *, scale: float | None = None, causal: bool = False
) -> FloatArray:
    r"""Exact attention of a sequence (1.2, C.3; causal: I.5).

    .. math:: \mathrm{Attn}(X) = \mathrm{Softmax}(\tau\, X W X^\top)\, X W_V, \qquad \tau = \mathrm{scale}

    Shapes: X (n, d), W (d, d), W_V (d, d) -> (n, d), in their dtype. `scale=None` is the paper's 1/d. With `causal`,
    row i sees the rows j <= i. Cost: O(n² d + n d²); memory O(n d) and one block of scores (see `qkv`).

    Raises AltgradError for operands that are not finite float32 or float64 arrays of these shapes, and where X W,
    X W_V, the scores or the output overflow.

    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(X, np.zeros((2, 2)), np.eye(2))  # equal scores: the mean of the rows
    array([[0.5, 0.5],
           [0.5, 0.5]])
    >>> attention(X, np.zeros((2, 2)), np.eye(2), causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    words = words_of("attention")
    Q, V = _project(X, W, W_V, words)
    return forward(Q, X, V, paper_scale(scale, X), causal, words)


@shapes(X="n d", W="d d", W_V="d d", G="n d")
@np.errstate(all="ignore")
def attention_gradient(
    X: FloatArray,
    W: FloatArray,
    W_V: FloatArray,
    G: FloatArray,
    *,
    scale: float | None = None,
    causal: bool = False,
) -> Gradient:
    r"""Gradient of L = ⟨G, Attn(X)⟩ on X, W and W_V (E.11, F.4 and G.3, repaired; causal: I.5).

    .. math::

        \frac{dL}{dX} = dQ\, W^\top + dK + dV\, W_V^\top, \qquad
        \frac{dL}{dW} = X^\top dQ, \qquad
        \frac{dL}{dW_V} = X^\top dV

    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> (n, d), (d, d), (d, d), in their dtype. `scale` and `causal` as
    in `attention`. Cost: O(n² d + n d²); memory O(n d) and two blocks.

    Raises AltgradError as `attention` does, and where G (X W_V)ᵀ - rowsum(G ⊙ Attn(X)) or a gradient overflows.

    >>> X, G = np.array([[1.0], [3.0]]), np.ones((2, 1))
    >>> gradient = attention_gradient(X, np.zeros((1, 1)), np.ones((1, 1)), G)
    >>> gradient.W_V  # the mean of X is 2, in each of two rows
    array([[4.]])
    >>> gradient.W  # the variance of X is 1, times X, summed
    array([[4.]])
    """
    words = words_of("attention_gradient")
    Q, V = _project(X, W, W_V, words)  # (n, d), (n, d)
    d = backward(Q, X, V, G, paper_scale(scale, X), causal, words)  # three of (n, d)
    return Gradient(
        X=words.finite("the gradient on X", d.Q @ W.T + d.K + d.V @ W_V.T),  # (n, d)
        W=words.finite("the gradient on W", X.T @ d.Q),  # (d, d)
        W_V=words.finite("the gradient on W_V", X.T @ d.V),  # (d, d)
    )


@shapes(X="n d", W="d d", W_V="d d")
@np.errstate(all="ignore")
def fast_attention(
    X: FloatArray,
    W: FloatArray,
    W_V: FloatArray,
    *,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    scale: float | None = None,
    causal: bool = False,
) -> Approximation:
    r"""Attention of a sequence in time linear in n at a fixed rank, with a bound on its error (C.13, C.14, I.6).

    .. math:: \tilde f X W_V, \qquad
        \tilde f_{ij} = \frac{M_{ij} P(S_{ij})}{\sum_l M_{il} P(S_{il})}, \quad S = \tau\, X W X^\top

    `value` and `bound` are (n, d). `scale` and `causal` as in `attention`; `rtol`, `polynomial`, cost and errors as in
    `qkv.fast_attention`.

    >>> X = np.random.default_rng(0).normal(size=(2000, 2))
    >>> fast = fast_attention(X, np.eye(2) / 8, np.eye(2), rtol=1e-3)
    >>> bool((np.abs(fast.value - attention(X, np.eye(2) / 8, np.eye(2))) <= fast.bound).all())
    True
    """
    words = words_of("fast_attention")
    head = _head(X, W, W_V, None, paper_scale(scale, X), causal)
    fast, chosen = prepare([head], rtol, polynomial, "differentiate", words)
    output, bound = np.empty_like(X), np.empty_like(X)  # (n, d) both
    for rows, value, error in fast[0].output():
        output[rows], bound[rows] = value, error
    words.finite("the output", output)
    return approximation(output, bound, fast, chosen)


@shapes(X="n d", W="d d", W_V="d d", G="n d")
@np.errstate(all="ignore")
def fast_attention_gradient(
    X: FloatArray,
    W: FloatArray,
    W_V: FloatArray,
    G: FloatArray,
    *,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    scale: float | None = None,
    causal: bool = False,
    method: Method = "paper",
) -> Approximation:
    r"""Gradient of L = ⟨G, Attn(X)⟩ in time linear in n at a fixed rank, with bounds (E.11, F.5, G.4, I.7, I.8).

    .. math::

        \frac{dL}{dX} \approx \tau(\tilde p X W^\top + \tilde p^\top X W) + \tilde f^\top G W_V^\top, \qquad
        \frac{dL}{dW} \approx \tau X^\top \tilde p X, \qquad
        \frac{dL}{dW_V} \approx X^\top \tilde f^\top G

    the repaired forms of the paper's closed forms, with exp replaced by a polynomial. `value` and `bound` are
    `Gradient`s: |value − exact| ≤ bound entry by entry, rounding included. `method` as in `qkv.fast_attention_vjp`,
    `scale` and `causal` as in `attention`, `rtol` and `polynomial`, costs and errors as in `qkv.fast_attention_vjp`.

    >>> X, G = np.random.default_rng(0).normal(size=(2, 2000, 2))
    >>> fast = fast_attention_gradient(X, np.eye(2) / 8, np.eye(2), G, rtol=1e-3, method="antiderivative")
    >>> exact = attention_gradient(X, np.eye(2) / 8, np.eye(2), G)
    >>> bool((np.abs(fast.value.X - exact.X) <= fast.bound.X).all())
    True
    """
    words = words_of("fast_attention_gradient")
    head = _head(X, W, W_V, G, paper_scale(scale, X), causal)
    fast, chosen = prepare([head], rtol, polynomial, method, words)
    value, bound = _collect(fast[0], X, W, W_V)
    for operand in ("X", "W", "W_V"):
        words.finite(f"the gradient on {operand}", getattr(value, operand))
    return approximation(value, bound, fast, chosen)


def _head(X: FloatArray, W: FloatArray, W_V: FloatArray, G: FloatArray | None, scale: float, causal: bool) -> Head:
    """Attention of a sequence as one head, with what rounding does to X W and X W_V."""
    return head_of(X, W, W_V, G, scale, causal, largest_sums(X, W_V), len(X))


def head_of(
    X: FloatArray, W: FloatArray, W_V: FloatArray, G: FloatArray | None, scale: float, causal: bool,
    values: FloatArray, n: int, parts: int = 0,
) -> Head:  # fmt: skip
    """The same of rows X of a sequence of n; `values` are the `largest_sums` of all."""
    d, lost = X.shape[1], _lost(X)
    return Head(
        n, n, d, d, X.dtype, scale, causal,
        Q=lambda rows: X[rows] @ W,
        K=lambda rows: X[rows],
        V=lambda rows: X[rows] @ W_V,
        dO=None if G is None else G.__getitem__,
        Q_error=lambda rows: lost * (np.abs(X[rows]) @ np.abs(W)) + float(np.finfo(X.dtype).tiny) * d,
        V_error=lost * values + float(np.finfo(X.dtype).tiny) * d,
        parts=parts,
    )  # fmt: skip


def largest_sums(X: FloatArray, W_V: FloatArray) -> FloatArray:
    """The largest Σ_c |X_ic| |W_V|_cj of each column j. Shapes: X (n, d), W_V (d, d) -> (d,)."""
    sums = [(np.abs(X[rows]) @ np.abs(W_V)).max(axis=0) for rows in blocks(len(X))]  # of (d,)
    largest: FloatArray = np.stack(sums).max(axis=0)  # (d,)
    return largest


def _lost(X: FloatArray) -> float:
    """A bound on the relative rounding error of products with d × d matrices, and of two sums after them.

    Twice: the products are computed again in blocks of other sizes, which may round in other ways.
    """
    return 2 * product_rounding(X.shape[1] + 4, X.dtype)


def _collect(fast: Fast, X: FloatArray, W: FloatArray, W_V: FloatArray) -> tuple[Gradient, Gradient]:
    """The gradients on X, W, W_V and their bounds from the blocks of dQ, dK and dV."""
    collected = Collected(fast, X, W, W_V, max(X.max(), -X.min()), np.empty_like(X), np.empty_like(X))
    for block in fast.gradient():
        collected.take(block)
    collected.finish()
    return collected.gradients()


class Collected:
    """The gradients on rows X, and what these add to those on W and W_V, with the bounds on all of them.

    `largest` is the largest |x| of the whole sequence; `dX` and `dX_bound` are (b, d), and filled in place.
    """

    def __init__(
        self, fast: Fast, X: FloatArray, W: FloatArray, W_V: FloatArray, largest: Any, dX: FloatArray,
        dX_bound: FloatArray,
    ) -> None:  # fmt: skip
        self.X, self.W, self.W_V, self.dX, self.dX_bound = X, W, W_V, dX, dX_bound
        n, d, u = fast.head.n, X.shape[1], unit(X.dtype)
        self.dW, self.dW_V, self.dW_bound, self.dW_V_bound = (RunningSum(d, d, like=X) for _ in range(4))
        at_once = min(BLOCK, fast.block)  # rows that are summed in their own precision
        self.lost = _lost(X)
        additions = n / at_once + fast.head.parts
        self.summed = self.lost + 2 * product_rounding(at_once + 4 + additions * 2.0**-53 / u, X.dtype)
        self.spare = 1 + 2 * self.summed + 8 * u  # for the rounding of the bounds themselves
        sizes = 2 + np.abs(W).max() + np.abs(W_V).max()
        self.tiny = float(np.finfo(X.dtype).tiny) * n * d * sizes * (1 + largest)  # underflow

    def take(self, block: QuerySide | KeySide) -> None:
        """Take in a block that has bounds; that of the queries of some rows before that of their keys."""
        rows, x, size = block.rows, self.X[block.rows], np.abs(self.X[block.rows])
        if isinstance(block, QuerySide):
            self.dX[rows] = block.dQ @ self.W.T  # (b, d)
            self.dX_bound[rows] = (block.dQ_bound + self.lost * np.abs(block.dQ)) @ np.abs(self.W).T  # (b, d)
            _add(self.dW, x, block.dQ)
            _add(self.dW_bound, size, block.dQ_bound + self.summed * np.abs(block.dQ))
        else:
            self.dX[rows] += block.dK + block.dV @ self.W_V.T  # (b, d)
            through_V = (block.dV_bound + self.lost * np.abs(block.dV)) @ np.abs(self.W_V).T  # (b, d)
            sums = np.abs(block.dK) + np.abs(self.dX[rows])  # (b, d)
            self.dX_bound[rows] += block.dK_bound + through_V + self.lost * sums
            _add(self.dW_V, x, block.dV)
            _add(self.dW_V_bound, size, block.dV_bound + self.summed * np.abs(block.dV))

    def finish(self) -> None:
        """Once all blocks are in, the bound on dX with its own rounding, and underflow."""
        for rows in blocks(len(self.X)):
            self.dX_bound[rows] = self._whole(self.dX_bound[rows])  # (b, d)

    def gradients(self) -> tuple[Gradient, Gradient]:
        """All gradients and their bounds."""
        value = Gradient(X=self.dX, W=self._own(self.dW.total), W_V=self._own(self.dW_V.total))
        W_bound, W_V_bound = (self._own(self._whole(b.total)) for b in (self.dW_bound, self.dW_V_bound))
        return value, Gradient(X=self.dX_bound, W=W_bound, W_V=W_V_bound)

    @property
    def totals(self) -> list[FloatArray]:
        """Of the gradients on W and W_V and of their bounds, not yet enlarged. Shapes: -> (d, d) each."""
        return [self.dW.total, self.dW_V.total, self.dW_bound.total, self.dW_V_bound.total]

    def _whole(self, bound: FloatArray) -> FloatArray:
        return or_infinite(bound * self.spare + self.tiny)

    def _own(self, total: FloatArray) -> FloatArray:
        return total.astype(self.X.dtype)


def _add(total: RunningSum, x: FloatArray, y: FloatArray) -> None:
    """Add xᵀ y in blocks. Shapes: x, y (b, d)."""
    for rows in blocks(len(x)):
        total.add(x[rows], y[rows])


def words_of(function: str) -> Wording:
    return Wording(function, Q="X W", K="X", V="(X W_V)", cotangent="G")


def paper_scale(scale: float | None, X: FloatArray) -> float:
    return 1 / X.shape[1] if scale is None else scale


@np.errstate(all="ignore")
def _project(X: FloatArray, W: FloatArray, W_V: FloatArray, words: Wording) -> tuple[FloatArray, FloatArray]:
    return words.finite("X W", X @ W), words.finite("X W_V", X @ W_V)  # (n, d), (n, d)
