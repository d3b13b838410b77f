"""The harness of the benchmarks, with contenders that are made up; and the page of docs that it makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyperf
import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks import comparisons, contenders, harness, report, targets
from benchmarks.comparisons import Profile
from benchmarks.harness import Comparison, Contender, Measured, Results
from benchmarks.problem import Problem, errors
from reference import qkv

SMALL = Problem(48, 3)
MACHINE: dict[str, str | int] = {"cpu_model_name": "a slide rule", "threads": 2, "date": "2026-01-02 03:04:05"}


class Clock:
    """A clock that only contenders move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, seconds: float, calls: list[str]) -> Contender:
        def call() -> Mapping[str, Any]:
            calls.append(name)
            self.now += seconds
            return {}

        return Contender(lambda _: call, SMALL)


@pytest.fixture
def any_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "check_threads", lambda: None)


def race(*seconds: float, **options: Any) -> tuple[dict[str, Measured], str]:
    """What "a", "b", … measure that take so long, and who was called when."""
    clock, calls = Clock(), list[str]()
    some = {name: clock.contender(name, s, calls) for name, s in zip("abc", seconds, strict=False)}
    return harness.interleave(Comparison("race", some, **options), clock), "".join(calls)


# ----------------------------------------------------------------------------------------------------------- timing


@pytest.mark.usefixtures("any_threads")
def test_contenders_take_turns() -> None:
    found, calls = race(2, 3, 4, least=3, budget=0)
    assert calls == "abc" + 3 * "abc"  # the first calls are not timed
    assert {name: measured.values for name, measured in found.items()} == {
        "a": (2, 2, 2),
        "b": (3, 3, 3),
        "c": (4, 4, 4),
    }


@pytest.mark.usefixtures("any_threads")
def test_a_short_call_is_made_once_more_before_it_is_timed() -> None:
    found, calls = race(2, 0.5, least=3, budget=0)
    assert calls == "ab" + "ab" + 2 * "abb"
    assert found["b"].values == (0.5, 0.5, 0.5)


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize(("budget", "rounds"), [(0, 3), (3, 3), (4, 4), (1000, 6)])
def test_rounds_follow_the_budget_within_limits(budget: float, rounds: int) -> None:
    found, _ = race(1, least=3, most=6, budget=budget)
    assert len(found["a"].values) == rounds


def test_other_numbers_of_threads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = [{"prefix": "libgomp", "num_threads": harness.THREADS}, {"prefix": "libopenblas", "num_threads": 7}]
    monkeypatch.setattr(harness, "threadpool_info", lambda: pools)
    with pytest.raises(RuntimeError, match=r"needs 2 threads.*got \{'libopenblas': 7\}"):
        harness.check_threads()
    del pools[1]
    harness.check_threads()


def test_ratios_are_taken_within_rounds() -> None:
    figures = harness.ratio(Measured((10, 40, 90, 160)), Measured((10, 20, 30, 40)))
    assert figures == (1, 2, 3, 4)
    assert harness.summary(figures) == (2.5, 1.75, 3.25)
    with pytest.raises(ValueError, match="shorter"):
        harness.ratio(Measured((1, 2)), Measured((1,)))


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("problem", [SMALL, Problem(300, 3, heads=2), Problem(300, 2, causal=True)])
def test_errors_are_those_against_exact_attention(problem: Problem) -> None:
    operands = [x.astype(np.float64) for x in (problem.Q, problem.K, problem.V, problem.dO)]
    output = qkv.attention(*operands[:3], scale=1.0, causal=problem.causal)
    gradient = qkv.attention_vjp(*operands, scale=1.0, causal=problem.causal)
    truth: dict[str, Any] = {"output": output, "dQ": gradient.Q, "dK": gradient.K, "dV": gradient.V}
    for name, x in truth.items():
        found = errors(problem, truth | {name: 1.25 * x}, exact_keys=300)
        assert found.pop(name) == pytest.approx(0.25), f"{name} is off by a quarter, {problem}"
        assert max(found.values()) < 1e-13, f"nothing else is, {problem}"


