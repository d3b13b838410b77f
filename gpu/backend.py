"""The reference's functions on arrays of a CUDA device: for the time of a call, operands are CuPy's.

NumPy hands each formula of `reference` to CuPy by the type of its operands; what it cannot hand on is named here
(`reference.backend`), and the fast half, where kernels pay, is `gpu.fast_qkv`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, ParamSpec, TypeVar, cast

from gpu import device
from gpu.fast_qkv import Heads
from reference.backend import Backend, use
from reference.errors import AltgradError

P = ParamSpec("P")
R = TypeVar("R")


def on_device(function: Callable[P, R]) -> Callable[P, R]:
    """The function on arrays of the current CUDA device; AltgradError where there is none."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with use(backend(function.__name__)):
            return function(*args, **kwargs)

    called.__module__ = "gpu"
    return called


def backend(function: str) -> Backend:
    """CuPy's arrays on the current device."""
    try:
        xp = device.current().xp
    except AltgradError as error:
        raise AltgradError(f"{function}: {error}") from None
    if os.environ.get("CUPY_TF32", "0") not in {"", "0"}:
        got = f"{function}: CUPY_TF32 is {os.environ['CUPY_TF32']!r}, which rounds float32 products to 11 digits"
        raise AltgradError(f"{got}, needs 0 or nothing: the bounds are those of float32")
    return Backend(f"a plain {xp.__name__}.ndarray", (xp.ndarray,), xp.cuda.Device(), Heads, ndtr)


def ndtr(x: Any) -> Any:
    """The normal distribution function of a CuPy array."""
    return cast("Any", import_module("cupyx.scipy.special")).ndtr(x)
