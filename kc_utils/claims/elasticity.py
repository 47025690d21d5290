"""What happens when training goes on about other people: forgetting, return, elastic circuits."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.claims.claim import Claim, Finding, NotMeasured, point
from kc_utils.claims.resample import over_cells, require_right, spread, swapped
from kc_utils.runs import Run
from kc_utils.stats import Interval, bootstrap_difference

VARIANT = "new_people"
REPLAY = 0.1
KNOWN = 0.05
"""Accuracy that must be exceeded at the start: what is not known cannot be forgotten."""


def forgetting(run: Run) -> Finding:
    """Accuracy on old facts at the last step minus at the start, without replay."""
    kept = _old_facts(run)
    without = _curve(kept, 0.0)
    most = max(kept["ratio"])
    change, control = _change(run, without), point(0.0)
    note = "No ratio above 0 was run: the control is no change."
    if most > 0:
        control = _change(run, _curve(kept, most))
        note = f"Control: a share of {most:g} replayed, at the same number of steps."
    return Finding(change, control, len(without), "people", note=note)


def replay_returns(run: Run) -> Finding:
    """Accuracy on old facts at the last step minus the lowest on the way, with a little replay."""
    kept = _old_facts(run)
    positive = [r for r in sorted(kept["ratio"].unique()) if r > 0]
    if not positive:
        raise NotMeasured("no replay ratio above 0 was run")
    ratio = min(positive, key=lambda r: abs(r - REPLAY))
    curve = _curve(kept, ratio)
    control = _rebound(run, _curve(kept, 0.0))
    note = "" if ratio == REPLAY else f"Replay ratio {ratio:g}, the nearest to {REPLAY:g}."
    return Finding(_rebound(run, curve), control, len(curve), "people", note=note)


def circuit_bends(run: Run) -> Finding:
    """Edge Jaccard with the starting circuit: replay of everything minus no replay."""
    shapes = run.table("forgetting").query("step > 0")
    table = shapes.pivot(index=["variant", "step"], columns="ratio", values="edge_jaccard")
    most = max(table.columns)
    if 0.0 not in table.columns or most == 0:
        raise NotMeasured("a replay ratio of 0 and one above 0 are both needed")
    gaps = (table[0.0] - table[most]).dropna()
    n, seed = run.config.analysis.bootstrap, run.config.seed
    effect = over_cells(gaps, n=n, seed=seed)
    control, p_value = swapped(-gaps, n=n, seed=seed)
    note = f"Ratio 0 against {most:g}; measurements on one training run are not independent."
    return Finding(effect, control, len(gaps), "measurements", p_value, note=note)


def _old_facts(run: Run) -> pd.DataFrame:
    table = run.table("forgetting_people")
    kept = table[(table["facts"] == "old") & (table["variant"] == VARIANT)]
    if kept.empty:
        raise NotMeasured(f"the variant {VARIANT!r} was not run")
    if 0.0 not in set(kept["ratio"]):
        raise NotMeasured("no run without replay (ratio 0)")
    require_right(kept[kept["step"] == 0]["correct"], KNOWN, "accuracy on old facts at the start")
    return kept


def _curve(kept: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """People in rows, steps in columns: share of a person's old facts that are still right."""
    chosen = kept[kept["ratio"] == ratio]
    curve = chosen.pivot(index="person_id", columns="step", values="correct").dropna()
    if curve.shape[1] < 2:
        raise NotMeasured("there are fewer than two measurements")
    return curve


def _change(run: Run, curve: pd.DataFrame) -> Interval:
    n, seed = run.config.analysis.bootstrap, run.config.seed
    return bootstrap_difference(curve.iloc[:, -1], curve.iloc[:, 0], paired=True, n=n, seed=seed)


def _rebound(run: Run, curve: pd.DataFrame) -> Interval:
    """Last minus lowest mean; each bootstrap sample looks for its own lowest step."""
    values = curve.to_numpy(float)
    rng = np.random.default_rng([run.config.seed, 58])
    size = (run.config.analysis.bootstrap, len(values))
    weights = rng.multinomial(size[1], np.full(size[1], 1 / size[1]), size=size[0]) / size[1]
    drawn, means = weights @ values, values.mean(axis=0)
    return spread(means[-1] - means.min(), drawn[:, -1] - drawn.min(axis=1))


CLAIMS = (
    Claim(
        id="forgetting",
        topic="elasticity",
        claim="Without replay, training on other people erases old facts",
        paper="first-token accuracy 0.93 to 0.14 within 50 steps at r = 0",
        quantity="old accuracy, last minus start (share)",
        control="largest replay share",
        test="same people before and after; bootstrap over people",
        direction="below",
        margin=0.02,
        notebook="08_forgetting",
        measure=forgetting,
    ),
    Claim(
        id="replay-returns",
        topic="elasticity",
        claim="A tenth of replay brings old facts back after a dip",
        paper="0.27 at the lowest, 0.88 at step 300 with r = 0.1",
        quantity="old accuracy, last minus lowest (share)",
        control="no replay",
        test="bootstrap over people, each sample with its own lowest step",
        direction="above",
        margin=0.02,
        notebook="08_forgetting",
        measure=replay_returns,
    ),
    Claim(
        id="circuit-bends",
        topic="elasticity",
        claim="Replay keeps the circuit closer to where it was",
        paper="edge Jaccard with the start 0.38 at r = 0, 0.61 at r = 1",
        quantity="edge Jaccard, no replay minus full",
        control="ratios swapped at random",
        test="bootstrap over measurements (variant, step), random swaps of the two ratios",
        direction="below",
        margin=0.02,
        notebook="08_forgetting",
        measure=circuit_bends,
    ),
)
