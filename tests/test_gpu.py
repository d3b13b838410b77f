"""`gpu` has the reference's names, results and bounds, and says one thing where there is no device.

Where it computes, it does so on pretended devices, whose kernels are NumPy: that says nothing about CUDA.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest

import gpu
import gpu.qkv
import reference
from gpu import backend, device
from reference import AltgradError
from reference.backend import NUMPY, in_use, use
from reference.certificate import BINS, error_table, gamma, product_rounding
from reference.error_bounds import gradient_rounding, output_rounding
from reference.fast_qkv import METHODS, Method
from reference.low_rank import rank
from reference.polynomial import taylor
from tests.device_arrays import LIBRARY, TF32, DeviceArray
from tests.layers import worst_ratio
from tests.pretended import host, on_device, pretended_device, put
from tests.test_gpu_qkv import both_bounds

CLASSES = ["CrossEntropyLoss", "LinearLoss", "SquaredLoss"]
SAME = ["AltgradError", "Approximation", "ExpPolynomial", "Gradient", "Layer", "ModelGradient", "exp_polynomial"]
OURS = [name for name in reference.__all__ if name not in [*SAME, "qkv"]]

# --- names


def test_the_names_are_the_references() -> None:
    assert gpu.__all__ == reference.__all__
    assert gpu.qkv.__all__ == reference.qkv.__all__
    assert all(hasattr(gpu, name) for name in gpu.__all__)
    assert all(getattr(gpu, name) is getattr(reference, name) for name in SAME)
    assert gpu.qkv.QKVGradient is reference.qkv.QKVGradient


@pytest.mark.parametrize("name", [*OURS, *(f"qkv.{name}" for name in reference.qkv.__all__ if name[0].islower())])
def test_the_signatures_are_the_references(name: str) -> None:
    *module, last = name.split(".")
    ours, theirs = (getattr(root.qkv if module else root, last) for root in (gpu, reference))
    assert ours is not theirs
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__doc__ == theirs.__doc__


# --- without a device


def arrays(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


X, W, W_V, G = arrays((11, 4), (4, 4), (4, 4), (11, 4))
W, W_V = W / 8, W_V / 2


def layers(of: Callable[[Any], Any] = np.asarray, **how: Any) -> list[reference.Layer]:
    """Two layers, of the arrays that `of` makes."""
    weights = arrays(*[(4, 4)] * 8, seed=1)
    first, second = ([of(weight / 4) for weight in half] for half in (weights[:4], weights[4:]))
    return [reference.Layer(*first, heads=2, **how), reference.Layer(*second, causal=True, **how)]


def gradient_of_layers() -> reference.ModelGradient:
    return reference.transformer_gradient(layers(), X, reference.LinearLoss(G))


WEIGHTS = "W_Q", "W_K", "W_V", "W_g"
SIDES = "X", "W", "W_V"

CALLS: dict[str, Callable[[], Any]] = {
    "attention": lambda: gpu.attention(X, W, W_V),
    "attention_gradient": lambda: gpu.attention_gradient(X, W, W_V, G),
    "fast_attention": lambda: gpu.fast_attention(X, W, W_V, rtol=0.1),
    "fast_attention_gradient": lambda: gpu.fast_attention_gradient(X, W, W_V, G, rtol=0.1),
    "transformer_output": lambda: gpu.transformer_output(layers(), X),
    "transformer_gradient": lambda: gpu.transformer_gradient(layers(), X, gpu.LinearLoss(G)),
    "fast_transformer_gradient": lambda: gpu.fast_transformer_gradient(layers(), X, gpu.LinearLoss(G), rtol=0.1),
    "gradient_step": lambda: gpu.gradient_step(layers(), gradient_of_layers(), 0.1),
    "LinearLoss": lambda: gpu.LinearLoss(G)(X),
    "SquaredLoss": lambda: gpu.SquaredLoss(G)(X),
    "CrossEntropyLoss": lambda: gpu.CrossEntropyLoss(W, np.arange(11) % 4)(X),
    "qkv.attention": lambda: gpu.qkv.attention(X, X, X, scale=1.0),
    "qkv.attention_vjp": lambda: gpu.qkv.attention_vjp(X, X, X, G, scale=1.0),
    "qkv.fast_attention": lambda: gpu.qkv.fast_attention(X, X, X, scale=1.0, rtol=0.1),
    "qkv.fast_attention_and_vjp": lambda: gpu.qkv.fast_attention_and_vjp(X, X, X, G, scale=1.0, rtol=0.1),
    "qkv.fast_attention_vjp": lambda: gpu.qkv.fast_attention_vjp(X, X, X, G, scale=1.0, rtol=0.1),
}


def test_every_function_is_called_below() -> None:
    assert sorted(CALLS) == sorted([*OURS, *(f"qkv.{name}" for name in reference.qkv.__all__ if name[0].islower())])


@pytest.mark.parametrize("name", CALLS)
def test_without_a_device_every_call_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Any:
        raise AltgradError("no CUDA device was found")

    monkeypatch.setattr(device, "current", nothing)
    with pytest.raises(AltgradError, match=r"^[a-zA-Z_]*: no CUDA device was found$"):
        CALLS[name]()
    assert in_use() is NUMPY


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_the_host_are_refused(name: str) -> None:
    with pretended_device(), pytest.raises(AltgradError, match=r"has type ndarray, needs a plain cupy\.ndarray"):
        CALLS[name]()
    assert in_use() is NUMPY


def test_without_cupy_the_package_imports_and_a_call_names_the_extra() -> None:
    code = """
