"""What the chapter on facts says of its circuits follows the table of transfers."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from kc_utils.book.facts_words import of_what


def transfer(foreign: dict[str, float], own: float = 0.9) -> pd.DataFrame:
    """Circuits of capitals and continents on each other; intervals are 0.1 wide."""
    rows = []
    for relation, source in product(foreign, foreign):
        value = own if source == relation else foreign[relation]
        rows.append((relation, source, value, value - 0.05, value + 0.05))
    names = ["relation", "source_relation", "faithfulness", "faithfulness_low", "faithfulness_high"]
    words = {"ablation": "corrupted", "circuit": "own", "group": "known", "source_group": "known"}
    return pd.DataFrame(rows, columns=names).assign(**words)


@pytest.mark.parametrize(
    ("capital", "continent", "about"),
    [
        (0.1, 0.2, "each circuit is about its own relation."),
        (0.88, 0.95, "circuits of this size are about the subjects more than about one question."),
        (0.1, 0.88, "some circuits are about their own relation and some about the subjects."),
    ],
)
def test_circuits_are_about_what_they_answer(capital: float, continent: float, about: str) -> None:
    said = of_what(transfer({"capital": capital, "continent": continent}), "known")
    assert said.startswith("A circuit found for *continent* restores **")
    assert f"restores **{capital:.2f}** of the answers about *capital*, one found" in said
    assert "*capital*, one found for that **0.90**" in said
    assert said.endswith(f"So {about}")


def test_one_relation_has_nothing_to_be_compared_with() -> None:
    assert of_what(transfer({"capital": 0.9}), "known") == ""
