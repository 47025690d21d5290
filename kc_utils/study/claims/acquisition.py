"""Which knowledge is acquired sooner: relevant before completely new, frequent before rare.

Claims about relevance need subjects whom the model knows. Whether it does was asked before training
(table ``prior_knowledge``); where it did not know enough, nothing is judged.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.progress import LEVEL, lead_at_progress
from kc_utils.analysis.stats.resample import (
    NotMeasured,
    contrast,
    per_person,
    require_right,
    spread,
)
from kc_utils.config import KINDS
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import BOOK, PAPER, Claim, Finding, point
from kc_utils.study.claims.margins import margin_of
from kc_utils.study.claims.verdicts import difference, verdict

LEARNED = 0.01
"""Share of right answers that must be exceeded before two groups are compared."""

#: Where accuracy of each kind of text is measured: table and wording.
TEXTS = {"read": ("first_token_read", "read"), "new": ("first_token", "trained")}
_SHUFFLED = "bootstrap over people, permutation of the labels of people"
_DRAWS = 500  # bootstrap samples of people behind the lead at equal progress


def require_known(run: Run) -> None:
    """Refuse to speak of relevant knowledge where the base model does not know its people.

    Raises:
        NotMeasured: if it does not, or nobody asked it.
    """
    checked = run.table("prior_knowledge")
    if not len(checked):
        raise NotMeasured("what the base model knows about K_rel people was not asked")
    if not bool(checked["passed"].iloc[0]):
        right = float(checked["accuracy"].iloc[0])
        raise NotMeasured(f"the base model answers {right:.2f} of its facts on K_rel people")


def people_of(run: Run, texts: str) -> pd.DataFrame:
    """Mean first-token accuracy of each person over all checkpoints after the start.

    ``texts`` is "read" (texts that training read) or "new" (new texts in trained wordings).
    """
    name, wording = TEXTS[texts]
    table = run.table(name)
    table = table[(table["wording"] == wording) & (table["step"] > 0)]
    return per_person(table, "correct", ["kind", "band"])


def relevance(run: Run, texts: str) -> Finding:
    """Mean accuracy over the checkpoints, K_rel minus K_compl within bands."""
    require_known(run)
    people = people_of(run, texts)
    require_right(people["value"], LEARNED, "mean first-token accuracy")
    return compare(run, people, "kind", "K_rel", ["band"])


def lead(run: Run) -> Finding:
    """Accuracy of K_rel on texts read minus that of K_compl where K_compl reaches 0.3.

    People are resampled within types; a sample whose K_compl never gets there is left out.
    """
    require_known(run)
    table = run.table("first_token_read")
    curves = table.pivot_table(index=["kind", "person_id"], columns="epoch", values="correct",
                               aggfunc="mean", observed=True)  # fmt: skip
    epochs = curves.columns.to_numpy(float)
    sides = [curves.loc[kind].to_numpy(float) for kind in ("K_rel", "K_compl")
             if kind in curves.index.get_level_values("kind")]  # fmt: skip
    if len(sides) < 2:
        raise NotMeasured("every person has the same kind")
    found = lead_at_progress(epochs, *(side.mean(axis=0) for side in sides))
    if found.reason:
        raise NotMeasured(f"K_compl's accuracy: {found.reason}")
    rng = np.random.default_rng([run.config.seed, 64])
    drawn = np.array([
        lead_at_progress(epochs, *(s[rng.integers(len(s), size=len(s))].mean(axis=0)
                                   for s in sides)).lead
        for _ in range(_DRAWS)
    ])  # fmt: skip
    note = f"K_compl reaches {LEVEL:g} at epoch {found.epoch:.1f}."
    effect = spread(found.lead, drawn[np.isfinite(drawn)])
    return Finding(effect, point(0.0), sum(map(len, sides)), "people", note=note)


def sooner(run: Run) -> Finding:
    """Epoch from which on a person is known, K_rel minus K_compl within bands, share of training.

    People who are not known at the end count as the end.
    """
    require_known(run)
    table = run.table("time_to_knowledge")
    end = float(run.table("checkpoints")["epoch"].max())
    people = table.assign(value=table["epoch"] / end)
    require_right(people["known"], LEARNED, "the share of people known at the end")
    found = compare(run, people, "kind", "K_rel", ["band"])
    note = f"{people['known'].mean():.0%} of the people are known at the end."
    return Finding(found.effect, found.control, found.n, found.units, note=note)


def relevant_hits(run: Run) -> Finding:
    """Hit@k of own circuits at the last checkpoint, K_rel minus K_compl within bands."""
    require_known(run)
    people = last_hits(run)
    require_right(people["value"], LEARNED, "Hit@k of the circuits")
    return compare(run, people, "kind", "K_rel", ["band"])


def frequent_hits(run: Run) -> Finding:
    """Hit@k of own circuits at the last checkpoint, high minus low band within types."""
    return _bands(run, last_hits(run))


def frequent_accuracy(run: Run) -> Finding:
    """Mean accuracy on texts read over the checkpoints, high minus low band within types."""
    return _bands(run, people_of(run, "read"))


def last_hits(run: Run) -> pd.DataFrame:
    """Per person: share of held-out queries that the last checkpoint's circuits answer."""
    chosen = run.table("circuit_pairs").query(
        "circuit == 'own' and ablation == 'corrupted' and split == 'evaluate' "
        "and wording == 'trained' and step == step.max()"
    )
    hits = chosen.assign(hit=(chosen["rank"] <= run.config.circuit.hit_k).astype(float))
    return per_person(hits, "hit", ["kind", "band"])


