"""Static figures: the numbers of the table, same table same bytes, clear refusals."""

from __future__ import annotations

from collections.abc import Callable

import experiment_plot_tables as more
import matplotlib as mpl
import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from drawings import contrast
from matplotlib.figure import Figure
from plot_cases import CASES, published

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import style
from kc_utils.plots.heat import ink


def test_every_public_figure_has_a_case() -> None:
    helpers = {
        "Drawing",
        "exposure_means",
        "folded",
        "ledger_table",
        "numbers_table",
        "published",
        "set_style",
        "svg_bytes",
        "table",
    }
    elsewhere = {  # test_attribution_graph.py, test_drawing.py, test_over_training.py, ...
        "attribution_graph",
        "circuit_drawing", "circuit_drawing_pair", "circuit_drawing_epochs",
        "circuit_over_training",
        "activation_slider", "attention_figure", "entropy_slider", "lens_slider", "switches",
    }  # fmt: skip
    assert set(plots.__all__) - helpers - elsewhere <= set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_figure_draws_its_table_and_names_what_it_lacks(name: str) -> None:
    case = CASES[name]
    figure, table = case.draw(), case.table()
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert any(axis.get_xlabel() or axis.get_ylabel() for axis in axes)
    assert any(axis.has_data() for axis in axes)
    for column in case.needs:
        with pytest.raises(KcError, match=rf"lacks the column\(s\) .*\b{column}\b"):
            case.draw(table.drop(columns=column))
    with pytest.raises(KcError, match="is empty"):
        case.draw(table.iloc[:0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["hit_curves", "phase_overview", "evidence_forest", "role_map", "method_scatter"]
)
def test_same_table_same_bytes_and_another_table_others(name: str) -> None:
    case = CASES[name]
    first, table = plots.svg_bytes(case.draw()), case.table()
    assert first == plots.svg_bytes(case.draw())
    assert first.startswith(b"<?xml") and b"<dc:date>" not in first
    fewer = table[table.index < table.index.max() - 1]
    assert first != plots.svg_bytes(case.draw(fewer))


def test_several_rows_for_one_point_are_refused_and_the_column_to_choose_is_named() -> None:
    twice = pd.concat([tables.hits().assign(task="city"), tables.hits().assign(task="major")])
    with pytest.raises(KcError, match="choose one value of task"):
        plots.hit_curves(twice)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.hit_curves(tables.hits(), panel="task"), "'band' and 'kind'"),
        (lambda: plots.faithfulness_curves(tables.faithfulness(), "band"), "'ablation' and 'kind'"),
        (lambda: plots.role_map(tables.head_roles(), epochs=[3]), "epoch"),
        (lambda: plots.role_map(tables.head_roles().assign(role="boss")), "mover"),
        (lambda: plots.evidence_forest(more.ledger().assign(verdict="maybe")), "equivalent"),
        (lambda: plots.logit_lens_lines(tables.lens(), "entropy"), "probability"),
        (
            lambda: plots.accuracy_overview(
                tables.accuracy_by("kind"), tables.accuracy_by("band"), published, "gpt9"
            ),
            "gpt9",
        ),
        (lambda: plots.score_distribution(tables.scores().assign(score=0.0)), "other than 0"),
        (lambda: plots.size_curve(tables.sizes().query("share == 0")), "above 0"),
    ],
)
def test_impossible_requests_say_what_is_allowed(draw: Callable[[], Figure], words: str) -> None:
    with pytest.raises(KcError, match=words):
        draw()


def test_optional_columns_may_be_absent() -> None:
    plain = tables.rising(tables.grid(epoch=tables.EPOCHS, kind=tables.KINDS)).drop(
        columns=["low", "high"]
    )
    figure = plots.accuracy_curves(plain)
    assert len(figure.axes) == 1
    assert not figure.axes[0].collections  # no interval was given, so none is shaded
    assert plots.accuracy_curves(plain.assign(low=0.0, high=1.0)).axes[0].collections


def test_accuracy_has_a_panel_and_a_chance_level_for_each_world() -> None:
    table = tables.rising(tables.grid(world=["here", "there"], epoch=tables.EPOCHS,
                                      kind=tables.KINDS))  # fmt: skip
    table = table.assign(chance=table["world"].map({"here": 0.1, "there": 0.2}))
    axes = plots.accuracy_curves(table, panel="world").axes
    assert [axis.get_title() for axis in axes] == ["here", "there"]
    for axis, level in zip(axes, (0.1, 0.2), strict=True):
        assert any(np.allclose(line.get_ydata(), level) for line in axis.lines)


