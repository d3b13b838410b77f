"""Applies the verdict rule to a whole record: from evidence to verdicts, derivations and findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from proofs_checks.evidence import Evidence
from proofs_checks.record import Form, Part, Statement
from proofs_checks.recorded import is_recorded
from proofs_checks.runner import Address, Book, Run
from proofs_checks.verdict import (
    FormVerdict,
    JudgedForm,
    Soundness,
    Verdict,
    broken_in,
    conditional_verdict,
    derivation,
    form_verdict,
    part_verdict,
    statement_verdict,
)


@dataclass(frozen=True)
class FormJudgement:
    """One form, its evidence, its verdict; `missing` counts checks of it that this run has no evidence of."""

    form: Form
    evidence: tuple[Evidence, ...]
    missing: int
    verdict: FormVerdict


@dataclass(frozen=True)
class PartJudgement:
    """One part, its forms, its verdict."""

    part: Part
    forms: tuple[FormJudgement, ...]
    verdict: Verdict

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(e for f in self.forms for e in f.evidence)

    @property
    def refuted_readings(self) -> tuple[str, ...]:
        """The readings in which the printed form is refuted."""
        return tuple(f.form.reading for f in self.forms if f.form.role == "printed" and f.verdict.word == "refuted")

    @property
    def holding_readings(self) -> tuple[str, ...]:
        """The readings in which the printed form holds."""
        return tuple(f.form.reading for f in self.forms if f.form.role == "printed" and f.verdict.holds)

    @property
    def refuted_as_printed(self) -> bool:
        """Refuted in every reading. A definition that clashes with another breaks no chain: it still defines."""
        printed = [f.form for f in self.forms if f.form.role == "printed"]
        return self.part.kind != "definition" and 0 < len(printed) == len(self.refuted_readings)

    @property
    def repairs(self) -> tuple[FormJudgement, ...]:
        """The repaired forms that hold."""
        return tuple(f for f in self.forms if f.form.role == "repaired" and f.verdict.holds)

    @property
    def hypotheses(self) -> tuple[FormJudgement, ...]:
        """The forms that hold under a hypothesis which the paper does not state."""
        return tuple(f for f in self.forms if f.form.role == "hypothesis" and f.verdict.holds)


@dataclass(frozen=True)
class Judgement:
    """Everything there is to say of one statement."""

    statement: Statement
    parts: tuple[PartJudgement, ...]
    verdict: Verdict
    derivation: str
    broken: tuple[str, ...]  # all that is refuted as printed in its derivation

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(e for p in self.parts for e in p.evidence)

    @property
    def missing(self) -> int:
        return sum(f.missing for p in self.parts for f in p.forms)

    @property
    def failures(self) -> tuple[Evidence, ...]:
        """Checks that crashed, ran out of time or met a NaN."""
        return tuple(e for e in self.evidence if e.outcome == "failed")

    @property
    def findings(self) -> tuple[PartJudgement, ...]:
        """The parts that the paper's readers should know of: at fault as printed, in one reading at least, or ours."""
        return tuple(p for p in self.parts if p.refuted_readings or self.statement.kind == "finding")


def judge(book: Book, run: Run, *, recorded: bool = True) -> dict[str, Judgement]:
    """Judge every statement by the evidence that the run holds, with or without what was read from files."""

    def evidence_of(address: Address) -> Evidence | None:
        check = address.find(book.statements)[-1]
        return run.evidence(address) if recorded or not is_recorded(check.trial) else None

    parts = {id: _judge_parts(statement, evidence_of) for id, statement in book.statements.items()}
    verdicts: dict[str, Verdict] = {}

    def verdict_of(id: str) -> Verdict:
        if id not in verdicts:
            statement = book.statements[id]
            if statement.follows and not any(p.evidence for p in parts[id]):
                verdicts[id] = conditional_verdict({used: verdict_of(used) for used in statement.uses})
            else:
                verdicts[id] = statement_verdict([p.verdict for p in parts[id]])
        return verdicts[id]

    sound = {id: _soundness(verdict_of(id), parts[id]) for id in book.statements}
    return {
        id: Judgement(
            statement,
            parts[id],
            verdict_of(id),
            "" if statement.own else derivation(statement, book.statements, sound),
            broken_in(statement, book.statements, sound),
        )
        for id, statement in book.statements.items()
    }


