r"""Attention in almost linear time for PyTorch: `attention` stands in for `scaled_dot_product_attention`.

.. math::

    O = \tilde f V, \quad \tilde f_{ij} = \frac{M_{ij} P(S_{ij})}{\sum_l M_{il} P(S_{il})}, \quad S = \tau\, Q K^\top,
    \quad P \approx \exp; \qquad (dQ, dK, dV) \text{ from } dO \text{ by the chosen method}

Tensors of the CPU are computed by `reference.qkv`, those of a CUDA device by `gpu.qkv`, on PyTorch's current stream.
Operands and results change hands by DLPack: nothing is copied on the way (a tensor that is not contiguous is made so).

Both passes choose the polynomial and the centre of the keys from q and k alone, by the same rule: they are the same in
both. With the method "differentiate" the gradients are the exact ones of the output that was computed; "paper" and
"antiderivative" give C.12's p with f approximated, which is another vector field: near the gradient, but of no
function. PyTorch is optional (extra `torch`); this module needs it, no other does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

import reference.qkv
from reference.errors import AltgradError
from reference.fast_qkv import METHODS, Approximation, Method
from reference.polynomial import ExpPolynomial
from reference.shapes import refuse

try:
    import torch
except ModuleNotFoundError:
    raise ModuleNotFoundError("gpu.torch_bridge needs PyTorch: pip install 'altgrad[torch]'", name="torch") from None

__all__ = ["attention", "certified_attention", "certified_gradient"]

RTOL = 1e-3  # of every attention weight, where neither rtol nor polynomial is given
DTYPES = torch.float32, torch.float64


class Options(NamedTuple):
    """What a call asks for beside its operands."""

    scale: Any
    causal: bool
    rtol: Any
    polynomial: ExpPolynomial | None
    method: Method

    @property
    def forward(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if name != "method"}


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    attn_mask: None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    method: Method = "differentiate",
) -> torch.Tensor:
    """Softmax attention in time linear in n and m at a fixed rank, with its gradient (C.13, I.6; E, I.7).

    Shapes: q (..., n, d), k (..., m, d), v (..., m, e) -> (..., n, e), in their dtype and on their device. `scale` is
    1/√d if it is None. Either `rtol` or `polynomial` may be given, as in `reference.qkv.fast_attention`; `rtol` is
    1e-3 if neither is. The bound on the error is not computed here: see `certified_attention`.

    Raises AltgradError for tensors that are not float32 or float64 (half and bfloat16 are refused, not widened), for
    `attn_mask`, `dropout_p` and `enable_gqa` other than their defaults, for a second derivative, and as
    `reference.qkv.fast_attention` and `fast_attention_vjp` do: shapes are not broadcast, `is_causal` needs n = m.

    Cost: O((n + m) k (d + e)) with k = binom(d + degree, degree) for each head, memory for inputs, outputs and a
    constant. The backward pass keeps q, k and v, and sums the keys once more.

    >>> q, k, v = torch.randn(3, 2, 4, 100, 3, dtype=torch.float64)
    >>> q.requires_grad_() is q
    True
    >>> output = attention(q, k, v, is_causal=True, scale=0.1)
    >>> exact = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.1)
    >>> bool((output - exact).norm() < 1e-3 * exact.norm())
    True
    >>> output.sum().backward()
    >>> q.grad.shape
    torch.Size([2, 4, 100, 3])
    """
    taken = {"attn_mask": attn_mask is None, "dropout_p": dropout_p == 0, "enable_gqa": enable_gqa is False}
    for name, neutral in taken.items():
        if not neutral:
            raise AltgradError(f"attention: takes no {name}: no sum of low rank is known for it; leave it out")
    options = _options("attention", (q, k, v), is_causal, scale, rtol, polynomial, method)
    output: torch.Tensor = _Attention.apply(q, k, v, options)
    return output


def certified_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
) -> Approximation:
    """The output of `attention`, with an entrywise bound on its distance from exact attention, rounding included.

    `value` and `bound` are tensors, (..., n, e), that are not part of a graph; in `value` the sums may be added in
    another order than in `attention`, which the bound covers. Other fields, errors and cost are those
    of `reference.qkv.fast_attention`.

    >>> q, k, v = torch.randn(3, 100, 4, dtype=torch.float64)
    >>> certified = certified_attention(q, k, v, scale=0.1)
    >>> exact = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.1)
    >>> bool(((certified.value - exact).abs() <= certified.bound).all())
    True
    """
    options = _options("certified_attention", (q, k, v), is_causal, scale, rtol, polynomial, "differentiate")
    return _forward((q, k, v), options, certify=True)


def certified_gradient(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grad_output: torch.Tensor,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    rtol: float | None = None,
    polynomial: ExpPolynomial | None = None,
    method: Method = "differentiate",
) -> Approximation:
    """The gradients of `attention` from `grad_output` (..., n, e), and entrywise bounds on their distance from exact.

    `value` and `bound` are triples of tensors, of the shapes of q, k and v. The distance is that from the gradient of
    exact attention, whatever the method. Other fields, errors and cost are those of
    `reference.qkv.fast_attention_vjp`.
    """
    operands = q, k, v, grad_output
    options = _options("certified_gradient", operands, is_causal, scale, rtol, polynomial, method)
    return _backward(operands, options, certify=True)


def _options(
    function: str,
    operands: tuple[torch.Tensor, ...],
    causal: bool,
    scale: Any,
    rtol: Any,
    polynomial: Any,
    method: Any,
) -> Options:
    """The options of a call, if its operands are tensors that can be computed with."""
    for name, x in zip(("q", "k", "v", "grad_output"), operands, strict=False):
        if not isinstance(x, torch.Tensor):
            refuse(function, name, f"has type {type(x).__name__}", "a torch.Tensor")
        if x.dtype not in DTYPES:
            refuse(function, name, f"has dtype {x.dtype}", " or ".join(map(str, DTYPES)))
        if x.layout != torch.strided or x.device.type not in ("cpu", "cuda"):
            refuse(function, name, f"is a {x.layout} tensor on {x.device}", "a dense one on the CPU or a CUDA device")
        if x.device != operands[0].device:
            refuse(function, name, f"is on {x.device}", f"{operands[0].device}, the device of q")
        if x.ndim < 2:
            refuse(function, name, f"has shape {tuple(x.shape)}", "at least two dimensions, rows and columns")
    if method not in METHODS:  # of which the forward pass would not know
        refuse(function, "method", f"is {method!r}", "one of " + ", ".join(map(repr, METHODS)))
    if rtol is None and polynomial is None:
        rtol = RTOL
    return Options(1 / sqrt(operands[0].shape[-1] or 1) if scale is None else scale, causal, rtol, polynomial, method)


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """The forward pass; its backward pass is `_Gradient`."""

    @staticmethod
    def forward(q: Any, k: Any, v: Any, options: Options) -> Any:
        return _forward((q, k, v), options, certify=False).value

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *operands, ctx.options = inputs
        ctx.save_for_backward(*operands)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        gradients = _Gradient.apply(*ctx.saved_tensors, grad_output, ctx.options)
        needed = ctx.needs_input_grad[:3]
        return *(x if need else None for x, need in zip(gradients, needed, strict=True)), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return _Attention.apply(*_in_front(info, in_dims, inputs)), 0


class _Gradient(torch.autograd.Function):  # type: ignore[misc]
    """The backward pass. It is a function of its own so that `torch.func` can map it; it has no derivative."""

    @staticmethod
    def forward(q: Any, k: Any, v: Any, grad_output: Any, options: Options) -> Any:
        return _backward((q, k, v, grad_output), options, certify=False).value

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: there is no second derivative."""

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise AltgradError("attention: has no second derivative: it is differentiated once")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return _Gradient.apply(*_in_front(info, in_dims, inputs)), (0, 0, 0)


