"""Switch heads and MLPs of a circuit off and see what it answers: a figure that needs no model.

All combinations stand as JSON in the figure, in tenths of a percent; the script looks one up.
Without scripts the figure shows the whole circuit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from kc_utils.errors import KcError
from kc_utils.plots.interactive.figure import Drawing, assemble
from kc_utils.plots.interactive.frames import embedded

_WHOSE = {"right": " <small>right</small>", "wrong": " <small>the other person’s</small>"}


def switches(
    parts: Sequence[str],
    answers: Sequence[str],
    probabilities: Float[np.ndarray, "n_states n_answers"],
    clean: Float[np.ndarray, " n_answers"],
    corrupted: Float[np.ndarray, " n_answers"],
    question: str,
    notes: Mapping[str, str] | None = None,
) -> Drawing:
    """A switch for each of ``parts``, and a bar for each of ``answers``.

    Args:
        parts: names of heads and MLPs.
        answers: tokens as text; the first is the right one, the second the corrupted prompt's.
        probabilities: row c is the circuit without the parts whose bit is set in c.
        clean: of the whole model on the prompt.
        corrupted: of the whole model on the corrupted prompt.
        question: the prompt.
        notes: what a part is, for example the role of a head.

    Raises:
        KcError: there is not one row for each combination.
    """
    if len(probabilities) != 2 ** len(parts):
        raise KcError(
            f"{len(parts)} parts have {2 ** len(parts)} combinations; there are "
            f"{len(probabilities)} rows."
        )
    permille = np.rint(1000 * np.asarray(probabilities)).astype(int)
    whole = permille[0].astype(float).tolist()
    ends = [np.rint(1000 * np.asarray(x, float)).tolist() for x in (clean, corrupted)]
    bars = "".join(
        _bar(answer, now, *marks, "right" if i == 0 else "wrong" if i == 1 else "other")
        for i, (answer, now, *marks) in enumerate(zip(answers, whole, *ends, strict=True))
    )
    boxes = "".join(_box(i, name, (notes or {}).get(name, "")) for i, name in enumerate(parts))
    told = f"The whole circuit gives “{answers[0]}” {whole[0] / 10:.1f} %."
    frames = {"parts": list(parts), "answers": list(answers), "permille": permille.tolist()}
    inside = (
        f'<p class="question">{escape(question)} <b>?</b></p><fieldset class="parts" hidden>'
        f"<legend>Parts that are on</legend>{boxes}"
        '<button type="button" data-all="on">All on</button>'
        '<button type="button" data-all="off">All off</button></fieldset>'
        f'<ul class="bars">{bars}</ul><p class="told" aria-live="polite">{escape(told)}</p>'
        '<p class="key">bar: the circuit as it is switched; <i class="clean"></i> the whole model; '
        f'<i class="corrupted"></i> the whole model on the corrupted prompt</p>{embedded(frames)}'
    )
    alt = f"What a circuit of {len(parts)} switchable parts answers to: {question}. {told}"
    return assemble("kc-switches", inside, alt, ("controls", "switches"), ("switches",))


def _bar(answer: str, now: float, clean: float, corrupted: float, kind: str) -> str:
    ticks = "".join(
        f'<i class="{name}" style="left:{value / 10:.1f}%"></i>'
        for name, value in (("clean", clean), ("corrupted", corrupted))
    )
    return (
        f'<li class="{kind}"><span>{escape(answer)}{_WHOSE.get(kind, "")}</span>'
        f'<span class="track">'
        f'<b style="width:{now / 10:.1f}%"></b>{ticks}</span><output>{now / 10:.1f} %</output></li>'
    )


def _box(number: int, name: str, note: str) -> str:
    more = f" <small>{escape(note)}</small>" if note else ""
    return (
        f'<label><input type="checkbox" checked autocomplete="off" data-part="{number}"/>'
        f"{escape(name)}{more}</label>"
    )
