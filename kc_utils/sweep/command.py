"""The body of ``kc sweep``: check, compute what is missing, join the tables, say what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kc_utils.models.devices import visible_gpus
from kc_utils.runs import lock
from kc_utils.runs.folder import resolve
from kc_utils.study.stages import STAGES
from kc_utils.sweep.export import check_target, stored_already, write_dataset
from kc_utils.sweep.plan import (
    Member,
    check_address,
    named,
    number_of_workers,
    plan,
    seeds_of,
    union,
)

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

    from kc_utils.sweep.drive import Failure

#: Below the folder of a sweep: the tables of its complete runs.
TABLES = "tables"
#: What the tables kept with the book may hold together.
MOST_BYTES = 8_000_000


@dataclass(frozen=True)
class Request:
    """The options of the command, as they were typed."""

    profile: str | None
    profiles: str | None
    seeds: int
    seed_list: str | None
    overrides: list[str]
    out: Path
    experiments: bool
    experiments_for: str | None
    to: str | None
    scheduler: str | None
    workers: int | None
    compute: bool
    export: Path | None
    base_of: Path | None
    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def sweep(request: Request, console: Console) -> bool:
    """Do what was asked; whether every run that was computed is complete.

    Raises:
        KcError: something that was asked for is not possible; nothing was written then.
    """
    workers = number_of_workers(request.workers, visible_gpus())
    if request.scheduler is not None:
        check_address(request.scheduler)
    security = _security(request)
    members = members_of(request)
    if request.export is not None:
        out = check_target(request.export)
        stored = stored_already(out, members)
        gone = {m.name for m in members if m.name in stored and not m.path.exists()}
        if gone:
            console.print(f"stored already: {', '.join(sorted(gone))}", soft_wrap=True)
        members = tuple(m for m in members if m.name not in gone)
    failures = []
    if request.compute:
        failures = compute(
            members, console, scheduler=request.scheduler, workers=workers, security=security
        )
    console.print(summary(members, failures))
    for failure in failures:
        print(f"kc: {failure.run}, stage {failure.stage}: {failure.reason}", file=sys.stderr)
    if request.compute:
        export(members, resolve(request.out) / TABLES, console, merge=False)
    if request.export is not None:
        export(members, resolve(request.export), console, merge=True)
    return not failures


def members_of(request: Request) -> tuple[Member, ...]:
    """The runs that were asked for."""
    names = union(request.profile, request.profiles)
    chosen = named("--experiments-for", request.experiments_for) or names[:1]
    return plan(
        names,
        seeds_of(request.seeds, request.seed_list),
        request.overrides,
        request.out,
        experiments_for=chosen if request.experiments else (),
        to=request.to,
        base_of=request.base_of,
    )


def _security(request: Request) -> Security | None:
    given = (request.tls_ca_file, request.tls_cert, request.tls_key)
    if request.scheduler is None and not any(given):
        return None  # the usual way: nothing to import Dask for, yet
    from kc_utils.sweep.certificates import Certificates, security_for

    return security_for(request.scheduler, Certificates(*given))


def compute(
    members: Sequence[Member],
    console: Console,
    *,
    scheduler: str | None,
    workers: int,
    security: Security | None = None,
) -> list[Failure]:
    """Compute every missing stage; returns the runs that stopped."""
    with ExitStack() as stack:
        client = None
        if scheduler is not None and any(member.missing(member.draft()) for member in members):
            # It may not be there: asked before the folders of the runs are made.
            client = stack.enter_context(_connected(console, scheduler, workers, security))
        stack.enter_context(locked(members))
        work = [(member, member.missing(member.draft())) for member in members]
        work = [(member, stages) for member, stages in work if stages]
        if not work:
            console.print(f"nothing to do: {_runs(len(members))} complete")
            return []
        started = time.perf_counter()
        if client is None:
            client = stack.enter_context(_connected(console, scheduler, workers, security))
        for member, _ in work:
            member.draft().save()
        failures = _drive(work, console, client, elsewhere=scheduler is not None)
    seconds = time.perf_counter() - started
    stages = sum(len(stages) for _, stages in work)
    console.print(f"{_runs(len(work))}, {stages} stages to compute, wall time {seconds:.1f} s")
    return failures


@contextmanager
def _connected(
    console: Console, scheduler: str | None, workers: int, security: Security | None
) -> Iterator[Client]:
    from kc_utils.sweep import cluster

    with ExitStack() as stack:
        with console.status("starting the workers"):
            client = stack.enter_context(cluster.connect(scheduler, workers, security))
        yield client


def _drive(
    work: list[tuple[Member, list[str]]], console: Console, client: Client, *, elsewhere: bool
) -> list[Failure]:
    from kc_utils.sweep import cluster, drive

    with progress(console, sum(len(stages) for _, stages in work)) as watch:
        if elsewhere:
            cluster.check_folder(client, work[0][0].path)
        return drive.Drive(client, lambda: cluster.threads(client), watch).compute(work)


@contextmanager
def locked(members: Sequence[Member]) -> Iterator[None]:
    """Keep everybody else from writing into these run folders.

    Raises:
        KcError: another process writes into one of them.
    """
    with ExitStack() as stack:
        for member in members:
            stack.enter_context(lock.locked(member.path))
        yield


@contextmanager
def progress(console: Console, total: int):
    """A bar over all stages with the names of those under way; lines where it is no terminal."""
    names = TextColumn("{task.description}")
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), names)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def watch(running: list[tuple[str, str]], ended: tuple[str, str] | None) -> None:
            if ended is not None:
                bar.advance(task)
                if not console.is_terminal:
                    console.print(" ".join(ended), soft_wrap=True, highlight=False)
            bar.update(task, description=", ".join(" ".join(pair) for pair in running))

        yield watch


def export(members: Sequence[Member], out: Path, console: Console, *, merge: bool) -> None:
    """Write the tables of the complete runs into ``out`` and say which are missing."""
    runs = [(member, member.draft()) for member in members]
    missing = {member.name: lacks for member, run in runs if (lacks := member.missing(run))}
    complete = [run for member, run in runs if member.name not in missing]
    if complete or merge:
        most = MOST_BYTES if merge else None
        write_dataset(complete, out, merge=merge, most_bytes=most)
        console.print(str(out), soft_wrap=True, highlight=False)
    if missing:
        console.print(f"not complete, so not in it: {', '.join(missing)}", soft_wrap=True)
        stages = {name for names in missing.values() for name in names}
        if all(STAGES.get(name).group == "experiment" for name in stages):
            console.print("only experiments are missing; with --no-experiments they go in without")


def summary(members: Sequence[Member], failures: Sequence[Failure]) -> Table:
    """One row per run: seconds of its stages, by group and in total, and how far it is."""
    groups = ("study", "experiment")
    table = Table("run", *(f"{group} s" for group in groups), "total s", "state")
    stopped = {failure.run: f"stopped in {failure.stage}" for failure in failures}
    for member in members:
        run = member.draft()
        seconds = dict.fromkeys(groups, 0.0)
        missing = member.missing(run)
        for name in set(member.stages) - set(missing):
            seconds[STAGES.get(name).group] += run.record["stages"][name]["seconds"]
        state = stopped.get(member.name, f"{len(missing)} stages missing" if missing else "done")
        numbers = [*seconds.values(), sum(seconds.values())]
        table.add_row(member.name, *(f"{value:.1f}" for value in numbers), state)
    return table


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
