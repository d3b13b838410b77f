"""A report says what the last audit found, of which day, and whether the code has changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proofs_checks import audited
from proofs_checks.audit import Audit, results
from proofs_checks.mutation import Mutant, Mutation
from proofs_checks.runner import Book, Run
from proofs_checks.store import Store
from reference.errors import AltgradError

MADE = tuple(Mutant("low_rank", k, f"x + {k}", f"x - {k}", "f", "") for k in range(1, 41))


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    """An audit of changed code alone."""
    audit = Audit((), (), (), {}, Mutation(MADE, MADE[:3], seed=0), ())
    return results(audit, Run(Book.open("tests.planted"), Store(tmp_path / "store"), profile="quick", seed=0))


def written(folder: Path, text: str) -> Path:
    path = folder / "audit.json"
    path.write_text(text, "utf-8")
    return path


def test_it_is_read_as_written_and_fresh(found: dict[str, Any], tmp_path: Path) -> None:
    read = audited.kept(written(tmp_path, json.dumps(found)))
    assert read == found
    assert not audited.is_stale(found)


def test_it_is_stale_once_the_code_is_another(found: dict[str, Any]) -> None:
    assert audited.is_stale(found | {"reference": "0" * 24})


def test_there_may_be_none(tmp_path: Path) -> None:
    assert audited.kept(tmp_path / "audit.json") is None


@pytest.mark.parametrize("wrong", [{"schema": "altgrad-audit/1"}, {"date": "today"}, {"reference": ""}])
def test_what_is_no_audit_is_refused(found: dict[str, Any], tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(AltgradError, match=r"needs .*altgrad audit --json wrote"):
        audited.kept(written(tmp_path, json.dumps(found | wrong)))


def test_the_file_that_is_committed_can_be_read() -> None:
    found = audited.kept()
    assert found is None or found["mutation"]
