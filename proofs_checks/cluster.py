"""Jobs on a cluster: Dask hands them out, and a process of its own does each, as on one machine.

A worker that is lost costs nothing that it had finished: its jobs are handed to others. A job that kills its process
or takes too long ends as it ends here, and its worker goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cache
from socket import create_connection
from uuid import uuid4

from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.comm.addressing import parse_address, parse_host_port
from pebble import ProcessPool

from proofs_checks import runner
from proofs_checks.runner import Book, Job, outcome, perform, pool
from proofs_checks.trial import Result
from reference.shapes import refuse

LOCAL = "local"
PATIENCE = 30  # seconds, for the scheduler to answer and for its first worker
OTHER = "this worker's code or packages differ from those of the run"


class Cluster:
    """The workers of a scheduler."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def do(self, module: str, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
        run = uuid4().hex  # the scheduler knows results by name, and a run that asks for fresh ones gets no old ones
        waiting = {
            self.client.submit(perform_apart, module, job, runner.TIME_LIMIT, key=f"{job.key}-{run}", pure=False): job
            for job in jobs
        }
        try:
            for future in as_completed(list(waiting)):
                yield waiting.pop(future), outcome(future, runner.TIME_LIMIT)
        except (OSError, CancelledError):
            refuse("scheduler", str(self.client), "was lost", "one that lives as long as the run")
        finally:
            with suppress(OSError):
                self.client.cancel(list(waiting))


@contextmanager
def cluster(address: str, count: int) -> Iterator[Cluster]:
    """The cluster of a scheduler, or for "local" one of `count` workers that lives as long as it is used.

    Raises AltgradError where nobody answers at the address, where no worker joins, and where the scheduler is lost.
    """
    if address == LOCAL:
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as local,
            Client(local) as client,
        ):
            yield Cluster(client)
        return
    try:
        create_connection(parse_host_port(parse_address(address)[1]), PATIENCE).close()  # a client fails less cleanly
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        refuse("scheduler", address, f"does not answer ({error})", f"the address of a Dask scheduler, or {LOCAL!r}")
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            refuse("scheduler", address, f"has had no worker for {PATIENCE} s", "one: dask worker ADDRESS")
        yield Cluster(client)


def perform_apart(module: str, job: Job, limit: float) -> Result:
    """Do a job in a process beside the worker's."""
    return outcome(_processes().schedule(perform_same, args=(module, job), timeout=limit), limit)


def perform_same(module: str, job: Job) -> Result:
    """Do a job if the code here is the code of the run."""
    if Book.open(module).digest(job.address) != job.digest:
        return Result("failed", reason=OTHER)
    return perform(module, job)


@cache
def _processes() -> ProcessPool:
    """One process for each thread of this worker."""
    multiprocessing.current_process().daemon = False  # Dask's workers are daemons, which may not start processes
    return pool(get_worker().state.nthreads)
