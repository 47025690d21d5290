"""The people of the made-up world: known subjects (K_rel) and made-up subjects (K_compl).

Both kinds get attributes that no model has read. The subject of a K_rel person is known to the base
model; the name of a K_compl person is first + middle + last name, unique, and never a known name.

How many biographies a person gets is ``round(Exponential(mean))``, at least 1 (paper, section 2),
and decides the frequency band. Frequencies are drawn for K_compl; K_rel gets the same distribution
by even thinning, so that the two kinds of people differ in what the model knew before and not in
how often it reads about them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES, BANDS, KINDS, WorldConfig
from kc_utils.errors import KcError
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
) -> pd.DataFrame:
    """The people table: K_rel first, then K_compl, one row per person.

    Args:
        world: numbers of people, mean frequency, kind of K_rel names, discover share.
        seed: same seed, same table.
        known_names: names that the base model knows; K_rel people are a random subset of them and
            no K_compl person has one of them. Without it, made names are drawn for the K_rel people
            (``world.known_names="made"``) or the real-people pool is used (``"real"``).
        old_values: whether the base corpus taught old attribute values of the K_rel people; then
            ``old_<attribute>`` holds them, always different from the new ones. Otherwise, and for
            K_compl people, these columns hold "". By default true for made known names only.

    Raises:
        KcError: if there are fewer known names than K_rel people.
    """
    n_known = round(world.n_people * world.share_known)
    n_new = world.n_people - n_known
    known = _known_names(world, n_known, seed, known_names)
    rng = stream(seed, "people")
    chosen = rng.permutation(len(known))[:n_known]
    new = _full_names(n_new, known, rng)
    freq_known, freq_new = frequencies(n_known, n_new, world.mean_frequency, rng)
    people = _table(
        names=[known[i] for i in chosen] + new,
        kinds=np.repeat(np.array(KINDS, dtype=object), [n_known, n_new]),
        frequency=np.concatenate([freq_known, freq_new]),
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


HIGH_ABOVE = 5  # biographies; more is the high band
LOW = 1  # biographies; exactly this is the low band, what lies between is the medium band


def draw_frequencies(n: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """``n`` frequencies (int32) of round(Exponential(``mean``)), at least 1."""
    return np.maximum(np.rint(rng.exponential(mean, size=n)), 1).astype(np.int32)


def thin(frequencies: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` evenly spaced order statistics of ``frequencies``, in random order."""
    places = np.floor((np.arange(n) + 0.5) * len(frequencies) / n).astype(np.int64)
    return rng.permutation(np.sort(frequencies)[places])


def frequencies(
    n_known: int, n_new: int, mean: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of ``n_known`` K_rel and ``n_new`` K_compl people (either may be none)."""
    new = draw_frequencies(n_new, mean, rng)
    if n_new == 0:
        return draw_frequencies(n_known, mean, rng), new
    return (thin(new, n_known, rng) if n_known else new[:0]), new


def bands(frequency: np.ndarray) -> np.ndarray:
    """The band of each frequency: high (> 5), medium (2 to 5) or low (1), as an object array."""
    names = np.array(["low", "medium", "high"], dtype=object)
    return names[(frequency > LOW).astype(int) + (frequency > HIGH_ABOVE)]
