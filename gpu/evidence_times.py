"""Times on a device, by its events, with errors beside them, and which share of the machine's ceilings they reach.

Inputs are those of `benchmarks`: Q, K ~ N(0, 1)/√d and V, dO ~ N(0, 1), scores q·k, 16 heads of d = 16. What is timed
is output and gradient, one call of `gpu.qkv` in float32 without the certificate, and PyTorch's
scaled_dot_product_attention with autograd in bfloat16 by the kernel that is the fastest there. Errors are
‖x − y‖_F/‖x‖_F in sampled rows, x being exact attention in float64; dK and dV, a row of which takes all n² scores, are
measured in one head, and left out where n is large.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import numpy as np

import gpu.qkv
from reference.low_rank import rank
from reference.polynomial import taylor

HEADS, D = 16, 16
SIZES = 131_072, 1_048_576
DEGREES = 2, 4
KERNELS = "FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION"
BUDGET = 10.0  # seconds for the rounds of one figure
LEAST, MOST = 3, 20  # rounds
SAMPLE = 64  # rows in which errors are measured
EXACT_KEYS = 131_072  # the largest n at which errors of dK and dV are measured
SCORES = 2**26  # held at once
COPIED, SIDE = 2**29, 16_384  # numbers that are copied, rows of the matrices that are multiplied

Found = dict[str, Any]


def rounds(seconds: Callable[[Any], float], call: Callable[[], object], budget: float = BUDGET) -> list[float]:
    """Of calls after one that is not counted; LEAST of them if they take long."""
    call()
    start, found = time.monotonic(), [seconds(call)]
    while len(found) < LEAST or (len(found) < MOST and time.monotonic() - start < budget):
        found.append(seconds(call))
    return found


def part(machine: Any, left: Callable[[], float]) -> Iterator[Found]:
    """The ceilings, and a row for each size, mask and contender."""
    roof = ceilings(machine)
    rows: list[Found] = []
    kernel = ""
    for n in SIZES:
        left()
        inputs = operands(n)
        arrays = [machine.xp.asarray(x) for x in inputs]
        for causal, degree in product((False, True), DEGREES):
            left()
            rows.append(altgrad(machine, arrays, degree, causal, roof))
            yield {"ceilings": roof, "rows": rows}
        if machine.torch:
            kernel = kernel or fastest(machine, inputs)
        for causal in (False, True) if kernel else ():
            left()
            rows.append(pytorch(machine, inputs, arrays, kernel, causal))
            yield {"ceilings": roof, "rows": rows}


def ceilings(machine: Any) -> Found:
    """Bytes and float32 operations in a second, of a large copy and a large product (TF32 is off)."""
    a, b = (machine.xp.asarray(np.ones(shape, np.float32)) for shape in (COPIED, (SIDE, SIDE)))
    copied = median(rounds(machine.seconds, a.copy))
    multiplied = median(rounds(machine.seconds, lambda: b @ b))
    return {"bytes_per_second": 2 * 4 * COPIED / copied, "operations_per_second": 2 * SIDE**3 / multiplied}


def operands(n: int) -> list[Any]:
    """Q, K, V, dO on the host. Shapes: (HEADS, n, D)."""
    sizes = (D**-0.5, D**-0.5, 1, 1)
    return [
        np.float32(size) * np.random.default_rng(i).standard_normal((HEADS, n, D), dtype=np.float32)
        for i, size in enumerate(sizes)
    ]


def altgrad(machine: Any, arrays: list[Any], degree: int, causal: bool, roof: Found) -> Found:
    options: Any = {"scale": 1.0, "causal": causal, "polynomial": taylor(degree, 1.0), "certify": False}

    def call() -> tuple[Any, ...]:
        return tuple(gpu.qkv.fast_attention_and_vjp(*arrays, **options, method="differentiate").value)

    times = rounds(machine.seconds, call)
    n, k = arrays[0].shape[-2], rank(D, degree)
    work = 12 * HEADS * n * k * (1 + D)  # six products
    moved = 4 * 8 * HEADS * n * D  # four arrays read and four written
    return {
        "contender": "altgrad",
        **about(n, causal, times),
        "degree": degree,
        "operations": work,
        "bytes": moved,
        "share_of_float32": work / median(times) / roof["operations_per_second"],
        "share_of_bandwidth": moved / median(times) / roof["bytes_per_second"],
        "errors": errors(machine.xp, arrays, list(map(machine.xp.asnumpy, call())), causal),
    }


def about(n: int, causal: bool, times: list[float]) -> Found:
    return {"n": n, "heads": HEADS, "d": D, "causal": causal, "seconds": times, "median": median(times)}


# --- PyTorch


def pytorch(machine: Any, inputs: list[Any], arrays: list[Any], kernel: str, causal: bool) -> Found:
    call = partial(sdpa, machine.torch, tensors(machine.torch, inputs), kernel, causal)
    times = rounds(machine.seconds, call)
    found = [x.detach()[0].float().cpu().numpy() for x in call()]
    return {
        "contender": "PyTorch",
        **about(inputs[0].shape[-2], causal, times),
        "dtype": "bfloat16",
        "kernel": kernel,
        "errors": errors(machine.xp, arrays, found, causal),
    }


def tensors(torch: Any, inputs: list[Any]) -> list[Any]:
    """In bfloat16, on the device if PyTorch sees one. Shapes: (1, HEADS, n, D)."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    Q, K, V, dO = (torch.tensor(x[None]).to(place, torch.bfloat16) for x in inputs)
    return [*(x.requires_grad_() for x in (Q, K, V)), dO]


