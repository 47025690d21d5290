"""Figures from tidy tables: every function returns a figure and shows nothing.

Circuits, attention maps and figures with an epoch slider are :class:`Drawing` objects, SVG that
answers to the pointer and the keyboard; all else is a matplotlib Figure.

Tables have one row per measurement. ``value`` (or the named column) is drawn as a line or bar,
``low`` and ``high`` as its 95 % interval, ``chance`` as a dotted line. A table that is empty, lacks
columns or has several rows for one point raises :class:`~kc_utils.errors.KcError`.
"""

from kc_utils.plots.acquisition import known_curves
from kc_utils.plots.claims import evidence_forest, ledger_table
from kc_utils.plots.components import (
    activation_ratio_lines,
    centre_of_mass,
    role_map,
    role_shares,
)
from kc_utils.plots.controls import consistency, control_curves
from kc_utils.plots.evaluation import (
    circuit_overview,
    faithfulness_curves,
    hit_curves,
    recovery_classes,
    size_curve,
    transfer_curves,
)
from kc_utils.plots.events import event_curves
from kc_utils.plots.exposure import exposure_curves, exposure_means, exposure_retained
from kc_utils.plots.facts import (
    facts_curves,
    facts_evolution,
    facts_hits,
    facts_lens,
    facts_roles,
    facts_transfer,
)
from kc_utils.plots.forgetting import (
    elasticity,
    forgetting_curves,
    forgetting_roles,
    strategy_curves,
    strategy_trade_off,
)
from kc_utils.plots.frozen import aligned_curves
from kc_utils.plots.interactive.attention import attention_figure
from kc_utils.plots.interactive.attribution_graph import attribution_graph
from kc_utils.plots.interactive.drawing import circuit_drawing, circuit_drawing_pair
from kc_utils.plots.interactive.drawing_epochs import circuit_drawing_epochs
from kc_utils.plots.interactive.figure import Drawing
from kc_utils.plots.interactive.over_training import circuit_over_training
from kc_utils.plots.interactive.sliders import activation_slider, entropy_slider, lens_slider
from kc_utils.plots.interactive.switches import switches
from kc_utils.plots.logit_lens import logit_lens_lines, logit_lens_rank
from kc_utils.plots.methods import score_distribution
from kc_utils.plots.performance import (
    accuracy_curves,
    accuracy_overview,
    confidence_curves,
    frequency_curve,
    lead_curve,
    published,
)
from kc_utils.plots.relevance import old_answers, relevance_areas, relevance_curves
from kc_utils.plots.spread import spread_curves
from kc_utils.plots.style import set_style, svg_bytes
from kc_utils.plots.tables import folded, numbers_table, table
from kc_utils.plots.topology import (
    entropy_curves,
    jaccard_curves,
    jaccard_spread,
    phase_overview,
)
from kc_utils.plots.world import biography_lengths, frequency_histogram, pair_lengths, training_loss

__all__ = [
    "Drawing",
    "accuracy_curves",
    "accuracy_overview",
    "activation_ratio_lines",
    "activation_slider",
    "aligned_curves",
    "attention_figure",
    "attribution_graph",
    "biography_lengths",
    "centre_of_mass",
    "circuit_drawing",
    "circuit_drawing_epochs",
    "circuit_drawing_pair",
    "circuit_over_training",
    "circuit_overview",
    "confidence_curves",
    "consistency",
    "control_curves",
    "elasticity",
    "entropy_curves",
    "entropy_slider",
    "event_curves",
    "evidence_forest",
    "exposure_curves",
    "exposure_means",
    "exposure_retained",
    "facts_curves",
    "facts_evolution",
    "facts_hits",
    "facts_lens",
    "facts_roles",
    "facts_transfer",
    "faithfulness_curves",
    "folded",
    "forgetting_curves",
    "forgetting_roles",
    "frequency_curve",
    "frequency_histogram",
    "hit_curves",
    "jaccard_curves",
    "jaccard_spread",
    "known_curves",
    "lead_curve",
    "ledger_table",
    "lens_slider",
    "logit_lens_lines",
    "logit_lens_rank",
    "numbers_table",
    "old_answers",
    "pair_lengths",
    "phase_overview",
    "published",
    "recovery_classes",
    "relevance_areas",
    "relevance_curves",
    "role_map",
    "role_shares",
    "score_distribution",
    "set_style",
    "size_curve",
    "spread_curves",
    "strategy_curves",
    "strategy_trade_off",
    "svg_bytes",
    "switches",
    "table",
    "training_loss",
    "transfer_curves",
]
