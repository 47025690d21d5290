"""Texts with bound numbers: they follow the ledger, or they do not build."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from made_claims import claim

from kc_utils import ROOT
from kc_utils.book import findings
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.claims.ledger import WORDS

STATED = 'claims:\n  sooner: {tiny: "beyond the margin, as claimed"}'
BODY = "Facts came {{ sooner.tiny.effect | number(0) }} % sooner ({{ sooner.tiny | interval(1) }})."


@pytest.fixture
def ledger() -> pd.DataFrame:
    rows = []
    for name, effect, verdict in (("sooner", 8.8, "beyond the margin"),
                                  ("elastic", float("nan"), "not measured")):  # fmt: skip
        words = claim(name).model_dump(include=set(WORDS))
        side = "as claimed" if verdict == "beyond the margin" else "none"
        ends = {"effect": effect, "low": effect - 2, "high": effect + 2}
        judged = {"profile": "tiny", "n_seeds": 8, "verdict": verdict, "direction": side}
        rows.append(words | ends | judged)
    return pd.DataFrame(rows)


def text(folder: Path, body: str, stated: str = STATED) -> Path:
    path = folder / "06_topology.md"
    path.write_text(f"---\n{stated}\n---\n{body}\n")
    return path


def test_numbers_are_those_of_the_ledger(ledger, tmp_path) -> None:
    path = text(tmp_path, BODY)
    assert findings.render(path, ledger) == "Facts came 9 % sooner (6.8 to 10.8)."
    ledger.loc[0, ["effect", "low", "high"]] = [12.0, 11.0, 13.0]
    assert findings.render(path, ledger) == "Facts came 12 % sooner (11.0 to 13.0)."


@pytest.mark.parametrize(
    ("verdict", "direction", "found"),
    [("open", "none", "'open'"), ("beyond the margin", "opposite", "'beyond the margin, opposite'"),
     ("real and negligible", "as claimed", "'real and negligible, as claimed'")],
)  # fmt: skip
def test_another_verdict_does_not_build(verdict, direction, found, ledger, tmp_path) -> None:
    path = text(tmp_path, BODY)
    ledger.loc[0, ["verdict", "direction"]] = [verdict, direction]
    with pytest.raises(KcError) as error:
        findings.render(path, ledger)
    for part in ("06_topology.md", "'sooner'", "tiny", "'beyond the margin, as claimed'", found):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("One.\n{{ soner.tiny.effect | number }}", ["line 6", "'soner'", "'sooner'"]),
        ("{{ sooner.tiny.effects | number }}", ["line 5", "'effects'", "'effect'"]),
        ("{{ elastic.tiny.effect | number }}", ["line 5", "elastic.tiny"]),
        ("{{ sooner.smollm2.effect | number }}", ["line 5", "sooner.smollm2"]),
    ],
)
def test_what_nobody_measured_cannot_be_written(body, parts, ledger, tmp_path) -> None:
    with pytest.raises(KcError) as error:
        findings.render(text(tmp_path, body), ledger)
    assert all(part in str(error.value) for part in ["06_topology.md", *parts])


def test_a_number_that_is_missing_stands_in_no_sentence(ledger, tmp_path) -> None:
    path = text(tmp_path, "It is {{ elastic.tiny.effect | number }}.",
                'claims:\n  elastic: {tiny: "not measured"}')  # fmt: skip
    with pytest.raises(KcError, match="not measured"):
        findings.render(path, ledger)
    assert findings.render(text(tmp_path, "Fine."), ledger) == "Fine.", "control"


def test_every_text_of_the_book_builds_and_states_what_it_names() -> None:
    table = findings.stored_ledger(ROOT)
    texts = sorted((ROOT / findings.FOLDER).glob("*.md"))
    assert len(texts) >= 9
    for path in texts:
        assert "{{" not in findings.render(path, table)
        damaged = table.assign(verdict=table["verdict"].map(lambda v: "open"), direction="none")
        with pytest.raises(KcError):
            findings.render(path, damaged)


@pytest.mark.slow
def test_the_book_of_another_run_says_what_that_run_shows(smoke_run: Path) -> None:
    source = "# Title\n\nOpening.\n\nThe rest."
    plain = findings.boxed("06_topology", source, ROOT)
    assert plain.index("Opening.") < plain.index("{admonition}") < plain.index("The rest.")
    run = Run.open(smoke_run)
    other = run.config.model_copy(
        update={"training": run.config.training.model_copy(update={"epochs": 5})}
    )
    same = findings.boxed("06_topology", source, ROOT, run)
    assert same == plain, "a run of a profile as it is has no note"
    run.config = other
    noted = findings.boxed("06_topology", source, ROOT, run)
    assert ":::{note}" in noted and "| this run |" in noted
    assert ":::{note}" in findings.pages(ROOT, run)["findings.md"]
