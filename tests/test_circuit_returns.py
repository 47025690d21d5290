"""Does a circuit come back? Told from tables with and without a return, beside the drift."""

import numpy as np
import pandas as pd
import plot_tables as tables
import pytest

from kc_utils import plots
from kc_utils.analysis.forgetting import accuracy_paths, circuit_paths
from kc_utils.plots import style

STEPS = [0, 10, 20, 30]


def curve(ratio: float, similarity: list[float], entropy: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"ratio": ratio, "step": STEPS, "edge_jaccard": similarity,
                         "normalised_entropy_kept": entropy})  # fmt: skip


def test_a_return_is_measured_from_the_farthest_point_after_the_start():
    table = pd.concat([
        curve(0.0, [1, 0.6, 0.5, 0.4], [0.6, 0.7, 0.75, 0.8]),
        curve(0.1, [1, 0.6, 0.5, 0.7], [0.6, 0.7, 0.8, 0.65]),
    ]).sample(frac=1, random_state=0)  # fmt: skip
    found = circuit_paths(table, "normalised_entropy_kept").set_index("ratio")
    assert found.loc[0.0, "similarity rises by"] == 0 and found.loc[0.0, "entropy falls by"] == 0
    assert found.loc[0.1, "similarity rises by"] == pytest.approx(0.2)
    assert found.loc[0.1, "entropy falls by"] == pytest.approx(0.15)
    # The start, where similarity is 1 and entropy lowest, is no return.
    late = circuit_paths(curve(0.1, [1, 0.4, 0.4, 0.4], [0.9, 0.7, 0.7, 0.7]),
                         "normalised_entropy_kept")  # fmt: skip
    assert late["entropy falls by"].iloc[0] == 0 and late["highest entropy"].iloc[0] == 0.7


def with_drift() -> pd.DataFrame:
    table = tables.forgetting().assign(normalised_entropy_kept=0.6, mover=0.2, relation=0.3,
                                       mixture=0.5)  # fmt: skip
    drift = table[(table["variant"] == "new_people") & (table["ratio"] == 1.0)]
    return pd.concat([table, drift.assign(variant="drift", accuracy_new=np.nan, mover=0.25)],
                     ignore_index=True)  # fmt: skip


def test_drift_has_no_new_facts_and_no_path_of_accuracy():
    assert set(accuracy_paths(with_drift())["variant"]) == {"new_people", "conflicting"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "rows", "without"),
    [(plots.forgetting_curves, 2, {1}), (plots.elasticity, 2, set()),
     (plots.forgetting_roles, 3, set())],
)  # fmt: skip
def test_drift_is_a_black_line_in_every_panel_that_has_it(draw, rows, without):
    figure = draw(with_drift())
    assert len(figure.axes) == 2 * rows  # no panel of its own
    for place, axis in enumerate(figure.axes):
        black = [line for line in axis.lines if line.get_color() == style.BLACK]
        assert [line.get_linestyle() for line in black] == ["--"] * len(black)
        assert len(black) == (0 if place // 2 in without else 1)
    alone = draw(with_drift().query("variant != 'drift'"))
    assert not [x for a in alone.axes for x in a.lines if x.get_color() == style.BLACK]


def test_entropy_of_kept_edges_takes_the_place_of_that_of_all_edges():
    kept, old = plots.elasticity(with_drift()), plots.elasticity(tables.forgetting())
    assert "kept" in kept.axes[2].get_ylabel() and "all edges" in old.axes[2].get_ylabel()
    assert len(kept.axes) == len(old.axes) == 4
