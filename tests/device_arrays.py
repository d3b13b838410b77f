"""Arrays that behave as CuPy's do where a mistake would show, on NumPy: test equipment, never a GPU result.

A `DeviceArray` hides a NumPy array. NumPy's functions and ufuncs reach it by the protocols by which they reach CuPy's
arrays, and then must exist in CuPy with the arguments given. It refuses to be mixed with arrays of the host, and to be
converted to one by anything but `asnumpy`. Reductions return arrays of no dimension, as CuPy's do.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tests.numpy_device import NumpyDevice

try:
    import cupy
except ImportError:  # it comes for Linux; elsewhere any function of NumPy passes for one of its
    cupy = np

HERE = "<CUDA Device 0>"
TF32 = 7  # CuPy's number for it
signature = cache(inspect.signature)


class DeviceArray(NDArrayOperatorsMixin):
    """An array of a device."""

    def __init__(self, hidden: Any, device: str = HERE) -> None:
        self.hidden, self.device = np.asarray(hidden), device

    # --- NumPy's protocols

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or not hasattr(cupy, ufunc.__name__):
            return NotImplemented
        if unknown := kwargs.keys() - {"out", "dtype", "casting"}:
            raise TypeError(f"CuPy's {ufunc.__name__} has no {unknown}")
        refuse_host(inputs)
        if ufunc is np.matmul and LIBRARY._core.get_compute_type(np.float32) == TF32:
            inputs = tuple(map(eleven_digits, inputs))
        if "out" in kwargs:
            (out,) = kwargs["out"]
            ufunc(*map(hidden, inputs), **(kwargs | {"out": (out.hidden,)}))
            return out
        return wrapped(ufunc(*map(hidden, inputs), **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        names = function.__module__.split(".")[1:]
        theirs = operator.attrgetter(".".join([*names, function.__name__]))(cupy)
        signature(theirs).bind(*args, **kwargs)
        if any(one is not DeviceArray for one in types):
            raise TypeError(f"{function.__name__} of arrays of the host and of a device")
        refuse_host(args)
        return wrapped(function(*map(hidden, args), **{name: hidden(one) for name, one in kwargs.items()}))

    # --- what CuPy's arrays have

    shape = property(lambda self: self.hidden.shape)
    ndim = property(lambda self: self.hidden.ndim)
    size = property(lambda self: self.hidden.size)
    dtype = property(lambda self: self.hidden.dtype)
    T = property(lambda self: DeviceArray(self.hidden.T))

    def __len__(self) -> int:
        return len(self.hidden)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> DeviceArray:
        refuse_host(index)
        return DeviceArray(self.hidden[hidden(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        refuse_host((index, value))
        self.hidden[hidden(index)] = hidden(value)

    def __bool__(self) -> bool:
        return bool(self.hidden)

    def __int__(self) -> int:
        return int(self.hidden)

    def __float__(self) -> float:
        return float(self.hidden)

    def __repr__(self) -> str:
        return repr(self.hidden)

    def __format__(self, spec: str) -> str:
        return format(self.hidden, spec)

    def item(self) -> Any:
        return self.hidden.item()

    def copy(self, order: Any = "C") -> DeviceArray:
        return DeviceArray(self.hidden.copy(order))

    def astype(self, dtype: Any, order: Any = "K", copy: bool = True) -> DeviceArray:
        return DeviceArray(self.hidden.astype(dtype, order, copy=copy))

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self.hidden.reshape(*shape))

    def swapaxes(self, one: int, other: int) -> DeviceArray:
        return DeviceArray(self.hidden.swapaxes(one, other))

    def sum(self, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.hidden.sum(axis=axis, dtype=dtype, keepdims=keepdims))

    def max(self, axis: Any = None, *, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.hidden.max(axis=axis, keepdims=keepdims))

    def min(self, axis: Any = None, *, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.hidden.min(axis=axis, keepdims=keepdims))

    def all(self) -> DeviceArray:
        return DeviceArray(self.hidden.all())

    def any(self) -> DeviceArray:
        return DeviceArray(self.hidden.any())


def eleven_digits(array: DeviceArray) -> DeviceArray:
    """Of each number of float32 the digits that TF32 has; the others are cut off, than which no rounding is worse."""
    if array.dtype != np.float32:
        return array
    return DeviceArray((np.ascontiguousarray(array.hidden).view(np.uint32) & 0xFFFFE000).view(np.float32))


def wrapped(result: Any) -> Any:
    """What a function of NumPy returned, on the device."""
    if isinstance(result, tuple | list):
        return list(map(wrapped, result)) if isinstance(result, list) else tuple(map(wrapped, result))
    return DeviceArray(result) if isinstance(result, np.ndarray | np.generic) else result


def hidden(operand: Any) -> Any:
    if isinstance(operand, tuple | list):
        return list(map(hidden, operand)) if isinstance(operand, list) else tuple(map(hidden, operand))
    return operand.hidden if isinstance(operand, DeviceArray) else operand


def refuse_host(operands: Any) -> None:
    if isinstance(operands, tuple | list):
        for operand in operands:
            refuse_host(operand)
    if isinstance(operands, np.ndarray):
        raise TypeError("an array of the host with arrays of a device")


def asarray(array: Any) -> DeviceArray:
    return array if isinstance(array, DeviceArray) else DeviceArray(np.array(array))


def asnumpy(array: DeviceArray) -> Any:
    return np.array(array.hidden)


def empty(shape: Any, dtype: Any = np.float64) -> DeviceArray:
    """Filled with what is no number, so that an entry that nobody writes is seen."""
    return DeviceArray(np.full(shape, np.nan, dtype))


LIBRARY = SimpleNamespace(  # CuPy's namespace, as far as `gpu` uses it
    __name__="cupy",
    ndarray=DeviceArray,
    asarray=asarray,
    asnumpy=asnumpy,
    empty=empty,
    empty_like=lambda array: empty(array.shape, array.dtype),
    zeros_like=np.zeros_like,
    cuda=SimpleNamespace(Device=lambda: HERE),
    _core=SimpleNamespace(get_compute_type=lambda dtype: 1),
)


def on_hidden(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of `NumpyDevice` on device arrays, which must be contiguous and of one type but for sums."""

    def launched(_: Any, *operands: Any, **options: Any) -> DeviceArray:
        refuse_host(operands)
        arrays = [one for one in operands if isinstance(one, DeviceArray)]
        assert all(one.hidden.flags.c_contiguous for one in arrays), "a kernel takes contiguous arrays"
        assert len({one.dtype for one in arrays}) == 1, "a kernel takes arrays of one type"
        assert all(one.size for one in arrays), "a kernel takes no empty arrays"
        result = kernel(DEVICE, *map(hidden, operands), **options)
        assert result.dtype == (np.float64 if kernel is NumpyDevice.absorb else arrays[0].dtype)
        return DeviceArray(result)

    return launched


DEVICE = NumpyDevice()


class PretendedDevice:
    """A `gpu.device.Device` whose arrays are `DeviceArray`s."""

    xp = LIBRARY
    absorb = on_hidden(NumpyDevice.absorb)
    read = on_hidden(NumpyDevice.read)
    pull = on_hidden(NumpyDevice.pull)
    near_read = on_hidden(NumpyDevice.near_read)
    near_pull = on_hidden(NumpyDevice.near_pull)
