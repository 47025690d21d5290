"""The figure of the front page: accuracy on new facts above the entropy of circuits, with controls.

It comes from the tables of a sweep; the page is :mod:`kc_utils.book.front_page`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.seeds import LEAST_SEEDS, at_common_epochs, seed_means
from kc_utils.book.ledger_words import without_controls
from kc_utils.book.sentences import enumeration
from kc_utils.book.verdict_marks import called_shortly, marked
from kc_utils.config import STRANGE
from kc_utils.plots.controls import signature
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.over_seeds import SHUFFLED

FIGURE = "signature.svg"
_ALT = (
    "Line charts in two rows against the epoch. Above, accuracy on new facts for people known "
    "before and for new people. Below, entropy of the circuit's edges beside its controls. Dashed "
    "vertical lines mark onset and knee of the entropy."
)
_CAPTION = (
    "How facts arrive and circuits form, means over seeds: {names} models{few}. Above: accuracy on "
    "the first token of new facts, in texts that training reads, for people known before (K_rel) "
    "and for new people (K_compl){strange}. Below: how evenly importance is spread over the edges "
    "of the circuit (entropy of the kept edges as a share of its maximum, because runs keep "
    "different numbers of edges; questions about the {task}), beside circuits that were asked for "
    "other people's answers and circuits of an untrained model{runs}. Dashed: where "
    "the steep fall of the entropy begins (onset) and where it turns slow (knee, the "
    "{{term}}`phase shift`), each the median over the circuits that have one: {shares}.{rise}"
)
_RUNS = "; in grey, whole runs whose answers were shuffled: there was nothing to learn"
_STRANGE = ", some of them with names of rare tokens (K_strange)"
_RISE = " The knee comes while accuracy is rising, about where the paper has it: {}."
_CONTROLS = ("shuffled labels", "untrained")


def pages(sweep: SweepTables, ledger: pd.DataFrame) -> dict[str, str]:
    """The figure's directive and the figure: file name -> MyST text or SVG.

    The verdict on what the figure asks is that of ``ledger``, over seeds.
    """
    drawn = curves(sweep)
    return {
        "signature.md": directive(sweep, set(drawn["series"]), _rise(ledger)),
        FIGURE: svg_bytes(signature(drawn, bends(sweep))).decode(),
    }


def directive(sweep: SweepTables, series: Collection[str], rise: str = "") -> str:
    """The figure with a caption and alternative text; the caption names models and ``series``."""
    names = enumeration(map(called_shortly, dict.fromkeys(_real(sweep, "topology")["profile"])))
    seeds = _real(sweep, "topology").groupby("profile", sort=False)["seed"].nunique()
    few = enumeration(map(called_shortly, seeds.index[seeds < LEAST_SEEDS]))
    caption = _CAPTION.format(
        names=names,
        few=f" (too few of {few} for an interval)" if few else "",
        task=enumeration(_tasks(sweep)["task"].unique()),
        shares="; ".join(_shares(sweep)),
        strange=_STRANGE if STRANGE in series else "",
        runs=_RUNS if "shuffled run" in series else "",
        rise=rise,
    )
    return (
        f"```{{figure}} generated/{FIGURE}\n:name: fig-signature\n:alt: {_ALT}\n\n{caption}\n```\n"
    )


def _rise(ledger: pd.DataFrame) -> str:
    """Whether the knee lies in the rise of accuracy: the verdicts in a sentence, or nothing."""
    found = by_verdict(ledger[ledger["id"] == "knee-in-rise"])
    return _RISE.format(found) if found else ""


def by_verdict(rows: pd.DataFrame) -> str:
    """The verdicts on one claim, each with the models that have it if they differ."""
    said: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        mark = marked(row["verdict"], row["direction"])
        said.setdefault(mark, []).append(called_shortly(row["profile"]))
    where = {mark: f" ({enumeration(names)})" * (len(said) > 1) for mark, names in said.items()}
    return enumeration(f"{mark}{where[mark]}" for mark in said)


def _shares(sweep: SweepTables) -> Iterator[str]:
    for profile, part in _entropy_bends(sweep).groupby("profile", sort=False):
        onset, knee = (int(part[bend].notna().sum()) for bend in ("onset", "knee"))
        model = called_shortly(str(profile))
        yield f"{model}, {onset} of {len(part)} have an onset and {knee} a knee"


def curves(sweep: SweepTables) -> pd.DataFrame:
    """Accuracy by type of knowledge, and entropy beside its controls: means over seeds.

    Columns: profile, quantity, series, epoch, value, low, high, n_seeds. Entropy is that of the
    kept edges over its maximum (runs keep different numbers of edges), the mean over types and
    bands, for the one relation that the controls were measured on. The series "shuffled run" is
    the profile's runs with shuffled answers.
    """
    read = sweep.table("accuracy_read").query("band == 'all'")
    controls = sweep.table("control_curves").query("control != 'random'")
    discovered = sweep.table("topology").merge(_tasks(sweep)).assign(control="own")
    entropy = pd.concat([discovered, controls], ignore_index=True)
    several = entropy["n_edges"].where(entropy["n_edges"] > 1)
    entropy["share"] = entropy["entropy_kept"] / np.log(several)
    found = []
    for quantity, table, series, value in (
        ("accuracy", read, "kind", "value"),
        ("entropy", entropy, "control", "share"),
    ):
        real, other = real_and_shuffled(table)
        other = other[~other[series].isin(_CONTROLS)].assign(**{series: "shuffled run"})
        both = pd.concat([real, other], ignore_index=True)
        both = at_common_epochs(both, ["profile", series])
        means = seed_means(both, ["profile", series, "epoch"], value)
        found.append(means.rename(columns={series: "series"}).assign(quantity=quantity))
    return pd.concat(found, ignore_index=True)


def real_and_shuffled(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of real profiles, and those of their shuffled runs under the same profile."""
    shuffled = table["profile"].str.endswith(SHUFFLED)
    real, other = table[~shuffled], table[shuffled]
    other = other.assign(profile=other["profile"].str.removesuffix(SHUFFLED))
    return real, other[other["profile"].isin(real["profile"])]


def bends(sweep: SweepTables) -> pd.DataFrame:
    """Epochs of onset and knee of the kept edges' entropy: median over cells, mean over seeds.

    Columns: profile, bend, value, low (earliest seed), high (latest seed). Only decided ones count.
    """
    table = _entropy_bends(sweep)
    long = table.melt(["profile", "seed"], ["onset", "knee"], var_name="bend", value_name="epoch")
    keys = ["profile", "bend"]
    per_seed = long.dropna().groupby([*keys, "seed"], as_index=False, sort=False)["epoch"].median()
    by = per_seed.groupby(keys, sort=False)["epoch"]
    return by.agg(value="mean", low="min", high="max").reset_index()


def _entropy_bends(sweep: SweepTables) -> pd.DataFrame:
    """Of the relation whose entropy is drawn."""
    return _real(sweep, "shift").query("quantity == 'entropy_kept'").merge(_tasks(sweep))


def _tasks(sweep: SweepTables) -> pd.DataFrame:
    """profile and the task that its controls were measured on."""
    return sweep.table("control_curves")[["profile", "task"]].drop_duplicates()


def _real(sweep: SweepTables, name: str) -> pd.DataFrame:
    return without_controls(sweep.table(name))
