"""`python -m tests.fuzz`: let the engine search for some minutes, then replay what it found.

Exit status: 0 if nothing was found, 1 if something was, 2 if the engine or its use was at fault: then nothing is
known of the time that was left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from proofs_checks.runner import Processes, Run
from proofs_checks.store import Store
from tests.fuzz.statements import book, by_instances

STATEMENTS = "tests/fuzz/statements.py"
LOG = Path(".hypothesis/fuzz.log")
ENGINE = (str(Path(sys.executable).with_name("hypothesis")), "fuzz", "--no-dashboard")
REPLAY = (sys.executable, "-m", "pytest", "-q")
FOUND, FAULT = 1, 2


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    files: Annotated[list[str] | None, typer.Argument(help="Tests, as for pytest; else those of the record.")] = None,
    minutes: Annotated[float, typer.Option(help="How long to search.", min=0.0)] = 10.0,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = os.cpu_count() or 1,
) -> None:
    """Search for some minutes for inputs that break property tests; replay what was found.

    What is found is kept in .hypothesis/examples, where pytest finds it, and a later search goes on from what an
    earlier one covered.
    """
    tests = files or [STATEMENTS]
    if STATEMENTS in tests:
        verified(jobs)
    fault = search(tests, minutes, jobs)
    replayed = replay(tests)
    if fault:
        print(f"{fault}; {LOG} has what it said", file=sys.stderr)
    raise typer.Exit(FOUND if replayed == FOUND else FAULT if fault else replayed)


def verified(jobs: int) -> None:
    """Evidence of all checks that draw instances, as `altgrad verify` computes and keeps it."""
    record = book()
    ids = list(dict.fromkeys(address.statement for address in by_instances(record)))
    Run(record, Store(), profile="quick", seed=0).execute(ids, Processes(jobs), lambda done, total: None)


def search(tests: list[str], minutes: float, jobs: int) -> str:
    """Let the engine run; why it did not do so for the whole time, if it did not."""
    LOG.parent.mkdir(exist_ok=True)
    command = [*ENGINE, "-n", str(jobs), "--", *tests]
    with LOG.open("w", encoding="utf-8") as log:
        engine = subprocess.Popen(command, env=environment(), stdout=log, stderr=log, start_new_session=True)
        try:
            status = engine.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(engine.pid, signal.SIGKILL)  # its own processes, too
            engine.wait()
    if status is not None:
        return f"the engine ended before its time, with exit status {status}"
    return "a process of the engine crashed" if "Traceback" in LOG.read_text(encoding="utf-8") else ""


def replay(tests: list[str]) -> int:
    """Run the tests as pytest does, first of all on what was kept."""
    status = subprocess.run([*REPLAY, *tests], env=environment(), check=False).returncode
    return status if status in (0, FOUND) else FAULT


def environment() -> dict[str, str]:
    """Without the mark of CI, where Hypothesis keeps no examples."""
    return {name: value for name, value in os.environ.items() if name != "CI"}


if __name__ == "__main__":
    app()
