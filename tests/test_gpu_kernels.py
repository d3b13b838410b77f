"""The kernels compute what `gpu.device` says, as far as that can be seen without a GPU.

Their source runs on the CPU (`cuda_on_cpu`), beside `numpy_device` in float64. That shows their logic, and is no
result of a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest

import gpu
from gpu import device
from gpu.device import Macros, factors, runs, slices
from reference import AltgradError, qkv
from reference.certificate import BINS, gamma, unit
from reference.fast_qkv import METHODS, Method
from reference.low_rank import monomials, rank
from reference.polynomial import taylor
from tests.cuda_on_cpu import EmulatedDevice, FaultError, Library
from tests.device_arrays import LIBRARY
from tests.layers import worst_ratio
from tests.numpy_device import NumpyDevice
from tests.pretended import on_device, pretended_device


class Sizes(NamedTuple):
    """Of a call: heads, rows, entries of a row, columns, degrees, rows of a segment, precision."""

    H: int
    b: int
    d: int
    c: int
    degree: int
    lowest: int
    L: int
    dtype: Any = np.float64


SIZES = {
    "one of everything": Sizes(1, 1, 1, 1, 1, 0, 1),
    "no factors": Sizes(2, 40, 2, 3, 0, 0, 40, np.float32),
    "several segments, the last short": Sizes(2, 150, 3, 4, 2, 0, 40),
    "in float32": Sizes(2, 150, 3, 4, 2, 0, 40, np.float32),
    "a high degree": Sizes(1, 70, 2, 2, 8, 0, 64, np.float32),
    "only the highest degree": Sizes(2, 70, 3, 3, 4, 4, 35),
    "more monomials than a block has": Sizes(1, 70, 8, 2, 4, 0, 70, np.float32),
    "a head of 16": Sizes(2, 300, 16, 17, 2, 0, 128, np.float32),
    "more columns than a launch takes": Sizes(1, 50, 2, 77, 2, 0, 50),
    "wide rows": Sizes(1, 40, 70, 3, 1, 0, 20, np.float32),
    "many runs of rows": Sizes(1, 1700, 2, 2, 2, 0, 1700, np.float32),
    "segments of one row": Sizes(1, 5, 2, 2, 3, 0, 1),
}


class Operands:
    """Arrays of these sizes, and of their absolute values in float64."""

    def __init__(self, sizes: Sizes) -> None:
        H, b, d, c, degree, lowest, L, dtype = sizes
        rng, self.sizes = np.random.default_rng(repr(sizes).encode()[0]), sizes
        k = rank(d, degree) - (rank(d, lowest - 1) if lowest else 0)
        shapes = {
            "x": (H, b, d), "y": (H, b, d), "columns": (H, b, c), "factor": (H, b, c),
            "sums": (H, ceil(b / L), k, c), "polynomial": (degree + 1,),
        }  # fmt: skip
        self.arrays = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}

    def wide(self, name: str) -> Any:
        return self.arrays[name].astype(np.float64)

    def absolute(self, name: str) -> Any:
        return np.abs(self.wide(name))


class Call(NamedTuple):
    """What a kernel is asked for, and how many roundings a term of its result goes through, at most."""

    kernel: str
    operands: tuple[str, ...]
    options: dict[str, Any]
    roundings: int

    def on(self, device: Any, operands: Callable[[str], Any]) -> Any:
        return getattr(device, self.kernel)(*map(operands, self.operands), **self.options)


def calls(sizes: Sizes) -> list[Call]:
    L, c, degree, k = sizes.L, sizes.c, sizes.degree, rank(sizes.d, sizes.degree)
    sums: dict[str, Any] = {"degree": degree, "L": L}
    pairs = degree * (sizes.d + 2) + min(L, sizes.b) + c + 4
    found = []
    for absolute in (False, True):
        more = sums | {"absolute": absolute, "lowest": sizes.lowest}
        found.append(Call("absorb", ("x", "columns"), more, min(device.STEP, sizes.b) + degree + 1))
        found.append(Call("read", ("x", "sums"), more, k + degree + 1))
    if not sizes.lowest:
        found.append(Call("pull", ("x", "factor", "sums"), sums, k * max(degree, 1) + c + 2 * degree + 3))
    seen = ("x", "y", "columns", "polynomial")
    for reverse in (False, True):
        more = {"L": L, "reverse": reverse}
        found.append(Call("near_read", seen, more, pairs))
        found.append(Call("near_pull", ("x", "y", "factor", "columns", "polynomial"), more, pairs))
    return [*found, Call("near_read", seen, {"L": L, "absolute": True}, pairs)]


def worst(on: EmulatedDevice, sizes: Sizes, call: Call) -> float:
    """The largest error over what rounding allows: γ times the same sums over absolute values."""
    operands = Operands(sizes)
    found, true = call.on(on, operands.arrays.__getitem__), call.on(NumpyDevice(), operands.wide)
    u = unit(sizes.dtype) + 2.0**-50  # the truth is rounded as well
    allowed = gamma(call.roundings, u) * call.on(NumpyDevice(), operands.absolute)
    return worst_ratio(np.abs(found - true), allowed)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One part for each unit, so that its rows make several runs."""
    monkeypatch.setattr(device, "BLOCKS", 1)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_kernels_compute_what_they_say(name: str, library: Library) -> None:
    on, sizes = EmulatedDevice(library), SIZES[name]
    assert [call for call in calls(sizes) if not worst(on, sizes, call) <= 1] == []


