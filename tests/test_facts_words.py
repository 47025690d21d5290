"""What the chapter on facts says of its circuits follows the table of transfers."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from kc_utils.book.facts_words import alone, of_what


def transfer(foreign: dict[str, float], own: float = 0.9) -> pd.DataFrame:
    """Circuits of capitals and continents on each other; intervals of differences are 0.1 wide."""
    rows = []
    for relation, source in product(foreign, foreign):
        value = own if source == relation else foreign[relation]
        rows.append((relation, source, value, own - value, own - value - 0.05, own - value + 0.05))
    names = ["relation", "source_relation", "faithfulness", "own_more", "own_more_low",
             "own_more_high"]  # fmt: skip
    words = {"ablation": "corrupted", "circuit": "own", "group": "known", "source_group": "known"}
    return pd.DataFrame(rows, columns=names).assign(**words)


@pytest.mark.parametrize(
    ("capital", "continent", "about"),
    [
        (0.1, 0.2, "Each circuit is about its own question."),
        (
            0.86,
            0.95,
            "show no clear preference for their own question: most of what they restore is "
            "common to both.",
        ),
        (0.2, 0.88, "Only the circuit of *capital* prefers its own question."),
        (
            0.8,
            0.88,
            "*capital* prefers its own question, and most of what is restored is common to both.",
        ),
        (
            0.8,
            0.3,
            "Each circuit prefers its own question, though part of what it restores is "
            "common to both.",
        ),
    ],
)
def test_circuits_are_about_what_they_answer(capital: float, continent: float, about: str) -> None:
    said = of_what(transfer({"capital": capital, "continent": continent}), "known")
    assert "** Asked about *capital*, the circuit found on *continent* restores **" in said
    assert (
        f"restores **{capital:.2f}** of the logit difference, and its own circuit **0.90**" in said
    )
    assert said.startswith("**") and f"{about}**" in said


def test_circuits_that_hardly_answer_alone_are_told_so() -> None:
    rows = [("capital", "zero", share, circuit, value)
            for share in (0.1, 0.2, 1.0)
            for circuit, value in (("own", 0.5 + share), ("random", 0.5))]  # fmt: skip
    names = ["relation", "ablation", "share", "circuit", "faithfulness"]
    sizes = pd.DataFrame(rows, columns=names).assign(group="known", split="evaluate")
    assert "0.15 more than random circuits" in alone(sizes, "known")
    assert "0.20 more at most, up to 20% of the edges" in alone(sizes, "known")
    assert "hardly answer" in alone(sizes, "known")
    assert "also answer by themselves" in alone(sizes, "known", little=0.1)
    assert alone(sizes.assign(ablation="corrupted"), "known") == ""


def test_one_relation_has_nothing_to_be_compared_with() -> None:
    assert of_what(transfer({"capital": 0.9}), "known") == ""
