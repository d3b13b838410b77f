"""Approximate attention and its gradients on a user's own matrices, with bounds, and beside the exact ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import reference
from proofs_checks.matrices import Matrices
from reference import qkv
from reference.fast_qkv import Approximation, Method
from reference.shapes import FloatArray

AFFORDABLE = 2**27  # scores, over all heads, up to which exact attention is computed as well: some seconds

Named = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Distance:
    """How far values are from exact ones: the largest error, and the largest share of a bound that its error takes."""

    error: float
    share: float


@dataclass(frozen=True, eq=False)
class Certified:
    """Values with entrywise bounds, by name; the other arrays have an entry per head, or one."""

    value: Named
    bound: Named
    degree: np.ndarray[Any, Any]
    rank: np.ndarray[Any, Any]
    relative_error: np.ndarray[Any, Any]
    why: tuple[str, ...]
    distance: Mapping[str, Distance] | None  # None where exact attention was not computed

    @property
    def holds(self) -> bool:
        """No error that was seen is above its bound."""
        return all(d.share <= 1 for d in (self.distance or {}).values())


def scores_of(matrices: Matrices) -> int:
    """How many scores exact attention computes."""
    if "X" in matrices:
        return len(matrices["X"]) ** 2
    return int(np.prod(matrices["Q"].shape[:-1])) * int(matrices["K"].shape[-2])


def certify(
    matrices: Matrices,
    *,
    rtol: float,
    scale: float | None = None,
    causal: bool = False,
    method: Method = "antiderivative",
    compare: bool = False,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> Certified:
    """Output and gradients of ⟨G, attention⟩, one head after the other, each with the polynomial for its own scores.

    `matrices` as `matrices.load` gives them; `scale=None` is 1/d. With `compare` the exact ones are computed too, in
    float64, for the distance to them. `advance(done, total)` hears of each head. Raises AltgradError as
    `reference.qkv.fast_attention_and_vjp` and `reference.fast_attention_gradient` do.
    """
    batch = () if "X" in matrices else matrices["Q"].shape[:-2]
    value: dict[str, Any] = _like_results(matrices)
    bound: dict[str, Any] = _like_results(matrices)
    degree, rank, relative_error = np.zeros(batch, int), np.zeros(batch, int), np.zeros(batch)
    why: list[str] = []
    seen: dict[str, list[Distance]] = {name: [] for name in value}
    total = int(np.prod(batch))
    for done, index in enumerate(np.ndindex(batch)):
        advance(done, total)
        head = {key: array[index] for key, array in matrices.items()}
        for result in _fast(head, scale, causal, rtol, method):
            degree[index], rank[index], relative_error[index] = result.degree, result.rank, result.relative_error
            why += [f"head {index}: {result.why}" if batch else result.why] if result.why else []
            for name in result.value:
                value[name][index], bound[name][index] = result.value[name], result.bound[name]
        if compare:
            for name, exact in _exact(head, scale, causal).items():
                seen[name].append(_distance(value[name][index], bound[name][index], exact))
    advance(total, total)
    distance = {n: Distance(max(d.error for d in ds), max(d.share for d in ds)) for n, ds in seen.items() if ds}
    return Certified(value, bound, degree, rank, relative_error, tuple(dict.fromkeys(why)), distance or None)


def _like_results(matrices: Matrices) -> dict[str, FloatArray]:
    """Arrays for the results: the output, of G's shape, and the gradients."""
    operands = [key for key in matrices if key != "G"]
    return {"output": np.empty_like(matrices["G"]), **{f"d{key}": np.empty_like(matrices[key]) for key in operands}}


