"""Parts of a circuit switched off: the table is what the engine computes, the page shows it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import golden_batch, golden_bridge
from watching import watch

from kc_utils.analysis.switching import Switched, largest_parts, switch_off
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.circuit import full_circuit, top_n
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.errors import KcError
from kc_utils.plots.interactive.switches import switches

QUESTION = "<b>Ada Cole</b> lives in the city of"


@pytest.fixture(scope="module")
def bridge():
    return golden_bridge("gpt2_tiny")


@pytest.fixture(scope="module")
def pair(bridge):
    return golden_batch("gpt2_tiny").slice(0, 1)


@pytest.fixture(scope="module")
def whole(bridge, pair) -> Switched:
    """The circuit of all edges with its parts of most edges switched off."""
    circuit = full_circuit(graph_of(bridge))
    scores = np.random.default_rng(0).normal(size=circuit.edges.shape)
    return switch_off(bridge, pair, circuit, largest_parts(circuit, scores, 3))


def test_every_state_is_the_circuit_without_the_parts_that_are_off(bridge, pair, whole) -> None:
    circuit = full_circuit(graph_of(bridge))
    assert whole.probabilities.shape == (8, len(whole.tokens))
    np.testing.assert_allclose(whole.probabilities[0], whole.clean, rtol=1e-4, atol=1e-6)
    for state in (1, 4, 6):
        edges = circuit.edges.copy()
        for i, name in enumerate(whole.parts):
            if state >> i & 1:
                edges[circuit.graph.rows.index(name)] = False
        expected = run_circuit(bridge, pair, edges)[0, -1].softmax(-1)[torch.tensor(whole.tokens)]
        np.testing.assert_allclose(whole.probabilities[state], expected, rtol=1e-4, atol=1e-6)
        assert not np.allclose(whole.probabilities[state], whole.clean, rtol=1e-4)


def test_the_right_answer_comes_first_and_parts_are_of_the_circuit(bridge, pair, whole) -> None:
    assert whole.tokens[:2].tolist() == [int(pair.right_ids[0]), int(pair.wrong_ids[0])]
    graph = graph_of(bridge)
    scores = np.random.default_rng(1).normal(size=graph.real_edges.shape) * graph.real_edges
    scores[graph.rows.index("m0")] *= 20.0
    small = top_n(scores, graph, graph.n_edges // 2)
    assert "m0" in largest_parts(small, scores, 1)
    assert "input" not in largest_parts(small, scores, 50)
    with pytest.raises(KcError, match="'m9' is not a writer of the circuit"):
        switch_off(bridge, pair, small, ["m9"])
    with pytest.raises(KcError, match="11 parts were given; allowed are 1 to 10"):
        switch_off(bridge, pair, small, ["m0"] * 11)
    with pytest.raises(KcError, match="not on 2"):
        switch_off(bridge, golden_batch("gpt2_tiny").slice(0, 2), small, ["m0"])


def drawn(whole: Switched):
    answers = [f"<answer {i}>" for i in range(len(whole.tokens))]
    return switches(whole.parts, answers, whole.probabilities, whole.clean, whole.corrupted,
                    QUESTION, {whole.parts[0]: "mover"})  # fmt: skip


def test_the_figure_is_whole_without_its_script_and_escapes_what_it_shows(whole) -> None:
    html = drawn(whole).html
    assert "&lt;b&gt;Ada Cole" in html and "<b>Ada" not in html and "<answer" not in html
    first = re.search(r"<output>([\d.]+) %", html)
    assert float(first[1]) == pytest.approx(100 * whole.probabilities[0, 0], abs=0.051)
    with pytest.raises(KcError, match="3 parts have 8 combinations; there are 7 rows"):
        switches(whole.parts, ["a"], whole.probabilities[:7, :1], *2 * [np.ones(1)], "?")


@pytest.mark.browser
@pytest.mark.slow
def test_a_switch_shows_what_python_computed(browser, whole, tmp_path: Path) -> None:
    page, wrong = browser.new_page(), []
    watch(page, wrong)
    with page:
        drawn(whole).save(tmp_path / "page.html")
        page.goto((tmp_path / "page.html").as_uri())
        boxes, shown = page.get_by_role("checkbox"), page.locator(".bars output")
        boxes.nth(0).uncheck()
        boxes.nth(2).uncheck()
        assert _percent(shown) == pytest.approx(100 * whole.probabilities[5], abs=0.051)
        assert page.locator(".told").inner_text().startswith(
            f"Without {whole.parts[0]}, {whole.parts[2]} the circuit gives"
        )  # fmt: skip
        page.get_by_role("button", name="All off").click()
        assert _percent(shown) == pytest.approx(100 * whole.probabilities[7], abs=0.051)
        page.get_by_role("button", name="All on").click()
        assert _percent(shown) == pytest.approx(100 * whole.probabilities[0], abs=0.051)
    assert wrong == []


def _percent(shown) -> list[float]:
    return [float(text.split()[0]) for text in shown.all_inner_texts()]
