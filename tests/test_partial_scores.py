"""A scoring that is stopped goes on where it was, and only with what it was of."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import python
from tiny_models import golden_batch, golden_bridge, tiny_batch, tiny_model, tokenizer
from torch import Tensor

from kc_utils.circuits import AttributionSettings, PairBatch, attribute, boot_bridge
from kc_utils.circuits import attribution as attribution_module
from kc_utils.circuits.adapter import Adapter
from kc_utils.errors import KcError

EIG = AttributionSettings(steps=2, batch_size=2)
KILLED = """
import os, signal, sys
from tiny_models import golden_batch, golden_bridge
from kc_utils.circuits import AttributionSettings, attribute, attribution

add, blocks = attribution._Block.add, []

def counted(self):
    blocks.append(self)
    if len(blocks) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self)

attribution._Block.add = counted
settings = AttributionSettings(steps=2, batch_size=2)
attribute(golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"), settings, partial=sys.argv[1])
"""


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of pairs of the blocks that are scored from here on."""
    found: list[int] = []
    add = attribution_module._Block.add

    def counted(self: attribution_module._Block) -> None:
        found.append(len(self.batch))
        add(self)

    monkeypatch.setattr(attribution_module._Block, "add", counted)
    return found


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a scoring of the golden pairs leaves that was interrupted in its third block."""
    path, add = tmp_path / "sums", attribution_module._Block.add
    done: list[int] = []

    def interrupted(self: attribution_module._Block) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        add(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(attribution_module._Block, "add", interrupted)
        attribute(golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"), EIG, partial=path)
    assert path.is_file()
    return path


@pytest.mark.slow
def test_a_killed_scoring_goes_on_behind_its_last_finished_block(
    tmp_path: Path, blocks: list[int]
) -> None:
    path = tmp_path / "new" / "sums"
    killed = python("-c", KILLED, path)
    assert killed.returncode == -signal.SIGKILL and path.is_file()
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    scores = attribute(bridge, batch, EIG, partial=path)
    assert sum(blocks) == len(batch) - 6, "three blocks of two pairs were finished"
    assert not path.exists()
    assert torch.equal(scores, attribute(bridge, batch, EIG)), "not a bit differs"


def test_a_scoring_that_is_not_stopped_leaves_nothing(tmp_path: Path, blocks: list[int]) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny").slice(0, 5)
    scores = attribute(bridge, batch, EIG, partial=str(tmp_path / "sums"))
    assert blocks == [2, 2, 1] and not [*tmp_path.iterdir()]
    assert torch.equal(scores, attribute(bridge, batch, EIG))


def test_batch_sizes_may_change(stopped: Path, blocks: list[int]) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    scores = attribute(bridge, batch, replace(EIG, batch_size=64), partial=stopped)
    assert blocks == [len(batch) - 4]
    torch.testing.assert_close(scores, attribute(bridge, batch, EIG), rtol=1e-4, atol=1e-6)


def test_exact_patching_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge, batch = boot_bridge(tiny_model("gpt2"), tokenizer()), tiny_batch(5)
    settings, path = AttributionSettings("exact", batch_size=2), tmp_path / "sums"
    whole, sums, done = attribute(bridge, batch, settings), attribution_module.exact_sums, []

    def interrupted(adapter: Adapter, block: PairBatch, *args: Any, **kw: Any) -> Tensor:
        done.append(len(block))
        if len(done) == 2:
            raise KeyboardInterrupt
        return sums(adapter, block, *args, **kw)

    monkeypatch.setattr(attribution_module, "exact_sums", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attribute(bridge, batch, settings, partial=path)
    found = attribute(bridge, batch, settings, partial=path)
    assert done == [2, 2, 2, 1] and not path.exists(), "the first block is not patched again"
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)


OTHERS: dict[str, Callable[[], tuple]] = {
    "other pairs": lambda: (golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny").slice(1, 24),
                            EIG),
    "other steps": lambda: (golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"),
                            replace(EIG, steps=3)),
    "another path": lambda: (golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"),
                             replace(EIG, path="0..m-1")),
    "another metric": lambda: (golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"),
                               replace(EIG, metric="prob_diff")),
    "another model": lambda: (boot_bridge(changed_model(), golden_bridge("gpt2_tiny").tokenizer),
                              golden_batch("gpt2_tiny"), EIG),
}  # fmt: skip


def changed_model() -> torch.nn.Module:
    """The golden model with one weight changed."""
    from tiny_models import GOLDEN
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "gpt2_tiny" / "model").eval()
    with torch.no_grad():
        model.transformer.h[3].mlp.c_fc.weight[0, 0] += 1e-3
    return model


@pytest.mark.parametrize("other", OTHERS)
def test_what_it_was_not_of_is_refused(stopped: Path, other: str) -> None:
    bridge, batch, settings = OTHERS[other]()
    before = stopped.read_bytes()
    with pytest.raises(KcError, match="another model, of other pairs or with other settings"):
        attribute(bridge, batch, settings, partial=stopped)
    assert stopped.read_bytes() == before


def test_what_cannot_be_gone_on_with_is_named(tmp_path: Path) -> None:
    bridge, batch = boot_bridge(tiny_model("gpt2"), tokenizer()), tiny_batch(2)
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty").touch()
    for name in ("text", "empty", "."):
        with pytest.raises(KcError, match="holds no scoring to go on with"):
            attribute(bridge, batch, EIG, partial=tmp_path / name)
    assert (tmp_path / "text").read_text() == "mine"
    with pytest.raises(KcError, match="cannot be written"):
        attribute(bridge, batch, EIG, partial=tmp_path / "text" / "sums")
    with pytest.raises(KcError, match="a metric by name"):
        metric = replace(EIG, metric=lambda last, batch: last[:, 0])
        attribute(bridge, batch, metric, partial=tmp_path / "a")
    assert not (tmp_path / "a").exists()
