"""What the commands print: the table of verdicts, the findings, and everything known of one statement."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping
from itertools import dropwhile, groupby
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from proofs_checks.audit import FACTORS, Audit, counts
from proofs_checks.evidence import Evidence
from proofs_checks.hypotheses import answer, asked_of
from proofs_checks.judgement import FormJudgement, Judgement, PartJudgement
from proofs_checks.record import Claim, Statement
from proofs_checks.recorded import is_recorded
from proofs_checks.trial import Counterexample, Extreme
from proofs_checks.verdict import STANDINGS, descendants

if TYPE_CHECKING:
    from proofs_checks.mutation import Mutation

SECTIONS = {
    "1": "Introduction",
    "3": "Preliminary",
    "4": "Main results",
    "5": "Technical overview",
    "Alg": "Algorithms",
    "B": "Extensions",
    "C": "Preliminaries on the gradient",
    "D": "Matrix view of the gradient on T",
    "E": "Fast gradient on T",
    "F": "Gradient on W",
    "G": "Gradient on W_V",
    "H": "Whole model",
    "I": "Causal mask",
    "J": "Residual connection",
    "K": "Multi-head attention",
    "claim": "What the authors told their reviewers",
    "own": "altgrad's own findings and bounds",
}
MOST_SHOWN = 12  # entries of an operand
FAULTS = ("error", "gap", "misprint", None)  # None is a finding that is no fault of the paper's
COLOURS = {
    "holds as printed": "green",
    "holds after repair": "yellow",
    "needs a hypothesis": "yellow",
    "undecided": "magenta",
    "not checked": "dim",
    "refuted": "red",
}


COLUMNS = {"statement": 20, "verdict": 28, "derivation": 14, "evidence": 9, "worst": 5}  # 80 with the gaps


def print_verdicts(console: Console, judged: Iterable[Judgement]) -> None:
    """All statements by section; a statement with several parts has a line for each that was checked."""
    console.print(_table(console, [tuple(f"[bold]{heading}[/]" for heading in COLUMNS)]))
    for section, group in groupby(judged, key=lambda j: j.statement.section):
        console.print(f"[bold]{section}  {SECTIONS.get(section, '')}[/]")
        rows: list[tuple[RenderableType, ...]] = []
        for j in group:
            rows.append(_statement_row(j))
            rows += [_part_row(p) for p in j.parts if p.part.name and p.verdict.standing != "not checked"]
        console.print(_table(console, rows))


def _table(console: Console, rows: Iterable[tuple[RenderableType, ...]]) -> Table:
    """Rows in columns of fixed width, so that the tables of all sections line up; a wide terminal widens verdicts."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    spare = max(0, console.width - 80)
    for name, width in COLUMNS.items():
        table.add_column(
            width=width + spare * (name == "verdict"), overflow="fold", justify="right" if name == "worst" else "left"
        )
    for row in rows:
        table.add_row(*row)
    return table


def _statement_row(j: Judgement) -> tuple[RenderableType, ...]:
    single = len(j.parts) == 1
    note = " [dim](not run in this profile)[/]" if j.missing else ""
    return (
        f"  {escape(j.statement.id)}",
        _coloured(j.verdict.standing, str(j.verdict)) + note,
        _derivation(j.derivation),
        _kinds(j.evidence) if single else "",
        _worst(j.parts[0]) if single else "",
    )


def _derivation(text: str) -> str:
    """In a few words: which hypothesis it needs is said under the statement that lacks it."""
    if text.startswith("needs "):
        text = f"needs a hypothesis at {text.rpartition(' at ')[2]}"
    return escape(text) if text != "not checked" else f"[dim]{text}[/]"


def _part_row(p: PartJudgement) -> tuple[RenderableType, ...]:
    verdict = _coloured(p.verdict.standing, str(p.verdict))
    name = Padding(f"[dim]{escape(p.part.name)}[/]", (0, 0, 0, 4))  # which indents every line of it
    return name, verdict, "", _kinds(p.evidence), _worst(p)