@pytest.mark.usefixtures("few_blocks")
def test_runs_of_rows_are_added_in_float64(library: Library) -> None:
    sizes = SIZES["many runs of rows"]
    assert worst(EmulatedDevice(library), sizes, calls(sizes)[0]) <= 1


FAULTS = {
    "a segment begins a row late": ("common", "(unit % segments) * L", "(unit % segments) * L + 1"),
    "magnitudes are forgotten": ("common", "MAGNITUDES && entry < 0", "false"),
    "no 1 behind a row": ("common", "to[j * PITCH + D] = 1", "to[j * PITCH + D] = 2"),
    "a group skips a row": ("absorb", "j += GROUPS", "j += GROUPS + 1"),
    "a factor is left out of sums": ("absorb", "int g = 1; g < G", "int g = 2; g < G"),
    "a run is lost": ("absorb", "+= sums[f][c]", "= sums[f][c]"),
    "a group is lost": ("absorb", "round < ROUNDS", "round < ROUNDS - 1"),
    "the last run is lost": ("absorb", "|| start + ROWS >= last", ""),
    "monomials of a tile are written a row off": ("absorb", "part) * k + monomials", "part) * k + 1"),
    "no barrier before the sums": ("absorb", "__syncthreads();\n#pragma unroll 4", "#pragma unroll 4"),
    "no barrier between groups": ("absorb", "}\n                __syncthreads();", "}"),
    "a factor is left out of readings": ("read", "int g = 1; g < G", "int g = 2; g < G"),
    "sums of another segment": ("read", "sums + (unit * k", "sums + (unit / 2 * k"),
    "the last row is not written": ("read", "ODD_C, count)", "ODD_C, count - 1)"),
    "the last of a run is left out": ("read", "a > 0", "a > 1"),
    "the last monomial of all is left out": ("read", "MONOMIALS ? k - start", "MONOMIALS ? k - start - 1"),
    "no barrier before the next monomials": ("read", "__syncthreads();\n        fetch", "fetch"),
    "written beyond shared memory": ("read", "* ODD_C + c] = own", "* ODD_C + c + SHARED / sizeof(T)] = own"),
    "written beyond the result": ("read", "store<C>(found +", "store<C>(found + 1 +"),
    "one factor is not differentiated": ("pull", "g > 0; g--", "g > 1; g--"),
    "a factor counts twice": ("pull", "slope[r] *= mine", "slope[r] *= 2 * mine"),
    "rows overwrite factors": ("pull", "__syncthreads();\n    fetch_with_one", "fetch_with_one"),
    "no barrier before the gradient is written": ("pull", "__syncthreads();\n    store", "store"),
    "a row does not see itself": ("near_read", "j > place", "j >= place"),
    "no mask": ("near_read", "(REVERSE ? j < place : j > place)", "false"),
    "the first rows are not seen": ("near_read", "REVERSE ? first : 0", "first"),
    "a barrier that some do not reach": (
        "near_read",
        "if (i >= count",
        "if (i == 0) __syncthreads();\nif (i >= count",
    ),
    "the lowest coefficient is lost": ("near_pull", "g >= 0; g--", "g > 0; g--"),
    "the mask is turned around": ("near_pull", "REVERSE ? j <", "!REVERSE ? j <"),
}


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_seen(fault: str, library: Library) -> None:
    file, right, wrong = FAULTS[fault]

    def source(name: str, macros: Macros) -> str:
        return device.source(name, macros).replace(right, wrong)

    kernel = "absorb" if file == "common" else file
    sizes = Sizes(2, 700, 5, 4, 4, 0, 350)  # several tiles of monomials, runs and blocks of rows
    assert device.source(kernel, {}).count(right) >= 1
    on = EmulatedDevice(library, source)
    assert any(wrong_or_faulty(on, sizes, call) for call in calls(sizes) if call.kernel == kernel)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("limit", ["added + TILE > STEP", "false"])
