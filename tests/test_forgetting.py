"""Stage ``forgetting``: what it starts from is measured once, and is what it would find anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kc_utils import artifacts
from kc_utils.runs.folder import Run
from kc_utils.study.stages.forgetting import DRIFT, _Case, forget, measure_start, old_blocks

SMOKE_RATIOS = {0.0, 0.2}


@pytest.fixture
def run(smoke_run: Path) -> Run:
    return Run.open(smoke_run)


def test_all_ratios_start_from_one_measurement(run: Run) -> None:
    people, shapes = run.table("forgetting_people"), run.table("forgetting")
    for variant, part in people.groupby("variant"):
        start = part[part["step"] == 0].drop(columns=["variant", "step"])
        by_ratio = [rows.drop(columns="ratio") for _, rows in start.groupby("ratio")]
        assert set(start["ratio"]) == ({1.0} if variant == DRIFT else SMOKE_RATIOS), variant
        for rows in by_ratio[1:]:
            pd.testing.assert_frame_equal(
                rows.reset_index(drop=True), by_ratio[0].reset_index(drop=True)
            )
    first, later = (shapes[(shapes["step"] == 0) == when] for when in (True, False))
    assert (first["edge_jaccard"] == 1).all() and first["entropy"].nunique() == 1
    roles = first[["mover", "mixture", "relation"]]
    assert roles.sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert later["entropy"].nunique() == len(later), "afterwards each goes its own way"


@pytest.mark.parametrize("variant", ["new_people", "conflicting"])
def test_the_start_is_what_the_final_checkpoint_gives(run: Run, variant: str, tmp_path) -> None:
    measure_start(run, variant, tmp_path / "start.parquet")
    stored = artifacts.read_parquet(tmp_path / "start.parquet")
    case = _Case(run, variant)
    model = case.load()
    shape, accuracy = case.shape(model), case.accuracy(model)
    found = stored.dropna(subset=["entropy"])
    assert list(found["kind"]) == list(shape["kind"])
    np.testing.assert_allclose(found["entropy"], shape["entropy"], rtol=1e-5)
    assert (shape["edge_jaccard"] > 0.9).all()
    people = stored.dropna(subset=["person_id"])
    assert set(people["facts"]) == {"old", "new"}
    # The two attentions may tell a tie between two tokens apart.
    assert (people["correct"].to_numpy() == accuracy["correct"].to_numpy()).mean() > 0.98


def test_training_goes_on_from_there(run: Run, tmp_path: Path) -> None:
    start, out = tmp_path / "start.parquet", tmp_path / "out.parquet"
    measure_start(run, "new_people", start)
    forget(run, "new_people", 0.2, start, out)
    found = artifacts.read_parquet(out)
    settings = run.config.forgetting
    assert sorted(set(found["step"])) == [*range(0, settings.steps + 1, settings.measure_every)]
    before, after = (found[found["step"] == s]["entropy"].dropna() for s in (0, settings.steps))
    assert (np.abs(before.to_numpy() - after.to_numpy()) > 1e-4).all()


def test_old_blocks_follow_the_ratio() -> None:
    for ratio in (0.0, 0.2, 1.0):
        blocks = old_blocks(8, ratio, 30)
        assert blocks.sum() == int(30 * 8 * ratio / (1 + ratio) + 1e-9)
        assert blocks.max() - blocks.min() <= 1
