"""Evidence that is read: what it says of its figures, how the verdict follows them, what never does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from benchmarks import harness
from benchmarks.harness import Measured
from proofs_checks import extensions, recorded, terminal
from proofs_checks.evidence import Evidence, merge
from proofs_checks.judgement import differences, judge, summary
from proofs_checks.record import Part, Statement
from proofs_checks.recorded import Figures, RecordedTrial, benchmark, identified
from proofs_checks.runner import Address, Book, Run
from proofs_checks.trial import Outcome
from reference.extensions import faster

FRESH = Figures(file="figures.json", name="race", date="2026-01-02", machine="a slide rule", sources="a", now="a")
TRIAL = replace(extensions.COMPILED, figures=())
PART = extensions.PARTS[0]


def trial(*ratios: Sequence[float]) -> RecordedTrial:
    """Of comparisons in which NumPy takes so many times as long."""
    made = (
        replace(FRESH, name=f"race {k}", rounds=(("NumPy", tuple(ratio)), ("compiled", (1.0,) * len(ratio))))
        for k, ratio in enumerate(ratios)
    )
    return replace(TRIAL, figures=tuple(made))


def statement(of: RecordedTrial) -> Statement:
    """One part whose figures are read, and one without a check."""
    (form,) = PART.forms
    (check,) = form.checks
    part = replace(PART, forms=(replace(form, checks=(replace(check, trial=of),)),))
    return Statement(id="A", kind="claim", title="", locus="", parts=(part,))


class Reading:
    """A run that reads figures, as the runner would."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def evidence(self, address: Address) -> Evidence:
        check = address.find(self.book.statements)[-1]
        return merge(
            check,
            [check.trial.run(check.claim, 0)],
            {name: check.trial.run(claim, 0) for name, claim in check.false.items()},
            None,
            required=check.trial.required("quick"),
            seed=0,
            digest="d1gest",
        )


def judged(of: RecordedTrial, *, with_files: bool = True) -> Any:
    book = Book("", {"A": statement(of)})
    return judge(book, cast(Run, Reading(book)), recorded=with_files)["A"]


FASTER, SLOWER, BOTH = [6.0, 6.2, 6.4, 6.6, 6.8], [0.5, 0.6, 0.7, 0.8, 0.9], [0.8, 0.9, 1.0, 1.1, 1.2]


# --- figures make the verdict


@pytest.mark.parametrize(
    ("ratios", "outcome", "verdict"),
    [
        ([FASTER], "supports", "holds as printed (measured)"),
        ([FASTER, FASTER], "supports", "holds as printed (measured)"),
        ([SLOWER], "refutes", "refuted"),
        ([FASTER, SLOWER], "refutes", "refuted"),
        ([BOTH], "open", "undecided"),
        ([FASTER, BOTH], "open", "undecided"),
        ([BOTH, SLOWER], "refutes", "refuted"),
        ([[1.0] * 5], "refutes", "refuted"),  # equally fast is not faster
        ([FASTER[:4]], "open", "undecided"),
    ],
)
def test_the_verdict_follows_the_figures(ratios: list[list[float]], outcome: Outcome, verdict: str) -> None:
    found = judged(trial(*ratios))
    (evidence,) = found.evidence
    assert (evidence.outcome, str(found.verdict)) == (outcome, verdict)


def test_one_slow_round_among_many_does_not_count() -> None:
    assert trial([0.5, *FASTER, *FASTER]).run(faster, 0).outcome == "supports"


def test_a_refutation_says_by_which_figures() -> None:
    (evidence,) = judged(trial(FASTER, SLOWER)).evidence
    assert evidence.counterexample is not None
    assert evidence.counterexample.where == "NumPy/compiled in race 1"
    assert evidence.counterexample.true == "0.7 (0.6 to 0.8; 5 rounds)"


def test_false_conditions_are_refused() -> None:
    (evidence,) = judged(trial(FASTER)).evidence
    assert (evidence.planted, evidence.refused) == (3, 3)


def test_a_condition_that_refuses_nothing_supports_nothing() -> None:
    """As if "less speed" were met by the same figures."""
    (form,) = PART.forms
    (check,) = form.checks
    of = trial(FASTER)
    lax = replace(check, trial=of, false={"more than twice": _more_than_twice})
    made = replace(statement(of), parts=(replace(PART, forms=(replace(form, checks=(lax,)),)),))
    book = Book("", {"A": made})
    assert "accepts a false variant" in judge(book, cast(Run, Reading(book)))["A"].verdict.detail


