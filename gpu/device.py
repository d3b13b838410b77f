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
TILE = 32  # rows of a group, or of the other side, that pass through shared memory together
MONOMIALS = 48  # whose sums pass through shared memory together
REGISTERS = 160  # of 32 bits, for the arrays of one thread, at most
COLUMNS = 24  # that one launch takes, at most
SHARED = 72 * 1024  # bytes of a block's shared memory, so that three blocks find room, where rows leave that choice
LARGEST_SHARED = 96 * 1024  # bytes that every device from sm_80 on has for a block
THREADS = 128  # of a block that sums over rows, at most
BLOCKS = 1024  # that keep a large device busy

Macros = Mapping[str, str | int]
Launch = Callable[[tuple[int], tuple[int], tuple[Any, ...], int], None]  # grid, block, arguments, bytes shared
Build = Callable[[str, Macros], Launch]


class Device:
    """Arrays of one kind (`xp`, their namespace) and the kernels for them, which `build` compiles.

    `put` copies a table, and returns when it is there: it serves all streams.
    """

    def __init__(self, xp: Any, build: Build, put: Callable[[Any], Any]) -> None:
        self.xp, self.build = xp, cache(lambda name, macros: build(name, dict(macros)))
        self.table = cache(lambda d, degree, lowest: put(factors(d, degree, lowest)))
        self.runs = cache(lambda d, degree, lowest: tuple(map(put, runs(d, degree, lowest))))

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
            partial = self.xp.empty((H, s, parts, k, C))
            self._launch(
                "absorb", H * s * parts * tiles, more | {"ABSOLUTE": int(absolute)}, x, C,
                (x, columns, table, partial, b, L, s, parts, tiles, k, c, offset),
            )  # fmt: skip
            sums[..., offset : offset + C] = partial.sum(axis=2)
        return sums

    def read(self, x: Any, sums: Any, degree: int, L: int, *, absolute: bool = False, lowest: int = 0) -> Any:
        """φ(x_i), or |φ|, times the sums of its segment. Shapes: x (H, b, d), sums (H, s, k, c) -> (H, b, c)."""
        (H, b, d), (_, s, k, c) = x.shape, sums.shape
        found = self.xp.empty((H, b, c), x.dtype)
        for offset, C in slices(c):
            more = by_rows("read", C, max(degree, 1), d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / (more["R"] * more["THREADS"]))
            self._launch(
                "read", H * s * blocks, more | {"ABSOLUTE": int(absolute)}, x, C,
                (x, sums, *self.runs(d, degree, lowest), found, b, L, s, blocks, k, c, offset),
            )  # fmt: skip
        return found

    def pull(self, x: Any, factor: Any, sums: Any, degree: int, L: int) -> Any:
        """∇ Σ_a φ_a(x_i) ⟨sums_a, factor_i⟩. Shapes: x (H, b, d), factor (H, b, c), sums (H, s, k, c) -> (H, b, d)."""
        (H, b, d), (_, s, k, c) = x.shape, sums.shape
        pulled = self.xp.zeros_like(x)
        for offset, C in slices(c):
            more = by_rows("pull", C, max(degree, 1), d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / (more["R"] * more["THREADS"]))
            self._launch(
                "pull", H * s * blocks, more, x, C,
                (x, factor, sums, *self.runs(d, degree, 0), pulled, b, L, s, blocks, k, c, offset),
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
            sizes = near(name, C, d, min(b, L), x.dtype)
            blocks = ceil(min(b, L) / (sizes["R"] * sizes["THREADS"]))
            self._launch(
                name, H * s * blocks, sizes | more, x, C,
                (*arrays, b, L, s, blocks, c, offset),
            )  # fmt: skip

    def _launch(
        self, name: str, blocks: int, more: dict[str, int], x: Any, C: int, arguments: tuple[Any, ...]
    ) -> None:
        own: dict[str, str | int] = {"T": "float" if x.dtype == np.float32 else "double", "D": x.shape[2], "C": C}
        kernel = self.build(name, tuple((own | more).items()))
        sizes = (np.int64(a) if isinstance(a, int) else a for a in arguments)
        kernel((blocks,), (more["THREADS"],), tuple(sizes), more["SHARED"])


# --- sizes


def slices(c: int) -> Iterator[tuple[int, int]]:
    """Columns in slices of about the same width, at most `COLUMNS`: where each begins, and its width."""
    number = ceil(c / COLUMNS)
    for i in range(number):
        yield i * c // number, (i + 1) * c // number - i * c // number


def absorbing(k: int, C: int, G: int, d: int, dtype: Any) -> dict[str, int]:
    """F monomials a thread, SLOTS threads for a tile of monomials, GROUPS of them, each with rows of its own."""
    size, tile = dtype.itemsize, TILE
    F = min(8, k, max(1, REGISTERS // (C * size // 4 + G)))
    most = min(k, 2 * SHARED // 3 // (8 * C))  # monomials whose sums find room
    tiles = ceil(k / min(most, THREADS * F))
    slots = ceil(ceil(k / tiles) / F)
    groups = min(16, max(1, THREADS // slots))
    width = padded(C, size) * size + odd(d + 1) * size
    while tile > 1 and groups * tile * width > SHARED // 3:
        tile //= 2
    while groups > 1 and groups * tile * width > SHARED // 3:
        groups -= 1
    shared = groups * tile * width + F * slots * C * 8
    refuse_wide(d, shared)
    return {
        "THREADS": slots * groups, "SLOTS": slots, "GROUPS": groups, "F": F, "G": G, "TILE": tile, "STEP": STEP,
        "SHARED": shared,
    }  # fmt: skip


def by_rows(name: str, C: int, G: int, d: int, rows: int, dtype: Any) -> dict[str, int]:
    """R rows a thread: as many as registers, shared memory and the segment have room for."""
    size: int = dtype.itemsize
    width = (max(odd(d + 1), odd(C)) + (odd(d + 1) if name == "pull" else 0)) * size
    fixed = MONOMIALS * padded(C, size) * size
    R, threads = spread((C + G) * size // 4, rows)
    while R > 1 and fixed + R * threads * width > SHARED:
        R -= 1
    while threads > 1 and fixed + R * threads * width > LARGEST_SHARED:
        threads //= 2
    shared = fixed + R * threads * width
    refuse_wide(d, shared)
    return {"THREADS": threads, "R": R, "G": G, "MONOMIALS": MONOMIALS, "SHARED": shared}


def near(name: str, C: int, d: int, rows: int, dtype: Any) -> dict[str, int]:
    """The same where pairs are written out."""
    size, tile = dtype.itemsize, TILE
    R, threads = spread((C + d + (d if name == "near_pull" else 0)) * size // 4, rows)
    width, pair = max(odd(d), odd(C)) * size, (padded(d, size) + padded(C, size)) * size
    while R > 1 and R * threads * width > SHARED:
        R -= 1
    while threads > 1 and R * threads * width > LARGEST_SHARED:
        threads //= 2
    while tile > 1 and tile * pair > SHARED:
        tile //= 2
    shared = max(R * threads * width, tile * pair)
    refuse_wide(d, shared)
    return {"THREADS": threads, "R": R, "TILE": tile, "SHARED": shared}


def spread(words: int, rows: int) -> tuple[int, int]:
    """Rows of a thread, each of so many registers, and threads of a block: two warps, or one for few rows."""
    R = max(1, min(8, REGISTERS // words, ceil(rows / 32)))
    return R, 64 if rows >= 64 * R else 32


def odd(n: int) -> int:
    return n | 1


def padded(columns: int, size: int) -> int:
    """Columns in whole vectors of 16 bytes."""
    return columns + -columns % (16 // size)


def refuse_wide(d: int, least: int) -> None:
    if least > LARGEST_SHARED:
        got = f"gpu: a row of d = {d} entries takes {least} bytes of a block's shared memory"
        raise AltgradError(f"{got}, needs at most {LARGEST_SHARED}: `reference` on the CPU takes rows of any width")


def factors(d: int, degree: int, lowest: int) -> Any:
    """The variables of each monomial, in the order of `low_rank.monomials`, filled up with d, which stands for 1.

    Shapes: -> (k, G), G = max(degree, 1).
    """
    table = np.full((rank(d, degree), max(degree, 1)), d, np.int32)  # (k, G)
    for made, i, used in recursion(d, degree):
        table[made] = table[used]
        table[made, (table[used.start] < d).sum()] = i  # behind the variables of the others, none of which is later
    return table[rank(d, lowest - 1) if lowest else 0 :]


def runs(d: int, degree: int, lowest: int) -> tuple[Any, Any]:
    """Monomials that differ in their first variable only, one more each time, and where those of each tile begin.

    A run is its place among the MONOMIALS of its tile, its length, its first variable, and the other variables.
    Shapes: -> (r, 2 + G), (tiles + 1,).
    """
    table = factors(d, degree, lowest)  # (k, G)
    place = np.arange(len(table))
    new = (np.diff(table[:, 1:], axis=0) != 0).any(axis=1) | (np.diff(table[:, 0]) != 1)  # (k - 1,)
    begins = np.flatnonzero(np.append(True, new) | (place % MONOMIALS == 0))  # (r,)
    lengths = np.diff(np.append(begins, len(table)))  # (r,)
    found = np.column_stack([begins % MONOMIALS, lengths, table[begins]])  # (r, 2 + G)
    starts = np.searchsorted(begins, np.arange(0, len(table) + MONOMIALS, MONOMIALS))  # (tiles + 1,)
    return found.astype(np.int32), starts.astype(np.int32)


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
        kernel = cupy.RawModule(code=source(name, macros), options=OPTIONS).get_function(name)
        kernel.max_dynamic_shared_size_bytes = macros["SHARED"]  # a block has 48 KiB unless it asks for more

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], shared: int) -> None:
            kernel(grid, block, arguments, shared_mem=shared)

        return launch

    return Device(cupy, build, partial(cupy.asarray, blocking=True))
