"""Synthetic tables that the tests of figures draw from."""

from __future__ import annotations

import functools
from itertools import product

import numpy as np
import pandas as pd

from kc_utils.plots import style

EPOCHS = list(range(0, 21, 2))
KINDS, BANDS = ["K_rel", "K_compl"], ["high", "medium", "low"]
CELLS = {"epoch": EPOCHS, "kind": KINDS, "band": BANDS}


def grid(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(list(product(*columns.values())), columns=list(columns))


def rising(frame: pd.DataFrame, top: float = 0.9, at: float = 7.0) -> pd.DataFrame:
    """An S curve over epochs, lower for rarer people, with a noisy value and an interval."""
    rng = np.random.default_rng([len(frame), 1])
    scale = np.ones(len(frame))
    for column, factors in {
        "band": {"high": 1.0, "medium": 0.7, "low": 0.4},
        "kind": {"K_compl": 0.9},
        "circuit": {"random": 0.15},
        "wording": {"held_out": 0.75},
        "ablation": {"zero": 0.7, "mean": 0.85},
        "aligned": {"Init": 0.6, "Before": 0.5, "Random": 0.1, "Last": 0.95},
    }.items():
        if column in frame:
            scale *= frame[column].map(factors).fillna(1.0).to_numpy()
    epoch = frame["epoch"] if "epoch" in frame else 20
    value = top * scale / (1 + np.exp(-(epoch - at))) + rng.normal(0, 0.01, len(frame))
    return frame.assign(value=value, low=value - 0.04, high=value + 0.04)


def accuracy() -> pd.DataFrame:
    return rising(grid(**CELLS, wording=["trained", "held_out"])).assign(chance=0.1)


def accuracy_by(column: str) -> pd.DataFrame:
    """Curves for each value of ``column``: kind or band."""
    curves = {"epoch": EPOCHS, column: CELLS[column]}
    return rising(grid(**curves)).assign(chance=0.1)


def faithfulness() -> pd.DataFrame:
    return rising(grid(**CELLS, ablation=["corrupted", "zero", "mean"], circuit=["own", "random"]))


def sizes() -> pd.DataFrame:
    shares = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    circuits = ["own", "random", "random_per_layer"]
    frame = grid(share=shares, ablation=["corrupted", "zero"], circuit=circuits)
    power = frame["circuit"].map({"own": 0.25, "random": 1.2, "random_per_layer": 0.8})
    return frame.assign(value=frame["share"] ** power * (1 - 0.1 * (frame["ablation"] == "zero")))


def recovery() -> pd.DataFrame:
    classes, views = ["qk", "v", "mlp", "logits", "all"], ["cut", "restored"]
    frame = grid(kind=KINDS, band=BANDS, reader_class=classes, view=views)
    cost = frame["reader_class"].map({"qk": 0.1, "v": 0.15, "mlp": 0.3, "logits": 0.05, "all": 0.4})
    return frame.assign(faithfulness=np.where(frame["view"] == "cut", 1 - cost, 0.6 + cost))


def entropy() -> pd.DataFrame:
    frame = grid(**CELLS)
    value = 6.8 - 1.6 / (1 + np.exp(-(frame["epoch"] - 6))) + 0.1 * frame["kind"].eq("K_compl")
    return frame.assign(
        entropy=value,
        entropy_low=value - 0.1,
        entropy_high=value + 0.1,
        normalised_entropy=value / 7,
    )


def bends(frame: pd.DataFrame, onset: pd.Series, knee: pd.Series) -> pd.DataFrame:
    return frame.assign(onset=onset, onset_low=onset - 0.8, onset_high=onset + 0.4, knee=knee,
                        knee_low=knee - 0.6, knee_high=knee + 1.2)  # fmt: skip


def shift() -> pd.DataFrame:
    frame = grid(quantity=["entropy", "edge_jaccard"], kind=KINDS, band=BANDS)
    at = 4.5 + frame["kind"].eq("K_compl")
    return bends(frame, at, at + 4)


def jaccard() -> pd.DataFrame:
    frame = rising(grid(**CELLS), top=0.3, at=8)
    edge = 0.4 + frame["value"]
    return frame[["epoch", "kind", "band"]].assign(
        edge_jaccard=edge, node_jaccard=0.6 + edge / 3, random_edge_jaccard=0.15
    )


def overview() -> pd.DataFrame:
    frame = rising(grid(epoch=EPOCHS)).drop(columns=["low", "high"])
    steps = {"entropy": 6.5 - 1.5 * frame["value"], "edge_jaccard": 0.4 + frame["value"] / 3}
    parts = [frame.assign(quantity=q, value=v) for q, v in steps.items()]
    return pd.concat([*parts, frame.assign(quantity="accuracy")], ignore_index=True)


def overview_shift() -> pd.DataFrame:
    """Onset and knee, a knee alone, and nothing."""
    frame = pd.DataFrame({"quantity": ["entropy", "edge_jaccard", "accuracy"]})
    return bends(frame, pd.Series([4.5, np.nan, np.nan]), pd.Series([8.5, 9.0, np.nan]))


def head_roles() -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, layer=list(range(6)), head=list(range(4)))
    rng = np.random.default_rng([3, 1])
    roles = np.array(["mover", "relation", "mixture", None], dtype=object)
    return frame.assign(role=roles[rng.integers(0, 4, len(frame))])


