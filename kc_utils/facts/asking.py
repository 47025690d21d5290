"""What the model makes of the facts: tokens, and which answers it gives itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.facts.lines import Fact, refuse
from kc_utils.training.answers import like_length, refuse_training
from kc_utils.world.prompts import Query, tokenise


def queries_of(
    path: Path,
    facts: Sequence[Fact],
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
) -> list[Query]:
    """One query per fact, in their order; ``person_id`` is the line in the file.

    Raises:
        KcError: naming every line whose prompt and answer the tokenizer joins, or whose tokens are
            more than the model reads.
    """
    queries = tokenise(
        [fact.number for fact in facts],
        [fact.prompt for fact in facts],
        [fact.span for fact in facts],
        [fact.answer for fact in facts],
        tokenizer,
        [fact.form for fact in facts],
    )
    room = getattr(config, "max_position_embeddings", None)
    good, bad = [], []
    for fact, query in zip(facts, queries, strict=True):
        if query is None:
            bad.append(
                (fact.number, f"the tokenizer joins prompt and answer {fact.answer!r} in one token")
            )
            continue
        length = len(query.ids) + len(answer_ids(query, tokenizer)) - 1
        if room and length > room:
            bad.append((fact.number, f"{length} tokens, and the model reads at most {room}"))
        good.append(query)
    refuse(path, bad)
    return good


def answer_ids(query: Query, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All tokens of the answer after its prompt."""
    return list(tokenizer(f"{query.text} {query.answer}")["input_ids"][len(query.ids) :])


@torch.inference_mode()
def ask(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[Query],
    batch_size: int = 64,
) -> pd.DataFrame:
    """The model's own answers, one row per query in their order.

    Returns:
        first_right: the answer's first token is the most likely one; whole_right: so is each of its
        tokens after the ones before (greedy decoding gives the answer); rank (1 = best) and
        probability of the first token; top: the most likely token; answer_tokens: their number.

    Raises:
        KcError: the model is in training mode.
    """
    refuse_training(model)
    answers = [answer_ids(query, tokenizer) for query in queries]
    texts = [[*query.ids, *answer] for query, answer in zip(queries, answers, strict=True)]
    rows: dict[int, dict] = {}
    for batch in like_length([len(text) for text in texts], batch_size):
        width = max(len(texts[i]) for i in batch)
        padded = torch.tensor([texts[i] + [0] * (width - len(texts[i])) for i in batch])
        ids = padded.to(model.device)
        hidden = model.base_model(input_ids=ids, use_cache=False)[0]
        for row, i in enumerate(batch):
            start = len(queries[i].ids)
            read = hidden[row, start - 1 : len(texts[i]) - 1]
            logits = model.get_output_embeddings()(read).float().cpu()
            rows[i] = _answer(logits, torch.tensor(answers[i]), tokenizer)
    return pd.DataFrame([rows[i] for i in range(len(queries))])


def _answer(logits: torch.Tensor, answer: torch.Tensor, tokenizer) -> dict:
    """What one query's logits at the answer's places say."""
    right = logits.argmax(-1) == answer
    first = logits[0]
    return {
        "first_right": bool(right[0]),
        "whole_right": bool(right.all()),
        "rank": int((first > first[answer[0]]).sum()) + 1,
        "probability": float(first.softmax(-1)[answer[0]]),
        "top": tokenizer.decode([int(first.argmax())]),
        "answer_tokens": len(answer),
    }
