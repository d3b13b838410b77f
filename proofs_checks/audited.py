"""The figures of the last audit that were kept: docs/audit.json, which `altgrad audit --json` wrote.

Mutants take hours, so a report reads what became of them.
"""

from __future__ import annotations

from pathlib import Path

from proofs_checks.audit import reference_digest
from proofs_checks.comparison import Results, load
from proofs_checks.recorded import ROOT

FILE = "docs/audit.json"
AGAIN = f"altgrad audit --profile deep --json {FILE}"


def kept(path: Path = ROOT / FILE) -> Results | None:
    """What the file holds; None without one. Raises AltgradError for a file that is no audit's."""
    return load(path, "audit.schema.json", "a file that altgrad audit --json wrote") if path.exists() else None


def is_stale(audit: Results) -> bool:
    """Whether `reference/` has changed since, so that other mutants would be made."""
    return bool(audit["reference"] != reference_digest())
