"""Edge scores on disk: only edges that exist, with the graph they belong to.

A file is a safetensors file with one vector per circuit, the scores of the graph's possible edges
in row order. The number of layers and heads is in its metadata, so that scores are never laid out
for another graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kc_utils import artifacts
from kc_utils.circuits.circuit import check_graph
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError, shown

GRAPH = "edge_scores_of_graph"  # key of the metadata


def write_scores(path: str | Path, scores: Mapping[str, Tensor], graph: Graph) -> None:
    """Store score matrices [n_forward, n_backward] by name, in their own dtype.

    Args:
        path: safetensors file to write.
        scores: name of a circuit -> its scores.
        graph: the graph that all of them are of.

    Raises:
        KcError: a matrix of another shape, or with a score where the graph has no edge; a name that
            is no text; a file that cannot be written.
    """
    if not isinstance(scores, Mapping):
        raise KcError(
            f"Scores are written by name, as {{'mine': scores}}, not as {type(scores).__name__}."
        )
    check_graph(graph)
    path, real = Path(path), torch.from_numpy(graph.real_edges.copy())
    vectors = {}
    for name, matrix in scores.items():
        if not isinstance(name, str):
            raise KcError(f"The name of scores is a text, not {shown(name)}.")
        if name == "__metadata__":  # a key of the format itself
            raise KcError(
                "Scores cannot be called '__metadata__', which safetensors keeps for itself."
            )
        if not isinstance(matrix, Tensor):
            raise KcError(f"The scores {name!r} are a {type(matrix).__name__}, not a tensor.")
        if matrix.shape != real.shape:
            raise KcError(
                f"The scores {name!r} have shape {tuple(matrix.shape)}; the graph needs "
                f"{tuple(real.shape)}."
            )
        vectors[name] = matrix.detach().cpu()[real]
        if torch.count_nonzero(matrix) != torch.count_nonzero(vectors[name]):
            raise KcError(f"The scores {name!r} are not 0 everywhere that the graph has no edge.")
    # one key: safetensors stores several in a random order, and equal scores should be equal bytes
    metadata = {GRAPH: json.dumps(asdict(graph))}
    artifacts.write_or_say(path, lambda p: save_file(vectors, str(p), metadata=metadata))


def read_scores(
    path: str | Path, graph: Graph | None = None
) -> dict[str, Float[Tensor, "n_forward n_backward"]]:
    """Score matrices by name, 0 where there is no edge.

    Args:
        path: file that :func:`write_scores` wrote.
        graph: graph that the scores have to be of; None takes any.

    Raises:
        KcError: the file is missing, damaged or no score file, or of another graph.
    """
    scores, stored = read_scores_with_graph(path)
    if graph is not None and stored != graph:
        raise KcError(f"{path} holds scores of {stored.words}, not of {graph.words}.")
    return scores


def read_scores_with_graph(
    path: str | Path,
) -> tuple[dict[str, Float[Tensor, "n_forward n_backward"]], Graph]:
    """Score matrices by name, and the graph they are of; errors as in :func:`read_scores`."""
    path = Path(path)
    metadata, vectors = _open(path)
    stored = _graph_of(path, metadata)
    real = torch.from_numpy(stored.real_edges.copy())
    scores = {}
    for name, vector in vectors.items():
        if vector.shape != (stored.n_edges,):
            raise KcError(
                f"{path} is damaged: the scores {name!r} have shape {tuple(vector.shape)}; "
                f"{stored.words} has {stored.n_edges} edges."
            )
        scores[name] = vector.new_zeros(real.shape)
        scores[name][real] = vector
    return scores, stored


def _open(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise KcError(f"{path} is missing.")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise KcError(f"{path} is damaged: {str(error).splitlines()[0].rstrip('.')}.") from None


def _graph_of(path: Path, metadata: Mapping[str, str]) -> Graph:
    if GRAPH not in metadata:
        raise KcError(
            f"{path} does not say which graph its scores are of; it is no score file, or one of an "
            "older version that has to be computed again."
        )
    try:
        shape = json.loads(metadata[GRAPH])
        return Graph(int(shape["n_layers"]), int(shape["n_heads"]), bool(shape["parallel"]))
    except (ValueError, TypeError, KeyError, KcError):
        raise KcError(f"{path} is damaged: {metadata[GRAPH]!r} names no graph.") from None
