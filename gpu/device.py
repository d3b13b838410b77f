"""The CUDA device and its kernels: sums over monomials that no device memory ever holds.

Arrays lead with heads: x (H, b, d) is a chunk of b rows of each of H heads, cut into segments of L rows, of which the
last may be shorter. A segment of a head has sums of its own, (H, s, k, c), over its k monomials of degree `lowest` to
`degree`, in the order of `low_rank.monomials`. The kernels themselves are CUDA C++, in `kernels`; each says there what
it computes, how it is tiled and what should bound it. They are compiled when they are first needed, for the sizes of
the call.

A sum over rows adds at most `STEP` of them in the arrays' own precision, then in float64, always in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import AltgradError
from reference.low_rank import rank, recursion

STEP = 256  # rows that are summed in the arrays' own precision, at most
TILE = 64  # rows, or monomials, that pass through shared memory together
THREADS = 128  # of a block, at most
SHARED = 48 * 1024  # bytes of shared memory of a block
REGISTERS = 72  # for the sums of one thread, at most
COLUMNS = 36  # that one launch takes, at most
BLOCKS = 2048  # that keep a large device busy

Macros = Mapping[str, str | int]
Launch = Callable[[tuple[int], tuple[int], tuple[Any, ...]], None]  # grid, block, arguments
Build = Callable[[str, Macros], Launch]


class Device:
    """Arrays of one kind (`xp`, their namespace) and the kernels for them, which `build` compiles.

    `put` copies a table, and returns when it is there: it serves all streams.
    """

    def __init__(self, xp: Any, build: Build, put: Callable[[Any], Any]) -> None:
        self.xp, self.build = xp, cache(lambda name, macros: build(name, dict(macros)))
        self.table = cache(lambda d, degree, lowest: put(factors(d, degree, lowest)))

    def absorb(self, x: Any, columns: Any, degree: int, L: int, *, absolute: bool = False, lowest: int = 0) -> Any:
        """Σ_j φ(x_j)ᵀ columns_j, or |φ|, for each segment. Shapes: x (H, b, d), columns (H, b, c) -> (H, s, k, c)."""
        (H, b, d), c = x.shape, columns.shape[2]
        s, table = ceil(b / L), self.table(d, degree, lowest)  # (k, G)
        k = len(table)
        sums = self.xp.empty((H, s, k, c))
        for offset, C in slices(c):
            more = absorbing(k, C, table.shape[1], d, x.dtype)
            tiles = ceil(k / (more["SLOTS"] * more["F"]))
            parts = max(1, min(BLOCKS // (H * s * tiles), ceil(min(b, L) / STEP)))
            partial = self.xp.empty((H, s, parts * more["GROUPS"], k, C))
            self._launch(
                "absorb", H * s * parts * tiles, more | {"ABSOLUTE": int(absolute)}, x, C, table,
                (x, columns, table, partial, b, L, s, parts, tiles, k, c, offset),
            )  # fmt: skip
            sums[..., offset : offset + C] = partial.sum(axis=2)
        return sums

    def read(self, x: Any, sums: Any, degree: int, L: int, *, absolute: bool = False, lowest: int = 0) -> Any:
        """φ(x_i), or |φ|, times the sums of its segment. Shapes: x (H, b, d), sums (H, s, k, c) -> (H, b, c)."""
        (H, b, d), (_, s, k, c) = x.shape, sums.shape
        table = self.table(d, degree, lowest)  # (k, G)
        found = self.xp.empty((H, b, c), x.dtype)
        for offset, C in slices(c):
            more = by_rows("read", C, table.shape[1], d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / (more["R"] * more["THREADS"]))
            self._launch(
                "read", H * s * blocks, more | {"ABSOLUTE": int(absolute)}, x, C, table,
                (x, sums, table, found, b, L, s, blocks, k, c, offset),
            )  # fmt: skip
        return found

    def pull(self, x: Any, factor: Any, sums: Any, degree: int, L: int) -> Any:
        """∇ Σ_a φ_a(x_i) ⟨sums_a, factor_i⟩. Shapes: x (H, b, d), factor (H, b, c), sums (H, s, k, c) -> (H, b, d)."""
        (H, b, d), (_, s, k, c) = x.shape, sums.shape
        table = self.table(d, degree, 0)  # (k, G)
        pulled = self.xp.zeros_like(x)
        for offset, C in slices(c):
            more = by_rows("pull", C, table.shape[1], d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / (more["R"] * more["THREADS"]))
            self._launch(
                "pull", H * s * blocks, more, x, C, table,
                (x, factor, sums, table, pulled, b, L, s, blocks, k, c, offset),
            )  # fmt: skip
        return pulled

    def near_read(
        self, x: Any, y: Any, columns: Any, coefficients: Any, L: int, *, absolute: bool = False, reverse: bool = False
    ) -> Any:
        """Σ_j P(⟨x_i, y_j⟩) columns_j over j ≤ i in the segment, or j ≥ i; or with |x| and |y|.

        Shapes: x, y (H, b, d), columns (H, b, c), coefficients (g + 1,) -> (H, b, c).
        """
        found = self.xp.empty_like(columns)
        more = {"ABSOLUTE": int(absolute), "REVERSE": int(reverse)}
        self._near("near_read", x, more, (x, y, columns, coefficients, found), L)
        return found

    def near_pull(
        self, x: Any, y: Any, x_factor: Any, y_factor: Any, slope: Any, L: int, *, reverse: bool = False
    ) -> Any:
        """Σ_j R(⟨x_i, y_j⟩) ⟨x_factor_i, y_factor_j⟩ y_j over the same j.

        Shapes: x, y (H, b, d), factors (H, b, c), slope (g,) -> (H, b, d).
        """
        pulled = self.xp.zeros_like(x)
        if len(slope):  # else R = 0
            self._near("near_pull", x, {"REVERSE": int(reverse)}, (x, y, x_factor, y_factor, slope, pulled), L)
        return pulled

    def _near(self, name: str, x: Any, more: dict[str, int], arrays: tuple[Any, ...], L: int) -> None:
        H, b, d = x.shape
        *_, columns, coefficients, _ = arrays
        c, s, more = columns.shape[2], ceil(b / L), more | {"G": len(coefficients) - 1}
        for offset, C in slices(c):
            sizes = near(C, d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / sizes["THREADS"])
            self._launch(
                name, H * s * blocks, sizes | more, x, C, None,
                (*arrays, b, L, s, blocks, c, offset),
            )  # fmt: skip

    def _launch(
        self, name: str, blocks: int, more: dict[str, int], x: Any, C: int, table: Any, arguments: tuple[Any, ...]
    ) -> None:
        own: dict[str, str | int] = {"T": "float" if x.dtype == np.float32 else "double", "D": x.shape[2], "C": C}
        if table is not None:
            own["G"] = table.shape[1]
        kernel = self.build(name, tuple((own | more).items()))
        sizes = (np.int64(a) if isinstance(a, int) else a for a in arguments)
        kernel((blocks,), (more["THREADS"],), tuple(sizes))


# --- sizes


def slices(c: int) -> Iterator[tuple[int, int]]:
    """Columns in slices of about the same width, at most `COLUMNS`: where each begins, and its width."""
    number = ceil(c / COLUMNS)
    for i in range(number):
        yield i * c // number, (i + 1) * c // number - i * c // number


def absorbing(k: int, C: int, G: int, d: int, dtype: Any) -> dict[str, int]:
    """F monomials a thread; GROUPS of SLOTS threads, each group with rows of its own. The fewest steps for all."""
    size, tile = dtype.itemsize, min(TILE, STEP)
    while tile > 1 and tile * (d + 1 + padded(C, size)) * size > SHARED:
        tile //= 2
    refuse_wide(d, (d + 1 + padded(C, size)) * size)

    def steps(F: int) -> tuple[float, int, int, int]:
        threads = min(THREADS, 32 * ceil(k / (32 * F)))
        rounds = ceil(k / (threads * F)) * threads  # slots that are paid for
        return rounds * (F * (C / 4 + G) + C * size / 16), F, threads, max(1, THREADS // threads)

    most = max(1, REGISTERS * 4 // size // C)
    _, F, slots, groups = min(steps(F) for F in range(1, min(most, 8) + 1))
    return {"THREADS": slots * groups, "SLOTS": slots, "GROUPS": groups, "F": F, "TILE": tile, "STEP": STEP}


def by_rows(name: str, C: int, G: int, d: int, rows: int, dtype: Any) -> dict[str, int]:
    """R rows a thread: as many as registers, shared memory and the segment have room for."""
    size: int = dtype.itemsize
    copies = 2 if name == "pull" else 1
    fixed = TILE * (padded(C, size) * size + 2 * G) + 64  # and what alignment costs
    R, threads = max(1, min(4, REGISTERS * 4 // size // C)), THREADS

    def too_many() -> bool:
        return R * threads > max(32, rows) or fixed + copies * (d + 1) * R * threads * size > SHARED

    while R > 1 and too_many():
        R //= 2
    while threads > 1 and too_many():
        threads //= 2
    refuse_wide(d, fixed + copies * (d + 1) * size)
    return {"THREADS": threads, "R": R, "MONOMIALS": TILE}


def near(C: int, d: int, rows: int, dtype: Any) -> dict[str, int]:
    """One row a thread."""
    size, tile = dtype.itemsize, TILE
    width = (padded(C, size) + padded(d, size)) * size
    while tile > 1 and tile * width > SHARED:
        tile //= 2
    refuse_wide(d, width)
    return {"THREADS": min(THREADS, 32 * ceil(rows / 32)), "TILE": tile}


def padded(columns: int, size: int) -> int:
    """Columns in whole vectors of 16 bytes."""
    return columns + -columns % (16 // size)


def refuse_wide(d: int, least: int) -> None:
    if least > SHARED:
        raise AltgradError(f"gpu: a row of d = {d} entries needs {least} bytes of shared memory, has {SHARED}")


def factors(d: int, degree: int, lowest: int) -> Any:
    """The variables of each monomial, in the order of `low_rank.monomials`, filled up with d, which stands for 1.

    Shapes: -> (k, G), G = max(degree, 1).
    """
    variables: list[tuple[int, ...]] = [()]
    for _, i, used in recursion(d, degree):
        variables += [(*one, i) for one in variables[used]]
    wanted = variables[rank(d, lowest - 1) if lowest else 0 :]
    G = max(degree, 1)
    return np.array([one + (d,) * (G - len(one)) for one in wanted], np.uint16)  # (k, G)


# --- CUDA


OPTIONS = ("-std=c++17",)  # and no fast mathematics, which would not be within the rounding bound


def source(name: str, macros: Macros) -> str:
    """The kernel for some sizes: as definitions in the source, for options would reach CUDA's own headers too."""
    folder = Path(__file__).parent / "kernels"
    sizes = "".join(f"#define {key} {value}\n" for key, value in macros.items())
    return sizes + "\n".join((folder / file).read_text("utf-8") for file in ("common.cuh", f"{name}.cu"))


def current() -> Device:
    """The current CUDA device."""
    try:
        import cupy  # noqa: PLC0415  # an extra, which takes a second
    except ImportError:
        raise AltgradError("no CUDA device was found, as CuPy is missing: pip install 'altgrad[gpu]'") from None
    try:
        number = cupy.cuda.runtime.getDevice()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise AltgradError(f"no CUDA device was found ({error})") from None
    return _device(number)


@cache
def _device(number: int) -> Device:
    """One for each device, as kernels are loaded on one."""
    import cupy  # noqa: PLC0415

    def build(name: str, macros: Macros) -> Launch:
        launch: Launch = cupy.RawModule(code=source(name, macros), options=OPTIONS).get_function(name)
        return launch

    return Device(cupy, build, partial(cupy.asarray, blocking=True))