import sys
sys.modules["cupy"] = None  # as if it were not installed
import gpu, gpu.qkv, numpy
try:
    gpu.qkv.attention(*numpy.ones((3, 1, 1)), scale=1.0)
except gpu.AltgradError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("attention: no CUDA device was found")
    assert "altgrad[gpu]" in run.stdout


def test_importing_takes_no_cupy() -> None:
    code = "import sys, gpu, gpu.qkv; print('cupy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


# --- attention in X, W, W_V


@pytest.mark.parametrize("causal", [False, True])
def test_exact_attention_in_X_is_the_references(causal: bool) -> None:
    """The same code on the same numbers, so the same bits."""
    with pretended_device():
        output = on_device(gpu.attention)(X, W, W_V, causal=causal)
        gradient = on_device(gpu.attention_gradient)(X, W, W_V, G, causal=causal)
    theirs = reference.attention_gradient(X, W, W_V, G, causal=causal)
    assert np.array_equal(output, reference.attention(X, W, W_V, causal=causal))
    assert all(np.array_equal(getattr(gradient, name), getattr(theirs, name)) for name in ("X", "W", "W_V"))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_fast_attention_in_X_agrees_with_the_reference(method: Method, causal: bool) -> None:
    """The difference is within both bounds of rounding."""
    how: dict[str, Any] = {"polynomial": taylor(4, 2.0), "causal": causal}
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        theirs = [
            reference.fast_attention(X, W, W_V, **how),
            reference.fast_attention_gradient(X, W, W_V, G, **how, method=method),
        ]
        with pretended_device():
            ours = [
                on_device(gpu.fast_attention)(X, W, W_V, **how),
                on_device(gpu.fast_attention_gradient)(X, W, W_V, G, **how, method=method),
            ]
    for mine, one in zip(ours, theirs, strict=True):
        assert (mine.degree, mine.rank, mine.why) == (one.degree, one.rank, one.why)
    values, bounds, others, their_bounds = (
        [first, *(getattr(second, name) for name in ("X", "W", "W_V"))]
        for first, second in (
            [one.value for one in ours], [one.bound for one in ours],
            [one.value for one in theirs], [one.bound for one in theirs],
        )
    )  # fmt: skip
    for value, bound, other, their_bound in zip(values, bounds, others, their_bounds, strict=True):
        assert worst_ratio(np.abs(value - other), bound + their_bound) <= 1


@pytest.mark.parametrize("causal", [False, True])
def test_the_bound_in_X_holds_against_exact_attention(causal: bool) -> None:
    with pretended_device():
        output = on_device(gpu.fast_attention)(X, W, W_V, rtol=0.5, causal=causal)
        gradient = on_device(gpu.fast_attention_gradient)(X, W, W_V, G, rtol=0.5, causal=causal)
    lost: dict[str, Any] = {"scale": 1 / 4, "causal": causal}
    exact = reference.attention(X, W, W_V, causal=causal)
    assert worst_ratio(np.abs(output.value - exact), output.bound + output_rounding(X, W, W_V, **lost)) <= 1
    rounding = gradient_rounding(X, W, W_V, G, **lost)
    exact_gradient = reference.attention_gradient(X, W, W_V, G, causal=causal)
    for name in ("X", "W", "W_V"):
        off = np.abs(getattr(gradient.value, name) - getattr(exact_gradient, name))
        assert worst_ratio(off, getattr(gradient.bound, name) + getattr(rounding, name)) <= 1


