"""The command: exit statuses, tables, findings, and counterexamples that anyone can run."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from proofs_checks import command_line, export, terminal
from proofs_checks.judgement import Judgement, judge, summary
from proofs_checks.runner import Book, Run, jobs_of
from proofs_checks.store import FOLDER, Store
from proofs_checks.verdict import descendants

ROOT = Path(__file__).parent.parent
IDS = ("C.18", "D.4/condition", "E.11", "F.4", "G.3", "own/readings")  # in the order of the record
LEMMAS = IDS[:-1]
BOOK = Book.open()
WIDTH = 80
STYLING = {"COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM"}

Invoke = Callable[..., Result]
Baseline = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Home:
    """A folder in which the checks of IDS have run, and what that run said."""

    folder: Path
    run: subprocess.CompletedProcess[str]

    @property
    def data(self) -> Any:
        return json.loads((self.folder / "out.json").read_text("utf-8"))


def environment(**changed: str) -> dict[str, str]:
    """The environment, without what styles output; modules are found from any folder."""
    kept = {name: value for name, value in os.environ.items() if name not in STYLING}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **changed}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "proofs_checks", *arguments]


def take_along(left: Store, store: Store) -> None:
    """What `make verify` left of the results for IDS: a shard's name says all that it depends on."""
    for address in BOOK.checks(IDS):
        jobs = jobs_of(BOOK, address, "quick", 0)
        for job in (*jobs, replace(jobs[0], task="explain", name="")):
            if (result := left.load(job.key)) is not None:
                store.save(job.key, result)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, shared: Callable[[str], AbstractContextManager[Path]]) -> Home:
    """The one long run of this file; all others find its results."""
    folder = tmp_path_factory.mktemp("home")
    line = command("verify", *IDS, "--json", "out.json")
    with shared("results") as results:
        if not list(results.iterdir()):
            take_along(Store(ROOT / FOLDER), Store(results / FOLDER))
            subprocess.run(line, cwd=results, env=environment(), capture_output=True, check=False)
        shutil.copytree(results / ".altgrad", folder / ".altgrad")
    run = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return Home(folder, run)


