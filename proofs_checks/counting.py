"""Operations and bytes counted on the code that runs.

Inside `counted`, every array that the functions of `reference/` make (and those of other modules, if asked for) is a
`Counted` array, which does what NumPy does and keeps a tally.

**Operations.** One for each entry that an elementwise function gives, whatever the function (+, ×, /, exp, a
comparison, a maximum, a test for finiteness) and whatever the type. A reduction of N entries to M is N − M; a product
of matrices (m, k) @ (k, n) is m n (2k − 1), k products and k − 1 sums for each entry. `where`, `tril` and `triu`
select: one for each entry. What only moves, copies, fills or views entries counts nothing. A function that is in
none of the tables below raises: nothing is counted as nothing by oversight.

**Bytes.** Those of every array that owns its data, from when it is made to when it is freed. The operands are there
before and do not count. What NumPy allocates within one call is not seen.

**What is not counted:** numbers that are not in an array (indices, a sum of a whole array once it is made, loops),
exact arithmetic on the coefficients of a polynomial, whose amount does not depend on the number of rows, and the test
that the plain operands of a public function are finite, which is made before they become counted arrays.

A count depends on nothing but the code and the sizes: caches are empty when it begins and are dropped when it ends.
"""

from __future__ import annotations

import functools
import gc
import importlib
import pkgutil
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

import reference
from reference.softmax_attention import Array

# --- what functions cost

# They make, move or view entries, or have nothing to do with any.
FREE = [
    "arange", "array", "array_split", "ascontiguousarray", "asarray", "atleast_1d", "atleast_2d", "broadcast_to",
    "column_stack", "concatenate", "copy", "diag", "empty", "empty_like", "expand_dims", "eye", "full",
    "full_like", "hsplit", "hstack", "identity", "ndim", "ones", "ones_like", "ravel", "repeat", "reshape",
    "shape", "size", "split", "squeeze", "stack", "swapaxes", "tile", "transpose", "tri", "vstack", "zeros",
    "zeros_like", "can_cast", "errstate", "finfo", "issubdtype", "ndindex", "result_type",
]  # fmt: skip
# They call elementwise functions, which count.
THROUGH = ["all", "any", "amax", "amin", "clip", "max", "mean", "min", "prod", "round", "sum"]
# Each entry is an inner product.
PRODUCTS = ["matmul", "vecdot", "matvec", "vecmat"]


def _entries(x: Any) -> int:
    return int(np.size(x))


def _per_entry(result: Any, *_: Any, **__: Any) -> int:
    return _entries(result)


def _inner(result: Any, a: Any, b: Any, **_: Any) -> int:
    """Products of vectors and matrices: k products and k − 1 sums for each entry, k the last axis of a."""
    k = int(np.shape(a)[-1]) if np.ndim(a) and np.ndim(b) else 1
    return _entries(result) * (2 * k - 1)


def _tensordot(result: Any, a: Any, b: Any, axes: Any = 2) -> int:
    """The same with k the product of the axes that are summed over."""
    k = prod(np.shape(a)[-axes:] if isinstance(axes, int) else [np.shape(a)[i] for i in np.atleast_1d(axes[0])])
    return _entries(result) * (2 * int(k) - 1)


def _norm(result: Any, x: Any, ord: None = None, axis: int | None = None, keepdims: bool = False) -> int:
    """Euclidean norms of k entries: k squares, k − 1 sums and a root each."""
    if ord is not None or isinstance(axis, tuple):
        raise NotImplementedError("no rule for the cost of a norm that is not the Euclidean one of vectors")
    return 2 * _entries(x)


def _einsum(result: Any, subscripts: str, *operands: Any) -> int:
    """A product of the factors for each value of all indices, then the sums."""
    words = subscripts.replace(" ", "").partition("->")[0].split(",")
    sizes = {i: int(s) for word, x in zip(words, operands, strict=True) for i, s in zip(word, x.shape, strict=True)}
    return prod(sizes.values()) * len(operands) - _entries(result)


RULES: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("where", "tril", "triu", "outer", "kron"), _per_entry),
    "dot": _inner,
    "inner": _inner,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "linalg.norm": _norm,
}


