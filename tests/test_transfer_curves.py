"""Transfer over training: the own band's circuit is the full line, the others are dashed."""

import event_tables as tables
import numpy as np

from kc_utils import plots


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
