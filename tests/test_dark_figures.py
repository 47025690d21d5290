"""Figures in the dark theme: what the style sheet's filter makes of the palette's colours."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from drawings import DARK_PAGE, contrast
from matplotlib.figure import Figure

from kc_utils.plots import style
from kc_utils.plots.background import SIGNED
from kc_utils.plots.heat import heat

SHEET = (ROOT / "book" / "_static" / "book.css").read_text("utf-8")
LINES = [look.colour for looks in style.LOOKS.values() for look in looks.values()]
LINES += [style.BLACK, style.DARK, style.GREY, style.ORANGE, style.SKY, style.GREEN, style.BLUE,
          style.VERMILION, style.PURPLE]  # fmt: skip
LINES += [look.colour for look in style.looks_for("ratio", np.linspace(0, 1, 9)).values()]
LINES = sorted(set(LINES))
MAPS = {name: [mpl.colors.to_hex(mpl.colormaps[name](i / 40)) for i in range(41)]
        for name in (style.HEAT,)}  # fmt: skip
MAPS["signed, half"] = [mpl.colors.to_hex(SIGNED(0.5 + i / 80)) for i in range(41)]


def rule() -> tuple[list[tuple[str, float]], str]:
    """Functions of the filter with their numbers, and the blend mode, from the style sheet."""
    (filters,) = re.findall(r"filter: (invert.*?);\s+mix-blend-mode: (\w+);", SHEET)
    found = re.findall(r"([\w-]+)\(([\d.]+)(?:deg)?\)", filters[0])
    return [(name, float(value)) for name, value in found], filters[1]


def hue_rotation(degrees: float) -> np.ndarray:
    """The matrix of hue-rotate() (W3C Filter Effects, feColorMatrix)."""
    weights = np.array([0.213, 0.715, 0.072])
    across = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    angle = np.radians(degrees)
    even = np.tile(weights, (3, 1))
    return even + np.cos(angle) * (np.eye(3) - even) + np.sin(angle) * across


def seen(colour: str, functions: Sequence[tuple[str, float]], blend: str = "screen") -> str:
    """The colour on the dark page."""
    rgb, page = np.array(mpl.colors.to_rgb(colour)), np.array(mpl.colors.to_rgb(DARK_PAGE))
    for name, value in functions:
        if name == "invert":
            rgb = value * (1 - rgb) + (1 - value) * rgb
        elif name == "hue-rotate":
            rgb = hue_rotation(value) @ rgb
        else:
            raise AssertionError(f"no rule for {name}()")
        rgb = rgb.clip(0, 1)
    assert blend == "screen"
    return mpl.colors.to_hex(1 - (1 - rgb) * (1 - page))


def dark(colour: str) -> str:
    return seen(colour, *rule())


def oklch(colour: str) -> tuple[float, float, float]:
    """Lightness, chroma and hue in degrees (Ottosson, Oklab)."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                         [0.2119034982, 0.6806995451, 0.1073969566],
                         [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    to_lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                       [1.9779984951, -2.4285922050, 0.4505937099],
                       [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    lightness, a, b = to_lab @ np.cbrt(to_cones @ linear)
    return float(lightness), float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)


def family(colour: str) -> str:
    """The name that a caption would give the colour."""
    _, chroma, hue = oklch(colour)
    if chroma < 0.03:
        return "grey"
    ends = {20: "red", 85: "orange", 115: "yellow", 190: "green", 220: "cyan", 275: "blue",
            360: "purple"}  # fmt: skip
    return next(name for end, name in ends.items() if hue < end)


def test_the_page_stays_the_page() -> None:
    assert dark("#ffffff") == DARK_PAGE and dark("#000000") == "#ffffff"


@pytest.mark.parametrize("colour", LINES)
def test_lines_and_marks_stand_out(colour: str) -> None:
    assert contrast(dark(colour), DARK_PAGE) >= 3


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("blue", [style.BLUE, style.SKY]),
        ("orange", [style.ORANGE, style.VERMILION]),
        ("green", [style.GREEN]),
        ("purple", [style.PURPLE]),
        ("grey", [style.GREY, style.DARK, style.LIGHT]),
    ],
)
def test_colours_keep_their_names(name: str, colours: list[str]) -> None:
    for colour in colours:
        assert family(colour) == family(dark(colour)) == name


def test_hues_stay_and_greys_stay_grey() -> None:
    for colour in LINES:
        (_, before, hue), (_, after, turned) = oklch(colour), oklch(dark(colour))
        if before < 0.02:
            assert after < 0.02
        else:
            assert after > 0.05
            assert abs((turned - hue + 180) % 360 - 180) <= 20


@pytest.mark.parametrize("name", MAPS)
def test_maps_keep_their_order_and_what_stood_out(name: str) -> None:
    shades = [dark(colour) for colour in MAPS[name]]
    order = np.diff([oklch(shade)[0] for shade in shades])
    assert (order < 0).all() or (order > 0).all()
    for colour, shade in zip(MAPS[name], shades, strict=True):
        assert contrast(shade, DARK_PAGE) >= min(3, contrast(colour, "#ffffff")) - 0.01


def test_words_stand_out_from_their_cell_or_from_an_outline() -> None:
    grid = pd.DataFrame(np.linspace(0, 1, 42).reshape(7, 6))
    axis = Figure().subplots()
    mesh = heat(axis, grid, limits=(0.0, 1.0), labels=grid.to_numpy().astype(str))
    assert len(axis.texts) == 42
    outlined = 0
    for text, value in zip(axis.texts, grid.to_numpy().ravel(), strict=True):
        words = dark(mpl.colors.to_hex(text.get_color()))
        cell = dark(mpl.colors.to_hex(mesh.cmap(mesh.norm(value))))
        around = [effect._gc["foreground"] for effect in text.get_path_effects()]
        outlined += len(around)
        if around:
            assert contrast(words, dark(mpl.colors.to_hex(around[0]))) > 15
        else:
            assert contrast(words, cell) > 3.5
    assert 0 < outlined < 30


def test_other_filters_would_be_seen() -> None:
    assert contrast(style.BLACK, DARK_PAGE) < 3  # none at all
    assert family(seen(style.BLUE, [("invert", 1)])) == "orange"
    assert seen("#ffffff", [("invert", 0.8), ("hue-rotate", 180)]) != DARK_PAGE
