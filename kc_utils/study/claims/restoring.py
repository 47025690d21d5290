"""Measures of what circuits restore: held-out people, other bands, frozen edges, other ways."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.config import CELL
from kc_utils.study.claims.measured import (
    Measured,
    against,
    last,
    mean,
    require_learned,
    require_room,
)
from kc_utils.study.claims.phases import cells_with_knee
from kc_utils.study.claims.tables import RunTables


def restored(run: RunTables, ablation: str, share: float, circuit: str) -> float:
    """Share (%) of the answer's logit difference that circuits of ``share`` of the edges restore.

    Held-out people at the last checkpoint; 0 is the circuit without edges under the same ablation,
    100 the whole model. Ratio of sums over cells.
    """
    table = run.table("sizes")
    chosen = table[(table["ablation"] == ablation) & (table["circuit"] == circuit)]
    chosen = chosen[np.isclose(chosen["share"], share)]
    if chosen.empty:
        raise NotMeasured(f"circuits '{circuit}' of {share:.0%} of the edges were not evaluated")
    floor = "corrupted_logit_diff" if ablation == "corrupted" else "empty_logit_diff"
    sums = chosen[["logit_diff", "clean_logit_diff", floor]].mul(chosen["n_pairs"], axis=0).sum()
    return float(
        100 * (sums["logit_diff"] - sums[floor]) / (sums["clean_logit_diff"] - sums[floor])
    )


def sparse(run: RunTables, ablation: str, share: float, control: str, learned: float) -> Measured:
    """Restored share (%) of the discovered circuits, beside ``control`` circuits of equal size."""
    require_learned(run, learned)
    return against(*(restored(run, ablation, share, name) for name in ("own", control)))


def held_out(run: RunTables, learned: float) -> Measured:
    """Restored share (%) of a run's own circuits, held-out people beside discovery people."""
    require_learned(run, learned)
    table = last(run.table("faithfulness")).query(
        "circuit == 'own' and ablation == 'corrupted' and wording == 'trained'"
    )
    sides = {}
    for split, part in table.groupby("split"):
        columns = ["logit_diff", "clean_logit_diff", "corrupted_logit_diff"]
        own, clean, corrupted = part[columns].mul(part["n_pairs"], axis=0).sum()
        sides[split] = 100 * (own - corrupted) / (clean - corrupted)
    return against(sides["evaluate"], sides["discover"])


def transfer(run: RunTables, ablation: str, room: float) -> Measured:
    """Hit@10 (%) of other bands' circuits, beside the band's own circuit."""
    table = _under(run.table("transfer"), ablation)
    native = table["source_band"] == table["target_band"]
    own = table["circuit"] == "own"
    hits = [100 * mean(table[rows]["value"], "circuits of several bands")
            for rows in (own & ~native, own & native, ~own)]  # fmt: skip
    require_room(hits[1], hits[2], room, "Hit@10 of the band's own circuit")
    return against(hits[0], hits[1])


def aligned(run: RunTables, ablation: str, first: str, second: str, room: float) -> Measured:
    """Hit@10 (%) at the last checkpoint with the edges of ``first``, beside those of ``second``.

    Before and After lie on either side of the knee; cells without a decided one are left out.
    """
    knees = cells_with_knee(run)[CELL]
    table = _under(last(run.table("aligned")), ablation).merge(knees, on=CELL)
    if table.empty:
        raise NotMeasured("no cell with a decided knee has frozen circuits")
    hits = 100 * table.groupby("aligned")["value"].mean()
    require_room(max(hits[first], hits[second]), hits["Random"], room, "Hit@10 of these circuits")
    return against(float(hits[first]), float(hits[second]))


def another_way(run: RunTables, way: str, room: float) -> Measured:
    """Restored share (%) of circuits found in another way, beside those found here; equal size."""
    table: pd.DataFrame = run.table("ways").query("ablation == 'corrupted'")
    values = 100 * table.pivot(index=CELL, columns="way", values="faithfulness").mean()
    if way not in values:
        raise NotMeasured(f"no circuit was found in the way '{way}'")
    require_room(values["here"], values["random"], room, "the restored share of these circuits")
    return against(float(values[way]), float(values["here"]))


def _under(table: pd.DataFrame, ablation: str) -> pd.DataFrame:
    return table[table["ablation"] == ablation]
