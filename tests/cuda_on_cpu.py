"""The source of the kernels, compiled as C++ and run on the CPU: what it shows is their logic, never a GPU's result.

The compiler is Zig's, which pip installs. A thread that waits for the others of its block hands over to them, so that
a missing barrier shows when threads run in the opposite order. Shared memory that nobody wrote is NaN, and arrays lie
between guards, so that an entry too many shows as well.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import ziglang

from gpu import device
from gpu.device import Device, Launch, Macros

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
ZIG = str(Path(ziglang.__file__).with_name("zig"))  # `python -m ziglang` starts an interpreter for each kernel
# This process has a C library, and Zig would make one; optimizing a kernel takes longer than running it does.
OPTIONS = ("-std=c++17", "-O1", "-Xclang", "-O0", "-shared", "-fPIC", "-nostdlib", "-Wl,-Bsymbolic")

GUARD = 64  # entries on either side of an array


class FaultError(Exception):
    """Threads do not wait for each other where they should, or write where they should not."""


class Library:
    """Compiled kernels in a folder, by their sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compiled(self, name: str, source: str) -> Any:
        """The function that runs the kernel on the CPU."""
        text = f"""{HEADER.read_text("utf-8")}
{source}
static void call(void **given) {{ decltype(signature({name}))::with<{name}>(given); }}
unsigned char shared[ENOUGH];
extern "C" bool launch(long blocks, long threads, long bytes, int backwards, void **given)
{{
    body = call;
    return run(blocks, threads, bytes, backwards, given);
}}
"""
        stem = self.folder / f"{name}-{sha256(text.encode()).hexdigest()[:16]}"
        library = stem.with_suffix(".so")
        if not library.exists():
            stem.with_suffix(".cpp").write_text(text, "utf-8")
            caches = {f"ZIG_{kind}_CACHE_DIR": str(self.folder) for kind in ("GLOBAL", "LOCAL")}
            command = [ZIG, "c++", *OPTIONS, str(stem.with_suffix(".cpp")), "-o", str(library)]
            subprocess.run(command, check=True, env=os.environ | caches, capture_output=True, text=True)
        launch = ctypes.CDLL(str(library)).launch
        launch.argtypes, launch.restype = [ctypes.c_long] * 3 + [ctypes.c_int, ctypes.c_void_p], ctypes.c_bool
        return launch


class EmulatedDevice(Device):
    """`Device` on arrays of the host. Every launch runs twice, forwards and backwards, and must give the same bits."""

    def __init__(self, library: Library, source: Any = device.source, xp: Any = np) -> None:
        self.library, self.source = library, source
        super().__init__(xp, self.emulated, xp.asarray)

    def emulated(self, name: str, macros: Macros) -> Launch:
        function = self.library.compiled(name, self.source(name, macros))

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], shared: int) -> None:
            arguments = tuple(getattr(a, "hidden", a) for a in arguments)  # those of `device_arrays`
            first, *others, result = (a for a in arguments if isinstance(a, np.ndarray))
            assert {a.dtype for a in others} - {np.dtype(np.int32)} == {first.dtype}
            assert result.dtype == (np.float64 if name == "absorb" else first.dtype)
            found = [self.once(function, (*grid, *block, shared), arguments, backwards) for backwards in (0, 1)]
            if found[0].tobytes() != found[1].tobytes():
                raise FaultError(f"{name}: the result depends on which thread runs first")
            result[...] = found[0]

        return launch

    def once(self, function: Any, sizes: tuple[int, ...], arguments: tuple[Any, ...], backwards: int) -> Any:
        """The last array, as the kernel leaves it."""
        guarded = {i: guard(a) for i, a in enumerate(arguments) if isinstance(a, np.ndarray)}
        given = [ctypes.c_void_p(inner(guarded[i]).ctypes.data) if i in guarded else ctypes.c_int64(a)
                 for i, a in enumerate(arguments)]  # fmt: skip
        pointers = (ctypes.c_void_p * len(given))(*map(ctypes.addressof, given))
        if not function(*sizes, backwards, pointers):
            raise FaultError("threads part at a barrier, or write beyond their shared memory")
        *_, result = sorted(guarded)
        for i, array in guarded.items():
            expected = guard(arguments[i])
            if i == result:
                inner(expected)[:] = inner(array)
            if array.tobytes() != expected.tobytes():
                raise FaultError("written outside of the result")
        return inner(guarded[result]).reshape(arguments[result].shape)


def guard(array: Any) -> Any:
    """Its entries between others that no sum should have: NaN, or an index that is none."""
    assert array.flags.c_contiguous
    return np.pad(array.ravel(), GUARD, constant_values=np.nan if array.dtype.kind == "f" else -1)


def inner(guarded: Any) -> Any:
    return guarded[GUARD:-GUARD]
