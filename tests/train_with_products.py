"""Trains a small model by MKL's products and by oneDNN's; prints what was used and what came out.

``products``: how many of the matrix products oneDNN computed, as it reports itself.

Run in a process of its own: oneDNN reads which instructions it may use when it starts.
"""

import ctypes
import json
import os
import tempfile
from collections.abc import Callable

import numpy as np
import torch

from kc_utils.config import ModelConfig, TrainingConfig
from kc_utils.kernels import matmul
from kc_utils.models.causal_lm import make_model
from kc_utils.models.tokenizers import train_bpe
from kc_utils.training.packing import BlockSteps
from kc_utils.training.pretraining import train_in_memory

SHAPE = ModelConfig(n_layers=2, n_heads=2, n_kv_heads=2, d_model=64, d_mlp=128, n_positions=64,
                    vocab_size=300)  # fmt: skip
TOKENIZER = train_bpe(["one word and another"] * 50, SHAPE.vocab_size)
IDS = np.random.default_rng(0).integers(3, 250, (4, 64))


def trained(by_onednn: bool) -> dict[str, list]:
    """Settings seen and losses found before, between and after three steps."""
    matmul.is_faster = lambda: by_onednn

    def measure(step: int, model) -> tuple[str, float]:
        ids = torch.from_numpy(IDS)
        with torch.no_grad():
            loss = float(model(ids, labels=ids).loss)
        return torch.backends.mkldnn.matmul.fp32_precision, loss

    model = make_model(SHAPE, TOKENIZER, 0)
    found = train_in_memory(
        model, BlockSteps([(IDS, IDS)] * 3), TrainingConfig(), 0, measure=measure, every=1
    )
    return {"setting": [f[0] for f in found], "loss": [f[1] for f in found]}


def reported(work: Callable[[], dict]) -> dict:
    """What ``work()`` returns, with the number of oneDNN's products: it prints a line for each."""
    with tempfile.TemporaryFile() as lines:
        standard_output = os.dup(1)
        os.dup2(lines.fileno(), 1)
        try:
            with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                result = work()
        finally:
            ctypes.CDLL(None).fflush(None)
            os.dup2(standard_output, 1)
        lines.seek(0)
        return result | {"products": sum(b",exec,cpu,matmul" in line for line in lines)}


if __name__ == "__main__":
    result = {"exact": matmul.is_exact(), "mkl": reported(lambda: trained(False)),
              "onednn": reported(lambda: trained(True))}  # fmt: skip
    result["after"] = torch.backends.mkldnn.matmul.fp32_precision
    print(json.dumps(result))
