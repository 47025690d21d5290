"""Tables of a study of facts with made-up numbers, for the tests of its figures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

RELATIONS, GROUPS = ("capital", "continent"), ("known", "unknown")
ABLATIONS, SHARES = ("corrupted", "zero", "mean"), (0.001, 0.01, 0.1, 1.0)


def _table(columns: list[str], rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)


def sizes() -> pd.DataFrame:
    """Curves that rise to one, with random circuits on held-out facts only."""
    kinds = [("evaluate", c) for c in ("own", "random", "random_per_layer")]
    rows = [
        (relation, split, circuit, ablation, share, share ** (0.1 if circuit == "own" else 1.0))
        for relation, (split, circuit), ablation, share in product(
            RELATIONS, [*kinds, ("discover", "own")], ABLATIONS, SHARES
        )
    ]
    return _table(["relation", "split", "circuit", "ablation", "share", "faithfulness"], rows)


def transfer() -> pd.DataFrame:
    """Discovered circuits serve their own facts best; random ones little."""
    cells = list(product(RELATIONS, GROUPS))
    rows = [(*a, *b, "own", ablation, 0.9 if a == b else 0.4)
            for a, b, ablation in product(cells, cells, ABLATIONS)]  # fmt: skip
    rows += [(*a, *a, "random", ablation, 0.1) for a, ablation in product(cells, ABLATIONS)]
    columns = ["source_relation", "source_group", "relation", "group", "circuit", "ablation"]
    table = _table([*columns, "faithfulness"], rows).assign(model_hit=1.0)
    table["hit"] = table["faithfulness"]
    for name, (end, by) in product(("faithfulness", "hit"), (("low", -0.05), ("high", 0.05))):
        table[f"{name}_{end}"] = table[name] + by
    return table


def heads() -> pd.DataFrame:
    """All roles in a model of three layers with four heads."""
    roles = np.resize(["mover", "mixture", "relation"], 12)
    layer, head = np.divmod(np.arange(12), 4)
    return pd.DataFrame({"layer": layer, "head": head, "role": roles, "in_circuit": head != 2})


def lens() -> pd.DataFrame:
    """The right answer rises with the layer."""
    cells = product(RELATIONS, GROUPS, ("right", "wrong"), range(5), ("last", "subject"))
    rows = [(*cell, cell[3] / 8, 4.0 - cell[3]) for cell in cells]
    columns = ["relation", "group", "target", "layer", "position", "probability", "log10_rank"]
    return _table(columns, rows)


def topology() -> pd.DataFrame:
    """Three checkpoints."""
    rows = [(i, relation, "known", 5.0 - i, i / 2, i / 4 if i else np.nan)
            for relation in RELATIONS for i in range(3)]  # fmt: skip
    columns = ["checkpoint", "relation", "group", "entropy", "edge_jaccard",
               "edge_jaccard_previous"]  # fmt: skip
    return _table(columns, rows)
