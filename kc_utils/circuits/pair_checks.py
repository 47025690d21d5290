"""What pairs of prompts have to be, before they are tensors."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from kc_utils.errors import KcError, shown

#: Ids of the tokens of one text in a list or an array, without padding.
TokenIds = Sequence[int] | np.ndarray


def check_pairs(
    clean: Sequence[TokenIds],
    corrupted: Sequence[TokenIds],
    right: Sequence[Sequence[Any]],
    wrong: Sequence[Sequence[Any]],
) -> None:
    """KcError unless prompts are token ids, of one length in a pair, and its right answers differ
    from its wrong ones."""
    for i, (a, b, r, w) in enumerate(zip(clean, corrupted, right, wrong, strict=True)):
        if text := [x for x in (a, b, *r, *w) if isinstance(x, str)]:
            raise KcError(f"Pair {i}: {shown(text[0])} is text; from_texts takes that.")
        for ids in (a, b, r, w):
            check_tokens(i, ids)
        if not (r and w):
            raise KcError(f"Pair {i}: it has no {'wrong' if r else 'right'} answer.")
        if len(a) != len(b) or len(a) == 0:
            raise KcError(
                f"Pair {i}: the clean prompt has {len(a)} tokens and the corrupted one has "
                f"{len(b)}; both need the same length of at least 1."
            )
        if shared := [token for token in r if token in w]:
            raise KcError(f"Pair {i}: right and wrong answer share their first token {shared[0]}.")


def check_subjects(prompts: Sequence[TokenIds], start: Sequence[int], stop: Sequence[int]) -> None:
    """KcError unless every subject, from its start to before its stop, lies in its prompt."""
    spans = zip(start, stop, strict=True)
    for i, (span, prompt) in enumerate(zip(spans, prompts, strict=True)):
        if not 0 <= span[0] <= span[1] <= len(prompt):
            raise KcError(
                f"Pair {i}: the subject is at {shown(span)}; the prompt has the tokens 0 to "
                f"{len(prompt)}, half open."
            )


def check_tokens(pair: int, ids: TokenIds) -> None:
    """KcError unless these are integers, of any kind, from 0 on; 1.5 would become token 1."""
    try:
        lowest = min(map(index, ids), default=0)
    except TypeError:
        raise KcError(f"Pair {pair}: {shown(ids)} is not a list of token ids.") from None
    if lowest < 0:
        raise KcError(f"Pair {pair}: token {lowest} is negative; ids count from 0.")
