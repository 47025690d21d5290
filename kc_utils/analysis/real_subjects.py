"""Which real people does a pre-trained model know? Facts asked against the spread of answers.

Every person is asked for each relation (country, occupation) in two wordings. A model answers many
questions with the commonest value whoever is asked about, so an answer is judged by its *lift*:

    lift(value | person) = log p(value | prompt) - mean over all asked people of the same

p is the probability of the value's first token right after the prompt, renormalised over the values
of the relation. A constant answer has a lift of zero for everybody. The answer is right if the
right value has the highest lift of all, and a fact is known if in both wordings it is right by a
lead of at least ``MARGIN``.

Controls, which should fail: the facts of other people, made-up names, and names that join the parts
of two people of one country, which look like that country and belong to nobody. Names tell
countries: a model that has read much says Japan of whoever sounds Japanese, so joined names pass
for their country nearly as often as real people do. That is why the occupation alone decides who is
known. A joined name still passes where one part of it belongs to one famous person.

Not implemented: values of which the later tokens matter, facts with more than one right value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.analysis.knowledge import chance_level
from kc_utils.analysis.value_scores import (
    TIE,
    ValueScores,
    lifts,
    picked_values,
    score_values,
)
from kc_utils.errors import KcError
from kc_utils.world import make_known_names, stream

#: Two wordings of each relation, of ten that were tried with SmolLM2-135M-Instruct on a third of
#: the people: the pair in which the share of people whose fact is right exceeds that of the
#: controls by most. Of the three best wordings for the occupation, asked about everybody, this pair
#: also does best by ``MARGIN`` with every control below 5 %.
WORDINGS: dict[str, tuple[str, str]] = {
    "country": ("Name: {name}. Country:", "By nationality, {name} is from the country of"),
    "occupation": (
        "The occupation of {name} was that of a",
        "This is a short biography of {name}, the famous",
    ),
}
#: A person is known if one of these facts is.
DECIDING = ("occupation",)
#: How far (nats) the right value's lift must be above that of every other value, in every wording.
MARGIN = 1.0


@dataclass(frozen=True)
class RealSubjects:
    """The tables of :func:`judge`, :func:`known_people`, :func:`answer_levels` and
    :func:`control_rates`."""

    questions: pd.DataFrame
    people: pd.DataFrame
    levels: pd.DataFrame
    controls: pd.DataFrame


def check_real_people(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: pd.DataFrame,
    *,
    seed: int,
    n_controls: int = 120,
    batch_size: int = 64,
) -> RealSubjects:
    """Ask a model about every real person, and about names that it should fail on.

    Args:
        model: any causal language model in eval mode; its own device is used.
        tokenizer: its tokenizer.
        facts: name and a column per relation, such as
            :func:`kc_utils.world.real_people_facts` gives.
        seed: of the made-up and joined names.
        n_controls: made-up names, and at most as many joined ones.
        batch_size: prompts per forward pass.

    Raises:
        KcError: as :func:`score_values`.
    """
    rng = stream(seed, "joined names")
    joined = join_names(facts, rng)
    joined = joined.iloc[np.sort(rng.permutation(len(joined))[:n_controls])]
    names = (facts["name"], make_known_names(n_controls, seed), joined["name"])
    real, made, mixed = (
        score_values(model, tokenizer, list(asked), facts, WORDINGS, batch_size) for asked in names
    )
    questions = judge(real, facts)
    controls = control_rates(real, facts, made, mixed, joined)
    return RealSubjects(questions, known_people(questions), answer_levels(questions), controls)


def judge(
    scores: Mapping[str, ValueScores],
    facts: pd.DataFrame,
    means: Mapping[str, ValueScores] | None = None,
) -> pd.DataFrame:
    """Every answer about every name: is the lift of the right value the highest?

    Args:
        scores: from :func:`score_values`.
        facts: name and a column per relation; has a row for each name of ``scores``.
        means: scores of the people whose mean is subtracted; by default the names themselves.

    Returns:
        One row per name, relation and wording: name, relation, wording (its number), prompt,
        answer, predicted (the value of highest lift, "" if two tie), lift (nats, of the answer),
        lead (nats, above the highest lift of another value; below 0 if that is higher), rank (by
        lift; ties count against the answer), plain_rank (by probability alone), correct.

    Raises:
        KcError: a name has no facts, or a fact is none of the relation's values.
    """
    tables = []
    for relation, asked in scores.items():
        right = _places(asked, facts, relation)
        lift = lifts(asked, (means or scores)[relation])
        picked = picked_values(lift)
        own = np.take_along_axis(lift, right[None, :, None], 2)
        columns = np.arange(len(asked.values))[None, None]
        others = np.where(columns == right[None, :, None], -np.inf, lift).max(-1)
        plain = np.take_along_axis(asked.log_prob, right[None, :, None], 2)
        values = np.array([*asked.values, ""], dtype=object)  # place -1 is the empty one
        for i, text in enumerate(asked.wordings):
            table = {
                "name": asked.names,
                "relation": relation,
                "wording": i,
                "prompt": [text.replace("{name}", name) for name in asked.names],
                "answer": values[right],
                "predicted": values[picked[i]],
                "lift": own[i, :, 0],
                "lead": own[i, :, 0] - others[i],
                "rank": (lift[i] > own[i] - TIE).sum(-1),
                "plain_rank": (asked.log_prob[i] > plain[i] - TIE).sum(-1),
                "correct": picked[i] == right,
            }
            tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def known_people(questions: pd.DataFrame, deciding: Sequence[str] = DECIDING) -> pd.DataFrame:
    """Who is known, from the rows of :func:`judge`.

    Returns:
        One row per person: name, n_right (questions), a column per relation (is the fact known: in
        every wording right by ``MARGIN``?), known (is one of the facts ``deciding``?).
    """
    facts = questions.assign(sure=questions["lead"] > MARGIN).pivot_table(
        index="name", columns="relation", values="sure", aggfunc="all", sort=False
    )
    facts = facts.astype(bool)
    facts.columns.name = None
    facts.insert(0, "n_right", questions.groupby("name", sort=False)["correct"].sum())
    return facts.assign(known=facts[list(deciding)].any(axis=1)).reset_index()


def answer_levels(questions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each wording beside what guessing scores.

    Returns:
        One row per relation and wording: relation, wording, accuracy (by lift), plain_accuracy (by
        probability alone), constant (the best constant answer), uniform (1 / number of values).
    """
    plain = questions.assign(plain=questions["plain_rank"] == 1)
    grouped = plain.groupby(["relation", "wording"], sort=False)
    table = grouped.agg(accuracy=("correct", "mean"), plain_accuracy=("plain", "mean"))
    table = table.reset_index()
    constant = chance_level(questions, ("relation",), "answer").set_index("relation")["chance"]
    uniform = 1.0 / questions.groupby("relation")["answer"].nunique()
    by = table["relation"]
    return table.assign(constant=by.map(constant), uniform=by.map(uniform))


