"""Workers of a sweep on this machine that die while they start, or stop while they compute."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Nanny, get_client, get_worker
from distributed.core import Status

from kc_utils.errors import KcError
from kc_utils.sweep import cluster
from kc_utils.sweep.worker_setup import dask_setup

pytestmark = pytest.mark.slow

_DIES = """
import os, signal
from pathlib import Path

starts = Path({starts!r})
(starts / str(os.getpid())).touch()
if len(list(starts.iterdir())) <= {times}:
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """Let the first processes of a worker be killed while they start; returns the folder with
    a file for each process."""

    def let(times: int) -> Path:
        starts, preload = tmp_path / "starts", tmp_path / "dies.py"
        starts.mkdir()
        preload.write_text(_DIES.format(starts=str(starts), times=times))
        monkeypatch.setitem(cluster._SETTINGS, "distributed.worker.preload", [str(preload)])
        return starts

    return let


def test_a_worker_that_dies_while_it_starts_is_started_again(dying) -> None:
    starts = dying(cluster.STARTS - 1)
    with cluster.connect(None, 1) as client:
        assert client.submit(pow, 3, 2).result() == 9
    assert len(list(starts.iterdir())) == cluster.STARTS


def test_the_environment_is_left_as_it_was(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    before = dict(os.environ)
    with cluster.connect(None, 1) as client:
        there = client.submit(os.getenv, "OMP_NUM_THREADS").result()
    assert there == "1" and dict(os.environ) == before


def test_a_worker_that_never_starts_is_one_sentence(dying) -> None:
    starts = dying(100)
    with pytest.raises(KcError, match=r"ended 3 times .* try fewer --workers\.$"):
        with cluster.connect(None, 1):
            pass
    assert len(list(starts.iterdir())) == cluster.STARTS


def test_another_reason_is_told(tmp_path, monkeypatch) -> None:
    preload = tmp_path / "wrong.py"
    preload.write_text("raise ValueError('no such thing')")
    monkeypatch.setitem(cluster._SETTINGS, "distributed.worker.preload", [str(preload)])
    with pytest.raises(KcError, match="do not start: no such thing"):
        with cluster.connect(None, 1):
            pass


def test_dask_alone_does_not_start_it_again(dying, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "Persistent", Nanny)
    starts = dying(1)
    with pytest.raises(KcError):
        with cluster.connect(None, 1):
            pass
    assert len(list(starts.iterdir())) == 1


def test_a_client_that_is_made_while_its_worker_stops_says_nothing(tmp_path, capfd) -> None:
    begun, asked = tmp_path / "begun", tmp_path / "asked"

    def late() -> None:  # is sent as bytes: no module of the tests is imported there
        begun.touch()
        while get_worker().status == Status.running:
            time.sleep(0.01)
        time.sleep(0.5)
        asked.touch()
        get_client()

    with cluster.connect(None, 1) as client:
        task = client.submit(late)
        while not begun.exists():
            assert not task.done()
            time.sleep(0.01)
    assert asked.exists()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("where", [(threading, "excepthook"), (sys, "unraisablehook")])
def test_only_a_closed_loop_is_passed_over(where, monkeypatch) -> None:
    said = []
    for module, name in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, said.append)
    dask_setup(None)
    hook = getattr(*where)
    hook(SimpleNamespace(exc_value=RuntimeError("IOLoop is closed")))
    assert said == []
    others = [RuntimeError("Another."), ValueError("IOLoop is closed")]
    for error in others:
        hook(SimpleNamespace(exc_value=error))
    assert [raised.exc_value for raised in said] == others
