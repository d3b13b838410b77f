"""The JSON of a run: its schema fits it and nothing else, equal runs give equal bytes, the baseline is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from proofs_checks import export
from proofs_checks.judgement import Judgement, differences, judge, summary
from proofs_checks.record import EvidenceKind, PartKind, Role, StatementKind
from proofs_checks.runner import PROFILES, Book, Processes, Run
from proofs_checks.store import Store
from proofs_checks.trial import Outcome
from proofs_checks.verdict import STANDINGS, WORDS

SCHEMA = json.loads(Path(export.__file__).with_name("verify.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
PLANTED = (
    "false/C.18-printed",
    "false/G.3-deviating",
    "trouble/raises",
    "trouble/discards",
    "trouble/true-variant",
    "trouble/contradiction",
    "trouble/dies",
    "true/C.18",
    "true/F.4",
    "true/proof",
    "deep/answer",
)
REAL = ("C.18", "own/readings")

Found = tuple[dict[str, Judgement], Run]


def found(folder: Path, record: str, ids: tuple[str, ...]) -> Found:
    run = Run(Book.open(record), Store(folder), profile="quick", seed=0)
    run.execute(ids, Processes(2), lambda done, total: None)
    judged = judge(run.book, run)
    return {id: judged[id] for id in ids}, run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found(tmp_path_factory.mktemp("planted"), "tests.planted", PLANTED)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found(tmp_path_factory.mktemp("real"), "proofs_checks.statements", REAL)


@pytest.fixture(scope="module")
def sample(planted: Found) -> Any:
    """What is written of the planted statements, read again."""
    return json.loads(json.dumps(export.results(*planted)))


def written(path: Path, found: Found) -> bytes:
    export.write(path, export.results(*found))
    return path.read_bytes()


def objects(schema: Any) -> Iterator[Any]:
    """Every subschema that describes objects."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the objects of a document are."""
    if isinstance(data, dict):
        yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(value, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def one_of_each(data: Any) -> dict[frozenset[str], tuple[Any, ...]]:
    """A place of every sort of object, told apart by their keys."""
    return {frozenset(at(data, path)): path for path in places(data) if path[-1:] != ("operands",)}


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def test_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert SCHEMA["$id"] == SCHEMA["properties"]["schema"]["const"] == export.SCHEMA


def test_schema_names_every_key() -> None:
    described = list(objects(SCHEMA))
    assert len(described) == 9
    for schema in described:
        assert schema["additionalProperties"] is False
        assert set(schema.get("required", ())) == set(schema.get("properties", ()))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (("properties", "profile"), PROFILES),
        (("$defs", "standing"), STANDINGS),
        (("$defs", "statement", "properties", "kind"), get_args(StatementKind)),
        (("$defs", "part", "properties", "kind"), get_args(PartKind)),
        (("$defs", "form", "properties", "role"), get_args(Role)),
        (("$defs", "form", "properties", "verdict"), WORDS),
        (("$defs", "evidence", "properties", "kind"), get_args(EvidenceKind)),
        (("$defs", "evidence", "properties", "outcome"), get_args(Outcome)),
    ],
)
def test_schema_has_the_words_of_the_code(path: tuple[str, ...], values: tuple[str, ...]) -> None:
    assert tuple(at(SCHEMA, path)["enum"]) == values