def layers(n_layers: int = 6, first: int = 0) -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, kind=KINDS, layer=list(range(first, n_layers)))
    depth = (frame["layer"] + 1) / n_layers
    late = frame["epoch"] / 20
    ratio = 0.05 + 0.3 * (late * depth + (1 - late) * (1 - depth))
    return frame.assign(ratio=ratio, expected=0.2, low=0.16, high=0.24)


def lens(quantity: str = "rank") -> pd.DataFrame:
    frame = grid(epoch=EPOCHS, layer=list(range(6)), position=["last", "subject"])
    share = 1 / (1 + np.exp(-(frame["epoch"] - 9) / 2)) * ((frame["layer"] + 1) / 6) ** 2
    value = 2.6 * (1 - share) if quantity == "rank" else 0.8 * share
    return frame.assign(value=value)


def forgetting() -> pd.DataFrame:
    ratios = [0.0, 0.1, 0.2, 0.4, 0.6, 1.0]
    frame = grid(variant=["new_people", "conflicting"], ratio=ratios, step=list(range(0, 61, 10)))
    lost = (1 - frame["ratio"]) * (1 - np.exp(-frame["step"] / 15))
    return frame.assign(
        accuracy_old=0.93 - 0.75 * lost,
        accuracy_new=0.1 + frame["step"] / 100,
        edge_jaccard=1 - 0.3 * (frame["step"] > 0) - 0.3 * lost,
        entropy=5.8 + 0.8 * lost,
    )


def people() -> pd.DataFrame:
    rng = np.random.default_rng([4, 1])
    frequency = np.maximum(1, rng.exponential(2.5, 600).round()).astype(int)
    band = np.select([frequency > 5, frequency > 1], ["high", "medium"], "low")
    kind = np.where(np.arange(600) < 200, "K_rel", "K_compl")
    return pd.DataFrame({"kind": kind, "frequency": frequency, "band": band})


def scores() -> pd.DataFrame:
    rng = np.random.default_rng([5, 1])
    parts = [
        pd.DataFrame(
            {"epoch": e, "score": rng.normal(size=2000) * np.exp(rng.normal(size=2000) * w)}
        )
        for e, w in ((0, 0.8), (10, 1.5), (20, 2.0))
    ]
    return pd.concat(parts, ignore_index=True)


