"""The identities that the background chapters show, each with a control that must fail."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from tiny_models import KINDS, VOCAB, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.agreement import correlations, edge_table
from kc_utils.analysis.head_attribution import source_attribution, token_attribution
from kc_utils.background.lesson import open_lesson, under_every_ablation
from kc_utils.background.patching import (
    best_and_worst,
    overtakes,
    responses,
    some_readers,
    stream_patching,
)
from kc_utils.background.path import RULES, edge_errors, embedding_path, riemann
from kc_utils.benchmark.linear import CIRCUIT, linear_model, wired_batch, wired_model
from kc_utils.circuits import mean_outputs
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import circuit_from_names, full_circuit
from kc_utils.circuits.exact import edge_response, exact_scores
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError
from kc_utils.plots import background
from kc_utils.plots.interactive import schematic

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SUBJECT = slice(1, 3)  # the tokens in which the two prompts of a pair differ


def pairs(n: int = 2) -> PairBatch:
    """Prompts of six tokens that differ in two of them."""
    generator = torch.Generator().manual_seed(5)
    clean = torch.randint(VOCAB, (n, 6), generator=generator)
    corrupted = clean.clone()
    corrupted[:, SUBJECT] = (clean[:, SUBJECT] + 7) % VOCAB
    answers = [*range(n)], [*range(n, 2 * n)]
    spans = [SUBJECT.start] * n, [SUBJECT.stop] * n
    return PairBatch.from_lists(clean.tolist(), corrupted.tolist(), *answers, *spans)


def bridge_of(kind: str) -> TransformerBridge:
    return boot_bridge(tiny_model(kind, torch.float64), tokenizer())


def whole(bridge: TransformerBridge, batch: PairBatch) -> float:
    """Logit difference of the clean run minus that of the corrupted run."""
    refs = references(bridge, batch)
    change = (refs.clean_logits - refs.corrupted_logits)[:, -1]
    rows = torch.arange(len(batch))
    return float((change[rows, batch.right_ids] - change[rows, batch.wrong_ids]).mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_map_of_patches_is_known_at_its_edges(kind: str, direction: str) -> None:
    bridge, batch = bridge_of(kind), pairs()
    found = stream_patching(adapter_of(bridge), batch, direction)
    assert found.shape == (3, 6)
    assert float(found[-1, -1]) == pytest.approx(whole(bridge, batch), rel=1e-6)
    assert found[-1, :-1].abs().max() < 1e-9
    shared = [i for i in range(6) if i not in range(*SUBJECT.indices(6))]
    assert found[0, shared].abs().max() < 1e-9
    # the control: inside of the map neither holds
    assert found[1, SUBJECT.start :].abs().min() > 1e-9  # nothing changes before the subject
    assert abs(float(found[1, -1]) / whole(bridge, batch) - 1) > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama", "phi"])
def test_the_map_of_patches_is_what_hooks_of_the_bridge_give(kind: str) -> None:
    bridge, batch = bridge_of(kind), pairs(1)
    place, position = "blocks.1.hook_resid_pre", SUBJECT.start
    clean = bridge.run_with_cache(batch.clean_ids)[1][place]

    def put_in(stream: Tensor, hook: object) -> Tensor:
        stream = stream.clone()
        stream[:, position] = clean[:, position]
        return stream

    def measure(hooks: list) -> float:
        logits = bridge.run_with_hooks(batch.corrupted_ids, fwd_hooks=hooks, return_type="logits")
        return float(logits[0, -1, batch.right_ids[0]] - logits[0, -1, batch.wrong_ids[0]])

    with torch.no_grad():
        expected = measure([(place, put_in)]) - measure([])
    found = stream_patching(adapter_of(bridge), batch)
    assert float(found[1, position]) == pytest.approx(expected, rel=1e-5)
    assert float(found[1, position + 1]) != pytest.approx(expected, rel=1e-2)


def test_patching_refuses_other_directions_and_unequal_prompts() -> None:
    adapter = adapter_of(bridge_of("gpt2"))
    with pytest.raises(KcError, match="direction='sideways' is not one of denoising, noising"):
        stream_patching(adapter, pairs(), "sideways")
    unequal = PairBatch.from_lists([[1, 2], [1, 2, 3]], [[3, 2], [3, 2, 1]], [1, 2], [3, 4])
    with pytest.raises(KcError, match="2 to 3 tokens"):
        stream_patching(adapter, unequal)


def test_some_readers_are_patched_as_all_are() -> None:
    bridge, batch = bridge_of("llama"), pairs()
    adapter = adapter_of(bridge)
    every = exact_scores(adapter, batch, "logit_diff", 8)
    columns = some_readers(adapter.graph, 40, seed=0)
    some = exact_scores(adapter, batch, "logit_diff", 8, columns)
    left_out = [i for i in range(adapter.graph.n_backward) if i not in columns]
    assert torch.equal(some[:, columns], every[:, columns])
    assert some[:, left_out].abs().max() == 0 and every[:, left_out].abs().max() > 0
    assert 0 < adapter.graph.real_edges[:, columns].sum() <= 40


def test_readers_are_drawn_within_the_budget() -> None:
    graph = Graph(6, 4)
    assert some_readers(graph, graph.n_edges, 0) == [*range(graph.n_backward)]
    assert len(some_readers(graph, 0, 0)) == 1
    assert some_readers(graph, 300, 0) == some_readers(graph, 300, 0) != some_readers(graph, 300, 1)


def test_an_edge_responds_from_nothing_to_its_exact_effect() -> None:
    bridge, batch = bridge_of("gpt2"), pairs()
    adapter, graph = adapter_of(bridge), graph_of(bridge)
    exact = exact_scores(adapter, batch, "logit_diff", 8)
    slope = attribute(bridge, batch, AttributionSettings(method="eap"))
    shares = torch.tensor([0.0, 1e-5, 1.0])
    for name in ("input->a1.h2<k>", "a0.h1->m1", "m0->logits"):
        (edge,) = np.argwhere(graph.edges_from_names([name])).tolist()
        found = edge_response(adapter, batch, tuple(edge), shares)
        assert float(found[0]) == pytest.approx(0, abs=1e-12)
        assert float(found[2]) == pytest.approx(float(exact[tuple(edge)]), rel=1e-6)
        assert float(found[1]) / 1e-5 == pytest.approx(float(slope[tuple(edge)]), rel=1e-2)
        assert float(found[2]) != pytest.approx(float(slope[tuple(edge)]), rel=1e-2)
    with pytest.raises(KcError, match="m1->m0 is not a possible edge"):
        edge_response(adapter, batch, (graph.rows.index("m1"), graph.columns.index("m0")), shares)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_along_the_path_add_up_to_the_whole_difference(kind: str) -> None:
    bridge, batch = bridge_of(kind), pairs()
    path = embedding_path(adapter_of(bridge), batch, np.linspace(0, 1, 257))
    difference = whole(bridge, batch)
    assert path["value"].iloc[-1] - path["value"].iloc[0] == pytest.approx(difference, rel=1e-6)
    assert riemann(path, 128, "midpoint") == pytest.approx(difference, rel=1e-3)
    # the control: the gradient of the clean run alone
    assert riemann(path, 1, "k = 1..m") != pytest.approx(difference, rel=0.02)


@pytest.mark.parametrize("path", ["1..m", "0..m-1"])
def test_the_edges_of_the_input_are_the_slopes_along_the_path(path: str) -> None:
    bridge, batch = bridge_of("gpt2"), pairs()
    slopes = embedding_path(adapter_of(bridge), batch, np.linspace(0, 1, 5))
    scores = attribute(bridge, batch, AttributionSettings(steps=4, path=path))
    assert float(scores[0].sum()) == pytest.approx(riemann(slopes, 4, f"k = {path}"), rel=1e-6)
    assert float(scores.sum()) != pytest.approx(riemann(slopes, 4, f"k = {path}"), rel=1e-2)


@pytest.mark.slow
def test_on_a_linear_model_one_step_is_enough() -> None:
    bridge, batch = boot_bridge(linear_model(), tokenizer()), wired_batch()
    adapter = adapter_of(bridge)
    path = embedding_path(adapter, batch, np.linspace(0, 1, 9))
    for rule in RULES:
        assert riemann(path, 1, rule) == pytest.approx(whole(bridge, batch), rel=1e-5)
    columns = [*range(adapter.graph.n_backward)]
    exact = exact_scores(adapter, batch, "logit_diff", 8)
    assert edge_errors(bridge, batch, exact, columns, [1])["error"].max() < 1e-5
    # the control: a model that is not linear
    bridge, batch = bridge_of("gpt2"), pairs()
    exact = exact_scores(adapter_of(bridge), batch, "logit_diff", 8)
    assert edge_errors(bridge, batch, exact, columns, [1])["error"].min() > 1e-2


def test_a_path_says_which_points_it_lacks() -> None:
    path = pd.DataFrame({"slope": np.ones(5)})
    assert riemann(path, 2, "midpoint") == 1
    with pytest.raises(KcError, match=r"5 points has not those of 4 steps \(midpoint\)"):
        riemann(path, 4, "midpoint")
    with pytest.raises(KcError, match="rule='simpson'"):
        riemann(path, 4, "simpson")


@pytest.mark.parametrize("kind", KINDS)
def test_a_heads_tokens_add_up_to_the_head(kind: str) -> None:
    bridge, batch = bridge_of(kind), pairs()
    tokens = token_attribution(bridge, batch)
    heads = source_attribution(bridge, batch).sum(-1)
    assert torch.allclose(tokens.sum(-1), heads, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(tokens[..., :-1].sum(-1), heads, rtol=1e-3)


def test_all_edges_and_none_are_judged_as_the_plain_runs() -> None:
    bridge, batch = boot_bridge(wired_model(), tokenizer()), wired_batch()
    graph = graph_of(bridge)
    circuits = {"all": full_circuit(graph), "five": circuit_from_names(graph, CIRCUIT)}
    circuits["none"] = circuit_from_names(graph, [])
    found = under_every_ablation(bridge, batch, circuits, mean_outputs(bridge, batch))
    wide = found.pivot(index="circuit", columns="ablation", values="faithfulness")
    assert wide.loc[["all", "five"]].to_numpy() == pytest.approx(1, rel=1e-6)
    assert wide.loc["none", "corrupted"] == pytest.approx(0, abs=1e-9)
    assert wide.loc["none", "zero"] != pytest.approx(0, abs=1e-2)


@pytest.mark.slow
def test_a_lesson_opens_on_what_the_model_knows(smoke_run: Path) -> None:
    lesson = open_lesson(smoke_run, "city", 1)
    known = lesson.pairs["known"].tolist()
    assert known == sorted(known, reverse=True) and sum(known) == lesson.n_known
    assert lesson.pairs["person_id"].is_unique
    assert lesson.chosen["person_id"] == lesson.pairs["person_id"].iloc[1]
    refs = references(lesson.bridge, lesson.batch)
    first = int(refs.clean_logits[0, -1].argmax()) == int(lesson.batch.right_ids[0])
    other = int(refs.corrupted_logits[0, -1].argmax()) == int(lesson.batch.wrong_ids[0])
    assert lesson.known == (first and other)
    with pytest.raises(KcError, match=f"one of the {len(known)} pairs; count from 0"):
        open_lesson(smoke_run, "city", len(known))
    with pytest.raises(KcError, match="task = 'hobby' is not studied"):
        open_lesson(smoke_run, "hobby", 0)


def test_figures_are_drawn_from_their_tables_and_name_what_is_missing() -> None:
    path = pd.DataFrame({"share": [0.0, 0.5, 1.0], "value": [0.0, 1.0, 2.0], "slope": 2.0})
    assert isinstance(background.path_panels(path, "share", "f"), Figure)
    grid = pd.DataFrame(np.eye(3))
    assert isinstance(background.patching_maps({"a": grid, "b": grid}, ["x", "y", "z"]), Figure)
    with pytest.raises(KcError, match="path_panels lacks the column"):
        background.path_panels(path.drop(columns="slope"), "share", "f")
    with pytest.raises(KcError, match="head_tokens lacks the column"):
        background.head_tokens(path, [])
    twice = pd.DataFrame({"rule": "midpoint", "steps": [1, 1], "error": 0.1})
    with pytest.raises(KcError, match="repeated rows"):
        background.step_errors(twice, "error")


@pytest.mark.parametrize(
    "draw",
    [schematic.residual_stream, schematic.circuit_runs, schematic.patching,
     schematic.path_points],
)  # fmt: skip
def test_a_schematic_is_one_image_with_a_sentence(draw) -> None:
    drawing = draw()
    assert draw().html == drawing.html
    assert drawing.alt[0].isupper() and drawing.alt.endswith(".")
    root = ElementTree.fromstring(drawing.html)
    (image,) = root.iter("svg")
    assert image.get("role") == "img" and image.get("aria-label") == drawing.alt
    left, top, width, height = map(float, image.get("viewBox").split())
    for text in image.iter("text"):
        assert left < float(text.get("x")) < width and top < float(text.get("y")) < height


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("background_*.ipynb")), ids=lambda p: p.stem)
def test_a_background_page_says_what_it_takes_and_gives(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.search(r"\*\*Time\*\*: \d+ minutes", text)
    assert "**You will understand**" in text and "**You need**" in text
    assert "## Common misconceptions" in text and '"assert ' in text


def test_the_last_token_overtakes_for_good() -> None:
    subject = np.array([True, False])
    effects = np.array([[1.0, 0.0], [0.4, 0.6], [0.5, 0.3], [0.1, 0.8], [0.0, 1.0]])
    assert overtakes(effects, subject) == 3
    assert overtakes(effects[::-1], subject) is None
    assert overtakes(effects[3:], subject) == 0


def test_edges_that_a_gradient_gets_right_and_wrong_respond_so() -> None:
    bridge, batch = bridge_of("gpt2"), pairs()
    adapter, graph = adapter_of(bridge), graph_of(bridge)
    scores = {"EAP": attribute(bridge, batch, AttributionSettings(method="eap")),
              "exact": exact_scores(adapter, batch, "logit_diff", 8)}  # fmt: skip
    edges = edge_table(scores, graph)
    tight, loose = best_and_worst(edges, among=20).itertuples()
    assert abs(tight.score / tight.exact - 1) < abs(loose.score / loose.exact - 1)
    chosen = best_and_worst(edges, among=20)
    curves = responses(adapter, batch, chosen, torch.tensor([0.0, 1.0]))
    ends = curves[curves["share"] == 1]
    assert ends["effect"].to_numpy() == pytest.approx(chosen["exact"].to_numpy(), rel=1e-6)
    assert ends["tangent"].to_numpy() == pytest.approx(chosen["score"].to_numpy())
    assert curves.loc[curves["share"] == 0, ["effect", "tangent"]].abs().max().max() < 1e-9
    found = correlations(pd.concat([edges, edges.assign(method="itself", score=edges["exact"])]))
    assert found.loc["itself"].tolist() == pytest.approx([1, 1, 0])
    assert found.loc["EAP", "pearson"] < 0.999 and found.loc["EAP", "error"] > 1e-3
