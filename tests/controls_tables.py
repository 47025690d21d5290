"""Made-up tables of the controls of the circuit's shape, in step with those of claims_tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

CONTROLS = ("shuffled labels", "untrained", "random")
FLOOR_STEPS, DRAWS = (60, 120), 3


def make(effect: float = 1.0, *, seed: int = 0, **changes: object) -> dict[str, pd.DataFrame]:
    """All tables of claims_tables, and those that the claims about controls need besides.

    ``effect`` 1: as the paper says; 0: controls are like the run itself; -1: the other way round.
    """
    from claims_tables import make as make_claims  # which may import this file

    tables = make_claims(effect, seed=seed, **changes)
    return tables if "noise_floor" in tables else with_controls(tables, effect, seed)


def with_controls(
    tables: dict[str, pd.DataFrame], effect: float, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """``tables`` with control_curves, noise_floor, mover_layers and node_jaccard_previous."""
    rng = np.random.default_rng([seed, 2])
    shape = tables["topology"]
    late = 0.55 + effect * 0.03 * shape["epoch"] + 0.02 * rng.normal(size=len(shape))
    return tables | {
        "topology": shape.assign(node_jaccard_previous=late),
        "control_curves": _curves(shape, rng),
        "noise_floor": _floor(shape, rng),
        "mover_layers": _movers(shape, effect, rng),
    }


def _curves(shape: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Entropy falls along a straight line; the depth of the edges is noise."""
    first = shape[shape["task"] == "city"][["step", "epoch", "task", "kind", "band"]]
    at = first.merge(pd.DataFrame({"control": CONTROLS}), how="cross")
    return at.assign(
        entropy=7 - 0.01 * at["epoch"], edge_jaccard=0.4,
        edge_jaccard_previous=0.4, source=2 + 0.05 * rng.normal(size=len(at)), n_edges=300,
    )  # fmt: skip


def _floor(shape: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    cells = shape[shape["task"] == "city"][["task", "kind", "band"]].drop_duplicates()
    at = pd.DataFrame(list(product(FLOOR_STEPS, range(DRAWS))), columns=["step", "draw"])
    at = cells.merge(at.assign(epoch=at["step"] / 10), how="cross")
    return at.assign(
        edge_jaccard=0.55 + 0.01 * rng.normal(size=len(at)),
        node_jaccard=0.6 + 0.01 * rng.normal(size=len(at)),
        entropy_difference=0.05,
    )


def _movers(shape: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    at = shape[["step", "epoch", "task", "kind", "band"]]
    layers = at.merge(pd.DataFrame({"layer": range(6)}), how="cross")
    pull = np.exp(effect * 0.05 * layers["epoch"] * (layers["layer"] - 2.5))
    return layers.assign(count=rng.poisson(20 * pull))
