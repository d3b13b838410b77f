"""The truth table of verdicts, written out from the rule and not from the code that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, permutations, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_checks.evidence import Evidence
from proofs_checks.record import EvidenceKind, PartKind, Role
from proofs_checks.trial import Counterexample, Outcome
from proofs_checks.verdict import (
    FormVerdict,
    JudgedForm,
    Verdict,
    compatible,
    conditional_verdict,
    form_verdict,
    part_verdict,
    statement_verdict,
)

PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)
COUNTING = [k for k in EVIDENCE_KINDS if k != "device"]  # device evidence counts for nothing, as if it were not there
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

HOLDING = ("proved", "proved in scope", "tested", "counted", "measured", "cited")  # strongest first
WORDS = (*HOLDING, "undecided", "not checked", "refuted")
HOLDING_STANDINGS = ("holds as printed", "holds after repair", "needs a hypothesis")
STANDINGS = (*HOLDING_STANDINGS, "undecided", "not checked", "refuted")  # best first

STRICT = {"proof": "proved", "enclosure": "proved", "property": "tested"}
SETTLED_BY: dict[PartKind, dict[str, str]] = {  # by which evidence, and the word if its scope is complete
    "identity": {"proof": "proved", "property": "tested"},
    "inequality": STRICT,
    "construction": STRICT,
    "cost": {"count": "counted"},
    "asymptotic": {**STRICT, "count": "counted"},  # that of the explicit form that implies it
    "experiment": {"experiment": "measured"},
    "definition": STRICT,
    "cited": {"citation": "cited"},
}
WORD_IN_SCOPE = {"proved": "proved in scope"}  # no other word depends on the scope

COUNTEREXAMPLE = Counterexample({"X": [[1]]}, "entry (1, 1)", "1", "2", "rational numbers", "the smallest", ("1 + 1",))
IMPLICATION = "4^b ≤ n^c for b ≤ log2 n"
NECESSARY = "n^{o(1)} < √n for all large n"


def evidence(kind: EvidenceKind, outcome: Outcome = "supports", **fields: Any) -> Evidence:
    """Evidence without a fault, unless a field makes one."""
    faultless = {
        "examples": 300,
        "required": 300,
        "planted": 2,
        "refused": 2,
        "counterexample": COUNTEREXAMPLE if outcome == "refutes" else None,
    }
    return Evidence(kind=kind, claim="reference.f", outcome=outcome, **{**faultless, **fields})


PROOF = evidence("proof", complete=True)
SCOPED = evidence("proof")
ENCLOSURE = evidence("enclosure", complete=True)
PROPERTY = evidence("property")
REFUTATION = evidence("property", "refutes")
FAULTS: dict[str, dict[str, Any]] = {  # what keeps evidence from supporting anything
    "open": {"outcome": "open"},
    "failed": {"outcome": "failed"},
    "refutes without a counterexample": {"outcome": "refutes", "counterexample": None},
    "too few examples": {"examples": 299},
    "no example": {"examples": 0},
    "too many discarded": {"discarded": 900},
    "no false variant": {"planted": 0, "refused": 0},
    "an accepted variant": {"refused": 1, "accepted": ("a false one",)},
    "all variants accepted": {"refused": 0, "accepted": ("a false one", "another")},
}


# --- one piece of evidence


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "scoped"])
@pytest.mark.parametrize("found", COUNTING)
@pytest.mark.parametrize("kind", PART_KINDS)
def test_what_one_support_makes_of_a_form(kind: PartKind, found: EvidenceKind, complete: bool) -> None:
    word = SETTLED_BY[kind].get(found, "undecided")
    if not complete:
        word = WORD_IN_SCOPE.get(word, word)
    if kind == "identity" and word == "proved in scope":
        word = "undecided"  # fixed sizes need property evidence beside them
    assert form_verdict(kind, [evidence(found, complete=complete)], IMPLICATION).word == word


@pytest.mark.parametrize("found", COUNTING)
@pytest.mark.parametrize("kind", [k for k in PART_KINDS if k != "asymptotic"])  # those further down
def test_a_confirmed_counterexample_refutes_where_its_kind_counts(kind: PartKind, found: EvidenceKind) -> None:
    tried = kind == "cited" and found == "property"  # instances of a cited part may be tried
    word = "refuted" if found in SETTLED_BY[kind] or tried else "undecided"
    assert form_verdict(kind, [evidence(found, "refutes")]).word == word


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("found", COUNTING)
@pytest.mark.parametrize("kind", PART_KINDS)
def test_faulty_evidence_leaves_a_form_undecided(kind: PartKind, found: EvidenceKind, fault: str) -> None:
    faulty = replace(evidence(found, complete=True), **FAULTS[fault])
    assert form_verdict(kind, [faulty], IMPLICATION).word == "undecided"


@pytest.mark.parametrize("kind", PART_KINDS)
def test_no_evidence_is_not_checked(kind: PartKind) -> None:
    assert form_verdict(kind, [], IMPLICATION).word == "not checked"


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("kind", PART_KINDS)
def test_device_evidence_settles_nothing(kind: PartKind, outcome: Outcome) -> None:
    """Not even that something was tried, else the verdict would depend on the machine."""
    assert form_verdict(kind, [evidence("device", outcome, complete=True)], IMPLICATION).word == "not checked"


@pytest.mark.parametrize("fault", FAULTS)
def test_an_undecided_form_says_why(fault: str) -> None:
    assert form_verdict("inequality", [replace(PROOF, **FAULTS[fault])]).reason


def test_the_reason_of_a_failure_is_passed_on() -> None:
    assert form_verdict("identity", [evidence("proof", "failed", reason="no result in 9 s")]).reason == (
        "no result in 9 s"
    )


def test_the_reason_names_the_accepted_variants() -> None:
    accepting = replace(PROPERTY, refused=0, accepted=("no factor", "half"))
    assert "no factor, half" in form_verdict("inequality", [accepting]).reason


def test_enough_examples_are_enough() -> None:
    assert form_verdict("identity", [replace(PROPERTY, examples=301, discarded=30)]).word == "tested"


def test_a_counterexample_needs_no_budget() -> None:
    early = replace(REFUTATION, examples=0, discarded=9)
    assert form_verdict("identity", [early]).word == "refuted"


# --- several pieces of evidence


@pytest.mark.parametrize(
    ("kind", "found", "word"),
    [
        ("identity", [SCOPED, PROPERTY], "proved in scope"),
        ("identity", [SCOPED, evidence("count")], "undecided"),
        ("identity", [SCOPED, ENCLOSURE], "undecided"),
        ("identity", [PROOF, PROPERTY], "proved"),
        ("identity", [PROOF, evidence("device", "refutes")], "proved"),
        ("identity", [PROPERTY, evidence("device", "failed")], "tested"),
        ("inequality", [SCOPED, PROPERTY], "proved in scope"),
        ("inequality", [ENCLOSURE, PROPERTY], "proved"),
        ("construction", [evidence("enclosure"), PROPERTY], "proved in scope"),
        ("cost", [evidence("count"), evidence("device"), evidence("experiment")], "counted"),
        ("cost", [evidence("device"), evidence("experiment")], "undecided"),
        ("experiment", [evidence("experiment"), evidence("device")], "measured"),
        ("cited", [evidence("citation"), PROPERTY], "cited"),
        ("cited", [evidence("citation"), REFUTATION], "refuted"),
        ("identity", [PROPERTY, REFUTATION], "refuted"),
        ("identity", [SCOPED, PROPERTY, REFUTATION], "refuted"),  # the counterexample may lie outside the scope
        ("identity", [PROOF, REFUTATION], "undecided"),  # one of them is wrong
        ("inequality", [ENCLOSURE, REFUTATION], "undecided"),
        ("identity", [evidence("property", "failed"), REFUTATION], "refuted"),
    ],
)
def test_evidence_together(kind: PartKind, found: list[Evidence], word: str) -> None:
    assert {form_verdict(kind, order).word for order in permutations(found)} == {word}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_evidence_beside_good_one_leaves_a_form_undecided(fault: str) -> None:
    assert form_verdict("identity", [PROOF, replace(PROPERTY, **FAULTS[fault])]).word == "undecided"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_proof_contradicts_no_counterexample(fault: str) -> None:
    """Else a prover that accepts everything would lift a refuted form to undecided."""
    assert form_verdict("identity", [replace(PROOF, **FAULTS[fault]), REFUTATION]).word == "refuted"


# --- asymptotic parts


@pytest.mark.parametrize("found", ["proof", "enclosure", "property", "count"])
def test_an_asymptotic_form_needs_a_written_implication(found: EvidenceKind) -> None:
    assert form_verdict("asymptotic", [evidence(found, complete=True)]).word == "undecided"


def test_no_timing_and_no_trend_settles_an_asymptotic_form() -> None:
    trends = [evidence("experiment", complete=True), evidence("device", complete=True)]
    assert form_verdict("asymptotic", trends, IMPLICATION).word == "undecided"


@pytest.mark.parametrize("implication", [IMPLICATION, ""], ids=["implication", "no implication"])
def test_a_refuted_explicit_form_says_nothing_of_the_asymptotic_one(implication: str) -> None:
    """It implies the asymptotic claim and not the other way round."""
    assert form_verdict("asymptotic", [REFUTATION], implication).word == "undecided"


@pytest.mark.parametrize("implication", [IMPLICATION, ""], ids=["implication", "no implication"])
@pytest.mark.parametrize("found", COUNTING)
def test_a_refuted_form_that_the_claim_implies_refutes_it(found: EvidenceKind, implication: str) -> None:
    word = "refuted" if found in SETTLED_BY["asymptotic"] else "undecided"
    assert form_verdict("asymptotic", [evidence(found, "refutes")], implication, NECESSARY).word == word


@pytest.mark.parametrize("found", ["proof", "enclosure", "property", "count"])
def test_a_form_that_is_only_necessary_lets_nothing_hold(found: EvidenceKind) -> None:
    assert form_verdict("asymptotic", [evidence(found, complete=True)], "", NECESSARY).word == "undecided"


@pytest.mark.parametrize("kind", [k for k in PART_KINDS if k != "asymptotic"])
def test_only_asymptotic_forms_need_an_implication(kind: PartKind) -> None:
    found = [evidence(k, complete=True) for k in EVIDENCE_KINDS if k in SETTLED_BY[kind]]
    assert form_verdict(kind, found) == form_verdict(kind, found, IMPLICATION, NECESSARY)
    assert form_verdict(kind, found).holds


# --- the whole rule, a second time


def refutes(kind: PartKind, e: Evidence, necessary: str) -> bool:
    counts = e.kind in SETTLED_BY[kind] or (kind == "cited" and e.kind == "property")
    one_is_enough = kind != "asymptotic" or necessary != ""
    return counts and e.outcome == "refutes" and e.counterexample is not None and one_is_enough


def supports(e: Evidence) -> bool:
    """Whether the check was admitted and did all that it had to."""
    return (
        e.outcome == "supports"
        and e.examples >= e.required
        and e.discarded <= e.examples
        and 0 < e.planted <= e.refused
    )


def word_by_the_rule(kind: PartKind, found: Sequence[Evidence], implication: str, necessary: str = "") -> str:
    found = [e for e in found if e.kind != "device"]
    if not found:
        return "not checked"
    fitting = [e for e in found if e.kind in SETTLED_BY[kind]]
    if any(refutes(kind, e, necessary) for e in found):
        proved = any(e.complete and e.kind in ("proof", "enclosure") and supports(e) for e in fitting)
        return "undecided" if proved else "refuted"
    if not fitting or not all(map(supports, fitting)) or (kind == "asymptotic" and not implication):
        return "undecided"
    words = [SETTLED_BY[kind][e.kind] for e in fitting]
    words = [w if e.complete else WORD_IN_SCOPE.get(w, w) for e, w in zip(fitting, words, strict=True)]
    if kind == "identity" and "proved" not in words and "tested" not in words:
        return "undecided"
    return min(words, key=WORDS.index)


POOL = [
    replace(evidence(kind, complete=complete), **change)
    for kind in EVIDENCE_KINDS
    for complete in ([True, False] if kind in ("proof", "enclosure") else [False])
    for change in ({}, {"outcome": "refutes", "counterexample": COUNTEREXAMPLE}, *FAULTS.values())
]


@pytest.mark.parametrize("necessary", [NECESSARY, ""], ids=["necessary", "not necessary"])
@pytest.mark.parametrize("implication", [IMPLICATION, ""], ids=["implication", "no implication"])
@pytest.mark.parametrize("kind", PART_KINDS)
def test_all_pairs_of_evidence_follow_the_rule(kind: PartKind, implication: str, necessary: str) -> None:
    sets = [[], *([e] for e in POOL), *map(list, combinations_with_replacement(POOL, 2))]
    wrong = [
        (*((e.kind, e.outcome, e.complete) for e in found), "is", word, "should be", expected)
        for found in sets
        if (word := form_verdict(kind, found, implication, necessary).word)
        != (expected := word_by_the_rule(kind, found, implication, necessary))
    ]
    assert not wrong, f"{len(wrong)} of {len(sets)} differ, such as {wrong[:3]}"


# --- properties of any evidence


def any_evidence(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Evidence]:
    few = st.integers(0, 3)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "kind": st.sampled_from(EVIDENCE_KINDS),
        "claim": st.just("reference.f"),
        "outcome": st.sampled_from(OUTCOMES),
        "complete": st.booleans(),
        "examples": few,
        "required": few,
        "discarded": few,
        "planted": few,
        "refused": few,
        "counterexample": st.none() | st.just(COUNTEREXAMPLE),
    }
    return st.builds(Evidence, **{**fields, **fixed})


kinds = st.sampled_from(PART_KINDS)
implications = st.sampled_from([IMPLICATION, ""])
counting = any_evidence(kind=st.sampled_from(COUNTING))
failed = any_evidence(outcome=st.just("failed"))


@given(kinds, st.lists(counting, min_size=1), failed, implications)
def test_failed_evidence_never_improves(
    kind: PartKind, found: list[Evidence], failure: Evidence, implication: str
) -> None:
    before, after = (form_verdict(kind, e, implication).word for e in (found, [*found, failure]))
    assert WORDS.index(after) >= WORDS.index(before), f"{before} became {after}"


@given(kinds, st.lists(any_evidence(outcome=st.sampled_from(["refutes", "open", "failed"]))), implications)
def test_without_a_support_nothing_holds(kind: PartKind, found: list[Evidence], implication: str) -> None:
    assert not form_verdict(kind, found, implication).holds


@given(kinds, st.lists(any_evidence(planted=st.integers(1, 3), refused=st.just(0))), implications)
def test_with_only_unrefused_variants_nothing_holds(kind: PartKind, found: list[Evidence], implication: str) -> None:
    assert not form_verdict(kind, found, implication).holds


@given(kinds, st.lists(any_evidence()), any_evidence(kind=st.just("device")), implications)
def test_device_evidence_changes_nothing(
    kind: PartKind, found: list[Evidence], device: Evidence, implication: str
) -> None:
    assert form_verdict(kind, [*found, device], implication).word == form_verdict(kind, found, implication).word


@given(kinds, st.lists(any_evidence(), min_size=1), st.data(), implications)
def test_the_order_of_evidence_does_not_matter(
    kind: PartKind, found: list[Evidence], data: st.DataObject, implication: str
) -> None:
    shuffled = data.draw(st.permutations(found))
    assert form_verdict(kind, shuffled, implication).word == form_verdict(kind, found, implication).word


@given(kinds, st.lists(any_evidence(), min_size=1), implications)
def test_any_evidence_follows_the_rule(kind: PartKind, found: list[Evidence], implication: str) -> None:
    proofs = [replace(e, complete=e.complete and e.kind in ("proof", "enclosure")) for e in found]
    assert form_verdict(kind, proofs, implication).word == word_by_the_rule(kind, proofs, implication)


# --- parts


def judged(role: Role, word: str, reading: str = "") -> JudgedForm:
    return JudgedForm(role, reading or f"{role} and {word}", FormVerdict(word))


def forms(printed: Sequence[str], repaired: str = "", hypothesis: str = "") -> list[JudgedForm]:
    """A part's forms by their words; no word means that no such form is on record."""
    return [
        *(judged("printed", word) for word in printed),
        *([judged("repaired", repaired)] if repaired else []),
        *([judged("hypothesis", hypothesis)] if hypothesis else []),
    ]


