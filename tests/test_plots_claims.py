"""The figure of the ledger: the rule is drawn, and verdicts differ without colour."""

from __future__ import annotations

import experiment_plot_tables as more
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots.style import LOOKS
from kc_utils.study.claims.claim import claims
from kc_utils.study.claims.rule import NOT_MEASURED, VERDICTS


def words(figure: Figure) -> str:
    texts = [text for axis in figure.axes for text in axis.texts]
    return " | ".join(text.get_text().replace("\n", " ") for text in texts)


def upright(figure: Figure) -> list[float]:
    """Where the forest has lines over its whole height."""
    lines = figure.axes[0].lines
    return sorted(x[0] for x in (ln.get_xdata() for ln in lines if list(ln.get_ydata()) == [0, 1])
                  if x[0] == x[1])  # fmt: skip


def intervals(figure: Figure) -> list[tuple[float, ...]]:
    """The horizontal lines with two ends that differ, over the width of the data."""
    axis = figure.axes[0]
    lines = [line for line in axis.lines if line.get_transform() == axis.transData]
    ends = [tuple(float(x) for x in np.round(line.get_xdata(), 6)) for line in lines]
    return [pair for pair in ends if len(pair) == 2 and pair[0] != pair[1]]


def test_every_verdict_has_a_look_of_its_own() -> None:
    looks = LOOKS["verdict"]
    assert tuple(looks) == VERDICTS
    assert len({(look.marker, look.hollow) for look in looks.values()}) == len(VERDICTS)
    assert len({look.colour for look in looks.values()}) == len(VERDICTS)


def test_the_forest_draws_the_rule_as_lines() -> None:
    assert upright(plots.evidence_forest(more.ledger())) == [-1, 0, 1]


def test_intervals_are_in_margins_and_what_was_not_measured_has_none() -> None:
    assert intervals(plots.evidence_forest(more.ledger())) == [(4, 6), (4, 6), (-8, -4)]


def test_words_give_verdict_and_direction() -> None:
    row = more.ledger().iloc[[0]]
    rows = [row.assign(id=name, verdict=name) for name in VERDICTS]
    said = words(plots.evidence_forest(pd.concat(rows)))
    assert all(f"{name}, as claimed" in said for name in VERDICTS)
    said = words(plots.evidence_forest(more.ledger())).split(" | ")
    assert "beyond the margin, opposite" in said and NOT_MEASURED in said
    for column in ("verdict", "direction"):
        with pytest.raises(KcError, match="allowed are"):
            plots.evidence_forest(row.assign(**{column: "maybe"}))


def test_words_of_the_claims_fit_the_figure() -> None:
    rows = pd.DataFrame([{"id": c.id, "claim": c.claim} for c in claims()])
    numbers = {"profile": "tiny", "effect": 0.0, "low": -0.1, "high": 0.1, "margin": 1.0}
    table = rows.assign(**numbers, direction="none", verdict="equivalent")
    assert "..." not in words(plots.evidence_forest(table))


def test_the_table_has_interval_control_and_verdict_and_leaves_empty_columns_out() -> None:
    more_columns = {"own": 0.6, "control_effect": 0.1, "unit": "%", "control": "other people",
                    "n_seeds": 8, "holm": "", "hangs_on": 1, "note": ""}  # fmt: skip
    table = more.ledger().assign(**more_columns)
    html = plots.ledger_table(table).to_html()
    assert "0.50 (0.40 to 0.60)" in html and "0.60, 0.10: other people" in html
    assert "beyond the margin, opposite" in html
    assert "Holm" not in html and "note" not in html
    assert "Holm" in plots.ledger_table(table.assign(holm="yes")).to_html()
