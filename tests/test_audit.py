"""The audit sees what is planted for it, and a false lemma ends in no green verdict, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from proofs_checks import command_line, mutation, recorded, runner
from proofs_checks.audit import (
    FACTORS,
    SCHEMA,
    SECTIONS,
    Audit,
    audit,
    counts,
    divisor,
    mutation_faults,
    reference_digest,
    results,
)
from proofs_checks.digest import module_digest
from proofs_checks.judgement import Judgement, judge
from proofs_checks.mutation import (
    PINNED,
    ROOT,
    SUITES,
    Attempt,
    Mutant,
    Mutation,
    attempt_all,
    executed,
    mutants,
    source,
)
from proofs_checks.record import Part, Statement
from proofs_checks.recorded import identified
from proofs_checks.runner import Book, Processes, Run
from proofs_checks.softmax_attention import LARGEST_VALUE
from proofs_checks.store import Store
from proofs_checks.trial import Result
from reference import softmax_attention as attn
from reference.softmax_attention import Array

RED = {"refuted", "undecided", "not checked"}
PATHS = {  # in which a check may fail to see that its claim is false, each with a statement of `tests.planted`
    "a wrong formula": "false/G.3-deviating",
    "a wrong bound": "false/C.18-deviating",
    "no variants": "trouble/without-variants",
    "a variant that is accepted": "trouble/true-variant",
    "a variant that crashes": "trouble/raising-variant",
    "a variant whose process dies": "trouble/dying-variant",
    "a crash": "trouble/raises",
    "a crash on some instances": "trouble/raises-at-six",
    "a process that dies": "trouble/dies",
    "not a number": "trouble/nan",
    "a bound that is not a number": "trouble/nan-bound",
    "an infinite bound": "trouble/infinite-bound",
    "hypotheses that nothing meets": "trouble/discards-all",
    "hypotheses that little meets": "trouble/discards-most",
    "too many discarded": "trouble/discards",
    "evidence of the wrong kind": "trouble/unfit",
    "cited": "trouble/cited",
    "a proof of fixed sizes": "trouble/fixed-sizes",
    "a proof against a witness": "trouble/contradiction",
    "no implication": "trouble/no-implication",
    "no witness": "trouble/no-witness",
}
CONTROL = ("true/C.18", "true/G.3", "true/proof")


@pytest.fixture(scope="module")
def run(shared: Callable[[str], AbstractContextManager[Path]]) -> Run:
    """A quick run of all paths, with what `test_runner` has run of them."""
    with shared("planted") as folder:
        run = Run(Book.open("tests.planted"), Store(folder), profile="quick", seed=0)
        run.execute((*PATHS.values(), *CONTROL), Processes(2), lambda done, total: None)
        return run


@pytest.fixture(scope="module")
def judged(run: Run) -> dict[str, Judgement]:
    return judge(run.book, run)


# --- a false lemma in the record


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_a_false_lemma_to_a_green_verdict(judged: dict[str, Judgement], path: str) -> None:
    assert judged[PATHS[path]].verdict.standing in RED


@pytest.mark.parametrize("id", CONTROL)
def test_a_true_lemma_is_green(judged: dict[str, Judgement], id: str) -> None:
    assert judged[id].verdict.standing == "holds as printed"


def test_stale_evidence_is_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lemma was true when it was checked; its code is another now."""
    monkeypatch.setattr(runner, "check_digest", lambda *checked: "of other code")
    again = Run(run.book, run.store, profile="quick", seed=0)
    assert {judge(again.book, again)[id].verdict.standing for id in CONTROL} == {"not checked"}


def test_a_lemma_that_follows_from_a_false_one_falls_with_it(run: Run) -> None:
    lemma = Statement(
        id="lemma",
        kind="lemma",
        title="",
        locus="",
        parts=(Part(kind="inequality", claim="as the false one"),),
        uses=("true/C.18", "false/C.18-deviating"),
        follows="both",
    )
    book = Book("tests.planted", {**run.book.statements, "lemma": lemma})
    assert judge(book, Run(book, run.store, profile="quick", seed=0))["lemma"].verdict.standing == "refuted"


