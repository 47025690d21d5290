"""Interactive figures for the tests: made-up tables, reading a figure back, contrast of colours."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib as mpl
import numpy as np
import pandas as pd
import plot_tables as tables

from kc_utils.plots import (
    Drawing,
    activation_slider,
    attention_figure,
    circuit_drawing_epochs,
    circuit_over_training,
    entropy_slider,
    lens_slider,
)

DARK_PAGE = "#121212"  # ground of the dark theme; tests/test_book_dark.py checks it

EPOCHS = list(range(21))
TOKENS = ["Ida", " Todd", " Ph", "am", " lives", " in", " <b>", " of"]


def entropy_table() -> pd.DataFrame:
    frame = tables.grid(epoch=EPOCHS, kind=tables.KINDS, band=tables.BANDS)
    value = 6.8 - 1.6 / (1 + np.exp(-(frame["epoch"] - 6))) + 0.1 * frame["kind"].eq("K_compl")
    return frame.assign(entropy=value, normalised_entropy=value / 7, random_entropy=6.9)


def activation_table() -> pd.DataFrame:
    frame = tables.grid(epoch=EPOCHS, kind=tables.KINDS, layer=list(range(-1, 6)))
    late, depth = frame["epoch"] / 20, (frame["layer"] + 2) / 7
    ratio = 0.05 + 0.3 * (late * depth + (1 - late) * (1 - depth))
    return frame.assign(ratio=ratio + 0.02 * frame["kind"].eq("K_rel"), low=0.16, high=0.24)


def lens_table() -> pd.DataFrame:
    layers = list(range(7))
    frame = tables.grid(epoch=EPOCHS, kind=tables.KINDS, band=tables.BANDS, layer=layers)
    know = frame["band"].map({"high": 0.95, "medium": 0.6, "low": 0.25}) * frame["epoch"] / 20
    share = know * (frame["layer"] / 6) ** 2
    return frame.assign(log10_rank=2.7 * (1 - share), probability=0.9 * share)


def circuit_table(n_edges: int = 250, n_epochs: int = 21) -> pd.DataFrame:
    rng = np.random.default_rng([9, n_epochs])
    base, parts = tables.edges(6, 4, n_edges), []
    for epoch in range(n_epochs):
        base = base.assign(score=base["score"] * np.exp(rng.normal(0, 0.25, len(base))))
        parts.append(base.assign(epoch=float(epoch)))
    return pd.concat(parts, ignore_index=True)


def curves_table() -> pd.DataFrame:
    """Accuracy and entropy of one kind and band, for the circuits of ``circuit_table``."""
    part = entropy_table().query("kind == 'K_rel' and band == 'high'")
    rise = 1 / (1 + np.exp(4.0 - part["epoch"]))
    return part.assign(accuracy=0.05 + 0.9 * rise)[["epoch", "accuracy", "entropy", "kind"]]


def patterns(heads: int = 4) -> np.ndarray:
    n = len(TOKENS)
    values = np.tril(np.random.default_rng([9, 3]).gamma(0.4, 1, (heads, n, n)) + 1e-6)
    return values / values.sum(-1, keepdims=True)


HEADS = ["a4.h2, mover head", "a5.h0, mover head", "a1.h1, relation head", "a3.h3, relation head"]


@cache
def figure(name: str) -> Drawing:
    """One of the six figures."""
    if name == "entropy":
        return entropy_slider(entropy_table(), tables.shift())
    if name == "activation":
        return activation_slider(activation_table())
    if name == "lens":
        return lens_slider(lens_table())
    if name == "circuit":
        return circuit_drawing_epochs(circuit_table(), 6, 4, strongest=40)
    if name == "training":
        return circuit_over_training(curves_table(), circuit_table(60), 6, 4, strongest=20)
    return attention_figure(patterns(), TOKENS, HEADS, subject=(0, 4))


NAMES = ("entropy", "activation", "lens", "circuit", "attention", "training")


def frames(drawing: Drawing) -> dict[str, Any]:
    """The frames that the figure carries."""
    (text,) = re.findall(r'class="frames">(.*?)</script>', drawing.html, flags=re.DOTALL)
    return json.loads(text)


def svgs(drawing: Drawing) -> list[Element]:
    found = re.findall(r'<svg class="circuit".*?</svg>', drawing.html, flags=re.DOTALL)
    return [ElementTree.fromstring(text) for text in found]


def classes(element: Element) -> list[str]:
    return element.get("class", "").split()


def edges_of(svg: Element, everything: bool = False) -> list[Element]:
    """The edges in the order of drawing; without those that only the slider brings."""
    paths = [e for e in svg.iter("path") if "e" in classes(e)]
    return [e for e in paths if everything or "off" not in classes(e)]


def nodes_of(svg: Element) -> dict[str, Element]:
    return {n.get("data-n"): n for n in svg.iter("g") if {"n"} == {"n"} & set(classes(n))}


def names(edge: Element) -> tuple[str, str]:
    return edge.get("data-s"), edge.get("data-t")


def points(edge: Element) -> np.ndarray:
    """Start, two control points and end of an edge."""
    return np.array(re.findall(r"-?[\d.]+", edge.get("d")), dtype=float).reshape(4, 2)


def title(element: Element) -> str:
    return element.find("title").text


def rules_outside(drawing: Drawing) -> list[str]:
    """Selectors of the drawing's style sheet that reach more than the drawing."""
    (identifier,) = set(re.findall(r' id="(kc-[0-9a-f]{12})"', drawing.html))
    style = re.search("<style>(.*?)</style>", drawing.html, flags=re.DOTALL)[1]
    style = re.sub(r"/\*.*?\*/", "", style)
    selectors = [s for s in re.findall(r"([^{};]+)\{", style) if not s.strip().startswith("@")]
    parts = [part for s in selectors for part in re.sub(r"\([^()]*,[^()]*\)", "", s).split(",")]
    assert len(parts) > 20
    return [part for part in parts if f"#{identifier}" not in part]


def contrast(one: str, two: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    light = []
    for colour in (one, two):
        rgb = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return float(max(light) / min(light))


def is_line_through(values: np.ndarray, units: np.ndarray) -> bool:
    """Whether SVG units are a linear function of the values, up to rounding."""
    slope, start = np.polyfit(values, units, 1)
    return bool(abs(slope) > 1 and np.abs(slope * values + start - units).max() < 0.06)
