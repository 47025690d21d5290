"""Figures of the attribution methods: marks at the table's numbers, wrong tables refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import methods

READERS = ["q", "k", "v", "mlp", "logits"]
METHODS = ["EAP", "clean-corrupted", "EAP-IG, k = 1..m", "EAP-IG, k = 0..m-1",
           "EAP-IG activations", "RelP", "random"]  # fmt: skip


def edges() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = tables.grid(method=METHODS, reader_kind=READERS, edge=list(range(12)))
    effects = rng.normal(size=(len(READERS), 12)) ** 3
    exact = np.tile(effects.ravel(), len(METHODS))
    return frame.assign(exact=exact, score=0.5 * exact)


def by_reader() -> pd.DataFrame:
    frame = tables.grid(kind=tables.KINDS, method=METHODS, reader_kind=READERS)
    value = np.linspace(-0.2, 1, len(frame))
    frame = frame.assign(pearson=value, spearman=value[::-1])
    blind = (frame["method"] == "RelP") & frame["reader_kind"].isin(["q", "k"])
    frame.loc[blind, ["pearson", "spearman"]] = np.nan
    return frame


def shares() -> pd.DataFrame:
    readers, positions = [*READERS, "all", "tokens"], ["subject", "relation", "last"]
    rows = product(tables.KINDS, readers, zip(positions, (0.5, 0.3, 0.2), strict=True))
    columns = ["kind", "reader_kind", "position", "value"]
    return pd.DataFrame([(a, b, *c) for a, b, c in rows], columns=columns)


CASES: dict[str, tuple[Callable[[pd.DataFrame], Figure], Callable[[], pd.DataFrame], set[str]]] = {
    "method_scatter": (
        methods.method_scatter,
        edges,
        {"method", "reader_kind", "score", "exact"},
    ),
    "method_readers": (
        methods.method_readers,
        by_reader,
        {"method", "reader_kind", "pearson", "spearman"},
    ),
    "position_shares": (
        methods.position_shares,
        shares,
        {"position", "reader_kind", "value"},
    ),
}
UNITS = {
    "method_scatter": {"exact effect (logits)", "score (logits)"},
    "method_readers": {"edges into", "correlation with exact patching (below 0 as 0)"},
    "position_shares": {"edges into", "share of |score|, or of tokens"},
}


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {name: draw(table()) for name, (draw, table, _) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_labels_are_there_large_enough_and_on_the_page(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    axes = [a for a in figure.axes if a.get_visible()]
    labels = {" ".join(t.split()) for a in axes for t in (a.get_xlabel(), a.get_ylabel())}
    assert UNITS[name] <= labels
    texts = [t for t in figure.findobj(mpl.text.Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 9
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.02
    assert drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(a.get_window_extent()) for a in axes)


@pytest.mark.parametrize("name", CASES)
def test_same_table_same_bytes_and_another_table_others(
    name: str, figures: dict[str, Figure]
) -> None:
    draw, table, _ = CASES[name]
    first = plots.svg_bytes(figures[name])
    assert first == plots.svg_bytes(draw(table()))
    number = "score" if name == "method_scatter" else table().columns[-1]
    assert first != plots.svg_bytes(draw(table().assign(**{number: 0.25})))


@pytest.mark.parametrize(
    ("name", "column"), [(n, c) for n, case in CASES.items() for c in sorted(case[2])]
)
def test_missing_columns_and_empty_tables_are_named(name: str, column: str) -> None:
    draw, table, _ = CASES[name]
    with pytest.raises(KcError, match=rf"lacks the column\(s\) {column};"):
        draw(table().drop(columns=column))
    with pytest.raises(KcError, match="empty"):
        draw(table().iloc[:0])


@pytest.mark.parametrize("name", CASES)
def test_unknown_readers_are_named(name: str) -> None:
    draw, table, _ = CASES[name]
    with pytest.raises(KcError, match=r"reader_kind \['qk'\]; allowed are \['q', 'k', 'v'"):
        draw(table().replace({"q": "qk"}))


def test_every_edge_is_a_mark_and_a_score_equal_to_the_effect_is_on_the_diagonal() -> None:
    table = edges()
    table.loc[table["method"] == "EAP", "score"] = table["exact"]
    figure = methods.method_scatter(table)
    assert [a.get_title() for a in figure.axes if a.get_visible()] == METHODS
    assert len([a for a in figure.axes if not a.get_visible()]) == 1
    for axis, method in zip(figure.axes, METHODS, strict=False):
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
        methods.method_scatter(edges().assign(score=0.0, exact=0.0))


def test_correlations_are_written_and_undefined_ones_left_grey() -> None:
    table = by_reader()
    first = methods.method_readers(table).axes[0]
    part = table[table["kind"] == "K_rel"].set_index(["method", "reader_kind"])["pearson"]
    assert {t.get_text() for t in first.texts} == {f"{v:.2f}" for v in part.dropna()}
    assert len(first.texts) == len(METHODS) * len(READERS) - 2
    assert [t.get_text() for t in first.get_yticklabels()] == METHODS[::-1]
    with pytest.raises(KcError, match="choose one value of task"):
        methods.method_readers(pd.concat([table.assign(task=t) for t in ("city", "major")]))


def test_bars_have_the_width_of_the_table_and_add_up() -> None:
    axis = methods.position_shares(shares()).axes[0]
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
        methods.position_shares(shares().replace({"relation": "middle"}))
