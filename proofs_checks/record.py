"""What a statement of the paper is, as plain data.

A `Statement` says what the paper claims, where it is printed, what it assumes and what its proof uses. It has one
or more `Part`s, because one lemma may claim a formula, a running time and an error. A part has `Form`s: as printed
(once for each consistent reading), repaired, or under a hypothesis that the paper does not state. A form points to
the function in `reference/` that mirrors its formula and carries the `Check`s that put it on trial.

Nothing here can name a verdict: verdicts are computed (`proofs_checks.verdict`) from evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from proofs_checks.trial import Trial

PartKind = Literal[
    "identity",  # both sides are equal
    "inequality",  # with explicit factors
    "construction",  # an object with stated properties exists and is built
    "cost",  # operations or memory, without o(1)
    "asymptotic",  # "n^{1+o(1)}", "1/poly(n)", "poly(n)", "O(log n)"
    "experiment",  # a claim about measurements
    "definition",
    "cited",  # taken from the literature without proof
]
EvidenceKind = Literal["proof", "enclosure", "property", "count", "experiment", "device", "citation"]
Role = Literal["printed", "repaired", "hypothesis"]
StatementKind = Literal["definition", "fact", "remark", "lemma", "theorem", "algorithm", "claim", "finding", "bound"]

# A misprint is a slip that the paper itself gets right elsewhere or that nothing rests on; an error is a conclusion
# that is false and is used; a gap is a hypothesis or a case that is missing.
Fault = Literal["misprint", "error", "gap"]

Claim = Callable[..., Any]  # a formula of `reference/`, or a false variant of one


@dataclass(frozen=True, kw_only=True)
class Check:
    """One way to put a form on trial, admitted only with false variants of the claim that it must refuse."""

    kind: EvidenceKind
    claim: Claim
    trial: Trial
    false: Mapping[str, Claim]
    profiles: tuple[str, ...] = ("quick", "standard", "deep")


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to read a part.

    `reading` names the convention (a printed form), the change (a repaired form) or the hypothesis. An asymptotic
    part is settled only through an explicit form: `implication` writes out why the explicit form implies it, or
    `necessary` why it implies the explicit form, for all large n. The first lets it hold, the second lets it be
    refuted, by a family of counterexamples (`family.FamilyTrial`).
    """

    role: Role = "printed"
    reading: str = ""
    formula: Claim | None = None
    implication: str = ""
    necessary: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One claim of a statement; `claim` gives it in words and plain Unicode mathematics."""

    kind: PartKind
    claim: str
    name: str = ""
    clashes_with: str = ""  # a definition only: what its code is compared with when it is put on trial
    fault: Fault | None = None  # of a part that is not true as printed in every reading, or only under a hypothesis
    consequence: str = ""  # of the fault, in a sentence
    forms: tuple[Form, ...] = (Form(),)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One numbered item of the paper, a step of a proof (`G.2/step 3`), or a finding or bound of altgrad's own.

    `follows` is set where the item is a restatement that holds exactly if the items it uses do (an informal version
    of a lemma): it says so in words, and its verdict is then conditional on them.
    """

    id: str
    kind: StatementKind
    title: str
    locus: str
    parts: tuple[Part, ...]
    assumes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    follows: str = ""
    note: str = ""  # what a reader should know that is not a verdict
    related: tuple[str, ...] = field(default=())

    @property
    def own(self) -> bool:
        """Ours, printed in no paper: a finding about the paper, or a bound beside its own."""
        return self.kind in ("finding", "bound")

    @property
    def section(self) -> str:
        """The heading under which the statement is listed: `C`, `3`, `Alg`, `own`."""
        return self.id.split(".")[0].split()[0].split("/")[0]
