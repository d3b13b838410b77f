"""Shapes are declared once: `@shapes(X="n d", W="d d")` checks, words the error and documents.

A spec is a word per dimension. Equal words mean equal sizes, over all operands of the call; a leading `...`
stands for any number of batch dimensions, the same for every operand that declares it (nothing is broadcast).

>>> @shapes(X="n d", W="d d")
... def project(X: FloatArray, W: FloatArray) -> FloatArray:
...     return X @ W
>>> project(np.ones((2, 3)), np.ones((3, 4)))
Traceback (most recent call last):
    ...
reference.errors.AltgradError: project: W has shape (3, 4), needs (d, d) with d = 3 from X
>>> project.shapes["W"]
'd d'

The function receives its operands as plain C-contiguous arrays, so that strided, transposed and contiguous inputs
give the same bits; contiguous ones are not copied. `scale` and `causal`, where it has them, are checked too.
"""

from __future__ import annotations

import functools
import inspect
import math
import reprlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from reference import backend
from reference.errors import AltgradError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FloatArray: TypeAlias = NDArray[np.floating[Any]]
Sizes: TypeAlias = dict[str, tuple[object, str]]  # word of a spec -> its size, the operand that gave it

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Checked(Protocol[P, R_co]):
    """A function that checks its operands, and the shapes it declares for them."""

    __name__: str
    shapes: Mapping[str, str]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


def shapes(**specs: str) -> Callable[[Callable[P, R]], Checked[P, R]]:
    """Declare the operands' shapes; every call is checked, and refused with an AltgradError, before it runs."""

    def decorate(function: Callable[P, R]) -> Checked[P, R]:
        name, signature = function.__name__, inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                call = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            operands = {operand: call.arguments[operand] for operand in specs}
            dtype = check_operands(name, operands, specs)
            call.arguments |= {operand: np.ascontiguousarray(array, like=array) for operand, array in operands.items()}
            if "scale" in call.arguments:
                optional = signature.parameters["scale"].default is None
                call.arguments["scale"] = _real_scale(name, call.arguments["scale"], optional, dtype)
            _check_causal(name, call.arguments.get("causal", False))
            return function(*call.args, **call.kwargs)

        declared = cast("Checked[P, R]", checked)
        declared.shapes = MappingProxyType(specs)
        return declared

    return decorate


def refuse(function: str, operand: str, got: str, needs: str) -> NoReturn:
    """Raise the AltgradError that names the function, the operand, what it got and what it needs."""
    raise AltgradError(f"{function}: {operand} {got}, needs {needs}")


def check_operands(function: str, operands: Mapping[str, Any], specs: Mapping[str, str]) -> np.dtype[Any]:
    """The dtype that the operands share; AltgradError if they are not of these shapes, types, and finite."""
    sizes: Sizes = {}
    first, *_ = operands
    for operand, array in operands.items():
        check_type(function, operand, array)
        _check_dtype(function, operand, array.dtype)
        if array.dtype != operands[first].dtype:
            refuse(function, operand, f"has dtype {array.dtype}", f"{operands[first].dtype}, the dtype of {first}")
        _check_shape(function, operand, array.shape, specs[operand], sizes)
        _check_finite(function, operand, array)
    dtype: np.dtype[Any] = operands[first].dtype
    return dtype


def check_type(function: str, operand: str, array: object) -> None:
    """AltgradError if it is not an array of the backend in use, or lies elsewhere."""
    own = backend.in_use()
    if type(array) not in own.types:
        refuse(function, operand, f"has type {_type_name(array, own)}", own.name)
    if own.device is not None and cast("Any", array).device != own.device:
        refuse(function, operand, f"is on {cast('Any', array).device}", f"{own.device}, the current device")


def _check_dtype(function: str, operand: str, dtype: np.dtype[Any]) -> None:
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        refuse(function, operand, f"has dtype {dtype}", "float32 or float64 in native byte order")


def _type_name(array: object, own: backend.Backend) -> str:
    """The name of its type, with the library's where the names alone would be the same."""
    name = type(array).__name__
    return f"{type(array).__module__}.{name}" if any(name == one.__name__ for one in own.types) else name


def _check_shape(function: str, operand: str, shape: tuple[int, ...], spec: str, sizes: Sizes) -> None:
    words = spec.split()
    batched = words[0] == "..."
    form = f"({', '.join(words)}{',' if len(words) == 1 else ''})"
    batch = len(shape) - len(words) + batched  # how many leading dimensions "..." stands for
    if batch < 0 or (batch > 0 and not batched):
        refuse(function, operand, f"has shape {shape}", form)
    if 0 in shape:
        refuse(function, operand, f"has shape {shape}", f"{form} with no dimension of size 0")
    split: tuple[object, ...] = (shape[:batch], *shape[batch:]) if batched else shape
    for word, size in zip(words, split, strict=True):
        known, giver = sizes.setdefault(word, (size, operand))
        if size != known:
            refuse(function, operand, f"has shape {shape}", f"{form} with {word} = {known} from {giver}")


def _check_finite(function: str, operand: str, array: FloatArray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
        refuse(function, operand, f"has {array[first]} at index {first}", "finite entries")


def _check_causal(function: str, causal: object) -> None:
    if not isinstance(causal, bool):
        refuse(function, "causal", f"is {reprlib.repr(causal)}", "True or False")


def _real_scale(function: str, scale: object, optional: bool, dtype: np.dtype[Any]) -> float | None:
    """The scale as a Python float, which leaves float32 arrays float32 (a numpy.float64 would not)."""
    if scale is None and optional:
        return None
    if not isinstance(scale, int | float | np.floating | np.integer) or isinstance(scale, bool | np.timedelta64):
        refuse(function, "scale", f"is {reprlib.repr(scale)}", "a finite real number" + " or None" * optional)
    try:
        value = float(scale)
    except OverflowError:  # an int beyond float64
        value = math.inf
    limits = np.finfo(dtype)
    if value and not float(limits.tiny) <= abs(value) <= float(limits.max):
        refuse(
            function,
            "scale",
            f"is {reprlib.repr(scale)}",
            f"0 or a finite magnitude from {limits.tiny!s} to {limits.max!s}, the normal range of {dtype}",
        )
    return value
