"""The nightly run names commands that exist, and each of its checks runs whatever became of those before it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from proofs_checks import command_line
from tests.fuzz.__main__ import app as fuzz

ROOT = Path(__file__).parent.parent
STEPS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text("utf-8"))["jobs"][
    "deep"
]["steps"]
RUNS = [step["run"] for step in STEPS if "run" in step]
COMMANDS: dict[str, Any] = {**get_command(command_line.app).commands, "fuzz": get_command(fuzz)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", RUNS)
def test_what_is_run_exists(line: str) -> None:
    program, target, *words = shlex.split(line)
    if program == "make":
        assert re.search(f"^{re.escape(target)}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        words = words[0].removeprefix("ARGS=").split() if words else []
    if target in COMMANDS:
        COMMANDS[target].make_context(target, words)
    else:
        assert (program, target, words) == ("make", ".venv/tests", [])


def test_it_verifies_audits_and_fuzzes_whatever_failed_before() -> None:
    assert [line.split()[1] for line in RUNS] == [".venv/tests", "verify", "audit", "fuzz", "report"]
    assert all(step.get("if") == "${{ !cancelled() }}" for step in STEPS[-4:])
