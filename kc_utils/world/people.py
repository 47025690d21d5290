"""The people of the made-up world: known subjects (K_rel) and made-up subjects (K_compl).

All kinds get attributes that no model has read. The subject of a K_rel person is known to the base
model; the name of a K_compl person is first + middle + last name, unique, and never a known name.
Worlds for models that exist already may have a third kind, whose names are of rare tokens.

How many biographies a person gets is ``round(Exponential(mean))``, at least 1 (paper, section 2),
and decides the frequency band. Frequencies are drawn for K_compl; K_rel gets the same distribution
by even thinning, so that the two kinds of people differ in what the model knew before and not in
how often it reads about them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils.config import ATTRIBUTES, BANDS, KINDS, STRANGE, WorldConfig
from kc_utils.errors import KcError
from kc_utils.world.frequency_bands import bands, draw_frequencies, frequencies, thin
from kc_utils.world.matched_names import (
    familiar_names,
    name_lengths,
    of_common_length,
    strange_names,
)
from kc_utils.world.pools import draw, load_pool, pool_of, redraw, stream

SPLITS = ("discover", "evaluate")


def make_known_names(n: int, seed: int) -> tuple[str, ...]:
    """``n`` unique first + middle + last names of people that the base corpus makes known."""
    return tuple(_full_names(n, (), stream(seed, "known names")))


def make_people(
    world: WorldConfig,
    seed: int,
    known_names: Sequence[str] | None = None,
    *,
    old_values: bool | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> pd.DataFrame:
    """The people table: K_rel first, then K_compl, then K_strange, one row per person.

    Args:
        world: numbers of people, mean frequency, kind of K_rel names, discover share.
        seed: same seed, same table.
        known_names: names that the base model knows; K_rel people are a random subset of them and
            no K_compl person has one of them. Without it, made names are drawn for the K_rel people
            (``world.known_names="made"``) or the real-people pool is used (``"real"``).
        old_values: whether the base corpus taught old attribute values of the K_rel people; then
            ``old_<attribute>`` holds them, always different from the new ones. Otherwise, and for
            K_compl people, these columns hold "". By default true for made known names only.
        tokenizer: K_rel names are of the commonest length in its tokens, and those of the other
            kinds have the same lengths (:mod:`kc_utils.world.matched_names`). K_strange needs it.

    Raises:
        KcError: if there are fewer known names than K_rel people, or no names of their lengths.
    """
    n_known, n_new, n_strange = numbers_by_kind(world)
    rng = stream(seed, "people")
    known = _known_names(world, n_known, seed, known_names)
    if tokenizer is None:
        chosen = [known[i] for i in rng.permutation(len(known))[:n_known]]
        names = chosen + _full_names(n_new, known, rng)
    else:
        names = _matched_names(tokenizer, known, (n_known, n_new, n_strange), rng)
    freq_known, freq_new = frequencies(n_known, n_new, world.mean_frequency, rng)
    freq_strange = thin(freq_new, n_strange, rng) if n_strange else freq_new[:0]
    people = _table(
        names=names,
        kinds=np.repeat(np.array((*KINDS, STRANGE), dtype=object), [n_known, n_new, n_strange]),
        frequency=np.concatenate([freq_known, freq_new, freq_strange]),
        rng=rng,
    )
    people["split"] = _split(people, world.discover_share, rng)
    if old_values or (old_values is None and world.known_names == "made"):
        _add_old_values(people, seed)
    return people


def completed(
    people: pd.DataFrame,
    asked: np.ndarray,
    discover_share: float,
    seed: int,
    *,
    pools: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Given people (person_id to band, five attributes) with the columns that a run adds to them.

    Args:
        people: one row per person, without split and old values.
        asked: bool [people]; circuits are discovered on these people and evaluated on the others.
            Where nobody is, people are split at random by ``discover_share``.
        discover_share: see ``asked``.
        seed: same seed, same table.
        pools: draw ``old_*`` values of K_rel people from these; None leaves them empty.
    """
    table = people.copy()
    split = np.where(asked, *SPLITS) if asked.any() else None
    if split is None:
        split = _split(table, discover_share, stream(seed, "people"))
    table.insert(table.columns.get_loc("band") + 1, "split", pd.Series(split, dtype="str"))
    for name in ATTRIBUTES:
        table[f"old_{name}"] = pd.Series([""] * len(table), dtype="str")
    if pools is not None:
        _add_old_values(table, seed, pools)
    return table


