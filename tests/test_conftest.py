"""What `tests/conftest.py` and the project's pytest configuration do to a session, shown on small sessions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def session(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with this one's configuration, whose tests lie outside `tests/`, as the doctests do."""
    shutil.copy(ROOT / "pyproject.toml", pytester.path)
    shutil.copy(ROOT / "tests" / "conftest.py", pytester.mkdir("tests"))
    pytester.mkdir("reference")
    return pytester


def run(session: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    (session.path / "reference" / "test_inner.py").write_text(test, encoding="utf-8")
    return session.runpytest_subprocess(*options)


def test_a_session_without_a_skip_passes(session: pytest.Pytester) -> None:
    result = run(session, "def test(): pass")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["skipped: 0 (expected 0)"])
    result.assert_outcomes(passed=1)


def test_an_expected_failure_is_no_skip(session: pytest.Pytester) -> None:
    result = run(session, "import pytest\ndef test(): pytest.xfail('known')")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["skipped: 0 (expected 0)"])
    result.assert_outcomes(xfailed=1)


@pytest.mark.parametrize(
    ("where", "test"),
    [
        ("test_inner.py::test", "import pytest\ndef test(): pytest.skip('no moon')"),
        ("test_inner.py::test", "import pytest\n@pytest.mark.skip('no moon')\ndef test(): pass"),
        ("test_inner.py", "import pytest\npytest.skip('no moon', allow_module_level=True)"),
    ],
    ids=["call", "mark", "module"],
)
def test_an_unexpected_skip_fails_the_session(session: pytest.Pytester, where: str, test: str) -> None:
    result = run(session, test)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["skipped: 1 (expected 0)", f"unexpected skip: reference/{where}: no moon"], consecutive=True
    )


def test_an_unexpected_skip_in_one_of_two_processes_fails_the_session(session: pytest.Pytester) -> None:
    result = run(session, "import pytest\ndef test(): pytest.skip('no moon')\ndef test_other(): pass", "-n", "2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["skipped: 1 (expected 0)"])


def test_a_skipped_doctest_is_counted(session: pytest.Pytester) -> None:
    result = run(session, "'''\n>>> 1  # doctest: +SKIP\n2\n'''")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["skipped: 1 (expected 0)"])


def test_an_expected_skip_passes(session: pytest.Pytester) -> None:
    with (session.path / "tests" / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write("EXPECTED_SKIPS['no moon'] = 'for this test'\n")
    result = run(session, "import pytest\ndef test(): pytest.skip('no moon tonight')\ndef test_other(): pass")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["skipped: 1 (expected 1)"])
    result.stdout.no_fnmatch_line("unexpected skip*")


def test_a_warning_is_an_error(session: pytest.Pytester) -> None:
    result = run(session, "import warnings\ndef test(): warnings.warn('careful')")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize("ci", [True, False])
def test_only_ci_repeats_the_same_examples(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: bool
) -> None:
    if ci:
        monkeypatch.setenv("CI", "true")
    else:
        monkeypatch.delenv("CI", raising=False)
    result = run(
        session,
        f"from hypothesis import settings\ndef test():\n    assert settings().derandomize is {ci}\n"
        f"    assert (settings().database is None) is {ci}\n    assert settings().deadline is None\n",
    )
    result.assert_outcomes(passed=1)