@pytest.mark.parametrize(
    ("printed", "repaired", "hypothesis", "verdict"),
    [
        (["proved"], "", "", "holds as printed (proved)"),
        (["tested"], "proved", "proved", "holds as printed (tested)"),
        (["refuted", "tested"], "proved", "", "holds as printed (tested)"),
        (["cited", "counted"], "", "", "holds as printed (counted)"),
        (["refuted"], "tested", "proved", "holds after repair (tested)"),
        (["refuted", "refuted"], "proved in scope", "", "holds after repair (proved in scope)"),
        (["undecided"], "tested", "", "holds after repair (tested)"),
        (["not checked"], "tested", "", "holds after repair (tested)"),
        (["refuted"], "", "tested", "needs a hypothesis (tested)"),
        (["refuted"], "refuted", "tested", "needs a hypothesis (tested)"),
        (["refuted"], "undecided", "proved", "needs a hypothesis (proved)"),
        (["undecided"], "", "tested", "undecided"),  # that it fails without the hypothesis is not known
        (["not checked"], "", "tested", "not checked"),
        (["refuted", "undecided"], "", "tested", "undecided"),
        (["refuted"], "refuted", "refuted", "refuted"),
        (["refuted"], "undecided", "not checked", "refuted"),
        (["undecided"], "refuted", "", "undecided"),
        (["not checked"], "refuted", "", "not checked"),
        (["refuted", "not checked"], "", "", "not checked"),
        (["undecided", "not checked"], "", "", "undecided"),
        (["refuted"], "", "", "refuted"),
    ],
)
def test_what_its_forms_make_of_a_part(printed: list[str], repaired: str, hypothesis: str, verdict: str) -> None:
    assert str(part_verdict("identity", forms(printed, repaired, hypothesis))) == verdict