# --- what the audit says of them


def of(run: Run, *ids: str) -> Audit:
    return audit(run, ids, None)


def test_a_sound_check_has_no_fault(run: Run) -> None:
    found = of(run, *CONTROL)
    assert found.faults("deep") == []
    assert counts(found.planted) == {"refused": 3, "accepted": 0, "failed": 0, "not run": 0}


@pytest.mark.parametrize(
    ("id", "fault"),
    [
        ("trouble/without-variants", "has no false variant"),
        ("trouble/true-variant", "no variant accepted"),
        ("trouble/raising-variant", "raises failed"),
        ("trouble/dying-variant", "dies failed"),
    ],
)
def test_a_check_that_refuses_too_little_is_a_fault(run: Run, id: str, fault: str) -> None:
    (said,) = of(run, id).faults("quick")
    assert said.startswith(id)
    assert said.endswith(fault)


def test_a_check_that_was_not_run_is_a_fault(tmp_path: Path) -> None:
    nothing = Run(Book.open("tests.planted"), Store(tmp_path), profile="quick", seed=0)
    assert [fault for fault in of(nothing, "true/proof").faults("quick") if fault.endswith("no evidence")]


def test_hypotheses_that_nothing_meets_are_a_fault(run: Run) -> None:
    statements = {**run.book.statements}
    id = "trouble/discards-all"
    statements[id] = replace(statements[id], assumes=("n > 6",))
    vacuous = Run(Book("tests.planted", statements), run.store, profile="quick", seed=0)
    vacuous.execute((id,), Processes(1), lambda done, total: None)
    found = of(vacuous, id)
    assert [(m.hypotheses, m.instance, m.valid) for m in found.met] == [(("n > 6",), {}, 0)]
    assert found.faults("quick")


def test_a_proof_that_draws_nothing_leaves_the_instance_to_the_other_check_of_its_form(run: Run) -> None:
    run.execute(("true/proved",), Processes(1), lambda done, total: None)
    found = of(run, "true/proved")
    (m,) = found.met
    assert (m.valid, bool(m.instance["X"]), len(found.planted)) == (300, True, 2)
    assert not found.faults("quick")


def test_borrowed_truth_is_a_fault(run: Run) -> None:
    found = replace(of(run), borrowed={"proofs_checks.x.truth": ["reference.low_rank"]})
    assert found.faults("quick") == ["proofs_checks.x.truth rests on reference.low_rank"]


# --- slack


def times_128(X: Array, W_V: Array) -> Any:
    """The sharp bound times 128."""
    return 128 * attn.value_bound(X, W_V)


def divided_by_100(X: Array, W_V: Array) -> Any:
    """128 times the sharp bound, divided by 100."""
    return times_128(X, W_V) / 100


def divided_by_2(X: Array, W_V: Array) -> Any:
    """The sharp bound, divided by 2."""
    return attn.value_bound(X, W_V) / 2


def test_a_bound_can_be_divided_as_its_slack_says() -> None:
    """On the examples from which the slack was read: scaling the ratio changes no draw."""
    loose, sharp = (LARGEST_VALUE.run(claim, 0).worst for claim in (times_128, attn.value_bound))
    assert loose is not None
    assert sharp is not None
    assert (divisor(loose), divisor(sharp)) == (100, 1)
    assert LARGEST_VALUE.run(divided_by_100, 0).outcome == "supports"
    assert LARGEST_VALUE.run(divided_by_2, 0).outcome == "refutes"


def test_only_bounds_that_hold_have_slack(run: Run) -> None:
    found = of(run, "true/C.18", "true/G.3", "false/C.18-deviating")
    assert [(x.where, x.survives) for x in found.slack] == [("true/C.18, printed", 1)]


# --- mutants


def mutant(k: int) -> Mutant:
    return Mutant("low_rank", k, f"x + {k}", f"x - {k}", "f", "")


MADE = tuple(map(mutant, range(1, 401)))
SHAPES = "tests/test_shapes.py"


