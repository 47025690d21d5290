"""Memory of a training step is used again, where it can be had from glibc."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from conftest import ROOT, environment

from kc_utils.kernels import kept_memory
from kc_utils.sweep import cluster

pytestmark = pytest.mark.slow

BLOCK = 10 * 2**20 * 4 // resource.getpagesize()  # of the script, in pages
PAGES = 8 * BLOCK  # of all blocks that are counted

glibc = pytest.mark.skipif(kept_memory._glibc() is None, reason="needs glibc")


def pages(*arguments: str, **variables: str) -> list[int]:
    """Handed out while blocks were made, held then, and held in the end."""
    script = str(ROOT / "tests" / "count_page_faults.py")
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment() | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(number) for number in done.stdout.split()]


@glibc
def test_memory_is_kept_inside_and_given_back_at_the_end():
    handed_out, then, end = pages("first", "keep")
    assert handed_out < PAGES / 50
    assert then - end > 0.9 * BLOCK
    handed_out, then, end = pages("first")  # control: what glibc does by itself
    assert handed_out > PAGES / 2
    assert then - end < 0.1 * BLOCK


@glibc
def test_the_worker_of_a_sweep_keeps_memory_in_its_thread():
    variables = cluster._SETTINGS["distributed.nanny.pre-spawn-environ"]
    assert pages("other", **variables)[0] < PAGES / 50
    assert pages("other")[0] > PAGES / 2


@pytest.mark.parametrize("missing", ["system", "allocator"])
def test_another_system_or_allocator_is_left_alone(monkeypatch, missing):
    if missing == "system":
        monkeypatch.setattr(kept_memory.sys, "platform", "darwin")
    else:
        monkeypatch.setattr(kept_memory.ctypes, "CDLL", lambda _: object())
    with kept_memory.kept_memory() as kept:
        assert not kept