def part_by_the_rule(printed: Sequence[str], repaired: str, hypothesis: str) -> tuple[str, str]:
    held = [word for word in HOLDING if word in printed]
    if held:
        return "holds as printed", held[0]
    if repaired in HOLDING:
        return "holds after repair", repaired
    if hypothesis in HOLDING and set(printed) == {"refuted"}:
        return "needs a hypothesis", hypothesis
    return next(word for word in ("undecided", "not checked", "refuted") if word in printed), ""


@pytest.mark.parametrize("readings", [1, 2, 3])
def test_all_combinations_of_forms_follow_the_rule(readings: int) -> None:
    absent = ("", *WORDS)
    wrong = [
        (printed, repaired, hypothesis, str(verdict))
        for printed in product(WORDS, repeat=readings)
        for repaired, hypothesis in product(absent, absent)
        if ((verdict := part_verdict("identity", forms(printed, repaired, hypothesis))).standing, verdict.word)
        != part_by_the_rule(printed, repaired, hypothesis)
    ]
    assert not wrong, f"{len(wrong)} differ, such as {wrong[:3]}"


def test_a_part_tells_which_form_decided() -> None:
    readings = [judged("printed", "refuted", "scale 1"), judged("printed", "tested", "scale 1/d")]
    repaired = [judged("printed", "refuted"), judged("repaired", "tested", "d for n")]
    hypothesis = [judged("printed", "refuted"), judged("hypothesis", "tested", "n ≥ d")]
    details = [part_verdict("identity", f).detail for f in (readings, repaired, hypothesis)]
    assert details == ["scale 1/d", "d for n", "n ≥ d"]


