"""Layers to try claims on: drawn by Hypothesis, or enumerated over small integers.

A drawn instance is a shape, a style and a seed, so it shrinks to a small shape, plain integers and seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, islice, product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]
Scale = Callable[[int], Fraction]  # from d to what multiplies the scores

LARGEST_SCORE = 60.0  # before any scale below 1; a sum of exponentials of it is finite in float32 too


@dataclass(frozen=True, eq=False)
class Instance:
    """Operands of one attention layer: X, G (n, d) and W, W_V (d, d). They are read-only: no claim can change them."""

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

    def listed(self) -> dict[str, list[Any]]:
        """The operands as nested lists, integers shown as such."""
        return {name: [[_plain(x) for x in row] for row in a.tolist()] for name, a in self.operands.items()}


def paper_scale(d: int) -> Fraction:
    """1/d, as 1.2, C.3 and I.5 print the scores."""
    return Fraction(1, d)


def unit_scale(d: int) -> Fraction:
    """1, as C.6 prints u."""
    return Fraction(1)


def odd_scale(d: int) -> Fraction:
    """-1/2: no convention at all, so that a formula cannot get the scale right by accident."""
    return Fraction(-1, 2)


def shapes(n: int, d: int) -> dict[str, tuple[int, int]]:
    """The operands of a layer and their shapes."""
    return {"X": (n, d), "W": (d, d), "W_V": (d, d), "G": (n, d)}


def integers(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    return {name: rng.integers(-2, 3, shape).astype(float) for name, shape in shapes(n, d).items()}


def gaussian(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    return {name: rng.normal(size=shape) for name, shape in shapes(n, d).items()}


def zero_rows(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    kept = rng.integers(0, 2, size=(n, 1))
    return {**drawn, "X": drawn["X"] * kept, "G": drawn["G"] * rng.permutation(kept)}


def repeated_rows(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    return {**drawn, "X": drawn["X"][rng.integers(0, n, size=n) // 2]}


def rank_one_weights(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    return {**drawn, "W": np.outer(drawn["X"][0], drawn["G"][0]), "W_V": np.outer(drawn["G"][0], drawn["X"][0])}


def all_ones(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    size = float(rng.integers(1, 4))
    return {name: np.full(shape, size if name in ("X", "W_V") else 1 / 8) for name, shape in shapes(n, d).items()}


def large_scores(rng: np.random.Generator, n: int, d: int) -> dict[str, Array]:
    drawn = gaussian(rng, n, d)
    return {**drawn, "W": drawn["W"] * (LARGEST_SCORE / _largest_score(drawn))}


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
    largest = _largest_score(operands) * max(1.0, abs(float(scale(d))))
    if largest > LARGEST_SCORE:
        operands["W"] = operands["W"] * (LARGEST_SCORE / largest)
    return Instance({name: a.astype(dtype) for name, a in operands.items()}, scale(d), causal)


def _largest_score(operands: dict[str, Array]) -> float:
    return float(np.abs(operands["X"] @ operands["W"] @ operands["X"].T).max())


SMALL_SIZES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2))  # in order of n, then d
MOST = 5_000  # arrays of one size


def small(
    names: tuple[str, ...], scales: tuple[Scale, ...] = (unit_scale,), masks: tuple[bool, ...] = (False,)
) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
    """Sizes (n, d) in order, each with the space that is searched and its instances, fewest non-zeros first.

    Entries are taken from {-1, 0, 1} where all arrays over them number at most `MOST`, else from {0, 1}; where these
    are too many as well, the first `MOST` of them; each under every scale and mask. Operands not in `names` are zero.
    """
    for n, d in SMALL_SIZES:
        entries = sum(a * b for name, (a, b) in shapes(n, d).items() if name in names)
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
    for name, (rows, columns) in shapes(n, d).items():
        if name in names:
            operands[name] = flat[at : at + rows * columns].reshape(rows, columns)
            at += rows * columns
        else:
            operands[name] = np.zeros((rows, columns))
    return operands


def _plain(x: float) -> int | float:
    return int(x) if float(x).is_integer() else float(x)
