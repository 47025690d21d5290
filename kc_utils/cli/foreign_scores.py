"""Does a graph file of other code hold the edge scores that this code gives?

``kc parity FILE --model DIR --pairs FILE`` scores the edges of the model on the pairs, and compares
every score with the one in the file.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from kc_utils.benchmark import tasks
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.graph_files import SUFFIXES, read_graph
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


def check_file(path: Path, asked: Scoring, settings: AttributionSettings) -> Agreement:
    """Compare all scores of the graph file ``path`` with those that this code gives.

    The error is the largest difference, relative to the largest score of the file; where it is too
    large, the quantity names the edge that it is at.

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
            f"{path} is of {_words(theirs.graph)}, and the model {shown(asked.model)} has "
            f"{_words(graph)}; both have to be the same."
        )
    log.info("scoring %d pairs", len(batch))
    ours = attribute(bridge, batch, settings).double().numpy()
    error = relative_error(ours, theirs.scores.numpy())
    ok = error <= tolerance_of(adapter_of(bridge), asked.double)
    quantity = f"{graph.n_edges} edge scores on {len(batch)} pairs"
    if left_out:
        quantity += f" ({left_out} of the file left out: they make no pair of this model)"
    if not ok:
        apart = np.abs(ours - theirs.scores.numpy())
        worst = apart == apart.max()
        at = graph.edge_names(worst & graph.real_edges)
        if at:
            quantity += f", the largest difference at {at[0]}"
    return Agreement(quantity, error, ok)


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


def _words(graph: Graph) -> str:
    beside = ", attention and MLP in parallel" if graph.parallel else ""
    return f"{graph.n_layers} layers of {graph.n_heads} heads{beside}"