def _kinds(evidence: Iterable[Evidence]) -> str:
    """In words that fit the column; what a device might have shown, but has not, is none."""
    shown = (e for e in evidence if e.kind != "device" or e.outcome != "open")
    return "\n".join(dict.fromkeys("measured" if e.kind == "experiment" else e.kind for e in shown))


def _worst(p: PartJudgement) -> str:
    """The largest measured/bound among the forms that hold."""
    held = [e for f in p.forms if f.verdict.holds for e in f.evidence if e.kind != "device"]
    ratios = [e.worst for e in held if e.worst is not None]
    return f"{max(ratios):.2g}" if ratios else ""


def _coloured(standing: str, text: str) -> str:
    return f"[{COLOURS[standing]}]{escape(text)}[/]"


def print_findings(console: Console, judged: Iterable[Judgement], record: Mapping[str, Statement]) -> None:
    """What a reader of the paper should know, each with the command that shows it: the gravest first."""
    findings = [(j.statement.id, p) for j in judged for p in j.findings]
    if findings:
        console.print("[bold]Findings[/]")
    for id, p in sorted(findings, key=lambda found: FAULTS.index(found[1].part.fault)):
        name = f" ({p.part.name})" if p.part.name else ""
        say(console, f"{id}{name}: {p.part.claim}", 2)
        if p.part.fault:
            touched = len(descendants(id, record))
            say(console, f"{p.part.fault}; {touched or 'no'} other statements rest on {id}", 6)
        in_some = p.verdict.standing == "holds as printed"
        if p.refuted_readings:
            say(console, f"refuted as printed{': ' + ' | '.join(p.refuted_readings) if in_some else ''}", 6)
        for f in p.hypotheses:
            say(console, f"holds if {f.form.reading} ({f.verdict.word})", 6)
        if p.verdict.standing not in ("refuted", "needs a hypothesis"):
            where = " | ".join(p.holding_readings) if in_some else p.verdict.detail
            say(console, f"{p.verdict}{f': {where}' if where else ''}", 6)
        say(console, f"altgrad show {quoted(id)}", 6)


def print_recorded(console: Console, judged: Iterable[Judgement]) -> None:
    """What was read from files, with date and machine; nothing that a run computes depends on it."""
    read = [
        (j.statement.id, p.part.name, e)
        for j in judged
        for p in j.parts
        for f in p.forms
        for e in f.evidence
        if e.kind in {check.kind for check in f.form.checks if is_recorded(check.trial)}
    ]
    if read:
        console.print("[bold]Read, not run[/]")
    found: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for id, name, e in read:
        found.setdefault((id, name, e.kind, e.reason), {})[e.outcome] = None
    for (id, name, kind, reason), outcomes in found.items():
        say(console, f"{id}{f' ({name})' if name else ''}: {kind} evidence {', '.join(outcomes)}; {reason}", 2)
    if read:
        console.print()


def print_audit(console: Console, found: Audit, profile: str) -> None:
    """The figures of an audit, then what makes it fail."""
    if found.planted:
        became = counts(found.planted)
        say(console, f"false statements: {', '.join(f'{n} {word}' for word, n in became.items() if n)}")
        none = sum(not p.variants for p in found.planted)
        say(console, f"checks: {len(found.planted)}, of which {none} without a false statement", 2)
    if found.mutation is not None:
        _print_mutation(console, found.mutation)
    if found.met:
        valid, discarded = sum(m.valid for m in found.met), sum(m.discarded for m in found.met)
        say(console, f"hypotheses: {sum(bool(m.instance) for m in found.met)} of {len(found.met)} checks met")
        say(console, f"drawn examples that met them: {valid}, that did not: {discarded}", 2)
    if found.borrowed:
        shared = sum(bool(used) for used in found.borrowed.values())
        say(console, f"independence: {shared} of {len(found.borrowed)} true sides use what they judge")
    if found.slack:
        loose = [sum(x.survives == c for x in found.slack) for c in FACTORS]
        divided = ", ".join(f"{n} by {c}" for n, c in zip(loose, FACTORS, strict=True) if n)
        say(
            console, f"slack: of {len(found.slack)} bounds can be divided {divided}, as far as the drawn examples tell"
        )
    for fault in found.faults(profile):
        console.print(fault, style="red", highlight=False, markup=False, soft_wrap=True)


