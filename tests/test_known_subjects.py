"""What a base model knows about its subjects: the price of a name, old answers, old values."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from tiny_models import tiny_model
from transformers import PreTrainedTokenizerBase

from kc_utils.analysis import known_subjects
from kc_utils.analysis.known_subjects import known_answers, name_losses, old_value_shares
from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError


class Letters(PreTrainedTokenizerBase):
    """A tokenizer whose tokens are the letters' places in the alphabet."""

    def __init__(self) -> None:
        pass

    def __call__(self, texts, return_tensors=None, **more) -> SimpleNamespace:
        texts = [texts] if isinstance(texts, str) else texts
        ids = [[ord(c) % 32 for c in text.strip()] for text in texts]
        return SimpleNamespace(input_ids=torch.tensor(ids) if return_tensors else ids)


def test_a_name_costs_what_the_model_says_of_its_tokens() -> None:
    people = pd.DataFrame(
        {
            "person_id": range(5),
            "kind": ["K_rel"] * 3 + ["K_compl"] * 2,
            "name": ["ada", "bo", "cy", "dot", "eve"],
        }
    )
    model = tiny_model("gpt2").eval()
    found = name_losses(model, Letters(), people, 2)
    assert found["person_id"].tolist() == [0, 1, 3, 4]
    ids = Letters()("eve", return_tensors="pt").input_ids
    logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    expected = -logits.gather(1, ids[0, 1:, None]).mean().detach()
    assert found["loss"].iloc[-1] == pytest.approx(float(expected), rel=1e-5)


def test_a_stranger_is_asked_the_same_questions(monkeypatch) -> None:
    asked = []

    def only_ada(model, tokenizer, prompts, answers):
        asked.append(prompts)
        return pd.DataFrame({"correct": ["Ada" in prompt for prompt in prompts]})

    monkeypatch.setattr(known_subjects, "generate_answers", only_ada)
    queries = pd.DataFrame(
        {
            "name": ["Ada", "Bo", "Ada"],
            "relation": ["pet", "pet", "city"],
            "prompt": ["Ada has a", "Bo has a", "Ada lives in"],
            "answer": ["cat", "dog", "Rome"],
        }
    )
    found = known_answers(tiny_model("gpt2"), Letters(), queries, ["Xi", "Yu"]).set_index(
        "relation"
    )
    assert found["known_subject"].to_dict() == {"pet": 0.5, "city": 1.0}
    assert found["stranger"].to_dict() == {"pet": 0.0, "city": 0.0}
    assert asked[1] == ["Xi has a", "Yu has a", "Xi lives in"]
    with pytest.raises(KcError, match="0 strangers"):
        known_answers(tiny_model("gpt2"), Letters(), queries, [])


def test_old_and_new_values_are_told_apart_by_their_first_token() -> None:
    people = pd.DataFrame({"person_id": [0, 1, 2]} | {f"old_{a}": ["x"] * 3 for a in ATTRIBUTES})
    people["old_city"] = ["p", "q", "r"]

    token = {c: ord(c) % 32 for c in "pqrn"}
    first = pd.DataFrame(
        {
            "epoch": [0.0, 0.0, 0.0, 1.0],
            "person_id": [0, 1, 2, 0],
            "attribute": "city",
            "right_id": [token["n"], token["n"], token["r"], token["n"]],
            "predicted_id": [token["p"], token["n"], token["r"], token["n"]],
        }
    )
    first["correct"] = first["predicted_id"] == first["right_id"]
    shares = old_value_shares(first, people, Letters()).set_index("epoch")
    # Person 2 is left out: both values begin alike.
    assert shares.loc[0.0].to_dict() == {"new value": 0.5, "old value": 0.5}
    assert shares.loc[1.0].to_dict() == {"new value": 1.0, "old value": 0.0}
