"""Mistakes in calls of the engine, made where nothing checks types: run as a program by a test.

Tests check the types of all arguments before the engine can, so this is a process of its own. It
prints what each mistake is told, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_models import golden_bridge, tiny_batch, tiny_model, tokenizer

from kc_utils.circuits import (
    BatchEvaluation,
    PairBatch,
    attribute,
    boot_bridge,
    evaluate_circuit,
    graph_of,
    mean_outputs,
    random_circuit,
    random_circuit_per_layer,
    top_n,
    write_scores,
)
from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit import circuit_of_nodes
from kc_utils.circuits.greedy import greedy
from kc_utils.circuits.neurons import attribute_nodes, evaluate_neurons, strongest
from kc_utils.errors import KcError


class Given:
    """A model, pairs, scores and a circuit."""

    def __init__(self) -> None:
        self.bridge, self.batch = boot_bridge(tiny_model("gpt2"), tokenizer()), tiny_batch(2)
        self.graph = graph_of(self.bridge)
        self.scores = torch.randn(self.graph.real_edges.shape, generator=torch.manual_seed(0))
        self.circuit = top_n(self.scores, self.graph, 20)


def texts(**changes: Any) -> PairBatch:
    columns = {"clean": ["a b"], "corrupted": ["a c"], "right": ["x"], "wrong": ["y"]} | changes
    return PairBatch.from_texts(golden_bridge("gpt2_tiny").tokenizer, **columns)


#: Name of a mistake: the call, and what its sentence says.
MISTAKES: dict[str, tuple[Callable[[Given], Any], str]] = {
    "a method for settings": (
        lambda g: attribute(g.bridge, g.batch, "eap"),
        "settings='eap' are no AttributionSettings",
    ),
    "a method for settings of nodes": (
        lambda g: attribute_nodes(g.bridge, g.batch, "eap"),
        "settings='eap' are no AttributionSettings",
    ),
    "a share for a number": (
        lambda g: top_n(g.scores, g.graph, 0.1),
        r"n=0\.1 is not an integer of at least 0",
    ),
    "a share in greedy": (
        lambda g: greedy(g.scores, g.graph, 0.1),
        r"n=0\.1 is not an integer of at least 0",
    ),
    "a share of nodes": (
        lambda g: strongest(g.scores, 0.1),
        r"n=0\.1 is not an integer of at least 0",
    ),
    "a negative seed": (
        lambda g: random_circuit(g.graph, 5, -1),
        "seed=-1 is not an integer of at least 0",
    ),
    "a seed that is text": (
        lambda g: random_circuit_per_layer(g.circuit, "a"),
        "seed='a' is not an integer of at least 0",
    ),
    "scores for a circuit": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.scores),
        "Edges must be a boolean matrix of shape",
    ),
    "names for a circuit": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit.edge_names),
        "A circuit is a Circuit or a boolean matrix, not tuple",
    ),
    "a circuit for neurons": (
        lambda g: evaluate_neurons(g.bridge, g.batch, g.circuit),
        "Kept neurons are a boolean matrix of shape .*, not Circuit",
    ),
    "scores for nodes": (
        lambda g: circuit_of_nodes(g.graph, torch.ones(g.graph.n_forward)),
        r"Nodes have shape \(11,\) and float32; the graph needs \(11,\) and bool",
    ),
    "scores for means": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit, "mean", means=g.scores),
        "ablation='mean' needs means, as mean_outputs gives them",
    ),
    "batches of none": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit, batch_size=0),
        "batch_size=0 is not an integer of at least 1",
    ),
    "references of none": (
        lambda g: references(g.bridge, g.batch, 0),
        "batch_size=0 is not an integer of at least 1",
    ),
    "means of none": (
        lambda g: mean_outputs(g.bridge, g.batch, -1),
        "batch_size=-1 is not an integer of at least 1",
    ),
    "scores without a name": (
        lambda g: write_scores(Path("x.safetensors"), g.scores, g.graph),
        "Scores are written by name, as .*, not as Tensor",
    ),
    "one text for a list": (lambda g: texts(right="x"), "'x' is not a list of texts"),
    "ids for texts": (lambda g: texts(right=[7]), r"\[7\] is not a list of texts"),
    "texts for ids": (
        lambda g: PairBatch.from_lists(["a"], ["b"], ["c"], ["d"]),
        "Pair 0: 'a' is text; from_texts takes that",
    ),
}


def right(g: Given) -> None:
    """What looks like a mistake and is none: tensors of booleans, NumPy's integers."""
    edges = torch.from_numpy(g.circuit.edges.copy())
    both = [evaluate_circuit(g.bridge, g.batch, c).logit_diff for c in (edges, g.circuit)]
    assert (both[0] == both[1]).all()
    nodes = np.arange(g.graph.n_forward) % 2 == 0
    of = [circuit_of_nodes(g.graph, x).edge_names for x in (nodes, torch.from_numpy(nodes))]
    assert of[0] == of[1]
    assert top_n(g.scores, g.graph, np.int64(20)).edge_names == g.circuit.edge_names
    few = BatchEvaluation(g.bridge, g.batch, batch_size=np.int32(1)).result(g.circuit)
    assert np.allclose(few.logit_diff, both[1], atol=1e-5)


def told(g: Given) -> dict[str, str]:
    """What each mistake is told; whatever else happens is named by its type."""
    found = {}
    for name, (call, _) in MISTAKES.items():
        try:
            found[name] = f"nothing, but {call(g)}"
        except KcError as error:
            found[name] = str(error)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    given = Given()
    right(given)
    print(json.dumps(told(given)))
