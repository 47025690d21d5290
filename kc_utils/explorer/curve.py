"""Faithfulness over circuit size: what the run has measured, and what is measured on demand."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from kc_utils.analysis.faithfulness import faithfulness_of
from kc_utils.circuits import BatchEvaluation, mean_outputs, random_circuit, top_n
from kc_utils.circuits.circuit_size import sizes_of
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError
from kc_utils.explorer.data import Choice, RunData, cached
from kc_utils.study.stages import common

_COLUMNS = ["n", "share", "circuit", "ablation", "value"]
_OF = ("task", "kind", "band", "step", "ablation")  # what a curve belongs to


def curve_rows(data: RunData, choice: Choice) -> pd.DataFrame:
    """Everything that is known of the chosen cell, checkpoint and ablation, a row per circuit.

    Columns: n (edges before pruning), share (of all edges), circuit (own, which is the discovered
    one, random, random_per_layer), ablation, value (faithfulness on the evaluation people). KcError
    when the run has no such tables and nothing has been measured.
    """
    measured = choice.of(_OF) in data.measured
    parts = [data.measured[choice.of(_OF)]] if measured else []
    try:
        parts.append(cached(data.curves, choice.of(_OF), lambda: _stored(data, choice)))
    except KcError:
        if not measured:
            raise
    rows = _joined(parts)
    return rows.drop_duplicates(["n", "circuit"])[_COLUMNS].sort_values("n", ignore_index=True)


def missing_sizes(data: RunData, choice: Choice) -> list[int]:
    """Sizes of a whole curve, with the chosen one, whose discovered circuit is not known yet."""
    try:
        rows = curve_rows(data, choice)
        known = set(rows["n"][rows["circuit"] == "own"])
    except KcError:
        known = set()
    wanted = {n for n in sizes_of(data.graph) if n} | {choice.n}
    return sorted(wanted - known)


def measure(data: RunData, choice: Choice, progress: Callable[[int, int], None]) -> None:
    """Evaluate the discovered and a random circuit of every missing size and keep the result.

    ``progress`` is told how many sizes of how many are done. KcError when the model, the scores or
    the pairs are missing.
    """
    todo = missing_sizes(data, choice)
    progress(0, len(todo))
    bridge, scores, pairs = data.model(choice.step), data.score(choice), data.pairs()
    means = None
    if choice.ablation == "mean":
        means = mean_outputs(bridge, common.batch_of(pairs, choice.cell, "discover"))
    chosen = common.select(pairs, choice.cell, "evaluate")
    evaluation = BatchEvaluation(bridge, PairBatch.from_frame(chosen), means)
    rows = []
    for done, n in enumerate(todo, start=1):
        discovered = top_n(scores, data.graph, n)
        beside = random_circuit(data.graph, discovered.n_edges, data.run.config.seed)
        for name, circuit in (("own", discovered), ("random", beside)):
            value = evaluation.result(circuit, choice.ablation).faithfulness
            rows.append((n, n / data.graph.n_edges, name, choice.ablation, value))
        progress(done, len(todo))
    before = data.measured.get(choice.of(_OF), pd.DataFrame(columns=_COLUMNS))
    new = pd.DataFrame(rows, columns=_COLUMNS)
    data.measured[choice.of(_OF)] = _joined([before, new])


def _stored(data: RunData, choice: Choice) -> pd.DataFrame:
    """What the tables of the run hold."""
    return _joined([_of_size_curve(data, choice), _of_checkpoint(data, choice)])


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=_COLUMNS)])


def _of_size_curve(data: RunData, choice: Choice) -> pd.DataFrame:
    """The stored curve, which the run has for its first task at the last checkpoint."""
    table = _of_cell(data.table("size_curve"), choice)
    if table.empty:
        return pd.DataFrame(columns=_COLUMNS)
    table = faithfulness_of(table, ["share", "circuit", "ablation"])
    table = table.assign(n=(table["share"] * data.graph.n_edges).astype(int))
    return table[table["n"] > 0][_COLUMNS]


def _of_checkpoint(data: RunData, choice: Choice) -> pd.DataFrame:
    """The circuits of the configured size, which the run evaluates at every checkpoint."""
    table = _of_cell(data.table("circuit_pairs"), choice)
    table = table[(table["split"] == "evaluate") & (table["wording"] == "trained")]
    if table.empty:
        return pd.DataFrame(columns=_COLUMNS)
    random = table["circuit"].str.startswith("random")
    table = table.assign(circuit=table["circuit"].mask(random, "random"))
    n = min(common.circuit_size(data.run), data.graph.n_edges)
    rows = faithfulness_of(table, ["circuit", "ablation"])
    return rows.assign(n=n, share=n / data.graph.n_edges)[_COLUMNS]


def _of_cell(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    keep = pd.Series(True, index=table.index)
    for name, value in zip(_OF, choice.of(_OF), strict=True):
        keep &= table[name] == value
    return table[keep]
