"""The front page: its words follow the verdicts, its contents follow ``_toc.yml``."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kc_utils.book import contents, front_page
from kc_utils.plots.controls import signature
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.over_seeds import over_seeds
from kc_utils.study.ledger import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
HEADLINES = (*front_page.CLAIMS, *front_page.CONTROLS)
KNOWN = {claim.id: claim for claim in CLAIMS}


def _ledger(in_margins: float, seeds: int = 4, profile: str = "tiny") -> pd.DataFrame:
    """A ledger in which every headline's effect is so many margins in the claimed direction."""
    rows = []
    for headline in HEADLINES:
        claim = KNOWN[headline.id]
        sign = -1 if claim.direction == "below" else 1
        for seed in range(seeds):
            value = sign * claim.margin * (in_margins + 0.01 * (seed % 2))
            rows.append(
                {name: getattr(claim, name) for name in
                 ("id", "topic", "claim", "paper", "quantity", "control", "test", "direction",
                  "margin", "notebook")}
                | {"profile": profile, "seed": seed, "value": value, "at_most": value,
                   "control_value": 0.0, "verdict": "undecided", "note": ""}
            )  # fmt: skip
    return over_seeds(pd.DataFrame(rows))


def test_every_headline_is_a_claim_of_the_ledger() -> None:
    assert {headline.id for headline in HEADLINES} <= set(KNOWN)
    assert not {h.id for h in HEADLINES if KNOWN[h.id].direction == "equal"}


@pytest.mark.parametrize(("effect", "verdict"), [(3, "holds"), (-3, "does not hold")])
def test_words_follow_the_verdict(effect: float, verdict: str) -> None:
    text = front_page.cards(_ledger(effect), HEADLINES)
    other = {"holds": "does not hold", "does not hold": "holds"}[verdict]
    assert text.count(f"[{verdict}]") == len(HEADLINES) and f"[{other}]" not in text
    for headline in HEADLINES:
        said, unsaid = headline.holds, headline.fails
        if verdict == "does not hold":
            said, unsaid = unsaid, said
        assert said in text and unsaid not in text


def test_two_seeds_decide_nothing_and_say_so() -> None:
    text = front_page.findings(_ledger(3, seeds=2))
    assert "2 seeds so far; fewer than three decide nothing" in text
    assert text.count("[undecided]") == len(front_page.CLAIMS) and "no interval" in text
    assert not any(headline.holds in text for headline in front_page.CLAIMS)


def test_profiles_that_disagree_stand_in_one_card() -> None:
    both = pd.concat([_ledger(3), _ledger(-3, profile="tiny-llama")])
    card = front_page.cards(both, HEADLINES[:1])
    assert "`tiny`: [holds]" in card and "`tiny-llama`: [does not hold]" in card
    found = front_page.findings(both)
    assert "Over 4 seeds of profile `tiny-llama`, **0** of" in found
    assert f"**{len(HEADLINES)}** are decided in opposite ways" in found
    few = pd.concat([_ledger(3), _ledger(-3, seeds=2, profile="tiny-llama")])
    assert "opposite ways" not in front_page.findings(few)


def test_a_claim_that_was_not_measured_says_why() -> None:
    row = _ledger(3).iloc[0].to_dict() | {"difference": math.nan, "note": "No such heads."}
    assert front_page.numbers(row) == "Not measured. No such heads."


def test_the_stored_sweep_gives_all_parts_and_the_same_bytes() -> None:
    folder = ROOT / "book" / "reference" / "sweep"
    sweep, pages = SweepTables.open(folder), front_page.pages(folder)
    assert set(pages) == {"findings.md", "controls.md", "signature.md", "signature.svg"}
    assert pages == front_page.pages(folder)
    for profile in set(sweep.runs["profile"]):
        assert f"`{profile}`" in pages["findings.md"] and f"`{profile}`" in pages["signature.md"]


