"""One document for reviewers: verdicts, findings, dependencies and all evidence, from what the store holds.

Nothing is run here, and every word and number comes from the record and the results (`judgement.judge`). The HTML
needs no network: mathematics is MathML, plots and the graph are SVG, and the little script is in the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import networkx as nx
from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert

from proofs_checks import pictures
from proofs_checks.audit import FACTORS, audit
from proofs_checks.audit import counts as counted
from proofs_checks.audited import AGAIN, is_stale, kept
from proofs_checks.comparison import Results, changes
from proofs_checks.digest import packages
from proofs_checks.export import results, version_of_altgrad
from proofs_checks.hypotheses import answer, asked_of
from proofs_checks.judgement import Judgement, PartJudgement
from proofs_checks.record import Statement
from proofs_checks.runner import Run
from proofs_checks.terminal import FAULTS, SECTIONS, evidence_line, extreme_line, latex
from proofs_checks.verdict import STANDINGS, descendants

# A sign beside every colour: the second is what a screen reader says, the third the style's name.
SIGNS = {
    "mirrored": ("=", "mirrored", "holds"),
    "holds as printed": ("✓", "holds", "holds"),
    "holds after repair": ("⚒", "holds after repair", "repair"),
    "needs a hypothesis": ("!", "needs a hypothesis", "repair"),
    "undecided": ("?", "undecided", "open"),
    "not checked": ("–", "not checked", "none"),
    "refuted": ("✗", "refuted", "refuted"),
}
WIDTH, HEIGHT, GAP = 136, 22, 8  # of a node of the graph, and between nodes
COLUMN, ROW = 192, HEIGHT + GAP  # from one layer of the graph to the next, from one node of a layer to the next


@dataclass(frozen=True)
class Node:
    """A statement's place in the graph."""

    id: str
    x: int
    y: int
    sign: str
    style: str
    says: str
    conditional: bool  # something that its derivation passes through is refuted, or lacks a hypothesis


def html(judged: Mapping[str, Judgement], run: Run, old: Results | None = None) -> str:
    """The report as one page, with what changed since the older results. Cost: some seconds."""
    return _render("report.html", judged, run, old)


def markdown(judged: Mapping[str, Judgement], run: Run, old: Results | None = None) -> str:
    """The same for a review form, without what only a page can show."""
    return _render("report.md", judged, run, old)


def _render(template: str, judged: Mapping[str, Judgement], run: Run, old: Results | None) -> str:
    page = Environment(
        loader=PackageLoader("proofs_checks"),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    record = {id: j.statement for id, j in judged.items()}
    tried, last = audit(run, list(judged), None, {"planted", "slack"}), kept()
    return page.get_template(template).render(
        judged=judged.values(),
        judged_by_id=judged,
        record=record,
        sections={j.statement.section: SECTIONS.get(j.statement.section, "") for j in judged.values()},
        counts=counts(judged),
        signs=SIGNS,
        findings=findings(judged),
        hypotheses=lambda id: [(asked, answer(asked, judged)) for asked in asked_of(id)],
        nodes=(nodes := graph(judged)),
        edges=edges(nodes, record),
        size=(max(n.x for n in nodes) + WIDTH + GAP, max(n.y for n in nodes) + HEIGHT + GAP),
        box=(WIDTH, HEIGHT),
        pictures=pictures,
        became=counted(tried.planted),
        slack=sorted(tried.slack, key=lambda x: x.largest),
        divided={c: sum(x.survives == c for x in tried.slack) for c in FACTORS},
        audit=last,
        stale=last is not None and is_stale(last),
        again=AGAIN,
        planted=planted(judged),
        old=old,
        changes=[] if old is None else changes(old, results(judged, run)),
        run=run,
        version=version_of_altgrad(),
        packages=packages(frozenset({run.book.module, "proofs_checks.runner"})),
        standing=standing,
        mathml=mathml,
        latex=latex,
        evidence_line=evidence_line,
        extreme_line=extreme_line,
        used_by=lambda id: descendants(id, record),
        anchor=anchor,
    )


# --- what the page says


def standing(j: Judgement) -> str:
    """The word for a statement; a definition that holds is mirrored."""
    return "mirrored" if j.verdict.definition and j.verdict.standing == "holds as printed" else j.verdict.standing


def counts(judged: Mapping[str, Judgement]) -> dict[str, int]:
    """How many of the paper's statements have which standing."""
    found = [standing(j) for j in judged.values() if not j.statement.own]
    return {name: found.count(name) for name in ("mirrored", *STANDINGS) if name in found}


def findings(judged: Mapping[str, Judgement]) -> list[tuple[Judgement, PartJudgement]]:
    """What readers of the paper should know, the gravest first; of equal ones, that on which most rests."""
    record = {id: j.statement for id, j in judged.items()}
    found = [(j, p) for j in judged.values() for p in j.findings]
    return sorted(found, key=lambda f: (FAULTS.index(f[1].part.fault), -len(descendants(f[0].statement.id, record))))


def planted(judged: Mapping[str, Judgement]) -> tuple[int, int]:
    """False variants refused, and planted, over all checks that ran."""
    every = [e for j in judged.values() for e in j.evidence]
    return sum(e.refused for e in every), sum(e.planted for e in every)


def anchor(id: str) -> str:
    """The statement's place in the page: `D.8/Case 1` is `D.8-Case-1`."""
    return id.replace("/", "-").replace(" ", "-")


@cache
def mathml(source: str) -> str:
    """LaTeX as MathML, in a block of its own."""
    return str(convert(source, display="block"))


# --- the graph


def graph(judged: Mapping[str, Judgement]) -> list[Node]:
    """Every statement to the right of what its proof uses, in the order of the record; below, what stands alone."""
    uses: Any = nx.DiGraph()
    uses.add_nodes_from(judged)
    uses.add_edges_from((used, j.statement.id) for j in judged.values() for used in j.statement.uses if used in judged)
    order = {id: k for k, id in enumerate(judged)}
    alone = sorted(nx.isolates(uses), key=order.__getitem__)
    uses.remove_nodes_from(alone)
    layers = [sorted(ids, key=order.__getitem__) for ids in nx.topological_generations(uses)]
    places = {id: (x, y) for x, ids in enumerate(layers) for y, id in enumerate(ids)}
    width, below = max(1, len(layers)), max(map(len, layers), default=-1) + 1
    places |= {id: (k % width, below + k // width) for k, id in enumerate(alone)}
    return [_node(judged[id], *place) for id, place in places.items()]


def _node(j: Judgement, column: int, row: int) -> Node:
    sign, says, style = SIGNS[standing(j)]
    doubtful = style == "holds" and j.derivation.startswith(("broken", "needs"))
    return Node(j.statement.id, GAP + column * COLUMN, GAP + row * ROW, sign, style, says, doubtful)


def edges(nodes: list[Node], record: Mapping[str, Statement]) -> list[tuple[Node, Node]]:
    """From what is used to what uses it."""
    places = {node.id: node for node in nodes}
    return [(places[used], node) for node in nodes for used in record[node.id].uses if used in places]