def test_an_undecided_part_says_why() -> None:
    undecided = JudgedForm("printed", "", FormVerdict("undecided", "299 valid examples, 300 are needed"))
    assert part_verdict("identity", [undecided]).detail == "299 valid examples, 300 are needed"


@pytest.mark.parametrize("word", HOLDING)
def test_a_definition_is_mirrored(word: str) -> None:
    assert str(part_verdict("definition", forms([word]), "C.6")) == f"mirrored ({word})"


def test_a_definition_clashes() -> None:
    assert str(part_verdict("definition", forms(["refuted"]), "C.6")) == "clashes with C.6"


@pytest.mark.parametrize("word", ["undecided", "not checked"])
def test_a_definition_may_be_open(word: str) -> None:
    assert str(part_verdict("definition", forms([word]), "C.6")) == word


@pytest.mark.parametrize("kind", [k for k in PART_KINDS if k != "definition"])
def test_nothing_else_is_mirrored_or_clashes(kind: PartKind) -> None:
    words = [str(part_verdict(kind, forms([word]))) for word in ("tested", "refuted")]
    assert words == ["holds as printed (tested)", "refuted"]


# --- statements

VERDICTS = [
    *(Verdict(standing, word) for standing in HOLDING_STANDINGS for word in HOLDING),
    *(Verdict(standing) for standing in ("undecided", "not checked", "refuted")),
]


