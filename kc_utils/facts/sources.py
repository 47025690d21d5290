"""The model that is asked: a local Hugging Face folder, or the model inside a Python package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.models.packaged import load_package_model, package_file
from kc_utils.models.quiet import quiet
from kc_utils.models.tokenizers import save_tokenizer

PACKAGE = "package:"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt")
SUPPORTED = "GPT-2, Llama, Mistral, Qwen2, GPT-NeoX and Phi"


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
        folder = Path(where).expanduser()
        if not folder.is_dir():
            raise KcError(f"There is no model folder {where!r}.")
        if not (folder / "config.json").is_file():
            raise KcError(f"The folder {where!r} has no config.json, so it holds no model.")
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            found = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".gguf"))
            hint = f"; it has {found[0]}, which is not read" if found else ""
            raise KcError(f"The folder {where!r} has no *.safetensors weights{hint}.")
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
        folder = Path(self.where).expanduser()
        model, tokenizer = load_model(folder), load_tokenizer(folder)
        room = model.get_input_embeddings().num_embeddings
        if len(tokenizer) > room:
            raise KcError(
                f"The tokenizer of {self.where!r} has {len(tokenizer)} tokens but the model only "
                f"{room}."
            )
        return model, tokenizer

    def shape(self) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
        """Configuration and tokenizer of a folder, without its weights.

        Raises:
            KcError: a package, or a configuration that cannot be read.
        """
        if self.where.startswith(PACKAGE):
            raise KcError(f"{self.where!r} is not a folder; earlier checkpoints are folders.")
        folder = Path(self.where).expanduser()
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise KcError(f"The model in {self.where!r} cannot be loaded: {reason}") from None
        return config, load_tokenizer(folder)


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
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
    raise KcError(
        f"The architecture {type(model).__name__} of {source.where!r} cannot be taken apart into "
        f"heads and MLPs ({reason.rstrip('.')}); tried and supported are {SUPPORTED}."
    )
