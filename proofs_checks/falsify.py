"""False variants of a formula, made by one change: to an operand it is given, or to the value it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Signature, signature
from typing import Any

import numpy as np

from proofs_checks.record import Claim


@dataclass(frozen=True)
class Altered:
    """A formula with one change. It takes the same operands."""

    claim: Claim
    change: Callable[[Any], Any]
    operand: str = ""  # what is changed; empty for the value

    @property
    def __signature__(self) -> Signature:
        return signature(self.claim)

    def __call__(self, **operands: Any) -> Any:
        if self.operand:
            return self.claim(**{**operands, self.operand: self.change(operands[self.operand])})
        return self.change(self.claim(**operands))


def transposed(value: Any) -> Any:
    return np.transpose(value)


def negated(value: Any) -> Any:
    return -value


def doubled(value: Any) -> Any:
    return 2 * value


def preceding(index: Any) -> Any:
    """The index before; before the first comes the last."""
    return index - 1


def wrong_sign_or_factor(claim: Claim) -> dict[str, Claim]:
    """Minus the value, and twice the value."""
    return {"minus": Altered(claim, negated), "twice": Altered(claim, doubled)}


def with_transposed(claim: Claim, *operands: str) -> dict[str, Claim]:
    """The formula with one square operand transposed."""
    return {f"{name}ᵀ for {name}": Altered(claim, transposed, name) for name in operands}


def with_wrong_index(claim: Claim, *indices: str) -> dict[str, Claim]:
    """The formula with one index off by one."""
    return {f"{name} − 1 for {name}": Altered(claim, preceding, name) for name in indices}
