"""Stage ``controls``: what noise, shuffled answers and an untrained model give.

The first task's circuits are found again in four ways in which no knowledge, or no difference in
knowledge, can show:

- **shuffled labels**: in the real checkpoint, with every pair asking for another pair's answers
  (one permutation per cell, the same at all checkpoints);
- **untrained**: in one model with fresh random weights, on people resampled at each checkpoint;
- **random**: independent normal scores, drawn at each checkpoint;
- the **noise floor**: at a checkpoint, two bootstrap samples of the same people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from transformers import PreTrainedModel

from kc_utils import artifacts
from kc_utils.analysis.stats.bends import MIN_POINTS, fit_bends
from kc_utils.analysis.topology import centre_of_mass, entropy, jaccard, node_jaccard
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import Circuit, top_n
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.score_files import read_scores, write_scores
from kc_utils.config import CELL
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common
from kc_utils.world.pools import stream

LABELS, UNTRAINED, RANDOM = "shuffled labels", "untrained", "random"


def compute(work: Workspace) -> None:
    """Tables ``control_curves`` (a row per checkpoint, cell and control), ``control_shift`` (onset
    and knee of their entropy) and ``noise_floor`` (a row per checkpoint, cell and draw)."""
    run, parts = work.run, work.parts
    checkpoints = common.analysed_checkpoints(run)
    scored = {int(s): parts / f"{int(s):06d}.safetensors" for s in checkpoints["step"]}
    draws = {
        (step, draw): parts / f"floor-{step:06d}-{draw}.parquet"
        for step in floor_steps(checkpoints)
        for draw in range(work.config.controls.resamples)
    }
    jobs = [(run, step, None, path) for step, path in scored.items()]
    jobs += [(run, *at, path) for at, path in draws.items()]
    run_jobs(measure, [j for j in jobs if not artifacts.intact(j[3])], "controls")
    graph, top = common.graph_of_run(run), common.circuit_size(run)
    curves = control_curves([(s, read_scores(p, graph)) for s, p in scored.items()], graph, top)
    floor = pd.concat([artifacts.read_parquet(p) for p in draws.values()], ignore_index=True)
    curves = checkpoints.merge(curves, on="step")
    work.table("control_curves", curves)
    work.table("control_shift", control_shift(curves, work.config.seed))
    work.table("noise_floor", checkpoints.merge(floor, on="step"))


def first_cells(run: Run) -> list[common.Cell]:
    """The cells of the first task of the configuration."""
    settings = run.config
    return [c for c in common.cells(settings) if c.task == settings.circuit.tasks[0]]


def floor_steps(checkpoints: pd.DataFrame) -> list[int]:
    """Where the noise floor is measured: the first checkpoint of the second half, and the last."""
    steps, epochs = checkpoints["step"].to_numpy(), checkpoints["epoch"].to_numpy()
    middle = steps[epochs >= epochs[-1] / 2][0]
    return list(dict.fromkeys([int(middle), int(steps[-1])]))


def measure(run: Run, step: int, draw: int | None, out: Path) -> None:
    """The controls of one checkpoint, or one draw of its noise floor."""
    if draw is None:
        score_controls(run, step, out)
    else:
        resample_checkpoint(run, step, draw, out)


def score_controls(run: Run, step: int, out: Path) -> None:
    """Edge scores of every cell and control at one checkpoint, named ``control|cell``."""
    seed, graph = run.config.seed, common.graph_of_run(run)
    how, pairs = common.attribution_settings(run.config), common.read_pairs(run)
    path = run.verify(common.checkpoint_path(run, step))
    model, tokenizer = load_model(path), load_tokenizer(path)
    fresh = boot_bridge(untrained(model, seed), tokenizer)
    trained = boot_bridge(model, tokenizer)
    scores = {}
    for cell in first_cells(run):
        batch = common.batch_of(pairs, cell, "discover")
        dealt = shuffled_answers(batch, stream(seed, f"shuffled answers {cell.name}"))
        drawn = resampled(batch, stream(seed, f"untrained {cell.name} {step}"))
        normal = stream(seed, f"random scores {cell.name} {step}")
        scores[f"{LABELS}|{cell.name}"] = attribute(trained, dealt, how)
        scores[f"{UNTRAINED}|{cell.name}"] = attribute(fresh, drawn, how)
        scores[f"{RANDOM}|{cell.name}"] = random_scores(graph, normal)
    write_scores(out, scores, graph)
    artifacts.seal(out)


def resample_checkpoint(run: Run, step: int, draw: int, out: Path) -> None:
    """Circuits of two bootstrap samples of each cell's people at one checkpoint, compared."""
    graph, pairs = common.graph_of_run(run), common.read_pairs(run)
    bridge, how = common.open_bridge(run, step), common.attribution_settings(run.config)
    rows = []
    for cell in first_cells(run):
        batch = common.batch_of(pairs, cell, "discover")
        rng = stream(run.config.seed, f"noise floor {cell.name} {step} {draw}")
        one, two = (attribute(bridge, resampled(batch, rng), how) for _ in range(2))
        found = compare(one, two, graph, common.circuit_size(run))
        rows.append({"step": step, **cell._asdict(), "draw": draw} | found)
    artifacts.write_piece(out, pd.DataFrame(rows))


