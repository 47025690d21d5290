"""How far scores are from the gradient of an explicit edge mask, in every family, by method.

``PYTHONPATH=tests python -m benchmarks.parity`` computes it for the small random models of the
tests, in float64, and writes ``book/reference/parity.json``, which the page of families shows.
The masks, and the runs without one edge that ``exact`` is compared with, are made of hooks in
TransformerLens' own forks of the residual stream, which the engine does not use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from edge_masks import circuit_by_hooks, error, mask_gradient, mlp_out, outputs
from families import family_bridge
from tiny_models import tiny_batch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils import ROOT, artifacts
from kc_utils.circuits import AttributionSettings, PairBatch, attribute, graph_of

from .served_families import FAMILIES, TIMED

STORED = ROOT / "book" / "reference" / "parity.json"
N_PAIRS, STEPS = 3, 3
NAMES = TIMED | {
    "neox_serial": "GPT-NeoX, one after the other",
    "phi3_grouped": "Phi-3, grouped heads",
    "qwen3_windows": "Qwen 3, windows",
}
#: Column of the table: how edges are scored.
METHODS = {
    "eap": AttributionSettings("eap"),
    "eap-ig, 1..m": AttributionSettings("eap-ig", STEPS, "1..m"),
    "eap-ig, 0..m-1": AttributionSettings("eap-ig", STEPS, "0..m-1"),
    "clean-corrupted": AttributionSettings("clean-corrupted"),
    "eap-ig-activations": AttributionSettings("eap-ig-activations", STEPS),
    "exact": AttributionSettings("exact"),
}


def errors_of(name: str) -> dict[str, float]:
    """Largest error of each of ``METHODS``, relative to the largest score, in one family."""
    bridge, batch = family_bridge(name), tiny_batch(N_PAIRS)
    ours = {method: attribute(bridge, batch, settings) for method, settings in METHODS.items()}
    on_path = _Path(bridge, batch)
    return {method: error(scores, on_path.expected(method)) for method, scores in ours.items()}


class _Path:
    """Edge scores by masks, of which each is made once."""

    def __init__(self, bridge: TransformerBridge, batch: PairBatch) -> None:
        self.bridge, self.batch, self.graph = bridge, batch, graph_of(bridge)
        self._known: dict[tuple[str, float], Tensor] = {}

    def expected(self, method: str) -> Tensor:
        """Scores of ``method`` from masks or, of ``exact``, from runs without one edge."""
        settings = METHODS[method]
        if settings.method == "exact":
            return self._without_each_edge()
        scores = self._mean(settings, "embed.hook_out")
        if settings.method == "eap-ig-activations":
            for layer in range(self.graph.n_layers):
                heads, mlp = self.graph.heads(layer), self.graph.mlp(layer)
                scores[heads] = self._mean(settings, self._attention(layer))[heads]
                scores[mlp] = self._mean(settings, mlp_out(self.bridge, layer))[mlp]
        return scores

    def _mean(self, settings: AttributionSettings, point: str) -> Tensor:
        return torch.stack([self._mask(point, s) for s in settings.shares_of_clean]).mean(0)

    def _mask(self, point: str, share: float) -> Tensor:
        if share == 1.0:
            point = "embed.hook_out"  # the clean run, whatever is replaced by itself
        if (point, share) not in self._known:
            self._known[point, share] = mask_gradient(self.bridge, self.batch, share, point=point)
        return self._known[point, share]

    def _attention(self, layer: int) -> str:
        """Where what the heads of a layer put out stands last before it is summed."""
        behind = hasattr(self.bridge.blocks[layer], "ln1_post")
        return f"blocks.{layer}.{'ln1_post.hook_out' if behind else 'attn.o.hook_in'}"

    def _without_each_edge(self) -> Tensor:
        bridge, graph = self.bridge, self.graph
        real = torch.from_numpy(graph.real_edges.copy())
        scores = torch.zeros(real.shape, dtype=torch.float64)
        for i in range(len(self.batch)):
            pair = self.batch.slice(i, i + 1)
            bridge.set_use_attn_result(True)
            bridge.set_use_split_qkv_input(False)
            bridge.set_use_hook_mlp_in(False)
            replaced = outputs(bridge, graph, pair.corrupted_ids)

            def difference(
                kept: Tensor, pair: PairBatch = pair, replaced: Tensor = replaced
            ) -> float:
                logits = circuit_by_hooks(bridge, pair.clean_ids, kept, replaced)
                return float(logits[pair.right_ids[0]] - logits[pair.wrong_ids[0]])

            clean = difference(real)
            for u, v in np.argwhere(graph.real_edges):
                kept = real.clone()
                kept[u, v] = False
                scores[u, v] += clean - difference(kept)
        return scores / len(self.batch)


def measured() -> dict[str, Any]:
    """What ``parity.json`` holds; errors are text of one digit, as more of them is rounding."""
    families = {}
    for name in sorted(FAMILIES):
        errors = {method: f"{value:.0e}" for method, value in sorted(errors_of(name).items())}
        families[name] = {"errors": errors, "family": NAMES[name]}
    return {"families": families, "pairs": N_PAIRS, "steps": STEPS}


if __name__ == "__main__":
    artifacts.write_json(STORED, measured())
