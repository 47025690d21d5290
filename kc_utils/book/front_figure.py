"""The figure of the front page: accuracy on new facts above the entropy of circuits, with controls.

It comes from the tables of a sweep.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.seeds import at_common_epochs, seed_means
from kc_utils.plots.controls import signature
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import SHUFFLED, SweepTables, real_runs

FIGURE = "signature.svg"
_ALT = (
    "Line charts in two rows against the epoch. Above, accuracy on new facts for people known "
    "before and for new people. Below, entropy of the circuit's edges beside its controls. Dashed "
    "vertical lines mark onset and knee of the entropy."
)
_CAPTION = (
    "How facts arrive and circuits form, means over training runs. Above: accuracy on the first "
    "token of new facts, in texts that training reads, for people known before (K_rel) and for new "
    "people (K_compl; K_strange: with names of rare tokens). Below: how evenly importance is "
    "spread over the edges of the circuit (entropy of the kept edges as a share of its maximum), "
    "beside circuits that were asked for other people's answers, circuits of an untrained model "
    "and, in grey, runs with nothing to learn. Dashed: onset and knee (the "
    "{term}`phase shift`), each the median over the circuits that have one."
)
_CONTROLS = ("shuffled labels", "untrained")


def pages(sweep: SweepTables) -> dict[str, str]:
    """The figure's directive and the figure: file name -> MyST text or SVG."""
    head = f"```{{figure}} generated/{FIGURE}\n:name: fig-signature\n:alt: {_ALT}\n\n"
    return {
        "signature.md": f"{head}{_CAPTION}\n```\n",
        FIGURE: svg_bytes(signature(curves(sweep), bends(sweep))).decode(),
    }


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
    return real_runs(sweep.table(name))