def _cost_of_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], result: Any, options: dict[str, Any]) -> int:
    """Operations of an elementwise function, or of a product of matrices."""
    if method == "__call__" and ufunc.__name__ in PRODUCTS:
        return _inner(result, *inputs)
    if method == "__call__" and ufunc.signature is None and options.get("where", True) is True:
        return sum(_entries(r) for r in (result if isinstance(result, tuple) else (result,)))
    if method == "reduce" and options.get("where", True) is True:
        initial = options.get("initial", np._NoValue) is not np._NoValue
        return max(0, _entries(inputs[0]) - _entries(result) * (not initial))
    if method == "accumulate":
        size, axis = _entries(inputs[0]), options.get("axis", 0)
        return size - size // int(np.shape(inputs[0])[axis]) if size else 0
    if method == "outer":
        return _entries(result)
    raise NotImplementedError(f"no rule for the cost of {ufunc.__name__}.{method} with {sorted(options)}")


# --- arrays that count


@dataclass
class Tally:
    """What has been counted so far."""

    operations: int = 0
    live: int = 0  # bytes
    peak: int = 0
    largest: int = 0  # bytes of one array
    calls: int = 0  # that did operations
    _owners: dict[int, weakref.ref[Array]] = field(default_factory=dict)  # the arrays that are alive, by id

    def charge(self, operations: int) -> None:
        self.operations += operations
        self.calls += 1

    def keep(self, owner: Array) -> None:
        """Count the bytes of an array for as long as it is alive."""
        key, nbytes = id(owner), owner.nbytes
        if key not in self._owners:

            def free(_: Any) -> None:
                del self._owners[key]
                self.live -= nbytes

            self._owners[key] = weakref.ref(owner, free)
            self.live += nbytes
            self.peak = max(self.peak, self.live)
            self.largest = max(self.largest, nbytes)


_tally: Tally | None = None  # of the count that is running