def make_new_people(
    n: int,
    avoid_names: Collection[str],
    seed: int,
    mean_frequency: float,
    *,
    first_id: int = 0,
    discover_share: float = 0.5,
    pools: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """``n`` more K_compl people, none named like one of ``avoid_names`` (forgetting).

    Their ``person_id`` counts up from ``first_id``. ``pools``: parts of names and values of another
    world than the package's.
    """
    rng = stream(seed, "new people")
    names = _full_names(n, avoid_names, rng, pools)
    kinds = np.repeat(np.array(["K_compl"], dtype=object), n)
    people = _table(names, kinds, draw_frequencies(n, mean_frequency, rng), rng, first_id, pools)
    people["split"] = _split(people, discover_share, rng)
    return people


def conflicting(
    people: pd.DataFrame, seed: int, pools: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """The same people with all five attribute values redrawn so that each one differs."""
    rng = stream(seed, "conflicting")
    changed = people.copy()
    for name in ATTRIBUTES:
        changed[name] = redraw(people[name].to_numpy(), pool_of(name, pools), rng)
    return changed


def with_shuffled_answers(people: pd.DataFrame, seed: int, epoch: int) -> pd.DataFrame:
    """The same people with each attribute's values permuted over all of them, anew every epoch.

    How often each value occurs stays, so what can be learned of attributes in general can still be
    learned; nothing about persons can.
    """
    rng = stream(seed, f"shuffled answers of epoch {epoch}")
    changed = people.copy()
    for name in ATTRIBUTES:
        changed[name] = rng.permutation(people[name].to_numpy())
    return changed


def require_bands(
    people: pd.DataFrame, bands: Sequence[str] = BANDS, kinds: Sequence[str] = KINDS
) -> None:
    """Raise :class:`KcError` if a (kind, band, split) cell that is asked for holds nobody."""
    counts = people.groupby(["kind", "band", "split"], observed=True).size()
    for kind in kinds:
        for band in bands:
            here = [split for split in SPLITS if (kind, band, split) in counts.index]
            if not here:
                what = f"The world has no {kind} people in band {band!r}"
            elif len(here) < len(SPLITS):
                missing = next(split for split in SPLITS if split not in here)
                what = f"The world has no {kind} people in band {band!r} to {missing} circuits"
            else:
                continue
            raise KcError(
                f"{what} ({len(people)} people); raise world.n_people or change "
                "world.mean_frequency, or leave the band out of circuit.bands."
            )


def numbers_by_kind(world: WorldConfig) -> tuple[int, int, int]:
    """People of each kind: K_rel, K_compl, K_strange."""
    known = round(world.n_people * world.share_known)
    strange = min(round(world.n_people * world.share_strange), world.n_people - known)
    return known, world.n_people - known - strange, strange


def _matched_names(
    tokenizer: PreTrainedTokenizerBase,
    known: Sequence[str],
    numbers: tuple[int, int, int],
    rng: np.random.Generator,
) -> list[str]:
    """Known, familiar and strange names, all of the lengths of the known ones in turn."""
    n_known, n_new, n_strange = numbers
    chosen = of_common_length(known, name_lengths(tokenizer, known), n_known, rng)
    if not chosen:
        raise KcError("Names are matched to those of known people; world.share_known=0 has none.")
    lengths = name_lengths(tokenizer, chosen)
    new = familiar_names([lengths[i % n_known] for i in range(n_new)], known, tokenizer, rng)
    strange = strange_names(
        [lengths[i % n_known] for i in range(n_strange)], [*known, *new], tokenizer, rng
    )
    return [*chosen, *new, *strange]


def _known_names(
    world: WorldConfig, n: int, seed: int, known_names: Sequence[str] | None
) -> Sequence[str]:
    if known_names is None:
        made = world.known_names == "made"
        known_names = make_known_names(n, seed) if made else load_pool("real_people")
    if len(known_names) < n:
        raise KcError(
            f"The world asks for {n} K_rel people but only {len(known_names)} known names are "
            "there; lower world.n_people or world.share_known, or set world.known_names=made."
        )
    return known_names


def _full_names(
    n: int,
    avoid: Collection[str],
    rng: np.random.Generator,
    pools: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """``n`` different names first + middle + last, none of them in ``avoid``."""
    parts = [
        load_pool(pool) if pools is None else pools[pool]
        for pool in ("first_names", "middle_names", "last_names")
    ]
    shape = tuple(len(part) for part in parts)
    total = int(np.prod(shape))
    avoided = set(avoid)
    if n + len(avoided) > total:
        raise KcError(f"{n} new names are asked for; allowed are {total - len(avoided)}.")
    codes = rng.choice(total, size=n + len(avoided), replace=False)
    columns = np.unravel_index(codes, shape)
    names = (
        f"{parts[0][a]} {parts[1][b]} {parts[2][c]}"
        for a, b, c in zip(*(column.tolist() for column in columns), strict=True)
    )
    fresh = [name for name in names if name not in avoided]
    return fresh[:n]


def _table(
    names: list[str],
    kinds: np.ndarray,
    frequency: np.ndarray,
    rng: np.random.Generator,
    first_id: int = 0,
    pools: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    n = len(names)
    columns: dict[str, object] = {
        "person_id": np.arange(first_id, first_id + n, dtype=np.int32),
        "name": np.array(names, dtype=object),
        "kind": kinds,
        "frequency": frequency.astype(np.int32),
        "band": bands(frequency),
        "split": np.full(n, "", dtype=object),
    }
    columns |= {name: draw(pool_of(name, pools), n, rng) for name in ATTRIBUTES}
    columns |= {f"old_{name}": np.full(n, "", dtype=object) for name in ATTRIBUTES}
    table = pd.DataFrame(columns)
    text = [c for c in table.columns if c not in ("person_id", "frequency")]
    return table.astype(dict.fromkeys(text, "str"))


def _split(people: pd.DataFrame, discover_share: float, rng: np.random.Generator) -> np.ndarray:
    """Discover or evaluate, at random within each kind and band; both where a cell has two."""
    split = np.full(len(people), SPLITS[1], dtype=object)
    cell = people["kind"] + " " + people["band"]
    for name in sorted(cell.unique()):
        rows = rng.permutation(np.flatnonzero(cell.to_numpy() == name))
        n = round(discover_share * len(rows))
        if len(rows) > 1:
            n = min(max(n, 1), len(rows) - 1)
        split[rows[:n]] = SPLITS[0]
    return split


def _add_old_values(
    people: pd.DataFrame, seed: int, pools: Mapping[str, Sequence[str]] | None = None
) -> None:
    rng = stream(seed, "old values")
    known = (people["kind"] == "K_rel").to_numpy()
    for name in ATTRIBUTES:
        new = people.loc[known, name].to_numpy()
        people.loc[known, f"old_{name}"] = redraw(new, pool_of(name, pools), rng)