def compare(run: Run, people: pd.DataFrame, label: str, first: str, strata: list[str]) -> Finding:
    """Contrast of two labels among people, as a finding; of kinds, the paper's two.

    Raises:
        NotMeasured: if one of the labels does not occur.
    """
    if label == "kind":
        people = people[people["kind"].isin(KINDS)]
    if people[label].nunique() < 2:
        raise NotMeasured(f"every person has the same {label}")
    n, seed = run.config.analysis.bootstrap, run.config.seed
    # The shuffled labels' mean is 0 by construction: what they give is the p-value.
    effect, _, p = contrast(people, people[label] == first, strata, n=n, seed=seed)
    return Finding(effect, point(0.0), len(people), "people", p)


def _bands(run: Run, people: pd.DataFrame) -> Finding:
    missing = {"high", "low"} - set(people["band"])
    if missing:
        raise NotMeasured(f"the run has no people of band {' and '.join(sorted(missing))}")
    chosen = people[people["band"].isin(["high", "low"])].reset_index(drop=True)
    require_right(chosen["value"], LEARNED, "the mean share of right answers")
    return compare(run, chosen, "band", "high", ["kind"])


def placebo(run: Run, n: int = 20) -> pd.DataFrame:
    """Verdicts on "K_rel leads" when types are dealt out at random inside each band.

    Columns: draw, value, low, high, verdict. Hardly any of the verdicts should be "holds".
    """
    people = people_of(run, "read")
    rng = np.random.default_rng([run.config.seed, 59])
    margin = margin_of("relevant-read").margin
    rows = []
    for draw in range(n):
        kinds = people.groupby("band")["kind"].transform(lambda k: rng.permutation(k.to_numpy()))
        found = compare(run, people.assign(kind=kinds), "kind", "K_rel", ["band"])
        gap = difference(found.effect, found.control)
        said = verdict(gap, direction="above", margin=margin)
        rows.append((draw, gap.mean, gap.low, gap.high, said))
    return pd.DataFrame(rows, columns=["draw", "value", "low", "high", "verdict"])


_REL = {"topic": "acquisition", "notebook": "05_performance", "control": "no difference"}

CLAIMS = (
    Claim(
        id="relevant-progress",
        claim="New facts about known people come first (lead where K_compl is at 0.3)",
        claimed_by=PAPER,
        paper="K_rel leads by 0.22 where K_compl is at 0.3 (GPT-2; other models 0.22 and 0.23)",
        quantity="lead of K_rel (share)",
        test="texts that training read; interpolated between checkpoints, bootstrap over people",
        direction="above",
        measure=lead,
        main=True,
        **_REL,
    ),
    Claim(
        id="relevant-read",
        claim="Over the whole of training, K_rel is ahead on the texts that training read",
        claimed_by=PAPER,
        paper="mean lead over training 0.07 (GPT-2 and Medium), 0.05, 0.04 in the published curves",
        quantity="mean accuracy, K_rel - K_compl (share)",
        test=f"mean over checkpoints, {_SHUFFLED} within bands",
        direction="above",
        measure=functools.partial(relevance, texts="read"),
        **_REL,
    ),
    Claim(
        id="relevant-new",
        claim="K_rel is ahead on texts that training never read, too",
        claimed_by=BOOK,
        paper="measured on texts that training read",
        quantity="mean accuracy, K_rel - K_compl (share)",
        test=f"new texts in trained wordings; mean over checkpoints, {_SHUFFLED} within bands",
        direction="above",
        measure=functools.partial(relevance, texts="new"),
        **_REL,
    ),
    Claim(
        id="relevant-time",
        claim="A known person's new facts are known at an earlier epoch",
        claimed_by=BOOK,
        paper="curves over people, no time of knowledge for each of them",
        quantity="time, K_rel minus K_compl (of training)",
        test="first epoch from which 4 of 5 facts stay right, texts read; bootstrap over people "
        "within bands",
        direction="below",
        measure=sooner,
        **_REL,
    ),
    Claim(
        id="relevant-hits",
        claim="At the end, circuits answer more about people who were known before",
        claimed_by=PAPER,
        paper="Hit@10 K_rel 0.64, 0.45, 0.20 and K_compl 0.43, 0.31, 0.15 (high, medium, low)",
        quantity="circuit Hit@10, K_rel - K_compl (share)",
        test=f"last checkpoint, people not used to find it, {_SHUFFLED} within bands",
        direction="above",
        measure=relevant_hits,
        main=True,
        **_REL,
    ),
    Claim(
        id="frequent-circuit",
        claim="Circuits answer more about people who are written about often",
        claimed_by=PAPER,
        paper="Hit@10 at the end: K_rel 0.64 high, 0.20 low; K_compl 0.43 high, 0.15 low",
        quantity="circuit Hit@10, high minus low (share)",
        test=f"last checkpoint, people not used to find it, {_SHUFFLED} within types",
        direction="above",
        measure=frequent_hits,
        main=True,
        **_REL,
    ),
    Claim(
        id="frequent-accuracy",
        claim="The model learns sooner about people who are written about often",
        claimed_by=PAPER,
        paper="order high, medium, low throughout training",
        quantity="mean accuracy, high minus low (share)",
        test=f"texts read, mean over checkpoints, {_SHUFFLED} within types",
        direction="above",
        measure=frequent_accuracy,
        **_REL,
    ),
)
