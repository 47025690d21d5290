"""The picture that a link to the book shows: title and how facts arrive, 1200 x 630 pixels."""

from __future__ import annotations

import io
import textwrap

from matplotlib.figure import Figure

from kc_utils.book.front_figure import curves
from kc_utils.plots.style import BLUE, GREY, VERMILION
from kc_utils.runs.dataset import SweepTables

NAME = "card.png"
SIZE = (1200, 630)  # pixels, what previews expect
_DPI = 100
_SERIES = {
    "K_rel": ("people known before", BLUE),
    "K_compl": ("new people", VERMILION),
    "shuffled run": ("nothing to learn", GREY),
}
_SUBTITLE = "How language models take up new facts. An executable book, with its controls."


def card(sweep: SweepTables, title: str) -> bytes:
    """PNG with the book's title and accuracy on new facts over training, means over seeds.

    Args:
        sweep: the stored tables; curves are those of their first profile.
        title: of the book.
    """
    drawn = curves(sweep).query("quantity == 'accuracy'")
    drawn = drawn[drawn["profile"] == drawn["profile"].iloc[0]]
    figure = Figure(figsize=(SIZE[0] / _DPI, SIZE[1] / _DPI), dpi=_DPI, facecolor="white")
    for y, text, size, weight in (
        (0.74, "\n".join(textwrap.wrap(title, 12)), 50, "bold"),
        (0.32, "\n".join(textwrap.wrap(_SUBTITLE, 26)), 22, "normal"),
    ):
        figure.text(0.05, y, text, fontsize=size, fontweight=weight, va="center", linespacing=1.25)
    axes = figure.add_axes((0.52, 0.17, 0.44, 0.72))
    for series, (words, colour) in _SERIES.items():
        part = drawn[drawn["series"] == series]
        if len(part):
            axes.plot(part["epoch"], part["value"], color=colour, linewidth=4, label=words)
    axes.set_ylim(0, 1)
    axes.set_xlabel("epoch", fontsize=20)
    axes.set_title("accuracy on new facts", fontsize=22, loc="left")
    axes.tick_params(labelsize=18)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=18, loc="lower right")
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