def sdpa(torch: Any, operands: list[Any], kernel: str, causal: bool) -> tuple[Any, ...]:
    with torch.nn.attention.sdpa_kernel(getattr(torch.nn.attention.SDPBackend, kernel)):
        output = torch.nn.functional.scaled_dot_product_attention(*operands[:3], scale=1.0, is_causal=causal)
    return output, *torch.autograd.grad(output, operands[:3], operands[3])


def fastest(machine: Any, inputs: list[Any]) -> str:
    """The kernel that takes the least time for output and gradient, of those that run here; empty if none does."""
    given, times = tensors(machine.torch, inputs), {}
    for kernel in KERNELS:
        call: Any = partial(sdpa, machine.torch, given, kernel, False)
        try:
            times[kernel] = min(rounds(machine.seconds, call, budget=0))
        except RuntimeError:  # not for this device, type or size
            continue
    return min(times, key=times.__getitem__, default="")


# --- errors


def errors(xp: Any, arrays: list[Any], found: list[Any], causal: bool) -> Found:
    """In sampled rows: of output and dQ in all heads, of dK and dV in the first. `found` lies on the host."""
    n = arrays[0].shape[-2]
    rows = np.sort(np.random.default_rng(4).choice(n, min(n, SAMPLE), replace=False))  # (s,)
    each = [exact_queries(xp, [x[h] for x in arrays], rows, causal) for h in range(HEADS)]
    truth = [np.stack(some) for some in zip(*each, strict=True)]  # (HEADS, s, D) twice
    pairs = {
        name: (true, found[i][:, rows]) for i, (name, true) in enumerate(zip(("output", "dQ"), truth, strict=True))
    }
    if n <= EXACT_KEYS:
        keys = exact_keys(xp, [x[0] for x in arrays], rows, causal)  # (s, D) twice
        pairs |= {name: (true, found[i][0, rows]) for i, name, true in zip((2, 3), ("dK", "dV"), keys, strict=True)}
    return {name: float(np.linalg.norm(x - y) / np.linalg.norm(x)) for name, (x, y) in pairs.items()}


def exact_queries(xp: Any, arrays: list[Any], rows: Any, causal: bool) -> list[Any]:
    """Rows of the output and of dQ of one head, on the host. Shapes: (n, D) four times, (s,) -> (s, D) twice."""
    _, K, V, _ = wide = [x.astype(np.float64) for x in arrays]
    step, found = max(1, SCORES // len(K)), []
    for first in range(0, len(rows), step):
        f, P = weights(xp, wide, rows[first : first + step], causal)
        found.append((xp.asnumpy(f @ V), xp.asnumpy(P @ K)))
    return [np.concatenate(some) for some in zip(*found, strict=True)]


def exact_keys(xp: Any, arrays: list[Any], rows: Any, causal: bool) -> list[Any]:
    """Rows of dK and dV of one head, on the host. Shapes: (n, D) four times, (s,) -> (s, D) twice."""
    Q, K, _, dO = wide = [x.astype(np.float64) for x in arrays]
    dK, dV = (np.zeros((len(rows), D)) for _ in range(2))
    at, step = xp.asarray(rows), max(1, SCORES // len(K))
    for first in range(0, len(Q), step):
        some = np.arange(first, min(first + step, len(Q)))  # (b,)
        f, P = weights(xp, wide, some, causal)
        dK += xp.asnumpy(P[:, at].T @ Q[some[0] : some[-1] + 1])
        dV += xp.asnumpy(f[:, at].T @ dO[some[0] : some[-1] + 1])
    return [dK, dV]


def weights(xp: Any, wide: list[Any], rows: Any, causal: bool) -> tuple[Any, Any]:
    """Rows of f and of C.12's p. Shapes: (n, D) four times, (b,) -> (b, n) twice."""
    Q, K, V, dO = wide
    i = xp.asarray(rows)  # (b,)
    f = np.exp(Q[i] @ K.T)  # (b, n)
    if causal:
        f = f * (i[:, None] >= xp.asarray(np.arange(len(K))))
    f = f / f.sum(axis=1, keepdims=True)
    P = dO[i] @ V.T  # (b, n)
    return f, f * (P - (dO[i] * (f @ V)).sum(axis=1, keepdims=True))
