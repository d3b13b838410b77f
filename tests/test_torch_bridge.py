"""The bridge to PyTorch: a drop-in for its attention whose gradient is the one of the method, without copies."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from math import sqrt
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError
from torch.nn.functional import scaled_dot_product_attention

import reference.qkv
from gpu import torch_bridge
from gpu.torch_bridge import attention, certified_attention, certified_gradient
from reference import AltgradError, fast_qkv
from reference.fast_qkv import METHODS, Method
from reference.polynomial import taylor

NO_FUNCTION = "paper", "antiderivative"  # whose gradients are of no function
KEYS = ["q", "k", "v"]


def operands(
    *batch: int, n: int = 6, m: int | None = None, d: int = 3, e: int = 2, dtype: Any = torch.float64, seed: int = 0
) -> tuple[Any, Any, Any]:
    """Leaves that require gradients."""
    rng = np.random.default_rng(seed)
    shapes = (n, d), (m or n, d), (m or n, e)
    return tuple(torch.tensor(rng.normal(size=(*batch, *s)), dtype=dtype).requires_grad_() for s in shapes)


def gradients(output: Any, inputs: Any, grad_output: Any = None) -> Any:
    return torch.autograd.grad(output, inputs, torch.ones_like(output) if grad_output is None else grad_output)


CASES: dict[str, tuple[tuple[Any, Any, Any], dict[str, Any]]] = {
    "one head": (operands(), {}),
    "causal": (operands(n=7), {"is_causal": True}),
    "heads and batch": (operands(2, 3, n=5), {"scale": -0.3}),
    "more keys": (operands(2, n=3, m=9), {"scale": 0.5, "rtol": 1e-6}),
    "one row": (operands(1, n=1, d=1, e=1), {"is_causal": True}),
    "float32": (operands(2, n=40, dtype=torch.float32), {"is_causal": True, "scale": 0.1}),
    "a polynomial": (operands(n=20), {"polynomial": taylor(4, 1.0), "scale": 0.1}),
    "compiled": (operands(n=fast_qkv.LONG), {"scale": 0.1, "is_causal": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_pytorchs_attention_within_the_certificate(name: str) -> None:
    """PyTorch computes in float64 here, and its own rounding could only break the bound."""
    leaves, options = CASES[name]
    named = {key: value for key, value in options.items() if key in ("is_causal", "scale")}
    output = attention(*leaves, **options)
    wide = [x.detach().double().requires_grad_() for x in leaves]
    exact = scaled_dot_product_attention(*wide, **named)
    assert output.shape == exact.shape
    assert output.dtype == leaves[0].dtype
    certified = certified_attention(*leaves, **options)
    for value in (output, certified.value):
        assert ((value - exact).abs() <= certified.bound).all()
    grad_output = torch.randn_like(output)
    found, truth = gradients(output, leaves, grad_output), gradients(exact, wide, grad_output.double())
    bounds = certified_gradient(*leaves, grad_output, **options)
    for one, same, true, bound in zip(found, bounds.value, truth, bounds.bound, strict=True):
        for value in (one, same):
            assert ((value - true).abs() <= bound).all()


def test_the_certificate_is_not_idle() -> None:
    """The bound refuses the output of another scale."""
    leaves = operands(2, n=9)
    exact = scaled_dot_product_attention(*leaves, scale=0.3)
    assert not ((exact - attention(*leaves)).abs() <= certified_attention(*leaves).bound).all()


def test_without_options_the_weights_are_within_rtol_and_the_scale_is_pytorchs() -> None:
    leaves = operands(2, n=9, d=5)
    named = attention(*leaves, scale=1 / sqrt(5), rtol=torch_bridge.RTOL, method="differentiate", is_causal=False)
    assert torch.equal(attention(*leaves), named)
    assert torch.equal(attention(*leaves, attn_mask=None, dropout_p=0.0, enable_gqa=False), named)


def test_the_examples_in_the_docstrings() -> None:
    """Those of `gpu`'s other modules are the reference's own, on arrays of the CPU."""
    failed, tried = doctest.testmod(torch_bridge)
    assert not failed
    assert tried == 11


# --- gradients


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", [{}, {"polynomial": taylor(2, 1.0)}, {"rtol": 0.5}], ids=["default", "2", "loose"])
def test_differentiate_passes_gradcheck(causal: bool, options: dict[str, Any]) -> None:
    leaves = operands(2, n=5)
    assert torch.autograd.gradcheck(lambda *x: attention(*x, is_causal=causal, scale=0.4, **options), leaves)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", NO_FUNCTION)
def test_the_papers_gradient_is_no_gradient_but_nearer_the_exact_one(method: Method, causal: bool) -> None:
    """It fails gradcheck at a low degree, where the approximate output is another function than the exact one."""
    leaves = operands(2, n=5)
    low: dict[str, Any] = {"polynomial": taylor(2, 1.0), "scale": 0.4, "is_causal": causal}
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda *x: attention(*x, **low, method=method), leaves)
    exact = gradients(scaled_dot_product_attention(*leaves, is_causal=causal, scale=0.4).square().sum(), leaves)

    def distance(method: Method) -> float:
        output = attention(*leaves, **low, method=method)
        found = gradients(output, leaves, 2 * scaled_dot_product_attention(*leaves, is_causal=causal, scale=0.4))
        return float(sum((a - b).square().sum() for a, b in zip(found, exact, strict=True)))

    assert distance(method) < distance("differentiate")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [50, fast_qkv.LONG], ids=["text", "compiled"])
@pytest.mark.parametrize("seed", range(3))
def test_both_passes_take_the_same_polynomial_and_centre(
    method: Method, n: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an rtol both are chosen by the data, in each pass on its own."""
    taken: list[Any] = []
    prepare = fast_qkv.prepare

    def spy(*args: Any) -> Any:
        heads, chosen = prepare(*args)
        taken.append((chosen, [(head.ranges.centre, head.ranges.middle, head.ranges.balance) for head in heads]))
        return heads, chosen

    monkeypatch.setattr(reference.qkv, "prepare", spy)
    leaves = operands(2, n=n, d=2, seed=seed)
    attention(*leaves, rtol=1e-3, scale=0.1 * (1 + seed), method=method).sum().backward()
    (polynomial, forward), (same, backward) = taken
    assert same == polynomial
    for one, other in zip(forward, backward, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("wanted", ["q", "k", "v", "qv"])
def test_only_the_gradients_that_are_asked_for(wanted: str) -> None:
    leaves = operands(n=4)
    truth = gradients(attention(*leaves), leaves)
    for leaf, key in zip(leaves, KEYS, strict=True):
        leaf.requires_grad_(key in wanted)
    attention(*leaves).sum().backward()
    for leaf, key, true in zip(leaves, KEYS, truth, strict=True):
        assert torch.equal(leaf.grad, true) if key in wanted else leaf.grad is None


def test_without_gradients_there_is_no_graph() -> None:
    leaves = operands(n=4)
    with torch.no_grad():
        assert not attention(*leaves).requires_grad
    assert not attention(*(x.detach() for x in leaves)).requires_grad
    assert not certified_attention(*leaves).value.requires_grad


def test_operands_that_are_changed_before_the_backward_pass_are_noticed() -> None:
    q, k, v = operands(n=4)
    q = q * 1
    output = attention(q, k, v)
    q.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_there_is_no_second_derivative() -> None:
    leaves = operands(n=4)
    first = torch.autograd.grad(attention(*leaves).sum(), leaves, create_graph=True)
    with pytest.raises(AltgradError, match="attention: has no second derivative"):
        first[0].sum().backward()


# --- tensors of all kinds


def test_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spy(name: str) -> Callable[..., Any]:
        function = getattr(reference.qkv, name)

        def called(*arrays: Any, **options: Any) -> Any:
            seen[name] = [x.ctypes.data for x in arrays], function(*arrays, **options)
            return seen[name][1]

        return called

    for name in ("fast_attention", "fast_attention_vjp"):
        monkeypatch.setattr(reference.qkv, name, spy(name))
    leaves = operands(2, n=4)
    output = attention(*leaves)
    read, written = seen["fast_attention"]
    assert read == [x.data_ptr() for x in leaves]
    assert output.data_ptr() == written.value.ctypes.data
    grad_output = torch.randn_like(output)
    found = gradients(output, leaves, grad_output)
    read, written = seen["fast_attention_vjp"]
    assert read == [x.data_ptr() for x in (*leaves, grad_output)]
    assert [x.data_ptr() for x in found] == [x.ctypes.data for x in written.value]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "heads behind rows": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every other row": lambda x: x.repeat_interleave(2, dim=-2)[..., ::2, :],
    "columns first": lambda x: x.mT.contiguous().mT,
    "expanded": lambda x: x[:1, :1].expand(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout: str) -> None:
    leaves = operands(2, 3, n=5)
    laid_out = [LAYOUTS[layout](x) for x in leaves]
    assert not any(x.is_contiguous() for x in laid_out)
    plain = [x.contiguous() for x in laid_out]
    output, same = attention(*laid_out), attention(*plain)
    assert torch.equal(output, same)
    found = gradients(output.mT.contiguous().mT, leaves, same.detach())
    assert all(torch.equal(a, b) for a, b in zip(found, gradients(same, leaves, same.detach()), strict=True))


def test_torch_func_maps_and_differentiates() -> None:
    """A mapped dimension is a batch dimension: all share one polynomial."""
    leaves = [x.detach() for x in operands(3, 2, n=5)]
    q, k, v = leaves

    def loss(*inputs: Any) -> Any:
        return attention(*inputs).square().sum()

    wanted = torch.func.grad(loss, argnums=(0, 1, 2))(*leaves)
    mapped = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)))(*leaves)
    assert all(torch.equal(a, b) for a, b in zip(mapped, wanted, strict=True))
    shared = torch.func.vmap(attention, in_dims=(1, None, None), out_dims=1)(q, k[:, 0], v[:, 0])
    assert torch.equal(shared, attention(q, *(x[:, :1].expand(x.shape) for x in (k, v))))
    with pytest.raises(AltgradError, match="no second derivative"):
        torch.func.grad(lambda x: torch.func.grad(loss)(x, k, v).sum())(q)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # what torch.func.jvp imports
