"""Which contenders are measured together, at which sizes: "quick" within five minutes, "full" for docs/speed.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from benchmarks import contenders as c
from benchmarks.harness import Comparison, Contender, peak_memory, quick_verify
from benchmarks.problem import Problem

DIMENSIONS = (8, 12, 16)
MIDDLE, LARGE = 16384, 65536
SDPA, SDPA_MATH, DENSE = "PyTorch", "PyTorch, math kernel", "dense NumPy"
ALTGRAD, TWICE, GRADIENT = "altgrad", "altgrad, two calls", "altgrad, gradient alone"
PRODUCTS, TILES = "products alone", "products alone, in tiles"
ELEMENTWISE, COPIES = "elementwise steps alone", "copies alone"
PEAKS = PEAK_PRODUCT, PEAK_MULTIPLY, PEAK_COPY = "peak of products", "peak of multiplications", "peak of copies"
TOKENS = tuple(2**power for power in range(14, 21))


class Profile(StrEnum):
    """How much is measured."""

    quick = "quick"
    full = "full"


def comparisons(profile: Profile) -> list[Comparison]:
    return list(_quick() if profile is Profile.quick else _full())


def _quick() -> Iterator[Comparison]:
    for d in DIMENSIONS:
        yield both(d, 4096, dense=True, budget=8)
    for d in DIMENSIONS:
        yield both(d, LARGE, torch=False, budget=8)
    yield forward(12, MIDDLE, budget=10)
    for d in DIMENSIONS:
        yield causal(d, LARGE, budget=4)
    for d in DIMENSIONS:
        yield certificate(d, LARGE, budget=4)
    yield methods(8, 4096, budget=8)
    yield per_token()
    yield memory(2**20)
    yield compiled(8)
    for d in DIMENSIONS:
        yield steps(d, budget=4)


def _full() -> Iterator[Comparison]:
    for d in DIMENSIONS:
        yield both(d, 4096, dense=True, budget=8)
    for d in DIMENSIONS:
        yield replace(both(d, LARGE, budget=8), least=2)  # PyTorch takes half a minute for each call
    yield forward(12, 40960, budget=25)
    for d in DIMENSIONS:
        yield heads(d, MIDDLE)
    for d in DIMENSIONS:
        yield causal(d, LARGE)
    for d in DIMENSIONS:
        yield certificate(d, LARGE)
    for d in (4, *DIMENSIONS):
        yield methods(d, MIDDLE, budget=8)
    yield per_token()
    yield memory(2**24)
    for d in DIMENSIONS:
        yield compiled(d)
    for d in DIMENSIONS:
        yield steps(d)
    yield verify()


# --- names, by which targets find what they judge


def named(what: str, n: int, d: int) -> str:
    return f"{what}, n = {n:,}, d = {d}"


def both_name(d: int, n: int) -> str:
    return named("forward and gradient", n, d)


def forward_name(d: int, n: int) -> str:
    return named("forward", n, d)


def causal_name(d: int, n: int) -> str:
    return named("causal mask", n, d)


def certificate_name(d: int, n: int) -> str:
    return named("certificate", n, d)


def methods_name(d: int, n: int) -> str:
    return named("methods", n, d)


def memory_name(n: int) -> str:
    return named("memory", n, 8)


def steps_name(d: int) -> str:
    return named("steps", LARGE, d)


TOKENS_NAME = "time per token, d = 8"
VERIFY_NAME = "quick verify"


# --- comparisons


def contender(make: Callable[..., Any], problem: Problem, **options: Any) -> Contender:
    return Contender(make, problem, options)


def peers(make: Callable[..., Any], problem: Problem) -> dict[str, Contender]:
    return {name: contender(make, problem, attend=attend) for name, attend in c.PEERS.items()}


def both(d: int, n: int, *, dense: bool = False, torch: bool = True, budget: float) -> Comparison:
    problem = Problem(n, d)
    some = {
        ALTGRAD: contender(c.altgrad, problem),
        TWICE: contender(c.altgrad_twice, problem),
        GRADIENT: contender(c.altgrad_gradient, problem),
        PRODUCTS: Contender(c.products, problem, work=c.products_work(problem)),
        TILES: Contender(c.products_in_tiles, problem, work=c.products_work(problem)),
        **peers(c.torch_both, problem),
    }
    if torch:
        some[SDPA] = contender(c.torch_both, problem, attend=c.scaled_dot_product)
    if dense:
        some[SDPA_MATH] = contender(c.torch_both, problem, attend=c.scaled_dot_product_math)
        some[DENSE] = contender(c.dense, problem)
    return Comparison(both_name(d, n), some, budget)


def forward(d: int, n: int, budget: float = 20) -> Comparison:
    problem = Problem(n, d)
    some = {
        ALTGRAD: contender(c.altgrad_forward, problem),
        **peers(c.torch_forward, problem),
        SDPA: contender(c.torch_forward, problem, attend=c.scaled_dot_product),
        DENSE: contender(c.dense_forward, problem),
    }
    return Comparison(forward_name(d, n), some, budget)


def heads(d: int, n: int, budget: float = 6) -> Comparison:
    """PyTorch's flash kernel differentiates one head with one thread: here both have something to do."""
    problem = Problem(n, d, heads=2)
    some = {
        ALTGRAD: contender(c.altgrad, problem),
        SDPA: contender(c.torch_both, problem, attend=c.scaled_dot_product),
    }
    return Comparison(named("two heads", n, d), some, budget)


