"""Sums of a scoring that is not finished, on disk, so that it can be stopped and gone on with.

A scoring adds up blocks of pairs. After each block the sums so far are stored with the number of
pairs in them and a key of what is scored: weights and configuration of the model, the pairs, and
the settings that numbers depend on. Whoever gives another model, other pairs or other settings is
told so; batch sizes may change.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kc_utils import artifacts
from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.settings import AttributionSettings
from kc_utils.errors import KcError

HEAD = "partial_scores"  # key of the metadata


class PartialScores:
    """The file of one scoring.

    Args:
        path: where the sums are kept until the scoring is finished.
        adapter: the model.
        batch: all its pairs.
        settings: how they are scored.

    Raises:
        KcError: a metric that is a function and has no key.
    """

    def __init__(
        self, path: str | Path, adapter: Adapter, batch: PairBatch, settings: AttributionSettings
    ) -> None:
        if callable(settings.metric):
            raise KcError("partial= needs a metric by name; what a function computes has no key.")
        self.path, self.n_pairs = Path(path), len(batch)
        self.key = _key(adapter, batch, settings)

    def start(
        self, sums: Float[Tensor, "parts n_forward n_backward"]
    ) -> tuple[Float[Tensor, "parts n_forward n_backward"], int]:
        """The sums to go on from, and how many pairs are in them: ``sums`` and 0 without a file.

        Raises:
            KcError: the file is damaged, of something else, or cannot be written.
        """
        if not self.path.exists():
            self.store(sums, 0)  # a place that cannot be written is found now, not in an hour
            return sums, 0
        try:
            with safe_open(self.path, "pt") as file:
                head = json.loads((file.metadata() or {})[HEAD])
                stored = file.get_tensor("sums")
                key, done = str(head["key"]), int(head["done"])
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            why = str(error).splitlines()[0].rstrip(".") if str(error) else "it is empty"
            raise KcError(f"{self.path} holds no scoring to go on with: {why}.") from None
        if key != self.key:
            raise KcError(
                f"{self.path} holds a scoring of another model, of other pairs or with other "
                "settings; name another file, or remove this one."
            )
        if stored.shape != sums.shape or not 0 <= done <= self.n_pairs:
            raise KcError(f"{self.path} is damaged: its sums are of {done} pairs.")
        return stored.to(sums), done

    def store(self, sums: Float[Tensor, "parts n_forward n_backward"], done: int) -> None:
        """Keep the sums of the first ``done`` pairs, whole or not at all.

        Raises:
            KcError: the file cannot be written.
        """
        metadata = {HEAD: json.dumps({"key": self.key, "done": done})}
        tensors = {"sums": sums.detach().cpu().contiguous()}
        artifacts.write_or_say(self.path, lambda p: save_file(tensors, str(p), metadata=metadata))

    def remove(self) -> None:
        """The scoring is finished."""
        self.path.unlink(missing_ok=True)


def _key(adapter: Adapter, batch: PairBatch, settings: AttributionSettings) -> str:
    digest = blake2b(digest_size=16)
    numbers = (settings.method, settings.steps, settings.path, settings.metric)
    digest.update(repr((adapter.model.config.to_json_string(), numbers)).encode())
    tensors = {**adapter.model.state_dict(), **{f"pairs.{k}": v for k, v in vars(batch).items()}}
    for name, tensor in tensors.items():
        if tensor is not None:
            digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
