"""Colours and layout of figures with an epoch slider, for light and dark pages and for paper."""

from __future__ import annotations

from kc_utils.plots.interactive import drawing_theme
from kc_utils.plots.interactive.drawing_theme import themed
from kc_utils.plots.style import BLUE, ORANGE, SKY, VERMILLION

# Everything as (light, dark), 3 to 1 from the paper and text 4.5 to 1, but "grid", kept back.
# Bands are the palette's, darker or lighter where they would be too faint.
COLOURS = {
    "ink": drawing_theme.COLOURS["ink"],
    "mute": drawing_theme.COLOURS["mute"],
    "grid": ("#e2e2e2", "#343a42"),
    "focus": drawing_theme.COLOURS["focus"],
    "act": (BLUE, SKY),
    "K_rel": (BLUE, SKY),
    "K_compl": (VERMILLION, ORANGE),
    "high": ("#332288", "#ab9ff2"),
    "medium": ("#2a8577", "#44AA99"),
    "low": ("#8a6d0b", "#d6b94a"),
    "all": drawing_theme.COLOURS["ink"],
}

# The controls, also used by circuit drawings with an epoch slider.
CONTROLS = """
& .time{display:flex;flex-wrap:wrap;align-items:center;gap:4px 12px;margin:2px 0}
& .time[hidden],& .time [hidden]{display:none}
& .time label{display:flex;align-items:center;gap:8px;margin:0}
& .time label:first-child{flex:1 1 170px;max-width:480px}
& .time [type=range]{flex:1 1 120px;min-width:0;height:24px;margin:0;
accent-color:var(--act)}
& .time output{min-width:1.6em;padding:0;font-weight:600;font-variant-numeric:tabular-nums}
& button{min-width:4.8em;min-height:28px;padding:2px 10px;border:1px solid var(--act);
border-radius:5px;background:none;color:var(--ink);font:inherit;cursor:pointer}
& .time .link{color:var(--mute);font-size:13px}
& .time [type=checkbox]{width:16px;height:16px;margin:0;accent-color:var(--act)}
& .time :focus-visible{outline:3px solid var(--focus);outline-offset:2px}
& .told{min-height:2.8em;margin:4px 0;overflow-wrap:anywhere}
@media (prefers-reduced-motion:reduce){& .time button{display:none}}
@media print{& .time{display:none}}
"""

_LAYOUT = """
&{box-sizing:border-box;max-width:880px;margin:0 auto;padding:4px;text-align:left;color:var(--ink);
background:var(--paper);font:14px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
& p{color:inherit;font-size:inherit;line-height:inherit}
& .panels{display:grid;gap:6px 14px;
grid-template-columns:repeat(auto-fit,minmax(min(100%,var(--least,330px)),1fr))}
& .panel{display:block;width:100%;height:auto;max-width:460px;overflow:visible}
& .panel text{fill:var(--mute);font-size:10.5px}
& .panel .title{fill:var(--ink);font-size:11.5px;font-weight:600}
& .r{text-anchor:end}
& .c{text-anchor:middle}
& .grid{fill:none;stroke:var(--grid);stroke-width:1}
& .line{fill:none;stroke:var(--c);stroke-width:1.7;stroke-linejoin:round}
& .mark{fill:var(--c);stroke:none}
& .then .line{stroke-width:1.2;stroke-dasharray:4 3}
& .area .line{fill:var(--mute);stroke:none;opacity:.25}
& .chance .line{stroke:var(--mute);stroke-width:1.3;stroke-dasharray:1.5 2.5}
& .bend{stroke:var(--c);stroke-width:1.2;stroke-dasharray:5 3}
& .unsure{stroke-dasharray:1.5 2.5}
& .range{fill:var(--c);opacity:.13}
& .cursor{stroke:var(--ink);stroke-width:1.3}
& .ring{fill:var(--c);stroke:var(--paper);stroke-width:1.2}
& .cells{stroke:var(--paper);stroke-width:.5}
& .frame{fill:none;stroke:var(--paper);stroke-width:4}
& .frame+.frame{stroke:var(--ink);stroke-width:1.8}
& .off{display:none}
& .keys{display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0 0;padding:0;list-style:none;
font-size:13px}
& .keys li{display:flex;align-items:center;gap:6px;margin:0}
& .key{width:30px;height:12px;flex:none}
& .more{margin:8px 0 0}
& .more[hidden],& .more [hidden]{display:none}
& .more .image{margin:8px 0 0;padding:8px;border-radius:6px;background:#fff;color:#000;
overflow-x:auto}
@media print{& .more{display:none}}
"""


def css(name: str) -> str:
    """The style sheet for the element with the id ``name``; it reaches nothing outside of it."""
    series = [n for n in COLOURS if n not in ("ink", "mute", "grid", "focus", "act")]
    rules = "".join(f"& .s-{n}{{--c:var(--{n})}}\n" for n in series)
    return themed(name, COLOURS, rules + _LAYOUT + CONTROLS)
