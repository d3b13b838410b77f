"""Which sources of `gpu` these are: evidence from a device is stale when they have changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

SOURCES = "*.py", "*.cu", "*.cuh"


def sources(folder: Path = Path(__file__).parent) -> str:
    """The sha256 of the sources of `gpu/`: names and contents, by name."""
    found = hashlib.sha256()
    for path in sorted({p for pattern in SOURCES for p in folder.rglob(pattern)}, key=lambda p: p.as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()
