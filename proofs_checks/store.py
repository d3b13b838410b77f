"""Where finished shards lie: one small file each under `.altgrad/`, written whole or not at all.

A run that is killed loses only the shards in flight; the next one finds the rest and goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from proofs_checks.trial import Result

FOLDER = Path(".altgrad")


class Store:
    """Results by key."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder / "shards"

    def prepare(self) -> None:
        """Make the folder; OSError where nothing can be kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        NamedTemporaryFile(dir=self.folder).close()

    def load(self, key: str) -> Result | None:
        """The stored result, or None; a file that cannot be read as one is as good as absent."""
        try:
            return Result.from_json(json.loads(self._path(key).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def save(self, key: str, result: Result) -> None:
        """Store a result; the file appears under its name only when it is complete."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            json.dump(result.to_json(), file)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
