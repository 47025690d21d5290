"""CircuitsVis below an attention figure: a button that loads it from the book's static files.

Other pages have no such file, and the button stays hidden there. The view is marked as an image,
because it cannot be used with a keyboard; the figure above it says the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

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


def block(props: Mapping) -> str:
    """The button, the place for the view, and ``props`` of CircuitsVis' AttentionHeads as JSON."""
    data = json.dumps(props, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        '<div class="more" hidden="hidden"><button type="button">Show these heads in CircuitsVis'
        '</button><div class="image" hidden="hidden" role="img" aria-label="The same attention '
        'patterns drawn by CircuitsVis, for the mouse."><div class="view"></div></div>'
        f'<script type="application/json">{data}</script></div>'
    )


def script(name: str) -> str:
    """The script for the elements with the id ``name``."""
    return _SCRIPT.replace('"&"', f'"{name}"').replace("{file}", FILE)
