"""The last MLP where the output is read: the same there, and fewer tokens to compute."""

from __future__ import annotations

import pytest
import torch
from tiny_models import KINDS, tiny_batch, tiny_model, tokenizer
from transformers import BloomConfig, BloomForCausalLM, MixtralConfig, MixtralForCausalLM

from kc_utils.circuits.adapter import adapter_of
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.written import record
from kc_utils.kernels.hooks import Hooks
from kc_utils.kernels.last_mlp import find_last_mlp, run_only_at


def tokens_seen(hooks: Hooks, module: torch.nn.Module) -> list[int]:
    """Filled with the number of tokens in each call of ``module`` itself."""
    seen: list[int] = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0][..., 0].numel()))
    hooks.callback(handle.remove)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_stays_and_the_rest_is_not_computed(kind):
    adapter, batch = adapter_of(boot_bridge(tiny_model(kind), tokenizer())), tiny_batch()
    last = adapter.blocks[-1].mlp
    inner = next(m for m in last.modules() if isinstance(m, torch.nn.Linear) or hasattr(m, "nf"))
    at, rows = batch.read_at, torch.arange(len(batch))[:, None]
    with torch.no_grad(), Hooks() as hooks:
        seen = tokens_seen(hooks, inner)
        plain, fewer = adapter.hidden(batch.clean_ids), adapter.hidden(batch.clean_ids, at)
    assert seen == [batch.clean_ids.numel(), len(batch)]
    torch.testing.assert_close(fewer[rows, at], plain[rows, at])
    assert not torch.allclose(fewer, plain, atol=0.01), "elsewhere it is not the model's"


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_has_the_last_mlp_where_it_is_read(kind):
    adapter, batch = adapter_of(boot_bridge(tiny_model(kind), tokenizer())), tiny_batch()
    _, plain = record(adapter, batch.clean_ids)
    _, fewer = record(adapter, batch.clean_ids, at=batch.read_at)
    rows, at = torch.arange(len(batch)), batch.last
    torch.testing.assert_close(fewer.z, plain.z)
    torch.testing.assert_close(fewer.mlp[:-1], plain.mlp[:-1])
    torch.testing.assert_close(fewer.mlp[-1][rows, at], plain.mlp[-1][rows, at])
    assert int(fewer.mlp[-1].any(-1).sum()) == len(batch)


def test_several_places_of_one_row_can_be_read():
    model = tiny_model("llama").eval()
    ids, mlp = torch.arange(12).reshape(2, 6), find_last_mlp(tiny_model("llama"))
    assert type(mlp).__name__ == "LlamaMLP"
    rows, positions = torch.tensor([0, 0, 1]), torch.tensor([1, 5, 3])
    with torch.no_grad(), Hooks() as hooks:
        plain = model.base_model(input_ids=ids).last_hidden_state
        run_only_at(hooks, find_last_mlp(model), rows, positions)
        fewer = model.base_model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(fewer[rows, positions], plain[rows, positions])
    assert not torch.allclose(fewer, plain, atol=0.01)


def test_other_mlps_are_left_alone():
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 9}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2}
    assert find_last_mlp(MixtralForCausalLM(MixtralConfig(**shape, **heads))) is None
    bloom = BloomForCausalLM(BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=9))
    assert any(name.endswith("mlp") for name, _ in bloom.named_modules())
    assert find_last_mlp(bloom) is None, "it adds the residual itself"