@pytest.fixture
def invoke(home: Home, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Calls the command in this process, where the results lie."""
    monkeypatch.chdir(home.folder)
    for name in STYLING:
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(command_line.app, arguments)


@pytest.fixture(scope="session")
def stocked(home: Home) -> None:
    """What a whole run needs, as far as `make verify` left it: a shard's name says all that it depends on."""
    if (ROOT / ".altgrad").exists():
        shutil.copytree(ROOT / ".altgrad", home.folder / ".altgrad", dirs_exist_ok=True)


@pytest.fixture
def run(home: Home) -> Run:
    """A run that finds the results that lie there."""
    return Run(Book.open(), Store(home.folder / ".altgrad"), profile="quick", seed=0)


@pytest.fixture
def computed(run: Run) -> dict[str, Judgement]:
    """All statements, judged by these results."""
    return judge(run.book, run)


@pytest.fixture
def baseline(run: Run, monkeypatch: pytest.MonkeyPatch) -> Baseline:
    """A baseline that every verdict equals, as far as a run computes it; tests may change it."""
    recorded = {id: summary(j) for id, j in judge(run.book, run, recorded=False).items()}
    monkeypatch.setattr(export, "load_baseline", lambda profile: recorded)
    return recorded


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of three quick statements in a folder of its own."""
    source = "from tests.planted import RECORD as ALL\n"
    source += 'RECORD = tuple(s for s in ALL if s.id in ("false/answer", "true/answer", "true/proof"))\n'
    (tmp_path / "small_record.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "files", lambda package: tmp_path)
    return tmp_path


def verify_small(*arguments: str) -> Result:
    return CliRunner().invoke(command_line.app, ["verify", "--record", "small_record", *arguments])


def joined(text: str) -> str:
    """Text without its line breaks and indents."""
    return " ".join(text.split())


def table_of(output: str) -> list[str]:
    return output.split("\n\n", maxsplit=1)[0].splitlines()


def cells(table: list[str]) -> list[list[str]]:
    """The rows, cell by cell: a cell may go on in the lines below, whose first cell is empty."""
    starts = [table[0].index(name) for name in table[0].split()]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    found: list[list[str]] = []
    for line in table[1:]:
        if line.startswith("  "):
            parts = [line[start:stop].strip() for start, stop in spans]
            if parts[0]:
                found.append(parts)
            else:
                found[-1] = [joined(f"{above} {below}") for above, below in zip(found[-1], parts, strict=True)]
    return found


def rows(output: str) -> list[str]:
    """The ids that the table lists, as far as they belong to IDS."""
    return [line.split()[0] for line in table_of(output) if line.startswith("  ") and line[2:].startswith(IDS)]


def reproductions(shown: str) -> list[list[str]]:
    """The three lines after each `reproduce:`."""
    lines = shown.splitlines()
    return [[x.strip() for x in lines[k + 1 : k + 4]] for k, line in enumerate(lines) if line.strip() == "reproduce:"]


# verify


def test_verify_says_what_holds(home: Home) -> None:
    assert home.run.stderr == ""
    assert home.run.returncode in {0, command_line.DIFFERS}  # by the baseline
    assert rows(home.run.stdout) == list(IDS)
    assert "5 statements: " in home.run.stdout
    assert "own findings: 1" in home.run.stdout


def test_table_has_its_columns(home: Home) -> None:
    table = table_of(home.run.stdout)
    assert table[0].split() == ["statement", "verdict", "derivation", "evidence", "worst"]
    [lemma] = [line for line in cells(table) if line[0] == "G.3"]
    assert lemma[1:4] == ["holds after repair (proved in scope)", "broken at G.3", "property proof"]
    assert 0 < float(lemma[4]) <= 1


def test_table_goes_by_section(home: Home, computed: dict[str, Judgement]) -> None:
    headings = [line.split()[0] for line in table_of(home.run.stdout)[1:] if not line.startswith(" ")]
    assert headings == list(dict.fromkeys(computed[id].statement.section for id in IDS))
    assert all(terminal.SECTIONS[section] in home.run.stdout for section in headings)


def test_table_shows_the_verdicts_that_were_computed(home: Home, computed: dict[str, Judgement]) -> None:
    shown = [tuple(line[:2]) for line in cells(table_of(home.run.stdout))]
    for id in IDS:
        assert (id, str(computed[id].verdict)) in shown
        for part in computed[id].parts:
            if part.evidence and part.part.name:
                assert (part.part.name, str(part.verdict)) in shown


def test_no_line_is_too_long(home: Home) -> None:
    assert max(map(len, home.run.stdout.splitlines())) <= WIDTH


def test_whole_table_is_not_too_wide(computed: dict[str, Judgement]) -> None:
    text = io.StringIO()
    terminal.print_verdicts(Console(file=text, width=WIDTH), computed.values())
    assert max(map(len, text.getvalue().splitlines())) <= WIDTH
    assert "…" not in [line.strip()[-1:] for line in text.getvalue().splitlines()]


def test_every_finding_has_its_command(home: Home, computed: dict[str, Judgement]) -> None:
    text = joined(home.run.stdout.split("Findings")[1])
    for id in IDS:
        for p in computed[id].findings:
            assert f"{id}{f' ({p.part.name})' if p.part.name else ''}: {joined(p.part.claim)}" in text
            if p.part.fault:
                touched = len(descendants(id, BOOK.statements)) or "no"
                assert f"{p.part.fault}; {touched} other statements rest on {id}" in text
                assert joined("refuted as printed") in text
        assert f"altgrad show {id}" in text
    assert text.count("altgrad show ") == sum(len(computed[id].findings) for id in IDS)


def test_errors_come_before_gaps_and_misprints(home: Home, computed: dict[str, Judgement]) -> None:
    text = home.run.stdout.split("Findings")[1]
    faults = re.findall(r"^ +(error|gap|misprint); ", text, re.MULTILINE)
    assert faults == sorted(faults)
    assert {"error", "gap", "misprint"} == set(faults)


def test_show_says_what_a_fault_affects_and_how_sure_it_is(invoke: Invoke, computed: dict[str, Judgement]) -> None:
    shown = joined(invoke("show", "G.3").stdout)
    [part] = [p.part for p in computed["G.3"].parts]
    assert f"{part.fault}: {part.consequence}" in shown
    unseen = next(j for j in computed.values() if j.missing and any(p.part.fault for p in j.parts))
    assert "how sure" not in invoke("show", unseen.statement.id).stdout, "without evidence nothing is called a fault"
    assert "how sure: the refutation is certain (balls of 256 bits: the enclosures are disjoint)" in shown


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_codes_in_a_file(home: Home, variables: dict[str, str]) -> None:
    for arguments in (["verify", *IDS], ["show", "G.3"]):
        line = command(*arguments)
        run = subprocess.run(line, cwd=home.folder, env=environment(**variables), capture_output=True, check=False)
        assert run.stdout
        assert b"\x1b" not in run.stdout + run.stderr


def in_terminal(home: Home, **variables: str) -> str:
    """What `altgrad show G.3` writes to a terminal."""
    ours, theirs = pty.openpty()
    line = command("show", "G.3")
    with subprocess.Popen(line, cwd=home.folder, env=environment(**variables), stdin=theirs, stdout=theirs) as process:
        os.close(theirs)
        text = b"".join(chunks(ours))
    os.close(ours)
    assert process.returncode == 0
    return text.decode()


def chunks(descriptor: int) -> Iterator[bytes]:
    """What can be read until the other side is closed: Linux raises an error there."""
    with suppress(OSError):
        while chunk := os.read(descriptor, 4096):
            yield chunk


def test_colours_in_a_terminal_only_if_wanted(home: Home) -> None:
    coloured = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
    assert coloured.search(in_terminal(home, TERM="xterm-256color"))
    assert not coloured.search(in_terminal(home, TERM="xterm-256color", NO_COLOR="1"))
    assert "\x1b" not in in_terminal(home, TERM="dumb")


@pytest.mark.parametrize("ids", [["g.3", "f.4"], ["F.4", "G.3", "g.3"], ["G.3", "F.4"]])
def test_ids_in_any_case_and_order(invoke: Invoke, ids: list[str]) -> None:
    assert rows(invoke("verify", *ids).stdout) == ["F.4", "G.3"]


def test_words_in_ids_have_no_case(invoke: Invoke) -> None:
    assert rows(invoke("verify", "OWN/Readings").stdout) == ["own/readings"]


def written(home: Home) -> dict[Path, int]:
    """When each stored result was written."""
    return {path: path.stat().st_mtime_ns for path in (home.folder / ".altgrad").rglob("*.json")}


def test_stored_results_are_used(home: Home, invoke: Invoke) -> None:
    before = written(home)
    again = invoke("verify", *IDS, "--json", "again.json")
    assert again.stdout == home.run.stdout
    assert (home.folder / "again.json").read_bytes() == (home.folder / "out.json").read_bytes()
    assert written(home) == before


# The baseline


def test_equal_to_the_baseline(invoke: Invoke, baseline: Baseline) -> None:
    for id in set(baseline) - set(IDS):
        del baseline[id]
    result = invoke("verify", *IDS)
    assert result.exit_code == 0, result.output
    assert joined(result.stdout).endswith("Every verdict equals the recorded baseline (quick, seed 0).")


def test_statements_that_were_not_asked_for_do_not_matter(invoke: Invoke, baseline: Baseline) -> None:
    result = invoke("verify", "G.3")
    assert set(baseline) > {"G.3"}
    assert result.exit_code == 0, result.output
    assert "baseline only" not in result.stdout


@pytest.mark.parametrize("changed", ["verdict", "derivation"])
def test_derivations_are_compared_in_whole_runs_only(invoke: Invoke, baseline: Baseline, changed: str) -> None:
    baseline["G.3"] = {**baseline["G.3"], changed: "another"}
    result = invoke("verify", "G.3")
    assert result.exit_code == (command_line.DIFFERS if changed == "verdict" else 0), result.output


def test_difference_is_named(invoke: Invoke, baseline: Baseline, computed: dict[str, Judgement]) -> None:
    baseline["G.3"] = {**baseline["G.3"], "verdict": "holds as printed (proved)"}
    result = invoke("verify", "F.4", "G.3")
    assert result.exit_code == command_line.DIFFERS
    now = summary(computed["G.3"])["verdict"]
    assert f"G.3: verdict is {now!r}, the baseline has 'holds as printed (proved)'" in joined(result.stdout)
    assert "F.4: verdict is" not in joined(result.stdout)
    assert "Every verdict equals" not in result.stdout


def test_unrecorded_statement_is_named(invoke: Invoke, baseline: Baseline) -> None:
    del baseline["G.3"]
    result = invoke("verify", "G.3")
    assert result.exit_code == command_line.DIFFERS
    assert "G.3: not in the baseline" in result.stdout


def test_baseline_is_recorded_and_compared(small: Path) -> None:
    assert not (small / export.BASELINE).exists()
    recorded = verify_small("--record-baseline")
    assert recorded.exit_code == 0, recorded.output
    assert "recorded as the quick baseline" in joined(recorded.stdout)
    assert set(json.loads((small / export.BASELINE).read_text("utf-8"))["quick"]) == {
        "false/answer",
        "true/answer",
        "true/proof",
    }
    again = verify_small()
    assert again.exit_code == 0, again.output
    assert "Every verdict equals the recorded baseline" in joined(again.stdout)


def test_whole_run_names_all_differences_in_order(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify_small("--record-baseline")
    recorded = export.load_baseline("quick")
    recorded["true/proof"]["derivation"] = "broken at true/answer"
    gone = [f"gone/{k}" for k in range(8)]
    recorded |= {id: {"verdict": "refuted", "derivation": "intact"} for id in gone}
    monkeypatch.setattr(export, "load_baseline", lambda profile: recorded)
    result = verify_small()
    assert result.exit_code == command_line.DIFFERS
    text = joined(result.stdout)
    assert "true/proof: derivation is 'intact', the baseline has 'broken at true/answer'" in text
    assert re.findall(r"(gone/\d): in the baseline only", text) == gone


# Bad usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "G.33"],
        ["verify", "G.3", "nothing"],
        ["verify", "--no-such-option"],
        ["verify", "G.3", "--profile", "huge"],
        ["verify", "G.3", "--jobs", "0"],
        ["verify", "G.3", "--jobs", "many"],
        ["verify", "G.3", "--seed", "-1"],
        ["verify", "G.3", "--seed", "1.5"],
        ["verify", "G.3", "--json", "no-such-folder/out.json"],
        ["verify", "G.3", "--json", "."],
        ["verify", "G.3", "--record-baseline"],
        ["show"],
        ["show", "G.33"],
        ["show", "G.3", "F.4"],
        ["show", "G.3", "--seed", "-1"],
        ["no-such-command"],
    ],
)
def test_bad_usage(invoke: Invoke, arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == command_line.BAD_USAGE, result.output
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["verify", "show"])
def test_unknown_id_brings_suggestions(invoke: Invoke, command: str) -> None:
    result = invoke(command, "own/reading")
    assert result.exit_code == command_line.BAD_USAGE
    assert "no statement 'own/reading'; did you mean own/readings" in joined(result.stderr)


def test_missing_folder_is_named(invoke: Invoke) -> None:
    result = invoke("verify", "G.3", "--json", "no-such-folder/out.json")
    assert "no-such-folder" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"], ["show", "--help"]])
def test_help(invoke: Invoke, arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    if arguments[0] == "--help":
        commands, steps = result.stdout.partition("Commands:\n")[2].split("  First steps:\n")
        listed = {line.split()[0] for line in commands.splitlines() if line}
        assert {line.split()[1] for line in steps.splitlines() if line.startswith("    altgrad")} <= listed
        assert "..." not in commands
    if arguments[0] == "verify":
        assert all(f"--{option}" in result.stdout for option in ("profile", "json", "seed", "jobs", "fresh"))
        assert "130 after Ctrl-C" in joined(result.stdout)


# show


@pytest.mark.parametrize("id", LEMMAS)
def test_show_has_formulas(invoke: Invoke, computed: dict[str, Judgement], id: str) -> None:
    text = joined(invoke("show", id).stdout)
    forms = [f.form for p in computed[id].parts for f in p.forms if f.form.formula]
    assert {"printed", "repaired"} <= {form.role for form in forms}
    for form in forms:
        assert form.formula is not None
        formula = terminal.latex(form.formula)
        assert "\\" in formula
        assert joined(formula) in text
        assert joined(f"{form.role}: {form.reading}" if form.reading else form.role) in text


def test_show_writes_the_formula_of_the_docstring(invoke: Invoke) -> None:
    text = joined(invoke("show", "G.3").stdout)
    assert r"\frac{dL}{dW_{V_i}} = X^\top f(X) G_i" in text
    assert r"\frac{dL}{dW_V} = X^\top f(X)^\top G" in text


@pytest.mark.parametrize("id", IDS)
def test_show_has_verdict_derivation_and_dependents(invoke: Invoke, computed: dict[str, Judgement], id: str) -> None:
    result = invoke("show", id)
    assert result.exit_code == 0
    text = joined(result.stdout)
    assert text.startswith(f"{id} {computed[id].statement.title}")
    assert f"verdict: {computed[id].verdict}" in text
    assert (f"derivation: {computed[id].derivation}" in text) == (computed[id].statement.kind != "finding")
    dependents = descendants(id, {i: j.statement for i, j in computed.items()})
    assert (f"used by: {', '.join(dependents)}" in text) == bool(dependents)
    for related in computed[id].statement.related:
        assert related in text


@pytest.mark.parametrize("id", IDS)
def test_show_has_the_evidence(invoke: Invoke, computed: dict[str, Judgement], id: str) -> None:
    text = joined(invoke("show", id).stdout)
    assert computed[id].evidence
    for e in computed[id].evidence:
        assert f"{e.kind} evidence: {joined(terminal.evidence_line(e))}" in text
        assert f"{e.refused} of {e.planted} false variants refused" in text
        assert f"seed 0, digest {e.digest}" in text
        if e.outcome == "supports" and e.required:
            assert f"{e.examples} of {e.required} examples" in text
        if e.counterexample is not None:
            c = e.counterexample
            assert joined(f"{c.where}: claimed {c.claimed}, true {c.true}") in text
            assert joined(f"counterexample, {c.search}:") in text
            assert all(joined(f"{name} = {rows}") in text for name, rows in c.operands.items())


def test_show_has_no_hint_where_nothing_is_missing(invoke: Invoke) -> None:
    assert "no fresh evidence" not in invoke("show", "G.3").stdout


def test_show_without_evidence_says_how_to_get_it(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("show", "G.3")
    assert result.exit_code == 0
    assert "verdict: not checked" in result.stdout
    assert "To make it: altgrad verify G.3" in joined(result.stdout)


def test_show_takes_the_seed_into_account(invoke: Invoke) -> None:
    assert "To make it: altgrad verify G.3 --seed 1" in joined(invoke("show", "G.3", "--seed", "1").stdout)


def test_show_takes_ids_in_any_case(invoke: Invoke) -> None:
    assert invoke("show", "g.3").stdout == invoke("show", "G.3").stdout


def counterexamples(home: Home, id: str) -> list[list[str]]:
    """The lines of every counterexample in the JSON."""
    [statement] = [s for s in home.data["statements"] if s["id"] == id]
    evidence = [e for p in statement["parts"] for f in p["forms"] for e in f["evidence"]]
    return [e["counterexample"]["python"] for e in evidence if e["counterexample"]]


@pytest.mark.parametrize("id", LEMMAS)
def test_counterexamples_can_be_copied(invoke: Invoke, home: Home, id: str) -> None:
    assert counterexamples(home, id)
    assert reproductions(invoke("show", id).stdout) == counterexamples(home, id)


@pytest.mark.parametrize("id", LEMMAS)
def test_counterexamples_show_two_different_sides(home: Home, tmp_path: Path, id: str) -> None:
    for lines in {tuple(lines) for lines in counterexamples(home, id)}:
        assert len(lines) == 3
        line = [sys.executable, "-c", "\n".join(lines)]
        run = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        claimed, true = sides(run.stdout)
        assert claimed != true


def sides(output: str) -> tuple[list[str], list[str]]:
    """The first and the second half: of the lines, or of the words of a single line."""
    lines = output.splitlines()
    pieces = lines[0].split() if len(lines) == 1 else lines
    half, rest = divmod(len(pieces), 2)
    assert half
    assert not rest
    return pieces[:half], pieces[half:]


def masked(text: str) -> list[str]:
    """Lines without what differs from machine to machine: measured ratios and digests."""
    return [re.sub(r"\b[0-9a-f]{24}\b|\d+\.\d+(?:e-\d+)?(?= *$|;)", "#", line).strip() for line in text.splitlines()]


def readme_block(name: str) -> list[str]:
    found = re.search(
        rf"<!-- output: {name} -->\n```text\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert found, f"README.md has no block for the output of {name}"
    return [line for line in masked(found[1]) if line]


@pytest.mark.usefixtures("stocked")
@pytest.mark.parametrize(
    ("block", "arguments"),
    [("verify", ["verify"]), ("findings", ["verify"]), ("counterexample", ["show", "G.3"])],
)
def test_readme_shows_real_output(block: str, arguments: list[str], invoke: Invoke) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    lines = iter(masked(result.stdout))
    shown = readme_block(block)
    assert shown, f"README.md shows nothing of {arguments}"
    for line in shown:
        assert line in lines, f"{line!r} of README.md is not in the output of {arguments}, or not in this place"


@pytest.mark.usefixtures("stocked")
def test_whatever_is_refuted_in_a_reading_is_called_a_fault(invoke: Invoke) -> None:
    assert invoke("verify", "--json", "whole.json").exit_code == 0
    for statement in json.loads(Path("whole.json").read_text("utf-8"))["statements"]:
        for part in statement["parts"]:
            refuted = any(form["role"] == "printed" and form["verdict"] == "refuted" for form in part["forms"])
            stale = part["kind"] == "experiment" and any(form["verdict"] == "undecided" for form in part["forms"])
            if part["kind"] != "asymptotic" and not stale:  # there a counterexample leaves the printed form undecided
                assert (part["fault"] is not None) == refuted, statement["id"]
            assert part["fault"] is not None or not refuted, statement["id"]


def test_a_failed_check_is_named_and_never_becomes_the_baseline(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'from tests.planted import RECORD as ALL\nRECORD = tuple(s for s in ALL if s.id == "trouble/raises")\n'
    (small / "failing_record.py").write_text(source, "utf-8")
    result = CliRunner().invoke(command_line.app, ["verify", "--record", "failing_record", "--record-baseline"])
    assert result.exit_code == command_line.BAD_USAGE
    assert "failed: " in result.stdout
    assert "no check failed" in result.stderr
    assert not (small / "baseline.json").exists()
