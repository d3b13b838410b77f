"""What is timed: altgrad, the baselines, which are fixed here, and the steps that altgrad's time is made of.

Each function takes a problem, prepares what a caller would have ready, and returns the call that is timed. A call
returns its results by name, or nothing if they are not attention. The optional packages are imported only by those
that need them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from benchmarks.problem import Arrays, Problem
from reference import qkv
from reference.fast_qkv import Method
from reference.low_rank import rank
from reference.polynomial import ExpPolynomial, taylor

Call = Callable[[], Arrays]
TILE = 256  # `reference.compiled.TILE`, which cannot be imported without numba
GRADIENTS = ("dQ", "dK", "dV")
BLOCK = 4096  # columns of the features that are multiplied at a time


# --- altgrad


@cache
def polynomial(degree: int) -> ExpPolynomial:
    return taylor(degree, 1.0)


def altgrad_forward(p: Problem, degree: int = 2, certify: bool = False) -> Call:
    return lambda: {
        "output": qkv.fast_attention(
            p.Q, p.K, p.V, scale=1.0, causal=p.causal, polynomial=polynomial(degree), certify=certify
        ).value
    }


def altgrad_gradient(p: Problem, degree: int = 2, method: Method = "differentiate", certify: bool = False) -> Call:
    """The gradient, whose call does the forward pass but does not hand out its output."""

    def call() -> Arrays:
        gradient = qkv.fast_attention_vjp(
            p.Q, p.K, p.V, p.dO,
            scale=1.0, causal=p.causal, polynomial=polynomial(degree), method=method, certify=certify,
        )  # fmt: skip
        return dict(zip(GRADIENTS, gradient.value, strict=True))

    return call


def altgrad(p: Problem, degree: int = 2, method: Method = "differentiate") -> Call:
    """Forward and gradient: what the others are timed for."""

    def call() -> Arrays:
        both = qkv.fast_attention_and_vjp(
            p.Q, p.K, p.V, p.dO,
            scale=1.0, causal=p.causal, polynomial=polynomial(degree), method=method, certify=False,
        )  # fmt: skip
        return dict(zip(("output", *GRADIENTS), both.value, strict=True))

    return call


def altgrad_twice(p: Problem, degree: int = 2, method: Method = "differentiate") -> Call:
    """The same as two calls, as where the cotangent is known only after the forward pass: the second does it again."""
    forward, gradient = altgrad_forward(p, degree), altgrad_gradient(p, degree, method)
    return lambda: {**forward(), **gradient()}


def altgrad_without_numba(p: Problem) -> Call:
    """The same in a process that cannot import numba, where the text that people read runs.

    What comes on top, the results' way back, is a few milliseconds for 2 MiB.
    """
    elsewhere = ProcessPoolExecutor(1, get_context("spawn"), _hide_numba)
    return lambda: elsewhere.submit(_both, p).result()


def _hide_numba() -> None:
    import sys  # noqa: PLC0415

    sys.modules["numba"] = None  # type: ignore[assignment]  # makes its import fail


@cache
def _prepared(p: Problem) -> Call:
    return altgrad(p)


def _both(p: Problem) -> Arrays:
    return _prepared(p)()


# --- dense NumPy


def dense_forward(p: Problem) -> Call:
    """exp(QKᵀ), row sum, divide, times V."""
    return lambda: {"output": _dense_weights(p) @ p.V}


def dense(p: Problem) -> Call:
    """The same with its gradient: p = f ⊙ (dO Vᵀ − rowsum(dO ⊙ output)), dQ = p K, dK = pᵀ Q, dV = fᵀ dO."""

    def call() -> Arrays:
        f = _dense_weights(p)  # (h, n, n)
        output = f @ p.V  # (h, n, d)
        dV = f.mT @ p.dO
        c = p.dO @ p.V.mT  # (h, n, n)
        c -= (p.dO * output).sum(axis=-1, keepdims=True)
        c *= f
        return {"output": output, "dQ": c @ p.K, "dK": c.mT @ p.Q, "dV": dV}

    return call


def _dense_weights(p: Problem) -> Any:
    A = p.Q @ p.K.mT  # (h, n, n)
    np.exp(A, out=A)
    A /= A.sum(axis=-1, keepdims=True)
    return A


# --- PyTorch and packages that build on it


def torch_forward(p: Problem, attend: Callable[[Problem], Callable[..., Any]]) -> Call:
    import torch  # noqa: PLC0415

    function, operands = attend(p), [torch.from_numpy(x)[None] for x in (p.Q, p.K, p.V)]  # (1, h, n, d)

    def call() -> Arrays:
        with torch.no_grad():
            return {"output": function(*operands)[0].numpy()}

    return call


def torch_both(p: Problem, attend: Callable[[Problem], Callable[..., Any]]) -> Call:
    """Forward, and backward through autograd."""
    import torch  # noqa: PLC0415

    function, operands = attend(p), [torch.from_numpy(x)[None].requires_grad_() for x in (p.Q, p.K, p.V)]
    dO = torch.from_numpy(p.dO)[None]  # (1, h, n, d)

    def call() -> Arrays:
        output = function(*operands)
        gradient = torch.autograd.grad(output, operands, dO)
        return {
            "output": output.detach()[0].numpy(),
            **{name: x[0].numpy() for name, x in zip(GRADIENTS, gradient, strict=True)},
        }

    return call


def scaled_dot_product(p: Problem, kernel: str = "FLASH_ATTENTION") -> Callable[..., Any]:
    """PyTorch's own attention. On a CPU its flash kernel is the fastest, and the only one without n² numbers."""
    from torch.nn import functional  # noqa: PLC0415
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415

    def attend(Q: Any, K: Any, V: Any) -> Any:
        with sdpa_kernel(getattr(SDPBackend, kernel)):
            return functional.scaled_dot_product_attention(Q, K, V, scale=1.0, is_causal=p.causal)

    return attend


