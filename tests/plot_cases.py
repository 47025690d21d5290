"""One case per figure: how it is drawn, from which table, and the columns that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import event_tables
import experiment_plot_tables as more
import pandas as pd
import plot_tables as tables
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.plots import methods

published = plots.published()
_OF_PAPER = pd.DataFrame({"ratio": [0.0, 0.1], "step": [50, 50], "accuracy_old": [0.14, 0.27]})
#: Whose circuit, on whose facts, and how.
_BETWEEN = "source_relation source_group relation group circuit ablation"


@dataclass(frozen=True)
class Case:
    """A figure, its table, and the columns that it cannot do without, in one string."""

    figure: Callable[..., Figure]
    table: Callable[[], pd.DataFrame]
    columns: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> list[str]:
        return self.columns.split()

    def draw(self, table: pd.DataFrame | None = None) -> Figure:
        return self.figure(self.table() if table is None else table, **self.extra)


CASES = {
    # the world and training
    "frequency_histogram": Case(plots.frequency_histogram, tables.people, "kind frequency band"),
    "biography_lengths": Case(plots.biography_lengths, tables.texts, "text"),
    "pair_lengths": Case(plots.pair_lengths, tables.pairs, "clean_ids"),
    "training_loss": Case(plots.training_loss, tables.losses, "step epoch loss"),
    # scores of edges
    "score_distribution": Case(plots.score_distribution, tables.scores, "score", {"top_n": 300}),
    "method_scatter": Case(
        methods.method_scatter, tables.method_edges, "method reader_kind score exact"
    ),
    "method_readers": Case(
        methods.method_readers, tables.by_reader, "method reader_kind pearson spearman"
    ),
    "position_shares": Case(
        methods.position_shares, tables.position_shares, "position reader_kind value"
    ),
    # what circuits answer
    "hit_curves": Case(plots.hit_curves, tables.hits, "epoch kind band value"),
    "hit_curves_by_kind": Case(
        plots.hit_curves, tables.hits, "epoch kind band value", {"panel": "kind"}
    ),
    "circuit_overview": Case(
        plots.circuit_overview,
        lambda: tables.accuracy_by("kind"),
        "epoch kind value",
        {"bands": tables.accuracy_by("band"), "whose": event_tables.whose_circuit()},
    ),
    "transfer_curves": Case(
        plots.transfer_curves, event_tables.transfer_curve, "epoch band source_band value"
    ),
    "aligned_curves": Case(plots.aligned_curves, tables.aligned, "epoch aligned value"),
    "faithfulness_curves": Case(
        plots.faithfulness_curves, tables.faithfulness, "epoch ablation value"
    ),
    "faithfulness_by_kind": Case(
        plots.faithfulness_curves,
        lambda: tables.faithfulness().query("ablation == 'corrupted'"),
        "epoch ablation value",
        {"colour": "kind"},
    ),
    "spread_curves": Case(
        plots.spread_curves,
        tables.faithfulness,
        "epoch ablation value",
        {"panel": "ablation", "titles": {"mean": "means"}, "ylabel": "F", "line": "circuit"},
    ),
    "size_curve": Case(plots.size_curve, tables.sizes, "share ablation value"),
    "recovery_classes": Case(
        plots.recovery_classes, tables.recovery, "reader_class view faithfulness"
    ),
    # performance
    "accuracy_curves": Case(plots.accuracy_curves, tables.accuracy, "epoch kind value"),
    "accuracy_overview": Case(
        plots.accuracy_overview,
        lambda: tables.accuracy_by("kind"),
        "epoch kind value",
        {"bands": tables.accuracy_by("band"), "published": published},
    ),
    "lead_curve": Case(plots.lead_curve, tables.lead, "epoch value"),
    "frequency_curve": Case(
        plots.frequency_curve, more.frequency_curve, "kind frequency accuracy n_people"
    ),
    "confidence_curves": Case(
        plots.confidence_curves, more.unseen, "epoch group entropy accuracy confident_wrong"
    ),
    "known_curves": Case(
        plots.known_curves, event_tables.known, "epoch exposures value n_people n_censored"
    ),
    # topology and controls
    "event_curves": Case(
        plots.event_curves,
        event_tables.events,
        "task kind band quantity epoch value onset knee",
    ),
    "entropy_curves": Case(
        plots.entropy_curves, tables.entropy, "epoch entropy", {"shift": tables.shift()}
    ),
    "jaccard_curves": Case(
        plots.jaccard_curves, tables.jaccard, "epoch edge_jaccard", {"shift": tables.shift()}
    ),
    "jaccard_spread": Case(plots.jaccard_spread, tables.jaccard, "epoch edge_jaccard"),
    "phase_overview": Case(
        plots.phase_overview,
        tables.overview,
        "quantity epoch value",
        {"shift": tables.overview_shift()},
    ),
    "control_curves": Case(plots.control_curves, more.control_curves, "epoch control entropy"),
    "consistency": Case(
        plots.consistency,
        more.neighbours,
        "epoch edge_jaccard_previous",
        {"floor": more.noise_floor()},
    ),
    # components
    "role_shares": Case(plots.role_shares, tables.role_shares, "epoch role value"),
    "role_map": Case(plots.role_map, tables.head_roles, "epoch layer head role"),
    "activation_ratio_lines": Case(
        plots.activation_ratio_lines, lambda: tables.layers(first=-1), "epoch layer ratio"
    ),
    "centre_of_mass": Case(plots.centre_of_mass, tables.centres, "epoch value"),
    "logit_lens_rank": Case(plots.logit_lens_rank, tables.lens, "epoch layer value"),
    "logit_lens_lines": Case(plots.logit_lens_lines, tables.lens, "epoch layer value"),
    # forgetting and the experiments
    "forgetting_curves": Case(
        plots.forgetting_curves,
        tables.forgetting,
        "ratio step accuracy_old",
        {"published": _OF_PAPER},
    ),
    "elasticity": Case(plots.elasticity, tables.forgetting, "ratio step edge_jaccard"),
    "forgetting_roles": Case(
        plots.forgetting_roles,
        lambda: tables.forgetting().assign(mover=0.2, relation=0.3, mixture=0.5),
        "ratio step mover relation mixture",
    ),
    "strategy_curves": Case(
        plots.strategy_curves,
        more.strategies,
        "strategy tokens new_accuracy old_accuracy",
        {"chance": 0.1},
    ),
    "strategy_trade_off": Case(
        plots.strategy_trade_off, more.strategies_summary, "strategy area_new change_old"
    ),
    "relevance_curves": Case(
        plots.relevance_curves, more.relevance, "epoch kind_of_relevance accuracy"
    ),
    "relevance_areas": Case(plots.relevance_areas, more.relevance_people, "kind_of_relevance area"),
    "old_answers": Case(plots.old_answers, more.relevance, "epoch accuracy old_answer old_chance"),
    "exposure_curves": Case(plots.exposure_curves, more.exposure, "group wording since gain"),
    "exposure_retained": Case(plots.exposure_retained, more.exposure, "group wording since gain"),
    # the ledger
    "evidence_forest": Case(
        plots.evidence_forest,
        more.ledger,
        "id claim profile effect low high margin direction verdict",
    ),
    # a study of facts
    "facts_curves": Case(
        plots.facts_curves,
        more.facts_sizes,
        "relation split circuit ablation share faithfulness",
    ),
    "facts_hits": Case(
        plots.facts_hits, more.facts_transfer, f"{_BETWEEN} hit hit_low hit_high model_hit"
    ),
    "facts_transfer": Case(
        plots.facts_transfer,
        more.facts_transfer,
        f"{_BETWEEN} faithfulness faithfulness_low faithfulness_high",
    ),
    "facts_roles": Case(plots.facts_roles, more.facts_heads, "layer head role in_circuit"),
    "facts_lens": Case(
        plots.facts_lens, more.facts_lens, "relation group target layer position probability"
    ),
    "facts_evolution": Case(
        plots.facts_evolution,
        more.facts_topology,
        "checkpoint relation group entropy edge_jaccard edge_jaccard_previous",
    ),
}
