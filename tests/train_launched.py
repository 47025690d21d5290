"""Child of test_launched.py: trains a toy model in every process that ``accelerate launch`` starts,
or in one process where there is no launch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from kc_utils.config import TrainingConfig
from kc_utils.models.tokenizers import train_bpe
from kc_utils.training.packing import plan_epochs
from kc_utils.training.pretraining import train

TEXTS = [f"person {i} lives in city {i * 7 % 10} and works for company {i % 5}" for i in range(60)]
ACCUMULATION = 4


def toy(tokenizer) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.eos_token_id)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    still = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **ends, **shape, **still
        )
    )


def run(out: Path, *, seed: int = 0, epochs: int = 3) -> None:
    """Train in micro-batches that hold unequal numbers of tokens; ``seed`` orders the data."""
    torch.set_num_threads(1)
    tokenizer = train_bpe(TEXTS, 300)
    plan = plan_epochs(
        tokenizer(TEXTS).input_ids, epochs=epochs, block_size=64, seed=seed,
        eos_id=tokenizer.eos_token_id, pad_id=tokenizer.pad_token_id,
    )  # fmt: skip
    settings = TrainingConfig(
        epochs=epochs, block_size=64, batch_size=2, accumulation=ACCUMULATION, checkpoint_every=3
    )
    train(toy(tokenizer), tokenizer, plan, out, settings, 0)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
