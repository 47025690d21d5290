"""Made-up tables of a run in which the claims are true, false or open, as a number says."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from kc_utils import config
from kc_utils.runs.folder import Run

ABLATIONS = ("corrupted", "zero", "mean")
BANDS, KINDS, TASKS = ("high", "medium", "low"), ("K_rel", "K_compl"), ("city", "major")
EPOCHS = np.arange(13)
STEPS = 10 * EPOCHS
BEND = 6.0
N_LAYERS, N_HEADS = 6, 4
N_EDGES = 1108


class TableRun(Run):
    """A run whose tables are given instead of computed."""

    def __init__(self, tables: dict[str, pd.DataFrame], **changes: object) -> None:
        settings = config.build({"profile": "made", "analysis": {"bootstrap": 200}} | changes)
        super().__init__(Path("made"), {"config": settings.model_dump(mode="json"), "stages": {}})
        self.tables = tables

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name].copy()

    def read(self, path: Path) -> pd.DataFrame:
        return self.tables[path.stem].copy()


def make(effect: float = 1.0, *, people: int = 60, bands=BANDS, tasks=TASKS, seed: int = 0):
    """Tables by name. ``effect`` 1: as the paper says; 0: no effects; -1: the other way round."""
    rng = np.random.default_rng([seed, 1])
    cells = pd.DataFrame(list(product(tasks, KINDS, bands)), columns=["task", "kind", "band"])
    who = pd.DataFrame(list(product(KINDS, bands, range(people))), columns=["kind", "band", "i"])
    who = who.drop(columns="i").assign(person_id=lambda t: np.arange(len(t)))
    tables = {
        "checkpoints": pd.DataFrame({"step": STEPS, "epoch": EPOCHS.astype(float)}),
        "graph": pd.DataFrame(
            [{"n_layers": N_LAYERS, "n_heads": N_HEADS, "parallel": False, "n_nodes": 32,
              "n_edges": N_EDGES}]
        ),
        "first_token": _first_token(who, effect, rng),
        "phases": cells.assign(bend_epoch=BEND, Init=0, Before=60, After=70, Last=120),
    }  # fmt: skip
    tables |= _pairs(who, tasks, bands, effect, rng)
    tables |= _curves(cells, effect, rng)
    tables |= _forgetting(who, effect, rng)
    from controls_tables import with_controls  # they build on this file
    from evidence_tables import complete
    from topic_tables import with_topics

    return with_topics(complete(with_controls(tables, effect, seed), effect), effect, seed)


def _first_token(who: pd.DataFrame, effect: float, rng) -> pd.DataFrame:
    frames = []
    for step, wording in product(STEPS[::3], ("trained", "held_out")):
        chance = 0.5 + effect * (0.15 * (who["kind"] == "K_rel") + 0.25 * (who["band"] == "high"))
        right = rng.random((5, len(who))) < chance.to_numpy()
        frames += [who.assign(step=step, wording=wording, correct=row) for row in right]
    return pd.concat(frames, ignore_index=True)


def _queries(who: pd.DataFrame, tasks, split: str) -> pd.DataFrame:
    chosen = who[(who["person_id"] % 2 == 0) == (split == "discover")]
    frames = [chosen.assign(task=task, pair_id=np.arange(len(chosen))) for task in tasks]
    return pd.concat(frames, ignore_index=True).assign(split=split)


def _hits(queries: pd.DataFrame, share, rng) -> pd.DataFrame:
    """Ranks (1 or 99) and logit differences whose faithfulness is near ``share``."""
    drawn = rng.random(len(queries))
    right, clean = drawn < share, drawn < 0.7
    noise = 0.1 * rng.normal(size=len(queries))
    return queries.assign(
        rank=np.where(right, 1, 99), clean_rank=np.where(clean, 1, 99), clean_logit_diff=3.0,
        corrupted_logit_diff=-3.0, logit_diff=6.0 * share - 3.0 + noise,
    )  # fmt: skip


def _pairs(who: pd.DataFrame, tasks, bands, effect: float, rng) -> dict[str, pd.DataFrame]:
    last = {"step": 120, "epoch": 12.0, "ablation": "corrupted", "wording": "trained"}
    frames = []
    for split, circuit in product(("evaluate", "discover"), ("own", "random-0")):
        queries = _queries(who, tasks, split)
        better = 0.25 * (queries["band"] == "high") if circuit == "own" else 0.0
        share = 0.4 + effect * (better + 0.25 * (circuit == "own"))
        frames.append(_hits(queries, share, rng).assign(circuit=circuit, wording="trained"))
    queries = _queries(who, tasks, "evaluate")
    share = 0.4 + effect * (0.25 * (queries["band"] == "high") - 0.1)
    frames.append(_hits(queries, share, rng).assign(circuit="own", wording="held_out"))
    asked = _queries(who, tasks, "evaluate")
    know = rng.random(len(asked)) < 0.8  # the same people are right under every circuit
    moved = []
    for source in bands:
        for circuit in ("own", "random"):
            right = know if circuit == "own" else rng.random(len(asked)) < 0.8 - 0.7 * effect
            rows = asked.assign(rank=np.where(right, 1, 99), source_band=source, circuit=circuit)
            native = rows["source_band"] == rows["band"]
            moved.append(rows if circuit == "own" else rows[native])
    frozen = []
    names = ("Init", "Before", "After", "Last", "Random")
    for ablation, name in product(ABLATIONS, names):
        share = 0.5 + effect * 0.3 * (name in ("After", "Last"))
        rows = _hits(asked, share, rng).assign(aligned=name)
        frozen.append(rows.assign(**last | {"ablation": ablation}))
    transfer = pd.concat(moved, ignore_index=True).rename(columns={"band": "target_band"})
    queried = {k: v for k, v in last.items() if k != "wording"}
    return {
        "circuit_pairs": pd.concat(frames, ignore_index=True).assign(**queried),
        "transfer_pairs": pd.concat([transfer.assign(ablation=a) for a in ABLATIONS]),
        "aligned_pairs": pd.concat(frozen, ignore_index=True),
    }


def _curves(cells: pd.DataFrame, effect: float, rng) -> dict[str, pd.DataFrame]:
    at = cells.merge(pd.DataFrame({"step": STEPS, "epoch": EPOCHS.astype(float)}), how="cross")
    t = at["epoch"].to_numpy()
    early, late = np.minimum(t, BEND + 1) / BEND, np.maximum(t - BEND - 1, 0) / BEND

    def noise(size: float) -> np.ndarray:
        return size * rng.normal(size=len(at))

    shape = at.assign(
        entropy=8 - effect * (2 * np.minimum(t, BEND) / BEND) + noise(0.02),
        edge_jaccard=0.5 + noise(0.02), node_jaccard=0.7 + effect * 0.2 + noise(0.02),
        random_edge_jaccard=0.3, random_node_jaccard=0.5 + noise(0.01),
        edge_jaccard_previous=0.5 + effect * 0.03 * t + noise(0.02), n_edges=300,
    )  # fmt: skip
    centre = 2 + effect * (early - late) + noise(0.05)
    mover = at.assign(role="mover", value=0.3 + effect * 0.02 * t + noise(0.01), expected=0.3)
    relation = mover.assign(role="relation", value=0.6 - effect * 0.02 * t + noise(0.01))
    layers = at.merge(pd.DataFrame({"layer": range(N_LAYERS + 1)}), how="cross")
    onset = N_LAYERS - effect * 3 * layers["epoch"] / EPOCHS[-1] + rng.uniform(-0.5, 0.5)
    rank = np.where(layers["layer"] >= onset, 0.9, 2.0) + 0.01 * rng.normal(size=len(layers))
    falling = (layers["layer"] == N_LAYERS) * 0.05 * layers["epoch"]
    return {
        "topology": shape,
        "centre_of_mass": at.assign(
            source=centre, random_source=2.0, random_low=1.8, random_high=2.2
        ),
        "role_shares": pd.concat([mover, relation], ignore_index=True),
        "head_roles": at.assign(in_circuit=True),
        "logit_lens": layers.assign(position="last", log10_rank=rank - effect * falling),
    }


def _forgetting(who: pd.DataFrame, effect: float, rng) -> dict[str, pd.DataFrame]:
    people, shapes = [], []
    ids = who["person_id"].to_numpy()[:80]
    for variant, ratio in product(("new_people", "conflicting"), (0.0, 0.1, 1.0)):
        dips = {0.0: (0.2, 0.1), 0.1: (0.3, 0.8), 1.0: (0.9, 0.9)}[ratio]
        for step, level in zip((0, 20, 30, 40), (0.9, 0.6, *dips), strict=True):
            share = 0.9 - effect * (0.9 - level) if effect > 0 else 0.9
            row = {"variant": variant, "ratio": ratio, "step": step}
            correct = (rng.random((5, len(ids))) < share).mean(axis=0)
            people.append(pd.DataFrame({"person_id": ids, "correct": correct}).assign(**row))
            overlap = 0.6 - effect * 0.2 * (ratio == 0) + 0.01 * rng.normal()
            shapes.append(row | {"edge_jaccard": overlap if step else 1.0})
    old = pd.concat(people, ignore_index=True).assign(facts="old")
    return {"forgetting_people": old, "forgetting": pd.DataFrame(shapes)}