def test_lines_intervals_and_chance_show_the_numbers_of_the_table() -> None:
    table = tables.hits(circuit=False)
    axis = plots.hit_curves(table).axes[0]
    rows = table[(table["band"] == "high") & (table["kind"] == "K_rel")]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), rows["value"])
    top = axis.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(rows["high"].max())
    chance = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in chance] == [pytest.approx(0.05)]


def test_decided_bends_are_marked_with_their_intervals_and_others_are_not() -> None:
    figure = plots.phase_overview(tables.overview(), tables.overview_shift())
    marks = [[line for line in a.lines if len(set(line.get_xdata())) == 1] for a in figure.axes]
    assert [[line.get_xdata()[0] for line in m] for m in marks] == [[4.5, 8.5], [9.0], []]
    assert [line.get_linestyle() for line in marks[0]] == [":", "--"]
    assert [len(a.patches) for a in figure.axes] == [2, 1, 0]
    ends = [patch.get_x() for patch in figure.axes[0].patches]
    assert ends == pytest.approx([4.5 - 0.8, 8.5 - 0.6])


def test_normalised_curves_have_the_bends_of_the_curves_in_nats() -> None:
    kept = tables.entropy().assign(entropy_kept=5.0, normalised_entropy_kept=0.9)
    marks = tables.shift().query("quantity == 'entropy'")
    both = ("normalised_entropy_kept", "normalised_entropy")
    drawn = plots.entropy_curves(kept, marks, quantities=both)
    assert [len(axis.patches) for axis in drawn.axes] == [0, 0, 0, 4, 4, 4]
    of_kept = plots.entropy_curves(kept, marks.assign(quantity="entropy_kept"), quantities=both)
    assert [len(axis.patches) for axis in of_kept.axes] == [4, 4, 4, 0, 0, 0]


def test_tables_of_the_stages_are_read_as_they_are() -> None:
    """Other names for the same columns: wide controls, masks."""
    wide = pd.DataFrame({"epoch": [0, 1], "source": [2.0, 3.0], "random_source": 2.5})
    lines = plots.centre_of_mass(wide.assign(random_low=2.0, random_high=3.0)).axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [[2, 3], [2.5, 2.5]]
    outside = tables.head_roles().assign(in_circuit=False)
    cells = plots.role_map(outside).axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(cells).all()
    renamed = tables.lens().rename(columns={"value": "log10_rank"})
    assert plots.svg_bytes(plots.logit_lens_rank(renamed)) == plots.svg_bytes(
        plots.logit_lens_rank(tables.lens())
    )


def test_fitted_segments_follow_exact_data() -> None:
    epoch = np.arange(16.0)
    value = 5 - 0.5 * np.clip(epoch - 4, 0, 6)
    series = pd.DataFrame({"quantity": "entropy", "epoch": epoch, "value": value})
    whole = pd.DataFrame({"quantity": ["entropy"]})
    both = tables.bends(whole, pd.Series([4.0]), pd.Series([10.0]))
    line = plots.phase_overview(series, both).axes[0].lines[-1]
    np.testing.assert_allclose(line.get_xydata(), [[0, 5], [4, 5], [10, 2], [15, 2]], atol=1e-9)
    one = tables.bends(whole, pd.Series([np.nan]), pd.Series([10.0]))
    line = plots.phase_overview(series.query("epoch >= 4"), one).axes[0].lines[-1]
    np.testing.assert_allclose(line.get_xydata(), [[4, 5], [10, 2], [15, 2]], atol=1e-9)


def test_without_any_fit_the_curves_are_drawn_all_the_same() -> None:
    nothing = tables.overview_shift().iloc[:0]
    for figure in (
        plots.phase_overview(tables.overview(), nothing),
        plots.entropy_curves(tables.entropy(), tables.shift().iloc[:0]),
    ):
        assert all(axis.lines and not axis.patches for axis in figure.axes)


