"""Queries about people, paired into clean and corrupted prompts with the same number of tokens.

A query is a wording with the person's name, for example "Ada Bo Cole lives in the city of". The
corrupted prompt asks the same about another person of the same type, band and split, whose name
has as many tokens and whose answer starts with another token (paper, section 3; here the second
condition is checked and discovery and evaluation never share a person).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils.config import BANDS, KINDS
from kc_utils.errors import KcError
from kc_utils.world.templates import query_prompt

SPLITS = ("discover", "evaluate")
WORDINGS = ("trained", "held_out")
_STREAM = 41
_AT_ONCE = 1000  # texts


@dataclass(frozen=True)
class Query:
    """A tokenised prompt: its text and ids, where the name stands, and the answer's first token.

    ``form`` is what prompts have to share, beside their lengths, to be paired.
    """

    person_id: int
    text: str
    ids: tuple[int, ...]
    subject: tuple[int, int]
    answer: str
    answer_id: int
    form: str = ""


def make_queries(
    people: pd.DataFrame,
    task: str,
    wording: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    bos: bool = False,
) -> list[Query]:
    """One query per person. ``subject`` is the half-open token range of the name.

    ``bos``: the beginning-of-text token stands in front, also where the tokenizer adds none.
    """
    template = query_prompt(task, wording)
    before = template.index("{name}")
    texts = [template.replace("{name}", name) for name in people["name"]]
    spans = [(before, before + len(name)) for name in people["name"]]
    answers = people[task].tolist()
    queries = tokenise(people["person_id"], texts, spans, answers, tokenizer, bos=bos)
    for query, text, answer in zip(queries, texts, people[task], strict=True):
        if query is None:
            raise KcError(
                f"The tokenizer does not split {text + ' ' + answer!r} where the prompt ends; "
                "the answer needs a token of its own."
            )
    return [query for query in queries if query is not None]


def tokenise(
    numbers: Iterable[int],
    texts: Sequence[str],
    spans: Sequence[tuple[int, int]],
    answers: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    forms: Sequence[str] | None = None,
    *,
    bos: bool = False,
) -> list[Query | None]:
    """A query per prompt, None where the tokenizer joins the end of the prompt and the answer, or
    drops the subject.

    ``spans``: characters of the subject in each text, half open. One space is put between prompt
    and answer. ``bos``: see :func:`make_queries`; a tokenizer without such a token uses its
    end-of-text token, which GPT-2 has in both places.
    """
    first_id = tokenizer.bos_token_id
    first_id = tokenizer.eos_token_id if first_id is None else first_id
    split = _split(texts, answers, tokenizer)
    queries: list[Query | None] = []
    for i, (number, span, parts) in enumerate(zip(numbers, spans, split, strict=True)):
        ids, full, offsets = parts
        if tuple(full[: len(ids)]) != ids or len(full) == len(ids):
            queries.append(None)
            continue
        inside = [t for t, (a, b) in enumerate(offsets) if a < span[1] and b > span[0]]
        if not inside:
            queries.append(None)
            continue
        form, first = forms[i] if forms else "", int(full[len(ids)])
        added = bos and ids[0] != first_id
        ids = (first_id, *ids) if added else ids
        subject = (inside[0] + added, inside[-1] + 1 + added)
        queries.append(Query(int(number), texts[i], ids, subject, answers[i], first, form))
    return queries


def _split(
    texts: Sequence[str], answers: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[tuple[int, ...], list[int], list[tuple[int, int]]]]:
    """Tokens of every prompt, of prompt and answer, and the characters of the prompt's tokens.

    What the tokenizer returns is a hundred times larger than that, so it is asked in parts.
    """
    for start in range(0, len(texts), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        prompts = tokenizer(list(texts[here]), return_offsets_mapping=True)
        both = zip(texts[here], answers[here], strict=True)
        whole = tokenizer([f"{text} {answer}" for text, answer in both])["input_ids"]
        rows = zip(prompts["input_ids"], whole, prompts["offset_mapping"], strict=True)
        yield from ((tuple(ids), full, offsets) for ids, full, offsets in rows)


def make_pairs(
    people: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    *,
    tasks: Iterable[str],
    bands: Sequence[str] = BANDS,
    kinds: Sequence[str] = KINDS,
    n_pairs: int,
    min_fellows: int,
    seed: int,
    bos: bool = False,
) -> pd.DataFrame:
    """Clean and corrupted prompts of every task, type, band, split and wording.

    The corrupted prompt asks about another person of the same type, band and split
    (:func:`make_free_pairs` draws from everybody, as the published code does).

    Columns: task, kind, band, split, wording, pair_id, person_id, corrupted_person_id, clean,
    corrupted, clean_ids, corrupted_ids, right, wrong, right_id, wrong_id, subject_start,
    subject_stop. A cell without a single pair is an error.
    """
    rows = []
    for task in tasks:
        for wording in WORDINGS:
            for kind in kinds:
                for band in bands:
                    for split in SPLITS:
                        chosen = people.query("kind == @kind and band == @band and split == @split")
                        queries = (
                            make_queries(chosen, task, wording, tokenizer, bos=bos)
                            if len(chosen)
                            else []
                        )
                        cell = (task, kind, band, split, wording)
                        rng = np.random.default_rng([seed, _STREAM, *_numbers(cell)])
                        pairs = pair_queries(queries, n_pairs, min_fellows, rng)
                        if not pairs:
                            raise KcError(_no_pairs(cell, len(chosen), min_fellows))
                        rows += [_row(cell, i, *pair) for i, pair in enumerate(pairs)]
    return pd.DataFrame(rows)


def make_free_pairs(
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int,
    bos: bool = False,
    partners: Mapping[tuple[str, int], int] | None = None,
) -> pd.DataFrame:
    """The discovery prompts of ``pairs`` with partners drawn from everybody (trained wording).

    The published code takes any subject whose name has as many tokens; type, frequency band and
    split play no part. A prompt for which nobody fits is left out. Columns: those of ``pairs``.

    ``partners``: (task, person_id) -> person_id of given partners; one that fits is taken.
    """
    chosen = pairs[(pairs["split"] == SPLITS[0]) & (pairs["wording"] == WORDINGS[0])]
    rows = []
    for task, part in chosen.groupby("task", sort=False):
        queries = make_queries(people, str(task), WORDINGS[0], tokenizer, bos=bos)
        by_person = {query.person_id: query for query in queries}
        groups: dict[tuple[int, tuple[int, int]], list[Query]] = defaultdict(list)
        for query in queries:
            groups[len(query.ids), query.subject].append(query)
        rng = np.random.default_rng([seed, _STREAM, *_numbers((str(task), "everybody"))])
        for row in part.itertuples(index=False):
            clean = by_person[row.person_id]
            fellows = groups[len(clean.ids), clean.subject]
            fits = [q for q in fellows if q.answer_id != clean.answer_id]
            if fits:
                partner = fits[int(rng.integers(len(fits)))]
                given = (partners or {}).get((str(task), row.person_id))
                partner = next((q for q in fits if q.person_id == given), partner)
                cell = (row.task, row.kind, row.band, row.split, row.wording)
                rows.append(_row(cell, row.pair_id, clean, partner))
    return pd.DataFrame(rows, columns=pairs.columns)


def pair_queries(
    queries: list[Query], n_pairs: int, min_fellows: int, rng: np.random.Generator
) -> list[tuple[Query, Query]]:
    """Rounds of pairs: each person once with a first partner, then once with a second, ...

    Both queries of a pair have the same form, the same length, the subject at the same tokens, and
    answers that start with different tokens.
    """
    groups = _alike([queries[i] for i in rng.permutation(len(queries))])
    groups = [g for g in groups if len(g) - 1 > min_fellows and _contrast(g)]
    found: list[tuple[Query, Query]] = []
    for shift in range(1, max(map(len, groups), default=1)):
        ring = [
            (clean, group[(i + shift) % len(group)])
            for group in groups
            if shift < len(group)
            for i, clean in enumerate(group)
        ]
        ring = [(a, b) for a, b in ring if a.answer_id != b.answer_id]
        found += [ring[i] for i in rng.permutation(len(ring))]
        if len(found) >= n_pairs:
            break
    return found[:n_pairs]


def with_partner(queries: Sequence[Query]) -> set[int]:
    """``person_id`` of every query that is the clean one of a pair, if all pairs are made.

    Takes as long as there are queries, not pairs.
    """
    return {query.person_id for group in _alike(queries) if _contrast(group) for query in group}


def _alike(queries: Iterable[Query]) -> list[list[Query]]:
    """Queries of one form and length with the subject at the same tokens, in order."""
    groups: dict[tuple[str, int, tuple[int, int]], list[Query]] = defaultdict(list)
    for query in queries:
        groups[query.form, len(query.ids), query.subject].append(query)
    return list(groups.values())


def _contrast(group: Sequence[Query]) -> bool:
    """Whether two answers start with different tokens; each query has a partner then."""
    return any(query.answer_id != group[0].answer_id for query in group)


def _row(cell: tuple[str, ...], pair_id: int, clean: Query, corrupted: Query) -> dict[str, object]:
    names = ("task", "kind", "band", "split", "wording")
    who = {"person_id": clean.person_id, "corrupted_person_id": corrupted.person_id}
    return (
        dict(zip(names, cell, strict=True)) | {"pair_id": pair_id} | who | row_of(clean, corrupted)
    )


def row_of(clean: Query, corrupted: Query) -> dict[str, object]:
    """The columns of a pair that :meth:`PairBatch.from_frame` reads, and its texts."""
    return {
        "clean": clean.text,
        "corrupted": corrupted.text,
        "clean_ids": list(clean.ids),
        "corrupted_ids": list(corrupted.ids),
        "right": clean.answer,
        "wrong": corrupted.answer,
        "right_id": clean.answer_id,
        "wrong_id": corrupted.answer_id,
        "subject_start": clean.subject[0],
        "subject_stop": clean.subject[1],
    }


def _numbers(cell: tuple[str, ...]) -> list[int]:
    """The cell as a seed sequence that does not depend on Python's salted hash."""
    return list("|".join(cell).encode())


def _no_pairs(cell: tuple[str, ...], n_people: int, min_fellows: int) -> str:
    task, kind, band, split, wording = cell
    return (
        f"Band {band!r} of {kind} is empty for task {task!r} ({split}, {wording} wording): "
        f"{n_people} people, none with more than {min_fellows} fellows of the same name "
        "length and another answer; raise world.n_people or lower circuit.min_fellows."
    )
