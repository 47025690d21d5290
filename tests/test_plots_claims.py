"""Figures of the ledger: the rule is drawn, verdicts differ without colour, controls are faint."""

from __future__ import annotations

import experiment_plot_tables as more
import matplotlib as mpl
import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import claims as figures
from kc_utils.plots.style import LOOKS
from kc_utils.study.claims.verdicts import VERDICTS
from kc_utils.study.ledger import CLAIMS


def words(figure: Figure) -> str:
    texts = [*figure.texts, *(text for axis in figure.axes for text in axis.texts)]
    return " ".join(text.get_text().replace("\n", " ") for text in texts)


def upright(figure: Figure) -> list[float]:
    """Where the forest has lines over its whole height."""
    lines = figure.axes[0].lines
    return sorted(x[0] for x in (ln.get_xdata() for ln in lines if list(ln.get_ydata()) == [0, 1])
                  if x[0] == x[1])  # fmt: skip


def test_every_verdict_has_a_look_of_its_own_in_grey_too() -> None:
    looks = LOOKS["verdict"]
    assert tuple(looks) == VERDICTS
    marks = {(look.marker, look.hollow) for look in looks.values()}
    assert len(marks) == len({figures._HATCH[name] for name in VERDICTS}) == len(VERDICTS)
    assert len({look.colour for look in looks.values()}) == len(VERDICTS)


def test_the_forest_draws_the_rule_as_lines() -> None:
    figure = plots.evidence_forest(more.ledger())
    assert upright(figure) == [-1, 0, 1]


def test_shuffled_runs_are_a_second_interval_that_is_thinner() -> None:
    table = more.ledger().query("id == 'a' and profile == 'tiny'")
    with_runs = plots.evidence_forest(table).axes[0].lines
    without = plots.evidence_forest(table.assign(shuffled=np.nan)).axes[0].lines
    assert len(with_runs) - len(without) == 2  # interval and mark
    intervals = {
        tuple(np.round(line.get_xdata(), 6)): line.get_linewidth()
        for line in with_runs
        if len(line.get_xdata()) == 2 and len(set(line.get_ydata())) == 1
    }
    assert intervals[(4, 6)] > intervals[(-0.3, 0.7)]
    label = {t.get_text() for t in plots.evidence_forest(table).legends[0].get_texts()}
    assert "answers shuffled: nothing to learn" in label


def test_a_table_without_shuffled_runs_is_drawn_as_well() -> None:
    plain = more.ledger().drop(columns=["shuffled", "shuffled_low", "shuffled_high", "exploratory"])
    labels = [t.get_text() for t in plots.evidence_forest(plain).legends[0].get_texts()]
    assert not any("shuffled" in label for label in labels)


def test_what_was_thought_of_later_is_marked() -> None:
    assert words(plots.evidence_forest(more.ledger())).count("[exploratory]") == 1
    run = tables.claims().assign(exploratory=[True, False, False, False, False])
    assert words(plots.claims_table(run)).count("[exploratory]") == 1


def test_all_verdicts_are_written_beside_their_lines() -> None:
    row = more.ledger().iloc[[0]]
    rows = [row.assign(id=name, verdict=name) for name in VERDICTS]
    said = words(plots.evidence_forest(pd.concat(rows)))
    assert all(name in said for name in VERDICTS)
    with pytest.raises(KcError, match="allowed are"):
        plots.evidence_forest(row.assign(verdict="maybe"))


def test_the_margin_is_a_strip_around_the_control() -> None:
    table = tables.claims().assign(margin=0.05)
    axes = plots.claims_table(table).axes
    strips = [patch for patch in axes[3].patches]
    assert [(p.get_x(), p.get_width()) for p in strips] == [pytest.approx((0.03, 0.1))]
    assert not axes[2].patches  # this claim has no control
    assert not plots.claims_table(tables.claims()).axes[3].patches


def test_bars_count_every_verdict() -> None:
    table = pd.DataFrame({"profile": "tiny", "topic": "phases", "verdict": VERDICTS})
    bars = [p for p in plots.verdict_bars(table).axes[0].patches if p.get_width() > 0]
    assert len(bars) == len(VERDICTS)
    assert len({(bar.get_hatch(), to_rgb(bar.get_facecolor()[:3])) for bar in bars}) == 6


def test_words_of_the_claims_fit_the_figures() -> None:
    names = ("claim", "quantity", "control")
    rows = pd.DataFrame([{name: getattr(c, name) for name in names} for c in CLAIMS])
    numbers = dict.fromkeys(("value", "low", "high"), 0.0)
    numbers |= {f"control_{name}": value for name, value in numbers.items()}
    with mpl.rc_context({"figure.max_open_warning": 0}):
        said = words(plots.claims_table(rows.assign(**numbers, verdict="open", margin=0.1)))
    assert "..." not in said