def _more_than_twice(ratio: float) -> bool:
    return ratio > 2


# --- where, when, of what


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (Figures(file="none.json"), "none.json has no figures."),
        (Figures(file="none.json", name="race"), "none.json has no figures of race."),
        (replace(FRESH, rounds=(("a", (1.0,)),), sources=""), "without saying of which sources"),
        (replace(FRESH, rounds=(("a", (1.0,)),), now="b"), "stale, the sources have changed since"),
    ],
)
def test_what_cannot_be_relied_on_leaves_it_open(figures: Figures, words: str) -> None:
    result = replace(TRIAL, figures=(*trial(FASTER).figures, figures)).run(faster, 0)
    assert result.outcome == "open"
    assert words in result.reason
    assert extensions.AGAIN in result.reason


def test_date_and_machine_are_shown() -> None:
    assert trial(FASTER).run(faster, 0).reason == ("figures.json: measured 2026-01-02 on a slide rule")
    console = Console(width=80, record=True, file=StringIO())
    terminal.print_recorded(console, [judged(trial(FASTER))])
    assert "experiment evidence supports; figures.json: measured 2026-01-02" in " ".join(console.export_text().split())


MACHINE: dict[str, str | int] = {
    "cpu_model_name": "a slide rule",
    "cpu_count": 2,
    "threads": 2,
    "python_version": "3",
    "version_numpy": "2",
    "version_numba": "0",
    "date": "2026-01-02 03:04:05",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recorded, "ROOT", tmp_path)
    return tmp_path


def save(file: Path, **about: str) -> None:
    results = {"race": {"NumPy": Measured((2.0, 3.0)), "compiled": Measured((1.0, 2.0))}}
    harness.save(results, {"race": {**MACHINE, **about}}, file)


def test_a_file_of_the_benchmarks_is_read(folder: Path) -> None:
    save(folder / "results.json", sources=identified("reference.loss"))
    found = benchmark("results.json", "race", "reference.loss")
    assert found.doubt == ""
    assert found.ratios("NumPy", "compiled") == [2.0, 1.5]
    assert (found.date, found.machine) == (
        "2026-01-02",
        "a slide rule, 2 threads of 2 cores, Python 3, numpy 2, numba 0",
    )


def test_other_sources_make_it_stale(folder: Path) -> None:
    save(folder / "results.json", sources=identified("reference.loss"))
    assert "stale" in benchmark("results.json", "race", "reference.low_rank").doubt


def test_a_file_without_sources_is_not_taken_for_fresh(folder: Path) -> None:
    save(folder / "results.json")
    assert "without saying" in benchmark("results.json", "race", "reference.loss").doubt


def test_an_absent_file_or_comparison_has_no_figures(folder: Path) -> None:
    assert "no figures" in benchmark("none.json", "race", "reference.loss").doubt
    save(folder / "results.json")
    assert "no figures" in benchmark("results.json", "another", "reference.loss").doubt


def test_the_harness_says_which_sources_it_measures() -> None:
    assert harness.machine()["sources"] == identified("reference.qkv")


def test_the_committed_file_is_read() -> None:
    """Whatever it says: fresh, stale or silent."""
    assert all(f.rounds and f.date for f in extensions.COMPILED.figures)


# --- what a run computes does not depend on it


@pytest.mark.parametrize("of", [trial(FASTER), trial(SLOWER), trial(BOTH), extensions.ON_A_DEVICE])
def test_the_baseline_never_depends_on_files(of: RecordedTrial) -> None:
    computed = {"A": judged(of, with_files=False)}
    assert summary(computed["A"]) == {"verdict": "not checked", "derivation": "not checked"}
    assert differences(computed, {"A": {"verdict": "not checked", "derivation": "not checked"}}, ("A",)) == []


def test_other_evidence_counts_in_both() -> None:
    """Files aside, the same evidence gives the same verdicts."""
    parts: tuple[Part, ...] = extensions.PARTS[2:]
    made = replace(statement(trial(FASTER)), parts=(*statement(trial(FASTER)).parts, *parts[:1]))
    book = Book("", {"A": made})
    both = [judge(book, cast(Run, Reading(book)), recorded=r)["A"] for r in (True, False)]
    assert [str(j.parts[1].verdict) for j in both] == ["holds as printed (counted)"] * 2
    assert [str(j.parts[0].verdict) for j in both] == ["holds as printed (measured)", "not checked"]
