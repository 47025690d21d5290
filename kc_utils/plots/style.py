"""One palette and one set of matplotlib settings for every figure of the book.

Colours are those of Okabe and Ito (2008) and, for the ordered frequency bands, of Paul Tol's muted
scheme; both stay apart for the common kinds of colour blindness. Colour is never the only channel:
every value also has a marker, and second columns (discovered or random circuit, trained or held-out
wording) a line style.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

P = ParamSpec("P")
_NO_DATE = {"Date": None, "Creator": None}
#: Numbers from one upwards with more than two decimals; smaller ones are scales of letters.
_COORDINATE = re.compile(r"(?<![\d.#\w])-?[1-9]\d*\.\d{3,}(?![\d.]*\w)")
_INDENT = re.compile(r"\s*\n\s*")
#: Where a letter stands in its line, in hundredths of the size of the letters.
_LETTER = re.compile(r'(?<=" )transform="translate\((-?[\d.]+) 0\)"(?=/>)')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: Prefix of the names of letters, and how SVG 1.1 wrote what SVG 2 calls ``href``.
_SHORTER = {"DejaVuSans-": "g", "xlink:href": "href"}
WIDTH = 7.2  # inches, one column of the book
BLACK, DARK, GREY, LIGHT = "#000000", "#444444", "#7F7F7F", "#D9D9D9"
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE = "#D55E00", "#CC79A7"
POSITIVE, NEGATIVE = BLUE, VERMILION
DASHED, LONG_DASHED, DOTTED = (0, (3, 1.4)), (0, (5, 1.5)), (0, (1.5, 1.2))
DASH_DOTTED = (0, (5, 1.5, 1.5, 1.5))
HEAT = "cividis"

RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "figure.titlesize": 10.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "figure.dpi": 100,
    "svg.hashsalt": "kc_utils",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Look:
    """How one value of a column is drawn and what the legend calls it."""

    colour: str
    marker: str
    label: str
    line: Any = "-"
    hollow: bool = False


LOOKS: dict[str, dict[str, Look]] = {
    "kind": {
        "K_rel": Look(BLUE, "o", "K_rel (known subject)"),
        "K_compl": Look(VERMILION, "s", "K_compl (new subject)"),
        "K_strange": Look(GREY, "D", "K_strange (new subject, rare tokens)"),
    },
    "band": {
        "high": Look("#332288", "^", "high frequency (> 5)"),
        "medium": Look("#44AA99", "D", "medium frequency (2-5)"),
        "low": Look("#C7A938", "v", "low frequency (1)"),
        "all": Look(BLACK, "o", "all bands"),
    },
    "role": {
        "mover": Look(GREEN, "^", "mover head (subject)"),
        "relation": Look(PURPLE, "s", "relation head"),
        "mixture": Look(GREY, "o", "mixture head"),
    },
    "ablation": {
        "corrupted": Look(BLUE, "o", "corrupted values"),
        "zero": Look(ORANGE, "s", "zero"),
        "mean": Look(PURPLE, "^", "mean"),
    },
    "aligned": {
        "Init": Look(SKY, "v", "Init", LONG_DASHED),
        "Before": Look(ORANGE, "s", "Before", LONG_DASHED),
        "After": Look(GREEN, "^", "After"),
        "Last": Look(BLUE, "D", "Last"),
        "Own": Look(BLACK, "o", "Own (each checkpoint's circuit)"),
        "Random": Look(GREY, "x", "Random (same size)", DOTTED),
    },
    "circuit": {
        "own": Look(BLACK, "o", "discovered circuit"),
        "random": Look(GREY, "o", "random circuit", DASHED, True),
        "random_per_layer": Look(SKY, "s", "random, same size per layer", (0, (1, 1)), True),
        "other_relation": Look(ORANGE, "v", "circuit of another relation", LONG_DASHED),
        "foreign": Look(PURPLE, "D", "circuit of another band"),
        "in_sample": Look(GREEN, "^", "discovery people"),
    },
    "view": {
        "cut": Look(VERMILION, "o", "model without the class's missing edges"),
        "restored": Look(BLUE, "s", "circuit with all edges of the class"),
    },
    "wording": {
        "read": Look(SKY, "s", "texts that training read", DASH_DOTTED),
        "trained": Look(BLACK, "o", "trained wording"),
        "held_out": Look(GREY, "o", "held-out wording", DASHED, True),
    },
    "split": {
        "evaluate": Look(BLACK, "o", "held-out people"),
        "discover": Look(GREY, "o", "discovery people", DASHED, True),
    },
    "position": {
        "last": Look(BLACK, "o", "last position"),
        "subject": Look(SKY, "s", "best subject position"),
    },
    "variant": {
        "new_people": Look(BLACK, "o", "new people"),
        "conflicting": Look(GREY, "s", "conflicting facts"),
    },
    "profile": {  # the models of the stored sweep, as sentences call them
        "tiny": Look("#2A788E", "s", "GPT-2-like"),
        "tiny-llama": Look("#7AD151", "^", "Llama-like"),
        "smollm2": Look("#440154", "o", "SmolLM2"),
    },
    "verdict": {
        "beyond the margin": Look(GREEN, "o", "beyond the margin"),
        "real, size undecided": Look(BLUE, "^", "real, size undecided"),
        "real and negligible": Look(PURPLE, "v", "real and negligible"),
        "equivalent": Look(BLACK, "s", "equivalent"),
        "open": Look(GREY, "D", "open", hollow=True),
        "not measured": Look("#A6A6A6", "x", "not measured", hollow=True),
    },
}

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", LONG_DASHED, DOTTED, DASH_DOTTED)


def ordered(column: str, values: Iterable[Any]) -> list[Any]:
    """Distinct ``values`` in the palette's order; values it does not know follow, sorted."""
    distinct = set(values)
    known = [v for v in LOOKS.get(column, {}) if v in distinct]
    return known + sorted(distinct - set(known))