def test_errors_of_keys_are_left_out_beyond_a_size() -> None:
    value = contenders.dense(SMALL)()
    assert errors(SMALL, value, SMALL.n).keys() == {"output", "dQ", "dK", "dV"}
    assert errors(SMALL, value, SMALL.n - 1).keys() == {"output", "dQ"}


@pytest.mark.parametrize("problem", [SMALL, Problem(128, 3, heads=2)])
def test_dense_numpy_is_exact(problem: Problem) -> None:
    value = contenders.dense(problem)()
    assert max(errors(problem, value, problem.n).values()) < 1e-5
    np.testing.assert_array_equal(contenders.dense_forward(problem)()["output"], value["output"])


@pytest.mark.parametrize(
    "step", [contenders.products, contenders.products_in_tiles, contenders.elementwise, contenders.copies]
)
def test_steps_run(step: Callable[[Problem], contenders.Call]) -> None:
    assert step(Problem(2 * contenders.BLOCK, 2))() == {}


# -------------------------------------------------------------------------------------- a process for each comparison


def greedy(problem: Problem) -> contenders.Call:
    """64 MiB beyond its output."""
    return lambda: {"output": np.ones(2**24, np.float32)[: problem.n * problem.d].reshape(1, problem.n, -1).copy()}


def process_and_memory(comparison: Comparison) -> dict[str, Measured]:
    assert harness.ENVIRONMENT.items() <= os.environ.items()
    return {"process": Measured((os.getpid(),)), **harness.peak_memory(comparison)}


def test_a_comparison_has_a_process_an_environment_and_a_memory_of_its_own() -> None:
    """Of the call's memory what is beyond inputs and outputs."""
    before = dict(os.environ)
    some = {"greedy": Contender(greedy, Problem(2**14, 8))}
    found = harness.in_own_process(Comparison("memory", some, measure=process_and_memory))
    assert found["process"].values != (os.getpid(),)
    assert dict(os.environ) == before
    assert found["greedy"].unit == "byte"
    assert 60 * 2**20 < found["greedy"].values[0] < 72 * 2**20


# ------------------------------------------------------------------------------------------------------------ files


def test_files_hold_everything(tmp_path: Path) -> None:
    results: Results = {
        "race": {"a": Measured((1.0, 2.0), {"dQ": 0.125}, 7), "b": Measured((3.0, 4.0))},
        "memory": {"a": Measured((2.0**20,), unit="byte")},
    }
    machines = {"race": MACHINE, "memory": {**MACHINE, "threads": 3}}
    file = tmp_path / "new" / "results.json"
    harness.save(results, machines, file)
    assert harness.load(file) == (results, machines)
    assert len(pyperf.BenchmarkSuite.load(str(file))) == 3, "pyperf reads it"


def test_files_name_no_machine() -> None:
    about = harness.machine()
    assert about["threads"] == harness.THREADS
    assert "hostname" not in about
    assert os.uname().nodename not in map(str, about.values())


def test_runs_of_verify_are_apart_and_have_to_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Run:
        def __init__(self, command: list[str], **how: Any) -> None:
            started.append((command[-2:], how["cwd"], list(Path(how["cwd"]).iterdir())))

        def wait(self) -> int:
            return len(started) - 2

    monkeypatch.setattr("subprocess.Popen", Run)
    harness.verify_runs(2, 1)
    assert [(command, content) for command, _, content in started] == [(["--jobs", "1"], [])] * 2
    assert len({folder for _, folder, _ in started}) == 2
    with pytest.raises(RuntimeError, match="a run of verify failed"):
        harness.verify_runs(1, 2)


# ---------------------------------------------------------------------------------------------------------- targets


