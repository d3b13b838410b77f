"""What is tried on the certificate of the text holds for the compiled loops too, which run here in its place."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from reference import compiled, fast_qkv
from reference.chain_rule import attention_gradient, fast_attention_gradient
from reference.fast_qkv import Method
from tests import test_certificate

wide_enough = test_certificate.wide_enough
test_bounds_by_the_moment_are_attained = test_certificate.test_bounds_by_the_moment_are_attained
test_bounds_by_the_ratio_are_attained = test_certificate.test_bounds_by_the_ratio_are_attained
test_equal_keys_or_no_queries_of_any_size = test_certificate.test_equal_keys_or_no_queries_of_any_size
test_keys_that_differ_by_the_smallest_number = test_certificate.test_keys_that_differ_by_the_smallest_number
test_no_bound_is_broken_where_a_product_cancels = test_certificate.test_no_bound_is_broken_where_a_product_cancels
test_no_bound_is_broken_where_features_cancel = test_certificate.test_no_bound_is_broken_where_features_cancel
test_no_bound_of_a_head_is_broken = test_certificate.test_no_bound_of_a_head_is_broken
test_no_bound_of_a_layer_is_broken = test_certificate.test_no_bound_of_a_layer_is_broken
test_norms_whose_squares_underflow_are_seen = test_certificate.test_norms_whose_squares_underflow_are_seen
test_queries_that_underflow_are_counted = test_certificate.test_queries_that_underflow_are_counted
test_the_error_of_the_row_sum_counts_in_full = test_certificate.test_the_error_of_the_row_sum_counts_in_full
test_what_is_exact_has_a_bound_of_rounding_only = test_certificate.test_what_is_exact_has_a_bound_of_rounding_only
test_zero_operands = test_certificate.test_zero_operands


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short sequences too, in several chunks and tiles."""
    monkeypatch.setattr(fast_qkv, "LONG", 1)
    for name, rows in {"CHUNK": 128, "TILE": 64, "MASKED_TILE": 32}.items():
        monkeypatch.setattr(compiled, name, rows)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", ["antiderivative", "differentiate"])
def test_layers_and_their_bounds(method: Method, causal: bool) -> None:
    rng = np.random.default_rng(0)
    X, G = rng.normal(size=(2, 700, 3))
    W, W_V = rng.normal(size=(2, 3, 3)) / 3
    fast = fast_attention_gradient(X, W, W_V, G, rtol=1e-3, causal=causal, method=method)
    true = attention_gradient(X, W, W_V, G, causal=causal)
    for name in ("X", "W", "W_V"):
        error, bound = np.abs(getattr(fast.value, name) - getattr(true, name)), getattr(fast.bound, name)
        assert np.isfinite(bound).all(), name
        assert (error <= bound).all(), name
        assert error.max() > 0, name


def test_a_child_process_starts_threads_of_its_own() -> None:
    code = (
        "import os, numpy as np; from reference import compiled\n"
        "with compiled.team() as team: assert list(compiled.in_order(abs, [-1, -2, -3], team)) == [1, 2, 3]\n"
        "if (child := os.fork()) == 0:\n"
        "    with compiled.team() as team: assert list(compiled.in_order(abs, [-1, -2, -3], team)) == [1, 2, 3]\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environment, timeout=120)
