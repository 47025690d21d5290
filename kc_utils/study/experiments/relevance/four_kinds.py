"""People whose names are known to four degrees, and the base texts that make them so.

"Known" is a question of degree. Of a person of kind

- ``same`` the base texts tell the same five attributes, with old values, in wordings of their own;
- ``other`` they tell five other relations (hobby, pet, spouse, club, book);
- ``tokens`` they never mention the full name, but each of its parts, as part of other names;
- ``unknown`` they mention no part of the name, not even as another word.

Everything else is alike. All kinds have the same list of frequencies (``pair`` is the place in it)
and draw their values from the same pools. No two people share more than one part of their names,
and a part belongs to at most three people of any kind, so no kind is easier to tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.world.base_corpus import known_queries, make_base_corpus
from kc_utils.world.frequency_bands import bands, draw_frequencies
from kc_utils.world.pools import attribute_pool, draw, load_pool, redraw, stream
from kc_utils.world.templates import (
    OTHER_RELATIONS,
    load_base_templates,
    load_relation,
    load_templates,
)

KINDS_OF_RELEVANCE = ("unknown", "tokens", "other", "same")
"""From nothing known to the most: the place in this tuple is the dose."""

TAUGHT = ("other", "same")
"""Kinds that base texts are written about; the name is that of the base corpus's relations."""

_NAME_POOLS = ("first_names", "middle_names", "last_names")
_SHARERS = 3  # people who share a part of a name: one each of same, other and tokens
_MIN_PEOPLE = 15  # fewer, and two unknown people would share two parts of their names


def make_relevance_people(n: int, mean_frequency: float, seed: int) -> pd.DataFrame:
    """``n`` people of each kind, from ``unknown`` to ``same``.

    Args:
        n: people of each kind.
        mean_frequency: mean of the exponential that frequencies are drawn from.
        seed: same seed, same table.

    Returns:
        person_id, name, kind_of_relevance, pair (0 to n - 1), frequency (biographies), band, the
        five attributes and ``old_<attribute>`` (what base texts say of ``same`` people, always
        another value than the new one; "" for everybody else).

    Raises:
        KcError: if ``n`` is below 15 or the pools of names are too small for it.
    """
    rng = stream(seed, "relevance people")
    names = _names(n, stream(seed, "relevance names"))
    frequency = draw_frequencies(n, mean_frequency, rng)
    pair = np.concatenate([rng.permutation(n) for _ in KINDS_OF_RELEVANCE])
    total = len(pair)
    columns: dict[str, object] = {
        "person_id": np.arange(total, dtype=np.int32),
        "name": [name for kind in KINDS_OF_RELEVANCE for name in names[kind]],
        "kind_of_relevance": np.repeat(np.array(KINDS_OF_RELEVANCE, dtype=object), n),
        "pair": pair.astype(np.int32),
        "frequency": frequency[pair],
        "band": bands(frequency[pair]),
    }
    columns |= {name: draw(attribute_pool(name), total, rng) for name in ATTRIBUTES}
    people = pd.DataFrame(columns)
    same = (people["kind_of_relevance"] == "same").to_numpy()
    for name in ATTRIBUTES:
        old = np.full(total, "", dtype=object)
        old[same] = redraw(people.loc[same, name].to_numpy(), attribute_pool(name), rng)
        people[f"old_{name}"] = old
    return people


def relevance_corpus(
    people: pd.DataFrame, *, texts_per_person: int, sentences_per_text: int, seed: int
) -> pd.DataFrame:
    """Base texts about the ``same`` and the ``other`` people: text, name, person_id."""
    parts = []
    for kind in TAUGHT:
        part = people[people["kind_of_relevance"] == kind]
        corpus = make_base_corpus(
            part["name"].tolist(), part, relations=kind, seed=_own_seed(seed, kind),
            texts_per_person=texts_per_person, sentences_per_text=sentences_per_text,
        )  # fmt: skip
        parts.append(corpus)
    return pd.concat(parts, ignore_index=True)


def relevance_queries(people: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Questions about what :func:`relevance_corpus` tells, with the same seed.

    Columns: kind_of_relevance, name, relation, prompt, answer.
    """
    parts = []
    for kind in TAUGHT:
        part = people[people["kind_of_relevance"] == kind]
        asked = known_queries(
            part["name"].tolist(), part, relations=kind, seed=_own_seed(seed, kind)
        )
        asked.insert(0, "kind_of_relevance", kind)
        parts.append(asked)
    return pd.concat(parts, ignore_index=True)


def name_parts(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct parts of ``names``, sorted."""
    return tuple(sorted({part for name in names for part in name.split()}))


def words(texts: Iterable[str]) -> set[str]:
    """The distinct words of ``texts``, as they are written."""
    return {word for text in texts for word in re.findall(r"\w+", text)}


def _own_seed(seed: int, kind: str) -> int:
    """A seed for each kind's base texts, so that their facts and orders are independent."""
    return int(stream(seed, f"relevance base {kind}").integers(2**31))


def _names(n: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """Full names by kind; the parts of the unknown ones are kept apart from all others."""
    n_reserved = -(-n // _SHARERS)
    taken = _said()
    pools = [[part for part in load_pool(pool) if part not in taken] for pool in _NAME_POOLS]
    most = min(len(pool) for pool in pools)
    if n < _MIN_PEOPLE or n + n_reserved > most:
        largest = most * _SHARERS // (_SHARERS + 1)
        raise KcError(
            f"relevance.people_per_kind = {n} is not possible; allowed are {_MIN_PEOPLE} to "
            f"{largest}."
        )
    shuffled = [[pool[i] for i in rng.permutation(len(pool))] for pool in pools]
    known = [pool[:n] for pool in shuffled]
    reserved = [pool[n : n + n_reserved] for pool in shuffled]
    unknown = [name for turn in range(_SHARERS) for name in _combine(reserved, turn)]
    turns = {kind: i for i, kind in enumerate(("same", "other", "tokens"))}
    return {"unknown": unknown[:n]} | {k: _combine(known, turn) for k, turn in turns.items()}


def _combine(parts: list[list[str]], turn: int) -> list[str]:
    """Each part once. Names of different turns have at most one part in common."""
    first, middle, last = parts
    n = len(first)
    return [f"{first[i]} {middle[(i + turn) % n]} {last[(i + 2 * turn) % n]}" for i in range(n)]


def _said() -> Collection[str]:
    """Every word that texts say besides the name that they are about."""
    texts: list[str] = []
    for relation in OTHER_RELATIONS:
        texts += [*load_relation(relation).values, *load_relation(relation).templates]
    for name in ATTRIBUTES:
        texts += [*attribute_pool(name), *load_templates(name), *load_base_templates(name)]
    return words(texts)
