"""Made-up tables about depth, head roles, circuits and forgetting, in step with claims_tables.

``effect`` 1: as the claims say; 0: no effects; -1: the other way round.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from claims_tables import ABLATIONS, EPOCHS, N_LAYERS, STEPS

CELL = ["task", "kind", "band"]
QUERY = [*CELL, "pair_id", "person_id"]
ONSET, KNEE = 2.0, 7.0
KEPT = 0.2  # share of a layer's edges that circuits keep, on average
FORGET_STEPS = (0, 20, 30, 40)


def with_topics(
    tables: dict[str, pd.DataFrame], effect: float, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """``tables`` with those that the claims about these topics need besides."""
    rng = np.random.default_rng([seed, 4])
    cells = tables["phases"][CELL]
    return tables | {
        "shift": _shift(cells),
        "activation_ratio": _activation(cells, effect),
        "logit_lens": _lens(cells, effect, rng),
        "role_shares_published": _published(cells, effect, rng),
        "head_roles": with_published_roles(tables["head_roles"], effect, rng),
        "circuit_pairs": _with_zeros(tables["circuit_pairs"], effect, rng),
        "transfer_pairs": _with_logits(tables["transfer_pairs"], effect, rng),
        "size_curve": _empty(tables["transfer_pairs"]),
        "aligned_pairs": _same_queries(tables["aligned_pairs"]),
        "ways": _ways(cells, effect, rng),
        "forgetting": forgetting(effect, rng),
    }


def _shift(cells: pd.DataFrame) -> pd.DataFrame:
    quantities = ("entropy", "entropy_kept", "edge_jaccard", "accuracy")
    frames = [cells.assign(quantity=q, onset=ONSET, knee=KNEE, sharp=True) for q in quantities]
    return pd.concat(frames, ignore_index=True)


def _activation(cells: pd.DataFrame, effect: float) -> pd.DataFrame:
    """Deeper layers gain what shallow ones lose; edges from ``input`` go with layer 0."""
    at = cells.merge(pd.DataFrame({"step": STEPS, "epoch": EPOCHS.astype(float)}), how="cross")
    table = at.merge(pd.DataFrame({"layer": range(-1, N_LAYERS)}), how="cross")
    side = np.sign(table["layer"] - 2).where(table["layer"] < N_LAYERS - 1, 0)
    ratio = KEPT + effect * 0.1 * side * (table["epoch"] / EPOCHS[-1] - 0.5)
    table = table.assign(possible=np.where(table["layer"] < 0, 50, 100))
    return table.assign(
        node=np.where(table["layer"] < 0, "input", "layer"), kept=ratio * table["possible"],
        ratio=ratio, expected=KEPT,
    )  # fmt: skip


def _lens(cells: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    """The answer is there after the last layer; with an effect, three layers earlier at the end."""
    at = cells.merge(pd.DataFrame({"step": STEPS, "epoch": EPOCHS.astype(float)}), how="cross")
    table = at.merge(pd.DataFrame({"layer": range(N_LAYERS + 1)}), how="cross")
    first = N_LAYERS - 0.4 - effect * 3 * table["epoch"] / EPOCHS[-1]
    falling = effect * 0.06 * (table["layer"] == N_LAYERS) * table["epoch"]
    rank = np.where(table["layer"] >= first, 0.9, 2.0) + 0.01 * rng.normal(size=len(table))
    return table.assign(position="last", log10_rank=rank - falling)


def _published(cells: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    at = cells.merge(pd.DataFrame({"step": STEPS, "epoch": EPOCHS.astype(float)}), how="cross")
    t, noise = at["epoch"], 0.01 * rng.normal(size=len(at))
    grown = {"mover": 0.2 + 0.02 * effect * t, "relation": 0.5 - 0.02 * effect * t}
    frames = [at.assign(role=role, value=value + noise) for role, value in grown.items()]
    return pd.concat(frames, ignore_index=True).assign(expected=0.3)


def with_published_roles(
    heads: pd.DataFrame, effect: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Nine in ten published roles are those by the answer, any role, or never the same."""
    role = heads["role"].to_numpy()
    if effect < 0:
        other = {"mover": "relation", "relation": "mover", "mixture": "mover"}
        return heads.assign(published_role=heads["role"].map(other))
    drawn = rng.choice(["mover", "relation", "mixture"], size=len(heads))
    same = rng.random(len(heads)) < 0.9 * effect
    return heads.assign(published_role=np.where(same, role, drawn))


