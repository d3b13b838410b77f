"""Small records with made-up evidence: what the rule makes of them, chain by chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import pytest

from proofs_checks.evidence import Evidence
from proofs_checks.judgement import Judgement, differences, judge, summary
from proofs_checks.record import Check, EvidenceKind, Form, Part, PartKind, Role, Statement
from proofs_checks.runner import Address, Book, Run
from proofs_checks.trial import Counterexample, Outcome, Result, Trial
from proofs_checks.verdict import STANDINGS, WORDS, ancestors, descendants

COUNTEREXAMPLE = Counterexample({"X": [[1]]}, "entry (1, 1)", "1", "2", "rational numbers", "the smallest", ("1 + 1",))

Outcomes = Mapping[str | tuple[str, int, int], Outcome]  # by statement, or by statement, part and form


@dataclass(frozen=True)
class NoTrial(Trial):
    """Only there because a check has one."""

    @property
    def scope(self) -> str:
        return ""

    def run(self, claim: Any, seed: int) -> Result:
        return Result("open")


def claim() -> None:
    """Only there because a check has one."""


def form(role: Role = "printed", reading: str = "", kind: EvidenceKind = "property") -> Form:
    check = Check(kind=kind, claim=claim, trial=NoTrial(), false={"a": claim, "b": claim})
    return Form(role=role, reading=reading, checks=(check,))


def part(*forms: Form, kind: PartKind = "identity", **given: Any) -> Part:
    return Part(kind=kind, claim="f = g", forms=forms or (form(),), **given)


def definition(name: str = "") -> Part:
    return part(kind="definition", clashes_with="Z", name=name)


def item(id: str, *uses: str, parts: tuple[Part, ...] = (part(),), **given: Any) -> Statement:
    given = {"kind": "lemma", **given}
    return Statement(id=id, title="", locus="", parts=parts, uses=uses, **given)


def evidence(check: Check, outcome: Outcome) -> Evidence:
    """Evidence of that outcome without a fault."""
    found = COUNTEREXAMPLE if outcome == "refutes" else None
    return Evidence(kind=check.kind, claim="f", outcome=outcome, planted=2, refused=2, counterexample=found)


@dataclass(frozen=True)
class FakeRun:
    """A run that found what it is told."""

    book: Book
    outcomes: Outcomes

    def evidence(self, address: Address) -> Evidence | None:
        place = (address.statement, address.part, address.form)
        outcome = self.outcomes.get(place) or self.outcomes.get(address.statement)
        return outcome and evidence(address.find(self.book.statements)[-1], outcome)


def judged(statements: list[Statement], outcomes: Outcomes) -> dict[str, Judgement]:
    book = Book("", {s.id: s for s in statements})
    return judge(book, cast(Run, FakeRun(book, outcomes)))


def chains(statements: list[Statement], outcomes: Outcomes) -> dict[str, str]:
    return {id: j.derivation for id, j in judged(statements, outcomes).items()}


def verdicts(statements: list[Statement], outcomes: Outcomes) -> dict[str, str]:
    return {id: str(j.verdict) for id, j in judged(statements, outcomes).items()}


# --- derivations

CHAIN = [item("A"), item("B", "A"), item("C", "B")]
REPAIRED = (part(form(), form("repaired", "2 f")),)
TWO_READINGS = (part(form(reading="scale 1"), form(reading="scale 1/d")),)
UNDER_HYPOTHESIS = (part(form(), form("hypothesis", "n ≥ d")),)
ALL_SUPPORT: Outcomes = {"A": "supports", "B": "supports", "C": "supports"}


def test_a_chain_that_holds_is_intact() -> None:
    assert chains(CHAIN, ALL_SUPPORT) == {"A": "intact", "B": "intact", "C": "intact"}


def test_a_statement_refuted_as_printed_breaks_its_own_derivation() -> None:
    assert chains(CHAIN, {**ALL_SUPPORT, "C": "refutes"})["C"] == "broken at C"


def test_an_ancestor_breaks_all_that_rests_on_it() -> None:
    broken = chains(CHAIN, {**ALL_SUPPORT, "A": "refutes"})
    assert broken == {"A": "broken at A", "B": "broken at A", "C": "broken at A"}


def test_every_break_of_a_chain_is_listed_the_earliest_first() -> None:
    found = judged(CHAIN[::-1], {"A": "refutes", "B": "supports", "C": "refutes"})
    assert {id: j.broken for id, j in found.items()} == {"A": ("A",), "B": ("A",), "C": ("A", "C")}


def test_what_comes_before_the_break_stays_intact() -> None:
    assert chains(CHAIN, {**ALL_SUPPORT, "B": "refutes"})["A"] == "intact"


def test_a_proof_step_breaks_the_derivation_of_a_true_statement() -> None:
    record = [item("A"), item("A/step 3"), item("B", "A", "A/step 3")]
    found: Outcomes = {"A": "supports", "A/step 3": "refutes", "B": "supports"}
    assert chains(record, found)["B"] == "broken at A/step 3"
    assert verdicts(record, found)["B"] == "holds as printed (tested)"


@pytest.mark.parametrize("uses", [("A", "B"), ("B", "A"), ("B",)])
def test_the_earliest_break_is_named(uses: tuple[str, ...]) -> None:
    record = [item("A"), item("B", "A"), item("C", *uses)]
    assert chains(record, {"A": "refutes", "B": "refutes", "C": "refutes"})["C"] == "broken at A"


def test_the_earliest_break_is_found_in_any_order_of_the_record() -> None:
    assert chains(CHAIN[::-1], {"A": "refutes", "B": "refutes", "C": "refutes"})["C"] == "broken at A"


def test_a_break_outweighs_what_is_not_checked() -> None:
    assert chains(CHAIN, {"A": "refutes"})["C"] == "broken at A"


@pytest.mark.parametrize("missing", ["A", "B", "C"])
def test_a_gap_leaves_the_chain_unchecked(missing: str) -> None:
    found = {id: outcome for id, outcome in ALL_SUPPORT.items() if id != missing}
    assert chains(CHAIN, found)["C"] == "not checked"


@pytest.mark.parametrize("outcome", ["open", "failed"])
def test_an_undecided_ancestor_leaves_the_chain_unchecked(outcome: Outcome) -> None:
    assert chains(CHAIN, {**ALL_SUPPORT, "A": outcome})["C"] == "not checked"


def test_truth_after_repair_and_a_broken_derivation_are_two_things() -> None:
    record = [item("A", parts=REPAIRED), item("B", "A")]
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "supports"}
    assert verdicts(record, found) == {"A": "holds after repair (tested)", "B": "holds as printed (tested)"}
    assert chains(record, found) == {"A": "broken at A, mended", "B": "broken at A, mended"}


def test_a_chain_is_mended_only_if_every_break_is_and_all_of_it_is_checked() -> None:
    record = [item("A", parts=REPAIRED), item("B", "A", parts=REPAIRED), item("C", "B")]
    mended: Outcomes = {
        ("A", 0, 0): "refutes",
        ("A", 0, 1): "supports",
        ("B", 0, 0): "refutes",
        ("B", 0, 1): "supports",
    }
    assert chains(record, {**mended, "C": "supports"})["C"] == "broken at A, mended"
    assert chains(record, {**mended, "C": "refutes"})["C"] == "broken at A", "the conclusion itself has no repair"
    assert chains(record, mended)["C"] == "broken at A", "the conclusion is not checked"
    for repair in ("A", "B"):
        for outcome in ("open", "refutes"):
            assert chains(record, {**mended, (repair, 0, 1): outcome, "C": "supports"})["C"] == "broken at A"


def test_a_clash_of_definitions_that_has_a_repair_breaks_no_chain() -> None:
    clash = part(form(), form("repaired", "1/d in both"), kind="definition", clashes_with="Z")
    record = [item("A", parts=(clash,)), item("B", "A")]
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "supports"}
    assert chains(record, found)["B"] == "intact"


def test_a_missing_hypothesis_without_a_repair_leaves_a_break_unmended() -> None:
    record = [item("A", parts=UNDER_HYPOTHESIS), item("B", "A", parts=REPAIRED)]
    found: Outcomes = {
        ("A", 0, 0): "refutes",
        ("A", 0, 1): "supports",
        ("B", 0, 0): "refutes",
        ("B", 0, 1): "supports",
    }
    assert chains(record, found)["B"] == "broken at B"


def test_a_break_is_not_mended_where_no_reading_makes_the_rest_hold() -> None:
    record = [item("A", parts=TWO_READINGS), item("B", parts=TWO_READINGS), item("C", "A", "B", parts=REPAIRED)]
    found: dict[str | tuple[str, int, int], Outcome] = {("C", 0, 0): "refutes", ("C", 0, 1): "supports"}
    found |= {("A", 0, 0): "supports", ("A", 0, 1): "refutes", ("B", 0, 0): "refutes", ("B", 0, 1): "supports"}
    assert chains(record, found)["C"] == "broken at C"
    assert chains(record, {**found, ("B", 0, 0): "supports"})["C"] == "broken at C, mended"


@pytest.mark.parametrize("other", ["refutes", "open", "failed"])
def test_parts_that_hold_in_different_readings_only_make_no_chain(other: Outcome) -> None:
    """The second part holds in the other reading only; a reading that is undecided is none that holds."""
    record = [item("A", parts=(*TWO_READINGS, replace(TWO_READINGS[0], name="second"))), item("B", "A")]
    found: Outcomes = {
        ("A", 0, 0): "supports",
        ("A", 0, 1): other,
        ("A", 1, 0): other,
        ("A", 1, 1): "supports",
        "B": "supports",
    }
    assert chains(record, found) == {"A": "not checked", "B": "not checked"}


def test_a_repair_is_not_what_is_printed() -> None:
    record = [item("A", parts=REPAIRED)]
    assert chains(record, {("A", 0, 0): "open", ("A", 0, 1): "supports"})["A"] == "not checked"
    clash = part(form(), form("repaired", "1/d in both"), kind="definition", clashes_with="Z")
    record = [item("A", parts=(clash,)), item("B", "A")]
    assert chains(record, {("A", 0, 1): "supports", "B": "supports"})["B"] == "not checked"


def test_a_chain_names_the_hypothesis_that_it_lacks() -> None:
    record = [item("A", parts=UNDER_HYPOTHESIS), item("B", "A")]
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "supports"}
    assert verdicts(record, found)["A"] == "needs a hypothesis (tested)"
    assert chains(record, found) == {"A": "needs n ≥ d at A", "B": "needs n ≥ d at A"}
    assert chains(record, {("A", 0, 0): "refutes", ("A", 0, 1): "open"})["B"] == "broken at A"


def test_a_break_counts_more_than_a_missing_hypothesis() -> None:
    record = [item("A", parts=UNDER_HYPOTHESIS), item("B", "A"), item("C", "B")]
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "refutes", "C": "supports"}
    assert chains(record, found)["C"] == "broken at B"


def test_a_repair_does_not_stand_in_for_the_printed_chain() -> None:
    record = [item("A", parts=REPAIRED), item("B", "A")]
    assert chains(record, {("A", 0, 1): "supports", "B": "supports"})["B"] == "not checked"


def test_a_reading_that_holds_keeps_the_chain() -> None:
    record = [item("A", parts=TWO_READINGS), item("B", "A")]
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "supports"}
    assert chains(record, found) == {"A": "intact", "B": "intact"}


def test_a_chain_breaks_only_where_every_reading_is_refuted() -> None:
    record = [item("A", parts=TWO_READINGS), item("B", "A")]
    assert chains(record, {("A", 0, 0): "refutes", "B": "supports"})["B"] == "not checked"
    assert chains(record, {"A": "refutes", "B": "supports"})["B"] == "broken at A"


def test_one_refuted_part_of_several_breaks_the_chain() -> None:
    record = [item("A", parts=(part(), part())), item("B", "A")]
    found: Outcomes = {("A", 0, 0): "supports", ("A", 1, 0): "refutes", "B": "supports"}
    assert chains(record, found)["B"] == "broken at A"


# --- definitions


def test_a_definition_that_clashes_breaks_no_chain() -> None:
    record = [item("A", parts=(definition(),)), item("B", "A")]
    found: Outcomes = {"A": "refutes", "B": "supports"}
    assert verdicts(record, found)["A"] == "clashes with Z"
    assert chains(record, found) == {"A": "intact", "B": "intact"}


def test_a_definition_that_was_not_checked_leaves_the_chain_unchecked() -> None:
    record = [item("A", parts=(definition(),)), item("B", "A")]
    assert chains(record, {"B": "supports"})["B"] == "not checked"


@pytest.mark.parametrize("outcome", [None, "open", "failed"])
def test_a_clash_does_not_hide_another_part_that_does_not_hold(outcome: Outcome | None) -> None:
    record = [item("A", parts=(definition("words"), part(name="formula"))), item("B", "A")]
    found: dict[str | tuple[str, int, int], Outcome] = {("A", 0, 0): "refutes", "B": "supports"}
    if outcome is not None:
        found["A", 1, 0] = outcome
    assert chains(record, found)["B"] == "not checked"


def test_a_clash_does_not_hide_an_unchecked_part_of_the_same_statement() -> None:
    record = [item("A", parts=(definition("words"), part(name="formula")))]
    assert chains(record, {("A", 0, 0): "refutes"})["A"] == "not checked"


def test_a_refuted_part_beside_a_clash_breaks_the_chain() -> None:
    record = [item("A", parts=(definition("words"), part(name="formula"))), item("B", "A")]
    assert chains(record, {"A": "refutes", "B": "supports"})["B"] == "broken at A"


# --- statements that follow from others

FOLLOWING = [
    item("A", parts=REPAIRED),
    item("B"),
    item("C", "A", "B", parts=(Part(kind="identity", claim="f = g"),), follows="informal version of A and B"),
]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"A": "supports", "B": "supports"}, "holds as printed (tested)"),
        ({("A", 0, 0): "refutes", ("A", 0, 1): "supports", "B": "supports"}, "holds after repair (tested)"),
        ({"A": "supports", "B": "open"}, "undecided"),
        ({"A": "supports"}, "not checked"),
        ({"A": "supports", "B": "refutes"}, "refuted"),
    ],
)
def test_what_follows_is_no_better_than_what_it_uses(found: Outcomes, verdict: str) -> None:
    assert verdicts(FOLLOWING, found)["C"] == f"{verdict}, conditional on A, B"


def test_evidence_of_its_own_makes_a_statement_unconditional() -> None:
    record = [item("A"), item("B", "A", follows="informal version of A")]
    assert verdicts(record, {"A": "open", "B": "supports"})["B"] == "holds as printed (tested)"


def test_without_the_word_nothing_follows() -> None:
    assert verdicts([item("A"), item("B", "A")], {"A": "supports"})["B"] == "not checked"


def test_what_follows_from_what_follows_is_conditional_too() -> None:
    record = [item("A"), item("B", "A", follows="A"), item("C", "B", follows="B")]
    assert verdicts(record, {"A": "supports"})["C"] == "holds as printed (tested), conditional on B"


def test_what_follows_carries_the_chain() -> None:
    record = [item("A"), item("B", "A", follows="A"), item("C", "B")]
    assert chains(record, {"A": "supports", "C": "supports"}) == {"A": "intact", "B": "intact", "C": "intact"}
    assert chains(record, {"A": "refutes", "C": "supports"})["C"] == "broken at A"


# --- findings


def findings(statement: Statement, outcomes: Outcomes) -> list[str]:
    return [p.part.name for p in judged([statement], outcomes)[statement.id].findings]


def test_what_is_refuted_in_one_reading_is_a_finding() -> None:
    record = item("A", parts=(replace(TWO_READINGS[0], name="formula"), part(name="bound")))
    found: Outcomes = {("A", 0, 0): "refutes", ("A", 0, 1): "supports", ("A", 1, 0): "supports"}
    assert findings(record, found) == ["formula"]


def test_a_clash_is_a_finding() -> None:
    assert findings(item("A", parts=(definition("words"),)), {"A": "refutes"}) == ["words"]


@pytest.mark.parametrize("outcome", ["supports", "open", "failed"])
def test_what_is_not_refuted_is_no_finding(outcome: Outcome) -> None:
    assert findings(item("A", parts=(part(name="formula"),)), {"A": outcome}) == []


def test_a_refuted_repair_is_no_finding() -> None:
    record = item("A", parts=(replace(REPAIRED[0], name="formula"),))
    assert findings(record, {("A", 0, 0): "supports", ("A", 0, 1): "refutes"}) == []


def test_our_own_are_findings_whatever_they_are_worth() -> None:
    assert findings(item("own/x", parts=(part(name="formula"),), kind="finding"), {}) == ["formula"]


# --- evidence in its place

B_ALONE: Outcomes = {"B": "supports"}


def test_evidence_belongs_to_its_own_form() -> None:
    (j,) = judged([item("A", parts=REPAIRED)], {("A", 0, 1): "supports"}).values()
    assert [f.verdict.word for f in j.parts[0].forms] == ["not checked", "tested"]
    assert [f.missing for f in j.parts[0].forms] == [1, 0]
    assert (j.missing, len(j.evidence)) == (1, 1)


@pytest.mark.parametrize("outcome", ["supports", "refutes", "open", "failed"])
def test_device_evidence_changes_neither_verdict_nor_derivation(outcome: Outcome) -> None:
    """So that it never changes the exit status: the machine without the device finds the same."""
    record = [item("A", parts=(part(form(kind="device")),)), item("B", "A")]
    without, with_device = (judged(record, found) for found in (B_ALONE, {**B_ALONE, "A": outcome}))
    assert [summary(j) for j in with_device.values()] == [summary(j) for j in without.values()]


# --- against the baseline

NAMED = [item("A", parts=(part(name="formula"), part(name="bound"))), item("B", "A"), item("C", "B")]
BASELINE = {id: summary(j) for id, j in judged(NAMED, ALL_SUPPORT).items()}
IDS = ("A", "B", "C")


def test_equal_evidence_differs_in_nothing() -> None:
    assert differences(judged(NAMED, ALL_SUPPORT), BASELINE, IDS) == []


def test_a_changed_verdict_and_a_changed_derivation_are_named() -> None:
    lines = differences(judged(NAMED, {**ALL_SUPPORT, "B": "refutes"}), BASELINE, IDS)
    assert lines == [
        "B: verdict is 'refuted', the baseline has 'holds as printed (tested)'",
        "B: derivation is 'broken at B', the baseline has 'intact'",
        "C: derivation is 'broken at B', the baseline has 'intact'",
    ]


def test_a_changed_part_is_named_where_the_weakest_stays() -> None:
    both, one = ({**ALL_SUPPORT, ("A", 0, 0): o, ("A", 1, 0): "refutes"} for o in ("refutes", "open"))
    baseline = {id: summary(j) for id, j in judged(NAMED, cast(Outcomes, one)).items()}
    (line,) = differences(judged(NAMED, cast(Outcomes, both)), baseline, IDS)
    assert line.startswith("A: verdict is 'refuted [formula: refuted; bound: refuted]'"), line


def test_an_improvement_is_a_difference_too() -> None:
    baseline = {**BASELINE, "C": {"verdict": "undecided", "derivation": "intact"}}
    assert len(differences(judged(NAMED, ALL_SUPPORT), baseline, IDS)) == 1


def test_a_new_statement_is_named() -> None:
    baseline = {id: BASELINE[id] for id in ("A", "C")}
    assert differences(judged(NAMED, ALL_SUPPORT), baseline, IDS) == ["B: not in the baseline"]


def test_a_vanished_statement_is_named() -> None:
    assert differences(judged(NAMED[:2], ALL_SUPPORT), BASELINE, ("A", "B")) == ["C: in the baseline only"]


def test_a_run_of_some_statements_compares_their_verdicts_only() -> None:
    """What it did not check breaks chains; that says nothing of the statements it did."""
    lines = differences(judged(NAMED, {"A": "refutes", "B": "supports"}), BASELINE, ("B",))
    assert lines == []
    lines = differences(judged(NAMED, {"B": "refutes"}), BASELINE, ("B",))
    assert lines == ["B: verdict is 'refuted', the baseline has 'holds as printed (tested)'"]


def test_a_run_of_some_statements_names_no_vanished_one() -> None:
    assert differences(judged(NAMED[:2], ALL_SUPPORT), BASELINE, ("B",)) == []


# --- what a proof rests on


def test_ancestors_come_before_what_uses_them() -> None:
    record = {s.id: s for s in [item("D", "C", "B"), item("C", "B", "A"), item("B", "A"), item("A")]}
    assert ancestors("D", record) == ("A", "B", "C")
    assert descendants("B", record) == ("D", "C")


# --- the record names no verdict


@pytest.mark.parametrize("kind", [Statement, Part, Form, Check])
def test_no_field_of_the_record_can_name_a_verdict(kind: type) -> None:
    vocabulary = {
        *WORDS,
        *STANDINGS,
        "verdict",
        "standing",
        "word",
        "outcome",
        "holds",
        "status",
        "expected",
        "result",
    }
    named = {f.name for f in fields(kind) if vocabulary & {f.name, f.name.replace("_", " "), *f.name.split("_")}}
    assert not named, f"{kind.__name__} could name a verdict in {named}"


def test_the_same_record_is_worth_what_its_evidence_says() -> None:
    found: dict[str, Outcomes] = {
        "holds as printed (tested)": {"A": "supports"},
        "refuted": {"A": "refutes"},
        "undecided": {"A": "open"},
        "not checked": {},
    }
    assert {verdict: verdicts([item("A")], outcomes)["A"] for verdict, outcomes in found.items()} == {
        verdict: verdict for verdict in found
    }


def test_without_evidence_no_statement_of_the_paper_has_a_verdict() -> None:
    record = list(Book.open().statements.values())
    assert {j.verdict.standing for j in judged(record, {}).values()} == {"not checked"}


def test_with_only_refutations_no_checked_statement_of_the_paper_holds() -> None:
    record = list(Book.open().statements.values())
    outcomes: Outcomes = {s.id: "refutes" for s in record}
    holding = [id for id, j in judged(record, outcomes).items() if j.evidence and j.verdict.word]
    assert not holding, f"these hold whatever their evidence: {holding}"


def test_a_chain_is_intact_only_in_one_reading() -> None:
    """A holds in the first reading only, B in the second only: C cannot rest on both."""
    record = [item("A", parts=TWO_READINGS), item("B", parts=TWO_READINGS), item("C", "A", "B"), item("D", "A")]
    found: Outcomes = {
        ("A", 0, 0): "supports",
        ("A", 0, 1): "refutes",
        ("B", 0, 0): "refutes",
        ("B", 0, 1): "supports",
        "C": "supports",
        "D": "supports",
    }
    assert chains(record, found) == {"A": "intact", "B": "intact", "C": "not checked", "D": "intact"}


def test_an_undecided_statement_has_no_intact_derivation() -> None:
    assert chains([item("A")], {"A": "failed"})["A"] == "not checked"
