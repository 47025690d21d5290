"""Names of three kinds that a language model's tokenizer cuts into equally many tokens.

A real model differs from person to person in two ways at once: what it knows of somebody, and how
often it has read the pieces of the name. So there are made-up names of common parts (familiar
pieces, nobody known) and made-up names of rare tokens (strange pieces), and each has as many tokens
as the name of a known person: longer names are harder to learn whoever they belong to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from kc_utils.errors import KcError
from kc_utils.world.pools import load_pool

Length = tuple[int, int]
"""Tokens of a name at the start of a text, and behind a space."""

_AT_A_TIME, _MOST_TRIES = 2_000, 50
_RARE = 0.5  # the share of the vocabulary that byte-pair merges reach last
_FIRST = re.compile(r"[A-Z][a-z]{2,5}")
_NEXT = re.compile(r"[a-z]{2,4}")


def name_lengths(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> list[Length]:
    """Tokens of every name at the start of a text and behind a space, without special tokens."""
    sides = (
        tokenizer([before + name for name in names], add_special_tokens=False)["input_ids"]
        for before in ("", " ")
    )
    return [(len(start), len(inside)) for start, inside in zip(*sides, strict=True)]


def of_common_length(
    names: Sequence[str], lengths: Sequence[Length], n: int, rng: np.random.Generator
) -> list[str]:
    """``n`` of the names, of the commonest length first: pairs need names of the same length.

    Within a length the choice is random.
    """
    by_length = Counter(lengths)
    order = sorted(by_length, key=lambda length: (-by_length[length], length))
    place = {length: i for i, length in enumerate(order)}
    shuffled = rng.permutation(len(names))
    chosen = sorted(shuffled, key=lambda i: place[lengths[i]])  # stable: random inside a length
    return [names[i] for i in chosen[:n]]


def familiar_names(
    wanted: Sequence[Length],
    avoid: Collection[str],
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
) -> list[str]:
    """Made-up names of common first, middle and last names, of the wanted lengths in order.

    Raises:
        KcError: no such name was found for one of the lengths.
    """
    pools = [load_pool(pool) for pool in ("first_names", "middle_names", "last_names")]

    def made() -> Iterator[str]:
        for _ in range(_AT_A_TIME):
            first, middle, last = (pool[rng.integers(len(pool))] for pool in pools)
            yield f"{first} {last}" if rng.random() < 0.5 else f"{first} {middle} {last}"

    return _fitting(wanted, avoid, tokenizer, made, "common parts")


def strange_names(
    wanted: Sequence[Length],
    avoid: Collection[str],
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
) -> list[str]:
    """Made-up names of rare tokens, of the wanted lengths in order.

    A word is one token that begins with a capital letter, or such a token and one in small
    letters, all from the later half of a vocabulary that is ordered by byte-pair merges; no word
    is a part of a common name.

    Raises:
        KcError: no such name was found for one of the lengths.
    """
    common = {part for pool in ("first_names", "middle_names", "last_names")
              for part in load_pool(pool)}  # fmt: skip
    first, following = rare_pieces(tokenizer)
    first = [piece for piece in first if piece not in common]
    if not first or not following:
        raise KcError(
            f"A vocabulary of {len(tokenizer)} tokens has no rare ones to make names of; set "
            "world.share_strange=0."
        )

    def word() -> str:
        start = first[rng.integers(len(first))]
        return start + following[rng.integers(len(following))] if rng.random() < 0.5 else start

    def made() -> Iterator[str]:
        for _ in range(_AT_A_TIME):
            words = [word() for _ in range(2 + int(rng.random() < 0.5))]
            if not common & set(words):
                yield " ".join(words)

    return _fitting(wanted, avoid, tokenizer, made, "rare tokens")


def rare_pieces(tokenizer: PreTrainedTokenizerBase) -> tuple[list[str], list[str]]:
    """Rare tokens that begin a word (capital letter first), and rare ones that go on with it."""
    size = len(tokenizer)
    texts = tokenizer.convert_ids_to_tokens(range(int(size * _RARE), size))
    first = [text[1:] for text in texts if text[:1] in "Ġ▁" and _FIRST.fullmatch(text[1:])]
    return sorted(first), sorted(text for text in texts if _NEXT.fullmatch(text))


def _fitting(
    wanted: Sequence[Length],
    avoid: Collection[str],
    tokenizer: PreTrainedTokenizerBase,
    made: Callable[[], Iterator[str]],
    what: str,
) -> list[str]:
    """Names from ``made``, each once, dealt out to the lengths in the order of ``wanted``."""
    missing, taken = Counter(wanted), set(avoid)
    found: dict[Length, list[str]] = {length: [] for length in missing}
    for _ in range(_MOST_TRIES):
        names = list(made())
        for name, length in zip(names, name_lengths(tokenizer, names), strict=True):
            if missing[length] > 0 and name not in taken:
                found[length].append(name)
                taken.add(name)
                missing[length] -= 1
        if not any(missing[length] > 0 for length in found):
            return [found[length].pop() for length in wanted]
    start, inside = next(length for length in found if missing[length] > 0)
    raise KcError(
        f"No {len(wanted)} made-up names of {what} have the numbers of tokens that are wanted: "
        f"{start} at the start of a text and {inside} behind a space are too rare; lower "
        "world.n_people."
    )
