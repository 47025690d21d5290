"""The tables of the last checkpoint in a finished run agree with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kc_utils.analysis.faithfulness import faithfulness_of
from kc_utils.circuits import areas
from kc_utils.circuits.circuit_size import CIRCUITS, SHARES
from kc_utils.circuits.recovery import READER_CLASSES, VIEWS
from kc_utils.config import CELL
from kc_utils.runs.folder import Run

pytestmark = pytest.mark.slow
ABLATIONS = ("corrupted", "zero", "mean")


@pytest.fixture(scope="module")
def run(smoke_run: Path) -> Run:
    return Run.open(smoke_run)


def test_size_curves_are_of_held_out_people_and_every_circuit(run: Run) -> None:
    curve = run.table("size_curve")
    pairs = run.read(run.path / "data" / "pairs.parquet")
    held_out = set(pairs.loc[pairs["split"] == "evaluate", "person_id"])
    assert set(curve["person_id"]) <= held_out
    assert not set(curve["person_id"]) & set(pairs.loc[pairs["split"] == "discover", "person_id"])
    sizes = run.table("sizes")
    n_cells = len(sizes[CELL].drop_duplicates())
    other = (sizes["circuit"] == "other_relation").sum()
    assert len(sizes) - other == n_cells * len(SHARES) * len(CIRCUITS) * len(ABLATIONS)
    assert other == n_cells * len(SHARES) * len(ABLATIONS)
    assert set(sizes["task"]) == {run.config.circuit.tasks[0]}
    # Another relation's circuit has the same number of edges before those without a path go.
    matched = sizes[sizes["circuit"] != "other_relation"]
    spread = matched.groupby([*CELL, "share"])["n_edges"].agg(np.ptp)
    assert spread.max() <= 2, "a handful of edges cannot always be matched"
    assert (sizes["weighted_edges"] == sizes["n_edges"]).all()
    np.testing.assert_allclose(sizes.loc[sizes["share"] == 1, "f_mib"], 1, atol=0.01)


def test_areas_follow_from_the_sizes(run: Run) -> None:
    keys = [*CELL, "circuit", "ablation"]
    parts = run.table("sizes").groupby(keys)
    expected = {names: areas(part["share"], part["f_mib"]) for names, part in parts}
    table = run.table("areas")
    assert len(table) == len(expected)
    for row in table.itertuples(index=False):
        names = tuple(getattr(row, key) for key in keys)
        assert (row.cpr, row.cmd) == pytest.approx(expected[names], nan_ok=True)


def test_cutting_every_class_is_the_circuit_of_the_configured_size(run: Run) -> None:
    recovery = run.table("recovery")
    cells = recovery[CELL].drop_duplicates()
    assert len(recovery) == len(cells) * len(READER_CLASSES) * len(VIEWS)
    pairs = run.table("circuit_pairs").query(
        "step == step.max() and circuit == 'own' and ablation == 'corrupted' "
        "and split == 'evaluate' and wording == 'trained'"
    )
    whole = recovery.query("reader_class == 'all' and view == 'cut'")
    both = whole.merge(faithfulness_of(pairs, CELL), on=CELL)
    assert len(both) == len(cells)
    np.testing.assert_allclose(both["faithfulness"], both["value"], rtol=1e-3, atol=1e-3)


def test_minimal_sizes_reach_their_target_and_the_size_below_does_not(run: Run) -> None:
    minimal = run.table("minimal")
    assert set(minimal["status"]) <= {"reached", "not reached", "undefined"}
    found = minimal[minimal["status"] == "reached"]
    assert len(found)
    assert (found["faithfulness"] >= found["target"]).all()
    assert (found["faithfulness_below"] < found["target"]).all()
    assert (found["n_edges"] <= found["n"]).all()
    assert minimal.loc[minimal["status"] != "reached", ["n", "share"]].isna().all(axis=None)
