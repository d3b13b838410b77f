"""The whole way from a claim to its verdict, on planted statements: no false lemma and no trouble ends green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from proofs_checks import runner
from proofs_checks.evidence import Evidence
from proofs_checks.judgement import Judgement, judge
from proofs_checks.runner import Book, Processes, Run
from proofs_checks.store import Store
from tests import planted

MODULE = "tests.planted"
LIMIT = 10.0  # seconds, for the jobs that do not end
CHEAP = ("false/C.18-printed", "false/G.3-deviating", "false/E.11-deviating", "true/F.4", "trouble/contradiction")

REASONS = {  # what the reason of a form that ends undecided must say
    "trouble/raises": "planted",
    "trouble/raises-at-six": "planted at n = 6",
    "trouble/nan": "is rounded",
    "trouble/flat": "shape",
    "trouble/stacked": "shape",
    "trouble/flipped": "shape",
    "trouble/rounded": "not 'Running'",
    "trouble/overwriting": "read-only",
    "trouble/fickle": "",  # it answers at random: whichever fault is met first
    "trouble/true-variant": "accepts a false variant: no variant",
    "trouble/raising-variant": "false variant 'raises': ValueError: planted",
    "trouble/without-variants": "no false variant",
    "trouble/raising-bound": "planted",
    "trouble/nan-bound": "no exact number",
    "trouble/infinite-bound": "no exact number",
    "trouble/float-bound": "no exact number",
    "trouble/discards": "were discarded",
    "trouble/discards-most": "300 are needed",
    "trouble/discards-all": "Unsatisfiable",
    "trouble/dies": "the process died",
    "trouble/aborts": "the process died",
    "trouble/quits": "SystemExit",
    "trouble/interrupts": "KeyboardInterrupt",
    "trouble/dying-variant": "false variant 'dies': the process died",
    "trouble/no-witness": "without a confirmed counterexample",
    "trouble/worst-nan": "not a number",
    "trouble/worst-above-one": "measured/bound is 1.5",
    "trouble/unfit": "count evidence",
    "trouble/cited": "needs citation evidence",
    "trouble/no-implication": "implication",
    "trouble/fixed-sizes": "property evidence",
    "trouble/contradiction": "contradict",
}


class Progress(list[tuple[int, int]]):
    """What a run reported."""

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


@cache
def book() -> Book:
    return Book.open(MODULE)


def run(folder: Path, *, profile: str = "quick", seed: int = 0, fresh: bool = False) -> Run:
    return Run(book(), Store(folder), profile=profile, seed=seed, fresh=fresh)


def executed(folder: Path, ids: Sequence[str], *, workers: int = 2, **settings: Any) -> tuple[Run, Progress]:
    progress = Progress()
    done = run(folder, **settings)
    done.execute(ids, Processes(workers), progress)
    return done, progress


def evidence(done: Run, ids: Sequence[str]) -> list[Evidence | None]:
    return [done.evidence(address) for address in done.book.checks(ids)]


def as_json(done: Run, ids: Sequence[str]) -> list[Any]:
    return [e and e.to_json() for e in evidence(done, ids)]


def standings(done: Run, ids: Sequence[str]) -> dict[str, str]:
    judged = judge(done.book, done)
    return {id: judged[id].verdict.standing for id in ids}


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def judged(shared: Callable[[str], AbstractContextManager[Path]]) -> dict[str, Judgement]:
    """Every planted statement that ends by itself, judged."""
    ids = planted.ids((*planted.FALSE, *planted.TROUBLE, *planted.TRUE))
    with shared("planted") as folder:
        done, _ = executed(folder, ids)
        return judge(done.book, done)


@pytest.mark.parametrize("id", planted.ids(planted.FALSE))
def test_false_lemma_is_refuted(judged: dict[str, Judgement], id: str) -> None:
    found = judged[id]
    assert found.verdict.standing == "refuted"
    assert found.derivation == f"broken at {id}"
    [gathered] = found.evidence
    assert gathered.counterexample is not None
    assert gathered.counterexample.claimed != gathered.counterexample.true
    assert not gathered.accepted


@pytest.mark.parametrize("id", [i for i in planted.ids(planted.FALSE) if "answer" not in i and "without" not in i])
def test_counterexample_is_exact(judged: dict[str, Judgement], id: str) -> None:
    [gathered] = judged[id].evidence
    assert gathered.counterexample is not None
    arithmetic = gathered.counterexample.arithmetic
    assert arithmetic.startswith("balls of ")


@pytest.mark.parametrize("id", [i for i in planted.ids(planted.FALSE) if "deviating" in i])
def test_how_wrong_is_not_rounded_away(judged: dict[str, Judgement], id: str) -> None:
    [gathered] = judged[id].evidence
    assert "off by 0%" not in gathered.reason


def test_every_trouble_has_its_reason() -> None:
    assert set(REASONS) == set(planted.ids(planted.TROUBLE))


@pytest.mark.parametrize("id", planted.ids(planted.TROUBLE))
def test_trouble_is_undecided(judged: dict[str, Judgement], id: str) -> None:
    found = judged[id]
    assert found.verdict.standing == "undecided"
    assert found.derivation == "not checked"
    [form] = found.parts[0].forms
    assert form.verdict.reason
    assert REASONS[id] in form.verdict.reason


@pytest.mark.parametrize("id", planted.ids(planted.TRUE))
def test_true_statement_holds(judged: dict[str, Judgement], id: str) -> None:
    found = judged[id]
    assert found.verdict.standing == "holds as printed"
    assert found.verdict.word == {"true/proof": "proved", "true/proved": "proved in scope"}.get(id, "tested")
    assert found.derivation == "intact"
    for gathered in found.evidence:
        assert gathered.examples >= gathered.required
        assert gathered.refused == gathered.planted > 0
        assert gathered.worst is None or gathered.worst <= 1


def test_statements_that_did_not_run_are_not_checked(judged: dict[str, Judgement]) -> None:
    rest = planted.ids((*planted.ENDLESS, *planted.DEEP))
    assert {judged[id].verdict.standing for id in rest} == {"not checked"}
    assert all(judged[id].missing for id in rest)


@pytest.mark.parametrize("id", planted.ids(planted.ENDLESS))
def test_endless_job_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str) -> None:
    monkeypatch.setattr(runner, "TIME_LIMIT", LIMIT)
    done, _ = executed(tmp_path, [id, "true/answer"])
    assert standings(done, [id, "true/answer"]) == {id: "undecided", "true/answer": "holds as printed"}
    [found] = evidence(done, [id])
    assert found is not None
    assert found.reason == f"no result within {LIMIT:.0f} s"


@pytest.mark.parametrize("workers", [1, 2])
def test_dying_processes_cost_their_jobs_only(tmp_path: Path, workers: int) -> None:
    deadly = ["trouble/dies", "trouble/aborts", "trouble/quits", "trouble/dying-variant"]
    done, _ = executed(tmp_path, [*deadly, "true/answer", "true/proof"], workers=workers)
    assert standings(done, ["true/answer", "true/proof"]) == dict.fromkeys(
        ("true/answer", "true/proof"), "holds as printed"
    )
    assert set(standings(done, deadly).values()) == {"undecided"}


def test_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    ids = (*CHEAP, "trouble/raises-at-six")
    one, _ = executed(tmp_path / "one", ids, workers=1)
    two, _ = executed(tmp_path / "two", ids, workers=2)
    assert None not in evidence(one, ids)
    assert as_json(one, ids) == as_json(two, ids)


def test_order_of_statements_changes_nothing(tmp_path: Path) -> None:
    forth, _ = executed(tmp_path / "forth", CHEAP)
    back, _ = executed(tmp_path / "back", CHEAP[::-1])
    assert as_json(forth, CHEAP) == as_json(back, CHEAP)


def test_imported_modules_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same digest, same seed, same evidence: also in a process that has loaded a module full of numbers."""
    ids = ("true/C.18", "true/F.4", "true/G.3", "trouble/discards")
    numbers = [3**k for k in range(1, 20)]
    (tmp_path / "crowded_record.py").write_text(f"from tests.planted import RECORD\nNUMBERS = {numbers}\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plain, _ = executed(tmp_path / "plain", ids)
    crowded = Run(Book.open("crowded_record"), Store(tmp_path / "crowded"), profile="quick", seed=0)
    crowded.execute(ids, Processes(2), Progress())
    assert as_json(plain, ids) == as_json(crowded, ids)


def test_second_run_computes_nothing(tmp_path: Path) -> None:
    first, progress = executed(tmp_path, CHEAP)
    assert [done for done, _ in progress] != []
    stored = files(tmp_path)
    second, again = executed(tmp_path, CHEAP)
    assert again == []
    assert as_json(second, CHEAP) == as_json(first, CHEAP)
    assert files(tmp_path) == stored


def test_results_are_read_without_running(tmp_path: Path) -> None:
    first, _ = executed(tmp_path, CHEAP)
    assert as_json(run(tmp_path), CHEAP) == as_json(first, CHEAP)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    _, progress = executed(tmp_path, ["true/answer", "false/answer"])
    jobs, explanations = 4, 1  # a variant and a shard of each; one is refuted
    assert progress == [*((k, jobs) for k in range(1, jobs + 1)), (1, explanations)]


def test_fresh_computes_again(tmp_path: Path) -> None:
    first, before = executed(tmp_path, CHEAP)
    second, again = executed(tmp_path, CHEAP, fresh=True)
    assert sorted(again) == sorted(before)
    assert as_json(second, CHEAP) == as_json(first, CHEAP)


def test_another_seed_draws_anew(tmp_path: Path) -> None:
    ids = ("true/G.3", "false/C.18-deviating")
    runs = [executed(tmp_path, ids, seed=seed)[0] for seed in (0, 1)]
    zero, one = (evidence(done, ids) for done in runs)
    assert [e and e.seed for e in (*zero, *one)] == [0, 0, 1, 1]
    assert zero[0] is not None
    assert one[0] is not None
    assert zero[0].worst != one[0].worst
    assert standings(runs[0], ids) == standings(runs[1], ids)


def test_profile_leaves_out_a_check(tmp_path: Path) -> None:
    [id] = planted.ids(planted.DEEP)
    quick, progress = executed(tmp_path, [id])
    assert progress == []
    assert evidence(quick, [id]) == [None]
    assert standings(quick, [id]) == {id: "not checked"}
    assert judge(quick.book, quick)[id].missing == 1


def test_evidence_of_another_profile_is_carried_over(tmp_path: Path) -> None:
    [id] = planted.ids(planted.DEEP)
    deep, _ = executed(tmp_path, [id], profile="deep")
    quick, progress = executed(tmp_path, [id])
    assert progress == []
    assert as_json(quick, [id]) == as_json(deep, [id])
    assert standings(quick, [id]) == {id: "holds as printed"}
    assert judge(quick.book, quick)[id].missing == 0


def test_evidence_of_another_seed_is_not_carried_over(tmp_path: Path) -> None:
    [id] = planted.ids(planted.DEEP)
    executed(tmp_path, [id], profile="deep", seed=1)
    assert evidence(run(tmp_path), [id]) == [None]


def test_stale_evidence_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed(tmp_path, ["true/answer", "false/answer"])
    monkeypatch.setattr(runner, "check_digest", lambda *_: "another")
    stale = run(tmp_path)
    assert evidence(stale, ["true/answer", "false/answer"]) == [None, None]
    assert set(standings(stale, ["true/answer", "false/answer"]).values()) == {"not checked"}
    fresh, progress = executed(tmp_path, ["true/answer", "false/answer"])
    assert [total for _, total in progress] == [4, 4, 4, 4, 1]
    assert {e.digest for e in evidence(fresh, ["true/answer", "false/answer"]) if e} == {"another"}


def test_failures_are_kept_and_tried_again(tmp_path: Path) -> None:
    ids = ("trouble/raises", "trouble/dies")
    done, first = executed(tmp_path, ids)
    assert all(e is not None and e.outcome == "failed" for e in evidence(run(tmp_path), ids))
    _, second = executed(tmp_path, ids)
    assert len(second) == len(first) - 2  # their false variants were refused, and are not
    assert as_json(run(tmp_path), ids) == as_json(done, ids)


def test_damaged_results_are_made_again(tmp_path: Path) -> None:
    ids = ["true/answer", "false/answer", "true/proof"]
    first, _ = executed(tmp_path, ids)
    contents = ["", "{", "null", "[]", '"text"', '{"outcome": "supports"}', "\x00"]
    paths = sorted(files(tmp_path))
    assert len(paths) == len(contents)
    for path, content in zip(paths, contents, strict=True):
        (tmp_path / path).write_text(content, "utf-8")
    second, progress = executed(tmp_path, ids)
    assert len(progress) == len(paths)
    assert as_json(second, ids) == as_json(first, ids)


def test_unfinished_file_is_not_taken_for_a_result(tmp_path: Path) -> None:
    done, _ = executed(tmp_path, ["true/answer"])
    for path in files(tmp_path):
        (tmp_path / path).rename((tmp_path / path).with_suffix(".tmp"))
    assert evidence(run(tmp_path), ["true/answer"]) == [None]
    assert None not in evidence(done, ["true/answer"])


def test_every_job_draws_for_itself() -> None:
    """No two jobs of a check share a seed, and none keeps its seed when the run's changes."""
    (address,) = book().checks(["true/F.4"])
    seeds = [job.own_seed for seed in (0, 1) for job in runner.jobs_of(book(), address, "standard", seed)]
    assert len(seeds) > 60
    assert len(set(seeds)) == len(seeds)