@pytest.mark.parametrize(
    ("survivors", "profile", "faults"),
    [(0, "deep", 0), (11, "deep", 0), (12, "deep", 1), (12, "quick", 0), (28, "quick", 0), (29, "quick", 1)],
)
def test_a_deep_sample_must_show_the_rate_and_a_small_one_only_not_refute_it(
    survivors: int, profile: str, faults: int
) -> None:
    found = Mutation(MADE, MADE[:survivors], seed=0)
    assert len(mutation_faults(found, profile)) == faults


def test_a_suite_that_fails_by_itself_is_a_fault() -> None:
    assert mutation_faults(Mutation(MADE, (), seed=0, broken=("low_rank",)), "quick")


def test_mutants_of_which_nothing_is_known_are_a_fault() -> None:
    assert mutation_faults(Mutation(MADE, (), seed=0, stopped=1), "quick")


def test_no_mutant_is_no_evidence() -> None:
    assert mutation_faults(Mutation((), (), seed=0), "deep")


def test_listed_survivors_do_not_count_and_must_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "reasons", lambda: {MADE[0].name: "x is 0"})
    surviving = Mutation(MADE, MADE[:1], seed=0)
    assert (surviving.counted, surviving.killed) == (399, 399)
    assert not mutation_faults(surviving, "deep")
    assert mutation_faults(Mutation(MADE, (), seed=0), "deep") == [
        f"on the list of survivors, but killed: {MADE[0].name}"
    ]


def test_every_module_has_a_kill_suite_that_exists() -> None:
    modules = {path.stem for path in (ROOT / "reference").glob("*.py")} - {"__init__"}
    assert modules == SUITES.keys()
    assert all((ROOT / file).is_file() for suite in (*SUITES.values(), (PINNED,)) for file in suite)


def test_the_sample_follows_from_the_seed_and_changes_code() -> None:
    first, again, other = ([m.name for m in islice(mutants(["masked_product"], s), 5)] for s in (0, 0, 1))
    assert first == again != other


def test_a_change_to_one_module_leaves_the_mutants_of_others_in_the_sample() -> None:
    alone = [m.name for m in islice(mutants(["masked_product"], 0), 5)]
    among = [m.name for m in mutants(["masked_product", "errors"], 0) if m.module == "masked_product"]
    assert among[:5] == alone


def test_what_changes_no_code_is_no_mutant() -> None:
    code = 'def f(x: int | None = None) -> float | None:\n    """A + B."""\n    return x\n'
    assert executed(code) == executed(code.replace("|", "+").replace("A + B", "A - B"))
    assert executed(code) != executed(code.replace("= None", "= 1"))


def test_mutants_die_and_the_project_stays_as_it_is(tmp_path: Path) -> None:
    """The code as it is, one that crashes at import, and one whose shell is stopped by a signal: that says nothing."""
    before = source("shapes")
    attempts = [Attempt("shapes", code, SHAPES) for code in (before, before + "raise ValueError\n")]
    attempts.append(Attempt("shapes", before + "import os\nos.kill(os.getppid(), 15)\n", SHAPES))
    found: dict[str, Result] = {}
    attempt_all(attempts, 2, lambda attempt, result: found.update({attempt.code: result}))
    assert [found[a.code].outcome for a in attempts] == ["supports", "refutes", "failed"]
    assert source("shapes") == before