def test_a_run_has_few_rows(limit: str, library: Library) -> None:
    """The first row is 1, the others vanish beside it in float32, and so do those of its run: STEP − 1 of them."""
    columns = np.full((1, 32 * device.STEP, 1), 2.0**-25, np.float32)  # (1, b, 1)
    columns[0, 0] = 1
    assert "added + TILE > STEP" in device.source("absorb", {})
    on = EmulatedDevice(library, lambda *one: device.source(*one).replace("added + TILE > STEP", limit))
    lost = columns.astype(np.float64).sum() - on.absorb(columns, columns, 0, columns.shape[1])
    assert (lost.item() <= (device.STEP - 1) * 2.0**-25) == (limit != "false")


def wrong_or_faulty(on: EmulatedDevice, sizes: Sizes, call: Call) -> bool:
    try:
        return not worst(on, sizes, call) <= 1  # NaN is wrong as well
    except FaultError:
        return True


# --- under gpu.qkv


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_attention_and_its_gradient_by_the_kernels(method: Method, causal: bool, dtype: Any, library: Library) -> None:
    """Chunks of 96 rows of each head in segments of 32; the difference from the reference is within both bounds."""
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=(2, 150, 3)).astype(dtype) for _ in range(4)]
    how: dict[str, Any] = {"scale": 0.1, "polynomial": taylor(2, 4.0), "causal": causal, "method": method}
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        theirs = qkv.fast_attention_and_vjp(*arrays, **how)
        with (
            pretended_device(STEP=256, SEGMENTS=(32, 32), ROWS=192),
            patch.object(device, "current", lambda: EmulatedDevice(library, xp=LIBRARY)),
        ):
            ours = on_device(gpu.qkv.fast_attention_and_vjp)(*arrays, **how)
    for value, their, bound, more in zip(ours.value, theirs.value, ours.bound, theirs.bound, strict=True):
        assert value.dtype == dtype
        assert worst_ratio(np.abs(value.astype(float) - their), bound.astype(float) + more) <= 1


# --- sizes


@pytest.mark.parametrize("lowest", [0, 1, 3])
@pytest.mark.parametrize(("d", "degree"), [(1, 3), (3, 3), (4, 5)])
def test_factors_make_the_monomials(d: int, degree: int, lowest: int) -> None:
    x = np.random.default_rng(0).normal(size=(6, d))  # (b, d)
    made = np.prod(np.hstack([x, np.ones((6, 1))])[:, factors(d, degree, lowest)], axis=2)  # (b, k)
    first = rank(d, lowest - 1) if lowest else 0
    np.testing.assert_allclose(made, monomials(x, degree)[first:].T, rtol=degree * 2.0**-52)


@pytest.mark.parametrize("lowest", [0, 1, 3])
@pytest.mark.parametrize(("d", "degree"), [(1, 3), (3, 3), (4, 5), (60, 1), (12, 3)])
def test_runs_are_the_factors(d: int, degree: int, lowest: int) -> None:
    found, starts = runs(d, degree, lowest)
    table = factors(d, degree, lowest)
    made: list[list[int]] = []
    for tile in range(len(starts) - 1):
        for place, length, first, *others in found[starts[tile] : starts[tile + 1]]:
            assert len(made) == tile * device.MONOMIALS + place
            assert place + length <= device.MONOMIALS
            made += [[first + v, *others] for v in range(length)]
    assert made == table.tolist()


@pytest.mark.parametrize("c", [1, 23, 24, 25, 49, 200])
def test_slices_are_all_columns_in_few_widths(c: int) -> None:
    found = list(slices(c))
    assert [offset for offset, _ in found] == list(np.cumsum([0, *(width for _, width in found)])[:-1])
    assert sum(width for _, width in found) == c
    widths = {width for _, width in found}
    assert max(widths) <= device.COLUMNS
    assert max(widths) - min(widths) <= 1


def test_rows_too_wide_for_shared_memory_are_refused(library: Library) -> None:
    x, v = np.ones((1, 1, 30000), np.float32), np.ones((1, 1, 1), np.float32)
    on = EmulatedDevice(library)
    for call in (partial(on.absorb, x, v, 1, 1), partial(on.near_read, x, x, v, v[0, 0], 1)):
        with pytest.raises(AltgradError, match=r"^gpu: a row of d = 30000 entries takes .* bytes .* at most 98304"):
            call()
