"""The explorer: what it offers, what it draws again, what it measures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cachetools import LRUCache
from explorer_case import PROMPT, change, choose, html, look
from matplotlib.figure import Figure

from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.config import KINDS
from kc_utils.errors import KcError
from kc_utils.explorer import explore
from kc_utils.explorer.app import TABS, App
from kc_utils.explorer.curve import curve_rows, missing_sizes
from kc_utils.explorer.data import RunData, cached, sizes
from kc_utils.explorer.html import attention_html, library
from kc_utils.explorer.reading import Reading, read_prompt
from kc_utils.explorer.state import State
from kc_utils.explorer.views import VIEWS
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.plots.components import attention_maps, top_heads
from kc_utils.runs.folder import Run
from kc_utils.study.stages import common

pytestmark = pytest.mark.usefixtures("drawn_at_once")


def test_controls_offer_exactly_what_the_run_holds(app: App, smoke_run: Path) -> None:
    run = Run.open(smoke_run)
    offered = {
        name: [value for _, value in widget.options]
        for name, widget in app.controls.widgets.items()
        if name != "prompt"
    }
    assert offered["task"] == list(run.config.circuit.tasks)
    assert offered["kind"] == list(KINDS)
    assert offered["band"] == list(run.config.circuit.bands)
    assert offered["step"] == common.analysed_checkpoints(run)["step"].tolist()
    assert offered["ablation"] == ["corrupted", "zero", "mean"]
    assert offered["layer"] == list(range(common.graph_of_run(run).n_layers))
    assert run.path in offered["run"]


def test_sizes_are_logarithmic_from_one_edge_to_all() -> None:
    stops = sizes(32_491, 8_000)
    assert stops[0] == 1 and stops[-1] == 32_491 and 8_000 in stops
    assert list(stops) == sorted(set(stops)) and len(stops) < 60
    late = [b / a for a, b in pairwise(stops) if a > 50]
    assert max(late) < 1.5
    assert sizes(5, 300)[0] == 1 and sizes(5, 300)[-1] == 5


def test_every_control_has_a_label_and_a_hint(app: App) -> None:
    for name, widget in app.controls.widgets.items():
        assert widget.description and widget.tooltip, name
    assert list(app.tabs.titles) == list(TABS)


@pytest.mark.parametrize("tab", list(TABS))
@pytest.mark.parametrize(
    "name", ["task", "kind", "band", "step", "n", "ablation", "prompt", "layer"]
)
def test_a_control_changes_the_views_it_should_and_no_other(app: App, tab: str, name: str) -> None:
    look(app, tab)
    counts = dict(app.drawn)
    before = {view: html(app, view) for view in VIEWS}
    change(app, name)
    again = {view for view in VIEWS if app.drawn[view] != counts[view]}
    assert again == {view for view in TABS[tab] if name in VIEWS[view].fields}
    changed = {view for view in VIEWS if html(app, view) != before[view]}
    assert changed <= again
    if name in ("step", "task"):
        assert changed == again  # another model, other people: nothing stays the same


def test_a_view_is_drawn_once_for_a_choice(app: App) -> None:
    counts = dict(app.drawn)
    app.draw()
    look(app, "Heads")
    look(app, "Circuit")
    assert {view for view in VIEWS if app.drawn[view] != counts[view]} == set(TABS["Heads"])


def test_the_drawing_is_the_circuit_of_the_stored_scores(app: App, smoke_run: Path) -> None:
    change(app, "n", 5)
    change(app, "step", 1)
    choice = app.state.choice
    run = Run.open(smoke_run)
    scores = common.load_scores(run, choice.step)[choice.cell.name]
    circuit = top_n(scores, common.graph_of_run(run), choice.n)
    assert app.state.data.circuit(choice).edge_names == circuit.edge_names
    assert f"of {circuit.n_edges} edges" in html(app, "circuit")


def test_a_typed_prompt_gives_what_the_model_says(state: State, smoke_run: Path) -> None:
    step = state.data.values["step"][2]
    state.set(prompt=PROMPT, step=step)
    folder = common.checkpoint_path(Run.open(smoke_run), step)
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = model(ids, output_attentions=True, use_cache=False)
    chances = plain.logits[0, -1].softmax(-1)
    reading = state.data.reading(state.choice)
    assert torch.allclose(reading.logits, plain.logits[0, -1], atol=1e-4)
    assert reading.top["probability"].iloc[0] == pytest.approx(float(chances.max()), rel=1e-4)
    best = tokenizer.decode([int(chances.argmax())])
    assert reading.top["token"].iloc[0] == best.replace(" ", "·")
    assert len(reading.tokens) == ids.shape[1]
    first = tokenizer.bos_token  # the tokenizer puts it in front, as in training
    assert "".join(reading.tokens).replace("·", " ") == first + PROMPT
    expected = torch.stack([layer[0] for layer in plain.attentions])
    assert torch.allclose(reading.attention, expected, atol=1e-5)
    last = reading.lens[reading.lens["layer"] == reading.lens["layer"].max()]
    assert last["token"].iloc[-1] == reading.top["token"].iloc[0]  # the last layer is the model


def test_the_right_answer_of_a_query_is_named(state: State) -> None:
    pairs = state.data.pairs()
    row = pairs[pairs["clean"] == state.choice.prompt].iloc[0]
    assert f"The biographies say &#x27;{row['right']}" in state.view("tokens").html
    state.set(prompt=PROMPT)
    assert "biographies" not in state.view("tokens").html


def test_measuring_fills_the_curve_with_what_evaluation_says(app: App) -> None:
    state = app.state
    change(app, "step", 1)
    change(app, "n", 3)
    assert app.button.description.startswith("Measure ") and not app.button.disabled
    seen = []
    state.measure(lambda done, total: seen.append((done, total)))
    assert seen == [(i, len(seen) - 1) for i in range(len(seen))]
    assert missing_sizes(state.data, state.choice) == []
    rows = curve_rows(state.data, state.choice)
    found = rows[(rows["n"] == state.choice.n) & (rows["circuit"] == "own")]["value"].item()
    data, choice = state.data, state.choice
    batch = common.batch_of(data.pairs(), choice.cell, "evaluate")
    direct = evaluate_circuit(data.model(choice.step), batch, data.circuit(choice)).faithfulness
    assert found == pytest.approx(direct)
    app.measure()
    assert app.button.disabled and app.progress.layout.display == "none"
    change(app, "ablation")
    assert not app.button.disabled  # other values outside of the circuit: another curve


def test_the_stored_curve_needs_little_measuring(state: State) -> None:
    assert missing_sizes(state.data, state.choice) == []
    rows = curve_rows(state.data, state.choice)
    assert {"own", "random", "random_per_layer", "other_relation"} == set(rows["circuit"])
    assert rows[(rows["circuit"] == "own") & (rows["share"] == 1.0)]["value"].item() == (
        pytest.approx(1.0, abs=1e-4)
    )


def test_what_is_dear_is_made_once_and_an_error_keeps_nothing() -> None:
    made = []
    cache = LRUCache(2)
    for key in (1, 2, 1, 3, 2):
        assert cached(cache, key, lambda key=key: made.append(key) or key) == key
    assert made == [1, 2, 3, 2] and 1 not in cache and 3 in cache
    with pytest.raises(ZeroDivisionError):
        cached(cache, 9, lambda: 1 // 0)
    assert 9 not in cache


def test_models_do_not_pile_up(smoke_run: Path) -> None:
    data = RunData(smoke_run, models=2, score_files=2)
    choice = data.first_choice()
    for step in data.values["step"][:4]:
        data.reading(replace(choice, step=step))
        data.circuit(replace(choice, step=step))
        assert len(data.models) <= 2 and len(data.scores) <= 2
    first = data.model(data.values["step"][3])
    assert data.model(data.values["step"][3]) is first
    other = RunData(smoke_run)
    assert len(other.models) == 0  # nothing is shared between explorers


def test_looking_again_reads_nothing_anew(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def noted(bridge, tokenizer, prompt: str) -> Reading:
        reads.append(prompt)
        return read_prompt(bridge, tokenizer, prompt)

    look(app, "Your prompt")
    first, second = app.state.data.values["step"][:2]
    for step in (first, second):
        choose(app, "step", step)
    monkeypatch.setattr("kc_utils.explorer.data.read_prompt", noted)
    choose(app, "step", first)
    assert reads == []
    choose(app, "prompt", "Nobody lives in the city of")
    assert reads == ["Nobody lives in the city of"]


def test_without_a_front_end_there_is_a_sentence_and_no_widget(
    smoke_run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr("kc_utils.explorer.app.App", made.append)
    explore(smoke_run)._ipython_display_()
    assert "Markdown" in capsys.readouterr().out and made == []


def test_every_figure_has_an_alt_text_that_is_a_sentence(state: State) -> None:
    for name in VIEWS:
        if isinstance(state.view(name), Figure) or name == "attention":
            alt = state.alt(name)
            assert alt[0].isupper() and alt.endswith(".") and "{" not in alt


def test_bars_of_heads_and_maps_of_attention_refuse_what_does_not_fit() -> None:
    heads = pd.DataFrame({"node": ["a0.h0", "a0.h0"], "total": [1.0, -2.0],
                          "role": ["mover", "mixture"], "in_circuit": [True, False]})  # fmt: skip
    with pytest.raises(KcError, match="repeated rows"):
        top_heads(heads)
    figure = top_heads(heads.assign(node=["a0.h0", "a0.h1"]), most=1)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a0.h1"]
    with pytest.raises(KcError, match="does not fit 1 heads and 3 tokens"):
        attention_maps(["a", "b", "c"], np.eye(2)[None], ["a0.h0"])


def test_attention_needs_no_network_and_its_library_comes_once(state: State) -> None:
    script = library()
    assert script.count("</script>") == 1 and 1e6 < len(script) < 1.6e6
    assert "sourceMappingURL" not in script and "unpkg" not in script
    attention = state.view("attention")
    first = attention_html(attention.tokens, attention.pattern, attention.names, "Alt.")
    again = attention_html(attention.tokens, attention.pattern, attention.names, "Alt.")
    assert first == again and len(first) < 60_000 and "unpkg" not in first
    hostile = attention_html(["</script>"] * 2, torch.eye(2)[None], ["a0.h0"], 'x" y')
    assert hostile.count("</script>") == 1 and 'x" y' not in hostile
