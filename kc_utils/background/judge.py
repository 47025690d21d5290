"""Several circuits of one model under every ablation."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuit import Circuit
from kc_utils.evaluation import evaluate_circuit, references
from kc_utils.prompt_batch import PairBatch
from kc_utils.running import ABLATIONS, MeanOutputs


def judge(
    bridge: TransformerBridge,
    batch: PairBatch,
    circuits: Mapping[str, Circuit],
    means: MeanOutputs,
) -> pd.DataFrame:
    """One row per circuit and ablation: circuit, edges (number), ablation, logit_diff (mean, in
    logits), faithfulness (share; nan where clean and corrupted run do not differ)."""
    refs = references(bridge, batch)
    rows = []
    for name, circuit in circuits.items():
        for ablation in ABLATIONS:
            found = evaluate_circuit(bridge, batch, circuit, ablation, means, refs=refs)
            measured = float(found.logit_diff.mean())
            rows.append((name, circuit.n_edges, ablation, measured, found.faithfulness))
    return pd.DataFrame(
        rows, columns=["circuit", "edges", "ablation", "logit_diff", "faithfulness"]
    )
