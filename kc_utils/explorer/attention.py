"""Attention patterns in the browser, with circuitsvis and without a network.

The HTML that circuitsvis hands to a notebook depends on whether a server answers: online it loads
its script from elsewhere, offline it repeats 1.3 MB of script for every picture. Here the script
that comes with the package is put into the page once (:func:`library`), and a picture is a few
lines that use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from html import escape

from jaxtyping import Float
from torch import Tensor

from kc_utils.plots import circuitsvis_view

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
    source = circuitsvis_view.source().replace("</script", "<\\/script")
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
    props = circuitsvis_view.props(attention.float().cpu().numpy(), tokens, names)
    name = f"kc-attention-{sha256(props.encode()).hexdigest()[:12]}"
    script = _DRAW.replace("&name", name).replace("&props", props)
    return (
        f'<div id="{name}" class="kc-attention" role="group" aria-label="{escape(alt)}">'
        f"Drawing attention patterns.</div><script>{script}</script>"
    )