class Counted(np.ndarray[Any, Any]):
    """An array whose operations are counted while `counted` runs; its values are NumPy's."""

    def __array_finalize__(self, made_from: Any) -> None:
        if _tally is None or not isinstance(made_from, np.ndarray) or self.base is made_from:
            return
        owner = _owner(self)
        if owner is not _owner(made_from):
            _tally.keep(owner)  # a copy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        options = {name: _plain(value) for name, value in options.items()}
        given = {} if out is None else {"out": _plain(out)}
        plain = [x.view(np.ndarray) if type(x) is Counted else _plain(x) for x in inputs]
        result = getattr(ufunc, method)(*plain, **given, **options)
        _charge(_cost_of_ufunc(ufunc, method, plain, result, options))
        if out is not None:
            return out if len(out) > 1 else out[0]
        if type(result) is np.ndarray and _tally is not None and result.base is None:  # most of all calls: a new array
            _tally.keep(result)
            return result.view(Counted)
        return _lifted(result, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = _name(function)
        if name in THROUGH or _tally is None:
            return super().__array_function__(function, types, args, kwargs)
        if name not in FREE and name not in RULES:
            raise NotImplementedError(f"no rule for the cost of numpy.{name}")
        result = function(*_plain(args), **{key: _plain(value) for key, value in kwargs.items()})
        if name in RULES:
            _charge(RULES[name](result, *args, **kwargs))
        return _lifted(result, (args, kwargs))


# Of an array: they move or view entries, or call elementwise functions, which count.
METHODS = [
    "T", "all", "any", "astype", "base", "clip", "conj", "copy", "ctypes", "data", "device", "dtype", "fill",
    "flags", "flat", "item", "itemsize", "mT", "max", "mean", "min", "nbytes", "ndim", "prod", "ravel", "real",
    "reshape", "round", "shape", "size", "squeeze", "strides", "sum", "swapaxes", "tobytes", "tolist", "transpose",
    "view",
]  # fmt: skip


def _refuse_method(name: str) -> Any:
    def refuse(self: Counted, *args: Any, **kwargs: Any) -> Any:
        if _tally is None:
            return getattr(_plain(self), name)(*args, **kwargs)
        raise NotImplementedError(f"no rule for the cost of the method {name}")

    return refuse


for _method in dir(np.ndarray):
    if not _method.startswith("_") and _method not in METHODS:
        setattr(Counted, _method, _refuse_method(_method))


def _charge(operations: int) -> None:
    if _tally is not None:
        _tally.charge(operations)


def _name(function: Any) -> str:
    """As NumPy's users call it: `sum`, `linalg.norm`."""
    module = str(getattr(function, "__module__", "")).removeprefix("numpy").removeprefix(".")
    return f"{module}.{function.__name__}" if module else str(function.__name__)


def _plain(x: Any) -> Any:
    """The same with plain arrays for counted ones."""
    if type(x) is Counted:
        return x.view(np.ndarray)
    if isinstance(x, (tuple, list)):
        return [_plain(y) for y in x] if isinstance(x, list) else tuple(_plain(y) for y in x)
    return x


def _lifted(x: Any, made_from: Any = ()) -> Any:
    """The same with counted arrays for plain ones, kept if their data are not those of what they were made from."""
    if type(x) in (tuple, list):
        return type(x)(_lifted(y, made_from) for y in x)
    if not isinstance(x, np.ndarray):
        return x
    owner = _owner(x)
    if _tally is not None and all(owner is not _owner(y) for y in _arrays(made_from)):
        _tally.keep(owner)
    return x.view(Counted)


def _arrays(x: Any) -> Iterator[Array]:
    if isinstance(x, np.ndarray):
        yield x
    elif isinstance(x, (tuple, list)):
        for y in x:
            yield from _arrays(y)
    elif isinstance(x, dict):
        yield from _arrays(tuple(x.values()))


def _owner(x: Array) -> Array:
    """The array whose data x shows."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


# --- NumPy as the functions of `reference/` see it


class _Namespace:
    """A module of NumPy whose functions give counted arrays, and take lists of them."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return _Namespace(found)
        if isinstance(found, (type, np.ufunc)) or not callable(found):
            return found
        return functools.partial(_call, found)


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    name = _name(function)
    if name not in FREE and name not in THROUGH and name not in RULES:
        raise NotImplementedError(f"no rule for the cost of numpy.{name}")
    if name in THROUGH:  # a list of arrays would hide them from the count
        args = (np.asarray(_plain(args[0])).view(Counted), *args[1:])
    return _lifted(function(*args, **kwargs), (args, kwargs))


MODULES = tuple(
    importlib.import_module(f"reference.{module.name}") for module in pkgutil.iter_modules(reference.__path__)
)


@contextmanager
def counted(*more: ModuleType) -> Iterator[Tally]:
    """Count what the functions of `reference/`, and of more modules, do in the block. Not for two threads at once."""
    global _tally  # noqa: PLW0603  # NumPy calls the methods of arrays, which can be told nothing else
    if _tally is not None:
        raise RuntimeError("a count is running already")
    fresh: dict[int, Any] = {}
    before = [(module, name, value) for module in {*MODULES, *more} for name, value in vars(module).items()]
    collecting = gc.isenabled()
    gc.disable()  # when it frees what is in cycles depends on what ran before
    _tally = Tally()
    try:
        for module, name, value in before:
            if value is np:
                setattr(module, name, _Namespace(np))
            elif isinstance(value, functools._lru_cache_wrapper):
                again = fresh.setdefault(id(value), functools.cache(value.__wrapped__))
                setattr(module, name, again)
        yield _tally
    finally:
        _tally = None
        for module, name, value in before:
            setattr(module, name, value)
        if collecting:
            gc.enable()


@dataclass(frozen=True)
class Count:
    """What one call took, and what it returned."""

    operations: int
    peak: int  # bytes, those of the result included
    largest: int  # bytes of one array
    calls: int  # of functions of the library that did operations, one after the other
    value: Any


def count(function: Callable[..., Any], *operands: Any, lift: bool = True, **options: Any) -> Count:
    """Call a function of `reference/`, or one that uses them, and count.

    Operands that are arrays become counted ones, unless `lift` is off: a function that checks its operands takes plain
    arrays only, and makes counted ones of them itself.
    """
    with counted(*_modules(function)) as tally:
        given = tuple(map(_view, operands)) if lift else operands
        options = {name: _view(x) for name, x in options.items()} if lift else options
        value = function(*given, **options)
        return Count(tally.operations, tally.peak, tally.largest, tally.calls, value)


def _modules(function: Any) -> Iterator[ModuleType]:
    """Where a function is written, and whatever functions it holds as its fields."""
    yield sys.modules[function.__module__]
    if is_dataclass(function):
        for inner in fields(function):
            if callable(getattr(function, inner.name)):
                yield from _modules(getattr(function, inner.name))


def _view(x: Any) -> Any:
    return x.view(Counted) if type(x) is np.ndarray else x
