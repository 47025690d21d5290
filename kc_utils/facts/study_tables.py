"""Tidy tables from the rows per pair: faithfulness and Hit@10 with intervals, areas, evolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from kc_utils.analysis.faithfulness import faithfulness_of
from kc_utils.analysis.head_attribution import role_shares
from kc_utils.analysis.stats.intervals import bootstrap_mean
from kc_utils.analysis.topology import expected_jaccard, jaccard, node_jaccard, shape
from kc_utils.circuits import areas
from kc_utils.circuits.circuit import Circuit, strongest_edges
from kc_utils.circuits.evaluation import faithfulness
from kc_utils.circuits.graph import Graph
from kc_utils.facts.pairing import Cell

HIT_K = 10
RESAMPLES = 1000
AT = ["relation", "group"]
_STREAM = 53


def hits_and_faithfulness(rows: pd.DataFrame, by: list[str], seed: int) -> pd.DataFrame:
    """Faithfulness and Hit@10 per group, each with a 95 % interval from resampled subjects.

    Columns: ``by``, faithfulness, faithfulness_low, faithfulness_high, f_mib, hit, hit_low,
    hit_high, model_hit, logit_diff, clean_logit_diff, corrupted_logit_diff, n_pairs, n_subjects.
    """
    kept = faithfulness_of(rows, by).rename(columns={"value": "faithfulness"})
    more = []
    for keys, part in rows.groupby(by, sort=True, observed=True):
        low, high = faithfulness_interval(part, seed)
        hit = bootstrap_mean(
            (part["rank"] <= HIT_K).astype(float), part["subject"], n=RESAMPLES, seed=seed
        )
        model = float((part["clean_rank"] <= HIT_K).mean())
        numbers = (low, high, hit.mean, hit.low, hit.high, model, part["subject"].nunique())
        more.append((*keys, *numbers))
    names = ["faithfulness_low", "faithfulness_high", "hit", "hit_low", "hit_high", "model_hit",
             "n_subjects"]  # fmt: skip
    found = kept.merge(pd.DataFrame(more, columns=[*by, *names]), on=by)
    return found.drop(columns="empty_logit_diff")


def faithfulness_interval(
    rows: pd.DataFrame, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of faithfulness when subjects are drawn anew; NaN for one subject."""
    return _interval(_resampled(_sums(rows), seed), level)


