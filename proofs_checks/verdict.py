"""From evidence to verdicts: pure functions, and the only place where a verdict comes from.

`docs/verdicts.md` defines every word. In short: a form is judged by its evidence, a part by its forms, a statement by
its weakest part; the derivation of a statement is judged apart, by what its proof uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from proofs_checks.evidence import Evidence
from proofs_checks.record import EvidenceKind, PartKind, Role, Statement

FITTING: Mapping[PartKind, tuple[EvidenceKind, ...]] = {
    "identity": ("proof", "property"),
    "inequality": ("proof", "enclosure", "property"),
    "construction": ("proof", "enclosure", "property"),
    "cost": ("count",),
    "asymptotic": ("proof", "enclosure", "property", "count"),  # of an explicit form that implies it
    "experiment": ("experiment",),
    "definition": ("proof", "enclosure", "property"),
    "cited": ("citation",),
}

WORDS = (  # strongest first
    "proved",
    "proved in scope",
    "tested",
    "counted",
    "measured",
    "cited",
    "undecided",
    "not checked",
    "refuted",
)
HOLDING = WORDS[: WORDS.index("undecided")]
WORD_OF: Mapping[EvidenceKind, str] = {
    "property": "tested",
    "count": "counted",
    "experiment": "measured",
    "citation": "cited",
}

STANDINGS = (  # best first; a definition is mirrored instead of holding, and clashes instead of being refuted
    "holds as printed",
    "holds after repair",
    "needs a hypothesis",
    "undecided",
    "not checked",
    "refuted",
)


@dataclass(frozen=True)
class FormVerdict:
    """What the evidence makes of one form."""

    word: str
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.word in HOLDING


@dataclass(frozen=True)
class JudgedForm:
    """A form's role and reading beside its verdict."""

    role: Role
    reading: str
    verdict: FormVerdict


@dataclass(frozen=True)
class Verdict:
    """What a part or a statement is worth."""

    standing: str
    word: str = ""  # how strong the evidence is, where it holds
    detail: str = ""  # the reading, the repair, the hypothesis, what it clashes with, or why it is undecided
    conditional_on: tuple[str, ...] = ()
    definition: bool = False
    own: bool = False  # altgrad's own claim, printed in no paper

    @property
    def rank(self) -> tuple[int, int]:
        """For the weakest: standing first, then the word."""
        return STANDINGS.index(self.standing), WORDS.index(self.word) if self.word else 0

    def __str__(self) -> str:
        standing = self.standing
        if self.definition:
            standing = {"holds as printed": "mirrored", "refuted": f"clashes with {self.detail}"}.get(
                standing, standing
            )
        if self.own:
            standing = standing.removesuffix(" as printed")
        words = f"{standing} ({self.word})" if self.word else standing
        return f"{words}, conditional on {', '.join(self.conditional_on)}" if self.conditional_on else words


def form_verdict(
    kind: PartKind, evidence: Sequence[Evidence], implication: str = "", necessary: str = ""
) -> FormVerdict:
    """Judge one form of a part by all the (fresh) evidence there is for it.

    Of an asymptotic part it is an explicit form that is tried: the part holds with it if it implies the part, and
    falls with it if the part implies it.
    """
    evidence = [e for e in evidence if e.kind != "device"]
    if not evidence:
        return FormVerdict("not checked")
    fitting = [e for e in evidence if e.kind in FITTING[kind]]
    tried = [e for e in evidence if e.kind == "property"] if kind == "cited" else fitting
    refuted = any(e.outcome == "refutes" and e.counterexample is not None for e in (*fitting, *tried))
    if not fitting and not refuted:
        kinds = " and ".join(sorted({e.kind for e in evidence}))
        return FormVerdict("undecided", f"needs {' or '.join(FITTING[kind])} evidence, there is only {kinds}")
    doubt = next((d for e in fitting if (d := _doubt(e))), "")
    if refuted:
        if kind == "asymptotic" and not necessary:
            return FormVerdict("undecided", "its explicit form is refuted, which only would have implied it")
        if any(e.complete and e.outcome == "supports" and not _doubt(e) for e in fitting):
            return FormVerdict("undecided", "a proof and a counterexample contradict each other")
        return FormVerdict("refuted")
    if doubt:
        return FormVerdict("undecided", doubt)
    if kind == "asymptotic" and not implication:
        return FormVerdict("undecided", "no explicit form with a written implication")
    word = min((_word(e) for e in fitting), key=WORDS.index)
    if kind == "identity" and word == "proved in scope" and not any(e.kind == "property" for e in fitting):
        return FormVerdict("undecided", "a proof at fixed sizes needs property evidence beside it")
    return FormVerdict(word)


def _doubt(e: Evidence) -> str:
    """Why this evidence cannot support anything; empty if it can."""
    if e.outcome == "refutes":
        return "" if e.counterexample is not None else "a refutation without a confirmed counterexample"
    if e.outcome != "supports":
        return e.reason or f"the check ended {e.outcome}"
    if e.examples < e.required:
        return f"{e.examples} valid examples, {e.required} are needed"
    if e.worst is not None and not 0 <= e.worst <= 1:
        return f"the largest measured/bound is {e.worst}"
    if e.discarded > e.examples:
        return f"{e.discarded} examples were discarded, only {e.examples} were valid"
    if not e.planted:
        return "the check has no false variant that it could refuse"
    if e.refused < e.planted:
        return f"the check accepts a false variant: {', '.join(e.accepted)}"
    return ""


