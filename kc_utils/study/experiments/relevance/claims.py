"""How much must be known: four kinds of relevance, compared in pairs of equal frequency.

Every pair holds one person of each kind, all four written about equally often. Only the start of
the curves differs between kinds if knowing helps, so the quantity is the area: a person's mean
first-token accuracy over all epochs after the start.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.intervals import bootstrap_mean
from kc_utils.analysis.stats.resample import NotMeasured, require_right, spread, swapped
from kc_utils.runs.folder import Run
from kc_utils.study.claims.acquisition import LEARNED, RELEVANCE_MARGIN
from kc_utils.study.claims.claim import Claim, Finding
from kc_utils.study.experiments.relevance.people import KINDS_OF_RELEVANCE, TAUGHT

KNOWN = 0.5
"""Share of the base model's answers, beyond chance, that makes a kind of person known to it."""

DOSE_MARGIN = 0.005
"""Smallest gain per level that counts, as a share of right answers: half the margin of a lead."""

_DOSE = np.arange(len(KINDS_OF_RELEVANCE)) - (len(KINDS_OF_RELEVANCE) - 1) / 2


def lead(run: Run, kind: str, wording: str = "trained") -> Finding:
    """Area of ``kind`` minus area of ``unknown``, pair by pair.

    The effect's interval resamples pairs; the control swaps the two kinds within pairs at random.

    Raises:
        NotMeasured: if nothing was learned, or base texts did not make ``kind`` known.
    """
    require_known(run, [kind])
    areas = paired_areas(run, wording)
    gaps = areas[kind] - areas["unknown"]
    effect = bootstrap_mean(gaps, **_resampling(run))
    control, p_value = swapped(gaps, **_resampling(run))
    return Finding(effect, control, len(gaps), "pairs", p_value, note=_note(areas))


def dose(run: Run, wording: str = "trained") -> Finding:
    """Slope of the area over the four levels of relevance, within pairs.

    The control permutes the four kinds within pairs.

    Raises:
        NotMeasured: as for :func:`lead`.
    """
    require_known(run, TAUGHT)
    areas = paired_areas(run, wording)
    values = areas.to_numpy(float)
    effect = bootstrap_mean(slopes(values), **_resampling(run))
    rng = np.random.default_rng([run.config.seed, 56])
    n = run.config.analysis.bootstrap
    null = np.array([slopes(rng.permuted(values, axis=1)).mean() for _ in range(n)])
    p_value = (1 + np.count_nonzero(null >= effect.mean - 1e-12)) / (1 + n)
    control = spread(float(null.mean()), null)
    return Finding(effect, control, len(values), "pairs", float(p_value), note=_note(areas))


def slopes(values: np.ndarray) -> np.ndarray:
    """Least-squares slope per level of each row; ``values`` [rows, levels in their order]."""
    return values @ _DOSE / (_DOSE @ _DOSE)


def contrasts(people: pd.DataFrame) -> pd.DataFrame:
    """What each run found: leads over ``unknown`` and the slope, for every run and wording.

    ``people`` is the table ``relevance_people``, of one run or with columns profile and seed.
    Columns: profile, seed (if given), wording, contrast (a kind, or "per level"), value (share).
    """
    keys = [c for c in ("profile", "seed", "wording") if c in people]
    frames = []
    for key, part in people.groupby(keys, sort=False):
        areas = part.pivot(index="pair", columns="kind_of_relevance", values="area")
        areas = areas[list(KINDS_OF_RELEVANCE)].astype(float)
        found = {kind: (areas[kind] - areas["unknown"]).mean() for kind in KINDS_OF_RELEVANCE[1:]}
        found["per level"] = slopes(areas.to_numpy()).mean()
        frames.append(pd.DataFrame(found.items(), columns=["contrast", "value"]))
        for name, value in zip(reversed(keys), reversed(key), strict=True):
            frames[-1].insert(0, name, value)
    return pd.concat(frames, ignore_index=True)


def paired_areas(run: Run, wording: str) -> pd.DataFrame:
    """One row per pair, one column per kind in the order of the dose.

    Raises:
        NotMeasured: if the mean area shows that nothing was learned.
    """
    people = run.table("relevance_people")
    people = people[people["wording"] == wording]
    areas = people.pivot(index="pair", columns="kind_of_relevance", values="area")
    areas = areas[list(KINDS_OF_RELEVANCE)].astype(float)
    require_right(areas.to_numpy(), LEARNED, f"mean first-token accuracy in {wording} wordings")
    return areas


def require_known(run: Run, kinds: list[str] | tuple[str, ...]) -> None:
    """Refuse to speak of known people whom the base model does not know.

    Raises:
        NotMeasured: if a kind that base texts are about is not answered ``KNOWN`` above chance.
    """
    table = run.table("relevance_known").groupby("kind_of_relevance")[["accuracy", "chance"]].mean()
    for kind in kinds:
        if kind not in TAUGHT:
            continue
        right, chance = table.loc[kind, ["accuracy", "chance"]]
        if right - chance < KNOWN:
            raise NotMeasured(
                f"the base model answers {right:.2f} of the questions about people of kind "
                f"{kind} (chance {chance:.2f}), so they are not known to it"
            )


def _note(areas: pd.DataFrame) -> str:
    return "mean areas: " + ", ".join(f"{kind} {areas[kind].mean():.3f}" for kind in areas)


def _resampling(run: Run) -> dict[str, int]:
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


_LED = "K_rel leads K_compl by up to 0.22 in first-token accuracy (GPT-2); one degree of knowing"


def _lead(name: str, kind: str, known: str, wording: str = "trained") -> Claim:
    words = "" if wording == "trained" else ", asked in held-out wordings"
    return Claim(
        id=name,
        topic="relevance",
        claim=f"New facts are learned sooner about people {known}{words}",
        paper=_LED,
        quantity=f"mean accuracy, {kind} minus unknown (share)",
        control="the two kinds swapped in pairs",
        test="mean over epochs; pairs of equal frequency: bootstrap, random swaps",
        direction="above",
        margin=RELEVANCE_MARGIN,
        notebook="13_relevance",
        measure=functools.partial(lead, kind=kind, wording=wording),
    )


_SAME = "of whom the same attributes were known"

CLAIMS = (
    _lead("relevance-same", "same", _SAME),
    _lead("relevance-other", "other", "of whom other relations were known"),
    _lead("relevance-tokens", "tokens", "of whom only the parts of the name were known"),
    Claim(
        id="relevance-dose",
        topic="relevance",
        claim="The more is known about a person, the sooner new facts are learned",
        paper=_LED,
        quantity="mean accuracy per level of relevance (share)",
        control="the four kinds permuted in pairs",
        test="slope over unknown, tokens, other, same; pairs: bootstrap, permutation",
        direction="above",
        margin=DOSE_MARGIN,
        notebook="13_relevance",
        measure=dose,
    ),
    _lead("relevance-same-held-out", "same", _SAME, "held_out"),
)