def made_up(profile: Profile = Profile.full) -> Results:
    """Every contender's n-th is n seconds slower; no errors to speak of."""
    found = dict.fromkeys(("output", "dQ", "dK", "dV"), 0.01)
    results: Results = {
        x.name: {
            name: Measured((n + 1.0, n + 1.0, n + 2.0), found, contender.work)
            for n, (name, contender) in enumerate(x.contenders.items())
        }
        for x in comparisons.comparisons(profile)
    }
    return results | {
        comparisons.VERIFY_NAME: {
            harness.TOGETHER: Measured((150.0,)),
            harness.ALONE: Measured((280.0,)),
            harness.APART: Measured((290.0,), work=2),
        }
    }


@pytest.mark.parametrize("profile", Profile)
def test_names_of_comparisons_are_unique(profile: Profile) -> None:
    names = [x.name for x in comparisons.comparisons(profile)]
    assert len(names) == len(set(names))


def test_targets_are_judged_by_the_full_profile() -> None:
    assert len(targets.judged(made_up())) == len(targets.targets())
    assert report.not_run(made_up()) == []
    names = [target.name for target in targets.targets()]
    assert len(names) == len(set(names))
    assert targets.REASONS.keys() <= set(names)


@pytest.mark.parametrize(("limit", "at_least", "at_most"), [(3, True, False), (4, True, True), (5, False, True)])
def test_a_target_is_met_or_missed(limit: float, at_least: bool, at_most: bool) -> None:
    results = {"race": {"b": Measured((3, 4, 5))}}
    for direction, met in ((True, at_least), (False, at_most)):
        target = targets.Target("t", "race", lambda found: found["b"].values, limit, direction)
        assert target.judge(results).met is met, f"4 against {limit}"


def test_a_missed_target_is_reported_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    target = targets.Target("t", "race", lambda found: found["b"].values, 5)
    row = target.judge({"race": {"b": Measured((3, 4, 5))}})
    assert report.target_rows([row])[0][-1] == "missed: not explained yet"
    monkeypatch.setitem(targets.REASONS, "t", "the products alone take longer")
    assert report.target_rows([row])[0][-1] == "missed: the products alone take longer"
    assert report.target_rows([replace(row, met=True)])[0][-1] == "met"


def test_the_best_peer_is_the_fastest_with_such_errors() -> None:
    first, second, third, fourth = contenders.PEERS
    found = {
        comparisons.ALTGRAD: Measured((1, 1), {"dQ": 0.1}),
        first: Measured((5, 7), {"dQ": 0.1}),
        second: Measured((6, 6), {"dQ": 0.2}),
        third: Measured((2, 2), {"dQ": 0.21}),
        fourth: Measured((9, 9), {"dQ": 0.01}),
    }
    assert targets.faster_than_peers(found) == (5, 6)


def test_figures() -> None:
    found = {
        comparisons.GRADIENT: Measured((8, 4)),
        comparisons.PRODUCTS: Measured((4, 4)),
        comparisons.TILES: Measured((6, 3)),
        "without": Measured((2, 2)),
        "with": Measured((3, 4)),
    }
    assert targets.rate_of_products(comparisons.PRODUCTS, found) == (50, 100)
    assert targets.rate_of_products(comparisons.TILES, found) == (75, 75)
    assert targets.share(found) == (50, 100)
    tokens = {"n = 10": Measured((10, 20), work=10), "n = 20": Measured((30, 40), work=20)}
    assert targets.spread_of_time_per_token(tokens) == (1.5, 1)
    runs = {harness.TOGETHER: Measured((165,)), harness.APART: Measured((300,), work=2)}
    assert targets.lost_by_sharing(runs) == pytest.approx((10,))


# ----------------------------------------------------------------------------------------------------------- report


def test_the_page_is_what_the_command_makes() -> None:
    """After a new measurement: `python -m benchmarks report`."""
    text = report.PAGE.read_text("utf-8")
    measured = harness.load(report.RESULTS) if report.RESULTS.exists() else (None, {})
    assert text == report.page(text, *measured)