def test_an_interruption_leaves_no_process_and_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[mutation.Running] = []

    def interrupted(one: mutation.Running) -> Result:
        started.append(one)
        raise KeyboardInterrupt

    monkeypatch.setattr(mutation.Running, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attempt_all([Attempt("shapes", source("shapes"), SHAPES)], 1, lambda attempt, result: None)
    (one,) = started
    assert one.process.returncode is not None
    assert not one.copy.exists()


def test_what_failed_without_a_mutant_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that fails by itself kills nothing; all else is tried once."""
    tried: list[str] = []
    outcomes = iter(["refutes", "supports", "supports", "supports", "refutes"])

    def attempts(some: Any, jobs: int, finished: Any) -> None:
        for attempt in some:
            tried.append(attempt.code)
            finished(attempt, Result(next(outcomes), examples=1))  # type: ignore[arg-type]  # one of the words

    monkeypatch.setattr(mutation, "attempt_all", attempts)
    monkeypatch.setattr(mutation, "bearing", lambda book, function: [])
    book, store = Book.open("tests.planted"), Store(tmp_path)
    sample = [replace(mutant(1), code="x = 1")]
    first, second, third = (mutation.mutate(book, store, sample, 1, 0, lambda done, total: None) for _ in range(3))
    assert (first.broken, first.made) == (("low_rank",), ())
    assert (second.broken, second.killed) == ((), 1)
    assert third == second
    assert tried == [source("low_rank")] * 4 + ["x = 1"]


def test_what_passes_the_tests_is_put_to_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, str, tuple[str, ...]]] = []

    def attempts(some: Any, jobs: int, finished: Any) -> None:
        for attempt in some:
            tried.append((attempt.code, attempt.file, attempt.statements))
            wrong = attempt.code == "x = 1" or (attempt.code == "x = 2" and bool(attempt.statements))
            finished(attempt, Result("refutes" if wrong else "supports", examples=1))

    monkeypatch.setattr(mutation, "attempt_all", attempts)
    monkeypatch.setattr(mutation, "bearing", lambda book, function: ["true/answer"])
    sample = [replace(mutant(k), code=f"x = {k}") for k in (1, 2, 3)]
    found = mutation.mutate(Book.open("tests.planted"), Store(tmp_path), sample, 1, 0, lambda done, total: None)
    assert [m.code for m in found.survived] == ["x = 3"]
    assert [code for code, _, statements in tried if statements] == [source("low_rank"), "x = 2", "x = 3"]
    assert [file for code, file, _ in tried if code == "x = 3"] == [*SUITES["low_rank"], PINNED, ""]
    assert [file for code, file, _ in tried if code == "x = 1"] == [SUITES["low_rank"][0]]


# --- what is written


def test_figures_fit_their_schema_and_nothing_else(run: Run) -> None:
    schema = json.loads((ROOT / "proofs_checks" / "audit.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schema["properties"]["schema"]["const"] == SCHEMA
    assert schema["$defs"]["slack"]["properties"]["survives"]["enum"] == list(FACTORS)
    check = Draft202012Validator(schema)
    found = audit(run, list(run.book.statements), Mutation(MADE, MADE[:1], seed=0))
    data = json.loads(json.dumps(results(found, run)))
    check.validate(data)
    assert all(data[key] for key in ("faults", "planted", "slack", "borrowed", "mutation"))
    for part in (data, data["planted"][0], data["slack"][0], data["mutation"], data["mutation"]["survived"][0]):
        part["other"] = 1
        assert not check.is_valid(data)
        del part["other"]


def test_figures_are_of_the_code_that_mutants_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint follows every module of `reference/`."""
    now, changed = reference_digest(), []
    for module in SUITES:
        name = f"reference.{module}"
        monkeypatch.setattr(
            recorded, "module_digest", lambda other, name=name: "changed" if other == name else module_digest(other)
        )
        identified.cache_clear()
        changed.append(reference_digest())
    monkeypatch.undo()
    identified.cache_clear()
    assert len({now, *changed}) == 1 + len(SUITES)


@pytest.mark.parametrize(("ids", "status"), [(("true/G.3",), 0), (("true/G.3", "trouble/true-variant"), 1)])
def test_the_command_exits_with_1_if_the_suite_can_be_fooled(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...], status: int
) -> None:
    monkeypatch.setattr(command_line, "_store", lambda: run.store)
    sections = [
        word for section in SECTIONS if section not in ("mutants", "independence") for word in ("--only", section)
    ]
    json_file = tmp_path / "audit.json"
    line = ["audit", *ids, *sections, "--record", "tests.planted", "--jobs", "1", "--json", str(json_file)]
    ended = CliRunner().invoke(command_line.app, line)
    assert ended.exit_code == status
    faults = json.loads(json_file.read_text("utf-8"))["faults"]
    assert bool(faults) == bool(status)
    assert all(fault in ended.output for fault in faults)
    assert "1 refused" in ended.output
