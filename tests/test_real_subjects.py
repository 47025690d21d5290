"""Which real people a model knows: right against the spread of answers, and controls that fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import tiny_model
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.analysis import real_subjects
from kc_utils.analysis.real_subjects import WORDINGS
from kc_utils.analysis.value_scores import ValueScores, score_values
from kc_utils.errors import KcError
from kc_utils.training.answers import token_log_probabilities
from kc_utils.world import load_pool, make_known_names, real_people_facts

COUNTRIES, TRADES = ("Chile", "France", "Japan"), ("nurse", "poet", "spy")
N_KNOWN = 9
OCCUPATIONS = frozenset(
    "activist actor architect astronaut astronomer biologist boxer businessman chemist composer "
    "cricketer economist emperor explorer golfer inventor mathematician musician novelist painter "
    "philosopher physicist playwright poet politician president psychologist revolutionary runner "
    "sculptor singer swimmer writer".split()
) | {
    "baseball player",
    "basketball player",
    "chess player",
    "fashion designer",
    "film director",
    "football player",
    "prime minister",
    "racing driver",
    "tennis player",
}
FACTS = pd.DataFrame(
    {
        "name": [f"F{i} L{i}" for i in range(12)],
        "country": [COUNTRIES[i % 3] for i in range(12)],
        "occupation": [TRADES[i // 3 % 3] for i in range(12)],
    }
)


class Words(PreTrainedTokenizerBase):
    """A token per word, in the order in which words come."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __call__(self, text, **more) -> dict[str, list[int]]:
        return {"input_ids": [self.ids.setdefault(w, len(self.ids)) for w in text.split()]}


