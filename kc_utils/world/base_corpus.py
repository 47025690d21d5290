"""The base corpus: texts that make subjects known to a model before it learns new facts.

What "known" means is a question of its own, so there are three kinds of base texts: about five
*other* relations (hobby, pet, spouse, club, book), about the *same* five attributes with old values
in wordings that biographies never use, or *mixed*. Every known person has one fixed value for each
relation; an old value of a K_rel person always differs from the new one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.world.pools import attribute_pool, draw, redraw, stream
from kc_utils.world.templates import OTHER_RELATIONS, load_base_templates, load_relation, prompts_of

RELATIONS = {
    "other": OTHER_RELATIONS,
    "same": ATTRIBUTES,
    "mixed": (*OTHER_RELATIONS, *ATTRIBUTES),
}


def base_relations(relations: str) -> tuple[str, ...]:
    """What base texts speak of if ``relations`` is "other", "same" or "mixed"."""
    if relations not in RELATIONS:
        allowed = ", ".join(RELATIONS)
        raise KcError(f"There are no base texts of kind {relations!r}; allowed are {allowed}.")
    return RELATIONS[relations]


def known_facts(names: Sequence[str], people: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    """One row per known person: name, person_id (-1 if not in ``people``) and ten values.

    Columns hobby, pet, spouse, club, book are drawn; birthday, city, major, university, company are
    the person's ``old_*`` values in ``people`` ("" if it has none) and drawn for everybody else.
    """
    n = len(names)
    columns: dict[str, object] = {"name": np.array(names, dtype=object)}
    columns |= {
        relation: draw(load_relation(relation).values, n, stream(seed, f"fact {relation}"))
        for relation in OTHER_RELATIONS
    }
    columns |= {
        name: draw(attribute_pool(name), n, stream(seed, f"fact {name}")) for name in ATTRIBUTES
    }
    facts = pd.DataFrame(columns)
    place = np.full(n, -1)
    if people is not None:
        place = pd.Index(people["name"]).get_indexer(list(names))
        inside = place >= 0
        for name in ATTRIBUTES:
            old = people[f"old_{name}"].to_numpy(dtype=object)
            facts.loc[inside, name] = old[place[inside]]
        ids = people["person_id"].to_numpy()
        place = np.where(inside, ids[place], -1) if len(ids) else place
    facts.insert(1, "person_id", place.astype(np.int32))
    return facts


def placed(facts: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Given facts (name and ten values per known person) with the person_id of each, -1 if none."""
    ids = people.set_index("name")["person_id"]
    found = facts["name"].map(ids).fillna(-1).astype(np.int32)
    columns = ["name", *OTHER_RELATIONS, *ATTRIBUTES]
    return facts[columns].assign(person_id=found)[["name", "person_id", *columns[1:]]]


