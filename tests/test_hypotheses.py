"""Whether a hypothesis is needed: the answer follows the verdicts of the two forms, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from proofs_checks import hypotheses
from proofs_checks.evidence import Evidence
from proofs_checks.hypotheses import HYPOTHESES, At, Hypothesis, answer
from proofs_checks.judgement import FormJudgement, Judgement, judge
from proofs_checks.runner import Book, Run
from proofs_checks.store import Store
from proofs_checks.trial import Counterexample
from proofs_checks.verdict import HOLDING, FormVerdict

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "hypotheses.md").read_text(encoding="utf-8")
ASKED = next(h for h in HYPOTHESES if (h.statement, h.text) == ("C.18", "n ≥ d"))
WITNESS = Evidence(
    kind="property",
    claim="C.18",
    outcome="refutes",
    counterexample=Counterexample({"X": [[1]]}, "entry (1, 1)", "1", "2", "balls", "the smallest", ("1 + 1",)),
)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    """All statements without any evidence."""
    book = Book.open()
    return judge(book, Run(book, Store(tmp_path_factory.mktemp("none")), profile="quick", seed=0))


@pytest.fixture(scope="module")
def found() -> dict[str, Judgement]:
    """All statements, by the results of the last run."""
    book = Book.open()
    return judge(book, Run(book, Store(ROOT / ".altgrad"), profile="quick", seed=0))


def worth(judged: dict[str, Judgement], at: At, word: str) -> dict[str, Judgement]:
    """The same record with another verdict on one form."""

    def form(f: FormJudgement) -> FormJudgement:
        evidence = (WITNESS,) if word == "refuted" else ()
        return replace(f, verdict=FormVerdict(word), evidence=evidence) if f is at.of(judged) else f

    j = judged[at.statement]
    parts = tuple(replace(p, forms=tuple(map(form, p.forms))) for p in j.parts)
    return {**judged, at.statement: replace(j, parts=parts)}


@pytest.mark.parametrize("given", [*HOLDING, "undecided", "not checked", "refuted"])
@pytest.mark.parametrize("without", [*HOLDING, "undecided", "not checked", "refuted"])
def test_the_answer_follows_both_verdicts(unseen: dict[str, Judgement], without: str, given: str) -> None:
    assert ASKED.without
    assert ASKED.given
    judged = worth(worth(unseen, ASKED.without, without), ASKED.given, given)
    decided = "needed" if given in HOLDING and without == "refuted" else "undecided"
    got = answer(ASKED, judged)
    assert got.word == ("not needed" if without in HOLDING else decided)
    assert got.witnesses == ((WITNESS,) if got.word == "needed" else ())


def test_a_refutation_alone_does_not_make_a_hypothesis_needed(unseen: dict[str, Judgement]) -> None:
    assert ASKED.without
    judged = worth(unseen, ASKED.without, "refuted")
    assert answer(replace(ASKED, given=None), judged).word == "undecided"


@pytest.mark.parametrize("asked", HYPOTHESES, ids=lambda h: f"{h.statement}: {h.text}")
def test_without_evidence_nothing_is_answered(unseen: dict[str, Judgement], asked: Hypothesis) -> None:
    assert answer(asked, unseen).word == "undecided"


def test_one_form_must_be_meant(unseen: dict[str, Judgement]) -> None:
    for words, count in (("no such words", 0), ("", 2)):
        with pytest.raises(LookupError, match=f"{count} forms on record are meant, one is needed"):
            At("C.13", "time", "printed", words).of(unseen)


def test_nothing_is_asked_twice() -> None:
    assert set(Counter((h.statement, h.text) for h in HYPOTHESES).values()) == {1}


def test_the_page_has_the_answers_that_are_computed(found: dict[str, Judgement]) -> None:
    shown = [line for line in PAGE.splitlines() if re.match(r"\| .* \|$", line)]
    computed = hypotheses.table(found).splitlines()
    assert len(shown) == len(computed)
    assert shown[:2] == computed[:2]
    for asked, page, now in zip(HYPOTHESES, shown[2:], computed[2:], strict=True):
        assert page.split(" | ")[:2] == now.split(" | ")[:2]
        if not any(at and at.of(found).missing for at in (asked.without, asked.given)):
            assert page == now
