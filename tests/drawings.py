"""Reading a circuit drawing back: its edges, nodes and words."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from kc_utils.plots import Drawing


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