def scaled_dot_product_math(p: Problem) -> Callable[..., Any]:
    """The kernel with n² numbers, to see where that is faster."""
    return scaled_dot_product(p, "MATH")


def taylor_series(p: Problem, symmetric: bool = False) -> Callable[..., Any]:
    """taylor-series-linear-attention: the degree-2 Taylor polynomial. Its projections are taken out."""
    from taylor_series_linear_attention import TaylorSeriesLinearAttn  # noqa: PLC0415
    from torch import cat, nn  # noqa: PLC0415

    layer = TaylorSeriesLinearAttn(p.d, dim_head=p.d, heads=1, combine_heads=False, remove_even_power_dups=symmetric)
    layer.to_q[0] = layer.to_kv[0] = nn.Identity()
    return lambda Q, K, V: layer(Q[0] / layer.scale, context=cat((K[0], V[0]), -1))[None]


def taylor_series_symmetric(p: Problem) -> Callable[..., Any]:
    """The same without the monomials that appear twice."""
    return taylor_series(p, symmetric=True)


def performer(p: Problem) -> Callable[..., Any]:
    """performer-pytorch: positive random features, as many as altgrad has monomials of degree at most 2."""
    import torch  # noqa: PLC0415
    from performer_pytorch import FastAttention  # noqa: PLC0415

    torch.manual_seed(0)
    layer = FastAttention(p.d, nb_features=rank(p.d, 2))
    return lambda Q, K, V: layer(Q * p.d**0.25, K * p.d**0.25, V)  # it divides both by d^(1/4)


def nystrom(p: Problem) -> Callable[..., Any]:
    """nystrom-attention: 64 landmarks. Its projections and its convolution of V are taken out."""
    from nystrom_attention import NystromAttention  # noqa: PLC0415
    from torch import cat, nn  # noqa: PLC0415

    layer = NystromAttention(p.d, dim_head=p.d, heads=1, num_landmarks=64, residual=False)
    layer.to_qkv = layer.to_out = nn.Identity()
    return lambda Q, K, V: layer(cat((Q[0] / layer.scale, K[0], V[0]), -1))[None]


PEERS: dict[str, Callable[[Problem], Callable[..., Any]]] = {
    "taylor-series-linear-attention": taylor_series,
    "taylor-series-linear-attention, symmetric": taylor_series_symmetric,
    "performer-pytorch": performer,
    "nystrom-attention": nystrom,
}


# --- the steps of altgrad's forward and gradient, one kind at a time, with what work they do