def test_published_curves_are_not_cut_off_by_a_run_that_learned_nothing() -> None:
    kinds, bands = (
        tables.accuracy_by(column).assign(value=0.0, low=0.0, high=0.0)
        for column in ("kind", "band")
    )
    drawn = plots.accuracy_overview(kinds, bands, published)
    whose = [axis.get_title().partition(",")[0] for axis in drawn.axes[:3]]
    assert whose == ["this run", "this run", "published"]
    assert "GPT-2 Small" in drawn.axes[2].get_title()
    top = drawn.axes[0].get_ylim()[1]
    assert top > published[published["model"] == "gpt2"]["accuracy"].max()


def test_levels_of_noise_and_the_previous_checkpoint_have_their_place() -> None:
    shape = tables.entropy().assign(random_entropy=7.5)
    level = [a.lines[-1] for a in plots.entropy_curves(shape).axes[:3]]
    assert all(set(line.get_ydata()) == {7.5} for line in level)
    previous = tables.jaccard().assign(edge_jaccard_previous=0.8)
    labels = [axis.get_ylabel() for axis in plots.jaccard_curves(previous).axes]
    assert any("previous" in label for label in labels)
    curves = tables.forgetting().assign(chance=0.07)
    above, below = plots.elasticity(curves.query("variant == 'new_people'")).axes
    dotted = [[x for x in a.lines if x.get_linestyle() == ":"] for a in (above, below)]
    assert [len(lines) for lines in dotted] == [1, 0]


def test_published_curves() -> None:
    assert list(published.columns) == ["model", "kind", "epoch", "accuracy"]
    assert set(published["model"]) == {"gpt2", "gpt2-medium", "tinyllama-1.1b", "phi-1.5"}
    assert set(published["kind"]) == set(tables.KINDS)
    gpt2 = published[(published["model"] == "gpt2") & (published["kind"] == "K_rel")]
    assert (len(gpt2), gpt2["epoch"].max(), gpt2["accuracy"].iloc[-1]) == (41, 24.0, 0.933619)


def test_figures_leave_global_settings_and_pyplot_alone() -> None:
    before = dict(mpl.rcParams)
    plots.hit_curves(tables.hits())
    assert dict(mpl.rcParams) == before
    assert mpl._pylab_helpers.Gcf.get_all_fig_managers() == []


def test_set_style_changes_no_bytes() -> None:
    before = plots.svg_bytes(CASES["hit_curves"].draw())
    with mpl.rc_context():
        plots.set_style()
        assert mpl.rcParams["svg.hashsalt"] == "kc_utils"
        assert plots.svg_bytes(CASES["hit_curves"].draw()) == before


def _distance(one: str, two: str, deficiency: str) -> float:
    """Distance in linear RGB after the dichromat simulation of Vienot et al. (1999)."""
    matrices = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    matrix = np.array(matrices[deficiency])
    points = [matrix @ np.power(mpl.colors.to_rgb(c), 2.2) for c in (one, two)]
    return float(np.linalg.norm(points[0] - points[1]))


@pytest.mark.parametrize("column", style.LOOKS)
@pytest.mark.parametrize("deficiency", ["protan", "deutan"])
def test_palette_is_told_apart_without_red_green_vision_or_colour(
    column: str, deficiency: str
) -> None:
    looks = list(style.LOOKS[column].values())
    pairs = [(a, b) for i, a in enumerate(looks) for b in looks[:i]]
    assert all(_distance(a.colour, b.colour, deficiency) > 0.05 for a, b in pairs)
    shapes = {(look.marker, str(look.line), look.hollow) for look in looks}
    assert len(shapes) == len(looks)
    assert _distance("#E00000", "#3F5800", "protan") < 0.05  # the check can fail


def test_table_for_readers_is_rounded_named_and_repeatable() -> None:
    frame = pd.DataFrame({"top_n": [300, 400], "value": [0.12345, np.nan], "kind": tables.KINDS})
    html = plots.table(frame, 2, names={"value": "Hit@10 (share)"}, caption="Circuits").to_html()
    assert "0.12" in html and "0.123" not in html
    assert "top n" in html and "Hit@10 (share)" in html and "Circuits" in html
    again = plots.table(frame, 2, names={"value": "Hit@10 (share)"}, caption="Circuits").to_html()
    assert html == again
    with pytest.raises(KcError, match="empty"):
        plots.table(frame.iloc[:0])


def test_ink_stands_out_from_every_shade() -> None:
    for share in np.linspace(0, 1, 256):
        ground = mpl.colors.to_hex(mpl.colormaps[style.HEAT](share))
        assert contrast(ground, ink(ground)) >= 4.5, share
