"""Property trials: Hypothesis looks for an instance that breaks the claim, small integers give the smallest one.

A ratio above 1 is a suspicion: of disjoint enclosures, or of a floating-point result beyond its bound. Disjoint
enclosures of both sides refute the claim; a suspicion that they do not confirm leaves it open.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings, target
from hypothesis.internal.constants_ast import Constants

from proofs_checks.instances import Instance
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, Extreme, Result, Trial

# Hypothesis mixes numbers from the source of whatever modules are loaded into its draws. A shard must not depend on
# them, and there is no setting against it.
CONSTANTS = "hypothesis.internal.conjecture.providers._get_local_constants"

SHRUNK = "found by Hypothesis and shrunk"
PER_SHARD = 100
EXAMPLES = {"quick": 300, "standard": 3_000, "deep": 10_000}

SETTINGS = settings(
    max_examples=PER_SHARD,
    phases=(Phase.generate, Phase.target, Phase.shrink),
    database=None,
    deadline=None,
    derandomize=False,
    report_multiple_bugs=False,
    print_blob=False,
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
)


# Where the first instance that breaks the claim does, a smaller one is not worth its price.
UNSHRUNK = settings(SETTINGS, phases=(Phase.generate, Phase.target))


class SuspicionError(Exception):
    """The measured side exceeds what the claim allows."""


@dataclass(frozen=True)
class PropertyTrial(Trial):
    """Draws instances and compares both sides; subclasses say how."""

    @property
    @abstractmethod
    def instances(self) -> hypothesis.strategies.SearchStrategy[Instance]:
        """What Hypothesis draws from."""

    @abstractmethod
    def small(self) -> Iterator[tuple[int, int, str, Iterator[Instance]]]:
        """Where the smallest counterexample is looked for: sizes in order, with all instances of each."""

    @abstractmethod
    def ratio(self, claim: Claim, instance: Instance) -> Any:
        """Measured over allowed: the claim breaks above 1."""

    @abstractmethod
    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        """The instance as a counterexample, if both sides are provably different on it."""

    def extreme(self, instance: Instance, ratio: float) -> Extreme | None:
        """The instance with the largest ratio, as far as it is worth keeping."""
        return None

    def admits(self, instance: Instance) -> bool:
        """Whether the instance meets the hypotheses of the claim."""
        return True

    def shards(self, profile: str) -> int:
        return EXAMPLES[profile] // PER_SHARD

    def required(self, profile: str) -> int:
        return EXAMPLES[profile]

    def how_wrong(self, claim: Claim) -> str:
        """By how much a refuted claim is off, in words."""
        return ""

    def run(self, claim: Claim, seed: int) -> Result:
        """Try the claim; a suspicion that the first suspect does not confirm is shrunk to where it may be confirmed.

        The smallest counterexample, which readers are shown, is not looked for here but by `explain`.
        """
        result = self._run(claim, seed, UNSHRUNK, "found by Hypothesis")
        return self._run(claim, seed, SETTINGS, SHRUNK) if result.outcome == "open" else result

    def _run(self, claim: Claim, seed: int, how: settings, search: str) -> Result:
        tally = _Tally()

        @hypothesis.seed(seed)
        @settings(how)
        @given(self.instances)
        def survives(instance: Instance) -> None:
            if not self.admits(instance):
                tally.discarded += 1
                hypothesis.reject()
            ratio = self.ratio(claim, instance)
            if math.isnan(ratio):
                raise FloatingPointError("a side is not a number")
            if ratio > 1:
                tally.suspect = instance
                raise SuspicionError
            tally.examples += 1
            if tally.nearest is None or ratio > tally.worst:
                tally.worst, tally.nearest = float(ratio), instance
            target(float(ratio))

        try:
            with warnings.catch_warnings(), patch(CONSTANTS, Constants):
                warnings.simplefilter("error")
                survives()
        except SuspicionError:
            return self._judge(claim, tally, search)
        extreme = self.extreme(tally.nearest, tally.worst) if tally.nearest else None
        return Result("supports", tally.examples, tally.discarded, tally.worst, extreme=extreme)

    def _judge(self, claim: Claim, tally: _Tally, search: str) -> Result:
        assert tally.suspect is not None
        found = self.confirm(claim, tally.suspect, search)
        if found is None:
            reason = f"a suspicion that ball arithmetic does not confirm, at {tally.suspect.listed()}"
            return Result("open", tally.examples, tally.discarded, reason=reason)
        return Result("refutes", tally.examples, tally.discarded, counterexample=found)

    def explain(self, claim: Claim) -> Result:
        """The first counterexample in order of n, then d, then the number of non-zero entries.

        Where there is none over small integers, one that is drawn and shrunk.
        """
        searched: list[str] = []
        for n, d, space, instances in self.small():
            for instance in instances:
                found = self.confirm(claim, instance, _minimality(searched)) if self.admits(instance) else None
                if found is not None:
                    return Result("refutes", reason=self.how_wrong(claim), counterexample=found)
            searched.append(f"n = {n}, d = {d} ({space})")
        drawn = self._run(claim, 0, SETTINGS, SHRUNK).counterexample
        reason = f"no counterexample over small integers at {'; '.join(searched)}"
        return Result("open", reason=reason, counterexample=drawn)


def _minimality(searched: list[str]) -> str:
    if not searched:
        return "the smallest in n, then d"
    return f"the smallest in n, then d; searched in vain: {'; '.join(searched)}"


@dataclass
class _Tally:
    """What one run of Hypothesis has seen; the last suspect is the shrunk one."""

    examples: int = 0
    discarded: int = 0
    worst: float = 0.0
    nearest: Instance | None = None
    suspect: Instance | None = None
