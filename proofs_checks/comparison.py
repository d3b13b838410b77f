"""What changed between two runs: verdicts, derivations, statements that came or went, bounds nearer or farther.

Both sides are plain data of `verify.schema.json`, so that results of an older altgrad compare with new ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from reference.shapes import refuse

FACTOR = 2  # by which a largest ratio has to move to be shown
SETTINGS = ("altgrad", "profile", "seed")
NEEDED = "a file that altgrad verify --json or altgrad report --format json wrote"

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One difference, as a row of a table: where, what, and both sides; an empty side is a missing one."""

    where: str
    what: str
    before: str
    after: str


def load(path: Path, schema: str = "verify.schema.json", needs: str = NEEDED) -> Results:
    """The results that a file holds. Raises AltgradError for a file that is missing, damaged or of another schema."""
    described = json.loads(files("proofs_checks").joinpath(schema).read_text(encoding="utf-8"))
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return refuse("report", str(path), f"cannot be read ({error.strerror})", needs)
    except ValueError:
        return refuse("report", str(path), "is no JSON", needs)
    said = data.get("schema") if isinstance(data, dict) else None
    if said != described["$id"]:
        refuse("report", str(path), f"is of schema {said!r}", f"{described['$id']!r}: {needs}")
    wrong = best_match(Draft202012Validator(described).iter_errors(data))
    if wrong is not None:
        return refuse("report", str(path), f"has at {wrong.json_path}: {_short(wrong.message)}", needs)
    results: Results = data
    return results


def changes(old: Results, new: Results) -> list[Change]:
    """All differences, in the order of the newer run: settings first, then by statement."""
    found = [Change("run", name, str(old[name]), str(new[name])) for name in SETTINGS]
    found += _listed("run", "packages", *({p.split()[0]: p.split()[1] for p in r["packages"]} for r in (old, new)))
    before, after = ({s["id"]: s for s in r["statements"]} for r in (old, new))
    for id in (*after, *(id for id in before if id not in after)):
        if id not in before or id not in after:
            found.append(Change(id, "statement", _verdict(before.get(id)), _verdict(after.get(id))))
        else:
            found += _of_statement(before[id], after[id])
    return [c for c in found if c.before != c.after]


def _verdict(statement: Results | None) -> str:
    return "" if statement is None else str(statement["verdict"])


def _of_statement(old: Results, new: Results) -> Iterator[Change]:
    """Differences in a statement that both runs have."""
    id = new["id"]
    for what in ("verdict", "derivation"):
        yield Change(id, what, old[what], new[what])
    before, after = ({p["name"]: p["verdict"] for p in s["parts"] if p["name"]} for s in (old, new))
    yield from _listed(id, "verdict", before, after)
    was, now = _ratios(old), _ratios(new)
    for place in (place for place in now if place in was):
        if not now[place] / FACTOR <= was[place] <= now[place] * FACTOR:
            yield Change(f"{id}{place}", "largest measured/bound", f"{was[place]:.2g}", f"{now[place]:.2g}")


def _listed(where: str, what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*new, *old)):
        yield Change(f"{where} ({name})", what, old.get(name, ""), new.get(name, ""))


def _ratios(statement: Results) -> dict[str, float]:
    """The largest measured/bound of each form that has evidence for it, by part, role and reading."""
    found: dict[str, float] = {}
    for part in statement["parts"]:
        for form in part["forms"]:
            name = f" ({part['name']})" if part["name"] else ""
            place = f"{name}, {form['role']}{': ' + form['reading'] if form['reading'] else ''}"
            held = [e["worst"] for e in form["evidence"] if e["outcome"] == "supports" and e["worst"]]
            if held:
                found[place] = max(held)
    return found


def _short(text: str) -> str:
    return text if len(text) < 80 else f"{text[:40]} … {text[-35:]}"