def _curves(n_seeds: int) -> pd.DataFrame:
    rows = [
        (profile, quantity, series, epoch, 0.1 * epoch)
        for profile in ("tiny", "tiny-llama")
        for quantity, names in (("accuracy", ("K_rel", "K_compl")), ("entropy", ("own",)))
        for series in names
        for epoch in range(5)
    ]
    frame = pd.DataFrame(rows, columns=["profile", "quantity", "series", "epoch", "value"])
    half = 0.05 if n_seeds > 2 else np.nan
    return frame.assign(low=frame["value"] - half, high=frame["value"] + half, n_seeds=n_seeds)


def test_the_figure_has_bands_only_where_there_are_seeds_enough() -> None:
    none = pd.DataFrame(columns=["profile", "quantity", "value", "low", "high"])
    bend = pd.DataFrame([("tiny", "entropy", 2.0, 1.5, 2.5)], columns=none.columns)
    few, many = signature(_curves(2), none), signature(_curves(4), bend)
    labels = [{t.get_text() for t in f.legends[0].get_texts()} for f in (few, many)]
    assert "95 % interval over seeds" not in labels[0] and "95 % interval over seeds" in labels[1]
    assert "fitted bend (shaded: all seeds)" in labels[1] - labels[0]
    assert [a.get_title() for a in many.axes[:2]] == ["tiny, 4 seeds", "tiny-llama, 4 seeds"]
    assert svg_bytes(many) == svg_bytes(signature(_curves(4), bend))


TOC = """\
root: book/index
parts:
  - caption: First
    chapters: [{file: book/method}]
  - caption: Second
    numbered: 1
    chapters: [{file: notebooks/03_circuit_discovery}, {file: notebooks/04_circuit_evaluation}]
  - caption: Third
    numbered: 1
    chapters: [{file: notebooks/12_evidence}]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project with four pages of known length."""
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "method.md").write_text("# Method\n\n" + "word " * 360)
    for name, words in (("03_circuit_discovery", 180), ("04_circuit_evaluation", 1800),
                        ("12_evidence", 1)):  # fmt: skip
        cells = [{"cell_type": "markdown", "metadata": {}, "source": f"# {name}\n" + "w " * words}]
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_chapters_follow_the_contents_and_count_on_through_the_parts(small: Path) -> None:
    found = contents.chapters(small)
    assert [(c.number, c.title, c.part) for c in found] == [
        (None, "Method", "First"), (1, "03_circuit_discovery", "Second"),
        (2, "04_circuit_evaluation", "Second"), (3, "12_evidence", "Third"),
    ]  # fmt: skip
    assert [c.minutes for c in found] == [2, 1, 10, 1]


def test_the_table_names_only_pages_that_exist(small: Path) -> None:
    table = contents.chapter_table(contents.chapters(small))
    rows = [line for line in table.splitlines() if "[2. 04" in line]
    assert rows == [
        "| [2. 04_circuit_evaluation](/notebooks/04_circuit_evaluation) | 10 | "
        "[chapter 1](/notebooks/03_circuit_discovery) |"
    ]
    assert "study" not in table and table.count("| minutes |") == 3


def test_routes_skip_pages_that_do_not_exist_and_add_minutes(small: Path) -> None:
    text = contents.routes(contents.chapters(small))
    said = dict(re.findall(r"^(.+)\n: .*reading: (.+)$", text, flags=re.MULTILINE))
    assert said["An hour"] == "4 minutes" and said["A day"] == "14 minutes"
    assert "study" not in text.replace("weak", "") and "teaching" not in text


def test_figures_formulas_and_code_cost_time() -> None:
    prose = ("markdown", "word " * 180)
    assert contents.minutes([prose]) == 1
    formula = ("markdown", "```{math}\n" + "a b c " * 500 + "\n```")
    assert contents.minutes([prose, *[formula] * 4]) == 4
    assert contents.minutes([prose, ("code", "x\n" * 30), ("figure", "plot()"),
                                  ("figure", "plot()")]) == 3  # fmt: skip
    assert contents.minutes([prose] * 12) == 10


def test_prerequisites_of_the_book_come_before_what_needs_them() -> None:
    order = [chapter.file for chapter in contents.chapters(ROOT)]
    for file, needs in contents.NEEDS.items():
        late = [n for n in needs if file in order and n in order
                and order.index(n) >= order.index(file)]  # fmt: skip
        assert late == [], file
