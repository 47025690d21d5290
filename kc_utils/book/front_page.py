"""What the front page says was found: chosen claims of the ledger over seeds, and one figure.

Nothing here knows how a claim came out. Every sentence has a wording for each verdict, and the
tables of the stored sweep decide which one is printed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils.analysis.stats.seeds import LEAST_SEEDS, seed_means
from kc_utils.book.ledger_words import VERDICTS, between_profiles, profiles_sentence
from kc_utils.plots.controls import signature
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.study.claims.entries import ledger_of
from kc_utils.study.claims.over_seeds import UNDECIDED

FIGURE = "signature.svg"
_ALT = (
    "Line charts in two rows against the epoch. Above, accuracy on new facts for people known "
    "before and for new people. Below, circuit entropy beside two controls. Dashed vertical lines "
    "mark fitted bends."
)
_CAPTION = (
    "How facts arrive and circuits form, means over the seeds of {names}. Above: accuracy on the "
    "first token of new facts, for people known before (K_rel) and for new people (K_compl). "
    "Below: entropy of the circuit that answers, beside the circuits of shuffled answers and of an "
    "untrained model. One phase shift would put both dashed lines at one epoch, and the controls "
    "would not show it."
)


@dataclass(frozen=True)
class Headline:
    """A claim of the ledger as a question, and the answer in words for each verdict."""

    id: str
    question: str
    holds: str
    fails: str

    def answer(self, verdict: str) -> str:
        """The sentence for one verdict."""
        undecided = "The seeds so far leave it open."
        return {"holds": self.holds, "does not hold": self.fails}.get(verdict, undecided)


#: The three claims of the paper's abstract; the third has two halves.
CLAIMS = (
    Headline(
        "relevant-trained",
        "1. Is knowledge about familiar subjects acquired sooner?",
        "Facts about known people are learned sooner than facts about strangers.",
        "Known people have no lead that would matter.",
    ),
    Headline(
        "phase-shift",
        "2. Do circuits turn from formation to optimisation at one bend?",
        "Most curves of circuit entropy have one sharp bend.",
        "Most curves of circuit entropy do not have one sharp bend.",
    ),
    Headline(
        "deep-first",
        "3a. Do circuits first grow in deep layers?",
        "While circuits form, their edges move to deeper layers.",
        "While circuits form, their edges do not move deeper by as much as would matter.",
    ),
    Headline(
        "shallow-later",
        "3b. And later in shallow ones?",
        "After the bend, edges move down to shallower layers.",
        "After the bend, edges do not move to shallower layers by as much as would matter.",
    ),
)
#: What else could explain a claim, or make a circuit look better than it is.
CONTROLS = (
    Headline(
        "phase-labels",
        "Do more curves bend than when everyone's answers are shuffled?",
        "Yes: the bends belong to who has which answer.",
        "No: the bends beyond those of shuffled answers are fewer than half of the curves.",
    ),
    Headline(
        "deep-first-labels",
        "Do edges move deeper by more than when everyone's answers are shuffled?",
        "Yes: the move belongs to who has which answer.",
        "No: with shuffled answers they move about as far, so the move is not about knowledge.",
    ),
    Headline(
        "own-random-zero",
        "With all else at zero, does a circuit answer more than a random one of its size?",
        "Yes: it matters which edges are kept.",
        "No: as many random edges do about as well, so the answers do not show a circuit.",
    ),
    Headline(
        "in-sample-share",
        "Is a score too high if it is measured on the people and wording of the discovery?",
        "Yes: on other people, asked in other words, the same circuits answer fewer queries.",
        "No: the same circuits do as well on other people, asked in other words.",
    ),
    Headline(
        "consistency-edges",
        "Late in training, is a circuit steadier from epoch to epoch than from sample to sample?",
        "Yes: an epoch changes its edges less than another sample of people does.",
        "No: an epoch changes its edges about as much as another sample of people does, or more.",
    ),
)


def pages(folder: Path) -> dict[str, str]:
    """File name -> MyST text, or SVG for the figure; nothing without the tables of a sweep."""
    if not (folder / PROVENANCE).is_file():
        return {}
    sweep = SweepTables.open(folder)
    ledger = ledger_of(sweep)
    return {
        "findings.md": findings(ledger),
        "controls.md": cards(ledger, CONTROLS),
        "signature.md": figure_directive(sweep),
        FIGURE: svg_bytes(signature(curves(sweep), bends(sweep))).decode(),
    }


def findings(ledger: pd.DataFrame) -> str:
    """How many claims came out how in each profile, and the cards of the paper's claims."""
    by_profile = ledger.groupby("profile", sort=False)
    said = [_counted(str(name), part) for name, part in by_profile]
    if len(said) > 1 and by_profile["n_seeds"].max().min() >= LEAST_SEEDS:
        said.append(profiles_sentence(between_profiles(ledger)))
    return "\n".join(said) + "\n\n" + cards(ledger, CLAIMS)


