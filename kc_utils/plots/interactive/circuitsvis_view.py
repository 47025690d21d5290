"""Attention as CircuitsVis draws it, from the copy in its package: no network is asked.

CircuitsVis itself asks the network first and then writes a page that loads its script from there,
or one with the script inside, under a random id. Its script has 1.3 MB and its view answers to the
mouse only. So the book has the script once, among its static files, and a page loads it when the
reader wants it; the view is marked as an image, and the figure above it says the same to all.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kc_utils.errors import KcError

FILE = "circuitsvis.js"  # below _static

_SCRIPT = """
(() => {
  const file = () => {
    const part = document.querySelector("link[href*='_static/'], script[src*='_static/']");
    const url = part && (part.href || part.src);
    return url && url.slice(0, url.lastIndexOf("_static/") + 8) + "{file}";
  };
  const load = () => document.kcCircuitsVis ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = file();
    script.addEventListener("load", done);
    script.addEventListener("error", failed);
    document.head.append(script);
  });
  for (const root of document.querySelectorAll('[id="&"]')) {
    const more = root.querySelector(".more"), button = more.querySelector("button");
    if (!file() || !more.hidden) continue;
    more.hidden = false;
    button.addEventListener("click", () => {
      const view = more.querySelector(".view");
      const props = JSON.parse(more.querySelector("[type='application/json']").textContent);
      view.id = `circuitsvis-${document.querySelectorAll("[id^=circuitsvis-]").length + 1}`;
      button.disabled = true;
      load().then(() => {
        more.querySelector(".image").hidden = false;
        CircuitsVis.render(view.id, CircuitsVis.AttentionHeads, props);
      }).catch(() => { button.textContent = "CircuitsVis is not among the files of this page"; });
    });
  }
})();
"""


def source() -> str:
    """The script of CircuitsVis, for a file that pages load; it defines ``CircuitsVis``.

    Raises:
        KcError: CircuitsVis is not installed or lacks the script.
    """
    found = importlib.util.find_spec("circuitsvis")
    path = Path(found.origin).parent / "dist/cdn/iife.js" if found and found.origin else None
    if path is None or not path.is_file():
        raise KcError("The package circuitsvis with its file dist/cdn/iife.js is not installed.")
    return path.read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]


def block(patterns: np.ndarray, tokens: Sequence[str], heads: Sequence[str]) -> str:
    """The button, the place for the view, and what it is drawn from."""
    return (
        '<div class="more" hidden="hidden"><button type="button">Show these heads in CircuitsVis'
        '</button><div class="image" hidden="hidden" role="img" aria-label="The same attention '
        'patterns drawn by CircuitsVis, for the mouse."><div class="view"></div></div>'
        f'<script type="application/json">{props(patterns, tokens, heads)}</script></div>'
    )


def script(name: str) -> str:
    """The script for the elements with the id ``name``."""
    return _SCRIPT.replace('"&"', f'"{name}"').replace("{file}", FILE)


def props(patterns: np.ndarray, tokens: Sequence[str], heads: Sequence[str]) -> str:
    """JSON for CircuitsVis' AttentionHeads that is safe inside a script element.

    Args:
        patterns: [head destination source].
        heads: their names; what follows a comma is left out.
    """
    values = {
        "attention": np.round(np.asarray(patterns, dtype=float), 3).tolist(),
        "attentionHeadNames": [head.partition(",")[0] for head in heads],
        "tokens": list(tokens),
        "minValue": 0,
        "maxValue": 1,
    }
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