def products(p: Problem, degree: int = 2) -> Call:
    """The gradient's six: twice k × n by n × (1 + d), (1 + d) × k by k × n and k × (1 + d) by (1 + d) × n."""
    features, block, total = _factors(p, degree, BLOCK)
    summed, read, pulled = np.empty_like(total), np.empty_like(block), np.empty_like(features)

    def call() -> Arrays:
        for _ in range(2 * p.heads * p.n // BLOCK):
            np.matmul(features, block.T, out=summed)
            np.matmul(total.T, features, out=read)
            np.matmul(total, block, out=pulled)
        return {}

    return call


def products_in_tiles(p: Problem, degree: int = 2) -> Call:
    """The same as altgrad makes them: tiles of columns that stay in the cache, each by one thread."""
    from numba import njit  # noqa: PLC0415

    def repeat(features: Any, block: Any, total: Any, times: int) -> None:
        transposed = np.ascontiguousarray(block.T)
        summed, read, pulled = np.empty_like(total), np.empty_like(block), np.empty_like(features)
        for _ in range(times):
            np.dot(features, transposed, summed)
            np.dot(total.T, features, read)
            np.dot(total, block, pulled)

    repeated, arrays = njit(nogil=True)(repeat), _factors(p, degree, TILE)
    repeated(*arrays, 1)
    pool, blas = ThreadPoolExecutor(2), ThreadpoolController().select(user_api="blas")

    def call() -> Arrays:
        times = p.heads * p.n // TILE  # twice as many, by two threads
        with blas.limit(limits=1):
            list(pool.map(lambda _: repeated(*arrays, times), range(2)))
        return {}

    return call


def _factors(p: Problem, degree: int, columns: int) -> tuple[Any, Any, Any]:
    rng, k = np.random.default_rng(0), rank(p.d, degree)
    shapes = (k, columns), (1 + p.d, columns), (k, 1 + p.d)
    features, block, total = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return features, block, total


def products_work(p: Problem, degree: int = 2) -> int:
    """Multiplications and additions."""
    return 12 * p.heads * p.n * rank(p.d, degree) * (1 + p.d)


def elementwise(p: Problem, degree: int = 2) -> Call:
    """The monomials of the queries, twice those of the keys, and the differentiation of both, in tiles."""
    from reference import kernels  # noqa: PLC0415

    steps, k, pool = kernels.steps(p.d, degree), rank(p.d, degree), ThreadPoolExecutor(2)

    def repeat(X: Any, differentiated: bool) -> None:
        x, dx = (np.empty((p.d, TILE), np.float32) for _ in range(2))  # (d, t) both
        features, cotangent = (np.ones((k, TILE), np.float32) for _ in range(2))  # (k, t) both
        for first in range(0, len(X), TILE):
            kernels.load(X[first : first + TILE], x)
            kernels.monomials(steps, x, features)
            if differentiated:
                kernels.monomials_vjp(steps, x, features, cotangent, dx)

    def call() -> Arrays:
        halves = [half for X in (p.Q, p.K) for head in X for half in np.split(head, 2)]
        list(pool.map(lambda half: repeat(half, True), halves))
        list(pool.map(lambda half: repeat(half, False), halves[len(halves) // 2 :]))
        return {}

    return call


def elementwise_work(p: Problem, degree: int = 2) -> int:
    """Multiplications: one for a monomial, two and an addition to differentiate it, which are counted as two."""
    return (3 + 2 * 2) * p.heads * p.n * rank(p.d, degree)


def copies(p: Problem) -> Call:
    """Every operand is read once and the keys and values once more; as much is written."""
    read = [p.Q, p.K, p.V, p.dO, p.K, p.V]
    written = [np.empty_like(x) for x in read]
    return _copy(read, written)


def copies_work(p: Problem) -> int:
    """Bytes read and written."""
    return 12 * p.heads * p.n * p.d * 4


# --- what the machine can do, measured in the same run

PEAK_PRODUCT, PEAK_COPY, PEAK_MULTIPLY = 2048, 2**26, 2**14  # rows of a square matrix, entries, entries within a cache


def peak_product(_: Problem) -> Call:
    A, B, C = (np.ones((PEAK_PRODUCT, PEAK_PRODUCT), np.float32) for _ in range(3))

    def call() -> Arrays:
        np.matmul(A, B, out=C)
        return {}

    return call


def peak_product_work(_: Problem) -> int:
    return int(2 * PEAK_PRODUCT**3)


def peak_copy(_: Problem) -> Call:
    halves = [np.ones(PEAK_COPY // 2, np.float32) for _ in range(4)]
    return _copy(halves[:2], halves[2:])


def peak_copy_work(_: Problem) -> int:
    return 8 * PEAK_COPY


def peak_multiply(_: Problem) -> Call:
    """Two threads, each within its own cache."""
    rows = np.ones((6, PEAK_MULTIPLY), np.float32)
    pool = ThreadPoolExecutor(2)

    def repeat(thread: int) -> None:
        a, b, c = rows[3 * thread : 3 * thread + 3]
        for _ in range(1000):
            np.multiply(a, b, out=c)

    def call() -> Arrays:
        list(pool.map(repeat, range(2)))
        return {}

    return call


def peak_multiply_work(_: Problem) -> int:
    return 2000 * PEAK_MULTIPLY


def _copy(read: list[Any], written: list[Any]) -> Call:
    """Copies, by two threads: NumPy lets go of the interpreter's lock meanwhile."""
    pool = ThreadPoolExecutor(2)

    def call() -> Arrays:
        list(pool.map(np.copyto, written, read))
        return {}

    return call
