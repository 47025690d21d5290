"""The model that is asked: where it is, and which answers it gives itself.

It is a local Hugging Face folder, or the model inside a Python package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.metrics import rank
from kc_utils.errors import KcError, shown, typed_path
from kc_utils.facts.lines import Fact, refuse
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.models.folders import check_folder
from kc_utils.models.loading import check_vocabulary, config_of, first_line, quiet
from kc_utils.models.packaged import load_package_model, package_file
from kc_utils.models.tokenizers import save_tokenizer
from kc_utils.training.answers import like_length, refuse_training
from kc_utils.world.prompts import Query, tokenise

PACKAGE = "package:"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt")
SUPPORTED = "GPT-2, Llama, Mistral, Qwen 2.5 and 3, Gemma, OLMo 2, GPT-NeoX and Phi"


@dataclass(frozen=True)
class Source:
    """Where a model is: ``name`` for people, ``digest`` (SHA-256) of its weights."""

    where: str
    name: str
    digest: str

    @classmethod
    def find(cls, where: str) -> Source:
        """Check that ``where`` (a folder, or ``package:<module>``) holds a model and a tokenizer.

        Raises:
            KcError: no folder, no configuration, no safetensors weights, no tokenizer in it, or an
                unknown package.
        """
        if where.startswith(PACKAGE):
            file = package_file(where.removeprefix(PACKAGE))
            return cls(where, file.stem, artifacts.sha256(file))
        folder = typed_path(where)
        check_folder(where)
        weights = sorted(folder.glob("*.safetensors"))
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            raise KcError(f"The folder {where!r} has no tokenizer (no {TOKENIZER_FILES[0]}).")
        digest = hashlib.sha256()
        for file in (folder / "config.json", *weights):
            digest.update(artifacts.sha256(file).encode())
        return cls(where, folder.resolve().name, digest.hexdigest())

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model (float32, eager attention, eval mode, on the CPU) and its tokenizer.

        Raises:
            KcError: as :func:`kc_utils.models.causal_lm.load_model`, or a tokenizer with more
                tokens than the model has embeddings.
        """
        if self.where.startswith(PACKAGE):
            with quiet():
                return load_package_model(self.where.removeprefix(PACKAGE))
        folder = typed_path(self.where)
        model, tokenizer = load_model(folder), load_tokenizer(folder)
        check_vocabulary(model, tokenizer, self.where)
        return model, tokenizer

    def shape(self) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
        """Configuration and tokenizer of a folder, without its weights.

        Raises:
            KcError: a package, or a configuration that cannot be read.
        """
        if self.where.startswith(PACKAGE):
            raise KcError(f"{self.where!r} is not a folder; earlier checkpoints are folders.")
        folder = typed_path(self.where)
        check_folder(folder)
        return config_of(folder), load_tokenizer(folder)


def bridge_of(source: Source, model, tokenizer) -> TransformerBridge:
    """The model in the form that circuits are found in; KcError if its architecture cannot be."""
    try:
        if not source.where.startswith(PACKAGE):
            return boot_bridge(model, tokenizer)
        with TemporaryDirectory() as folder:  # TransformerLens reads the tokenizer from a folder
            save_tokenizer(tokenizer, folder)
            return boot_bridge(model, load_tokenizer(folder))
    except KcError as error:
        reason = str(error)
    except Exception as error:  # TransformerLens has no exception of its own
        reason = first_line(error)
    raise KcError(
        f"The architecture {type(model).__name__} of {source.where!r} cannot be taken apart into "
        f"heads and MLPs ({reason.rstrip('.')}); tried and supported are {SUPPORTED}."
    )


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
                (fact.number, f"the tokenizer joins prompt and answer {shown(fact.answer)} in one "
                              "token, or gives the subject none")
            )  # fmt: skip
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
        tokens after the ones before (greedy decoding gives the answer); rank (1 = best; ties count
        as half) and probability of the first token; top: the most likely token; answer_tokens:
        their number.

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
        "rank": float(rank(logits[:1], answer[:1])) + 1,
        "probability": float(first.softmax(-1)[answer[0]]),
        "top": tokenizer.decode([int(first.argmax())]),
        "answer_tokens": len(answer),
    }
