"""Does a base model know its subjects, and what it was told about them before?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.training.accuracy import generate_answers
from kc_utils.training.trainer import next_token_loss


@torch.inference_mode()
def name_losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, people: pd.DataFrame, most: int
) -> pd.DataFrame:
    """How surprising a name is: next-token loss of its tokens after the first, in nats per token.

    Args:
        people: person_id, kind, name; the first ``most`` of each kind are asked.

    Returns:
        One row per person: person_id, kind, loss.
    """
    asked = people.groupby("kind", sort=False).head(most)
    losses = []
    for name in asked["name"]:
        ids = tokenizer(name, return_tensors="pt").input_ids.to(model.device)
        losses.append(float(next_token_loss(model(input_ids=ids), ids)))
    return asked[["person_id", "kind"]].assign(loss=losses).reset_index(drop=True)


def known_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: pd.DataFrame,
    strangers: Sequence[str],
) -> pd.DataFrame:
    """Share of whole answers right about known subjects, and with a stranger's name in the prompt.

    Args:
        queries: name, relation, prompt, answer, as
            :func:`kc_utils.world.base_corpus.known_queries` makes them.
        strangers: names that the model never read; they take turns.

    Returns:
        One row per relation: relation, known_subject, stranger.

    Raises:
        KcError: if there is no stranger.
    """
    if not strangers:
        raise KcError("There are 0 strangers to ask about; at least 1 is needed.")
    swapped = [
        prompt.replace(name, strangers[i % len(strangers)])
        for i, (name, prompt) in enumerate(zip(queries["name"], queries["prompt"], strict=True))
    ]
    answers = queries["answer"].tolist()
    sides = {"known_subject": queries["prompt"].tolist(), "stranger": swapped}
    right = {
        side: generate_answers(model, tokenizer, prompts, answers)["correct"].to_numpy()
        for side, prompts in sides.items()
    }
    table = queries[["relation"]].assign(**right).groupby("relation", sort=False).mean()
    return table.reset_index()


def old_value_shares(
    first: pd.DataFrame, people: pd.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> pd.DataFrame:
    """How often the likeliest token begins the new value of a fact, and how often the old one.

    Args:
        first: a table ``first_token``: epoch, person_id, attribute, right_id, predicted_id,
            correct.
        people: person_id and a column ``old_<attribute>`` per attribute.

    Returns:
        One row per epoch: epoch, new value, old value. Facts whose two values share their first
        token are left out.
    """
    columns = [f"old_{attribute}" for attribute in ATTRIBUTES]
    old = people.melt("person_id", columns, "attribute", "old")
    old["attribute"] = old["attribute"].str.removeprefix("old_")
    old["old_id"] = [ids[0] for ids in tokenizer([f" {v}" for v in old["old"]]).input_ids]
    rows = first.merge(old, on=["person_id", "attribute"])
    rows = rows[rows["old_id"] != rows["right_id"]]
    shown = {"new value": rows["correct"], "old value": rows["predicted_id"] == rows["old_id"]}
    return rows[["epoch"]].assign(**shown).groupby("epoch").mean().reset_index()
