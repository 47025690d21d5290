"""A random model, with a tokenizer of the benchmark's tasks."""

from __future__ import annotations

from functools import cache

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from kc_utils.benchmark import tasks
from kc_utils.models.tokenizers import train_bpe


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    texts = [row["prompt"] + " " + str(tasks._answer(row)) for name in tasks.TASKS
             for row in tasks.task_rows(name, 60, 9)]  # fmt: skip
    return train_bpe(texts * 3, 700)


@cache
def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=64, vocab_size=700,
                        initializer_range=0.4, bos_token_id=0, eos_token_id=0)  # fmt: skip
    return GPT2LMHeadModel(config).double().eval()
