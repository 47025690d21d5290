"""Packing: every text whole in one block, and a plan of steps that never span epochs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.errors import KcError
from kc_utils.training.packing import StepDataset, epoch_order, pack_blocks, plan_epochs

EOS, PAD = 0, 1


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    block=st.integers(16, 64),
    look_ahead=st.integers(1, 20),
    seed=st.integers(0, 3),
)
def test_every_biography_is_whole_in_exactly_one_block(lengths, block, look_ahead, seed):
    texts = [[100 + i] * n for i, n in enumerate(lengths)]
    order = epoch_order(len(texts), seed, 0)
    ids, labels = pack_blocks(texts, block, EOS, PAD, order, look_ahead)
    found = []
    for row, target in zip(ids.tolist(), labels.tolist(), strict=True):
        used = [i for i, label in zip(row, target, strict=True) if label != -100]
        assert row == used + [PAD] * (block - len(used))
        assert used[0] != EOS
        parts = np.split(np.array(used), np.flatnonzero(np.array(used) == EOS) + 1)
        found += [part.tolist() for part in parts if len(part)]
    assert sorted(found) == sorted([*text, EOS][:block] for text in texts)


def test_too_long_biographies_are_cut_at_the_end_of_the_block():
    ids, _ = pack_blocks([list(range(10, 40))], 16, EOS, PAD)
    assert ids.tolist() == [list(range(10, 26))]


def test_look_ahead_saves_room_and_no_texts_are_an_error():
    texts = [[7] * n for n in np.random.default_rng(0).integers(10, 90, 300)]
    without = pack_blocks(texts, 128, EOS, PAD, look_ahead=1)[0]
    assert len(pack_blocks(texts, 128, EOS, PAD)[0]) < 0.85 * len(without)
    with pytest.raises(KcError, match="no texts"):
        pack_blocks([], 128, EOS, PAD)


def _plan(texts, epochs=3, seed=0, block=64):
    return plan_epochs(texts, epochs=epochs, block_size=block, eos_id=EOS, pad_id=PAD, seed=seed)


def test_the_plan_is_seeded_and_epochs_differ():
    texts = [[i + 2] * (5 + i % 9) for i in range(80)]
    one, same, other = _plan(texts), _plan(texts), _plan(texts, seed=1)
    assert one.digest == same.digest != other.digest
    assert one.epochs[0] != one.epochs[1]
    assert _plan(texts[::-1]).digest != one.digest
    assert 0 <= one.padding_share < 0.1


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 1), (2, 3), (50, 2)])
def test_steps_never_span_epochs_and_count_every_token_once(batch, accumulation):
    plan = _plan([[i + 2] * (5 + i % 9) for i in range(80)])
    dataset = StepDataset(plan, batch, accumulation)
    assert len(dataset) == dataset.n_steps * accumulation
    start = 0
    for end in dataset.epoch_ends:
        seen = []
        for item in range(start * accumulation, end * accumulation):
            labels = dataset[item]["labels"]
            assert labels.shape == dataset[item]["input_ids"].shape and len(labels) <= batch
            seen += labels[labels != -100].tolist()
        blocks = plan.epochs[dataset.epoch_ends.index(end)]
        expected = sum(len(plan.documents[d]) for block in blocks for d in block) - len(blocks)
        assert len(seen) == expected
        start = end
