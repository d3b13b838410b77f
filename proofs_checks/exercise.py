"""Exercises that mark themselves: a reader's formula, put to the check that the statement of the record stands under.

The reader's function names the symbols that it uses (X, W, W_V, G, f, h, q, p, …) as its arguments and is given their
values. A wrong answer gets the smallest counterexample that the suite finds.
"""

from __future__ import annotations

from dataclasses import dataclass

from proofs_checks.property import PropertyTrial
from proofs_checks.record import Check, Claim
from proofs_checks.statements import RECORD
from proofs_checks.trial import Counterexample

EXAMPLES = 100  # one shard: what a reader waits for


@dataclass(frozen=True)
class Marked:
    """What the check says of an answer; printed, it explains itself."""

    statement: str
    right: bool
    examples: int = 0
    reason: str = ""
    counterexample: Counterexample | None = None

    def __str__(self) -> str:
        if self.right:
            return f"{self.statement}: right on all {self.examples} examples"
        lines = [f"{self.statement}: not right" + (f": {self.reason}" if self.reason else "")]
        if (found := self.counterexample) is not None:
            lines += [f"  {name} = {rows}" for name, rows in found.operands.items()]
            lines += [f"  {found.where}", f"    yours: {found.claimed}", f"    true:  {found.true}"]
        return "\n".join(lines)


def check(answer: Claim, statement: str, part: str = "", *, seed: int = 0) -> Marked:
    """Put an answer on trial as what a statement says, repaired where the paper's own formula is false.

    `part` is needed where the statement has several. Raises ValueError for what is not on record or has no check of
    this kind. Cost: a second or two; a wrong answer also a search over small integers.

    >>> print(check(lambda X, W_V: X @ W_V, "C.9"))
    C.9: right on all 100 examples
    """
    trial = asked(statement, part).trial
    assert isinstance(trial, PropertyTrial)
    name = f"{statement} ({part})" if part else statement
    try:
        result = trial.run(answer, seed)
        if result.outcome == "supports":
            return Marked(name, True, result.examples)
        smallest = trial.explain(answer).counterexample
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:  # the answer's own
        return Marked(name, False, reason=f"{type(error).__name__}: {error}")
    return Marked(name, False, reason=result.reason, counterexample=smallest or result.counterexample)


def asked(statement: str, part: str = "") -> Check:
    """The check by examples of the repaired form, or where there is none of the first."""
    parts = [p for s in RECORD if s.id == statement for p in s.parts if part in ("", p.name)]
    if len(parts) != 1:
        named = ", ".join(repr(p.name) for p in parts) or "none"
        raise ValueError(f"{statement} {part}: needs one part on record, found {named}")
    forms = sorted(parts[0].forms, key=lambda f: f.role != "repaired")  # stable: else in the record's order
    checks = [c for f in forms for c in f.checks if isinstance(c.trial, PropertyTrial)]
    if not checks:
        raise ValueError(f"{statement} {part}: no check of it draws examples")
    return checks[0]
