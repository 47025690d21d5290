"""Bits of knowledge: how much a model's probabilities say about facts that were drawn at random.

A fact whose value was drawn from a pool of D values holds log2(D) bits. A model that gives the
value probability p needs -log2(p) bits to be told it, so it holds log2(D) + log2(p) bits of it, on
average over the people of a cell and never fewer than none (after Allen-Zhu & Li 2024, arXiv
2404.05405, whose count adds the names of the people and the values' own letters; here only the
facts count). Answers that were shuffled among people hold no bits about anybody. A guesser who
knows which values occur how often, but not whose they are, stands beside them.

Chance level of an accuracy: what the best guess that ignores the person would reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kc_utils.errors import KcError
from kc_utils.world.pools import pool_of


def pool_bits(attribute: str, pools: Mapping[str, Sequence[str]] | None = None) -> float:
    """log2 of the number of values that were drawn from: the package's, or those of ``pools``."""
    return math.log2(len(pool_of(attribute, pools)))


def guess_cross_entropy(values: pd.Series) -> pd.Series:
    """Bits to tell each value to somebody who knows only how common each is, in their order."""
    return -np.log2(values.map(values.value_counts(normalize=True)).astype(float))


def shuffled(values: pd.Series, rng: np.random.Generator) -> pd.Series:
    """The same values dealt out anew, nobody keeping the own place; at least two are needed.

    Raises:
        KcError: with fewer than two values.
    """
    if len(values) < 2:
        raise KcError(f"{len(values)} answer cannot be shuffled; at least 2 are needed.")
    order = rng.permutation(len(values))
    dealt = np.empty(len(values), dtype=object)
    dealt[order] = values.to_numpy(dtype=object)[np.roll(order, 1)]
    return pd.Series(dealt, index=values.index, name=values.name)


def knowledge_bits(
    rows: pd.DataFrame, keys: list[str], pools: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """Bits per fact in each cell.

    Args:
        rows: a row per person and fact: the columns ``keys``, among them attribute, and
            cross_entropy_bits (to tell the whole value).
        keys: columns that define the cells.
        pools: see :func:`pool_bits`.

    Returns:
        The keys, n_measured, pool_bits, cross_entropy_bits (mean), bits_per_fact (at least 0).
    """
    grouped = rows.groupby(keys, sort=True, observed=True)["cross_entropy_bits"]
    table = grouped.agg(n_measured="size", cross_entropy_bits="mean").reset_index()
    bits = {a: pool_bits(a, pools) for a in table["attribute"]}
    table["pool_bits"] = table["attribute"].map(bits)
    gained = table["pool_bits"] - table["cross_entropy_bits"]
    return table.assign(bits_per_fact=gained.clip(lower=0.0))


def chance_level(
    rows: pd.DataFrame, by: Sequence[str] = ("attribute",), answer: str = "right_id"
) -> pd.DataFrame:
    """Accuracy of the best constant guess in each group: the share of its commonest answer.

    Args:
        rows: from :func:`~kc_utils.training.accuracy.first_token_accuracy`, or from
            :func:`~kc_utils.training.accuracy.generate_answers` with
            ``answer="answer"``.
        by: columns that define the groups.
        answer: column with what would be right.

    Returns:
        The columns ``by`` and ``chance``.
    """
    groups = rows.groupby(list(by), sort=True, observed=True)[answer]
    return (
        groups.agg(lambda a: a.value_counts(normalize=True).iloc[0]).rename("chance").reset_index()
    )


def time_to_knowledge(
    rows: pd.DataFrame, *, texts: str = "read", needed: float = 0.8
) -> pd.DataFrame:
    """When is a person known? The first checkpoint from which on enough of the values are right.

    A person counts as known at a checkpoint when at least ``needed`` of the attributes' first
    tokens are right in the text asked about; known *from* the first checkpoint after which that
    never fails again. Those who are not known at the last checkpoint are censored there.

    Args:
        rows: a row per checkpoint, person and attribute: epoch, person_id, kind, band, wording,
            correct.
        texts: which texts count (column ``wording``).
        needed: share of the attributes.

    Returns:
        person_id, kind, band, epoch (of knowledge, or of the last checkpoint), known (False:
        censored).
    """
    chosen = rows[rows["wording"] == texts]
    share = chosen.pivot_table(
        index=["person_id", "kind", "band"], columns="epoch", values="correct", aggfunc="mean",
        observed=True,
    )  # fmt: skip
    fails = share.to_numpy(float) < needed
    epochs = share.columns.to_numpy(float)
    # One past the last failure; equal to the number of checkpoints where the last one fails.
    first = np.where(fails.any(axis=1), fails.shape[1] - fails[:, ::-1].argmax(axis=1), 0)
    known = first < fails.shape[1]
    epoch = epochs[np.minimum(first, fails.shape[1] - 1)]
    return share.index.to_frame(index=False).assign(epoch=epoch, known=known)


def chance_hit(pairs: pd.DataFrame, k: int) -> float:
    """Hit@k of a model that knows nobody: the share that the ``k`` commonest answers cover.

    The commonest first tokens are those of the discover people, the share is that of the evaluate
    people, so that the level is not flattered by counting on the same people.

    Args:
        pairs: a row per query: split (discover, evaluate) and right_id.
    """
    found, asked = (pairs.loc[pairs["split"] == s, "right_id"] for s in ("discover", "evaluate"))
    return float(asked.isin(found.value_counts().index[:k]).mean())


def held_shares(capacity: pd.DataFrame) -> pd.DataFrame:
    """Share of the bits of all facts that is held, per attribute, beside its controls.

    Args:
        capacity: the rows of one checkpoint in a table ``capacity``: attribute, answers (own,
            shuffled, guess), wording, n_people, pool_bits, total_bits.

    Returns:
        attribute, bits in a fact, held, held, other wording, shuffled, guess (shares, trained
        wording unless another is named).
    """
    names = {
        ("own", "trained"): "held",
        ("own", "held_out"): "held, other wording",
        ("shuffled", "trained"): "shuffled",
        ("guess", "trained"): "guess",
    }
    world = capacity.assign(world=capacity["n_people"] * capacity["pool_bits"])
    bits = world.groupby(["attribute", "answers", "wording"])[["total_bits", "world"]].sum()
    share = (bits["total_bits"] / bits["world"]).unstack(["answers", "wording"])
    held = share[list(names)].set_axis(list(names.values()), axis=1)
    held.insert(0, "bits in a fact", capacity.groupby("attribute")["pool_bits"].first())
    return held.reset_index()
