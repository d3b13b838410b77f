"""The README's commands are those that are run: by CI, which takes them from there, and by make."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def commands(marker: str) -> list[str]:
    """The lines of the README's fenced block that follows an HTML comment."""
    blocks = re.findall(
        rf"^<!-- {marker} -->\n```\w*\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 1, f"README.md has {len(blocks)} blocks marked <!-- {marker} -->"
    return [" ".join(line.split()) for line in blocks[0].splitlines()]


def test_ci_runs_the_two_commands() -> None:
    assert commands("ci: run") == ["make verify", "make test"]


def test_without_make_the_same_commands_run() -> None:
    # As from a shell where `python3` is this interpreter, and not from the make that may be running this test.
    environment = {name: os.environ[name] for name in os.environ.keys() - {"ARGS", "MAKEFLAGS", "MAKELEVEL", "PYTHON"}}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    try:
        made = subprocess.run(
            ["make", "--dry-run", "--always-make", "verify", "test"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise AssertionError("this test compares README.md with the Makefile: install make") from None
    assert made.returncode == 0, made.stderr
    lines = [" ".join(line.split()) for line in made.stdout.splitlines()]
    assert commands("without make") == [line for line in lines if not line.startswith("touch ")]


def test_the_python_in_the_readme_runs() -> None:
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
