"""The lessons run as they stand: what they ask is refused as it is written there, and solved by its solution."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from proofs_checks import exercise
from proofs_checks.record import Claim

FOLDER = Path(__file__).parent.parent / "docs" / "lessons"
LESSONS = sorted(FOLDER.glob("l*.py"))


def test_every_lesson_has_its_solution_and_there_are_nine() -> None:
    assert [path.name for path in LESSONS] == sorted(path.name for path in (FOLDER / "solutions").glob("*.py"))
    assert len(LESSONS) == 9


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_its_exercise_gets_a_counterexample_and_its_solution_passes(
    lesson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str, exercise.Marked]] = []
    real = exercise.check

    def recorded(answer: Claim, statement: str, part: str = "") -> exercise.Marked:
        marked = real(answer, statement, part)
        asked.append((answer.__name__, statement, part, marked))
        return marked

    monkeypatch.setattr(exercise, "check", recorded)
    with mpl.rc_context({"backend": "Agg"}):
        runpy.run_path(str(lesson))
        pictures = plt.get_fignums()
        plt.close("all")
    assert pictures, "a lesson has a picture"
    assert asked, "a lesson has an exercise"
    solution = runpy.run_path(str(FOLDER / "solutions" / lesson.name))
    for name, statement, part, marked in asked:
        assert not marked.right
        assert marked.counterexample is not None, str(marked)
        assert "yours" in str(marked)
        assert str(real(solution[name], statement, part)).endswith("right on all 100 examples")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_a_case_by_hand_whose_numbers_are_asserted(lesson: Path) -> None:
    text = lesson.read_text("utf-8")
    assert re.search(r"\*\*By hand, .*\n(.*\n)*?assert ", text)
    assert "**Exercise.**" in text


def test_what_an_answer_raises_is_no_counterexample() -> None:
    marked = exercise.check(lambda X, nonsense: X, "C.9")
    assert not marked.right
    assert marked.counterexample is None
    assert "nonsense" in str(marked)


def test_an_answer_of_another_shape_says_which() -> None:
    assert "has shape" in str(exercise.check(lambda X, W_V: (X @ W_V).T[:1], "C.9"))


@pytest.mark.parametrize(("statement", "part"), [("Z.1", ""), ("C.12", ""), ("C.12", "no such"), ("claim 1", "")])
def test_what_cannot_be_asked_is_refused(statement: str, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(statement)):
        exercise.check(lambda X: X, statement, part)


def test_the_repaired_form_is_asked_where_there_is_one() -> None:
    assert exercise.asked("G.3").claim.__name__ == "gradient_W_V"
