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
from kc_utils.analysis.stats.resample import NotMeasured, require_right, swapped
from kc_utils.runs.folder import Run
from kc_utils.study.claims.acquisition import LEARNED
from kc_utils.study.claims.claim import BOOK, PAPER, Claim, Claimant, Finding, point, resampling
from kc_utils.study.experiments.relevance.four_kinds import KINDS_OF_RELEVANCE, TAUGHT

KNOWN = 0.9
"""Share of the base model's whole answers that must be right for a kind of person to count as known
to it: the criterion of the study's own K_rel people, asked more strictly than by first tokens."""

_DOSE = np.arange(len(KINDS_OF_RELEVANCE)) - (len(KINDS_OF_RELEVANCE) - 1) / 2


def lead(run: Run, kind: str, against: str = "unknown", wording: str = "trained") -> Finding:
    """Area of ``kind`` minus area of ``against``, pair by pair.

    The interval resamples pairs; the p-value swaps the two kinds within pairs at random.

    Raises:
        NotMeasured: if nothing was learned, or base texts did not make ``kind`` known.
    """
    require_known(run, [kind])
    areas = paired_areas(run, wording)
    gaps = areas[kind] - areas[against]
    effect = bootstrap_mean(gaps, **resampling(run))
    _, p_value = swapped(gaps, **resampling(run))
    return Finding(effect, point(0.0), len(gaps), "pairs", p_value, note=_note(areas))


def dose(run: Run, wording: str = "trained") -> Finding:
    """Slope of the area over the four levels of relevance, within pairs.

    The p-value permutes the four kinds within pairs.

    Raises:
        NotMeasured: as for :func:`lead`.
    """
    require_known(run, TAUGHT)
    areas = paired_areas(run, wording)
    values = areas.to_numpy(float)
    effect = bootstrap_mean(slopes(values), **resampling(run))
    rng = np.random.default_rng([run.config.seed, 56])
    n = run.config.analysis.bootstrap
    null = np.array([slopes(rng.permuted(values, axis=1)).mean() for _ in range(n)])
    p_value = (1 + np.count_nonzero(null >= effect.mean - 1e-12)) / (1 + n)
    return Finding(effect, point(0.0), len(values), "pairs", float(p_value), note=_note(areas))


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
        NotMeasured: if fewer than ``KNOWN`` of the questions about a kind that base texts are
            about are answered right, or no more than the commonest answer would get right.
    """
    table = run.table("relevance_known").groupby("kind_of_relevance")[["accuracy", "chance"]].mean()
    for kind in kinds:
        if kind not in TAUGHT:
            continue
        right, chance = table.loc[kind, ["accuracy", "chance"]]
        # A mean over relations that is exactly KNOWN may come out a rounding error below it.
        if right < KNOWN - 1e-9 or right <= chance:
            raise NotMeasured(
                f"the base model answers {right:.3f} of the questions about people of kind {kind} "
                f"({KNOWN:g} are needed, chance is {chance:.3f}), so they are not known to it"
            )


def _note(areas: pd.DataFrame) -> str:
    return "mean areas: " + ", ".join(f"{kind} {areas[kind].mean():.3f}" for kind in areas)


_LED = "K_rel leads K_compl by up to 0.22 in first-token accuracy (GPT-2); one degree of knowing"
_RELEVANCE = {"topic": "relevance", "notebook": "13_relevance", "control": "no difference"}


def _lead(
    name: str, claim: str, kind: str, against: str = "unknown", claimed_by: Claimant = BOOK
) -> Claim:
    return Claim(
        id=name,
        claim=claim,
        claimed_by=claimed_by,
        paper=_LED,
        quantity=f"mean accuracy, {kind} minus {against} (share)",
        test="mean over epochs; pairs of equal frequency: bootstrap, random swaps",
        direction="above",
        measure=functools.partial(lead, kind=kind, against=against),
        **_RELEVANCE,
    )


CLAIMS = (
    _lead("relevance-same", "New facts come sooner where facts of the same kind were known before",
          "same"),
    _lead("relevance-other", "New facts come sooner where other facts about the person were known",
          "other"),
    _lead("relevance-tokens", "New facts come sooner where only the parts of the name were known",
          "tokens"),
    _lead("relevance-known", "It helps to know the person, not only the parts of the name",
          "other", "tokens", PAPER),
    Claim(
        id="relevance-dose",
        claim="The more is known about a person, the sooner new facts are learned",
        claimed_by=BOOK,
        paper=_LED,
        quantity="mean accuracy per level of relevance (share)",
        test="slope over unknown, tokens, other, same; pairs: bootstrap, permutation",
        direction="above",
        measure=dose,
        **_RELEVANCE,
    ),
)  # fmt: skip
