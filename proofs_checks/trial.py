"""A trial puts a claim to the test, one shard at a time, and returns a `Result`.

Shards are fixed pieces of work: the same claim, seed and shard give the same result wherever and in whatever order
they run. What a trial can settle, and how, is written in `docs/verdicts.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from math import isnan
from typing import Any, Literal, Self, get_args

from proofs_checks.record import Claim

Outcome = Literal[
    "supports",  # the claim came through everything that this shard tried
    "refutes",  # a counterexample, confirmed in ball arithmetic
    "open",  # the shard ran as it should and did not settle the claim
    "failed",  # a crash, a time-out, a NaN: says nothing about the claim
]


@dataclass(frozen=True)
class Counterexample:
    """An instance that meets every hypothesis and on which the two sides are provably different."""

    operands: dict[str, Any]  # nested lists of numbers
    where: str  # which entry or quantity differs
    claimed: str
    true: str
    arithmetic: str  # what confirmed it
    search: str  # in which sense it is the smallest
    python: tuple[str, ...]  # lines that show both sides

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{**data, "python": tuple(data["python"])})


@dataclass(frozen=True)
class Extreme:
    """The instance that came nearest to breaking an inequality."""

    ratio: float  # measured/allowed there
    operands: dict[str, Any]  # nested lists of numbers
    scale: str
    causal: bool


@dataclass(frozen=True)
class Result:
    """What one shard found."""

    outcome: Outcome
    examples: int = 0  # valid ones
    discarded: int = 0
    worst: float | None = None  # largest measured/allowed; the claim breaks above 1
    reason: str = ""
    counterexample: Counterexample | None = None
    details: tuple[tuple[str, ...], ...] = ()  # a table for `altgrad show`, its first row the heading
    extreme: Extreme | None = None  # where an inequality reached `worst`

    def __post_init__(self) -> None:
        if self.worst is not None and isnan(self.worst):
            raise ValueError("the largest measured/allowed is not a number")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The result as it was written; ValueError for anything else."""
        if data.keys() != {f.name for f in fields(cls)} or data["outcome"] not in get_args(Outcome):
            raise ValueError("not a result")
        found, extreme = data["counterexample"], data["extreme"]
        return cls(
            **{
                **data,
                "counterexample": None if found is None else Counterexample.from_json(found),
                "details": tuple(map(tuple, data["details"])),
                "extreme": None if extreme is None else Extreme(**extreme),
            }
        )


class Trial(ABC):
    """A way to test claims of one form. Subclasses are frozen dataclasses."""

    refusals: tuple[Outcome, ...] = ("refutes",)  # what a false variant of the claim must end in

    @property
    @abstractmethod
    def scope(self) -> str:
        """What the evidence covers, in words."""

    @property
    def complete(self) -> bool:
        """Whether the scope is all sizes, or the whole range that the claim states."""
        return False

    def shards(self, profile: str) -> int:
        """How many shards the profile asks for."""
        return 1

    def required(self, profile: str) -> int:
        """How many valid examples the profile asks for, over all shards."""
        return 0

    @abstractmethod
    def run(self, claim: Claim, seed: int) -> Result:
        """Try the claim once."""

    def explain(self, claim: Claim) -> Result:
        """For a claim that some shard refuted: the smallest counterexample, and how wrong the claim is."""
        return Result("open")