@pytest.mark.parametrize("name", ["planted", "real"])
def test_output_fits_the_schema(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = written(tmp_path / "out.json", request.getfixturevalue(name)).decode()
    data = json.loads(text, parse_constant=refuse_constant)
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
    assert text.endswith("}\n")


def test_sample_has_every_sort_of_object(sample: Any) -> None:
    assert len(one_of_each(sample)) == 7
    assert {e["outcome"] for s in sample["statements"] for e in evidence(s)} == {"supports", "refutes", "failed"}


def evidence(statement: Any) -> list[Any]:
    return [e for p in statement["parts"] for f in p["forms"] for e in f["evidence"]]


def test_no_key_can_be_left_out(sample: Any) -> None:
    for path in one_of_each(sample).values():
        for key in at(sample, path):
            mutated = deepcopy(sample)
            del at(mutated, path)[key]
            assert not VALIDATOR.is_valid(mutated), (*path, key)


def test_no_key_can_be_added(sample: Any) -> None:
    for path in one_of_each(sample).values():
        mutated = deepcopy(sample)
        at(mutated, path)["more"] = "text"
        assert not VALIDATOR.is_valid(mutated), path


def test_no_value_can_be_of_another_type(sample: Any) -> None:
    for path in one_of_each(sample).values():
        for key, value in at(sample, path).items():
            mutated = deepcopy(sample)
            at(mutated, path)[key] = 1 / 2 if isinstance(value, str) else "text"
            assert not VALIDATOR.is_valid(mutated), (*path, key)


@pytest.mark.parametrize(
    ("sort", "key", "value"),
    [
        ("schema", "schema", "altgrad-verify/3"),
        ("schema", "seed", -1),
        ("schema", "profile", "slow"),
        ("derivation", "derivation", "broken"),
        ("derivation", "standing", "tested"),
        ("derivation", "parts", []),
        ("role", "verdict", "holds as printed"),
        ("outcome", "outcome", "passed"),
        ("outcome", "worst", 2),
        ("outcome", "examples", -1),
        ("outcome", "claim", "no module"),
        ("where", "python", []),
        ("where", "operands", {"X": [["1", 2]]}),
        ("where", "operands", {"X": 1}),
        ("ratio", "ratio", 1.5),
        ("ratio", "scale", "0.5"),
        ("ratio", "operands", {"X": 1}),
        ("fault", "fault", "typo"),
    ],
)
def test_no_value_can_be_out_of_its_range(sample: Any, sort: str, key: str, value: Any) -> None:
    [path] = [path for keys, path in one_of_each(sample).items() if sort in keys and key in keys]
    mutated = deepcopy(sample)
    at(mutated, path)[key] = value
    assert not VALIDATOR.is_valid(mutated)


def test_a_counterexample_may_be_of_a_family(sample: Any) -> None:
    [path] = [path for keys, path in one_of_each(sample).items() if "where" in keys]
    mutated = deepcopy(sample)
    for sizes, valid in (({"n": 4, "d": 3}, True), ({"n": 0}, False), ({"n": 1 / 2}, False)):
        at(mutated, path)["operands"] = sizes
        assert VALIDATOR.is_valid(mutated) == valid


def test_only_a_refutation_has_a_counterexample(sample: Any) -> None:
    for outcome in ("supports", "open", "failed"):
        mutated = deepcopy(sample)
        [found] = evidence(mutated["statements"][0])
        assert found["counterexample"] is not None
        found["outcome"] = outcome
        assert not VALIDATOR.is_valid(mutated)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        export.write(tmp_path / "out.json", {"worst": value})
    assert not (tmp_path / "out.json").exists()


def test_equal_runs_give_equal_bytes(tmp_path: Path, real: Found) -> None:
    again = found(tmp_path, "proofs_checks.statements", REAL)
    assert written(tmp_path / "one.json", real) == written(tmp_path / "two.json", again)


def test_stored_results_give_equal_bytes(tmp_path: Path, real: Found) -> None:
    judged, run = real
    later = Run(run.book, run.store, profile="quick", seed=0)
    loaded = {id: j for id, j in judge(later.book, later).items() if id in judged}
    assert written(tmp_path / "one.json", real) == written(tmp_path / "two.json", (loaded, later))


def test_baseline_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Found, real: Found) -> None:
    monkeypatch.setattr(export, "files", lambda package: tmp_path)
    path = export.record_baseline(planted[0], "quick")
    assert path == tmp_path / export.BASELINE
    export.record_baseline(real[0], "deep")
    assert export.load_baseline("quick") == {id: summary(j) for id, j in planted[0].items()}
    assert export.load_baseline("deep") == {id: summary(j) for id, j in real[0].items()}
    assert export.load_baseline("standard") == {}
    assert differences(planted[0], export.load_baseline("quick"), PLANTED) == []


def test_baseline_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Found) -> None:
    monkeypatch.setattr(export, "files", lambda package: tmp_path)
    judged = planted[0]
    path = export.record_baseline(judged, "quick")
    before = path.read_bytes()
    export.record_baseline({"true/proof": judged["true/proof"]}, "quick")
    assert list(export.load_baseline("quick")) == ["true/proof"]
    export.record_baseline(judged, "quick")
    assert path.read_bytes() == before
