"""Runs checks: cuts them into jobs, spreads the jobs over processes, keeps what is finished, gathers the evidence.

Every job runs in a process of its own pool, also with one worker: a crash or a time-out costs one job, and what a
job computes cannot depend on what the calling process has imported.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from pebble import ProcessPool

from proofs_checks.digest import check_digest, fingerprint
from proofs_checks.evidence import Evidence, merge
from proofs_checks.record import Check, Form, Part, Statement
from proofs_checks.store import Store
from proofs_checks.trial import Result

PROFILES = ("quick", "standard", "deep")
TIME_LIMIT = 900.0  # seconds for one job
RECORD = "proofs_checks.statements"

Task = Literal["shard", "variant", "explain"]


@dataclass(frozen=True)
class Address:
    """Which check of which form of which part of which statement, by position in the record."""

    statement: str
    part: int
    form: int
    check: int

    def find(self, record: Mapping[str, Statement]) -> tuple[Statement, Part, Form, Check]:
        statement = record[self.statement]
        part = statement.parts[self.part]
        form = part.forms[self.form]
        return statement, part, form, form.checks[self.check]


@dataclass(frozen=True)
class Job:
    """One piece of work: a shard of a check, one false variant, or the explanation of a refutation."""

    address: Address
    task: Task
    name: str  # number of the shard, or name of the variant
    digest: str
    seed: int

    @property
    def key(self) -> str:
        """Where the result is stored; it changes with everything that the result can depend on."""
        a = self.address
        return fingerprint([a.statement, a.part, a.form, a.check, self.task, self.name, self.digest, self.seed])

    @property
    def own_seed(self) -> int:
        return int(fingerprint([self.seed, self.address.statement, self.address.check, self.task, self.name]), 16)


@dataclass(frozen=True)
class Book:
    """The record in use: a module that holds `RECORD`, and its statements by id."""

    module: str
    statements: Mapping[str, Statement]

    @classmethod
    def open(cls, module: str = RECORD) -> Book:
        return cls(module, {s.id: s for s in importlib.import_module(module).RECORD})

    def needed(self, ids: Iterable[str]) -> list[str]:
        """The statements whose evidence decides the verdicts of some: themselves, and what they are conditional on."""
        found: dict[str, None] = {}
        for id in ids:
            found[id] = None
            if self.statements[id].follows:
                found |= dict.fromkeys(self.needed(self.statements[id].uses))
        return list(found)

    def checks(self, ids: Iterable[str]) -> Iterator[Address]:
        for id in ids:
            for p, part in enumerate(self.statements[id].parts):
                for f, form in enumerate(part.forms):
                    for c in range(len(form.checks)):
                        yield Address(id, p, f, c)

    def digest(self, address: Address) -> str:
        return check_digest(*address.find(self.statements))


def jobs_of(book: Book, address: Address, profile: str, seed: int) -> list[Job]:
    """The shards and false variants of one check."""
    check = address.find(book.statements)[-1]
    digest = book.digest(address)
    shards = [Job(address, "shard", str(k), digest, seed) for k in range(check.trial.shards(profile))]
    return [Job(address, "variant", name, digest, seed) for name in check.false] + shards


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Threads and processes that start here never see Ctrl-C: it is the run's to answer."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def start_worker(parent: int) -> None:
    """A worker does not outlive the run that started it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def perform(module: str, job: Job) -> Result:
    """Do one job, in whatever process; an exception says nothing about the claim."""
    check = job.address.find(Book.open(module).statements)[-1]
    claim = check.false[job.name] if job.task == "variant" else check.claim
    try:
        return check.trial.explain(claim) if job.task == "explain" else check.trial.run(claim, job.own_seed)
    except Exception as error:  # whatever a claim raises, the outcome is "failed", never a pass
        return Result("failed", reason=f"{type(error).__name__}: {error}")


