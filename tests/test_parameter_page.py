"""The page of all parameters: every key with type, range, default and cost; a box that filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from screens import DESK, PHONE
from watching import OVERFLOW, watch

from kc_utils.book import parameter_page
from kc_utils.config import Config, profiles
from kc_utils.config.sections import Section
from kc_utils.runs.folder import Run
from kc_utils.study import recompute
from kc_utils.study.stages import STAGES

PAGE = "book/all_parameters.html"


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Costs in a run of tiny whose every stage took a minute."""
    settings = profiles.load("tiny")
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", settings)
    for stage in STAGES.study:
        record = {"key": STAGES.key(settings, stage.name), "seconds": 60.0, "wrote": {}}
        run.record["stages"][stage.name] = record
    return parameter_page.costs(run)


def test_the_page_has_every_key_and_this_run_in_bold() -> None:
    text = parameter_page.parameters(profiles.load("smoke", ["training.epochs=3"]), {})
    for name, field in Config.model_fields.items():
        section = field.annotation
        nested = isinstance(section, type) and issubclass(section, Section)
        for key in [f"{name}.{k}" for k in section.model_fields] if nested else [name]:
            assert f"| `{key}` |" in text
    row = next(line for line in text.splitlines() if "`training.epochs`" in line)
    assert "**`3`**" in row and "whole number ≥ 1" in row
    row = next(line for line in text.splitlines() if "`training.block_size`" in line)
    assert "**" not in row


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["a", "b"]}, "a, b"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number > 0, ≤ 1"),
        ({"type": "integer", "minimum": 1, "maximum": 10**6}, "whole number ≥ 1, ≤ 1,000,000"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"enum": ["x"]}}, "list of x"),
        ({"type": "boolean"}, "true, false"),
    ],
)
def test_allowed_values_in_words(schema: dict[str, Any], words: str) -> None:
    assert parameter_page.allowed(schema) == words


def test_every_parameter_has_a_meaning_and_a_cost(costs: dict[str, str]) -> None:
    assert list(costs) == recompute.parameter_names() and all(costs.values())
    text = parameter_page.parameters(profiles.load("tiny"), costs)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    names = {row[0].strip("| `"): row[1] for row in rows}
    lacking = [n for n, words in names.items() if words == n.rpartition(".")[2].replace("_", " ")]
    assert lacking == []


def test_a_cost_is_what_is_computed_again(costs: dict[str, str]) -> None:
    assert costs["forgetting.steps"] == "from stage `forgetting` on"
    assert costs["circuit.batch_size"] == "nothing is computed again"
    assert costs["exposure.people"].endswith("in a sweep")


def test_parameters_of_notebooks_say_what_their_checks_allow() -> None:
    found = {(p.notebook, p.name): p for p in parameter_page.notebook_parameters(ROOT)}
    kind = found["03_circuit_discovery", "kind"]
    assert (kind.value, kind.range) == ("K_rel", "K_rel, K_compl")
    assert found["04_circuit_evaluation", "min_gap"].range == "number ≥ 0, ≤ 1"
    assert found["04_circuit_evaluation", "min_gap"].comment.startswith("smallest")
    assert found["02_training", "n_names"].range == "whole number ≥ 1"
    assert found["05_performance", "ablation"].range == "corrupted, zero"
    _, rows = parameter_page.notebook_rows(ROOT)
    assert {row[0] for row in rows} == {f"`{name}`" for _, name in found}
    assert sum(row[4].count("](../notebooks/") for row in rows) == len(found)


@pytest.mark.browser
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_box_filters_and_the_folds_keep_the_page_short(
    browser, built_book: Path, width: int
) -> None:
    page, errors = browser.new_page(viewport={"width": width, "height": 900}), []
    watch(page, errors, lambda url: url.startswith(built_book.as_uri()))
    page.goto((built_book / PAGE).as_uri())
    rows = page.locator(".kc-parameters tbody tr:visible")
    height = "document.documentElement.scrollHeight"
    assert rows.count() == 0 and page.evaluate(height) < 4000
    page.focus("#kc-find")
    page.keyboard.type("training BATCH")
    shown = rows.all_inner_texts()
    assert any("training.batch_size" in text for text in shown)
    assert all("training" in text and "batch" in text for text in map(str.lower, shown))
    total = page.locator(".kc-parameters tbody tr").count()
    assert page.inner_text(".kc-find output") == f"{len(shown)} of {total}"
    assert page.evaluate(OVERFLOW) <= 0
    page.keyboard.press("Escape")
    assert rows.count() == 0 and page.inner_text(".kc-find output") == f"{total} in all"
    page.keyboard.type("no such parameter")
    assert rows.count() == 0 and page.locator(".kc-parameters details:visible").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # the folds follow, and open without a mouse
    page.keyboard.press("Enter")
    assert rows.count() > 0
    page.close()
    assert errors == []
