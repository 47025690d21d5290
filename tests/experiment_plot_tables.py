"""Made-up tables of controls, strangers, the ledger, the experiments and a study of facts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import plot_tables as tables

EPOCHS = np.arange(9.0)
WORDINGS, SEEDS = ["trained", "held_out"], [0, 1, 2]
KINDS_OF_RELEVANCE = ["unknown", "tokens", "other", "same"]
STRATEGIES = ["plain", "replay", "names first", "phase", "phase random", "circuit", "random parts"]
RELATIONS, GROUPS = ("capital", "continent"), ("known", "unknown")
ABLATIONS, SHARES = ("corrupted", "zero", "mean"), (0.001, 0.01, 0.1, 1.0)


def control_curves() -> pd.DataFrame:
    """Own entropy falls, that of the controls does not."""
    names = ("own", "shuffled labels", "untrained", "random")
    rows = [(e, n, 6.0 - 0.2 * e * (n == "own")) for e, n in product(EPOCHS, names)]
    return pd.DataFrame(rows, columns=["epoch", "control", "entropy"])


def neighbours() -> pd.DataFrame:
    """Circuits of neighbouring checkpoints grow alike."""
    overlap = np.append(np.nan, 0.4 + 0.03 * EPOCHS[1:])
    return pd.DataFrame({"epoch": EPOCHS, "edge_jaccard_previous": overlap})


def noise_floor() -> pd.DataFrame:
    """Two draws at two checkpoints."""
    rows = [(e, d, 0.55 + 0.02 * d, 0.9) for e, d in product((4.0, 8.0), (0, 1))]
    return pd.DataFrame(rows, columns=["epoch", "draw", "edge_jaccard", "node_jaccard"])


def unseen() -> pd.DataFrame:
    """Entropy falls for all, accuracy rises for those who were written about."""
    groups = ("K_rel", "K_compl", "unseen")
    rows = [
        (e, g, 5.0 - 0.2 * e, 0.1 * e * (g != "unseen"), 0.05 * e * (g == "unseen"))
        for e, g in product(EPOCHS, groups)
    ]
    return pd.DataFrame(rows, columns=["epoch", "group", "entropy", "accuracy", "confident_wrong"])


def frequency_curve() -> pd.DataFrame:
    """More biographies, more right answers."""
    rows = [(kind, n, 0.1 + 0.1 * n, 20) for kind, n in product(("K_rel", "K_compl"), range(1, 9))]
    return pd.DataFrame(rows, columns=["kind", "frequency", "accuracy", "n_people"])


def exposure() -> pd.DataFrame:
    """Gains that decay."""
    groups, wordings = ("once", "repeated", "varied"), ("seen", "trained", "held_out")
    rows = [
        (g, w, t, (1 + (g != "once")) / (1 + t) ** 0.3)
        for g, w, t in product(groups, wordings, (0, 1, 4, 16, 64))
    ]
    return pd.DataFrame(rows, columns=["group", "wording", "since", "gain"])


def ledger() -> pd.DataFrame:
    """Three claims: as claimed in two profiles, its opposite, and one that was not measured."""
    beyond, none = "beyond the margin", "not measured"
    rows = [
        ("a", "A thing is so", "tiny", 0.5, 0.4, 0.6, 0.1, "as claimed", beyond),
        ("a", "A thing is so", "tiny-llama", 0.5, 0.4, 0.6, 0.1, "as claimed", beyond),
        ("b", "Another", "tiny", -3.0, -4.0, -2.0, 0.5, "opposite", beyond),
        ("c", "A third", "tiny", np.nan, np.nan, np.nan, 1.0, "none", none),
    ]
    columns = ["id", "claim", "profile", "effect", "low", "high", "margin", "direction", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def relevance() -> pd.DataFrame:
    """Accuracy that rises sooner the more is known, over three seeds."""
    kinds = KINDS_OF_RELEVANCE
    frame = tables.grid(
        epoch=tables.EPOCHS, kind_of_relevance=kinds, wording=WORDINGS, profile=["tiny"], seed=SEEDS
    )
    level = frame["kind_of_relevance"].map({kind: i for i, kind in enumerate(kinds)})
    right = tables.rising(frame.assign(epoch=frame["epoch"] + level))["value"].clip(lower=0)
    same = frame["kind_of_relevance"] == "same"
    old = (0.3 * (1 - right)).where(same)
    return frame.assign(accuracy=right, old_answer=old, old_chance=old / 3)


def relevance_people() -> pd.DataFrame:
    """Areas of twenty pairs of people in each of three seeds."""
    kinds = KINDS_OF_RELEVANCE
    frame = tables.grid(
        kind_of_relevance=kinds,
        pair=list(range(20)),
        wording=WORDINGS,
        profile=["tiny"],
        seed=SEEDS,
    )
    level = frame["kind_of_relevance"].map({kind: i for i, kind in enumerate(kinds)})
    return frame.assign(area=0.3 + 0.05 * level + 0.01 * frame["pair"] + 0.01 * frame["seed"])


def strategies() -> pd.DataFrame:
    """Curves of three seeds: new facts rise, old facts fall, each strategy at another pace."""
    frame = tables.grid(
        strategy=STRATEGIES, step=list(range(0, 60, 10)), profile=["tiny"], seed=SEEDS
    )
    pace = 1 + frame["strategy"].map({name: i for i, name in enumerate(STRATEGIES)})
    done = frame["step"] / 50
    return frame.assign(
        tokens=frame["step"] * 512,
        new_accuracy=done * pace / 10 + 0.01 * frame["seed"],
        old_accuracy=0.9 - done * pace / 10 + 0.01 * frame["seed"],
        entropy=6 - done,
    )


def strategies_summary() -> pd.DataFrame:
    """A row per strategy and seed, as in the table ``strategies_summary``."""
    frame = tables.grid(strategy=STRATEGIES, profile=["tiny"], seed=SEEDS)
    pace = 1 + frame["strategy"].map({name: i for i, name in enumerate(STRATEGIES)})
    area = pace / 20 + 0.01 * frame["seed"]
    return frame.assign(area_new=area, change_old=-0.9 * area + 0.01 * frame["seed"] ** 2)


def _table(columns: list[str], rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)


def facts_sizes() -> pd.DataFrame:
    """Curves that rise to one, with random circuits on held-out facts only."""
    kinds = [("evaluate", c) for c in ("own", "random", "random_per_layer")]
    rows = [
        (relation, split, circuit, ablation, share, share ** (0.1 if circuit == "own" else 1.0))
        for relation, (split, circuit), ablation, share in product(
            RELATIONS, [*kinds, ("discover", "own")], ABLATIONS, SHARES
        )
    ]
    return _table(["relation", "split", "circuit", "ablation", "share", "faithfulness"], rows)


def facts_transfer() -> pd.DataFrame:
    """Own circuits serve their own facts best; random ones little."""
    cells = list(product(RELATIONS, GROUPS))
    rows = [
        (*a, *b, "own", ablation, 0.9 if a == b else 0.4)
        for a, b, ablation in product(cells, cells, ABLATIONS)
    ]
    rows += [(*a, *a, "random", ablation, 0.1) for a, ablation in product(cells, ABLATIONS)]
    columns = ["source_relation", "source_group", "relation", "group", "circuit", "ablation"]
    table = _table([*columns, "faithfulness"], rows).assign(model_hit=1.0)
    table["hit"] = table["faithfulness"]
    for name, (end, by) in product(("faithfulness", "hit"), (("low", -0.05), ("high", 0.05))):
        table[f"{name}_{end}"] = table[name] + by
    return table


def facts_heads() -> pd.DataFrame:
    """All roles in a model of three layers with four heads."""
    roles = np.resize(["mover", "mixture", "relation"], 12)
    layer, head = np.divmod(np.arange(12), 4)
    return pd.DataFrame({"layer": layer, "head": head, "role": roles, "in_circuit": head != 2})


def facts_lens() -> pd.DataFrame:
    """The right answer rises with the layer."""
    cells = product(RELATIONS, GROUPS, ("right", "wrong"), range(5), ("last", "subject"))
    rows = [(*cell, cell[3] / 8, 4.0 - cell[3]) for cell in cells]
    columns = ["relation", "group", "target", "layer", "position", "probability", "log10_rank"]
    return _table(columns, rows)


def facts_topology() -> pd.DataFrame:
    """Three checkpoints."""
    rows = [
        (i, relation, "known", 5.0 - i, i / 2, i / 4 if i else np.nan)
        for relation in RELATIONS
        for i in range(3)
    ]
    columns = [
        "checkpoint",
        "relation",
        "group",
        "entropy",
        "edge_jaccard",
        "edge_jaccard_previous",
    ]
    return _table(columns, rows)
