"""The logic of `gpu.evidence`, on pretended devices: nothing here is a GPU result or goes to docs/evidence."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator

from gpu import device, evidence, evidence_properties, evidence_times
from gpu.evidence import Machine
from gpu.sources import sources
from reference import AltgradError
from reference.fast_qkv import METHODS
from tests.device_arrays import LIBRARY, PretendedDevice
from tests.pretended import pretended_device

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "evidence" / "schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
ABOUT = {
    "date": "2000-01-01",
    "machine": {
        "device": "pretended",
        "compute_capability": "0.0",
        "multiprocessors": 0,
        "memory_bytes": 0,
        "driver": "none",
        "cuda_driver": 0,
        "cuda_runtime": 0,
        "system": "a test",
        "cores": 1,
    },
    "versions": {"python": "3"},
    "sources": sources(),
}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


MACHINE = Machine(LIBRARY, seconds, torch, ABOUT)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pretended device, short rows and few examples."""
    for name, value in {"LARGEST": 30, "WIDEST": 3, "EXAMPLES": 20, "GRADCHECKS": 4}.items():
        monkeypatch.setattr(evidence_properties, name, value)
    sizes: dict[str, Any] = {
        "HEADS": 2,
        "D": 4,
        "SIZES": (16, 32),
        "DEGREES": (2,),
        "COPIED": 2**10,
        "SIDE": 32,
        "BUDGET": 0.0,
    }
    for name, value in sizes.items():
        monkeypatch.setattr(evidence_times, name, value)
    monkeypatch.setattr(evidence_times, "KERNELS", ("CUDNN_ATTENTION", "MATH"))  # the first does not run here
    monkeypatch.setattr(evidence, "_sanitizer", lambda: "")
    committed = sorted((ROOT / "docs" / "evidence").iterdir())
    with pretended_device(STEP=256, SEGMENTS=(8, 64), ROWS=64):
        yield
    assert sorted((ROOT / "docs" / "evidence").iterdir()) == committed


def test_all_parts_fit_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "device.json"
    data = evidence.gather(MACHINE, file)
    written = json.loads(file.read_text("utf-8"))
    VALIDATOR.validate(written)
    assert written["complete"]
    assert not written["left_out"]
    assert list(tmp_path.iterdir()) == [file]
    for name, tally in data["properties"].items():
        assert tally["examples"] + tally["discarded"] == 20, name
        assert not tally["failures"], (name, tally)
        assert all(ratio > 1 for ratio in tally["planted"].values()), (name, tally["planted"])
    assert {row["contender"] for row in data["times"]["rows"]} == {"altgrad", "PyTorch"}
    assert {row["kernel"] for row in data["times"]["rows"] if "kernel" in row} == {"MATH"}
    for row in data["times"]["rows"]:
        assert row["errors"]["output"] < (0.01 if row["contender"] == "PyTorch" else 0.3)


def test_the_schema_refuses_what_is_not_evidence() -> None:
    VALIDATOR.check_schema(SCHEMA)
    plain: dict[str, Any] = {"schema": evidence.SCHEMA, **ABOUT, "left_out": [], "complete": False}
    VALIDATOR.validate(plain)
    changes: list[dict[str, Any]] = [
        {"sources": "?"},
        {"date": "today"},
        {"speed": 1},
        {"properties": {"reference": {}}},
    ]
    for change in changes:
        assert not VALIDATOR.is_valid(plain | change), change


def test_without_a_device_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> Any:
        raise AltgradError("no CUDA device was found")

    monkeypatch.setattr(device, "current", none)
    assert evidence.main(["--out", str(tmp_path / "device.json")]) == 1
    assert capsys.readouterr().err == "gpu.evidence: no CUDA device was found\n"
    assert not list(tmp_path.iterdir())


def test_in_tf32_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "current", lambda: SimpleNamespace(xp=LIBRARY))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert evidence.main(["--out", str(tmp_path / "device.json")]) == 1
    assert capsys.readouterr().err.startswith("gpu.evidence: CuPy multiplies in TF32, needs CUPY_TF32")
    assert not list(tmp_path.iterdir())


def test_out_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evidence.main([])
    assert "--out FILE is needed" in capsys.readouterr().err


def test_without_a_device_pytorch_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert evidence._torch() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert evidence._torch() is torch


# --- the file


def test_what_was_finished_survives_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(machine: Machine, left: Callable[[], float]) -> Iterator[Any]:
        yield {"ceilings": {"bytes_per_second": 1.0, "operations_per_second": 1.0}, "rows": []}
        raise KeyboardInterrupt

    monkeypatch.setitem(evidence.PARTS, "times", interrupted)
    monkeypatch.setattr(evidence_properties, "EXAMPLES", 4)
    with pytest.raises(KeyboardInterrupt):
        evidence.gather(MACHINE, tmp_path / "device.json")
    written = json.loads((tmp_path / "device.json").read_text("utf-8"))
    VALIDATOR.validate(written)
    assert not written["complete"]
    assert written["properties"]["exact"]["examples"]
    assert written["times"]["rows"] == []


