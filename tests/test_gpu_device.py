"""The public functions of `gpu` on arrays of a CUDA device, against the reference: skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpu
import gpu.qkv
import reference
from gpu import device
from reference import AltgradError, qkv
from reference.error_bounds import attention_rounding, vjp_rounding
from reference.fast_qkv import METHODS, Method
from tests.layers import worst_ratio

try:
    xp: Any = device.current().xp
except AltgradError as error:
    pytest.skip(f"no CUDA device: {error}", allow_module_level=True)


def operands(dtype: Any, n: int = 3000, d: int = 8) -> list[Any]:
    Q, K, V, dO = np.random.default_rng(0).normal(size=(4, 2, 3, n, d))
    return [array.astype(dtype) for array in (Q / 8, K + 1, V - 3, dO)]


def on_device(arrays: list[Any]) -> list[Any]:
    return [xp.asarray(array) for array in arrays]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
def test_exact_attention_is_within_the_bounds_of_rounding(causal: bool, dtype: Any) -> None:
    arrays = operands(dtype, n=300)
    how: dict[str, Any] = {"scale": 0.3, "causal": causal}
    values = [gpu.qkv.attention(*on_device(arrays[:3]), **how), *gpu.qkv.attention_vjp(*on_device(arrays), **how)]
    for index in np.ndindex(2, 3):
        head = [array[index].astype(np.float64) for array in arrays]
        exact = [qkv.attention(*head[:3], **how), *qkv.attention_vjp(*head, **how)]
        rounding = [attention_rounding(*head[:3], **how, dtype=dtype), *vjp_rounding(*head, **how, dtype=dtype)]
        for value, true, allowed in zip(values, exact, rounding, strict=True):
            assert worst_ratio(np.abs(xp.asnumpy(value)[index] - true), 2 * allowed) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_fast_attention_is_within_its_bound_and_the_references(method: Method, causal: bool, dtype: Any) -> None:
    arrays = operands(dtype)
    how: dict[str, Any] = {"scale": 0.3, "causal": causal, "rtol": 0.1}
    ours = gpu.qkv.fast_attention_vjp(*on_device(arrays), method=method, **how)
    theirs = qkv.fast_attention_vjp(*arrays, method=method, **how)
    exact = qkv.attention_vjp(*arrays, scale=0.3, causal=causal)
    values, bounds = (list(map(xp.asnumpy, one)) for one in (ours.value, ours.bound))
    for value, bound, their, their_bound, true in zip(values, bounds, theirs.value, theirs.bound, exact, strict=True):
        assert value.dtype == bound.dtype == dtype
        assert np.isfinite(bound).all()
        assert worst_ratio(np.abs(value - their), bound + their_bound) <= 1
        if dtype == np.float64:
            assert worst_ratio(np.abs(value - true), bound) <= 1


@pytest.mark.parametrize("causal", [False, True])
def test_the_same_operands_give_the_same_bits(causal: bool) -> None:
    arrays = on_device(operands(np.float32))
    how: dict[str, Any] = {"scale": 0.3, "causal": causal, "rtol": 0.1, "method": "antiderivative"}
    one, other = (gpu.qkv.fast_attention_vjp(*arrays, **how) for _ in range(2))
    assert all(
        bool((a == b).all()) for a, b in zip((*one.value, *one.bound), (*other.value, *other.bound), strict=True)
    )


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu", "identity"])
def test_a_model_is_within_its_bound(activation: str) -> None:
    rng = np.random.default_rng(0)
    weights, X, C = rng.normal(size=(2, 4, 4, 4)) / 4, *rng.normal(size=(2, 200, 4))
    theirs = [reference.Layer(*one, heads=2, residual=True, activation=activation) for one in weights]
    ours = [gpu.Layer(*on_device(list(one)), heads=2, residual=True, activation=activation) for one in weights]
    exact = reference.transformer_gradient(theirs, X, reference.LinearLoss(C))
    loss = gpu.LinearLoss(xp.asarray(C))
    fast = gpu.fast_transformer_gradient(ours, xp.asarray(X), loss, rtol=1e-6, method="differentiate")
    assert worst_ratio(np.abs(xp.asnumpy(fast.value.X) - exact.X), xp.asnumpy(fast.bound.X)) <= 1


def test_arrays_of_the_host_are_refused() -> None:
    with pytest.raises(AltgradError, match=r"K has type numpy\.ndarray, needs a plain cupy\.ndarray"):
        gpu.qkv.attention(xp.ones((2, 2)), np.ones((2, 2)), xp.ones((2, 2)), scale=1.0)
