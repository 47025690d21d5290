"""Figures from synthetic tables: labels with units, same table same bytes, clear refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import style

EPOCHS = list(range(0, 21, 2))
KINDS, BANDS = ["K_rel", "K_compl"], ["high", "medium", "low"]
CELLS = {"epoch": EPOCHS, "kind": KINDS, "band": BANDS}


def grid(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(list(product(*columns.values())), columns=list(columns))


def rising(frame: pd.DataFrame, top: float = 0.9, at: float = 7.0) -> pd.DataFrame:
    """An S curve over epochs, lower for rarer people, with a noisy value and an interval."""
    rng = np.random.default_rng([len(frame), 1])
    scale = np.ones(len(frame))
    for column, factors in {
        "band": {"high": 1.0, "medium": 0.7, "low": 0.4},
        "kind": {"K_compl": 0.9},
        "circuit": {"random": 0.15},
        "wording": {"held_out": 0.75},
        "ablation": {"zero": 0.7, "mean": 0.85},
        "aligned": {"Init": 0.6, "Before": 0.5, "Random": 0.1, "Last": 0.95},
    }.items():
        if column in frame:
            scale *= frame[column].map(factors).fillna(1.0).to_numpy()
    epoch = frame["epoch"] if "epoch" in frame else 20
    value = top * scale / (1 + np.exp(-(epoch - at))) + rng.normal(0, 0.01, len(frame))
    return frame.assign(value=value, low=value - 0.04, high=value + 0.04)


def accuracy() -> pd.DataFrame:
    return rising(grid(**CELLS, wording=["trained", "held_out"])).assign(chance=0.1)


def faithfulness() -> pd.DataFrame:
    return rising(grid(**CELLS, ablation=["corrupted", "zero", "mean"], circuit=["own", "random"]))


def sizes() -> pd.DataFrame:
    shares = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    frame = grid(share=shares, ablation=["corrupted", "zero"], circuit=["own", "random"])
    k = frame["share"] ** np.where(frame["circuit"] == "own", 0.25, 1.2)
    return frame.assign(value=k * np.where(frame["ablation"] == "zero", 0.9, 1.0))


def entropy() -> pd.DataFrame:
    frame = grid(**CELLS)
    value = 6.8 - 1.6 / (1 + np.exp(-(frame["epoch"] - 6))) + 0.1 * frame["kind"].eq("K_compl")
    return frame.assign(
        entropy=value,
        entropy_low=value - 0.1,
        entropy_high=value + 0.1,
        normalised_entropy=value / 7,
    )


def phase() -> pd.DataFrame:
    frame = grid(quantity=["entropy", "edge_jaccard"], kind=KINDS, band=BANDS)
    at = 6.5 + frame["kind"].eq("K_compl")
    return frame.assign(breakpoint_epoch=at, low=at - 0.8, high=at + 1.2)


def jaccard() -> pd.DataFrame:
    frame = rising(grid(**CELLS), top=0.3, at=8)
    edge = 0.4 + frame["value"]
    return frame[["epoch", "kind", "band"]].assign(
        edge_jaccard=edge, node_jaccard=0.6 + edge / 3, random_edge_jaccard=0.15
    )


def overview() -> pd.DataFrame:
    frame = rising(grid(epoch=EPOCHS)).drop(columns=["low", "high"])
    steps = {"entropy": 6.5 - 1.5 * frame["value"], "edge_jaccard": 0.4 + frame["value"] / 3}
    parts = [frame.assign(quantity=q, value=v) for q, v in steps.items()]
    return pd.concat([*parts, frame.assign(quantity="accuracy")], ignore_index=True)


def overview_phase() -> pd.DataFrame:
    quantities = ["entropy", "edge_jaccard", "accuracy"]
    return pd.DataFrame(
        {
            "quantity": quantities,
            "breakpoint_epoch": [8.5, 9.0, np.nan],
            "low": [7.5, 7.0, np.nan],
            "high": [10.0, 12.5, np.nan],
        }
    )


def head_roles() -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, layer=list(range(6)), head=list(range(4)))
    rng = np.random.default_rng([3, 1])
    roles = np.array(["mover", "relation", "mixture", None], dtype=object)
    return frame.assign(role=roles[rng.integers(0, 4, len(frame))])


def layers(n_layers: int = 6, first: int = 0) -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, kind=KINDS, layer=list(range(first, n_layers)))
    depth = (frame["layer"] + 1) / n_layers
    late = frame["epoch"] / 20
    ratio = 0.05 + 0.3 * (late * depth + (1 - late) * (1 - depth))
    return frame.assign(
        ratio=ratio, count=(5 * ratio * 4).round(), expected=0.2, low=0.16, high=0.24
    )


def lens(quantity: str = "rank") -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, layer=list(range(6)), position=["last", "subject"])
    share = 1 / (1 + np.exp(-(frame["epoch"] - 9) / 2)) * ((frame["layer"] + 1) / 6) ** 2
    value = 2.6 * (1 - share) if quantity == "rank" else 0.8 * share
    return frame.assign(value=value)


def forgetting() -> pd.DataFrame:
    ratios = [0.0, 0.1, 0.2, 0.4, 0.6, 1.0]
    frame = grid(variant=["new_people", "conflicting"], ratio=ratios, step=list(range(0, 61, 10)))
    lost = (1 - frame["ratio"]) * (1 - np.exp(-frame["step"] / 15))
    return frame.assign(
        accuracy_old=0.93 - 0.75 * lost,
        accuracy_new=0.1 + frame["step"] / 100,
        edge_jaccard=1 - 0.3 * (frame["step"] > 0) - 0.3 * lost,
        entropy=5.8 + 0.8 * lost,
    )


def people() -> pd.DataFrame:
    rng = np.random.default_rng([4, 1])
    frequency = np.maximum(1, rng.exponential(2.5, 600).round()).astype(int)
    band = np.select([frequency > 5, frequency > 1], ["high", "medium"], "low")
    kind = np.where(np.arange(600) < 200, "K_rel", "K_compl")
    return pd.DataFrame({"kind": kind, "frequency": frequency, "band": band})


def claims() -> pd.DataFrame:
    texts = [
        "Relevant knowledge is learned faster than completely new knowledge",
        "Frequent people are recalled better",
        "Circuits change in two phases",
        "Deep layers come first",
        "A late topology works better",
    ]
    verdicts = ["undecided", "holds", "holds", "does not hold", "holds"]
    value = np.array([0.03, 0.41, 7.2, 0.1, 0.15])
    return pd.DataFrame(
        {
            "claim": texts,
            "quantity": ["difference of Hit@10 (share)"] * 2
            + ["bend (epoch)", "centre of mass (layers)", "Hit@10, After minus Before (share)"],
            "value": value,
            "low": value - 0.06,
            "high": value + 0.06,
            "control": ["shuffled kinds", "shuffled bands", "", "random circuits", "random edges"],
            "control_value": [0.0, 0.0, np.nan, 0.08, 0.01],
            "control_low": [-0.05, -0.05, np.nan, 0.0, -0.03],
            "control_high": [0.05, 0.05, np.nan, 0.2, 0.05],
            "verdict": verdicts,
        }
    )


def scores() -> pd.DataFrame:
    rng = np.random.default_rng([5, 1])
    parts = [
        pd.DataFrame(
            {"epoch": e, "score": rng.normal(size=2000) * np.exp(rng.normal(size=2000) * w)}
        )
        for e, w in ((0, 0.8), (10, 1.5), (20, 2.0))
    ]
    return pd.concat(parts, ignore_index=True)


def edges(n_layers: int = 6, n_heads: int = 4, n: int = 60, stream: int = 0) -> pd.DataFrame:
    """Random edges that respect the order of the residual stream."""
    rng = np.random.default_rng([6, stream])
    writers = [("input", -1.0)]
    readers: list[tuple[str, float]] = []
    for layer in range(n_layers):
        for head in range(n_heads):
            writers.append((f"a{layer}.h{head}", layer))
            readers += [(f"a{layer}.h{head}<{x}>", layer) for x in "qkv"]
        writers.append((f"m{layer}", layer + 0.5))
        readers.append((f"m{layer}", layer + 0.5))
    readers.append(("logits", n_layers))
    rows = [(w, r) for w, a in writers for r, b in readers if a < b]
    chosen = [rows[i] for i in rng.choice(len(rows), n, replace=False)]
    sources, targets = zip(*chosen, strict=True)
    return pd.DataFrame({"source": sources, "target": targets, "score": rng.normal(size=n)})


@dataclass(frozen=True)
class Case:
    """A figure, its table, and the columns that it cannot do without."""

    draw: Callable[..., Figure]
    table: Callable[[], pd.DataFrame]
    needs: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    units: tuple[str, ...] = ("epoch",)


def _hit(circuit: bool = True) -> pd.DataFrame:
    channels = {**CELLS, "circuit": ["own", "random"]} if circuit else CELLS
    return rising(grid(**channels)).assign(chance=0.05)


def _rank() -> pd.DataFrame:
    frame = rising(grid(**CELLS))
    return frame.assign(**{c: 10 ** (2.3 * (1 - frame[c])) for c in ("value", "low", "high")})


def _queries() -> pd.DataFrame:
    return rising(grid(kind=KINDS, band=BANDS, wording=["trained", "held_out"]))


def _transfer() -> pd.DataFrame:
    frame = grid(kind=KINDS, source_band=[*BANDS, "random"], target_band=BANDS)
    value = np.where(frame["source_band"] == "random", 0.04, 0.5)
    return frame.assign(value=value, low=value - 0.03, high=value + 0.03)


def _aligned() -> pd.DataFrame:
    return rising(grid(epoch=EPOCHS, kind=KINDS, aligned=list(style.LOOKS["aligned"])))


def _roles() -> pd.DataFrame:
    return rising(grid(**CELLS, role=["mover", "relation", "mixture"]), top=0.6)


def _centre() -> pd.DataFrame:
    frame = rising(grid(epoch=EPOCHS, kind=KINDS, circuit=["own", "random"]))
    return frame.assign(**{c: 2.5 + frame[c] for c in ("value", "low", "high")})


def _losses() -> pd.DataFrame:
    step = np.arange(1, 201)
    return pd.DataFrame({"step": step, "epoch": step / 10, "loss": 0.8 + 3 * np.exp(-step / 60)})


def _texts() -> pd.DataFrame:
    return pd.DataFrame({"text": ["x" * n for n in range(180, 420, 3)]})


def _pairs() -> pd.DataFrame:
    ids = [list(range(8 + i % 5)) for i in range(60)]
    return pd.DataFrame({"kind": ["K_rel", "K_compl"] * 30, "clean_ids": ids})


def _node_roles() -> pd.DataFrame:
    roles = ["mover", "relation", "mixture"]
    nodes = [f"a{i}.h{h}" for i in range(6) for h in range(4)]
    return pd.DataFrame({"node": nodes, "role": [roles[i % 3] for i in range(24)]})


def _small(function: Callable[..., Figure], n_layers: int, n_heads: int) -> Callable[..., Figure]:
    return lambda table, **extra: function(table, n_layers, n_heads, **extra)


def _compare(n_layers: int, n_heads: int) -> Callable[..., Figure]:
    def draw(table: pd.DataFrame) -> Figure:
        later = pd.concat([table.iloc[10:], edges(n_layers, n_heads, 60, 9).iloc[:30]])
        later = later.drop_duplicates(["source", "target"])
        titles = ("epoch 0", "epoch 20")
        return plots.circuit_comparison(table, later, n_layers, n_heads, titles=titles)

    return draw


RATIO, SHARE = "edge activation ratio (share)", "first-token accuracy (share)"
RANK, FAITH = "rank (1 = best, log scale)", "faithfulness (1 = whole model)"
DEPTH, HEAD = "layer (deep at top)", "head (index) and MLP"
EDGES = ("source", "target", "score")
published = plots.published()

CASES = {
    "training_loss": Case(
        plots.training_loss,
        _losses,
        ("step", "epoch", "loss"),
        units=("epoch", "next-token loss (nats per token)"),
    ),
    "accuracy_curves": Case(
        plots.accuracy_curves, accuracy, ("epoch", "kind", "value"), units=("epoch", SHARE)
    ),
    "accuracy_published": Case(
        plots.accuracy_curves,
        accuracy,
        ("epoch", "kind", "value"),
        {"published": published},
        ("epoch of this run", "epoch of the paper's run", SHARE),
    ),
    "query_accuracy_bars": Case(
        plots.query_accuracy_bars,
        _queries,
        ("kind", "band", "value"),
        units=("frequency band (biographies per person)", "query accuracy (share)"),
    ),
    "hit_curves": Case(
        plots.hit_curves, _hit, ("epoch", "kind", "band", "value"), units=("Hit@10 (share)",)
    ),
    "hit_curves_by_kind": Case(
        plots.hit_curves, _hit, ("epoch", "kind", "band", "value"), {"panel": "kind"}
    ),
    "rank_curves": Case(
        plots.rank_curves, _rank, ("epoch", "kind", "band", "value"), units=("epoch", RANK)
    ),
    "faithfulness_curves": Case(
        plots.faithfulness_curves,
        faithfulness,
        ("epoch", "ablation", "value"),
        units=("epoch", FAITH),
    ),
    "size_curve": Case(
        plots.size_curve,
        sizes,
        ("share", "ablation", "value"),
        units=("share of edges kept (log scale)", FAITH),
    ),
    "transfer_matrix": Case(
        plots.transfer_matrix,
        _transfer,
        ("source_band", "target_band", "value"),
        units=("circuit found on (band)", "circuit run on (band)", "Hit@10 (share)"),
    ),
    "aligned_curves": Case(plots.aligned_curves, _aligned, ("epoch", "aligned", "value")),
    "entropy_curves": Case(
        plots.entropy_curves,
        entropy,
        ("epoch", "entropy"),
        {"phase": phase()},
        ("epoch", "circuit entropy (nats)", "entropy / ln(edges) (share)"),
    ),
    "jaccard_curves": Case(
        plots.jaccard_curves,
        jaccard,
        ("epoch", "edge_jaccard"),
        {"phase": phase()},
        ("epoch", "edge Jaccard with last (share)"),
    ),
    "phase_overview": Case(
        plots.phase_overview,
        overview,
        ("quantity", "epoch", "value"),
        {"phase": overview_phase()},
        ("epoch", "circuit entropy (nats)", SHARE),
    ),
    "role_shares": Case(plots.role_shares, _roles, ("epoch", "role", "value")),
    "role_map": Case(
        plots.role_map,
        head_roles,
        ("epoch", "layer", "head", "role"),
        units=("head (index)", DEPTH),
    ),
    "mover_layers": Case(
        plots.mover_layers,
        layers,
        ("epoch", "layer", "count"),
        units=("epoch", DEPTH, "mover heads (count)"),
    ),
    "activation_ratio_map": Case(
        plots.activation_ratio_map,
        lambda: layers(first=-1),
        ("epoch", "layer", "ratio"),
        units=("epoch", DEPTH, RATIO),
    ),
    "activation_ratio_lines": Case(
        plots.activation_ratio_lines,
        lambda: layers(first=-1),
        ("epoch", "layer", "ratio"),
        units=("layer (0 = first)", RATIO),
    ),
    "centre_of_mass": Case(
        plots.centre_of_mass, _centre, ("epoch", "value"), units=("centre of mass (layer)",)
    ),
    "logit_lens_rank": Case(
        plots.logit_lens_rank, lens, ("epoch", "layer", "value"), units=("epoch", DEPTH, RANK)
    ),
    "logit_lens_probability": Case(
        plots.logit_lens_probability,
        lambda: lens("probability"),
        ("epoch", "layer", "value"),
        units=("epoch", DEPTH, "probability (share)"),
    ),
    "logit_lens_lines": Case(
        plots.logit_lens_lines,
        lens,
        ("epoch", "layer", "value"),
        units=("layer (0 = first)", RANK),
    ),
    "forgetting_curves": Case(
        plots.forgetting_curves,
        forgetting,
        ("ratio", "step", "accuracy_old"),
        {
            "published": pd.DataFrame(
                {"ratio": [0.0, 0.1], "step": [50, 50], "accuracy_old": [0.14, 0.27]}
            )
        },
        ("step (optimiser steps)", "accuracy on old facts (share)"),
    ),
    "elasticity": Case(
        plots.elasticity,
        forgetting,
        ("ratio", "step", "edge_jaccard"),
        units=("step (optimiser steps)", "circuit entropy (nats)"),
    ),
    "frequency_histogram": Case(
        plots.frequency_histogram,
        people,
        ("kind", "frequency", "band"),
        units=("frequency (biographies per person)", "people (count)"),
    ),
    "biography_lengths": Case(
        plots.biography_lengths,
        _texts,
        ("text",),
        units=("length of a biography (characters)", "biographies (count)"),
    ),
    "pair_lengths": Case(
        plots.pair_lengths,
        _pairs,
        ("clean_ids",),
        units=("prompt length (tokens)", "pairs (count)"),
    ),
    "claims_table": Case(
        plots.claims_table,
        claims,
        ("claim", "quantity", "value", "low", "high", "control_value", "verdict"),
        units=("effect and control, in the unit named at the left (own scale per line)",),
    ),
    "score_distribution": Case(
        plots.score_distribution,
        scores,
        ("score",),
        {"top_n": 300},
        ("k strongest edges (count, log scale)", "share of total |score|"),
    ),
    "circuit_diagram": Case(
        _small(plots.circuit_diagram, 6, 4),
        edges,
        EDGES,
        {"nodes": _node_roles()},
        (HEAD, DEPTH),
    ),
    "circuit_diagram_deep": Case(
        _small(plots.circuit_diagram, 30, 9), lambda: edges(30, 9), EDGES, {}, (HEAD, DEPTH)
    ),
    "circuit_comparison": Case(_compare(6, 4), edges, EDGES, {}, (HEAD, DEPTH)),
    "circuit_comparison_deep": Case(
        _compare(30, 9), lambda: edges(30, 9), EDGES, {}, (HEAD, DEPTH)
    ),
}


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {name: case.draw(case.table(), **case.extra) for name, case in CASES.items()}


def test_every_public_figure_has_a_case() -> None:
    helpers = {"published", "set_style", "svg_bytes", "table"}
    assert set(plots.__all__) - helpers <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_axes_are_labelled_with_units_and_text_is_large_enough(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == pytest.approx(7.2)
    axes = [a for a in figure.axes if a.get_visible()]
    labels = {" ".join(t.split()) for a in axes for t in (a.get_xlabel(), a.get_ylabel())}
    assert set(CASES[name].units) <= labels
    figure.draw_without_rendering()
    texts = [t for t in figure.findobj(mpl.text.Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 9


@pytest.mark.parametrize("name", CASES)
def test_no_text_leaves_the_page_and_the_legend_hides_no_data(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()  # inches; counts what is drawn only
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.02
    assert drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(a.get_window_extent()) for a in figure.axes)


@pytest.mark.parametrize("name", CASES)
def test_same_table_same_svg_bytes(name: str, figures: dict[str, Figure]) -> None:
    if name.endswith("_deep"):
        return
    case = CASES[name]
    first = plots.svg_bytes(figures[name])
    assert first == plots.svg_bytes(case.draw(case.table(), **case.extra))
    assert first.startswith(b"<?xml") and b"<dc:date>" not in first


def test_another_table_gives_other_bytes(figures: dict[str, Figure]) -> None:
    other = _hit().assign(value=0.5)
    assert plots.svg_bytes(figures["hit_curves"]) != plots.svg_bytes(plots.hit_curves(other))


@pytest.mark.parametrize(
    ("name", "column"), [(name, c) for name, case in CASES.items() for c in case.needs]
)
def test_a_missing_column_is_named(name: str, column: str) -> None:
    case = CASES[name]
    with pytest.raises(KcError, match=rf"lacks the column\(s\).*{re.escape(column)}"):
        case.draw(case.table().drop(columns=column), **case.extra)


@pytest.mark.parametrize("name", CASES)
def test_an_empty_table_is_refused(name: str) -> None:
    case = CASES[name]
    with pytest.raises(KcError, match="empty"):
        case.draw(case.table().iloc[:0], **case.extra)


def test_several_rows_for_one_point_are_refused_and_the_column_to_choose_is_named() -> None:
    twice = pd.concat([_hit().assign(task="city"), _hit().assign(task="major")])
    with pytest.raises(KcError, match="choose one value of task"):
        plots.hit_curves(twice)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.hit_curves(_hit(), panel="task"), "'band' and 'kind'"),
        (lambda: plots.role_map(head_roles(), epochs=[3]), "epoch"),
        (lambda: plots.role_map(head_roles().assign(role="boss")), "mover"),
        (lambda: plots.claims_table(claims().assign(verdict="maybe")), "does not hold"),
        (lambda: plots.logit_lens_lines(lens(), "entropy"), "probability"),
        (lambda: plots.circuit_diagram(edges(), 4, 4), "outside of 4 layers"),
        (lambda: plots.circuit_diagram(edges().assign(source="b1"), 6, 4), "repeated|node name"),
        (lambda: plots.circuit_diagram(edges(), 6, 4, strongest=0), "at least 1"),
        (lambda: plots.accuracy_curves(accuracy(), published=published, model="gpt9"), "gpt9"),
        (lambda: plots.score_distribution(scores().assign(score=0.0)), "other than 0"),
        (lambda: plots.size_curve(sizes().query("share == 0")), "above 0"),
    ],
)
def test_impossible_requests_say_what_is_allowed(draw: Callable[[], Figure], words: str) -> None:
    with pytest.raises(KcError, match=words):
        draw()


def test_optional_columns_may_be_absent() -> None:
    plain = rising(grid(epoch=EPOCHS, kind=KINDS)).drop(columns=["low", "high"])
    figure = plots.accuracy_curves(plain)
    assert len(figure.axes) == 1
    assert not figure.axes[0].collections  # no interval was given, so none is shaded
    assert plots.accuracy_curves(plain.assign(low=0.0, high=1.0)).axes[0].collections


def test_lines_intervals_and_chance_show_the_numbers_of_the_table() -> None:
    table = _hit(circuit=False)
    axis = plots.hit_curves(table).axes[0]
    rows = table[(table["band"] == "high") & (table["kind"] == "K_rel")]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), rows["value"])
    top = axis.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(rows["high"].max())
    chance = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in chance] == [pytest.approx(0.05)]


def test_rank_axis_is_logarithmic_with_the_best_rank_on_top() -> None:
    for axis in plots.rank_curves(_rank()).axes:
        assert axis.get_yscale() == "log" and axis.yaxis_inverted()


def test_bend_is_marked_with_its_interval_and_absent_where_there_is_none() -> None:
    figure = plots.phase_overview(overview(), overview_phase())
    marks = [[line for line in a.lines if len(set(line.get_xdata())) == 1] for a in figure.axes]
    assert [[line.get_xdata()[0] for line in m] for m in marks] == [[8.5], [9.0], []]
    assert [len(a.patches) for a in figure.axes] == [1, 1, 0]


def test_fitted_segments_follow_exact_data() -> None:
    epoch = np.arange(12.0)
    value = 5 - 0.5 * np.minimum(epoch, 6)
    series = pd.DataFrame({"quantity": "entropy", "epoch": epoch, "value": value})
    mark = {"quantity": ["entropy"], "breakpoint_epoch": [6.0], "low": [5.0], "high": [7.0]}
    given = {"intercept": [5.0], "slope_before": [-0.5], "slope_after": [0.0]}
    for bend in (pd.DataFrame(mark), pd.DataFrame({**mark, **given})):
        line = plots.phase_overview(series, bend).axes[0].lines[-1]
        np.testing.assert_allclose(line.get_ydata(), [5, 2, 2], atol=1e-9)


def test_diagram_draws_the_strongest_edges_with_sign_and_width() -> None:
    table = edges()
    axis = plots.circuit_diagram(table, 6, 4, strongest=12).axes[0]
    drawn = [p for p in axis.patches if isinstance(p, mpl.patches.PathPatch)]
    top = table.loc[table["score"].abs().nlargest(12).index]
    assert len(drawn) == 12
    blue = mpl.colors.to_rgb(style.POSITIVE)
    assert sum(p.get_edgecolor()[:3] == blue for p in drawn) == int((top["score"] > 0).sum())
    widths = [p.get_linewidth() for p in drawn]
    assert widths == sorted(widths)


def test_comparison_counts_kept_vanished_and_appeared() -> None:
    first = edges(n=20).assign(score=1.0)
    second = pd.concat([first.iloc[5:], edges(n=20, stream=4).iloc[:3]]).assign(score=1.0)
    second = second.drop_duplicates(["source", "target"])
    figure = plots.circuit_comparison(first, second, 6, 4)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["in both (15)", "vanished", "appeared"]
    assert figure.axes[0].get_title() == "first: 5 of 20 edges only here"
    assert figure.axes[1].get_title() == "second: 3 of 18 edges only here"


def test_published_curves() -> None:
    assert list(published.columns) == ["model", "kind", "epoch", "accuracy"]
    assert set(published["model"]) == {"gpt2", "gpt2-medium", "tinyllama-1.1b", "phi-1.5"}
    assert set(published["kind"]) == set(KINDS)
    gpt2 = published[(published["model"] == "gpt2") & (published["kind"] == "K_rel")]
    assert (len(gpt2), gpt2["epoch"].max(), gpt2["accuracy"].iloc[-1]) == (41, 24.0, 0.933619)


def test_figures_leave_global_settings_and_pyplot_alone() -> None:
    before = dict(mpl.rcParams)
    plots.hit_curves(_hit())
    assert dict(mpl.rcParams) == before
    assert mpl._pylab_helpers.Gcf.get_all_fig_managers() == []


def test_set_style_changes_no_bytes(figures: dict[str, Figure]) -> None:
    with mpl.rc_context():
        plots.set_style()
        assert mpl.rcParams["svg.hashsalt"] == "kc_utils"
        case = CASES["hit_curves"]
        after = plots.svg_bytes(case.draw(case.table()))
    assert after == plots.svg_bytes(figures["hit_curves"])


def _distance(one: str, two: str, deficiency: str) -> float:
    """Distance in linear RGB after the dichromat simulation of Vienot et al. (1999)."""
    matrices = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    matrix = np.array(matrices[deficiency])
    points = [matrix @ np.power(mpl.colors.to_rgb(c), 2.2) for c in (one, two)]
    return float(np.linalg.norm(points[0] - points[1]))


@pytest.mark.parametrize("column", style.LOOKS)
@pytest.mark.parametrize("deficiency", ["protan", "deutan"])
def test_palette_is_told_apart_without_red_green_vision_or_colour(
    column: str, deficiency: str
) -> None:
    looks = list(style.LOOKS[column].values())
    pairs = [(a, b) for i, a in enumerate(looks) for b in looks[:i]]
    assert all(_distance(a.colour, b.colour, deficiency) > 0.05 for a, b in pairs)
    shapes = {(look.marker, str(look.line), look.hollow) for look in looks}
    assert len(shapes) == len(looks)
    assert _distance("#E00000", "#3F5800", "protan") < 0.05  # the check can fail


def test_table_for_readers_is_rounded_named_and_repeatable() -> None:
    frame = pd.DataFrame({"top_n": [300, 400], "value": [0.12345, np.nan], "kind": KINDS})
    html = plots.table(frame, 2, names={"value": "Hit@10 (share)"}, caption="Circuits").to_html()
    assert "0.12" in html and "0.123" not in html
    assert "top n" in html and "Hit@10 (share)" in html and "Circuits" in html
    again = plots.table(frame, 2, names={"value": "Hit@10 (share)"}, caption="Circuits").to_html()
    assert html == again
    with pytest.raises(KcError, match="empty"):
        plots.table(frame.iloc[:0])
