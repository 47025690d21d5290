"""The figures of a study, from its tables alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts, plots
from kc_utils.plots.style import svg_bytes


def write_figures(folder: Path, tables: dict[str, pd.DataFrame], n_primary: int) -> None:
    """Write every figure below ``folder``: SVG, and an HTML page per circuit drawing."""
    main = [row for row in tables["sizes"][["relation", "group"]].drop_duplicates().to_numpy()]
    figures = {
        "faithfulness": plots.facts_curves(tables["sizes"]),
        "hits": plots.facts_hits(tables["transfer"]),
        "specificity": plots.facts_transfer(tables["transfer"]),
        "logit_lens": plots.facts_lens(tables["logit_lens"]),
    }
    if tables["topology"]["checkpoint"].nunique() > 1:
        figures["evolution"] = plots.facts_evolution(tables["topology"])
    for name, figure in figures.items():
        content = svg_bytes(figure)
        artifacts.write_atomically(folder / f"{name}.svg", lambda p, c=content: p.write_bytes(c))
    used: set[str] = set()
    for relation, group in main[:n_primary]:
        stem = file_name(relation)
        stem = f"{stem}-{len(used)}" if stem in used else stem
        used.add(stem)
        heads = of(tables["heads"], relation, group)
        content = svg_bytes(plots.facts_roles(heads))
        artifacts.write_atomically(
            folder / f"heads-{stem}.svg", lambda p, c=content: p.write_bytes(c)
        )
        drawing(tables, relation, group).save(folder / f"circuit-{stem}.html")


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


def file_name(text: str) -> str:
    """A relation's name as part of a file's name."""
    return "".join(c if c.isalnum() else "-" for c in text)