def transfer_of(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """:func:`hits_and_faithfulness` of every circuit on every cell's facts, beside its own circuit.

    Further columns: own_more, by how much the faithfulness of the cell's own circuit is larger, and
    own_more_low and own_more_high, its 95 % interval. Differences are paired: both circuits run on
    the same facts, of subjects that are resampled together.
    """
    source = ["source_relation", "source_group"]
    table = hits_and_faithfulness(rows, [*source, *AT, "circuit", "ablation"], seed)
    keys = [*AT, "ablation"]
    more = []
    for cell, part in rows.groupby(keys, sort=False, observed=True):
        at_home = (part[source].to_numpy() == part[AT].to_numpy()).all(1)
        own = _sums(part[at_home & (part["circuit"] == "own")])
        own_drawn = _resampled(own, seed)
        for names, other in part.groupby([*source, "circuit"], sort=False, observed=True):
            sums = _sums(other).loc[own.index]
            drawn = np.subtract(own_drawn, _resampled(sums, seed))
            more.append((*names, *cell, _faithfulness(own) - _faithfulness(sums),
                         *_interval(drawn)))  # fmt: skip
    names = ["own_more", "own_more_low", "own_more_high"]
    keys = [*source, "circuit", *keys]
    return table.merge(pd.DataFrame(more, columns=[*keys, *names]), on=keys)


def _sums(rows: pd.DataFrame) -> pd.DataFrame:
    """Sums over pairs of each subject: of the circuit, of the clean and of the corrupted run."""
    sides = ["logit_diff", "clean_logit_diff", "corrupted_logit_diff"]
    return rows.groupby("subject")[sides].sum()


def _faithfulness(sums: pd.DataFrame) -> float:
    return faithfulness(*map(float, sums.sum()))


def _resampled(sums: pd.DataFrame, seed: int) -> list[float]:
    """Faithfulness when subjects are drawn anew, the same draws for the same number of subjects."""
    n = len(sums)
    if n < 2:
        return [float("nan")]
    rng = np.random.default_rng([seed, _STREAM])
    weights = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return [faithfulness(*map(float, row)) for row in weights @ sums.to_numpy()]


def _interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentiles of values that are numbers; NaN if there are none."""
    known = np.asarray(values)[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def areas_of(sizes: pd.DataFrame) -> pd.DataFrame:
    """CPR and CMD per relation, group, split, circuit and ablation of the table ``sizes``."""
    keys = [*AT, "split", "circuit", "ablation"]
    rows = [
        (*names, *areas(part["share"], part["f_mib"]))
        for names, part in sizes.groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows, columns=[*keys, "cpr", "cmd"])


def roles_of(heads: pd.DataFrame) -> pd.DataFrame:
    """Share of the circuit's heads in each role, and the share among all heads of the model."""
    rows = []
    for keys, part in heads.groupby(AT, sort=False):
        inside = part[part["in_circuit"]]
        names = "a" + inside["layer"].astype(str) + ".h" + inside["head"].astype(str)
        shares = role_shares(part, names.tolist())
        rows.append(shares.assign(**dict(zip(AT, keys, strict=True))))
    return pd.concat(rows, ignore_index=True)


def overlap(circuits: dict[Cell, Circuit]) -> pd.DataFrame:
    """Edge and node Jaccard of the circuits of any two cells, and the chance level of edges."""
    rows = []
    for one, first in circuits.items():
        for two, second in circuits.items():
            other = {f"other_{name}": value for name, value in two._asdict().items()}
            rows.append(
                one._asdict()
                | other
                | {
                    "edge_jaccard": jaccard(first.edges, second.edges),
                    "node_jaccard": node_jaccard(first.nodes, second.nodes),
                    "random_edge_jaccard": expected_jaccard(
                        first.n_edges, second.n_edges, first.graph.n_edges
                    ),
                }
            )
    return pd.DataFrame(rows)


def evolution(
    scores: list[dict[str, Tensor]],
    circuits: list[dict[Cell, Circuit]],
    names: list[str],
    seed: int,
) -> pd.DataFrame:
    """Entropy and overlap with the last and the previous circuit, per checkpoint and cell."""
    rows = []
    for cell, last in circuits[-1].items():
        for i, (score, here, name) in enumerate(zip(scores, circuits, names, strict=True)):
            before = circuits[i - 1][cell] if i else None
            found = shape(score[cell.name], here[cell], last, before, seed)
            rows.append({"checkpoint": i, "name": name, **cell._asdict()} | found)
    return pd.DataFrame(rows)


def circuit_edges(scores: dict[str, Tensor], circuits: dict[Cell, Circuit]) -> pd.DataFrame:
    """The 60 strongest edges of every circuit: source, target, score."""
    frames = [strongest_edges(scores[c.name], circuit, 60).assign(**c._asdict())
              for c, circuit in circuits.items()]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def graph_table(graph: Graph, n: int) -> pd.DataFrame:
    """Size of the model's graph, and of the circuits before pruning."""
    return pd.DataFrame(
        [{"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel": graph.parallel,
          "n_nodes": graph.n_forward + 1, "n_edges": graph.n_edges, "top_n": n}]
    )  # fmt: skip


def answers(facts: pd.DataFrame, right: list[pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """Share of facts that each checkpoint answers right, per relation and group of the last."""
    frames = []
    for i, (found, name) in enumerate(zip(right, names, strict=True)):
        own = found[["first_right", "whole_right"]].reset_index(drop=True)
        means = own.join(facts[AT]).groupby(AT, sort=False).mean().reset_index()
        frames.append(means.assign(checkpoint=i, name=name))
    return pd.concat(frames, ignore_index=True)
