"""Faithfulness and edge scores: marks at the table's numbers, undefined said as such."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from matplotlib.axes import Axes
from plot_cases import CASES

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import methods
from kc_utils.plots.evaluation import faithfulness_table


def words(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_recovery_hangs_from_the_model_and_stands_on_the_circuit() -> None:
    axis = plots.recovery_classes(tables.recovery()).axes[0]
    stems = [tuple(line.get_ydata()) for line in axis.lines if len(line.get_xdata()) == 2]
    stems = [stem for stem in stems if stem[0] != stem[1]]  # not the levels
    np.testing.assert_allclose(stems[:4], [(1, 0.9), (0.6, 0.7), (1, 0.85), (0.6, 0.75)])
    assert len(stems) == 8
    labels = [label.get_text() for label in axis.figure.axes[3].get_xticklabels()]
    assert labels == ["q, k", "v", "MLP", "logits"]
    assert words(axis) == []


def test_undefined_recovery_is_said_in_the_panel() -> None:
    table = tables.recovery()
    where = (table["kind"] == "K_rel") & (table["band"] == "high")
    table.loc[where, "faithfulness"] = np.nan
    first, second, *_ = plots.recovery_classes(table).axes
    assert words(first) == ["undefined"]
    assert words(second) == []


def test_unknown_classes_and_views_are_named() -> None:
    with pytest.raises(KcError, match=r"reader_class.*'embed'.*allowed are"):
        plots.recovery_classes(tables.recovery().replace({"qk": "embed"}))
    with pytest.raises(KcError, match=r"view.*'added'.*allowed are"):
        plots.recovery_classes(tables.recovery().replace({"cut": "added"}))


@pytest.mark.slow
def test_undefined_curves_are_counted_in_their_panel() -> None:
    table = tables.sizes()
    assert words(plots.size_curve(table).axes[0]) == []
    table.loc[table["ablation"] == "zero", "value"] = np.nan
    assert words(plots.size_curve(table).axes[0]) == ["3 of 6 undefined"]
    assert words(plots.size_curve(table.assign(value=np.nan)).axes[0]) == ["undefined"]


def test_undefined_cells_read_undefined_and_other_gaps_a_dash() -> None:
    frame = tables.sizes().head(2)[["share", "value"]].assign(value=[0.25, np.nan])
    html = faithfulness_table(frame, names={"value": "faithfulness"}).to_html()
    assert "0.25" in html and ">undefined<" in html and ">faithfulness<" in html
    assert "undefined" not in plots.table(frame).to_html()
    assert "undefined" not in faithfulness_table(frame.head(1)).to_html()


def test_a_cut_axis_shows_no_more_than_it_is_asked_to() -> None:
    table = tables.sizes().assign(value=lambda t: 9 * t["value"])
    assert plots.size_curve(table).axes[0].get_ylim()[1] > 8
    low, high = plots.size_curve(table, cut=(-1.0, 2.0)).axes[0].get_ylim()
    assert high == 2 and low > -1


@pytest.mark.parametrize("name", ["method_scatter", "method_readers", "position_shares"])
def test_unknown_readers_are_named(name: str) -> None:
    case = CASES[name]
    with pytest.raises(KcError, match=r"reader_kind \['qk'\]; allowed are \['q', 'k', 'v'"):
        case.draw(case.table().replace({"q": "qk"}))


def test_every_edge_is_a_mark_and_a_score_equal_to_the_effect_is_on_the_diagonal() -> None:
    table = tables.method_edges()
    table.loc[table["method"] == "EAP", "score"] = table["exact"]
    figure = methods.method_scatter(table)
    assert [a.get_title() for a in figure.axes if a.get_visible()] == tables.METHODS
    assert len([a for a in figure.axes if not a.get_visible()]) == 1
    for axis, method in zip(figure.axes, tables.METHODS, strict=False):
        diagonal, *marks = axis.lines
        np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
        x, y = (np.concatenate([get(m) for m in marks])
                for get in (lambda m: m.get_xdata(), lambda m: m.get_ydata()))  # fmt: skip
        part = table[table["method"] == method]
        np.testing.assert_allclose(sorted(x), sorted(part["exact"]))
        assert np.allclose(x, y) == (method == "EAP")
        low, high = axis.get_xlim()
        assert low < min(x.min(), y.min()) and high > max(x.max(), y.max())


def test_kinds_of_readers_differ_in_shape_as_well_as_in_colour() -> None:
    looks = list(methods.READERS.values())
    assert len({look.marker for look in looks}) == len({look.colour for look in looks}) == 5


def test_scores_that_are_all_zero_are_refused() -> None:
    with pytest.raises(KcError, match="other than 0"):
        methods.method_scatter(tables.method_edges().assign(score=0.0, exact=0.0))


def test_correlations_are_written_and_undefined_ones_left_grey() -> None:
    table = tables.by_reader()
    first = methods.method_readers(table).axes[0]
    part = table[table["kind"] == "K_rel"].set_index(["method", "reader_kind"])["pearson"]
    assert {t.get_text() for t in first.texts} == {f"{v:.2f}" for v in part.dropna()}
    assert len(first.texts) == len(tables.METHODS) * len(tables.READERS) - 2
    assert [t.get_text() for t in first.get_yticklabels()] == tables.METHODS[::-1]
    with pytest.raises(KcError, match="choose one value of task"):
        methods.method_readers(pd.concat([table.assign(task=t) for t in ("city", "major")]))


def test_bars_have_the_width_of_the_table_and_add_up() -> None:
    axis = methods.position_shares(tables.position_shares()).axes[0]
    widths = np.array([[p.get_width() for p in bars.patches] for bars in axis.containers])
    np.testing.assert_allclose(widths[:, 0], [0.5, 0.3, 0.2])
    np.testing.assert_allclose(widths.sum(0), 1)
    assert [t.get_text() for t in axis.get_yticklabels()][:2] == [
        "tokens of the prompt",
        "all edges",
    ]
    patterns = {bars.patches[0].get_hatch() for bars in axis.containers}
    assert len(patterns) == 3, "colour is not the only channel"
    with pytest.raises(KcError, match=r"position \['middle'\]"):
        methods.position_shares(tables.position_shares().replace({"relation": "middle"}))
