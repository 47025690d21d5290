"""The rehearsed workshop: what it would try, and what it would complain of.

The rehearsal itself takes minutes and is not run here: ``make rehearsal``.
"""

from __future__ import annotations

import pytest
from conftest import ROOT
from rehearsal.participant import unanswered
from rehearsal.teacher import commands

TEACHING = (ROOT / "book" / "teaching.md").read_text("utf-8")


def test_commands_of_the_page_are_found_with_those_that_are_refused() -> None:
    found = dict(commands(TEACHING))
    assert len(found) > 8 and sum(found.values()) == 1
    assert next(c for c, refused in found.items() if refused).endswith("--run-dir runs/wrong")
    page = "```bash\nkc a --b    # nothing written\n.venv/bin/kc c\ncp x y\n```\n\n`kc d`\n"
    assert list(commands(page)) == [("kc a --b", True), (".venv/bin/kc c", False)]


@pytest.mark.parametrize(
    ("answer", "test", "wrong"),
    [
        ([], ["Exercise 1.1 has no answer yet: write it."], False),
        (["SyntaxError"], ["Exercise 1.1 has no answer yet: write it."], True),
        ([], [], True),
        ([], ["Exercise 1.2 has no answer yet: write it."], True),
        ([], ["Traceback\n...\nNotImplementedError: exercise 1.1"], True),
        ([], ["Exercise 1.1 \nline\nline"], True),
    ],
)
def test_a_stub_that_says_something_else_is_a_fault(
    answer: list[str], test: list[str], wrong: bool
) -> None:
    assert bool(unanswered("1.1", answer, test)) == wrong
