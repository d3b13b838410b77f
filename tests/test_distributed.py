"""Gradients of sequences in parts: the same numbers as in one process, and the same bits whatever workers die."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dask
import numpy as np
import pytest
from dask.array import from_array, from_zarr
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from benchmarks import cluster as measured
from reference import AltgradError, distributed
from reference.certificate import BINS
from reference.chain_rule import Collected
from reference.distributed import Sums, fast_attention_gradient, from_npy
from reference.fast_qkv import LONG, METHODS, Approximation, Fast, for_ranges, implementation
from reference.polynomial import taylor
from tests.layers import worst_ratio

FIELDS = ("X", "W", "W_V")
Operands = tuple[Any, Any, Any, Any]


@pytest.fixture(autouse=True)
def _in_this_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


def operands(n: int, d: int, dtype: Any = np.float64, seed: int = 0) -> Operands:
    rng = np.random.default_rng(seed)
    X, G = rng.normal(size=(2, n, d)).astype(dtype)
    W, W_V = rng.normal(size=(2, d, d)).astype(dtype) / 4
    return X, W, W_V, G


def in_parts(case: Operands, rows: Any) -> Operands:
    X, W, W_V, G = case
    return from_array(X, chunks=(rows, X.shape[1])), W, W_V, from_array(G, chunks=(rows, G.shape[1]))


def both(case: Operands, rows: Any, **more: Any) -> tuple[Approximation, Approximation]:
    """In one process and in parts."""
    one = reference.fast_attention_gradient(*case, **more)
    return one, fast_attention_gradient(*in_parts(case, rows), **more)


def worst(one: Approximation, other: Approximation) -> float:
    """The largest distance over the sum of the bounds, and the types and shapes are the same."""
    ratios = []
    for field in FIELDS:
        values, bounds = ([np.asarray(getattr(side, field)) for side in sides] for sides in
                          ((one.value, other.value), (one.bound, other.bound)))  # fmt: skip
        assert values[0].shape == values[1].shape == bounds[1].shape
        assert values[0].dtype == values[1].dtype == bounds[1].dtype
        ratios.append(worst_ratio(np.abs(values[0] - values[1], dtype=np.float64), bounds[0] + bounds[1]))
    return max(ratios)


def bits(fast: Approximation) -> list[bytes]:
    return [np.asarray(getattr(side, field)).tobytes() for side in (fast.value, fast.bound) for field in FIELDS]


@pytest.fixture
def rounding_alone() -> Iterator[None]:
    """The bounds as if P were the exponential: what is left of them is rounding."""
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        yield


PARTS = {
    "unequal, one of one row, one of fewer rows than columns": (7, 1, 20, 2, 10),
    "all of one row": (1,) * 5,
    "one": (9,),
}


# --- the same numbers


@pytest.mark.usefixtures("rounding_alone")
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_parts_give_the_numbers_of_one_process(parts: Any, dtype: Any, causal: bool, method: Any) -> None:
    case = operands(sum(parts), 3, dtype)
    one, many = both(case, parts, polynomial=taylor(2, 4.0), causal=causal, method=method)
    assert worst(one, many) <= 1
    assert (one.degree, one.rank, one.relative_error, one.why) == (
        many.degree,
        many.rank,
        many.relative_error,
        many.why,
    )


@pytest.mark.usefixtures("rounding_alone")
@pytest.mark.parametrize("causal", [False, True])
def test_so_do_the_compiled_loops(causal: bool) -> None:
    case = operands(LONG + 1, 2)
    one, many = both(case, (1000, 1, LONG - 2000, 1000), rtol=1e-3, causal=causal, method="antiderivative")
    assert worst(one, many) <= 1


@pytest.mark.usefixtures("rounding_alone")
@settings(max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), st.booleans(), st.integers(0, 2**32 - 1))
def test_so_do_any_parts(parts: list[int], causal: bool, seed: int) -> None:
    case = operands(sum(parts), 2, seed=seed)
    one, many = both(case, tuple(parts), polynomial=taylor(2, 8.0), causal=causal, method="differentiate")
    assert worst(one, many) <= 1


def and_itself(self: Sums, sums: list[Any]) -> list[Any]:
    return list(accumulate(sums, lambda carried, one: self._joined([carried, one])))


def without_the_last(self: Sums, sums: list[Any]) -> list[Any]:
    return [self.total(sums[:-1])] * len(sums)


def only_the_last(self: Sums, sums: list[Any]) -> list[Any]:
    return [None, *sums[:-1]]


@pytest.mark.usefixtures("rounding_alone")
@pytest.mark.parametrize(
    ("causal", "name", "false"),
    [(True, "before", and_itself), (True, "before", only_the_last), (False, "of_all", without_the_last)],
)
def test_wrong_sums_are_noticed(causal: bool, name: str, false: Any) -> None:
    more: Any = {"polynomial": taylor(2, 4.0), "causal": causal, "method": "antiderivative"}
    one, many = both(operands(40, 3, np.float32), 10, **more)
    assert worst(one, many) <= 1
    with patch.object(Sums, name, false):
        one, many = both(operands(40, 3, np.float32), 10, **more)
    assert worst(one, many) > 1


@pytest.mark.parametrize("causal", [False, True])
def test_the_certificate_holds(causal: bool) -> None:
    case = operands(60, 3)
    exact = reference.attention_gradient(*case, causal=causal)
    many = fast_attention_gradient(*in_parts(case, 25), rtol=1e-2, causal=causal)
    for field in FIELDS:
        error = np.abs(np.asarray(getattr(many.value, field)) - getattr(exact, field))
        assert error.max() > 1e-6, "an approximation this good would test nothing"
        assert worst_ratio(error, np.asarray(getattr(many.bound, field))) <= 1


def test_every_part_counts_as_an_addition() -> None:
    """γ has room for one more addition in float64 for each part, and the bounds on the sums for W too."""
    X, W, W_V, G = operands(4, 2)
    problem = distributed.Problem(W, W_V, 1.0, False, 4, 0, reference.qkv.Wording("test"))
    wide = distributed.Problem(W, W_V, 1.0, False, 4, 1000, reference.qkv.Wording("test"))
    ranges = implementation([head := problem.head(X, G, np.ones(2))], "paper").measure(head, problem.words)
    gammas, sums = [], []
    for one in (problem, wide):
        make, _ = for_ranges(Fast, [ranges], None, taylor(2, 4.0), "paper", one.words)
        fast = make(one.head(X, G, np.ones(2)), ranges)
        assert fast.bounds
        gammas.append(fast.bounds.gamma)
        sums.append(Collected(fast, X, W, W_V, 1.0, X, X).summed)
    assert gammas[1] - gammas[0] >= 1000 * 2.0**-53
    assert sums[1] - sums[0] >= 1000 * 2.0**-53


def test_operands_of_any_order_give_the_same_bits() -> None:
    case = operands(12, 3)
    X, W, W_V, G = in_parts(case, 5)
    columns = from_array(np.asfortranarray(case[0]), chunks=(5, 3))
    one, other = (fast_attention_gradient(x, W, W_V, G, rtol=0.1) for x in (X, columns))
    assert bits(one) == bits(other)
    assert np.array_equal(case[0], operands(12, 3)[0]), "operands are left as they are"


# --- what is refused


def refused(*case: Any, **more: Any) -> str:
    with pytest.raises(AltgradError) as error:
        fast_attention_gradient(*case, **{"rtol": 0.1} | more)
    return str(error.value)


def test_operands_that_do_not_fit_are_refused() -> None:
    X, W, W_V, G = in_parts(operands(12, 3), 5)
    cases: Sequence[tuple[Operands, str]] = [
        (
            (X, W, W_V, G.rechunk((4, 3))),
            "G has chunks of (4, 4, 4) rows, needs chunks of (5, 5, 2) rows as X has: G.rechunk(X.chunks)",
        ),
        ((X, W, W_V, G[:11]), "G has shape (11, 3), needs (n, d) with n = 12 from X"),
        ((X.rechunk((5, 2)), W, W_V, G), "X has chunks of (2, 1) columns, needs one: X.rechunk({1: -1})"),
        ((X, W, W_V, G.compute()), "G has type ndarray, needs a dask.array.Array"),
        ((X.astype(np.float32), W, W_V, G), "X has dtype float32, needs float64, the dtype of W"),
        ((X[:, :2], W, W_V, G), "X has shape (12, 2), needs (n, d) with d = 3 from W"),
        ((X[:0], W, W_V, G), "X has chunks of (0,) rows, needs known sizes, none of them 0"),
        ((X[X[:, 0] > 0], W, W_V, G), "X has chunks of (nan, nan, nan) rows, needs known sizes, none of them 0"),
        (
            (X.map_blocks(np.ma.masked_array), W, W_V, G),
            "X has blocks of type MaskedArray, needs a plain numpy.ndarray",
        ),
        ((X, W[:2], W_V, G), "W has shape (2, 3), needs (d, d) with d = 2 from W"),
    ]
    for one, message in cases:
        assert refused(*one) == f"fast_attention_gradient: {message}"


@pytest.mark.parametrize(
    "more",
    [
        {"rtol": -1.0},
        {"rtol": None},
        {"method": "p"},
        {"scale": np.nan},
        {"causal": 1},
        {"scale": 1e38},
    ],
)
def test_options_are_refused_as_in_one_process(more: dict[str, Any]) -> None:
    one = operands(12, 3, np.float32)
    with pytest.raises(AltgradError) as error:
        reference.fast_attention_gradient(*one, **{"rtol": 0.1} | more)
    assert refused(*in_parts(one, 5), **more) == str(error.value)


def test_progress_is_yes_or_no() -> None:
    assert refused(*in_parts(operands(3, 2), 5), progress=1) == (
        "fast_attention_gradient: progress is 1, needs True or False"
    )


@pytest.mark.parametrize("operand", ["X", "G"])
def test_what_is_not_finite_is_named(operand: str) -> None:
    case = operands(12, 3)
    array = case["XWVG".index(operand)]
    array[8, 1], array[11, 0] = np.nan, np.inf
    assert refused(*in_parts(case, 5)) == (
        f"fast_attention_gradient: {operand} has nan at index (8, 1), needs finite entries"
    )


@pytest.mark.parametrize(
    ("powers", "message"),
    [
        ((0, -100, 125, 10), "the gradient on X overflows"),
        ((20, -60, -100, 110), "the gradient on W_V overflows"),
        ((0, 0, 127, 0), "overflows"),
    ],
)
def test_an_overflow_is_refused_as_in_one_process(powers: Sequence[int], message: str) -> None:
    one = tuple(a * np.float32(2.0**power) for a, power in zip(operands(12, 3, np.float32), powers, strict=True))
    with pytest.raises(AltgradError, match=message) as error:
        reference.fast_attention_gradient(*one, rtol=0.1)
    assert refused(*in_parts(one, 5)) == str(error.value)


def test_without_dask_the_extra_is_named() -> None:
    with patch.dict(sys.modules, {"dask.array": None}):
        message = refused(*operands(3, 2))
    assert message == "reference.distributed needs Dask: pip install 'altgrad[cluster]'"


# --- files


def test_files_travel_by_their_names(tmp_path: Path) -> None:
    case = operands(300, 2)
    for name, array in zip("XG", (case[0], case[3]), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    X, G = (from_npy(tmp_path / f"{name}.npy", 128) for name in "XG")
    assert X.chunks == ((128, 128, 44), (2,))
    assert len(pickle.dumps(distributed.NpyFile(str(tmp_path / "X.npy")))) < case[0].nbytes / 10
    of_files = fast_attention_gradient(X, case[1], case[2], G, rtol=0.1)
    of_arrays = fast_attention_gradient(*in_parts(case, 128), rtol=0.1)
    assert bits(of_files) == bits(of_arrays)
    np.save(tmp_path / "Y.npy", case[0][0])
    with pytest.raises(AltgradError, match=r"Y\.npy has shape \(2,\), needs \(n, d\)"):
        from_npy(tmp_path / "Y.npy", 128)


def test_Zarr_goes_in_and_comes_out(tmp_path: Path) -> None:
    """Dask reads and writes it: an array on disk gives the bits of one in memory, and the gradient can be stored."""
    case = operands(300, 2)
    X, W, W_V, G = in_parts(case, 128)
    for name, array in (("X", X), ("G", G)):
        array.to_zarr(tmp_path / name)
    on_disk = (from_zarr(tmp_path / "X"), W, W_V, from_zarr(tmp_path / "G"))
    assert on_disk[0].chunks == X.chunks
    of_files, of_arrays = (fast_attention_gradient(*these, rtol=0.1) for these in (on_disk, (X, W, W_V, G)))
    assert bits(of_files) == bits(of_arrays)
    of_files.value.X.to_zarr(tmp_path / "dX")
    np.testing.assert_array_equal(from_zarr(tmp_path / "dX").compute(), of_arrays.value.X.compute())


def test_a_bar_shows_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    fast_attention_gradient(*in_parts(operands(12, 3), 5), rtol=0.1, progress=True)
    assert capsys.readouterr().out.count("100% Completed") >= 3


# --- a cluster


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),  # to a worker that is no more
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Killer(SchedulerPlugin):
    """Kills the worker that is the first to finish a task of this name, its result with it."""

    def __init__(self, task: str, processes: dict[str, int]) -> None:
        self.task, self.processes, self.killed = task, processes, ""

    def transition(self, key: Any, start: str, finish: str, *_: Any, worker: str = "", **__: Any) -> None:
        if not self.killed and finish == "memory" and str(key).startswith(self.task):
            self.killed = worker
            os.kill(self.processes[worker], signal.SIGKILL)


def test_a_worker_that_dies_changes_no_bit(client: Client) -> None:
    one, more = in_parts(operands(LONG, 2), 700), dict[str, Any](polynomial=taylor(2, 4.0), method="antiderivative")
    with dask.config.set(scheduler=None), client.as_current():
        undisturbed = bits(fast_attention_gradient(*one, causal=True, **more))
        killer, scheduler = Killer("_asked", client.run(os.getpid)), client.cluster.scheduler  # type: ignore[union-attr]
        scheduler.add_plugin(killer, name="killer")
        disturbed = bits(fast_attention_gradient(*one, causal=True, **more))
        scheduler.remove_plugin("killer")
    assert killer.killed
    assert disturbed == undisturbed


@pytest.mark.usefixtures("rounding_alone")
def test_a_cluster_gives_the_numbers_of_one_process(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    case = operands(30, 3)
    one = reference.fast_attention_gradient(*case, polynomial=taylor(14, 4.0), method="antiderivative")
    with dask.config.set(scheduler=None), client.as_current():
        many = fast_attention_gradient(
            *in_parts(case, 7), polynomial=taylor(14, 4.0), method="antiderivative", progress=True
        )
        assert worst(one, many) <= 1
        with pytest.raises(AltgradError, match="smaller scores or a larger rtol"):
            fast_attention_gradient(*in_parts(case, 7), rtol=1e-15, method="antiderivative")
    assert "100% Completed" in capsys.readouterr().out


# --- docs/cluster.md

PAGE = measured.PAGE.read_text("utf-8")
SHORT = measured.Taken(1000, 8, 2, 100, False, 9.0, 3.0, measured.GIB, 0)
LONG_RUN = measured.Taken(3000, 8, 2, 100, False, 9.0, 5.0, 2 * measured.GIB, 0)
MASKED = [replace(one, causal=True, worker_seconds=2 * one.worker_seconds) for one in (SHORT, LONG_RUN)]


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    assert "100% Completed" in capsys.readouterr().out


def test_the_page_has_the_figures_of_the_results() -> None:
    assert measured.page(PAGE, measured.load(measured.RESULTS)) == PAGE
    assert measured.page(PAGE, [SHORT, LONG_RUN, *MASKED]) != PAGE


def test_the_plan_is_on_the_line_through_what_was_measured() -> None:
    site = measured.Site(machines=10, workers=2, network=1e9, disk=1e9, hop=0.5)
    found = measured.plan(40_000, site, [*MASKED, LONG_RUN, SHORT])
    assert found["computing"] == pytest.approx(6.0)  # 2,000 rows a worker; 500 took 3 s and 1,500 took 5 s
    assert found["GiB of a machine"] == pytest.approx(2 * 2.5)
    assert found["reading X and G three times"] == pytest.approx(3 * 2 * 8 * 8 * 4000 / 1e9)
    assert found["waiting for sums"] == pytest.approx(2 * 2 * 3 * 0.5, rel=1e-2)  # 400 parts: three levels of eight
    masked = measured.plan(40_000, site, [*MASKED, LONG_RUN, SHORT], causal=True)
    assert masked["computing"] == pytest.approx(12.0)
    assert masked["waiting for sums"] == pytest.approx(2 * 400 * 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (measured.Site(), "What binds is computing; memory fits."),
        (measured.Site(machines=1, memory=1), "memory does not fit into 1 GiB: take more machines."),
        (measured.Site(hop=100), "What binds is waiting for sums"),
        (measured.Site(disk=1), "What binds is reading X and G three times"),
    ],
)
def test_the_plan_says_what_binds(site: measured.Site, words: str) -> None:
    assert words in measured.said(measured.plan(40_000, site, [SHORT, LONG_RUN]), site)


def test_the_benchmark_writes_what_it_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    measured.write(tmp_path / "X.npy", 300_000, 2, rng)
    X = np.load(tmp_path / "X.npy")
    assert X.shape == (300_000, 2)
    assert abs(X.mean()) < 0.01
    assert abs(X.std() - 1) < 0.01
    assert measured.peak() > X.nbytes