def looks_for(column: str, values: Iterable[Any]) -> dict[Any, Look]:
    """The look of each value: from the palette, or from dark to light for ordered numbers."""
    order = ordered(column, values)
    fixed = LOOKS.get(column, {})
    ramp = mpl.colormaps["viridis"]
    unknown = [v for v in order if v not in fixed]
    result = {v: fixed[v] for v in order if v in fixed}
    for i, value in enumerate(unknown):
        colour = mpl.colors.to_hex(ramp(0.8 * i / max(1, len(unknown) - 1)))
        text = f"{value:g}" if isinstance(value, (int, float)) else str(value).replace("_", " ")
        marker, line = _MARKERS[i % len(_MARKERS)], _LINES[i // 3 % len(_LINES)]
        result[value] = Look(colour, marker, text, line)
    return result


def present(looks: Mapping[Any, Look], values: Iterable[Any]) -> dict[Any, Look]:
    """Those of ``looks`` that are among the ``values``, in the order of ``looks``."""
    here = set(values)
    return {value: look for value, look in looks.items() if value in here}


def combine(first: Look, second: Look | None) -> Look:
    """Colour and marker of ``first`` with the line style and filling of ``second``."""
    return first if second is None else replace(first, line=second.line, hollow=second.hollow)


def label_of(column: str, value: Any) -> str:
    """The words used for ``value`` in titles, legends and ticks."""
    look = LOOKS.get(column, {}).get(value)
    if look:
        return look.label
    return f"{column} {value:g}" if isinstance(value, (int, float)) else str(value)


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the book's settings without changing matplotlib's global ones.

    The layout is worked out once and then frozen, so that every rendering gives the same bytes.
    """

    @functools.wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            figure = function(*args, **kwargs)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return drawn


def set_style() -> None:
    """Called once at the top of a notebook: the book's settings, and figures shown as SVG.

    Outside a notebook only the settings change.
    """
    mpl.rcParams.update(RC)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None:
        set_matplotlib_formats("svg")
        formatter = shell.display_formatter.formatters["image/svg+xml"]
        formatter.for_type(Figure, lambda figure: svg_bytes(figure).decode())


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG without a date; the same table gives the same bytes.

    Coordinates have two decimals, hundredths of a point; letters have short names and stand at
    whole units of their line, a hundredth of their size; and there is neither indentation nor a
    comment with the text of every label. A page with many figures is a third lighter so.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata=_NO_DATE)
    text = _COMMENT.sub("", buffer.getvalue().decode())
    text = _COORDINATE.sub(lambda number: f"{float(number[0]):.2f}", text)
    for long, short in _SHORTER.items():
        text = text.replace(long, short)
    text = _LETTER.sub(lambda place: f'x="{float(place[1]):.0f}"', text)
    return _INDENT.sub("\n", text).encode()
