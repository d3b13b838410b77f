"""A stored result comes back as it was, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_checks.store import Store
from proofs_checks.trial import Counterexample, Extreme, Outcome, Result

KEY = "0123456789abcdef01234567"
FULL = Result(
    "refutes",
    examples=12,
    discarded=3,
    worst=1.5,
    reason="off by 30 %",
    counterexample=Counterexample({"X": [[1, -2.5]]}, "entry (1, 1)", "1", "2", "balls", "the smallest", ("1", "2")),
    details=(("scale", "f means"), ("1/d", "fᵀ")),
    extreme=Extreme(1.5, {"X": [[1, -2.5]]}, "-1/2", True),
)

numbers = st.integers() | st.floats(allow_nan=False)
counterexamples = st.builds(
    Counterexample,
    operands=st.dictionaries(st.text(), st.recursive(numbers, st.lists)),
    python=st.lists(st.text()).map(tuple),
)
extremes = st.builds(
    Extreme,
    ratio=st.floats(allow_nan=False),
    operands=st.dictionaries(st.text(), st.recursive(numbers, st.lists)),
)
results = st.builds(
    Result,
    outcome=st.sampled_from(get_args(Outcome)),
    worst=st.none() | st.floats(allow_nan=False),
    counterexample=st.none() | counterexamples,
    details=st.lists(st.lists(st.text()).map(tuple)).map(tuple),
    extreme=st.none() | extremes,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all examples."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def stored(store: Store) -> Path:
    """The file of `FULL` under `KEY`."""
    store.save(KEY, FULL)
    (path,) = (p for p in store.folder.rglob("*") if p.is_file())
    return path


# --- what comes back


@given(results)
def test_every_result_comes_back_as_it_was(shared: Store, result: Result) -> None:
    shared.save(KEY, result)
    assert shared.load(KEY) == result


def test_a_result_outlives_its_store(tmp_path: Path) -> None:
    Store(tmp_path).save(KEY, FULL)
    assert Store(tmp_path).load(KEY) == FULL


def test_what_was_never_stored_is_absent(store: Store) -> None:
    assert store.load(KEY) is None
    store.save(KEY, FULL)
    assert store.load(KEY[::-1]) is None, "another key"
    assert store.load(KEY[:-1] + "0") is None, "a key with the same beginning"


def test_the_last_result_counts(store: Store) -> None:
    store.save(KEY, FULL)
    store.save(KEY, Result("open"))
    assert store.load(KEY) == Result("open")


def test_one_file_for_each_key(store: Store) -> None:
    stored(store)
    stored(store)  # finds exactly one


# --- what cannot be read


def test_a_truncated_file_is_absent_wherever_it_ends(store: Store) -> None:
    path = stored(store)
    whole = path.read_bytes()
    readable = []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if store.load(KEY) is not None:
            readable.append(length)
    assert not readable, f"cut to these lengths of {len(whole)} it still counts: {readable}"


GARBAGE = {
    "empty": b"",
    "blank": b" \n",
    "words": b"no result",
    "zeros": bytes(200),
    "not UTF-8": b"\xff\xfe{}",
    "null": b"null",
    "number": b"3",
    "string": b'"supports"',
    "list": b'["supports"]',
    "no fields": b"{}",
    "no outcome": b'{"counterexample": null, "details": []}',
    "an unknown field": b'{"outcome": "supports", "counterexample": null, "details": [], "verdict": "proved"}',
    "no such counterexample": b'{"outcome": "refutes", "counterexample": 3, "details": []}',
    "half a counterexample": b'{"outcome": "refutes", "counterexample": {"python": []}, "details": []}',
    "two results": json.dumps(FULL.to_json()).encode() * 2,
    "deeply nested": b"[" * 200_000,
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_absent(store: Store, what: str) -> None:
    stored(store).write_bytes(GARBAGE[what])
    assert store.load(KEY) is None


def test_a_folder_in_place_of_the_file_is_absent(store: Store) -> None:
    path = stored(store)
    path.unlink()
    path.mkdir()
    assert store.load(KEY) is None


def test_garbage_is_replaced(store: Store) -> None:
    stored(store).write_bytes(b"no result")
    store.save(KEY, FULL)
    assert store.load(KEY) == FULL


# --- a write that dies


class PowerCutError(BaseException):
    """Nothing catches it."""


def half(data: Any, file: Any) -> None:
    """Writes half of what it should, then dies."""
    text = json.dumps(data)
    file.write(text[: len(text) // 2])
    file.flush()
    raise PowerCutError


def die(*_: Any) -> None:
    raise PowerCutError


DEATHS: dict[str, tuple[Any, str, Callable[..., None]]] = {
    "while writing": (json, "dump", half),
    "before the disk has it": (os, "fsync", die),
    "before it is renamed": (Path, "replace", die),
}


def save_and_die(store: Store, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(*DEATHS[when])
        with pytest.raises(PowerCutError):
            store.save(KEY, FULL)


@pytest.mark.parametrize("when", DEATHS)
def test_a_write_that_dies_leaves_nothing_under_the_key(
    store: Store, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    save_and_die(store, monkeypatch, when)
    assert store.load(KEY) is None
    assert not list(store.folder.rglob(f"{KEY}*")), "a file under the key"


@pytest.mark.parametrize("when", DEATHS)
def test_a_write_that_dies_leaves_the_earlier_result(store: Store, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    store.save(KEY, Result("open"))
    save_and_die(store, monkeypatch, when)
    assert store.load(KEY) == Result("open")


@pytest.mark.parametrize("when", DEATHS)
def test_a_write_that_died_can_be_done_again(store: Store, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    save_and_die(store, monkeypatch, when)
    store.save(KEY, FULL)
    assert store.load(KEY) == FULL


def test_a_result_that_json_cannot_write_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(TypeError):
        store.save(KEY, Result("refutes", details=(object(),)))  # type: ignore[arg-type]
    assert store.load(KEY) is None


# --- several writers


def test_writers_of_one_key_leave_a_whole_file(store: Store) -> None:
    """Results of very different lengths, so that a mixture of two would be no JSON; a reader looks on all the time."""
    candidates = [Result("open", reason="because " * 50 * k) for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(store.save, KEY, candidates[k % 8]) for k in range(80)]
        seen = [store.load(KEY) for _ in range(200)]
    for writer in writers:
        writer.result()  # raises what the writer raised
    strange = [result for result in seen if result is not None and result not in candidates]
    assert not strange, f"{len(strange)} readings were of no writer"
    first = next((k for k, result in enumerate(seen) if result is not None), len(seen))
    assert None not in seen[first:], "a result that was there vanished"
    assert store.load(KEY) in candidates