def test_forward_mode_is_refused() -> None:
    q, k, v = (x.detach() for x in operands(n=4))
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jvp(lambda x: attention(x, k, v), (q,), (q,))


# --- what is refused

q, k, v = (x.detach() for x in operands(2, n=4))
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "half": (lambda: attention(q.half(), k, v), "attention: q has dtype torch.float16, needs torch.float32 or"),
    "bfloat16": (lambda: attention(q, k.bfloat16(), v), "attention: k has dtype torch.bfloat16, needs torch.float32"),
    "complex": (lambda: attention(q, k, v.cfloat()), "attention: v has dtype torch.complex64"),
    "an array": (lambda: attention(q.numpy(), k, v), "attention: q has type ndarray, needs a torch.Tensor"),
    "sparse": (lambda: attention(q.to_sparse(), k, v), "attention: q is a torch.sparse_coo tensor on cpu, needs"),
    "no data": (
        lambda: attention(q.to("meta"), k, v),
        "attention: q is a torch.strided tensor on meta, needs a dense",
    ),
    "one row": (lambda: attention(q[0, 0], k, v), "attention: q has shape (3,), needs at least two dimensions"),
    "mixed": (lambda: attention(q, k.float(), v), "fast_attention: K has dtype float32, needs float64"),
    "broadcast": (lambda: attention(q, k[:1], v[:1]), "fast_attention: K has shape (1, 4, 3), needs (..., m, d) with"),
    "columns": (lambda: attention(q, k[..., :2], v), "fast_attention: K has shape (2, 4, 2), needs"),
    "no keys": (lambda: attention(q, k[:, :0], v[:, :0]), "fast_attention: K has shape (2, 0, 3), needs"),
    "no columns": (lambda: attention(q[..., :0], k[..., :0], v), "fast_attention: Q has shape (2, 4, 0), needs"),
    "not square": (lambda: attention(q[:, :3], k, v, is_causal=True), "fast_attention: K has m = 4 keys, causal"),
    "nan": (lambda: attention(q * torch.nan, k, v), "fast_attention: Q has nan at index (0, 0, 0), needs finite"),
    "mask": (lambda: attention(q, k, v, attn_mask=torch.ones(4, 4)), "attention: takes no attn_mask"),
    "dropout": (lambda: attention(q, k, v, dropout_p=0.1), "attention: takes no dropout_p"),
    "grouped": (lambda: attention(q, k, v, enable_gqa=True), "attention: takes no enable_gqa"),
    "scale": (lambda: attention(q, k, v, scale=torch.ones(())), "fast_attention: scale is tensor(1.), needs a finite"),
    "both": (lambda: attention(q, k, v, rtol=0.1, polynomial=taylor(2, 1.0)), "fast_attention: got both rtol and"),
    "method": (
        lambda: attention(q, k, v, method=cast("Any", "exact")),
        "attention: method is 'exact', needs one of 'paper'",
    ),
    "large scores": (lambda: attention(q, k, v, scale=1e3), "fast_attention: rtol is 0.001 with scores up to"),
    "cotangent": (lambda: certified_gradient(q, k, v, v.half()), "certified_gradient: grad_output has dtype torch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_do_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(AltgradError) as caught:
        call()
    assert str(caught.value).startswith(message)


# --- CUDA tensors, of which there are none here


def test_tensors_of_a_device_go_to_the_gpu_on_pytorchs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []

    def context(*what: Any) -> Any:
        entered.append(what)
        return nullcontext()

    cuda = SimpleNamespace(Device=context, ExternalStream=context)
    functions = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, from_dlpack=np.from_dlpack))
    monkeypatch.setitem(sys.modules, "gpu.qkv", functions)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=("of", device.index)))
    with torch_bridge._place(torch.device("cuda", 1)) as (qkv, array):
        assert qkv is functions
        assert entered == [(1,), (("of", 1), 1)]
        assert array(q).ctypes.data == q.data_ptr()


