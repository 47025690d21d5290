"""The figures of a study, from its tables alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts, plots
from kc_utils.plots.style import svg_bytes


def write_figures(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write every figure below ``folder``: SVG, and an HTML page per circuit drawing.

    A circuit of which pruning left no edge has no drawing.
    """
    figures = {
        "faithfulness": plots.facts_curves(tables["sizes"]),
        "hits": plots.facts_hits(tables["transfer"]),
        "specificity": plots.facts_transfer(tables["transfer"]),
        "logit_lens": plots.facts_lens(tables["logit_lens"]),
    }
    if tables["topology"]["checkpoint"].nunique() > 1:
        figures["evolution"] = plots.facts_evolution(tables["topology"])
    cells = tables["sizes"][["relation", "group"]].drop_duplicates()
    for relation, group in cells.itertuples(index=False):
        name = file_name(relation, {path.removeprefix("heads-") for path in figures})
        figures[f"heads-{name}"] = plots.facts_roles(of(tables["heads"], relation, group))
        if len(of(tables["strongest_edges"], relation, group)):
            drawing(tables, relation, group).save(folder / f"circuit-{name}.html")
    for name, figure in figures.items():
        content = svg_bytes(figure)
        artifacts.write_atomically(folder / f"{name}.svg", lambda p, c=content: p.write_bytes(c))


def of(table: pd.DataFrame, relation: str, group: str) -> pd.DataFrame:
    """The rows of one relation and group, without these columns."""
    here = (table["relation"] == relation) & (table["group"] == group)
    return table[here].drop(columns=["relation", "group"]).reset_index(drop=True)


def drawing(tables: dict[str, pd.DataFrame], relation: str, group: str) -> plots.Drawing:
    """The strongest edges of one circuit."""
    graph = tables["graph"].iloc[0]
    heads = of(tables["heads"], relation, group)
    roles = heads[heads["in_circuit"]]
    nodes = pd.DataFrame(
        {"node": "a" + roles["layer"].astype(str) + ".h" + roles["head"].astype(str),
         "role": roles["role"]}
    )  # fmt: skip
    edges = of(tables["strongest_edges"], relation, group)
    return plots.circuit_drawing(edges, int(graph["n_layers"]), int(graph["n_heads"]), nodes=nodes)


def file_name(relation: str, used: set[str]) -> str:
    """A relation as part of a file's name, one that is not used yet."""
    name = "".join(c if c.isalnum() else "-" for c in relation)
    while name in used:
        name += "-2"
    return name
