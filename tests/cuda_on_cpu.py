"""The source of the kernels, compiled as C++ and run on the CPU: what it shows is their logic, never a GPU's result.

The compiler is Zig's, which pip installs. A thread that waits for the others of its block hands over to them, so that
a missing barrier shows when threads run in the opposite order.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gpu import device
from gpu.device import Device, Launch, Macros

HEADER = Path(__file__).with_name("cuda_on_cpu.h")


class RaceError(Exception):
    """Threads do not wait for each other where they should."""


class Library:
    """Compiled kernels in a folder, by their sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compiled(self, name: str, source: str) -> Any:
        """The function that runs the kernel on the CPU."""
        text = f"""{HEADER.read_text("utf-8")}
{source}
static void call(void **given) {{ decltype(signature({name}))::with<{name}>(given); }}
extern "C" void launch(long blocks, long threads, int backwards, void **given)
{{
    body = call;
    run(blocks, threads, backwards, given);
}}
"""
        stem = self.folder / f"{name}-{sha256(text.encode()).hexdigest()[:16]}"
        library = stem.with_suffix(".so")
        if not library.exists():
            stem.with_suffix(".cpp").write_text(text, "utf-8")
            caches = {f"ZIG_{kind}_CACHE_DIR": str(self.folder) for kind in ("GLOBAL", "LOCAL")}
            command = [sys.executable, "-m", "ziglang", "c++", "-std=c++17", "-O1", "-shared", "-fPIC"]
            command += ["-nostdlib++", "-Wl,-Bsymbolic", str(stem.with_suffix(".cpp")), "-o", str(library)]
            subprocess.run(command, check=True, env=os.environ | caches, capture_output=True, text=True)
        return ctypes.CDLL(str(library)).launch


class EmulatedDevice(Device):
    """`Device` on arrays of the host. Every launch runs twice, forwards and backwards, and must give the same bits."""

    def __init__(self, library: Library, source: Any = device.source, xp: Any = np) -> None:
        self.library, self.source = library, source
        super().__init__(xp, self.emulated, xp.asarray)

    def emulated(self, name: str, macros: Macros) -> Launch:
        function = self.library.compiled(name, self.source(name, macros))

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            arguments = tuple(getattr(a, "hidden", a) for a in arguments)  # those of `device_arrays`
            arrays = [a for a in arguments if isinstance(a, np.ndarray)]
            *_, result = arrays
            assert all(a.flags.c_contiguous for a in arrays)
            assert {a.dtype for a in arrays[:-1]} - {np.dtype(np.uint16)} == {arrays[0].dtype}
            assert result.dtype == (np.float64 if name == "absorb" else arrays[0].dtype)
            before, found = result.copy(), []
            for backwards in (0, 1):
                result[...] = before
                given = [ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int64(a)
                         for a in arguments]  # fmt: skip
                pointers = (ctypes.c_void_p * len(given))(*(ctypes.addressof(one) for one in given))
                function(ctypes.c_long(grid[0]), ctypes.c_long(block[0]), ctypes.c_int(backwards), pointers)
                found.append(result.tobytes())
            if found[0] != found[1]:
                raise RaceError(f"{name}: the result depends on which thread runs first")

        return launch