class BagOfWords(PreTrainedModel):
    """The next token's logits are the sum of what each word so far says."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(PretrainedConfig())
        self.head = torch.nn.Linear(*weight.shape, bias=False)
        self.head.weight = torch.nn.Parameter(weight)

    def forward(self, input_ids, **more) -> SimpleNamespace:
        counts = torch.nn.functional.one_hot(input_ids, len(self.head.weight)).cumsum(1).float()
        return SimpleNamespace(last_hidden_state=counts)

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head


def knowing_model(tokenizer: Words) -> BagOfWords:
    """It knows the facts of the first people and, about all, would rather say Japan or spy."""
    weight = torch.zeros(120, 120)
    for row in FACTS.head(N_KNOWN).itertuples():
        first, _ = tokenizer(row.name)["input_ids"]
        for value in (row.country, row.occupation):
            weight[tokenizer(value)["input_ids"], first] = 2.0
    for cue in ("Country:", "country", "occupation", "famous"):
        for value in ("Japan", "spy"):
            weight[tokenizer(value)["input_ids"], tokenizer(cue)["input_ids"]] = 9.0
    return BagOfWords(weight).eval()


@pytest.fixture
def scores() -> dict[str, ValueScores]:
    tokenizer = Words()
    model = knowing_model(tokenizer)
    return score_values(model, tokenizer, FACTS["name"].tolist(), FACTS, WORDINGS)


def constant(names: list[str]) -> dict[str, ValueScores]:
    """A model that says the same of everybody, up to rounding."""
    noise = np.random.default_rng(0).normal(0, 1e-7, (2, len(names), 3))
    p = np.log([0.2, 0.7, 0.1]) + noise
    return {
        "country": ValueScores(("a {name}", "b {name}"), tuple(names), COUNTRIES, p),
        "occupation": ValueScores(("c {name}", "d {name}"), tuple(names), TRADES, p.copy()),
    }


def test_a_model_that_knows_is_right_whatever_it_would_rather_say(scores) -> None:
    questions = real_subjects.judge(scores, FACTS)
    assert len(questions) == 12 * 4
    known = questions["name"].isin(FACTS["name"].head(N_KNOWN))
    assert questions.loc[known, "correct"].all()
    assert (questions["correct"] == (questions["rank"] == 1)).all()
    assert (questions.loc[known, "predicted"] == questions.loc[known, "answer"]).all()
    assert (questions.loc[known, "lift"] > 0).all()
    # By probability alone the commonest answer comes first: only those are right whose it is.
    favourite = questions["answer"].isin(["Japan", "spy"])
    assert ((questions["plain_rank"] == 1) == favourite).all()
    first = questions.iloc[0]
    assert first["prompt"] == "Name: F0 L0. Country:" and first["answer"] == "Chile"


def test_people_are_known_by_their_facts(scores) -> None:
    people = real_subjects.known_people(real_subjects.judge(scores, FACTS)).set_index("name")
    head = FACTS["name"].head(N_KNOWN)
    assert people.index.tolist() == FACTS["name"].tolist()
    assert people.loc[head, "known"].all()
    assert (people.loc[head, "n_right"] == 4).all()
    assert people.loc[head, ["country", "occupation"]].all(axis=None)


def test_a_fact_needs_both_wordings() -> None:
    scores = constant(FACTS["name"].tolist())
    right = [COUNTRIES.index(value) for value in FACTS["country"]]
    scores["country"].log_prob[0, range(12), right] += 5
    questions = real_subjects.judge(scores, FACTS)
    assert questions.groupby(["relation", "wording"])["correct"].mean().tolist() == [1, 0, 0, 0]
    assert not real_subjects.known_people(questions, ("country",))["known"].any()
    scores["country"].log_prob[1, range(12), right] += 5
    questions = real_subjects.judge(scores, FACTS)
    assert real_subjects.known_people(questions, ("country", "occupation"))["known"].all()
    assert not real_subjects.known_people(questions, ("occupation",))["known"].any()


def test_a_narrow_lead_is_right_and_not_known() -> None:
    for lead, known in ((0.5, False), (2.0, True)):
        scores = constant(FACTS["name"].tolist())
        right = [TRADES.index(value) for value in FACTS["occupation"]]
        scores["occupation"].log_prob[:, range(12), right] += lead
        questions = real_subjects.judge(scores, FACTS)
        asked = questions[questions["relation"] == "occupation"]
        assert asked["correct"].all() and (asked["lead"] > 0).all()
        people = real_subjects.known_people(questions)
        assert (people["known"] == known).all() and (people["n_right"] == 2).all()


def test_a_constant_answer_is_never_right() -> None:
    questions = real_subjects.judge(constant(FACTS["name"].tolist()), FACTS)
    assert not questions["correct"].any() and (questions["predicted"] == "").all()
    assert (questions["rank"] == 3).all()
    levels = real_subjects.answer_levels(questions)
    assert (levels["accuracy"] == 0).all()
    # The control: by probability alone it is right about everybody of France, every poet.
    assert levels["plain_accuracy"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 4, 1 / 4])


def test_guessing_levels_are_those_of_the_facts(scores) -> None:
    levels = real_subjects.answer_levels(real_subjects.judge(scores, FACTS))
    assert levels["uniform"].tolist() == pytest.approx([1 / 3] * 4)
    assert levels["constant"].tolist() == pytest.approx([1 / 3] * 2 + [0.5] * 2)
    assert (levels["accuracy"] >= N_KNOWN / 12).all()


def test_facts_of_others_pass_only_where_they_are_the_same() -> None:
    facts = FACTS.head(N_KNOWN)
    tokenizer = Words()
    model = knowing_model(tokenizer)

    def ask(names: list[str]) -> dict[str, ValueScores]:
        return score_values(model, tokenizer, names, FACTS, WORDINGS)

    joined = real_subjects.join_names(facts, np.random.default_rng(1))
    made = ask(["X X", "Y Y"])
    rates = real_subjects.control_rates(
        ask(facts["name"].tolist()), facts, made, ask(joined["name"].tolist()), joined
    ).set_index("check")
    assert rates.loc["own facts", ["country", "occupation", "known"]].tolist() == [1, 1, 1]
    # 2 of the 8 others share the country and 2 others the occupation, nobody both.
    others = rates.loc["others' facts", ["country", "occupation"]].tolist()
    assert others == pytest.approx([0.25, 0.25])
    assert rates.loc["made-up names", "known"] == 0
    assert rates.loc["joined names", "known"] == 1  # this model goes by the first name alone


def test_everything_is_asked_in_one_call() -> None:
    tokenizer = Words()
    model = knowing_model(tokenizer)
    found = real_subjects.check_real_people(model, tokenizer, FACTS, seed=0, n_controls=3)
    expected = real_subjects.judge(
        score_values(model, tokenizer, FACTS["name"].tolist(), FACTS, WORDINGS), FACTS
    )
    pd.testing.assert_frame_equal(found.questions, expected)
    pd.testing.assert_frame_equal(found.people, real_subjects.known_people(expected))
    pd.testing.assert_frame_equal(found.levels, real_subjects.answer_levels(expected))
    assert found.controls["n_names"].tolist() == [12, 12, 3, 3]
    known = found.controls.set_index("check")["known"]
    assert known["own facts"] == found.people["known"].mean()
    assert known["made-up names"] < 0.5 < known["own facts"]


def test_only_the_tokens_asked_for_are_compared_and_only_at_the_end() -> None:
    model, prompts = tiny_model("llama"), [[1, 2, 3], [4], [5, 6, 7], [8, 9]]
    found = token_log_probabilities(model, prompts, [7, 0, 30], batch_size=2)
    with torch.no_grad():
        whole = [model(torch.tensor([p])).logits[0, -1].log_softmax(-1) for p in prompts]
    expected = torch.stack(whole)[:, [7, 0, 30]].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(KcError, match="0 tokens"):
        token_log_probabilities(model, [[1], []], [7])
    with pytest.raises(KcError, match="training mode"):
        token_log_probabilities(model.train(), prompts, [7])


def test_joined_names_are_nobody_and_of_their_country() -> None:
    facts = real_people_facts()
    joined = real_subjects.join_names(facts, np.random.default_rng(0))
    again = real_subjects.join_names(facts, np.random.default_rng(0))
    pd.testing.assert_frame_equal(joined, again)
    assert len(joined) > 200 and joined["name"].is_unique
    assert not joined["name"].isin(facts["name"]).any()
    assert set(joined["country"]) <= set(facts["country"])


def test_a_name_without_facts_and_values_that_cannot_be_told_apart_are_refused(scores) -> None:
    with pytest.raises(KcError, match="no facts about 'F3 L3'"):
        real_subjects.judge(scores, FACTS.drop(index=3))
    with pytest.raises(KcError, match="'Peru' is the country of 'F0 L0'"):
        real_subjects.judge(scores, FACTS.replace("Chile", "Peru"))

    def ask(facts: pd.DataFrame, names: list[str]) -> None:
        tokenizer = Words()
        score_values(knowing_model(tokenizer), tokenizer, names, facts, WORDINGS)

    with pytest.raises(KcError, match="1 value of 'country'"):
        ask(FACTS.assign(country="Chile"), ["A B"])
    with pytest.raises(KcError, match="'New York' and 'New Zealand' begin with the same token"):
        ask(FACTS.replace({"Chile": "New York", "Japan": "New Zealand"}), ["A B"])
    with pytest.raises(KcError, match="0 people"):
        ask(FACTS, [])


def test_facts_of_real_people_are_complete_and_of_the_vocabulary() -> None:
    facts = real_people_facts()
    assert facts.columns.tolist() == ["name", "country", "occupation"]
    assert facts["name"].is_unique and len(facts) >= 500
    assert set(facts["name"]) <= set(load_pool("real_people"))
    assert not set(facts["name"]) & set(make_known_names(50, 0))  # the control
    assert set(facts["occupation"]) == OCCUPATIONS and len(OCCUPATIONS) <= 42
    cells = facts.to_numpy().ravel()
    assert all(cell and " ".join(cell.split()) == cell for cell in cells)
    assert all(country[0].isupper() for country in facts["country"])
    for relation, most in (("country", 0.35), ("occupation", 0.15)):
        assert facts[relation].value_counts(normalize=True).iloc[0] < most
    row = facts.set_index("name").loc["Frida Kahlo"]
    assert row.tolist() == ["Mexico", "painter"]