# --- training


def trained(attend: Callable[..., Any], steps: int = 30, rate: float = 1.0) -> list[float]:
    """The losses of one layer of attention that learns what another one does, by plain descent."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(2, 32, 4)))  # (heads, n, d)
    teacher, start = (torch.tensor(rng.normal(size=(3, 4, 4)) / 2) for _ in range(2))
    queries, keys, values = (x @ w for w in teacher)
    target = scaled_dot_product_attention(queries, keys, values, is_causal=True)
    weights = [w.clone().requires_grad_() for w in start]
    losses = []
    for _ in range(steps):
        loss = (attend(*[x @ w for w in weights], is_causal=True) - target).square().mean()
        losses.append(loss.item())
        with torch.no_grad():
            for w, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                w.sub_(rate * gradient)
    return losses


@cache
def trained_with_pytorchs() -> list[float]:
    return trained(scaled_dot_product_attention)


def furthest(losses: list[float]) -> float:
    """From those with PyTorch's attention, as a share of where they began."""
    exact = trained_with_pytorchs()
    return max(abs(a - b) for a, b in zip(losses, exact, strict=True)) / exact[0]


@pytest.mark.parametrize("method", METHODS)
def test_training_with_it_goes_as_training_with_pytorchs(method: Method) -> None:
    """The output is within rtol of exact attention, so the losses stay within rtol of where they began."""
    losses = trained(lambda *x, **options: attention(*x, **options, method=method))
    for trace in (losses, trained_with_pytorchs()):
        assert trace[-1] < trace[0] / 4
    assert furthest(losses) <= torch_bridge.RTOL


def test_training_with_another_function_is_told_apart() -> None:
    losses = trained(lambda *x, **options: attention(*x, polynomial=taylor(0, 1.0), **options))
    assert furthest(losses) > torch_bridge.RTOL
