"""The losses of `reference.loss` on device arrays."""

from __future__ import annotations

from gpu.backend import on_device
from reference import loss

__all__ = ["CrossEntropyLoss", "LinearLoss", "SquaredLoss"]


class LinearLoss(loss.LinearLoss):
    __doc__ = loss.LinearLoss.__doc__
    __call__ = on_device(loss.LinearLoss.__call__)
    bounded = on_device(loss.LinearLoss.bounded)


class SquaredLoss(loss.SquaredLoss):
    __doc__ = loss.SquaredLoss.__doc__
    __call__ = on_device(loss.SquaredLoss.__call__)
    bounded = on_device(loss.SquaredLoss.bounded)


class CrossEntropyLoss(loss.CrossEntropyLoss):
    __doc__ = loss.CrossEntropyLoss.__doc__
    __call__ = on_device(loss.CrossEntropyLoss.__call__)
    bounded = on_device(loss.CrossEntropyLoss.bounded)
