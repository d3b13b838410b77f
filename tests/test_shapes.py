"""What the public exact functions refuse, and in which words; what the decorator declares and hands on."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import reference
from reference import AltgradError, backend, qkv
from reference.shapes import FloatArray, shapes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = {"n": 4, "m": 5, "d": 3, "e": 2}
PUBLIC: dict[str, Any] = {
    "attention": reference.attention,
    "attention_gradient": reference.attention_gradient,
    "qkv.attention": qkv.attention,
    "qkv.attention_vjp": qkv.attention_vjp,
}
FUNCTIONS = [pytest.param(function, id=name) for name, function in PUBLIC.items()]
OPERANDS = [
    pytest.param(function, operand, id=f"{name}-{operand}")
    for name, function in PUBLIC.items()
    for operand in function.shapes
]
AXES = [
    pytest.param(function, operand, axis, id=f"{name}-{operand}-{axis}")
    for name, function in PUBLIC.items()
    for operand in function.shapes
    for axis in (0, 1)
]


def letters(function: Any, operand: str) -> list[str]:
    return [word for word in function.shapes[operand].split() if word != "..."]


def good(function: Any, dtype: Any = np.float64, lead: tuple[int, ...] = ()) -> dict[str, FloatArray]:
    """Operands that the function accepts."""
    rng = np.random.default_rng(0)
    sizes = {operand: [SIZES[letter] for letter in letters(function, operand)] for operand in function.shapes}
    return {operand: rng.standard_normal((*lead, *size)).astype(dtype) for operand, size in sizes.items()}


def refusal(function: Any, operands: dict[str, Any], **keywords: Any) -> str:
    """The message of the error that must come."""
    keywords = {"scale": 0.5} | keywords
    with pytest.raises(AltgradError) as error:
        function(**operands, **keywords)
    return str(error.value)


def arrays(result: Any) -> list[FloatArray]:
    if isinstance(result, np.ndarray):
        return [result]
    return list(result) if isinstance(result, tuple) else [result.X, result.W, result.W_V]


def same_bits(left: Any, right: Any) -> bool:
    pairs = list(zip(arrays(left), arrays(right), strict=True))
    return all((x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()) for x, y in pairs)


NOT_ARRAYS: dict[str, Callable[[FloatArray], object]] = {
    "list": lambda array: array.tolist(),
    "NoneType": lambda array: None,
    "float": lambda array: float(array.flat[0]),
    "matrix": lambda array: array.view(np.matrix),
    "MaskedArray": np.ma.masked_array,
    "recarray": lambda array: array.view(np.recarray),
}
DTYPES = ["int64", "bool", "object", "complex128", "float16", "longdouble", np.dtype(np.float64).newbyteorder()]


@pytest.mark.parametrize("kind", NOT_ARRAYS)
@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_only_plain_arrays(function: Any, operand: str, kind: str) -> None:
    operands: dict[str, Any] = good(function)
    operands[operand] = NOT_ARRAYS[kind](operands[operand])
    message = f"{function.__name__}: {operand} has type {kind}, needs a plain numpy.ndarray"
    assert refusal(function, operands) == message


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_only_native_floats(function: Any, operand: str, dtype: Any) -> None:
    operands = good(function)
    operands[operand] = operands[operand].astype(dtype)
    message = (
        f"{function.__name__}: {operand} has dtype {np.dtype(dtype)}, needs float32 or float64 in native byte order"
    )
    assert refusal(function, operands) == message


@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_one_precision(function: Any, operand: str) -> None:
    operands = good(function, np.float64)
    operands[operand] = operands[operand].astype(np.float32)
    first, second, *_ = operands
    named, got, needed = (second, "float64", "float32") if operand == first else (operand, "float32", "float64")
    message = f"{function.__name__}: {named} has dtype {got}, needs {needed}, the dtype of {first}"
    assert refusal(function, operands) == message


@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_too_few_dimensions(function: Any, operand: str) -> None:
    operands = good(function)
    operands[operand] = operands[operand][0]
    form = f"({function.shapes[operand].replace(' ', ', ')})"
    message = f"{function.__name__}: {operand} has shape {operands[operand].shape}, needs {form}"
    assert refusal(function, operands) == message


@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_one_dimension_more(function: Any, operand: str) -> None:
    """Too many for the X-level functions; a batch that the other operands do not have for the others."""
    operands = good(function)
    operands[operand] = operands[operand][None]
    message = refusal(function, operands)
    first, second, *_ = operands
    if function.shapes[operand].startswith("..."):
        named, known = (second, "(1,)") if operand == first else (operand, "()")
        needed = f"with ... = {known} from {first}"
    else:
        named, needed = operand, f"needs ({function.shapes[operand].replace(' ', ', ')})"
    assert message.startswith(f"{function.__name__}: {named} has shape {operands[named].shape}, needs (")
    assert message.endswith(needed)


@pytest.mark.parametrize(("function", "operand", "axis"), AXES)
def test_letters_clash(function: Any, operand: str, axis: int) -> None:
    """A longer dimension is refused exactly when its letter occurs elsewhere; the message tells what clashed."""
    operands = good(function)
    operands[operand] = np.concatenate([operands[operand]] * 2, axis)
    letter = letters(function, operand)[axis]
    count = Counter(word for name in operands for word in letters(function, name))
    if count[letter] == 1:
        function(**operands, scale=0.5)
        return
    message = refusal(function, operands)
    found = re.fullmatch(
        rf"{function.__name__}: (\w+) has shape (\(.+\)), needs (\(.+\)) with {letter} = (\d+) from (\w+)", message
    )
    assert found, message
    named, shape, form, size, giver = found.groups()
    assert operand in {named, giver}
    assert shape == str(operands[named].shape)
    assert form == f"({function.shapes[named].replace(' ', ', ')})"
    assert int(size) in {operands[giver].shape[i] for i, word in enumerate(letters(function, giver)) if word == letter}
    assert int(size) in {SIZES[letter], 2 * SIZES[letter]}


def test_the_words_of_a_clash() -> None:
    X, W = np.ones((2, 3)), np.ones((3, 4))
    message = "attention: W has shape (3, 4), needs (d, d) with d = 3 from X"
    assert refusal(reference.attention, {"X": X, "W": W, "W_V": W}) == message


@pytest.mark.parametrize(("function", "operand", "axis"), AXES)
def test_no_empty_dimension(function: Any, operand: str, axis: int) -> None:
    operands = good(function)
    operands[operand] = np.delete(operands[operand], slice(None), axis)
    form = f"({function.shapes[operand].replace(' ', ', ')})"
    shape = operands[operand].shape
    message = f"{function.__name__}: {operand} has shape {shape}, needs {form} with no dimension of size 0"
    assert refusal(function, operands) == message


@pytest.mark.parametrize("function", [qkv.attention, qkv.attention_vjp])
def test_no_empty_batch(function: Any) -> None:
    message = refusal(function, good(function, lead=(2, 0)))
    assert message.endswith("Q has shape (2, 0, 4, 3), needs (..., n, d) with no dimension of size 0")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "operand"), OPERANDS)
def test_only_finite_entries(function: Any, operand: str, dtype: Any, bad: float) -> None:
    operands = good(function, dtype)
    operands[operand][1, 0] = operands[operand][-1, -1] = bad
    message = f"{function.__name__}: {operand} has {bad} at index (1, 0), needs finite entries"
    assert refusal(function, operands) == message


BAD_SCALES = [
    "1", True, np.True_, 1j, np.array(1.0), np.ones(1), [1.0], float("nan"), np.inf, -np.inf, np.float32("nan"),
    10**400, np.timedelta64(1, "s"), b"1", object,
]  # fmt: skip


@pytest.mark.parametrize("scale", BAD_SCALES, ids=reprlib.repr)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_scale_is_a_finite_real_number(function: Any, scale: object) -> None:
    message = refusal(function, good(function), scale=scale)
    assert message.startswith(f"{function.__name__}: scale is ")
    assert "needs a finite real number" in message or "needs 0 or a finite magnitude" in message


@pytest.mark.parametrize("scale", [1e300, 1e-300, -1e39, 1e-39])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_scale_in_the_range_of_the_dtype(function: Any, scale: float) -> None:
    """As a float32 it would be infinite, or 0, or lose digits."""
    message = refusal(function, good(function, np.float32), scale=scale)
    assert message.startswith(
        f"{function.__name__}: scale is {scale}, needs 0 or a finite magnitude from 1.1754944e-38 to "
    )
    assert message.endswith("the normal range of float32")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_scale_none(function: Any) -> None:
    """The paper's 1/d where the default says so, refused elsewhere."""
    operands = good(function)
    if inspect.signature(function).parameters["scale"].default is None:
        assert same_bits(function(**operands, scale=None), function(**operands, scale=1 / SIZES["d"]))
    else:
        assert refusal(function, operands, scale=None).endswith("scale is None, needs a finite real number")


