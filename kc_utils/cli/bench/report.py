"""The benchmark as a file and as a table: values, targets, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import ROOT, artifacts
from kc_utils.cli.bench.sections import SECTIONS
from kc_utils.cli.doctor.timing import Rounds, threads
from kc_utils.errors import KcError
from kc_utils.runs.machine import memory_bytes, processor

KEPT = ROOT / "book" / "reference" / "bench.json"
PACKAGES = ("torch", "transformers", "transformer-lens", "numpy")
N_THREADS = 1
COLUMNS = ["quantity", "measured", "target", "met", "least", "CPU"]


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
    "graph_topn_prune_write_seconds": Target(
        "graph, ten circuits cut, scores written", "s", 0.1, strict=True
    ),
    "scores_file_bytes": Target("scores of one circuit on disk", "bytes", 200e3),
    "peak_bytes_gpt2_small_over_model": Target(
        "peak memory beside the model, GPT-2 Small", "bytes", 2e9, strict=True
    ),
    "peak_bytes_gpt2_xl": Target("peak memory in all, GPT-2 XL", "bytes", 12e9, strict=True),
}  # EAP-IG and circuits in the shape of GPT-2 Small where nothing else is said


def measure(
    names: list[str] | None = None,
    quick: bool = False,
    rounds: Rounds | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Measure the named sections, or all: the content of ``bench.json``.

    ``quick`` takes toy shapes and two rounds. ``progress`` is called with each section's name
    before it starts. KcError for a section that does not exist.
    """
    names = list(SECTIONS) if names is None else names
    if unknown := [name for name in names if name not in SECTIONS]:
        raise KcError(
            f"{unknown[0]!r} is not a section of the benchmark; allowed are {', '.join(SECTIONS)}."
        )
    rounds = rounds or (Rounds(least=2, most=2) if quick else Rounds())
    started, date = time.perf_counter(), datetime.now(UTC)
    values: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with threads(N_THREADS):
        for name in names:
            progress(name)
            start = time.perf_counter()
            values |= SECTIONS[name](quick, rounds)
            seconds[name] = round(time.perf_counter() - start, 2)
    return values | {
        "targets": {
            key: {"most": target.most, "unit": target.unit, "met": target.met(values[key])}
            for key, target in TARGETS.items()
            if key in values
        },
        "machine": machine(),
        "date": date.strftime("%Y-%m-%dT%H:%MZ"),
        "seconds": round(time.perf_counter() - started, 1),
        "section_seconds": seconds,
        "quick": quick,
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions; no names or paths of the machine."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": N_THREADS,
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def read(path: Path = KEPT) -> dict[str, Any]:
    """A stored benchmark; KcError when it is missing or damaged."""
    result = artifacts.read_json(path)
    if not isinstance(result, dict) or not {"targets", "machine"} <= set(result):
        raise KcError(f"{path} is damaged: it has no targets and no machine.")
    return result


def table(result: dict[str, Any]) -> pd.DataFrame:
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
            "least": _other(result, f"{key}_min", target.unit),
            "CPU": _other(result, f"{key}_cpu", target.unit),
        }
        for key, target in TARGETS.items()
        if key in result["targets"]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def methods_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per method: its time on profile ``tiny`` over the floor of a single step."""
    rows = [(name, _written(ratio, "x")) for name, ratio in result.get("methods", {}).items()]
    return pd.DataFrame(rows, columns=["method", "over the floor of one step"])


def _other(result: dict[str, Any], key: str, unit: str) -> str:
    return _written(result[key], unit) if key in result else ""


def _written(value: float | int, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value / 1e3:.1f} kB"
    return f"{value:.3f} s" if unit == "s" else f"{value:.2f} x"
