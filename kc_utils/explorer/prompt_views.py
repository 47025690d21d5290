"""The views of a typed prompt: next tokens, logit lens, attention."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from kc_utils.evaluation import rank
from kc_utils.explorer.attention import attention_html
from kc_utils.explorer.choice import Choice
from kc_utils.explorer.data import RunData
from kc_utils.plots import table
from kc_utils.plots.attention_maps import attention_maps
from kc_utils.plots.heat import ink
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
