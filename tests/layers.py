"""Layers for the tests of rounding: those of the checks, and some with scores up to 1e4."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from proofs_checks.equation import apart, value
from proofs_checks.instances import Array, Instance, gaussian, layers, odd_scale, paper_scale, unit_scale
from proofs_checks.symbols import Symbols

anywhere = layers(unit_scale, paper_scale, odd_scale, masks=(False, True))


def huge_layer(n: int, d: int, seed: int, causal: bool, dtype: Any) -> Instance:
    """Gaussian operands, the weights scaled so that the largest score is 1e4."""
    rng = np.random.default_rng(seed)
    X, W, W_V, G = (rng.normal(size=shape) for shape in ((n, d), (d, d), (d, d), (n, d)))
    W *= 1e4 / np.abs(X @ W @ X.T).max()
    operands: dict[str, Array] = {"X": X, "W": W, "W_V": W_V, "G": G}
    return Instance({name: a.astype(dtype) for name, a in operands.items()}, Fraction(1), causal)


huge = st.builds(
    huge_layer,
    n=st.integers(1, 5),
    d=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    causal=st.booleans(),
    dtype=st.sampled_from((np.float32, np.float64)),
)


def worst_ratio(error: Any, allowed: Any) -> float:
    """Largest error over what is allowed, entry by entry; an error where none is allowed is infinite."""
    if np.isnan(error).any() or np.isnan(allowed).any():
        return float("nan")
    ratio = np.divide(error, allowed, out=np.where(error > 0, np.inf, 0.0), where=allowed > 0)
    return float(ratio.max())


def gaussian_symbols(n: int, d: int, *, seed: int = 0, scale: str = "1", causal: bool = False) -> Symbols:
    """The symbols of a Gaussian layer, in balls."""
    return Symbols(Instance(gaussian(np.random.default_rng(seed), n, d), Fraction(scale), causal))


def zero_symbols(n: int, d: int) -> Symbols:
    """The same with X = 0."""
    drawn = gaussian(np.random.default_rng(0), n, d)
    return Symbols(Instance({**drawn, "X": 0 * drawn["X"]}, Fraction(1)))


SYMBOLS = {
    "3×2": gaussian_symbols(3, 2),
    "n = 1": gaussian_symbols(1, 3, seed=1),
    "d = 1": gaussian_symbols(4, 1, seed=2),
    "n = d = 1": gaussian_symbols(1, 1, seed=3),
    "n < d": gaussian_symbols(2, 3, seed=4),
    "X = 0": zero_symbols(3, 2),
    "scores over d": gaussian_symbols(3, 2, seed=5, scale="1/2"),
    "causal": gaussian_symbols(3, 2, seed=6, scale="-3/10", causal=True),
}


def same(computed: Any, true: Any, what: str = "") -> None:
    """Both sides have one shape, and their balls, too narrow to hide a difference, overlap entry by entry."""
    ours, theirs = np.asarray(computed, object), np.asarray(true, object)
    assert ours.shape == theirs.shape, what
    assert not any(apart(value(c), value(t)) for c, t in zip(ours.flat, theirs.flat, strict=True)), what
