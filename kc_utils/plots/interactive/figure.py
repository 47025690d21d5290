"""What interactive figures are made of: one HTML element with its own style and scripts.

Style sheets and scripts are the files beside this one. In them ``kc-figure`` stands for the id of
the figure, so that they reach nothing outside of it; without scripts the figure is still complete.
A figure needs no kernel, no network and no library: it works in JupyterLab, in a published page
and as a file of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from kc_utils import artifacts
from kc_utils.plots.markup import escape, visible
from kc_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# Everything as (light, dark). Colours stand out 3 to 1 from the paper and text 4.5 to 1, but what
# stays in the background: "dot", nodes outside of the circuit, and "grid". Bands are the palette's,
# darker or lighter where they would be too faint.
PAPERS = ("#ffffff", "#14181e")
_INK, _COLD, _WARM = ("#222222", "#e4e4e4"), (BLUE, SKY), (VERMILION, ORANGE)
COLOURS = {
    "ink": _INK,
    "mute": ("#5a5a5a", "#a9b0b8"),
    "edge": ("#444444", "#c4c9cf"),
    "dot": ("#cfcfcf", "#4a5058"),
    "grid": ("#e2e2e2", "#343a42"),
    "focus": ("#000000", "#ffffff"),
    "act": _COLD,
    "pos": _COLD,
    "neg": _WARM,
    "q": _COLD,
    "k": _WARM,
    "v": (GREEN, GREEN),
    "mlp": (PURPLE, PURPLE),
    "logits": _INK,
    "kept": (GREY, GREY),
    "gone": _WARM,
    "new": _COLD,
    "mover": (GREEN, GREEN),
    "relation": (PURPLE, PURPLE),
    "mixture": (GREY, GREY),
    "K_rel": _COLD,
    "K_compl": _WARM,
    "K_strange": (GREY, GREY),
    "high": ("#332288", "#ab9ff2"),
    "medium": ("#2a8577", "#44AA99"),
    "low": ("#8a6d0b", "#d6b94a"),
    "all": _INK,
}
_PAPER = "var(--pst-color-background,var(--jp-layout-color0,{}))"
# The Sphinx theme and JupyterLab say on an element which theme is on; other pages follow the
# system. Sphinx lays a light sheet under HTML output in its dark theme, which is taken away here.
_THEMES = """
#kc-figure {{ {light} }}
html[data-theme=dark] #kc-figure, body[data-jp-theme-light=false] #kc-figure {{ {dark} }}
@media (prefers-color-scheme: dark) {{
  html:not([data-theme]) body:not([data-jp-theme-light]) #kc-figure {{ {dark} }}
}}
html[data-theme=dark] .bd-content div.cell_output .text_html:has(> #kc-figure) {{
  background: none; color: inherit; padding: 0;
}}
"""


@dataclass(frozen=True)
class Drawing:
    """A finished figure: an HTML element with its own style and script, and its alt text."""

    html: str = field(repr=False)
    alt: str

    def _repr_html_(self) -> str:
        return self.html

    def page(self) -> str:
        """A whole HTML page that shows the figure alone."""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(self.alt)}</title></head><body>\n{self.html}\n</body></html>\n"
        )

    def save(self, path: str | Path) -> None:
        """Write :meth:`page` to ``path``, whole or not at all; KcError where that cannot be."""
        text = self.page()
        artifacts.write_or_say(Path(path), lambda p: p.write_text(text, encoding="utf-8"))


def assemble(
    classes: str,
    inside: str,
    alt: str,
    sheets: Sequence[str],
    scripts: Sequence[str] = (),
    data: Mapping[str, object] | None = None,
) -> Drawing:
    """The figure around ``inside``; its id is a digest, so it is the same for the same tables.

    ``sheets`` and ``scripts`` name files beside this one, without their ending. A figure with
    scripts is a group of controls and images that ``alt`` names. ``data`` become data attributes.
    """
    alt = visible(alt)
    extra = "".join(f' data-{key}="{value}"' for key, value in (data or {}).items())
    if scripts:  # JupyterLab takes arrow keys as its own unless an element says otherwise
        extra += f' role="group" aria-label="{escape(alt)}" data-lm-suppress-shortcuts="true"'
    style = style_sheet(*sheets)
    script = "".join(asset(f"{name}.js") for name in scripts)
    name = hashlib.sha256(f"{classes}{extra}{alt}{inside}".encode()).hexdigest()[:12]
    style, script = (text.replace("kc-figure", f"kc-{name}") for text in (style, script))
    tail = f"<script>{script}</script>" if script else ""
    html = (
        f'<div id="kc-{name}" class="{classes}"{extra}><style>{style}</style>{inside}{tail}</div>'
    )
    return Drawing(html, alt)


def style_sheet(*names: str) -> str:
    """The palette as variables that follow the theme of the page, and the files ``names``."""
    light, dark = (_variables(theme) for theme in (0, 1))
    themes = _THEMES.format(light=light, dark=dark)
    return themes + "".join(asset(f"{name}.css") for name in ("figure", *names))


def _variables(theme: int) -> str:
    colours = {name: pair[theme] for name, pair in COLOURS.items()}
    colours["paper"] = _PAPER.format(PAPERS[theme])
    variables = "".join(f"--{name}:{colour};" for name, colour in colours.items())
    return f"{variables}color-scheme:{('light', 'dark')[theme]};"


@functools.cache
def asset(name: str) -> str:
    """The text of a file beside this one."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def as_json(value: object) -> str:
    """JSON that no HTML parser can mistake for markup."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def legend(keys: Sequence[tuple[str, str]]) -> str:
    """A list of legend entries: pairs of a sample and its words."""
    items = "".join(f"<li>{sample}{escape(words)}</li>" for sample, words in keys)
    return f'<ul class="keys">{items}</ul>'


def sample(inside: str) -> str:
    """The sample of a legend entry, 30 x 12 SVG units."""
    return f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true">{inside}</svg>'
