"""The results of a run as JSON (schema: `verify.schema.json`), and the recorded baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from proofs_checks.digest import packages
from proofs_checks.judgement import Judgement, summary
from proofs_checks.runner import Run

SCHEMA = "altgrad-verify/2"
BASELINE = "baseline.json"


def results(judged: Mapping[str, Judgement], run: Run) -> dict[str, Any]:
    """Everything a run found, as plain data. It holds no times, so equal evidence gives equal files."""
    return {
        "schema": SCHEMA,
        "altgrad": version_of_altgrad(),
        "paper": "arXiv:2408.13233v2",
        "profile": run.profile,
        "seed": run.seed,
        "packages": [f"{k} {v}" for k, v in packages(frozenset({run.book.module, "proofs_checks.runner"})).items()],
        "statements": [_statement(j) for j in judged.values()],
    }


def _statement(j: Judgement) -> dict[str, Any]:
    s = j.statement
    return {
        "id": s.id,
        "kind": s.kind,
        "title": s.title,
        "locus": s.locus,
        "assumes": list(s.assumes),
        "uses": list(s.uses),
        "verdict": str(j.verdict),
        "standing": j.verdict.standing,
        "derivation": j.derivation,
        "parts": [
            {
                "name": p.part.name,
                "kind": p.part.kind,
                "claim": p.part.claim,
                "verdict": str(p.verdict),
                "standing": p.verdict.standing,
                "detail": p.verdict.detail,
                "fault": p.part.fault,
                "consequence": p.part.consequence,
                "forms": [
                    {
                        "role": f.form.role,
                        "reading": f.form.reading,
                        "verdict": f.verdict.word,
                        "reason": f.verdict.reason,
                        "checks_not_run": f.missing,
                        "evidence": [e.to_json() for e in f.evidence],
                    }
                    for f in p.forms
                ],
            }
            for p in j.parts
        ],
    }


def write(path: Path, data: Any) -> None:
    """Write JSON for people to read and to compare."""
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_results(path: Path, judged: Mapping[str, Judgement], run: Run) -> None:
    """Write everything a run found (schema: `verify.schema.json`)."""
    write(path, results(judged, run))


def load_baseline(profile: str) -> dict[str, dict[str, str]]:
    """The recorded verdicts and derivations of a profile; empty if none were recorded."""
    path = _baseline()
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    baseline: dict[str, dict[str, str]] = recorded.get(profile, {})
    return baseline


def record_baseline(judged: Mapping[str, Judgement], profile: str) -> Path:
    """Make the computed verdicts the baseline of the profile."""
    path = _baseline()
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    recorded[profile] = {id: summary(j) for id, j in judged.items()}
    write(path, recorded)
    return path


def _baseline() -> Path:
    return Path(str(files("proofs_checks").joinpath(BASELINE)))


def version_of_altgrad() -> str:
    try:
        return version("altgrad")
    except PackageNotFoundError:  # run from a checkout
        return "not installed"
