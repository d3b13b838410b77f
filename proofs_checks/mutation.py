"""Mutation testing of `reference/`: is a changed operator, number or condition noticed?

The mutants are cosmic-ray's. Each is put to the test files of its module, one after another, and where all let it
pass, to `altgrad verify` on statements whose checks use the function that was changed: one that exits with 0 both
times has survived. This happens in copies of the project in a temporary folder; nothing here writes to the project.
"""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from scipy.stats import binomtest

from proofs_checks.digest import PROJECT, closure, fingerprint, module_digest, packages, without_docstrings
from proofs_checks.independence import names
from proofs_checks.runner import Book
from proofs_checks.store import FOLDER, Store
from proofs_checks.trial import Outcome, Result

ROOT = Path(__file__).parent.parent
SURVIVORS = Path(__file__).with_name("survivors.json")
STATEMENTS_EACH = 3  # that a mutant is put to when its module's tests let it pass
CONFIDENCE = 0.95
CPU_LIMIT = 120  # seconds of each process of an attempt, many times what it takes: a busy machine kills no mutant
CHECKS = frozenset({"proofs_checks.statements"})
TIME_LIMIT = 1800.0  # seconds for an attempt that waits for ever
INERT = {"name", "newline", "endmarker", "string"}  # nodes that no operator of cosmic-ray changes

PINNED = "tests/test_pinned.py"  # for every module: what its own files had let pass
SUITES: Mapping[str, tuple[str, ...]] = {
    "backend": ("tests/test_gpu.py",),
    "bounded": ("tests/test_bounded.py",),
    "certificate": ("tests/test_certificate.py",),
    "chain_rule": ("tests/test_chain_rule.py", "tests/test_qkv.py"),
    "claims": ("tests/test_experiments.py",),
    "compiled": ("tests/test_compiled.py",),
    "distributed": ("tests/test_distributed.py",),
    "error_bounds": ("tests/test_bounds.py", "tests/test_error_bounds.py"),
    "errors": ("tests/test_shapes.py",),
    "extensions": ("tests/test_theorems.py",),
    "fast_gradient": ("tests/test_fast_gradient.py", "tests/test_count.py"),
    "fast_qkv": ("tests/test_fast_qkv.py",),
    "fast_transformer": ("tests/test_fast_transformer.py",),
    "input_gradient": ("tests/test_input_gradient.py",),
    "kernels": ("tests/test_compiled.py",),
    "loss": ("tests/test_loss.py",),
    "low_rank": ("tests/test_low_rank.py", "tests/test_error_bounds.py"),
    "masked_product": ("tests/test_masked_product.py",),
    "perturbation": ("tests/test_perturbation.py",),
    "polynomial": ("tests/test_polynomial.py",),
    "qkv": ("tests/test_qkv.py",),
    "row_bounds": ("tests/test_certificate.py",),
    "shapes": ("tests/test_shapes.py",),
    "softmax_attention": ("tests/test_softmax_attention.py",),
    "transformer": ("tests/test_transformer.py",),
    "weight_gradient": ("tests/test_weight_gradient.py",),
}


@dataclass(frozen=True)
class Mutant:
    """One change to one module, with what it makes of the code."""

    module: str
    line: int  # that is changed, counted from 1
    before: str
    after: str
    function: str  # or class, or constant, at the module's top level
    code: str

    @property
    def name(self) -> str:
        """What it is called in the list of survivors: moving a line does not change it."""
        return f"{self.module}.{self.function}: {self.before} -> {self.after}"


# --- making mutants


def mutants(modules: Iterable[str], seed: int) -> Iterator[Mutant]:
    """All mutants of the modules in an order that the seed draws; those that change no code are left out.

    The place of each follows from itself: a change to one module leaves the mutants of the others in the sample.
    """
    where = [(m, *position) for m in modules for position in _positions(source(m))]
    for module, operator, occurrence in sorted(where, key=lambda one: fingerprint([seed, *one])):
        mutant = _made(module, operator, occurrence)
        if mutant is not None:
            yield mutant


@cache
def source(module: str) -> str:
    return (ROOT / "reference" / f"{module}.py").read_text(encoding="utf-8")


def _positions(code: str) -> Iterator[tuple[str, int]]:
    nodes = [node for node in ast_nodes(get_ast(code)) if node.type not in INERT]
    for name, operator in _operators().items():
        yield from ((name, k) for k in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)))


@cache
def _operators() -> dict[str, Any]:
    """Those that need no arguments: they change operators, comparisons, numbers, loops, decorators, exceptions."""
    classes = {name: plugins.get_operator(name) for name in sorted(plugins.operator_names())}
    return {name: made() for name, made in classes.items() if not made.arguments()}


