"""Stage ``base``: the language model that continual pre-training starts from, in ``base/``."""

from __future__ import annotations

import pandas as pd

from kc_utils.config import Config, TrainingConfig
from kc_utils.models.causal_lm import load_tokenizer, make_model, resolve_model, save_model
from kc_utils.runs.stage import Workspace
from kc_utils.study import given_base
from kc_utils.training.packing import plan_epochs
from kc_utils.training.pretraining import train


def compute(work: Workspace) -> None:
    """``base/model`` (Hugging Face folder); table ``base_loss`` for a model made here."""
    run, settings = work.run, work.config
    folder = work.folder("base")
    target = folder / "model"
    tokenizer = load_tokenizer(run.verify(run.path / "tokenizer"))
    losses = pd.DataFrame(columns=["step", "epoch", "loss", "grad_norm", "learning_rate"])
    if given_base.folder(settings) is not None:
        if not target.exists():
            model, tokenizer = given_base.load(settings)
    elif settings.model.source == "made":
        texts = run.read(run.path / "data" / "base_corpus.parquet")["text"].tolist()
        plan = plan_epochs(
            tokenizer(texts).input_ids,
            epochs=settings.base.passes,
            block_size=settings.training.block_size,
            eos_id=tokenizer.eos_token_id,
            pad_id=tokenizer.pad_token_id,
            seed=settings.seed,
        )
        model = make_model(settings.model, tokenizer, settings.seed)
        result = train(
            model, tokenizer, plan, folder / "training", base_training(settings), settings.seed,
            schedule="decay", warmup_share=settings.base.warmup_share, keep="last",
            description="base model",
        )  # fmt: skip
        losses = result.losses
    elif not target.exists():
        model, _ = resolve_model(settings.model)  # its tokenizer is the run's
    if not target.exists():
        save_model(model, tokenizer, target)
    work.table("base_loss", losses)


def base_training(settings: Config) -> TrainingConfig:
    """Optimiser settings of the base phase: those of training, with the base's rate and batch."""
    base = settings.base
    changed = {
        "epochs": base.passes, "batch_size": base.batch_size, "accumulation": 1, "devices": 1,
        "learning_rate": base.learning_rate, "checkpoint_every": base.checkpoint_every,
    }  # fmt: skip
    return settings.training.model_copy(update=changed)