def _judge_parts(statement: Statement, evidence_of: Callable[[Address], Evidence | None]) -> tuple[PartJudgement, ...]:
    judged = []
    for p, part in enumerate(statement.parts):
        forms = []
        for f, form in enumerate(part.forms):
            found = [evidence_of(Address(statement.id, p, f, c)) for c in range(len(form.checks))]
            evidence = tuple(e for e in found if e is not None)
            verdict = form_verdict(part.kind, evidence, form.implication, form.necessary)
            forms.append(FormJudgement(form, evidence, len(found) - len(evidence), verdict))
        read = [JudgedForm(j.form.role, j.form.reading, j.verdict) for j in forms]
        whole = replace(part_verdict(part.kind, read, part.clashes_with), own=statement.own)
        judged.append(PartJudgement(part, tuple(forms), whole))
    return tuple(judged)


def _soundness(verdict: Verdict, parts: tuple[PartJudgement, ...]) -> Soundness:
    worth = [verdict] if verdict.conditional_on else [p.verdict for p in parts]
    stands = verdict.standing == "holds as printed" if verdict.conditional_on else all(_stands(p) for p in parts)
    return Soundness(
        checked=all(v.standing not in ("not checked", "undecided") for v in worth),
        readings=tuple(held for p in parts if (held := _particular_readings(p))),
        printed_holds=stands,
        printed_refuted=any(p.refuted_as_printed and not p.hypotheses for p in parts),
        mended=all(p.repairs for p in parts if p.refuted_as_printed),
        needs=next((p.hypotheses[0].form.reading for p in parts if p.refuted_as_printed and p.hypotheses), ""),
    )


def _stands(p: PartJudgement) -> bool:
    """Whether a chain can rest on the part as printed. A definition that clashes with another still defines."""
    printed = [f.verdict.word for f in p.forms if f.form.role == "printed"]
    return p.verdict.standing == "holds as printed" or (p.verdict.definition and set(printed) == {"refuted"})


def _particular_readings(p: PartJudgement) -> frozenset[str]:
    """The readings in which a part holds as printed, where it does not in every one."""
    printed = [f for f in p.forms if f.form.role == "printed"]
    return frozenset(p.holding_readings if len(p.holding_readings) < len(printed) else ())


def differences(
    judged: Mapping[str, Judgement], baseline: Mapping[str, Mapping[str, str]], ids: tuple[str, ...]
) -> list[str]:
    """How verdicts and, for a whole run, derivations differ from the recorded baseline."""
    whole = set(ids) == set(judged)
    lines = []
    for id in (*ids, *(i for i in baseline if whole and i not in judged)):
        if id not in baseline or id not in judged:
            lines.append(f"{id}: {'in the baseline only' if id in baseline else 'not in the baseline'}")
            continue
        recorded, now = baseline[id], summary(judged[id])
        for aspect in ("verdict", "derivation") if whole else ("verdict",):
            if recorded[aspect] != now[aspect]:
                lines.append(f"{id}: {aspect} is {now[aspect]!r}, the baseline has {recorded[aspect]!r}")
    return lines


def summary(judgement: Judgement) -> dict[str, str]:
    """What the baseline keeps of a statement: the verdict with its parts, and the derivation."""
    checked = [p for p in judgement.parts if p.part.name and p.verdict.standing != "not checked"]
    parts = "; ".join(f"{p.part.name}: {p.verdict}" for p in checked)
    verdict = f"{judgement.verdict} [{parts}]" if parts else str(judgement.verdict)
    return {"verdict": verdict, "derivation": judgement.derivation}
