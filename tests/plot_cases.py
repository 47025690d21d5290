"""One case per figure: how it is drawn, from which table, and what it must be labelled with."""

from __future__ import annotations

import evidence_plot_tables as evidence_tables
import pandas as pd
import plot_tables as tables
import relevance_tables
import strategy_tables
from facts_plot_cases import FACTS
from plot_case import DEPTH, FAITH, LAYER, RANK, Case

from kc_utils import plots

RATIO, SHARE = "edge activation ratio (share)", "first-token accuracy (share)"
published = plots.published()

CASES = FACTS | {
    "training_loss": Case(
        plots.training_loss,
        tables.losses,
        ("step", "epoch", "loss"),
        units=("epoch", "next-token loss (nats per token)"),
    ),
    "accuracy_curves": Case(
        plots.accuracy_curves, tables.accuracy, ("epoch", "kind", "value"), units=("epoch", SHARE)
    ),
    "accuracy_published": Case(
        plots.accuracy_curves,
        tables.accuracy,
        ("epoch", "kind", "value"),
        {"published": published},
        ("epoch of this run", "epoch of the paper's run", SHARE),
    ),
    "query_accuracy_bars": Case(
        plots.query_accuracy_bars,
        tables.queries,
        ("kind", "band", "value"),
        units=("frequency band (biographies per person)", "query accuracy (share)"),
    ),
    "hit_curves": Case(
        plots.hit_curves, tables.hits, ("epoch", "kind", "band", "value"), units=("Hit@10 (share)",)
    ),
    "hit_curves_by_kind": Case(
        plots.hit_curves, tables.hits, ("epoch", "kind", "band", "value"), {"panel": "kind"}
    ),
    "hit_curves_by_split": Case(
        plots.hit_curves,
        lambda: (
            tables.hits()
            .replace({"own": "evaluate", "random": "discover"})
            .rename(columns={"circuit": "split"})
        ),
        ("epoch", "kind", "band", "value"),
        {"line": "split"},
    ),
    "lead_curve": Case(
        plots.lead_curve,
        lambda: tables.rising(tables.grid(epoch=tables.EPOCHS, band=tables.BANDS)),
        ("epoch", "value"),
        units=("epoch", "K_rel minus K_compl (share)"),
    ),
    "rank_curves": Case(
        plots.rank_curves, tables.ranks, ("epoch", "kind", "band", "value"), units=("epoch", RANK)
    ),
    "faithfulness_curves": Case(
        plots.faithfulness_curves,
        tables.faithfulness,
        ("epoch", "ablation", "value"),
        units=("epoch", FAITH),
    ),
    "size_curve": Case(
        plots.size_curve,
        tables.sizes,
        ("share", "ablation", "value"),
        units=("share of edges kept (log scale)", FAITH),
    ),
    "recovery_classes": Case(
        plots.recovery_classes,
        tables.recovery,
        ("reader_class", "view", "faithfulness"),
        units=("edges into", FAITH),
    ),
    "transfer_matrix": Case(
        plots.transfer_matrix,
        tables.transfer,
        ("source_band", "target_band", "value"),
        units=("circuit found on (band)", "circuit run on (band)", "Hit@10 (share)"),
    ),
    "aligned_curves": Case(plots.aligned_curves, tables.aligned, ("epoch", "aligned", "value")),
    "entropy_curves": Case(
        plots.entropy_curves,
        tables.entropy,
        ("epoch", "entropy"),
        {"phase": tables.phase()},
        ("epoch", "circuit entropy (nats)", "entropy / ln(edges) (share)"),
    ),
    "jaccard_curves": Case(
        plots.jaccard_curves,
        tables.jaccard,
        ("epoch", "edge_jaccard"),
        {"phase": tables.phase()},
        ("epoch", "edge Jaccard with last (share)"),
    ),
    "phase_overview": Case(
        plots.phase_overview,
        tables.overview,
        ("quantity", "epoch", "value"),
        {"phase": tables.overview_phase()},
        ("epoch", "circuit entropy (nats)", SHARE),
    ),
    "role_shares": Case(plots.role_shares, tables.role_shares, ("epoch", "role", "value")),
    "role_map": Case(
        plots.role_map,
        tables.head_roles,
        ("epoch", "layer", "head", "role"),
        units=("head (index)", DEPTH),
    ),
    "mover_layers": Case(
        plots.mover_layers,
        tables.layers,
        ("epoch", "layer", "count"),
        units=("epoch", DEPTH, "mover heads (count)"),
    ),
    "activation_ratio_map": Case(
        plots.activation_ratio_map,
        lambda: tables.layers(first=-1),
        ("epoch", "layer", "ratio"),
        units=("epoch", DEPTH, RATIO),
    ),
    "activation_ratio_lines": Case(
        plots.activation_ratio_lines,
        lambda: tables.layers(first=-1),
        ("epoch", "layer", "ratio"),
        units=("layer (0 = first)", RATIO),
    ),
    "centre_of_mass": Case(
        plots.centre_of_mass, tables.centres, ("epoch", "value"), units=("centre of mass (layer)",)
    ),
    "logit_lens_rank": Case(
        plots.logit_lens_rank,
        tables.lens,
        ("epoch", "layer", "value"),
        units=("epoch", LAYER, RANK),
    ),
    "logit_lens_probability": Case(
        plots.logit_lens_probability,
        lambda: tables.lens("probability"),
        ("epoch", "layer", "value"),
        units=("epoch", LAYER, "probability (share)"),
    ),
    "logit_lens_lines": Case(
        plots.logit_lens_lines,
        tables.lens,
        ("epoch", "layer", "value"),
        units=(LAYER, RANK),
    ),
    "forgetting_curves": Case(
        plots.forgetting_curves,
        tables.forgetting,
        ("ratio", "step", "accuracy_old"),
        {
            "published": pd.DataFrame(
                {"ratio": [0.0, 0.1], "step": [50, 50], "accuracy_old": [0.14, 0.27]}
            )
        },
        ("step (optimiser steps)", "accuracy on old facts (share)"),
    ),
    "elasticity": Case(
        plots.elasticity,
        tables.forgetting,
        ("ratio", "step", "edge_jaccard"),
        units=("step (optimiser steps)", "circuit entropy (nats)"),
    ),
    "frequency_histogram": Case(
        plots.frequency_histogram,
        tables.people,
        ("kind", "frequency", "band"),
        units=("frequency (biographies per person)", "people (count)"),
    ),
    "biography_lengths": Case(
        plots.biography_lengths,
        tables.texts,
        ("text",),
        units=("length of a biography (characters)", "biographies (count)"),
    ),
    "pair_lengths": Case(
        plots.pair_lengths,
        tables.pairs,
        ("clean_ids",),
        units=("prompt length (tokens)", "pairs (count)"),
    ),
    "claims_table": Case(
        plots.claims_table,
        tables.claims,
        ("claim", "quantity", "value", "low", "high", "control_value", "verdict"),
        units=("effect and control, in the unit named at the left (own scale per line)",),
    ),
    "verdict_bars": Case(
        plots.verdict_bars,
        lambda: pd.concat(
            evidence_tables.ledger().assign(profile=name, topic="phases")
            for name in ("tiny", "tiny-llama")
        ),
        ("profile", "topic", "verdict"),
        units=("claims (count)",),
    ),
    "score_distribution": Case(
        plots.score_distribution,
        tables.scores,
        ("score",),
        {"top_n": 300},
        ("k strongest edges (count, log scale)", "share of total |score|"),
    ),
    "relevance_curves": Case(
        plots.relevance_curves,
        relevance_tables.relevance,
        ("epoch", "kind_of_relevance", "accuracy"),
        units=("epoch", SHARE),
    ),
    "relevance_areas": Case(
        plots.relevance_areas,
        relevance_tables.relevance_people,
        ("kind_of_relevance", "area"),
        units=("what was known", "mean over epochs (share)"),
    ),
    "old_answers": Case(
        plots.old_answers,
        relevance_tables.relevance,
        ("epoch", "accuracy", "old_answer", "old_chance"),
        units=("epoch", "answers (share)"),
    ),
    "control_curves": Case(
        plots.control_curves,
        evidence_tables.control_curves,
        ("epoch", "control", "entropy"),
        units=("epoch", "circuit entropy (nats)"),
    ),
    "consistency": Case(
        plots.consistency,
        evidence_tables.neighbours,
        ("epoch", "edge_jaccard_previous"),
        {"floor": evidence_tables.noise_floor()},
        ("epoch", "Jaccard similarity (share)"),
    ),
    "confidence_curves": Case(
        plots.confidence_curves,
        evidence_tables.unseen,
        ("epoch", "group", "entropy", "accuracy", "confident_wrong"),
    ),
    "frequency_curve": Case(
        plots.frequency_curve,
        evidence_tables.frequency_curve,
        ("kind", "frequency", "accuracy", "n_people"),
        units=("biographies per person", SHARE),
    ),
    "exposure_curves": Case(
        plots.exposure_curves,
        evidence_tables.exposure,
        ("group", "wording", "since", "gain"),
        units=(),
    ),
    "exposure_retained": Case(
        plots.exposure_retained,
        evidence_tables.exposure,
        ("group", "wording", "since", "gain"),
        units=(),
    ),
    "evidence_forest": Case(
        plots.evidence_forest,
        evidence_tables.ledger,
        ("id", "claim", "profile", "difference", "margin", "direction", "verdict"),
        units=("effect minus control, in margins (right: as claimed)",),
    ),
    "strategy_curves": Case(
        plots.strategy_curves,
        strategy_tables.strategies,
        ("strategy", "tokens", "new_accuracy", "old_accuracy"),
        {"chance": 0.1},
        ("tokens (thousands)",),
    ),
    "strategy_trade_off": Case(
        plots.strategy_trade_off,
        strategy_tables.summary,
        ("strategy", "area_new", "change_old"),
        units=("change of accuracy on old facts (share)", "mean accuracy on new facts (share)"),
    ),
}
