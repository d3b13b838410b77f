"""Evidence from a CUDA device: `python -m gpu.evidence --out FILE` runs on a machine that has one, for ten minutes.

It writes JSON (schema: `docs/evidence/schema.json`): what the machine is and which sources ran, the property suite
(`evidence_properties`), what NVIDIA's checkers of memory and races found, and times with errors beside them
(`evidence_times`). The file is written after each part, whole or not at all: an interrupted run loses nothing that was
finished. Where there is no device it writes nothing and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from gpu import device, evidence_properties, evidence_times
from gpu.backend import product_error
from gpu.sources import sources
from reference.errors import AltgradError

SCHEMA = "altgrad-device/1"
MINUTES = 9.0
PACKAGES = "numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "altgrad"
TOOLS = "memcheck", "racecheck"
FAULTS_FOUND = 99  # the checkers' exit status if they found anything


class Machine(NamedTuple):
    """A device as the parts see it; tests hand in another one."""

    xp: Any  # CuPy
    seconds: Callable[[Callable[[], object]], float]  # what the device takes for a call
    torch: Any  # PyTorch, or None where it is missing or sees no device
    about: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu.evidence", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no part after so many (%(default)s)")
    parser.add_argument("--case", action="store_true", help=argparse.SUPPRESS)  # what the checkers run
    options = parser.parse_args(arguments)
    if options.out is None and not options.case:
        parser.error("--out FILE is needed")
    try:
        machine = this_machine()
    except AltgradError as error:
        print(f"gpu.evidence: {error}", file=sys.stderr)
        return 1
    if options.case:
        machine.xp.cuda.set_allocator(None)  # or a pool hides what lies beyond an array
        evidence_properties.small_case(machine.xp)
        return 0
    gather(machine, options.out, options.minutes)
    return 0


def gather(
    machine: Machine, file: Path, minutes: float = MINUTES, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Run the parts, and write the file after each piece of one."""
    data: dict[str, Any] = {"schema": SCHEMA, **machine.about, "left_out": [], "complete": False}
    write(file, data)
    end = clock() + 60 * minutes

    def left() -> float:
        seconds = end - clock()
        if seconds < 0:
            raise OutOfTimeError
        return seconds

    for name, part in PARTS.items():
        try:
            left()
            for found in part(machine, left):
                data[name] = found
                write(file, data)
        except OutOfTimeError:
            data["left_out"].append(name)
    data["complete"] = not data["left_out"]
    write(file, data)
    return data


class OutOfTimeError(Exception):
    """The minutes are over: what is missing is left out."""


def write(file: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    with NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False, encoding="utf-8") as temporary:
        json.dump(data, temporary, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write("\n")
    Path(temporary.name).replace(file)


# --- the machine


def this_machine() -> Machine:
    """The device of this machine; AltgradError where there is none, or where it multiplies in TF32."""
    xp = device.current().xp
    if product_error("gpu.evidence", xp):
        raise AltgradError("CuPy multiplies in TF32, needs CUPY_TF32 and NVIDIA_TF32_OVERRIDE to be 0 or nothing")
    return Machine(xp, lambda call: _device_seconds(xp, call), _torch(), about(xp))


def _torch() -> Any:
    """PyTorch, if it sees the device: its times on a CPU are no rival's."""
    try:
        torch = import_module("torch")
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def _device_seconds(xp: Any, call: Callable[[], object]) -> float:
    """Between two events on the default stream, which is PyTorch's too."""
    start, end = xp.cuda.Event(), xp.cuda.Event()
    start.record()
    value = call()
    end.record()
    end.synchronize()
    del value
    return float(xp.cuda.get_elapsed_time(start, end)) / 1e3


def about(xp: Any) -> dict[str, Any]:
    """Which machine, when, with what, and of which sources."""
    properties = xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {
            "device": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "multiprocessors": properties["multiProcessorCount"],
            "memory_bytes": properties["totalGlobalMem"],
            "driver": _driver(),
            "cuda_driver": xp.cuda.runtime.driverGetVersion(),
            "cuda_runtime": xp.cuda.runtime.runtimeGetVersion(),
            "system": platform.platform(),
            "cores": os.cpu_count() or 1,
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "sources": sources(),
    }


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return lines[0].strip() if lines else "unknown"


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


# --- the checkers of memory and races


def sanitizer(machine: Machine, left: Callable[[], float]) -> Iterator[list[dict[str, Any]]]:
    """What compute-sanitizer says of a small case; an empty list where it is not installed."""
    tool = _sanitizer()
    found: list[dict[str, Any]] = []
    yield found
    for name in TOOLS if tool else ():
        found = [*found, _checked([tool], name, max(1.0, min(left(), 60.0)))]
        yield found


def _sanitizer() -> str:
    """Where it lies; empty if it does not."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    folders = [os.environ.get("PATH", ""), *(f"{home}/bin" for home in (*homes, "/usr/local/cuda"))]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders)) or ""


def _checked(command: list[str], tool: str, seconds: float) -> dict[str, Any]:
    """The small case under one tool, in a process of its own."""
    command = [*command, "--tool", tool, "--error-exitcode", str(FAULTS_FOUND)]
    start = time.monotonic()
    try:
        ran = subprocess.run(
            [*command, sys.executable, "-m", "gpu.evidence", "--case"],
            cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        outcome, said = "unfinished", f"no result within {seconds:.0f} s"
    else:
        outcome = {0: "clean", FAULTS_FOUND: "faults"}.get(ran.returncode, "failed")
        said = "\n".join(line for line in ran.stdout.splitlines() if "SUMMARY" in line) or ran.stderr[-500:]
    return {"tool": tool, "outcome": outcome, "said": said, "seconds": time.monotonic() - start}


PARTS: dict[str, Callable[[Machine, Callable[[], float]], Iterator[Any]]] = {
    "properties": evidence_properties.part,
    "sanitizer": sanitizer,
    "times": evidence_times.part,
}

if __name__ == "__main__":
    sys.exit(main())
