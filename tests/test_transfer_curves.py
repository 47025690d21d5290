"""Transfer over training: the own band's circuit is the full line, the others are dashed."""

import event_tables as tables
import numpy as np
import pandas as pd

from kc_utils import plots
from kc_utils.plots.style import LOOKS


def test_native_circuits_are_full_lines_and_those_of_other_bands_dashed():
    table = tables.transfer_curve()
    figure = plots.transfer_curves(table)
    assert len(figure.axes) == len(tables.KINDS) * len(tables.BANDS)
    for axis in figure.axes:
        styles = {line.get_linestyle(): line.get_ydata() for line in axis.lines}
        assert set(styles) == {"-", "--"} and "people: " in axis.get_title()
        np.testing.assert_allclose(styles["-"] - styles["--"], 0.1)
    own = table[table["band"] == table["source_band"]]
    assert all(len(axis.lines) == 1 for axis in plots.transfer_curves(own).axes)


def test_an_overview_tells_whose_circuit_by_colour_and_names_each_once():
    kinds = pd.concat([tables.whose_circuit().query("circuit in ['own', 'random']")
                       .assign(kind=kind) for kind in tables.KINDS])  # fmt: skip
    bands = kinds.replace({"kind": {"K_rel": "high", "K_compl": "low"}})
    bands = bands.rename(columns={"kind": "band"})
    figure = plots.circuit_overview(kinds, bands, tables.whose_circuit(), chance=0.2)
    left, _, right = figure.axes
    assert sorted(line.get_linestyle() for line in left.lines) == ["-", "-", "--", "--", ":"]
    levels = {line.get_color(): set(line.get_ydata()) for line in right.lines[:-1]}
    names = ("own", "foreign", "random", "in_sample")
    expected = dict(zip(names, ({0.6}, {0.5}, {0.1}, {0.65}), strict=True))
    assert levels == {LOOKS["circuit"][name].colour: expected[name] for name in names}
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert len(labels) == len(set(labels)) and "circuit of another band" in labels


def test_random_circuits_are_grey_and_kinds_may_be_averaged():
    table = tables.transfer_curve()
    random = table[table["band"] == table["source_band"]].assign(source_band="random", value=0.05)
    both = pd.concat([table, random])
    keys = ["epoch", "band", "source_band"]
    figure = plots.transfer_curves(both.groupby(keys, as_index=False)["value"].mean())
    assert len(figure.axes) == len(tables.BANDS)
    look = LOOKS["circuit"]["random"]
    for axis in figure.axes:
        grey = [line for line in axis.lines if line.get_color() == look.colour]
        assert [set(line.get_ydata()) for line in grey] == [{0.05}]
        assert axis.get_title().startswith("people:")
