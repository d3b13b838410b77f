"""Evidence: what all shards of one check found together, and whether the check refused its false variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proofs_checks.record import Check, EvidenceKind
from proofs_checks.trial import Counterexample, Extreme, Outcome, Result

SEVERITY: tuple[Outcome, ...] = ("refutes", "failed", "open", "supports")  # the worst shard decides


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one check found for one form."""

    kind: EvidenceKind
    claim: str  # the function that was tried
    outcome: Outcome
    scope: str = ""
    complete: bool = False  # the scope is all sizes, or the whole range stated
    examples: int = 0
    required: int = 0
    discarded: int = 0
    worst: float | None = None
    reason: str = ""
    counterexample: Counterexample | None = None
    details: tuple[tuple[str, ...], ...] = ()
    extreme: Extreme | None = None  # where an inequality reached `worst`
    planted: int = 0  # false variants of the claim ...
    refused: int = 0  # ... and how many of them the check refused
    accepted: tuple[str, ...] = ()  # ... and which it did not
    seed: int = 0
    digest: str = ""  # of the code, the record and the package versions it ran with

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def merge(
    check: Check,
    results: Sequence[Result],
    variants: Mapping[str, Result],
    explanation: Result | None,
    *,
    required: int,
    seed: int,
    digest: str,
) -> Evidence:
    """One piece of evidence from all shards of a check, in the order of the shards."""
    faults = [f"false variant {name!r}: {r.reason}" for name, r in variants.items() if r.outcome == "failed"]
    tried = [*results, *(Result("failed", reason=fault) for fault in faults)]
    outcome = min((r.outcome for r in tried), key=SEVERITY.index)
    decisive = [r for r in tried if r.outcome == outcome]
    if outcome == "refutes" and explanation is not None and explanation.counterexample is not None:
        decisive = [explanation]
    refused = sum(r.outcome in check.trial.refusals for r in variants.values())
    accepted = (n for n, r in variants.items() if r.outcome not in (*check.trial.refusals, "failed"))
    return Evidence(
        kind=check.kind,
        claim=f"{check.claim.__module__}.{check.claim.__qualname__}",
        outcome=outcome,
        scope=check.trial.scope,
        complete=check.trial.complete,
        examples=sum(r.examples for r in results),
        required=required,
        discarded=sum(r.discarded for r in results),
        worst=max((r.worst for r in results if r.worst is not None), default=None),
        reason=next((r.reason for r in decisive if r.reason), ""),
        counterexample=next((r.counterexample for r in decisive if r.counterexample), None),
        details=results[0].details,
        extreme=max((r.extreme for r in results if r.extreme is not None), key=lambda e: e.ratio, default=None),
        planted=len(variants),
        refused=refused,
        accepted=tuple(accepted),
        seed=seed,
        digest=digest,
    )