def join_names(facts: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Names that look like a country and belong to nobody, with the facts that they carry.

    Each is the first name of one person and the rest of the name of another, of one country and of
    different occupations. It carries the facts of whose first name it has.

    Returns:
        The columns of ``facts``, at most one row per person; a country whose people cannot be
        paired has none.
    """
    rows, taken = [], set(facts["name"])
    for _, group in facts.groupby("country", sort=True):
        order = rng.permutation(len(group))
        for i, j in zip(order, np.roll(order, 1), strict=True):
            first, last = group.iloc[i], group.iloc[j]
            name = f"{first['name'].split(' ', 1)[0]} {last['name'].split(' ', 1)[1]}"
            if first["occupation"] != last["occupation"] and name not in taken:
                taken.add(name)
                rows.append({**first, "name": name})
    return pd.DataFrame(rows, columns=facts.columns)


def control_rates(
    scores: Mapping[str, ValueScores],
    facts: pd.DataFrame,
    made_up: Mapping[str, ValueScores],
    joined: Mapping[str, ValueScores],
    joined_facts: pd.DataFrame,
    deciding: Sequence[str] = DECIDING,
) -> pd.DataFrame:
    """How many pass the check, and how many pass who should not.

    Every real person is also checked with the facts of each other person, and every made-up name
    with the facts of each real person; these are shares of all such pairs, so nothing is drawn.

    Args:
        scores: of the real people, whose mean is subtracted everywhere.
        facts: a row per real person, in the order of ``scores``.
        made_up: scores of made-up names.
        joined: scores of the names of ``joined_facts``.
        joined_facts: from :func:`join_names`.
        deciding: as in :func:`known_people`.

    Returns:
        One row per check: check (own facts, others' facts, made-up names, joined names), n_names,
        a column per relation with the share of names whose fact counts as known, and known (the
        share of names that count as known).
    """
    apart = ~np.eye(len(facts), dtype=bool)
    real, made = _hits(scores, facts, scores), _hits(made_up, facts, scores)
    same = np.eye(len(joined_facts), dtype=bool)
    cells = {
        "own facts": real[:, ~apart],
        "others' facts": real[:, apart],
        "made-up names": made.reshape(len(made), -1),
        "joined names": _hits(joined, joined_facts, scores)[:, same],
    }
    n_names = [len(facts), len(facts), made.shape[1], len(joined_facts)]
    shares = {r: [float(hit[i].mean()) for hit in cells.values()] for i, r in enumerate(scores)}
    rows = [list(scores).index(relation) for relation in deciding]
    known = [float(hit[rows].any(0).mean()) for hit in cells.values()]
    return pd.DataFrame({"check": list(cells), "n_names": n_names, **shares, "known": known})


def _hits(
    scores: Mapping[str, ValueScores], facts: pd.DataFrame, means: Mapping[str, ValueScores]
) -> np.ndarray:
    """Would the fact of row j count as known of name i? bool, [relations, names, rows]."""
    hits = []
    for relation, asked in scores.items():
        picked = picked_values(lifts(asked, means[relation]), MARGIN)
        agreed = np.where((picked == picked[0]).all(0), picked[0], -1)
        place = {value: i for i, value in enumerate(asked.values)}
        hits.append(agreed[:, None] == facts[relation].map(place).to_numpy()[None])
    return np.stack(hits)


def _places(asked: ValueScores, facts: pd.DataFrame, relation: str) -> Int[np.ndarray, " names"]:
    """Which of the values is right for each name."""
    known = dict(zip(facts["name"], facts[relation], strict=True))
    place = {value: i for i, value in enumerate(asked.values)}
    for name in asked.names:
        if name not in known:
            raise KcError(f"There are no facts about {name!r}; everybody asked about needs some.")
        if known[name] not in place:
            raise KcError(
                f"{known[name]!r} is the {relation} of {name!r} but none of the values that were "
                "compared."
            )
    return np.array([place[known[name]] for name in asked.names], dtype=np.int64)
