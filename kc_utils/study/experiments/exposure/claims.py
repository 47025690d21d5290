"""What one exposure gives, how the gain is lost, and whether wording matters."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from kc_utils.analysis.stats import decay
from kc_utils.analysis.stats.intervals import Interval, bootstrap_mean
from kc_utils.analysis.stats.resample import NotMeasured, contrast, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import ELSEWHERE, Claim, Finding, point
from kc_utils.study.experiments.exposure.gain import PEAK, SHOWN, changes, tail

GAIN = 0.1
"""Gain in nats that must be exceeded before its decay is looked at."""

Curve = Float[np.ndarray, "_ delays"]


class _Pair(NamedTuple):
    """Changes of an exposed group and of the people never shown, at the same delays ``since``."""

    shown: Curve
    never: Curve
    since: np.ndarray

    def at(self, delay: int) -> tuple[np.ndarray, np.ndarray]:
        """Both groups' changes at one delay."""
        column = int(np.flatnonzero(self.since == delay)[0])
        return self.shown[:, column], self.never[:, column]

    def drawn(self, n: int, seed: int) -> tuple[Curve, Curve]:
        """Mean curves of both groups with their people resampled, each [n, delays]."""
        rng = np.random.default_rng([seed, 92])
        return _means(self.shown, n, rng), _means(self.never, n, rng)


def _means(values: Curve, n: int, rng: np.random.Generator) -> Curve:
    size = len(values)
    return rng.multinomial(size, np.full(size, 1 / size), size=n) / size @ values


def one_gain(run: Run, wording: str) -> Finding:
    """Change of log-probability by one exposure, beside that of people never shown."""
    pair = _pair(run, "once", wording)
    shown, never = pair.at(PEAK)
    n, seed = run.config.analysis.bootstrap, run.config.seed
    return Finding(
        bootstrap_mean(shown, n=n, seed=seed), bootstrap_mean(never, n=n, seed=seed),
        len(shown), "people",
    )  # fmt: skip


def one_decay(run: Run, wording: str) -> Finding:
    """Share of one exposure's gain that is lost between the peak and the last measurement.

    Each person's fall is taken in units of the mean gain at the peak, and the fall of those never
    shown is taken off.
    """
    pair = _pair(run, "once", wording)
    gain = _require_gain(run, pair)
    falls = np.concatenate([_fall(pair.shown, pair.since), _fall(pair.never, pair.since)]) / gain
    note = f"From {PEAK} to {int(pair.since[-1])} steps after the exposure."
    return _contrast(run, falls, len(pair.shown), note)


def power_law(run: Run) -> Finding:
    """BIC of the exponential minus BIC of the power law, mean over the exposed groups."""
    n, seed = run.config.analysis.bootstrap, run.config.seed
    gaps, best = [], []
    for group in SHOWN:
        pair = _pair(run, group, "trained")
        _require_gain(run, pair)
        times, curve = tail(pair.since, pair.shown.mean(0) - pair.never.mean(0))
        if len(times) < decay.MIN_POINTS:
            raise NotMeasured(f"only {len(times)} delays were measured after the peak")
        laws = decay.compare(times, curve)
        best.append(f"{group} {min(laws, key=lambda law: laws[law].bic)}")
        shown, never = pair.drawn(n, seed)
        curves = np.vstack([curve, tail(pair.since, shown - never)[1]])
        gaps.append(_bic_gap(times, curves))
    gap = np.mean(gaps, axis=0)
    effect = spread(float(gap[0]), gap[1:])
    note = f"Lowest criterion of {len(decay.LAWS)} laws: {', '.join(best)}."
    return Finding(effect, point(0.0), len(SHOWN), "groups", note=note)


def retained(run: Run, wording: str, first: str, second: str) -> Finding:
    """Gain at the last measurement, group ``first`` minus group ``second``."""
    one, two = (_pair(run, group, wording) for group in (first, second))
    values = np.concatenate([one.shown[:, -1], two.shown[:, -1]])
    note = f"{int(one.since[-1])} steps after the last exposure."
    return _contrast(run, values, len(one.shown), note)


def repeated_faster(run: Run, wording: str) -> Finding:
    """Share of the gain that is lost after the peak, repeated minus varied wording.

    The p-value shuffles the group labels of people.
    """
    repeated, varied = (_pair(run, group, wording) for group in ("repeated", "varied"))
    for pair in (repeated, varied):
        _require_gain(run, pair)
    n, seed = run.config.analysis.bootstrap, run.config.seed
    since, never = repeated.since, repeated.never.mean(0)[None]

    def difference(one: Curve, two: Curve, drift: Curve) -> np.ndarray:
        return _lost(one, drift, since) - _lost(two, drift, since)

    value = difference(repeated.shown.mean(0)[None], varied.shown.mean(0)[None], never)
    rng = np.random.default_rng([seed, 93])
    groups = [_means(x, n, rng) for x in (repeated.shown, varied.shown, repeated.never)]
    both = np.concatenate([repeated.shown, varied.shown])
    null = np.concatenate([_shuffled(both, len(repeated.shown), rng, difference, never)
                           for _ in range(n)])  # fmt: skip
    p = (1 + np.count_nonzero(null >= value - 1e-12)) / (1 + n)
    effect = spread(float(value[0]), difference(*groups))
    return Finding(effect, point(0.0), len(both), "people", float(p))


