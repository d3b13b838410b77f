"""The fuzzing: what it takes from the record, what breaks a property, and an exit status that says what happened."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from proofs_checks.instances import Instance, shapes, unit_scale
from tests.fuzz import __main__ as fuzzing
from tests.fuzz import statements

PYTHON = (sys.executable, "-c")
WAITS = (*PYTHON, "import time; time.sleep(60)")
CRASHES = (*PYTHON, "import sys, time; print('Traceback', flush=True); time.sleep(60)")
ENDS = (*PYTHON, "raise SystemExit(0)")
PASSES, FAILS, CANNOT = ((*PYTHON, f"raise SystemExit({status})") for status in (0, 1, 4))


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(statements.RECORD, "tests.fuzz.planted")


def data(first: float) -> Any:
    """What draws one instance: 5 positions, 4 features, all 0 but the first entries of X and W_V."""
    operands = {name: np.zeros(shape) for name, shape in shapes(5, 4).items()}
    operands["X"][0, 0], operands["W_V"][0, 0] = first, 1
    return SimpleNamespace(draw=lambda instances: Instance(operands, unit_scale(4)))


def test_without_evidence_there_is_nothing_to_search() -> None:
    with pytest.raises(pytest.UsageError, match=r"no fresh evidence of rare/C\.18, true/C\.18: run altgrad verify"):
        statements.supported()


def test_what_the_record_holds_for_true_is_searched() -> None:
    """Also the bound that is false so rarely that a run of verify does not notice."""
    fuzzing.verified(1)
    assert [address.statement for address in statements.supported()] == ["true/C.18", "rare/C.18"]


@pytest.mark.parametrize(
    ("engine", "replay", "status"),
    [
        (WAITS, PASSES, 0),
        (WAITS, FAILS, fuzzing.FOUND),
        (WAITS, CANNOT, fuzzing.FAULT),
        (CRASHES, PASSES, fuzzing.FAULT),
        (CRASHES, FAILS, fuzzing.FOUND),
        (ENDS, PASSES, fuzzing.FAULT),
    ],
)
def test_the_exit_status_says_what_happened(
    engine: tuple[str, ...], replay: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzing, "ENGINE", engine)
    monkeypatch.setattr(fuzzing, "REPLAY", replay)
    arguments = ["--minutes", "0.02", "--jobs", "1", "tests/test_shapes.py"]
    assert CliRunner().invoke(fuzzing.app, arguments).exit_code == status


def test_an_instance_that_breaks_the_claim_fails() -> None:
    """The planted bound is 1/8 where the first entry is 2, and holds beside it."""
    holds, rare = statements.by_instances(statements.book())
    broken: Any = statements.test_no_instance_breaks_it.hypothesis.inner_test  # type: ignore[attr-defined]
    for address, first in ((holds, 2), (rare, 1)):
        broken(address, data(first))
    with pytest.raises(AssertionError, match="bound_rarely_less: Counterexample"):
        broken(rare, data(2))


def test_no_process_of_the_engine_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    child = "import time\nwhile True:\n print('on', file=open('signs', 'a'), flush=True)\n time.sleep(0.01)"
    engine = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    monkeypatch.setattr(fuzzing, "ENGINE", (*PYTHON, engine))
    assert fuzzing.search([], 0.02, 1) == ""
    signs = Path("signs").read_text("utf-8")
    assert signs
    time.sleep(0.2)
    assert Path("signs").read_text("utf-8") == signs