@pytest.mark.parametrize(
    ("parts", "weakest"),
    [
        (["holds as printed (tested)"], "holds as printed (tested)"),
        (["holds as printed (proved)", "holds as printed (tested)"], "holds as printed (tested)"),
        (["holds as printed (cited)", "holds as printed (measured)"], "holds as printed (cited)"),
        (["holds as printed (cited)", "holds after repair (proved)"], "holds after repair (proved)"),
        (["holds after repair (tested)", "needs a hypothesis (proved)"], "needs a hypothesis (proved)"),
        (["needs a hypothesis (cited)", "undecided"], "undecided"),
        (["undecided", "not checked"], "not checked"),
        (["not checked", "refuted"], "refuted"),
        (["refuted", "holds as printed (proved)"], "refuted"),
    ],
)
def test_a_statement_is_worth_its_weakest_part(parts: list[str], weakest: str) -> None:
    by_name = {str(v): v for v in VERDICTS}
    assert {str(statement_verdict([by_name[p] for p in order])) for order in permutations(parts)} == {weakest}


def test_all_triples_of_parts_follow_the_rule() -> None:
    """`VERDICTS` is in the order of the rule: standings first, the strength of the word within the first three."""
    wrong = [
        (*map(str, parts), str(statement_verdict(parts)))
        for parts in product(VERDICTS, repeat=3)
        if statement_verdict(parts) != max(parts, key=VERDICTS.index)
    ]
    assert not wrong, f"{len(wrong)} differ, such as {wrong[:3]}"


