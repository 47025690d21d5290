"""Figures from synthetic tables: labels with units, same table same bytes, clear refusals."""

from __future__ import annotations

import re
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from matplotlib.figure import Figure
from plot_cases import CASES, published

from kc_utils import plots
from kc_utils.errors import KcError
from kc_utils.plots import style
from kc_utils.plots.heat import ink


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {name: case.draw(case.table(), **case.extra) for name, case in CASES.items()}


def test_every_public_figure_has_a_case() -> None:
    helpers = {"exposure_means", "published", "set_style", "svg_bytes", "table"}
    drawings = {"Drawing", "circuit_drawing", "circuit_drawing_pair"}  # tests/test_drawing.py
    sliders = {  # tests/test_sliders.py
        "activation_slider", "attention_figure", "circuit_drawing_epochs",
        "entropy_slider", "lens_slider",
    }  # fmt: skip
    assert set(plots.__all__) - helpers - drawings - sliders <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_axes_are_labelled_with_units_and_text_is_large_enough(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == pytest.approx(7.2)
    axes = [a for a in figure.axes if a.get_visible()]
    labels = {" ".join(t.split()) for a in axes for t in (a.get_xlabel(), a.get_ylabel())}
    assert set(CASES[name].units) <= labels
    texts = [t for t in figure.findobj(mpl.text.Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 9


@pytest.mark.parametrize("name", CASES)
def test_no_text_leaves_the_page_and_the_legend_hides_no_data(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    drawn = figure.get_tightbbox()  # inches; counts what is drawn only
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.02
    assert drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(a.get_window_extent()) for a in figure.axes)


@pytest.mark.parametrize("name", [n for n in CASES if not n.endswith("_by_kind")])
def test_same_table_same_svg_bytes(name: str, figures: dict[str, Figure]) -> None:
    case = CASES[name]
    first = plots.svg_bytes(figures[name])
    assert first == plots.svg_bytes(case.draw(case.table(), **case.extra))
    assert first.startswith(b"<?xml") and b"<dc:date>" not in first


def test_another_table_gives_other_bytes(figures: dict[str, Figure]) -> None:
    other = tables.hits().assign(value=0.5)
    assert plots.svg_bytes(figures["hit_curves"]) != plots.svg_bytes(plots.hit_curves(other))


@pytest.mark.parametrize(
    ("name", "column"), [(name, c) for name, case in CASES.items() for c in case.needs]
)
def test_a_missing_column_is_named(name: str, column: str) -> None:
    case = CASES[name]
    with pytest.raises(KcError, match=rf"lacks the column\(s\).*{re.escape(column)}"):
        case.draw(case.table().drop(columns=column), **case.extra)


@pytest.mark.parametrize("name", CASES)
def test_an_empty_table_is_refused(name: str) -> None:
    case = CASES[name]
    with pytest.raises(KcError, match="empty"):
        case.draw(case.table().iloc[:0], **case.extra)


def test_several_rows_for_one_point_are_refused_and_the_column_to_choose_is_named() -> None:
    twice = pd.concat([tables.hits().assign(task="city"), tables.hits().assign(task="major")])
    with pytest.raises(KcError, match="choose one value of task"):
        plots.hit_curves(twice)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.hit_curves(tables.hits(), panel="task"), "'band' and 'kind'"),
        (lambda: plots.role_map(tables.head_roles(), epochs=[3]), "epoch"),
        (lambda: plots.role_map(tables.head_roles().assign(role="boss")), "mover"),
        (lambda: plots.claims_table(tables.claims().assign(verdict="maybe")), "does not hold"),
        (lambda: plots.logit_lens_lines(tables.lens(), "entropy"), "probability"),
        (
            lambda: plots.accuracy_curves(tables.accuracy(), published=published, model="gpt9"),
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


def test_lines_intervals_and_chance_show_the_numbers_of_the_table() -> None:
    table = tables.hits(circuit=False)
    axis = plots.hit_curves(table).axes[0]
    rows = table[(table["band"] == "high") & (table["kind"] == "K_rel")]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), rows["value"])
    top = axis.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(rows["high"].max())
    chance = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in chance] == [pytest.approx(0.05)]