def _print_mutation(console: Console, m: Mutation) -> None:
    low, high = m.interval
    say(console, f"mutants: {m.killed} of {m.counted} killed; 95 % interval {low:.1%} to {high:.1%}")
    say(console, f"made: {len(m.made)}; same as the code, with a reason: {len(m.explained)}", 2)
    for mutant in m.survived:
        if mutant not in m.explained:
            say(console, f"survived: line {mutant.line}, {mutant.name}", 2)


def print_failures(console: Console, judged: Iterable[Judgement]) -> None:
    """Checks that said nothing because something went wrong."""
    for j in judged:
        for e in j.failures:
            text = f"{j.statement.id}: a check of {e.claim} failed: {e.reason}"
            console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def print_counts(console: Console, judged: Iterable[Judgement]) -> None:
    """How many statements have which verdict."""
    judged = list(judged)
    standings = [
        "mirrored" if j.verdict.definition and j.verdict.standing == "holds as printed" else j.verdict.standing
        for j in judged
        if not j.statement.own
    ]
    counts = [f"{standings.count(s)} {s}" for s in ("mirrored", *STANDINGS) if s in standings]
    if standings:
        say(console, f"{len(standings)} statements: {', '.join(counts)}")
    for word, kind in (("findings", "finding"), ("bounds", "bound")):
        if count := sum(j.statement.kind == kind for j in judged):
            console.print(f"{'and ' if standings else ''}altgrad's own {word}: {count}", highlight=False)


def quoted(id: str) -> str:
    return f'"{id}"' if " " in id else id


def say(console: Console, text: str, indent: int = 0) -> None:
    """Text as it is, wrapped at the console's width with the indent of its first line and two more."""
    width = max(console.width, indent + 40)
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_statement(console: Console, j: Judgement, record: Mapping[str, Statement], seed: int) -> None:
    """Everything known of one statement."""
    s = j.statement
    console.print(f"[bold]{escape(s.id)}[/]  {escape(s.title)}", highlight=False)
    say(console, f"{s.kind}; {s.locus}")
    console.print(f"verdict: {_coloured(j.verdict.standing, str(j.verdict))}", highlight=False)
    if j.derivation:
        say(console, f"derivation: {j.derivation}")
    if len(j.broken) > 1:
        say(console, f"refuted as printed in its derivation: {', '.join(j.broken)}")
    listed = (("assumes", s.assumes), ("uses", s.uses), ("used by", descendants(s.id, record)))
    for name, values in (*listed, ("see also", s.related), ("follows from", (s.follows,)), ("note", (s.note,))):
        if any(values):
            say(console, f"{name}: {', '.join(values)}")
    for p in j.parts:
        console.print()
        console.print(f"[bold]{escape(p.part.name or 'claim')}[/] ({p.part.kind})", highlight=False)
        say(console, p.part.claim, 2)
        console.print(f"  {_coloured(p.verdict.standing, str(p.verdict))}", highlight=False)
        if p.part.fault and p.refuted_readings:
            _print_fault(console, p)
        for f in p.forms:
            if f.form.checks or f.form.reading:
                console.print()
                _print_form(console, f, "stated" if s.kind == "bound" else f.form.role)
    if j.missing:
        command = f"altgrad verify {quoted(s.id)}" + (f" --seed {seed}" if seed else "")
        console.print()
        say(console, f"{j.missing} checks have no fresh evidence. To make it: {command}")


def print_hypotheses(console: Console, id: str, judged: Mapping[str, Judgement]) -> None:
    """Whether the hypotheses of a statement are needed, as far as the verdicts on record tell."""
    for asked in asked_of(id):
        found = answer(asked, judged)
        console.print()
        say(console, f"hypothesis: {asked.text}: {found.word}")
        say(console, found.reason, 2)