@pytest.mark.parametrize("way", ["compute type", "NVIDIA_TF32_OVERRIDE"])
@pytest.mark.parametrize("counted", [True, False])
def test_the_bounds_allow_for_tf32_where_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, way: str, counted: bool
) -> None:
    """Products of numbers of which the library takes 11 digits: in X, and in a model.

    Where they are not counted, the bounds of the output and of the model break.
    """
    single = [array.astype(np.float32) for array in (X, W, W_V, G)]
    how: dict[str, Any] = {"polynomial": taylor(8, 2.0), "causal": True}
    monkeypatch.setattr(LIBRARY._core, "get_compute_type", lambda dtype: TF32)
    if way != "compute type":
        monkeypatch.setenv(way, "1")
        monkeypatch.setattr(backend, "COMPUTE_TYPES", {TF32: 0.0})
    if not counted:
        monkeypatch.setattr(backend, "TF32", 0.0)
        monkeypatch.setattr(backend, "COMPUTE_TYPES", {TF32: 0.0})
    weights = layers(lambda weight: np.asarray(weight, np.float32))
    with pretended_device():
        output = on_device(gpu.fast_attention)(*single[:3], **how)
        gradient = on_device(gpu.fast_attention_gradient)(*single, **how)
        on_the_device = [replace(layer, **{name: put(getattr(layer, name)) for name in WEIGHTS}) for layer in weights]
        model = host(
            gpu.fast_transformer_gradient(on_the_device, put(single[0]), gpu.LinearLoss(put(single[3])), rtol=1e-4)
        )
    wide = [array.astype(np.float64) for array in single]
    exact = reference.attention_gradient(*wide, causal=True)
    wide_layers = [replace(one, **{name: getattr(one, name).astype(float) for name in WEIGHTS}) for one in weights]
    exact_model = reference.transformer_gradient(wide_layers, wide[0], reference.LinearLoss(wide[3]))
    pairs = [(output.value, output.bound, reference.attention(*wide[:3], causal=True))]
    pairs += [(getattr(gradient.value, name), getattr(gradient.bound, name), getattr(exact, name)) for name in SIDES]
    pairs += [(model.value.X, model.bound.X, exact_model.X)]
    holds = [worst_ratio(np.abs(value - true), bound) <= 1 for value, bound, true in pairs]  # float64 rounds far less
    assert all(holds) if counted else not (holds[0] or holds[-1])


def on_a_tensor_core(x: Any, y: Any) -> float:
    """⟨x, y⟩ as one may add: four products and the sum so far, aligned to the largest of them and cut off."""
    total, products = 0.0, x * y  # (k,), exact in float64
    for first in range(0, len(products), 4):
        terms = np.append(products[first : first + 4], total)  # (5,)
        quantum = 2.0 ** (np.frexp(np.abs(terms).max())[1] - 24)
        added = np.trunc(terms / quantum).sum()
        last = 2.0 ** max(0, np.frexp(added)[1] - 24)
        total = np.trunc(added / last) * last * quantum
    return total


@pytest.mark.parametrize("k", [1, 2, 3, 5, 64, 1000])
def test_a_sum_on_tensor_cores_is_within_its_bound(k: int) -> None:
    """One large product and many of which each loses nearly a unit in its last place: more than γ_k allows."""
    y = np.full(k, 2.0**-23 * (1 - 2.0**-11))  # (k,), of 11 digits, as 1 is
    y[0] = 1
    lost = (y.sum() - on_a_tensor_core(np.ones(k), y)) / y.sum()
    with use(NUMPY._replace(product_error=backend.TF32)):
        allowed = product_rounding(k, np.float32) - backend.TF32
    assert 0 <= lost <= allowed
    assert k < 5 or lost > gamma(k, 2.0**-24)
    assert product_rounding(k, np.float32) == gamma(k, 2.0**-24)


