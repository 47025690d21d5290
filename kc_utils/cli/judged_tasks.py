"""A model on tasks: methods compared by MIB's areas, over several draws of the pairs.

A draw is a set of pairs that scores are taken on and another one that circuits run on. Draws share
no seed, or no row of a file, so the spread of their areas is what other pairs would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from transformer_lens.model_bridge import TransformerBridge

from kc_utils import artifacts
from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.benchmark import areas_by_method
from kc_utils.benchmark import tasks as benchmark_tasks
from kc_utils.book.benchmark_tables import TABLES
from kc_utils.circuits import AttributionSettings, attribute, graph_of, top_n
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.polish import polish
from kc_utils.cli.given import refuse_outside
from kc_utils.errors import KcError
from kc_utils.facts.asking import Source, bridge_of
from kc_utils.runs.folder import key_of

Rows = list[benchmark_tasks.Row]
#: Discovery and held-out rows, draw by draw.
Draws = list[tuple[Rows, Rows]]


@dataclass(frozen=True)
class Asked:
    """What ``kc benchmark --model`` was asked for.

    Args:
        pairs: in the discovery of a draw, and as many that circuits run on.
        draws: how many of them.
        steps: of integrated gradients.
        seed: of the first draw's rows, and of random circuits.
        metric: that edges are scored and circuits judged by.
        polish: edges of the circuit to polish, on the first draw; None for none.
        counterfactual: which one of a file's rows.
    """

    pairs: int
    draws: int
    steps: int
    seed: int
    metric: str
    polish: int | None
    counterfactual: str | None


def is_made(task: str) -> bool:
    """Whether ``task`` names one whose rows are made here, and no file."""
    return not task.endswith(".jsonl")


def draws_of(task: str, asked: Asked) -> Draws:
    """Rows of a task: other seeds for every draw, or other rows of a file, in its order.

    KcError for a file with too few rows.
    """
    if is_made(task):
        seeds = range(asked.seed, asked.seed + asked.draws)
        return [
            (benchmark_tasks.task_rows(task, asked.pairs, 2 * seed),
             benchmark_tasks.task_rows(task, asked.pairs, 2 * seed + 1))
            for seed in seeds
        ]  # fmt: skip
    rows, parts = benchmark_tasks.read_rows(Path(task)), 2 * asked.draws
    if len(rows) < parts:
        raise KcError(
            f"{task} holds {len(rows)} rows; two halves of {asked.draws} draws need at least "
            f"{parts}, so lower --draws."
        )
    n = min(asked.pairs, len(rows) // parts)
    cut = [rows[start : start + n] for start in range(0, parts * n, n)]
    return list(zip(cut[::2], cut[1::2], strict=True))


def judge(
    source: Source,
    tasks: dict[str, Draws],
    methods: Sequence[str],
    asked: Asked,
    batch_size: int,
    progress: Callable[[str], None],
    finished: Path | None = None,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Tables of :data:`kc_utils.book.benchmark_tables.TABLES`, and the record to store with them.

    Args:
        source: the model.
        tasks: draws by name of the task.
        methods: see :mod:`kc_utils.circuits.attribution`.
        asked: the settings.
        batch_size: most pairs in a pass.
        progress: is told what begins.
        finished: folder that keeps what has been computed, so that one that was killed goes on.
    """
    made_with = {**asdict(asked), "model": source.digest, "methods": list(methods)}
    bridge = bridge_of(source, *source.load())
    refuse_outside(1, graph_of(bridge).n_edges, polish=asked.polish)  # before hours
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for name, draws in tasks.items():
        task = name if is_made(name) else Path(name).stem
        for draw, halves in enumerate(draws):
            where, at = {"task": task, "draw": draw}, f"{task}, draw {draw + 1} of {len(draws)}"
            batches, left_out = _pairs(bridge, name, halves, asked)
            evaluation = BatchEvaluation(
                bridge, batches[1], batch_size=batch_size, metric=asked.metric
            )
            right = evaluation.references.clean[0] > 0
            counts = {"discovery": len(batches[0]), "held_out": len(right), "left_out": left_out,
                      "right": float(right.mean())}  # fmt: skip
            found["pairs"].append(pd.DataFrame([where | counts]))
            curves = _once(
                finished, ["curves", draw, halves, made_with | {"draws": None, "polish": None}],
                partial(
                    areas_by_method.faithfulness_by_size, evaluation, batches[0], methods,
                    asked.steps, (True, False), asked.seed + draw,
                    lambda what, at=at: progress(f"{at}: {what}"),
                ),
            )  # fmt: skip
            found["curves"].append(curves.assign(**where))
            found["areas"].append(areas_by_method.areas_by_method(curves).assign(**where))
            if asked.polish and draw == 0:
                progress(f"{task}: polish")
                table = _once(
                    finished, ["polish", halves, made_with | {"draws": None}],
                    partial(_polish, bridge, batches, evaluation, methods, asked, batch_size),
                )  # fmt: skip
                found["polish"].append(table.assign(task=task))
    tables = {name: pd.concat(t, ignore_index=True) for name, t in found.items() if t}
    tables["draws"] = tables["areas"]
    tables["areas"] = over_draws(tables["areas"], ["task", "method", "cut"], ("cpr", "cmd"))
    tables["curves"] = over_draws(
        tables["curves"], ["task", "method", "cut", "share"], ("n_edges", "faithfulness")
    )
    record = {"model": {"name": source.name, "digest": source.digest},
              "settings": asdict(asked) | {"methods": list(methods)},
              "date": datetime.now(UTC).date().isoformat()}  # fmt: skip
    return tables, record


