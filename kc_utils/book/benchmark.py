"""The stored benchmark of the circuit engine as tables: values, targets, and whether they are met.

``make bench`` measures; ``python -m tests.benchmarks --keep`` stores what this module reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import ROOT, artifacts
from kc_utils.errors import KcError

KEPT = ROOT / "book" / "reference" / "bench.json"
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