@pytest.mark.parametrize("function", [qkv.attention, qkv.attention_vjp])
def test_scale_must_be_given(function: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{function.__name__}: .*scale"):
        function(**good(function))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_kind_of_real_scale_gives_the_same_bits(function: Any, dtype: Any) -> None:
    operands = good(function, dtype)
    expected = function(**operands, scale=2.0)
    assert {array.dtype for array in arrays(expected)} == {np.dtype(dtype)}
    for scale in (2, np.float16(2), np.float32(2), np.float64(2), np.longdouble(2), np.int8(2), np.uint64(2)):
        assert same_bits(function(**operands, scale=scale), expected), type(scale)


@pytest.mark.parametrize("causal", [None, 0, 1, "yes", np.True_], ids=repr)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_causal_is_a_bool(function: Any, causal: object) -> None:
    message = f"{function.__name__}: causal is {causal!r}, needs True or False"
    assert refusal(function, good(function), causal=causal) == message


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wrong_calls_are_type_errors(function: Any) -> None:
    """As for any function of Python, with its name."""
    operands = good(function)
    with pytest.raises(TypeError, match=rf"^{function.__name__}: .*unexpected"):
        function(**operands, scale=1.0, mask=None)
    with pytest.raises(TypeError, match=rf"^{function.__name__}: .*'{next(iter(operands))}'"):
        function(scale=1.0)


@pytest.mark.parametrize("layout", ["strided", "transposed", "reversed", "read-only", "unaligned", "memmap"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_layout_does_not_change_bits(function: Any, dtype: Any, layout: str, tmp_path: Path) -> None:
    operands = good(function, dtype)
    expected = function(**operands, scale=0.5)
    other = {name: laid_out(array, layout, tmp_path / name) for name, array in operands.items()}
    result = function(**other, scale=0.5)
    assert same_bits(result, expected)
    assert {type(array) for array in arrays(result)} == {np.ndarray}


def laid_out(array: FloatArray, layout: str, path: Path) -> FloatArray:
    """The same numbers, otherwise in memory."""
    if layout == "strided":
        other: FloatArray = np.full([2 * size for size in array.shape], np.nan, array.dtype)[::2, ::2]
    elif layout == "transposed":
        other = np.empty(array.shape[::-1], array.dtype).T
    elif layout == "reversed":
        other = np.empty_like(array)[::-1, ::-1]
    elif layout == "unaligned":
        other = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    elif layout == "memmap":
        other = np.memmap(path, array.dtype, "w+", shape=array.shape)
    else:
        other = np.empty_like(array)
    other[...] = array
    other.flags.writeable = layout != "read-only"
    return other


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_inputs_are_unchanged_and_not_shared(function: Any, dtype: Any) -> None:
    operands = good(function, dtype)
    before = {name: array.tobytes() for name, array in operands.items()}
    result = function(**operands, scale=0.5)
    assert {name: array.tobytes() for name, array in operands.items()} == before
    assert not any(np.shares_memory(x, y) for x in arrays(result) for y in operands.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_twice_the_same_bits(function: Any, dtype: Any) -> None:
    operands = good(function, dtype)
    assert same_bits(function(**operands, scale=0.5), function(**operands, scale=0.5))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_works_where_numpy_raises(function: Any) -> None:
    """A caller's own error state is neither obeyed nor changed."""
    operands = {name: 100 * array for name, array in good(function).items()}
    expected = function(**operands, scale=10.0)
    with np.errstate(all="raise"):
        state = np.geterr()
        assert same_bits(function(**operands, scale=10.0), expected)
        assert np.geterr() == state


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signature_and_docstring_survive(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    assert [*parameters] == [*function.shapes, "scale", "causal"]
    assert {parameters[name].kind for name in ("scale", "causal")} == {inspect.Parameter.KEYWORD_ONLY}
    assert ">>>" in function.__doc__


def test_declared_shapes_cannot_be_changed() -> None:
    assert dict(reference.attention.shapes) == {"X": "n d", "W": "d d", "W_V": "d d"}
    with pytest.raises(TypeError):
        reference.attention.shapes["X"] = "n"  # type: ignore[index]


@shapes(x="n", A="... n k")
def apply(x: FloatArray, A: FloatArray) -> FloatArray:
    return x @ A


def test_a_vector_and_a_batch() -> None:
    assert apply(np.ones(2), np.ones((5, 2, 3))).shape == (5, 3)
    assert refusal_of_apply(np.ones((2, 2)), np.ones((2, 3))) == "apply: x has shape (2, 2), needs (n,)"
    message = "apply: A has shape (5, 3, 3), needs (..., n, k) with n = 2 from x"
    assert refusal_of_apply(np.ones(2), np.ones((5, 3, 3))) == message


def refusal_of_apply(x: FloatArray, A: FloatArray) -> str:
    with pytest.raises(AltgradError) as error:
        apply(x, A)
    return str(error.value)


def test_one_exception_family() -> None:
    assert issubclass(AltgradError, ValueError)


def test_arrays_must_be_where_the_backend_is() -> None:
    """NumPy's arrays say that they are on "cpu"."""
    operands: dict[str, Any] = good(qkv.attention)
    with backend.use(backend.NUMPY._replace(device="cpu")):
        assert np.isfinite(qkv.attention(**operands, scale=1.0)).all()
    with backend.use(backend.NUMPY._replace(device="one")):
        assert refusal(qkv.attention, operands) == "attention: Q is on cpu, needs one, the current device"