def _with_zeros(pairs: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    """Discovery people under zero ablation answer more than others with corrupted values."""
    own = pairs[(pairs["circuit"] == "own") & (pairs["split"] == "discover")]
    level = (pairs.query("circuit == 'own' and split == 'evaluate'")["rank"] == 1).mean()
    right = rng.random(len(own)) < level + 0.25 * effect
    zero = own.assign(ablation="zero", rank=np.where(right, 1, 99))
    return pd.concat([pairs, zero], ignore_index=True)


def _with_logits(pairs: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    share = 0.4 + 0.4 * effect * (pairs["circuit"] == "own")
    noise = 0.1 * rng.normal(size=len(pairs))
    return pairs.assign(clean_logit_diff=3.0, logit_diff=6.0 * share - 3.0 + noise)


def _empty(pairs: pd.DataFrame) -> pd.DataFrame:
    """Without edges, the logit difference is -2 whatever the ablation; first task only."""
    asked = pairs.rename(columns={"target_band": "band"})[QUERY].drop_duplicates()
    asked = asked[asked["task"] == "city"]
    frames = [asked.assign(ablation=a, empty_logit_diff=-2.0, circuit="own") for a in ABLATIONS]
    return pd.concat(frames, ignore_index=True)


def _same_queries(pairs: pd.DataFrame) -> pd.DataFrame:
    """The circuits of After and Last answer the very same queries."""
    keys = [*QUERY, "ablation"]
    after = pairs[pairs["aligned"] == "After"].set_index(keys)["rank"]
    last = pairs["aligned"] == "Last"
    ranks = after.loc[pd.MultiIndex.from_frame(pairs.loc[last, keys])].to_numpy()
    pairs = pairs.copy()
    pairs.loc[last, "rank"] = ranks
    return pairs


def _ways(cells: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    levels = {"here": 0.7, "partners from everybody": 0.7, "greedy": 0.7 + 0.15 * effect,
              "random": 0.2}  # fmt: skip
    first = cells[cells["task"] == "city"]
    frames = [first.assign(way=way, ablation=ablation, n_edges=300,
                           faithfulness=level + 0.01 * rng.normal(size=len(first)))
              for (way, level), ablation in product(levels.items(), ABLATIONS)]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def forgetting(effect: float, rng: np.random.Generator | None = None) -> pd.DataFrame:
    """Shapes of the circuits: without replay they stay away, with a tenth they come back.

    With ``effect`` -1 the drift comes back and replay doesn't, and replay moves circuits more.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    dip, away, still = (0, 0.6, 0.8, 0.2), (0, 0.6, 0.8, 0.8), (0, 0.1, 0.1, 0.1)
    paths = {(variant, ratio): path for variant in ("new_people", "conflicting")
             for ratio, path in ((0.0, away), (0.1, dip), (1.0, still))}  # fmt: skip
    if effect < 0:
        paths = {(v, r): {0.0: still, 0.1: away, 1.0: away}[r] for v, r in paths}
    paths["drift", 1.0] = dip if effect < 0 else still
    rows = []
    for (variant, ratio), path in paths.items():
        for step, gone in zip(FORGET_STEPS, path, strict=True):
            moved = abs(effect) * gone + (0.01 * rng.normal() if step else 0.0)
            row = {"variant": variant, "ratio": ratio, "step": step, "entropy": 6.0 + moved}
            row |= {"edge_jaccard": 1 - 0.5 * moved if step else 1.0}
            rows.append(row | {"normalised_entropy_kept": 0.7 + 0.2 * moved})
    return pd.DataFrame(rows)