def _word(e: Evidence) -> str:
    if e.kind in ("proof", "enclosure"):
        return "proved" if e.complete else "proved in scope"
    return WORD_OF[e.kind]


def part_verdict(kind: PartKind, forms: Sequence[JudgedForm], clashes_with: str = "") -> Verdict:
    """Judge a part by its forms: as printed in some consistent reading, else repaired, else under a hypothesis."""
    definition = kind == "definition"
    printed = [f.verdict for f in forms if f.role == "printed"]
    for role, standing in (("printed", "holds as printed"), ("repaired", "holds after repair")):
        best = _best(forms, role)
        if best is not None:
            return Verdict(standing, best.verdict.word, best.reading, definition=definition)
    words = {v.word for v in printed}
    best = _best(forms, "hypothesis")
    if best is not None and words == {"refuted"}:
        return Verdict("needs a hypothesis", best.verdict.word, best.reading)
    for word in ("undecided", "not checked"):
        if word in words or not words:
            return Verdict(word, detail=next((v.reason for v in printed if v.word == word), ""))
    return Verdict("refuted", detail=clashes_with, definition=definition)


def _best(forms: Sequence[JudgedForm], role: str) -> JudgedForm | None:
    held = [f for f in forms if f.role == role and f.verdict.holds]
    return min(held, key=lambda f: WORDS.index(f.verdict.word), default=None)


def statement_verdict(parts: Sequence[Verdict]) -> Verdict:
    """A statement is worth its weakest part."""
    return max(parts, key=lambda v: v.rank)


def conditional_verdict(used: Mapping[str, Verdict]) -> Verdict:
    """A statement with no evidence of its own that follows from others is no better than the weakest of them."""
    weakest = statement_verdict(tuple(used.values()))
    return replace(weakest, conditional_on=tuple(used))


@dataclass(frozen=True)
class Soundness:
    """What a derivation needs to know of a statement that it passes through."""

    checked: bool  # every part has a verdict
    printed_holds: bool  # every part holds as printed (a definition: was checked, whatever it clashes with)
    printed_refuted: bool  # some part is refuted in every reading of its printed form, and under every hypothesis
    mended: bool = True  # each part that is refuted as printed has a repair that holds
    readings: tuple[frozenset[str], ...] = ()  # of each part that holds as printed in some only: which
    needs: str = ""  # the hypothesis under which a part that is refuted without it holds as printed


def derivation(statement: Statement, record: Mapping[str, Statement], soundness: Mapping[str, Soundness]) -> str:
    """Whether the paper's own chain to the statement is intact, broken, in need of a hypothesis, or not checked.

    A broken chain is mended if all of it is checked and whatever is refuted in it has a repair that holds.
    """
    chain = [soundness[i] for i in (*ancestors(statement.id, record), statement.id)]
    consistent = compatible([readings for s in chain for readings in s.readings])
    broken = broken_in(statement, record, soundness)
    if broken:
        mended = consistent and all(s.checked and s.mended for s in chain)
        return f"broken at {broken[0]}{', mended' if mended else ''}"
    needy = [i for i in (*ancestors(statement.id, record), statement.id) if soundness[i].needs]
    if needy:
        return f"needs {soundness[needy[0]].needs} at {needy[0]}"
    return "intact" if consistent and all(s.checked and s.printed_holds for s in chain) else "not checked"


def compatible(readings: Sequence[frozenset[str]]) -> bool:
    """Whether one reading can be taken from each set so that no two contradict each other.

    A reading is a list of choices, "scores X W Xᵀ; vec(W) row by row". Two that begin with the same word are about
    the same thing, and contradict each other if they are not the same.
    """
    return any(_agree("; ".join(taken)) for taken in product(*dict.fromkeys(readings)))


def _agree(choices: str) -> bool:
    different = {choice for choice in choices.split("; ") if choice}
    return len({choice.split()[0] for choice in different}) == len(different)


def broken_in(
    statement: Statement, record: Mapping[str, Statement], soundness: Mapping[str, Soundness]
) -> tuple[str, ...]:
    """What is refuted as printed in a derivation, the statement included; what is used before what uses it."""
    return tuple(i for i in (*ancestors(statement.id, record), statement.id) if soundness[i].printed_refuted)


def ancestors(id: str, record: Mapping[str, Statement]) -> tuple[str, ...]:
    """Everything the proof of a statement rests on, what is used before what uses it."""
    seen: dict[str, None] = {}

    def visit(name: str) -> None:
        for used in record[name].uses:
            if used not in seen:
                visit(used)
                seen[used] = None

    visit(id)
    return tuple(seen)


def descendants(id: str, record: Mapping[str, Statement]) -> tuple[str, ...]:
    """Everything whose proof rests on a statement, in the order of the record."""
    return tuple(other for other in record if id in ancestors(other, record))
