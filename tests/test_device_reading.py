"""What `verify` reads of a device: shown with date and machine, stale when gpu/ changes, never part of a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gpu.sources import sources
from proofs_checks import certificate, device, extensions, terminal
from proofs_checks.device import FASTER, WITHIN, Suite, suites
from proofs_checks.evidence import merge
from proofs_checks.judgement import Judgement, judge, summary
from proofs_checks.record import Check, Statement
from proofs_checks.runner import Address, Book
from tests.test_device_evidence import ABOUT

FALSE = {"half the scale": 9.0, "the other mask": 8.0, "the last value lost": 7.0}


def tally(worst: float = 0.5, failures: int = 0) -> dict[str, Any]:
    return {"examples": 300, "failures": failures, "worst": worst, "planted": FALSE}


def row(contender: str, seconds: float) -> dict[str, Any]:
    return {"contender": contender, "n": 1024, "causal": True, "degree": 2, "median": seconds}


DATA: dict[str, Any] = {
    **ABOUT,
    "properties": {"exact": tally(), "reference": tally(0.25)},
    "sanitizer": [{"tool": "memcheck", "outcome": "clean"}],
    "times": {"rows": [row("altgrad", 0.01), row("PyTorch", 0.5)]},
}


def read(folder: Path, **changes: Any) -> tuple[Suite, ...]:
    (folder / "pretended.json").write_text(json.dumps(DATA | changes), encoding="utf-8")
    return suites(folder)


def tried(check: Check, found: tuple[Suite, ...]) -> Any:
    trial: Any = replace(check.trial, read=found)  # type: ignore[type-var]
    return merge(
        check,
        [trial.run(check.claim, 0)],
        {name: trial.run(claim, 0) for name, claim in check.false.items()},
        None,
        required=0,
        seed=0,
        digest="",
    )


def test_it_is_shown_with_date_and_machine(tmp_path: Path) -> None:
    found = tried(WITHIN, read(tmp_path))
    assert found.outcome == "supports"
    assert found.worst == 0.5
    assert found.reason == "docs/evidence/pretended.json: measured 2000-01-01 on pretended, driver none, python 3"
    assert found.details[1:] == (
        ("exact", "300", "0.5", "3 of 3"),
        ("reference", "300", "0.25", "3 of 3"),
        ("memcheck", "", "clean", ""),
    )
    assert (found.planted, found.refused) == (3, 3)
    faster = tried(FASTER, read(tmp_path))
    assert faster.outcome == "supports"
    assert faster.details[1] == ("n = 1,024, degree 2, causal", "0.01 s", "0.5 s", "50")
    assert (faster.planted, faster.refused) == (2, 2)


def test_it_may_refute(tmp_path: Path) -> None:
    assert tried(WITHIN, read(tmp_path, properties={"exact": tally(1.5, failures=1)})).outcome == "refutes"
    assert tried(WITHIN, read(tmp_path, properties={"exact": tally(0.5, failures=1)})).outcome == "refutes"
    for outcome, expected in (("faults", "refutes"), ("failed", "supports")):
        assert tried(WITHIN, read(tmp_path, sanitizer=[{"tool": "racecheck", "outcome": outcome}])).outcome == expected
    slow = {"rows": [row("altgrad", 1), row("PyTorch", 0.5)]}
    assert tried(FASTER, read(tmp_path, times=slow)).outcome == "refutes"


def test_properties_without_examples_say_nothing(tmp_path: Path) -> None:
    """As where the device refuses every one of them."""
    none = tally(0.0) | {"examples": 0, "planted": {}}
    assert tried(WITHIN, read(tmp_path, properties={"exact": none, "reference": none})).outcome == "open"
    assert tried(WITHIN, read(tmp_path, properties={"exact": tally(), "reference": none})).outcome == "open"


def test_a_false_version_that_was_accepted_is_named(tmp_path: Path) -> None:
    accepted = tally() | {"planted": FALSE | {"the other mask": 0.9}}
    found = tried(WITHIN, read(tmp_path, properties={"exact": accepted, "reference": tally()}))
    assert found.accepted == ("the other mask",)


@pytest.mark.parametrize("check", [WITHIN, FASTER], ids=["within", "faster"])
def test_without_a_file_there_is_no_device_evidence(check: Check, tmp_path: Path) -> None:
    found = tried(check, suites(tmp_path))
    assert found.outcome == "open"
    assert found.reason.startswith("no device evidence. To make it: python -m gpu.evidence --out docs/evidence/")


@pytest.mark.parametrize("check", [WITHIN, FASTER], ids=["within", "faster"])
def test_when_gpu_has_changed_it_is_stale(check: Check, tmp_path: Path) -> None:
    found = tried(check, read(tmp_path, sources="0" * 64))
    assert found.outcome == "open"
    assert "measured 2000-01-01 on pretended" in found.reason
    assert "stale, the sources of gpu/ have changed since" in found.reason


def test_what_cannot_be_read_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    (tmp_path / "schema.json").write_text("{", encoding="utf-8")
    found = tried(WITHIN, read(tmp_path))
    assert found.outcome == "supports"
    assert found.reason.count("cannot be read") == 2


def test_an_unfinished_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "early.json").write_text(json.dumps(ABOUT), encoding="utf-8")
    assert tried(WITHIN, suites(tmp_path)).outcome == "open"
    assert tried(FASTER, suites(tmp_path)).outcome == "open"


# --- beside the statements it bears on


class Only:
    """A run that has nothing but the evidence of one check."""

    def __init__(self, book: Book, check: Check, found: tuple[Suite, ...]) -> None:
        self.book, self.check, self.found = book, check, found

    def evidence(self, address: Address) -> Any:
        check = address.find(self.book.statements)[-1]
        return tried(check, self.found) if check is self.check else None


def judged(statement: Statement, check: Check, found: tuple[Suite, ...], *, recorded: bool = True) -> Judgement:
    book = Book("", {statement.id: statement})
    run: Any = Only(book, check, found)
    return judge(book, run, recorded=recorded)[statement.id]


(CERTIFICATE,) = certificate.STATEMENTS
B4 = Statement(id="B.4", kind="claim", title="", locus="", parts=extensions.PARTS)


@pytest.mark.parametrize(("statement", "check"), [(CERTIFICATE, WITHIN), (B4, FASTER)], ids=["certificate", "B.4"])
def test_no_verdict_depends_on_it(statement: Statement, check: Check, tmp_path: Path) -> None:
    good = read(tmp_path)
    bad = read(
        tmp_path,
        properties={"exact": tally(9, failures=9)},
        times={"rows": [row("altgrad", 1), row("PyTorch", 0.5)]},
    )
    without = summary(judged(statement, check, (), recorded=False))
    for found in (good, bad, ()):
        assert summary(judged(statement, check, found)) == without
    assert tried(check, good).outcome != tried(check, bad).outcome


def text(print_: Any, *what: Any) -> str:
    out = StringIO()
    print_(Console(file=out, width=500), *what)
    return out.getvalue()


def test_verify_and_show_say_what_there_is(tmp_path: Path) -> None:
    for found, said in ((read(tmp_path), "measured 2000-01-01 on pretended"), ((), "no device evidence")):
        one = judged(CERTIFICATE, WITHIN, found)
        assert said in text(terminal.print_recorded, [one])
        assert said in text(terminal.print_statement, one, {CERTIFICATE.id: CERTIFICATE}, 0)
        assert ("device" in terminal._kinds(one.evidence)) == bool(found)


def test_what_verify_reads_here_is_of_this_folder() -> None:
    for check in (WITHIN, FASTER):
        trial = check.trial
        assert isinstance(trial, device.DeviceTrial)
        assert trial.now == sources()
        assert trial.read == suites()