def _contrast(run: Run, values: np.ndarray, n_first: int, note: str) -> Finding:
    """Mean of the first people minus mean of the others; the p-value shuffles their labels."""
    first = np.arange(len(values)) < n_first
    n, seed = run.config.analysis.bootstrap, run.config.seed
    effect, _, p = contrast(pd.DataFrame({"value": values}), first, [], n=n, seed=seed)
    return Finding(effect, point(0.0), len(values), "people", p, note=note)


def _shuffled(
    both: Curve, n_first: int, rng: np.random.Generator, difference: Callable, drift: Curve
) -> np.ndarray:
    order = rng.permutation(len(both))
    one, two = both[order[:n_first]], both[order[n_first:]]
    return difference(one.mean(0)[None], two.mean(0)[None], drift)


def _pair(run: Run, group: str, wording: str) -> _Pair:
    people = run.table("exposure_people")
    shown, never = (
        changes(people, wording, g, group).loc[:, lambda curve: curve.columns >= 0]
        for g in (group, "never")
    )
    since = shown.columns.to_numpy(int)
    if PEAK not in since or since[-1] <= PEAK:
        raise NotMeasured(f"nothing was measured later than {PEAK} steps after the last exposure")
    return _Pair(shown.to_numpy(float), never.to_numpy(float), since)


def _require_gain(run: Run, pair: _Pair) -> float:
    """The mean gain at the peak; the decay of a gain that is not there is not looked at.

    Raises:
        NotMeasured: if the gain at the peak is below :data:`GAIN` or its interval includes zero.
    """
    shown, never = pair.drawn(run.config.analysis.bootstrap, run.config.seed)
    mean = _gain(pair.shown.mean(0)[None], pair.never.mean(0)[None], pair.since)[0]
    found: Interval = spread(float(mean), _gain(shown, never, pair.since))
    if not (found.mean >= GAIN and found.low > 0):
        raise NotMeasured(f"the gain is {found.mean:.3f} nats, which leaves nothing to lose")
    return found.mean


def _gain(shown: Curve, never: Curve, since: np.ndarray) -> np.ndarray:
    return (shown - never)[:, since == PEAK][:, 0]


def _fall(curve: Curve, since: np.ndarray) -> np.ndarray:
    return curve[:, since == PEAK][:, 0] - curve[:, -1]


def _lost(shown: Curve, never: Curve, since: np.ndarray) -> np.ndarray:
    gain = _gain(shown, never, since)
    return _fall(shown - never, since) / np.where(np.abs(gain) > 1e-9, gain, math.nan)


def _bic_gap(times: np.ndarray, curves: Curve) -> np.ndarray:
    return decay.many_bic("exponential", times, curves) - decay.many_bic("power", times, curves)


def _claim(name: str, claim: str, paper: str, measure: Callable[[Run], Finding], **rest) -> Claim:
    fixed = {"topic": "exposure", "notebook": "14_exposure", "claimed_by": ELSEWHERE}
    return Claim(id=name, claim=claim, paper=paper, measure=measure, **fixed, **rest)


_CHANG = "Chang et al. 2024"
_SAME = "same people before and after; bootstrap over people"
_LABELS = "bootstrap over people, permutation of group labels among people"

CLAIMS = (
    _claim(
        "exposure-gain",
        "One exposure makes a fact more probable in a wording never shown",
        f"{_CHANG}: log-probability rises right after a fact is met",
        functools.partial(one_gain, wording="held_out"),
        quantity=f"log-probability, {PEAK} steps after minus before (nats)",
        control="people never shown, same steps",
        test=_SAME,
        direction="above",
    ),
    _claim(
        "exposure-decay",
        "Part of what one exposure gave is lost as training goes on",
        f"{_CHANG}: the gain is diluted by subsequent forgetting",
        functools.partial(one_decay, wording="held_out"),
        quantity="fall from 8 steps after it on, beyond drift (share of the gain)",
        control="people never shown (taken off)",
        test=_LABELS,
        direction="above",
    ),
    _claim(
        "exposure-power-law",
        "The gain decays as a power law, not exponentially",
        f"{_CHANG}: a power law relates forgetting to training steps",
        power_law,
        quantity="BIC, exponential minus power law, mean over groups",
        control="no difference",
        test=f"trained wording, from {PEAK} steps on; bootstrap over people",
        direction="above",
    ),
    _claim(
        "varied-held-out",
        "Varied wording leaves more than repeated text, asked in a wording never shown",
        "Allen-Zhu & Li 2023: facts can be extracted only if seen in several wordings",
        functools.partial(retained, wording="held_out", first="varied", second="repeated"),
        quantity="gain at the end, varied minus repeated (nats)",
        control="no difference",
        test=_LABELS,
        direction="above",
    ),
    _claim(
        "repeated-forgotten-faster",
        "Repeated text is forgotten faster than varied wording",
        f"{_CHANG}: duplicated training data is forgotten faster",
        functools.partial(repeated_faster, wording="trained"),
        quantity="share of the gain lost from 8 steps on, repeated minus varied",
        control="no difference",
        test=_LABELS,
        direction="above",
    ),
)
