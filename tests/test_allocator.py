"""Memory of a training step is used again, where it can be had from glibc."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT, environment

from kc_utils import allocator
from kc_utils.sweep.plan import worker_environments

PAGES = 8 * 10 * 2**20 * 4 // 4096  # of all blocks of the script together, in pages of 4 KiB

glibc = pytest.mark.skipif(not allocator.keep_memory(), reason="needs glibc")


def page_faults(*arguments: str, **variables: str) -> int:
    script = str(ROOT / "tests" / "count_page_faults.py")
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment() | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@glibc
def test_a_process_that_keeps_memory_gets_no_new_pages():
    assert page_faults("first", "keep") < PAGES / 50
    assert page_faults("first") > PAGES / 2  # control: what glibc does by itself


@glibc
def test_the_worker_of_a_sweep_keeps_memory_in_its_thread():
    variables = worker_environments(1, [])[0]
    assert page_faults("other", **variables) < PAGES / 50
    assert page_faults("other") > PAGES / 2


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_memory()


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_memory()
