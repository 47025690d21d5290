"""The front page's second figure: a circuit's size and depth over the seeds of a sweep.

It answers two questions at a glance: how few edges carry the answer, and whether the circuit moves
through the layers as the paper says.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.seeds import at_common_epochs, seed_means
from kc_utils.book.front_figure import real_and_shuffled
from kc_utils.plots.front_panels import size_and_depth
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import SweepTables, real_runs

FIGURE = "size_and_depth.svg"
_NEEDED = ("sizes", "circuit_size", "centre_of_mass", "graph")
_ALT = (
    "Two line charts. Left, the share of the model's answer that the strongest edges restore, "
    "against the share of edges kept, beside random edges. Right, the mean layer in which the "
    "circuit's edges start, against the epoch, beside random circuits."
)
_CAPTION = (
    "Left: how much of the model's answer is left when all edges but the strongest carry another "
    "person's values, about people whom the circuit was not found on. The vertical line is the "
    "size of circuits in this book. Right: the mean layer in which a circuit's edges start; by the "
    "paper's account it rises first and falls later. Means over seeds, relations, types and "
    "bands; purple, runs with nothing to learn, whose circuits drift as well."
)
#: The series of circuits of real runs, and of whole runs with nothing to learn.
OWN, SHUFFLED_RUN = "own", "shuffled run"


def pages(sweep: SweepTables) -> dict[str, str]:
    """The figure's directive and the figure; nothing where the sweep lacks their tables."""
    if not all(sweep.has(name) for name in _NEEDED):
        return {"size_and_depth.md": ""}
    layers = sweep.table("graph").groupby("profile", as_index=False)["n_layers"].max()
    n_layers = layers.set_index("profile")["n_layers"].to_dict()
    figure = size_and_depth(curves(sweep), _chosen(sweep), n_layers)
    head = f"```{{figure}} generated/{FIGURE}\n:name: fig-size-depth\n:alt: {_ALT}\n\n"
    return {
        "size_and_depth.md": f"{head}{_CAPTION}\n```\n",
        FIGURE: svg_bytes(figure).decode(),
    }


def curves(sweep: SweepTables) -> pd.DataFrame:
    """What circuits of each size restore, and the layer their edges start from: means over seeds.

    Columns: profile, picture ("size", "depth"), series, x, value, low, high, n_seeds.
    """
    sizes = real_runs(sweep.table("sizes").query("ablation == 'corrupted'"))
    restored = seed_means(sizes, ["profile", "circuit", "share"], "value")
    restored = restored.rename(columns={"circuit": "series", "share": "x"})
    return pd.concat(
        [restored.assign(picture="size"), depth(sweep).assign(picture="depth")],
        ignore_index=True,
    )


def depth(sweep: SweepTables) -> pd.DataFrame:
    """The mean layer that edges start from, by profile, series and epoch ``x``: mean over seeds."""
    real, shuffled = real_and_shuffled(sweep.table("centre_of_mass"))
    found = []
    for series, part, column in (
        (OWN, real, "source"),
        ("random", real, "random_source"),
        (SHUFFLED_RUN, shuffled, "source"),
    ):
        if len(part):
            means = seed_means(at_common_epochs(part, ["profile"]), ["profile", "epoch"], column)
            found.append(means.assign(series=series))
    return pd.concat(found, ignore_index=True).rename(columns={"epoch": "x"})


def _chosen(sweep: SweepTables) -> pd.DataFrame:
    """The study's size as a share of the edges: profile, share; mean over seeds."""
    sizes = real_runs(sweep.table("circuit_size"))
    return sizes[sizes["chosen"]].groupby("profile", as_index=False, sort=False)["share"].mean()
