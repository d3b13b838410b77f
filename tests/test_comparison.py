"""What changed between two runs is said, and nothing else; what is no results of a run is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from proofs_checks.comparison import Change, changes, load
from reference.errors import AltgradError

EVIDENCE = {
    "kind": "property", "claim": "checks.claim", "outcome": "supports", "scope": "", "complete": False, "examples": 1,
    "required": 1, "discarded": 0, "worst": 0.2, "reason": "", "counterexample": None, "details": [], "extreme": None,
    "planted": 1, "refused": 1, "accepted": [], "seed": 0, "digest": "0123456789abcdef01234567",
}  # fmt: skip
FORM = {
    "role": "printed",
    "reading": "",
    "verdict": "tested",
    "reason": "",
    "checks_not_run": 0,
    "evidence": [EVIDENCE],
}
PART = {
    "name": "error", "kind": "inequality", "claim": "a ≤ b", "verdict": "holds as printed (tested)", "detail": "",
    "standing": "holds as printed", "fault": None, "consequence": "", "forms": [FORM],
}  # fmt: skip
STATEMENT = {
    "id": "A.1", "kind": "lemma", "title": "A", "locus": "p. 1", "assumes": [], "uses": [], "derivation": "intact",
    "verdict": "holds as printed (tested)", "standing": "holds as printed", "parts": [PART],
}  # fmt: skip
RESULTS = {
    "schema": "altgrad-verify/2", "altgrad": "1.0", "paper": "arXiv:2408.13233v2", "profile": "quick", "seed": 0,
    "packages": ["python 3.11", "numpy 2.0"], "statements": [STATEMENT],
}  # fmt: skip


@pytest.fixture
def new() -> Any:
    """Results that a test may change."""
    return deepcopy(RESULTS)


def test_equal_results_have_no_changes(new: Any) -> None:
    assert changes(RESULTS, new) == []


def test_verdicts_and_derivations_are_compared(new: Any) -> None:
    new["statements"][0] |= {"verdict": "refuted", "derivation": "broken at A.1"}
    new["statements"][0]["parts"][0]["verdict"] = "undecided"
    assert changes(RESULTS, new) == [
        Change("A.1", "verdict", "holds as printed (tested)", "refuted"),
        Change("A.1", "derivation", "intact", "broken at A.1"),
        Change("A.1 (error)", "verdict", "holds as printed (tested)", "undecided"),
    ]


def test_statements_come_and_go(new: Any) -> None:
    new["statements"] = [STATEMENT | {"id": "A.2"}]
    assert changes(RESULTS, new) == [
        Change("A.2", "statement", "", "holds as printed (tested)"),
        Change("A.1", "statement", "holds as printed (tested)", ""),
    ]


def test_parts_come_and_go(new: Any) -> None:
    new["statements"][0]["parts"][0]["name"] = "rank"
    assert [(c.where, c.before, c.after) for c in changes(RESULTS, new)] == [
        ("A.1 (rank)", "", "holds as printed (tested)"),
        ("A.1 (error)", "holds as printed (tested)", ""),
    ]


@pytest.mark.parametrize(
    ("worst", "shown"), [(0.2, False), (0.39, False), (0.41, True), (0.11, False), (0.09, True), (None, False)]
)
def test_a_ratio_has_to_move_by_a_factor_of_two(new: Any, worst: float | None, shown: bool) -> None:
    new["statements"][0]["parts"][0]["forms"][0]["evidence"][0]["worst"] = worst
    found = changes(RESULTS, new)
    assert found == ([Change("A.1 (error), printed", "largest measured/bound", "0.2", f"{worst}")] if shown else [])


def test_settings_and_packages_are_compared(new: Any) -> None:
    new |= {"seed": 1, "packages": ["python 3.11", "scipy 1.0", "numpy 2.1"]}
    assert changes(RESULTS, new) == [
        Change("run", "seed", "0", "1"),
        Change("run (scipy)", "packages", "", "1.0"),
        Change("run (numpy)", "packages", "2.0", "2.1"),
    ]


def test_results_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(RESULTS), "utf-8")
    assert load(path) == RESULTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("# text", "is no JSON"),
        ("\xff", "is no JSON"),
        ("[1]", "is of schema None, needs 'altgrad-verify/2'"),
        (json.dumps(RESULTS | {"schema": "altgrad-verify/1"}), "is of schema 'altgrad-verify/1'"),
        (json.dumps(RESULTS | {"seed": -1}), r"has at \$.seed: -1 is less than"),
        (json.dumps(RESULTS | {"statements": [STATEMENT | {"parts": []}]}), r"has at \$.statements\[0\].parts: "),
    ],
)
def test_what_is_no_results_of_a_run_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text, "latin-1")
    with pytest.raises(AltgradError, match=message) as refused:
        load(path)
    assert str(refused.value).startswith(f"report: {path} ")
    assert "altgrad verify --json" in str(refused.value)
