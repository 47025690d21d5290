"""Does a graph file of other code hold the scores that this code gives?

``kc parity FILE --model DIR --pairs FILE`` scores the edges, nodes or neurons of the model on the
pairs, whichever the file holds, and compares every score with the one in the file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kc_utils.benchmark import tasks
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.graph_content import GraphFile
from kc_utils.circuits.graph_files import SUFFIXES, read_graph
from kc_utils.circuits.neurons import attribute_neurons, attribute_nodes
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.cli.golden import PAIR_FIELDS, read_pairs, relative_error
from kc_utils.cli.parity import Agreement, check_vocabulary, tolerance_of
from kc_utils.errors import KcError, shown
from kc_utils.facts.asking import Source, bridge_of

log = logging.getLogger(__name__)


class Scoring(NamedTuple):
    """What scores are computed from, beside the settings of the method.

    Args:
        model: folder, or ``package:<module>``.
        pairs: JSON Lines, a pair each: token ids as in golden sets, or a question as MIB has them.
        counterfactual: which one of MIB's questions (None: the usual, or the only one).
        double: compute in float64.
    """

    model: str
    pairs: Path
    counterfactual: str | None = None
    double: bool = False


def is_graph_file(path: Path) -> bool:
    """Whether ``path`` means one file of scores, also one that is missing, and no folder."""
    return not path.is_dir() and (path.is_file() or path.suffix in SUFFIXES)


def check_file(
    path: Path, asked: Scoring, settings: AttributionSettings, of_nodes: AttributionSettings
) -> list[Agreement]:
    """Compare all scores of the graph file ``path`` with those that this code gives.

    Edges are left out where a file that scores nodes or neurons has 0 for all of them, and nodes
    and neurons that were not scored. The error is the largest difference, relative to the largest
    score of the file; where it is too large, the quantity names what it is at, and says if all but
    the MLPs agree: Hanna et al.'s library takes the gradient of an MLP at its input.

    Args:
        path: the file.
        asked: model and pairs.
        settings: how its scores of edges were made.
        of_nodes: how its scores of nodes and neurons were made.

    Raises:
        KcError: a file is missing or damaged, the graph is not the model's, or pairs that the
            model cannot be asked.
    """
    theirs = read_graph(path)
    rows = _rows(asked)
    source = Source.find(asked.model)
    model, tokenizer = source.load()
    if asked.double:
        model = model.double()
    bridge = bridge_of(source, model, tokenizer)
    # TransformerLens' tokenizer puts a first token in front, as the libraries that ask texts do.
    batch, left_out = _batch(rows, asked, bridge.tokenizer)
    check_vocabulary(batch, asked.pairs, model.config.vocab_size)
    graph = graph_of(bridge)
    if theirs.graph != graph:
        raise KcError(
            f"{path} holds scores of {theirs.graph.words}, and the model {shown(asked.model)} has "
            f"{graph.words}; both have to be the same."
        )
    width = bridge.original_model.config.hidden_size
    if theirs.neuron_scores is not None and theirs.d_model != width:
        raise KcError(
            f"{path} holds scores of {theirs.d_model} neurons for each node, and the model "
            f"{shown(asked.model)} has {width}; both have to be the same."
        )
    log.info("scoring %d pairs", len(batch))
    results = []
    for what, stored, score, how in (
        ("edge", _edge_scores(theirs), attribute, settings),
        ("node", theirs.node_scores, attribute_nodes, of_nodes),
        ("neuron", theirs.neuron_scores, attribute_neurons, of_nodes),
    ):
        if stored is None:
            continue
        stored = stored.numpy()
        ours = np.where(np.isnan(stored), np.nan, score(bridge, batch, how).double().numpy())
        scored = graph.real_edges if what == "edge" else ~np.isnan(stored)
        error = relative_error(ours[scored], stored[scored])
        allowed = tolerance_of(adapter_of(bridge), asked.double)
        ok = error <= allowed
        quantity = f"{scored.sum()} {what} scores on {len(batch)} pairs"
        if left_out:
            quantity += f" ({left_out} of the file left out: they make no pair of this model)"
        if not ok:
            worst = np.unravel_index(int(np.nanargmax(np.abs(ours - stored))), stored.shape)
            quantity += f", the largest difference at {_name(graph, what, [*map(int, worst)])}"
            rest = np.array([not name.startswith("m") for name in graph.rows])
            others = (scored.T & rest).T
            if what != "edge" and relative_error(ours[others], stored[others]) <= allowed:
                quantity += "; all but those of MLPs agree"
        results.append(Agreement(quantity, error, ok))
    return results


def _edge_scores(file: GraphFile) -> Tensor | None:
    others = file.node_scores is not None or file.neuron_scores is not None
    return None if others and not file.scores.any() else file.scores


def _name(graph: Graph, what: str, at: Sequence[int]) -> str:
    """The edge, node or neuron at these indices."""
    writer = graph.rows[at[0]]
    if what == "node":
        return writer
    return f"{writer}->{graph.columns[at[1]]}" if what == "edge" else f"neuron {at[1]} of {writer}"


def _rows(asked: Scoring) -> list[tasks.Row] | None:
    """Questions in MIB's format, or None for pairs of token ids, which need no tokenizer."""
    first = _first_line(asked.pairs)
    if "clean_ids" in first:
        if asked.counterfactual is not None:
            raise KcError("--counterfactual has no effect on pairs that are token ids.")
        return None
    if "prompt" not in first:
        raise KcError(
            f"{asked.pairs} has neither {', '.join(PAIR_FIELDS)} in its first line nor a prompt, "
            "as a question in the format of MIB does."
        )
    return tasks.read_rows(asked.pairs)


def _first_line(path: Path) -> dict:
    if not path.is_file():
        raise KcError(f"There is no file {shown(str(path))} to read pairs from.")
    try:
        lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        found = json.loads(next(lines, "{}"))
    except (ValueError, RecursionError) as error:
        raise KcError(f"{path} holds no pairs as JSON lines: {str(error).rstrip('.')}.") from None
    return found if isinstance(found, dict) else {}


def _batch(
    rows: list[tasks.Row] | None, asked: Scoring, tokenizer: PreTrainedTokenizerBase
) -> tuple[PairBatch, int]:
    """The pairs, and how many of the file were left out."""
    if rows is None:
        return read_pairs(asked.pairs), 0
    return tasks.pairs_of(rows, tokenizer, asked.counterfactual)
