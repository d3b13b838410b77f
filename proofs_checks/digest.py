"""Fingerprints of what a piece of evidence ran: code, record and package versions. Stale evidence is no evidence.

Code is compared as parsed, without comments and docstrings: rewording a docstring keeps the evidence fresh.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from proofs_checks.record import Check, Form, Part, Statement

PROJECT = ("reference", "gpu", "proofs_checks", "experiments", "tests")


def check_digest(statement: Statement, part: Part, form: Form, check: Check) -> str:
    """Fingerprint of everything that the outcome of a check can depend on, except the seed."""
    roots = frozenset({function.__module__ for function in _functions(check)} | {type(check.trial).__module__})
    content = {
        "record": [statement.id, statement.assumes, part.name, part.kind, part.claim, form.role, form.reading],
        "check": described(check),
        "code": {name: module_digest(name) for name in closure(roots)},
        "packages": packages(roots),
    }
    return fingerprint(content)


def fingerprint(content: Any) -> str:
    """A short hash of anything that JSON can write."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def described(thing: Any) -> Any:
    """A value as plain data that does not change from run to run: functions by name, dataclasses by field.

    A function must be all in its module's text: a closure, a lambda or a method would hide what it depends on.
    """
    if callable(thing) and hasattr(thing, "__qualname__"):
        if hasattr(thing, "__self__") or "<" in thing.__qualname__:
            raise TypeError(f"{thing.__qualname__} of {thing.__module__}: a check needs functions of a module")
        return f"{thing.__module__}.{thing.__qualname__}"
    if is_dataclass(thing):
        return [type(thing).__qualname__, {f.name: described(getattr(thing, f.name)) for f in fields(thing)}]
    if isinstance(thing, dict):
        return {str(k): described(v) for k, v in thing.items()}
    if isinstance(thing, (tuple, list)):
        return [described(x) for x in thing]
    return thing


def _functions(thing: Any) -> Iterator[Any]:
    """Every function that a check holds, directly or in its trial, and the class of whatever it is made of."""
    if callable(thing) and hasattr(thing, "__qualname__"):
        yield thing
    elif is_dataclass(thing):
        yield type(thing)
        for f in fields(thing):
            yield from _functions(getattr(thing, f.name))
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _functions(value)
    elif isinstance(thing, (tuple, list)):
        for value in thing:
            yield from _functions(value)


@cache
def closure(roots: frozenset[str]) -> list[str]:
    """The modules of this project that the roots import, directly or not, and the roots."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [i for i in imports(name) if i.split(".")[0] in PROJECT]
    return sorted(found)


@cache
def packages(roots: frozenset[str]) -> dict[str, str]:
    """Versions of Python and of the installed distributions that the modules import."""
    used = {i.split(".")[0] for name in closure(roots) for i in imports(name)}
    outside = used - set(PROJECT) - set(sys.stdlib_module_names)
    distributions = {d for name in outside for d in _distributions().get(name, [])}
    return {"python": platform.python_version(), **{d: _version(d) for d in sorted(distributions)}}


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _version(distribution: str) -> str:
    return version(distribution)


@cache
def module_digest(name: str) -> str:
    """Fingerprint of a module's code."""
    return hashlib.sha256(ast.dump(without_docstrings(_tree(name))).encode()).hexdigest()


@cache
def imports(name: str) -> frozenset[str]:
    """The modules that a module imports by name."""
    found: set[str] = set()
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), _package(name))
            within = {alias.name: f"{module}.{alias.name}" for alias in node.names}
            modules = {m for m in within.values() if m.split(".")[0] in PROJECT and _is_module(m)}
            found |= modules
            if len(modules) < len(within):
                found.add(module)
    return frozenset(found)


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same code with every docstring removed."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, not a package
        return False


def _package(name: str) -> str:
    spec = find_spec(name)
    return (spec.parent if spec is not None else None) or name


def _tree(name: str) -> ast.Module:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for {name}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
