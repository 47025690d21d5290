"""Attention of single heads for one prompt, with a slider over the tokens that read.

The reader may also see it as CircuitsVis draws it, from the copy in its package. CircuitsVis itself
asks the network first and then writes a page that loads its script from there, or one with the
script inside, under a random id. Its script has 1.3 MB and its view answers to the mouse only. So
the book has the script once, among its static files, and a page loads it when the reader wants it;
the view is marked as an image, and the figure above it says the same to all.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kc_utils.errors import KcError
from kc_utils.plots.interactive.axes import cells, cells_key, line_key, title
from kc_utils.plots.interactive.figure import Drawing, as_json
from kc_utils.plots.interactive.frames import Slides
from kc_utils.plots.markup import escape

CIRCUITSVIS = "circuitsvis.js"  # below _static
_NAME = "attention_figure"
_MOST = 64  # tokens of a prompt
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
    for pattern, head in zip(patterns, heads, strict=True):
        _panel(slides, pattern, shown, head, subject)
    slides.tell([
        f"From “{shown[row]}” (token {row + 1}): "
        + "; ".join(_words(p[row], shown, h) for p, h in zip(patterns, heads, strict=True))
        + "."
        for row in range(n)
    ])  # fmt: skip
    words = f"Attention maps of {len(heads)} heads for one prompt, with a slider."
    more = _circuitsvis(patterns, tokens, heads)
    return slides.drawing(_keys(subject), words, alt, 260, more, ["attention"])


def _panel(
    slides: Slides, pattern: np.ndarray, tokens: list[str], head: str, subject: tuple[int, int]
) -> None:
    n = len(tokens)
    size = min(22.0, _MAP / n)
    bottom = _TOP + n * size
    left, upper = (start + size * np.arange(n) for start in (_LEFT, _TOP))
    read = np.where(np.tri(n, dtype=bool), pattern, np.nan).T  # later tokens cannot be read
    labels = []
    for i, token in enumerate(tokens):
        middle = (i + 0.5) * size
        labels.append(f'<text class="r" x="{_LEFT - 5:g}" y="{_TOP + middle + 3.6:.1f}">'
                      f"{escape(token)}</text>")  # fmt: skip
        place = f"translate({_LEFT + middle + 3:.1f} {bottom + 12:.1f}) rotate(-50)"
        labels.append(f'<text class="r" transform="{place}">{escape(token)}</text>')
    start, stop = (_LEFT + edge * size for edge in subject)
    line = f'<path class="cursor" d="M{start:.1f} {bottom + 3:.1f}H{stop:.1f}"></path>'
    inside = [title(head), *labels, cells(read, left, upper, size, size, 1.0)]
    inside.append(line if subject[1] > subject[0] else "")
    box = f'<rect class="frame" width="{n * size:.1f}" height="{size:.1f}"></rect>'
    inside.append(slides.move(box * 2, [_LEFT] * n, upper))
    words = f"Attention of {head}: rows are the tokens that read, columns those that are read."
    slides.panel(_WIDTH, bottom + _BELOW, words, inside)


def _words(row: np.ndarray, tokens: list[str], head: str) -> str:
    order = np.argsort(-row, kind="stable")[:_NAMED]
    read = ", ".join(f"“{tokens[i]}” {row[i]:.2f}" for i in order if row[i] >= 0.005)
    return f"{head} reads {read}"


def _keys(subject: tuple[int, int]) -> list[tuple[str, str]]:
    found = [(cells_key(), "share of attention, 0 to 1; rows read from columns")]
    if subject[1] > subject[0]:
        found.append((line_key("", css="cursor"), "the subject's tokens"))
    return found


def _token(text: str) -> str:
    return text.strip() or "␣"


def _circuitsvis(patterns: np.ndarray, tokens: Sequence[str], heads: Sequence[str]) -> str:
    """The button, the place for the view, and what it is drawn from."""
    return (
        '<div class="more" hidden="hidden"><button type="button">Show these heads in CircuitsVis'
        '</button><div class="image" hidden="hidden" role="img" aria-label="The same attention '
        'patterns drawn by CircuitsVis, for the mouse."><div class="view"></div></div>'
        '<script type="application/json">'
        f"{circuitsvis_props(patterns, tokens, heads)}</script></div>"
    )


def circuitsvis_props(patterns: np.ndarray, tokens: Sequence[str], heads: Sequence[str]) -> str:
    """JSON for CircuitsVis' AttentionHeads that is safe inside a script element.

    Args:
        patterns: [head destination source].
        heads: their names; what follows a comma is left out.
    """
    values = {
        "attention": np.round(np.asarray(patterns, dtype=float), 3).tolist(),
        "attentionHeadNames": [head.partition(",")[0] for head in heads],
        "tokens": list(tokens),
        "minValue": 0,
        "maxValue": 1,
    }
    return as_json(values)


def circuitsvis_source() -> str:
    """The script of CircuitsVis, for a file that pages load; it defines ``CircuitsVis``.

    Raises:
        KcError: CircuitsVis is not installed or lacks the script.
    """
    found = importlib.util.find_spec("circuitsvis")
    path = Path(found.origin).parent / "dist/cdn/iife.js" if found and found.origin else None
    if path is None or not path.is_file():
        raise KcError("The package circuitsvis with its file dist/cdn/iife.js is not installed.")
    return path.read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]
