"""Formulas as MathML: a function's name stands apart from what it is applied to."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXTENSION = Path(__file__).resolve().parent.parent / "book" / "_ext" / "mathml.py"
to_mathml = runpy.run_path(str(EXTENSION))["to_mathml"]
SPACE = '<mspace width="0.167em" />'


@pytest.mark.parametrize("latex", [r"\ln n", r"\log_2 p", r"\ln |E|", r"-\ln p_\theta(x)"])
def test_names_of_functions_stand_apart(latex: str) -> None:
    assert to_mathml(latex, "inline").count(SPACE) == 1


@pytest.mark.parametrize("latex", [r"\ln(n)", "n", r"\text{ln} n", "l n"])
def test_nothing_else_is_moved(latex: str) -> None:
    assert SPACE not in to_mathml(latex, "inline")
