"""What a view shows as HTML: figures with alt text, tables, attention patterns, sentences.

circuitsvis draws attention patterns in the browser. The HTML that it hands to a notebook depends on
whether a server answers: online it loads its script from elsewhere, offline it repeats 1.3 MB of
script for every picture. Here the script that comes with the package is put into the page once
(:func:`library`), and a picture is a few lines that use it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jaxtyping import Float
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from kc_utils.plots import Drawing, svg_bytes
from kc_utils.plots.components import attention_maps
from kc_utils.plots.interactive.attention import circuitsvis_props, circuitsvis_source
from kc_utils.plots.markup import escape

MESSAGE = '<p class="kc-message" role="status">'


@dataclass(frozen=True)
class Words:
    """A few sentences as HTML."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Attention:
    """Attention of one layer on one prompt: as a figure, or for the browser."""

    tokens: tuple[str, ...]
    pattern: Float[Tensor, "head destination source"]
    layer: int

    @property
    def names(self) -> list[str]:
        """The heads, as circuits call them."""
        return [f"a{self.layer}.h{head}" for head in range(len(self.pattern))]

    def figure(self) -> Figure:
        """Maps that need no script."""
        return attention_maps(self.tokens, self.pattern.numpy(), self.names)

    def html(self, alt: str) -> str:
        """Patterns that answer to the pointer; the page needs the library of circuitsvis."""
        return attention_html(self.tokens, self.pattern, self.names, alt)


def to_html(shown: Any, alt: str) -> str:
    """HTML of a figure, drawing, table or attention pattern; ``alt`` is for those that are images.

    TypeError for anything else.
    """
    if isinstance(shown, Figure):
        content = base64.b64encode(svg_bytes(shown)).decode()
        return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{content}"/>'
    if isinstance(shown, Drawing):
        return shown.html
    if isinstance(shown, Styler):
        return f'<div class="kc-table" tabindex="0">{shown.to_html()}</div>'
    if isinstance(shown, Words):
        return shown.html
    if isinstance(shown, Attention):
        return shown.html(alt)
    raise TypeError(f"A {type(shown).__name__} cannot be shown.")


def message(text: str) -> str:
    """A sentence instead of a view; it begins with ``MESSAGE``."""
    return f"{MESSAGE}{escape(text)}</p>"


_DRAW = """
(() => {
  const draw = left => {
    const place = document.getElementById("&name");
    if (!place) return;
    if (window.CircuitsVis) {
      place.textContent = "";
      window.CircuitsVis.render("&name", window.CircuitsVis.AttentionHeads, &props);
    } else if (left) setTimeout(draw, 100, left - 1);
    else place.textContent = "The script that draws attention patterns is not there; " +
      "run the notebook again.";
  };
  draw(100);
})();
"""


def library() -> str:
    """The script of circuitsvis as an HTML element, to be shown once in a page; 1.3 MB."""
    source = circuitsvis_source().replace("</script", "<\\/script")
    return f"<script>{source}\nwindow.CircuitsVis = CircuitsVis;</script>"


def attention_html(
    tokens: Sequence[str],
    attention: Float[Tensor, "head destination source"],
    names: Sequence[str],
    alt: str,
) -> str:
    """An element with the patterns of some heads, drawn as soon as :func:`library` is in the page.

    The same patterns give the same bytes.
    """
    props = circuitsvis_props(attention.float().cpu().numpy(), tokens, names)
    name = f"kc-attention-{sha256(props.encode()).hexdigest()[:12]}"
    script = _DRAW.replace("&name", name).replace("&props", props)
    return (
        f'<div id="{name}" class="kc-attention" role="group" aria-label="{escape(alt)}">'
        f"Drawing attention patterns.</div><script>{script}</script>"
    )


STYLE = """<style>
.kc-explorer .kc-message{margin:8px 4px;padding:8px 12px;border-left:4px solid #E69F00;
background:var(--jp-layout-color2,#eee);color:var(--jp-content-font-color1,#222);
font-size:14px;max-width:46em}
.kc-explorer .kc-table{overflow-x:auto;max-width:100%}
.kc-explorer .kc-table:focus-visible{outline:2px solid var(--jp-brand-color1,#0072B2)}
.kc-explorer .kc-table caption{caption-side:top;text-align:left;white-space:nowrap;
color:var(--jp-content-font-color1,#222);padding:4px 0}
.kc-explorer .kc-table td,.kc-explorer .kc-table th{white-space:nowrap}
.kc-explorer img{max-width:100%;height:auto;background:#fff;border-radius:4px}
.kc-explorer .kc-attention{background:#fff;color:#222;padding:8px;border-radius:4px}
.kc-explorer .widget-label{font-weight:600}
</style>"""
