"""Nothing calls home: the whole package is imported and a small study run, and nobody is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
# Audit hooks see every thread, also where the library that tried hides its failure.
WATCHED = """
import ipaddress, json, os, sys

def loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost")

def is_address(host):
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False

def outside(event, arguments):
    if event in ("socket.connect", "socket.sendto"):  # a text is a path, for AF_UNIX
        address = arguments[1]
        return None if isinstance(address, str | bytes) or loopback(address[0]) else address[0]
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):  # of a name; an address is none
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        return None if host is None or loopback(host) or is_address(host) else host
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        return arguments[0] if "wandb" in str(arguments[:2]) else None

def watch(event, arguments):
    where = outside(event, arguments)
    if where is not None:
        os.write(1, (json.dumps([event, str(where)]) + "\\n").encode())
        raise OSError(f"{event} {where}")

sys.addaudithook(watch)
"""
EVERYTHING = """
import importlib, pkgutil
import kc_utils
for module in pkgutil.walk_packages(kc_utils.__path__, "kc_utils."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from pathlib import Path
from kc_utils.config import profiles
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES
run = Run.create(Path(sys.argv[1]), profiles.load("smoke", json.loads(sys.argv[2])))
for name in ("world", "prompts"):
    STAGES.ensure(run, name)
assert "wandb" not in sys.modules, "wandb was imported"
print("done")
"""
ONE = """
import socket
try:
    {}
except OSError:
    pass
print("done")
"""


def attempts(program: str, *arguments: str) -> list[list[str]]:
    """What a program that ran to its end tried to reach: [event, where]."""
    plain = {name: v for name, v in os.environ.items() if not name.startswith(("WANDB_", "HF_"))}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + program, *arguments],
        env=plain | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, last = done.stdout.splitlines()
    assert last == "done"
    return [json.loads(line) for line in lines if line.startswith('["')]


@pytest.mark.slow
def test_importing_everything_and_running_a_stage_reaches_nobody(tmp_path: Path) -> None:
    assert attempts(EVERYTHING, str(tmp_path / "run"), json.dumps(SETTINGS)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("socket.create_connection(('192.0.2.1', 80), 1)", ["socket.connect", "192.0.2.1"]),
        ("socket.getaddrinfo('api.wandb.ai', 443)", ["socket.getaddrinfo", "api.wandb.ai"]),
        ("__import__('subprocess').run(['wandb-core'])", ["subprocess.Popen", "wandb-core"]),
    ],
)
def test_an_attempt_is_seen_even_where_it_is_caught(line: str, found: list[str]) -> None:
    assert found in attempts(ONE.format(line))


@pytest.mark.parametrize(
    "line",
    [
        "socket.create_connection(('127.0.0.1', 9), 1)",
        "socket.socket(socket.AF_UNIX).connect('/nowhere')",
    ],
)
def test_the_machine_itself_may_be_asked(line: str) -> None:
    assert attempts(ONE.format(line)) == []
