"""Mistakes in calls of the engine, made where nothing checks types: run as a program by a test.

Tests check the types of all arguments before the engine can, so this is a process of its own. It
prints what each mistake is told, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tiny_models import golden_bridge, tiny_batch, tiny_model, tokenizer
from transformers import PreTrainedModel

from kc_utils.circuits import (
    AttributionSettings,
    BatchEvaluation,
    Graph,
    GraphFile,
    PairBatch,
    attribute,
    attribute_by_token,
    boot_bridge,
    circuit_from_edges,
    evaluate_circuit,
    graph_of,
    mean_outputs,
    random_circuit,
    random_circuit_per_layer,
    read_graph,
    read_scores,
    size_curve,
    strongest_edges,
    top_n,
    write_graph,
    write_scores,
)
from kc_utils.circuits.ablation import MeanOutputs, references
from kc_utils.circuits.circuit import circuit_of_nodes
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.greedy import greedy
from kc_utils.circuits.networks import network
from kc_utils.circuits.neurons import attribute_nodes, evaluate_neurons, strongest
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

EAP = AttributionSettings(method="eap")


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


def spoilt() -> PreTrainedModel:
    model = tiny_model("gpt2")
    model.transformer.h[1].mlp.c_fc.weight.data[0, 0] = torch.nan
    return model


#: Name of a mistake: the call, and what its sentence says.
MISTAKES: dict[str, tuple[Callable[[Given], Any], str]] = {
    "a bridge for the graph of a file": (
        lambda g: write_scores("x", {"a": g.scores}, g.bridge),
        "A TransformerBridge is no Graph",
    ),
    "edges for a circuit": (
        lambda g: strongest_edges(g.scores, g.circuit.edges),
        "ndarray is no Circuit",
    ),
    "edges for a circuit to be drawn alike": (
        lambda g: random_circuit_per_layer(g.circuit.edges, 0),
        "ndarray is no Circuit",
    ),
    "edges in a file": (
        lambda g: write_graph("x.pt", GraphFile(g.scores, g.circuit.edges, 32)),
        "ndarray is no Circuit",
    ),
    "scores for a file": (lambda g: write_graph("x.pt", g.scores), "Tensor is no GraphFile"),
    "a list of circuits": (
        lambda g: size_curve(BatchEvaluation(g.bridge, g.batch), [g.circuit], ["corrupted"]),
        "as curve_circuits gives them, and no list",
    ),
    "no tokenizer": (
        lambda g: PairBatch.from_texts(None, ["a b"], ["a c"], ["x"], ["y"]),
        "tokenizer=None is no tokenizer",
    ),
    "an array for a metric": (
        lambda g: AttributionSettings(metric=np.array([1, 2])),
        "is neither a function nor one of",
    ),
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
    "a number for the folder of a run": (
        lambda g: Run.open(5),
        "5 is no path; a path is text in quotes",
    ),
    "an empty batch": (
        lambda g: evaluate_circuit(g.bridge, g.batch.slice(0, 0), g.circuit),
        "The batch holds no pair; at least 1 is needed",
    ),
    "means of an empty batch": (
        lambda g: mean_outputs(g.bridge, g.batch.slice(0, 0)),
        "The batch holds no pair; at least 1 is needed",
    ),
    "neurons on an empty batch": (
        lambda g: evaluate_neurons(g.bridge, g.batch.slice(0, 0), torch.ones(11, 32).bool()),
        "The batch holds no pair; at least 1 is needed",
    ),
    "a list for a batch": (
        lambda g: attribute(g.bridge, [1, 2], AttributionSettings()),
        r"batch=\[1, 2\] is no PairBatch; PairBatch\.from_texts",
    ),
    "a list for a batch of tokens": (
        lambda g: attribute_by_token(g.bridge, [1, 2], AttributionSettings()),
        r"batch=\[1, 2\] is no PairBatch; PairBatch\.from_texts",
    ),
    "nothing for a batch": (
        lambda g: evaluate_circuit(g.bridge, None, g.circuit),
        r"batch=None is no PairBatch; PairBatch\.from_texts",
    ),
    "means of another model": (
        lambda g: evaluate_circuit(
            g.bridge, g.batch, g.circuit, "mean", means=MeanOutputs(torch.zeros(16, 32))
        ),
        r"The means have shape \(16, 32\), of another model; \(11, 32\) is needed",
    ),
    "references of other prompts": (
        lambda g: evaluate_circuit(
            g.bridge, g.batch, g.circuit, refs=references(g.bridge, tiny_batch(2, seed=1))
        ),
        "The references are of other prompts than those of the batch",
    ),
    "a list of scores": (
        lambda g: top_n(g.scores.tolist(), g.graph, 5),
        "Scores are a tensor or an array of real numbers, not list",
    ),
    "names for scores": (
        lambda g: strongest(np.array(["a", "b"]), 1),
        "Scores are a tensor or an array of real numbers, not <U1",
    ),
    "scores of a larger graph": (
        lambda g: strongest_edges(torch.ones(40, 40), g.circuit),
        r"Scores have shape \(40, 40\), the graph needs",
    ),
    "fewer than no edges": (
        lambda g: strongest_edges(g.scores, g.circuit, -1),
        "n=-1 is not an integer of at least 0",
    ),
    "a list of edges": (
        lambda g: circuit_from_edges(g.graph, g.circuit.edges.tolist(), 1),
        "Edges must be a boolean matrix of shape .*, not list",
    ),
    "a curve of nothing": (
        lambda g: size_curve(BatchEvaluation(g.bridge, g.batch), {}),
        "A size curve needs circuits and a list of ablations, not 0 circuits",
    ),
    "one ablation for a list": (
        lambda g: size_curve(BatchEvaluation(g.bridge, g.batch), {(0.1, "own"): g.circuit}, "zero"),
        "A size curve needs .*, not 1 circuits and ablations='zero'",
    ),
    "half a hit": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit).hit_at(0.5),
        r"k=0\.5 is not an integer of at least 1",
    ),
    "a number for a model": (lambda g: boot_bridge(5), "A model is .*, not a int"),
    "a model without its tokenizer": (
        lambda g: boot_bridge(tiny_model("gpt2")),
        r"GPT2LMHeadModel has no tokenizer on this machine; give one as in boot_bridge\(model,",
    ),
    "a model with a weight that is no number": (
        lambda g: boot_bridge(spoilt(), tokenizer()),
        "logits of GPT2LMHeadModel are not finite numbers; its weights have to be",
    ),
    "halves of tokens": (
        lambda g: PairBatch.from_lists([[1.5, 2]], [[3, 4]], [1], [2]),
        r"Pair 0: \[1\.5, 2\] is not a list of token ids",
    ),
    "a token for a prompt": (
        lambda g: PairBatch.from_lists([1], [2], [1], [2]),
        "Pair 0: 1 is not a list of token ids",
    ),
    "a list for an answer": (
        lambda g: PairBatch.from_lists([[1]], [[2]], [[[1]]], [2]),
        r"Pair 0: \[\[1\]\] is not a list of token ids",
    ),
    "a token for a whole answer": (
        lambda g: PairBatch.with_answers([[1], [2]], [[3], [4]], [[1], 5]),
        "Pair 1: 5 is not a list of token ids",
    ),
    "a text for a whole answer": (
        lambda g: PairBatch.with_answers([[1]], [[3]], ["abc"]),
        "Pair 0: 'abc' is not a list of token ids",
    ),
    "subjects of some pairs": (
        lambda g: PairBatch.from_lists([[1], [2]], [[3], [4]], [1, 2], [3, 4], [0]),
        "subject_start has 1 numbers for 2 pairs",
    ),
    "a subject outside of its prompt": (
        lambda g: PairBatch.from_lists(
            [[1], [2, 5]], [[3], [4, 5]], [1, 2], [3, 4], [0, 1], [1, 3]
        ),
        r"Pair 1: the subject is at \(1, 3\); the prompt has the tokens 0 to 2, half open",
    ),
    "a subject that ends before it starts": (
        lambda g: PairBatch.from_lists([[1, 2]], [[3, 4]], [1], [3], [2], [1]),
        r"Pair 0: the subject is at \(2, 1\)",
    ),
    "scores of NumPy": (
        lambda g: write_scores(Path("x.safetensors"), {"mine": g.scores.numpy()}, g.graph),
        "The scores 'mine' are a ndarray, not a tensor",
    ),
    "a list of ablations": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit, ["zero"]),
        r"ablation=\['zero'\] is not one of corrupted, zero, mean",
    ),
    "a bridge for a graph": (
        lambda g: top_n(g.scores, g.bridge, 5),
        r"A TransformerBridge is no Graph; graph_of\(bridge\) is the model's",
    ),
    "a bridge for the graph of a random circuit": (
        lambda g: random_circuit(g.bridge, 5, 0),
        "A TransformerBridge is no Graph",
    ),
    "a graph of half a layer": (
        lambda g: Graph(2.5, 4),
        r"n_layers=2\.5 is not an integer of at least 0",
    ),
    "a batch for references": (
        lambda g: evaluate_circuit(g.bridge, g.batch, g.circuit, refs=g.batch),
        "refs is a PairBatch; it has to be References, as references gives them",
    ),
    "batches of none for a run": (
        lambda g: run_circuit(g.bridge, g.batch, g.circuit.edges, batch_size=-1),
        "batch_size=-1 is not an integer of at least 1",
    ),
    "a row less": (
        lambda g: replace(g.batch, last=g.batch.last[:1]),
        "clean_ids has 2 rows and last has 1; a batch has one row per pair in each",
    ),
    "an end behind the prompt": (
        lambda g: attribute(g.bridge, replace(g.batch, last=g.batch.last + 1), EAP),
        "Pair 1: the last token is at 4; its prompts have the positions 0 to 3",
    ),
    "a circuit on an end behind the prompt": (
        lambda g: evaluate_circuit(g.bridge, replace(g.batch, last=g.batch.last - 3), g.circuit),
        "Pair 0: the last token is at -1; its prompts have the positions 0 to 3",
    ),
    "a circuit on prompts of unequal shape": (
        lambda g: evaluate_circuit(
            g.bridge, replace(g.batch, corrupted_ids=g.batch.corrupted_ids[:, :3]), g.circuit
        ),
        r"Clean prompts have shape \(2, 4\) and corrupted ones \(2, 3\); they need to be equal",
    ),
    "a network with scores of another graph": (
        lambda g: network(g.circuit, torch.ones(40, 40)),
        r"Scores have shape \(40, 40\), the graph needs",
    ),
    "scores of NumPy in a graph": (
        lambda g: write_graph("x.json", GraphFile(g.scores.numpy(), g.circuit, 32)),
        "The scores are a ndarray, not a tensor",
    ),
    "a width that is text": (
        lambda g: write_graph("x.pt", GraphFile(g.scores, g.circuit, "gpt2")),
        "d_model='gpt2' is not an integer of at least 1",
    ),
    "a number for the name of scores": (
        lambda g: write_scores("x.safetensors", {3: torch.zeros(g.scores.shape)}, g.graph),
        "The name of scores is a text, not 3",
    ),
    "no texts": (lambda g: texts(clean=None), "None is not a list of texts"),
    "an empty answer": (lambda g: texts(wrong=[" "]), "Pair 0: an answer is ' ', no text"),
    "one text for a list": (lambda g: texts(right="x"), "'x' is not a list of texts"),
    "ids for texts": (lambda g: texts(right=[7]), r"\[7\] is not a list of texts"),
    "texts for ids": (
        lambda g: PairBatch.from_lists(["a"], ["b"], ["c"], ["d"]),
        "Pair 0: 'a' is text; from_texts takes that",
    ),
    "a text among several answers": (
        lambda g: PairBatch.from_lists([[1, 2]], [[5, 2]], [[3, "4"]], [6]),
        "Pair 0: '4' is text; from_texts takes that",
    ),
    "half a token among several answers": (
        lambda g: PairBatch.from_lists([[1, 2]], [[5, 2]], [[3, 1.5]], [6]),
        r"Pair 0: \[3, 1.5\] is not a list of token ids",
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
    from_tensor = circuit_from_edges(g.graph, edges)
    assert from_tensor.edge_names == circuit_from_edges(g.graph, g.circuit.edges).edge_names
    ids = [torch.tensor([1, 2])], [np.array([3, 4], np.int16)], np.array([5]), torch.tensor([6])
    assert PairBatch.from_lists(*ids).clean_ids.tolist() == [[1, 2]]
    spans = (np.array([0]), np.array([1])), (torch.tensor([0]), torch.tensor([1]))
    for start, stop in spans:
        assert PairBatch.from_lists(*ids, start, stop).subject_stop.tolist() == [1]
    graph = Graph(np.int64(2), np.int64(4))
    assert graph == g.graph and type(graph.n_heads) is int
    scores = g.scores.where(torch.from_numpy(graph.real_edges.copy()), 0.0)
    with TemporaryDirectory() as folder:
        write_scores(Path(folder) / "x", {"mine": scores}, graph)
        assert torch.equal(read_scores(Path(folder) / "x", g.graph)["mine"], scores)
        path = Path(folder) / "x.json"
        write_graph(path, GraphFile(scores, top_n(scores, graph, 20), np.int64(32)))
        assert read_graph(path).d_model == 32
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