def causal(d: int, n: int, budget: float = 10) -> Comparison:
    some = {
        "unmasked": contender(c.altgrad, Problem(n, d)),
        "causal": contender(c.altgrad, Problem(n, d, causal=True)),
    }
    return Comparison(causal_name(d, n), some, budget)


def certificate(d: int, n: int, budget: float = 10) -> Comparison:
    problem = Problem(n, d)
    some = {
        "without": contender(c.altgrad_gradient, problem),
        "with": contender(c.altgrad_gradient, problem, certify=True),
    }
    return Comparison(certificate_name(d, n), some, budget)


def methods(d: int, n: int, budget: float) -> Comparison:
    """Degree 4, and each method; at small d degree 4 of "antiderivative" and what it competes with."""
    problem = Problem(n, d)
    degrees = [("differentiate", 2), ("differentiate", 4), ("antiderivative", 2), ("paper", 2)]
    if d <= 8:
        degrees += [("differentiate", 6), ("antiderivative", 4), ("paper", 4)]
    some = {
        f"{method}, degree {degree}": contender(c.altgrad_gradient, problem, degree=degree, method=method)
        for method, degree in degrees
    }
    return Comparison(methods_name(d, n), some, budget)


def per_token(budget: float = 12) -> Comparison:
    some = {f"n = {n:,}": replace(contender(c.altgrad, Problem(n, 8)), work=n) for n in TOKENS}
    return Comparison(TOKENS_NAME, some, budget)


def memory(n: int) -> Comparison:
    some = {ALTGRAD: contender(c.altgrad, Problem(n, 8))}
    return Comparison(memory_name(n), some, measure=peak_memory)


def compiled(d: int) -> Comparison:
    problem = Problem(MIDDLE, d)
    some = {"compiled": contender(c.altgrad, problem), "NumPy": contender(c.altgrad_without_numba, problem)}
    return Comparison(named("compiled against NumPy", MIDDLE, d), some, budget=5)


def steps(d: int, budget: float = 10) -> Comparison:
    problem = Problem(LARGE, d)
    parts: Mapping[str, tuple[Callable[..., Any], Callable[[Problem], int]]] = {
        PRODUCTS: (c.products, c.products_work),
        TILES: (c.products_in_tiles, c.products_work),
        ELEMENTWISE: (c.elementwise, c.elementwise_work),
        COPIES: (c.copies, c.copies_work),
        PEAK_PRODUCT: (c.peak_product, c.peak_product_work),
        PEAK_MULTIPLY: (c.peak_multiply, c.peak_multiply_work),
        PEAK_COPY: (c.peak_copy, c.peak_copy_work),
    }
    some = {GRADIENT: contender(c.altgrad_gradient, problem)}
    some |= {name: Contender(make, problem, work=work(problem)) for name, (make, work) in parts.items()}
    return Comparison(steps_name(d), some, budget)


def verify() -> Comparison:
    return Comparison(VERIFY_NAME, {}, measure=quick_verify)
