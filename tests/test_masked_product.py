"""Products with masked matrices of low rank against n×n matrices written out: whole numbers, so every sum is exact."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reference import masked_product as masked
from tests.signatures import keywords

Array = NDArray[Any]

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 9)


def integers(seed: int, *shape: int) -> Array:
    """Whole numbers in float64, far from where sums of their products would be rounded."""
    return np.random.default_rng(seed).integers(-9, 10, size=shape).astype(np.float64)


def positive(seed: int, *shape: int) -> Array:
    """Positive fractions."""
    drawn = np.random.default_rng(seed).integers(1, 10, size=shape)
    fractions: Array = np.vectorize(Fraction, otypes=[object])(drawn)
    return fractions


# --- as printed: I.3, Algorithm 2, I.4 and I.6


@given(n=sizes, k=sizes, seed=seeds)
def test_running_sums_are_the_masked_product(n: int, k: int, seed: int) -> None:
    U0, V0, v = integers(seed, n, k), integers(seed + 1, n, k), integers(seed + 2, n)
    assert (masked.causal_mask(U0, V0, v) == np.tril(U0 @ V0.T) @ v).all()


@given(n=sizes, k=sizes, columns=sizes, seed=seeds)
def test_column_by_column(n: int, k: int, columns: int, seed: int) -> None:
    U0, V0, H = integers(seed, n, k), integers(seed + 1, n, k), integers(seed + 2, n, columns)
    assert (masked.causal_mask_columns(U0, V0, H) == np.tril(U0 @ V0.T) @ H).all()


@given(n=sizes, k0=sizes, k=sizes, columns=sizes, seed=seeds)
def test_products_with_the_masked_attention_matrix(n: int, k0: int, k: int, columns: int, seed: int) -> None:
    """In rational arithmetic: both parts of I.6 with U0 and U of different widths."""
    U0, V0 = positive(seed, n, k0), positive(seed + 1, n, k0)
    U, V, H = positive(seed + 2, n, k) - 5, positive(seed + 3, n, k) - 5, positive(seed + 4, n, columns) - 5
    A = np.tril(U0 @ V0.T)
    f = A / A.sum(axis=1)[:, None]
    assert (masked.masked_row_sums(U0, V0) == A.sum(axis=1)).all()
    assert (masked.f_causal_factored(U0, V0) == f).all()
    assert (masked.masked_attention_product(U0, V0, H) == f @ H).all()
    assert (masked.masked_entrywise_product(U0, V0, U, V, H) == (f * (U @ V.T)) @ H).all()


@given(m=sizes, n=sizes, seed=seeds)
def test_a_diagonal_matrix_goes_into_either_factor(m: int, n: int, seed: int) -> None:
    D, A, B = np.diag(integers(seed, m)), integers(seed + 1, m, n), integers(seed + 2, m, n)
    assert (masked.diagonal_first(D, A, B) == D @ (A * B)).all()
    assert (masked.diagonal_second(D, A, B) == D @ (A * B)).all()


def test_one_row_sees_itself() -> None:
    two, three, five = (np.array([[x]]) for x in (2.0, 3.0, 5.0))
    assert masked.causal_mask(two, three, five[0]) == 30
    assert masked.masked_attention_product(two, three, five) == 5


def test_zeros_give_zeros() -> None:
    zero, one = np.zeros((3, 2)), np.ones((3, 2))
    for U0, V0, v in ((zero, one, one[:, 0]), (one, zero, one[:, 0]), (one, one, zero[:, 0])):
        assert not masked.causal_mask(U0, V0, v).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype: type[np.floating]) -> None:
    one = np.ones((3, 2), dtype)
    for product in (
        masked.causal_mask(one, one, one[:, 0]),
        masked.causal_mask_columns(one, one, one),
        masked.masked_row_sums(one, one),
        masked.masked_attention_product(one, one, one),
        masked.masked_entrywise_product(one, one, one, one, one),
    ):
        assert product.dtype == dtype


# --- block by block


@given(n=sizes, m=sizes, k=sizes, columns=sizes, step=st.integers(1, 8), seed=seeds)
def test_blocks_without_a_mask(n: int, m: int, k: int, columns: int, step: int, seed: int) -> None:
    U, V, H = integers(seed, n, k), integers(seed + 1, m, k), integers(seed + 2, m, columns)
    assert (masked.masked_product(U, V, H, step=step) == U @ V.T @ H).all()
    H = integers(seed + 3, n, columns)
    assert (masked.masked_product(U, V, H, transposed=True, step=step) == V @ U.T @ H).all()


@given(n=sizes, k=sizes, columns=sizes, step=st.integers(1, 8), seed=seeds)
def test_blocks_under_the_mask_are_the_algorithm_of_the_paper(
    n: int, k: int, columns: int, step: int, seed: int
) -> None:
    U, V, H = integers(seed, n, k), integers(seed + 1, n, k), integers(seed + 2, n, columns)
    assert (masked.masked_product(U, V, H, causal=True, step=step) == masked.causal_mask_columns(U, V, H)).all()
    backwards = masked.masked_product(U, V, H, causal=True, transposed=True, step=step)
    assert (backwards == np.tril(U @ V.T).T @ H).all()


def test_keywords() -> None:
    assert keywords(masked) == {"masked_product": {"causal": False, "transposed": False, "step": masked.BLOCK}}
