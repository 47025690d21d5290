"""Cases of the figures about a study of facts."""

from __future__ import annotations

import facts_plot_tables as facts_tables
from plot_case import DEPTH, FAITH, LAYER, Case

from kc_utils import plots

#: Whose circuit, on whose facts, and how.
BETWEEN = ("source_relation", "source_group", "relation", "group", "circuit", "ablation")

FACTS = {
    "facts_curves": Case(
        plots.facts_curves,
        facts_tables.sizes,
        ("relation", "split", "circuit", "ablation", "share", "faithfulness"),
        units=("share of edges kept (log scale)", FAITH),
    ),
    "facts_hits": Case(
        plots.facts_hits,
        facts_tables.transfer,
        (*BETWEEN, "hit", "hit_low", "hit_high", "model_hit"),
        units=("Hit@10 (share)",),
    ),
    "facts_transfer": Case(
        plots.facts_transfer,
        facts_tables.transfer,
        (*BETWEEN, "faithfulness", "faithfulness_low", "faithfulness_high"),
        units=("circuit found on", "run on held-out facts of"),
    ),
    "facts_roles": Case(
        plots.facts_roles,
        facts_tables.heads,
        ("layer", "head", "role", "in_circuit"),
        units=("head (index)", DEPTH),
    ),
    "facts_lens": Case(
        plots.facts_lens,
        facts_tables.lens,
        ("relation", "group", "target", "layer", "position", "probability"),
        units=(LAYER, "probability (share)"),
    ),
    "facts_evolution": Case(
        plots.facts_evolution,
        facts_tables.topology,
        ("checkpoint", "relation", "group", "entropy", "edge_jaccard", "edge_jaccard_previous"),
        units=("checkpoint",),
    ),
}
