"""Accuracy, entropy and circuit on one slider in a browser: all parts show the same epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawings import circuit_table, curves_table, figure
from playwright.sync_api import Browser, Page
from watching import watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CURVES, EDGES, STRONGEST, LAST = curves_table(), circuit_table(60), 20, 20
#: What the parts show: cursors and rings, points of the curves, the sentence, the drawn edges.
SHOWN = """() => {
  const place = e => e.closest('[data-move]').transform.baseVal[0].matrix;
  const all = css => [...document.querySelectorAll(css)];
  return {
    cursors: all('.panel .cursor').map(e => place(e).e),
    rings: all('.panel .ring').map(e => [place(e).e, place(e).f]),
    lines: all('.panel .line').map(e => e.getAttribute('d')),
    told: document.querySelector('.told').textContent,
    edges: all('.circuit .e:not(.off, .gone)').map(e => [e.dataset.s, e.dataset.t]),
    button: document.querySelector('.time button').textContent,
  };
}"""


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The figure alone; at the end nothing may have gone wrong or asked for the network."""
    path, wrong = tmp_path / "training.html", []
    figure("training").save(path)
    page = browser.new_page(viewport={"width": 390, "height": 900})
    watch(page, wrong, lambda url: url == path.as_uri())
    page.goto(path.as_uri())
    yield page
    page.close()
    assert wrong == []


def disagreeing(page: Page, epoch: int) -> set[str]:
    """The parts that do not show ``epoch``."""
    seen: dict[str, Any] = page.evaluate(SHOWN)
    row = CURVES[CURVES["epoch"] == epoch].iloc[0]
    part = EDGES[EDGES["epoch"] == epoch]
    top = part.loc[part["score"].abs().nlargest(STRONGEST).index]
    told = (
        f"Epoch {epoch}: first-token accuracy {row['accuracy']:.2f}, circuit entropy "
        f"{row['entropy']:.2f} nats, {len(part)} edges."
    )
    points = [re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line) for line in seen["lines"]]
    rings = [[float(v) for v in line[epoch]] for line in points]
    wanted = {
        "rings": seen["rings"] == [pytest.approx(ring, abs=0.01) for ring in rings],
        "cursors": seen["cursors"] == pytest.approx([x for x, _ in rings], abs=0.01),
        "told": seen["told"] == told,
        "circuit": sorted(map(tuple, seen["edges"])) == sorted(
            zip(top["source"], top["target"], strict=True)
        ),
    }  # fmt: skip
    return {name for name, same in wanted.items() if not same}


@pytest.mark.parametrize("epoch", [0, 7, LAST])
def test_cursor_sentence_and_drawing_agree_with_the_tables(page: Page, epoch: int) -> None:
    page.locator(".time [type=range]").fill(str(epoch))
    assert disagreeing(page, epoch) == set()
    heights = {ring[1] for ring in page.evaluate(SHOWN)["rings"]}
    assert len(heights) == 2  # of two curves, not of one twice


def test_the_drawing_of_another_epoch_would_be_seen(page: Page) -> None:
    page.locator(".time [type=range]").fill("7")
    tell = "e => e.dispatchEvent(new CustomEvent('kc-frame', {detail: 3}))"
    page.locator(".kc-slides").evaluate(tell)
    assert disagreeing(page, 7) == {"circuit"}
    assert disagreeing(page, 3) == {"cursors", "rings", "told"}


def test_play_goes_through_all_parts_and_stops_at_the_end(page: Page) -> None:
    page.clock.install()
    page.locator(".time button").click()
    assert disagreeing(page, 0) == set()
    page.clock.run_for(2_200)
    assert disagreeing(page, 3) == set() and page.evaluate(SHOWN)["button"] == "Pause"
    page.clock.run_for(30_000)
    assert disagreeing(page, LAST) == set() and page.evaluate(SHOWN)["button"] == "Play"
