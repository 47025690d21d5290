"""Which knowledge is acquired better: relevant before completely new, frequent before rare.

The ledger's own control: judge a claim on labels that were shuffled, many times over.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, contrast, per_person, require_right
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Finding, verdict

RELEVANCE_MARGIN = 0.01
"""Smallest lead of K_rel that counts, as a share of right answers."""

LEARNED = 0.01
"""Share of right answers that must be exceeded before two groups are compared."""

_SHUFFLED = "bootstrap over people, permutation of the labels of people"


def relevance(run: Run, wording: str) -> Finding:
    """First-token accuracy over all checkpoints after the start, K_rel minus K_compl in bands."""
    people = relevance_people(run, wording)
    require_right(people["value"], LEARNED, "mean first-token accuracy")
    return compare(run, people, "kind", "K_rel", ["band"])


def relevance_people(run: Run, wording: str) -> pd.DataFrame:
    """Mean first-token accuracy of each person over all checkpoints after the start."""
    table = run.table("first_token")
    table = table[(table["wording"] == wording) & (table["step"] > 0)]
    return per_person(table, "correct", ["kind", "band"])


def frequent_accuracy(run: Run) -> Finding:
    """First-token accuracy at the last checkpoint, high minus low band within types."""
    table = run.table("first_token")
    table = table[(table["wording"] == "trained") & (table["step"] == table["step"].max())]
    return _bands(run, per_person(table, "correct", ["kind", "band"]))


def frequent_hits(run: Run) -> Finding:
    """Hit@k of discovered circuits at the last checkpoint, high minus low band within types."""
    pairs = run.table("circuit_pairs")
    chosen = pairs.query(
        "circuit == 'own' and ablation == 'corrupted' and split == 'evaluate' "
        "and wording == 'trained' and step == step.max()"
    )
    hits = chosen.assign(hit=(chosen["rank"] <= run.config.circuit.hit_k).astype(float))
    return _bands(run, per_person(hits, "hit", ["kind", "band"]))


def compare(run: Run, people: pd.DataFrame, label: str, first: str, strata: list[str]) -> Finding:
    """Contrast of two labels among people, as a finding.

    Raises:
        NotMeasured: if one of the labels does not occur.
    """
    if people[label].nunique() < 2:
        raise NotMeasured(f"every person has the same {label}")
    n, seed = run.config.analysis.bootstrap, run.config.seed
    effect, control, p = contrast(people, people[label] == first, strata, n=n, seed=seed)
    return Finding(effect, control, len(people), "people", p)


def _bands(run: Run, people: pd.DataFrame) -> Finding:
    missing = {"high", "low"} - set(people["band"])
    if missing:
        raise NotMeasured(f"the run has no people of band {' and '.join(sorted(missing))}")
    chosen = people[people["band"].isin(["high", "low"])].reset_index(drop=True)
    require_right(chosen["value"], LEARNED, "the mean share of right answers")
    return compare(run, chosen, "band", "high", ["kind"])


def _relevance(name: str, wording: str, words: str) -> Claim:
    return Claim(
        id=name,
        topic="acquisition",
        claim=f"Relevant new knowledge is acquired earlier ({words})",
        paper="K_rel leads K_compl by up to 0.22 in first-token accuracy (GPT-2)",
        quantity="accuracy, K_rel minus K_compl (share)",
        control="type labels shuffled in bands",
        test=f"mean over checkpoints, {_SHUFFLED} within bands",
        direction="above",
        margin=RELEVANCE_MARGIN,
        notebook="05_performance",
        measure=functools.partial(relevance, wording=wording),
    )


CLAIMS = (
    _relevance("relevant-trained", "trained", "trained wordings"),
    _relevance("relevant-held-out", "held_out", "held-out wordings"),
    Claim(
        id="frequent-circuit",
        topic="acquisition",
        claim="Circuits answer more about people who are written about often",
        paper="Hit@10 at the end: K_rel 0.64 high, 0.20 low; K_compl 0.43 high, 0.15 low",
        quantity="circuit Hit@10, high minus low (share)",
        control="band labels shuffled in types",
        test=f"last checkpoint, {_SHUFFLED} within types",
        direction="above",
        margin=0.02,
        notebook="05_performance",
        measure=frequent_hits,
    ),
    Claim(
        id="frequent-accuracy",
        topic="acquisition",
        claim="The model knows more about people who are written about often",
        paper="order high, medium, low throughout training",
        quantity="accuracy, high minus low (share)",
        control="band labels shuffled in types",
        test=f"last checkpoint, {_SHUFFLED} within types",
        direction="above",
        margin=0.02,
        notebook="05_performance",
        measure=frequent_accuracy,
    ),
)


def placebo(run: Run, n: int = 20) -> pd.DataFrame:
    """Verdicts on "K_rel leads" when types are dealt out at random inside each band.

    Columns: draw, value, low, high, p_value, verdict. None of the verdicts should be "holds".
    """
    people = relevance_people(run, "trained")
    rng = np.random.default_rng([run.config.seed, 59])
    rows = []
    for draw in range(n):
        kinds = people.groupby("band")["kind"].transform(lambda k: rng.permutation(k.to_numpy()))
        found = compare(run, people.assign(kind=kinds), "kind", "K_rel", ["band"])
        said = verdict(
            found.effect, found.control, direction="above", margin=RELEVANCE_MARGIN,
            p_value=found.p_value,
        )  # fmt: skip
        effect = found.effect
        rows.append((draw, effect.mean, effect.low, effect.high, found.p_value, said))
    return pd.DataFrame(rows, columns=["draw", "value", "low", "high", "p_value", "verdict"])
