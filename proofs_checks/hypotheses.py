"""Are the hypotheses needed? An answer for each that was asked about, computed from the verdicts on record.

A hypothesis points to a form of a part that does without it and to one that has it. Nothing here can name an answer:

- *needed*: without it the claim is refuted, and with it it holds. The counterexample is the witness. Some such
  hypothesis is needed, then: a weaker one than that of the form which has it may do.
- *not needed*: without it the claim holds.
- *undecided*: neither, or no form on record does without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proofs_checks.evidence import Evidence
from proofs_checks.judgement import FormJudgement, Judgement
from proofs_checks.record import Role


@dataclass(frozen=True)
class At:
    """One form on record: that of its part and role whose reading has these words."""

    statement: str
    part: str
    role: Role = "printed"
    words: str = ""

    def of(self, judged: Mapping[str, Judgement]) -> FormJudgement:
        """The form with its verdict. Raises LookupError unless there is exactly one."""
        parts = (p for p in judged[self.statement].parts if p.part.name == self.part)
        found = [f for p in parts for f in p.forms if f.form.role == self.role and self.words in f.form.reading]
        if len(found) != 1:
            raise LookupError(f"{self}: {len(found)} forms on record are meant, one is needed")
        return found[0]


@dataclass(frozen=True)
class Hypothesis:
    """What `statement` assumes, or would have to; of forms, one `without` it and one `given` it.

    There is no `without` where nothing on record does without it, and no `given` where nothing could be needed.
    """

    statement: str
    text: str
    without: At | None = None
    given: At | None = None


@dataclass(frozen=True)
class Answer:
    """The answer, why, and the counterexamples if the hypothesis is needed."""

    word: str
    reason: str
    witnesses: tuple[Evidence, ...] = ()


def answer(asked: Hypothesis, judged: Mapping[str, Judgement]) -> Answer:
    """Whether a hypothesis is needed, from the verdicts of the two forms."""
    if asked.without is None:
        return Answer("undecided", "nothing on record does without it")
    without = asked.without.of(judged)
    place = f"{asked.without.statement} ({asked.without.part})"
    said = f"{place}, {without.form.reading or 'as printed'}: {without.verdict.word}"
    if without.verdict.holds:
        return Answer("not needed", said)
    if without.verdict.word != "refuted" or asked.given is None:
        return Answer("undecided", said)
    given = asked.given.of(judged)
    if not given.verdict.holds:
        return Answer("undecided", f"{said}; {given.form.reading}: {given.verdict.word}")
    witnesses = tuple(e for e in without.evidence if e.counterexample is not None)
    return Answer("needed", f"{said}; {given.form.reading}: {given.verdict.word}", witnesses)


BITS = "entries of O(log n) bits"
BOUND = "a bound on the scores"
SMOOTH = "a smooth φ"
EXACT = "exact forward values, so that G_i is exact"


def _bounded(statement: str, part: str) -> Hypothesis:
    at = At(statement, part, "printed", "no bound on them")
    return Hypothesis(statement, BOUND, at, At(statement, part, "hypothesis"))


def _smooth(statement: str, part: str) -> Hypothesis:
    return Hypothesis(statement, SMOOTH, At(statement, part, "printed", "φ = ReLU"), At(statement, part, "hypothesis"))


def _exact(statement: str, part: str) -> tuple[Hypothesis, ...]:
    kinked = At(statement, part, "printed", "φ = ReLU")
    smooth = At(statement, part, "hypothesis", "φ′ Lipschitz")
    return (
        Hypothesis(statement, f"{EXACT}, for any φ", kinked, At(statement, part, "repaired", "forward pass given")),
        Hypothesis(statement, f"{EXACT}, for φ′ Lipschitz", smooth),
    )


def _fixed_depth(statement: str, part: str) -> Hypothesis:
    without = At(statement, part, "printed", "m = log2 n, the same error")
    return Hypothesis(
        statement, "a bound on m below n^{o(1)}, one error for all layers", without, At(statement, part, "hypothesis")
    )


def _later_layers(statement: str, part: str) -> Hypothesis:
    without = At(statement, part, "printed", "W_V = 8n I")
    text = "the bound on the scores at every layer, for one on the entries of X"
    return Hypothesis(statement, text, without, At(statement, part, "hypothesis"))


def _symmetric(statement: str, part: str) -> Hypothesis:
    without = At(statement, part, "printed", "as C.6 prints them")
    return Hypothesis(statement, "W = Wᵀ", without, At(statement, part, "hypothesis"))


def _without_bits(statement: str, words: str = "") -> Hypothesis:
    text = f"{BITS}, and n ≥ d, for the bound with its factors"
    return Hypothesis(statement, text, At(statement, "error", "printed", words))


HYPOTHESES: tuple[Hypothesis, ...] = (
    _bounded("4.1", "time"),
    _smooth("4.1", "error"),
    *_exact("4.1", "error"),
    Hypothesis(
        "4.1",
        "a bound on d, for the rank of C.13 that the time comes from",
        At("C.13", "rank", "printed", "d = n"),
        At("4.1", "time", "hypothesis"),
    ),
    Hypothesis(
        "4.1",
        "dL/dT_m Lipschitz, with a constant of poly(n)",
        At("4.1", "error", "printed", "n^(2n)"),
        At("4.1", "error", "hypothesis"),
    ),
    _bounded("4.2", "time"),
    _later_layers("4.2", "time"),
    _smooth("4.2", "error"),
    _fixed_depth("4.2", "error"),
    Hypothesis(
        "Alg 1",
        "ℓ_{j,k} depends on T_{j,k} alone, for a start in O(nd) time",
        At("Alg 1", "start"),
        At("Alg 1", "start", "hypothesis"),
    ),
    Hypothesis(
        "C.13",
        "1/d in the scores or a bound on them, where no entry is above 1",
        At("C.13", "rank", "printed", "as C.6 prints them"),
        At("C.13", "rank", "hypothesis"),
    ),
    Hypothesis(
        "C.13",
        "a bound on R, with 1/d in the scores",
        At("C.13", "rank", "printed", "R without a bound"),
        At("C.13", "rank", "hypothesis"),
    ),
    Hypothesis(
        "C.13",
        "a bound on d, with |scores| ≤ 1",
        At("C.13", "rank", "printed", "d = n"),
        At("C.13", "rank", "hypothesis"),
    ),
    Hypothesis("C.14", "d = O(log n) and h of O(log n) bits, for the bound with its factors", At("C.14", "bound")),
    Hypothesis("C.18", "n ≥ d", At("C.18", "bound"), At("C.18", "bound", "hypothesis")),
    Hypothesis("C.19", f"{BITS}, for the bound with its factors", At("C.19", "bound")),
    _symmetric("D.1", "i1 = i0"),
    _symmetric("D.8/Case 1", ""),
    _without_bits("E.2", "K of the exact s"),
    Hypothesis(
        "E.2",
        "K of the exact s, for the bound as printed",
        At("E.2", "error", "printed", "K of f̃ h"),
        At("E.2", "error", "printed", "K of the exact s"),
    ),
    Hypothesis(
        "E.2",
        "K of the exact s, for ε/poly(n)",
        At("E.2", "poly", "printed", "K of f̃ h"),
        At("E.2", "poly", "printed", "K of the exact s"),
    ),
    *(_without_bits(f"E.{k}") for k in (3, 4, 5, 6)),
    _without_bits("E.7", "K of the exact s"),
    *(_without_bits(f"E.{k}") for k in (8, 9, 10)),
    _without_bits("F.5"),
    _without_bits("G.4"),
    _bounded("H.3", "Part 1"),
    _smooth("H.3", "Part 2"),
    *_exact("H.3", "Part 2"),
    _bounded("H.4", "Part 1"),
    _later_layers("H.4", "Part 1"),
    _smooth("H.4", "Part 2"),
    _fixed_depth("H.4", "Part 2"),
    Hypothesis("I.1", "ε < 1 and R ≥ 1, for the degree"),
    Hypothesis(
        "J.3",
        "the polynomial of the error chosen after that of dH/dX",
        At("J.3", "error", "printed", "polynomials given"),
        At("J.3", "error", "printed", "chosen one after the other"),
    ),
    _bounded("J.4", "Part 1"),
    _smooth("J.4", "Part 2"),
    *_exact("J.4", "Part 2"),
    _bounded("J.5", "Part 1"),
    _smooth("J.5", "Part 2"),
    Hypothesis(
        "K.2",
        "the polynomial of the error chosen after that of dY/ds",
        At("K.2", "error", "printed", "polynomials given"),
        At("K.2", "error", "printed", "chosen one after the other"),
    ),
)


def asked_of(statement: str) -> tuple[Hypothesis, ...]:
    """The hypotheses of a statement that were asked about."""
    return tuple(asked for asked in HYPOTHESES if asked.statement == statement)


def table(judged: Mapping[str, Judgement]) -> str:
    """All hypotheses with their answers, as a table in Markdown; a line for each."""
    rows = ["| statement | hypothesis | answer | from |", "| --- | --- | --- | --- |"]
    for asked in HYPOTHESES:
        found = answer(asked, judged)
        cells = (asked.statement, asked.text, found.word, found.reason)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)
