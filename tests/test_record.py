"""The record of the paper's statements is complete and well-formed."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import get_args

import pytest

from proofs_checks.export import load_baseline
from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, EvidenceKind, Form, Part, PartKind, Role, Statement, StatementKind
from proofs_checks.runner import PROFILES
from proofs_checks.statements import RECORD
from proofs_checks.verdict import FITTING

# How many numbered items each section has.
COUNTS = {"1": 4, "3": 4, "4": 2, "5": 5}
COUNTS |= {"B": 5, "C": 19, "D": 17, "E": 11, "F": 5, "G": 4, "H": 4, "I": 8, "J": 5, "K": 2}


def numbered(*sections: str) -> list[str]:
    return [f"{section}.{k}" for section in sections for k in range(1, COUNTS[section] + 1)]


PAPER = [*numbered(*"1345"), "Alg 1", "Alg 2", *numbered(*"BCDEFGHIJK"), *(f"claim {k}" for k in range(1, 9))]
IDS = [s.id for s in RECORD]
BY_ID = {s.id: s for s in RECORD}
OF_THE_PAPER = [s for s in RECORD if not s.own]


def all_parts() -> Iterator[tuple[str, Part]]:
    return ((f"{s.id} [{part.name}]", part) for s in RECORD for part in s.parts)


def all_forms(statements: list[Statement]) -> Iterator[tuple[str, Part, Form]]:
    for s in statements:
        for part in s.parts:
            for form in part.forms:
                yield f"{s.id} [{part.name}, {form.role} {form.reading}]", part, form


def all_checks(statements: list[Statement]) -> Iterator[tuple[str, Part, Form, Check]]:
    return ((where, part, form, check) for where, part, form in all_forms(statements) for check in form.checks)


CHECKS = list(all_checks(list(RECORD)))
FORMS = list(all_forms(list(RECORD)))
PAPER_FORMS = list(all_forms(OF_THE_PAPER))


# --- every item of the paper


def test_the_paper_has_105_items() -> None:
    assert (len(PAPER), len(set(PAPER))) == (105, 105)


def test_every_item_of_the_paper_is_on_record() -> None:
    missing = [id for id in PAPER if id not in BY_ID]
    assert not missing, f"not on record: {missing}"


def test_all_else_is_a_step_of_an_item_or_ours() -> None:
    others = [s for s in RECORD if s.id not in PAPER]
    strange = [s.id for s in others if not (s.id.startswith("own/") or s.id.partition("/")[0] in PAPER)]
    assert not strange, f"neither an item of the paper, nor a step of one, nor ours: {strange}"


def test_findings_and_bounds_are_ours_and_nothing_else_is() -> None:
    wrong = [s.id for s in RECORD if s.own != s.id.startswith("own/")]
    assert not wrong, f"kind and id disagree: {wrong}"


def test_ids_are_unique() -> None:
    twice = [id for id, count in Counter(IDS).items() if count > 1]
    assert not twice, f"on record more than once: {twice}"


def test_items_stand_in_the_order_of_the_paper() -> None:
    assert [id for id in IDS if id in PAPER] == PAPER


def test_steps_stand_behind_their_item() -> None:
    items = [id.partition("/")[0] for id in IDS if not id.startswith("own/")]
    assert list(dict.fromkeys(items)) == PAPER, "a step of one item stands among those of another"
    assert all(IDS.index(id) > IDS.index(id.partition("/")[0]) for id in IDS if "/" in id and id[:4] != "own/")


# --- words and kinds


@pytest.mark.parametrize("field", ["id", "title", "locus"])
def test_every_statement_says_what_and_where_it_is(field: str) -> None:
    silent = [s.id for s in RECORD if not getattr(s, field).strip()]
    assert not silent, f"no {field}: {silent}"


def test_every_statement_claims_something() -> None:
    assert not [s.id for s in RECORD if not s.parts], "a statement without parts"
    silent = [where for where, part in all_parts() if not part.claim.strip()]
    assert not silent, f"parts without the text of their claim: {silent}"


def test_parts_of_one_statement_have_names_of_their_own() -> None:
    wrong = [
        s.id
        for s in RECORD
        if len(s.parts) > 1 and (len({p.name for p in s.parts}) < len(s.parts) or not all(p.name for p in s.parts))
    ]
    assert not wrong, f"parts that cannot be told apart: {wrong}"


def test_readings_of_one_part_can_be_told_apart() -> None:
    wrong = [where for where, part in all_parts() if len({(f.role, f.reading) for f in part.forms}) < len(part.forms)]
    assert not wrong, f"forms that cannot be told apart: {wrong}"


def test_every_part_has_a_printed_form() -> None:
    without = [where for where, part in all_parts() if not any(f.role == "printed" for f in part.forms)]
    assert not without, f"no printed form: {without}"


def test_repairs_and_hypotheses_say_what_they_are() -> None:
    silent = [where for where, _, form in FORMS if form.role != "printed" and not form.reading]
    assert not silent, f"neither a change nor a hypothesis is named: {silent}"


def test_all_kinds_are_known() -> None:
    assert {s.kind for s in RECORD} <= set(get_args(StatementKind))
    assert {part.kind for _, part in all_parts()} <= set(get_args(PartKind))
    assert {form.role for _, _, form in FORMS} <= set(get_args(Role))
    assert {check.kind for *_, check in CHECKS} <= set(get_args(EvidenceKind))
    assert {profile for *_, check in CHECKS for profile in check.profiles} <= set(PROFILES)


def test_a_repair_or_a_hypothesis_comes_with_a_fault() -> None:
    """What is not simply true as printed says what kind of fault it is and what follows from it."""
    for where, part in all_parts():
        if not where.startswith("own/"):
            mended = any(form.role != "printed" for form in part.forms)
            told = part.fault is not None and part.consequence.strip() != ""
            assert told or not mended, f"no fault or no consequence: {where}"
            assert not told or len(part.forms) > 1, f"a fault, and nothing beside the printed form: {where}"


# --- what rests on what


def test_what_is_used_and_related_is_on_record() -> None:
    unknown = {(s.id, other) for s in RECORD for other in (*s.uses, *s.related) if other not in BY_ID}
    assert not unknown, f"these name what is not on record: {sorted(unknown)}"


def test_nothing_is_named_twice_or_by_itself() -> None:
    wrong = [s.id for s in RECORD for n in (s.uses, s.related) if len(set(n)) < len(n) or s.id in n]
    assert not wrong, f"repetitions: {wrong}"


def test_no_proof_rests_on_itself() -> None:
    done: set[str] = set()
    left = set(BY_ID)
    while ready := {id for id in left if set(BY_ID[id].uses) <= done}:
        done |= ready
        left -= ready
    assert not left, f"these rest on each other: {sorted(left)}"


def test_what_the_paper_proves_rests_on_nothing_of_ours() -> None:
    wrong = [(s.id, used) for s in RECORD if not s.own for used in s.uses if BY_ID[used].own]
    assert not wrong, f"bounds and findings of ours in the paper's chains: {wrong}"


def test_a_step_is_used_or_named_by_its_statement() -> None:
    """A slip that the proof does not go through is only named; whatever else is on record as a step is used."""
    steps = [s for s in RECORD if "/" in s.id and not s.own]
    apart = [
        s.id
        for s in steps
        if not any(s.id in other.uses for other in RECORD)
        and not (s.parts[0].fault == "misprint" and any(s.id in other.related for other in RECORD))
    ]
    assert not apart, f"steps that nothing rests on: {apart}"


def test_what_follows_follows_from_its_formal_statement_alone() -> None:
    informal = [s for s in RECORD if s.follows]
    wrong = [s.id for s in informal if len(s.uses) != 1 or not s.follows.endswith(f" {s.uses[0]}")]
    assert not wrong, f"these use other than the statement they restate: {wrong}"
    assert not [s.id for s in informal if BY_ID[s.uses[0]].follows], "an informal statement of an informal one"


# --- formulas and checks


def test_there_are_checks() -> None:
    assert CHECKS, "without checks the tests below would pass for nothing"


def test_formulas_live_in_the_reference() -> None:
    stray = [
        w for w, _, f in PAPER_FORMS if f.formula is not None and f.formula.__module__.split(".")[0] != "reference"
    ]
    assert not stray, f"formulas outside reference/: {stray}"


def test_formulas_are_written_out() -> None:
    silent = [
        where
        for where, _, form in PAPER_FORMS
        if form.formula is not None and ".. math::" not in (inspect.getdoc(form.formula) or "")
    ]
    assert not silent, f"formulas without a `.. math::` block: {silent}"


def test_a_check_tries_the_formula_that_is_shown() -> None:
    judging = [(w, form, check) for w, _, form, check in all_checks(OF_THE_PAPER) if check.kind != "device"]
    other = [w for w, form, check in judging if check.claim is not form.formula]
    assert not other, f"what is tried is not what is shown: {other}"


def test_every_check_has_at_least_two_false_variants() -> None:
    few = [where for where, *_, check in CHECKS if len(set(check.false.values())) < 2]
    assert not few, f"fewer than two false variants: {few}"


def test_no_false_variant_is_the_claim() -> None:
    wrong = [(where, name) for where, *_, c in CHECKS for name, false in c.false.items() if false is c.claim]
    assert not wrong, f"these variants are the claim itself: {wrong}"


def test_every_check_can_settle_its_part() -> None:
    idle = [where for where, part, _, check in CHECKS if check.kind not in (*FITTING[part.kind], "device")]
    assert not idle, f"evidence that does not count for its part: {idle}"


def test_every_check_runs_in_some_profile() -> None:
    idle = [where for where, *_, check in CHECKS if not check.profiles]
    assert not idle, f"never run: {idle}"


def test_checked_asymptotic_forms_write_their_implication_out() -> None:
    """In one direction or the other, and no other form has one."""
    told = [
        (w, part.kind == "asymptotic", form.implication.strip(), form.necessary.strip()) for w, part, form, _ in CHECKS
    ]
    silent = [w for w, asymptotic, *directions in told if asymptotic != any(directions) or all(directions)]
    assert not silent, (
        f"asymptotic and checked, without an implication, or with both, or needlessly with one: {silent}"
    )


def test_a_checked_definition_says_what_it_is_compared_with() -> None:
    silent = [w for w, part, *_ in CHECKS if part.kind == "definition" and not part.clashes_with]
    assert not silent, f"compared with nothing: {silent}"


def test_the_baselines_of_all_profiles_agree_and_cover_the_record() -> None:
    """More examples may settle what fewer do not; as long as they do not, a difference is a fault to look at."""
    quick, *others = (load_baseline(profile) for profile in PROFILES)
    assert list(quick) == [s.id for s in RECORD]
    for other in others:
        assert other == quick, {id for id in quick if other.get(id) != quick[id]}


def test_evidence_is_called_what_its_trial_gives() -> None:
    for *_, check in CHECKS:
        assert (check.kind == "property") == isinstance(check.trial, PropertyTrial), check
