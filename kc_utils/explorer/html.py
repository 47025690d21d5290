"""What a view shows as HTML: figures with alt text, tables, sentences for what went wrong."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from kc_utils.explorer.prompt_views import Attention, Words
from kc_utils.plots import Drawing, svg_bytes

MESSAGE = '<p class="kc-message" role="status">'


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
    """A sentence in the place of a view; it begins with ``MESSAGE``."""
    return f"{MESSAGE}{escape(text)}</p>"


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
