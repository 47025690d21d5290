"""Figures and tables of faithfulness: marks at the table's numbers, undefined said as such."""

from __future__ import annotations

import numpy as np
import plot_tables as tables
import pytest
from matplotlib.axes import Axes

from kc_utils import plots
from kc_utils.errors import KcError
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


def test_a_cut_axis_keeps_its_label_on_the_page() -> None:
    table = tables.sizes().assign(value=lambda t: 9 * t["value"])
    assert plots.size_curve(table).axes[0].get_ylim()[1] > 8
    figure = plots.size_curve(table, cut=(-1.0, 2.0))
    assert figure.axes[0].get_ylim()[1] == 2 and figure.axes[0].get_ylim()[0] > -1
    assert figure.get_tightbbox().x0 > -0.02
