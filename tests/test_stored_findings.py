"""Chapters without a claim of the ledger open with what the tables stored with the book say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kc_utils.book.stored_findings import arrival, stored_findings
from kc_utils.config import KINDS

ROOT = Path(__file__).resolve().parent.parent


def tables(seeds: int, profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy in texts that are read, and lower in new texts, of people of both types."""
    rows = [
        (profile, seed, epoch, kind, "all", value + 0.02 * (kind == KINDS[0]))
        for seed in range(seeds)
        for epoch, value in ((0, 0.0), (1, 0.1), (5, 0.5), (10, 0.8))
        for kind in KINDS
    ]
    read = pd.DataFrame(rows, columns=["profile", "seed", "epoch", "kind", "band", "value"])
    new = [
        read.assign(wording=wording, value=read["value"] - less)
        for wording, less in (("trained", 0.1), ("held_out", 0.3))
    ]
    return read.assign(wording="read"), pd.concat(new)


def test_accuracy_is_told_before_early_and_at_the_end() -> None:
    first, published = arrival(*tables(3, "tiny"))
    assert first.startswith("3 models built like GPT-2: on texts that training reads")
    assert "**0.01** before training, 0.11 after a fifth of the 10 epochs and **0.81**" in first
    assert "**0.71** on new texts about the same facts and 0.51 in held-out wordings" in first
    assert published.startswith("*The paper:*")


def test_a_flat_start_is_named_where_others_have_none() -> None:
    both = [pd.concat(part) for part in zip(tables(3, "tiny"), tables(3, "smollm2"), strict=True)]
    late = both[0]["profile"].eq("smollm2") & both[0]["epoch"].lt(5)
    both[0].loc[late, "value"] = 0.0
    assert arrival(*both)[-2].endswith("is seen in SmolLM2-135M only.")
    assert "only" not in arrival(*tables(3, "tiny"))[-2]


@pytest.mark.parametrize(("seeds", "profile"), [(2, "tiny"), (3, "tiny-shuffled")])
def test_too_few_seeds_and_shuffled_runs_are_not_told(seeds: int, profile: str) -> None:
    assert arrival(*tables(seeds, profile)) == []


def test_the_stored_tables_speak_for_three_chapters(tmp_path: Path) -> None:
    found = stored_findings(ROOT)
    assert list(found) == ["02_training", "10_capitals", "11_methods"]
    assert all(text.endswith(".") for said in found.values() for text in said)
    assert "EAP" in found["11_methods"][1] and "%" in found["11_methods"][1]
    assert stored_findings(tmp_path) == {}