@functools.cache
def edges(n_layers: int = 6, n_heads: int = 4, n: int = 60, stream: int = 0) -> pd.DataFrame:
    """Random edges that respect the order of the residual stream."""
    rng = np.random.default_rng([6, stream])
    writers = [("input", -1.0)]
    readers: list[tuple[str, float]] = []
    for layer in range(n_layers):
        for head in range(n_heads):
            writers.append((f"a{layer}.h{head}", layer))
            readers += [(f"a{layer}.h{head}<{x}>", layer) for x in "qkv"]
        writers.append((f"m{layer}", layer + 0.5))
        readers.append((f"m{layer}", layer + 0.5))
    readers.append(("logits", n_layers))
    rows = [(w, r) for w, a in writers for r, b in readers if a < b]
    chosen = [rows[i] for i in rng.choice(len(rows), n, replace=False)]
    sources, targets = zip(*chosen, strict=True)
    return pd.DataFrame({"source": sources, "target": targets, "score": rng.normal(size=n)})


def hits(circuit: bool = True) -> pd.DataFrame:
    channels = {**CELLS, "circuit": ["own", "random"]} if circuit else CELLS
    return rising(grid(**channels)).assign(chance=0.05)


def aligned() -> pd.DataFrame:
    return rising(grid(epoch=EPOCHS, kind=KINDS, aligned=list(style.LOOKS["aligned"])))


def role_shares() -> pd.DataFrame:
    return rising(grid(**CELLS, role=["mover", "relation", "mixture"]), top=0.6)


def centres() -> pd.DataFrame:
    frame = rising(grid(epoch=EPOCHS, kind=KINDS, circuit=["own", "random"]))
    return frame.assign(**{c: 2.5 + frame[c] for c in ("value", "low", "high")})


def losses() -> pd.DataFrame:
    step = np.arange(1, 201)
    return pd.DataFrame({"step": step, "epoch": step / 10, "loss": 0.8 + 3 * np.exp(-step / 60)})


def texts() -> pd.DataFrame:
    return pd.DataFrame({"text": ["x" * n for n in range(180, 420, 3)]})


def pairs() -> pd.DataFrame:
    ids = [list(range(8 + i % 5)) for i in range(60)]
    return pd.DataFrame({"kind": ["K_rel", "K_compl"] * 30, "clean_ids": ids})


def node_roles() -> pd.DataFrame:
    roles = ["mover", "relation", "mixture"]
    nodes = [f"a{i}.h{h}" for i in range(6) for h in range(4)]
    return pd.DataFrame({"node": nodes, "role": [roles[i % 3] for i in range(24)]})


def lead() -> pd.DataFrame:
    return rising(grid(epoch=EPOCHS, band=BANDS))


READERS = ["q", "k", "v", "mlp", "logits"]
METHODS = ["EAP", "clean-corrupted", "EAP-IG, k = 1..m", "EAP-IG, k = 0..m-1",
           "EAP-IG activations", "RelP", "random"]  # fmt: skip


def method_edges() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = grid(method=METHODS, reader_kind=READERS, edge=list(range(12)))
    effects = rng.normal(size=(len(READERS), 12)) ** 3
    exact = np.tile(effects.ravel(), len(METHODS))
    return frame.assign(exact=exact, score=0.5 * exact)


def by_reader() -> pd.DataFrame:
    frame = grid(kind=KINDS, method=METHODS, reader_kind=READERS)
    value = np.linspace(-0.2, 1, len(frame))
    frame = frame.assign(pearson=value, spearman=value[::-1])
    blind = (frame["method"] == "RelP") & frame["reader_kind"].isin(["q", "k"])
    frame.loc[blind, ["pearson", "spearman"]] = np.nan
    return frame


def position_shares() -> pd.DataFrame:
    readers, positions = [*READERS, "all", "tokens"], ["subject", "relation", "last"]
    rows = product(KINDS, readers, zip(positions, (0.5, 0.3, 0.2), strict=True))
    columns = ["kind", "reader_kind", "position", "value"]
    return pd.DataFrame([(a, b, *c) for a, b, c in rows], columns=columns)
