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

import numpy as np

from gpu import device
from gpu.fast_qkv import Heads
from reference.backend import Backend, use
from reference.errors import AltgradError

# Two factors of 11 digits, however they were rounded: 2⁻⁹ + 2⁻²⁰; the rest is for bounds that are such products.
TF32 = 2.0**-9 + 2.0**-16
COMPUTE_TYPES = {1: 0.0, 2: 0.0, 4: 0.0, 7: TF32}  # CuPy's numbers for: default, pedantic, float32, TF32

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
    name = f"a plain {xp.__name__}.ndarray"
    return Backend(name, (xp.ndarray,), xp.cuda.Device(), Heads, ndtr, product_error(function, xp))


def product_error(function: str, xp: Any) -> float:
    """What x @ y loses of each product of two float32 numbers, by how CuPy is told to multiply them."""
    kind = xp._core.get_compute_type(np.float32)  # what it goes by; it reads CUPY_TF32 once
    if kind not in COMPUTE_TYPES:
        raise AltgradError(f"{function}: CuPy has compute type {kind} for float32, needs one of {[*COMPUTE_TYPES]}")
    forced = os.environ.get("NVIDIA_TF32_OVERRIDE", "0") not in {"", "0"}
    return TF32 if forced else COMPUTE_TYPES[kind]


def ndtr(x: Any) -> Any:
    """The normal distribution function of a CuPy array."""
    return cast("Any", import_module("cupyx.scipy.special")).ndtr(x)
