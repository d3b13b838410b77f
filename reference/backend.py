"""Whose arrays a call works on: NumPy's, unless another backend is in use for the time of the call.

The formulas are NumPy's names; on arrays of another library NumPy hands each call to that library (NEP 13, 18, 35).
What it cannot hand on stands here: which type an operand must have, and what evaluates the fast half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from scipy import special

__all__ = ["NUMPY", "Backend", "in_use", "use"]


class Backend(NamedTuple):
    """What is not the same for all arrays."""

    name: str  # of the type of an operand, in messages
    types: tuple[type, ...]  # exactly these; other subclasses redefine * and @, or hide entries
    device: Any = None  # where operands must be; None: anywhere
    fast: Any = None  # evaluates `fast_qkv` for all heads at once; None: what `fast_qkv` has, head by head
    ndtr: Callable[[Any], Any] = special.ndtr  # the normal distribution function, which NumPy has not
    product_error: float = 0.0  # relative, of each product of two float32 numbers in x @ y, beside γ of the sum


NUMPY = Backend("a plain numpy.ndarray", (np.ndarray, np.memmap))
_current: ContextVar[Backend] = ContextVar("altgrad_backend", default=NUMPY)


def in_use() -> Backend:
    return _current.get()


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Calls within work on the arrays of this backend."""
    token = _current.set(backend)
    try:
        yield
    finally:
        _current.reset(token)
