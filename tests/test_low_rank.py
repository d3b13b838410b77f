"""Row-wise Kronecker products, against loops and against n×n matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.low_rank import entrywise_product, row_kronecker

sizes = st.integers(1, 5)


def integers(seed: int, n: int, k: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(seed).integers(-9, 10, size=(n, k))


@given(sizes, sizes, sizes, st.integers(0, 2**32 - 2))
def test_columns_are_those_of_the_paper(n: int, k1: int, k2: int, seed: int) -> None:
    U1, U2 = integers(seed, n, k1), integers(seed + 1, n, k2)
    product = row_kronecker(U1, U2)
    assert product.shape == (n, k1 * k2)
    for i, l1, l2 in np.ndindex(n, k1, k2):  # the paper's l1 + (l2 − 1) k1, counted from 0
        assert product[i, l1 + l2 * k1] == U1[i, l1] * U2[i, l2]


@given(sizes, sizes, sizes, st.integers(0, 2**32 - 4))
def test_factors_of_the_entrywise_product(n: int, k1: int, k2: int, seed: int) -> None:
    U1, V1 = integers(seed, n, k1), integers(seed + 1, n, k1)
    U2, V2 = integers(seed + 2, n, k2), integers(seed + 3, n, k2)
    assert (entrywise_product(U1, V1, U2, V2) == (U1 @ V1.T) * (U2 @ V2.T)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype: type[np.floating]) -> None:
    assert row_kronecker(np.ones((2, 3), dtype), np.zeros((2, 1), dtype)).dtype == dtype
