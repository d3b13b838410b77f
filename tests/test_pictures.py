"""Plots show what the results, the formulas and the counts say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from experiments import load
from proofs_checks import pictures, reproduce
from proofs_checks.claims import STATEMENTS
from proofs_checks.experiment import committed
from proofs_checks.judgement import Judgement
from proofs_checks.pictures import Picture, Shown
from proofs_checks.verdict import Verdict


def judgement(id: str) -> Judgement:
    (statement,) = (s for s in STATEMENTS if s.id == id)
    return Judgement(statement, (), Verdict("undecided"), "", ())


@pytest.fixture(scope="module")
def operations() -> Picture:
    return pictures.operations()


@pytest.fixture(scope="module")
def depth() -> Shown:
    (shown,) = pictures.experiments_of(judgement("claim 5"))
    return shown


def points(svg: str, colour: str) -> list[float]:
    """The heights at which a line of this colour has its ends and corners."""
    (path,) = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: none; stroke: {colour}; stroke-width: 1.5', svg)[:1]
    return [float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def test_counts_lie_on_the_lines_of_the_laws(operations: Picture) -> None:
    """Marks were counted, lines follow from laws: of each colour the marks are at heights that its line has."""
    for colour in ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"):
        line = points(operations.svg, colour)
        marks = re.findall(rf'<use [^>]*y="(\S+)" style="fill: {colour}', operations.svg)
        assert len(marks) == len(pictures.COUNTED)
        assert len(line) > 1
        assert all(min(abs(float(y) - at) for at in line) < 1e-3 for y in marks)


def test_words_say_from_which_n_it_takes_fewer(operations: Picture) -> None:
    assert "antiderivative from n = " in operations.words


def test_a_larger_bound_takes_a_larger_degree() -> None:
    found = re.search(r"takes degree (\d+) and B = 10 degree (\d+)", pictures.approximation().words)
    assert found
    assert 0 < int(found[1]) < int(found[2])


def test_an_experiment_has_its_table_and_its_plot(depth: Shown) -> None:
    experiment = load("depth")
    assert depth.rows == reproduce.table(experiment, committed("depth").rows)
    assert depth.rows[0][0] == "residual"
    assert depth.picture.svg.startswith("<svg")
    assert experiment.title in depth.picture.words


def test_a_statement_without_measurements_has_none() -> None:
    assert pictures.experiments_of(judgement("claim 4")) == []


def test_ids_are_a_plots_own_and_are_found(depth: Shown) -> None:
    root = ElementTree.fromstring(depth.picture.svg)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', depth.picture.svg)
    assert len(ids) == len(set(ids))
    assert all(id.startswith("depth-claim-5-") for id in ids)
    assert used
    assert {a or b for a, b in used} <= set(ids)
