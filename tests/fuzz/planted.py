"""A record for the tests of the fuzzing: a true bound, and one that fails so rarely that `verify` does not notice."""

from __future__ import annotations

from typing import Any

from proofs_checks.record import Statement
from reference import softmax_attention as attn
from reference.softmax_attention import Array
from tests.planted import bound


def bound_rarely_less(X: Array, W_V: Array) -> Any:
    """False for many positions, many features and certain first entries, all at once."""
    value = attn.value_bound(X, W_V)
    if len(X) != 5:
        return value
    if len(W_V) != 4:
        return value
    return value / 64 if X[0, 0] == 2 else value


RECORD: tuple[Statement, ...] = (
    bound("true/C.18", attn.value_bound),
    bound("rare/C.18", bound_rarely_less),
)
