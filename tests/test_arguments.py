"""What a stranger may give the engine by mistake: one sentence each, and what is right works."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT, python
from mistakes import MISTAKES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    done = python(ROOT / "tests" / "mistakes.py")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(told: dict[str, str], mistake: str) -> None:
    assert re.search(MISTAKES[mistake][1], told[mistake]), told[mistake]
    assert told[mistake].endswith(".") and ". " not in told[mistake]