def test_rank_axis_is_logarithmic_with_the_best_rank_on_top() -> None:
    for axis in plots.rank_curves(tables.ranks()).axes:
        assert axis.get_yscale() == "log" and axis.yaxis_inverted()


def test_bend_is_marked_with_its_interval_and_absent_where_there_is_none() -> None:
    figure = plots.phase_overview(tables.overview(), tables.overview_phase())
    marks = [[line for line in a.lines if len(set(line.get_xdata())) == 1] for a in figure.axes]
    assert [[line.get_xdata()[0] for line in m] for m in marks] == [[8.5], [9.0], []]
    assert [len(a.patches) for a in figure.axes] == [1, 1, 0]


def test_undecided_bends_are_dotted_and_refused_ones_not_marked() -> None:
    decided = tables.overview_phase().assign(decision=["undecided", "no bend", "bend"])
    first, second, _ = plots.phase_overview(tables.overview(), decided).axes
    marks = [line for line in first.lines if len(set(line.get_xdata())) == 1]
    assert [line.get_linestyle() for line in marks] == [":"]
    assert not second.patches


def test_tables_of_the_stages_are_read_as_they_are() -> None:
    """Other names for the same columns: circuits as rows, wide controls, masks."""
    transfer = tables.transfer().query("source_band != 'random'").assign(circuit="own")
    random = transfer.query("source_band == target_band").assign(circuit="random", value=0.0)
    drawn = plots.transfer_matrix(pd.concat([transfer, random])).axes[0].collections[0]
    assert drawn.get_array().shape == (3, 4) and np.all(drawn.get_array()[:, 3] == 0)
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
    epoch = np.arange(12.0)
    value = 5 - 0.5 * np.minimum(epoch, 6)
    series = pd.DataFrame({"quantity": "entropy", "epoch": epoch, "value": value})
    mark = {"quantity": ["entropy"], "breakpoint_epoch": [6.0], "low": [5.0], "high": [7.0]}
    given = {"intercept": [5.0], "slope_before": [-0.5], "slope_after": [0.0]}
    for bend in (pd.DataFrame(mark), pd.DataFrame({**mark, **given})):
        line = plots.phase_overview(series, bend).axes[0].lines[-1]
        np.testing.assert_allclose(line.get_ydata(), [5, 2, 2], atol=1e-9)


def test_a_fit_of_the_first_points_is_drawn_over_these_only() -> None:
    series = pd.DataFrame({"quantity": "accuracy", "epoch": np.arange(12.0), "value": 0.5})
    mark = {"quantity": ["accuracy"], "breakpoint_epoch": [4.0], "low": [3.0], "high": [5.0]}
    line = plots.phase_overview(series, pd.DataFrame({**mark, "n_points": [8]})).axes[0].lines[-1]
    assert list(line.get_xdata()) == [0, 4, 7]


def test_without_any_fit_the_curves_are_drawn_all_the_same() -> None:
    nothing = tables.overview_phase().iloc[:0]
    for figure in (
        plots.phase_overview(tables.overview(), nothing),
        plots.entropy_curves(tables.entropy(), tables.phase().iloc[:0]),
    ):
        assert all(axis.lines and not axis.patches for axis in figure.axes)


def test_published_curves_are_not_cut_off_by_a_run_that_learned_nothing() -> None:
    flat = tables.accuracy().assign(value=0.0, low=0.0, high=0.0)
    top = plots.accuracy_curves(flat, published=published).axes[0].get_ylim()[1]
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


def test_set_style_changes_no_bytes(figures: dict[str, Figure]) -> None:
    with mpl.rc_context():
        plots.set_style()
        assert mpl.rcParams["svg.hashsalt"] == "kc_utils"
        case = CASES["hit_curves"]
        after = plots.svg_bytes(case.draw(case.table()))
    assert after == plots.svg_bytes(figures["hit_curves"])


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
    def light(colour) -> float:
        parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour[:3]]
        return float(np.dot((0.2126, 0.7152, 0.0722), parts))

    for share in np.linspace(0, 1, 256):
        ground = mpl.colormaps[style.HEAT](share)
        dark, bright = sorted(
            (light(ground), light(mpl.colors.to_rgb(ink(mpl.colors.to_hex(ground)))))
        )
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, share
