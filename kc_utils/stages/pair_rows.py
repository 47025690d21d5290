"""One row per pair: how the tables of circuits hold what a circuit does."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kc_utils.batch_evaluation import BatchEvaluation
from kc_utils.circuit import Circuit


def pair_rows(
    evaluation: BatchEvaluation, chosen: pd.DataFrame, circuit: Circuit, ablations: Sequence[str]
) -> pd.DataFrame:
    """One row per ablation and pair: logit differences and ranks (1 = best) of circuit and plain
    runs. ``chosen`` are the pairs of ``evaluation``, in their order."""
    keys = chosen[["task", "kind", "band", "pair_id", "person_id"]]
    return pd.concat(
        [
            keys.assign(
                ablation=ablation,
                n_edges=circuit.n_edges,
                logit_diff=result.logit_diff,
                rank=result.rank + 1,
                clean_logit_diff=result.clean_logit_diff,
                clean_rank=result.clean_rank + 1,
                corrupted_logit_diff=result.corrupted_logit_diff,
            )
            for ablation, result in evaluation.results(circuit, ablations).items()
        ],
        ignore_index=True,
    )
