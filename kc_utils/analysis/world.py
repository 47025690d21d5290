"""Does a made-up world keep its promise: can anything be guessed without knowing the person?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.knowledge import chance_hit
from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError

_MOST_PEOPLE = 3000  # pairs of people grow with the square of their number
_STREAM = 101


def written_templates(biographies: pd.DataFrame, people: pd.DataFrame) -> set[str]:
    """Every sentence of the biographies as its template, with ``{name}`` and ``{value}`` back in.

    Args:
        biographies: person_id, text.
        people: person_id, name and a column per attribute.
    """
    seen: set[str] = set()
    for row in biographies.merge(people, on="person_id").itertuples():
        text = row.text.replace(row.name, "{name}")
        for attribute in ATTRIBUTES:
            text = text.replace(getattr(row, attribute), "{value}")
        seen.update(text.removesuffix(".").split(". "))
    return seen


def broken_conditions(pairs: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """How many clean/corrupted pairs break each condition that a pair has to meet.

    Args:
        pairs: a row per pair, as :func:`kc_utils.world.prompts.make_pairs` returns them.
        people: person_id, split.

    Returns:
        One row per condition: ``condition broken``, ``pairs``.
    """
    split_of = people.set_index("person_id")["split"]
    splits = [pairs[c].map(split_of) for c in ("person_id", "corrupted_person_id")]
    lengths = [pairs[c].map(len) for c in ("clean_ids", "corrupted_ids")]
    broken = {
        "the prompts differ in length": lengths[0] != lengths[1],
        "the subject is paired with itself": pairs["person_id"] == pairs["corrupted_person_id"],
        "right and wrong share their first token": pairs["right_id"] == pairs["wrong_id"],
        "a person belongs to the other split": (splits[0] != pairs["split"])
        | (splits[1] != pairs["split"]),
    }
    rows = [(name, int(found.sum())) for name, found in broken.items()]
    return pd.DataFrame(rows, columns=["condition broken", "pairs"])


def blind_levels(pairs: pd.DataFrame, k: int, n_tokens: int) -> pd.DataFrame:
    """What one reaches without knowing anybody, and what pairs drawn at random would be worth.

    Args:
        pairs: a row per pair: task, split, clean_ids, right_id.
        k: of Hit@k.
        n_tokens: size of the vocabulary.

    Returns:
        One row per task: task, first tokens (different right answers), Hit@1 and Hit@k of the
        commonest answers, Hit@k of tokens drawn uniformly, and the chance that two random prompts
        differ in length or share the first token of their answer.
    """
    rows = []
    for task, part in pairs.groupby("task", sort=False):
        lengths = part["clean_ids"].map(len).value_counts(normalize=True)
        firsts = part["right_id"].value_counts(normalize=True)
        row = {"task": task, "first tokens": len(firsts)}
        row |= {f"Hit@{n}, blind": chance_hit(part, n) for n in (1, k)}
        row[f"Hit@{k}, uniform"] = k / n_tokens
        row["random pair: other length"] = 1 - (lengths**2).sum()
        row["random pair: same first token"] = (firsts**2).sum()
        rows.append(row)
    return pd.DataFrame(rows)


def shared_values(
    people: pd.DataFrame, attribute: str, others: list[str], *, n: int = 200, seed: int
) -> pd.DataFrame:
    """Do people who share one of ``others`` share ``attribute`` more often than shuffled people?

    Looks at the first 3,000 people at most. ``n``: number of shuffles.

    Returns:
        One row per other attribute: other, rate (share of such pairs of people that share
        ``attribute`` too), low and high (the middle 95 % of what shuffling gives).

    Raises:
        KcError: if no two people share a value of another attribute.
    """
    people = people.head(_MOST_PEOPLE)
    values = people[attribute].to_numpy()
    first, second = np.triu_indices(len(people), 1)
    rng = np.random.default_rng([seed, _STREAM])
    rows = []
    for other in others:
        codes = people[other].to_numpy()
        alike = codes[first] == codes[second]
        if not alike.any():
            raise KcError(f"No two of {len(people)} people share their {other}.")
        one, two = first[alike], second[alike]
        shuffles = (rng.permutation(values) for _ in range(n))
        low, high = np.quantile([(s[one] == s[two]).mean() for s in shuffles], [0.025, 0.975])
        rows.append((other, float((values[one] == values[two]).mean()), low, high))
    return pd.DataFrame(rows, columns=["other", "rate", "low", "high"])
