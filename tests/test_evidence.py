"""How the shards of a check, its false variants and the explanation become one piece of evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_checks.evidence import Evidence, merge
from proofs_checks.record import Check
from proofs_checks.trial import Counterexample, Extreme, Outcome, Result, Trial

WORST_FIRST: tuple[Outcome, ...] = ("refutes", "failed", "open", "supports")


@dataclass(frozen=True)
class FakeTrial(Trial):
    """Says what it is told."""

    refusals: tuple[Outcome, ...] = ("refutes",)
    all_sizes: bool = False

    @property
    def scope(self) -> str:
        return "n ≤ 6"

    @property
    def complete(self) -> bool:
        return self.all_sizes

    def run(self, claim: Any, seed: int) -> Result:
        return Result("open")


def claim() -> None:
    """Only there because a check has one."""


def counterexample(search: str) -> Counterexample:
    return Counterexample({"X": [[1]]}, "entry (1, 1)", "1", "2", "rational numbers", search, ("1 + 1",))


def merged(
    *results: Result,
    variants: dict[str, Result] | None = None,
    explanation: Result | None = None,
    trial: Trial = FakeTrial(),
) -> Evidence:
    check = Check(kind="property", claim=claim, trial=trial, false={})
    return merge(check, results, variants or {}, explanation, required=300, seed=7, digest="d1gest")


FOUND = Result("refutes", 5, reason="by chance", counterexample=counterexample("shrunk"))
EXPLAINED = Result("refutes", reason="off by 30 %", counterexample=counterexample("the smallest"))


# --- shards


@pytest.mark.parametrize(("first", "second", "third"), list(product(WORST_FIRST, repeat=3)))
def test_the_worst_shard_decides(first: Outcome, second: Outcome, third: Outcome) -> None:
    outcome = merged(Result(first), Result(second), Result(third)).outcome
    assert outcome == min(first, second, third, key=WORST_FIRST.index)


shards = st.lists(
    st.builds(
        Result,
        outcome=st.sampled_from(get_args(Outcome)),
        examples=st.integers(0, 100),
        discarded=st.integers(0, 100),
        worst=st.none() | st.floats(min_value=0, allow_nan=False),
        reason=st.just(""),
    ),
    min_size=1,
)


@given(shards)
def test_examples_add_up_and_the_largest_ratio_stays(results: list[Result]) -> None:
    evidence = merged(*results)
    assert evidence.examples == sum(r.examples for r in results)
    assert evidence.discarded == sum(r.discarded for r in results)
    ratios = [r.worst for r in results if r.worst is not None]
    assert evidence.worst == (max(ratios) if ratios else None)


@given(shards, st.randoms(use_true_random=False))
def test_the_order_of_shards_does_not_matter(results: list[Result], random: Any) -> None:
    shuffled: Sequence[Result] = random.sample(results, len(results))
    assert merged(*shuffled) == merged(*results)


def test_the_instance_of_the_largest_ratio_stays() -> None:
    small, large = (Extreme(ratio, {"X": [[ratio]]}, "1", False) for ratio in (0.25, 0.5))
    shards = [Result("supports", 100, 0, e.ratio, extreme=e) for e in (small, large, small)]
    assert merged(*shards).extreme == large
    assert merged(Result("supports")).extreme is None


def test_the_reason_is_that_of_the_worst_shard() -> None:
    evidence = merged(Result("open", reason="not sure"), Result("failed", reason="crashed"), Result("supports"))
    assert evidence.reason == "crashed"


def test_the_reason_is_the_first_that_is_given() -> None:
    evidence = merged(Result("open"), Result("open", reason="first"), Result("open", reason="second"))
    assert evidence.reason == "first"


def test_a_counterexample_of_any_shard_is_kept() -> None:
    assert merged(Result("supports"), FOUND).counterexample == FOUND.counterexample


def test_support_carries_no_counterexample() -> None:
    assert merged(Result("supports"), Result("supports")).counterexample is None


def test_evidence_names_what_it_ran() -> None:
    evidence = merged(Result("supports", details=(("heading",), ("row",))))
    assert evidence.claim == f"{__name__}.claim"
    assert (evidence.kind, evidence.scope, evidence.required) == ("property", "n ≤ 6", 300)
    assert (evidence.seed, evidence.digest) == (7, "d1gest")
    assert evidence.details == (("heading",), ("row",))


@pytest.mark.parametrize("complete", [True, False])
def test_evidence_is_as_complete_as_its_trial(complete: bool) -> None:
    assert merged(Result("supports"), trial=FakeTrial(all_sizes=complete)).complete is complete


def test_json_can_write_evidence() -> None:
    written = json.loads(json.dumps(merged(FOUND, explanation=EXPLAINED).to_json()))
    assert written["counterexample"]["search"] == "the smallest"


# --- the explanation


def test_the_explanation_replaces_the_counterexample_of_the_shard() -> None:
    evidence = merged(FOUND, Result("supports"), explanation=EXPLAINED)
    assert evidence.counterexample == EXPLAINED.counterexample
    assert (evidence.outcome, evidence.reason) == ("refutes", "off by 30 %")


@pytest.mark.parametrize(
    "explanation", [None, Result("open", reason="nothing small"), Result("failed", reason="died")]
)
def test_without_an_explanation_the_counterexample_of_the_shard_stays(explanation: Result | None) -> None:
    evidence = merged(FOUND, explanation=explanation)
    assert (evidence.counterexample, evidence.reason) == (FOUND.counterexample, "by chance")


def test_the_explanation_adds_no_examples() -> None:
    explained = Result("refutes", 50, 60, 70.0, counterexample=counterexample("the smallest"))
    evidence = merged(FOUND, explanation=explained)
    assert (evidence.examples, evidence.discarded, evidence.worst) == (5, 0, None)


@pytest.mark.parametrize("outcome", ["supports", "open", "failed"])
def test_an_explanation_of_another_run_is_none_of_this_one(outcome: Outcome) -> None:
    """A larger profile may have refuted what this one did not: its explanation lies in the same store."""
    evidence = merged(Result(outcome, reason="as it went"), explanation=EXPLAINED)
    assert (evidence.outcome, evidence.reason, evidence.counterexample) == (outcome, "as it went", None)


# --- false variants


@pytest.mark.parametrize("refusals", [("refutes",), ("open",), ("refutes", "open")])
def test_a_variant_is_refused_only_by_the_outcomes_of_its_trial(refusals: tuple[Outcome, ...]) -> None:
    variants: dict[str, Result] = {outcome: Result(outcome) for outcome in WORST_FIRST}
    evidence = merged(Result("supports"), variants=variants, trial=FakeTrial(refusals=refusals))
    assert evidence.planted == 4
    assert evidence.refused == len(refusals)
    assert evidence.accepted == tuple(name for name in WORST_FIRST if name not in (*refusals, "failed"))


def test_no_variants_is_none_planted() -> None:
    evidence = merged(Result("supports"))
    assert (evidence.planted, evidence.refused, evidence.accepted) == (0, 0, ())


def test_a_refused_variant_decides_nothing() -> None:
    evidence = merged(Result("supports", 100, 1, 0.5), variants={"half": FOUND})
    assert (evidence.outcome, evidence.examples, evidence.discarded, evidence.worst) == ("supports", 100, 1, 0.5)
    assert (evidence.counterexample, evidence.refused, evidence.accepted) == (None, 1, ())


def test_a_variant_that_crashed_was_neither_refused_nor_accepted() -> None:
    variants = {"half": FOUND, "crash": Result("failed", 9, 9, 9.0, "out of memory")}
    evidence = merged(Result("supports", 100, 1, 0.5), variants=variants)
    assert (evidence.outcome, evidence.examples, evidence.worst) == ("failed", 100, 0.5)
    assert (evidence.planted, evidence.refused, evidence.accepted) == (2, 1, ())
    assert evidence.reason == "false variant 'crash': out of memory"
