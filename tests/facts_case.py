"""A tiny model that knows some facts by heart, its folder, and its facts file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.config import ModelConfig
from kc_utils.models.causal_lm import make_model, save_model
from kc_utils.models.tokenizers import train_bpe

SUBJECTS = [a + b for a in ("Bel", "Dor", "Kal", "Min", "Tor", "Vas") for b in ("ia", "on", "ul")]
CITIES = ["Akra", "Bonn", "Cork", "Dili", "Evry", "Faro", "Gent", "Homs", "Irun"]
SEAS = ["North", "South", "East"]
CAPITAL = "The capital of {subject} is"
SEA = "The sea of {subject} is"
SHAPE = ModelConfig(shape="gpt2", n_layers=2, n_heads=4, n_kv_heads=4, d_model=32, d_mlp=64,
                    n_positions=24, vocab_size=420)  # fmt: skip
MARGIN, MOST_STEPS = 4.0, 2000  # nats by which an answer is known, and what it may take


def facts(answer: int = 0) -> list[dict[str, str]]:
    """18 capitals and 18 seas; ``answer`` shifts who has which."""
    rows = []
    for i, subject in enumerate(SUBJECTS):
        for relation, prompt, pool in (("capital", CAPITAL, CITIES), ("sea", SEA, SEAS)):
            right = pool[(i * 5 + i // 9 + answer) % len(pool)]
            rows.append(
                {"relation": relation, "subject": subject, "prompt": prompt, "answer": right}
            )
    return rows


def write(path: Path, rows: list) -> Path:
    """A facts file; texts are written as they are."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def texts(rows: list[dict[str, str]]) -> list[str]:
    return [
        f"{row['prompt'].replace('{subject}', row['subject'])} {row['answer']}." for row in rows
    ]


def tokenizer() -> PreTrainedTokenizerBase:
    """Subjects and answers are frequent, so that subjects of equal length have equal tokens."""
    return train_bpe(texts(facts()) * 3, SHAPE.vocab_size)


def learn(model: PreTrainedModel, tokenizer, rows: list[dict[str, str]], steps: int | None) -> None:
    """Train on the answers, all facts in every step, for ``steps`` or until all are known.

    How many steps that takes differs between processors: rounding decides when a training that
    hesitates goes on. So nothing but the knowledge may be expected of such a model.

    Raises:
        RuntimeError: not all of them are known after ``MOST_STEPS``.
    """
    padded, labels = _by_heart(tokenizer, rows)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(MOST_STEPS if steps is None else steps):
        model.train()
        optimiser.zero_grad()
        model(input_ids=padded, labels=labels).loss.backward()
        optimiser.step()
        model.eval()
        if steps is None and margins(model, tokenizer, rows).min() > MARGIN:
            return
    if steps is None:
        least = float(margins(model, tokenizer, rows).min())
        raise RuntimeError(
            f"After {MOST_STEPS} steps the toy model's least margin is {least:.2f} nats instead of "
            f"{MARGIN}."
        )


@torch.no_grad()
def margins(model: PreTrainedModel, tokenizer, rows: list[dict[str, str]]) -> torch.Tensor:
    """By how many nats each answer token leads over the best other one; flat, of all facts."""
    padded, labels = _by_heart(tokenizer, rows)
    logits, answers = model(input_ids=padded).logits[:, :-1], labels[:, 1:]
    places = answers >= 0
    logits, answers = logits[places], answers[places][:, None]
    others = logits.scatter(1, answers, float("-inf")).amax(1)
    return logits.gather(1, answers)[:, 0] - others


def _by_heart(tokenizer, rows: list[dict[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of the facts, and the same with everything but the answer left out of the loss."""
    ids = [tokenizer(text)["input_ids"] for text in texts(rows)]
    asked = [tokenizer(text.rsplit(" ", 1)[0])["input_ids"] for text in texts(rows)]
    width = max(map(len, ids))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    labels = [
        [-100] * len(before) + row[len(before) :] + [-100] * (width - len(row))
        for before, row in zip(asked, ids, strict=True)
    ]
    return padded, torch.tensor(labels)


def folders(root: Path, steps: tuple[int | None, ...]) -> list[Path]:
    """Model folders after so many more steps each, of one training; None: until it knows all."""
    found, words = [], tokenizer()
    model = make_model(SHAPE, words, 0)
    for i, more in enumerate(steps):
        learn(model, words, facts(), more)
        found.append(save_model(model, words, root / f"step-{i}"))
    return found