def test_the_report_has_all_rows() -> None:
    text = report.page(report.PAGE.read_text("utf-8"), made_up(), dict.fromkeys(made_up(), MACHINE))
    assert report.NOT_MEASURED not in text
    for target in targets.targets():
        assert text.count(f"\n| {target.name} | ") == 1
    for name in made_up():
        assert text.count(f"\n| {name} | ") == 1
    assert "- cpu model name: a slide rule\n- date: 2026-01-02\n- threads: 2\n" in text
    assert text == report.page(text, made_up(), dict.fromkeys(made_up(), MACHINE)), "made again, it is the same"


def test_the_report_refuses_results_without_a_needed_row() -> None:
    text, results = report.PAGE.read_text("utf-8"), made_up()
    name = comparisons.both_name(8, comparisons.LARGE)
    del results[name][comparisons.SDPA]
    with pytest.raises(report.IncompleteError, match=f"^the results lack {name}: PyTorch$"):
        report.page(text, results, {})
    del results[name]
    with pytest.raises(report.IncompleteError, match=f"^the results lack {name}$"):
        report.page(text, results, {})
    with pytest.raises(report.IncompleteError, match="0 blocks <!-- speed: targets -->"):
        report.page("", None, {})


def test_equal_errors_are_looked_up_among_what_was_measured() -> None:
    """At d = 12 only degrees 2 and 4 of "differentiate" were."""
    results = made_up()
    found = results[comparisons.methods_name(12, comparisons.MIDDLE)]
    for name, error in (("antiderivative, degree 2", 0.1), ("differentiate, degree 2", 0.2)):
        found[name] = replace(found[name], errors={"dQ": error, "dK": error})
    (row,) = (row for row in report.method_rows(results) if row[0] == "12")
    assert row[3] == "degree 4"
    found["differentiate, degree 4"] = found["differentiate, degree 2"]
    (row,) = (row for row in report.method_rows(results) if row[0] == "12")
    assert row[3] == "none measured"


@pytest.mark.parametrize(
    ("x", "text"), [(1234.5, "1,234"), (99.9, "99.9"), (1, "1.00"), (0.01234, "0.0123"), (-12.34, "-12.3")]
)
def test_numbers_have_three_digits(x: float, text: str) -> None:
    assert report.number(x) == text


# ----------------------------------------------------------------------------------------------------- command line


def test_run_writes_a_file_and_goes_on_when_one_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(comparison: Comparison) -> dict[str, Measured]:
        if comparison.name == "two":
            raise BrokenProcessPool
        return {"a": Measured((1.0, 2.0)), "b": Measured((4.0, 6.0))}

    some = [Comparison(name, {}) for name in ("one", "two", "three")]
    monkeypatch.setattr(command_line, "comparisons", lambda profile: some)
    monkeypatch.setattr(command_line, "in_own_process", measure)
    file = tmp_path / "results.json"
    ended = CliRunner().invoke(command_line.app, ["run", "--json", str(file)])
    assert ended.exit_code == 1
    assert "died: two" in ended.output
    assert f"not in this run: {len(targets.targets())}" in ended.output
    assert harness.load(file)[0].keys() == {"one", "three"}
    some[1:] = [Comparison("four", {})]
    assert CliRunner().invoke(command_line.app, ["run", "--only", "four", "--json", str(file)]).exit_code == 0
    assert harness.load(file)[0].keys() == {"one", "three", "four"}


def test_report_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, file = tmp_path / "speed.md", tmp_path / "full.json"
    page.write_text(report.PAGE.read_text("utf-8"), "utf-8")
    harness.save(made_up(), dict.fromkeys(made_up(), MACHINE), file)
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "RESULTS", file)
    ended = CliRunner().invoke(command_line.app, ["report"])
    assert ended.exit_code == 0, ended.output
    assert "a slide rule" in page.read_text("utf-8")
