"""`altgrad certify` and `altgrad plan`: what they compute, and what they refuse."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import reference
from proofs_checks import certify, cost, plan
from proofs_checks.command_line import BAD_USAGE, DIFFERS, app
from proofs_checks.counting import count
from proofs_checks.matrices import load
from reference import qkv
from reference.errors import AltgradError
from reference.fast_qkv import LONG
from reference.polynomial import chebyshev
from reference.shapes import FloatArray

Arrays = dict[str, Any]
SETTING = plan.Setting(n=100_000, d=4, heads=2, bound=1.0, rtol=0.01)
SPEED = plan.Speed(short=1e9, long=2e9, exact=1e9, basis="made up")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def heads() -> Arrays:
    rng = np.random.default_rng(0)
    return dict(zip("QKVG", rng.normal(size=(4, 2, 30, 3)), strict=True))


@pytest.fixture
def weights() -> Arrays:
    rng = np.random.default_rng(1)
    X, G = rng.normal(size=(2, 30, 3))
    W, W_V = rng.normal(size=(2, 3, 3)) / 3
    return {"X": X, "W": W, "W_V": W_V, "G": G}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Arrays], Path]:
    def save(arrays: Arrays) -> Path:
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return save


def folder_of(arrays: Arrays, path: Path) -> Path:
    path.mkdir()
    for key, array in arrays.items():
        np.save(path / f"{key}.npy", array)
    return path


# --- certify


@pytest.mark.parametrize("kind", ["heads", "weights"])
def test_what_certify_writes_is_within_its_bounds(
    kind: str, heads: Arrays, weights: Arrays, saved: Callable[[Arrays], Path], tmp_path: Path
) -> None:
    arrays = heads if kind == "heads" else weights
    exact = exact_results(arrays)
    result = invoke("certify", saved(arrays), "-o", tmp_path / "out.npz", "--rtol", 0.1)
    assert result.exit_code == 0, result.output
    assert "no error is above its bound" in result.output
    with np.load(tmp_path / "out.npz", allow_pickle=False) as out:
        for name, truth in exact.items():
            error = np.abs(out[name] - truth)
            assert (error <= out[f"bound_{name}"]).all(), name
            assert error.max() > 1e-9, f"{name} is not approximate"
        assert out["rtol"] == 0.1
        assert out["degree"].shape == arrays["G"].shape[:-2]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.npz", "out.npz"]


def exact_results(arrays: Arrays) -> dict[str, FloatArray]:
    if "X" in arrays:
        X, W, W_V, G = arrays.values()
        g = reference.attention_gradient(X, W, W_V, G)
        return {"output": reference.attention(X, W, W_V), "dX": g.X, "dW": g.W, "dW_V": g.W_V}
    Q, K, V, G = arrays.values()
    vjp = qkv.attention_vjp(Q, K, V, G, scale=1 / 3)
    return {"output": qkv.attention(Q, K, V, scale=1 / 3), "dQ": vjp.Q, "dK": vjp.K, "dV": vjp.V}


def test_a_folder_is_mapped_and_gives_the_same(heads: Arrays, saved: Callable[[Arrays], Path], tmp_path: Path) -> None:
    mapped = load(folder_of(heads, tmp_path / "folder"), "certify")
    assert all(isinstance(array.base, np.memmap) for array in mapped.values())
    one, other = (certify.certify(m, rtol=0.1) for m in (mapped, load(saved(heads), "certify")))
    assert all(np.array_equal(one.value[name], other.value[name]) for name in one.value)


def test_an_error_above_its_bound_is_a_failure(
    heads: Arrays, saved: Callable[[Arrays], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = certify._exact
    monkeypatch.setattr(certify, "_exact", lambda *head: {name: -x for name, x in true(*head).items()})
    result = invoke("certify", saved(heads), "--compare")
    assert result.exit_code == DIFFERS
    assert "ABOVE ITS BOUND" in result.output


def test_without_comparison_it_says_so(heads: Arrays, saved: Callable[[Arrays], Path]) -> None:
    result = invoke("certify", saved(heads), "--no-compare")
    assert result.exit_code == 0
    assert "not compared with exact attention" in result.output


def test_an_infinite_bound_is_shown_with_its_reason(weights: Arrays, capsys: pytest.CaptureFixture[str]) -> None:
    found = certify.certify(weights, rtol=0.1)
    bound = {**found.bound, "dW": np.full((3, 3), np.inf)}
    certify.show(replace(found, bound=bound, why=("a row sum may be lost",)), Console())
    shown = capsys.readouterr().out
    assert re.search(r"dW .* inf ", shown)
    assert "a row sum may be lost" in shown


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("Q", lambda a: a.astype(int), r"certify: Q has dtype int64, needs float32 or float64"),
        ("K", lambda a: a.astype(np.float32), r"certify: K has dtype float32, needs float64, the dtype of Q"),
        ("V", lambda a: a[:, 1:], r"certify: V has shape \(2, 29, 3\), needs \(\.\.\., m, e\) with m = 30 from K"),
        (
            "G",
            lambda a: np.where(a == a[1, 2, 0], np.nan, a),
            r"certify: G has nan at index \(1, 2, 0\), needs finite",
        ),
        ("K", lambda a: a.astype(object), r"certify: K in .* cannot be read \(.*bject.*\), needs an array of float32"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_bad_arrays_are_refused(
    key: str,
    change: Callable[[Any], Any],
    message: str,
    folder: bool,
    heads: Arrays,
    saved: Callable[[Arrays], Path],
    tmp_path: Path,
) -> None:
    heads[key] = change(heads[key])
    path = folder_of(heads, tmp_path / "folder") if folder else saved(heads)
    with pytest.raises(AltgradError, match=message):
        load(path, "certify")


def test_wrong_keys_are_refused(heads: Arrays, weights: Arrays, saved: Callable[[Arrays], Path]) -> None:
    needs = "needs X, W, W_V, G or Q, K, V, G, and not both"
    with pytest.raises(AltgradError, match=f"has the keys G, K, V, q, {needs}"):
        load(saved({"q": heads.pop("Q"), **heads}), "certify")
    with pytest.raises(AltgradError, match=f"has the keys .*, {needs}"):
        load(saved({"Q": heads["G"], **heads, **weights}), "certify")
    with pytest.raises(AltgradError, match=r"has the keys \(none\)"):
        load(saved({}), "certify")


@pytest.mark.parametrize("bytes_kept", [0, 10, 1500])
def test_damaged_files_are_refused(bytes_kept: int, heads: Arrays, saved: Callable[[Arrays], Path]) -> None:
    path = saved(heads)
    path.write_bytes(path.read_bytes()[:bytes_kept])
    with pytest.raises(AltgradError, match=r"mine\.npz cannot be read \(.*\), needs a whole \.npz file"):
        load(path, "certify")


def test_a_damaged_member_is_named(heads: Arrays, saved: Callable[[Arrays], Path]) -> None:
    path = saved(heads)
    whole = path.read_bytes()
    part = heads["V"].tobytes()[:64]
    path.write_bytes(whole.replace(part, bytes(64)))
    with pytest.raises(AltgradError, match=r"certify: V in .* cannot be read"):
        load(path, "certify")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AltgradError, match=r"none\.npz does not exist, needs"):
        load(tmp_path / "none.npz", "certify")
    np.save(tmp_path / "one.npy", np.eye(2))
    with pytest.raises(AltgradError, match="holds one array without a name"):
        load(tmp_path / "one.npy", "certify")
    result = invoke("certify", tmp_path / "none.npz")
    assert result.exit_code == BAD_USAGE
    assert "altgrad: certify:" in result.output


def test_the_input_is_not_overwritten(heads: Arrays, saved: Callable[[Arrays], Path]) -> None:
    path = saved(heads)
    before = path.read_bytes()
    assert invoke("certify", path, "-o", path).exit_code == BAD_USAGE
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_what_was_there(
    heads: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = certify.certify(heads, rtol=0.1), tmp_path / "out.npz"
    out.write_bytes(b"before")

    def torn(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(KeyboardInterrupt):
        certify.save(found, out)
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]


# --- plan


@pytest.mark.parametrize("method", ["paper", "antiderivative", "differentiate"])
@pytest.mark.parametrize(("n", "d", "g"), [(600, 2, 4), (520, 3, 2)])
def test_operations_are_those_counted(method: Any, n: int, d: int, g: int) -> None:
    rng = np.random.default_rng(0)
    X, G = rng.uniform(0.5, 1, (2, n, d))
    W, W_V = rng.uniform(0.5, 1, (2, d, d))
    more: dict[str, Any] = {"polynomial": chebyshev(g, 1.0), "method": method}
    counted = count(reference.fast_attention_gradient, X, W, W_V, G, lift=False, **more).operations
    stated = plan.operations(method, n, d, g)
    assert 0 <= stated - counted < 1e-4 * counted
    assert abs(cost.law_of(method, n, d, g, cost.rows_taken(method, n, d, g)) - counted) > 1e-4 * counted


def test_the_crossover_is_the_first_n_that_pays() -> None:
    assert plan.least_n(lambda n: n - 7.5) == 8
    assert plan.least_n(lambda n: 1) == 1
    n = plan.crossover("antiderivative", 4, 4)
    pays = [plan.exact_operations(n, 4) > plan.operations("antiderivative", n, 4, 4) for n in (n - 1, n)]
    assert pays == [False, True]


def test_a_plan_follows_from_speeds() -> None:
    found = plan.plan(SETTING, SPEED)
    assert found.fit is not None
    assert found.fit.seconds == found.fit.operations / SPEED.long
    assert found.seconds == found.operations / SPEED.exact
    assert found.fit.weight_error <= SETTING.rtol
    assert found.pays
    assert "times less time" in found.recommendation
    twice = plan.Speed(short=1e9, long=2e9, exact=2e9, basis="")
    slower = plan.plan(SETTING, twice).fit
    assert slower is not None
    assert slower.crossover_seconds is not None
    assert found.fit.crossover_seconds == found.fit.crossover < slower.crossover_seconds < LONG


def test_the_bytes_carried_are_what_the_library_foresees() -> None:
    Q = np.random.default_rng(0).normal(size=(20, 3))
    tight = plan.carried("antiderivative", 3, 4) - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reference.fast_qkv.LARGEST_STATE", tight)
        with pytest.raises(AltgradError, match=f"would carry {tight + 1} numbers"):
            qkv.fast_attention_vjp(Q, Q, Q, Q, scale=0.1, polynomial=chebyshev(4, 9.0), method="antiderivative")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((100, 4, 1, 1.0), "Use exact attention below n = "),
        ((10_000, 4, 1, 1.0), "times fewer operations"),
        ((10_000, 64, 1, 20.0), "Nothing pays here, at any n: use exact attention. Degree"),
        ((10_000, 1, 1, 20.0), "Nothing pays here, at any n: use exact attention. Rounding in float64"),
        ((10_000, 3, 1, 0.0), "degree 0, rank 1"),
        ((10_000, 2, 1, 2000.0), "Nothing pays here, at any n: use exact attention. exp_polynomial"),
    ],
)
def test_recommendations(arguments: tuple[Any, ...], said: str) -> None:
    n, d, heads, bound = arguments
    result = invoke("plan", "--n", n, "--d", d, "--heads", heads, "--bound", bound, "--no-time")
    assert result.exit_code == 0, result.output
    assert said in result.output


def test_plan_measures_matrices(heads: Arrays, saved: Callable[[Arrays], Path]) -> None:
    heads["K"] = heads["K"] + 5.0
    del heads["G"]
    result = invoke("plan", "--from", saved(heads), "--no-time", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    largest = np.abs(heads["Q"] @ (heads["K"] - 5.0).mT).max() / 3
    plain = max(
        np.linalg.norm(heads["Q"][i], axis=1).max() * np.linalg.norm(heads["K"][i], axis=1).max() for i in (0, 1)
    )
    assert found["setting"] | {"bound": 0} == {
        "n": 30, "d": 3, "heads": 2, "bound": 0, "rtol": 0.01, "method": "antiderivative",
    }  # fmt: skip
    assert found["uncentred_bound"] == pytest.approx(plain / 3)
    assert largest / 2 < found["setting"]["bound"] < found["uncentred_bound"] / 2


def test_weights_are_measured_as_heads(weights: Arrays) -> None:
    X, W, W_V = (weights[key] for key in ("X", "W", "W_V"))
    as_heads = {"Q": X @ W, "K": X, "V": X @ W_V}
    assert plan.measured(weights, None) == plan.measured(as_heads, None)
    with pytest.raises(AltgradError, match=r"plan: V has shape \(30, 2\), needs the shape of Q, \(30, 3\)"):
        plan.measured({**as_heads, "V": np.ones((30, 2))}, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "plan: n is 0, needs at least 1"),
        ({"heads": 0}, "plan: heads is 0, needs at least 1"),
        ({"bound": -1.0}, "plan: bound is -1.0, needs a finite number, 0 or more"),
        ({"bound": "nan"}, "plan: bound is nan, needs a finite number"),
        ({"rtol": 1.0}, "plan: rtol is 1.0, needs a number between 0 and 1"),
        ({"d": None}, "plan needs --d, or --from FILE"),
        ({"from": "x.npz"}, "leave --n, --d, --heads and --bound out"),
        ({"picture": "region.xyz"}, "--picture region.xyz: needs a name that ends in .svg"),
        ({"picture": "no/where.svg"}, "needs the name of a file in a folder that exists"),
    ],
)
def test_bad_plans_are_refused(change: dict[str, Any], message: str) -> None:
    options = {"n": 10, "d": 2, "bound": 1.0} | change
    arguments = [a for name, value in options.items() if value is not None for a in (f"--{name}", value)]
    result = invoke("plan", *arguments)
    assert result.exit_code == BAD_USAGE, result.output
    assert message in result.output


def test_calibration_measures_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BUDGET", 1e6)
    speed = plan.calibrate(SETTING)
    assert min(speed.short, speed.long, speed.exact) > 1e5
    assert "best of two" in speed.basis


def test_the_picture_is_an_image_of_the_region(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plan.picture(SETTING, tmp_path / "region.svg")
    assert (tmp_path / "region.svg").read_text("utf-8").count("<path") > 10


# --- docs/commands.md


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "commands.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    (makes,) = re.findall(r"<!-- makes -->\n```python\n(.*?)```", page, re.DOTALL)
    exec(makes, {})
    examples = re.findall(r"<!-- run -->\n```text\n\$ altgrad (.*?)\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 4
    for line, expected in examples:
        result = invoke(*shlex.split(line))
        assert result.exit_code == 0, result.output
        for said in expected.splitlines():
            assert said in result.output, line