def with_old_values(people: pd.DataFrame, facts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """People whose ``old_*`` columns hold what given facts say of them ("" for all others).

    A new value that happens to be the old one is drawn again, so that every fact is new.
    """
    changed, rng = people.copy(), stream(seed, "values that differ from given facts")
    known = facts.set_index("name")
    inside = people["name"].isin(known.index).to_numpy()
    for name in ATTRIBUTES:
        old = np.full(len(people), "", dtype=object)
        old[inside] = known.loc[people.loc[inside, "name"], name].to_numpy(dtype=object)
        new = people[name].to_numpy(dtype=object).copy()
        same = new == old
        new[same] = redraw(new[same], attribute_pool(name), rng)
        changed[f"old_{name}"], changed[name] = old, new
    return changed


def make_base_corpus(
    names: Sequence[str],
    people: pd.DataFrame | None = None,
    *,
    relations: str = "mixed",
    texts_per_person: int = 30,
    sentences_per_text: int = 5,
    facts: pd.DataFrame | None = None,
    seed: int,
) -> pd.DataFrame:
    """``texts_per_person`` texts about each of ``names``: columns text, name, person_id.

    Each text is ``sentences_per_text`` sentences; a relation comes twice in a text only if there
    are more sentences than relations.

    Args:
        names: the known people.
        people: the world's people; those of them who are known keep their ``old_*`` values.
        relations: "other", "same" or "mixed" (module docstring).
        texts_per_person: texts about each person.
        sentences_per_text: sentences in each text.
        facts: what is known, from :func:`placed`; those of :func:`known_facts` when None.
        seed: same seed, same bytes.

    Raises:
        KcError: if old values are to be taught but a person of ``people`` has none.
    """
    kinds = base_relations(relations)
    facts = known_facts(names, people, seed) if facts is None else facts
    _require_values(facts, kinds)
    rng = stream(seed, "base corpus")
    n_texts = len(facts) * texts_per_person
    row = np.repeat(np.arange(len(facts)), texts_per_person)
    sentences = _sentences(facts, kinds, row, sentences_per_text, rng)
    texts = [" ".join(parts) for parts in zip(*sentences, strict=True)] if sentences else []
    return pd.DataFrame(
        {
            "text": pd.Series(texts if texts else [""] * n_texts, dtype="str"),
            "name": pd.Series(facts["name"].to_numpy()[row], dtype="str"),
            "person_id": facts["person_id"].to_numpy()[row],
        }
    )


def known_queries(
    names: Sequence[str],
    people: pd.DataFrame | None = None,
    *,
    relations: str = "mixed",
    facts: pd.DataFrame | None = None,
    seed: int,
) -> pd.DataFrame:
    """Questions to test that a base model knows its subjects: name, relation, prompt, answer.

    One row per known person and relation; the prompt is the first template of the relation that has
    its value last. Facts are those of :func:`make_base_corpus` with the same seed.
    """
    facts = known_facts(names, people, seed) if facts is None else facts
    kinds = base_relations(relations)
    _require_values(facts, kinds)
    parts = []
    for relation in kinds:
        prompt = prompts_of(_templates(relation))[0]
        parts.append(
            pd.DataFrame(
                {
                    "name": facts["name"],
                    "relation": relation,
                    "prompt": [prompt.replace("{name}", name) for name in facts["name"]],
                    "answer": facts[relation],
                }
            )
        )
    return pd.concat(parts, ignore_index=True).astype("str")


def _templates(relation: str) -> tuple[str, ...]:
    if relation in OTHER_RELATIONS:
        return load_relation(relation).templates
    return load_base_templates(relation)


def _require_values(facts: pd.DataFrame, kinds: Sequence[str]) -> None:
    empty = facts.loc[(facts[list(kinds)] == "").any(axis=1), "name"]
    if len(empty):
        raise KcError(
            f"Base texts are to teach old values but {empty.iloc[0]} has none; make the people "
            "with old_values=True, or set base.relations=other."
        )


def _sentences(
    facts: pd.DataFrame,
    kinds: Sequence[str],
    row: np.ndarray,
    per_text: int,
    rng: np.random.Generator,
) -> list[list[str]]:
    """``per_text`` lists; each holds one sentence for every text (``row``: person of the text)."""
    names = facts["name"].tolist()
    values = [facts[kind].tolist() for kind in kinds]
    pools = [_templates(kind) for kind in kinds]
    rounds = -(-per_text // len(kinds))
    shuffles = [rng.random((len(row), len(kinds))).argsort(axis=1) for _ in range(rounds)]
    chosen = np.concatenate(shuffles, axis=1)[:, :per_text]
    sizes = np.array([len(pool) for pool in pools])
    wording = rng.integers(0, sizes[chosen])
    return [
        [
            pools[kind][word].replace("{name}", names[i]).replace("{value}", values[kind][i])
            for i, kind, word in zip(row.tolist(), kind_column, word_column, strict=True)
        ]
        for kind_column, word_column in zip(chosen.T.tolist(), wording.T.tolist(), strict=True)
    ]