def _made(module: str, operator: str, occurrence: int) -> Mutant | None:
    """The mutant; None if it changes annotations only, which nothing evaluates, or is no Python."""
    original = source(module)
    code = mutate_code(original, _operators()[operator], occurrence)
    with suppress(SyntaxError):
        if executed(code) != executed_as_is(module):
            lines = list(zip(original.splitlines(), code.splitlines(), strict=False))
            k = next((k for k, (old, new) in enumerate(lines) if old.strip() and old != new), 0)
            before, after = (text.strip() for text in lines[k])
            if before.startswith("@"):
                after = "no decorator"
            return Mutant(module, k + 1, before, after, _enclosing(original, k + 1), code)
    return None


@cache
def executed_as_is(module: str) -> str:
    return executed(source(module))


def executed(code: str) -> str:
    """What a module executes, as text: without docstrings and annotations."""
    tree = without_docstrings(ast.parse(code))
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def _enclosing(code: str, line: int) -> str:
    """The function, class or constant of a module that a line belongs to."""
    for node in ast.parse(code).body:
        decorators = getattr(node, "decorator_list", [])
        first = min((d.lineno for d in decorators), default=node.lineno)
        if first <= line <= (node.end_lineno or node.lineno):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            return str(getattr(node, "name", getattr(targets[0], "id", "")))
    return ""


# --- killing them


def bearing(book: Book, function: str) -> list[str]:
    """Statements whose checks use a function of the reference: those first that use little else."""
    uses = {id: _reached(_claims(book, id)) for id in book.statements}
    return sorted((id for id in uses if function in uses[id]), key=lambda id: len(uses[id]))[:STATEMENTS_EACH]


def _claims(book: Book, id: str) -> list[Callable[..., Any]]:
    return [c.claim for p in book.statements[id].parts for f in p.forms for c in f.checks if "quick" in c.profiles]


def _reached(functions: Iterable[Callable[..., Any]]) -> frozenset[str]:
    """Every name that the functions look up, and that functions of these names in the project look up."""
    found: set[str] = set()
    waiting = [n for f in functions for n in (getattr(f, "__name__", ""), *_looked_up().get(f.__name__, ()))]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _looked_up().get(name, ())
    return frozenset(found)


@cache
def _looked_up() -> dict[str, set[str]]:
    """For each name of a function of the checks or the reference the names that it looks up."""
    found: dict[str, set[str]] = {}
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in ("proofs_checks", "reference")]
    for function in (f for module in modules for f in vars(module).values() if isinstance(f, FunctionType)):
        if function.__module__.split(".")[0] in ("proofs_checks", "reference"):
            found.setdefault(function.__name__, set()).update(names(function.__code__))
    return found


@dataclass(frozen=True)
class Attempt:
    """The code of a module, changed or as it is, put to a file of tests or to statements."""

    module: str
    code: str
    file: str = ""
    statements: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Where the result is stored; it changes with everything that the result can depend on."""
        files = ("tests/conftest.py", self.file) if self.file else ()
        roots = frozenset(file.removesuffix(".py").replace("/", ".") for file in files) or CHECKS
        project = {m: module_digest(m) for m in closure(roots)}
        return fingerprint([self.module, executed(self.code), files, self.statements, project, packages(roots)])

    @property
    def command(self) -> str:
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
        tests = ["pytest", *options, self.file]
        checks = ["proofs_checks", "verify", "--jobs", "1", *self.statements]
        run = [sys.executable, "-m", *(tests if self.file else checks)]
        return f"ulimit -t {CPU_LIMIT} && {shlex.join(run)}"


@dataclass
class Running:
    """An attempt in its own copy of the project and its own process group."""

    attempt: Attempt
    copy: Path

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        (self.copy / "reference" / f"{self.attempt.module}.py").write_text(self.attempt.code, encoding="utf-8")
        self.process = subprocess.Popen(
            self.attempt.command,
            shell=True,
            cwd=self.copy,
            env={**os.environ, "CI": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.copy)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def result(self) -> Result | None:
        """`supports` if every test and check came through, `refutes` if one did not; None while it runs.

        A shell that a signal ended, which nothing here sends, says nothing: `failed`.
        """
        status = self.process.poll()
        if status is None and time.monotonic() < self.began + TIME_LIMIT:
            return None
        reason = "ran into the time limit" if status is None else f"exit status {status}"
        self.end()
        if status is not None and status < 0:
            return Result("failed", reason=f"stopped by signal {-status}")
        return Result("supports", examples=1) if status == 0 else Result("refutes", examples=1, reason=reason)

    def end(self) -> None:
        """No process is left, and the copy is as it was."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        name = f"{self.attempt.module}.py"
        shutil.copyfile(ROOT / "reference" / name, self.copy / "reference" / name)


