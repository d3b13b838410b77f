"""The report and the site in a real browser: readable, offline, on a phone, and in working order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from proofs_checks import report
from proofs_checks.judgement import judge
from proofs_checks.runner import Book, Run
from proofs_checks.store import FOLDER, Store
from tests.browser import CHROMIUM, DRIVER, PHONE, Browser, address, browser

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "_build" / "html"
PAGES = (  # one of each kind
    "index",
    "tour",
    "reviewers",
    "practitioners",
    "annotated",
    "modules/low_rank",
    "lessons/l5_monomials",
    "experiments/versus",
    "bounds",
    "api",
    "search",
)

WIDTH = "return document.querySelector('#graph svg').getBoundingClientRect().width"

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("no browser: chromium and chromedriver are needed (Debian: chromium, chromium-driver)")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(shared: Callable[[str], AbstractContextManager[Path]]) -> str:
    """A report of what `make verify` left; where it left nothing, statements in it are not checked."""
    run = Run(Book.open(), Store(ROOT / FOLDER), profile="quick", seed=0)
    with shared("report-page") as folder:
        file = folder / "report.html"
        if not file.exists():
            file.write_text(report.html(judge(run.book, run), run), encoding="utf-8")
    assert file.stat().st_size < 5_000_000
    return address(file)


@pytest.fixture(params=PAGES)
def site_page(request: pytest.FixtureRequest) -> str:
    file = SITE / f"{request.param}.html"
    if not SITE.is_dir():
        pytest.skip("no site: make docs builds it")
    return address(file)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_can_be_read_and_needs_no_network(window: Browser, page: str, dark: bool) -> None:
    window.open(page, dark=dark)
    assert window.complaints() == []
    assert window.fetched() == []
    assert window.wordless() == []
    assert window.pale() == {}


def test_every_statement_of_the_report_is_reached_from_the_graph(window: Browser, page: str) -> None:
    window.open(page)
    anchors = {report.anchor(id) for id in Book.open().statements}
    assert (
        set(window.run("return [...document.querySelectorAll('#graph a')].map(a => a.href.baseVal.slice(1))"))
        == anchors
    )
    assert set(_shown(window)) == anchors
    before = window.run(WIDTH)
    window.driver.find_element(By.CSS_SELECTOR, "[data-zoom='0.8']").click()
    assert window.run(WIDTH) == pytest.approx(0.8 * before, abs=1)
    for id in ("G.3", "C.13", "own/certificate"):
        window.run("scrollTo(0, 0)")
        node = window.driver.find_element(By.CSS_SELECTOR, f"#graph a[href='#{report.anchor(id)}'] text")
        window.run("arguments[0].scrollIntoView({ block: 'center', inline: 'center' })", node)
        node.click()
        assert _seen(window, report.anchor(id))


def test_search_and_filter_leave_what_was_asked_for(window: Browser, page: str) -> None:
    window.open(page)
    search = window.driver.find_element(By.ID, "search")
    search.send_keys("Kronecker")
    found = _shown(window)
    assert 0 < len(found) < len(Book.open().statements)
    assert all("kronecker" in text.lower() for text in found.values())
    anchor = report.anchor("G.3")
    assert anchor not in found
    window.run("location.hash = arguments[0]", anchor)  # a link to what is filtered out
    assert _seen(window, anchor)
    standing = Select(window.driver.find_element(By.ID, "standing"))
    for option in [o.text for o in standing.options[1:]]:
        standing.select_by_visible_text(option)
        counted = window.run(
            "return document.querySelectorAll(`article[data-standing='${arguments[0]}']`).length", option
        )
        told = window.run("return document.getElementById('shown').textContent")
        assert told.startswith(f"{counted} of ")
        assert len(_shown(window)) == counted > 0


def test_the_report_fits_a_phone(window: Browser, page: str) -> None:
    window.open(page, width=PHONE)
    assert window.wide(PHONE) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_of_the_site_can_be_read_and_needs_no_network(window: Browser, site_page: str, dark: bool) -> None:
    window.open(site_page, dark=dark)
    assert window.complaints() == []
    assert window.fetched() == []
    assert window.wordless() == []
    assert window.pale() == {}


def test_a_page_of_the_site_fits_a_phone(window: Browser, site_page: str) -> None:
    window.open(site_page, width=PHONE)
    assert window.wide(PHONE) == []


def test_faults_are_noticed(window: Browser, tmp_path: Path) -> None:
    """Each fault that the tests above look for, planted."""
    faulty = tmp_path / "faulty.html"
    faulty.write_text(
        "<!doctype html><html style='background: #fff'><meta name='viewport' content='width=device-width'>"
        "<p style='color: #999'>pale</p><p style='color: #767676'>dark enough</p><h1 style='color: #999'>large</h1>"
        "<div style='background: #00000080'><p style='color: #555'>pale on a veil</p></div>"
        "<div style='width: 500px'>wide</div><img src='http://192.0.2.1/picture.png'><svg><text>wordless</text></svg>"
        "<script>missing()</script>",
        encoding="utf-8",
    )
    window.open(address(faulty), width=PHONE)
    assert sorted(window.pale().values()) == ["large", "pale", "pale on a veil"]
    assert any("wide" in element for element in window.wide(PHONE))
    assert len(window.wordless()) == 2
    assert any("missing is not defined" in message for message in window.complaints())
    assert window.fetched() == ["http://192.0.2.1/picture.png"]


def _seen(window: Browser, anchor: str) -> bool:
    """Whether the statement comes to the screen."""
    top = "const r = document.getElementById(arguments[0]).getBoundingClientRect(); return r.height ? r.top : -1e9"
    height = window.run("return innerHeight")
    return bool(WebDriverWait(window.driver, 5).until(lambda _: -1 <= window.run(top, anchor) < height))


def _shown(window: Browser) -> dict[str, str]:
    found: dict[str, str] = window.run(
        "return Object.fromEntries([...document.querySelectorAll('article')]"
        ".filter(a => a.checkVisibility()).map(a => [a.id, a.textContent]))"
    )
    return found