def _fast(head: Matrices, scale: float | None, causal: bool, rtol: float, method: Method) -> Iterator[Approximation]:
    """Approximations whose `value` and `bound` are named."""
    if "X" in head:
        X, W, W_V, G = head.values()
        output = reference.fast_attention(X, W, W_V, rtol=rtol, scale=scale, causal=causal)
        yield _named(output, {"output": output.value}, {"output": output.bound})
        g = reference.fast_attention_gradient(X, W, W_V, G, rtol=rtol, scale=scale, causal=causal, method=method)
        yield _named(g, _of_weights(g.value), _of_weights(g.bound))
    else:
        Q, K, V, dO = head.values()
        tau = _scale(scale, Q)
        both = qkv.fast_attention_and_vjp(Q, K, V, dO, scale=tau, causal=causal, rtol=rtol, method=method)
        yield _named(both, _of_heads(both.value), _of_heads(both.bound))


def _exact(head: Matrices, scale: float | None, causal: bool) -> Named:
    """The exact output and gradients in float64, by name."""
    one, two, three, G = (array.astype(np.float64) for array in head.values())
    if "X" in head:
        output = reference.attention(one, two, three, scale=scale, causal=causal)
        gradient = reference.attention_gradient(one, two, three, G, scale=scale, causal=causal)
        return {"output": output, **_of_weights(gradient)}
    tau = _scale(scale, one)
    vjp = qkv.attention_vjp(one, two, three, G, scale=tau, causal=causal)
    return {"output": qkv.attention(one, two, three, scale=tau, causal=causal), "dQ": vjp.Q, "dK": vjp.K, "dV": vjp.V}


def _scale(scale: float | None, Q: FloatArray) -> float:
    return 1 / Q.shape[-1] if scale is None else scale


def _of_weights(gradient: reference.Gradient) -> Named:
    return {"dX": gradient.X, "dW": gradient.W, "dW_V": gradient.W_V}


def _of_heads(both: qkv.OutputAndGradient) -> Named:
    return {"output": both.output, "dQ": both.Q, "dK": both.K, "dV": both.V}


def _named(found: Approximation, value: Named, bound: Named) -> Approximation:
    return Approximation(value, bound, found.degree, found.rank, found.relative_error, found.why)


def _distance(value: FloatArray, bound: FloatArray, exact: FloatArray) -> Distance:
    error = np.abs(value - exact)
    share = np.divide(error, bound, out=np.where(error > 0, np.inf, 0.0), where=bound > 0)
    return Distance(float(error.max()), float(share.max()))


def save(found: Certified, path: Path, **settings: Any) -> None:
    """Write values, bounds (`bound_…`) and how they were made, as one .npz: the whole file, or none of it."""
    bounds = {f"bound_{name}": array for name, array in found.bound.items()}
    made = {"degree": found.degree, "rank": found.rank, "relative_error": found.relative_error}
    everything: dict[str, Any] = {**found.value, **bounds, **made, "why": "; ".join(found.why), **settings}
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            np.savez(file, **everything)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def show(found: Certified, console: Console) -> None:
    """Print the certificate as a table, and what there is to say of it."""
    table = Table(title="approximate results: largest entry, bound and error", title_justify="left")
    for column in ("", "shape", "entry", "bound", "bound / value", "error", "error / bound"):
        table.add_column(column, justify="right" if column not in ("", "shape") else "left")
    for name, value in found.value.items():
        bound = found.bound[name]
        size = float(np.linalg.norm(value.astype(np.float64)))
        relative = float(np.linalg.norm(bound.astype(np.float64))) / size if size else np.inf
        seen = (found.distance or {}).get(name)
        compared = (f"{seen.error:.3g}", f"{seen.share:.3g}") if seen else ("", "")
        figures = float(np.abs(value).max()), float(bound.max()), relative
        table.add_row(name, str(value.shape), *(f"{x:.3g}" for x in figures), *compared)
    console.print(table)
    lines = [f"degree {_range(found.degree)}, rank {_range(found.rank)}", *found.why]
    if found.distance is None:
        lines.append("not compared with exact attention, whose cost is quadratic: --compare does it")
    elif found.holds:
        lines.append("compared with exact attention in float64: no error is above its bound")
    else:
        lines.append(
            "compared with exact attention in float64: an error is ABOVE ITS BOUND. This is a fault of altgrad"
        )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _range(numbers: np.ndarray[Any, Any]) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