def _print_fault(console: Console, p: PartJudgement) -> None:
    """What is wrong, what it affects, how sure that is."""
    say(console, f"{p.part.fault}: {p.part.consequence}", 2)
    tried = (e for f in p.forms if f.form.role == "printed" for e in f.evidence)
    certain = {e.counterexample.arithmetic for e in tried if e.counterexample is not None}
    mends = [f"{f.form.reading}: {f.verdict.word}" for f in (*p.repairs, *p.hypotheses)]
    say(console, f"how sure: the refutation is certain ({' | '.join(sorted(certain))})", 2)
    for mend in mends:
        say(console, mend, 4)


def _print_form(console: Console, f: FormJudgement, role: str) -> None:
    reading = f": {f.form.reading}" if f.form.reading else ""
    reason = f", {f.verdict.reason}" if f.verdict.reason else ""
    say(console, f"{role}{reading}", 2)
    say(console, f"-> {f.verdict.word}{reason}", 4)
    if f.form.formula is not None:
        say(console, f"{f.form.formula.__module__}.{f.form.formula.__name__}", 4)
        say(console, latex(f.form.formula), 6)
    if f.form.implication:
        say(console, f"implies it: {f.form.implication}", 4)
    if f.form.necessary:
        say(console, f"follows from it: {f.form.necessary}", 4)
    for e in f.evidence:
        say(console, f"{e.kind} evidence: {evidence_line(e)}", 4)
        if e.reason:
            say(console, e.reason, 6)
        if e.details:
            console.print(Padding(_details(e.details), (0, 0, 0, 6)))
        if e.extreme is not None and e.outcome == "supports":
            say(console, extreme_line(e.extreme), 6)
        if e.counterexample is not None:
            _print_counterexample(e.counterexample, console)


def evidence_line(e: Evidence) -> str:
    """One line: outcome, budget, slack, scope, false variants."""
    tried = f"{e.examples} of {e.required} examples" if e.required else ""
    found = [e.outcome, e.scope, tried if e.outcome == "supports" else ""]
    found.append(f"{e.discarded} discarded" if e.discarded else "")
    found.append(f"largest measured/bound {e.worst:.2g}" if e.worst is not None and e.outcome == "supports" else "")
    found.append(f"{e.refused} of {e.planted} false variants refused")
    found.append(f"seed {e.seed}, digest {e.digest}")
    return "; ".join(x for x in found if x)


def extreme_line(e: Extreme) -> str:
    """Where an inequality came nearest to breaking: the operands if they are small, else their sizes."""
    arrays = {name: np.array(rows) for name, rows in e.operands.items()}
    small = all(a.size <= MOST_SHOWN for a in arrays.values())
    shown = [f"{name} = {rows}" if small else f"{name} {arrays[name].shape}" for name, rows in e.operands.items()]
    shown += [f"scale {e.scale}"] + ["causal"] * e.causal
    return f"the largest, {e.ratio:.4g}, at {', '.join(shown)}"


def _details(rows: tuple[tuple[str, ...], ...]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in rows[0]:
        table.add_column(heading)
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    return table


def _print_counterexample(c: Counterexample, console: Console) -> None:
    say(console, f"counterexample, {c.search}:", 4)
    for name, rows in c.operands.items():
        say(console, f"{name} = {rows}", 6)
    say(console, f"{c.where}: claimed {c.claimed}, true {c.true}", 6)
    say(console, f"({c.arithmetic})", 6)
    say(console, "reproduce:", 4)
    for line in c.python:  # never wrapped: it is to be copied
        console.print(f"      {line}", highlight=False, markup=False, soft_wrap=True)


def latex(formula: Claim) -> str:
    """The formula as its function's docstring writes it, without the directive."""
    lines = (inspect.getdoc(formula) or "").splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(".. math::")), None)
    if start is None:
        return ""
    block = [lines[start].removeprefix(".. math::").strip()]
    for line in dropwhile(lambda line: not line.strip(), lines[start + 1 :]):
        if not line.startswith(" "):
            break
        block.append(line.strip())
    return " ".join(block)
