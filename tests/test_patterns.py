"""Attention patterns of single heads, and which heads are shown."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from tiny_models import KINDS, tiny_model, tokenizer

from kc_utils.analysis.attention import attention_patterns, top_heads
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.errors import KcError

IDS = torch.tensor([3, 7, 1, 9, 4])
HEADS = [(1, 2), (0, 3), (1, 0)]


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_are_those_that_the_model_returns_itself(kind: str) -> None:
    model = tiny_model(kind)
    found = attention_patterns(boot_bridge(model, tokenizer()), IDS, HEADS)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        wanted = model(input_ids=IDS[None], output_attentions=True).attentions
    for pattern, (layer, head) in zip(found, HEADS, strict=True):
        torch.testing.assert_close(pattern, wanted[layer][0, head], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found[0], found[2], atol=1e-3)  # heads differ


def test_rows_add_up_to_one_and_later_tokens_are_not_read() -> None:
    found = attention_patterns(boot_bridge(tiny_model("gpt2"), tokenizer()), IDS, HEADS)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 5))
    assert found.triu(1).abs().max() == 0


def test_missing_heads_are_named() -> None:
    bridge = boot_bridge(tiny_model("gpt2"), tokenizer())
    with pytest.raises(KcError, match=r"Head a2.h0 is not in this model of 2 layers with 4 heads"):
        attention_patterns(bridge, IDS, [(2, 0)])
    with pytest.raises(KcError, match="0 heads and 5 tokens"):
        attention_patterns(bridge, IDS, [])


def _roles(roles: list[str]) -> pd.DataFrame:
    n = len(roles)
    return pd.DataFrame(
        {"layer": range(n), "head": 0, "role": roles,
         "subject_abs": [float(i) for i in range(n)], "relation_abs": [0.5] * n}
    )  # fmt: skip


def test_the_strongest_heads_of_each_role_are_chosen() -> None:
    roles = ["mover", "mixture", "mover", "relation", "mover", "mixture"]
    chosen = top_heads(_roles(roles))
    assert chosen["layer"].tolist() == [4, 2, 3, 5]  # a mixture head for the missing relation head
    assert top_heads(_roles(roles), per_role=1)["layer"].tolist() == [4, 3]
    with pytest.raises(KcError, match="no head to choose"):
        top_heads(_roles([]))
