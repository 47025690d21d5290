"""Results that are kept with the book because they take longer than a book build may.

``kc reference`` exports the tables of a run. ``provenance.json`` says which configuration, versions
and machine they come from, and holds a digest of every table, so that a table that was edited
afterwards is refused. ``python -m tests.benchmarks --keep`` stores the benchmark of the engine.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import REFERENCE, ROOT, artifacts
from kc_utils.analysis.knowledge import chance_level
from kc_utils.errors import KcError, typed_path
from kc_utils.runs.exports import StoredTables, portable, write_tables
from kc_utils.runs.folder import Run
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.replaced import replace_folder
from kc_utils.study.one_question import one_question
from kc_utils.study.stages import STAGES

TABLES = (
    "prior_knowledge", "regime", "circuit_size", "accuracy", "accuracy_read", "query_accuracy",
    "query_curve", "time_to_knowledge", "hits", "model_hits", "faithfulness", "sizes", "transfer",
    "transfer_curve", "aligned", "topology", "shift", "activation_ratio", "centre_of_mass",
    "role_shares", "role_shares_published", "forgetting", "claims", "graph", "checkpoints",
    "training_loss", "strongest_edges", "areas", "recovery", "minimal", "method_agreement",
    "method_by_reader", "ways",
)  # fmt: skip
_PROVENANCE = "provenance.json"
BENCHMARK = ROOT / REFERENCE / "bench.json"
BENCHMARK_COLUMNS = ["quantity", "measured", "target", "met", "least", "CPU"]
FAMILY_COLUMNS = ["family", "eapig_over_floor", "circuit_over_two_forwards", "mb_over_model"]
FAMILY_COLUMNS += ["mb_libraries"]
SCALING_COLUMNS = ["grows", "least", "most", "measured", "slope", "floor_slope", "edges_slope"]
SCALING_COLUMNS += ["over_floor", "least_over_floor", "most_over_floor"]


@dataclass(frozen=True)
class Reference(StoredTables):
    """An exported run: ``table(name)`` reads a table, ``record`` says where it comes from."""

    RECORD = _PROVENANCE
    NEEDED = frozenset({"config"})
    WHAT = "exported run"
    MADE_BY = "kc reference RUN --out {folder}"

    def seconds(self) -> pd.DataFrame:
        """Seconds of every stage and their share of the whole: stage, seconds, share."""
        seconds = self.record["seconds"]  # JSON objects are stored sorted by name
        rows = [(stage.name, seconds[stage.name]) for stage in STAGES if stage.name in seconds]
        table = pd.DataFrame(rows, columns=["stage", "seconds"])
        return table.assign(share=table["seconds"] / table["seconds"].sum())


def stored_references(folder: Path) -> list[Reference]:
    """The exported runs in the folders directly below ``folder``, by name."""
    return [Reference.open(path.parent) for path in sorted(folder.glob(f"*/{_PROVENANCE}"))]


def export_reference(
    run: Run,
    out: Path,
    stage: str | None = None,
    question: str | None = None,
    tables: Sequence[str] = (),
) -> list[Path]:
    """Write the tables of a finished run and ``provenance.json`` into ``out``; all or nothing.

    An earlier export in ``out`` is replaced. With ``stage``, only the tables of that stage are
    written, and no later stage is needed; with ``question``, a task of circuits, only those of
    :func:`kc_utils.study.one_question.one_question`, which are computed here; with ``tables``, only
    these.

    Returns:
        The files of the tables, then the provenance.

    Raises:
        KcError: if a stage of the run is missing or out of date, ``out`` holds something else or
            lies in the folder of a run, or the tables are larger than 5 MB together.
    """
    out = typed_path(out).absolute()
    refuse_inside_run(out, "--out")
    last = stage if question is None else "components"
    needed = [STAGES.get(last)] if last is not None else list(STAGES.study)
    missing = [s.name for s in needed if not STAGES.done(run, s.name)]
    if missing:
        raise KcError(
            f"Run {run.name!r} is not complete: stage {missing[0]!r} is missing or out of date; "
            f"'{run.command()}' computes it."
        )
    Reference.refuse_other(out)
    if question is not None:
        found, stages = one_question(run, question), []
    else:
        names = tables or (TABLES if stage is None else _tables_of(run, stage))
        found, stages = {name: run.table(name) for name in names}, needed
    replace_folder(out, lambda folder: _write(run, folder, found, [s.name for s in stages]))
    return [*(out / f"{name}.parquet" for name in found), out / _PROVENANCE]


def _tables_of(run: Run, stage: str) -> tuple[str, ...]:
    wrote = map(Path, run.record["stages"][stage]["wrote"])
    return tuple(p.stem for p in wrote if p.parts[0] == "tables")


def provenance(run: Run, stages: Collection[str]) -> dict[str, Any]:
    """Where the numbers come from: configuration, versions, machine, and what the ``stages`` took;
    no paths of the machine."""
    made, done = run.record["provenance"], run.record["stages"]
    processor = f"{made['machine']}, {os.cpu_count()} processors"
    return {
        "config": portable(run.config.model_dump(mode="json")),
        "versions": {"python": made["python"]} | made["versions"],
        "git": made["git"],
        "seconds": {s.name: done[s.name]["seconds"] for s in STAGES if s.name in stages},
        "machine": f"{processor}, {made.get('device', 'cpu')}",
        "exported_with": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _write(
    run: Run, folder: Path, tables: dict[str, pd.DataFrame], stages: Collection[str]
) -> None:
    digests = write_tables(folder, tables, f"run {run.name!r}")
    chance = float(chance_level(run.table("first_token").query("step == 0"))["chance"].mean())
    record = provenance(run, stages) | {"tables": digests, "chance_first_token": chance}
    artifacts.write_json(folder / _PROVENANCE, record)


@dataclass(frozen=True)
class Target:
    """What a value is, its unit (``x``, ``s`` or ``bytes``), and the most it should be."""

    words: str
    unit: str
    most: float
    strict: bool = False

    def met(self, value: float | int) -> bool:
        """Whether ``value`` is within the target."""
        return value < self.most if self.strict else value <= self.most


TARGETS = {
    "eapig_gpt2_small_over_floor": Target("EAP-IG, GPT-2 Small, over its floor", "x", 1.3),
    "eapig_tiny_over_floor": Target("EAP-IG, profile tiny, over its floor", "x", 2.0),
    "circuit_eval_gpt2_small_over_two_forwards": Target(
        "one circuit evaluated, over two forward passes", "x", 2.5
    ),
    "ten_circuits_over_ten_times_one": Target(
        "ten circuits evaluated, over ten times one", "x", 1.0, strict=True
    ),
    "training_mixed_over_float32": Target(
        "a step of training in mixed precision, over one in float32", "x", 1.05
    ),
    "graph_topn_prune_write_seconds": Target(
        "graph, ten circuits cut, scores written", "s", 0.1, strict=True
    ),
    "scores_file_bytes": Target("scores of one circuit on disk", "bytes", 200e3),
    "peak_bytes_gpt2_small_over_model": Target(
        "peak memory beside the model, GPT-2 Small", "bytes", 2e9, strict=True
    ),
    "peak_bytes_gpt2_xl": Target("peak memory in all, GPT-2 XL", "bytes", 12e9, strict=True),
}  # EAP-IG and circuits in the shape of GPT-2 Small where nothing else is said


def read_benchmark(path: Path = BENCHMARK) -> dict[str, Any]:
    """A stored benchmark; KcError when it is missing or damaged."""
    result = artifacts.read_json(path)
    if not isinstance(result, dict) or not {"targets", "machine"} <= set(result):
        raise KcError(f"{path} is damaged: it has no targets and no machine.")
    return result


def benchmark_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per target: quantity, measured, target (both with units) and whether it was met.

    For ratios of times also the ratio of the least times and the median ratio of CPU times.
    """
    rows = [
        {
            "quantity": target.words,
            "measured": _written(result[key], target.unit),
            "target": ("below " if target.strict else "at most ")
            + _written(result["targets"][key]["most"], target.unit),
            "met": "yes" if result["targets"][key]["met"] else "no",
            "least": _also(result, f"{key}_min", target.unit),
            "CPU": _also(result, f"{key}_cpu", target.unit),
        }
        for key, target in TARGETS.items()
        if key in result["targets"]
    ]
    return pd.DataFrame(rows, columns=BENCHMARK_COLUMNS)


