"""A user's own matrices: X, W, W_V or Q, K, V, and G, the cotangent of the output.

They come from an .npz file, which is read into memory, or from a folder with an .npy file for each, which is mapped:
what a computation does not touch is not read. Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from reference.errors import AltgradError
from reference.shapes import FloatArray, check_operands, refuse

WEIGHTS = {"X": "n d", "W": "d d", "W_V": "d d", "G": "n d"}
HEADS = {"Q": "... n d", "K": "... m d", "V": "... m e", "G": "... n e"}
UNREADABLE = OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error

NEEDED = "a whole .npz file or a folder of .npy files"

Matrices = Mapping[str, FloatArray]


def load(path: Path, function: str, *, cotangent: bool = True) -> Matrices:
    """The matrices that a file or a folder holds, checked; other keys are left alone.

    Raises AltgradError, which names the key, what it is and what is needed: for a file that is missing or damaged,
    keys that are not there, both sets of keys at once, arrays of objects, and other shapes, dtypes or entries than
    attention takes. `cotangent=False` does without G.
    """
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        specs = _specs(function, path, files, cotangent)
        arrays = {key: _read(function, path, key, lambda key: _mapped(files[key])) for key in specs}
    else:
        with _opened(function, path) as file, _archive(function, path, file) as archive:
            specs = _specs(function, path, archive.files, cotangent)
            arrays = {key: _read(function, path, key, archive.__getitem__) for key in specs}
    check_operands(function, arrays, specs)
    return arrays


def _mapped(file: Path) -> FloatArray:
    array: FloatArray = np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    return array


def _opened(function: str, path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return refuse(function, str(path), "does not exist", NEEDED)
    except OSError as error:
        return refuse(function, str(path), f"cannot be read ({error.strerror})", NEEDED)


def _archive(function: str, path: Path, file: BinaryIO) -> Any:
    try:
        archive = np.load(file, allow_pickle=False)
    except UNREADABLE as error:
        refuse(function, str(path), f"cannot be read ({error})", NEEDED)
    if isinstance(archive, np.ndarray):
        refuse(function, str(path), "holds one array without a name", NEEDED)
    return archive


def _specs(function: str, path: Path, keys: Iterable[str], cotangent: bool) -> dict[str, str]:
    """The shapes of the one set of keys that is there."""
    found, forms = set(keys), [WEIGHTS, HEADS]
    wanted = [{key: form[key] for key in form if cotangent or key != "G"} for form in forms]
    whole = [form for form in wanted if found >= form.keys()]
    if len(whole) == 1:
        return whole[0]
    got = f"has the keys {', '.join(sorted(found)) or '(none)'}"
    return refuse(function, str(path), got, " or ".join(", ".join(form) for form in wanted) + ", and not both")


def _read(function: str, path: Path, key: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(key)
    except UNREADABLE as error:
        raise AltgradError(
            f"{function}: {key} in {path} cannot be read ({error}), needs an array of float32 or float64"
        ) from None
