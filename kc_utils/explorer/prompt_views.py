"""The views of a typed prompt: next tokens, logit lens, attention.

Attention patterns in the browser, with circuitsvis and without a network.

The HTML that circuitsvis hands to a notebook depends on whether a server answers: online it loads
its script from elsewhere, offline it repeats 1.3 MB of script for every picture. Here the script
that comes with the package is put into the page once (:func:`library`), and a picture is a few
lines that use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape

import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from kc_utils.circuits.evaluation import rank
from kc_utils.explorer.data import Choice, RunData
from kc_utils.plots import table
from kc_utils.plots.components import attention_maps
from kc_utils.plots.heat import ink
from kc_utils.plots.interactive.attention import circuitsvis_props, circuitsvis_source
from kc_utils.plots.style import HEAT, SKY


@dataclass(frozen=True)
class Words:
    """A few sentences as HTML."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def tokens(data: RunData, choice: Choice) -> Words:
    """The prompt as the model gets it; the right answer where it is a query of this run."""
    reading = data.reading(choice)
    parts = "".join(f"<code>{escape(token)}</code> " for token in reading.tokens)
    count = "1 token" if len(reading.tokens) == 1 else f"{len(reading.tokens)} tokens"
    answer = _right_answer(data, choice)
    return Words(f"<p>{count}: {parts}</p>" + (f"<p>{escape(answer)}</p>" if answer else ""))


def next_tokens(data: RunData, choice: Choice) -> Styler:
    """The ten likeliest next tokens."""
    styler = table(data.reading(choice).top, 4)
    return styler.bar(subset=["probability"], color=SKY, vmin=0.0, vmax=1.0, width=90)


def _right_answer(data: RunData, choice: Choice) -> str:
    reading, pairs = data.reading(choice), data.pairs()
    asked = pairs[pairs["clean"] == choice.prompt]
    if asked.empty:
        return ""
    row = asked.iloc[0]
    place = int(rank(reading.logits[None], torch.tensor([int(row["right_id"])]))) + 1
    chance = float(reading.logits.softmax(-1)[int(row["right_id"])])
    return (
        f"The biographies say {row['right']!r}; the first token of this answer has rank "
        f"{place:,} and probability {chance:.4f}."
    )


def prompt_lens(data: RunData, choice: Choice) -> Styler:
    """The likeliest next token at every position after every layer, deep layers on top.

    Cells are coloured by its probability.
    """
    reading = data.reading(choice)
    cells = [f"{i + 1} {token}" for i, token in enumerate(reading.tokens)]
    grids = {
        value: reading.lens.pivot(index="layer", columns="position", values=value)
        .sort_index(ascending=False)
        .set_axis(cells, axis=1)
        for value in ("token", "probability")
    }
    colours = grids["probability"].map(_colour)
    layers = ["embedding" if i == 0 else f"after layer {i}" for i in grids["token"].index]
    words = grids["token"].assign(layer=layers)[["layer", *cells]].reset_index(drop=True)
    shades = colours.reset_index(drop=True).assign(layer="")[["layer", *cells]]
    caption = "Likeliest next token; dark blue: probability near 0, yellow: near 1"
    return table(words, caption=caption).apply(lambda _: shades, axis=None)


def _colour(probability: float) -> str:
    colour = to_hex(colormaps[HEAT](probability))
    return f"background-color: {colour}; color: {ink(colour)}"


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


def attention(data: RunData, choice: Choice) -> Attention:
    """Attention patterns of the chosen layer."""
    reading = data.reading(choice)
    return Attention(reading.tokens, reading.attention[choice.layer], choice.layer)


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