def _once(
    finished: Path | None, made_of: Sequence[Any], compute: Callable[[], pd.DataFrame]
) -> pd.DataFrame:
    """What ``compute`` gives, or the same from an earlier start with everything in ``made_of``."""
    if finished is None:
        return compute()
    return artifacts.piece(finished / f"{made_of[0]}-{key_of(*made_of)}.parquet", compute)


def over_draws(table: pd.DataFrame, keys: list[str], values: Sequence[str]) -> pd.DataFrame:
    """Means of the columns ``values`` over draws, with 95 % t intervals (nan below three draws).

    Columns: the keys, each value with ``<value>_low`` and ``<value>_high`` behind it, and draws.
    """
    means = table[keys].drop_duplicates(ignore_index=True)
    for value in values:
        part = seed_means(table.rename(columns={"draw": "seed"}), keys, value)
        ends = {"value": value, "low": f"{value}_low", "high": f"{value}_high"}
        means = means.merge(part.rename(columns=ends).drop(columns="n_seeds"), on=keys)
    return means.assign(draws=table["draw"].nunique())


def _pairs(
    bridge: TransformerBridge, task: str, halves: tuple[Rows, Rows], asked: Asked
) -> tuple[list[PairBatch], int]:
    """Both halves as pairs of tokens, and how many rows were left out of them."""
    which = None if is_made(task) else asked.counterfactual
    both = [benchmark_tasks.pairs_of(rows, bridge.tokenizer, which) for rows in halves]
    return [batch for batch, _ in both], sum(left_out for _, left_out in both)


def _polish(
    bridge: TransformerBridge,
    batches: Sequence[PairBatch],
    evaluation: BatchEvaluation,
    methods: Sequence[str],
    asked: Asked,
    batch_size: int,
) -> pd.DataFrame:
    method = "eap-ig" if "eap-ig" in methods else methods[0]
    settings = AttributionSettings(method, asked.steps, metric=asked.metric, batch_size=batch_size)
    scores = attribute(bridge, batches[0], settings)
    circuit = top_n(scores, graph_of(bridge), asked.polish)
    discovery = BatchEvaluation(bridge, batches[0], batch_size=batch_size, metric=asked.metric)
    done = polish(discovery, circuit, scores)
    smaller = top_n(scores, graph_of(bridge), done.circuit.n_edges)
    rows = [("cut", circuit, 0), ("polished", done.circuit, done.n_runs),
            ("cut to the same size", smaller, 0)]  # fmt: skip
    return pd.DataFrame(
        [
            (what, method, c.n_edges, runs, discovery.result(c).faithfulness,
             evaluation.result(c).faithfulness)
            for what, c, runs in rows
        ],
        columns=["circuit", "method", "n_edges", "runs", "faithfulness_discovery",
                 "faithfulness_held_out"],
    )  # fmt: skip
