"""Summaries over cells: the median and the whole range, and frozen circuits cell by cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots.curves import Curves, draw_means
from kc_utils.plots.spread import spread_over
from kc_utils.plots.style import LOOKS, Look

OUTSIDE = {"mean": "means", "corrupted": "corrupted values"}


def cells(values: list[float], ablation: str = "corrupted") -> pd.DataFrame:
    """The cells' values at epoch 1; none of them has one at epoch 0."""
    frame = pd.DataFrame({"band": tables.BANDS, "value": values, "ablation": ablation})
    return pd.concat([frame.assign(epoch=0.0, value=np.nan), frame.assign(epoch=1.0)])


def test_the_line_is_the_median_and_the_shading_the_whole_range() -> None:
    frame = cells([0.0, 0.2, 40.0])
    (row,) = spread_over(frame, ["epoch"]).to_dict("records")
    assert row == {"epoch": 1.0, "value": 0.2, "low": 0.0, "high": 40.0}
    axis = plots.spread_curves(frame, "ablation", OUTSIDE, "F").axes[0]
    assert list(axis.lines[0].get_ydata()) == [0.2]
    shaded = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (shaded.min(), shaded.max()) == (0.0, 40.0)


def test_panels_are_the_titles_that_have_rows_in_their_order() -> None:
    both = pd.concat([cells([1, 2, 3]), cells([2, 3, 4], "mean"), cells([9, 9, 9], "zero")])
    drawn = plots.spread_curves(both, "ablation", OUTSIDE, "F", cut=(-1.0, 2.0), levels=(0.0, 1.0))
    assert [axis.get_title() for axis in drawn.axes] == ["means", "corrupted values"]
    assert drawn.axes[0].get_ylim()[1] == 2
    (alone,) = plots.spread_curves(cells([1, 2, 3]), "ablation", OUTSIDE, "F").axes
    assert alone.get_title() == "corrupted values"
    with pytest.raises(KcError, match="lacks the column"):
        plots.spread_curves(both, "wording", OUTSIDE, "F")


def test_similarities_stand_side_by_side_with_the_level_of_chance() -> None:
    table = tables.jaccard().assign(random_edge_jaccard=0.25, node_jaccard=0.9)
    drawn = plots.jaccard_spread(table)
    titles = [axis.get_title() for axis in drawn.axes]
    assert titles[:2] == ["node Jaccard with last", "edge Jaccard with last"]
    dotted = [[x for x in axis.lines if x.get_linestyle() == ":"] for axis in drawn.axes]
    assert not dotted[0] and set(dotted[1][0].get_ydata()) == {0.25}


def test_every_frozen_circuit_has_a_panel_with_its_cells_and_their_mean() -> None:
    table = pd.concat(
        tables.aligned().assign(ablation=a, value=lambda t, f=f: f * t["value"])
        for a, f in (("corrupted", 1.0), ("zero", 0.0))
    )
    drawn = plots.aligned_curves(table)
    frozen = ["Init", "Before", "After", "Last"]
    assert [axis.get_title() for axis in drawn.axes[:4]] == frozen
    assert [a.get_ylabel().split("\n")[0] for a in drawn.axes[::4]] == ["corrupted values", "zero"]
    for name, axis in zip(frozen, drawn.axes[:4], strict=True):
        rows = table[(table["aligned"] == name) & (table["ablation"] == "corrupted")]
        mean = rows.groupby("epoch")["value"].mean()
        of_panel = [x for x in axis.lines if x.get_color() == LOOKS["aligned"][name].colour]
        np.testing.assert_allclose(of_panel[0].get_ydata(), mean)
        assert len(axis.lines) == len(tables.KINDS) + 3  # cells, and the means of it, Own, Random
    assert all(not np.any(line.get_ydata()) for axis in drawn.axes[4:] for line in axis.lines)
    with pytest.raises(KcError, match=r"aligned \['Middle'\]"):
        plots.aligned_curves(table.replace({"Init": "Middle"}))


def test_a_role_is_a_colour_and_a_mark() -> None:
    heads = tables.head_roles()
    axis = plots.role_map(heads).axes[0]
    first = heads[heads["epoch"] == heads["epoch"].min()]
    marks = axis.collections[1:]
    assert [len(m.get_offsets()) for m in marks] == [
        (first["role"] == role).sum() for role in LOOKS["role"]
    ]
    shapes = {m.get_paths()[0].vertices.round(3).tobytes() for m in marks}
    assert len(shapes) == len(LOOKS["role"]), "colour is not the only channel"
    assert not axis.texts


@pytest.mark.parametrize("column", ["accuracy", "entropy"])
def test_bands_of_shares_end_at_zero_and_one(column: str) -> None:
    values = [0.0, 0.1, 1.0, 1.0, 0.9, 0.0]  # of three seeds at two epochs
    table = pd.DataFrame({"epoch": [0, 0, 0, 1, 1, 1], "seed": [0, 1, 2] * 2, column: values})
    axis = Figure().subplots()
    draw_means(axis, table, Curves("F", "", colour=None), {"": Look("black", "o", "")}, column)
    (band,) = axis.collections
    ends = band.get_paths()[0].get_extents().intervaly
    if column == "accuracy":
        assert tuple(ends) == (0.0, 1.0)
    else:  # the control: something that may go on
        assert ends[0] < -0.5 and ends[1] > 1.5