def _counted(profile: str, part: pd.DataFrame) -> str:
    n = int(part["n_seeds"].max())
    counts = [int((part["verdict"] == verdict).sum()) for verdict in VERDICTS]
    seeds = f"{n} {'seed' if n == 1 else 'seeds'}"
    if n < LEAST_SEEDS:
        return f"Profile `{profile}` has {seeds} so far; fewer than three decide nothing."
    return (
        f"Over {seeds} of profile `{profile}`, **{counts[0]}** of {len(part)} claims hold, "
        f"**{counts[1]}** do not hold and **{counts[2]}** are undecided."
    )


def cards(ledger: pd.DataFrame, headlines: Sequence[Headline]) -> str:
    """A card per headline: the question, then verdict, answer and numbers for each profile."""
    text = ["::::{grid} 1 1 2 2", ":gutter: 3", ""]
    for headline in headlines:
        rows = ledger[ledger["id"] == headline.id].to_dict("records")
        text += [f":::{{grid-item-card}} {headline.question}"]
        text += ["\n\n".join(_verdict(headline, row) for row in rows) or "Not measured.", ""]
        if rows:
            notebook = rows[0]["notebook"]
            text.append(
                f"[See chapter {int(notebook.partition('_')[0])}](../notebooks/{notebook}.ipynb)"
            )
        text += [":::", ""]
    return "\n".join([*text, "::::", ""])


def _verdict(headline: Headline, row: dict[str, Any]) -> str:
    css = str(row["verdict"]).replace(" ", "-")
    head = f"`{row['profile']}`: [{row['verdict']}]{{.verdict .verdict-{css}}}"
    return f"{head} {headline.answer(row['verdict'])}\n\n[{numbers(row)}]{{.numbers}}"


def numbers(row: dict[str, Any]) -> str:
    """Effect, control, their difference with its interval over seeds, and how many seeds."""
    if math.isnan(row["difference"]):
        return f"Not measured. {row['note']}".strip()
    seeds = f"{row['n_seeds']} {'seed' if row['n_seeds'] == 1 else 'seeds'}"
    ends = [row["difference_low"], row["difference_high"]]
    interval = (
        "no interval" if any(map(math.isnan, ends)) else "95 %: {:.2g} to {:.2g}".format(*ends)
    )
    quantity = row["quantity"][0].upper() + row["quantity"][1:]
    matters = {"above": "+", "below": "-", "equal": "within "}[row["direction"]]
    return (
        f"{quantity}: {row['effect']:.2g}; control ({row['control']}): "
        f"{row['control_effect']:.2g}. Difference {row['difference']:+.2g} ({interval}; {seeds}); "
        f"what would matter: {matters}{row['margin']:.2g}."
        + (f" {UNDECIDED}" if UNDECIDED in row["note"] else "")
    )


def figure_directive(sweep: SweepTables) -> str:
    """The figure with a caption and alternative text that name the profiles."""
    names = " and ".join(f"`{name}`" for name in dict.fromkeys(sweep.runs["profile"]))
    caption = _CAPTION.format(names=names)
    return (
        f"```{{figure}} generated/{FIGURE}\n:name: fig-signature\n:alt: {_ALT}\n\n{caption}\n```\n"
    )


def curves(sweep: SweepTables) -> pd.DataFrame:
    """Accuracy by type of knowledge, and entropy beside its controls: means over seeds.

    Columns: profile, quantity, series, epoch, value, low, high, n_seeds. Entropy is the mean over
    types and bands, for the one relation that the controls were measured on.
    """
    accuracy = sweep.table("accuracy").query("band == 'all' and wording == 'trained'")
    controls = sweep.table("control_curves").query("control != 'random'")
    own = sweep.table("topology").merge(controls[["profile", "task"]].drop_duplicates())
    entropy = pd.concat([own.assign(control="own"), controls], ignore_index=True)
    found = []
    for quantity, table, series, value in (("accuracy", accuracy, "kind", "value"),
                                           ("entropy", entropy, "control", "entropy")):  # fmt: skip
        means = seed_means(table, ["profile", series, "epoch"], value)
        found.append(means.rename(columns={series: "series"}).assign(quantity=quantity))
    return pd.concat(found, ignore_index=True)


def bends(sweep: SweepTables) -> pd.DataFrame:
    """Epoch of the bend of entropy and accuracy: median over cells, then mean over seeds.

    Columns: profile, quantity, value, low (earliest seed), high (latest seed). Cells that decide
    "no bend" are left out.
    """
    table = sweep.table("phase_shift").query("decision != 'no bend' and quantity != 'edge_jaccard'")
    keys = ["profile", "quantity"]
    per_seed = table.groupby([*keys, "seed"], as_index=False)["breakpoint_epoch"].median()
    by = per_seed.groupby(keys)["breakpoint_epoch"]
    return by.agg(value="mean", low="min", high="max").reset_index()
