r"""Losses of a transformer's output T (Definition 3.1, Remark 3.2).

A loss is any function `loss(T)` that returns (value, dL/dT, parameters): a float, an array (n, d), and a dict of the
gradients on parameters of its own, empty if there are none. Three are given. A loss that also has a method
`bounded(T)` for a `Bounded` T, which returns bounds on the errors of the three (numbers or arrays of their shapes, for
all T within the bound, rounding included), lets `fast_transformer_gradient` bound a whole model's gradient. First the
paper's formulas, which also run on object arrays (balls).

| symbol | shape | meaning |
|---|---|---|
| `T` | (n, d) | output of the model, T_m |
| `W_out` | (d, d_voc) | the linear layer from the model to the vocabulary |
| `Y_gt` | (n, d_voc) | 1 for the class of row j, 0 otherwise |
| `Y_pred` | (n, d_voc) | predicted probabilities, rows sum to 1 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reference.bounded import FUNCTION, Bounded, matmul
from reference.certificate import gamma, unit
from reference.qkv import Wording
from reference.shapes import FloatArray, check_operands, check_type, refuse
from reference.softmax_attention import Array, f

Loss: TypeAlias = Callable[[FloatArray], tuple[float, FloatArray, dict[str, FloatArray]]]
Errors: TypeAlias = tuple[float, FloatArray | float, dict[str, FloatArray]]  # of the three

__all__ = ["CrossEntropyLoss", "LinearLoss", "SquaredLoss"]


# ---------------------------------------------------------------------------------------------------- the formulas


def loss_of_units(units: Array) -> Any:
    r"""Loss as a sum over units (3.1).

    .. math:: L(X) = \sum_{j \in [n]} \sum_{k \in [d]} \ell(X)_{j,k}

    Shapes: units (n, d) -> number. Cost: O(n d).

    >>> float(loss_of_units(np.array([[1.0, 2.0], [3.0, 4.0]])))
    10.0
    """
    return units.sum()


def linear_units(T: Array, C: Array) -> Array:
    r"""Units of the linear loss ⟨C, T⟩ (3.1).

    .. math:: \ell_{j,k} = C_{j,k} T_{j,k}

    Shapes: T (n, d), C (n, d) -> (n, d). Cost: O(n d).

    >>> linear_units(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([[3., 8.]])
    """
    return C * T


def squared_units(T: Array, target: Array) -> Array:
    r"""Units of the loss ½‖T − target‖² (3.1).

    .. math:: \ell_{j,k} = \tfrac12 (T_{j,k} - \mathrm{target}_{j,k})^2

    Shapes: T (n, d), target (n, d) -> (n, d). Cost: O(n d).

    >>> squared_units(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]]))
    array([[2., 0.]])
    """
    difference = T - target  # (n, d)
    return difference * difference / 2


def cross_entropy(Y_gt: Array, Y_pred: Array) -> Any:
    r"""Cross-entropy (3.2). Where Y_gt is exactly 0, the product is 0, also for log 0.

    .. math:: L(X) = -\sum_{j=1}^{n} \sum_{k=1}^{d_{voc}} (Y_{gt})_{j,k} \log((Y_{pred})_{j,k})

    Shapes: Y_gt (n, d_voc), Y_pred (n, d_voc) -> number. Cost: O(n d_voc).

    >>> float(cross_entropy(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])))
    -0.0
    """
    return -_product_with_log(Y_gt, Y_pred).sum()


def cross_entropy_units(Y_gt: Array, Y_pred: Array) -> Array:
    r"""The one-unit losses of which cross-entropy is the sum (3.2). Zeros as in `cross_entropy`.

    .. math:: \ell_{j,k} = -(Y_{gt})_{j,k} \log((Y_{pred})_{j,k})

    Shapes: Y_gt (n, d_voc), Y_pred (n, d_voc) -> (n, d_voc). Cost: O(n d_voc).

    >>> cross_entropy_units(np.array([[1.0, 1.0]]), np.exp([[-2.0, -3.0]]))
    array([[2., 3.]])
    """
    return -_product_with_log(Y_gt, Y_pred)


def squared_gradient(T: Array, target: Array) -> Array:
    r"""Gradient of ½‖T − target‖² (3.1): each unit depends on its own entry alone.

    .. math:: \frac{dL}{dT} = T - \mathrm{target}

    Shapes: T (n, d), target (n, d) -> (n, d). Cost: n d.

    >>> squared_gradient(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]]))
    array([[-2.,  0.]])
    """
    return T - target


def gradient_of_linear_units(A: Array) -> Array:
    r"""Gradient of a loss with linear units, each of which depends on all of T, as Definition 3.1 allows.

    .. math:: \ell(T)_{j,k} = \langle A_{j,k}, T \rangle, \quad A_{j,k} \in R^{n \times d}, \qquad
              \frac{dL}{dT} = \sum_{j=1}^{n} \sum_{k=1}^{d} A_{j,k}

    Every one of the n² d² numbers in A moves the gradient, so nothing that computes it can do with fewer steps.

    Shapes: A (n, d, n, d) -> (n, d). Cost: O(n² d²).

    >>> gradient_of_linear_units(np.ones((2, 1, 2, 1)))
    array([[2.],
           [2.]])
    """
    return A.sum(axis=(0, 1))


def cross_entropy_gradient(T: Array, W_out: Array, Y_gt: Array) -> Array:
    r"""Gradient of cross-entropy after a linear layer and softmax (3.2), for rows of Y_gt that sum to 1.

    .. math:: \frac{dL}{dT} = (\mathrm{Softmax}(T W_{out}) - Y_{gt}) W_{out}^\top

    Shapes: T (n, d), W_out (d, d_voc), Y_gt (n, d_voc) -> (n, d). Cost: O(n d d_voc).

    >>> cross_entropy_gradient(np.array([[0.0]]), np.array([[1.0, 3.0]]), np.array([[1.0, 0.0]]))
    array([[1.]])
    """
    return (f(np.exp(T @ W_out)) - Y_gt) @ W_out.T


def linear_loss(T: Array, C: Array) -> Any:
    r"""Linear loss as a sum over units (3.1).

    .. math:: \langle C, T \rangle = \sum_{j \in [n]} \sum_{k \in [d]} C_{j,k} T_{j,k}

    Shapes: T (n, d), C (n, d) -> number. Cost: O(n d).
    """
    return loss_of_units(linear_units(T, C))


def squared_loss(T: Array, target: Array) -> Any:
    r"""Squared loss as a sum over units (3.1).

    .. math:: \tfrac12 \|T - \mathrm{target}\|^2
              = \sum_{j \in [n]} \sum_{k \in [d]} \tfrac12 (T_{j,k} - \mathrm{target}_{j,k})^2

    Shapes: T (n, d), target (n, d) -> number. Cost: O(n d).
    """
    return loss_of_units(squared_units(T, target))


def cross_entropy_of_units(Y_gt: Array, Y_pred: Array) -> Any:
    r"""Cross-entropy as a sum over units, one for each class (3.2).

    .. math:: L(X) = \sum_{j \in [n]} \sum_{k \in [d_{voc}]} \ell_{j,k}, \qquad
              \ell_{j,k} = -(Y_{gt})_{j,k} \log((Y_{pred})_{j,k})

    Shapes: Y_gt (n, d_voc), Y_pred (n, d_voc) -> number. Cost: O(n d_voc).
    """
    return loss_of_units(cross_entropy_units(Y_gt, Y_pred))


def cross_entropy_of_rows(Y_gt: Array, Y_pred: Array, d: int) -> Any:
    r"""Cross-entropy as a sum over the units of 3.1, with one unit for each row (3.2).

    .. math:: L(X) = \sum_{j \in [n]} \sum_{k \in [d]} \ell_{j,k}, \qquad
              \ell_{j,1} = -\sum_{l=1}^{d_{voc}} (Y_{gt})_{j,l} \log((Y_{pred})_{j,l}),
              \quad \ell_{j,k} = 0 \text{ for } k > 1

    Shapes: Y_gt (n, d_voc), Y_pred (n, d_voc) -> number. Cost: O(n (d + d_voc)).
    """
    rows = cross_entropy_units(Y_gt, Y_pred).sum(axis=1)  # (n,)
    first = np.arange(d) == 0  # (d,)
    return loss_of_units(rows[:, None] * first)


def _product_with_log(Y_gt: Array, Y_pred: Array) -> Array:
    product = 0 * (Y_gt * Y_pred)  # (n, d_voc), zeros of the entries' kind
    counts = ~(Y_gt == 0)  # (n, d_voc)
    product[counts] = Y_gt[counts] * np.log(Y_pred[counts])
    return product


# ------------------------------------------------------------------------------------------------------ the losses


@dataclass(frozen=True, eq=False)
class LinearLoss:
    r"""L = ⟨C, T⟩, of which C is the gradient (3.1).

    Shapes: C (n, d), T (n, d) -> number, (n, d), {}. Cost: O(n d). Raises AltgradError for operands that are not
    finite float32 or float64 arrays of one dtype and these shapes, and where ⟨C, T⟩ overflows.

    >>> LinearLoss(np.array([[2.0]]))(np.array([[3.0]]))
    (6.0, array([[2.]]), {})
    """

    C: FloatArray

    @np.errstate(all="ignore")
    def __call__(self, T: FloatArray) -> tuple[float, FloatArray, dict[str, FloatArray]]:
        check_operands("LinearLoss", {"C": self.C, "T": T}, {"C": "n d", "T": "n d"})
        value = Wording("LinearLoss").finite("⟨C, T⟩", loss_of_units(linear_units(T, self.C)))
        return float(value), self.C.copy(), {}

    def bounded(self, T: Bounded) -> Errors:
        """|⟨C, T⟩| moves by ⟨|C|, E⟩ at most, its gradient not at all. Shapes: T (n, d) -> number, number, {}."""
        units = T * self.C  # (n, d)
        return _sum_error(units), 0.0, {}


@dataclass(frozen=True, eq=False)
class SquaredLoss:
    r"""L = ½‖T − target‖², with the gradient T − target (3.1).

    Shapes: target (n, d), T (n, d) -> number, (n, d), {}. Cost: O(n d). Raises AltgradError for operands that are not
    finite float32 or float64 arrays of one dtype and these shapes, and where ½‖T − target‖² overflows.

    >>> SquaredLoss(np.array([[1.0]]))(np.array([[3.0]]))
    (2.0, array([[2.]]), {})
    """

    target: FloatArray

    @np.errstate(all="ignore")
    def __call__(self, T: FloatArray) -> tuple[float, FloatArray, dict[str, FloatArray]]:
        check_operands("SquaredLoss", {"target": self.target, "T": T}, {"target": "n d", "T": "n d"})
        value = Wording("SquaredLoss").finite("½‖T - target‖²", loss_of_units(squared_units(T, self.target)))
        return float(value), squared_gradient(T, self.target), {}

    def bounded(self, T: Bounded) -> Errors:
        """T − target moves as T does. Shapes: T (n, d) -> number, (n, d), {}."""
        difference = T - self.target  # (n, d)
        return _sum_error(difference * difference) / 2, difference.error, {}


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss:
    r"""Cross-entropy of softmax(T W_out) with one class per row (3.2).

    .. math::

        L = -\sum_j \log p_{j, \mathrm{label}_j}, \quad p = \mathrm{Softmax}(T W_{out}), \qquad
        \frac{dL}{dT} = (p - Y_{gt}) W_{out}^\top, \quad \frac{dL}{dW_{out}} = T^\top (p - Y_{gt})

    Shapes: W_out (d, d_voc), labels (n,), T (n, d) -> number, (n, d), {"W_out": (d, d_voc)}. Cost: O(n d d_voc).
    Logits of any finite size are allowed. Raises AltgradError for W_out and T that are not finite float32 or float64
    arrays of one dtype and these shapes, for labels that are not n integers from 0 to d_voc - 1, and where T W_out,
    the loss or a gradient overflows.

    >>> loss = CrossEntropyLoss(W_out=np.array([[0.0, 0.0]]), labels=np.array([1]))
    >>> value, _, parameters = loss(np.array([[2.0]]))
    >>> round(value, 9), parameters["W_out"]  # log 2, for two classes of equal probability
    (0.693147181, array([[ 1., -1.]]))
    """

    W_out: FloatArray
    labels: NDArray[np.integer[Any]]

    @np.errstate(all="ignore")
    def __call__(self, T: FloatArray) -> tuple[float, FloatArray, dict[str, FloatArray]]:
        words, W_out = Wording("CrossEntropyLoss"), self.W_out
        check_operands(words.function, {"T": T, "W_out": W_out}, {"T": "n d", "W_out": "d d_voc"})
        _check_labels(words.function, self.labels, len(T), W_out.shape[1])
        gold = np.arange(len(T), like=T), self.labels  # the places where Y_gt is 1
        logits = self._logits(words.finite("T W_out", matmul(T, W_out)))  # (n, d_voc)
        u = np.exp(logits)  # (n, d_voc)
        value = words.finite("the loss", (np.log(u.sum(axis=1)) - logits[gold]).sum())  # number
        error = f(u)  # (n, d_voc), p, then p - Y_gt in place
        error[gold] -= 1
        cotangent = words.finite("the gradient on T", matmul(error, W_out.T))  # (n, d)
        return (
            float(value),
            cotangent,
            {"W_out": words.finite("the gradient on W_out", matmul(T.T, error))},
        )  # (d, d_voc)

    def bounded(self, T: Bounded) -> Errors:
        """Odds p/(1 − p) move by a factor within e^{±2σ}, σ what a logit moves by, so p by (e^{2σ} − 1) p (1 − p).

        Shapes: T (n, d) -> number, (n, d), {"W_out": (d, d_voc)}. The loss moves by 2σ in each row. Each exponential
        and logarithm counts as eight roundings.
        """
        Z, u, tiny = T @ self.W_out, unit(T.dtype), float(np.finfo(T.dtype).tiny)  # (n, d_voc)
        (n, d_voc), gold = Z.shape, (np.arange(len(self.labels), like=Z.value), self.labels)
        subtraction = 4 * u * Z.size.max(axis=1, keepdims=True)  # (n, 1), of the maximum
        sigma = Z.error.max(axis=1, keepdims=True) + subtraction  # (n, 1)
        logits = self._logits(Z.value)  # (n, d_voc)
        p = f(np.exp(logits)).astype(np.float64)  # (n, d_voc)
        r = np.expm1((2 * FUNCTION + d_voc + 4) * u)  # relative rounding of p
        slope = (p + 2 * tiny) * (1 - p + r)  # (n, d_voc), p may have underflowed
        moved = np.minimum((1 + r) * np.expm1(2 * sigma) * slope + r * p, 1)  # (n, d_voc)
        p[gold] -= 1  # p − Y_gt
        error = Bounded(p.astype(T.dtype), moved + 2 * u + 2 * tiny)  # (n, d_voc)

        log_sum = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))  # (n,)
        of_rows = 2 * sigma[:, 0] + (2 * FUNCTION + d_voc) * u * (1 + log_sum - logits[gold])  # (n,)
        value = (of_rows + gamma(n + 2, u) * (1 + log_sum - logits[gold])).sum() * (1 + n * 2.0**-50)
        return float(value), (error @ self.W_out.T).error, {"W_out": (T.T @ error).error}

    @staticmethod
    def _logits(Z: FloatArray) -> FloatArray:
        """At most 0, and 0 once in each row. Shapes: (n, d_voc) -> (n, d_voc)."""
        shifted: FloatArray = Z - Z.max(axis=1, keepdims=True)
        return shifted


def _sum_error(units: Bounded) -> float:
    """On the sum of the units, however it is taken."""
    rounding = gamma(units.value.size, unit(units.dtype)) * units.size.sum()
    return float((units.error.sum() + rounding) * (1 + units.value.size * 2.0**-50))


def _check_labels(function: str, labels: Any, n: int, d_voc: int) -> None:
    check_type(function, "labels", labels)
    if labels.dtype.kind not in "iu":
        refuse(function, "labels", f"has dtype {labels.dtype}", "integers")
    if labels.shape != (n,):
        refuse(function, "labels", f"has shape {labels.shape}", f"(n,) with n = {n} from T")
    outside = np.flatnonzero((labels < 0) | (labels >= d_voc))
    if outside.size:
        first = int(outside[0])
        refuse(
            function, "labels", f"has {labels[first]} at index ({first},)", f"0 to {d_voc - 1}, the classes of W_out"
        )
