"""What the README says was found is what the stored sweep says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.book.front_answers import ANSWERS
from kc_utils.book.readme import BEGIN, END, main, with_findings
from kc_utils.errors import KcError

SWEEP = ROOT / STORED_SWEEP


@pytest.mark.slow
def test_the_readme_has_the_findings_of_the_stored_sweep(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_findings(text, SWEEP) == text, "run python -m kc_utils.book.readme"
    said = text.partition(BEGIN)[2].partition(END)[0]
    assert said.count("\n- **") == len(ANSWERS) and "](../" not in said
    old = tmp_path / "README.md"
    old.write_text(f"above\n{BEGIN}\nold numbers\n{END}\nbelow\n", encoding="utf-8")
    main(old)
    assert old.read_text(encoding="utf-8") == f"above\n{BEGIN}{said}{END}\nbelow\n"


@pytest.mark.parametrize("text", ["", BEGIN, END])
def test_a_readme_without_the_marks_is_refused(text: str) -> None:
    with pytest.raises(KcError, match="no place for what was found"):
        with_findings(text, SWEEP)