def methods_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per method: its time on profile ``tiny`` over the floor of a single step."""
    rows = [(name, _written(ratio, "x")) for name, ratio in result.get("methods", {}).items()]
    return pd.DataFrame(rows, columns=["method", "over the floor of one step"])


def families_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per family: attribution over its floor, a circuit over two forward passes, and the
    megabytes that a process held beside the model, with those of its libraries among them."""
    rows = [
        (
            row["family"],
            row["eapig_over_floor"],
            row["circuit_over_two_forwards"],
            row["peak_bytes_over_model"] / 1e6,
            row["peak_bytes_libraries"] / 1e6,
        )
        for row in result.get("families", {}).values()
    ]
    return pd.DataFrame(rows, columns=FAMILY_COLUMNS)


def scaling_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per number that grows and function that is timed.

    ``least`` and ``most``: the ends of its range. ``slope`` and ``floor_slope``: exponents of the
    growth of time; ``edges_slope``: of the number of edges. ``over_floor``: the ratio to the floor
    at every point, as text; then the least and the most of them.
    """
    rows = [
        (
            grows,
            *(found["points"][i] for i in (0, -1)),
            name,
            *(found[name][key] for key in ("slope", "floor_slope")),
            found["edges_slope"],
            ", ".join(f"{ratio:.2f}" for ratio in found[name]["over_floor"]),
            *(end(found[name]["over_floor"]) for end in (min, max)),
        )
        for grows, found in result.get("scaling", {}).items()
        for name in ("attribute", "evaluate_circuit")
    ]
    return pd.DataFrame(rows, columns=SCALING_COLUMNS)


def days_measured(result: dict[str, Any]) -> list[str]:
    """The days on which the sections of a benchmark were measured, as ISO dates."""
    dates = [result["date"], *result.get("section_dates", {}).values()]
    return sorted({date[:10] for date in dates})


def _also(result: dict[str, Any], key: str, unit: str) -> str:
    return _written(result[key], unit) if key in result else ""


def _written(value: float | int, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value / 1e3:.1f} kB"
    return f"{value:.3f} s" if unit == "s" else f"{value:.2f} x"
