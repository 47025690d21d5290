"""What happens when training goes on about other people: forgetting, return, elastic circuits."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.intervals import Interval, bootstrap_difference, bootstrap_mean
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, require_right, spread, swapped
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Direction, Finding, point

VARIANT = "new_people"
CONFLICT = "conflicting"
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
    """Edge Jaccard with the starting circuit: no replay minus replay of everything."""
    return _shape_gap(run, "edge_jaccard", "below")


def entropy_rises(run: Run) -> Finding:
    """Circuit entropy after the start: no replay minus replay of everything."""
    return _shape_gap(run, "entropy", "above")


def conflict_forgets(run: Run) -> Finding:
    """Change of accuracy on old facts without replay: conflicting facts beside other people."""
    curves = [_curve(_old_facts(run, variant), 0.0) for variant in (CONFLICT, VARIANT)]
    note = "Asked are the people whose facts change; the control asks about all people."
    return Finding(*[_change(run, c) for c in curves], len(curves[0]), "people", note=note)


def replay_dose(run: Run) -> Finding:
    """Slope of the accuracy on old facts at the last step over replay ratios (share per unit)."""
    kept = _old_facts(run)
    last = kept[kept["step"] == kept["step"].max()]
    table = last.pivot(index="person_id", columns="ratio", values="correct").dropna()
    if table.shape[1] < 3:
        raise NotMeasured("fewer than three replay ratios were run")
    ratios = table.columns.to_numpy(float)
    values, weights = table.to_numpy(float), ratios - ratios.mean()
    weights = weights / (weights @ weights)
    slopes = values @ weights
    n, seed = run.config.analysis.bootstrap, run.config.seed
    effect = bootstrap_mean(slopes, n=n, seed=seed)
    rng = np.random.default_rng([seed, 85])
    null = rng.permuted(np.tile(weights, (n, 1)), axis=1) @ values.mean(axis=0)
    p_value = float((1 + np.count_nonzero(null >= effect.mean - 1e-12)) / (1 + n))
    control = spread(float(null.mean()), null)
    note = f"{len(ratios)} ratios, {len(table)} people; the control's spread is over ratios."
    return Finding(effect, control, len(table), "people", p_value, note=note)


def _shape_gap(run: Run, quantity: str, direction: Direction) -> Finding:
    """A measure of the circuit without replay minus with the largest ratio, over measurements."""
    shapes = run.table("forgetting").query("step > 0")
    table = shapes.pivot(index=["variant", "step"], columns="ratio", values=quantity)
    most = max(table.columns)
    if 0.0 not in table.columns or most == 0:
        raise NotMeasured("a replay ratio of 0 and one above 0 are both needed")
    gaps = (table[0.0] - table[most]).dropna()
    n, seed = run.config.analysis.bootstrap, run.config.seed
    effect = over_cells(gaps, n=n, seed=seed)
    control, p_value = swapped(gaps if direction == "above" else -gaps, n=n, seed=seed)
    note = f"Ratio 0 against {most:g}; measurements on one training run are not independent."
    return Finding(effect, control, len(gaps), "measurements", p_value, note=note)


def _old_facts(run: Run, variant: str = VARIANT) -> pd.DataFrame:
    table = run.table("forgetting_people")
    kept = table[(table["facts"] == "old") & (table["variant"] == variant)]
    if kept.empty:
        raise NotMeasured(f"the variant {variant!r} was not run")
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
    Claim(
        id="conflict-forgets",
        topic="elasticity",
        claim="Conflicting facts erase old ones more than facts about other people do",
        paper="a variant with conflicting facts is trained; no number beside it",
        quantity="old accuracy, last minus start (share)",
        control="training on other people",
        test="no replay, same people before and after; bootstrap over people",
        direction="below",
        margin=0.05,
        notebook="08_forgetting",
        measure=conflict_forgets,
    ),
    Claim(
        id="replay-dose",
        topic="elasticity",
        claim="The more old data is replayed, the more old facts are left",
        paper="r = 0, 0.1, 0.2, 0.4: 0.14, 0.88, 0.93, 0.95 at the end",
        quantity="old accuracy per unit of ratio (share)",
        control="ratios permuted",
        test="slope over replay ratios at the last step; bootstrap over people, permutation of "
        "ratios",
        direction="above",
        margin=0.05,
        notebook="08_forgetting",
        measure=replay_dose,
    ),
    Claim(
        id="elastic-entropy",
        topic="elasticity",
        claim="Without replay the circuit's entropy rises; replay keeps it down",
        paper="5.8 to 6.6 at r = 0; comes back with replay",
        quantity="entropy, no replay minus full (nats)",
        control="ratios swapped at random",
        test="bootstrap over measurements (variant, step), random swaps of the two ratios",
        direction="above",
        margin=0.1,
        notebook="08_forgetting",
        measure=entropy_rises,
    ),
)
