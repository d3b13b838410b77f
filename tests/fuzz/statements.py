"""One property for each check by drawn instances that found its claim to hold: no instance breaks it."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from proofs_checks import runner
from proofs_checks.property import PropertyTrial
from proofs_checks.runner import Address, Book, Run
from proofs_checks.store import Store

RECORD = "ALTGRAD_RECORD"  # in the environment: the module of another record


def book() -> Book:
    return Book.open(os.environ.get(RECORD, runner.RECORD))


def by_instances(record: Book) -> list[Address]:
    """The checks that draw instances."""
    return [
        a for a in record.checks(record.statements) if isinstance(a.find(record.statements)[-1].trial, PropertyTrial)
    ]


def supported() -> list[Address]:
    """Those among them that found their claim to hold: where it is refuted, there is nothing to look for."""
    record = book()
    run = Run(record, Store(), profile="quick", seed=0)
    evidence = {address: run.evidence(address) for address in by_instances(record)}
    missing = sorted({address.statement for address, found in evidence.items() if found is None})
    if missing:
        raise pytest.UsageError(f"no fresh evidence of {', '.join(missing)}: run altgrad verify first")
    return [address for address, found in evidence.items() if found is not None and found.outcome == "supports"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("address", supported(), ids=_name)


def _name(address: Address) -> str:
    return f"{address.statement}, part {address.part}, form {address.form}, check {address.check}"


@settings(suppress_health_check=[HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_no_instance_breaks_it(address: Address, data: Any) -> None:
    check = address.find(book().statements)[-1]
    trial = check.trial
    assert isinstance(trial, PropertyTrial)
    instance = data.draw(trial.instances)
    if not trial.admits(instance):
        reject()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ratio = trial.ratio(check.claim, instance)
        assert not math.isnan(ratio), "a side is not a number"
        if ratio > 1:
            found = trial.confirm(check.claim, instance, "found by fuzzing")
            raise AssertionError(
                f"{check.claim.__name__}: {found or 'a suspicion that ball arithmetic does not confirm'}"
            )