class Workers(Protocol):
    """What does jobs: processes of this machine, or of a cluster."""

    def do(self, module: str, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
        """The jobs of a record with what became of them, in the order in which they end."""


@dataclass(frozen=True)
class Processes:
    """Some processes of this machine."""

    count: int

    def do(self, module: str, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
        with pool(self.count) as processes:
            try:
                with _uninterrupted():
                    waiting: dict[Any, Job] = {
                        processes.schedule(perform, args=(module, job), timeout=TIME_LIMIT): job for job in jobs
                    }
                done: SimpleQueue[Any] = SimpleQueue()  # to wait for any of thousands takes long, each time
                for future in waiting:
                    future.add_done_callback(done.put)
                while waiting:
                    future = done.get()
                    yield waiting.pop(future), outcome(future, TIME_LIMIT)
            except BaseException:
                processes.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
                raise


def pool(count: int) -> ProcessPool:
    """Fresh processes, none of which outlives this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPool(count, initializer=start_worker, initargs=(os.getpid(),), context=context)


def outcome(future: Any, limit: float) -> Result:
    """What a process returned, or why it returned nothing."""
    error = future.exception()
    if error is None:
        result: Result = future.result()
        return result
    if isinstance(error, TimeoutError):
        return Result("failed", reason=f"no result within {limit:.0f} s")
    return Result("failed", reason=f"the process died: {type(error).__name__}: {error}")


class Run:
    """One run of the checks of some statements: finished results, with the store behind them."""

    def __init__(self, book: Book, store: Store, *, profile: str, seed: int, fresh: bool = False) -> None:
        self.book, self.store, self.profile, self.seed = book, store, profile, seed
        self.fresh = fresh
        self.results: dict[str, Result] = {}

    def execute(self, ids: Sequence[str], workers: Workers, progress: Callable[[int, int], None]) -> None:
        """Do the jobs of the statements that the store does not hold; explanations last, for what was refuted.

        Checks that are one shard, however large, go first: the last jobs are short ones, and no process waits long.
        """
        addresses = [a for a in self.book.checks(ids) if self.profile in a.find(self.book.statements)[-1].profiles]
        addresses.sort(key=lambda a: a.find(self.book.statements)[-1].trial.shards(self.profile) > 1)
        jobs = [j for a in addresses for j in jobs_of(self.book, a, self.profile, self.seed)]
        self._do(jobs, workers, progress)
        refuted = {j.address: j for j in jobs if j.task == "shard" and self.results[j.key].outcome == "refutes"}
        self._do([Job(a, "explain", "", j.digest, j.seed) for a, j in refuted.items()], workers, progress)

    def evidence(self, address: Address) -> Evidence | None:
        """The evidence of a check, or None where the run does not have all its shards.

        A check that the profile leaves out keeps its fresh evidence from a profile that has it.
        """
        check = address.find(self.book.statements)[-1]
        for profile in (self.profile,) if self.profile in check.profiles else reversed(check.profiles):
            jobs = jobs_of(self.book, address, profile, self.seed)
            found: dict[Job, Result] = {}
            for job in jobs:
                if (result := self._known(job)) is None:
                    break
                found[job] = result
            else:
                return merge(
                    check,
                    [r for j, r in found.items() if j.task == "shard"],
                    {j.name: r for j, r in found.items() if j.task == "variant"},
                    self._known(Job(address, "explain", "", jobs[0].digest, self.seed)),
                    required=check.trial.required(profile),
                    seed=self.seed,
                    digest=jobs[0].digest,
                )
        return None

    def variants(self, address: Address) -> dict[str, Result | None]:
        """What became of each false variant of a check: the same in every profile."""
        jobs = jobs_of(self.book, address, self.profile, self.seed)
        return {j.name: self._known(j) for j in jobs if j.task == "variant"}

    def missing(self, id: str) -> int:
        """How many checks of a statement have no evidence."""
        return sum(self.evidence(address) is None for address in self.book.checks([id]))

    def _known(self, job: Job) -> Result | None:
        return self.results.get(job.key) or self.store.load(job.key)

    def _do(self, jobs: Sequence[Job], workers: Workers, progress: Callable[[int, int], None]) -> None:
        missing = []
        for job in jobs:
            stored = None if self.fresh else self.store.load(job.key)
            if stored is None or stored.outcome == "failed":  # a crash or a time-out is tried again
                missing.append(job)
            else:
                self.results[job.key] = stored
        if missing:
            for finished, (job, result) in enumerate(workers.do(self.book.module, missing), start=1):
                self.results[job.key] = result
                self.store.save(job.key, result)
                progress(finished, len(missing))
