"""What tests of `gpu` run on where there is no device: `device_arrays` for CuPy's, `numpy_device` for its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy import special

from gpu import device, fast_qkv
from tests import numpy_device
from tests.device_arrays import DeviceArray, PretendedDevice


@contextmanager
def pretended_device(**sizes: Any) -> Iterator[None]:
    """A device in the place of CUDA's, where rows are taken a few at a time: by default 4 in two segments of 2."""
    sizes = {"STEP": 2, "SEGMENTS": (2, 2), "ROWS": 4} | sizes
    with (
        patch.object(device, "current", PretendedDevice),
        patch("gpu.backend.ndtr", lambda x: DeviceArray(special.ndtr(x.hidden))),
        patch.object(device, "STEP", sizes["STEP"]),
        patch.object(numpy_device, "STEP", sizes["STEP"]),
        patch.object(fast_qkv, "SEGMENTS", sizes["SEGMENTS"]),
        patch.object(fast_qkv, "ROWS", sizes["ROWS"]),
    ):
        yield


def put(array: Any) -> Any:
    """A copy on the device."""
    return DeviceArray(np.array(array))


def on_device(of: Callable[..., Any]) -> Callable[..., Any]:
    """The function of `gpu` on copies of arrays of the host, with its results brought back."""

    def called(*operands: Any, **options: Any) -> Any:
        return host(of(*map(put, operands), **options))

    return called


def host(result: Any) -> Any:
    """The result with NumPy's arrays in the place of the device's, of which it must consist."""
    if isinstance(result, DeviceArray):
        return result.hidden
    if isinstance(result, tuple):
        parts = map(host, result)
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    if isinstance(result, dict):
        return {name: host(one) for name, one in result.items()}
    if hasattr(result, "__dataclass_fields__"):
        return type(result)(**{name: host(one) for name, one in vars(result).items()})
    assert result is None or isinstance(result, int | float | str), f"{type(result)} on the host"
    return result
