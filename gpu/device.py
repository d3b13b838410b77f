"""The CUDA device and its kernels: a placeholder until the kernels are merged."""

from __future__ import annotations

from typing import Any

from reference.errors import AltgradError

STEP = 256  # rows that are summed in the arrays' own precision, at most


def current() -> Any:
    try:
        import cupy  # noqa: F401, PLC0415  # an extra, which takes a second
    except ImportError:
        raise AltgradError("no CUDA device was found, as CuPy is missing: pip install 'altgrad[gpu]'") from None
    raise AltgradError("no CUDA device was found")