def _in_front(info: Any, in_dims: Any, inputs: Any) -> list[Any]:
    """The operands with the mapped dimension as one more batch dimension, and the options as they are."""
    *operands, options = inputs
    sizes = [
        x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(operands, in_dims[:-1], strict=True)
    ]
    return [*sizes, options]


def _forward(operands: tuple[torch.Tensor, ...], options: Options, *, certify: bool) -> Approximation:
    with _place(operands[0].device) as (qkv, array):
        fast: Approximation = qkv.fast_attention(*map(array, operands), **options.forward, certify=certify)
        return replace(fast, value=_tensor(fast.value), bound=_tensor(fast.bound) if certify else None)


def _backward(operands: tuple[torch.Tensor, ...], options: Options, *, certify: bool) -> Approximation:
    with _place(operands[0].device) as (qkv, array):
        fast: Approximation = qkv.fast_attention_vjp(*map(array, operands), **options._asdict(), certify=certify)
        bound = tuple(map(_tensor, fast.bound)) if certify else None
        return replace(fast, value=tuple(map(_tensor, fast.value)), bound=bound)


@contextmanager
def _place(device: torch.device) -> Iterator[tuple[Any, Any]]:
    """The functions for the tensors of a device, and what makes a tensor an array for them.

    CuPy works on PyTorch's current stream: memory that one frees, the other may take without waiting.
    """
    if device.type == "cpu":
        yield reference.qkv, lambda x: np.from_dlpack(x.detach())
        return
    functions, cupy = import_module("gpu.qkv"), import_module("cupy")
    stream = torch.cuda.current_stream(device).cuda_stream
    with cupy.cuda.Device(device.index), cupy.cuda.ExternalStream(stream, device.index):
        yield functions, lambda x: cupy.from_dlpack(x.detach())


def _tensor(array: Any) -> torch.Tensor:
    tensor: torch.Tensor = torch.from_dlpack(array)
    return tensor
