"""Checks of a configuration that need no model weights, made before a run writes anything."""

from __future__ import annotations

from pathlib import Path

from kc_utils import artifacts
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.graph import Graph
from kc_utils.stages.world import world_people


def check(settings: Config) -> None:
    """Refuse a circuit larger than the graph, an empty band and a missing model folder."""
    graph = graph_of(settings)
    if graph is not None and settings.circuit.top_n > graph.n_edges:
        raise KcError(
            f"Impossible configuration value circuit.top_n = {settings.circuit.top_n}: the model "
            f"has {graph.n_edges} edges."
        )
    world_people(settings)


def graph_of(settings: Config) -> Graph | None:
    """The model's graph as far as the configuration alone tells it (None for hub models)."""
    model = settings.model
    if model.source == "made":
        return Graph(model.n_layers, model.n_heads)
    if model.source == "folder":
        file = Path(model.path or "").expanduser() / "config.json"
        if not file.is_file():
            raise KcError(f"model.path = {model.path!r} is not a model folder: no config.json.")
        values = artifacts.read_json(file)
        layers = values.get("num_hidden_layers", values.get("n_layer"))
        heads = values.get("num_attention_heads", values.get("n_head"))
        if not layers or not heads:
            raise KcError(f"{file} names no number of layers and heads.")
        return Graph(layers, heads)
    return None
