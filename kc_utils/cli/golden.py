"""Reading a set of stored reference data: model, pairs, edge scores, circuits.

A set is a folder with ``model/``, ``pairs.jsonl``, ``nodes.json``, ``real_edges.npy``,
``circuits.json`` and one ``scores_*.npz`` for EAP and for each of the two integration paths. In
the place of an ``.npz`` may stand the ``.json`` or ``.pt`` that the EAP-IG library writes.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kc_utils.circuits.attribution import AttributionSettings
from kc_utils.circuits.graph_files import SUFFIXES, read_graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

SCORE_FILES = {
    "scores_eap.npz": AttributionSettings(method="eap"),
    "scores_eapig_0_to_m_minus_1.npz": AttributionSettings(path="0..m-1"),
    "scores_eapig_1_to_m.npz": AttributionSettings(path="1..m"),
}
PAIR_FIELDS = ("clean_ids", "corrupted_ids", "right_id", "wrong_id")


@dataclass(frozen=True)
class GoldenSet:
    """One set as read from its files, which are checked for form only."""

    folder: Path
    batch: PairBatch
    scores: dict[str, np.ndarray]
    real_edges: np.ndarray
    nodes: dict[str, list[str]]
    circuits: dict[str, Any]


def find_sets(folder: str | Path) -> list[Path]:
    """``folder`` if it is a set, else every set below it; KcError if there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise KcError(f"There is no folder {str(folder)!r}.")
    marks = ("pairs.jsonl", "circuits.json", "nodes.json", "real_edges.npy", *SCORE_FILES)
    if any((folder / name).is_file() for name in marks):
        return [folder]
    sets = sorted({file.parent for name in marks for file in folder.rglob(name)})
    if not sets:
        raise KcError(f"Neither {str(folder)!r} nor a folder below it holds pairs.jsonl.")
    return sets


def read_set(folder: Path) -> GoldenSet:
    """Read every file of a set; KcError names the file that is missing or damaged."""
    return GoldenSet(
        folder=folder,
        batch=read_pairs(folder / "pairs.jsonl"),
        scores={name: _read_scores(folder / name) for name in SCORE_FILES},
        real_edges=_read_array(folder / "real_edges.npy"),
        nodes=_read_nodes(folder / "nodes.json"),
        circuits=_read_circuits(folder / "circuits.json"),
    )


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise KcError(f"The file {str(path)!r} is missing.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise damaged(path, str(error)) from None


def damaged(path: Path, why: str) -> KcError:
    """The error for a file that exists but cannot be used."""
    return KcError(f"The file {str(path)!r} is damaged: {why.rstrip('.')}.")


def read_pairs(path: Path) -> PairBatch:
    """Pairs of token ids, a line each with ``PAIR_FIELDS``; KcError names what is wrong."""
    rows = []
    for number, line in enumerate(filter(str.strip, _read_text(path).splitlines()), start=1):
        try:
            row = json.loads(line)
            rows.append([row[field] for field in PAIR_FIELDS])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise damaged(path, f"pair {number} cannot be read ({error})") from None
        ids = [*rows[-1][0], *rows[-1][1], *rows[-1][2:]] if _are_lists(rows[-1][:2]) else [None]
        if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids):
            raise damaged(path, f"pair {number} holds something else than token ids")
    try:
        return PairBatch.from_lists(*([row[i] for row in rows] for i in range(len(PAIR_FIELDS))))
    except KcError as error:
        raise damaged(path, str(error)) from None


def _are_lists(values: list[Any]) -> bool:
    return all(isinstance(value, list) for value in values)


def _read_scores(path: Path) -> np.ndarray:
    graphs = [path.with_suffix(suffix) for suffix in SUFFIXES]
    found = [graph for graph in graphs if graph.is_file()]
    if found and not path.is_file():
        return read_graph(found[0]).scores.numpy()
    return _read_array(path, "scores")


def _read_array(path: Path, key: str | None = None) -> np.ndarray:
    if not path.is_file():
        raise KcError(f"The file {str(path)!r} is missing.")
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded if key is None else loaded[key]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, str(error).strip("'\"")) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "bf":
        raise damaged(path, f"it holds {getattr(array, 'dtype', 'no array')}, not numbers")
    return array


def _read_nodes(path: Path) -> dict[str, list[str]]:
    nodes = _read_json(path)
    if not isinstance(nodes, dict) or not _are_lists([nodes.get("rows"), nodes.get("columns")]):
        raise damaged(path, "it has no lists 'rows' and 'columns'")
    return nodes


def _read_circuits(path: Path) -> dict[str, Any]:
    """circuits.json with the fields that are compared; see :data:`CIRCUIT_FIELDS`."""
    content = _read_json(path)
    try:
        _require(content, ("scores_file", "n_real_edges", "n_pairs"))
        _require(content["baseline"], BASELINE_FIELDS)
        _require(content["empty_circuit"], ("patching", "zero"))
        for entry in content["circuits"]:
            _require(entry, CIRCUIT_FIELDS)
            for ablation in ("patching", "zero"):
                _require(entry[ablation], ABLATION_FIELDS)
            _require(entry["patching"], ("faithfulness",))
        if not content["circuits"]:
            raise KeyError("circuits")
    except (KeyError, TypeError) as error:
        raise damaged(path, f"field {error} is missing") from None
    if content["scores_file"] not in SCORE_FILES:
        raise damaged(path, f"scores_file is {content['scores_file']!r}")
    return content


BASELINE_FIELDS = tuple(
    f"{run}_{what}"
    for run in ("clean", "corrupted")
    for what in ("logit_diff", "hit_at_10", "logit_diff_per_pair")
)
ABLATION_FIELDS = ("logit_diff", "hit_at_10", "logit_diff_per_pair", "hit_per_pair")
CIRCUIT_FIELDS = ("n", "nodes", "edges", "n_edges_after_prune", "n_nodes_after_prune")
CIRCUIT_FIELDS += ("edges_dropped_by_prune", "patching", "zero")


def _require(mapping: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        if not isinstance(mapping, dict) or field not in mapping:
            raise KeyError(field)


def relative_error(ours: np.ndarray | float, golden: Any, scale: float | None = None) -> float:
    """max |ours - golden| / max |golden| (or ``scale``); infinite if shapes differ or it is nan."""
    try:
        reference = np.asarray(golden, dtype=np.float64)
    except (TypeError, ValueError):
        return math.inf
    if reference.shape != np.shape(ours):
        return math.inf
    largest = float(np.abs(reference).max(initial=0.0)) if scale is None else scale
    difference = float(np.abs(ours - reference).max(initial=0.0))
    if difference == 0.0:
        return 0.0
    error = difference / largest if largest > 0 else math.inf
    return error if math.isfinite(error) else math.inf
