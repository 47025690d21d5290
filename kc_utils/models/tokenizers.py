"""Byte-level BPE tokenizers for models that are made here, and folders of any fast tokenizer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from kc_utils.errors import KcError
from kc_utils.models.loading import HUB_NAME, check_revision, first_line, without_panics

EOS = "<|endoftext|>"
PAD = "<|pad|>"
BOS = "<|bos|>"
SAVED_CLASS = "PreTrainedTokenizerFast"


def train_bpe(
    texts: Iterable[str], vocab_size: int, *, bos: bool = False
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer; the same texts give the same tokenizer, byte for byte.

    Args:
        texts: training texts, in a fixed order.
        vocab_size: tokens including the 256 bytes and the special ones; a small corpus may
            give fewer.
        bos: put a beginning-of-text token in front of every text, as Llama's tokenizers do.

    Returns:
        A tokenizer with end-of-text token ``<|endoftext|>`` (id 0), padding token ``<|pad|>``
        (id 1), with ``bos`` beginning-of-text token ``<|bos|>`` (id 2), and right padding. It adds
        no token at the end of a text.

    Raises:
        KcError: ``vocab_size`` is below 258, or 259 with ``bos``.
    """
    special = [EOS, PAD, BOS] if bos else [EOS, PAD]
    if vocab_size < 256 + len(special):
        raise KcError(
            f"vocab_size={vocab_size} is too small: 256 bytes and {len(special)} special tokens "
            f"need {256 + len(special)}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, special.index(BOS))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS if bos else None,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def with_bos(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer with its beginning-of-text token in front of every text that it cuts.

    Prompts begin with that token, so training has to have seen it there. As it is comes back a
    tokenizer that puts the token there itself, has none, or separates texts by it (GPT-2).
    """
    first = tokenizer.bos_token_id
    if first in (None, tokenizer.eos_token_id) or tokenizer("word")["input_ids"][0] == first:
        return tokenizer
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, first)]
    )
    return plain_tokenizer(backend, tokenizer)


def plain_tokenizer(backend: Tokenizer, named: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    """``backend`` as a tokenizer with right padding and the special tokens of ``named``."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=named.bos_token,
        eos_token=named.eos_token,
        unk_token=named.unk_token,
        pad_token=named.pad_token,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write a tokenizer folder that transformers 4 and 5 both load.

    transformers 5 names its own class in ``tokenizer_config.json``, which 4 doesn't know;
    ``PreTrainedTokenizerFast`` is understood by both.
    """
    folder = Path(folder)
    tokenizer.save_pretrained(folder)
    config = folder / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = SAVED_CLASS
        for key in ("backend", "is_local", "local_files_only"):
            values.pop(key, None)
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a fast tokenizer from a local folder or by its hub name, padding on the right.

    A tokenizer without a padding token (GPT-2's) pads with its end-of-text token; padding is
    never read, because models here are causal and pad on the right. ``revision`` is the commit of a
    hub model (40 hexadecimal digits).

    Raises:
        KcError: a hub name without a commit, nothing loadable there, one that panics, a slow
            tokenizer (no offsets), or no end-of-text token.
    """
    local = Path(path).is_dir() or isinstance(path, Path) or not HUB_NAME.fullmatch(path)
    check_revision(path, revision, local=local)
    try:
        with without_panics(f"The tokenizer of {str(path)!r}"):
            tokenizer = AutoTokenizer.from_pretrained(
                str(path),
                **({} if revision is None else {"revision": revision}),
                use_fast=True,
                trust_remote_code=False,
            )
            with contextlib.suppress(Exception):  # it need not know this word
                tokenizer("word")
    except KcError:
        raise
    except Exception as error:
        raise KcError(
            f"No tokenizer could be loaded from {str(path)!r}: {first_line(error)}"
        ) from None
    if not tokenizer.is_fast:
        raise KcError(
            f"The tokenizer of {str(path)!r} is a slow one; a fast one with offsets is needed."
        )
    if tokenizer.eos_token_id is None:
        raise KcError(
            f"The tokenizer of {str(path)!r} has no end-of-text token, which packing needs."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
