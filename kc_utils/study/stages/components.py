"""Stage ``components``: heads by direct logit attribution, and the logit lens, per checkpoint."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.analysis.head_attribution import assign_roles, head_attribution, role_shares
from kc_utils.analysis.logit_lens import lens_means, logit_lens
from kc_utils.analysis.published_roles import published_head_sums, published_roles
from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common


def compute(work: Workspace) -> None:
    """Tables ``head_roles``, ``role_shares`` (by the answer's logit), ``role_shares_published``
    (by the published statistic), ``mover_layers``, ``logit_lens``."""
    run = work.run
    checkpoints = common.analysed_checkpoints(run)
    jobs = [(run, int(s), work.parts / f"{int(s):06d}.parquet") for s in checkpoints["step"]]
    run_jobs(
        read_checkpoint, [j for j in jobs if not artifacts.intact(j[2])], "heads and logit lens"
    )
    frame = pd.concat([artifacts.read_parquet(j[2]) for j in jobs], ignore_index=True)
    frame = frame.merge(checkpoints, on="step")
    heads = frame[frame["what"] == "head"].dropna(axis=1, how="all").drop(columns="what")
    heads = heads.astype({"head": int, "in_circuit": bool})
    lens = frame[frame["what"] == "lens"].dropna(axis=1, how="all").drop(columns="what")
    work.table("head_roles", heads)
    work.table("logit_lens", lens)
    work.table("role_shares", shares(heads))
    work.table("role_shares_published", shares(heads.assign(role=heads["published_role"])))
    movers = heads[heads["in_circuit"]].assign(count=lambda t: (t["role"] == "mover").astype(int))
    keys = ["step", "epoch", "task", "kind", "band", "layer"]
    work.table("mover_layers", movers.groupby(keys, as_index=False)["count"].sum())


def shares(heads: pd.DataFrame) -> pd.DataFrame:
    """Share of a circuit's heads in each role, and the share among all heads of the model."""
    rows = []
    for keys, part in heads.groupby(["step", "epoch", "task", "kind", "band"], sort=True):
        at = dict(zip(["step", "epoch", "task", "kind", "band"], keys, strict=True))
        inside = part[part["in_circuit"]]
        names = "a" + inside["layer"].astype(str) + ".h" + inside["head"].astype(str)
        rows.append(role_shares(part, names.tolist()).assign(**at))
    return pd.concat(rows, ignore_index=True).rename(columns={"share": "value"})


def read_checkpoint(run: Run, step: int, out: Path) -> None:
    """Head attributions and logit lens of every cell at one checkpoint."""
    settings = run.config
    graph, pairs, n = common.graph_of_run(run), common.read_pairs(run), common.circuit_size(run)
    bridge, scores = common.open_bridge(run, step), common.load_scores(run, step)
    frames = []
    for cell in common.cells(settings):
        chosen = common.select(pairs, cell, "evaluate").head(settings.analysis.lens_people)
        batch = PairBatch.from_frame(chosen)
        circuit = top_n(scores[cell.name], graph, n)
        heads = assign_roles(head_attribution(bridge, batch), settings.analysis.role_ratio)
        names = "a" + heads["layer"].astype(str) + ".h" + heads["head"].astype(str)
        heads["in_circuit"] = names.isin(set(circuit.nodes))
        published = published_roles(
            published_head_sums(bridge, batch), settings.analysis.role_ratio
        )
        heads["published_ratio"], heads["published_role"] = published["ratio"], published["role"]
        frames.append(heads.assign(what="head", **cell._asdict()))
        frames.append(lens_means(logit_lens(bridge, batch)).assign(what="lens", **cell._asdict()))
    artifacts.write_piece(out, pd.concat(frames, ignore_index=True).assign(step=step))
