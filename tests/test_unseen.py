"""How sure a model is, how many bits it holds, and who counts as never seen."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import tiny_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from kc_utils.analysis.knowledge import guess_cross_entropy, knowledge_bits, pool_bits, shuffled
from kc_utils.config import ATTRIBUTES, KINDS, profiles
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import parameter_counts
from kc_utils.models.tokenizers import train_bpe
from kc_utils.study.stages import unseen
from kc_utils.study.stages.world import known_names, world_people
from kc_utils.training.answers import answer_log_probabilities, next_tokens
from kc_utils.world import make_base_corpus, query_prompt

PROMPTS = [[3], [3, 4, 5, 6], [7, 8], [9, 3, 1]]
TEXTS = ["Ada lives in the city of", "Bo Cole lives in the city of", "Cy works for"]
ANSWERS = ["Rome", "Bath", "Acme Works"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([f"{t} {a}." for t, a in zip(TEXTS, ANSWERS, strict=True)] * 30, 300)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    model = tiny_model("gpt2")
    model.resize_token_embeddings(len(tokenizer))
    return model.eval()


def uniform(kind: str):
    """A model whose unembedding is zero: it has no idea."""
    model = tiny_model(kind).eval()
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    return model


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_without_an_idea_has_the_largest_entropy(kind):
    model = uniform(kind)
    said = next_tokens(model, PROMPTS)
    size = model.get_output_embeddings().weight.shape[0]
    assert said["entropy"].to_numpy() == pytest.approx(math.log(size), rel=1e-5)
    assert said["top_probability"].to_numpy() == pytest.approx(1 / size, rel=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_next_tokens_are_those_of_the_model_one_prompt_at_a_time(kind):
    model = tiny_model(kind).eval()
    said = next_tokens(model, PROMPTS, batch_size=3)
    for prompt, row in zip(PROMPTS, said.itertuples(), strict=True):
        with torch.inference_mode():
            p = model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1)
        assert row.top_id == int(p.argmax())
        assert row.top_probability == pytest.approx(float(p.max()), rel=1e-4)
        assert row.entropy == pytest.approx(float(-(p * p.log()).sum()), rel=1e-4)


def test_next_tokens_refuses_a_model_in_training_and_an_empty_prompt():
    model = tiny_model("gpt2").eval()
    with pytest.raises(KcError, match="0 tokens"):
        next_tokens(model, [[1], []])
    with pytest.raises(KcError, match="training mode"):
        next_tokens(model.train(), PROMPTS)


def test_an_answers_probability_is_the_product_over_its_tokens_and_the_full_stop(model, tokenizer):
    found = answer_log_probabilities(model, tokenizer, TEXTS, ANSWERS, batch_size=2)
    for text, answer, value in zip(TEXTS, ANSWERS, found, strict=True):
        start = len(tokenizer(text)["input_ids"])
        ids = torch.tensor([tokenizer(f"{text} {answer}.")["input_ids"]])
        with torch.inference_mode():
            logs = model(ids).logits[0].double().log_softmax(-1)
        expected = sum(float(logs[t - 1, ids[0, t]]) for t in range(start, ids.shape[1]))
        assert value == pytest.approx(expected, rel=1e-4)


def test_answers_are_refused_without_a_partner_or_while_training(model, tokenizer):
    with pytest.raises(KcError, match="3 prompts came with 2 answers"):
        answer_log_probabilities(model, tokenizer, TEXTS, ANSWERS[:2])
    whole = Tokenizer(WordLevel({"?": 0}, unk_token="?"))  # any text is a single token
    blunt = PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="?")
    with pytest.raises(KcError, match="where the prompt ends"):
        answer_log_probabilities(model, blunt, TEXTS, ANSWERS)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_parameters_are_counted_once_and_without_embeddings(kind):
    model = tiny_model(kind)
    total, inner = parameter_counts(model)
    assert total == model.num_parameters()
    outer = {p.data_ptr(): p.numel() for n, p in model.named_parameters()
             if any(part in n for part in ("wte", "wpe", "embed_tokens", "lm_head"))}  # fmt: skip
    assert inner == total - sum(outer.values()) and 0 < inner < total


def bits(cross_entropy: float) -> float:
    rows = pd.DataFrame({"attribute": ["city"] * 4, "cross_entropy_bits": [cross_entropy] * 4})
    return float(knowledge_bits(rows, ["attribute"])["bits_per_fact"].iloc[0])


def test_bits_run_from_none_to_the_whole_pool():
    assert bits(0.0) == pytest.approx(pool_bits("city"))
    assert bits(pool_bits("city") - 1) == pytest.approx(1.0)
    assert bits(pool_bits("city")) == pytest.approx(0.0, abs=1e-12)
    assert bits(50.0) == 0.0  # worse than a guess is not less than nothing


def test_who_knows_only_how_common_values_are_needs_their_entropy():
    values = pd.Series(["Rome"] * 2 + ["Bath", "Oslo"])
    assert guess_cross_entropy(values).tolist() == [1.0, 1.0, 2.0, 2.0]


def test_shuffled_answers_are_the_same_values_in_other_places():
    values = pd.Series(list("abcdefgh"), index=np.arange(10, 18))
    dealt = shuffled(values, np.random.default_rng(0))
    assert sorted(dealt) == sorted(values) and dealt.index.equals(values.index)
    assert (dealt != values).all()
    with pytest.raises(KcError, match="at least 2"):
        shuffled(values[:1], np.random.default_rng(0))


def test_a_model_that_learned_facts_holds_their_bits_and_none_of_shuffled_ones():
    """Memorise four people, then ask for their facts, and for each other's."""
    names, cities = (
        ["Ada Cole", "Bo Dunn", "Cy Ennis", "Di Frost"],
        ["Rome", "Bath", "Oslo", "Bonn"],
    )
    texts = [f"{n} lives in the city of {c}." for n, c in zip(names, cities, strict=True)]
    tokenizer = train_bpe(texts * 30, 300)
    torch.manual_seed(0)
    model = tiny_model("gpt2")
    model.resize_token_embeddings(len(tokenizer))
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = model(input_ids=batch["input_ids"], labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    prompts = [query_prompt("city").replace("{name}", name) for name in names]
    own = answer_log_probabilities(model, tokenizer, prompts, cities)
    other = answer_log_probabilities(model, tokenizer, prompts, cities[1:] + cities[:1])
    held = [bits(float(-said.mean() / np.log(2))) for said in (own, other)]
    assert held[0] > 0.9 * pool_bits("city")
    assert held[1] == 0.0


@pytest.fixture(scope="module")
def world():
    settings = profiles.load("smoke")
    return settings, world_people(settings)


def test_nobody_ever_wrote_about_unseen_people(world):
    settings, people = world
    asked = unseen.groups(people, settings)
    counts = asked["group"].value_counts().to_dict()
    assert counts == dict.fromkeys((*KINDS, "unseen"), settings.controls.unseen_people)
    strangers = asked[asked["group"] == "unseen"]
    corpus = make_base_corpus(known_names(settings), people, texts_per_person=1, seed=settings.seed)
    assert not set(strangers["name"]) & {*people["name"], *corpus["name"]}
    assert not set(strangers["person_id"]) & set(people["person_id"])
    again = unseen.groups(people, settings)
    assert asked["name"].tolist() == again["name"].tolist()


def test_confident_and_wrong_needs_both():
    answers = pd.DataFrame(
        {
            "group": "unseen", "attribute": "city", "entropy": [1.0, 2.0, 3.0, 2.0],
            "top_probability": [0.9, 0.9, 0.4, 0.4], "right": [True, False, False, True],
        }
    )  # fmt: skip
    row = unseen.summary(answers).iloc[0]
    assert row["confident_wrong"] == 0.25 and row["accuracy"] == 0.5
    assert row["entropy"] == 2.0 and row["n_people"] == 4


def test_the_frequency_curve_counts_answers_of_the_last_checkpoint():
    people = pd.DataFrame({"person_id": range(4), "frequency": [1, 2, 9, 12]})
    rows = pd.DataFrame(
        {
            "step": [0, 9, 9, 9, 9, 9], "epoch": [0.0] + [1.0] * 5,
            "person_id": [0, 0, 1, 1, 2, 3], "kind": "K_rel", "wording": "trained",
            "correct": [True, False, True, False, True, True],
        }
    )  # fmt: skip
    curve = unseen.frequency_curve(rows, people).set_index("frequency")
    assert curve.index.tolist() == [1, 2, unseen.MOST_EXPOSURES]
    assert curve["accuracy"].tolist() == [0.0, 0.5, 1.0]
    assert curve["n_right"].tolist() == [0, 1, 2] and curve["n_rows"].tolist() == [1, 2, 2]
    assert curve["n_people"].tolist() == [1, 1, 2]
    assert curve.loc[unseen.MOST_EXPOSURES, "mean_frequency"] == 10.5


def test_the_tables_of_a_run(smoke_run):
    tables = {n: pd.read_parquet(smoke_run / "tables" / f"{n}.parquet")
              for n in ("unseen", "capacity", "frequency_curve", "checkpoints")}  # fmt: skip
    asked = tables["unseen"]
    assert not asked.duplicated(["step", "group", "attribute"]).any()
    assert len(asked) == len(tables["checkpoints"]) * 3 * len(ATTRIBUTES)
    assert (asked["entropy"] >= 0).all() and asked["accuracy"].between(0, 1).all()
    assert (asked["confident_wrong"] <= 1 - asked["accuracy"] + 1e-9).all()
    capacity = tables["capacity"]
    assert set(capacity["answers"]) == {"own", "shuffled", "guess"}
    ends = tables["checkpoints"]["step"].iloc[[0, -1]].tolist()
    assert sorted(capacity["step"].unique()) == ends
    assert (capacity["bits_per_fact"] <= capacity["pool_bits"] + 1e-9).all()
    assert (capacity["n_parameters_without_embeddings"] < capacity["n_parameters"]).all()
    curve = tables["frequency_curve"]
    assert (curve["n_right"] == (curve["accuracy"] * curve["n_rows"]).round()).all()
