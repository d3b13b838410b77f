"""Layers to try claims on: drawn by Hypothesis, or enumerated over small integers.

A drawn instance is a shape, a style and a seed, so it shrinks to a small shape, plain integers and seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, islice, product
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]
Scale = Callable[[int], Fraction]  # from d to what multiplies the scores

# Scores, before any scale below 1: a sum of a few of their exponentials is finite, and none is subnormal.
LARGEST_SCORE = {np.dtype(np.float32): 80.0, np.dtype(np.float64): 690.0}
CLASSES = 3  # of a classification: the vocabulary of 3.2


@dataclass(frozen=True, eq=False)
class Instance:
    """Operands of an attention layer, by the names and shapes of `shapes`. Read-only: no claim can change them."""

    operands: dict[str, Array]
    scale: Fraction
    causal: bool = False

    def __post_init__(self) -> None:
        for array in self.operands.values():
            array.flags.writeable = False

    @property
    def n(self) -> int:
        return int(self.operands["X"].shape[0])

    @property
    def d(self) -> int:
        return int(self.operands["X"].shape[1])

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """X, W, W_V, G."""
        return self.operands["X"], self.operands["W"], self.operands["W_V"], self.operands["G"]

    def listed(self, names: tuple[str, ...] = ("X", "W", "W_V", "G")) -> dict[str, list[Any]]:
        """Operands as nested lists, integers shown as such."""
        return {name: _plain(self.operands[name].tolist()) for name in names}


def paper_scale(d: int) -> Fraction:
    """1/d, as 1.2, C.3 and I.5 print the scores."""
    return Fraction(1, d)


def unit_scale(d: int) -> Fraction:
    """1, as C.6 prints u."""
    return Fraction(1)


def odd_scale(d: int) -> Fraction:
    """-1/2: no convention at all, so that a formula cannot get the scale right by accident."""
    return Fraction(-1, 2)


def shapes(n: int, d: int) -> dict[str, tuple[int, ...]]:
    """The operands of a layer and their shapes; x, y, z are vectors, Y holds labels, one 1 in each row."""
    square: tuple[int, ...] = (d, d)
    matrices: dict[str, tuple[int, ...]] = {"X": (n, d), "W": square, "W_V": square, "G": (n, d)}
    weights = {"W_Q": square, "W_K": square, "W_g": square, "W_out": (d, CLASSES)}
    return matrices | weights | {"Y": (n, CLASSES), "x": (n,), "y": (n,), "z": (n,)}


def labels(rng: np.random.Generator, n: int) -> Array:
    """One 1 in each row."""
    return np.eye(CLASSES)[rng.integers(0, CLASSES, size=n)]  # (n, CLASSES)


def integers(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = {name: rng.integers(-2, 3, shape).astype(float) for name, shape in shapes(n, d).items()}
    return {**drawn, "Y": labels(rng, n)}


def gaussian(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = {name: rng.normal(size=shape) for name, shape in shapes(n, d).items()}
    return {**drawn, "Y": labels(rng, n)}


def zero_rows(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    kept = rng.integers(0, 2, size=(n, 1))
    return {**drawn, "X": drawn["X"] * kept, "G": drawn["G"] * rng.permutation(kept)}


def repeated_rows(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    return {**drawn, "X": drawn["X"][rng.integers(0, n, size=n) // 2]}


def rank_one_weights(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    rank_one = {name: np.outer(*rng.normal(size=(2, d))) for name in ("W", "W_V", "W_Q", "W_K", "W_g")}
    return {**drawn, **rank_one}


def all_ones(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    size = float(rng.integers(1, 4))
    sized = {name: np.full(shape, size if name in ("X", "W_V") else 1 / 8) for name, shape in shapes(n, d).items()}
    return {**sized, "Y": labels(rng, n)}


def large_scores(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    return {**drawn, "W": drawn["W"] * 1e3, "W_Q": drawn["W_Q"] * 1e3}  # cut down to the largest that is allowed


STYLES = (integers, gaussian, zero_rows, repeated_rows, rank_one_weights, all_ones, large_scores)


def layers(
    *scales: Scale, masks: tuple[bool, ...] = (False,), max_n: int = 6, max_d: int = 4, single: bool = True
) -> st.SearchStrategy[Instance]:
    """Layers with n ≤ max_n, d ≤ max_d, in float64 and, if `single`, in float32."""
    return st.builds(
        _layer,
        n=st.integers(1, max_n),
        d=st.integers(1, max_d),
        style=st.sampled_from(STYLES),
        seed=st.integers(0, 2**32 - 1),
        scale=st.sampled_from(scales),
        causal=st.sampled_from(masks),
        dtype=st.sampled_from((np.float64, np.float32) if single else (np.float64,)),
    )


def _layer(n: int, d: int, style: Any, seed: int, scale: Scale, causal: bool, dtype: Any) -> Instance:
    operands = style(np.random.default_rng(seed), n, d)
    limit = LARGEST_SCORE[np.dtype(dtype)] / max(1.0, abs(float(scale(d))))
    X = operands["X"]
    operands["W"] = operands["W"] * _cut(X @ operands["W"] @ X.T, limit)
    operands["W_Q"] = operands["W_Q"] * _cut(np.abs(X @ operands["W_Q"]) @ np.abs(X @ operands["W_K"]).T, limit)
    return Instance({name: a.astype(dtype) for name, a in operands.items()}, scale(d), causal)


def _cut(scores: Array, limit: float) -> float:
    """What brings the largest score down to the limit; 1 if it is below."""
    largest = float(np.abs(scores).max())
    return limit / largest if largest > limit else 1.0


SMALL_SIZES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2))  # in order of n, then d
MOST = 2_000  # arrays of one size: they are for readers, no verdict depends on them


def small(
    names: tuple[str, ...], scales: tuple[Scale, ...] = (unit_scale,), masks: tuple[bool, ...] = (False,)
) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
    """Sizes (n, d) in order, each with the space that is searched and its instances, fewest non-zeros first.

    Entries are taken from {-1, 0, 1} where all arrays over them number at most `MOST`, else from {0, 1}; where these
    are too many as well, the first `MOST` of them; each under every scale and mask. Operands not in `names` are zero.
    """
    for n, d in SMALL_SIZES:
        entries = sum(prod(shape) for name, shape in shapes(n, d).items() if name in names)
        values = (1, -1) if 3**entries <= MOST else (1,)
        total = (1 + len(values)) ** entries
        space = "{-1, 0, 1}" if len(values) == 2 else "{0, 1}"
        kept = f"all {total} arrays over {space}" if total <= MOST else f"{MOST} of {total} arrays over {space}"
        arrays = islice(_enumerate(n, d, names, values, entries), MOST)
        yield n, d, kept, (Instance(a, scale(d), causal) for a in arrays for scale in scales for causal in masks)


def _enumerate(
    n: int, d: int, names: tuple[str, ...], values: tuple[int, ...], entries: int
) -> Iterator[dict[str, Array]]:
    for nonzeros in range(entries + 1):
        for places in combinations(range(entries), nonzeros):
            for signs in product(values, repeat=nonzeros):
                flat = np.zeros(entries)
                flat[list(places)] = signs
                yield _split(flat, n, d, names)


def _split(flat: Array, n: int, d: int, names: tuple[str, ...]) -> dict[str, Array]:
    operands, at = {}, 0
    for name, shape in shapes(n, d).items():
        if name in names:
            operands[name] = flat[at : at + prod(shape)].reshape(shape)
            at += prod(shape)
        else:
            operands[name] = np.zeros(shape)
    return operands


def _plain(x: Any) -> Any:
    if isinstance(x, list):
        return [_plain(y) for y in x]
    return int(x) if float(x).is_integer() else float(x)