def attempt_all(attempts: Iterable[Attempt], jobs: int, finished: Callable[[Attempt, Result], None]) -> None:
    """Make the attempts, so many at a time, each in a copy that nothing else uses."""
    with TemporaryDirectory(prefix="altgrad-audit-") as folder:
        free = [copied(Path(folder) / str(k)) for k in range(jobs)]
        running: list[Running] = []
        waiting = iter(attempts)
        try:
            while True:
                while free and (attempt := next(waiting, None)) is not None:
                    running.append(Running(attempt, free.pop()))
                if not running:
                    return
                time.sleep(1 / 20)
                for one in list(running):
                    result = one.result()
                    if result is not None:
                        running.remove(one)
                        free.append(one.copy)
                        finished(one.attempt, result)
        finally:
            for one in running:
                one.end()


def copied(folder: Path) -> Path:
    """A copy of what the tests and checks need, with the evidence at hand."""
    for name in (*PROJECT, "benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "constraints.txt"):
        shutil.copyfile(ROOT / name, folder / name)
    if FOLDER.is_dir():
        shutil.copytree(FOLDER, folder / FOLDER.name)
    return folder


# --- what it says


@dataclass(frozen=True)
class Mutation:
    """What became of a sample of mutants."""

    made: tuple[Mutant, ...]
    survived: tuple[Mutant, ...]
    seed: int
    broken: tuple[str, ...] = ()  # modules whose kill suite fails without any mutant: it kills nothing
    stopped: int = 0  # mutants whose tests were stopped from outside: nothing is known of them

    @property
    def explained(self) -> tuple[Mutant, ...]:
        """Survivors that are on the list, with the reason why nothing can tell them from the code."""
        return tuple(m for m in self.survived if m.name in reasons())

    @property
    def stale(self) -> tuple[str, ...]:
        """What is on the list of survivors although it was killed."""
        killed = {m.name for m in self.made} - {m.name for m in self.survived}
        return tuple(sorted(killed & reasons().keys()))

    @property
    def counted(self) -> int:
        """Mutants that can be killed, as far as is known."""
        return len(self.made) - len(self.explained)

    @property
    def killed(self) -> int:
        return len(self.made) - len(self.survived)

    @property
    def interval(self) -> tuple[float, float]:
        """For the rate of killed among all mutants that can be (Wilson)."""
        if not self.counted:
            return 0.0, 1.0
        low, high = binomtest(self.killed, self.counted).proportion_ci(CONFIDENCE, "wilson")
        return float(low), float(high)


def reasons() -> dict[str, str]:
    """The list of survivors: mutants that compute the same as the code, by name, each with the reason."""
    listed: dict[str, str] = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    return listed


def mutate(book: Book, store: Store, sample: list[Mutant], jobs: int, seed: int, progress: Any) -> Mutation:
    """Put mutants to the tests and checks; what is stored is not tried again."""
    of_function = {function: tuple(bearing(book, function)) for function in {m.function for m in sample}}
    files = {m.module: (*SUITES[m.module], PINNED) for m in sample}
    tests = [
        {m: Attempt(m.module, m.code, files[m.module][k]) for m in sample if k < len(files[m.module])}
        for k in range(max(map(len, files.values()), default=0))
    ]
    checks = {m: Attempt(m.module, m.code, statements=ids) for m in sample if (ids := of_function[m.function])}
    put_to = {
        module: {id for m in checks if m.module == module for id in of_function[m.function]} for module in SUITES
    }
    as_is = {module: [Attempt(module, source(module), file) for file in some] for module, some in files.items()}
    for module, every in put_to.items():
        if every:
            as_is[module].append(Attempt(module, source(module), statements=tuple(sorted(every))))
    done: dict[str, Result] = {}
    total = sum(map(len, as_is.values())) + len(sample)

    def keep(attempt: Attempt, result: Result) -> None:
        done[attempt.key] = result
        store.save(attempt.key, result)
        progress(len(done), total)

    def make(some: Iterable[Attempt], *final: Outcome) -> None:
        waiting = []
        for attempt in some:
            result = store.load(attempt.key)
            if result is not None and result.outcome in final:
                done[attempt.key] = result
            else:
                waiting.append(attempt)
        attempt_all(waiting, jobs, keep)

    make((attempt for some in as_is.values() for attempt in some), "supports")  # what failed by itself is tried again
    sound = {module for module, some in as_is.items() if all(done[a.key].outcome == "supports" for a in some)}
    outcomes: dict[Mutant, Outcome] = {m: "supports" for m in sample if m.module in sound}
    for attempts in (*tests, checks):
        passed = [m for m, outcome in outcomes.items() if outcome == "supports" and m in attempts]
        total = max(total, len(done) + len(passed))
        make((attempts[m] for m in passed), "supports", "refutes")
        outcomes.update({m: done[attempts[m].key].outcome for m in passed})
    tried = tuple(m for m, outcome in outcomes.items() if outcome != "failed")
    survived = tuple(m for m in tried if outcomes[m] == "supports")
    return Mutation(tried, survived, seed, tuple(sorted(as_is.keys() - sound)), len(outcomes) - len(tried))
