"""How many pairs fit into a memory bound: estimates of what attribution holds at once."""

from __future__ import annotations

from transformers import PreTrainedConfig

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

SHARED_BYTES = 2**29  # what runs that are joined may hold; larger ones gain nothing from it


def bytes_per_pair(adapter: Adapter, pos: int, steps: int) -> int:
    """Bytes that a pair of ``pos`` tokens needs in the runs of one block, the model apart.

    Activations that a backward pass keeps, the readers' gradients summed over steps, each step's
    normalised residual streams, and both plain runs.
    """
    config, layers = adapter.model.config, adapter.graph.n_layers
    width = config.hidden_size
    hidden = _hidden_width(config)
    heads = 3 * sum(x.numel() for x in adapter.blocks[0].b_qkv) // 3
    kept = layers * (12 * width + 3 * heads + 5 * hidden + 2 * adapter.graph.n_heads * pos)
    summed = layers * (2 * heads + 2 * width)
    streams = steps * (2 * layers + 1) * width + steps * layers * 3 * adapter.graph.n_heads
    plain = 3 * layers * (width + heads // 3 + width)
    token = kept * adapter.dtype.itemsize + (summed + streams + plain) * _size(adapter)
    return pos * token + 4 * config.vocab_size * _size(adapter)


def product_bytes_per_pair(adapter: Adapter, pos: int) -> int:
    """Bytes of a pair's centred writer outputs (twice, while they are made) and of the gradients at
    one layer's head inputs."""
    rows = 2 * adapter.graph.n_forward + 2 * 3 * adapter.graph.n_heads
    return rows * pos * adapter.model.config.hidden_size * _size(adapter)


def patching_bytes_per_pair(adapter: Adapter, pos: int) -> int:
    """Bytes of a pair's plain runs in exact patching: what both write, the residual streams in
    front of every reader, and each writer's change (twice, while it is made)."""
    width, graph = adapter.model.config.hidden_size, adapter.graph
    heads = sum(x.numel() for x in adapter.blocks[0].b_qkv) // 3
    written = 3 * graph.n_layers * (heads + width)
    token = written + (2 * graph.n_layers + 1) * width + 2 * graph.n_forward * width
    return pos * token * _size(adapter) + 4 * adapter.model.config.vocab_size * _size(adapter)


def patched_bytes_per_prompt(adapter: Adapter, pos: int) -> int:
    """Bytes of a patched prompt: the stream that its reader reads, a layer's activations, and the
    attention of that layer."""
    config = adapter.model.config
    heads = sum(x.numel() for x in adapter.blocks[0].b_qkv)
    hidden = _hidden_width(config)
    token = 8 * config.hidden_size + 3 * heads + 3 * hidden + 3 * adapter.graph.n_heads * pos
    return pos * token * _size(adapter) + 4 * config.vocab_size * _size(adapter)


def pairs_per_patching(adapter: Adapter, batch: PairBatch, max_bytes: int, most: int) -> int:
    """Pairs that exact patching may hold at once; KcError if one does not fit ``max_bytes``."""
    pos = batch.clean_ids.shape[1]
    needed = patching_bytes_per_pair(adapter, pos)
    _check_least(max_bytes, needed + patched_bytes_per_prompt(adapter, pos), "exact patching", pos)
    return _as_many(max_bytes, needed, most)


def changes_per_run(adapter: Adapter, batch: PairBatch, max_bytes: int, most_prompts: int) -> int:
    """Edges that may be patched at once, in copies of all pairs of ``batch``."""
    needed = patched_bytes_per_prompt(adapter, batch.clean_ids.shape[1])
    return max(1, _as_many(max_bytes, needed, most_prompts) // len(batch))


def pairs_per_block(
    adapter: Adapter, batch: PairBatch, steps: int, max_bytes: int, most: int
) -> int:
    """Pairs that one block of runs may hold; KcError if not even one fits into ``max_bytes``."""
    pos = batch.clean_ids.shape[1]
    needed = bytes_per_pair(adapter, pos, steps)
    _check_least(max_bytes, needed + product_bytes_per_pair(adapter, pos), "attribution", pos)
    return _as_many(max_bytes, needed, most)


def steps_per_run(adapter: Adapter, batch: PairBatch, steps: int, max_bytes: int) -> int:
    """Steps that may run as one: few pairs of a small model take longer to call than to compute."""
    needed = bytes_per_pair(adapter, batch.clean_ids.shape[1], 1) * len(batch)
    return _as_many(min(2 * SHARED_BYTES, max_bytes), needed, steps)


def pairs_per_product(adapter: Adapter, batch: PairBatch, max_bytes: int) -> int:
    """Pairs whose differences may be multiplied with gradients at once."""
    needed = product_bytes_per_pair(adapter, batch.clean_ids.shape[1])
    return _as_many(max_bytes, needed, len(batch))


def _check_least(max_bytes: int, least: int, what: str, pos: int) -> None:
    """KcError if not even one pair fits."""
    if least > max_bytes:
        raise KcError(
            f"max_bytes={max_bytes} is less than the {least} bytes that {what} needs for one pair "
            f"of {pos} tokens."
        )


def _as_many(max_bytes: int, needed: int, most: int) -> int:
    """How many things of ``needed`` bytes go into half of the bound, at least 1."""
    return max(1, min(most, max_bytes // 2 // needed))


def _hidden_width(config: PreTrainedConfig) -> int:
    hidden = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    return hidden or 4 * config.hidden_size


def _size(adapter: Adapter) -> int:
    return adapter.score_dtype.itemsize
