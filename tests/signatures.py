"""What functions take by keyword alone, for the tests that say so."""

from __future__ import annotations

import inspect
from types import FunctionType, ModuleType
from typing import Any

NEEDED = inspect.Parameter.empty  # in place of a default

FORMULA = {"scale": 1, "causal": False}  # of a formula in X and the weights


def keywords(module: ModuleType) -> dict[str, dict[str, Any]]:
    """Of each function of a module that has some: the parameters that go by keyword alone, with their defaults."""
    own = [f for f in vars(module).values() if isinstance(f, FunctionType) and f.__module__ == module.__name__]
    found = {f.__name__: inspect.signature(f).parameters.values() for f in own}
    by_keyword = {
        name: {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} for name, parameters in found.items()
    }
    return {name: some for name, some in by_keyword.items() if some}
