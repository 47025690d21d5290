"""Attention of single heads for one prompt, with a slider over the tokens that read."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import matplotlib as mpl
import numpy as np

from kc_utils.errors import KcError
from kc_utils.plots.interactive import circuitsvis_view
from kc_utils.plots.interactive.drawing import Drawing
from kc_utils.plots.interactive.slider import Slides, line_key
from kc_utils.plots.interactive.slider_axes import panel, title
from kc_utils.plots.style import HEAT

_NAME = "attention_figure"
_SHADES, _MOST = 24, 64  # colours of a map; tokens of a prompt
_NAMED = 3  # source tokens in the sentence about a head
_WIDTH, _LEFT, _TOP, _MAP, _BELOW = 290.0, 76.0, 22.0, 206.0, 58.0  # SVG units


def attention_figure(
    patterns: np.ndarray,
    tokens: Sequence[str],
    heads: Sequence[str],
    subject: tuple[int, int] = (0, 0),
    alt: str | None = None,
) -> Drawing:
    """Maps of attention, a head each: rows read from columns. The slider chooses the row.

    Args:
        patterns: shape [head, destination, source], shares that add up to 1 in each row.
        tokens: the prompt's tokens as text.
        heads: what to call each head, such as "a4.h2, mover head".
        subject: first token of the subject and the one behind its last; they are marked with a
            line below the map. (0, 0) if unknown.
        alt: alternative text; by default the sentence about the last token.

    Raises:
        KcError: shapes do not fit, a share is not between 0 and 1, or there are more than 64
            tokens.
    """
    patterns = np.asarray(patterns, dtype=float)
    n = len(tokens)
    if not heads or not n or patterns.shape != (len(heads), n, n):
        raise KcError(
            f"Attention of {len(heads)} heads over {n} tokens needs the shape "
            f"({len(heads)}, {n}, {n}) and at least one of each, not {patterns.shape}."
        )
    if n > _MOST:
        raise KcError(f"The prompt has {n} tokens; at most {_MOST} can be drawn.")
    if not ((patterns >= 0) & (patterns <= 1.0001)).all():
        raise KcError(f"{_NAME} needs shares between 0 and 1; some are outside or not finite.")
    shown = [_token(t) for t in tokens]
    steps = [f"{i + 1}: {t}" for i, t in enumerate(shown)]
    slides = Slides(steps=steps, label="token that reads")
    panels = [
        _panel(slides, pattern, shown, head, subject)
        for pattern, head in zip(patterns, heads, strict=True)
    ]
    told = [
        f"From “{shown[row]}” (token {row + 1}): "
        + "; ".join(_words(p[row], shown, h) for p, h in zip(patterns, heads, strict=True))
        + "."
        for row in range(n)
    ]
    alt = alt or f"Attention maps of {len(heads)} heads for one prompt, with a slider. {told[-1]}"
    more = circuitsvis_view.block(patterns, tokens, heads)
    return slides.drawing(
        panels,
        _keys(subject),
        told,
        alt,
        least=260,
        extra=more,
        extra_script=circuitsvis_view.script,
    )


def _panel(
    slides: Slides, pattern: np.ndarray, tokens: list[str], head: str, subject: tuple[int, int]
) -> str:
    n = len(tokens)
    size = min(22.0, _MAP / n)
    bottom = _TOP + n * size
    shades: dict[int, list[str]] = {}
    for row in range(n):
        for column in range(row + 1):  # later tokens cannot be read
            x, y = _LEFT + column * size, _TOP + row * size
            cell = f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h{-size:.1f}z"
            shades.setdefault(_shade(pattern[row, column]), []).append(cell)
    cells = "".join(
        f'<path fill="{_colour(shade)}" d="{"".join(found)}"></path>'
        for shade, found in sorted(shades.items())
    )
    labels = []
    for i, token in enumerate(tokens):
        middle = (i + 0.5) * size
        labels.append(f'<text class="r" x="{_LEFT - 5:g}" y="{_TOP + middle + 3.6:.1f}">'
                      f"{escape(token)}</text>")  # fmt: skip
        place = f"translate({_LEFT + middle + 3:.1f} {bottom + 12:.1f}) rotate(-50)"
        labels.append(f'<text class="r" transform="{place}">{escape(token)}</text>')
    start, stop = (_LEFT + edge * size for edge in subject)
    line = f'<path class="cursor" d="M{start:.1f} {bottom + 3:.1f}H{stop:.1f}"></path>'
    inside = [title(head), *labels, f'<g class="cells">{cells}</g>']
    inside.append(line if subject[1] > subject[0] else "")
    box = f'<rect class="frame" width="{n * size:.1f}" height="{size:.1f}"></rect>'
    inside.append(slides.move(box * 2, [_LEFT] * n, [_TOP + row * size for row in range(n)]))
    words = f"Attention of {head}: rows are the tokens that read, columns those that are read."
    return panel(_WIDTH, bottom + _BELOW, words, "".join(inside))


def _words(row: np.ndarray, tokens: list[str], head: str) -> str:
    order = np.argsort(-row, kind="stable")[:_NAMED]
    read = ", ".join(f"“{tokens[i]}” {row[i]:.2f}" for i in order if row[i] >= 0.005)
    return f"{head} reads {read}"


def _keys(subject: tuple[int, int]) -> list[tuple[str, str]]:
    steps = "".join(
        f'<rect x="{5 * i}" y="1" width="5" height="10" fill="{_colour(_SHADES * i // 5)}"></rect>'
        for i in range(6)
    )
    bar = f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true">{steps}</svg>'
    found = [(bar, "share of attention, 0 to 1; rows read from columns")]
    if subject[1] > subject[0]:
        found.append((line_key("", css="cursor"), "the subject's tokens"))
    return found


def _token(text: str) -> str:
    return text.strip() or "␣"


def _shade(share: float) -> int:
    return min(_SHADES, max(0, round(_SHADES * share)))


def _colour(shade: int) -> str:
    return mpl.colors.to_hex(mpl.colormaps[HEAT](shade / _SHADES))
