"""The stored table of errors by family and method: complete, small, shown, and able to be large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import parity
from benchmarks.served_families import FAMILIES
from conftest import ROOT
from torch import Tensor

from kc_utils import artifacts
from kc_utils.book import build, parity_table
from kc_utils.circuits.settings import METHODS
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

MOST = 1e-5


def too_large(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Families and methods that are missing, or off by more than ``MOST``."""
    return {
        (name, method)
        for name in FAMILIES
        for method in parity.METHODS
        if not float(report["families"].get(name, {"errors": {}})["errors"].get(method, "nan"))
        <= MOST
    }


def test_the_stored_table_has_every_family_and_no_large_error() -> None:
    report = artifacts.read_json(parity.STORED)
    assert set(report["families"]) == set(FAMILIES)
    assert too_large(report) == set()
    assert json.dumps(report, sort_keys=True) == json.dumps(report), "keys are sorted"
    assert {s.method for s in parity.METHODS.values()} == set(METHODS) - {"relp"}
    report["families"]["gemma2"]["errors"]["eap"] = "2e-05"
    del report["families"]["phi"]["errors"]["exact"]
    assert too_large(report) == {("gemma2", "eap"), ("phi", "exact")}, "control"


def test_the_page_of_families_shows_every_row(tmp_path: Path) -> None:
    page = parity_table.pages(ROOT / "book" / "reference")["parity.md"]
    assert page.count("\n| ") == 2 + len(FAMILIES)
    for found in artifacts.read_json(parity.STORED)["families"].values():
        cells = [found["errors"][method] for method in parity_table.METHODS]
        assert f"| {found['family']} | {' | '.join(map(parity_table.unbroken, cells))} |" in page
    assert set(parity_table.METHODS) == set(parity.METHODS)
    written = (ROOT / "book" / "families.md").read_text("utf-8")
    assert "{include} generated/parity.md" in written and "-m benchmarks.parity" in written
    assert "No comparison" in parity_table.pages(tmp_path)["parity.md"]
    artifacts.write_json(tmp_path / parity_table.REPORT, {"families": {"phi": {"family": "Phi"}}})
    with pytest.raises(KcError, match=r"parity\.json is damaged: it lacks 'errors'"):
        parity_table.pages(tmp_path)


def test_the_book_makes_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [m for m in vars(build).values() if hasattr(m, "pages") and m is not parity_table]
    assert len(others) > 5
    for module in others:
        monkeypatch.setattr(module, "pages", lambda *_: {})
    run = object.__new__(Run)  # of which no other part is asked
    assert build.generated_parts(run, ROOT) == parity_table.pages(ROOT / "book" / "reference")


@pytest.mark.slow
def test_another_scoring_would_be_off_by_far_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(parity.METHODS, "exact")
    assert max(parity.errors_of("gpt2").values()) < MOST
    ours = parity.attribute

    def off(*arguments: Any) -> Tensor:
        scores = ours(*arguments).clone()
        scores[1] *= 1.01  # one head
        return scores

    monkeypatch.setattr(parity, "attribute", off)
    assert min(parity.errors_of("gpt2").values()) > 10 * MOST
