"""Does this code give the numbers that are stored as reference?

``kc parity DIR`` prints one line per quantity. Everything is read from the files of the folder, the
model runs on the CPU, in float32 or (``--double``) in float64, and circuits are cut from the scores
computed here. One file of scores alone is compared by :mod:`kc_utils.cli.foreign_scores`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kc_utils.circuits import EvaluationResult, evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import Adapter, adapter_of, graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import prune, top_edges
from kc_utils.circuits.evaluation import hit
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.cli.golden import SCORE_FILES, GoldenSet, damaged, find_sets, read_set, relative_error
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, load_tokenizer

log = logging.getLogger(__name__)

SCORE_TOLERANCE = 1e-5  # float32 rounding stays below 1e-6; another definition is above 1e-3
DOUBLE_TOLERANCE = 1e-10
SINGLE_INSIDE_TOLERANCE = 1e-6  # RMSNorm and rotary angles stay float32 in a float64 transformers
LOGIT_TOLERANCE = 1e-4  # of the largest clean logit difference
ABSOLUTE_LOGIT_TOLERANCE = 1e-3
HIT_K = 10
ABLATIONS = {"patching": "corrupted", "zero": "zero"}


@dataclass(frozen=True)
class Agreement:
    """One compared quantity: its largest relative error and whether that is small enough.

    For lists, the error is the share of entries that are not in both.
    """

    quantity: str
    error: float
    ok: bool


def check_parity(folder: str | Path, double: bool = False) -> list[Agreement]:
    """Compare everything that ``folder``, or each set below it, stores with what this code gives.

    ``double``: compute in float64, where scores have to agree to 1e-10 (1e-6 for models whose
    normalisations or positions are float32 in any case).

    KcError for a folder without sets and for a missing or damaged file.
    """
    sets = find_sets(folder)
    results = []
    for path in sets:
        prefix = f"{path.relative_to(folder)}: " if len(sets) > 1 else ""
        results += [Agreement(prefix + a.quantity, a.error, a.ok) for a in _check_set(path, double)]
    return results


def _check_set(folder: Path, double: bool) -> list[Agreement]:
    golden = read_set(folder)
    log.info("comparing %s", folder)
    model = load_model(folder / "model", dtype=torch.float64 if double else torch.float32)
    bridge = boot_bridge(model, load_tokenizer(folder / "model"))
    check_vocabulary(golden.batch, folder / "pairs.jsonl", model.config.vocab_size)
    graph = graph_of(bridge)
    results = _check_graph(golden, graph)
    tolerance = tolerance_of(adapter_of(bridge), double)
    scores = {}
    for name, settings in SCORE_FILES.items():
        scores[name] = attribute(bridge, golden.batch, settings).double().numpy()
        error = relative_error(scores[name], golden.scores[name])
        results.append(Agreement(name, error, error <= tolerance))
    if golden.scores[golden.circuits["scores_file"]].shape != graph.real_edges.shape:
        return results
    refs = references(bridge, golden.batch)

    def evaluate(edges: np.ndarray, ablation: str) -> EvaluationResult:
        return evaluate_circuit(bridge, golden.batch, edges, ablation, refs=refs)

    return results + _check_circuits(golden, graph, scores, evaluate)


def tolerance_of(adapter: Adapter, double: bool) -> float:
    """How large an error of scores may be that rounding alone makes."""
    if not double:
        return SCORE_TOLERANCE
    rotary = any(name.endswith("rotary_emb") for name, _ in adapter.model.named_modules())
    exact = adapter.final_norm.centred and not rotary
    return DOUBLE_TOLERANCE if exact else SINGLE_INSIDE_TOLERANCE


def check_vocabulary(batch: PairBatch, path: Path, size: int) -> None:
    """KcError for a token of ``batch``, which was read from ``path``, that the model lacks."""
    largest = max(
        int(ids.max())
        for ids in (batch.clean_ids, batch.corrupted_ids, batch.right_ids, batch.wrong_ids)
    )
    if largest >= size:
        why = f"token id {largest} is outside the model's vocabulary of {size}"
        raise damaged(path, why)


def _check_graph(golden: GoldenSet, graph: Graph) -> list[Agreement]:
    real = golden.real_edges
    wrong = math.inf
    if real.shape == graph.real_edges.shape:
        wrong = float((real.astype(bool) != graph.real_edges).mean())
    return [
        _exact("row names", _differing(graph.rows, golden.nodes["rows"])),
        _exact("column names", _differing(graph.columns, golden.nodes["columns"])),
        _exact("real edges", wrong),
        _exact("number of real edges", _count(graph.n_edges, golden.circuits["n_real_edges"])),
        _exact("number of pairs", _count(len(golden.batch), golden.circuits["n_pairs"])),
    ]


def _check_circuits(
    golden: GoldenSet,
    graph: Graph,
    scores: dict[str, np.ndarray],
    evaluate: Callable[[np.ndarray, str], EvaluationResult],
) -> list[Agreement]:
    found = _Worst()
    content = golden.circuits
    nothing = np.zeros_like(graph.real_edges)
    empty = {name: evaluate(nothing, ablation) for name, ablation in ABLATIONS.items()}
    baseline = empty["patching"]
    scale = float(np.abs(baseline.clean_logit_diff).max())
    for run in ("clean", "corrupted"):
        difference, ranks = getattr(baseline, f"{run}_logit_diff"), getattr(baseline, f"{run}_rank")
        stored = content["baseline"]
        found.logits("baseline logit differences", difference, stored, scale, f"{run}_")
        share = float(hit(ranks, HIT_K).mean())
        found.exact("baseline Hit@10", abs(share - _number(stored[f"{run}_hit_at_10"])) > 1e-9)
    for name, result in empty.items():
        stored = content["empty_circuit"][name].get("logit_diff")
        error = relative_error(result.logit_diff.mean(), stored, scale)
        found.close(f"empty circuit, {name}: mean logit difference", error, LOGIT_TOLERANCE)
    ours = scores[content["scores_file"]]
    for entry in content["circuits"]:
        try:
            edges = top_edges(ours, graph, int(entry["n"]))
        except (KcError, TypeError, ValueError) as error:
            raise damaged(golden.folder / "circuits.json", str(error)) from None
        kept = prune(graph, edges)
        _check_topology(found, graph, edges, kept, entry)
        results = {name: evaluate(kept, ablation) for name, ablation in ABLATIONS.items()}
        for name, result in results.items():
            _check_run(found, name, result, entry[name], scale)
        _check_faithfulness(found, results["patching"], entry["patching"]["faithfulness"])
    return found.agreements()


def _check_topology(
    found: _Worst, graph: Graph, edges: np.ndarray, kept: np.ndarray, entry: dict[str, Any]
) -> None:
    nodes = [graph.rows[u] for u in np.flatnonzero(kept.any(axis=1))]
    found.exact("circuit edges", _not_shared(graph.edge_names(kept), entry["edges"]))
    found.exact("circuit nodes", _not_shared(nodes, entry["nodes"]))
    dropped = graph.edge_names(edges & ~kept)
    found.exact("edges dropped by pruning", _not_shared(dropped, entry["edges_dropped_by_prune"]))
    found.exact("number of circuit edges", _count(int(kept.sum()), entry["n_edges_after_prune"]))
    found.exact("number of circuit nodes", _count(len(nodes), entry["n_nodes_after_prune"]))


def _check_run(
    found: _Worst, name: str, result: EvaluationResult, stored: dict[str, Any], scale: float
) -> None:
    found.logits(f"{name}: logit differences", result.logit_diff, stored, scale)
    ours = hit(result.rank, HIT_K)
    per_pair = stored["hit_per_pair"]
    if per_pair is not None:
        wrong = math.inf
        if isinstance(per_pair, list) and len(per_pair) == len(ours):
            known = [(bool(a), b) for a, b in zip(ours, per_pair, strict=True) if b is not None]
            wrong = sum(a != b for a, b in known) / max(1, len(known))
        found.exact(f"{name}: Hit@10 per pair", wrong)
    if stored["hit_at_10"] is not None and not (per_pair and None in per_pair):
        error = abs(float(ours.mean()) - _number(stored["hit_at_10"]))
        found.exact(f"{name}: Hit@10", error if error > 1e-9 else 0.0)


def _check_faithfulness(found: _Worst, result: EvaluationResult, stored: Any) -> None:
    ours = result.faithfulness
    error = 0.0 if stored is None and math.isnan(ours) else abs(ours - _number(stored))
    found.close("faithfulness", error, LOGIT_TOLERANCE)


class _Worst:
    """The largest error of each quantity over all circuits, in the order of first appearance."""

    def __init__(self) -> None:
        self.worst: dict[str, Agreement] = {}

    def close(self, quantity: str, error: float, tolerance: float) -> None:
        """Note an error that may be at most ``tolerance``; nan counts as infinite."""
        error = math.inf if math.isnan(error) else error
        before = self.worst.get(quantity)
        ok = error <= tolerance and (before is None or before.ok)
        error = error if before is None else max(error, before.error)
        self.worst[quantity] = Agreement(quantity, error, ok)

    def exact(self, quantity: str, error: float | bool) -> None:
        """Note an error that must be zero."""
        self.close(quantity, float(error), 0.0)

    def logits(
        self, quantity: str, ours: np.ndarray, stored: dict[str, Any], scale: float, run: str = ""
    ) -> None:
        """Compare logit differences per pair and their mean, relative to the largest clean one."""
        tolerance = max(LOGIT_TOLERANCE, ABSOLUTE_LOGIT_TOLERANCE / scale)
        per_pair = relative_error(ours, stored[f"{run}logit_diff_per_pair"], scale)
        mean = relative_error(ours.mean(), stored[f"{run}logit_diff"], scale)
        self.close(quantity, max(per_pair, mean), tolerance)

    def agreements(self) -> list[Agreement]:
        return list(self.worst.values())


def _exact(quantity: str, error: float) -> Agreement:
    return Agreement(quantity, error, error == 0.0)


def _differing(ours: Iterable[str], stored: list[Any]) -> float:
    ours = list(ours)
    if len(ours) != len(stored):
        return 1.0
    return sum(a != b for a, b in zip(ours, stored, strict=True)) / len(ours)


def _not_shared(ours: Iterable[str], stored: Any) -> float:
    """Share of names that are not in both; a name stored twice counts as an error."""
    if not isinstance(stored, list) or len({str(x) for x in stored}) != len(stored):
        return math.inf
    both = set(ours) | set(stored)
    return len(set(ours) ^ set(stored)) / len(both) if both else 0.0


def _count(ours: int, stored: Any) -> float:
    return 0.0 if isinstance(stored, int) and ours == stored else math.inf


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
