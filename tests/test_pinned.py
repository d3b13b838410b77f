"""What mutation testing found that the other files let pass, pinned one by one."""

from __future__ import annotations

import numpy as np

from reference import softmax_attention


def test_the_printed_value_bound_is_a_product_of_three_numbers() -> None:
    X, W_V = np.array([[1.5, -2.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[0.5, 0.25], [-0.75, 0.0]])
    assert softmax_attention.value_bound_printed(X, W_V) == 3 * 2.0 * 0.75