def test_conditional_verdicts_are_those_of_the_weakest_and_name_their_conditions() -> None:
    for first, second in product(VERDICTS, repeat=2):
        conditional = conditional_verdict({"E.11": first, "F.4": second})
        weakest = max(first, second, key=VERDICTS.index)
        assert (conditional.standing, conditional.word) == (weakest.standing, weakest.word)
        assert str(conditional) == f"{weakest}, conditional on E.11, F.4"


def test_the_order_of_standings_is_that_of_the_rule() -> None:
    ranks = [v.rank for v in VERDICTS]
    assert ranks == sorted(ranks), "the strongest verdict comes first"
    assert list(dict.fromkeys(v.standing for v in VERDICTS)) == list(STANDINGS)


# --- readings along a chain

UNIT, PAPER, ROWS, COLUMNS = "scores X W Xᵀ", "scores X W Xᵀ/d", "vec(W) row by row", "vec(W) column by column"


@pytest.mark.parametrize(
    ("readings", "together"),
    [
        ([], True),
        ([{UNIT}], True),
        ([{UNIT}, {PAPER}], False),
        ([{UNIT, PAPER}, {PAPER}], True),
        ([{f"{UNIT}; {ROWS}"}, {UNIT}], True),  # the second says nothing of vec(W)
        ([{f"{UNIT}; {ROWS}"}, {PAPER}], False),
        ([{f"{UNIT}; {ROWS}"}, {f"{COLUMNS}; {UNIT}"}], False),
        ([{f"{UNIT}; {ROWS}", f"{PAPER}; {COLUMNS}"}, {COLUMNS}], True),
        ([{f"{UNIT}; {ROWS}", f"{PAPER}; {COLUMNS}"}, {COLUMNS}, {UNIT}], False),
    ],
)
def test_readings_along_a_chain_must_agree(readings: list[set[str]], together: bool) -> None:
    for order in permutations(readings):
        assert compatible([frozenset(r) for r in order]) is together
