"""The figures of a study, from its tables alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from kc_utils import artifacts, plots
from kc_utils.errors import cut
from kc_utils.plots.style import svg_bytes

MOST_BYTES = 80  # of a file's name that come from a relation
MOST_OF_A_LABEL = 40  # characters of a relation in a figure


def write_figures(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write every figure below ``folder``: SVG, and an HTML page per circuit drawing.

    A circuit of which pruning left no edge has no drawing.
    """
    cells = tables["sizes"][["relation", "group"]].drop_duplicates()
    files: dict[str, str] = {}
    for relation in cells["relation"]:
        files[relation] = file_name(relation, set(files.values()))
    written = labels(dict.fromkeys(tables["relations"]["relation"]))
    tables = {name: with_labels(table, written) for name, table in tables.items()}
    figures = {
        "faithfulness": plots.facts_curves(tables["sizes"]),
        "hits": plots.facts_hits(tables["transfer"]),
        "specificity": plots.facts_transfer(tables["transfer"]),
        "logit_lens": plots.facts_lens(tables["logit_lens"]),
    }
    if tables["topology"]["checkpoint"].nunique() > 1:
        figures["evolution"] = plots.facts_evolution(tables["topology"])
    for relation, group in cells.itertuples(index=False):
        name, label = files[relation], written[relation]
        figures[f"heads-{name}"] = plots.facts_roles(of(tables["heads"], label, group))
        if len(of(tables["strongest_edges"], label, group)):
            drawing(tables, label, group).save(folder / f"circuit-{name}.html")
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
    """A relation as part of a file's name, one that is not used yet and that every disk takes."""
    plain = "".join(c if c.isalnum() else "-" for c in relation)
    name = plain.encode()[:MOST_BYTES].decode(errors="ignore")
    while name in used:
        name += "-2"
    return name


def labels(relations: Iterable[str]) -> dict[str, str]:
    """What figures call each relation: cut where it is long, no two alike.

    Matplotlib reads what stands between two dollar signs as a formula, unless they are marked.
    """
    found: dict[str, str] = {}
    for relation in relations:
        wide = any(unicodedata.east_asian_width(c) in "WF" for c in relation)
        short = cut(relation, MOST_OF_A_LABEL // 2 if wide else MOST_OF_A_LABEL)
        label, number = short, 1
        while label in found.values():
            number += 1
            label = f"{short} ({number})"
        found[relation] = label
    return {relation: label.replace("$", r"\$") for relation, label in found.items()}


def with_labels(table: pd.DataFrame, written: dict[str, str]) -> pd.DataFrame:
    """The table with labels instead of its relations."""
    columns = [c for c in ("relation", "source_relation", "other_relation") if c in table]
    return table.assign(**{column: table[column].map(written) for column in columns})
