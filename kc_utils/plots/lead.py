"""How far known subjects are ahead of new ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import styled


@styled
def lead_curve(lead: pd.DataFrame, ylabel: str = "K_rel minus K_compl (share)") -> Figure:
    """Difference of the two kinds over training; the dotted line at 0 is no lead.

    Columns: epoch, value (share); optional band (one panel each), low, high.
    """
    look = {"colour": None, "from_zero": False, "chance": 0.0, "chance_label": "no lead"}
    return draw_figure(lead, Curves("lead_curve", ylabel, **look))