@pytest.mark.parametrize("table", [error_table, lambda *_: np.zeros((BINS, 4))], ids=["whole", "rounding"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_bounds_in_X_are_those_of_the_compiled_loops(causal: bool, table: Any) -> None:
    """With what rounding does to X W and X W_V."""
    operands = arrays((90, 4), (4, 4), (4, 4), (90, 4))
    operands[1:3] = operands[1] / 16, operands[2] / 2
    operands = [array.astype(np.float32) for array in operands]
    how: dict[str, Any] = {"polynomial": taylor(4, 2.0), "causal": causal}

    def bounds(of: Any, of_gradient: Any) -> list[Any]:
        gradient = of_gradient(*operands, **how, method="antiderivative").bound
        return [of(*operands[:3], **how).bound, gradient.X, gradient.W, gradient.W_V]

    with patch("reference.certificate.error_table", table):
        theirs, ours, most = both_bounds(
            lambda: bounds(reference.fast_attention, reference.fast_attention_gradient),
            lambda: bounds(on_device(gpu.fast_attention), on_device(gpu.fast_attention_gradient)),
        )
    for bound, their in zip(ours, theirs, strict=True):
        assert (bound <= their * most).all()
        assert (their <= bound * most).all()


# --- models

LOSSES: dict[str, tuple[Any, ...]] = {
    "LinearLoss": (G,),
    "SquaredLoss": (G,),
    "CrossEntropyLoss": (W, np.arange(11) % 4),
}


def leaves(gradient: Any) -> list[Any]:
    """Everything that a ModelGradient holds."""
    found = [gradient.value, gradient.X, *gradient.loss.values(), *gradient.g0.values()]
    return found + [array for one in gradient.layers for array in vars(one).values() if array is not None]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu", "identity"])
def test_models_are_the_references(activation: str, loss: str) -> None:
    """Exact ones to the bit; fast ones within both bounds."""
    how: dict[str, Any] = {"activation": activation, "residual": True}
    theirs, ours = layers(**how), layers(put, **how)
    their_loss = getattr(reference, loss)(*LOSSES[loss])
    with pretended_device():
        our_loss = getattr(gpu, loss)(*map(put, LOSSES[loss]))
        assert np.array_equal(host(gpu.transformer_output(ours, put(X))), reference.transformer_output(theirs, X))
        gradient = gpu.transformer_gradient(ours, put(X), our_loss)
        exact = reference.transformer_gradient(theirs, X, their_loss)
        assert all(map(np.array_equal, leaves(host(gradient)), leaves(exact)))
        step = host(tuple(gpu.gradient_step(ours, gradient, 0.1)))
        fast = host(gpu.fast_transformer_gradient(ours, put(X), our_loss, rtol=0.1, method="differentiate"))
    for one, other in zip(step, reference.gradient_step(theirs, exact, 0.1), strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("W_Q", "W_K", "W_V", "W_g"))
    theirs_fast = reference.fast_transformer_gradient(theirs, X, their_loss, rtol=0.1, method="differentiate")
    assert (fast.degree, fast.rank, fast.why) == (theirs_fast.degree, theirs_fast.rank, theirs_fast.why)
    every = zip(*map(leaves, (fast.value, fast.bound, theirs_fast.value, theirs_fast.bound)), strict=True)
    for value, bound, their, their_bound in every:
        assert worst_ratio(np.abs(np.asarray(value) - their), np.asarray(bound) + their_bound) <= 1


def test_functions_of_the_caller_get_and_return_arrays_of_the_device() -> None:
    seen = []

    def loss(T: Any) -> Any:
        seen.append(type(T))
        return float(T.sum()), np.ones_like(T), {"scale": T[:1]}

    def vjp(X: Any, cotangent: Any) -> Any:
        seen.extend([type(X), type(cotangent)])
        return 2 * cotangent, {}

    ours = [replace(layer, activation=(np.tanh, lambda S: 1 - np.tanh(S) ** 2)) for layer in layers(put)]
    with pretended_device():
        gradient = gpu.transformer_gradient(ours, put(X), loss, g0=(lambda X: 2 * X, vjp))
        host(gradient)
        assert set(seen) == {DeviceArray}
        wrong: list[Any] = [(1.0, G, {}), (1.0, put(G), {"scale": G})]
        for bad in wrong:
            with pytest.raises(AltgradError, match=r"has type ndarray, needs a plain cupy\.ndarray"):
                gpu.transformer_gradient(ours, put(X), Mock(return_value=bad))


def test_labels_are_checked_as_the_reference_does() -> None:
    with pretended_device():
        for labels, message in (
            (np.arange(11) % 4, "labels has type ndarray, needs a plain cupy.ndarray"),
            (put(np.ones(11)), "labels has dtype float64, needs integers"),
            (put(np.arange(11)), "labels has 4 at index (4,), needs 0 to 3, the classes of W_out"),
        ):
            with pytest.raises(AltgradError) as error:
                gpu.CrossEntropyLoss(put(W), labels)(put(X))
            assert str(error.value) == f"CrossEntropyLoss: {message}"


@pytest.mark.parametrize(("degree", "n", "asked"), [(2, 2**17, 50), (2, 2**20, 400), (4, 2**17, 2), (4, 2**20, 20)])
def test_the_times_in_the_documents_are_what_counting_gives(degree: int, n: int, asked: int) -> None:
    """None of them is a measurement. Ours: six products; exact attention's: exponentials, both of 16 heads of 16."""
    ours = 16 * n * 12 * (1 + 16) * rank(16, degree) / 67e12
    exact = 2 * 16 * n**2 / (16 * 132 * 1.98e9)
    text = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text("utf-8")
    sizes = rf"\| degree {degree} \| {n:,} \|"
    cells = rf" (\S+) ms \| (\S+) s \| (\S+) \| {asked} \| (\d+) % \| no device \|"
    row = re.search(sizes + cells, text)
    assert row
    counted = 1e3 * ours, exact, exact / ours, 100 * asked * ours / exact
    shown = [float(cell.replace(",", "")) for cell in row.groups()]
    assert all(abs(x - y) <= 0.05 * y for x, y in zip(shown, counted, strict=True))  # half of a second digit
