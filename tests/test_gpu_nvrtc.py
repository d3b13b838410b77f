"""NVIDIA's compiler takes the kernels for the devices they are meant for: no result of a GPU, but no GPU is needed."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu import device
from gpu.device import Macros, absorbing, by_rows, near
from reference.low_rank import rank

MATTER = {"a head of 16, degree 2": (16, 2, 17), "a head of 16, degree 4": (16, 4, 17), "a head of 32": (32, 2, 17)}
OTHERS = {"a head of 64": (64, 2, 22), "one entry": (1, 1, 1), "a high degree": (2, 8, 3), "no factors": (3, 0, 4)}
CUPYS_OPTIONS = "-ftz=true", "--device-as-default-execution-space", "--pch"  # that it adds to ours
# All sizes for one architecture, those of the figures for the others: the sources ask none what it is.
COMPILED = [("sm_90", sizes) for sizes in MATTER | OTHERS] + [(one, next(iter(MATTER))) for one in ("sm_80", "sm_100")]
KERNELS = ("absorb", "read", "pull", "near_read", "near_pull")


def macros_of(kernel: str, d: int, degree: int, C: int, dtype: Any, *, flag: int = 0, rows: int = 2**20) -> Macros:
    k, G = rank(d, degree), max(degree, 1)
    more = {
        "absorb": lambda: absorbing(k, C, G, d, dtype) | {"ABSOLUTE": flag},
        "read": lambda: by_rows("read", C, G, d, rows, dtype) | {"ABSOLUTE": flag},
        "pull": lambda: by_rows("pull", C, G, d, rows, dtype),
        "near_read": lambda: near(kernel, C, d, rows, dtype) | {"ABSOLUTE": flag, "REVERSE": flag},
        "near_pull": lambda: near(kernel, C, d, rows, dtype) | {"REVERSE": flag},
    }[kernel]()
    return {"T": "float" if dtype == np.float32 else "double", "D": d, "C": C, "G": G} | more


def nvrtc(kernel: str, macros: Macros, architecture: str) -> tuple[bytes, str]:
    """Machine code, and what the assembler reports."""
    return compiled(kernel, device.source(kernel, macros), architecture)


@cache
def compiled(kernel: str, source: str, architecture: str) -> tuple[bytes, str]:
    from cupy.cuda import nvrtc as compiler  # noqa: PLC0415  # only these tests need it

    program = compiler.createProgram(source, f"{kernel}.cu", (), ())
    options = *device.OPTIONS, *CUPYS_OPTIONS, f"-arch={architecture}", "--ptxas-options=-v"
    compiler.compileProgram(program, options)
    return compiler.getCUBIN(program), compiler.getProgramLog(program)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("architecture", "sizes"), COMPILED)
def test_nvidias_compiler_takes_the_kernels(architecture: str, sizes: str, kernel: str) -> None:
    for dtype, flag in ((np.dtype(np.float32), 0), (np.dtype(np.float64), 1)):
        code, _ = nvrtc(kernel, macros_of(kernel, *(MATTER | OTHERS)[sizes], dtype, flag=flag), architecture)
        assert code.startswith(b"\x7fELF")


def resources(sizes: str, kernel: str) -> tuple[Macros, int, int]:
    """Of a kernel for an H200 in float32: its macros, the registers of a thread, blocks on a multiprocessor."""
    macros = macros_of(kernel, *MATTER[sizes], np.dtype(np.float32))
    _, report = nvrtc(kernel, macros, "sm_90")
    assert re.search(r"0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads", report)
    registers = re.search(r"Used (\d+) registers", report)
    assert registers
    warps = ceil(int(macros["THREADS"]) / 32)
    blocks = min(2**16 // (32 * warps * int(registers[1])), 227 * 1024 // (int(macros["SHARED"]) + 1024))
    return macros, int(registers[1]), blocks


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", sorted(MATTER))
def test_sums_stay_in_registers(sizes: str, kernel: str) -> None:
    """None goes to memory and back, and at least six warps find room on a multiprocessor of an H200."""
    macros, _, blocks = resources(sizes, kernel)
    assert blocks * ceil(int(macros["THREADS"]) / 32) >= 6


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_table_in_the_documents(kernel: str) -> None:
    """It is what the compiler of `constraints.txt` makes: where that one changes, so must the table."""
    text = (Path(__file__).parent.parent / "docs" / "gpu_kernels.md").read_text("utf-8")
    macros, registers, blocks = resources("a head of 16, degree 2", kernel)
    owned = f"{macros['F']} monomials" if kernel == "absorb" else f"{macros['R']} rows"
    cells = f"`{kernel}`", owned, macros["THREADS"], registers, f"{round(int(macros['SHARED']) / 1024)} KiB", blocks
    assert f"| {' | '.join(map(str, cells))} |\n" in text
    assert f"What NVRTC {metadata.version('nvidia-cuda-nvrtc')} makes of them for sm_90" in text


def test_nvidias_compiler_refuses_an_error() -> None:
    from cupy.cuda import nvrtc as compiler  # noqa: PLC0415

    wrong: dict[str, str | int] = {**macros_of("read", 3, 2, 4, np.dtype(np.float32)), "T": "flaot"}
    with pytest.raises(compiler.NVRTCError, match="COMPILATION"):
        nvrtc("read", wrong, "sm_90")


def test_kernels_are_those_in_the_folder() -> None:
    folder = Path(device.__file__).parent / "kernels"
    assert {file.stem for file in folder.glob("*.cu")} == set(KERNELS)


def test_kernels_are_the_same_for_all_architectures() -> None:
    assert "__CUDA_ARCH" not in "".join(device.source(kernel, {}) for kernel in KERNELS)
