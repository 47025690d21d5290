"""Jobs within Dask workers: the same results, no deadlock when every worker waits for jobs."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from distributed import Client, LocalCluster, get_worker

from kc_utils.errors import KcError
from kc_utils.kernels import kept_memory
from kc_utils.runs.jobs import patience, run_jobs, shared_processes
from kc_utils.runs.shared_jobs import Claims

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_cores")]
PATIENCE = 600  # seconds: a deadlock takes longer


def square(value: int) -> int:
    return value * value


def who(_: int) -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def refuse_three(value: int) -> int:
    if value == 3:
        raise KcError("Three is not allowed.")
    return value


def pages_for_blocks(_: int) -> int:
    """Pages that the system hands out for eight large blocks, one after the other."""
    for i in range(24):
        if i == 16:  # the allocator has found its places
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(10 * 2**20).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def die(value: int) -> int:
    os._exit(value)


def stage(values: list[int]) -> list[int]:
    first = run_jobs(square, [(v,) for v in values], "first")
    return run_jobs(square, [(v,) for v in first], "second")


def stage_of_stages(values: list[int]) -> list[list[int]]:
    return run_jobs(stage, [([v, v + 1],) for v in values], "nested")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers of one thread each, in this process."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as found,
    ):
        yield found


def test_with_one_core_jobs_stay_in_this_process(monkeypatch) -> None:
    monkeypatch.setenv("PYTHON_CPU_COUNT", "1")
    with shared_processes():
        assert processes_of("one core") == {os.getpid()}


def test_jobs_of_a_task_keep_their_order(client) -> None:
    assert client.submit(stage, [3, 1, 2], pure=False).result(timeout=PATIENCE) == [81, 1, 16]


def test_more_waiting_tasks_than_workers_do_not_block_each_other(client) -> None:
    futures = [client.submit(stage, [i, i + 1], pure=False) for i in range(8)]
    found = client.gather(futures)
    assert found == [[i**4, (i + 1) ** 4] for i in range(8)]
    nested = client.submit(stage_of_stages, [1, 2, 3], pure=False)
    assert nested.result(timeout=PATIENCE) == [[1, 16], [16, 81], [81, 256]]


def keys_seen(client: Client) -> set[str]:
    return client.run_on_scheduler(
        lambda dask_scheduler: {str(t.key) for t in dask_scheduler.transition_log}
    )


def test_the_first_error_reaches_the_caller_as_it_is(client) -> None:
    jobs = [(v,) for v in range(6)]
    future = client.submit(run_jobs, refuse_three, jobs, "refusing", pure=False)
    with pytest.raises(KcError, match=r"Three is not allowed\."):
        future.result(timeout=PATIENCE)


#: What the tasks of a test share: workers of the fixture are threads of this process.
MEETING: dict[str, threading.Barrier | threading.Event] = {}


def asking(release: str, jobs: int) -> list[str]:
    """A stage that hands out jobs when it is told to, and says that it has ended."""
    assert MEETING[release].wait(PATIENCE)
    found = run_jobs(at_worker, [(i,) for i in range(jobs)], "jobs")
    MEETING["ended"].set()
    return found


def at_worker(_: int) -> str:
    return get_worker().address


def meet(_: int) -> str:
    MEETING["both"].wait(30.0)
    return at_worker(0)


def test_outside_of_dask_nothing_is_submitted(client) -> None:
    MEETING["both"] = threading.Barrier(2)  # two at a time, so one of them is submitted
    client.submit(run_jobs, meet, [(0,), (1,)], "inside", pure=False).result(timeout=PATIENCE)
    assert run_jobs(square, [(4,)], "alone") == [16]
    seen = keys_seen(client)  # cancelled jobs of other tests may still arrive here
    assert any("inside" in key for key in seen) and not any("alone" in key for key in seen)


def until_the_other_ends(seconds: float) -> tuple[str, bool]:
    """A stage of another run, as long as the one it is compared with: whether that ends first."""
    return at_worker(0), MEETING["ended"].wait(seconds)


def test_a_stage_does_not_wait_for_a_stage_of_another_run(client) -> None:
    MEETING["release"], MEETING["ended"] = threading.Event(), threading.Event()
    mine = client.submit(asking, "release", 3, pure=False)
    others = [client.submit(until_the_other_ends, 30.0, pure=False) for _ in range(2)]
    while sum(map(len, client.processing().values())) < 3:  # each worker has one to do, or two
        time.sleep(0.01)
    MEETING["release"].set()
    found = mine.result(timeout=PATIENCE)
    assert [in_time for _, in_time in client.gather(others)] == [True, True]
    assert len(set(found)) == 1  # nobody else was free


def test_a_worker_that_has_nothing_else_to_do_takes_jobs(client) -> None:
    MEETING["both"] = threading.Barrier(2)
    found = client.submit(run_jobs, meet, [(i,) for i in range(6)], "meeting", key="a/b/c")
    places = found.result(timeout=PATIENCE)
    assert sorted(places.count(place) for place in set(places)) == [3, 3]
    named = {key for key in keys_seen(client) if key.startswith("a/b/c/meeting-")}
    assert len(named) > 2  # after the task that they belong to


def test_a_job_is_done_by_the_task_or_by_one_worker_and_taken_back_from_a_dead_one() -> None:
    claims = Claims()
    assert claims.take(0) and not claims.begin(0, "tcp://a")
    assert claims.begin(1, "tcp://a") and not claims.take(1)
    assert not claims.take_back(1, ["tcp://a", "tcp://b"])
    assert claims.begin(1, "tcp://b")  # Dask gave it to another worker
    assert not claims.take_back(1, ["tcp://b"])
    assert claims.take_back(1, ["tcp://a"]) and not claims.begin(1, "tcp://b")


def noted(jobs: list[tuple[int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    run_jobs(square, jobs, "noting", found.__setitem__)
    return found


def test_every_result_is_told_with_its_place(client) -> None:
    jobs = [(3,), (1,), (2,)]
    assert noted(jobs) == {0: 9, 1: 1, 2: 4}
    assert noted(jobs[:1]) == {0: 9}
    assert client.submit(noted, jobs, pure=False).result(timeout=PATIENCE) == {0: 9, 1: 1, 2: 4}


def processes_of(description: str) -> set[int]:
    return {pid for pid, _ in run_jobs(who, [(i,) for i in range(12)], description)}


def test_shared_processes_serve_all_jobs_inside_and_none_outside() -> None:
    with shared_processes():
        found = [processes_of(f"call {i}") for i in range(2)]
        with pytest.raises(KcError, match=r"Three is not allowed\."):
            run_jobs(refuse_three, [(v,) for v in range(6)], "refusing")
        found.append(processes_of("after an error"))
        inside = set.union(*found)
        assert len(inside) <= 2
        assert os.getpid() not in inside
    assert not processes_of("outside") & inside


@pytest.mark.skipif(kept_memory._glibc() is None, reason="glibc")
def test_worker_processes_keep_memory() -> None:
    of_eight_blocks = 8 * 10 * 2**20 * 4 // resource.getpagesize()
    assert max(run_jobs(pages_for_blocks, [(1,), (2,)], "blocks")) < of_eight_blocks / 50


def test_a_worker_that_dies_is_told_in_one_sentence() -> None:
    with pytest.raises(KcError, match="A worker process died during 'heavy work'"):
        run_jobs(die, [(1,), (1,)], "heavy work")


def test_jobs_that_hang_are_given_up_if_patience_is_set() -> None:
    with (
        patience(0.02),
        pytest.raises(KcError, match=r"No job of 'sleep' ended within 0\.02 minutes"),
    ):
        run_jobs(time.sleep, [(3600.0,), (3600.0,)], "sleep")
    with patience(PATIENCE / 60):  # control: jobs that end are waited for
        assert run_jobs(square, [(2,), (3,)], "quick") == [4, 9]


#: A shell lets what it starts in the background ignore Ctrl-C, and whoever that starts in turn.
_LONG = """
import signal
import time
from kc_utils.runs.jobs import run_jobs
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("started", flush=True)
    run_jobs(time.sleep, [(3600.0,), (3600.0,)], "sleep")
"""


def test_ctrl_c_stops_the_jobs_under_way(tmp_path) -> None:
    (tmp_path / "long.py").write_text(_LONG)
    with subprocess.Popen(
        [sys.executable, "long.py"], cwd=tmp_path, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "started\n"
        while not process.stderr.read(1):  # the bar of the jobs: they have been handed out
            pass
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert said.count("KeyboardInterrupt") <= 1  # of the process itself, none of its workers
