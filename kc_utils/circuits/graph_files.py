"""Circuits and scores in the files of the published library.

The EAP-IG library (Hanna et al., arXiv 2403.17806) writes a graph as ``.json`` (one entry per node
and per edge) or as ``.pt`` (matrices): scores and marks of edges, and, where they were asked for,
of nodes and of neurons. Both are read and written here without a copy of the model. The circuit
track of the Mechanistic Interpretability Benchmark (MIB, arXiv 2504.13151) takes the same files as
``<method>_<ablation>_<level>/<task>_<model>/importances.json``.

A ``.pt`` file is opened with ``weights_only=True``: it holds tensors and plain values, never code.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from kc_utils import artifacts
from kc_utils.circuits.graph_content import GraphFile, as_json, as_pt, check_content
from kc_utils.circuits.graph_parsing import from_json, from_pt, mapping
from kc_utils.errors import KcError, shown

SUFFIXES = (".json", ".pt")
#: Tasks of MIB's circuit track.
MIB_TASKS = ("ioi", "mcqa", "arithmetic-addition", "arithmetic-subtraction", "arc-easy",
             "arc-challenge")  # fmt: skip
#: What MIB compares circuits by.
MIB_LEVELS = ("edge", "node", "neuron")


def write_graph(path: str | Path, file: GraphFile) -> None:
    """Write ``file`` as the published library does, as JSON or as ``.pt`` by the name of ``path``.

    That library's own JSON repeats the neurons of a layer with each of its heads; ``.pt`` is
    smaller by far where there are neurons.

    Raises:
        KcError: the name ends otherwise, or scores or marks have another shape than this graph
            needs, or are no tensors, or edge scores are not finite (nan is allowed for nodes and
            neurons: not scored), or the width is no positive integer; the file cannot be written.
    """
    path = _checked(path)
    check_content(file)
    if path.suffix == ".pt":
        content = as_pt(file)
        artifacts.write_or_say(path, lambda p: _save_pt(content, p))
    else:
        text = json.dumps(as_json(file))
        artifacts.write_or_say(path, lambda p: p.write_text(text, encoding="utf-8"))


def _save_pt(content: object, path: Path) -> None:
    with path.open("wb") as file:  # by its name alone, PyTorch says of no error what it was
        torch.save(content, file)


def read_graph(path: str | Path) -> GraphFile:
    """Read a graph that the published library, or :func:`write_graph`, wrote.

    Raises:
        KcError: the file is missing, damaged, holds something else, or a graph whose names, shape
            or scores are not those of a decoder-only transformer.
    """
    path = _checked(path)
    if not path.is_file():
        raise KcError(f"{path} is missing.")
    content = _load_pt(path) if path.suffix == ".pt" else _load_json(path)
    try:
        return from_pt(content) if path.suffix == ".pt" else from_json(content)
    except KcError as error:
        raise KcError(f"{path} holds no graph of the published library: {error}") from None


def submission_path(folder: str | Path, method: str, task: str, model: str,
                    ablation: str = "patching", level: str = "edge") -> Path:  # fmt: skip
    """Where the circuit track of MIB looks for the importances of one task and model.

    Args:
        folder: of the submissions.
        method: names the submission, together with ``ablation`` and ``level``.
        task: one of :data:`MIB_TASKS`.
        model: MIB's short name, for example ``gpt2`` or ``qwen2.5``.
        ablation: what replaced the rest of the model, in MIB's words.
        level: what was scored, one of :data:`MIB_LEVELS`.

    Raises:
        KcError: MIB has no such task or level, or a name cannot be part of a path.
    """
    for what, name, allowed in (("task", task, MIB_TASKS), ("level", level, MIB_LEVELS)):
        if name not in allowed:
            raise KcError(f"MIB has no {what} {shown(name)}; allowed are {', '.join(allowed)}.")
    for name in (method, model, ablation):
        if (
            not isinstance(name, str)
            or not name
            or set(name) & set("/\\\0")
            or name.startswith(".")
        ):
            raise KcError(f"{shown(name)} cannot be part of a file name.")
    return Path(folder) / f"{method}_{ablation}_{level}" / f"{task}_{model}" / "importances.json"


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise KcError(f"A graph file ends in {' or '.join(SUFFIXES)}, not {shown(path.name)}.")
    return path


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KcError(f"{path} is damaged: {str(error).rstrip('.')}.") from None
    return mapping(content, str(path))


def _load_pt(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        # what follows the first sentence advises, in colours, to load the file without this check
        reason = (str(error).splitlines() or ["it cannot be read"])[0].split(". ")[0].rstrip(".")
        raise KcError(f"{path} is damaged, or holds more than tensors: {reason}.") from None
    return mapping(content, str(path))