def untrained(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A model of the same configuration with fresh weights, in evaluation mode.

    The same for equal seeds; PyTorch's global generator is left as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(seed, "untrained model").integers(2**31)))
        fresh = type(model)(model.config)
    return fresh.to(device=model.device, dtype=model.dtype).eval()


def shuffled_answers(batch: PairBatch, rng: np.random.Generator) -> PairBatch:
    """The same prompts, each asking for the two answers of another pair.

    Answers are dealt out at random among the deals with the fewest tokens that a pair keeps: no
    pair gets its own answers, nor another's that are the same, where that can be had.
    """
    own = torch.stack([batch.right_ids, batch.wrong_ids], dim=1).cpu().numpy()
    kept = (own[:, None, :, None] == own[None, :, None, :]).sum(axis=(2, 3))
    # A random cost below 1 / n for each place: their sum never outweighs one token.
    luck = rng.random(kept.shape) / len(own)
    order = torch.from_numpy(linear_sum_assignment(kept + luck)[1]).to(batch.right_ids.device)
    return replace(batch, right_ids=batch.right_ids[order], wrong_ids=batch.wrong_ids[order])


def resampled(batch: PairBatch, rng: np.random.Generator) -> PairBatch:
    """As many pairs drawn with replacement."""
    return taken(batch, rng.integers(len(batch), size=len(batch)))


def taken(batch: PairBatch, which: Int[np.ndarray, " k"]) -> PairBatch:
    """The pairs with the given numbers, in that order."""
    rows = torch.from_numpy(which).to(batch.last.device)
    tensors = {name: x[rows] for name, x in vars(batch).items() if x is not None}
    return PairBatch(**tensors)


def random_scores(graph: Graph, rng: np.random.Generator) -> Float[Tensor, "n_forward n_backward"]:
    """Independent standard normal scores on the edges that exist."""
    scores = torch.zeros(graph.real_edges.shape)
    scores[torch.from_numpy(graph.real_edges.copy())] = torch.from_numpy(
        rng.normal(size=graph.n_edges).astype(np.float32)
    )
    return scores


def compare(
    one: Float[Tensor, "n_forward n_backward"],
    two: Float[Tensor, "n_forward n_backward"],
    graph: Graph,
    top: int,
) -> dict[str, float]:
    """Overlap of the circuits of two score matrices: edge_jaccard, node_jaccard (shares), and
    entropy_difference (nats, absolute)."""
    first, second = top_n(one, graph, top), top_n(two, graph, top)
    apart = entropy(one, graph.real_edges) - entropy(two, graph.real_edges)
    return {
        "edge_jaccard": jaccard(first.edges, second.edges),
        "node_jaccard": node_jaccard(first.nodes, second.nodes),
        "entropy_difference": abs(apart),
    }


def control_curves(
    scored: list[tuple[int, dict[str, Tensor]]], graph: Graph, top: int
) -> pd.DataFrame:
    """Shape of every control's circuit over checkpoints.

    Columns: step, control, task, kind, band, entropy (nats, all edges), entropy_kept (nats, the
    circuit's edges; NaN with fewer than two), edge_jaccard (with the last
    checkpoint of the same control), edge_jaccard_previous (NaN at the first), source (mean layer
    of the edges' writers), n_edges.
    """
    rows = [row for name in scored[0][1] for row in _curve(name, scored, graph, top)]
    return pd.DataFrame(rows).sort_values("step", kind="stable", ignore_index=True)


def control_shift(curves: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Onset and knee (epochs, NaN where undecided) of the entropy of kept edges, by control and
    cell. Curves with too few checkpoints are left out."""
    rows = []
    for control, of_control in curves.groupby("control", sort=False):
        for number, (cell, part) in enumerate(of_control.groupby(list(CELL), sort=True)):
            part = part.dropna(subset=["entropy_kept"])
            if part["epoch"].nunique() < MIN_POINTS:
                continue
            rng = np.random.default_rng([seed, 65, number])
            found = fit_bends(part["epoch"], part["entropy_kept"], rising=False, rng=rng)
            bends = [getattr(found, name).epoch if getattr(found, name).decided else float("nan")
                     for name in ("onset", "knee")]  # fmt: skip
            rows.append((control, *cell, *bends))
    return pd.DataFrame(rows, columns=["control", *CELL, "onset", "knee"])


def _curve(
    name: str, scored: list[tuple[int, dict[str, Tensor]]], graph: Graph, top: int
) -> Iterator[dict[str, object]]:
    keys = dict(zip(("control", "task", "kind", "band"), name.split("|"), strict=True))
    circuits = [top_n(scores[name], graph, top) for _, scores in scored]
    before: list[Circuit | None] = [None, *circuits[:-1]]
    for (step, scores), circuit, previous in zip(scored, circuits, before, strict=True):
        yield {
            "step": step,
            **keys,
            "entropy": entropy(scores[name], graph.real_edges),
            "entropy_kept": entropy(scores[name], circuit.edges)
            if circuit.n_edges > 1
            else float("nan"),
            "edge_jaccard": jaccard(circuit.edges, circuits[-1].edges),
            "edge_jaccard_previous": jaccard(circuit.edges, previous.edges)
            if previous
            else float("nan"),
            "source": centre_of_mass(circuit.edges, graph).source,
            "n_edges": circuit.n_edges,
        }
