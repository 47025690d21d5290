"""How much of the answer circuits restore, under each ablation and however they are found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.intervals import Interval, bootstrap_mean
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, ratio, require_right
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Finding, point, resampling

QUERY = [*CELL, "pair_id", "person_id"]
BETTER = 0.05
"""How far Hit@k or faithfulness must lie above a random circuit's before equality is looked at."""

#: Ways to find a circuit, as the table ``ways`` calls them.
HERE, FREE, GREEDY, RANDOM = "here", "partners from everybody", "greedy", "random"


def faithful(run: Run) -> Finding:
    """Faithfulness at the last checkpoint on people that the circuit was not found on.

    Values outside come from the corrupted run; the control are random circuits of equal size.
    """
    pairs = last_queries(run, "corrupted").query("split == 'evaluate' and wording == 'trained'")
    return _restored(run, pairs.assign(floor=pairs["corrupted_logit_diff"]))


def sufficient(run: Run, ablation: str) -> Finding:
    """The same with zeros or means outside: 0 is the circuit without edges, 1 the whole model.

    The floor is the empty circuit under the same ablation, pair by pair. It was measured with the
    curves of circuit sizes, for the first task.
    """
    empty = run.table("size_curve").query("ablation == @ablation")
    floor = empty.groupby(QUERY)["empty_logit_diff"].first().rename("floor").reset_index()
    pairs = run.table("transfer_pairs").rename(columns={"target_band": "band"})
    pairs = pairs[(pairs["ablation"] == ablation) & (pairs["source_band"] == pairs["band"])]
    pairs = pairs.merge(floor, on=QUERY)
    if pairs.empty:
        raise NotMeasured(f"no circuit stands beside an empty one under {ablation} ablation")
    return _restored(run, pairs)


def _restored(run: Run, pairs: pd.DataFrame) -> Finding:
    """Share of the way from ``floor`` to the whole model, own circuits beside random ones.

    Raises:
        NotMeasured: random circuits are missing, or the model is not better than the floor.
    """
    parts = pairs.assign(
        above=pairs["logit_diff"] - pairs["floor"],
        below=pairs["clean_logit_diff"] - pairs["floor"],
    )
    own, random = parts[parts["circuit"] == "own"], parts[parts["circuit"] != "own"]
    if random.empty:
        raise NotMeasured("the run has no random circuits")
    whole = over_people(run, own["below"], own["person_id"])
    if not whole.low > 0:
        raise NotMeasured(
            f"the whole model's logit difference is {whole.mean:.2f} above what circuits start "
            "from, which leaves nothing to restore"
        )
    effect, _ = ratio(own, own["person_id"], **resampling(run))
    control, _ = ratio(random, random["person_id"], **resampling(run))
    return Finding(effect, control, own["person_id"].nunique(), "people")


def another_way(run: Run, way: str) -> Finding:
    """Faithfulness of circuits found in another way minus those found here, over cells.

    Corrupted values outside, the same number of edges, the same held-out people.
    """
    table = run.table("ways").query("ablation == 'corrupted'")
    values = table.pivot(index=CELL, columns="way", values="faithfulness")
    values = values.reindex(columns=[HERE, way, RANDOM]).dropna()
    if values.empty:
        raise NotMeasured(f"no circuit was found in the way '{way}'")
    require_right(values[HERE] - values[RANDOM], BETTER, "faithfulness above random circuits")
    gaps = values[way] - values[HERE]
    note = f"Faithfulness {values[way].mean():.2f} and {values[HERE].mean():.2f}."
    return Finding(over_cells(gaps, **resampling(run)), point(0.0), len(gaps), "cells", note=note)


def last_queries(run: Run, ablation: str) -> pd.DataFrame:
    """Queries at the last checkpoint with one kind of values outside of the circuit."""
    return run.table("circuit_pairs").query("ablation == @ablation and step == step.max()")


def over_people(run: Run, values: pd.Series, people: pd.Index | pd.Series) -> Interval:
    """Mean of ``values`` with an interval from resampled people."""
    return bootstrap_mean(np.asarray(values, float), np.asarray(people), **resampling(run))
