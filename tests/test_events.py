"""Curves of many seeds on one clock: events fall together, and nothing is drawn without them."""

import event_tables as tables
import numpy as np
import pandas as pd
import pytest

from kc_utils import plots
from kc_utils.analysis.events import QUANTITIES, with_bends
from kc_utils.analysis.stats.aligned_time import align, aligned_means
from kc_utils.errors import KcError

SHOWN = {"entropy_kept", "accuracy", "edge_jaccard"}  # where no other entropy is asked for


def means(**options) -> pd.DataFrame:
    curves = with_bends(*tables.sweep(**options))
    aligned = align(curves, curve=["profile", "seed", "task", "kind", "band", "quantity"])
    found = aligned_means(aligned, ["profile", "quantity"])
    return found.set_index(["profile", "quantity", "time"])["value"].sort_index()


def test_events_of_all_cells_fall_together_on_the_common_clock():
    found = means()
    assert found["tiny", "entropy_kept", 0.0] == pytest.approx(6, abs=0.1)
    assert found["tiny", "entropy_kept", 1.0] == pytest.approx(6 - 2 * 0.8, abs=0.1)
    # Half-way through formation everything is half-way, which no mean over epochs shows.
    assert found["tiny", "edge_jaccard", 0.5] == pytest.approx(0.3 + 0.2 * 0.4, abs=0.01)
    topology, _, _ = tables.sweep()
    smeared = topology.groupby("epoch")["entropy_kept"].mean()
    steepest = smeared.diff().min()
    clocked = found["tiny", "entropy_kept"].loc[0:1]
    assert clocked.diff().min() / 0.1 < 3 * steepest  # per onset-to-knee, 2 to 6 epochs


def test_each_task_has_its_own_clock_and_accuracy_that_of_its_circuits():
    curves = with_bends(*tables.sweep(seeds=1, profiles=("tiny",)))
    assert set(curves["quantity"]) == SHOWN
    cells = curves.groupby(["task", "kind", "band"])[["onset", "knee"]].nunique()
    assert (cells == 1).all(axis=None) and curves["onset"].nunique() == 8
    last = curves[curves["quantity"] == "edge_jaccard"]["epoch"].max()
    assert last == tables.EPOCHS[-2]  # the last one is 1 by definition


def test_models_of_different_size_are_compared_by_their_share_of_the_largest_entropy():
    topology, read, shift = tables.sweep(seeds=1, profiles=("tiny",))
    topology = topology.assign(normalised_entropy_kept=topology["entropy_kept"] / 10)
    curves = with_bends(topology, read, shift, entropy="normalised_entropy_kept")
    assert set(curves["quantity"]) == set(QUANTITIES) - {"entropy_kept"}
    shares = curves[curves["quantity"] == "normalised_entropy_kept"]["value"]
    own = with_bends(topology, read, shift).query("quantity == 'entropy_kept'")["value"]
    np.testing.assert_allclose(shares, own / 10)
    assert len(plots.event_curves(curves).axes) == 3


def test_another_clock_moves_all_curves():
    topology, read, shift = tables.sweep(seeds=1, profiles=("tiny",))
    own = with_bends(topology, read, shift)
    other = with_bends(topology, read, shift, clock="accuracy")
    np.testing.assert_allclose(other["onset"], own["onset"] + 1)


@pytest.mark.slow
def test_the_figure_has_a_line_per_profile_and_marks_both_events():
    figure = plots.event_curves(tables.events())
    assert len(figure.axes) == len(SHOWN)
    for axis in figure.axes:
        marks = [line.get_xdata()[0] for line in axis.lines if len(set(line.get_xdata())) == 1]
        assert marks == [0, 1] and len(axis.lines) == 4
        assert axis.collections  # intervals over four seeds


def test_cells_without_an_event_have_no_clock():
    empty = with_bends(*tables.sweep(decided=False))
    assert empty.empty
    with pytest.raises(KcError, match="is empty"):
        plots.event_curves(empty)
    topology, read, shift = tables.sweep(seeds=1)
    shift.loc[shift["kind"] == "K_rel", "onset"] = np.nan
    assert set(with_bends(topology, read, shift)["kind"]) == {"K_compl"}
