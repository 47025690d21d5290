"""What a stranger may give the engine by mistake: one sentence each, and what is right works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mistakes import MISTAKES

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    done = subprocess.run([sys.executable, TESTS / "mistakes.py"], capture_output=True, text=True,
                          check=False, env=os.environ | {"PYTHONPATH": paths})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(told: dict[str, str], mistake: str) -> None:
    assert re.search(MISTAKES[mistake][1], told[mistake]), told[mistake]
    assert told[mistake].endswith(".") and ". " not in told[mistake]
