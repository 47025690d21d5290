"""Colours and layout of a circuit drawing for light and dark pages, as CSS of one element."""

from __future__ import annotations

from collections.abc import Mapping

from kc_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

# Everything as (light, dark). Colours stand out 3 to 1 from the paper, text 4.5 to 1, but "dot":
# nodes outside of the circuit stay in the background.
PAPERS = ("#ffffff", "#14181e")
COLOURS = {
    "ink": ("#222222", "#e4e4e4"),
    "mute": ("#5a5a5a", "#a9b0b8"),
    "edge": ("#444444", "#c4c9cf"),
    "dot": ("#cfcfcf", "#4a5058"),
    "focus": ("#000000", "#ffffff"),
    "pos": (BLUE, SKY),
    "neg": (VERMILLION, ORANGE),
    "q": (BLUE, SKY),
    "k": (VERMILLION, ORANGE),
    "v": (GREEN, GREEN),
    "mlp": (PURPLE, PURPLE),
    "logits": ("#222222", "#e4e4e4"),
    "kept": (GREY, GREY),
    "gone": (VERMILLION, ORANGE),
    "new": (BLUE, SKY),
    "mover": (GREEN, GREEN),
    "relation": (PURPLE, PURPLE),
    "mixture": (GREY, GREY),
}
_EDGES = ("pos", "neg", "q", "k", "v", "mlp", "logits", "kept", "gone", "new")
_ROLES = ("mover", "relation", "mixture")
_PAPER = "var(--pst-color-background,var(--jp-layout-color0,{}))"
# The Sphinx theme and JupyterLab say on an element which theme is on; other pages follow the
# system. Sphinx lays a light sheet under HTML output in its dark theme, which is taken away here.
_DARK = ("html[data-theme=dark] &", "body[data-jp-theme-light=false] &")
_SYSTEM = "html:not([data-theme]) body:not([data-jp-theme-light]) &"
_SHEET = "html[data-theme=dark] .bd-content div.cell_output .text_html:has(> &)"

LAYOUT = """
&{box-sizing:border-box;max-width:780px;margin:0 auto;padding:4px;text-align:left;color:var(--ink);
background:var(--paper);font:14px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
&.pair{max-width:1040px}
& p{margin:2px 0;color:inherit;font-size:inherit;line-height:inherit}
& .panels{display:grid;gap:4px 12px;grid-template-columns:minmax(0,1fr)}
&.pair .panels{grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr))}
& .circuit{display:block;width:100%;height:auto;overflow:visible}
& .axis text{fill:var(--mute);font-size:10.5px}
& .r{text-anchor:end}
& .c{text-anchor:middle}
& .dots{fill:none;stroke:var(--dot);stroke-width:4;stroke-linecap:round}
& .square{stroke-linecap:square;stroke-width:3.4}
& .e{fill:none;opacity:.8}
& .h{fill:none;stroke:transparent;stroke-width:11;pointer-events:stroke}
& .off{display:none}
& .d1{stroke-dasharray:8 4}
& .d2{stroke-dasharray:2.5 2.5}
& .box{fill:var(--paper);stroke:var(--edge);stroke-width:1.1}
& .n{cursor:pointer;outline:none}
& .n text{fill:var(--ink);font-size:10.5px;text-anchor:middle;pointer-events:none}
& .n:hover>.box,& .n:hover>g>.box{stroke-width:2.2}
& .n:focus>.box,& .n:focus>g>.box{stroke:var(--focus);stroke-width:3.2}
& .lit .e{opacity:.07}
& .lit .e.on{opacity:1}
& .lit .n:not(.on){--edge:var(--dot);--ink:var(--dot)}
& .keys{display:flex;flex-wrap:wrap;gap:2px 16px;margin:4px 0;padding:0;list-style:none}
& .keys li{display:flex;align-items:center;gap:6px;margin:0}
& .key{width:30px;height:12px;flex:none}
& .role .box{stroke:var(--paper)}
& .slide{display:flex;flex-wrap:wrap;align-items:center;gap:2px 10px;margin:2px 0}
& .slide[hidden],& .say[hidden]{display:none}
& .slide input{flex:1 1 180px;min-width:0;max-width:420px;margin:0;accent-color:var(--pos)}
& .say{min-height:4.2em;color:var(--mute);font-size:13px;overflow-wrap:anywhere}
"""
LAYOUT += "".join(f"& .{edge}{{stroke:var(--{edge})}}\n" for edge in _EDGES)
LAYOUT += "".join(f"& .{role}>.box{{fill:var(--{role})}}\n" for role in _ROLES)


def css(name: str) -> str:
    """The style sheet for the element with the id ``name``; it reaches nothing outside of it."""
    return themed(name, COLOURS, LAYOUT)


def themed(name: str, colours: Mapping[str, tuple[str, str]], layout: str) -> str:
    """``layout`` for the element with the id ``name``, which it calls ``&``.

    The ``colours``, each as (light, dark), become variables that follow the theme of the page.
    """
    light, dark = (_variables(colours, i) for i in (0, 1))
    rules = [f"&{{{light}}}", f"{','.join(_DARK)}{{{dark}}}"]
    rules.append(f"@media (prefers-color-scheme:dark){{{_SYSTEM}{{{dark}}}}}")
    rules.append(f"{_SHEET}{{background:none;color:inherit;padding:0}}")
    return "\n".join([*rules, layout]).replace("&", f"#{name}")


def _variables(pairs: Mapping[str, tuple[str, str]], theme: int) -> str:
    colours = {name: pair[theme] for name, pair in pairs.items()}
    colours["paper"] = _PAPER.format(PAPERS[theme])
    scheme = ("light", "dark")[theme]
    return "".join(f"--{n}:{c};" for n, c in colours.items()) + f"color-scheme:{scheme}"
