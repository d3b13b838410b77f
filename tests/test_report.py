"""The report says what the results say, of every statement, in one file that needs nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from typer.testing import CliRunner

from proofs_checks import command_line, comparison, export, report
from proofs_checks.audit import audit, reference_digest
from proofs_checks.hypotheses import HYPOTHESES, answer
from proofs_checks.judgement import Judgement, judge
from proofs_checks.runner import Book, Processes, Run
from proofs_checks.store import FOLDER, Store
from proofs_checks.terminal import FAULTS, latex
from proofs_checks.verdict import STANDINGS, descendants

IDS = ("C.18", "F.4", "G.3")
VOID = {"meta", "input", "br", "link", "rect", "path"}
BOOK = Book.open()
ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.articles: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" and "href" in found else []
        self.fetched += [value for name, value in attrs if name in ("src", "srcset", "data") and tag != "button"]
        self.fetched += [found["href"]] if tag in ("link", "image") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if "article" in self.open:
            self.articles[self.ids[-1]] = self.articles.get(self.ids[-1], "") + data


@pytest.fixture(scope="module")
def run(shared: Callable[[str], AbstractContextManager[Path]]) -> Run:
    """Results of a few statements; of all, where `make verify` left them."""
    whole = Run(BOOK, Store(ROOT / FOLDER), profile="quick", seed=0)
    if not any(whole.missing(id) for id in IDS):
        return whole
    with shared("report") as folder:
        done = Run(BOOK, Store(folder), profile="quick", seed=0)
        done.execute(IDS, Processes(2), lambda *_: None)
    return done


@pytest.fixture(scope="module")
def judged(run: Run) -> dict[str, Judgement]:
    return judge(BOOK, run)


@pytest.fixture(scope="module")
def alone(judged: dict[str, Judgement]) -> dict[str, Judgement]:
    """One statement, on which a report is quickly made."""
    return {"G.3": replace(judged["G.3"], statement=replace(judged["G.3"].statement, uses=()))}


@pytest.fixture(scope="module")
def text(judged: dict[str, Judgement], run: Run) -> str:
    return report.html(judged, run)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_statement_has_its_place_and_every_link_leads_somewhere(page: Page) -> None:
    assert {report.anchor(id) for id in BOOK.statements} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert page.open == []


def test_hypotheses_stand_at_their_statement(page: Page, judged: dict[str, Judgement]) -> None:
    for asked in HYPOTHESES:
        found = answer(asked, judged)
        said = " ".join(page.articles[report.anchor(asked.statement)].split())
        assert " ".join(f"{asked.text}: {found.word}. {found.reason}".split()) in said


def test_it_needs_no_network_and_is_small(page: Page, text: str) -> None:
    assert page.fetched == []
    assert "@import" not in text
    assert "url(http" not in text
    assert "fetch(" not in text
    assert len(text.encode()) < 5_000_000


def test_verdicts_are_those_that_were_judged(page: Page, judged: dict[str, Judgement]) -> None:
    for id, j in judged.items():
        said = " ".join(page.articles[report.anchor(id)].split())
        assert str(j.verdict) in said
        assert j.derivation in said


def test_a_refutation_shows_its_counterexample(page: Page, judged: dict[str, Judgement]) -> None:
    found = [e.counterexample for e in judged["G.3"].evidence if e.counterexample]
    assert found
    for c in found:
        assert c.where in page.articles["G.3"]
        assert all(line in page.articles["G.3"] for line in c.python)


def test_counts_are_those_of_the_papers_statements(judged: dict[str, Judgement]) -> None:
    counts = report.counts(judged)
    assert sum(counts.values()) == sum(not s.own for s in BOOK.statements.values())
    assert set(counts) <= {"mirrored", *STANDINGS}


def test_findings_come_with_the_gravest_first(judged: dict[str, Judgement]) -> None:
    found = report.findings(judged)
    assert {j.statement.id for j, _ in found} >= {"C.18", "G.3"}
    grave = [(FAULTS.index(p.part.fault), -len(descendants(j.statement.id, BOOK.statements))) for j, p in found]
    assert grave == sorted(grave)


def test_what_is_used_stands_to_the_left(judged: dict[str, Judgement]) -> None:
    nodes = report.graph(judged)
    assert {node.id for node in nodes} == set(BOOK.statements)
    drawn = report.edges(nodes, BOOK.statements)
    assert {(a.id, b.id) for a, b in drawn} == {(u, s.id) for s in BOOK.statements.values() for u in s.uses}
    assert all(a.x + report.WIDTH < b.x for a, b in drawn)
    assert len({(node.x, node.y) for node in nodes}) == len(nodes)


def test_what_holds_above_something_refuted_is_shown_as_conditional(judged: dict[str, Judgement]) -> None:
    j = replace(judged["F.4"], derivation="broken at D.1")
    (node,) = report.graph({"F.4": j})
    assert node.conditional
    (sound,) = report.graph({"F.4": replace(judged["F.4"], derivation="intact")})
    assert not sound.conditional


def test_each_standing_has_a_sign_and_a_word() -> None:
    """A colour is never the only sign."""
    assert set(report.SIGNS) == {"mirrored", *STANDINGS}
    assert len({sign for sign, _, _ in report.SIGNS.values()}) == len(report.SIGNS)


def test_all_formulas_become_mathematics() -> None:
    formulas = {f.formula for s in BOOK.statements.values() for p in s.parts for f in p.forms if f.formula}
    sources = [source for formula in formulas if (source := latex(formula))]
    assert len(sources) > 100
    for source in sources:
        assert report.mathml(source).startswith("<math")


def test_text_of_the_record_is_escaped(judged: dict[str, Judgement], run: Run) -> None:
    j = judged["F.4"]
    planted = replace(j, statement=replace(j.statement, title="<script>alert(1)</script>", uses=()))
    assert "<script>alert" not in report.html({"F.4": planted}, run)


def luminance(colour: str) -> float:
    """Of sRGB, as WCAG 2 defines it."""
    digits = colour if len(colour) == 6 else "".join(2 * c for c in colour)
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_contrast_in_light_and_dark(text: str) -> None:
    """4.5 to 1 on the page and on panels."""
    themes = re.findall(r":root \{([^}]*)\}", text)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): #([0-9a-f]+)", theme))
        for name in ("text", "link", "holds", "repair", "refuted", "open", "none"):
            for ground in ("page", "soft"):
                dark, light = sorted((luminance(colours[name]), luminance(colours[ground])))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_headings_skip_no_level(text: str) -> None:
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_markdown_has_all_verdicts_and_findings(judged: dict[str, Judgement], run: Run) -> None:
    written = report.markdown(judged, run)
    for id, j in judged.items():
        assert f"| {id} | {j.verdict} |" in written
    assert written.count("statements rest on it") == len(report.findings(judged))


def test_equal_results_give_equal_bytes(judged: dict[str, Judgement], run: Run, text: str) -> None:
    assert report.html(judged, run) == text


def test_what_changed_is_in_the_page_and_in_markdown(alone: dict[str, Judgement], run: Run, text: str) -> None:
    old = export.results(alone, run)
    assert "What changed" not in text
    assert "<p>Nothing.</p>" in report.html(alone, run, old)
    assert "statements: nothing." in report.markdown(alone, run, old)
    (changed,) = old["statements"]
    changed["derivation"] = "was | <b>other</b>"
    row = "<tr><td>G.3</td><td>derivation</td><td>was | &lt;b&gt;other&lt;/b&gt;</td>"
    assert row in report.html(alone, run, old)
    assert r"| G.3 | derivation | was \| <b>other</b> |" in report.markdown(alone, run, old)


MUTATION = {
    "made": 40, "killed": 37, "explained": ["a"], "interval": [0.8, 0.975],
    "modules": {"low_rank": {"made": 40, "killed": 37}},
}  # fmt: skip
AUDIT = {"date": "2000-01-01", "profile": "deep", "seed": 0, "faults": ["<low>"], "mutation": MUTATION}


@pytest.mark.parametrize(
    ("kept", "said", "unsaid"),
    [
        (None, ["altgrad audit --profile deep"], ["2000-01-01", "stale: "]),
        (
            AUDIT | {"reference": reference_digest(), "mutation": None},
            ["altgrad audit --profile deep"],
            ["2000-01-01"],
        ),
        (AUDIT | {"reference": reference_digest()}, ["2000-01-01", "80.0 %", "97.5 %"], ["stale: ", "altgrad audit"]),
        (AUDIT | {"reference": "other"}, ["2000-01-01", "stale: the code has changed since"], ["altgrad audit"]),
    ],
)
def test_the_audit_is_shown_with_its_day_and_whether_it_is_stale(
    alone: dict[str, Judgement],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    kept: Any,
    said: list[str],
    unsaid: list[str],
) -> None:
    monkeypatch.setattr(report, "kept", lambda: kept)
    page = report.html(alone, run).partition('id="audit"')[2].partition('id="plots"')[0]
    text = report.markdown(alone, run).partition("## Audit")[2].partition("| bound")[0]
    for form in (page, text):
        assert all(words in form for words in said)
        assert not any(words in form for words in unsaid)
    if kept and kept["mutation"]:
        assert "&lt;low&gt;" in page
        assert "<tr><td>low_rank</td><td>40</td><td>37</td></tr>" in page


def test_every_bound_has_its_slack(text: str, judged: dict[str, Judgement], run: Run) -> None:
    found = audit(run, list(judged), None, {"slack"}).slack
    assert found
    table = text.partition('id="slack"')[2].partition('id="audit"')[0]
    assert [where.partition("<")[0] for where in table.split("<tr><td>")[1:]] == [
        str(escape(x.where)) for x in sorted(found, key=lambda x: x.largest)
    ]


def test_every_plot_is_described(text: str) -> None:
    described = re.findall(r'role="img" aria-label="([^"]+)"', text)
    assert len(described) == text.count("<svg") - 1  # the links of the graph describe it
    assert all(len(words) > 20 for words in described)


# --- the command


def called(*arguments: str) -> Any:
    return CliRunner().invoke(command_line.app, ["report", *arguments])


def test_without_results_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = called("--seed", "5", "--record", "tests.planted")
    assert found.exit_code == command_line.BAD_USAGE
    assert "run altgrad verify first" in found.output
    assert list(tmp_path.glob("*report*")) == []


def test_it_writes_where_it_is_told(
    alone: dict[str, Judgement], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "_store", lambda: run.store)
    monkeypatch.setattr(command_line, "judge", lambda book, run: alone)
    found = export.results(alone, run)
    assert called().exit_code == 0
    assert Page((tmp_path / "altgrad-report.html").read_text("utf-8")).ids
    assert called("--format", "markdown", "-o", "found.md").exit_code == 0
    assert (tmp_path / "found.md").read_text("utf-8").startswith("# arXiv 2408.13233v2")
    assert called("--format", "json").exit_code == 0
    assert comparison.changes(comparison.load(tmp_path / "altgrad-report.json"), found) == []
    assert called("--against", "altgrad-report.json").exit_code == 0
    assert "What changed" in (tmp_path / "altgrad-report.html").read_text("utf-8")
    refused = called("--against", "found.md")
    assert refused.exit_code == command_line.BAD_USAGE
    assert "altgrad: report: found.md is no JSON" in refused.output
    refused = called("--against", "altgrad-report.json", "--format", "json")
    assert refused.exit_code == command_line.BAD_USAGE
    refused = called("-o", "no/such/folder.html")
    assert refused.exit_code == command_line.BAD_USAGE
    assert "needs the name of a file in a folder that exists" in refused.output


def test_without_the_extra_it_names_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['jinja2'] = None; sys.argv[1:] = ['report']\n"
    code += "from proofs_checks.command_line import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == command_line.BAD_USAGE
    assert "pip install 'altgrad[report]'" in " ".join(found.stderr.split())