def test_what_there_is_no_time_for_is_left_out(tmp_path: Path) -> None:
    ticks = iter([0.0, *[1.0] * 12, *[100.0] * 100])
    data = evidence.gather(MACHINE, tmp_path / "device.json", minutes=1, clock=lambda: next(ticks))
    VALIDATOR.validate(data)
    assert data["left_out"] == ["properties", "sanitizer", "times"]
    assert data["properties"]["exact"]["examples"] == 10
    assert not data["complete"]


# --- the properties


@pytest.mark.parametrize("kernel", ["read", "absorb", "pull"])
def test_a_fault_in_a_kernel_is_seen(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last column is half as large again."""
    right = getattr(PretendedDevice, kernel)

    def wrong(*operands: Any, **options: Any) -> Any:
        found = right(*operands, **options)
        found.hidden[..., -1] *= 1.5
        return found

    monkeypatch.setattr(PretendedDevice, kernel, wrong)
    monkeypatch.setattr(evidence_properties, "EXAMPLES", 8)
    *_, found = evidence_properties.part(MACHINE, lambda: 1.0)
    assert found["reference"]["failures"]
    assert found["exact"]["failures"]
    assert found["autodiff"]["failures"]
    assert not found["bits"]["failures"]


def test_bits_that_change_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right, rng = PretendedDevice.read, np.random.default_rng(0)

    def wrong(*operands: Any, **options: Any) -> Any:
        found = right(*operands, **options)
        found.hidden[...] *= 1 + np.finfo(found.dtype).eps * rng.integers(2)
        return found

    monkeypatch.setattr(PretendedDevice, "read", wrong)
    monkeypatch.setattr(evidence_properties, "EXAMPLES", 8)
    *_, found = evidence_properties.part(MACHINE, lambda: 1.0)
    assert found["bits"]["failures"]


def test_a_nan_is_beyond_all_bounds() -> None:
    one, nan, infinite = (np.array([x]) for x in (1.0, np.nan, np.inf))
    assert evidence_properties.ratio((nan,), (one,), (infinite,)) == evidence_properties.HUGE
    assert evidence_properties.ratio((one,), (one + 1,), (0 * one,)) == evidence_properties.HUGE
    assert evidence_properties.ratio((one,), (one,), (0 * one,)) == 0


def test_gradcheck_of_the_bridge() -> None:
    tally = evidence_properties.gradcheck(torch, "cpu")
    assert not tally.failures
    assert tally.examples == evidence_properties.GRADCHECKS
    assert all(ratio > 1 for ratio in tally.planted.values())


# --- times


@pytest.mark.parametrize("causal", [False, True])
def test_errors_are_those_in_exact_attention(causal: bool) -> None:
    """Of exact attention itself they are none; of half of it, a half."""
    inputs = evidence_times.operands(64)
    output = evidence_properties.exact(tuple(inputs), 1.0, causal)
    arrays = [LIBRARY.asarray(x) for x in inputs]
    for factor in (1, 0.5):
        found = evidence_times.errors(LIBRARY, arrays, [factor * x for x in output], causal)
        assert found.keys() == {"output", "dQ", "dK", "dV"}
        assert all(abs(error - (1 - factor)) < 64 * 64 * np.finfo(float).eps for error in found.values())


def test_long_calls_are_timed_a_few_times() -> None:
    calls: list[int] = []
    found = evidence_times.rounds(lambda call: float(call() is None), lambda: calls.append(0), budget=0)
    assert len(found) == evidence_times.LEAST
    assert len(calls) == evidence_times.LEAST + 1


# --- the sources and the checkers


def test_the_sources_are_all_that_runs_on_a_device(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    for name, content in {"a.py": "1", "kernels/b.cu": "2", "kernels/c.cuh": "3"}.items():
        (tmp_path / name).write_text(content, "utf-8")
    before = sources(tmp_path)
    (tmp_path / "notes.txt").write_text("!", "utf-8")
    assert sources(tmp_path) == before
    seen = {before}
    for name in ("a.py", "kernels/b.cu", "kernels/c.cuh"):
        (tmp_path / name).write_text("changed", "utf-8")
        seen.add(sources(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "d.py")
    seen.add(sources(tmp_path))
    assert len(seen) == 5


@pytest.mark.parametrize(("status", "outcome"), [(0, "clean"), (evidence.FAULTS_FOUND, "faults"), (3, "failed")])
def test_what_a_checker_says(status: int, outcome: str) -> None:
    tool = [sys.executable, "-c", f"import sys; print('== ERROR SUMMARY: some'); sys.exit({status})"]
    found = evidence._checked(tool, "memcheck", 60)
    assert found["outcome"] == outcome
    assert found["said"] == "== ERROR SUMMARY: some"


def test_a_checker_that_takes_too_long_is_unfinished() -> None:
    tool = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert evidence._checked(tool, "racecheck", 0.1)["outcome"] == "unfinished"


def test_the_small_case_runs_all_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    methods: list[Any] = []
    monkeypatch.setattr(evidence_properties, "on_device", lambda xp, operands, options, *how: methods.append(how[0]))
    evidence_properties.small_case(LIBRARY)
    assert set(methods) == set(METHODS)
